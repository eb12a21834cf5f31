//! Jobs of ours that somebody takes something off, or puts something in the place of, where no admission policy keeps them
//! away: none runs beside another one, and none ends without a charge.

use showrunner_crds::title_enrichment::{Phase, TitleReason};
use showrunner_kit::jobs::{Cause, Charge, JobState};

use super::guard::{forged, tampered};
use super::world::{Script, Taken, World};
use super::{ALL, SHOTS};
use crate::title_enrichment::decide::DELETE_WITHIN;

const LABEL: Taken = Taken { label: true, owner: false, finalizer: false };
const OWNER: Taken = Taken { label: false, owner: true, finalizer: false };
const FINALIZER: Taken = Taken { label: false, owner: false, finalizer: true };
const ALL_OF_IT: Taken = Taken { label: true, owner: true, finalizer: true };

/// A title at work, and the name of its Job.
fn at_work() -> (World, String) {
    let mut world = World::new(ALL);
    world.scripts = vec![Script::Hangs];
    world.settle_until(World::running);
    let name = world.names[0].clone();
    (world, name)
}

#[test]
fn a_job_that_something_was_taken_off_is_taken_back_stopped_and_charged_before_another_one_is_made() {
    for taken in [LABEL, OWNER, FINALIZER, ALL_OF_IT] {
        let (mut world, name) = at_work();
        world.jobs.get_mut(&name).unwrap().taken = taken;
        world.store_down = true;
        world.reconcile().unwrap();
        let job = &world.jobs[&name];
        assert_eq!(
            (&job.state, job.taken),
            (&JobState::Stopping, Taken::default()),
            "at once, whatever the store does: {taken:?}"
        );
        let (reason, message) = tampered(&world).unwrap();
        assert!(reason == "JobAltered" && message.contains(&name), "{message}");
        assert_eq!(world.events.last(), Some(&TitleReason::JobAltered));
        // And once more while it ends.
        world.pods();
        world.jobs.get_mut(&name).unwrap().taken = taken;
        world.store_down = false;
        world.settle();
        assert_eq!((world.status.phase, world.names.len(), tampered(&world)), (Some(Phase::Published), 2, None), "{taken:?}");
        assert_eq!(world.charged[0], (name, Charge::Worst));
        assert!(world.written_off.is_empty());
    }
}

#[test]
fn a_job_that_hides_is_not_over_for_a_title_that_is_paused_or_deleted() {
    for taken in [LABEL, OWNER, ALL_OF_IT] {
        let (mut world, name) = at_work();
        world.edit(|spec| spec.suspend = true);
        world.jobs.get_mut(&name).unwrap().taken = taken;
        world.settle();
        assert_eq!((world.status.phase, world.jobs.len()), (Some(Phase::Suspended), 0), "{taken:?}");
        assert_eq!(world.charged, [(name, Charge::Worst)]);

        let (mut world, name) = at_work();
        world.deleting = Some(world.now);
        world.jobs.get_mut(&name).unwrap().taken = taken;
        world.settle();
        assert!(world.gone && world.jobs.is_empty() && world.now < world.deleting.unwrap() + DELETE_WITHIN, "{taken:?}");
        assert_eq!(world.charged, [(name, Charge::Worst)]);
    }
}

#[test]
fn a_job_that_is_only_not_seen_yet_is_waited_for() {
    let (mut world, name) = at_work();
    world.jobs.get_mut(&name).unwrap().late = true;
    for _ in 0..3 {
        world.reconcile().unwrap();
        world.now += std::time::Duration::from_secs(20);
    }
    assert!(world.running() && world.names.len() == 1 && tampered(&world).is_none());
    let job = world.jobs.get_mut(&name).unwrap();
    (job.late, job.script) = (false, Script::Work);
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 1));
}

#[test]
fn a_job_that_is_gone_before_it_was_settled_is_charged_its_bound_and_never_made_again() {
    for crash in [None, Some(false), Some(true)] {
        let (mut world, name) = at_work();
        world.jobs.remove(&name);
        world.crash = crash.map(|committed| (world.writes + 1, committed));
        world.settle();
        assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 2));
        let past = &world.status.history[0];
        assert_eq!((past.job.as_str(), past.outcome.as_str(), past.counted), (name.as_str(), "JobDeleted", false));
        assert!(world.written_off.iter().all(|gone| *gone == name) && !world.written_off.is_empty(), "{crash:?}");
    }
}

#[test]
fn a_job_under_the_name_of_an_earlier_attempt_is_ours_by_its_uid_alone() {
    let mut world = World::new(SHOTS);
    world.settle();
    let name = world.names[0].clone();
    assert!(world.status.history[0].uid.as_deref().is_some_and(|uid| uid.contains(&name)));
    let old = world.jobs.remove(&name).unwrap();
    // Its time was up, and somebody makes it anew.
    world.intruders.push(forged(&name, true));
    world.settle();
    let (reason, message) = tampered(&world).unwrap();
    assert!(reason == "JobForged" && message.contains(&name), "{message}");
    assert!(world.intruders[0].suspended && world.charged.len() == 1, "neither run nor charged");

    // What an older operator remembers has no UID: who owns it tells.
    world.intruders.clear();
    world.status.history[0].uid = None;
    world.jobs.insert(name, old);
    world.settle();
    assert_eq!(tampered(&world), None);
}

/// Whoever may patch Jobs may write what pods cost and said.
#[test]
fn what_is_written_over_the_records_of_a_job_changes_neither_its_charge_nor_its_result() {
    let mut world = World::new(SHOTS);
    world.settle_until(World::running);
    let name = world.names[0].clone();
    world.pods();
    world.store_down = true;
    world.reconcile().unwrap();
    let job = world.jobs.get_mut(&name).unwrap();
    assert!(!job.pods_held && !world.status.attempt.as_ref().unwrap().records.is_empty(), "let go, and known by digest");
    job.forged_records = true;
    job.state = JobState::Failed { cause: Cause::PodVanished, message: String::new(), record: None };
    world.store_down = false;
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
    assert_eq!(world.charged[0], (name, Charge::Worst));
}

#[test]
fn a_job_on_which_nothing_can_be_done_holds_up_nothing_but_itself() {
    let mut world = World::new(ALL);
    world.intruders.push(forged("sr-forged", true));
    world.refused.insert("sr-forged".into());
    world.scripts = vec![Script::Dies(vec![], Cause::OutOfMemory)];
    world.settle_until(|world| world.names.len() == 1);
    world.refused.insert(world.names[0].clone());
    world.settle_until(|world| world.status.phase == Some(Phase::Published));
    assert!(!world.intruders[0].suspended && world.jobs[&world.names[0]].held, "and is tried again");
    world.refused.clear();
    world.settle();
    assert!(world.intruders[0].suspended && !world.jobs[&world.names[0]].held);
}
