//! Hears one window: encodes, decodes, doubts, times the words; again from where the model broke off. No I/O.

use std::path::Path;

use showrunner_subtitles::Word;

use super::{
    Dropped, SAMPLE_RATE, Segment, Settings, Span, SpeechError,
    align::{by_characters, from_attention, sounding},
    guards::{doubt_segment, doubt_window},
    tokens::TokenWord,
    whisper::{Decoded, Encoded, Whisper},
    windows::Window,
};

/// So much voice after the last phrase means that the model broke off early.
const UNHEARD: i64 = SAMPLE_RATE / 2;
/// A pass over a window that gets no further than this is the last one.
const LEAST_PROGRESS: i64 = SAMPLE_RATE;
/// Most passes over one window.
const MOST_PASSES: u32 = 4;

/// The model and how it is used; many windows can be heard at once.
pub(super) struct Ear {
    whisper: Whisper,
    settings: Settings,
}

/// What was heard in a window.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) segments: Vec<Segment>,
    pub(super) dropped: Vec<Dropped>,
    /// How often the model ran.
    pub(super) passes: u32,
    /// What the window sounds like, how sure the model is, and of how many samples.
    pub(super) sounds_like: Option<(String, f32, usize)>,
}

impl Ear {
    pub(super) fn load(model: &Path, settings: Settings, lanes: usize) -> Result<Self, SpeechError> {
        Ok(Self { whisper: Whisper::load(model, &settings, lanes)?, settings })
    }

    /// The language as the model names it, for one that was asked for.
    pub(super) fn language_named(&self, asked: &str) -> Result<String, SpeechError> {
        self.whisper.language(asked)
    }

    /// A window as the model's encoder sees it.
    pub(super) fn encode(&self, window: &Window) -> Result<Encoded, SpeechError> {
        self.whisper.encode(&window.samples).map_err(|cause| failed(window, cause))
    }

    /// The likeliest language of a window and how likely it is.
    pub(super) fn language_of(&self, window: &Window, encoded: &Encoded) -> Result<(String, f32), SpeechError> {
        self.whisper.detect_language(encoded).map_err(|cause| failed(window, cause))
    }

    /// Hears all of a window; `encoded` spares its encoding where that was done already.
    pub(super) fn hear(&self, window: &Window, encoded: Option<Encoded>, language: &str) -> Result<Heard, SpeechError> {
        let mut heard = Heard::default();
        let mut encoded = encoded;
        let mut left: Option<Window> = None;
        for _ in 0..MOST_PASSES {
            let rest = left.as_ref().unwrap_or(window);
            if rest.is_empty() {
                break;
            }
            let seen = encoded.take().map_or_else(|| self.encode(rest), Ok)?;
            if heard.sounds_like.is_none() {
                let (language, probability) = self.language_of(rest, &seen)?;
                heard.sounds_like = Some((language, probability, rest.samples.len()));
            }
            let heard_to = self.pass(rest, &seen, language, &mut heard).map_err(|cause| failed(rest, cause))?;
            let Some(heard_to) = heard_to.filter(|&to| to >= LEAST_PROGRESS) else {
                break;
            };
            if rest.voice_after(heard_to) < UNHEARD {
                break;
            }
            left = Some(rest.rest(heard_to));
        }
        Ok(heard)
    }

    /// One pass over a window; the sample up to which it was heard, or `None` when nothing was.
    fn pass(&self, window: &Window, encoded: &Encoded, language: &str, heard: &mut Heard) -> Result<Option<i64>, String> {
        heard.passes += 1;
        let mut decoded = self.whisper.decode(encoded, language, false)?;
        if decoded.confidence.compression > self.settings.max_compression {
            decoded = self.whisper.decode(encoded, language, true)?;
        }
        let length = window.samples.len() as i64;
        if decoded.phrases.is_empty() {
            return Ok(None);
        }
        if let Some(reason) = doubt_window(decoded.confidence, &self.settings) {
            let span = Span { start: window.tick(0), end: window.end_in_piece(length - 1, length) };
            heard.dropped.push(Dropped { span, reason, text: decoded.text });
            return Ok(None);
        }
        Ok(Some(self.keep(window, encoded, &decoded, language, heard)))
    }

    /// Keeps the phrases of a window that are believed; the sample up to which the model listened.
    fn keep(&self, window: &Window, encoded: &Encoded, decoded: &Decoded, language: &str, heard: &mut Heard) -> i64 {
        let length = window.samples.len() as i64;
        let sample = |seconds: f64| ((seconds * SAMPLE_RATE as f64) as i64).clamp(0, length);
        let aligned = self.whisper.align(encoded, decoded, language);
        let runs = sounding(&window.samples, &window.voiced);
        let mut heard_to = 0;
        for (nth, phrase) in decoded.phrases.iter().enumerate() {
            if phrase.end.is_none() && nth > 0 {
                break; // broken off: the next pass begins with it
            }
            let span = Span { start: sample(phrase.start), end: phrase.end.map_or(length, sample) };
            heard_to = span.end;
            let times = match &aligned.starts {
                Some(starts) => from_attention(&phrase.words, starts, &runs, length),
                None => by_characters(&phrase.words, span, length),
            };
            let words: Vec<Word> = phrase
                .words
                .iter()
                .zip(&times)
                .map(|(word, time)| Word {
                    text: word.text.clone(),
                    start: window.tick(time.start),
                    end: window.end_in_piece(time.start, time.end),
                    glued: word.glued,
                })
                .collect();
            let (Some(first), Some(last), Some(begin), Some(end)) = (words.first(), words.last(), times.first(), times.last())
            else {
                continue;
            };
            let (start, stop) = (first.start, last.end.max(last.start));
            let text = showrunner_subtitles::joined(&words);
            let voice = window.voice_inside(begin.start.min(span.start), end.end.max(span.end));
            if let Some(reason) = doubt_segment(&text, voice) {
                heard.dropped.push(Dropped { span: Span { start, end: stop }, reason, text });
                continue;
            }
            // A word is right when all of it is.
            let sure = |word: &TokenWord| aligned.probabilities[word.first..word.first + word.count].iter().product();
            heard.segments.push(Segment {
                start,
                end: stop,
                words,
                sure: phrase.words.iter().map(sure).collect(),
                avg_logprob: decoded.confidence.avg_logprob,
                no_speech: decoded.confidence.no_speech,
                compression: decoded.confidence.compression,
            });
        }
        heard_to
    }
}

fn failed(window: &Window, cause: String) -> SpeechError {
    SpeechError::Engine { seconds: window.tick(0) as f64 / SAMPLE_RATE as f64, cause }
}
