//! What Whisper makes up when nobody speaks, and how it is told from speech. No I/O.
//!
//! Sources: the thresholds of Whisper's own `transcribe`; the phrases are those reported again and again for silence and
//! music (whisper.cpp 1507, faster-whisper 621).

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};
use showrunner_subtitles::wer::normalised;

use super::Settings;

/// The same word so often in a row is a decoder going round in circles.
const ROUND_IN_CIRCLES: usize = 8;

/// Whole segments that subtitles on the internet are full of and that nobody said.
const NEVER_SAID: &[&str] = &[
    "thanks for watching",
    "thank you for watching",
    "thank you so much for watching",
    "please subscribe",
    "please subscribe to my channel",
    "like and subscribe",
    "subtitles by the amara org community",
    "subtitles by amara org",
    "transcription by castingwords",
    "transcribed by https otter ai",
    "untertitel der amara org community",
    "untertitel im auftrag des zdf für funk 2017",
    "sous titres réalisés par la communauté d amara org",
    "subtítulos realizados por la comunidad de amara org",
    "sottotitoli creati dalla comunità amara org",
    "legendas pela comunidade amara org",
    "ご視聴ありがとうございました",
];

/// Why recognised text is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, strum::IntoStaticStr)]
pub enum DropReason {
    /// The window most likely holds no speech.
    NoSpeech,
    /// The model itself was not sure of it.
    Uncertain,
    /// The text repeats itself as speech does not.
    Repetitive,
    /// A phrase the model is known to make up.
    KnownPhrase,
    /// There is no voice where it should have been said.
    NoVoice,
}

/// How sure the model was of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Confidence {
    pub(super) avg_logprob: f32,
    pub(super) no_speech: f32,
    pub(super) compression: f32,
}

/// Why a whole window is not believed, if so.
pub(super) fn doubt_window(confidence: Confidence, settings: &Settings) -> Option<DropReason> {
    if confidence.compression > settings.max_compression {
        Some(DropReason::Repetitive)
    } else if confidence.avg_logprob < settings.min_avg_logprob {
        if confidence.no_speech > settings.max_no_speech { Some(DropReason::NoSpeech) } else { Some(DropReason::Uncertain) }
    } else {
        None
    }
}

/// Why a segment is not believed, if so; `voice` is how many samples of voice lie in its span.
pub(super) fn doubt_segment(text: &str, voice: i64) -> Option<DropReason> {
    if voice <= 0 {
        return Some(DropReason::NoVoice);
    }
    let words = normalised(text);
    if NEVER_SAID.contains(&words.join(" ").as_str()) {
        return Some(DropReason::KnownPhrase);
    }
    let circles = words.windows(ROUND_IN_CIRCLES).any(|part| part.iter().all(|word| *word == part[0]));
    circles.then_some(DropReason::Repetitive)
}

/// Size of the text over its size when compressed by zlib; 0 for no text.
pub(super) fn compression(text: &str) -> f32 {
    if text.is_empty() {
        return 0.0;
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).expect("writing to memory cannot fail");
    text.len() as f32 / compressed.len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confidence(avg_logprob: f32, no_speech: f32, text: &str) -> Confidence {
        Confidence { avg_logprob, no_speech, compression: compression(text) }
    }

    #[test]
    fn plain_speech_is_believed() {
        let text = "It was the epoch of belief, it was the epoch of incredulity.";
        assert_eq!(doubt_window(confidence(-0.2, 0.7, text), &Settings::default()), None);
        assert_eq!(doubt_segment(text, 1), None);
    }

    #[test]
    fn text_that_repeats_itself_is_not() {
        let text = "I'm going to go. ".repeat(20);
        assert_eq!(doubt_window(confidence(-0.1, 0.0, &text), &Settings::default()), Some(DropReason::Repetitive));
        assert_eq!(doubt_segment(&"la ".repeat(9), 1), Some(DropReason::Repetitive));
    }

    #[test]
    fn an_unsure_window_is_dropped_and_named_by_why() {
        assert_eq!(doubt_window(confidence(-1.2, 0.9, "you"), &Settings::default()), Some(DropReason::NoSpeech));
        assert_eq!(doubt_window(confidence(-1.2, 0.1, "you"), &Settings::default()), Some(DropReason::Uncertain));
    }

    #[test]
    fn a_phrase_nobody_said_is_dropped_whatever_its_marks() {
        assert_eq!(doubt_segment(" Thanks for watching!", 1), Some(DropReason::KnownPhrase));
        assert_eq!(doubt_segment("Thanks for watching over me.", 1), None);
    }

    #[test]
    fn text_without_a_voice_is_dropped() {
        assert_eq!(doubt_segment("Hello.", 0), Some(DropReason::NoVoice));
    }
}
