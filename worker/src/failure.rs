//! From what went wrong, in the words of each room, to the contract's reasons. No I/O.

use crate::{picture::DecodeError, probe::Refusal, speech::SpeechError};
use showrunner_contracts::result::{Failure, Reason};
use std::fmt::Display;

/// A fault of ours, with what is known of it.
pub fn internal(message: impl Display) -> Failure {
    Failure::new(Reason::Internal, &message.to_string())
}

/// What a panic left behind, as far as it is text.
pub fn of_panic(payload: &(dyn std::any::Any + Send)) -> Failure {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    internal(format_args!("failed by a fault of the worker's own ({}); please report it", text.unwrap_or("no message")))
}

/// Why a source is refused.
pub fn of_refusal(refusal: &Refusal) -> Failure {
    Failure::new(refusal.reason(), &refusal.to_string())
}

/// Why a decoder gave no result. A step that stopped it left its own failure; this is for all others.
pub fn of_decode(error: &DecodeError) -> Failure {
    match error {
        DecodeError::Refused(refusal) => of_refusal(refusal),
        DecodeError::Stopped(_) => internal(error),
    }
}

/// Why speech was not recognised.
pub fn of_speech(error: &SpeechError) -> Failure {
    let reason = match error {
        SpeechError::UnsupportedLanguage { .. } => Reason::LanguageUnsupported,
        SpeechError::Sound(_) => Reason::SourceTruncated,
        SpeechError::Model { .. } | SpeechError::Onnx(_) => Reason::ModelMissing,
        SpeechError::Vad(_) | SpeechError::Engine { .. } => Reason::Internal,
    };
    Failure::new(reason, &error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_either_kind_of_text_is_quoted_and_is_our_fault() {
        for payload in
            [Box::new("index out of bounds") as Box<dyn std::any::Any + Send>, Box::new("index out of bounds".to_owned())]
        {
            let failure = of_panic(payload.as_ref());
            assert_eq!(failure.reason, Reason::Internal);
            assert!(failure.message.contains("index out of bounds"), "{}", failure.message);
        }
        assert_eq!(of_panic(&7_u8).reason, Reason::Internal);
    }
}
