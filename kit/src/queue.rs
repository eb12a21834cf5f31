//! A work queue by key: each key waits once, runs once at a time, and backs off for itself alone.
//!
//! Pure: time is an argument (monotonic, since any origin), waiting and running are the driver's ([`crate::controller`]).
//!
//! What the rules are for:
//! - *Dedup*: a key is in the queue at most once and never runs twice at once; an event while it runs makes it run again.
//! - *Backoff counts attempts that failed*, nothing else. Events during a backoff neither shorten nor lengthen it, so a
//!   chatty child cannot make a poisoned object hot, nor push its next attempt away. Only new intent (see
//!   [`crate::object::intent_of`]) ends a backoff early, and forgets the failures.
//! - *Priority without starvation*: keys are taken in the order of the time they became ready plus a handicap, so a
//!   fresh change overtakes a resync, but never one that has waited longer than the handicap.

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::clock::Mono;

/// Why a key is put into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The object itself was seen, with this intent ([`crate::object::intent_of`]).
    Seen {
        /// The object's intent.
        intent: u64,
        /// Seen in the first list after a start: not urgent, nobody just asked for it.
        initial: bool,
    },
    /// Something that the object owns or refers to changed.
    Related,
    /// The object is gone: the key is forgotten, at once or when its run ends.
    Gone,
}

/// How a run of a key ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It worked; look again after this long (`None`: on the resync only).
    Done {
        /// Delay until the next look.
        again: Option<Duration>,
    },
    /// It failed: exponential backoff.
    Backoff,
    /// It failed and said when to look again; held until then like a backoff, without counting as one.
    Hold {
        /// Delay until the next attempt.
        again: Duration,
    },
    /// It failed and nothing but a change will help.
    Parked,
    /// The object is gone: drop all that is known of the key.
    Forget,
}

/// Settings of a queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueConfig {
    /// Keys that may run at once.
    pub concurrency: usize,
    /// Wait after the first failure; doubles with each further one.
    pub backoff_base: Duration,
    /// Longest wait after a failure, before jitter.
    pub backoff_cap: Duration,
    /// Every key is looked at again after this long, give or take a tenth.
    pub resync: Duration,
    /// Seed of the jitter. The same seed, keys and outcomes give the same times.
    pub seed: u64,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            concurrency: 4,
            backoff_base: Duration::from_secs(1),
            backoff_cap: Duration::from_mins(5),
            resync: Duration::from_mins(10),
            seed: 0,
        }
    }
}

/// Part of a backoff or resync that is random: waits are `1 ± JITTER` of what the rule says.
pub const JITTER: f64 = 0.1;
/// How long a key that became ready by a timer or a related object is overtaken by fresh intent.
const HANDICAP_NORMAL: Duration = Duration::from_secs(1);
/// How long a resync or a key of the first list is overtaken by everything else.
const HANDICAP_LOW: Duration = Duration::from_secs(30);

/// How urgent a run of a key is, by what made it ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A resync, or the first list after a start.
    Low,
    /// A related object changed, or a time came.
    Normal,
    /// Somebody asked for something new.
    High,
}

impl Priority {
    /// For traces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    fn handicap(self) -> Duration {
        match self {
            Self::High => Duration::ZERO,
            Self::Normal => HANDICAP_NORMAL,
            Self::Low => HANDICAP_LOW,
        }
    }
}

/// Where a key's next run by timer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timer {
    due: Mono,
    /// A hold keeps related events away until it is due; a plain timer does not.
    hold: bool,
    priority: Priority,
}

#[derive(Debug, Default)]
struct Entry {
    /// In the ready set: since when, and with which rank.
    ready: Option<(Mono, Priority)>,
    running: Option<Running>,
    timer: Option<Timer>,
    intent: Option<u64>,
    /// Attempts that failed in a row.
    failures: u32,
    /// Timers drawn so far; makes the next jitter differ from the last.
    drawn: u64,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    since: Mono,
    /// Something came in while it ran.
    again: Option<Priority>,
    /// What came in was new intent: a failure of the old one counts for nothing.
    new_intent: bool,
}

/// A key that may run now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket<K> {
    /// The key. Give it back with [`Queue::done`].
    pub key: K,
    /// How long it was ready before it was taken.
    pub waited: Duration,
    /// Failures in a row before this run.
    pub failures: u32,
    /// What made it ready.
    pub priority: Priority,
}

/// What the queue looks like now, for metrics and `/debug/state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys that are ready and not yet taken.
    pub depth: usize,
    /// Keys that run.
    pub running: usize,
    /// Keys that wait for a timer and nothing else.
    pub waiting: usize,
    /// Keys in a backoff or hold.
    pub held: usize,
    /// Keys made ready since the start.
    pub adds: u64,
    /// Keys made ready by the end of a backoff or hold since the start.
    pub retries: u64,
    /// Sum over running keys of how long they have run.
    pub unfinished: Duration,
    /// How long the key that has run longest has run.
    pub longest: Duration,
}

/// The queue. See the module.
#[derive(Debug)]
pub struct Queue<K> {
    config: QueueConfig,
    entries: HashMap<K, Entry>,
    /// Ready keys by rank: (since + handicap, key).
    ready: BTreeSet<(Mono, K)>,
    /// Timers: (due, key).
    timers: BTreeSet<(Mono, K)>,
    running: usize,
    adds: u64,
    retries: u64,
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// An empty queue.
    pub fn new(config: QueueConfig) -> Self {
        Self { config, entries: HashMap::new(), ready: BTreeSet::new(), timers: BTreeSet::new(), running: 0, adds: 0, retries: 0 }
    }

    /// Says that something happened that concerns `key`.
    pub fn push(&mut self, key: &K, trigger: Trigger, now: Mono) {
        // Nothing is known of a key until its object is seen, so a child of an object that is gone, or that another
        // controller owns, makes no entry.
        if !self.entries.contains_key(key) {
            if !matches!(trigger, Trigger::Seen { .. }) {
                return;
            }
            self.entries.insert(key.clone(), Entry::default());
        }
        if trigger == Trigger::Gone && self.forget(key) {
            return;
        }
        let Some(entry) = self.entries.get_mut(key) else { return };
        let (priority, new_intent) = match trigger {
            Trigger::Seen { intent, initial } => {
                let new = entry.intent.replace(intent) != Some(intent);
                let priority = if initial {
                    Priority::Low
                } else if new {
                    Priority::High
                } else {
                    Priority::Normal
                };
                (priority, new)
            }
            Trigger::Related => (Priority::Normal, false),
            Trigger::Gone => (Priority::Normal, true),
        };
        if new_intent {
            entry.failures = 0;
        }
        if let Some(running) = entry.running.as_mut() {
            running.again = running.again.max(Some(priority));
            running.new_intent |= new_intent;
            return;
        }
        if !new_intent && entry.timer.is_some_and(|timer| timer.hold && timer.due > now) {
            return;
        }
        self.make_ready(key, priority, now);
    }

    /// Takes the next key that may run now, if there is one and a slot is free.
    pub fn pop(&mut self, now: Mono) -> Option<Ticket<K>> {
        self.fire_timers(now);
        if self.running >= self.config.concurrency {
            return None;
        }
        let (_, key) = self.ready.pop_first()?;
        let entry = self.entries.get_mut(&key)?; // a ready key has an entry: make_ready writes both
        let (since, priority) = entry.ready.take().unwrap_or((now, Priority::Normal));
        entry.running = Some(Running { since: now, again: None, new_intent: false });
        self.running += 1;
        Some(Ticket { key, waited: now.saturating_sub(since), failures: entry.failures, priority })
    }

    /// Says how a run ended; returns how long it took. Unknown keys are ignored (zero).
    pub fn done(&mut self, key: &K, outcome: Outcome, now: Mono) -> Duration {
        let config = self.config;
        let Some(entry) = self.entries.get_mut(key) else { return Duration::ZERO };
        let Some(running) = entry.running.take() else { return Duration::ZERO };
        self.running -= 1;
        let took = now.saturating_sub(running.since);
        if outcome == Outcome::Forget {
            // Seen again while it ran: a new object of the same name. Start over rather than forget it.
            if let Some(priority) = running.again {
                entry.failures = 0;
                self.make_ready(key, priority, now);
            } else {
                self.entries.remove(key);
            }
            return took;
        }
        let resync = jittered(key, entry, config, config.resync);
        let resync = Timer { due: now + resync, hold: false, priority: Priority::Low };
        let hold = |delay: Duration| Timer { due: now + delay, hold: true, priority: Priority::Normal };
        let timer = match outcome {
            Outcome::Forget => unreachable!("handled above"),
            Outcome::Done { again } => {
                entry.failures = 0;
                let wish = again.map(|delay| Timer { due: now + delay, hold: false, priority: Priority::Normal });
                wish.filter(|wish| wish.due < resync.due).unwrap_or(resync)
            }
            Outcome::Parked => resync,
            Outcome::Backoff if running.new_intent => resync,
            Outcome::Backoff => {
                entry.failures = entry.failures.saturating_add(1);
                hold(backoff(key, entry, config))
            }
            Outcome::Hold { again } => hold(jittered(key, entry, config, again)),
        };
        let again = running.again.filter(|_| running.new_intent || !timer.hold);
        self.set_timer(key, timer);
        if let Some(priority) = again {
            self.make_ready(key, priority, now);
        }
        took
    }

    /// When the queue has something to do by itself; `None` while it waits for a push or a `done`.
    pub fn next_wake(&self) -> Option<Mono> {
        if self.running >= self.config.concurrency {
            return None;
        }
        if !self.ready.is_empty() {
            return Some(Mono::ZERO);
        }
        self.timers.first().map(|(due, _)| *due)
    }

    /// Keys that are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no key is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The queue as it is now.
    pub fn stats(&self, now: Mono) -> Stats {
        let mut stats =
            Stats { depth: self.ready.len(), running: self.running, adds: self.adds, retries: self.retries, ..Stats::default() };
        for entry in self.entries.values() {
            if let Some(running) = entry.running {
                let ran = now.saturating_sub(running.since);
                stats.unfinished += ran;
                stats.longest = stats.longest.max(ran);
            } else if entry.ready.is_none() {
                match entry.timer {
                    Some(timer) if timer.hold => stats.held += 1,
                    _ => stats.waiting += 1,
                }
            }
        }
        stats
    }

    /// Drops all that is known of a key, unless it runs.
    fn forget(&mut self, key: &K) -> bool {
        match self.entries.get(key) {
            Some(Entry { running: Some(_), .. }) => return false,
            Some(Entry { ready, timer, .. }) => {
                if let Some((since, priority)) = ready {
                    self.ready.remove(&(*since + priority.handicap(), key.clone()));
                }
                if let Some(timer) = timer {
                    self.timers.remove(&(timer.due, key.clone()));
                }
            }
            None => {}
        }
        self.entries.remove(key);
        true
    }

    fn fire_timers(&mut self, now: Mono) {
        while self.timers.first().is_some_and(|(due, _)| *due <= now) {
            let Some((due, key)) = self.timers.pop_first() else { return };
            let Some(timer) = self.entries.get_mut(&key).and_then(|entry| entry.timer.take()) else { continue };
            self.retries += u64::from(timer.hold);
            // Ready since it was due, not since somebody looked: the time in between is queueing too.
            self.make_ready(&key, timer.priority, due);
        }
    }

    fn make_ready(&mut self, key: &K, priority: Priority, now: Mono) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if let Some(timer) = entry.timer.take() {
            self.timers.remove(&(timer.due, key.clone()));
        }
        if let Some((since, old)) = entry.ready {
            if priority > old {
                self.ready.remove(&(since + old.handicap(), key.clone()));
                entry.ready = Some((since, priority));
                self.ready.insert((since + priority.handicap(), key.clone()));
            }
            return;
        }
        entry.ready = Some((now, priority));
        self.ready.insert((now + priority.handicap(), key.clone()));
        self.adds += 1;
    }

    fn set_timer(&mut self, key: &K, timer: Timer) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if let Some(old) = entry.timer.replace(timer) {
            self.timers.remove(&(old.due, key.clone()));
        }
        self.timers.insert((timer.due, key.clone()));
    }
}

/// Wait after the failure just counted: base, 2 base, 4 base, ... up to the cap, jittered.
fn backoff<K: Hash>(key: &K, entry: &mut Entry, config: QueueConfig) -> Duration {
    let doublings = entry.failures.saturating_sub(1).min(31);
    let plain = config.backoff_base.saturating_mul(1 << doublings).min(config.backoff_cap);
    jittered(key, entry, config, plain)
}

/// `plain` times a factor in `[1 - JITTER, 1 + JITTER)` that depends on seed, key and how many were drawn before.
fn jittered<K: Hash>(key: &K, entry: &mut Entry, config: QueueConfig, plain: Duration) -> Duration {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    (config.seed, entry.drawn).hash(&mut hasher);
    key.hash(&mut hasher);
    entry.drawn += 1;
    let unit = (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64;
    plain.mul_f64(1.0 + JITTER * (2.0 * unit - 1.0))
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
