//! Every bad input ends in a condition that names cause and cure, and is left once it is cured.

use showrunner_contracts::{Digest, Document as _, result::Reason, step::Step};
use showrunner_crds::title_enrichment::{Phase, StepState, TitleReason};

use super::fixtures::{ROOT, committed, step_result};
use super::world::{Script, UID, World};
use super::{ALL, SHOTS};
use crate::title_enrichment::dereference::{Whose, check_result};
use crate::title_enrichment::{layout, validate};

#[test]
fn what_the_configuration_does_not_have_is_refused_with_what_it_has() {
    let cases: [(&str, TitleReason, &str); 3] = [
        (
            "{ source: { path: a.mov }, subtitles: { model: whisper-huge } }",
            TitleReason::ModelUnknown,
            "whisper-base, whisper-large",
        ),
        ("{ source: { path: a.mov }, subtitles: { model: silero-vad } }", TitleReason::ModelUnknown, "silero-vad"),
        (
            "{ source: { path: a.mov }, execution: { accelerator: Required, class: h900 } }",
            TitleReason::ClassUnknown,
            "plain, t4",
        ),
    ];
    for (spec, reason, text) in cases {
        let mut world = World::new(spec);
        world.settle();
        let ready = showrunner_kit::conditions::get(&world.status.conditions, "Ready").unwrap();
        assert_eq!(ready.reason, reason.to_string(), "{spec}");
        assert!(ready.message.contains(text), "{}", ready.message);
        assert!(world.has("Stalled") && world.names.is_empty());
    }
}

#[test]
fn a_licence_that_is_not_allowed_is_refused() {
    let mut world = World::new(ALL);
    world.settings.models[0].licence = "AGPL-3.0-only".into();
    world.settle();
    assert_eq!((world.reason(), world.names.len()), ("ModelLicenceRefused", 0));
    world.settings.allowed_licences.push("AGPL-3.0-only".into());
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published), "cured in the configuration, without a change of spec");
}

#[test]
fn a_source_that_is_missing_is_waited_for() {
    let mut world = World::new(ALL);
    let there = std::mem::replace(&mut world.source, Err(TitleReason::SourceNotFound));
    world.reconcile().unwrap();
    assert_eq!((world.reason(), world.has("Stalled"), world.status.phase), ("SourceNotFound", false, Some(Phase::Pending)));
    world.source = there;
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
}

#[test]
fn a_source_without_bytes_costs_no_job() {
    let mut world = World::new(ALL);
    if let Ok(source) = &mut world.source {
        source.size_bytes = 0;
    }
    world.settle();
    assert_eq!((world.reason(), world.names.len(), world.has("Stalled")), ("SourceEmpty", 0, true));
    if let Ok(source) = &mut world.source {
        (source.size_bytes, source.version) = (1000, "\"v2\"".into());
    }
    world.edit(|spec| spec.refresh = Some("again".into()));
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
}

#[test]
fn a_source_that_does_not_fit_a_worker_costs_no_job() {
    let mut world = World::new(ALL);
    if let Ok(source) = &mut world.source {
        source.size_bytes = 1 << 50;
    }
    world.settle();
    assert_eq!((world.reason(), world.names.len()), ("SourceTooLarge", 0));
}

#[test]
fn a_source_that_is_no_media_is_not_tried_again_until_somebody_asks() {
    for (reason, title) in [
        (Reason::SourceNotMedia, "SourceNotMedia"),
        (Reason::SourceTruncated, "SourceTruncated"),
        (Reason::SourceDigestMismatch, "SourceDigestMismatch"),
        (Reason::LanguageUnsupported, "LanguageUnsupported"),
        (Reason::SoundTrackMissing, "SoundTrackMissing"),
        (Reason::ModelDigestMismatch, "ModelUnusable"),
    ] {
        let mut world = World::new(SHOTS);
        world.scripts = vec![Script::Fails(vec![Step::Shots], reason)];
        world.settle();
        assert_eq!((world.reason(), world.names.len(), world.has("Stalled")), (title, 1, true));
        assert!(world.published.is_empty());
        if let Ok(source) = &mut world.source {
            source.version = "\"v2\"".into();
        }
        world.edit(|spec| spec.refresh = Some("again".into()));
        world.settle();
        assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 2));
    }
}

#[test]
fn what_a_generation_asks_for_is_not_forgotten_while_the_store_is_away() {
    let mut world = World::new(SHOTS);
    world.scripts = vec![Script::Fails(vec![Step::Shots], Reason::SourceNotMedia)];
    world.settle();
    world.store_down = true;
    world.edit(|spec| spec.deadline = "6h".into());
    world.reconcile().unwrap();
    assert_eq!(world.reason(), "StoreUnavailable");
    if let Ok(source) = &mut world.source {
        source.version = "\"v2\"".into();
    }
    world.store_down = false;
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
    assert_eq!(world.status.source.as_ref().unwrap().version, "\"v2\"", "the source was looked at again");
}

#[test]
fn a_source_that_changed_under_the_worker_is_planned_anew() {
    let mut world = World::new(SHOTS);
    world.scripts = vec![Script::Fails(vec![Step::Shots], Reason::SourceChanged)];
    world.settle_until(World::running);
    if let Ok(source) = &mut world.source {
        (source.version, source.etag) = ("\"v2\"".into(), "\"v2\"".into());
    }
    world.settle();
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Published), 2));
    assert_eq!(world.status.source.as_ref().unwrap().version, "\"v2\"");
}

#[test]
fn a_title_without_sound_is_published_without_subtitles() {
    let mut world = World::new(ALL);
    world.scripts = vec![Script::NoSound];
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Published));
    assert_eq!((world.step("subtitles").state, world.step("subtitles").reason.as_deref()), (StepState::Skipped, Some("NoSound")));
}

#[test]
fn thumbnails_of_a_title_without_a_picture_are_skipped_with_its_shots() {
    let mut world = World::new(ALL);
    world.scripts = vec![Script::Fails(vec![Step::Shots, Step::Thumbnails], Reason::NoPicture)];
    world.settle();
    // The script fails them; a worker skips them. Either way nothing is tried again, and nothing half is published.
    assert_eq!((world.status.phase, world.names.len()), (Some(Phase::Failed), 1));
    assert_eq!(world.step("subtitles").state, StepState::Done);
}

#[test]
fn a_spec_that_slipped_past_the_schema_is_refused_with_the_field_to_change() {
    let mut world = World::new(ALL);
    world.edit(|spec| spec.deadline = "soon".into());
    world.settle();
    assert_eq!(world.reason(), "SpecInvalid");
    for (break_it, field) in [
        ((|spec| spec.source.sha256 = Some("XYZ".into())) as fn(&mut showrunner_crds::TitleEnrichmentSpec), "sha256"),
        (|spec| spec.execution.max_duration = String::new(), "maxDuration"),
        (|spec| spec.shots.enabled = false, "spec.shots"),
    ] {
        let mut spec = world.spec.clone();
        spec.deadline = "1h".into();
        break_it(&mut spec);
        assert!(validate::wish(&spec).unwrap_err().message.contains(field));
    }
}

#[test]
fn a_result_is_used_only_if_it_is_what_it_should_be_and_where_it_should_be() {
    let key = Digest::of(b"key");
    let folder = layout::attempt_folder(&Digest::of(b"unit"), "0a1b2c3d", 1);
    let good = step_result(Step::Shots, &key, &folder);
    let check = |result: &showrunner_contracts::result::StepResult| check_result(&result.to_bytes(), Step::Shots, &key, "root/");
    assert_eq!(*check(&good).unwrap(), committed(Step::Shots, &key, &folder));
    let spoilt: [fn(&mut showrunner_contracts::result::StepResult); 7] = [
        |r| r.key = Digest::of(b"other"),
        |r| r.step = Step::Subtitles,
        |r| r.folder = "other/work/x/".into(),
        |r| r.folder = "root/titles/studio/first-light/".into(),
        |r| r.outputs[0].name = "../../secret".into(),
        |r| r.outputs[0].size_bytes = u64::MAX,
        |r| r.outputs.push(r.outputs[0].clone()),
    ];
    for (index, spoil) in spoilt.into_iter().enumerate() {
        let mut result = good.clone();
        spoil(&mut result);
        assert!(check(&result).is_err(), "case {index}");
    }
    assert!(check_result(b"{}", Step::Shots, &key, "root/").is_err());
}

#[test]
fn something_else_in_the_place_of_a_result_fails_the_step_and_names_the_object() {
    let mut world = World::new(SHOTS);
    world.settle_until(|world| !world.status.steps.is_empty());
    let key: Digest = world.step("shots").key.parse().unwrap();
    let mut world = World::new(SHOTS);
    world.results.insert(key, b"not a result".to_vec());
    world.settle();
    assert_eq!((world.reason(), world.names.len()), ("ResultInvalid", 0));
}

#[test]
fn of_results_that_all_namespaces_could_write_only_ones_own_and_those_harvested_before_count() {
    let (unit, key) = (Digest::of(b"unit"), Digest::of(b"key"));
    let of = |uid: &str| committed(Step::Shots, &key, &layout::attempt_folder(&unit, uid, 2));
    let whose = |known| Whose { namespace: "studio", uid: UID, known };
    let (own, theirs) = (of(UID), of("99999999-1111"));
    assert!(whose(&[]).trusts(&own, ROOT), "an attempt that an older operator has let run");
    assert!(!whose(&[]).trusts(&theirs, ROOT), "anybody's");
    assert!(whose(&[theirs.digest.to_string()]).trusts(&theirs, ROOT), "finished work is not done again");
    assert_ne!(layout::result(&key, Some("studio")), layout::result(&key, Some("archive")));
    assert_eq!(layout::result(&key, None), format!("results/{}.json", key.hex()), "where it was, below a prefix of one's own");
}
