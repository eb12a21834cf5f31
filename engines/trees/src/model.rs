//! A model: read, asked for margins and predictions. Pure arithmetic; no I/O.

use crate::error::{Limits, LoadError, RowError};
use crate::forest::Forest;
use crate::link::Link;
use crate::number::Number;
use crate::read::{self, Draft, Format};

/// How the leaves that a row reaches become a margin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combine {
    /// The base, and to it one leaf after the other.
    OntoBase,
    /// One leaf after the other, their sum by so many rounds, and the base.
    Average { rounds: usize },
    /// The base, and the least leaf.
    Least,
    /// The base, and the greatest leaf.
    Greatest,
}

impl Combine {
    /// What leaves are added to, or compared with.
    fn start<T: Number>(self, base: T) -> T {
        match self {
            Self::OntoBase => base,
            Self::Average { .. } => T::default(),
            Self::Least => T::of(f64::INFINITY),
            Self::Greatest => T::of(f64::NEG_INFINITY),
        }
    }

    fn finish(self, sum: f64, base: f64) -> f64 {
        match self {
            Self::OntoBase => sum,
            Self::Average { rounds } => sum / rounds as f64 + base,
            // Where no tree names an output, nothing was compared.
            Self::Least | Self::Greatest => base + if sum.is_infinite() { 0.0 } else { sum },
        }
    }
}

/// In which numbers a model compares and adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    Single,
    Double,
}

/// What a classifier calls its classes, in the order of its outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// 0, 1, 2 and so on.
    Numbers,
    /// Numbers of its own.
    Integers(Vec<i64>),
    /// Texts.
    Texts(Vec<String>),
}

/// A tree ensemble.
///
/// All trees of the file count, as the original's `predict` counts them for a model loaded from that file. XGBoost saves what early
/// stopping found superfluous ([`Model::best_round`] tells, [`Model::first_rounds`] cuts it off); LightGBM does not.
#[derive(Clone, Debug)]
pub struct Model {
    draft: Draft,
    forest: Precise,
}

#[derive(Clone, Debug)]
enum Precise {
    Single(Forest<f32>),
    Double(Forest<f64>),
}

/// Room to work in. It grows at the first call for a model and is used again from then on, by one caller at a time.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    single: Room<f32>,
    double: Room<f64>,
    pub(crate) explaining: crate::explain::Room,
}

#[derive(Clone, Debug, Default)]
struct Room<T> {
    /// Of each row of a block.
    slots: Vec<T>,
    /// Of each row of a block, one for each output.
    sums: Vec<T>,
}

/// Rows that pass a tree together.
const BLOCK: usize = 64;

impl Model {
    /// The model that these bytes are.
    ///
    /// # Errors
    /// [`LoadError`] when they are none of the format, are more than the limits, or of a kind that is not evaluated here.
    pub fn read(bytes: &[u8], format: Format, limits: &Limits) -> Result<Self, LoadError> {
        read::read(bytes, format, limits).map(Self::of)
    }

    pub(crate) fn of(draft: Draft) -> Self {
        let forest = match draft.precision {
            Precision::Single => Precise::Single(Forest::new(&draft.trees)),
            Precision::Double => Precise::Double(Forest::new(&draft.trees)),
        };
        Self { draft, forest }
    }

    /// The same model with the trees of its first rounds only, as XGBoost's `iteration_range=(0, rounds)`.
    #[must_use]
    pub fn first_rounds(&self, rounds: usize) -> Self {
        let mut draft = self.draft.clone();
        draft.trees.truncate(rounds.saturating_mul(draft.trees_per_round));
        if let Combine::Average { rounds: all } = &mut draft.combine {
            *all = rounds.clamp(1, *all);
        }
        Self::of(draft)
    }

    /// Features of a row.
    pub fn features(&self) -> usize {
        self.draft.features
    }

    /// Names of the features, in the order of a row's values; empty when the file has none.
    pub fn feature_names(&self) -> &[String] {
        &self.draft.names
    }

    /// Margins of a row: one, or one for each class or target.
    pub fn margins_per_row(&self) -> usize {
        self.draft.base.len()
    }

    /// Predictions of a row: as many as margins, but for ONNX's classifiers of two classes with one margin, which give two.
    pub fn predictions_per_row(&self) -> usize {
        self.draft.link.predictions(self.margins_per_row())
    }

    /// Trees that are evaluated. An ONNX tree whose leaves name several outputs counts once for each.
    pub fn trees(&self) -> usize {
        self.draft.trees.len()
    }

    /// The round, from 0, at which early stopping found the model best; `None` when the file does not say.
    pub fn best_round(&self) -> Option<usize> {
        self.draft.best_round
    }

    /// What becomes of the margins.
    pub fn link(&self) -> Link {
        self.draft.link
    }

    /// What a classifier calls its classes.
    pub fn labels(&self) -> &Labels {
        &self.draft.labels
    }

    /// The class that a row's predictions speak for: the greatest, of equals the first; of a single probability 1 when it is above a
    /// half. Means nothing for a regression.
    pub fn class(predictions: &[f64]) -> usize {
        match predictions {
            [probability] => usize::from(*probability > 0.5),
            _ => (1..predictions.len()).fold(0, |best, at| if predictions[at] > predictions[best] { at } else { best }),
        }
    }

    pub(crate) fn draft(&self) -> &Draft {
        &self.draft
    }

    /// Margins of rows, before the link: for XGBoost those of `inplace_predict(predict_type="margin")` to the bit, for LightGBM those of
    /// `predict(raw_score=True)`.
    ///
    /// `rows` has the features of one row behind those of the other, in the order of training; NaN is what is missing; a categorical
    /// feature is the number of its category. XGBoost's and most ONNX models compare single floats: doubles are rounded to them first,
    /// as the originals do. `margins` has [`Model::margins_per_row`] places for each row.
    ///
    /// # Errors
    /// [`RowError`] when a slice has another length.
    pub fn margins<V: Number>(&self, rows: &[V], scratch: &mut Scratch, margins: &mut [f64]) -> Result<(), RowError> {
        RowError::check(rows.len(), self.features(), margins.len(), self.margins_per_row())?;
        self.evaluate(rows, scratch, |at, margin| margins[at] = margin);
        Ok(())
    }

    /// Predictions of rows, behind the link: probabilities, counts, values. See [`Model::margins`] for rows; `predictions` has
    /// [`Model::predictions_per_row`] places for each. XGBoost's `multi:softmax` gives probabilities too; [`Model::class`] is its answer.
    ///
    /// # Errors
    /// [`RowError`] when a slice has another length.
    pub fn predict<V: Number>(&self, rows: &[V], scratch: &mut Scratch, predictions: &mut [f64]) -> Result<(), RowError> {
        RowError::check(rows.len(), self.features(), predictions.len(), self.predictions_per_row())?;
        let (outputs, width) = (self.margins_per_row(), self.predictions_per_row());
        self.evaluate(rows, scratch, |at, margin| predictions[at / outputs * width + at % outputs] = margin);
        predictions.chunks_exact_mut(width).for_each(|own| self.draft.link.apply(own));
        Ok(())
    }

    /// Gives every margin with its place, rows one behind the other.
    fn evaluate<V: Number>(&self, rows: &[V], scratch: &mut Scratch, give: impl FnMut(usize, f64)) {
        match &self.forest {
            Precise::Single(forest) => self.evaluate_in(forest, rows, &mut scratch.single, give),
            Precise::Double(forest) => self.evaluate_in(forest, rows, &mut scratch.double, give),
        }
    }

    fn evaluate_in<T: Number, V: Number>(
        &self,
        forest: &Forest<T>,
        rows: &[V],
        room: &mut Room<T>,
        mut give: impl FnMut(usize, f64),
    ) {
        let (Draft { base, combine, .. }, features) = (&self.draft, self.features());
        let (outputs, width) = (base.len(), forest.slots().len());
        for (block, rows) in rows.chunks(BLOCK * features).enumerate() {
            let count = rows.len() / features;
            room.slots.resize(count * width, T::default());
            for (row, slots) in rows.chunks_exact(features).zip(room.slots.chunks_exact_mut(width)) {
                forest.slots().fill(row, slots);
            }
            room.sums.clear();
            (0..count).for_each(|_| room.sums.extend(base.iter().map(|base| combine.start(T::of(*base)))));
            let sums = &mut room.sums;
            match combine {
                Combine::OntoBase | Combine::Average { .. } => {
                    forest.walk(&room.slots, |row, output, leaf| sums[row * outputs + output] += leaf);
                }
                Combine::Least => forest.walk(&room.slots, |row, output, leaf| {
                    let least = &mut sums[row * outputs + output];
                    *least = if leaf < *least { leaf } else { *least };
                }),
                Combine::Greatest => forest.walk(&room.slots, |row, output, leaf| {
                    let greatest = &mut sums[row * outputs + output];
                    *greatest = if leaf > *greatest { leaf } else { *greatest };
                }),
            }
            for (at, sum) in sums.iter().enumerate() {
                give(block * BLOCK * outputs + at, combine.finish(sum.double(), base[at % outputs]));
            }
        }
    }
}
