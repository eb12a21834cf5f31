//! Files that are media and yet not whole: what can be used of them is, and what is lost is told with what to do.

use crate::{
    kit::Studio,
    support::{self, committed, order, run, store::TestStore},
};
use showrunner_contracts::{
    manifest::StepSummary,
    result::{Failure, Outcome, Reason},
    step::Step,
};
use std::path::Path;

const SOFT: &str = "-c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p -c:a aac";

/// Why the steps of picture fail; nothing of them is kept.
fn refused(bytes: &[u8]) -> Failure {
    let store = TestStore::with(bytes);
    let failure = run(&order(&store, &[support::shots(), support::thumbnails()])).failure(&store);
    assert!(store.results().is_empty(), "{:?}", store.results().keys());
    failure
}

/// Shots and thumbnails of what is taken as it is.
fn taken(bytes: &[u8]) -> (StepSummary, StepSummary) {
    let store = TestStore::with(bytes);
    let ran = run(&order(&store, &[support::shots(), support::thumbnails()]));
    assert_eq!(ran.code, Some(0));
    let unit = ran.unit(&store);
    assert!(unit.steps.iter().all(|step| matches!(step.outcome, Outcome::Done { .. })), "{:?}", unit.steps);
    (committed(&store, &unit, Step::Shots).summary, committed(&store, &unit, Step::Thumbnails).summary)
}

fn clip(studio: &Studio, name: &str, picture: &str, rest: &str) -> Vec<u8> {
    read(&studio.make(name, &format!("-f lavfi -i {picture}=s=320x180:r=25:d=10 -f lavfi -i sine=d=10 {SOFT} {rest}")))
}

/// `bytes` with zeros from one hundredth of their length to another.
fn blank(bytes: &[u8], from: usize, to: usize) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    damaged[bytes.len() * from / 100..bytes.len() * to / 100].fill(0);
    damaged
}

#[test]
fn a_title_of_one_frame_has_one_shot_and_one_thumbnail() {
    let studio = Studio::new();
    let one = studio.make("one.mp4", "-f lavfi -i testsrc2=s=320x180:r=25 -frames:v 1 -c:v libx264 -pix_fmt yuv420p");
    let (shots, thumbnails) = taken(&read(&one));
    assert!(matches!(shots, StepSummary::Shots { shots: 1, .. }), "{shots:?}");
    assert!(matches!(thumbnails, StepSummary::Thumbnails { selected: 1, .. }), "{thumbnails:?}");
}

#[test]
fn a_title_of_which_much_in_the_middle_is_lost_says_what_is_missing() {
    let studio = Studio::new();
    for (name, flags) in [("whole.mp4", "-movflags +faststart"), ("whole.mkv", "")] {
        let whole = clip(&studio, name, "testsrc2", flags);
        taken(&blank(&whole, 50, 51));
        let failure = refused(&blank(&whole, 40, 70));
        assert_eq!(failure.reason, Reason::SourceTruncated, "{name}: {}", failure.message);
        let told = &failure.message;
        assert!(told.contains("there is none between") && told.contains("undamaged"), "{name}: {told}");
    }
}

#[test]
fn a_transport_stream_keeps_the_gaps_of_its_transmission() {
    let studio = Studio::new();
    let (shots, _) = taken(&blank(&clip(&studio, "sent.ts", "testsrc2", ""), 40, 70));
    assert!(matches!(shots, StepSummary::Shots { .. }), "{shots:?}");
}

#[test]
fn a_recording_whose_clock_is_set_back_says_where() {
    let studio = Studio::new();
    let both = [clip(&studio, "a.ts", "testsrc2", ""), clip(&studio, "b.ts", "rgbtestsrc", "")].concat();
    let failure = refused(&both);
    assert_eq!(failure.reason, Reason::SourceTruncated);
    let told = &failure.message;
    assert!(told.contains("its clock goes back from 10.0 s to 0.0 s") && told.contains("write the file anew"), "{told}");
}

#[test]
fn a_song_whose_clock_is_set_back_says_where_too() {
    let studio = Studio::new();
    let song = |name, tone| read(&studio.make(name, &format!("-f lavfi -i sine=f={tone}:d=6 -c:a aac")));
    let store = TestStore::with(&[song("a.ts", 440), song("b.ts", 880)].concat());
    let failure = run(&order(&store, &[support::fingerprint()])).failure(&store);
    assert_eq!(failure.reason, Reason::SourceTruncated);
    assert!(failure.message.contains("of the sound: its clock goes back from 6.0 s to 0.0 s"), "{}", failure.message);
}

#[test]
fn a_clock_that_jumps_ahead_is_believed() {
    let studio = Studio::new();
    let first = clip(&studio, "a.ts", "testsrc2", "");
    let both = [first, clip(&studio, "b.ts", "rgbtestsrc", "-output_ts_offset 40")].concat();
    let (shots, _) = taken(&both);
    assert!(matches!(shots, StepSummary::Shots { shots: 2, .. }), "{shots:?}");
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("reads")
}
