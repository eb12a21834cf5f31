//! Sets that splits ask about: of categories, and of values. Shared, so that a tree is copied without them. Pure; no I/O.

use std::sync::Arc;

/// Categories by number, in words of 32 of which only those that hold any are kept: as small as the file that told them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CategorySet {
    /// Number of the word and its bits, ascending.
    words: Arc<[(u32, u32)]>,
    /// Whether -0.5 is category 0, as where a language's cast cuts fractions off, or none.
    cuts_fractions: bool,
}

impl CategorySet {
    /// XGBoost's: a value below 0 is no category (`common::Decision`, `InvalidCat`).
    pub(crate) fn of_categories(mut categories: Vec<u32>) -> Self {
        categories.sort_unstable();
        let mut words: Vec<(u32, u32)> = Vec::new();
        for category in categories {
            match words.last_mut() {
                Some((word, bits)) if *word == category / 32 => *bits |= 1 << (category % 32),
                _ => words.push((category / 32, 1 << (category % 32))),
            }
        }
        Self { words: words.into(), cuts_fractions: false }
    }

    /// LightGBM's: words from number 0 on; a value is cast to an integer first (`Tree::CategoricalDecision`).
    pub(crate) fn of_words(words: &[u32]) -> Self {
        let words = (0..).zip(words.iter().copied()).filter(|(_, bits)| *bits != 0).collect();
        Self { words, cuts_fractions: true }
    }

    pub(crate) fn holds(&self, value: f64) -> bool {
        let whole = if self.cuts_fractions { value.trunc() } else { value.floor() };
        if !(0.0..=f64::from(u32::MAX)).contains(&whole) {
            return false;
        }
        let category = whole as u32;
        match self.words.binary_search_by_key(&(category / 32), |(word, _)| *word) {
            Ok(at) => self.words[at].1 >> (category % 32) & 1 == 1,
            Err(_) => false,
        }
    }
}

/// Values, each meant exactly: ONNX's `BRANCH_MEMBER`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ValueSet {
    /// Bits of the values, ascending as numbers; zero has one sign only.
    bits: Arc<[u64]>,
}

impl ValueSet {
    /// NaN is never a member: it is absent.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.retain(|value| !value.is_nan());
        values.sort_unstable_by(f64::total_cmp);
        Self { bits: values.into_iter().map(|value| (value + 0.0).to_bits()).collect() }
    }

    pub(crate) fn holds(&self, value: f64) -> bool {
        self.bits.binary_search_by(|bits| f64::from_bits(*bits).total_cmp(&(value + 0.0))).is_ok()
    }
}
