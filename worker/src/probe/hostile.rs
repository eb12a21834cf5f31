//! What media tools say of files that others made: whatever it is, it is read within limits and told in clean words.

use super::{
    MAX_PIXELS, MAX_SIDE, MAX_STREAMS, Probe, Refusal, Wanted, Zero, choose, last_words,
    raw::{self, Report},
    stream,
};
use crate::{
    failure::of_refusal,
    media,
    picture::{
        pipes::Head,
        recipe::{Chosen, Recipe},
    },
    sandbox::{End, Finished, Tool},
};
use showrunner_contracts::{
    Document as _,
    manifest::MediaSummary,
    result::{Failure, Reason, RunRecord, UnitResult},
};
use showrunner_fuzz_driver::exercise;
use showrunner_timeline::{Ticks, TimeBase};
use std::time::Duration;

/// Longest text taken over from a file, characters.
const MAX_TEXT: usize = 64;
/// Longest quotation of a tool, characters.
const MAX_WORDS: usize = 200;

#[test]
fn no_description_of_a_file_leads_to_more_than_the_limits_allow() {
    let words = ["und", "N/A", "0/0", "0:1", "1:4000", "smpte2084", "arib-std-b67", "bt2020", "yuv420p16le", "p", "00:00:00;00"];
    exercise("ffprobe", &words, |json| {
        let Ok(report) = serde_json::from_slice::<Report>(json) else { return };
        describe(report);
    });
}

fn describe(report: Report) {
    let streams = match stream::streams(&report) {
        Ok(streams) => streams,
        Err(refusal) => return is_told(&refusal),
    };
    assert!(streams.len() <= MAX_STREAMS);
    let (timecode, format) = (stream::timecode(report.streams.iter().map(|stream| &stream.tags)), report.format);
    for (language, track) in [(None, None), (Some("en"), None), (Some("pt-BR"), None), (None, Some(2))] {
        let (picture, sound) = (choose::picture(&streams), choose::sound(&streams, Wanted { language, track }));
        let Some(main) = picture.or(sound) else { return };
        let at = streams[main].start.unwrap_or(Ticks(i64::MIN));
        let probe = Probe {
            container: stream::short(Some(&format.format_name)).unwrap_or_default(),
            stated_duration_ms: format.duration.as_deref().and_then(raw::seconds_to_millis),
            timecode: timecode.clone(),
            zero: Zero { at, base: streams[main].time_base },
            streams: streams.clone(),
            picture,
            sound,
            plain_sound: sound,
        };
        serde_json::to_string(&probe).expect("can be reported");
        is_within_limits(&media::summary(&probe));
        if let Some((stream, info)) = probe.picture() {
            let recipe = Recipe::new(stream.index, info, probe.zero, Chosen { samples: 4, interval: probe.stated_duration_ms });
            for size in [Some(recipe.glance_size()), recipe.sample_size(), recipe.candidate_size()].into_iter().flatten() {
                assert!(size.width >= 2 && size.height >= 2 && size.bytes() <= 1280 * 720 * 3, "{size:?}");
            }
            let ours = |c: char| c.is_ascii_alphanumeric() || "[]=:,.;+-*/_()'\\".contains(c);
            assert!(recipe.graph().chars().all(ours), "{}", recipe.graph());
        }
    }
}

/// A summary stands in contracts, which have room for it, and comes back as it was.
fn is_within_limits(summary: &MediaSummary) {
    let json = serde_json::to_value(summary).expect("serialises");
    texts(&json);
    assert!(summary.duration >= 0 && summary.time_base.num > 0 && summary.time_base.den > 0);
    if let Some(video) = &summary.video {
        assert!((1..=MAX_SIDE).contains(&video.width) && (1..=MAX_SIDE).contains(&video.height));
        assert!(u64::from(video.width) * u64::from(video.height) <= MAX_PIXELS);
        assert!(matches!(video.rotation, 0 | 90 | 180 | 270), "{} degrees", video.rotation);
        assert!(video.hdr.len() <= 3);
    }
    let unit = UnitResult {
        schema: UnitResult::SCHEMA.to_owned(),
        unit_key: showrunner_contracts::Digest::of(b"unit"),
        attempt: 1,
        media: Some(summary.clone()),
        steps: Vec::new(),
        run: RunRecord::default(),
    };
    assert_eq!(UnitResult::from_bytes(&unit.to_bytes()).expect("our own result"), unit);
}

fn texts(json: &serde_json::Value) {
    match json {
        serde_json::Value::String(text) => {
            assert!(text.chars().count() <= MAX_TEXT && !text.chars().any(char::is_control), "{text:?}");
        }
        serde_json::Value::Array(list) => list.iter().for_each(texts),
        serde_json::Value::Object(map) => map.values().for_each(texts),
        _ => {}
    }
}

#[test]
fn a_tools_words_are_short_clean_and_the_same_in_every_run() {
    let words = ["@ 0x", "[h264 @ 0x55d0c8e3a2c0] ", "] ", "\n", "max_streams", "moov atom not found", "End of file", "\u{202e}"];
    exercise("ffmpeg_words", &words, |stderr| {
        let said = String::from_utf8_lossy(stderr);
        let told = last_words(&said);
        assert!(told.chars().count() <= MAX_WORDS && !told.chars().any(char::is_control), "{told:?}");
        assert!(!told.trim().is_empty(), "something is said");
        assert_eq!(last_words(&moved(&said, "7f00")), told, "wherever in memory it spoke");
        let ends = [End::Code(1), End::WallLimit, End::CpuLimit, End::Signal(9)];
        for end in ends {
            let finished = Finished { end, stderr: said.clone().into_owned(), wall: Duration::ZERO, cpu: Duration::ZERO };
            is_told(&Refusal::from_tool(Tool::Ffprobe, &finished));
        }
    });
}

/// The same words with other addresses in them.
fn moved(said: &str, address: &str) -> String {
    let mut parts = said.split("@ 0x");
    let mut moved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        moved.push_str("@ 0x");
        moved.push_str(address);
        moved.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    moved
}

/// A refusal ends in a condition: whole, that is with its cure, and clean.
fn is_told(refusal: &Refusal) {
    let failure = of_refusal(refusal);
    assert_eq!(failure.message, refusal.to_string(), "not cut, and nothing to clean");
    assert!(failure.message.chars().count() <= Failure::MAX_MESSAGE);
    assert_ne!(failure.reason, Reason::NoSpeech);
}

#[test]
fn a_frames_time_is_read_as_it_was_written_or_not_at_all() {
    exercise("frame_time", &["1001/24000", " ", "\t", "-9223372036854775808", "9223372036854775807"], |line| {
        let Some(head) = std::str::from_utf8(line).ok().and_then(Head::parse) else { return };
        let pts = head.pts.map_or(i64::MIN, |pts| pts.0);
        assert_eq!(Head::parse(&format!("{pts} {} {}\n", head.base, head.samples)), Some(head));
        assert!(TimeBase::new(head.base.num(), head.base.den()).is_ok());
    });
}
