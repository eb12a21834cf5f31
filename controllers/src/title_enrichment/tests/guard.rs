//! Jobs that somebody else has made or changed, where no admission policy keeps them away.

use showrunner_contracts::step::Step;
use showrunner_crds::title_enrichment::{Phase, StepState, TitleReason};
use showrunner_kit::Next;
use showrunner_kit::conditions;
use showrunner_kit::jobs::{CancelStep, Cause, Charge, JobState, Overdue};

use super::world::{Script, World, seal};
use super::{ALL, SHOTS};
use crate::title_enrichment::decide::SeenJob;

/// A Job that runs in the title's name.
pub(super) fn forged(name: &str, controlled: bool) -> SeenJob {
    SeenJob {
        name: name.into(),
        state: JobState::Pending { reason: "NoPod".into(), message: String::new() },
        cancel: CancelStep::Suspend,
        overdue: Overdue::No,
        held: true,
        unsettled: true,
        deleting: false,
        class: "plain".into(),
        controlled,
        suspended: false,
        finished: false,
        seal: seal(name, "1"),
        records: Vec::new(),
        lost_at: None,
    }
}

pub(super) fn tampered(world: &World) -> Option<(String, String)> {
    conditions::get(&world.status.conditions, "Tampered").map(|told| (told.reason.clone(), told.message.clone()))
}

#[test]
fn a_job_that_only_says_it_is_the_titles_is_named_suspended_and_never_harvested() {
    for controlled in [true, false] {
        let mut world = World::new(ALL);
        world.scripts = vec![Script::Hangs];
        world.settle_until(World::running);
        world.intruders.push(forged("sr-forged", controlled));
        world.store_down = true;
        world.reconcile().unwrap();
        let (reason, message) = tampered(&world).unwrap();
        assert_eq!((reason.as_str(), world.events.last()), ("JobForged", Some(&TitleReason::JobForged)));
        assert!(message.contains("sr-forged") && message.contains("delete it"), "{message}");
        assert!(world.intruders[0].suspended && !world.intruders[0].held, "at once, whatever the store does");
        let seen = (world.writes, world.events.len());
        world.reconcile().unwrap();
        assert_eq!((world.writes, world.events.len()), seen, "it is said once");

        // Somebody lets it run again.
        world.intruders[0].suspended = false;
        world.reconcile().unwrap();
        assert!(world.intruders[0].suspended);
        assert_eq!(world.events.len(), seen.1);

        // It ends well, and says so.
        world.store_down = false;
        (world.intruders[0].finished, world.intruders[0].held) = (true, true);
        world.intruders[0].state = JobState::Failed { cause: Cause::OutOfMemory, message: "x".into(), record: None };
        world.reconcile().unwrap();
        assert!(world.status.history.is_empty() && world.running(), "the title's own Job is none the worse for it");

        world.intruders.clear();
        world.reconcile().unwrap();
        assert_eq!(tampered(&world), None, "gone is gone");
        let own = world.names[0].clone();
        world.jobs.get_mut(&own).unwrap().script = Script::Work;
        world.settle();
        assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 1));
    }
}

#[test]
fn a_published_title_stays_so_and_names_the_job_that_somebody_makes_in_its_name() {
    let mut world = World::new(ALL);
    world.settle();
    world.intruders.push(forged("sr-forged", true));
    world.settle();
    assert!(world.has("Ready") && world.has("Tampered") && world.intruders[0].suspended);
    let writes = world.writes;
    assert_eq!(world.reconcile().unwrap(), Next::WaitForChange);
    assert_eq!(world.writes, writes, "at rest");
    world.edit(|spec| spec.thumbnails.select = 3);
    world.settle();
    let number = world.jobs[&world.names[1]].order.attempt.number;
    assert_eq!((world.status.phase, number), (Some(Phase::Published), 2), "what is forged counts for no attempt");
}

#[test]
fn each_of_several_is_named_once_and_the_titles_own_comes_first() {
    let mut world = World::new(ALL);
    world.scripts = vec![Script::Hangs];
    world.settle_until(World::running);
    world.intruders.push(forged("sr-forged-1", true));
    world.reconcile().unwrap();
    world.intruders.push(forged("sr-forged-0", false));
    world.reconcile().unwrap();
    let name = world.names[0].clone();
    world.jobs.get_mut(&name).unwrap().seal = seal(&name, "3");
    world.reconcile().unwrap();
    let told = &world.events[world.events.len() - 3..];
    assert_eq!(told, [TitleReason::JobForged, TitleReason::JobForged, TitleReason::JobAltered]);
    let (reason, message) = tampered(&world).unwrap();
    assert!(reason == "JobAltered" && [name.as_str(), "sr-forged-0", "sr-forged-1"].iter().all(|job| message.contains(job)));
    assert!(world.intruders.iter().all(|job| job.suspended));
}

#[test]
fn a_forged_job_does_not_hold_a_title_that_is_deleted() {
    let mut world = World::new(ALL);
    world.settle();
    world.intruders.push(forged("sr-forged", true));
    world.deleting = Some(world.now);
    for _ in 0..4 {
        if !world.gone {
            world.reconcile().unwrap();
        }
        for job in world.jobs.values_mut() {
            job.held = false;
        }
    }
    assert!(world.gone && world.intruders[0].suspended);
}

#[test]
fn a_job_of_ours_that_is_let_run_before_its_cost_is_reserved_is_stopped_and_another_one_follows() {
    let mut world = World::new(SHOTS);
    world.settle_until(|world| world.jobs.len() == 1);
    assert!(world.status.attempt.as_ref().unwrap().admitted.is_none());
    let job = world.jobs.values_mut().next().unwrap();
    job.state = JobState::Pending { reason: "NoPod".into(), message: String::new() };
    world.reconcile().unwrap();
    let (reason, message) = tampered(&world).unwrap();
    assert_eq!((reason.as_str(), world.events.last()), ("JobAltered", Some(&TitleReason::JobAltered)));
    assert!(message.contains(&world.names[0]) && message.contains("its cost is not reserved"), "{message}");
    assert_eq!(world.jobs.values().next().unwrap().state, JobState::Stopping);
    world.settle();
    assert_eq!((world.status.phase, world.names.len(), tampered(&world)), (Some(Phase::Published), 2, None));
    let past = &world.status.history[0];
    assert_eq!((past.outcome.as_str(), past.counted, world.step("shots").lost), ("JobAltered", false, 1));
    assert_eq!(world.charged[0], (world.names[0].clone(), Charge::Worst), "nothing that it says of itself is believed");
}

#[test]
fn a_job_that_was_changed_is_stopped_and_nothing_of_it_is_harvested_even_when_it_ends_first() {
    for ends_first in [true, false] {
        let mut world = World::new(ALL);
        world.scripts = vec![Script::Fails(vec![Step::Shots], showrunner_contracts::result::Reason::SourceNotMedia)];
        world.settle_until(World::running);
        let name = world.names[0].clone();
        if ends_first {
            world.pods();
        }
        let job = world.jobs.get_mut(&name).unwrap();
        job.seal = seal(&format!("{name}-0"), "3");
        world.reconcile().unwrap();
        assert!(world.events.contains(&TitleReason::JobAltered));
        let message = world.step("shots").message.clone().unwrap();
        assert!(message.contains(&name) && message.contains("limits"), "{message}");
        assert!(tampered(&world).is_some(), "until it is dealt with");
        world.settle();
        assert!(tampered(&world).is_none(), "nothing of it is left");
        assert_eq!(world.status.history[0].outcome, "JobAltered", "not what it said of the source: {ends_first}");
        assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 2));
        assert_eq!(world.charged[0].1, Charge::Worst);
    }
}

#[test]
fn whoever_is_first_under_the_name_of_the_next_attempt_gains_nothing() {
    let mut world = World::new(SHOTS);
    world.squatted = true;
    world.settle_until(|world| world.jobs.len() == 1);
    world.squatted = false;
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 2));
    assert_eq!(world.status.history[0].outcome, "JobAltered");
    assert!(world.jobs.values().all(|job| job.admitted == 1), "{:?}", world.jobs);
    assert!(!world.jobs.contains_key(&world.names[0]), "it was never let run, and is gone");
}

#[test]
fn a_job_that_another_one_takes_the_place_of_is_not_the_same_for_its_name() {
    let mut world = World::new(SHOTS);
    world.scripts = vec![Script::Hangs];
    world.settle_until(World::running);
    let name = world.names[0].clone();
    world.jobs.get_mut(&name).unwrap().seal = seal("another", "1");
    world.reconcile().unwrap();
    assert!(tampered(&world).unwrap().1.contains("another Job under the same name"));
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 2));
}

#[test]
fn who_changes_jobs_for_ever_ends_the_title_and_not_the_budget() {
    let mut world = World::new(SHOTS);
    world.scripts = vec![Script::Hangs; 20];
    for _ in 0..20 {
        world.settle_until(|world| world.running() || world.status.phase == Some(Phase::Failed));
        for (name, job) in &mut world.jobs {
            if matches!(job.state, JobState::Running { .. }) {
                job.seal = seal(name, "3");
            }
        }
        world.reconcile().unwrap();
    }
    assert_eq!((world.status.phase, world.reason(), world.names.len()), (Some(Phase::Failed), "JobAltered", 7));
    assert_eq!(world.step("shots").state, StepState::Failed);
}

/// Law 13.
#[test]
fn an_upgrade_takes_the_job_of_an_attempt_without_a_seal_as_it_is() {
    for until in [World::running as fn(&World) -> bool, |world| world.jobs.len() == 1] {
        let mut world = World::new(ALL);
        world.settle_until(until);
        let attempt = world.status.attempt.as_mut().unwrap();
        (attempt.seal, attempt.admitted) = (None, None);
        world.settle();
        assert_eq!((world.status.phase, world.names.len(), tampered(&world)), (Some(Phase::Published), 1, None));
        assert!(world.events.iter().all(|reason| *reason != TitleReason::JobAltered));
    }
}
