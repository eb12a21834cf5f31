//! The step `fingerprint`: a picture a second and all of the sound become the print that copies of a title are found by. No I/O.
//!
//! Looking and listening happen in passes of their own, side by side; the step is done when both are over.
//!
//! A title that is to be looked up is seen in every look and heard at every speed, too. The print beside is the same either way.

mod sight;
mod strip;

pub use sight::{Painted, Painting};

use super::{Longest, StepFailed, pretty, rounded};
use crate::{
    commit::{JSON, Made, StepFile},
    fanout::StepError,
    sound::{self, Chunk},
};
use showrunner_contracts::{
    Document as _, catalogue,
    catalogue::MAX_QUERY_BYTES,
    documents::{FingerprintDocument, PicturePrint, PrintedBars, SoundPrint},
    manifest::StepSummary,
    result::{Failure, Reason},
    step::{QUERY, Step, StepParams},
    work_order::StepOrder,
};
use showrunner_fingerprint::{ALGORITHM, Bars, Ear, Print, Query, SPEEDS, Seen, file, query_file};
use std::collections::BTreeMap;

const _: () = assert!(catalogue::VERSION == file::VERSION, "a catalogue is of prints of one version");

/// The document's file name.
pub const FILE: &str = "fingerprint.json";
/// The print's file name.
pub const PRINT: &str = "fingerprint.srfp";
/// Media type of a print and of a query.
const PRINT_TYPE: &str = "application/octet-stream";
/// What samples are multiplied by before they are rounded: a mix of many channels may be louder than full scale, and how loud
/// a sound is makes no difference to its print.
const HEADROOM: f32 = 0.5;
/// Samples of a gap that are heard at a time.
const SILENCE: [i16; 4_096] = [0; 4_096];

/// Whether the title is to be looked up by its print.
pub const fn asked(order: &StepOrder) -> bool {
    matches!(order.params, StepParams::Fingerprint { query: true, .. })
}

/// Listens to the sound.
#[derive(Debug)]
pub struct Recording {
    plain: Ear,
    /// At the other speeds, for a query.
    others: Vec<(f32, Ear)>,
    heard: i64,
    samples: Vec<i16>,
    longest: Longest,
}

/// What was heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The print's items.
    pub items: Vec<u32>,
    /// Items at the other speeds; none without a query.
    pub others: Vec<(f32, Vec<u32>)>,
    /// From the title's beginning to the end of its sound.
    pub seconds: f64,
}

impl Recording {
    /// For sound as the decoder hands it over; `longest` in samples.
    pub fn new(longest: Longest, query: bool) -> Self {
        let ear = |speed| Ear::sampled(sound::SAMPLE_RATE, speed).expect("16 kHz can be heard at the engine's own speeds");
        let [plain, others @ ..] = SPEEDS;
        let others = if query { others.into_iter().map(|speed| (speed, ear(speed))).collect() } else { Vec::new() };
        Self { plain: ear(plain), others, heard: 0, samples: Vec::new(), longest }
    }

    /// The next stretch of sound; a jump since the one before is silence.
    pub fn hear(&mut self, chunk: &Chunk<'_>) -> Result<(), StepError> {
        self.longest.check(chunk.start).map_err(StepFailed)?;
        let mut gap = usize::try_from(chunk.start.0 - self.heard).unwrap_or_default();
        while gap > 0 {
            let some = gap.min(SILENCE.len());
            self.all_hear(&SILENCE[..some]);
            gap -= some;
        }
        let mut samples = std::mem::take(&mut self.samples);
        samples.clear();
        // Rounding to whole numbers saturates: what is louder still is cut off.
        samples.extend(chunk.samples.iter().map(|sample| (sample * HEADROOM * f32::from(i16::MAX)).round() as i16));
        self.all_hear(&samples);
        self.samples = samples;
        self.heard = chunk.start.0 + chunk.samples.len() as i64;
        Ok(())
    }

    fn all_hear(&mut self, samples: &[i16]) {
        self.plain.hear(samples);
        self.others.iter_mut().for_each(|(_, ear)| ear.hear(samples));
    }

    /// All that was heard.
    pub fn finish(self) -> Recorded {
        let others = self.others.into_iter().map(|(speed, ear)| (speed, ear.finish())).collect();
        Recorded { items: self.plain.finish(), others, seconds: self.heard as f64 / f64::from(sound::SAMPLE_RATE) }
    }
}

/// The step's files and figures, those of a query among them where one was asked for. What is not there, the title does not have.
pub fn made(painted: Option<Painted>, recorded: Option<Recorded>, query: bool) -> Result<Made, Failure> {
    let document = document(painted.as_ref(), recorded.as_ref());
    let pictures = painted.as_ref().map(|painted| painted.frames.len() as u32);
    let sound_seconds = recorded.as_ref().map(|recorded| recorded.seconds.round() as u32);
    let (frames, looks, bars) =
        painted.map_or((Vec::new(), Vec::new(), Bars::NONE), |painted| (painted.frames, painted.looks, painted.bars));
    let (sound, others) = recorded.map_or_else(Default::default, |recorded| (recorded.items, recorded.others));
    let print = Print { frames, sound };
    let blank = blank(&print.frames);
    let file = |name: &str, media_type, bytes| StepFile { name: name.to_owned(), media_type, bytes };
    let mut files = vec![file(PRINT, PRINT_TYPE, file::write(&print))];
    if query {
        let mut sounds = vec![(SPEEDS[0], print.sound.clone())];
        sounds.extend(others);
        files.push(file(QUERY, PRINT_TYPE, kept(&Query { print, looks, sounds })?));
    }
    files.push(file(FILE, JSON, pretty(&document)));
    Ok(Made {
        files,
        summary: StepSummary::Fingerprint { pictures, blank, bars: told(&bars).is_some(), sound_seconds },
        settings: BTreeMap::from([("method".to_owned(), format!("{ALGORITHM}/{}", Step::Fingerprint.algorithm_version()))]),
    })
}

/// A query's file, as long as whoever looks the title up reads it.
fn kept(query: &Query) -> Result<Vec<u8>, Failure> {
    let bytes = query_file::write(query);
    if bytes.len() <= MAX_QUERY_BYTES {
        return Ok(bytes);
    }
    let message = format!(
        "failed to keep what the title is looked up with: {} bytes, {MAX_QUERY_BYTES} are the most; cut the title, or do not have it looked up",
        bytes.len()
    );
    Err(Failure::new(Reason::SourceTooLarge, &message))
}

fn document(painted: Option<&Painted>, recorded: Option<&Recorded>) -> FingerprintDocument {
    FingerprintDocument {
        schema: FingerprintDocument::SCHEMA.to_owned(),
        algorithm: ALGORITHM.to_owned(),
        file_version: file::VERSION,
        picture: painted.map_or(PicturePrint::Missing(Reason::NoPicture), |painted| PicturePrint::Seen {
            pictures: painted.frames.len() as u32,
            blank: blank(&painted.frames),
            bars: told(&painted.bars),
            strip: strip::of_pictures(&painted.frames),
        }),
        sound: recorded.map_or(SoundPrint::Missing(Reason::NoSound), |recorded| SoundPrint::Heard {
            seconds: rounded(recorded.seconds),
            items: recorded.items.len() as u32,
            strip: strip::of_sound(&recorded.items),
        }),
    }
}

/// How many pictures say nothing.
fn blank(frames: &[Seen]) -> u32 {
    frames.iter().filter(|seen| !seen.is_telling()).count() as u32
}

fn told(bars: &Bars) -> Option<PrintedBars> {
    let share = |share: f32| rounded(f64::from(share));
    let Bars { left, top, right, bottom } = *bars;
    (*bars != Bars::NONE).then(|| PrintedBars { left: share(left), top: share(top), right: share(right), bottom: share(bottom) })
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
        recorded_for(chunks, false)
    }

    fn recorded_for(chunks: &[(i64, &[f32])], query: bool) -> Recorded {
        let mut recording = Recording::new(LONGEST, query);
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
    fn a_query_hears_the_same_sound_at_ten_more_speeds() {
        let tone = tone(12);
        let chunks: [(i64, &[f32]); 2] = [(0, &tone[..70_000]), (90_000, &tone[90_000..])];
        let (plain, query) = (recorded(&chunks), recorded_for(&chunks, true));
        assert_eq!((&plain.items, plain.seconds.to_bits()), (&query.items, query.seconds.to_bits()));
        assert!(plain.others.is_empty());
        assert_eq!(query.others.iter().map(|(speed, _)| speed.to_bits()).collect::<Vec<_>>(), SPEEDS.map(f32::to_bits)[1..]);
        // What was played faster is drawn out again.
        let [.., (_, slowest), (_, fastest)] = &query.others[..] else { panic!("0.95 and 1.05 come last") };
        assert!(slowest.len() < plain.items.len() && plain.items.len() < fastest.len(), "{} {}", slowest.len(), fastest.len());
    }

    #[test]
    fn a_query_lies_between_print_and_document_and_changes_neither() {
        let heard = recorded_for(&[(0, &tone(8))], true);
        let without = made(None, Some(recorded(&[(0, &tone(8))])), false).expect("made");
        let with = made(None, Some(heard.clone()), true).expect("made");
        let names = |made: &Made| made.files.iter().map(|file| file.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&with), Step::Fingerprint.slots());
        assert_eq!(names(&without), [PRINT, FILE]);
        assert_eq!((&with.files[0], &with.files[2]), (&without.files[0], &without.files[1]));
        assert_eq!((&with.summary, &with.settings), (&without.summary, &without.settings));
        let query = query_file::read(&with.files[1].bytes).expect("a query");
        assert_eq!(Ok(&query.print), file::read(&with.files[0].bytes).as_ref());
        assert_eq!(query.sounds[0], (1.0, heard.items));
        assert_eq!(query.sounds[1..], heard.others);
    }

    #[test]
    fn what_a_title_lacks_is_named_and_counted_as_absent() {
        let made = made(None, Some(recorded(&[(0, &tone(6))])), false).expect("made");
        let names: Vec<&str> = made.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, StepParams::Fingerprint { query: false, track: None }.slots());
        let summary = StepSummary::Fingerprint { pictures: None, blank: 0, bars: false, sound_seconds: Some(6) };
        assert_eq!(made.summary, summary);
        let document = FingerprintDocument::from_bytes(&made.files[1].bytes).expect("reads");
        assert_eq!(document.picture, PicturePrint::Missing(Reason::NoPicture));
        let bytes = &made.files[0].bytes;
        let print = file::read(bytes).expect("a print");
        // Whoever lets prints into the catalogue looks at no more than this.
        assert!(
            catalogue::is_print(bytes) && !catalogue::is_print(&bytes[1..]) && !catalogue::is_print(&bytes[..bytes.len() - 1])
        );
        assert!(
            print.frames.is_empty()
                && matches!(document.sound, SoundPrint::Heard { items, .. } if items as usize == print.sound.len())
        );
    }
}
