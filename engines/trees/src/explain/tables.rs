//! Explains a tree by looking up: what every part of it can say at all, worked out beforehand. Pure arithmetic; no I/O.
//!
//! A part is a node with two levels of splits below it or fewer, its four leaves together. What it contributes depends only on which
//! features of the way to it are open and on the answers below: of a tree of six levels, four and three bits. The table has a row
//! for each such pattern, and in it a contribution of each feature. Sixteen look-ups then do for sixty-four leaves.

use super::paths::Paths;
use super::rule::{Rule, Rules};

/// Levels of splits in a part.
const PART_LEVELS: usize = 2;
/// Most bits of a pattern: above, a table is larger than it is worth.
const MOST_BITS: usize = 12;

#[derive(Clone, Debug)]
pub(super) struct Tables {
    /// The steps to nodes above the parts, and to the parts, each after its parent's.
    above: Vec<Above>,
    parts: Vec<Part>,
    /// Features of all parts' columns.
    columns: Vec<u32>,
    /// Rows of all parts.
    values: Vec<f64>,
}

/// A step above the parts. The pattern of a node has a bit for each feature asked on the way, set while it is open.
#[derive(Clone, Debug)]
struct Above {
    node: u32,
    parent: u32,
    answer: u8,
    bit: u8,
    is_first: bool,
}

#[derive(Clone, Debug)]
struct Part {
    root: u32,
    /// Nodes that ask, whose answers follow the pattern's bits.
    asking: Vec<u32>,
    bits: u32,
    /// Where its columns begin, and its rows.
    columns: std::ops::Range<usize>,
    values: usize,
}

impl Tables {
    /// `None` when they would take more than the room that is left, in bytes.
    pub(super) fn new(paths: &Paths, rules: &mut Rules, room: &mut usize) -> Option<Self> {
        let levels = levels(paths);
        let is_part = |at: usize| levels[at] <= PART_LEVELS && (at == 0 || levels[paths.steps[at].parent] > PART_LEVELS);
        let parts: Vec<Draft> = (0..paths.steps.len()).filter(|at| is_part(*at)).map(|at| Draft::new(paths, at)).collect();
        let bytes = parts.iter().try_fold(0usize, |sum, part| {
            (part.bits() <= MOST_BITS).then(|| sum + (part.columns.len() << part.bits()) * size_of::<f64>())
        })?;
        *room = room.checked_sub(bytes)?;

        let mut tables = Self { above: Vec::new(), parts: Vec::new(), columns: Vec::new(), values: Vec::new() };
        for (at, step) in paths.steps.iter().enumerate().skip(1) {
            if levels[at] > PART_LEVELS || is_part(at) {
                let mut first = at;
                while paths.steps[first].before != 0 {
                    first = paths.steps[first].before;
                }
                tables.above.push(Above {
                    node: at as u32,
                    parent: step.parent as u32,
                    answer: step.answer,
                    bit: paths.steps[first].features as u8 - 1,
                    is_first: step.before == 0,
                });
            }
        }
        let rule = rules.of_features(paths.most_features());
        for part in parts {
            let (columns, values) = (tables.columns.len(), tables.values.len());
            part.fill(paths, &rule, &mut tables.values);
            tables.columns.extend(part.columns.iter().map(|feature| *feature as u32));
            tables.parts.push(Part {
                root: part.root as u32,
                asking: part.asking.iter().map(|at| *at as u32).collect(),
                bits: paths.steps[part.root].features as u32,
                columns: columns..tables.columns.len(),
                values,
            });
        }
        Some(tables)
    }

    /// Adds the contributions of a row that answers like this. `patterns` is room.
    pub(super) fn explain(&self, answers: &[u8], patterns: &mut Vec<u32>, contributions: &mut [f64]) {
        patterns.resize(answers.len(), 0);
        patterns[0] = 0;
        for step in &self.above {
            let parent = step.parent as usize;
            let open = u32::from(answers[parent] == step.answer);
            let (set, kept) = if step.is_first { (open, 1) } else { (0, open) };
            patterns[step.node as usize] = (patterns[parent] | set << step.bit) & !((1 - kept) << step.bit);
        }
        for part in &self.parts {
            let mut row = patterns[part.root as usize];
            for (bit, at) in (part.bits..).zip(&part.asking) {
                row |= u32::from(answers[*at as usize]) << bit;
            }
            let columns = &self.columns[part.columns.clone()];
            let values = &self.values[part.values + row as usize * columns.len()..];
            for (column, value) in columns.iter().zip(values) {
                contributions[*column as usize] += value;
            }
        }
    }
}

/// Levels of splits below each node.
fn levels(paths: &Paths) -> Vec<usize> {
    let mut levels = vec![0; paths.steps.len()];
    for (at, step) in paths.steps.iter().enumerate().skip(1).rev() {
        levels[step.parent] = levels[step.parent].max(levels[at] + 1);
    }
    levels
}

/// A part before its table is worked out.
struct Draft {
    root: usize,
    asking: Vec<usize>,
    leaves: Vec<usize>,
    /// Features asked on the way to any of the leaves.
    columns: Vec<usize>,
    /// Features asked above the root.
    above: usize,
}

/// A feature on the way to a leaf: its column, its share, the bit that says whether it is open above, and which answers below, by their
/// bits, keep it open.
struct Term {
    column: usize,
    share: f64,
    above: Option<usize>,
    below: Vec<(usize, u8)>,
}

impl Draft {
    fn new(paths: &Paths, root: usize) -> Self {
        let mut part =
            Self { root, asking: Vec::new(), leaves: Vec::new(), columns: Vec::new(), above: paths.steps[root].features };
        let mut waiting = vec![root];
        while let Some(at) = waiting.pop() {
            if paths.steps[at].leaf.is_some() {
                part.leaves.push(at);
            } else {
                part.asking.push(at);
                // Children come behind their parent, and there are four leaves at most: nearby, and few.
                waiting.extend((at + 1..paths.steps.len()).filter(|child| paths.steps[*child].parent == at).take(2));
            }
        }
        for leaf in &part.leaves {
            let mut at = *leaf;
            while at != 0 {
                part.columns.push(paths.steps[at].feature);
                at = paths.steps[at].parent;
            }
        }
        part.columns.sort_unstable();
        part.columns.dedup();
        part
    }

    fn bits(&self) -> usize {
        self.above + self.asking.len()
    }

    /// What is known of a leaf whatever the pattern.
    fn terms(&self, paths: &Paths, leaf: usize) -> Vec<Term> {
        let mut terms: Vec<Term> = Vec::new();
        let (mut at, mut is_below) = (leaf, leaf != self.root);
        while at != 0 {
            let step = &paths.steps[at];
            let column = self.columns.binary_search(&step.feature).expect("all features of the way are columns");
            let place = terms.iter().position(|term| term.column == column).unwrap_or_else(|| {
                // Of the last step about a feature, which is met first on the way up: its share covers all of them.
                terms.push(Term { column, share: step.share, above: None, below: Vec::new() });
                terms.len() - 1
            });
            if is_below {
                let bit =
                    self.asking.iter().position(|asking| *asking == step.parent).expect("a part has all nodes below its root");
                terms[place].below.push((self.above + bit, step.answer));
            } else if step.before == 0 {
                terms[place].above = Some(step.features - 1);
            }
            at = step.parent;
            is_below &= at != self.root;
        }
        terms
    }

    /// Appends the rows of all patterns.
    fn fill(&self, paths: &Paths, rule: &Rule, values: &mut Vec<f64>) {
        let start = values.len();
        values.resize(start + (self.columns.len() << self.bits()), 0.0);
        for leaf in &self.leaves {
            let terms = self.terms(paths, *leaf);
            let value = paths.steps[*leaf].leaf.expect("a leaf has a value");
            let (mut factors, mut products) = (vec![0.0; terms.len()], vec![0.0; terms.len()]);
            for (pattern, row) in values[start..].chunks_exact_mut(self.columns.len().max(1)).enumerate() {
                let is_open = |term: &Term| {
                    term.above.is_none_or(|bit| pattern >> bit & 1 == 1)
                        && term.below.iter().all(|(bit, answer)| pattern >> bit & 1 == usize::from(*answer))
                };
                for (point, weight) in rule.points.iter().zip(&rule.weights) {
                    let mut product = weight * value;
                    for ((term, factor), before) in terms.iter().zip(&mut factors).zip(&mut products) {
                        *factor = (1.0 - point) * term.share + if is_open(term) { *point } else { 0.0 };
                        *before = product;
                        product *= *factor;
                    }
                    let mut after = 1.0;
                    for ((term, factor), before) in terms.iter().zip(&factors).zip(&products).rev() {
                        let open = if is_open(term) { 1.0 } else { 0.0 };
                        row[term.column] += (open - term.share) * before * after;
                        after *= factor;
                    }
                }
            }
        }
    }
}
