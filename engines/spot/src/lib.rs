//! Which price class the next attempt of a job runs on: spot while the slack allows it, on demand otherwise. Pure arithmetic
//! on whole milliseconds, no clock, no I/O.
//!
//! Work that runs keeps pace with its deadline, on either class: an hour that passes is an hour of work done. Only what
//! produces nothing eats slack: waiting for capacity, a restart, the part of a chunk that a reclaim takes. So spot stays safe
//! for as long as one more such loss can be borne and on demand still finishes in time. That is the safety net:
//!
//! ```text
//! slack = time left - remaining work - safety factor x (one chunk + on-demand start + restart overhead)
//! ```
//!
//! A new spot attempt needs slack for its own start and overhead. One that runs needs none beyond zero: the sum above holds the
//! chunk that it may still lose. Reclaims have no memory, so no spot hour is better than another, and spot first
//! is cheapest: a reclaim that comes late has been preceded by more cheap hours.
//!
//! The factor stands for starts, overheads and chunks that take longer than expected. Work that may take longer is the caller's to
//! say: [`Work::remaining`] is as pessimistic as its forecast is uncertain. Multiplying all work instead would send every job
//! whose deadline is tighter than the factor on demand at once, at a price that the simulation in `tests/` puts a figure to.
//!
//! [`decide`] is asked before an attempt is born, [`go_on`] at each chunk border of one that runs. Who cannot ask at borders
//! keeps to [`Choice::switch_at`], which holds even if nothing more is committed, and pays for that with fewer spot hours.

#![forbid(unsafe_code)]

mod pace;

pub use pace::Pace;

use std::time::Duration;

/// Milliseconds in an hour, times the thousandths that rates are counted in.
const RATE: u128 = 3_600_000 * 1_000;
/// A factor of one, in thousandths.
const ONE: i128 = 1_000;

/// What is left to do, and what it takes to start. Times are rounded up to whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Execution time that is left, on demand: the remaining critical path, less what is committed.
    /// With a margin where the forecast is uncertain.
    pub remaining: Duration,
    /// The longest time between two commits, which is what a reclaim can take.
    pub chunk: Duration,
    /// What each attempt runs before it produces anything: loading, reading back what is committed.
    pub overhead: Duration,
    /// How long an on-demand attempt waits until it runs.
    pub on_demand_start: Duration,
    /// How long a spot attempt waits until it runs.
    pub spot_start: Duration,
}

/// What the job's earlier attempts met with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Spot attempts that were reclaimed while they ran.
    pub disruptions: u32,
    /// Spot attempts that never ran, for want of capacity.
    pub no_capacity: u32,
}

/// When spot is used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpotPolicy {
    /// On demand only.
    Never,
    /// Spot only, whatever the deadline, the price and the past.
    Always,
    /// Spot while it is cheaper, not too often disrupted, and on demand could still finish in time after one more loss.
    UntilSlack,
}

/// What the owner of the job has laid down. The middle three concern [`SpotPolicy::UntilSlack`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// When spot is used at all.
    pub policy: SpotPolicy,
    /// Thousandths by which a chunk, a start and an overhead are taken to last longer than expected; less than one counts as one.
    pub safety_factor_milli: u32,
    /// After so many reclaims the job runs on demand; zero means from the beginning.
    pub max_disruptions: u32,
    /// Thousandths of a reclaim per hour on spot, observed or assumed.
    pub reclaims_per_hour_milli: u32,
    /// How long a spot attempt may wait for capacity at most.
    pub start_deadline: Duration,
}

/// Millionths of the currency's unit per hour. Both are of one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    /// On spot.
    pub spot: u64,
    /// On demand.
    pub on_demand: u64,
}

/// A price class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Cheap, and may be reclaimed at any moment.
    Spot,
    /// Dear, and stays.
    OnDemand,
}

/// Why a class was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The policy allows no other.
    Policy,
    /// On demand, for spot costs as much or more, reclaims counted in.
    NotCheaper,
    /// On demand, for spot was reclaimed too often.
    Disruptions,
    /// On demand, for one more loss on spot would endanger the deadline.
    NoSlack,
    /// Spot, for it is cheaper and there is slack.
    Slack,
    /// As before, although the other class is cheaper by now: what is left is too little to be worth a restart.
    NotWorthARestart,
}

/// A price class, and for how long it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The class.
    pub class: Class,
    /// Why.
    pub reason: Reason,
    /// Milliseconds that may pass without progress before on demand must run; negative where it may be too late already.
    pub slack_ms: i64,
    /// How long from now a spot attempt may go on that commits nothing more. After that the attempt is ended at its next chunk
    /// border and the job goes on on demand. Each commit earns a new answer from [`go_on`]. `None` where nothing limits it.
    pub switch_at: Option<Duration>,
    /// How long from now a spot attempt may wait until it runs. After that it is withdrawn and counts as without capacity.
    /// `None` on demand, and where it runs already.
    pub start_within: Option<Duration>,
}

/// The class of the next attempt, asked before it is born.
#[must_use]
pub fn decide(work: &Work, past: &Past, rules: &Rules, time_left: Duration, prices: Prices) -> Choice {
    let slack = slack(work, rules, time_left);
    let (class, reason) = match forced(*past, rules) {
        Some(forced) => forced,
        None if !cheaper(work, rules, prices) => (Class::OnDemand, Reason::NotCheaper),
        None if slack < spot_birth(work, rules) => (Class::OnDemand, Reason::NoSlack),
        None => (Class::Spot, Reason::Slack),
    };
    choice(class, reason, slack, work, rules, false)
}

/// The class that the job goes on with, asked at a chunk border of an attempt that runs on `running`. Another class means: end
/// the attempt here, where nothing is lost, and give birth to one of that class.
#[must_use]
pub fn go_on(running: Class, work: &Work, past: &Past, rules: &Rules, time_left: Duration, prices: Prices) -> Choice {
    let slack = slack(work, rules, time_left);
    // Twice what a birth takes, and more with each attempt that found no capacity: a job at the edge of its slack must not go
    // to and fro, nor keep asking for capacity that is not there.
    let ample = || slack >= spot_birth(work, rules).saturating_mul(2 + i128::from(past.no_capacity));
    let (class, reason) = match (forced(*past, rules), running) {
        (Some(forced), _) => forced,
        (None, Class::Spot) if slack < 0 => (Class::OnDemand, Reason::NoSlack),
        (None, Class::Spot) if cheaper(work, rules, prices) => (Class::Spot, Reason::Slack),
        (None, Class::Spot) if worth(work, prices.spot, prices.on_demand) => (Class::OnDemand, Reason::NotCheaper),
        (None, Class::Spot) => (Class::Spot, Reason::NotWorthARestart),
        (None, Class::OnDemand) if !cheaper(work, rules, prices) => (Class::OnDemand, Reason::NotCheaper),
        (None, Class::OnDemand) if !ample() => (Class::OnDemand, Reason::NoSlack),
        (None, Class::OnDemand) if worth(work, prices.on_demand, prices.spot) => (Class::Spot, Reason::Slack),
        (None, Class::OnDemand) => (Class::OnDemand, Reason::NotWorthARestart),
    };
    choice(class, reason, slack, work, rules, running == class)
}

fn choice(class: Class, reason: Reason, slack: i128, work: &Work, rules: &Rules, runs: bool) -> Choice {
    let spot = class == Class::Spot;
    let limited = spot && rules.policy == SpotPolicy::UntilSlack;
    let wait = if limited { duration(slack - margin(work.overhead, rules)) } else { Duration::MAX };
    Choice {
        class,
        reason,
        slack_ms: slack.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64,
        switch_at: limited.then(|| duration(slack)),
        start_within: (spot && !runs).then(|| wait.min(rules.start_deadline)),
    }
}

/// What policy and past leave no choice about.
fn forced(past: Past, rules: &Rules) -> Option<(Class, Reason)> {
    match rules.policy {
        SpotPolicy::Never => Some((Class::OnDemand, Reason::Policy)),
        SpotPolicy::Always => Some((Class::Spot, Reason::Policy)),
        SpotPolicy::UntilSlack if past.disruptions >= rules.max_disruptions => Some((Class::OnDemand, Reason::Disruptions)),
        SpotPolicy::UntilSlack => None,
    }
}

/// Milliseconds that may pass without progress before on demand must run.
fn slack(work: &Work, rules: &Rules, time_left: Duration) -> i128 {
    // A reclaim cannot take more than there is.
    let chunk = work.chunk.min(work.remaining);
    let loss = [chunk, work.on_demand_start, work.overhead].map(|part| margin(part, rules)).iter().sum::<i128>();
    time_left.as_millis() as i128 - ceil_millis(work.remaining) - loss
}

/// Slack that a new spot attempt may use up before it produces anything.
fn spot_birth(work: &Work, rules: &Rules) -> i128 {
    // No factor on the wait: who waits too long is withdrawn while there is slack.
    ceil_millis(work.spot_start) + margin(work.overhead, rules)
}

/// Milliseconds to allow for what is expected to take so long.
fn margin(expected: Duration, rules: &Rules) -> i128 {
    let factor = i128::from(rules.safety_factor_milli).max(ONE);
    (ceil_millis(expected) * factor + (ONE - 1)) / ONE
}

/// Whether an hour's worth of work costs less on spot than on demand. Each reclaim costs a restart and, on average, half a chunk.
fn cheaper(work: &Work, rules: &Rules, prices: Prices) -> bool {
    let loss = ceil_millis(work.overhead) as u128 + ceil_millis(work.chunk) as u128 / 2;
    let spot = u128::from(rules.reclaims_per_hour_milli).saturating_mul(loss).saturating_add(RATE);
    // A product too large to hold is dear enough.
    u128::from(prices.spot).checked_mul(spot).is_some_and(|spot| spot < u128::from(prices.on_demand) * RATE)
}

/// Whether the rest costs less at `other`, the restart paid, than at `present`.
fn worth(work: &Work, present: u64, other: u64) -> bool {
    let remaining = ceil_millis(work.remaining) as u128;
    let moved = remaining + ceil_millis(work.overhead) as u128;
    u128::from(other).saturating_mul(moved) < u128::from(present).saturating_mul(remaining)
}

/// Whole milliseconds, rounded up: what must be done never looks shorter than it is.
const fn ceil_millis(duration: Duration) -> i128 {
    duration.as_nanos().div_ceil(1_000_000) as i128
}

/// A duration of so many milliseconds; nothing where they are negative.
fn duration(millis: i128) -> Duration {
    Duration::from_millis(u64::try_from(millis.max(0)).unwrap_or(u64::MAX))
}
