//! What newer models, and models that come and go, do to a title.

use showrunner_contracts::step::{NUDITY_MODEL, SHOTS_MODEL, Step, StepParams};
use showrunner_crds::title_enrichment::{Phase, ShotsProfile};

use super::ALL;
use super::fixtures::model;
use super::laws::published;
use super::world::World;

#[test]
fn no_upgrade_spends_money_and_refresh_redoes_what_is_outdated() {
    let mut world = published(ALL);
    world.settings.models =
        vec![model("whisper-base", Step::Subtitles, "base, better"), model("silero-vad", Step::Subtitles, "vad")];
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 1));
    assert!(world.has("Outdated"));
    world.edit(|spec| spec.refresh = Some("2026-03".into()));
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 2));
    assert!(!world.has("Outdated"));
    let steps: Vec<Step> = world.jobs[&world.names[1]].order.steps.iter().map(|step| step.params.step()).collect();
    assert_eq!(steps, [Step::Subtitles]);
    assert_eq!(world.published.len(), 2);
}

#[test]
fn thumbnails_are_judged_by_the_operators_model_though_moderation_is_off_and_its_coming_redoes_none() {
    let mut world = published(ALL);
    let last = |world: &World| {
        let job = &world.jobs[world.names.last().unwrap()];
        let steps = job.order.steps.iter();
        steps
            .map(|step| (step.params.step(), step.models.iter().map(|model| model.name.clone()).collect()))
            .collect::<Vec<(Step, Vec<String>)>>()
    };
    assert_eq!(last(&world)[1], (Step::Thumbnails, Vec::new()));
    world.settings.models.push(model(NUDITY_MODEL, Step::Moderation, "nudity"));
    world.settle();
    assert_eq!((world.names.len(), world.has("Outdated")), (1, true));
    world.edit(|spec| spec.refresh = Some("judged".into()));
    world.settle();
    assert_eq!(last(&world), [(Step::Thumbnails, vec![NUDITY_MODEL.to_owned()])]);
    world.edit(|spec| spec.thumbnails.exclude_nudity_at_or_above = 2);
    world.settle();
    assert_eq!((last(&world)[0].0, world.names.len()), (Step::Thumbnails, 3));
    let params = &world.jobs[&world.names[2]].order.steps[0].params;
    assert!(matches!(params, StepParams::Thumbnails { exclude_nudity_at_or_above: 2, .. }), "{params:?}");
    world.edit(|spec| spec.thumbnails.exclude_nudity_at_or_above = 6);
    world.settle();
    assert_eq!(world.reason(), "SpecInvalid", "a server that does not check the schema");
}

#[test]
fn accurate_shots_want_their_model_and_are_done_again_with_what_reads_them() {
    let mut world = published(ALL);
    world.edit(|spec| spec.shots.profile = ShotsProfile::Accurate);
    world.settle();
    assert_eq!(world.reason(), "ModelUnknown");
    assert!(world.status.conditions.iter().any(|told| told.message.contains(SHOTS_MODEL)), "{:?}", world.status.conditions);
    world.settings.models.push(model(SHOTS_MODEL, Step::Shots, "shots"));
    world.settle();
    let job = &world.jobs[world.names.last().unwrap()];
    let steps: Vec<_> = job.order.steps.iter().map(|step| (step.params.step(), step.models.len())).collect();
    assert_eq!(steps, [(Step::Shots, 1), (Step::Thumbnails, 0)]);
    assert_eq!(world.status.phase, Some(Phase::Published));
}

#[test]
fn an_upgrade_leaves_the_attempt_in_hand_alone() {
    let mut world = World::new(ALL);
    world.settle_until(World::running);
    world.settings.models[0] = model("whisper-base", Step::Subtitles, "base, better");
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 1));
    assert!(world.has("Outdated"));
}

#[test]
fn a_catalogue_that_lost_a_model_takes_nothing_away_from_a_published_title() {
    let mut world = published(ALL);
    world.settings.models.clear();
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
}
