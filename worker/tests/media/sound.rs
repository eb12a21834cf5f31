//! The sound is on the picture's timeline.

use crate::kit::{Studio, artefacts, look, sandbox};
use showrunner_timeline::Ticks;
use showrunner_worker::{
    sandbox::{Limits, Source},
    sound::{self, SAMPLE_RATE, Summary},
};
use std::path::Path;

/// Every sample in its place: gaps are zeros.
pub(crate) fn listen(path: &Path) -> (Vec<f32>, Summary) {
    let (source, probe) = (Source::open(path).expect("opens"), look(path));
    let mut heard = Vec::new();
    let summary = sound::decode(&sandbox(), &source, &probe, Limits::DECODE, &mut |chunk| {
        assert!(heard.len() as i64 <= chunk.start.0, "chunks are in order and do not overlap");
        heard.resize(chunk.start.0 as usize, 0.0);
        heard.extend_from_slice(chunk.samples);
        Ok(())
    });
    (heard, summary.expect("decodes"))
}

/// Where the sound becomes loud, in samples.
fn onset(heard: &[f32]) -> usize {
    heard.iter().position(|sample| sample.abs() > 0.05).expect("there is a sound")
}

const PICTURE: &str = "-f lavfi -i testsrc2=r=25:s=160x90:d=2";
const TONE: &str = "sine=frequency=440:sample_rate=48000:d=1,volume=8";
const CODECS: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";

#[test]
fn sound_that_comes_half_a_second_after_the_picture_stays_there() {
    let studio = Studio::new();
    for (name, sound, tolerance) in [
        ("late.mov", "-c:a pcm_s16le", 20),
        ("late.mp4", "-c:a aac", 320),
        ("late.mkv", "-c:a flac", 20),
        ("late.ts", "-c:a aac", 320),
    ] {
        let file = studio.make(name, &format!("{PICTURE} -itsoffset 0.5 -f lavfi -i {TONE} -map 0 -map 1 {CODECS} {sound}"));
        let (heard, summary) = listen(&file);
        assert!(onset(&heard).abs_diff(8_000) <= tolerance, "{name}: {} {summary:?}", onset(&heard));
        assert!(heard.len().abs_diff(24_000) <= 1_200, "{name}: {}", heard.len());
    }
}

#[test]
fn sound_from_before_the_first_picture_is_dropped() {
    let studio = Studio::new();
    let file =
        studio.make("early.mkv", &format!("-itsoffset 0.48 {PICTURE} -f lavfi -i {TONE} -map 0 -map 1 {CODECS} -c:a flac"));
    let (heard, summary) = listen(&file);
    assert!(summary.before_zero.abs_diff(7_680) <= 20, "{summary:?}");
    assert!(heard.len().abs_diff(8_320) <= 20, "{}", heard.len());
}

#[test]
fn a_gap_in_the_sound_is_as_long_as_it_was() {
    let studio = Studio::new();
    let gap = "aevalsrc=sin(2764*t):s=48000:d=4,aselect='not(between(t,1,2.5))'";
    let (heard, summary) = listen(&studio.make("gap.mkv", &format!("-f lavfi -i {gap} -c:a pcm_s16le")));
    assert_eq!(summary.gaps, 1, "{summary:?}");
    assert!(heard.len().abs_diff(64_000) <= 200, "{}", heard.len());
    let silent = heard.iter().filter(|sample| **sample == 0.0).count();
    assert!(silent.abs_diff(24_000) <= 1_200, "{silent}");
    assert!(heard[60_000..].iter().any(|sample| sample.abs() > 0.5));
}

#[test]
fn a_title_that_is_only_sound_starts_with_its_first_sample() {
    let (heard, summary) = listen(&artefacts().join("media/two_cities.wav"));
    assert_eq!(summary.start, Some(Ticks::ZERO));
    assert!(heard.len() / SAMPLE_RATE as usize == 44, "{}", heard.len());
    assert_eq!((summary.gaps, summary.overlapping, summary.before_zero, summary.shortfall), (0, 0, 0, None));
    assert!(heard.iter().any(|sample| sample.abs() > 0.1) && heard.iter().all(|sample| sample.abs() <= 1.5));
}

#[test]
fn other_rates_and_layouts_become_16_khz_mono() {
    let studio = Studio::new();
    let six = "aevalsrc=exprs=0.5*sin(2764*t)|0|0|0|0|0:c=5.1:s=44100:d=1";
    let (heard, _) = listen(&studio.make("six.flac", &format!("-f lavfi -i {six} -c:a flac")));
    assert!(heard.len().abs_diff(16_000) <= 32, "{}", heard.len());
    // 440 Hz crosses zero 880 times a second.
    let crossings = heard.windows(2).filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0)).count();
    assert!(crossings.abs_diff(880) <= 8, "{crossings}");
}

#[test]
fn the_sounds_end_that_is_missing_is_told() {
    let studio = Studio::new();
    let whole = studio.make("whole.m4a", "-f lavfi -i anoisesrc=d=20:a=0.3 -c:a aac -b:a 128k -movflags +faststart");
    let whole = std::fs::read(whole).expect("reads");
    let (heard, summary) = listen(&studio.write("short.m4a", &whole[..whole.len() / 2]));
    let shortfall = summary.shortfall.expect("it is short");
    assert_eq!(shortfall.reached.0, heard.len() as i64);
    assert!(shortfall.stated.expect("stated").0.abs_diff(320_000) <= 1_600, "{shortfall:?}");
}
