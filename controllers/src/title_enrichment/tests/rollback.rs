//! Going back: what a newer version has left in a status is no obstacle, is not forgotten, and costs nothing.

use serde_json::{Value, json};
use showrunner_contracts::{Digest, step::unit_key};
use showrunner_crds::title_enrichment::{Phase, StepState};

use super::ALL;
use super::world::{Script, World};

/// Has the status say more than this version knows how to say.
fn newer(world: &mut World, change: impl FnOnce(&mut Value)) {
    let mut status = serde_json::to_value(&world.status).unwrap();
    change(&mut status);
    world.status = serde_json::from_value(status).unwrap();
}

fn credits(state: &str) -> Value {
    let key = Digest::of(b"credits").to_string();
    let mut step = json!({ "name": "credits", "state": state, "wanted": key, "key": key });
    if state == "Done" {
        step["result"] = key.into();
    }
    step
}

fn reviewed() -> Value {
    json!({ "type": "Reviewed", "status": "True", "reason": "Approved", "message": "", "lastTransitionTime": "2027-01-01T00:00:00Z" })
}

/// What the newer version would say is published: with a step of its own, in its place.
fn contents(status: &Value) -> String {
    let steps: Vec<Value> =
        status["steps"].as_array().unwrap().iter().map(|s| json!([s["name"], s["key"], s["result"], s["reason"]])).collect();
    Digest::of_json(&("showrunner.dev/contents/v1", steps)).to_string()
}

fn published() -> World {
    let mut world = World::new(ALL);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
    world
}

#[test]
fn a_published_title_of_a_newer_version_stays_published_and_keeps_what_that_version_knows() {
    for place in 0..=3 {
        let mut world = published();
        newer(&mut world, |status| {
            status["phase"] = "Archived".into();
            status["steps"].as_array_mut().unwrap().insert(place, credits("Done"));
            status["published"]["contents"] = contents(status).into();
            status["conditions"].as_array_mut().unwrap().push(reviewed());
        });
        let (before, editions) = (world.status.clone(), world.published.len());
        world.settle();
        assert_eq!(world.status.phase, Some(Phase::Published), "place {place}");
        assert_eq!((world.names.len(), world.published.len()), (1, editions), "no Job, no edition: place {place}");
        assert_eq!(world.status.steps, before.steps, "place {place}");
        assert_eq!(world.status.published, before.published, "place {place}");
        assert!(world.has("Reviewed"), "place {place}");
        let writes = world.writes;
        world.settle();
        assert_eq!(world.writes, writes, "at rest: place {place}");
    }
}

#[test]
fn a_step_in_a_state_of_a_newer_version_is_not_done_again_where_it_has_a_result() {
    let mut world = published();
    newer(&mut world, |status| status["steps"][0]["state"] = "Held".into());
    world.settle();
    assert_eq!((world.status.phase, world.names.len(), world.published.len()), (Some(Phase::Published), 1, 1));
    assert_eq!(world.step("shots").state, StepState::Done);
}

#[test]
fn a_step_that_no_version_of_ours_knows_never_keeps_a_title_from_being_published() {
    for state in ["Waiting", "Running", "Failed", "Held"] {
        let mut world = World::new(ALL);
        world.settle_until(World::running);
        newer(&mut world, |status| status["steps"].as_array_mut().unwrap().push(credits(state)));
        world.settle();
        assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 1), "{state}");
        assert_eq!(world.step("credits").key, Digest::of(b"credits").to_string(), "{state}");
    }
}

#[test]
fn an_attempt_that_does_a_step_of_a_newer_version_is_let_run_to_its_end() {
    let mut world = World::new(ALL);
    world.settle_until(World::running);
    newer(&mut world, |status| {
        status["steps"].as_array_mut().unwrap().push(credits("Running"));
        status["attempt"]["steps"].as_array_mut().unwrap().push("credits".into());
        let keys = status["steps"].as_array().unwrap().iter().map(|step| step["key"].as_str().unwrap().parse().unwrap());
        status["attempt"]["unit"] = unit_key(&keys.collect::<Vec<Digest>>()).to_string().into();
    });
    let unit: Digest = world.status.attempt.as_ref().unwrap().unit.parse().unwrap();
    world.jobs.values_mut().for_each(|job| job.order.unit = unit.clone());
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 1));
    let history: Vec<_> = world.status.history.iter().map(|past| past.outcome.as_str()).collect();
    assert_eq!(history, ["Succeeded"]);
    assert_eq!(world.step("credits").state, StepState::Running, "it is the newer version's to say what became of it");
}

#[test]
fn a_reason_that_is_not_known_is_carried_like_any_other() {
    let mut world = World::new(ALL);
    world.scripts = vec![Script::Hangs];
    world.settle_until(World::running);
    newer(&mut world, |status| status["attempt"]["ending"] = "OverBudget".into());
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 2));
    assert_eq!(world.status.history[0].outcome, "OverBudget");
}

#[test]
fn why_an_attempt_was_ended_stays_what_it_was_first() {
    let mut world = World::new(ALL);
    world.scripts = vec![Script::Hangs];
    world.settle_until(World::running);
    newer(&mut world, |status| status["attempt"]["ending"] = "OverBudget".into());
    world.edit(|spec| spec.suspend = true);
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Suspended), 1));
    assert_eq!(world.status.history[0].outcome, "OverBudget");
}
