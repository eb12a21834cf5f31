//! The steps: each takes what the decoders hand over and makes its files. No I/O but what a step says itself.

pub mod chapters;
pub mod duplicates;
pub mod fingerprint;
pub mod jpeg;
pub mod moderation;
pub mod picture_model;
pub mod quality;
pub mod sheet;
pub mod shots;
pub mod sprite;
pub mod stills;
pub mod subtitles;
pub mod thumbnails;

use crate::{failure::internal, fanout::StepError};
use showrunner_contracts::{
    Document,
    result::{Failure, Reason},
};
use showrunner_timeline::{Rounding, Ticks, TimeBase};

/// When part `part` of a second that is divided in `parts` begins, counted from the title's beginning: the first tick that is not before.
pub fn part_begins(base: TimeBase, part: i64, parts: u8) -> Ticks {
    let in_parts = TimeBase::new(1, u32::from(parts.max(1))).expect("neither is 0");
    in_parts.rescale(Ticks(part), base, Rounding::Ceil).unwrap_or(Ticks(i64::MAX))
}

/// A step's failure on its way through the decoder that it stops.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub struct StepFailed(pub Failure);

/// The failure inside an error that a step gave to a decoder; anything else is a fault of ours.
pub fn failure_in(error: StepError) -> Failure {
    match error.downcast::<StepFailed>() {
        Ok(failed) => failed.0,
        Err(other) => internal(other),
    }
}

/// A document as people and machines read it: indented, with a newline at its end.
pub fn pretty(document: &impl Document) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(document).expect("our documents have string keys and no failing serializers");
    bytes.push(b'\n');
    bytes
}

/// To three decimals, as documents state seconds and shares.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// Longest title an order accepts, in ticks: headers may say anything, so the frames are held against it, too.
#[derive(Clone, Copy, Debug)]
pub struct Longest {
    /// In ticks of what is counted.
    pub ticks: Ticks,
    /// In seconds, for the message.
    pub seconds: u32,
}

impl Longest {
    /// Refuses a picture or sound after the end.
    pub fn check(self, at: Ticks) -> Result<(), Failure> {
        if at <= self.ticks {
            return Ok(());
        }
        let message = format!(
            "failed to take in the source: it is longer than the limit of {} s; raise the limit or cut the title",
            self.seconds
        );
        Err(Failure::new(Reason::SourceTooLarge, &message))
    }
}
