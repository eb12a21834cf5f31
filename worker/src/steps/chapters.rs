//! The step `chapters`: the picture now and then, the sound in slices, and from both and the shots the title's parts, as files
//! that players and tools read. No I/O.
//!
//! Looking and listening happen in passes of their own, side by side; the step is done when both are over.

use super::{Longest, StepFailed, pretty};
use crate::{
    commit::{JSON, Made, StepFile},
    failure::internal,
    fanout::{StepError, Viewer},
    media,
    picture::Picture,
    sound::{self, Chunk},
};
use showrunner_chapters::{ALGORITHM, Chapter, Ear, Look, Shot, Sound, Title, Wanted, chapters, write};
use showrunner_contracts::{
    Document as _,
    documents::{self, ChaptersDocument, ShotsDocument, Transition},
    manifest::StepSummary,
    result::Failure,
    step::Step,
    time::Span,
};
use showrunner_timeline::{Ticks, TimeBase};
use std::collections::BTreeMap;

/// The document's file name.
pub const FILE: &str = "chapters.json";
/// Time between two looks at the picture; doubled whenever there are [`MOST_LOOKS`] of them.
const LOOK_EVERY_MILLIS: i64 = 250;
/// Looks that are kept (12 MiB): two hours of them at four a second.
const MOST_LOOKS: usize = 32_768;
/// From here on a chapter is said to begin at rest.
const AT_REST: f32 = 0.5;

/// Looks at the picture now and then.
pub struct Sight {
    every: Ticks,
    next: Ticks,
    looks: Vec<(Ticks, Look)>,
    longest: Longest,
}

impl Sight {
    /// For frames timed in `base`.
    pub fn new(base: TimeBase, longest: Longest) -> Self {
        let every = Ticks(base.from_millis(LOOK_EVERY_MILLIS).0.max(1));
        Self { every, next: Ticks::ZERO, looks: Vec::new(), longest }
    }

    /// All that was seen, in order.
    pub fn finish(self) -> Vec<(Ticks, Look)> {
        self.looks
    }

    fn keep(&mut self, at: Ticks, look: Look) {
        if self.looks.len() == MOST_LOOKS {
            let mut nth = 0;
            self.looks.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
            self.every = self.every.saturating_add(self.every);
        }
        self.looks.push((at, look));
        self.next = at.saturating_add(self.every);
    }
}

impl Viewer for Sight {
    fn frame(&mut self, picture: &Picture) -> Result<(), StepError> {
        let Picture { pts, width, height, ref rgb } = *picture;
        self.longest.check(pts).map_err(StepFailed)?;
        if pts >= self.next {
            let look = Look::of(rgb, width as usize, height as usize).map_err(|error| StepFailed(internal(error)))?;
            self.keep(pts, look);
        }
        Ok(())
    }
}

/// Listens to the sound.
pub struct Hearing {
    ear: Ear,
    heard: i64,
    longest: Longest,
}

impl Hearing {
    /// For sound as the decoder hands it over; `longest` in samples.
    pub fn new(longest: Longest) -> Self {
        Self { ear: Ear::new(sound::SAMPLE_RATE), heard: 0, longest }
    }

    /// The next stretch of sound; a jump since the one before is silence.
    pub fn hear(&mut self, chunk: &Chunk<'_>) -> Result<(), StepError> {
        self.longest.check(chunk.start).map_err(StepFailed)?;
        self.ear.rest(u64::try_from(chunk.start.0 - self.heard).unwrap_or_default());
        self.ear.hear(chunk.samples);
        self.heard = chunk.start.0 + chunk.samples.len() as i64;
        Ok(())
    }

    /// All that was heard, in slices from the title's beginning.
    pub fn finish(self) -> Vec<Sound> {
        self.ear.finish()
    }
}

/// The step's files and figures. No `sounds`: the title has none.
pub fn made(shots: &ShotsDocument, base: TimeBase, looks: &[(Ticks, Look)], sounds: &[Sound]) -> Result<Made, Failure> {
    if shots.time_base != media::base(base) {
        return Err(internal("the given shots are timed in another base than the title; they are of another source"));
    }
    let found: Vec<Shot> = shots.shots.iter().map(shot).collect();
    let title = Title { base, shots: &found, looks, sounds };
    let wanted = Wanted::of(base.to_seconds(Ticks(shots.duration)));
    let parts = chapters(&title, wanted);
    let document = ChaptersDocument {
        schema: ChaptersDocument::SCHEMA.to_owned(),
        time_base: shots.time_base,
        chapters: parts.iter().enumerate().map(told).collect(),
    };
    let file = |name: &str, media_type, bytes| StepFile { name: name.to_owned(), media_type, bytes };
    Ok(Made {
        files: vec![
            file("chapters.vtt", "text/vtt", write::webvtt(&parts, base).into_bytes()),
            file("chapters.hls.json", JSON, write::hls(&parts, base).into_bytes()),
            file("chapters.ffmeta", "text/plain", write::ffmetadata(&parts, base).into_bytes()),
            file(FILE, JSON, pretty(&document)),
        ],
        summary: StepSummary::Chapters {
            chapters: parts.len() as u32,
            at_rest: parts.iter().skip(1).filter(|part| part.rest >= AT_REST).count() as u32,
            heard: !sounds.is_empty(),
        },
        settings: BTreeMap::from([("method".to_owned(), format!("{ALGORITHM}/{}", Step::Chapters.algorithm_version()))]),
    })
}

fn shot(shot: &documents::Shot) -> Shot {
    let from_flat = matches!(shot.begins_with, Transition::Fade(_));
    Shot { start: Ticks(shot.span.start), end: Ticks(shot.span.end), from_flat }
}

fn told((index, chapter): (usize, &Chapter)) -> documents::Chapter {
    let rounded = |share: f32| (f64::from(share) * 1_000.0).round() / 1_000.0;
    documents::Chapter {
        span: Span { start: chapter.start.0, end: chapter.end.0 },
        shot: chapter.shot as u32,
        title: write::name(index),
        clarity: rounded(chapter.clarity),
        rest: rounded(chapter.rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Longest = Longest { ticks: Ticks(i64::MAX), seconds: u32::MAX };

    fn frame(pts: i64, shade: u8) -> Picture {
        Picture { pts: Ticks(pts), width: 8, height: 8, rgb: vec![shade; 192] }
    }

    #[test]
    fn looks_are_bounded_however_long_a_title_is() {
        let mut sight = Sight::new(TimeBase::MILLIS, LONGEST);
        // Some 9 hours at four frames a second, each of which is due.
        for nth in 0..4 * MOST_LOOKS as i64 {
            sight.frame(&frame(nth * 250, 0)).unwrap();
        }
        let looks = sight.finish();
        assert!(looks.len() <= MOST_LOOKS && looks.len() > MOST_LOOKS / 2, "{}", looks.len());
        let gaps: Vec<i64> = looks.windows(2).map(|pair| pair[1].0.0 - pair[0].0.0).collect();
        assert!(gaps.iter().all(|gap| (1_000..=2_000).contains(gap)), "they are spread evenly");
    }

    #[test]
    fn a_gap_in_the_sound_is_silence_of_its_length() {
        let mut hearing = Hearing::new(LONGEST);
        hearing.hear(&Chunk { start: Ticks(8_000), samples: &[0.5; 4_000] }).unwrap();
        hearing.hear(&Chunk { start: Ticks(20_000), samples: &[0.5; 4_000] }).unwrap();
        let levels: Vec<bool> = hearing.finish().iter().map(|slice| slice.level > -10.0).collect();
        assert_eq!(levels, [false, false, true, false, false, true]);
    }

    #[test]
    fn a_title_becomes_four_files_that_name_the_same_starts() {
        let shots = ShotsDocument {
            schema: ShotsDocument::SCHEMA.to_owned(),
            time_base: media::base(TimeBase::MILLIS),
            duration: 120_000,
            shots: (0..12)
                .map(|n| documents::Shot {
                    span: Span { start: n * 10_000, end: (n + 1) * 10_000 },
                    begins_with: if n == 0 { Transition::Start } else { Transition::Cut },
                    still: None,
                })
                .collect(),
            ends_with_fade: None,
        };
        let looks: Vec<(Ticks, Look)> =
            (0..240).map(|n| (Ticks(n * 500), Look::of(&frame(0, if n < 100 { 40 } else { 200 }).rgb, 8, 8).unwrap())).collect();
        let made = made(&shots, TimeBase::MILLIS, &looks, &[]).unwrap();
        let names: Vec<&str> = made.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, Step::Chapters.slots());
        assert_eq!(made.summary, StepSummary::Chapters { chapters: 2, at_rest: 0, heard: false });
        let text = |nth: usize| String::from_utf8(made.files[nth].bytes.clone()).unwrap();
        assert!(text(0).contains("00:00:50.000 --> 00:02:00.000"), "{}", text(0));
        assert!(text(1).contains(r#""start-time": 50.000"#) && text(2).contains("START=50000"));
        let document = ChaptersDocument::from_bytes(&made.files[3].bytes).unwrap();
        assert_eq!((document.chapters[1].span.start, document.chapters[1].shot), (50_000, 5));
    }

    #[test]
    fn shots_of_another_source_are_refused() {
        let other = ShotsDocument {
            schema: ShotsDocument::SCHEMA.to_owned(),
            time_base: media::base(TimeBase::MPEG),
            duration: 0,
            shots: Vec::new(),
            ends_with_fade: None,
        };
        assert!(made(&other, TimeBase::MILLIS, &[], &[]).is_err());
    }
}
