//! The laws of the reconcilers, one by one.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use showrunner_contracts::{Digest, Document as _, step::Step};
use showrunner_crds::title_enrichment::{
    AxisStatus, Doubt, MatchStatus, Phase, PlaceState, PlaceStatus, ReviewState, ReviewStatus, StepState,
};
use showrunner_kit::Next;
use showrunner_kit::conditions::{self, Truth, Want};
use showrunner_kit::drain::OPERATOR_UNINSTALLED;
use showrunner_kit::jobs::{Cause, JobState};
use strum::IntoEnumIterator as _;

use super::fixtures::{class, step_result};
use super::world::{Script, World};
use super::{ALL, OTHERS, SHOTS};
use crate::title_enrichment::decide::DELETE_WITHIN;
use crate::title_enrichment::layout;

pub(super) fn published(spec: &str) -> World {
    let mut world = World::new(spec);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published), "{:#?}", world.status);
    world
}

#[test]
fn a_title_is_published_by_one_job_that_is_admitted_and_settled_once() {
    let world = published(ALL);
    assert_eq!(world.names.len(), 1);
    let job = world.jobs.values().next().unwrap();
    assert_eq!((job.admitted, job.settled, job.held), (1, 1, false));
    let steps: Vec<_> = world.status.steps.iter().map(|step| (step.name.as_str(), step.state, step.attempts)).collect();
    assert_eq!(steps, [("shots", StepState::Done, 1), ("thumbnails", StepState::Done, 1), ("subtitles", StepState::Done, 1)]);
    assert_eq!(world.status.progress.as_deref(), Some("100%"));
    assert_eq!(world.alias.as_ref().map(Digest::as_str), world.status.published.as_ref().map(|p| p.digest.as_str()));
    assert_eq!(world.status.media.as_ref().unwrap().duration, "0m10.000s");
    assert!(world.has("Ready") && !world.has("Reconciling") && !world.has("Stalled"));
    assert_eq!(world.status.steps[2].took.as_deref(), Some("1.2s"));
}

/// Law 2, for every write of these stories, right before it and right after it.
#[test]
fn a_crash_after_any_single_write_converges_to_the_same_end_and_repeats_nothing() {
    let stories: [(&str, Vec<Script>); 5] = [
        (ALL, vec![]),
        (ALL, vec![Script::Dies(vec![Step::Shots], Cause::Evicted)]),
        (ALL, vec![Script::Dies(vec![Step::Shots, Step::Thumbnails, Step::Subtitles], Cause::OutOfMemory)]),
        (SHOTS, vec![Script::NeverStarts("Unschedulable")]),
        (ALL, vec![Script::NodeGone(vec![Step::Shots])]),
    ];
    for (spec, scripts) in stories {
        let straight = {
            let mut world = World::new(spec);
            world.scripts.clone_from(&scripts);
            world.settle();
            world
        };
        for number in 0..straight.writes {
            for committed in [false, true] {
                let mut world = World::new(spec);
                world.scripts.clone_from(&scripts);
                world.crash = Some((number, committed));
                world.settle();
                let what = format!("{scripts:?}, write {number}, committed {committed}");
                assert_eq!(world.status.phase, straight.status.phase, "{what}");
                assert_eq!(world.names, straight.names, "the same Jobs: {what}");
                assert_eq!(world.published, straight.published, "one manifest, once: {what}");
                assert_eq!(world.alias, straight.alias, "{what}");
                for (name, job) in &world.jobs {
                    assert!(job.admitted <= 1 && job.settled == 1, "{name} {what}: {job:?}");
                }
                let ends = |world: &World| {
                    world.status.history.iter().map(|past| (past.outcome.clone(), past.counted)).collect::<Vec<_>>()
                };
                assert_eq!(ends(&world), ends(&straight), "{what}");
            }
        }
    }
}

/// Law 1: what one write can carry is not written in two.
#[test]
fn from_applied_to_published_takes_eight_writes_of_the_title() {
    let world = published(ALL);
    // Beside the title's, three of the Job (made, admitted, let go) and two to the store (what is published, the alias).
    assert_eq!(world.writes, 8 + 3 + 2);
}

/// Law 3.
#[test]
fn at_steady_state_a_resync_writes_nothing_and_asks_the_store_nothing() {
    let mut failed = World::new(SHOTS);
    failed.scripts = vec![Script::Fails(vec![Step::Shots], showrunner_contracts::result::Reason::SourceNotMedia)];
    failed.settle();
    for mut world in [published(ALL), failed] {
        let before = (world.writes, world.reads, world.events.len());
        for _ in 0..3 {
            world.now += Duration::from_hours(1);
            assert_eq!(world.reconcile().unwrap(), Next::WaitForChange);
        }
        assert_eq!((world.writes, world.reads, world.events.len()), before);
    }
}

/// Law 4.
#[test]
fn editing_suspend_deadline_or_retries_restarts_nothing() {
    let mut world = published(ALL);
    world.edit(|spec| spec.deadline = "9h".into());
    world.settle();
    world.edit(|spec| spec.execution.retries = 1);
    world.settle();
    world.edit(|spec| spec.suspend = true);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Suspended));
    world.edit(|spec| spec.suspend = false);
    world.settle();
    assert_eq!((world.status.phase, world.names.len(), world.published.len()), (Some(Phase::Published), 1, 1));

    let mut world = World::new(ALL);
    world.settle_until(World::running);
    world.edit(|spec| spec.deadline = "9h".into());
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 1));
}

#[test]
fn suspending_stops_the_job_and_resuming_redoes_only_what_was_not_finished() {
    let mut world = World::new(ALL);
    world.scripts = vec![Script::Hangs];
    world.settle_until(World::running);
    let unit = world.status.attempt.clone().unwrap().unit.parse::<Digest>().unwrap();
    let key: Digest = world.step("shots").key.parse().unwrap();
    let folder = layout::attempt_folder(&unit, super::world::UID, 1);
    world.results.insert(key.clone(), step_result(Step::Shots, &key, &folder).to_bytes());
    world.edit(|spec| spec.suspend = true);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Suspended));
    assert!(world.jobs.is_empty(), "stopped, settled and deleted: {:?}", world.jobs);
    assert_eq!(world.step("shots").state, StepState::Done);
    assert!(world.status.next_attempt_at.is_none());
    world.edit(|spec| spec.suspend = false);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
    let job = world.jobs.values().next().unwrap();
    let steps: Vec<Step> = job.order.steps.iter().map(|step| step.params.step()).collect();
    assert_eq!(steps, [Step::Thumbnails, Step::Subtitles]);
    assert_eq!(job.order.given.len(), 1, "thumbnails read the shots of the first attempt");
}

/// Law 13.
#[test]
fn only_what_its_key_depends_on_is_redone() {
    let mut world = published(ALL);
    world.edit(|spec| spec.subtitles.model = "whisper-large".into());
    world.settle();
    let steps = |world: &World, n: usize| {
        world.jobs[&world.names[n]].order.steps.iter().map(|step| step.params.step()).collect::<Vec<_>>()
    };
    assert_eq!(steps(&world, 1), [Step::Subtitles]);
    world.edit(|spec| spec.thumbnails.select = 3);
    world.settle();
    assert_eq!(steps(&world, 2), [Step::Thumbnails]);
    assert_eq!(world.jobs[&world.names[2]].order.given[0].result.step, Step::Shots);
    world.edit(|spec| spec.thumbnails.enabled = false);
    world.settle();
    assert_eq!((world.names.len(), world.status.phase), (3, Some(Phase::Published)), "nothing to do, but to publish less");
    assert_eq!(world.published.len(), 4);
    world.edit(|spec| spec.fingerprint.enabled = true);
    world.settle();
    assert_eq!((steps(&world, 3), world.published.len()), (vec![Step::Fingerprint], 5));
    assert!(world.jobs[&world.names[3]].order.given.is_empty(), "it reads no other step");
    world.edit(|spec| spec.subtitles.max_chars_per_second = 17);
    world.settle();
    assert_eq!(steps(&world, 4), [Step::Subtitles]);
}

#[test]
fn a_change_while_a_job_runs_ends_it_and_keeps_what_it_committed() {
    let mut world = World::new(ALL);
    world.scripts = vec![Script::Hangs];
    world.settle_until(World::running);
    world.edit(|spec| spec.subtitles.max_chars_per_second = 17);
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 2));
    assert_eq!(world.status.history[0].outcome, "Superseded");
    assert!(!world.status.history[0].counted);
    assert!(!world.jobs.contains_key(&world.names[0]), "the first Job is gone");
}

#[test]
fn results_that_are_there_already_are_published_without_a_job() {
    let mut first = published(ALL);
    let mut second = World::new(ALL);
    second.results = std::mem::take(&mut first.results);
    second.settle();
    assert_eq!((second.status.phase, second.names.len()), (Some(Phase::Published), 0));
    assert_eq!(second.published, first.published, "the same bytes for the same results");
    assert!(second.status.media.is_some());
    assert_eq!(second.status.media, first.status.media, "the results say what the source is");
}

#[test]
fn lost_pods_do_not_count_and_failures_do() {
    let mut world = World::new(SHOTS);
    world.scripts = vec![Script::Dies(vec![], Cause::NodeLost); 6];
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 7));
    assert_eq!((world.step("shots").attempts, world.step("shots").lost), (1, 6));

    let mut world = World::new(SHOTS);
    world.scripts = vec![Script::Dies(vec![], Cause::NodeLost); 7];
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Failed), 7));

    let mut world = World::new(SHOTS);
    world.scripts = vec![Script::Dies(vec![], Cause::OutOfMemory); 9];
    world.settle();
    assert_eq!((world.status.phase, world.names.len(), world.reason()), (Some(Phase::Failed), 4, "OutOfMemory"));
    assert!(world.has("Stalled") && world.published.is_empty());
}

#[test]
fn a_job_whose_node_is_heard_of_no_more_is_ended_and_the_next_attempt_keeps_what_it_committed() {
    let mut world = World::new(ALL);
    world.scripts = vec![Script::NodeGone(vec![Step::Shots])];
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 2));
    let past = &world.status.history[0];
    assert_eq!((past.outcome.as_str(), past.counted, world.step("subtitles").lost), ("NodeLost", false, 1));
    let second = &world.jobs[&world.names[1]];
    let steps: Vec<Step> = second.order.steps.iter().map(|step| step.params.step()).collect();
    assert_eq!(steps, [Step::Thumbnails, Step::Subtitles]);
    assert!(!world.jobs.contains_key(&world.names[0]), "suspended, settled and deleted");
}

#[test]
fn a_pod_that_should_have_ended_is_looked_at_when_it_counts_as_lost() {
    let mut world = World::new(SHOTS);
    world.settle();
    let due = world.now + Duration::from_secs(77);
    world.lost_at = Some(due);
    assert_eq!(world.reconcile().unwrap(), Next::At(due), "nothing else would tell");
}

#[test]
fn attempts_wait_longer_each_time_and_the_instant_is_stored() {
    let mut world = World::new(SHOTS);
    world.scripts = vec![Script::Dies(vec![], Cause::OutOfMemory); 2];
    world.settle_until(|world| world.status.history.len() == 1);
    assert_eq!(world.status.next_attempt_at.as_ref().unwrap().0, world.now + Duration::from_secs(10));
    let begun = world.now;
    world.settle();
    assert!(world.now >= begun + Duration::from_secs(30), "10 s, then 20 s");
    assert!(world.status.next_attempt_at.is_none());
}

#[test]
fn the_deadline_ends_what_runs_and_finished_steps_are_kept() {
    let mut world = World::new(SHOTS);
    world.scripts = vec![Script::Hangs];
    world.settle();
    assert_eq!((world.status.phase, world.reason()), (Some(Phase::Failed), "DeadlineExceeded"));
    assert!(world.jobs.is_empty() && world.has("Stalled"));
    world.edit(|spec| spec.deadline = "5h".into());
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
}

#[test]
fn a_pod_that_never_starts_gives_its_job_back_and_names_the_cause() {
    let mut world = World::new(SHOTS);
    world.scripts = vec![Script::NeverStarts("ImagePullBackOff")];
    world.settle_until(|world| world.status.history.len() == 1);
    assert_eq!(world.status.history[0].outcome, "ImageUnavailable");
    assert!(!world.status.history[0].counted);
    world.reconcile().unwrap();
    assert_eq!(world.reason(), "ImageUnavailable");
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 2));
}

#[test]
fn a_preferred_accelerator_that_does_not_start_is_given_up_for_cpu_at_once() {
    let mut world = World::new(
        "
source: { store: media, path: in/clip.mov }
execution: { accelerator: Preferred, class: t4 }
",
    );
    world.scripts = vec![Script::NeverStarts("Unschedulable"), Script::Dies(vec![], Cause::Evicted)];
    world.settle();
    let classes: Vec<_> = world.names.iter().map(|name| world.jobs.get(name).map(|job| job.order.class.name.as_str())).collect();
    assert_eq!(classes, [None, Some("plain"), Some("plain")]);
    assert_eq!(world.status.phase, Some(Phase::Published));
}

#[test]
fn a_node_pool_that_starts_at_zero_is_no_trouble() {
    let mut world = World::new(
        "
source: { store: media, path: in/clip.mov }
execution: { accelerator: Required, class: t4 }
",
    );
    world.config.classes[1].scale_from_zero = true;
    world.scripts = vec![Script::NeverStarts("Unschedulable")];
    world.settle_until(|world| matches!(world.jobs.values().next().map(|job| &job.state), Some(JobState::Pending { reason, .. }) if reason == "Unschedulable"));
    world.reconcile().unwrap();
    assert_eq!(world.reason(), "WaitingToStart");
}

#[test]
fn deleting_ends_the_job_first_and_never_waits_for_the_store() {
    let mut world = World::new(ALL);
    world.scripts = vec![Script::Hangs];
    world.settle_until(World::running);
    world.store_down = true;
    world.deleting = Some(world.now);
    world.settle();
    assert!(world.gone && world.jobs.is_empty());
}

/// What a drain leaves of a title with a Job: told, no finalizer, and of the Job nothing or what it had not come to.
fn uninstall(world: &mut World, job_is_gone: bool) {
    for (type_, status) in [("Ready", Truth::False), ("Stalled", Truth::True)] {
        let want = Want { type_, status, reason: OPERATOR_UNINSTALLED, message: String::new() };
        conditions::set(&mut world.status.conditions, want, world.generation, world.now);
    }
    conditions::remove(&mut world.status.conditions, "Reconciling");
    world.finalizer = false;
    if job_is_gone {
        world.jobs.clear();
    }
    for job in world.jobs.values_mut() {
        (job.state, job.held, job.pods_held) = (JobState::Suspended, false, false);
    }
    world.now += Duration::from_hours(1);
}

#[test]
fn after_an_uninstall_a_new_installation_goes_on_and_redoes_nothing_that_was_finished() {
    for job_is_gone in [true, false] {
        for store_down in [false, true] {
            let mut world = World::new(ALL);
            world.scripts = vec![Script::Hangs];
            world.settle_until(World::running);
            let unit = world.status.attempt.clone().unwrap().unit.parse::<Digest>().unwrap();
            let key: Digest = world.step("shots").key.parse().unwrap();
            let folder = layout::attempt_folder(&unit, super::world::UID, 1);
            world.results.insert(key.clone(), step_result(Step::Shots, &key, &folder).to_bytes());
            uninstall(&mut world, job_is_gone);
            world.store_down = store_down;
            for _ in 0..6 {
                world.reconcile().unwrap();
            }
            world.store_down = false;
            world.settle();
            assert_eq!(world.status.phase, Some(Phase::Published));
            assert!(world.finalizer && world.has("Ready") && !world.has("Stalled"));
            let job = &world.jobs[world.names.last().unwrap()];
            let steps: Vec<Step> = job.order.steps.iter().map(|step| step.params.step()).collect();
            assert_eq!((world.names.len(), steps), (2, vec![Step::Thumbnails, Step::Subtitles]));
            assert_eq!(job.order.attempt.number, 2, "neither the Job's name nor its folder is used twice");
            let first = &world.status.history[0];
            assert_eq!((first.outcome.as_str(), first.counted), (OPERATOR_UNINSTALLED, false));
        }
    }
}

#[test]
fn an_uninstall_is_nothing_to_a_title_that_is_published() {
    let mut world = published(ALL);
    world.finalizer = false;
    world.jobs.clear();
    world.settle();
    assert_eq!((world.status.phase, world.names.len(), world.published.len()), (Some(Phase::Published), 1, 1));
}

#[test]
fn what_was_let_go_by_hand_gets_its_finalizer_back_and_goes_on_with_a_new_attempt() {
    let mut world = World::new(ALL);
    world.scripts = vec![Script::Hangs];
    world.settle_until(World::running);
    world.finalizer = false;
    world.jobs.clear();
    world.settle();
    assert!(world.finalizer);
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 2));
    assert_eq!(world.status.history[0].outcome, OPERATOR_UNINSTALLED);
}

#[test]
fn deleting_is_over_after_two_minutes_whatever_the_pods_do() {
    let mut world = World::new(ALL);
    world.scripts = vec![Script::Hangs];
    world.settle_until(World::running);
    world.deleting = Some(world.now);
    for _ in 0..4 {
        // Nobody moves the pods.
        world.reconcile().unwrap();
        assert!(!world.gone);
    }
    world.now += DELETE_WITHIN;
    world.reconcile().unwrap();
    assert!(world.gone && world.jobs.is_empty());
}

/// A namespace that is deleted waits for its pods before a title in it is so much as asked to go.
#[test]
fn pods_that_have_ended_do_not_wait_for_the_store() {
    let mut world = World::new(ALL);
    world.settle_until(World::running);
    world.store_down = true;
    world.pods();
    for _ in 0..3 {
        world.reconcile().unwrap();
    }
    assert_eq!(world.reason(), "StoreUnavailable");
    assert!(world.jobs.values().all(|job| job.held && !job.pods_held), "{:?}", world.jobs);
    let writes = world.writes;
    world.reconcile().unwrap();
    assert_eq!(world.writes, writes, "it is done once");
    world.store_down = false;
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 1));
}

#[test]
fn a_store_that_is_away_stops_nothing_for_good() {
    let mut world = World::new(ALL);
    world.store_down = true;
    world.reconcile().unwrap();
    assert_eq!((world.reason(), world.has("Stalled")), ("StoreUnavailable", false));
    world.store_down = false;
    world.settle_until(World::running);
    world.store_down = true;
    world.pods();
    for _ in 0..3 {
        world.reconcile().unwrap();
    }
    assert_eq!(world.reason(), "StoreUnavailable");
    assert!(world.jobs.values().all(|job| job.held), "not let go before it is harvested");
    world.store_down = false;
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 1));
}

#[test]
fn an_attempt_is_let_go_when_the_spec_names_a_store_that_there_is_not() {
    let mut world = World::new(SHOTS);
    world.scripts = vec![Script::Hangs];
    for _ in 0..4 {
        world.reconcile().unwrap();
    }
    assert!(world.status.attempt.is_some() && world.jobs.values().any(|job| job.held));
    let before = world.spec.source.store.clone();
    world.edit(|spec| spec.source.store = "nowhere".into());
    world.settle();
    assert!(world.status.attempt.is_none() && world.jobs.values().all(|job| !job.held), "nobody has to come for that");
    world.edit(|spec| spec.source.store = before);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
}

/// Law 9, at the worst.
#[test]
fn the_status_is_bounded() {
    let mut world = World::new(&format!("{ALL}\n{OTHERS}"));
    world.spec.execution.retries = 10;
    world.config.classes = vec![class("plain", None)];
    let long = showrunner_contracts::result::Reason::Internal;
    world.scripts = vec![Script::Fails(Step::iter().collect(), long); 30];
    world.settle();
    assert_eq!((world.names.len(), world.status.history.len()), (11, 10));
    let text = |bytes: usize| "x".repeat(bytes);
    assert_eq!(world.status.history.iter().filter(|past| past.shares.is_some()).count(), 1);
    world.status.history.iter_mut().filter_map(|past| past.shares.as_mut()).for_each(|shares| *shares = text(96));
    for step in &mut world.status.steps {
        (step.state, step.message, step.settings) = (StepState::Done, Some(text(512)), Some(text(400)));
        (step.result, step.folder) = (Some(text(71)), Some(text(1024)));
        let models = Step::iter().any(|known| known.to_string() == step.name && known.uses_models());
        step.models = vec![text(160); if models { 4 } else { 0 }];
        step.doubts = vec![Doubt { rule: text(32), message: text(200) }];
        step.review = Some(ReviewStatus {
            state: ReviewState::Replaced,
            message: text(512),
            replacement: Some(text(71)),
            since: Time(world.now),
        });
        let axis = AxisStatus {
            axis: text(16),
            level: None,
            unsupported: Some(text(32)),
            strongest_at: Some(text(32)),
            moments: i32::MAX,
        };
        step.axes = vec![axis; if step.name == "moderation" { 3 } else { 0 }];
        let found = MatchStatus { title: text(317), relation: text(32), of_this: 100, of_other: 100, offset: text(32) };
        step.matches = vec![found; if step.name == "duplicates" { 4 } else { 0 }];
    }
    world.status.catalogue =
        Some(PlaceStatus { store: text(63), version: i32::MAX, position: i32::MAX, key: text(71), state: PlaceState::Entering });
    let bytes = serde_json::to_vec(&world.status).unwrap().len();
    assert!(bytes <= 32 * 1024, "{bytes}");
}

#[test]
fn where_there_is_no_room_nothing_is_made_and_nothing_is_written_twice() {
    let mut world = World::new(SHOTS);
    world.room = false;
    for _ in 0..4 {
        world.reconcile().unwrap();
    }
    assert_eq!((world.reason(), world.status.phase, world.names.len()), ("Queued", Some(Phase::Pending), 0));
    let writes = world.writes;
    assert_eq!(world.reconcile().unwrap(), Next::At(world.status.deadline_at.as_ref().unwrap().0));
    assert_eq!(world.writes, writes);
    world.room = true;
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 1));
}

#[test]
fn progress_is_told_in_steps_of_ten_percent() {
    let mut world = World::new(ALL);
    world.settle_until(|world| world.status.progress.is_some());
    assert_eq!(world.status.progress.as_deref(), Some("0%"));
    world.settle();
    assert_eq!(world.status.progress.as_deref(), Some("100%"));
}
