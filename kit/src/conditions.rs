//! `metav1.Condition` lists: set, read, bounded; the transition time moves only when the status flips.
//!
//! Pure.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Longest message of a condition or event, in bytes.
pub const MAX_MESSAGE: usize = 1024;
/// What ends a text that was cut.
const ELLIPSIS: &str = "...";

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Not known: absent data is its own value.
    Unknown,
}

impl Truth {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// What a condition should say.
#[derive(Clone, Debug)]
pub struct Want<'a> {
    /// Condition type, e.g. `Ready`.
    pub type_: &'a str,
    /// Status.
    pub status: Truth,
    /// `PascalCase` reason out of the kind's documented list.
    pub reason: &'a str,
    /// What it is, and what to do about it. Cleaned and cut here; may quote what others wrote.
    pub message: String,
}

/// What setting a condition changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing, or the observed generation only.
    None,
    /// Reason or message.
    Updated,
    /// The status; the transition time moved. Worth an Event.
    Flipped,
}

/// Sets one condition of a list that is a map by type; adds it at the end when it is new.
#[allow(clippy::needless_pass_by_value)] // a wish is made for one call, and reads better without a reference
pub fn set(conditions: &mut Vec<Condition>, want: Want<'_>, generation: i64, now: Timestamp) -> Change {
    let message = clean(&want.message);
    let status = want.status.as_str();
    let Some(old) = conditions.iter_mut().find(|condition| condition.type_ == want.type_) else {
        conditions.push(Condition {
            type_: want.type_.to_owned(),
            status: status.to_owned(),
            reason: want.reason.to_owned(),
            message,
            observed_generation: Some(generation),
            last_transition_time: Time(now),
        });
        return Change::Flipped;
    };
    let change = if old.status != status {
        Change::Flipped
    } else if old.reason != want.reason || old.message != message {
        Change::Updated
    } else {
        Change::None
    };
    if change == Change::Flipped {
        status.clone_into(&mut old.status);
        old.last_transition_time = Time(now);
    }
    want.reason.clone_into(&mut old.reason);
    old.message = message;
    old.observed_generation = Some(generation);
    change
}

/// One condition by type.
pub fn get<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition is there and `True`.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    get(conditions, type_).is_some_and(|condition| condition.status == Truth::True.as_str())
}

/// Takes a condition away; whether it was there.
pub fn remove(conditions: &mut Vec<Condition>, type_: &str) -> bool {
    let before = conditions.len();
    conditions.retain(|condition| condition.type_ != type_);
    conditions.len() < before
}

/// A text fit for a condition or event: control and bidirectional characters become spaces, at most [`MAX_MESSAGE`].
pub fn clean(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).collect();
    cut(spaced.trim(), MAX_MESSAGE)
}

/// Characters that can break a line of a log, turn the writing direction of what follows, or hide in it.
fn is_unsafe(c: char) -> bool {
    const UNSAFE: [RangeInclusive<char>; 8] = [
        '\u{61c}'..='\u{61c}',
        '\u{180e}'..='\u{180e}',
        '\u{200b}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2060}'..='\u{2069}',
        '\u{feff}'..='\u{feff}',
        '\u{fff9}'..='\u{fffb}',
        '\u{e0000}'..='\u{e007f}',
    ];
    c.is_control() || UNSAFE.iter().any(|range| range.contains(&c))
}

/// The text, cut at a character boundary to at most `max` bytes and marked when it was longer.
pub fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max.saturating_sub(ELLIPSIS.len()));
    format!("{}{ELLIPSIS}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::UNIX_EPOCH;

    fn later() -> Timestamp {
        Timestamp::from_second(60).unwrap()
    }

    fn want(status: Truth, reason: &'static str) -> Want<'static> {
        Want { type_: "Ready", status, reason, message: "because".into() }
    }

    #[test]
    fn the_transition_time_moves_only_on_a_flip() {
        let mut list = Vec::new();
        assert_eq!(set(&mut list, want(Truth::False, "Waiting"), 1, T0), Change::Flipped);
        assert_eq!(set(&mut list, want(Truth::False, "Running"), 2, later()), Change::Updated);
        assert_eq!(list[0].last_transition_time.0, T0);
        assert_eq!(list[0].observed_generation, Some(2));
        assert_eq!(set(&mut list, want(Truth::True, "Done"), 2, later()), Change::Flipped);
        assert_eq!(list[0].last_transition_time.0, later());
        assert_eq!(list.len(), 1);
    }

    #[test]
    fn saying_the_same_again_changes_nothing() {
        let mut list = Vec::new();
        set(&mut list, want(Truth::True, "Done"), 1, T0);
        let before = list.clone();
        assert_eq!(set(&mut list, want(Truth::True, "Done"), 1, later()), Change::None);
        assert_eq!(list, before);
    }

    #[test]
    fn messages_are_bounded_and_hold_no_control_characters() {
        let hostile = format!("a\u{1b}[31m\nlevel=error\u{202e}txt{}", "é".repeat(2000));
        let message = clean(&hostile);
        assert!(message.len() <= MAX_MESSAGE);
        assert!(message.ends_with(ELLIPSIS));
        assert!(!message.chars().any(is_unsafe));
        assert!(message.starts_with("a [31m level=error txt"));
    }

    #[test]
    fn removing_says_whether_it_was_there() {
        let mut list = Vec::new();
        set(&mut list, want(Truth::True, "Done"), 1, T0);
        assert!(is_true(&list, "Ready"));
        assert!(remove(&mut list, "Ready"));
        assert!(!remove(&mut list, "Ready"));
        assert!(get(&list, "Ready").is_none());
    }
}
