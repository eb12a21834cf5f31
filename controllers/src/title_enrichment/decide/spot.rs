//! On which machines an attempt runs: those that stay, or the cheaper ones that may be taken back at any moment. No I/O.

use std::time::Duration;

use showrunner_contracts::step::Step;
use showrunner_crds::title_enrichment::AttemptStatus;
use showrunner_kit::jobs::{AcceleratorClass, JobsConfig};
use showrunner_kit::planted;
use showrunner_spot::{Class, Past, Prices, Reason, Rules, Work};

use super::Draft;
use super::failure::MAX_LOST;
use crate::title_enrichment::validate::Wish;

/// What an attempt does before it works: its image is pulled, the source is copied.
const OVERHEAD: Duration = Duration::from_mins(1);
/// Thousandths in one.
const MILLI: f64 = 1000.0;

/// Where an attempt runs.
pub(super) struct Machine<'a> {
    /// Class.
    pub class: &'a AcceleratorClass,
    /// How long it may wait to start.
    pub start: Duration,
    /// Why this class and not its counterpart; none where it has none.
    pub why: Option<&'static str>,
}

impl Draft<'_> {
    /// Where an attempt at these steps runs that is to be on machines of this class.
    pub(super) fn machine<'a>(&self, class: &'a AcceleratorClass, steps: &[Step], wish: &Wish) -> Machine<'a>
    where
        Self: 'a,
    {
        let Some(spot) = self.input.config.spot_of(&class.name) else {
            return Machine { class, start: wish.start, why: None };
        };
        if self.input.orders.spot_only.is_some() {
            return Machine { class: spot, start: wish.start, why: Some("Budget") };
        }
        let ask = self.question(class, spot, steps, wish);
        let choice = showrunner_spot::decide(&ask.work, &ask.past, &ask.rules, self.time_left(), ask.prices);
        let class = if choice.class == Class::Spot { spot } else { class };
        let start = choice.start_within.map_or(wish.start, |within| within.max(Duration::from_secs(1)));
        Machine { class, start, why: Some(word(choice.reason)) }
    }

    /// Whether an attempt that runs on spot machines is better ended here, where nothing is lost, and gone on with on demand.
    pub(super) fn leaves_spot(&self, attempt: &AttemptStatus, steps: &[Step], wish: &Wish) -> bool {
        let Some(spot) = class_of(attempt).and_then(|name| self.input.config.class(name)) else { return false };
        if self.input.orders.spot_only.is_some() {
            return false;
        }
        let on_demand = spot.spot.as_ref().and_then(|spot| self.input.config.class(&spot.of));
        let Some(on_demand) = on_demand.filter(|_| !steps.is_empty()) else { return false };
        let ask = self.question(on_demand, spot, steps, wish);
        let choice = showrunner_spot::go_on(Class::Spot, &ask.work, &ask.past, &ask.rules, self.time_left(), ask.prices);
        choice.class == Class::OnDemand
    }

    /// How many attempts at a step may be lost before it is given up: those on spot machines come on top, for they were chosen.
    pub(super) fn most_lost(&self, attempt: &AttemptStatus, wish: &Wish) -> i32 {
        let config = self.input.config;
        let may_be_spot = class_of(attempt).is_some_and(|class| is_spot(class, config) || config.spot_of(class).is_some());
        let more = if may_be_spot { wish.spot.max_disruptions } else { 0 };
        MAX_LOST.saturating_add(i32::try_from(more).unwrap_or(i32::MAX))
    }

    fn time_left(&self) -> Duration {
        let deadline = self.status.deadline_at.as_ref().map(|at| at.0);
        deadline.and_then(|at| Duration::try_from(at.duration_since(self.now)).ok()).unwrap_or_default()
    }

    fn question(&self, on_demand: &AcceleratorClass, spot: &AcceleratorClass, steps: &[Step], wish: &Wish) -> Question {
        let bytes = self.status.source.as_ref().map_or(0, |source| u64::try_from(source.size_bytes).unwrap_or_default());
        // What is not known takes as long as it may.
        let expected = self.input.paces.expected(steps.iter().copied(), bytes);
        let remaining = expected.map_or(wish.run, |expected| expected.min(wish.run));
        let uncounted = planted!("losses-not-counted");
        let lost = self.planned.iter().filter(|_| !uncounted).filter(|p| steps.contains(&p.step())).map(|p| p.status.lost).max();
        let reclaims = spot.spot.as_ref().map_or(0.0, |spot| spot.reclaims_per_hour * MILLI);
        let rate = |class| self.input.config.hourly_rate(class, &self.input.settings.resources).micros();
        Question {
            work: Work {
                remaining,
                // Results are committed when all that shares a decode is done: a reclaim may take all of it.
                chunk: remaining,
                overhead: OVERHEAD,
                on_demand_start: wish.start,
                spot_start: wish.start,
            },
            past: Past { disruptions: lost.and_then(|lost| u32::try_from(lost).ok()).unwrap_or_default(), no_capacity: 0 },
            rules: Rules {
                policy: wish.spot.policy,
                safety_factor_milli: wish.spot.safety_factor_milli,
                max_disruptions: wish.spot.max_disruptions,
                reclaims_per_hour_milli: reclaims.ceil() as u32,
                start_deadline: wish.start,
            },
            prices: Prices { spot: rate(spot), on_demand: rate(on_demand) },
        }
    }
}

/// What the status says of a reason.
const fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Policy => "Policy",
        Reason::NotCheaper => "NotCheaper",
        Reason::Disruptions => "Disruptions",
        Reason::NoSlack => "NoSlack",
        Reason::Slack => "Slack",
        Reason::NotWorthARestart => "NotWorthARestart",
    }
}

/// What the engine is asked.
struct Question {
    work: Work,
    past: Past,
    rules: Rules,
    prices: Prices,
}

/// The class that an attempt's Job is made for.
pub(super) fn class_of(attempt: &AttemptStatus) -> Option<&str> {
    attempt.limits.as_deref()?.split(' ').next()
}

/// Where an attempt runs and why, for people; nothing where its class has no counterpart.
pub(super) fn told(attempt: &AttemptStatus) -> String {
    let mut words = attempt.limits.as_deref().unwrap_or_default().split(' ');
    let (Some(class), Some(why)) = (words.next(), words.nth(2)) else { return String::new() };
    let why = match why {
        "Slack" => "spot machines: the deadline leaves room for a loss",
        "NoSlack" => "on demand: the deadline leaves no room for spot machines",
        "Disruptions" => "on demand: it was lost too often",
        "NotCheaper" => "on demand: spot machines are not cheaper",
        "Budget" => "spot machines alone, by ForceSpot of an AiBudget",
        _ => "as spec.execution.spot.policy says",
    };
    format!(" on {class} ({why})")
}

/// Whether a class is spot machines.
pub(super) fn is_spot(class: &str, config: &JobsConfig) -> bool {
    config.class(class).is_some_and(|class| class.spot.is_some())
}
