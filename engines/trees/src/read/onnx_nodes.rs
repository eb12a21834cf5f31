//! Tree ensembles of ai.onnx.ml: `TreeEnsembleClassifier`, `TreeEnsembleRegressor` (1 to 3) and `TreeEnsemble` (5), by their pages in
//! ONNX's operator reference; what those leave open is as ONNX Runtime does it. Pure; no I/O.

use std::collections::HashMap;

use super::onnx::Operator;
use super::{Draft, Limits, LoadError, within};
use crate::link::Link;
use crate::model::{Combine, Labels, Precision};
use crate::set::ValueSet;
use crate::tree::{Absent, Kind, Node, Outline, Question, Split, Tree};

/// Nodes of all trees in one list.
struct Forest {
    roots: Vec<usize>,
    nodes: Vec<Told>,
}

enum Told {
    /// Weights, each for an output.
    Leaf(Vec<(usize, f64)>),
    Split(Split),
}

/// Modes of splits, by their numbers in `TreeEnsemble`.
const MODES: [&str; 7] = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER"];

pub(super) fn regressor(operator: &Operator<'_>, limits: &Limits) -> Result<Draft, LoadError> {
    let outputs = count("n_targets", operator.integer("n_targets").unwrap_or(1))?.max(1);
    within("outputs", outputs, limits.outputs)?;
    let forest = Forest::of_lists(operator, "target", outputs)?;
    let link = link(operator.text("post_transform").unwrap_or("NONE"))?;
    let combine = combine(operator.text("aggregate_function").unwrap_or("SUM"), forest.roots.len())?;
    forest.draft(operator, limits, Form { outputs, base: base(operator), combine, link, labels: Labels::Numbers })
}

pub(super) fn classifier(operator: &Operator<'_>, limits: &Limits) -> Result<Draft, LoadError> {
    let (texts, numbers) = (operator.texts("classlabels_strings"), operator.integers("classlabels_int64s"));
    let labels = if texts.is_empty() {
        Labels::Integers(numbers.to_vec())
    } else {
        Labels::Texts(texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect())
    };
    let classes = texts.len().max(numbers.len());
    within("outputs", classes, limits.outputs)?;
    let mut forest = Forest::of_lists(operator, "class", classes)?;
    let (mut base, mut link) = (base(operator), link(operator.text("post_transform").unwrap_or("NONE"))?);

    // Two classes of which the leaves name but one: one margin says both.
    let ids = operator.integers("class_ids");
    let is_pair = classes == 2 && ids.windows(2).all(|pair| pair[0] == pair[1]);
    if is_pair {
        let mut all_positive = true;
        for node in &mut forest.nodes {
            if let Told::Leaf(weights) = node {
                all_positive &= weights.iter().all(|(_, weight)| *weight >= 0.0);
                for (output, _) in weights {
                    *output = 0;
                }
            }
        }
        link = match (all_positive, link) {
            (true, _) => Link::Complement,
            (false, Link::Sigmoid { .. }) => Link::MirrorSigmoid,
            (false, _) => Link::Mirror,
        };
        base = base.last().map(|last| vec![*last]).unwrap_or_default();
    }
    let outputs = if is_pair { 1 } else { classes };
    forest.draft(operator, limits, Form { outputs, base, combine: SUM, link, labels })
}

pub(super) fn ensemble(operator: &Operator<'_>, limits: &Limits) -> Result<Draft, LoadError> {
    let outputs = count("n_targets", operator.integer("n_targets").unwrap_or(1))?.max(1);
    within("outputs", outputs, limits.outputs)?;
    let forest = Forest::of_tensors(operator, outputs)?;
    let link = match operator.integer("post_transform").unwrap_or(0) {
        0 => Link::Identity,
        1 => link("SOFTMAX")?,
        2 => link("LOGISTIC")?,
        3 => link("SOFTMAX_ZERO")?,
        _ => link("PROBIT")?,
    };
    let names = ["AVERAGE", "SUM", "MIN", "MAX"];
    let combined = usize::try_from(operator.integer("aggregate_function").unwrap_or(1)).ok();
    let combine = combine(combined.and_then(|at| names.get(at)).copied().unwrap_or("unknown"), forest.roots.len())?;
    forest.draft(operator, limits, Form { outputs, base: Vec::new(), combine, link, labels: Labels::Numbers })
}

/// The sum of the leaves, and then the base.
const SUM: Combine = Combine::Average { rounds: 1 };

fn link(name: &str) -> Result<Link, LoadError> {
    match name {
        "NONE" => Ok(Link::Identity),
        "LOGISTIC" => Ok(Link::Sigmoid { scale: 1.0 }),
        "SOFTMAX" => Ok(Link::Softmax),
        "SOFTMAX_ZERO" => Ok(Link::SoftmaxOfNonZero),
        other => Err(LoadError::unsupported(format!("the post_transform {other}"))),
    }
}

fn combine(name: &str, trees: usize) -> Result<Combine, LoadError> {
    match name {
        "SUM" => Ok(SUM),
        "AVERAGE" => Ok(Combine::Average { rounds: trees.max(1) }),
        "MIN" => Ok(Combine::Least),
        "MAX" => Ok(Combine::Greatest),
        other => Err(LoadError::unsupported(format!("the aggregate_function {other}"))),
    }
}

fn base(operator: &Operator<'_>) -> Vec<f64> {
    operator.numbers("base_values", "base_values_as_tensor").to_vec()
}

fn count(name: &str, number: i64) -> Result<usize, LoadError> {
    usize::try_from(number).map_err(|_| LoadError::malformed(name, "below zero"))
}

/// What a question's mode makes of it: the question, and whether yes and no change places.
fn question(mode: &str, value: f64) -> Result<(Question, bool), LoadError> {
    match mode {
        "BRANCH_LEQ" => Ok((Question::AtMost(value), false)),
        "BRANCH_LT" => Ok((Question::Below(value), false)),
        "BRANCH_GTE" => Ok((Question::Below(value), true)),
        "BRANCH_GT" => Ok((Question::AtMost(value), true)),
        "BRANCH_EQ" => Ok((Question::Equals(value), false)),
        "BRANCH_NEQ" => Ok((Question::Equals(value), true)),
        other => Err(LoadError::unsupported(format!("the mode {other}"))),
    }
}

/// A split in our words. NaN goes where it is sent if it `tracks` the true branch; else where the comparison sends it, which is no
/// for all but `!=`.
fn split(feature: i64, mode: &str, value: f64, tracks: bool, (on_true, on_false): (usize, usize)) -> Result<Split, LoadError> {
    let feature = count("nodes_featureids", feature)?;
    let (question, swapped) = question(mode, value)?;
    let absent_on_true = tracks || mode == "BRANCH_NEQ";
    let (yes, no) = if swapped { (on_false, on_true) } else { (on_true, on_false) };
    Ok(Split { feature, question, absent: Absent::Nan, absent_is_yes: absent_on_true != swapped, yes, no })
}

/// All about a model but its trees.
struct Form {
    outputs: usize,
    base: Vec<f64>,
    combine: Combine,
    link: Link,
    labels: Labels,
}

impl Forest {
    /// From the lists of versions 1 to 3, a place for each node; leaves have their weights in lists of their own, which begin with
    /// `target` or `class`.
    fn of_lists(operator: &Operator<'_>, weighted: &str, outputs: usize) -> Result<Self, LoadError> {
        let (trees, ids) = (operator.integers("nodes_treeids"), operator.integers("nodes_nodeids"));
        let (features, modes) = (operator.integers("nodes_featureids"), operator.texts("nodes_modes"));
        let (yes, no) = (operator.integers("nodes_truenodeids"), operator.integers("nodes_falsenodeids"));
        let (values, tracks) =
            (operator.numbers("nodes_values", "nodes_values_as_tensor"), operator.integers("nodes_missing_value_tracks_true"));
        let lengths = [ids.len(), features.len(), modes.len(), yes.len(), no.len(), values.len()];
        if lengths != [trees.len(); 6] || !(tracks.is_empty() || tracks.len() == trees.len()) {
            return Err(LoadError::malformed("nodes_*", "not of one length"));
        }
        let places: HashMap<(i64, i64), usize> = (0..trees.len()).map(|at| ((trees[at], ids[at]), at)).collect();
        let place = |tree, id| {
            places.get(&(tree, id)).copied().ok_or_else(|| LoadError::malformed("nodes_*nodeids", "a node that does not exist"))
        };
        // The first node of a tree is its root.
        let roots = (0..trees.len()).filter(|at| *at == 0 || trees[*at] != trees[at - 1]).collect();
        let mut nodes = Vec::with_capacity(trees.len());
        for at in 0..trees.len() {
            let mode = str::from_utf8(modes[at]).map_err(|_| LoadError::malformed("nodes_modes", "not UTF-8"))?;
            nodes.push(if mode == "LEAF" {
                Told::Leaf(Vec::new())
            } else {
                let ways = (place(trees[at], yes[at])?, place(trees[at], no[at])?);
                Told::Split(split(features[at], mode, values[at], tracks.get(at).is_some_and(|tracks| *tracks != 0), ways)?)
            });
        }
        let list = |of: &str| operator.integers(&format!("{weighted}_{of}"));
        let (trees, ids, targets) = (list("treeids"), list("nodeids"), list("ids"));
        let weights = operator.numbers(&format!("{weighted}_weights"), &format!("{weighted}_weights_as_tensor"));
        if [ids.len(), targets.len(), weights.len()] != [trees.len(); 3] {
            return Err(LoadError::malformed("target_*, class_*", "not of one length"));
        }
        for at in 0..trees.len() {
            let Told::Leaf(leaf) = &mut nodes[place(trees[at], ids[at])?] else {
                return Err(LoadError::malformed("target_nodeids, class_nodeids", "a node that is no leaf"));
            };
            leaf.push((output(targets[at], outputs)?, weights[at]));
        }
        Ok(Self { roots, nodes })
    }

    /// From the tensors of version 5: splits and leaves are counted apart, and a leaf has one weight. Leaves come behind the splits.
    fn of_tensors(operator: &Operator<'_>, outputs: usize) -> Result<Self, LoadError> {
        let (features, tracks) = (operator.integers("nodes_featureids"), operator.integers("nodes_missing_value_tracks_true"));
        let (modes, values) = (operator.numbers("nodes_modes", ""), operator.numbers("nodes_splits", ""));
        let (yes, yes_is_leaf) = (operator.integers("nodes_truenodeids"), operator.integers("nodes_trueleafs"));
        let (no, no_is_leaf) = (operator.integers("nodes_falsenodeids"), operator.integers("nodes_falseleafs"));
        let splits = features.len();
        let lengths = [modes.len(), values.len(), yes.len(), yes_is_leaf.len(), no.len(), no_is_leaf.len()];
        if lengths != [splits; 6] || !(tracks.is_empty() || tracks.len() == splits) {
            return Err(LoadError::malformed("nodes_*", "not of one length"));
        }
        let place =
            |id: i64, is_leaf: i64| Ok(count("nodes_*nodeids", id)?.saturating_add(if is_leaf == 0 { 0 } else { splits }));
        let mut members = operator.numbers("membership_values", "").split(|value| value.is_nan());
        let mut nodes = Vec::with_capacity(splits);
        for at in 0..splits {
            let ways = (place(yes[at], yes_is_leaf[at])?, place(no[at], no_is_leaf[at])?);
            let mode = MODES.get(modes[at] as usize).ok_or_else(|| LoadError::malformed("nodes_modes", "an unknown mode"))?;
            let tracks = tracks.get(at).is_some_and(|tracks| *tracks != 0);
            nodes.push(Told::Split(if *mode == "BRANCH_MEMBER" {
                let own = members.next().ok_or_else(|| LoadError::malformed("membership_values", "fewer sets than splits"))?;
                let set = Question::Member(ValueSet::of(own.to_vec()));
                Split { question: set, ..split(features[at], "BRANCH_EQ", 0.0, tracks, ways)? }
            } else {
                split(features[at], mode, values[at], tracks, ways)?
            }));
        }
        let (targets, weights) = (operator.integers("leaf_targetids"), operator.numbers("leaf_weights", ""));
        if targets.len() != weights.len() {
            return Err(LoadError::malformed("leaf_*", "not of one length"));
        }
        for (target, weight) in targets.iter().zip(weights) {
            nodes.push(Told::Leaf(vec![(output(*target, outputs)?, *weight)]));
        }
        let root = |root: &i64| count("tree_roots", *root);
        Ok(Self { roots: operator.integers("tree_roots").iter().map(root).collect::<Result<_, _>>()?, nodes })
    }

    /// Takes every tree apart into one for each output that its leaves name: each then is as in the other formats.
    fn draft(self, operator: &Operator<'_>, limits: &Limits, form: Form) -> Result<Draft, LoadError> {
        let Form { outputs, base, combine, link, labels } = form;
        let used = self.nodes.iter().map(|node| if let Told::Split(split) = node { split.feature + 1 } else { 0 });
        let features = operator.features.unwrap_or(used.max().unwrap_or(0));
        within("features", features, limits.features)?;
        let base = match base.len() {
            0 => vec![0.0; outputs],
            given if given == outputs && base.iter().all(|value| value.is_finite()) => base,
            _ => return Err(LoadError::malformed("base_values", "not one finite number for each output")),
        };
        let (mut trees, mut left, mut seen) = (Vec::new(), limits.nodes, 0);
        for root in &self.roots {
            for output in self.outputs_below(*root, limits, &mut seen)? {
                within("trees", trees.len() + 1, limits.trees)?;
                let outline = Outline { root: *root, count: self.nodes.len(), features, output };
                trees.push(Tree::gather(&outline, limits, &mut left, |at| self.tell(at, output, combine))?);
            }
        }
        Ok(Draft {
            trees,
            features,
            names: Vec::new(),
            base,
            combine,
            link,
            precision: if operator.doubles { Precision::Double } else { Precision::Single },
            labels,
            trees_per_round: 1,
            best_round: None,
            covered: false,
        })
    }

    fn tell(&self, at: usize, output: usize, combine: Combine) -> Result<Node, LoadError> {
        let kind = match &self.nodes[at] {
            Told::Split(split) => Kind::Split(split.clone()),
            Told::Leaf(weights) => {
                let own = weights.iter().filter(|(of, _)| *of == output);
                if own.clone().next().is_none() && matches!(combine, Combine::Least | Combine::Greatest) {
                    return Err(LoadError::unsupported("MIN or MAX of leaves that do not name every output"));
                }
                Kind::Leaf(own.map(|(_, weight)| weight).sum())
            }
        };
        Ok(Node { cover: 0.0, kind })
    }

    /// The outputs that a tree's leaves name, ascending. `seen` counts the nodes looked at for all roots together: where ways go
    /// round, no end is found before the limit.
    fn outputs_below(&self, root: usize, limits: &Limits, seen: &mut usize) -> Result<Vec<usize>, LoadError> {
        let (mut outputs, mut waiting) = (Vec::new(), vec![root]);
        while let Some(at) = waiting.pop() {
            *seen += 1;
            within("nodes", *seen, limits.nodes)?;
            match self.nodes.get(at) {
                None => return Err(LoadError::malformed("a tree's children", "a node that does not exist")),
                Some(Told::Leaf(weights)) => outputs.extend(weights.iter().map(|(output, _)| *output)),
                Some(Told::Split(split)) => waiting.extend([split.no, split.yes]),
            }
        }
        outputs.sort_unstable();
        outputs.dedup();
        Ok(outputs)
    }
}

fn output(id: i64, outputs: usize) -> Result<usize, LoadError> {
    usize::try_from(id)
        .ok()
        .filter(|id| *id < outputs)
        .ok_or_else(|| LoadError::malformed("*_ids", "an output that does not exist"))
}
