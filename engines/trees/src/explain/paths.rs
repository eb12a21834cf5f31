//! A tree as explanations see it: what lies between a node and its parent. Pure; no I/O.

use crate::slots::{Ask, Slots};
use crate::tree::{Kind, Tree};

/// The nodes of a tree, each after its parent; the first is the root.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub(super) steps: Vec<Step>,
}

/// A node, and the step from its parent to it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) parent: usize,
    /// Which answer of the parent leads here: 0 yes, 1 no.
    pub(super) answer: u8,
    /// What the parent asks about.
    pub(super) feature: usize,
    /// The last step before this one on which the same feature was asked about; the root when there is none.
    pub(super) before: usize,
    /// The share of the training's rows that this and all earlier steps about the feature let pass: `z`.
    pub(super) share: f64,
    /// The share of the training's rows that came here.
    pub(super) reach: f64,
    /// Features asked on the way here, each counted once.
    pub(super) features: usize,
    /// A leaf's value.
    pub(super) leaf: Option<f64>,
}

impl Paths {
    /// Leaves are worth their values by so many rounds.
    pub(super) fn new(tree: &Tree, rounds: f64) -> Self {
        let root = Step { parent: 0, answer: 0, feature: usize::MAX, before: 0, share: 1.0, reach: 1.0, features: 0, leaf: None };
        let mut steps = vec![root; tree.nodes.len()];
        for (at, node) in tree.nodes.iter().enumerate() {
            let split = match &node.kind {
                Kind::Leaf(value) => {
                    steps[at].leaf = Some(value / rounds);
                    continue;
                }
                Kind::Split(split) => split,
            };
            let mut before = at;
            while before != 0 && steps[before].feature != split.feature {
                before = steps[before].parent;
            }
            for (answer, child) in [(0, split.yes), (1, split.no)] {
                let ratio = tree.nodes[child].cover / node.cover;
                let ratio = if ratio.is_finite() && ratio >= 0.0 { ratio } else { 0.5 };
                steps[child] = Step {
                    parent: at,
                    answer,
                    feature: split.feature,
                    before,
                    share: steps[before].share * ratio,
                    reach: steps[at].reach * ratio,
                    features: steps[at].features + usize::from(before == 0),
                    leaf: None,
                };
            }
        }
        Self { steps }
    }

    /// What the tree is worth when nothing is known: leaves by the share of rows that came to them.
    pub(super) fn expected(&self) -> f64 {
        self.steps.iter().map(|step| step.leaf.map_or(0.0, |value| value * step.reach)).sum()
    }

    /// Most features asked on the way to a leaf.
    pub(super) fn most_features(&self) -> usize {
        self.steps.iter().map(|step| step.features).max().unwrap_or(0)
    }

    /// The questions of the nodes that ask.
    pub(super) fn asks(tree: &Tree, slots: &mut Slots) -> Vec<(u32, Ask<f64>)> {
        let asking = tree.nodes.iter().enumerate().filter_map(|(at, node)| match &node.kind {
            Kind::Split(split) => Some((at as u32, slots.place(split))),
            Kind::Leaf(_) => None,
        });
        asking.collect()
    }
}
