//! Speech to words with times: voice activity, then Whisper on windows cut where nobody speaks.
//! Reads model files; the sound comes in as samples, nothing is written.
//!
//! Everything is deterministic on one kind of CPU, however many cores there are: temperature 0, fixed beam and compute type,
//! one thread for a window, no text carried from one window to the next. [`Settings::key`] names all of it; of the
//! unit's key it is the version of the step `subtitles` that stands for it.

mod align;
mod ear;
mod guards;
mod lanes;
mod mel;
mod recogniser;
mod settings;
mod tokens;
mod vad;
mod whisper;
mod windows;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use showrunner_subtitles::{Evidence, Word, uncovered};

use crate::onnx::OnnxError;

pub use guards::DropReason;
pub use recogniser::Recogniser;
pub use settings::Settings;

/// Samples a second of everything heard here; one sample is one tick of the words' clock.
pub const SAMPLE_RATE: i64 = showrunner_subtitles::TICKS_PER_SECOND;

/// The files of the models, their digests already checked.
#[derive(Clone, Copy, Debug)]
pub struct Models<'a> {
    /// Folder of a Whisper model in CTranslate2's form: `model.bin`, `config.json`, `vocabulary.json`.
    pub whisper: &'a Path,
    /// Silero voice activity detector as ONNX.
    pub vad: &'a Path,
}

/// A stretch of the title, in sample ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First tick.
    pub start: i64,
    /// First tick after.
    pub end: i64,
}

/// What was said in a title.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    /// The language as Whisper names it (`en`); empty when nobody spoke and none was given.
    pub language: String,
    /// How sure the language is, 0 to 1; 1 when it was given.
    pub language_probability: f32,
    /// Whether the language was detected rather than given.
    pub language_detected: bool,
    /// What the windows in which something was said sound like: samples by language, each by how sure the model is.
    pub sounds_like: BTreeMap<String, f64>,
    /// Samples of those windows.
    pub sounding: f64,
    /// What was said, in order.
    pub segments: Vec<Segment>,
    /// What was recognised and not believed.
    pub dropped: Vec<Dropped>,
    /// Where there is a voice.
    pub speech: Vec<Span>,
    /// How often Whisper ran.
    pub windows: u32,
    /// Samples heard, silence put in for gaps included.
    pub samples: i64,
}

impl Transcript {
    /// All words in order.
    pub fn words(&self) -> Vec<Word> {
        self.segments.iter().flat_map(|segment| segment.words.iter().cloned()).collect()
    }

    /// What more than half of the speech sounds like, and its share, where that is another language than it is written down in.
    pub fn heard_instead(&self) -> Option<(&str, f64)> {
        let (language, most) = self.sounds_like.iter().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        // Of all that was heard: a language that is likeliest everywhere and likely nowhere is none.
        let share = most / self.sounding;
        (*language != self.language && share > 0.5).then_some((language.as_str(), share))
    }

    /// How likely each word is by the model itself, 0 to 1, in the order of [`Self::words`].
    pub fn sure(&self) -> impl Iterator<Item = f32> + '_ {
        self.segments.iter().flat_map(|segment| segment.sure.iter().copied())
    }

    /// What there is to go by about how many words are wrong.
    pub fn evidence(&self) -> Evidence {
        let voice: Vec<(i64, i64)> = self.speech.iter().map(|span| (span.start, span.end)).collect();
        Evidence::of(self.sure(), uncovered(&voice, &self.words()))
    }

    /// All words as running text.
    pub fn text(&self) -> String {
        showrunner_subtitles::joined(&self.words())
    }
}

/// A phrase as Whisper parts them.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// First tick.
    pub start: i64,
    /// First tick after.
    pub end: i64,
    /// Its words with their times.
    pub words: Vec<Word>,
    /// How likely each of them is by the model itself, 0 to 1.
    pub sure: Vec<f32>,
    /// Mean log probability of the tokens of the window it came from.
    pub avg_logprob: f32,
    /// Probability that the window it came from held no speech.
    pub no_speech: f32,
    /// Size of the window's text over its compressed size.
    pub compression: f32,
}

/// Text that was recognised and taken out, with the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropped {
    /// Where it would have stood.
    pub span: Span,
    /// Why it is not believed.
    pub reason: DropReason,
    /// The text.
    pub text: String,
}

/// Why speech could not be recognised.
#[derive(Debug, thiserror::Error)]
pub enum SpeechError {
    /// The model has no such language.
    #[error(
        "failed to recognise speech: the model {model} does not know the language {language:?}; name another model or leave the language out to have it detected"
    )]
    UnsupportedLanguage {
        /// The language asked for.
        language: String,
        /// The model's folder name.
        model: String,
    },
    /// A file of the Whisper model is missing or not what it should be.
    #[error("failed to load the Whisper model at {path}: {cause}")]
    Model {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The voice activity model or its runtime cannot be used.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The voice activity detector failed on this sound.
    #[error("failed to detect voice activity: {0}")]
    Vad(String),
    /// Whisper failed on this sound.
    #[error("failed to recognise speech at {seconds:.1} s: {cause}")]
    Engine {
        /// Where in the title.
        seconds: f64,
        /// What the engine said.
        cause: String,
    },
    /// The sound cannot be speech samples.
    #[error("failed to recognise speech: {0}")]
    Sound(String),
}

impl SpeechError {
    /// A stable name for status and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnsupportedLanguage { .. } => "UnsupportedLanguage",
            Self::Model { .. } | Self::Onnx(_) => "ModelUnusable",
            Self::Vad(_) | Self::Engine { .. } => "RecognitionFailed",
            Self::Sound(_) => "SoundUnusable",
        }
    }
}
