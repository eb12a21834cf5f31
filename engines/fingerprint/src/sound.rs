//! From samples to Chromaprint's items, at a speed. Pure arithmetic; no I/O.

use std::fmt;

use rusty_chromaprint::{Configuration, Fingerprinter};

/// Samples a second that Chromaprint works with, one channel.
pub const SAMPLE_RATE: u32 = 11_025;
/// From one item of a print to the next, in seconds: a third of 4096 samples, in whole samples.
pub const ITEM_SECONDS: f32 = 1365.0 / SAMPLE_RATE as f32;
/// The speeds that a query's sound is tried at: an item bears half a step between them.
pub const SPEEDS: [f32; 11] = [1.0, 0.99, 1.01, 0.98, 1.02, 0.97, 1.03, 0.96, 1.04, 0.95, 1.05];

/// Items in half a second.
const HALF_SECOND: usize = 4;
/// A sound that stands still changes this many bits of an item in a second at most; speech and music change eight and more.
const STEADY: u32 = 4;

/// Sampling rates that an [`Ear`] takes.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=192_000;

/// The speed asked for is none that a title is played at, or the rate none that sound is sampled at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarError {
    /// Speed asked for.
    pub speed: f32,
    /// Samples a second.
    pub rate: u32,
}

impl fmt::Display for EarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { speed, rate } = self;
        let (least, most) = RATES.into_inner();
        write!(
            f,
            "failed to hear a sound at {speed} times its speed, {rate} samples a second: 0.5 to 2, and {least} to {most}, are possible"
        )
    }
}

impl std::error::Error for EarError {}

/// Hears a title's sound as it was before it was played so many times faster, pitch and all.
pub struct Ear(Fingerprinter);

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ear")
    }
}

impl Ear {
    /// For samples at [`SAMPLE_RATE`].
    ///
    /// # Errors
    /// [`EarError`] for a speed outside 0.5 to 2.
    pub fn new(speed: f32) -> Result<Self, EarError> {
        Self::sampled(SAMPLE_RATE, speed)
    }

    /// For samples at another rate.
    ///
    /// # Errors
    /// [`EarError`] for a speed outside 0.5 to 2, or a rate outside 8000 to 192000.
    pub fn sampled(rate: u32, speed: f32) -> Result<Self, EarError> {
        let error = EarError { speed, rate };
        if !(0.5..=2.0).contains(&speed) || !RATES.contains(&rate) {
            return Err(error);
        }
        let mut printer = Fingerprinter::new(&Configuration::preset_test2());
        // Said to have been sampled more slowly, it is drawn out: the resampler that is there anyway undoes the speed.
        let rate = (rate as f32 / speed).round() as u32;
        printer.start(rate, 1).map_err(|_| error)?;
        Ok(Self(printer))
    }

    /// Takes the next samples: one channel, as many a second as was said.
    pub fn hear(&mut self, samples: &[i16]) {
        self.0.consume(samples);
    }

    /// What was heard.
    pub fn finish(mut self) -> Vec<u32> {
        self.0.finish();
        self.0.fingerprint().to_vec()
    }
}

/// Whether the item at `at` says something: silence, hum and steady tones repeat theirs, but for a bit here and there.
pub(crate) fn is_telling(items: &[u32], at: usize) -> bool {
    let moves = |later: usize| items.get(at + later).is_some_and(|item| (item ^ items[at]).count_ones() > STEADY);
    moves(HALF_SECOND) || moves(2 * HALF_SECOND)
}
