//! The journal: numbered pages of entries, each page with the digest of the one before it.
//!
//! Pages are JSON, written once and never changed. Whoever has them all can add them up again, and sees where one was
//! changed, left out or put in.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::amount::Amount;
use crate::book::Book;
use crate::lease::{Statement, Terms};

/// First field of every page.
pub const SCHEMA: &str = "showrunner.dev/ledger-page/v1";
/// Largest page that is read, bytes: every so often one holds what all before it add up to.
pub const MAX_PAGE: usize = 64 << 20;
/// Every so many pages, one holds what all before it and it itself add up to: who starts reads from there.
pub const STATE_EVERY: u64 = 256;
/// What stands for the digest of the page before the first.
pub const NOTHING_BEFORE: &str = "none";

/// One page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// [`SCHEMA`].
    pub schema: String,
    /// From 1, without gaps.
    pub sequence: u64,
    /// Digest of the page before.
    pub previous: String,
    /// When it was written, never before the page before it.
    pub at: Timestamp,
    /// Which replica wrote it.
    pub writer: String,
    /// What happened, in this order.
    pub entries: Vec<Entry>,
    /// What everything up to and with this page adds up to; only on every [`STATE_EVERY`]th page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Box<Book>>,
}

/// Something that happened to one piece of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Names the work, once and for ever: `namespace/job` for an attempt, `lease/namespace/caller/id` for a lease.
    pub key: String,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all_fields = "camelCase")]
pub enum Fact {
    /// So much may be spent on it, at most.
    Reserve {
        /// Upper bound.
        amount: Amount,
        /// Budgets that it is held against, parents first.
        chain: Vec<String>,
        /// What the work is.
        who: Who,
        /// It runs already, or was let in by a budget that only watches: nobody asked whether there was room.
        #[serde(default, skip_serializing_if = "is_false")]
        forced: bool,
        /// It is a lease, and not a job.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease: Option<Box<Terms>>,
    },
    /// It did not start, and what was reserved is free again.
    Release,
    /// It has ended, and this is what it cost.
    Settle {
        /// What it cost.
        amount: Amount,
        /// Where that is booked, one for each budget of its chain.
        bookings: Vec<Booking>,
        /// What of it was for which model. Sums to the amount, or is empty where nobody knows.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parts: Vec<Part>,
        /// What the work was.
        who: Who,
        /// Nobody knows what ran: it is the upper bound.
        #[serde(default, skip_serializing_if = "is_false")]
        bound: bool,
        /// What somebody said that a lease was used for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        said: Option<Box<Statement>>,
    },
    /// A correction, such as what a bill says otherwise. May be negative.
    Adjust {
        /// By how much.
        amount: Amount,
        /// Where.
        bookings: Vec<Booking>,
        /// Why, for people.
        why: String,
        /// What somebody said that a lease was used for, after it had ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        said: Option<Box<Statement>>,
    },
    /// People were told that a budget has crossed a line; remembered so that they are told once.
    Told {
        /// Budget.
        budget: String,
        /// Period.
        period: String,
        /// Which line.
        level: Level,
    },
}

/// Where an amount is booked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booking {
    /// Budget.
    pub budget: String,
    /// Label of its period.
    pub period: String,
    /// Day in the budget's time zone, `2026-11-07`.
    pub day: String,
}

/// What a piece of work is, as far as money goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Kind of the resource that it works for.
    pub kind: String,
    /// UID of that.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name of the resource: the title.
    pub name: String,
    /// Accelerator class.
    pub class: String,
}

/// A model's part of what an attempt cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Model, or the step's algorithm where it has none.
    pub model: String,
    /// Its part.
    pub amount: Amount,
}

impl Part {
    /// Tells an amount apart by weights. The parts sum to it: what is left by rounding goes to the first ones, a millionth each.
    #[must_use]
    pub fn split(total: Amount, weights: &[(String, u64)]) -> Vec<Self> {
        let mut by_model: std::collections::BTreeMap<&str, i128> = std::collections::BTreeMap::new();
        for (model, weight) in weights {
            *by_model.entry(model).or_default() += i128::from(*weight);
        }
        by_model.retain(|_, weight| *weight > 0);
        let all: i128 = by_model.values().sum();
        let mut parts: Vec<Self> = by_model
            .into_iter()
            .map(|(model, weight)| Self { model: model.to_owned(), amount: total.part(weight, all) })
            .collect();
        let rest = (total - parts.iter().map(|part| part.amount).sum()).micros();
        for part in parts.iter_mut().take(usize::try_from(rest.unsigned_abs()).unwrap_or_default()) {
            part.amount += Amount::from_micros(rest.signum());
        }
        parts
    }
}

/// A line that spending crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// The period is expected to end above the cap.
    Forecast,
    /// The warning.
    Warn,
    /// The cap: nothing more is let start.
    Cap,
}

/// A page that is none, or not the next one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// It cannot be read.
    #[error("failed to read page {sequence} of the ledger: {message}")]
    Unreadable {
        /// Which.
        sequence: u64,
        /// Why.
        message: String,
    },
    /// It does not follow from the one before it.
    #[error("page {sequence} of the ledger does not follow the page before it: {message}")]
    Broken {
        /// Which.
        sequence: u64,
        /// Why.
        message: String,
    },
}

impl PageError {
    /// Whether the journal was changed after it was written.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Broken { .. })
    }
}

impl Page {
    /// The page as it is stored, with its digest.
    #[must_use]
    pub fn to_bytes(&self) -> (Vec<u8>, String) {
        let bytes = serde_json::to_vec(self).expect("a page holds nothing that JSON cannot say");
        let digest = digest(&bytes);
        (bytes, digest)
    }

    /// Reads page `sequence`, with its digest. `previous` is the digest of the page before it; none for a page from which
    /// reading begins, if it holds a state.
    pub fn read(bytes: &[u8], sequence: u64, previous: Option<&str>) -> Result<(Self, String), PageError> {
        let unreadable = |message: String| PageError::Unreadable { sequence, message };
        if bytes.len() > MAX_PAGE {
            return Err(unreadable(format!("it has more than {MAX_PAGE} bytes")));
        }
        let page: Self = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
        if page.schema != SCHEMA {
            return Err(unreadable(format!(
                "its schema is {:?}, and {SCHEMA} is known here",
                crate::journal::short(&page.schema)
            )));
        }
        let broken = |message: &str| PageError::Broken { sequence, message: message.to_owned() };
        if page.sequence != sequence {
            return Err(broken("it has another number"));
        }
        match previous {
            Some(previous) if previous != page.previous => {
                return Err(broken("the digest in it is not that of the page before: one of them was changed or put in later"));
            }
            // Whoever begins here looks whether it holds what is before it.
            Some(_) | None => {}
        }
        Ok((page, digest(bytes)))
    }
}

/// Digest of a page.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("a string takes all that is written");
    }
    text
}

/// The beginning of a text that somebody else wrote.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}
