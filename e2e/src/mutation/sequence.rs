//! A sequence of changes, chosen by a seed: what people do to one object, and when. No I/O.

use super::schema::Field;
use crate::faults::{dice::Dice, player::Behaviour};
use serde_json::{Value, json};
use std::fmt;

/// Changes of one sequence.
const CHANGES: std::ops::RangeInclusive<usize> = 3..=6;
/// Pods that do something else than their work at once.
const PODS: usize = 4;
/// Most writes of the operator between two changes: about as many as a title takes from its creation to its end.
const MOST_WRITES: usize = 14;

/// What people do.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Change the spec by this merge patch.
    Set(Value),
    /// Want again what was wanted first.
    Restore,
    /// Have it looked at.
    Nudge,
    /// Delete it, wait until it is gone, make it again.
    Replace,
}

/// When they do it. When the object comes to rest before, then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// After so many more writes of the operator.
    Writes(usize),
    /// When the object gives this reason.
    Reason(String),
    /// When it has come to rest.
    Rest,
}

/// One change at its moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    /// When.
    pub when: When,
    /// What.
    pub change: Change,
}

/// What is done to one object from its creation to the last wish.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// Seed of all sequences.
    pub seed: u64,
    /// Which one of the seed's.
    pub number: u64,
    /// What the pods of the first attempts do, as long as there are changes to come.
    pub pods: Vec<Behaviour>,
    /// The changes.
    pub moves: Vec<Move>,
}

impl Sequence {
    /// The sequence of this number: each group of fields of a spec is as likely to be changed as any other.
    pub fn new(seed: u64, number: u64, fields: &[Field], reasons: &[&str]) -> Self {
        let mut dice = Dice::of(seed, number);
        let pods = (0..PODS).map(|_| pod(&mut dice)).collect();
        let count = CHANGES.start() + dice.below(CHANGES.end() - CHANGES.start() + 1);
        let moves = (0..count).map(|_| Move { when: when(&mut dice, reasons), change: change(&mut dice, fields) }).collect();
        Self { seed, number, pods, moves }
    }

    /// Nothing but a wish.
    pub fn straight() -> Self {
        Self { seed: 0, number: 0, pods: Vec::new(), moves: Vec::new() }
    }

    /// The same without one of its changes.
    #[must_use]
    pub fn without(&self, index: usize) -> Self {
        let mut less = self.clone();
        less.moves.remove(index);
        less
    }
}

fn pod(dice: &mut Dice) -> Behaviour {
    match dice.below(12) {
        0 => Behaviour::Crashes,
        1 => Behaviour::OutOfMemory,
        2 => Behaviour::Evicted,
        3..8 => Behaviour::Lingers,
        _ => Behaviour::Succeeds,
    }
}

fn when(dice: &mut Dice, reasons: &[&str]) -> When {
    match dice.below(10) {
        0 => When::Now,
        1 => When::Rest,
        2..6 => When::Writes(1 + dice.below(MOST_WRITES)),
        _ => When::Reason(dice.pick(reasons).to_owned()),
    }
}

fn change(dice: &mut Dice, fields: &[Field]) -> Change {
    let mut groups: Vec<&str> = fields.iter().map(|field| field.path[0].as_str()).collect();
    groups.dedup();
    groups.sort_unstable();
    groups.dedup();
    match dice.below(groups.len() + 3) {
        0 => Change::Restore,
        1 => Change::Nudge,
        2 => Change::Replace,
        group => {
            let mut patch = set(dice, fields, groups[group - 3]);
            // Now and then two at once: some values are good only together.
            if dice.below(3) == 0 {
                let other = dice.pick(&groups);
                merge_patch(&mut patch, &set(dice, fields, other));
            }
            Change::Set(patch)
        }
    }
}

fn set(dice: &mut Dice, fields: &[Field], group: &str) -> Value {
    let of: Vec<&Field> = fields.iter().filter(|field| field.path[0] == group).collect();
    // What turns a group on and off changes more than any of the rest, which are the more the finer it can be set.
    let switch = of.iter().find(|field| field.path.last().is_some_and(|name| name == "enabled"));
    let field = match switch {
        Some(switch) if dice.below(2) == 0 => *switch,
        _ => dice.pick(&of),
    };
    field.set(dice.pick(&field.values))
}

/// Two patches as one: a null stays, it is a wish of the patch.
fn merge_patch(patch: &mut Value, other: &Value) {
    match (patch.as_object_mut(), other.as_object()) {
        (Some(object), Some(other)) => {
            for (name, value) in other {
                merge_patch(object.entry(name.clone()).or_insert_with(|| json!({})), value);
            }
        }
        _ => patch.clone_from(other),
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(patch) => write!(f, "spec {patch}"),
            Self::Restore => f.write_str("the first spec again"),
            Self::Nudge => f.write_str("nudged"),
            Self::Replace => f.write_str("deleted and made again"),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("at once"),
            Self::Writes(1) => f.write_str("after 1 write"),
            Self::Writes(count) => write!(f, "after {count} writes"),
            Self::Reason(reason) => write!(f, "at {reason}"),
            Self::Rest => f.write_str("at rest"),
        }
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.when, self.change)
    }
}

/// As steps that a person can repeat by hand.
impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pods: {:?}\nchanges:", self.pods)?;
        for step in &self.moves {
            writeln!(f, "- {step}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn fields() -> Vec<Field> {
        let field = |path: &[&str], values: Vec<Value>| Field { path: path.iter().map(|&name| name.into()).collect(), values };
        vec![
            field(&["a", "b"], vec![1.into(), 2.into()]),
            field(&["a", "c"], vec![true.into(), Value::Null]),
            field(&["d"], vec!["x".into()]),
        ]
    }

    #[test]
    fn a_sequence_is_its_seed_and_number() {
        let of = |seed, number| Sequence::new(seed, number, &fields(), &["Working"]);
        assert_eq!(of(1, 2), of(1, 2));
        assert_ne!(of(1, 2).moves, of(1, 3).moves);
        assert_eq!(of(1, 2).without(0).moves, of(1, 2).moves[1..]);
    }

    #[test]
    fn every_field_every_kind_of_change_and_every_moment_comes_up() {
        let all: Vec<Move> = (0..60).flat_map(|number| Sequence::new(5, number, &fields(), &["Working"]).moves).collect();
        let changes: BTreeSet<String> = all.iter().map(|step| step.change.to_string()).collect();
        for wanted in [
            r#"spec {"a":{"b":1}}"#,
            r#"spec {"a":{"c":null}}"#,
            r#"spec {"d":"x"}"#,
            "the first spec again",
            "nudged",
            "deleted and made again",
        ] {
            assert!(changes.contains(wanted), "{wanted} is not in {changes:?}");
        }
        assert!(changes.iter().any(|change| change.contains("\"a\"") && change.contains("\"d\"")), "two at once");
        let moments: BTreeSet<String> = all.iter().map(|step| step.when.to_string()).collect();
        for wanted in ["at once", "at rest", "at Working", "after 1 write", "after 14 writes"] {
            assert!(moments.contains(wanted), "{wanted} is not in {moments:?}");
        }
    }

    #[test]
    fn two_wishes_in_one_patch_keep_their_nulls() {
        let mut patch = json!({ "a": { "b": 1 } });
        merge_patch(&mut patch, &json!({ "a": { "c": null } }));
        assert_eq!(patch, json!({ "a": { "b": 1, "c": null } }));
    }
}
