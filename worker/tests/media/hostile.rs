//! Files that are not what they say are refused with a reason, and never lead anywhere else.

use crate::kit::{Studio, look, plan, sandbox};
use showrunner_contracts::result::Reason;
use showrunner_worker::{
    picture::{self, DecodeError, Plan},
    probe::{self, Refusal, Wanted},
    sandbox::{Limits, Source},
};
use std::{path::Path, time::Duration};

fn refused(path: &Path) -> Refusal {
    let source = Source::open(path).expect("opens");
    let probed = probe::probe(&sandbox(), &source, Wanted::default());
    probed.err().unwrap_or_else(|| panic!("{} was not refused", path.display()))
}

#[test]
fn a_file_without_bytes_is_refused() {
    assert!(matches!(refused(&Studio::new().write("empty.mp4", "")), Refusal::Empty));
}

#[test]
fn text_named_mp4_is_refused_with_a_clear_reason() {
    let error = refused(&Studio::new().write("letter.mp4", "Dear viewer,\nthis is not a film.\n".repeat(200)));
    assert_eq!(error.reason(), Reason::SourceNotMedia);
    assert!(error.to_string().contains("deliver MP4"), "{error}");
    assert!(!error.to_string().contains("0x"), "no addresses, the same words every time: {error}");
}

#[test]
fn a_file_without_its_index_is_refused_as_truncated() {
    let studio = Studio::new();
    let whole = studio.make("whole.mp4", "-f lavfi -i testsrc2=s=320x180:d=2 -c:v libx264 -preset ultrafast");
    let whole = std::fs::read(whole).expect("reads");
    let error = refused(&studio.write("half.mp4", &whole[..whole.len() / 2]));
    assert_eq!(error.reason(), Reason::SourceTruncated, "{error}");
}

#[test]
fn lists_and_session_descriptions_are_refused() {
    let studio = Studio::new();
    let session = "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    for (what, script) in
        [("sdp", session), ("image list", "/etc/passwd\n/etc/hosts\n"), ("subtitles", "1\n00:00:00,000 --> 00:00:01,000\nHi.\n")]
    {
        let error = refused(&studio.write("innocent.mp4", script));
        assert_eq!(error.reason(), Reason::SourceNotMedia, "{what}: {error}");
    }
}

#[test]
fn more_streams_than_the_limit_are_refused() {
    let studio = Studio::new();
    let maps = ["-map 0"; probe::MAX_STREAMS + 1].join(" ");
    let error = refused(&studio.make("many.mkv", &format!("-f lavfi -i sine=d=0.1 {maps} -c:a pcm_s16le")));
    assert!(matches!(error, Refusal::TooManyStreams { .. }), "{error}");
    assert_eq!(error.reason(), Reason::SourceTooLarge);
}

#[test]
fn subtitles_alone_are_no_title() {
    let studio = Studio::new();
    studio.write("words.srt", "1\n00:00:00,000 --> 00:00:01,000\nHello.\n");
    let error = refused(&studio.make("words.mkv", "-i words.srt -c:s srt"));
    assert!(matches!(error, Refusal::NoStreams), "{error}");
}

#[test]
fn a_stream_of_which_nothing_decodes_is_refused() {
    let studio = Studio::new();
    let whole =
        studio.make("whole.mp4", "-f lavfi -i testsrc2=s=320x180:d=1 -c:v libx264 -preset ultrafast -movflags +faststart");
    let mut bytes = std::fs::read(whole).expect("reads");
    let data = bytes.windows(4).position(|window| window == b"mdat").expect("an MP4 has one") + 4;
    bytes[data..].fill(0);
    let error = refused(&studio.write("zeros.mp4", &bytes));
    assert!(matches!(error, Refusal::NothingDecodes { .. }), "{error}");
}

#[test]
fn a_decoder_that_takes_too_long_is_ended_and_named() {
    let studio = Studio::new();
    // Long enough that no processor decodes it in a second.
    let clip = studio.make("clip.mp4", "-f lavfi -i testsrc2=s=1280x720:d=24 -c:v libx264 -preset ultrafast -pix_fmt yuv420p");
    let (sandbox, source, probe) = (sandbox(), Source::open(&clip).expect("opens"), look(&clip));
    let decode = |limits| picture::decode(&sandbox, &source, &probe, &Plan { limits, ..plan(true) }, &mut |_| Ok(()));
    let wall = decode(Limits { wall: Duration::from_millis(50), ..Limits::DECODE });
    assert!(matches!(wall, Err(DecodeError::Refused(Refusal::Limit { what: "wall time", .. }))), "{wall:?}");
    let processor = decode(Limits { cpu_seconds: 1, ..Limits::DECODE });
    assert!(matches!(processor, Err(DecodeError::Refused(Refusal::Limit { what: "processor time", .. }))), "{processor:?}");
    let memory = decode(Limits { memory_bytes: 300 << 20, ..Limits::DECODE });
    assert!(matches!(memory, Err(DecodeError::Refused(ref error)) if error.reason() != Reason::Internal), "{memory:?}");
}

#[test]
fn a_receiver_that_wants_no_more_ends_the_decoder() {
    let studio = Studio::new();
    let clip = studio.make("clip.mp4", "-f lavfi -i testsrc2=s=640x360:d=8 -c:v libx264 -preset ultrafast -pix_fmt yuv420p");
    let (sandbox, source, probe) = (sandbox(), Source::open(&clip).expect("opens"), look(&clip));
    let mut taken = 0;
    let outcome = picture::decode(&sandbox, &source, &probe, &plan(true), &mut |_| {
        taken += 1;
        if taken == 5 { Err("enough".into()) } else { Ok(()) }
    });
    assert!(matches!(&outcome, Err(DecodeError::Stopped(reason)) if reason.to_string() == "enough"), "{outcome:?}");
    assert_eq!(taken, 5);
}

#[test]
fn damage_in_the_middle_never_stops_the_worker() {
    let studio = Studio::new();
    let whole =
        studio.make("whole.mkv", "-f lavfi -i testsrc2=s=320x180:d=4 -c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p");
    let whole = std::fs::read(whole).expect("reads");
    let mut state = 0x2545_F491_4F6C_DD1D_u64; // seeded: the same damage every time
    for round in 0..12 {
        let mut bytes = whole.clone();
        for _ in 0..40 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = (state >> 24) as u8;
        }
        let path = studio.write("damaged.mkv", &bytes);
        let (sandbox, source) = (sandbox(), Source::open(&path).expect("opens"));
        // Whatever comes, it is an answer: a probe and times in order, or a refusal.
        let Ok(probe) = probe::probe(&sandbox, &source, Wanted::default()) else { continue };
        if probe.picture().is_none() {
            continue;
        }
        let mut last = -1;
        let outcome = picture::decode(&sandbox, &source, &probe, &plan(false), &mut |event| {
            if let picture::Event::Frame(picture) = event {
                assert!(picture.pts.0 > last, "round {round}");
                last = picture.pts.0;
            }
            Ok(())
        });
        assert!(!matches!(outcome, Err(DecodeError::Stopped(_))), "round {round}: {outcome:?}");
    }
}
