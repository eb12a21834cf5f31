//! How many words are likely wrong, told from how sure the model was of each, without knowing what was said. No I/O.
//!
//! A model that gives a word seven chances in ten is wrong about it three times in ten, more or less; how much more or less is a
//! matter of the model and the language, and is measured: [`Calibration`]. What was said and not heard is counted by the voice
//! that no word covers.
//!
//! The interval is what nineteen in twenty of the measured mixes lay within on each side, in square roots, where the scatter of a
//! rate is about the same for small and large ones; texts shorter than those are less certain by what chance adds.

use crate::{TICKS_PER_SECOND, Word};

/// Words that are said in a second of voice, where nobody knows better: what voice without words is counted by.
const WORDS_A_SECOND: f64 = 3.5;
/// A stretch of voice without a word that is shorter than this misses none: 0.8 s.
const LEAST_UNHEARD: i64 = TICKS_PER_SECOND * 4 / 5;
/// Chance's part, in roots of rates: 1.645 deviations (one in twenty beyond), each half the root of one over the words.
const CHANCE: f64 = 1.645 / 2.0;

/// What was measured of one model in one language.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Language, as the model names it.
    pub language: &'static str,
    /// Digest of the model's files.
    pub model: &'static str,
    /// Name of the method with the version of these figures.
    pub method: &'static str,
    /// Rate of wrong words by the share of doubt: points of a line that rises, in order.
    pub line: &'static [(f64, f64)],
    /// How far below and above the line nineteen mixes in twenty lie, in roots of rates.
    pub below: f64,
    /// See `below`.
    pub above: f64,
    /// Words of a mix, the median.
    pub words: f64,
}

/// A rate of wrong words: edits for each word that was said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The likeliest.
    pub rate: f64,
    /// One in twenty of the measured mixes had fewer.
    pub low: f64,
    /// One in twenty of the measured mixes had more.
    pub high: f64,
}

/// What is known of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Words heard, and those that were said where nothing was heard.
    pub words: f64,
    /// How many of them are wrong if the model is right about its own chances.
    pub doubted: f64,
}

impl Evidence {
    /// Of words with the model's probability of each, and ticks of voice that no word covers.
    pub fn of(probabilities: impl IntoIterator<Item = f32>, unheard: i64) -> Self {
        let missed = unheard.max(0) as f64 / TICKS_PER_SECOND as f64 * WORDS_A_SECOND;
        let start = Self { words: missed, doubted: missed };
        probabilities.into_iter().fold(start, |sum, probability| {
            // A probability that is none is no reason to believe the word.
            let sure = if probability.is_finite() { f64::from(probability).clamp(0.0, 1.0) } else { 0.0 };
            Self { words: sum.words + 1.0, doubted: sum.doubted + 1.0 - sure }
        })
    }

    /// Doubted words of all; `None` where nobody spoke.
    pub fn doubt(&self) -> Option<f64> {
        (self.words > 0.0).then(|| self.doubted / self.words)
    }
}

impl Calibration {
    /// The calibration for a model and language, if there is one.
    pub fn find(model: &str, language: &str) -> Option<&'static Self> {
        CALIBRATIONS.iter().find(|known| known.model == model && known.language == language)
    }

    /// The rate that such evidence goes with; `None` where nobody spoke.
    pub fn estimate(&self, evidence: Evidence) -> Option<Estimate> {
        let rate = self.rate(evidence.doubt()?);
        let chance = CHANCE * CHANCE * (1.0 / evidence.words - 1.0 / self.words).max(0.0);
        let reach = |measured: f64| (measured * measured + chance).sqrt();
        let low = (rate.sqrt() - reach(self.below)).max(0.0).powi(2);
        let high = (rate.sqrt() + reach(self.above)).powi(2);
        Some(Estimate { rate, low, high: high.min(1.0).max(rate) })
    }

    /// On the line; beyond its ends, at them.
    fn rate(&self, doubt: f64) -> f64 {
        let after = self.line.partition_point(|&(at, _)| at <= doubt);
        let (Some(&first), Some(&last)) = (self.line.first(), self.line.last()) else { return 1.0 };
        let Some(&(right, high)) = self.line.get(after) else { return last.1 };
        let Some(&(left, low)) = after.checked_sub(1).and_then(|before| self.line.get(before)) else { return first.1 };
        low + (high - low) * (doubt - left) / (right - left)
    }
}

/// Ticks of voice that no word covers, in stretches in which one would have been said; both in order.
///
/// Shorter ones are breaths and the ends of words, after which a detector stays on for a while.
pub fn uncovered(voice: &[(i64, i64)], words: &[Word]) -> i64 {
    let holes = |&(start, end): &(i64, i64)| -> i64 {
        let from = words.partition_point(|word| word.end <= start);
        let inside = words[from..].iter().take_while(|word| word.start < end).map(|word| (word.start, word.end));
        let (mut at, mut sum) = (start, 0);
        for (first, last) in inside.chain([(end, end)]) {
            sum += Some(first - at).filter(|hole| *hole >= LEAST_UNHEARD).unwrap_or_default();
            at = at.max(last);
        }
        sum
    };
    voice.iter().map(holes).sum()
}

/// What was measured; `bench/media/fit_speech.py` writes the figures.
pub const CALIBRATIONS: &[Calibration] = &[Calibration {
    language: "en",
    model: "sha256:9e01400bdfe32e302a7fd2a29eca702eb41e065d5aa61ba07189127842b2c145",
    method: "word-probabilities/1",
    line: &[
        (0.0, 0.0),
        (0.02, 0.0001),
        (0.05, 0.0165),
        (0.1, 0.0677),
        (0.15, 0.1306),
        (0.2, 0.1995),
        (0.3, 0.3477),
        (0.4, 0.5045),
        (0.6, 0.8328),
        (0.8, 1.0),
        (1.0, 1.0),
    ],
    below: 0.0641,
    above: 0.0874,
    words: 252.5,
}];

#[cfg(test)]
mod tests {
    use super::*;

    const MADE_UP: Calibration = Calibration {
        language: "en",
        model: "sha256:0",
        method: "made-up/1",
        line: &[(0.02, 0.01), (0.12, 0.11), (0.32, 0.51)],
        below: 0.05,
        above: 0.1,
        words: 200.0,
    };

    fn evidence(words: usize, sure: f32) -> Evidence {
        Evidence::of(std::iter::repeat_n(sure, words), 0)
    }

    #[test]
    fn the_rate_follows_the_line_and_ends_with_it() {
        let rate = |sure| MADE_UP.estimate(evidence(200, sure)).unwrap().rate;
        for (sure, wanted) in [(1.0, 0.01), (0.98, 0.01), (0.93, 0.06), (0.78, 0.31), (0.5, 0.51)] {
            assert!((rate(sure) - wanted).abs() < 1e-6, "{sure}: {}", rate(sure));
        }
    }

    #[test]
    fn long_texts_are_as_certain_as_the_mixes_and_short_ones_are_less() {
        let of = |words| MADE_UP.estimate(evidence(words, 0.88)).unwrap();
        let root = 0.11_f64.sqrt();
        for words in [200, 20_000] {
            assert!((of(words).low - (root - 0.05).powi(2)).abs() < 1e-6 && (of(words).high - (root + 0.1).powi(2)).abs() < 1e-6);
        }
        // Of ten words a root of rate scatters by half the root of a tenth, 200 words' worth of it measured already.
        let scatter = (0.01_f64 + (1.645_f64 / 2.0).powi(2) * (0.1 - 1.0 / 200.0)).sqrt();
        assert!((of(10).high - (root + scatter).powi(2)).abs() < 1e-6, "{:?}", of(10));
        assert!(of(10).low < of(200).low);
        assert_eq!((of(1).low, of(1).high), (0.0, 1.0), "of one word nothing is known");
    }

    #[test]
    fn a_voice_without_words_counts_as_words_that_are_missing() {
        let whole = Evidence::of([1.0; 35], 0);
        let half = Evidence::of([1.0; 35], 10 * TICKS_PER_SECOND);
        assert_eq!((whole.doubt(), half.doubt()), (Some(0.0), Some(0.5)));
        assert_eq!(Evidence::of([], 0).doubt(), None);
        assert_eq!(Evidence::of([], TICKS_PER_SECOND).doubt(), Some(1.0));
    }

    #[test]
    fn a_probability_that_is_none_is_a_doubt() {
        assert_eq!(Evidence::of([f32::NAN, -1.0, 2.0], 0), Evidence { words: 3.0, doubted: 2.0 });
    }

    #[test]
    fn only_a_voice_that_goes_on_without_words_misses_some() {
        let tenths = |from: i64, to: i64| (from * TICKS_PER_SECOND / 10, to * TICKS_PER_SECOND / 10);
        let word = |from, to| Word::new("a", tenths(from, to).0, tenths(from, to).1);
        let words = [word(0, 5), word(12, 20), word(30, 31), word(45, 50)];
        // Seven tenths, ten and fourteen without a word; nothing but a breath; all of a second; nothing at all.
        let voice = [tenths(0, 48), tenths(55, 60), tenths(70, 80)];
        assert_eq!(uncovered(&voice, &words), (10 + 14 + 10) * TICKS_PER_SECOND / 10);
        assert_eq!(uncovered(&voice[..1], &[]), 48 * TICKS_PER_SECOND / 10);
        assert_eq!(uncovered(&[], &words), 0);
    }

    #[test]
    fn every_calibration_can_be_used() {
        assert!(!CALIBRATIONS.is_empty());
        for known in CALIBRATIONS {
            assert!(known.line.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1), "{}", known.method);
            assert!(known.below >= 0.0 && known.above >= 0.0 && known.words > 0.0, "{}", known.method);
            assert_eq!(Calibration::find(known.model, known.language), Some(known));
        }
        assert_eq!(Calibration::find("sha256:other", "en"), None);
    }
}
