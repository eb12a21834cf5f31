//! What may be added to the journal: limits, budgets in a tree, and whether work may start.
//!
//! All budgets that match the work, and their parents, must have room: a child can only be stricter.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::amount::Amount;
use crate::book::Book;
use crate::journal::Level;
use crate::lease::LeaseRules;
use crate::period::Period;

/// Most parents above a budget, and most budgets over one piece of work.
pub const MAX_CHAIN: usize = 16;

/// A warning and a cap; none where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// People are told from here on.
    pub warn: Option<Amount>,
    /// Nothing more is let start that could go beyond.
    pub cap: Option<Amount>,
}

impl Limits {
    /// The stricter of both.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        let least = |a: Option<Amount>, b: Option<Amount>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        };
        Self { warn: least(self.warn, other.warn), cap: least(self.cap, other.cap) }
    }

    /// Both raised by what somebody allowed beyond them.
    #[must_use]
    pub fn raised(self, by: Amount) -> Self {
        Self { warn: self.warn.map(|warn| warn + by), cap: self.cap.map(|cap| cap + by) }
    }
}

/// What a budget does when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Work waits.
    Enforce,
    /// Work goes on; what would have waited is counted.
    Watch,
}

/// A budget as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Name.
    pub name: String,
    /// The one above it.
    pub parent: Option<String>,
    /// The period now.
    pub period: Period,
    /// The limits now, with what was allowed beyond them.
    pub limits: Limits,
    /// What it does.
    pub mode: Mode,
    /// Why its limits are not known, where they are not: batch work waits until they are.
    pub blind: Option<String>,
    /// It is being deleted, and lets nothing more start.
    pub closing: bool,
    /// How leases are that are held against it.
    pub leases: LeaseRules,
}

/// All budgets, by name.
pub type Budgets = BTreeMap<String, Budget>;

/// Whether work may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Admit {
        /// Budgets that it is held against, parents first.
        chain: Vec<String>,
        /// Those that only watch, and would have let it wait.
        would_wait: Vec<String>,
    },
    /// It may not.
    Wait(Wait),
}

/// Why work waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Which budget.
    pub budget: String,
    /// Why.
    pub why: Why,
}

/// Why a budget lets work wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is room for it once what is reserved turns out to cost less, or somebody raises the cap.
    Full {
        /// What is left.
        left: Amount,
        /// When there is room at the latest: the next period.
        until: Timestamp,
    },
    /// There is no room for it in this period whatever comes of what is reserved.
    Spent {
        /// What is left if all that is reserved costs nothing.
        left: Amount,
        /// The next period.
        until: Timestamp,
    },
    /// It needs more than the whole cap.
    TooLarge {
        /// The cap.
        cap: Amount,
    },
    /// The budget's limits are not known now.
    Blind(String),
    /// The budget is being deleted.
    Closing,
    /// Its parent is not there, or is its child.
    NoParent(String),
}

/// The budgets that these and their parents are, parents first. Fails where one is missing, or where they go round.
pub fn chain(budgets: &Budgets, matching: &[&str]) -> Result<Vec<String>, Wait> {
    let mut chain: Vec<String> = Vec::new();
    for name in matching {
        let mut path: Vec<String> = Vec::new();
        let mut next = Some((*name).to_owned());
        while let Some(name) = next.take() {
            let orphan = |why: String| Wait { budget: path.first().unwrap_or(&name).clone(), why: Why::NoParent(why) };
            let Some(budget) = budgets.get(&name) else {
                return Err(orphan(format!("its parent {name} does not exist")));
            };
            if path.contains(&name) {
                return Err(orphan(format!("{name} is its own parent")));
            }
            if path.len() == MAX_CHAIN {
                return Err(orphan(format!("it has more than {MAX_CHAIN} parents")));
            }
            path.push(name);
            next.clone_from(&budget.parent);
        }
        for name in path.into_iter().rev() {
            if !chain.contains(&name) {
                chain.push(name);
            }
        }
    }
    Ok(chain)
}

/// What is left of a budget for work that starts now; none where there is no cap. Less than nothing where a bill came late.
pub fn headroom(book: &Book, budget: &Budget) -> Option<Amount> {
    Some(budget.limits.cap? - book.spent(&budget.name, &budget.period.label) - book.reserved(&budget.name))
}

/// Whether work may start that costs at most `need`, where `promised` is already given away beside what is in the book.
pub fn decide(book: &Book, budgets: &Budgets, matching: &[&str], need: Amount, promised: &BTreeMap<String, Amount>) -> Decision {
    let chain = match chain(budgets, matching) {
        Ok(chain) => chain,
        Err(wait) => return Decision::Wait(wait),
    };
    let mut would_wait = Vec::new();
    let mut first: Option<Wait> = None;
    for name in &chain {
        let budget = &budgets[name];
        let promised = promised.get(name).copied().unwrap_or_default();
        let Some(why) = refusal(book, budget, need, promised) else { continue };
        match budget.mode {
            Mode::Watch => would_wait.push(name.clone()),
            // One that holds longest is told: that is what somebody has to look at.
            Mode::Enforce => {
                let wait = Wait { budget: name.clone(), why };
                if first.as_ref().is_none_or(|known| wait.why.rank() > known.why.rank()) {
                    first = Some(wait);
                }
            }
        }
    }
    if let Some(wait) = first {
        return Decision::Wait(wait);
    }
    // One that only watches and is being deleted holds nothing back, and must not be kept by what starts.
    let goes = |name: &String| budgets[name].closing && budgets[name].mode == Mode::Watch;
    let chain = chain.into_iter().filter(|name| !goes(name)).collect();
    Decision::Admit { chain, would_wait }
}

fn refusal(book: &Book, budget: &Budget, need: Amount, promised: Amount) -> Option<Why> {
    if budget.closing {
        return Some(Why::Closing);
    }
    if let Some(why) = &budget.blind {
        return Some(Why::Blind(why.clone()));
    }
    let cap = budget.limits.cap?;
    let left = headroom(book, budget)? - promised;
    if need <= left {
        return None;
    }
    let until = budget.period.end;
    if need > cap {
        return Some(Why::TooLarge { cap });
    }
    // Where everything that is reserved costs nothing. What is promised beside it will be reserved, and counts so, too.
    let best = left + book.reserved(&budget.name) + promised;
    Some(if need <= best { Why::Full { left, until } } else { Why::Spent { left: best, until } })
}

impl Why {
    /// How long it lasts, as far as that can be known.
    fn rank(&self) -> u8 {
        match self {
            Self::Full { .. } => 0,
            Self::Spent { .. } => 1,
            Self::Blind(_) => 2,
            Self::Closing => 3,
            Self::TooLarge { .. } => 4,
            Self::NoParent(_) => 5,
        }
    }

    /// Whether room may come before the next period, so that those behind have to leave it.
    pub fn may_end_soon(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}

/// Lines that a budget has crossed, where so much is spent in its period, and so much expected by its end.
pub fn crossed(spent: Amount, budget: &Budget, expected: Option<Amount>) -> BTreeSet<Level> {
    let mut levels = BTreeSet::new();
    if budget.limits.warn.is_some_and(|warn| spent >= warn) {
        levels.insert(Level::Warn);
    }
    if let Some(cap) = budget.limits.cap {
        if spent >= cap {
            levels.insert(Level::Cap);
        }
        if expected.is_some_and(|expected| expected > cap) {
            levels.insert(Level::Forecast);
        }
    }
    levels
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
