//! Reads XGBoost's models, by the schema of its documentation ("Introduction to Model IO"), versions 1.7 to 3.x. Pure; no I/O.

use super::value::Value;
use super::{Draft, Limits, LoadError, within};
use crate::link::Link;
use crate::model::{Combine, Labels, Precision};
use crate::set::CategorySet;
use crate::tree::{Absent, Kind, Node, Outline, Question, Split, Tree};

pub(crate) fn draft(document: &Value<'_>, limits: &Limits) -> Result<Draft, LoadError> {
    let learner = document.field("learner")?;
    let parameters = learner.field("learner_model_param")?;
    let features = parameters.counted("num_feature")?;
    let outputs = parameters.counted("num_class")?.max(parameters.find("num_target").map_or(Ok(1), |_| {
        parameters.counted("num_target") // unknown to 1.6 and before
    })?);
    within("features", features, limits.features)?;
    within("outputs", outputs, limits.outputs)?;

    let booster = learner.field("gradient_booster")?;
    let name = booster.text("name")?;
    let booster = match name {
        // 1.7 to 3.0 put the trees of dart one object deeper.
        "dart" => booster.find("gbtree").unwrap_or(booster),
        "gbtree" => booster,
        other => return Err(LoadError::unsupported(format!("the booster {other}"))),
    };
    let model = booster.field("model")?;
    let weights = match (learner.field("gradient_booster")?.find("weight_drop"), model.find("weight_drop")) {
        (Some(_), _) => learner.field("gradient_booster")?.floats("weight_drop")?,
        (_, Some(_)) => model.floats("weight_drop")?,
        _ => Vec::new(),
    };
    let link = Objective::of(learner.field("objective")?.text("name")?)?;

    let of_tree = model.integers("tree_info")?;
    let told = model.list("trees")?;
    within("trees", told.len(), limits.trees)?;
    if of_tree.len() != told.len() || !(weights.is_empty() || weights.len() == told.len()) {
        return Err(LoadError::malformed("trees", "not as many as tree_info or weight_drop"));
    }
    let mut left = limits.nodes;
    let mut trees = Vec::with_capacity(told.len());
    for (n, tree) in told.iter().enumerate() {
        let output = usize::try_from(of_tree[n]).ok().filter(|output| *output < outputs);
        let output = output.ok_or_else(|| LoadError::malformed("tree_info", "an output that does not exist"))?;
        let weight = weights.get(n).copied().unwrap_or(1.0);
        trees.push(Columns::read(tree)?.tree(features, output, weight, limits, &mut left)?);
    }

    let parallel = model.field("gbtree_model_param")?.counted("num_parallel_tree")?.max(1);
    Ok(Draft {
        trees,
        features,
        names: names(learner, features)?,
        base: base(parameters.text("base_score")?, outputs, link)?,
        combine: Combine::OntoBase,
        link: link.link(),
        precision: Precision::Single,
        labels: Labels::Numbers,
        trees_per_round: parallel.saturating_mul(outputs),
        best_round: learner.find("attributes").and_then(|of| of.find("best_iteration")).and_then(|best| match best {
            Value::Text(text) => text.parse().ok(),
            _ => None,
        }),
        covered: true,
    })
}

/// Families of objectives: which link they have, and whether `base_score` is given before or behind it.
#[derive(Clone, Copy)]
enum Objective {
    Plain,
    Logistic,
    Log,
    Classes,
    Hinge,
}

impl Objective {
    fn of(name: &str) -> Result<Self, LoadError> {
        match name {
            "binary:logistic" | "reg:logistic" => Ok(Self::Logistic),
            "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" | "survival:aft" => Ok(Self::Log),
            "multi:softprob" | "multi:softmax" => Ok(Self::Classes),
            "binary:hinge" => Ok(Self::Hinge),
            "binary:logitraw"
            | "reg:squarederror"
            | "reg:linear"
            | "reg:squaredlogerror"
            | "reg:pseudohubererror"
            | "reg:absoluteerror"
            | "reg:quantileerror"
            | "reg:expectileerror"
            | "rank:pairwise"
            | "rank:ndcg"
            | "rank:map" => Ok(Self::Plain),
            other => Err(LoadError::unsupported(format!("the objective {other}"))),
        }
    }

    fn link(self) -> Link {
        match self {
            Self::Plain => Link::Identity,
            Self::Logistic => Link::Sigmoid { scale: 1.0 },
            Self::Log => Link::Exp,
            Self::Classes => Link::Softmax,
            Self::Hinge => Link::Step,
        }
    }

    /// The margin of a base score, in the single floats that XGBoost works it out in.
    fn margin(self, score: f32) -> f32 {
        match self {
            Self::Logistic => -(1.0 / score - 1.0).ln(),
            Self::Log => score.ln(),
            Self::Plain | Self::Classes | Self::Hinge => score,
        }
    }
}

/// `base_score` is `"5E-1"` to version 3.0, and `"[5E-1]"` or one for each output from 3.1 on.
fn base(text: &str, outputs: usize, objective: Objective) -> Result<Vec<f64>, LoadError> {
    let wrong = || LoadError::malformed("base_score", "not one finite number, nor one for each output");
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let scores: Option<Vec<f32>> = inner.split(',').map(|score| score.trim().parse().ok()).collect();
    let margins: Vec<f64> = scores.ok_or_else(wrong)?.into_iter().map(|score| f64::from(objective.margin(score))).collect();
    if margins.iter().any(|margin| !margin.is_finite()) {
        return Err(wrong());
    }
    match margins.len() {
        1 => Ok(vec![margins[0]; outputs]),
        count if count == outputs => Ok(margins),
        _ => Err(wrong()),
    }
}

fn names(learner: &Value<'_>, features: usize) -> Result<Vec<String>, LoadError> {
    let Some(Value::List(names)) = learner.find("feature_names") else { return Ok(Vec::new()) };
    if names.len() != features && !names.is_empty() {
        return Err(LoadError::malformed("feature_names", "not as many as num_feature"));
    }
    let name = |value: &Value<'_>| match value {
        Value::Text(name) => Ok(name.to_string()),
        _ => Err(LoadError::malformed("feature_names", "not a text")),
    };
    names.iter().map(name).collect()
}

/// A tree as XGBoost writes it: a list for each property, in it a place for each node.
struct Columns {
    left: Vec<i64>,
    right: Vec<i64>,
    feature: Vec<i64>,
    /// A split's threshold, a leaf's value.
    condition: Vec<f32>,
    is_category: Vec<i64>,
    default_left: Vec<i64>,
    cover: Vec<f32>,
    categories: Vec<i64>,
    /// Nodes that ask for categories, ascending, and where the categories of each begin and how many they are.
    category_nodes: Vec<i64>,
    category_starts: Vec<i64>,
    category_counts: Vec<i64>,
}

impl Columns {
    fn read(tree: &Value<'_>) -> Result<Self, LoadError> {
        let width = tree.field("tree_param")?.find("size_leaf_vector");
        if matches!(width, Some(Value::Text(width)) if !matches!(width.as_ref(), "0" | "1")) {
            return Err(LoadError::unsupported("multi_strategy multi_output_tree (a vector in each leaf)"));
        }
        let categories = |name| if tree.find(name).is_some() { tree.integers(name) } else { Ok(Vec::new()) };
        let columns = Self {
            left: tree.integers("left_children")?,
            right: tree.integers("right_children")?,
            feature: tree.integers("split_indices")?,
            condition: tree.floats("split_conditions")?,
            is_category: categories("split_type")?,
            default_left: tree.integers("default_left")?,
            cover: tree.floats("sum_hessian")?,
            categories: categories("categories")?,
            category_nodes: categories("categories_nodes")?,
            category_starts: categories("categories_segments")?,
            category_counts: categories("categories_sizes")?,
        };
        let count = columns.left.len();
        let lengths = [columns.right.len(), columns.feature.len(), columns.default_left.len()];
        if count == 0 || lengths != [count; 3] || columns.condition.len() != count || columns.cover.len() != count {
            return Err(LoadError::malformed("a tree's lists", "not of one length"));
        }
        if !columns.is_category.is_empty() && columns.is_category.len() != count
            || columns.category_starts.len() != columns.category_nodes.len()
            || columns.category_counts.len() != columns.category_nodes.len()
        {
            return Err(LoadError::malformed("a tree's lists of categories", "not of one length"));
        }
        // Each has its own: a file in which all nodes claim the same would grow by being read.
        let claimed = columns.category_counts.iter().fold(0u64, |sum, count| sum.saturating_add(count.unsigned_abs()));
        if claimed > columns.categories.len() as u64 {
            return Err(LoadError::malformed("categories_sizes", "more than there are"));
        }
        Ok(columns)
    }

    fn tree(&self, features: usize, output: usize, weight: f32, limits: &Limits, left: &mut usize) -> Result<Tree, LoadError> {
        let outline = Outline { root: 0, count: self.left.len(), features, output };
        Tree::gather(&outline, limits, left, |at| {
            let kind = match (self.left[at], self.right[at]) {
                (-1, -1) => Kind::Leaf(f64::from(self.condition[at] * weight)),
                (left, right) => Kind::Split(self.split(at, (left, right))?),
            };
            Ok(Node { cover: f64::from(self.cover[at]), kind })
        })
    }

    fn split(&self, at: usize, (left, right): (i64, i64)) -> Result<Split, LoadError> {
        let (left, right) = (child(left)?, child(right)?);
        let feature = usize::try_from(self.feature[at]).map_err(|_| LoadError::malformed("split_indices", "below zero"))?;
        let default_left = self.default_left[at] != 0;
        let split =
            |question, absent_is_yes, yes, no| Ok(Split { feature, question, absent: Absent::Nan, absent_is_yes, yes, no });
        if self.is_category.get(at).is_some_and(|kind| *kind != 0) {
            // What is in the set goes right.
            split(Question::Category(self.set(at)?), !default_left, right, left)
        } else {
            split(Question::Below(f64::from(self.condition[at])), default_left, left, right)
        }
    }

    fn set(&self, at: usize) -> Result<CategorySet, LoadError> {
        let wrong = || LoadError::malformed("categories", "a node without its own");
        let place = self.category_nodes.binary_search(&(at as i64)).map_err(|_| wrong())?;
        let start = usize::try_from(self.category_starts[place]).map_err(|_| wrong())?;
        let count = usize::try_from(self.category_counts[place]).map_err(|_| wrong())?;
        let own = self.categories.get(start..).and_then(|from| from.get(..count)).ok_or_else(wrong)?;
        let own: Result<Vec<u32>, _> = own.iter().map(|category| u32::try_from(*category)).collect();
        Ok(CategorySet::of_categories(own.map_err(|_| wrong())?))
    }
}

fn child(number: i64) -> Result<usize, LoadError> {
    usize::try_from(number).map_err(|_| LoadError::malformed("left_children, right_children", "below zero"))
}
