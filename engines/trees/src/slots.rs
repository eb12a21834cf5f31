//! Makes every question of a model one comparison: `slot < threshold` for yes. Pure; no I/O.
//!
//! What a row gives is put into *slots* once, before any tree is walked. A slot is a feature as some splits see it: where it is absent
//! stands minus infinity for those who send it to yes, plus infinity for those who send it to no. Of a question about a set, or one
//! that no threshold answers, the slot holds the answer itself, minus or plus infinity. So trees know nothing of missing values and
//! categories, and a step down is a load and a comparison, without branches.

use std::collections::HashMap;

use crate::number::Number;
use crate::set::{CategorySet, ValueSet};
use crate::tree::{Absent, Question, Split};

/// A question, as trees ask it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ask<T> {
    pub(crate) threshold: T,
    pub(crate) slot: u32,
}

impl<T: Number> Ask<T> {
    #[inline]
    pub(crate) fn is_yes(&self, slots: &[T]) -> bool {
        slots[self.slot as usize] < self.threshold
    }

    /// The opposite, as no slot holds NaN. Which of the two a walk asks makes no difference but in time: half of it, each in its place.
    #[inline]
    pub(crate) fn is_no(&self, slots: &[T]) -> bool {
        slots[self.slot as usize] >= self.threshold
    }
}

/// The slots of a model. The first is always minus infinity: it says yes to all, which is how walks stay in a leaf.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    /// Where a slot is, while questions are placed.
    places: HashMap<Slot, u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Slot {
    feature: usize,
    holds: Holds,
    absent: Absent,
    absent_is_yes: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Holds {
    /// The feature's value.
    Value,
    /// The answer of a question that asks only whether the feature is there.
    Always(bool),
    /// The answers of questions about a set; about one value, by its bits, of zeros those of the positive one.
    Category(CategorySet),
    Member(ValueSet),
    Equals(u64),
}

impl Slots {
    pub(crate) fn new() -> Self {
        let yes = Slot { feature: 0, holds: Holds::Always(true), absent: Absent::Nan, absent_is_yes: true };
        Self { slots: vec![yes], places: HashMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The question of a split, in the precision of the model, with a slot of its own if none sees what it sees.
    pub(crate) fn place<T: Number>(&mut self, split: &Split) -> Ask<T> {
        let (holds, threshold) = match &split.question {
            // Nothing lies below minus infinity, where absent ones stand; and all lies at most at plus infinity.
            Question::Below(threshold) if *threshold == f64::NEG_INFINITY => (Holds::Always(false), T::default()),
            Question::AtMost(threshold) if *threshold == f64::INFINITY => (Holds::Always(true), T::default()),
            Question::Below(threshold) => (Holds::Value, T::of(*threshold)),
            Question::AtMost(threshold) => (Holds::Value, T::of(*threshold).above()),
            Question::Equals(value) => (Holds::Equals((value + 0.0).to_bits()), T::default()),
            Question::Category(set) => (Holds::Category(set.clone()), T::default()),
            Question::Member(set) => (Holds::Member(set.clone()), T::default()),
        };
        let slot = Slot { feature: split.feature, holds, absent: split.absent, absent_is_yes: split.absent_is_yes };
        let place = *self.places.entry(slot).or_insert_with_key(|slot| {
            self.slots.push(slot.clone());
            (self.slots.len() - 1) as u32
        });
        Ask { threshold, slot: place }
    }

    /// Forgets what is needed for placing only.
    pub(crate) fn settle(&mut self) {
        self.places = HashMap::new();
    }

    /// Puts a row into slots. `row` has all features, `filled` as many places as there are slots.
    #[inline]
    pub(crate) fn fill<T: Number, V: Number>(&self, row: &[V], filled: &mut [T]) {
        for (place, slot) in filled.iter_mut().zip(&self.slots) {
            let value = T::of(row[slot.feature].double()); // as the model sees it, so rounded where it compares single floats
            *place = match (&slot.holds, slot.absent) {
                (Holds::Value, Absent::Nan) if !value.double().is_nan() => value,
                _ => T::of(slot.seen(value.double())),
            };
        }
    }
}

impl Slot {
    fn seen(&self, value: f64) -> f64 {
        let absent = match self.absent {
            Absent::Nan => value.is_nan(),
            Absent::NanAndZero => value.is_nan() || value.abs() <= LIGHTGBM_ZERO,
            Absent::Never => false,
        };
        let value = if value.is_nan() { 0.0 } else { value };
        let yes = match &self.holds {
            _ if absent => self.absent_is_yes,
            Holds::Value => return value,
            Holds::Always(yes) => *yes,
            Holds::Category(set) => set.holds(value),
            Holds::Member(set) => set.holds(value),
            Holds::Equals(bits) => (value + 0.0).to_bits() == *bits,
        };
        if yes { f64::NEG_INFINITY } else { f64::INFINITY }
    }
}

/// What LightGBM takes for zero: the single float 1e-35 (`kZeroThreshold`).
pub(crate) const LIGHTGBM_ZERO: f64 = 1e-35f32 as f64;
