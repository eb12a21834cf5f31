//! The simple ways, and whether the fast ones say the same: trees walked one node after the other, and Shapley values summed over all
//! sets of features, on models drawn from a seed.

use std::cmp::Ordering;

use crate::explain::Explainer;
use crate::link::Link;
use crate::model::{Combine, Labels, Model, Precision, Scratch};
use crate::number::Number;
use crate::read::Draft;
use crate::set::{CategorySet, ValueSet};
use crate::tree::{Absent, Kind, Node, Question, Split, Tree};

/// `SplitMix64` (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A number on a coarse grid, so that rows meet thresholds; sometimes an odd one.
    fn value(&mut self) -> f64 {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e-36, -0.5, 1e300, f64::MAX];
        if self.below(8) == 0 { self.one_of(&odd) } else { self.below(13) as f64 - 4.0 }
    }
}

/// Shape of what is drawn.
#[derive(Clone, Copy)]
struct Drawn {
    features: usize,
    trees: usize,
    depth: usize,
    /// One leaf in so many before the depth is reached.
    early: usize,
    outputs: usize,
    precision: Precision,
}

fn model(draw: &mut Draw, drawn: Drawn) -> Model {
    let trees = (0..drawn.trees).map(|_| {
        let mut nodes = Vec::new();
        grow(draw, drawn, 0, 1000.0, &mut nodes);
        Tree { nodes, output: draw.below(drawn.outputs) }
    });
    let trees = trees.collect();
    Model::of(Draft {
        trees,
        features: drawn.features,
        names: Vec::new(),
        base: (0..drawn.outputs).map(|n| n as f64 / 4.0).collect(),
        combine: if drawn.outputs == 3 { Combine::Average { rounds: 4 } } else { Combine::OntoBase },
        link: Link::Identity,
        precision: drawn.precision,
        labels: Labels::Numbers,
        trees_per_round: 1,
        best_round: None,
        covered: true,
    })
}

/// Grows a tree; how its rows part is drawn too, and now and then none go one way.
fn grow(draw: &mut Draw, drawn: Drawn, depth: usize, cover: f64, nodes: &mut Vec<Node>) -> usize {
    let at = nodes.len();
    if depth == drawn.depth || depth > 0 && draw.below(drawn.early) == 0 {
        let value = f64::from((draw.next() % 2001) as f32 / 997.0 - 1.0);
        nodes.push(Node { cover, kind: Kind::Leaf(value) });
        return at;
    }
    let question = match draw.below(8) {
        0 => Question::Category(CategorySet::of_categories((0..draw.below(6)).map(|_| draw.below(40) as u32).collect())),
        1 => Question::Category(CategorySet::of_words(&[draw.next() as u32, draw.next() as u32])),
        2 => Question::Member(ValueSet::of((0..4).map(|_| draw.value()).collect())),
        3 => Question::Equals(draw.below(4) as f64),
        4 | 5 => Question::Below(draw.one_of(&[-2.0, -1.0, 0.0, 0.5, 1.0, 3.0, f64::INFINITY, f64::NEG_INFINITY])),
        _ => Question::AtMost(draw.one_of(&[-2.0, -1.0, 0.0, 0.5, 1.0, 3.0, f64::INFINITY, f64::NEG_INFINITY])),
    };
    let absent = draw.one_of(&[Absent::Nan, Absent::NanAndZero, Absent::Never]);
    let split = Split { feature: draw.below(drawn.features), question, absent, absent_is_yes: draw.below(2) == 0, yes: 0, no: 0 };
    nodes.push(Node { cover, kind: Kind::Split(split) });
    let left = cover * draw.one_of(&[0.1, 0.3, 0.5, 0.8, 0.0, 1.0]);
    let ways = (grow(draw, drawn, depth + 1, left, nodes), grow(draw, drawn, depth + 1, cover - left, nodes));
    if let Kind::Split(split) = &mut nodes[at].kind {
        (split.yes, split.no) = ways;
    }
    at
}

/// Where a row goes, as the libraries say it.
fn way(split: &Split, value: f64) -> usize {
    let is_absent = match split.absent {
        Absent::Nan => value.is_nan(),
        Absent::NanAndZero => value.is_nan() || value.abs() <= crate::slots::LIGHTGBM_ZERO,
        Absent::Never => false,
    };
    let value = if value.is_nan() { 0.0 } else { value };
    let yes = match &split.question {
        _ if is_absent => split.absent_is_yes,
        Question::Below(threshold) => value < *threshold,
        Question::AtMost(threshold) => value <= *threshold,
        Question::Equals(other) => value.partial_cmp(other) == Some(Ordering::Equal),
        Question::Category(set) => set.holds(value),
        Question::Member(set) => set.holds(value),
    };
    if yes { split.yes } else { split.no }
}

fn leaf(tree: &Tree, at: usize, row: &[f64]) -> f64 {
    match &tree.nodes[at].kind {
        Kind::Leaf(value) => *value,
        Kind::Split(split) => leaf(tree, way(split, row[split.feature]), row),
    }
}

/// The margins of a row in the precision of the model, one leaf added after the other.
fn margins<T: Number>(draft: &Draft, row: &[f64]) -> Vec<f64> {
    let row: Vec<f64> = row.iter().map(|value| T::of(*value).double()).collect();
    let of_output = |output: usize| {
        let leaves = draft.trees.iter().filter(|tree| tree.output == output).map(|tree| T::of(leaf(tree, 0, &row)));
        let sum = |start| {
            leaves.fold(start, |mut sum, leaf| {
                sum += leaf;
                sum
            })
        };
        match draft.combine {
            Combine::Average { rounds } => sum(T::default()).double() / rounds as f64 + draft.base[output],
            _ => sum(T::of(draft.base[output])).double(),
        }
    };
    (0..draft.base.len()).map(of_output).collect()
}

/// What a tree is worth when only the features of a set are known.
fn worth(tree: &Tree, at: usize, row: &[f64], known: usize) -> f64 {
    match &tree.nodes[at].kind {
        Kind::Leaf(value) => *value,
        Kind::Split(split) if known >> split.feature & 1 == 1 => worth(tree, way(split, row[split.feature]), row, known),
        Kind::Split(split) => {
            let cover = tree.nodes[at].cover;
            let share = |child: usize| if cover > 0.0 { tree.nodes[child].cover / cover } else { 0.5 };
            share(split.yes) * worth(tree, split.yes, row, known) + share(split.no) * worth(tree, split.no, row, known)
        }
    }
}

/// Shapley values by their definition: what a feature adds to every set of the others, by the weight of the set.
fn shapley(draft: &Draft, row: &[f64]) -> Vec<f64> {
    let features = draft.features;
    let rounds = if let Combine::Average { rounds } = draft.combine { rounds as f64 } else { 1.0 };
    let factorial = |n: usize| (1..=n).map(|n| n as f64).product::<f64>();
    let mut values = vec![0.0; draft.base.len() * (features + 1)];
    for (own, base) in values.chunks_exact_mut(features + 1).zip(&draft.base) {
        own[features] = *base;
    }
    for tree in &draft.trees {
        let worths: Vec<f64> = (0..1 << features).map(|known| worth(tree, 0, row, known) / rounds).collect();
        let own = &mut values[tree.output * (features + 1)..][..=features];
        own[features] += worths[0];
        for (feature, own) in own[..features].iter_mut().enumerate() {
            for set in (0..1usize << features).filter(|set| set >> feature & 1 == 0) {
                let size = set.count_ones() as usize;
                let weight = factorial(size) * factorial(features - 1 - size) / factorial(features);
                *own += weight * (worths[set | 1 << feature] - worths[set]);
            }
        }
    }
    values
}

fn rows(draw: &mut Draw, features: usize, count: usize) -> Vec<f64> {
    (0..features * count).map(|_| draw.value()).collect()
}

#[test]
fn margins_are_those_of_walking_node_by_node() {
    let mut draw = Draw(1);
    for round in 0..200 {
        let precision = draw.one_of(&[Precision::Single, Precision::Double]);
        let (depth, early) = draw.one_of(&[(0, 2), (1, 9), (3, 9), (6, 20), (8, 30), (9, 20), (22, 3)]);
        let drawn = Drawn { features: 7, trees: draw.below(30), depth, early, outputs: draw.one_of(&[1, 2, 3]), precision };
        let model = model(&mut draw, drawn);
        let rows = rows(&mut draw, drawn.features, 130);
        let mut ours = vec![0.0; 130 * drawn.outputs];
        model.margins(&rows, &mut Scratch::default(), &mut ours).unwrap();
        for (row, ours) in rows.chunks_exact(drawn.features).zip(ours.chunks_exact(drawn.outputs)) {
            let simple = match precision {
                Precision::Single => margins::<f32>(model.draft(), row),
                Precision::Double => margins::<f64>(model.draft(), row),
            };
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(ours), bits(&simple), "round {round}, row {row:?}");
        }
    }
}

#[test]
fn contributions_are_shapley_values_by_definition() {
    let mut draw = Draw(2);
    for round in 0..40 {
        let (depth, early) = draw.one_of(&[(0, 2), (2, 9), (4, 9), (6, 9), (11, 5)]);
        let drawn = Drawn { features: 6, trees: 5, depth, early, outputs: draw.one_of(&[1, 2, 3]), precision: Precision::Double };
        let model = model(&mut draw, drawn);
        let rows = rows(&mut draw, drawn.features, 10);
        let mut margins = vec![0.0; 10 * drawn.outputs];
        model.margins(&rows, &mut Scratch::default(), &mut margins).unwrap();
        for table_bytes in [1 << 22, 0] {
            let explainer = Explainer::new(&model, table_bytes).unwrap();
            let width = explainer.contributions_per_row();
            let mut ours = vec![0.0; 10 * width];
            explainer.contributions(&rows, &mut Scratch::default(), &mut ours).unwrap();
            for (row, ours) in rows.chunks_exact(drawn.features).zip(ours.chunks_exact(width)) {
                for (ours, exact) in ours.iter().zip(shapley(model.draft(), row)) {
                    assert!((ours - exact).abs() <= 1e-9 * exact.abs().max(1e-3), "round {round}: {ours} for {exact}");
                }
            }
            for (own, margin) in ours.chunks_exact(drawn.features + 1).zip(&margins) {
                assert!((own.iter().sum::<f64>() - margin).abs() <= 1e-9, "round {round}: not the margin");
            }
        }
    }
}
