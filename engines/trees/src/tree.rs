//! A tree as its file tells it: questions, ways and leaves, in one vocabulary for all formats. Pure; no I/O.
//!
//! Numbers are held as `f64`, which has room for every `f32` as it is; the model knows in which precision they are compared.

use crate::error::{Limits, LoadError, within};
use crate::set::{CategorySet, ValueSet};

/// A tree. The root is the first node, and every node comes before those below it: yes-branch first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    /// Which output its leaves add to.
    pub(crate) output: usize,
}

/// A node and how many of the training's rows (or how much of their weight) came by it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) cover: f64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Leaf(f64),
    Split(Split),
}

/// A question about one feature, and the nodes that its answers lead to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Split {
    pub(crate) feature: usize,
    pub(crate) question: Question,
    pub(crate) absent: Absent,
    /// Where a row without the feature goes.
    pub(crate) absent_is_yes: bool,
    pub(crate) yes: usize,
    pub(crate) no: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Question {
    /// `x < t`: XGBoost's.
    Below(f64),
    /// `x <= t`: LightGBM's and most of ONNX.
    AtMost(f64),
    /// `x == t`.
    Equals(f64),
    /// Is the value, as a number of a category, in the set?
    Category(CategorySet),
    /// Is the value itself in the set?
    Member(ValueSet),
}

/// Which values count as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Absent {
    /// NaN.
    Nan,
    /// NaN, and zero: LightGBM's `zero_as_missing`.
    NanAndZero,
    /// None: NaN is taken for zero, LightGBM's `use_missing=false`.
    Never,
}

/// What there is to gather a tree from.
pub(crate) struct Outline {
    /// The reader's number of the root.
    pub(crate) root: usize,
    /// How many nodes the reader knows; their numbers are below it.
    pub(crate) count: usize,
    /// Features of a row.
    pub(crate) features: usize,
    /// Which output the leaves add to.
    pub(crate) output: usize,
}

impl Tree {
    /// Gathers a tree from its root on. `tell` says what a node is, its branches by the reader's own numbers; `left` is how many
    /// nodes all trees together may still have.
    ///
    /// # Errors
    /// [`LoadError`] when a node does not exist, ways go round, a number is not finite where it must be, or a bound is passed.
    pub(crate) fn gather(
        outline: &Outline,
        limits: &Limits,
        left: &mut usize,
        mut tell: impl FnMut(usize) -> Result<Node, LoadError>,
    ) -> Result<Self, LoadError> {
        let mut nodes: Vec<Node> = Vec::new();
        // What is still to be told, with its depth and the split whose no-branch it is; a yes-branch follows its split at once.
        let mut waiting = vec![(outline.root, 0, None)];
        while let Some((id, depth, no_of)) = waiting.pop() {
            if id >= outline.count {
                return Err(LoadError::malformed("a tree's children", "a node that does not exist"));
            }
            if nodes.len() == outline.count {
                // Where ways meet again or go round, there are more nodes on them than in the file.
                return Err(LoadError::malformed("a tree's children", "a node is reached twice"));
            }
            within("splits from root to leaf", depth, limits.depth)?;
            *left =
                left.checked_sub(1).ok_or(LoadError::TooLarge { what: "nodes", given: limits.nodes + 1, limit: limits.nodes })?;
            let at = nodes.len();
            if let Some(Kind::Split(parent)) = no_of.map(|parent: usize| &mut nodes[parent].kind) {
                parent.no = at;
            }
            let mut node = tell(id)?;
            match &mut node.kind {
                Kind::Leaf(value) if !value.is_finite() => {
                    return Err(LoadError::malformed("a leaf's value", "not a finite number"));
                }
                Kind::Leaf(_) => {}
                Kind::Split(split) => {
                    split.check(outline.features)?;
                    waiting.push((split.no, depth + 1, Some(at)));
                    waiting.push((split.yes, depth + 1, None));
                    split.yes = at + 1;
                }
            }
            nodes.push(node);
        }
        Ok(Self { nodes, output: outline.output })
    }

    /// Splits on the longest way from the root to a leaf.
    pub(crate) fn depth(&self) -> usize {
        let mut depths = vec![0; self.nodes.len()];
        for at in 0..self.nodes.len() {
            if let Kind::Split(split) = &self.nodes[at].kind {
                depths[split.yes] = depths[at] + 1;
                depths[split.no] = depths[at] + 1;
            }
        }
        depths.into_iter().max().unwrap_or(0)
    }
}

impl Split {
    fn check(&self, features: usize) -> Result<(), LoadError> {
        if self.feature >= features {
            return Err(LoadError::malformed("a split's feature", format!("number {} of {features}", self.feature)));
        }
        match self.question {
            Question::Below(t) | Question::AtMost(t) | Question::Equals(t) if t.is_nan() => {
                Err(LoadError::malformed("a split's threshold", "not a number"))
            }
            _ => Ok(()),
        }
    }
}
