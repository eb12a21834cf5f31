//! The step `fingerprint`: a picture a second and all of the sound become the print that copies of a title are found by. No I/O.
//!
//! Looking and listening happen in passes of their own, side by side; the step is done when both are over.

mod sight;
mod strip;

pub use sight::{Painted, Painting};

use super::{Longest, StepFailed, pretty};
use crate::{
    commit::{JSON, Made, StepFile},
    fanout::StepError,
    sound::{self, Chunk},
};
use showrunner_contracts::{
    Document as _,
    documents::{FingerprintDocument, PicturePrint, PrintedBars, SoundPrint},
    manifest::StepSummary,
    result::Reason,
    step::Step,
};
use showrunner_fingerprint::{ALGORITHM, Bars, Ear, Print, file};
use std::collections::BTreeMap;

/// The document's file name.
pub const FILE: &str = "fingerprint.json";
/// The print's file name.
pub const PRINT: &str = "fingerprint.srfp";
/// Media type of a print.
const PRINT_TYPE: &str = "application/octet-stream";
/// What samples are multiplied by before they are rounded: a mix of many channels may be louder than full scale, and how loud
/// a sound is makes no difference to its print.
const HEADROOM: f32 = 0.5;
/// Samples of a gap that are heard at a time.
const SILENCE: [i16; 4_096] = [0; 4_096];

/// Listens to the sound.
#[derive(Debug)]
pub struct Recording {
    ear: Ear,
    heard: i64,
    samples: Vec<i16>,
    longest: Longest,
}

/// What was heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The print's items.
    pub items: Vec<u32>,
    /// From the title's beginning to the end of its sound.
    pub seconds: f64,
}

impl Recording {
    /// For sound as the decoder hands it over; `longest` in samples.
    #[expect(clippy::missing_panics_doc, reason = "rate and speed are constants")]
    pub fn new(longest: Longest) -> Self {
        let ear = Ear::sampled(sound::SAMPLE_RATE, 1.0).expect("16 kHz at their own speed can be heard");
        Self { ear, heard: 0, samples: Vec::new(), longest }
    }

    /// The next stretch of sound; a jump since the one before is silence.
    pub fn hear(&mut self, chunk: &Chunk<'_>) -> Result<(), StepError> {
        self.longest.check(chunk.start).map_err(StepFailed)?;
        let mut gap = usize::try_from(chunk.start.0 - self.heard).unwrap_or_default();
        while gap > 0 {
            let some = gap.min(SILENCE.len());
            self.ear.hear(&SILENCE[..some]);
            gap -= some;
        }
        self.samples.clear();
        // Rounding to whole numbers saturates: what is louder still is cut off.
        self.samples.extend(chunk.samples.iter().map(|sample| (sample * HEADROOM * f32::from(i16::MAX)).round() as i16));
        self.ear.hear(&self.samples);
        self.heard = chunk.start.0 + chunk.samples.len() as i64;
        Ok(())
    }

    /// All that was heard.
    pub fn finish(self) -> Recorded {
        Recorded { items: self.ear.finish(), seconds: self.heard as f64 / f64::from(sound::SAMPLE_RATE) }
    }
}

/// The step's files and figures. What is not there, the title does not have.
pub fn made(painted: Option<&Painted>, recorded: Option<&Recorded>) -> Made {
    let print = Print {
        frames: painted.map(|painted| painted.frames.clone()).unwrap_or_default(),
        sound: recorded.map(|recorded| recorded.items.clone()).unwrap_or_default(),
    };
    let blank = print.frames.iter().filter(|seen| !seen.is_telling()).count() as u32;
    let bars = painted.and_then(|painted| told(&painted.bars));
    let document = FingerprintDocument {
        schema: FingerprintDocument::SCHEMA.to_owned(),
        algorithm: ALGORITHM.to_owned(),
        file_version: file::VERSION,
        picture: painted.map_or(PicturePrint::Missing(Reason::NoPicture), |painted| PicturePrint::Seen {
            pictures: painted.frames.len() as u32,
            blank,
            bars,
            strip: strip::of_pictures(&painted.frames),
        }),
        sound: recorded.map_or(SoundPrint::Missing(Reason::NoSound), |recorded| SoundPrint::Heard {
            seconds: rounded(recorded.seconds),
            items: recorded.items.len() as u32,
            strip: strip::of_sound(&recorded.items),
        }),
    };
    let file = |name: &str, media_type, bytes| StepFile { name: name.to_owned(), media_type, bytes };
    Made {
        files: vec![file(PRINT, PRINT_TYPE, file::write(&print)), file(FILE, JSON, pretty(&document))],
        summary: StepSummary::Fingerprint {
            pictures: painted.map(|painted| painted.frames.len() as u32),
            blank,
            bars: bars.is_some(),
            sound_seconds: recorded.map(|recorded| recorded.seconds.round() as u32),
        },
        settings: BTreeMap::from([("method".to_owned(), format!("{ALGORITHM}/{}", Step::Fingerprint.algorithm_version()))]),
    }
}

fn told(bars: &Bars) -> Option<PrintedBars> {
    let share = |share: f32| rounded(f64::from(share));
    let Bars { left, top, right, bottom } = *bars;
    (*bars != Bars::NONE).then(|| PrintedBars { left: share(left), top: share(top), right: share(right), bottom: share(bottom) })
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use showrunner_timeline::Ticks;

    const LONGEST: Longest = Longest { ticks: Ticks(i64::MAX), seconds: u32::MAX };

    /// Seconds of a tone that climbs and falls, as the decoder hands it over.
    fn tone(seconds: usize) -> Vec<f32> {
        let rate = sound::SAMPLE_RATE as usize;
        let mut phase = 0.0_f32;
        let pitch = |n: usize| 300.0 + 200.0 * (n as f32 / rate as f32 * 2.1).sin();
        (0..seconds * rate)
            .map(|n| {
                phase = (phase + pitch(n) / rate as f32).fract();
                (phase * std::f32::consts::TAU).sin()
            })
            .collect()
    }

    fn recorded(chunks: &[(i64, &[f32])]) -> Recorded {
        let mut recording = Recording::new(LONGEST);
        for (start, samples) in chunks {
            recording.hear(&Chunk { start: Ticks(*start), samples }).expect("hears");
        }
        recording.finish()
    }

    #[test]
    fn a_gap_in_the_sound_is_silence_of_its_length() {
        let (tone, silence) = (tone(8), vec![0.0; 5 * 16_000]);
        let (first, second) = tone.split_at(4 * 16_000);
        let with_gap = recorded(&[(0, first), (9 * 16_000, second)]);
        assert_eq!(with_gap, recorded(&[(0, first), (4 * 16_000, &silence), (9 * 16_000, second)]));
        assert!((with_gap.seconds - 13.0).abs() < f64::EPSILON);
        assert_ne!(with_gap.items, recorded(&[(0, first), (4 * 16_000, second)]).items);
    }

    #[test]
    fn how_loud_a_sound_is_makes_hardly_a_difference() {
        let plain = tone(10);
        let apart = |factor: f32| {
            let other: Vec<f32> = plain.iter().map(|sample| sample * factor).collect();
            let (a, b) = (recorded(&[(0, &plain)]).items, recorded(&[(0, &other)]).items);
            assert_eq!(a.len(), b.len());
            a.iter().zip(&b).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>() as f32 / (a.len() * 32) as f32
        };
        for factor in [0.05, 1.4] {
            assert!(apart(factor) < 0.02, "{factor}: {}", apart(factor));
        }
    }

    #[test]
    fn what_a_title_lacks_is_named_and_counted_as_absent() {
        let made = made(None, Some(&recorded(&[(0, &tone(6))])));
        let names: Vec<&str> = made.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, Step::Fingerprint.slots());
        let summary = StepSummary::Fingerprint { pictures: None, blank: 0, bars: false, sound_seconds: Some(6) };
        assert_eq!(made.summary, summary);
        let document = FingerprintDocument::from_bytes(&made.files[1].bytes).expect("reads");
        assert_eq!(document.picture, PicturePrint::Missing(Reason::NoPicture));
        let print = file::read(&made.files[0].bytes).expect("a print");
        assert!(
            print.frames.is_empty()
                && matches!(document.sound, SoundPrint::Heard { items, .. } if items as usize == print.sound.len())
        );
    }
}
