//! What attempts cost: the bound that is reserved, and what was spent of it.
//!
//! Pure.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PodSpec;
use rust_decimal::Decimal;

use super::observe::records;
use super::quantity::quantity;
use super::{AcceleratorClass, JobsConfig, PodRecord, Prices};
use crate::clock::Clock;
use crate::money::Money;
use crate::names;
use crate::object::annotation;

const GIB: u64 = 1 << 30;
/// Least that a pod is taken to run that has started: the kubelet tells whole seconds, and what ran is never free.
const LEAST: Duration = Duration::from_secs(1);
/// How long a pod without a deadline is taken to run: no Job of ours is without one.
const LONGEST: Duration = Duration::from_hours(7 * 24);

/// How much is charged for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// What its pods have cost by their records.
    Spent,
    /// All that it may have cost: nobody knows what ran.
    Bound,
    /// The same, and nothing that the Job says of itself is believed: somebody has changed it.
    Worst,
}

/// What an attempt is charged. None where that cannot be known, for nobody has prices: what was reserved stands then.
pub fn charged(job: &Job, charge: Charge, config: Option<&JobsConfig>) -> Option<Money> {
    match charge {
        Charge::Spent => bound(job, config).map(|bound| spent(job, bound)),
        Charge::Bound => bound(job, config),
        Charge::Worst => config.map(|config| worst(job, config)),
    }
}

/// Upper bound of what an attempt may cost: as it was worked out when the Job was made, or, where that cannot be read, from
/// what its pods may use and the prices of today. Absent data is never nothing.
pub(super) fn bound(job: &Job, config: Option<&JobsConfig>) -> Option<Money> {
    let noted = annotation(&job.metadata, names::ANNOTATION_COST_ESTIMATE).and_then(|text| text.parse().ok());
    noted.or_else(|| config.map(|config| worst(job, config)))
}

/// What of a Job has no price: its accelerator, or all of it. A price of nothing is one that nobody has set.
pub(super) fn unpriced(job: &Job, config: &JobsConfig) -> Option<String> {
    let class = annotation(&job.metadata, names::ANNOTATION_CLASS).unwrap_or_default();
    match config.class(class) {
        None => Some(format!("class {class:?} is not in the operator's configuration")),
        Some(class) if class.resource.is_some() && class.price_per_hour == Money::ZERO => {
            Some(format!("class {} has no pricePerHour", class.name))
        }
        Some(_) if bound(job, Some(config)).is_none_or(|bound| bound == Money::ZERO) => {
            Some("prices has none for cores, memory and scratch space".to_owned())
        }
        Some(_) => None,
    }
}

/// All that the pods of a Job may use, for as long as they may run, at the prices of today.
fn worst(job: &Job, config: &JobsConfig) -> Money {
    let Some(spec) = &job.spec else { return Money::ZERO };
    let pod = spec.template.spec.clone().unwrap_or_default();
    let seconds = |seconds: Option<i64>| seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    let run = seconds(pod.active_deadline_seconds).or(seconds(spec.active_deadline_seconds)).unwrap_or(LONGEST);
    let pods = Decimal::from(spec.parallelism.unwrap_or(1).max(1));
    price_of(&pod, config).for_time(run + seconds(pod.termination_grace_period_seconds).unwrap_or_default(), pods)
}

/// What a pod costs per hour by the limits of its containers.
fn price_of(pod: &PodSpec, config: &JobsConfig) -> Money {
    let limits = || pod.containers.iter().filter_map(|container| container.resources.as_ref()?.limits.as_ref()).flatten();
    let of = |name: &str| {
        limits()
            .filter(|(limit, _)| *limit == name)
            .map(|(_, amount)| quantity(amount))
            .fold(Decimal::ZERO, Decimal::saturating_add)
    };
    let gib = |bytes: Decimal| bytes / Decimal::from(GIB);
    let used = |prices: &Prices| {
        prices
            .cpu_core_hour
            .times(of("cpu"))
            .plus(prices.memory_gib_hour.times(gib(of("memory"))))
            .plus(prices.scratch_gib_hour.times(gib(of("ephemeral-storage"))))
    };
    // The dearest class whose machine it is: a pod does not say which of them it was made for, or says it in vain.
    let on = |class: &AcceleratorClass| {
        let count = class.resource.as_deref().map_or(Decimal::ONE, of);
        used(&config.prices_on(class)).plus(class.price_per_hour.times(count))
    };
    let has_accelerator = |class: &&AcceleratorClass| class.resource.as_deref().is_some_and(|resource| !of(resource).is_zero());
    let plain = |class: &&AcceleratorClass| class.resource.is_none();
    let with = config.classes.iter().filter(has_accelerator).map(on).max();
    let dearest = with.or_else(|| config.classes.iter().filter(plain).map(on).max());
    dearest.unwrap_or_default().max(used(&config.prices))
}

/// What an attempt has cost by its records: time run at the rate of when the Job was made. A pod that started and has no
/// known end costs the attempt's upper bound, and so does one whose price cannot be read, or of which nothing is known but
/// that the job controller has counted it.
fn spent(job: &Job, bound: Money) -> Money {
    let counted = job.status.as_ref().is_some_and(|status| status.succeeded.unwrap_or(0) + status.failed.unwrap_or(0) > 0);
    let records = records(job);
    if counted && records.is_empty() {
        return bound;
    }
    let rate = annotation(&job.metadata, names::ANNOTATION_HOURLY_RATE).and_then(|text| text.parse::<Money>().ok());
    let cost = |record: &PodRecord| match (record.started, record.finished, rate) {
        (None, _, _) => Money::ZERO,
        (Some(started), Some(finished), Some(rate)) => {
            rate.for_time(Clock::until(started, finished).max(LEAST), Decimal::ONE).min(bound)
        }
        (Some(_), _, _) => bound,
    };
    records.iter().map(cost).fold(Money::ZERO, Money::plus)
}
