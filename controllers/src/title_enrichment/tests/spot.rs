//! Spot machines: taken while the deadline leaves room, left when it does not.

use std::time::Duration;

use showrunner_contracts::Document as _;
use showrunner_contracts::progress::{Doing, Progress};
use showrunner_contracts::step::Step;
use showrunner_crds::common::SpotPolicy;
use showrunner_crds::title_enrichment::Phase;
use showrunner_kit::jobs::{AcceleratorClass, Cause, SpotClass};

use super::fixtures::{class, step_result};
use super::world::{Script, UID, World};
use super::{ALL, SHOTS};
use crate::title_enrichment::layout;

/// A title whose deadline leaves room: nothing is known of how long it takes, so that it may take all of `maxDuration`.
const PATIENT: &str = "
source: { store: media, path: in/clip.mov }
thumbnails: { enabled: false }
subtitles: { enabled: false }
deadline: 24h
";

fn spot_machines() -> AcceleratorClass {
    AcceleratorClass {
        price_per_hour: "0.20".parse().unwrap(),
        spot: Some(SpotClass { of: "plain".into(), reclaims_per_hour: 0.2 }),
        ..class("plain-spot", None)
    }
}

fn world(spec: &str) -> World {
    let mut world = World::new(spec);
    world.config.classes.push(spot_machines());
    world
}

fn lost(times: usize) -> Vec<Script> {
    vec![Script::Dies(vec![], Cause::Disrupted); times]
}

#[test]
fn spot_is_taken_while_there_is_slack_and_given_up_after_too_many_losses() {
    let mut world = world(PATIENT);
    world.scripts = lost(5);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
    assert_eq!(world.classes, ["plain-spot", "plain-spot", "plain-spot", "plain-spot", "plain", "plain"]);
    assert_eq!(world.step("shots").lost, 5, "and a loss on demand does not end it");
}

#[test]
fn losses_that_were_chosen_come_on_top_of_those_that_are_borne_anyway() {
    let mut all = world(PATIENT);
    all.scripts = lost(4 + 6);
    all.settle();
    assert_eq!(all.status.phase, Some(Phase::Published));
    let mut more = world(PATIENT);
    more.scripts = lost(4 + 7);
    more.settle();
    assert_eq!((more.status.phase, more.reason()), (Some(Phase::Failed), "WorkerFailed"));
}

#[test]
fn a_deadline_without_room_is_on_demand() {
    let mut world = world(SHOTS);
    world.settle();
    assert_eq!(world.classes, ["plain"], "four hours for what may take two leave no room for a loss of two");
    assert!(world.status.history.iter().all(|past| past.outcome == "Succeeded"));
}

#[test]
fn what_is_known_of_other_titles_makes_room() {
    let mut seen = world(SHOTS);
    seen.settle();
    let mut status = seen.status.clone();
    let mut next = world(SHOTS);
    for nth in 0..8 {
        status.steps[0].key = format!("sha256:{nth}");
        next.paces.note(&status);
    }
    next.settle();
    assert_eq!(next.classes, ["plain-spot"], "it takes seconds, by eight others");
}

#[test]
fn the_policy_is_the_owners() {
    for (policy, expected) in [(SpotPolicy::Never, "plain"), (SpotPolicy::Always, "plain-spot")] {
        let mut world = world(SHOTS);
        world.edit(|spec| spec.execution.spot.policy = policy);
        world.scripts = lost(6);
        world.settle();
        assert!(world.classes.iter().all(|class| *class == expected), "{policy:?}: {:?}", world.classes);
    }
    let mut never = world(PATIENT);
    never.edit(|spec| spec.execution.spot.max_disruptions = 0);
    never.settle();
    assert_eq!(never.classes, ["plain"]);
}

#[test]
fn spot_that_is_not_cheaper_is_not_taken() {
    let mut dear = World::new(PATIENT);
    dear.config.classes.push(AcceleratorClass { price_per_hour: "0.50".parse().unwrap(), ..spot_machines() });
    dear.settle();
    assert_eq!(dear.classes, ["plain"]);
}

#[test]
fn spot_machines_that_do_not_come_are_waited_for_as_long_as_there_is_slack() {
    let mut world = world(PATIENT);
    world.edit(|spec| (spec.deadline, spec.execution.start_deadline) = ("8h".into(), "1h".into()));
    world.scripts = vec![Script::NeverStarts("Unschedulable")];
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
    let outcomes: Vec<&str> = world.status.history.iter().map(|past| past.outcome.as_str()).collect();
    let tried = outcomes.iter().filter(|outcome| **outcome == "SpotUnavailable").count();
    assert!(tried >= 1 && outcomes.last() == Some(&"Succeeded"), "{outcomes:?}");
    assert!(!world.status.history.iter().any(|past| past.counted), "it is held against nobody");
    assert_eq!(world.classes[0], "plain-spot");
    assert_eq!(world.classes.last().map(String::as_str), Some("plain"), "one more wait would have been too long");
}

#[test]
fn a_preferred_accelerator_is_had_on_demand_before_it_is_given_up() {
    let mut world = World::new(PATIENT);
    world.config.classes.push(AcceleratorClass {
        price_per_hour: "0.20".parse().unwrap(),
        spot: Some(SpotClass { of: "t4".into(), reclaims_per_hour: 0.2 }),
        ..class("t4-spot", Some("nvidia.com/gpu"))
    });
    world.edit(|spec| {
        spec.execution.accelerator = showrunner_crds::common::Accelerator::Preferred;
        (spec.execution.class, spec.deadline) = (Some("t4".into()), "8h".into());
        spec.execution.start_deadline = "1h".into();
    });
    world.scripts = vec![Script::NeverStarts("Unschedulable"); 2];
    world.settle();
    assert_eq!(world.classes, ["t4-spot", "t4", "plain"]);
}

#[test]
fn an_attempt_leaves_spot_where_it_loses_nothing() {
    let mut world = world(ALL);
    world.edit(|spec| spec.deadline = "24h".into());
    world.scripts = vec![Script::Hangs];
    world.settle_until(World::running);
    assert_eq!(world.classes, ["plain-spot"]);
    // Nothing is committed for long: as long as nothing is, an end would lose all of it.
    world.now += Duration::from_hours(21);
    let _ = world.reconcile();
    assert!(world.status.attempt.as_ref().is_some_and(|attempt| attempt.ending.is_none()));
    let name = world.names[0].clone();
    let order = &world.jobs[&name].order;
    let folder = layout::attempt_folder(&order.unit, UID, order.attempt.number);
    let shots = order.steps[0].clone();
    assert_eq!(shots.params.step(), Step::Shots);
    world.results.insert(shots.key.clone(), step_result(Step::Shots, &shots.key, &folder).to_bytes());
    world.progress =
        Some(Progress { schema: Progress::SCHEMA.into(), percent: 40, doing: Doing::Analysing, done: vec![Step::Shots] });
    let _ = world.reconcile();
    assert_eq!(world.status.attempt.as_ref().and_then(|attempt| attempt.ending.as_deref()), Some("LeftSpot"));
    world.progress = None;
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published), "{:?}", world.status.conditions);
    assert_eq!(world.classes, ["plain-spot", "plain"]);
    assert_eq!((world.status.history[0].outcome.as_str(), world.status.history[0].counted), ("LeftSpot", false));
}

#[test]
fn a_budget_may_have_work_on_spot_machines_alone() {
    let mut world = world(SHOTS);
    world.orders.spot_only = Some("platform-ai".into());
    world.scripts = lost(5);
    world.settle();
    assert_eq!(world.classes, ["plain-spot"; 6], "whatever the deadline, and however often it is lost");
    let mut without = World::new(SHOTS);
    without.orders.spot_only = Some("platform-ai".into());
    without.settle();
    assert_eq!((without.status.phase, &*without.classes), (Some(Phase::Published), &["plain".to_owned()][..]));
}

#[test]
fn a_budget_may_stop_what_runs_and_it_goes_on_where_it_was() {
    let mut world = World::new(ALL);
    world.scripts = vec![Script::Hangs];
    world.settle_until(World::running);
    world.orders.stop = Some("platform-ai".into());
    // Whoever is woken; and nothing is begun while it holds.
    for _ in 0..20 {
        let _ = world.reconcile();
        world.pods();
    }
    assert_eq!(world.reason(), "WaitingForBudget");
    assert!(world.status.attempt.is_none() && !world.running() && world.names.len() == 1, "{:#?}", world.status);
    let past = &world.status.history[0];
    assert_eq!((past.outcome.as_str(), past.counted), ("BudgetStopped", false));
    world.orders.stop = None;
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 2));
    assert_eq!(world.step("shots").attempts, 1, "nothing is held against it");
}

#[test]
fn what_was_chosen_stays_chosen_whatever_the_spec_says_by_then() {
    let mut world = world(PATIENT);
    world.settle_until(|world| !world.names.is_empty());
    assert!(world.status.attempt.as_ref().unwrap().limits.as_deref().unwrap().starts_with("plain-spot 900 7200 Slack"));
    // Created anew after a crash, under a spec that would choose otherwise.
    world.jobs.clear();
    world.names.clear();
    world.classes.clear();
    world.status.attempt.as_mut().unwrap().seal = Some(showrunner_kit::jobs::Seal::PENDING.into());
    world.edit(|spec| spec.execution.spot.policy = SpotPolicy::Never);
    world.settle();
    assert_eq!(world.classes, ["plain-spot"]);
}
