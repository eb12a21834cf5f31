//! Review: what is held is not published, decisions count for the result they name, and none of it redoes work.

use showrunner_contracts::manifest::{Origin, Withheld};
use showrunner_contracts::result::Output;
use showrunner_contracts::step::Step;
use showrunner_crds::common::condition;
use showrunner_crds::title_enrichment::{
    DeclaredRating, Doubt, GivenPicture, HoldRule, Phase, RatingSystem, ReviewAction, ReviewDecision, ReviewState, ReviewStep,
    StepState, TitleReason, TitleSpec,
};

use super::fixtures::{media, step_result};
use super::world::{Script, World};
use crate::title_enrichment::decide::Replacement;
use crate::title_enrichment::publish;

/// Everything, and a rating that the fixture's language (4 of 5) does not go with.
const RATED: &str = r#"{
    "source": {"path": "a.mp4"}, "moderation": {"enabled": true},
    "title": {"declaredRating": {"system": "BBFC", "category": "PG"}}
}"#;

fn decision(world: &World, action: ReviewAction) -> ReviewDecision {
    let digest = world.step("moderation").result.clone().unwrap();
    ReviewDecision {
        step: ReviewStep::Moderation,
        digest,
        action,
        path: None,
        sha256: None,
        pictures: Vec::new(),
        by: "ops@example.com".into(),
        reason: None,
    }
}

fn held() -> World {
    let mut world = World::new(RATED);
    world.settle();
    assert_eq!((world.status.phase, world.reason()), (Some(Phase::NeedsReview), "ReviewNeeded"));
    world
}

/// Why a step of what is published last is withheld, and whether it has files.
fn published(world: &World, step: Step) -> (Option<Withheld>, bool) {
    let edition = world.editions.last().unwrap();
    let found = edition.steps.iter().find(|edition| edition.step == step).unwrap();
    (found.withheld, found.result.is_ok())
}

#[test]
fn what_does_not_go_with_the_declared_rating_is_held_and_the_rest_is_published() {
    let world = held();
    assert_eq!(published(&world, Step::Moderation), (Some(Withheld::Held), false));
    assert_eq!(published(&world, Step::Shots), (None, true));
    assert_eq!(world.step("moderation").state, StepState::Done);
    let told = world.status.conditions.iter().find(|c| c.type_ == condition::RATING_DISCREPANCY).unwrap();
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("True", "AboveRating"));
    let ready = world.status.conditions.iter().find(|c| c.type_ == condition::READY).unwrap();
    let digest = world.step("moderation").result.clone().unwrap();
    assert!(ready.message.contains(&digest) && ready.message.contains("spec.review.decisions"), "{}", ready.message);
    assert!(!world.has(condition::STALLED) && !world.has(condition::RECONCILING));
}

#[test]
fn a_decision_is_carried_out_without_a_job_and_can_be_taken_back() {
    let mut world = held();
    let accept = decision(&world, ReviewAction::Accept);
    world.edit(|spec| spec.review.decisions = vec![accept]);
    world.settle();
    assert_eq!((world.status.phase, published(&world, Step::Moderation)), (Some(Phase::Published), (None, true)));
    let reject = decision(&world, ReviewAction::Reject);
    world.edit(|spec| spec.review.decisions = vec![reject]);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published), "a refused result waits for nobody");
    assert_eq!(published(&world, Step::Moderation), (Some(Withheld::Rejected), false));
    world.edit(|spec| spec.review.decisions = Vec::new());
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::NeedsReview));
    assert_eq!((world.names.len(), world.editions.len()), (1, 4), "one Job, and an edition for each change");
}

#[test]
fn a_file_of_a_persons_takes_the_results_place_and_another_file_is_another_edition() {
    let mut world = World::new(RATED);
    world.edit(|spec| spec.review.always = vec![ReviewStep::Subtitles]);
    world.settle();
    let replace = |world: &World, digit: &str| ReviewDecision {
        step: ReviewStep::Subtitles,
        digest: world.step("subtitles").result.clone().unwrap(),
        path: Some("corrected/a.vtt".into()),
        sha256: Some(digit.repeat(64)),
        ..decision(world, ReviewAction::Replace)
    };
    for digit in ["a", "b"] {
        let by = replace(&world, digit);
        world.edit(|spec| spec.review.decisions = vec![by]);
        world.settle();
        let edition = world.editions.last().unwrap();
        let subtitles = edition.steps.iter().find(|step| step.step == Step::Subtitles).unwrap();
        let Some(Replacement::Whole(by)) = &subtitles.replacement else { panic!("{subtitles:?}") };
        assert_eq!((by.path.as_str(), by.digest.hex()), ("corrected/a.vtt", digit.repeat(64).as_str()));
        assert!(subtitles.result.is_err() && subtitles.held.is_some() && subtitles.withheld.is_none());
        assert_eq!(world.step("subtitles").review.as_ref().unwrap().state, ReviewState::Replaced);
    }
    assert_eq!((world.names.len(), world.editions.len()), (1, 3), "one Job, and an edition for each file");
    // What moderation made of the worker's words waits for a person, whatever it says.
    world.edit(|spec| spec.title = None);
    world.settle();
    assert_eq!(published(&world, Step::Moderation), (Some(Withheld::Held), false));
    assert!(world.step("moderation").review.as_ref().unwrap().message.contains("made of subtitles, which a person has replaced"));
}

fn picture(file: &str, digit: &str) -> GivenPicture {
    GivenPicture { file: file.into(), path: format!("corrected/{file}"), sha256: digit.repeat(64) }
}

fn of_thumbnails(world: &World, pictures: Vec<GivenPicture>) -> ReviewDecision {
    let digest = world.step("thumbnails").result.clone().unwrap();
    ReviewDecision { step: ReviewStep::Thumbnails, digest, pictures, ..decision(world, ReviewAction::Replace) }
}

#[test]
fn pictures_of_a_persons_take_the_places_of_picks_and_whatever_would_be_published_of_them_is_an_edition() {
    let mut world = held();
    let (one, two) = (picture("thumbnail-1.jpg", "1"), picture("thumbnail-3.jpg", "3"));
    let first = of_thumbnails(&world, vec![one.clone()]);
    let changes = [
        first.clone(),
        of_thumbnails(&world, vec![two.clone(), one.clone()]),
        // The other way round, from elsewhere, for another reason: the same bytes, and no edition.
        ReviewDecision { reason: Some("cropped".into()), ..of_thumbnails(&world, vec![one.clone(), two.clone()]) },
        of_thumbnails(&world, vec![one, GivenPicture { path: "elsewhere.jpg".into(), ..two }]),
        ReviewDecision { by: "another@example.com".into(), ..first },
    ];
    let mut editions = Vec::new();
    for change in changes {
        world.edit(|spec| spec.review.decisions = vec![change]);
        world.settle();
        editions.push(world.editions.len());
        assert_eq!(world.step("thumbnails").review.as_ref().unwrap().state, ReviewState::Replaced);
    }
    assert_eq!((editions, world.names.len()), (vec![2, 3, 3, 3, 4], 1), "who decided is told, and so published; no job is run");
    let edition = world.editions.last().unwrap();
    let step = edition.steps.iter().find(|step| step.step == Step::Thumbnails).unwrap();
    let Some(Replacement::Pictures { by, files }) = &step.replacement else { panic!("{step:?}") };
    assert!(step.result.is_err() && step.held.is_some() && step.withheld.is_none());
    let files: Vec<_> = files.iter().map(|(name, file)| (name.as_str(), file.path.as_str(), file.digest.hex())).collect();
    assert_eq!(
        (by.as_str(), files),
        ("another@example.com", vec![("thumbnail-1.jpg", "corrected/thumbnail-1.jpg", &*"1".repeat(64))])
    );
    assert_eq!(published(&world, Step::Shots), (None, true), "nothing else is touched");
}

#[test]
fn a_manifest_says_of_every_file_and_step_who_made_it() {
    let mut world = held();
    let by = of_thumbnails(&world, vec![picture("thumbnail-0.jpg", "1")]);
    world.edit(|spec| spec.review.decisions = vec![by]);
    world.settle();
    let edition = world.editions.last().unwrap();
    let results: Vec<_> = edition
        .steps
        .iter()
        .map(|step| {
            let mut result = step_result(step.step, &step.key, "work");
            if step.step == Step::Thumbnails {
                let of = |origin| Output { origin: Some(origin), ..result.outputs[0].clone() };
                result.outputs = vec![of(Origin::Human), Output { origin: None, ..of(Origin::Human) }, of(Origin::Mixed)];
            }
            Some(result)
        })
        .collect();
    let manifest = publish::manifest(edition, &results, media());
    for step in &manifest.steps {
        let origins: Vec<_> = step.outputs.iter().map(|output| output.origin.unwrap()).collect();
        let wanted = match step.step {
            Step::Thumbnails => (Origin::Mixed, vec![Origin::Human, Origin::Machine, Origin::Mixed]),
            _ => (Origin::Machine, vec![Origin::Machine; step.outputs.len()]),
        };
        assert_eq!((step.origin, origins), wanted, "{}", step.step);
    }
    assert_eq!(Origin::of_all([Origin::Human; 3]), Origin::Human);
}

#[test]
fn a_replacement_without_a_file_or_of_another_step_is_refused() {
    let mut world = held();
    let whole = |decision: ReviewDecision| ReviewDecision { path: Some("a".into()), sha256: Some("1".repeat(64)), ..decision };
    let picture = |file: &str| picture(file, "1");
    let broken = [
        decision(&world, ReviewAction::Replace),
        whole(decision(&world, ReviewAction::Replace)),
        whole(decision(&world, ReviewAction::Accept)),
        of_thumbnails(&world, Vec::new()),
        whole(of_thumbnails(&world, vec![picture("thumbnail-0.jpg")])),
        of_thumbnails(&world, vec![picture("thumbnail-0.jpg"), picture("thumbnail-0.jpg")]),
        of_thumbnails(&world, vec![GivenPicture { sha256: "1".into(), ..picture("thumbnail-0.jpg") }]),
        ReviewDecision { step: ReviewStep::Subtitles, ..whole(of_thumbnails(&world, vec![picture("thumbnail-0.jpg")])) },
        ReviewDecision { action: ReviewAction::Accept, ..of_thumbnails(&world, vec![picture("thumbnail-0.jpg")]) },
    ];
    for broken in broken {
        let told = format!("{broken:?}");
        world.edit(|spec| spec.review.decisions = vec![broken]);
        world.settle();
        assert_eq!(world.reason(), "SpecInvalid", "{told}");
        world.edit(|spec| spec.review.decisions = Vec::new());
        world.settle();
        assert_eq!(world.reason(), "ReviewNeeded", "{told}");
    }
}

#[test]
fn a_decision_on_another_result_counts_for_nothing() {
    let mut world = held();
    let other = ReviewDecision { digest: format!("sha256:{}", "0".repeat(64)), ..decision(&world, ReviewAction::Accept) };
    world.edit(|spec| spec.review.decisions = vec![other]);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::NeedsReview));
    let review = world.step("moderation").review.clone().unwrap();
    assert_eq!(review.state, ReviewState::Held);
    assert!(review.message.contains("is of another result"), "{}", review.message);
    assert_eq!(world.editions.len(), 1, "nothing else is published by it");
}

#[test]
fn a_rating_that_it_goes_with_releases_what_was_held_and_one_axis_unjudged_does_not() {
    let mut world = held();
    let rate = |category: &str| {
        Some(TitleSpec { declared_rating: Some(DeclaredRating { system: RatingSystem::Bbfc, category: category.into() }) })
    };
    // Violence has no model in the fixture: nobody knows whether the title goes with any rating.
    world.edit(|spec| spec.title = rate("18"));
    world.settle();
    let told = world.status.conditions.iter().find(|c| c.type_ == condition::RATING_DISCREPANCY).unwrap();
    assert_eq!((told.status.as_str(), world.status.phase), ("Unknown", Some(Phase::NeedsReview)));
    world.edit(|spec| spec.title = None);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
    assert!(!world.has(condition::RATING_DISCREPANCY));
    assert_eq!(published(&world, Step::Moderation), (None, true));
}

#[test]
fn a_step_that_always_waits_is_held_and_without_rules_nothing_is() {
    let mut world = World::new(RATED);
    world.edit(|spec| {
        spec.review.hold = Vec::new();
        spec.review.always = vec![ReviewStep::Subtitles];
    });
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::NeedsReview));
    assert_eq!(published(&world, Step::Subtitles), (Some(Withheld::Held), false));
    // What was made of it would show it.
    assert_eq!(published(&world, Step::Moderation), (Some(Withheld::Held), false));
    assert_eq!(published(&world, Step::Thumbnails), (None, true));
    let accept = decision(&world, ReviewAction::Accept);
    world.edit(|spec| spec.review.decisions = vec![accept]);
    world.settle();
    assert_eq!(published(&world, Step::Moderation), (None, true), "but a person may accept it for itself");
    world.edit(|spec| {
        spec.review.always = Vec::new();
        spec.review.decisions = Vec::new();
    });
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published), "without rules nothing is held");
}

#[test]
fn subtitles_in_another_language_than_is_spoken_are_held() {
    let mut world = World::new(RATED);
    world.edit(|spec| spec.title = None);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
    let subtitles = world.status.steps.iter_mut().find(|step| step.name == "subtitles").unwrap();
    subtitles.doubts = vec![Doubt { rule: "LanguageMismatch".into(), message: "93 % sounds like de".into() }];
    world.settle();
    assert_eq!(published(&world, Step::Subtitles), (Some(Withheld::Held), false));
    let message = &world.step("subtitles").review.as_ref().unwrap().message;
    assert!(message.contains("93 % sounds like de (LanguageMismatch)"), "{message}");
    world.edit(|spec| spec.review.hold = vec![HoldRule::RatingDiscrepancy]);
    world.settle();
    assert_eq!((world.status.phase, published(&world, Step::Subtitles)), (Some(Phase::Published), (None, true)));
}

#[test]
fn subtitles_of_which_too_many_words_may_be_wrong_are_held() {
    let mut world = World::new(RATED);
    world.edit(|spec| spec.title = None);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published), "three of a hundred are wrong, eight may be");
    world.edit(|spec| spec.review.max_word_error_percent = 2);
    world.settle();
    assert_eq!(
        (world.status.phase, published(&world, Step::Subtitles)),
        (Some(Phase::NeedsReview), (Some(Withheld::Held), false))
    );
    let message = &world.step("subtitles").review.as_ref().unwrap().message;
    assert_eq!(message, "about 3 % of the words are wrong (1 to 6 %), and 2 % may be (WordErrors)");
    world.edit(|spec| spec.review.max_word_error_percent = 3);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published), "as many as are allowed");
    assert_eq!(world.names.len(), 1, "no limit is worth doing the work again");
}

#[test]
fn subtitles_of_which_nobody_can_tell_how_many_words_are_wrong_are_held_whatever_the_limit() {
    let mut world = World::new(RATED);
    world.edit(|spec| spec.title = None);
    world.settle();
    world.edit(|spec| spec.review.max_word_error_percent = 100);
    let subtitles = world.status.steps.iter_mut().find(|step| step.name == "subtitles").unwrap();
    subtitles.word_errors = None;
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published), "what was published before anybody could tell stays published");
    let subtitles = world.status.steps.iter_mut().find(|step| step.name == "subtitles").unwrap();
    subtitles.doubts = vec![Doubt { rule: "WordErrors".into(), message: "it cannot be told for this model and language".into() }];
    world.settle();
    assert_eq!(published(&world, Step::Subtitles), (Some(Withheld::Held), false));
    let message = &world.step("subtitles").review.as_ref().unwrap().message;
    assert!(message.contains("cannot be told for this model and language (WordErrors)"), "{message}");
    world.edit(|spec| spec.review.hold.retain(|rule| *rule != HoldRule::WordErrors));
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
}

#[test]
fn what_is_held_is_held_when_it_is_found_ready_too() {
    let mut world = held();
    world.edit(|spec| spec.moderation.enabled = false);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
    let before = world.editions.len();
    world.edit(|spec| spec.moderation.enabled = true);
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::NeedsReview), 1), "its result is found by its key");
    for edition in &world.editions[before..] {
        let found = edition.steps.iter().find(|step| step.step == Step::Moderation).unwrap();
        assert!(found.result.is_err(), "no edition ever had it");
    }
}

#[test]
fn a_decision_after_the_deadline_is_carried_out() {
    let mut world = held();
    world.now += std::time::Duration::from_hours(100);
    // A newer table of levels, say: the review changes, and the spec with its deadline does not.
    let moderation = world.status.steps.iter_mut().find(|step| step.name == "moderation").unwrap();
    moderation.axes.iter_mut().for_each(|axis| axis.level = Some(0));
    world.settle();
    assert_eq!((world.status.phase, world.reason()), (Some(Phase::Published), "Published"));
    assert_eq!(published(&world, Step::Moderation), (None, true));
}

#[test]
fn of_a_title_that_is_done_again_it_is_not_known_and_while_the_store_is_away_it_stays() {
    let mut world = World::new(RATED);
    world.reconcile().unwrap();
    assert_eq!(discrepancy(&world), ("Unknown", "NotJudgedYet"));
    let mut world = held();
    world.edit(|spec| spec.refresh = Some("again".into()));
    world.source = Err(TitleReason::StoreUnavailable);
    world.reconcile().unwrap();
    assert_eq!((world.reason(), discrepancy(&world)), ("StoreUnavailable", ("True", "AboveRating")));
}

fn discrepancy(world: &World) -> (&str, &str) {
    let told = world.status.conditions.iter().find(|c| c.type_ == condition::RATING_DISCREPANCY).unwrap();
    (told.status.as_str(), told.reason.as_str())
}

#[test]
fn language_is_judged_of_a_title_in_which_nobody_speaks() {
    let mut world = World::new(RATED);
    world.scripts = vec![Script::NoSound];
    world.settle();
    assert_eq!(world.step("subtitles").state, StepState::Skipped);
    assert_eq!(world.step("moderation").state, StepState::Done, "{:?}", world.step("moderation"));
}

#[test]
fn at_rest_a_held_title_writes_nothing_and_asks_nothing() {
    let mut world = held();
    let before = (world.writes, world.reads);
    for _ in 0..3 {
        world.now += std::time::Duration::from_hours(1);
        world.reconcile().unwrap();
    }
    assert_eq!((world.writes, world.reads), before);
}
