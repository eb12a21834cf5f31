//! What each feature has contributed to a margin: exact path-dependent Shapley values. Pure arithmetic; no I/O.
//!
//! The game is that of TreeSHAP (Lundberg, Erion, Lee: "Consistent Individualized Feature Attribution for Tree Ensembles", 2018, with
//! `tree_path_dependent`): where a feature is not known, a row goes both ways, in the shares in which the training's rows went. A leaf
//! is then worth its value times, for each feature asked on the way to it, `o` if that feature is known (1 when all its answers
//! lead to the leaf, else 0) and `z` if it is not (the product of the shares).
//!
//! Each leaf's game is a product, so its multilinear extension is one too, and a feature's Shapley value is an integral of that
//! (Owen: "Multilinear Extensions of Games", 1972):
//!
//! `value * (o_i - z_i) * ∫ Π_(j≠i) (t o_j + (1 - t) z_j) dt`, from 0 to 1.
//!
//! What is integrated is a polynomial of `t` whose degree is the number of features on the way, less one, so that a few points of
//! Gauss and Legendre give it exactly ([`points`]). All factors and weights are positive: nothing cancels. What a tree of few levels
//! can say at all is worked out beforehand where there is room for it ([`tables`]).

mod paths;
mod points;
mod rule;
mod tables;

use crate::error::RowError;
use crate::model::{Combine, Model, Precision, Scratch};
use crate::number::Number;
use crate::slots::{Ask, Slots};
use paths::Paths;
use points::Points;
use rule::Rules;
use tables::Tables;

/// Room for tables that a caller may give without a second thought: 64 MiB hold those of 500 trees of six levels.
pub const TABLE_BYTES: usize = 64 << 20;

/// Why a model cannot be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// Its file does not say how many of the training's rows went which way; ONNX's never do.
    #[error("failed to explain the model: its file has no counts of the training's rows; use the XGBoost or LightGBM file")]
    NoCounts,
    /// A tree has so many nodes and so many features on one way that working it out takes too much room.
    #[error("failed to explain the model: a tree has {nodes} nodes and {features} features on one way; train smaller trees")]
    TooLarge {
        /// Nodes of the tree.
        nodes: usize,
        /// Features on the way to one of its leaves.
        features: usize,
    },
}

/// Explains the margins of a model.
#[derive(Clone, Debug)]
pub struct Explainer {
    features: usize,
    rounds_to_single: bool,
    slots: Slots,
    trees: Vec<Explained>,
    /// The margin of a row of which nothing is known, for each output.
    bias: Vec<f64>,
}

/// A tree, its questions by node, and the way in which it is explained.
#[derive(Clone, Debug)]
struct Explained {
    output: usize,
    /// Nodes that ask, and what.
    asks: Vec<(u32, Ask<f64>)>,
    nodes: usize,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Tables(Tables),
    Points(Points),
}

/// Room to explain in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room {
    rounded: Vec<f32>,
    slots: Vec<f64>,
    /// Of each node of a tree, 0 for yes, 1 for no.
    answers: Vec<u8>,
    tables: Vec<u32>,
    points: points::Room,
}

/// Nodes of a tree by features on its longest way: to work it out takes 24 bytes of room for each, 192 MiB at most.
const MOST_WORK: usize = 8 << 20;

/// Rows that pass a tree together, while its tables are near.
const BLOCK: usize = 256;

impl Explainer {
    /// Prepares to explain a model. Tables take `table_bytes` at most ([`TABLE_BYTES`]); trees that find no more room are explained
    /// without, more slowly and equally.
    ///
    /// # Errors
    /// [`ExplainError`] when the model's file does not have what explaining takes.
    pub fn new(model: &Model, table_bytes: usize) -> Result<Self, ExplainError> {
        let draft = model.draft();
        if !draft.covered {
            return Err(ExplainError::NoCounts);
        }
        let rounds = match draft.combine {
            Combine::Average { rounds } => rounds as f64,
            _ => 1.0, // least and greatest are ONNX's alone, which has no counts
        };
        let (mut slots, mut bias, mut rules, mut room) = (Slots::new(), draft.base.clone(), Rules::default(), table_bytes);
        let mut trees = Vec::with_capacity(draft.trees.len());
        for tree in &draft.trees {
            let paths = Paths::new(tree, rounds);
            bias[tree.output] += paths.expected();
            let way = match Tables::new(&paths, &mut rules, &mut room) {
                Some(tables) => Way::Tables(tables),
                None if tree.nodes.len() * paths.most_features() > MOST_WORK => {
                    return Err(ExplainError::TooLarge { nodes: tree.nodes.len(), features: paths.most_features() });
                }
                None => Way::Points(Points::new(&paths, &mut rules)),
            };
            trees.push(Explained { output: tree.output, asks: Paths::asks(tree, &mut slots), nodes: tree.nodes.len(), way });
        }
        slots.settle();
        let rounds_to_single = draft.precision == Precision::Single;
        Ok(Self { features: draft.features, rounds_to_single, slots, trees, bias })
    }

    /// Contributions of a row: for each output one of each feature, and what the margin is when nothing is known.
    pub fn contributions_per_row(&self) -> usize {
        self.bias.len() * (self.features + 1)
    }

    /// Contributions to the margins of rows, in units of the margin (log-odds, for a classifier): for each row and output those of the
    /// features in their order, then the margin of a row of which nothing is known. Together they are the margin, but for rounding.
    /// They are XGBoost's `predict(pred_contribs=True)` and LightGBM's `predict(pred_contrib=True)` (of a random forest, of the averaged
    /// margin). Where no row of the training came by a node, both branches count half.
    ///
    /// `rows` are as for [`Model::margins`]; `contributions` has [`Explainer::contributions_per_row`] places for each. Many rows at once
    /// are explained several times faster than one.
    ///
    /// # Errors
    /// [`RowError`] when a slice has another length.
    pub fn contributions<V: Number>(&self, rows: &[V], scratch: &mut Scratch, contributions: &mut [f64]) -> Result<(), RowError> {
        let width = self.contributions_per_row();
        RowError::check(rows.len(), self.features, contributions.len(), width)?;
        for (rows, contributions) in rows.chunks(BLOCK * self.features).zip(contributions.chunks_mut(BLOCK * width)) {
            self.explain(rows, &mut scratch.explaining, contributions);
        }
        Ok(())
    }

    fn explain<V: Number>(&self, rows: &[V], room: &mut Room, contributions: &mut [f64]) {
        let (count, width, slots) = (rows.len() / self.features, self.contributions_per_row(), self.slots.len());
        room.slots.resize(count * slots, 0.0);
        if self.rounds_to_single {
            room.rounded.clear();
            room.rounded.extend(rows.iter().map(|value| f32::of(value.double())));
            self.fill(&room.rounded, &mut room.slots);
        } else {
            self.fill(rows, &mut room.slots);
        }
        contributions.fill(0.0);
        for own in contributions.chunks_exact_mut(width) {
            for (output, bias) in own.chunks_exact_mut(self.features + 1).zip(&self.bias) {
                output[self.features] = *bias;
            }
        }
        for tree in &self.trees {
            room.answers.clear();
            room.answers.resize(tree.nodes, 0);
            if let Way::Points(points) = &tree.way {
                points.prepare(&mut room.points);
            }
            for (slots, own) in room.slots.chunks_exact(slots).zip(contributions.chunks_exact_mut(width)) {
                for (node, ask) in &tree.asks {
                    room.answers[*node as usize] = u8::from(ask.is_no(slots));
                }
                let own = &mut own[tree.output * (self.features + 1)..][..self.features];
                match &tree.way {
                    Way::Tables(tables) => tables.explain(&room.answers, &mut room.tables, own),
                    Way::Points(points) => points.explain(&room.answers, &mut room.points, own),
                }
            }
        }
    }

    fn fill<V: Number>(&self, rows: &[V], slots: &mut [f64]) {
        for (row, slots) in rows.chunks_exact(self.features).zip(slots.chunks_exact_mut(self.slots.len())) {
            self.slots.fill(row, slots);
        }
    }
}
