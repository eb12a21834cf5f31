//! Everything that decides which words come out. No I/O.

use serde::Serialize;
use showrunner_contracts::step::Step;

/// Settings of recognition; the default is what ships and what is measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// Hypotheses kept by the beam search.
    pub beam_size: usize,
    /// Voice probability at which speech begins.
    pub voice_on: f32,
    /// Voice probability below which speech may end; lower than `voice_on`, so that a breath does not cut a word.
    pub voice_off: f32,
    /// Silence that ends a stretch of speech, in milliseconds.
    pub silence_ms: i64,
    /// Shorter stretches of voice are no speech, in milliseconds.
    pub speech_ms: i64,
    /// Sound kept on both sides of speech, in milliseconds.
    pub padding_ms: i64,
    /// Text that shrinks more than this under compression repeats itself (Whisper's own: 2.4).
    pub max_compression: f32,
    /// Less certain text than this is not believed (Whisper's own: -1.0).
    pub min_avg_logprob: f32,
    /// A window more likely than this to hold no speech, and uncertain besides, is silence (Whisper's own: 0.6).
    pub max_no_speech: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            beam_size: 5,
            voice_on: 0.5,
            voice_off: 0.35,
            silence_ms: 400,
            speech_ms: 200,
            padding_ms: 200,
            max_compression: 2.4,
            min_avg_logprob: -1.0,
            max_no_speech: 0.6,
        }
    }
}

impl Settings {
    /// The settings and what is fixed in code, as text that is equal only where results are. A step's result tells it; the key
    /// that the result is kept under holds the step's version only, so whoever changes a default raises that.
    #[expect(clippy::missing_panics_doc, reason = "it cannot: numbers in named fields are always JSON")]
    pub fn key(&self) -> String {
        let settings = serde_json::to_string(self).expect("numbers in named fields are always JSON");
        format!("speech/{} int8 temperature=0 {settings}", Step::Subtitles.algorithm_version())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_other_setting_is_another_key() {
        let usual = Settings::default();
        let other = Settings { beam_size: 1, ..usual.clone() };
        assert_ne!(usual.key(), other.key());
        assert_eq!(usual.key(), Settings::default().key());
    }
}
