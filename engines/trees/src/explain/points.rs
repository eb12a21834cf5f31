//! Explains a tree of any depth: one pass down, one up, at each point of the rule. Pure arithmetic; no I/O.
//!
//! Down: at each node the product of all features' factors on the way to it. Up: the sum, over the leaves below, of their values times
//! their products. A step's feature has the same factor for all leaves below, up to the next step about it, so the integral of all of
//! them takes one division (after Yu and others: "Linear TreeShap", 2022, which divides polynomials where we divide their values).

use std::sync::Arc;

use super::paths::Paths;
use super::rule::{Rule, Rules};

#[derive(Clone, Debug)]
pub(super) struct Points {
    rule: Arc<Rule>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Step {
    parent: u32,
    before: u32,
    feature: u32,
    answer: u8,
    share: f64,
    leaf: Option<f64>,
}

/// Room for one tree at a time: of each step, at each point.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room {
    /// For closed steps (`o` is 0) and open ones (1): the factor `t o + (1 - t) z`.
    factors: Vec<f64>,
    /// For the same: the weight of the point, times `(o - z)`, by the factor.
    weights: Vec<f64>,
    open: Vec<u8>,
    products: Vec<f64>,
    sums: Vec<f64>,
}

impl Points {
    pub(super) fn new(paths: &Paths, rules: &mut Rules) -> Self {
        let step = |step: &super::paths::Step| Step {
            parent: step.parent as u32,
            before: step.before as u32,
            feature: step.feature as u32,
            answer: step.answer,
            share: step.share,
            leaf: step.leaf,
        };
        Self { rule: rules.of_features(paths.most_features()), steps: paths.steps.iter().map(step).collect() }
    }

    /// Works out what is the same for all rows.
    pub(super) fn prepare(&self, room: &mut Room) {
        room.factors.clear();
        room.weights.clear();
        for step in &self.steps {
            for open in [0.0, 1.0] {
                for (point, weight) in self.rule.points.iter().zip(&self.rule.weights) {
                    let factor = point * open + (1.0 - point) * step.share;
                    room.factors.push(factor);
                    // A factor of nothing has no part in anything.
                    room.weights.push(if factor > 0.0 { weight * (open - step.share) / factor } else { 0.0 });
                }
            }
        }
        let size = self.steps.len() * self.rule.points.len();
        room.open.resize(self.steps.len(), 1);
        room.products.resize(size, 0.0);
        room.sums.resize(size, 0.0);
    }

    /// Adds the contributions of a row that answers like this, in room that was prepared.
    pub(super) fn explain(&self, answers: &[u8], room: &mut Room, contributions: &mut [f64]) {
        let count = self.rule.points.len();
        let Room { factors, weights, open, products, sums } = room;
        open[0] = 1;
        products[..count].fill(1.0);
        sums.fill(0.0);
        let of = |step: usize, open: u8| (2 * step + usize::from(open)) * count..(2 * step + usize::from(open) + 1) * count;

        for (at, step) in self.steps.iter().enumerate().skip(1) {
            let (parent, before) = (step.parent as usize, step.before as usize);
            open[at] = open[before] & u8::from(answers[parent] == step.answer);
            let (above, here) = products.split_at_mut(at * count);
            let above = &above[parent * count..][..count];
            let own = &factors[of(at, open[at])];
            if before == 0 {
                for ((here, above), own) in here.iter_mut().zip(above).zip(own) {
                    *here = above * own;
                }
            } else {
                let earlier = &factors[of(before, open[before])];
                for (((here, above), own), earlier) in here.iter_mut().zip(above).zip(own).zip(earlier) {
                    *here = if *earlier > 0.0 { above * own / earlier } else { 0.0 };
                }
            }
        }

        for (at, step) in self.steps.iter().enumerate().skip(1).rev() {
            let (above, here) = sums.split_at_mut(at * count);
            let here = &mut here[..count];
            if let Some(value) = step.leaf {
                for (here, product) in here.iter_mut().zip(&products[at * count..]) {
                    *here = value * product;
                }
            }
            let own = &weights[of(at, open[at])];
            let mut contribution: f64 = here.iter().zip(own).map(|(sum, weight)| sum * weight).sum();
            let before = step.before as usize;
            if before != 0 {
                // These leaves are below the earlier step too, but do not have its factor.
                let earlier = &weights[of(before, open[before])];
                contribution -= here.iter().zip(earlier).map(|(sum, weight)| sum * weight).sum::<f64>();
            }
            contributions[step.feature as usize] += contribution;
            for (above, here) in above[step.parent as usize * count..].iter_mut().zip(here) {
                *above += *here;
            }
        }
    }
}
