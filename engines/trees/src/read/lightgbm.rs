//! Reads LightGBM's text format, versions 3 and 4 (`GBDT::SaveModelToString`, `Tree::ToString`). Pure; no I/O.

use super::{Draft, Limits, LoadError, within};
use crate::link::Link;
use crate::model::{Combine, Labels, Precision};
use crate::set::CategorySet;
use crate::tree::{Absent, Kind, Node, Outline, Question, Split, Tree};

/// Lines `key=value` of the head or of a tree, until an empty line that another begins after.
type Section<'a> = Vec<(&'a str, &'a str)>;

pub(crate) fn draft(bytes: &[u8], limits: &Limits) -> Result<Draft, LoadError> {
    let text = str::from_utf8(bytes).map_err(|_| LoadError::malformed("the text", "not UTF-8"))?;
    let mut lines = text.lines();
    if lines.next().map(str::trim_end) != Some("tree") {
        return Err(LoadError::malformed("the first line", "not `tree`"));
    }
    let (head, told) = sections(lines, limits)?;
    if !matches!(find(&head, "version")?, "v2" | "v3" | "v4") {
        return Err(LoadError::unsupported(format!("LightGBM's format {}", find(&head, "version")?)));
    }
    let features = count(&head, "max_feature_idx")?.saturating_add(1);
    let outputs = count(&head, "num_tree_per_iteration")?.max(1);
    within("features", features, limits.features)?;
    within("outputs", outputs, limits.outputs)?;
    let names: Vec<String> = find(&head, "feature_names")?.split_ascii_whitespace().map(str::to_owned).collect();
    if names.len() != features {
        return Err(LoadError::malformed("feature_names", "not as many as max_feature_idx says"));
    }

    let mut left = limits.nodes;
    let trees: Result<Vec<Tree>, LoadError> =
        told.iter().enumerate().map(|(n, tree)| Columns::read(tree)?.tree(features, n % outputs, limits, &mut left)).collect();
    let trees = trees?;
    let averaged = head.iter().any(|(key, _)| *key == "average_output");
    Ok(Draft {
        features,
        names,
        base: vec![0.0; outputs],
        combine: if averaged { Combine::Average { rounds: (trees.len() / outputs).max(1) } } else { Combine::OntoBase },
        link: link(head.iter().find(|(key, _)| *key == "objective").map_or("", |(_, objective)| *objective))?,
        precision: Precision::Double,
        labels: Labels::Numbers,
        trees_per_round: outputs,
        best_round: None, // what comes after it was not saved
        covered: true,
        trees,
    })
}

/// The head and the trees. What follows the trees (importances, parameters) says nothing about predictions.
fn sections<'a>(lines: impl Iterator<Item = &'a str>, limits: &Limits) -> Result<(Section<'a>, Vec<Section<'a>>), LoadError> {
    let (mut head, mut trees) = (Section::new(), Vec::<Section<'a>>::new());
    for line in lines.map(str::trim_end) {
        if line == "end of trees" {
            return Ok((head, trees));
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if key == "Tree" {
            within("trees", trees.len() + 1, limits.trees)?;
            trees.push(Section::new());
        } else if !line.is_empty() {
            trees.last_mut().unwrap_or(&mut head).push((key, value));
        }
    }
    Err(LoadError::malformed("the text", "cut off before `end of trees`"))
}

fn find<'a>(section: &Section<'a>, key: &'static str) -> Result<&'a str, LoadError> {
    let found = section.iter().find(|(of, _)| *of == key).map(|(_, value)| *value);
    found.ok_or_else(|| LoadError::malformed(key, "missing"))
}

fn count(section: &Section<'_>, key: &'static str) -> Result<usize, LoadError> {
    find(section, key)?.trim().parse().map_err(|_| LoadError::malformed(key, "not a count"))
}

fn numbers<T: std::str::FromStr>(section: &Section<'_>, key: &'static str, need: usize) -> Result<Vec<T>, LoadError> {
    let given: Result<Vec<T>, _> = find(section, key)?.split_ascii_whitespace().map(str::parse).collect();
    match given {
        Ok(given) if given.len() == need => Ok(given),
        _ => Err(LoadError::malformed(key, format!("not {need} numbers"))),
    }
}

/// The link of an objective with its parameters, `binary sigmoid:1`; a model of an objective of one's own has none.
fn link(objective: &str) -> Result<Link, LoadError> {
    let mut words = objective.split_ascii_whitespace();
    let name = words.next().unwrap_or("custom");
    let parameters: Vec<&str> = words.collect();
    let scale = || {
        let given = parameters.iter().find_map(|word| word.strip_prefix("sigmoid:")).map_or(Ok(1.0), str::parse);
        let finite = given.ok().filter(|scale: &f64| scale.is_finite());
        finite.ok_or_else(|| LoadError::malformed("objective", "a sigmoid that is no number"))
    };
    match name {
        "binary" | "multiclassova" => Ok(Link::Sigmoid { scale: scale()? }),
        "multiclass" => Ok(Link::Softmax),
        "cross_entropy" => Ok(Link::Sigmoid { scale: 1.0 }),
        "cross_entropy_lambda" => Ok(Link::LogOnePlusExp),
        "poisson" | "gamma" | "tweedie" => Ok(Link::Exp),
        // The root of the label is learnt with some of the regressions.
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" if parameters.contains(&"sqrt") => {
            Ok(Link::SignedSquare)
        }
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" | "lambdarank" | "rank_xendcg" | "custom" => {
            Ok(Link::Identity)
        }
        other => Err(LoadError::unsupported(format!("the objective {other}"))),
    }
}

/// Bits of `decision_type`.
const IS_CATEGORY: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

/// A tree as LightGBM writes it: inner nodes and leaves are counted apart, and a child below zero is a leaf (`-1 - leaf`).
struct Columns {
    feature: Vec<usize>,
    threshold: Vec<f64>,
    decision: Vec<u8>,
    left: Vec<i64>,
    right: Vec<i64>,
    leaf: Vec<f64>,
    inner_cover: Vec<f64>,
    leaf_cover: Vec<f64>,
    sets: Vec<CategorySet>,
}

impl Columns {
    fn read(section: &Section<'_>) -> Result<Self, LoadError> {
        if section.iter().any(|(key, value)| *key == "is_linear" && value.trim() != "0") {
            return Err(LoadError::unsupported("linear_tree"));
        }
        let leaves = count(section, "num_leaves")?;
        let Some(inner) = leaves.checked_sub(1) else { return Err(LoadError::malformed("num_leaves", "none")) };
        let leaf = numbers(section, "leaf_value", leaves)?; // from here on the count is no greater than the file
        if inner == 0 {
            return Ok(Self {
                feature: Vec::new(),
                threshold: Vec::new(),
                decision: Vec::new(),
                left: Vec::new(),
                right: Vec::new(),
                leaf,
                inner_cover: Vec::new(),
                leaf_cover: vec![1.0], // a tree that asks nothing has nothing to share out
                sets: Vec::new(),
            });
        }
        Ok(Self {
            feature: numbers(section, "split_feature", inner)?,
            threshold: numbers(section, "threshold", inner)?,
            decision: numbers(section, "decision_type", inner)?,
            left: numbers(section, "left_child", inner)?,
            right: numbers(section, "right_child", inner)?,
            leaf,
            inner_cover: numbers(section, "internal_count", inner)?,
            leaf_cover: numbers(section, "leaf_count", leaves)?,
            sets: sets(section, inner)?,
        })
    }

    fn tree(&self, features: usize, output: usize, limits: &Limits, left: &mut usize) -> Result<Tree, LoadError> {
        let inner = self.feature.len();
        let outline = Outline { root: 0, count: inner + self.leaf.len(), features, output };
        Tree::gather(&outline, limits, left, |at| match at.checked_sub(inner) {
            Some(leaf) => Ok(Node { cover: self.leaf_cover[leaf], kind: Kind::Leaf(self.leaf[leaf]) }),
            None => Ok(Node { cover: self.inner_cover[at], kind: Kind::Split(self.split(at)?) }),
        })
    }

    fn split(&self, at: usize) -> Result<Split, LoadError> {
        let inner = self.feature.len();
        let child = |number: i64| if number < 0 { inner.saturating_add(!number as usize) } else { number as usize };
        let (yes, no, feature) = (child(self.left[at]), child(self.right[at]), self.feature[at]);
        if self.decision[at] & IS_CATEGORY != 0 {
            let set = self.sets.get(self.threshold[at] as usize);
            let set = set.ok_or_else(|| LoadError::malformed("threshold", "a set that does not exist"))?.clone();
            // Whatever the missing type, what is no category goes right.
            let question = Question::Category(set);
            return Ok(Split { feature, question, absent: Absent::Nan, absent_is_yes: false, yes, no });
        }
        let absent = match self.decision[at] >> 2 & 3 {
            0 => Absent::Never,
            1 => Absent::NanAndZero,
            2 => Absent::Nan,
            _ => return Err(LoadError::malformed("decision_type", "an unknown way with missing values")),
        };
        let absent_is_yes = self.decision[at] & DEFAULT_LEFT != 0;
        Ok(Split { feature, question: Question::AtMost(self.threshold[at]), absent, absent_is_yes, yes, no })
    }
}

/// Sets of categories: words of 32, and where those of each set begin.
fn sets(section: &Section<'_>, inner: usize) -> Result<Vec<CategorySet>, LoadError> {
    let sets = count(section, "num_cat")?;
    if sets == 0 {
        return Ok(Vec::new());
    }
    if sets > inner {
        return Err(LoadError::malformed("num_cat", "more than there are splits"));
    }
    let starts: Vec<usize> = numbers(section, "cat_boundaries", sets + 1)?;
    let words: Vec<u32> = numbers(section, "cat_threshold", starts[sets])?;
    let own = starts.windows(2).map(|ends| {
        // Ascending, so that no two have words in common.
        let own = if ends[0] <= ends[1] { words.get(ends[0]..ends[1]) } else { None };
        own.map(CategorySet::of_words).ok_or_else(|| LoadError::malformed("cat_boundaries", "not ascending"))
    });
    own.collect()
}
