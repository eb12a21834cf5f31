//! What the probe tells of ordinary files.

use crate::kit::{Studio, artefacts, look, sandbox};
use showrunner_worker::{
    models::Artefacts,
    probe::{self, FieldOrder, Refusal, Wanted},
    sandbox::Source,
};

#[test]
fn a_real_clip_is_told_with_its_picture_and_sound() {
    let probe = look(&artefacts().join("media/bigbuckbunny.mp4"));
    let (stream, picture) = probe.picture().expect("has a picture");
    assert_eq!((picture.width, picture.height, picture.bit_depth, picture.chroma), (1280, 720, Some(8), Some("4:2:0")));
    assert_eq!((picture.field_order, picture.interlaced_frames, picture.rotation), (FieldOrder::Progressive, false, 0));
    assert_eq!((stream.codec.as_deref(), stream.language.as_deref()), (Some("h264"), None));
    let (_, sound) = probe.sound().expect("has sound");
    assert_eq!((sound.channels, sound.layout.as_deref()), (6, Some("5.1")));
    let json = serde_json::to_value(&probe).expect("can be reported");
    assert_eq!(json["streams"][0]["kind"]["picture"]["width"], 1280);
    assert_eq!(json["streams"][0]["timeBase"], "1/12800");
}

#[test]
fn colour_hdr_timecode_and_languages_are_told() {
    let studio = Studio::new();
    let picture = "-f lavfi -i testsrc2=s=320x180:r=25:d=1,format=yuv420p10le,setparams=range=tv:color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc";
    let sounds = "-f lavfi -i sine=d=1 -f lavfi -i sine=d=1 -map 0 -map 1 -map 2 -metadata:s:a:0 language=eng -metadata:s:a:1 language=fre -disposition:a:0 default";
    let hdr = "-c:v libx265 -x265-params log-level=none:max-cll=800,300:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)";
    let file = studio.make("rich.mp4", &format!("{picture} {sounds} {hdr} -c:a aac -timecode 01:00:00:00"));
    let probe = look(&file);
    let (_, picture) = probe.picture().expect("has a picture");
    assert_eq!(picture.colour.transfer.as_deref(), Some("smpte2084"));
    assert_eq!(picture.colour.matrix.as_deref(), Some("bt2020nc"));
    assert_eq!((picture.bit_depth, picture.hdr.max_content, picture.hdr.max_average), (Some(10), Some(800), Some(300)));
    assert!(picture.hdr.mastering_luminance.is_some());
    assert_eq!(probe.timecode.as_deref(), Some("01:00:00:00"));
    assert_eq!(probe.sound().expect("has sound").0.language.as_deref(), Some("eng"));
    let source = Source::open(&file).expect("opens");
    let french = probe::probe(&sandbox(), &source, Wanted { language: Some("fr-CA"), track: None }).expect("opens");
    assert_eq!(french.sound().expect("has sound").0.language.as_deref(), Some("fre"));
    let track = |track| probe::probe(&sandbox(), &source, Wanted { language: Some("en"), track: Some(track) }).expect("opens");
    assert_eq!(track(2).sound().expect("has sound").0.language.as_deref(), Some("fre"), "whatever language is preferred");
    let told = track(3).lacks(3).expect("there is none").to_string();
    assert!(told.contains("sound track 3: the source has 2"), "{told}");
}

#[test]
fn a_recording_without_the_track_that_is_asked_for_says_so() {
    let studio = Studio::new();
    let source = Source::open(&studio.make("sound.m4a", "-f lavfi -i sine=d=1 -c:a aac")).expect("opens");
    let refused = probe::probe(&sandbox(), &source, Wanted { track: Some(2), ..Wanted::default() });
    assert!(matches!(refused, Err(Refusal::NoTrack { track: 2, tracks: 1 })), "{refused:?}");
}

#[test]
fn a_cover_image_is_not_the_picture_of_a_song() {
    let studio = Studio::new();
    studio.make("cover.png", "-f lavfi -i testsrc2=s=64x64:d=0.04 -frames:v 1");
    let song = studio.make("song.mp3", "-f lavfi -i sine=d=1 -i cover.png -map 0 -map 1 -c:v copy -disposition:v attached_pic");
    let probe = look(&song);
    assert!(probe.streams.iter().any(|stream| stream.is_cover));
    assert!(probe.picture().is_none() && probe.sound().is_some());
}

#[test]
fn the_shipped_models_are_as_locked() {
    let artefacts = Artefacts::at(&artefacts());
    artefacts.verify_programs().expect("tools are as locked");
    for name in ["whisper-base", "whisper-tiny.en", "silero-vad"] {
        let model = artefacts.model(name, None).unwrap_or_else(|error| panic!("{error}"));
        assert!(model.folder.is_dir());
        assert_eq!(artefacts.locked_digest(name), Some(model.digest));
    }
}
