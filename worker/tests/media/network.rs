//! The network that doubtful cuts are put to: it sees cuts where they are, costs nobody else anything, and its absence is named.

use crate::kit::{Studio, artefacts, sandbox};
use showrunner_contracts::{
    Digest, Document as _,
    documents::ShotsDocument,
    manifest::StepSummary,
    result::{Outcome, Reason, StepOutcome, StepResult},
    step::{ModelRef, SHOTS_MODEL, ShotsProfile, Step, StepParams},
    work_order::{Limits, StepOrder},
};
use showrunner_shots::judge::{FRAMES, HEIGHT, Judge as _, WIDTH};
use showrunner_worker::{
    commit::FolderSink,
    models::Artefacts,
    pipeline::{self, Done, Given, Work},
    progress::Tracker,
    sandbox::{self, Source},
    steps::shots::network::Network,
};
use std::path::Path;

/// Frames where the clip's own shots begin, which were looked at one by one (`bench/media/clips.json`).
const CUTS: [usize; 5] = [30, 76, 137, 187, 242];

/// The clip; after what is done to its picture.
fn street(studio: &Studio, name: &str, filter: &str) -> std::path::PathBuf {
    let clip = artefacts().join("media/bikes.mp4");
    studio.make(name, &format!("-i {} -an -vf {filter}", clip.display()))
}

fn model() -> ModelRef {
    let known = Artefacts::from_environment().model(SHOTS_MODEL, None).expect("it is an artefact");
    ModelRef { name: known.name, digest: known.digest, licence: known.licence }
}

#[test]
fn it_sees_the_cuts_of_a_clip_where_they_are_and_says_the_same_each_time() {
    let studio = Studio::new();
    let raw = street(&studio, "frames.rgb", &format!("scale={WIDTH}:{HEIGHT}:flags=area -pix_fmt rgb24 -f rawvideo"));
    let rgb = std::fs::read(raw).expect("reads");
    let mut network = Network::load(&Artefacts::from_environment(), &model()).expect("loads");
    let from = 55;
    let shown = &rgb[from * WIDTH * HEIGHT * 3..][..FRAMES * WIDTH * HEIGHT * 3];
    let likely = network.cuts(shown).expect("answers");
    assert_eq!((likely.len(), &likely), (FRAMES, &network.cuts(shown).expect("answers")));
    // A cut follows the last frame of the shot before it.
    let wanted: Vec<usize> = CUTS.iter().filter(|cut| (from..from + FRAMES).contains(*cut)).map(|cut| cut - from - 1).collect();
    let seen: Vec<usize> = (0..FRAMES).filter(|frame| likely[*frame] > 0.5).collect();
    assert_eq!((seen, wanted.len()), (wanted, 2));
    assert!(network.cuts(&shown[1..]).is_err(), "too little to look at");
}

/// These steps, each with its models.
fn tried(studio: &Studio, path: &Path, steps: Vec<(StepParams, Vec<ModelRef>)>) -> Done {
    let order = |(params, models): (StepParams, Vec<ModelRef>)| StepOrder {
        step: params.step(),
        key: Digest::of(params.step().to_string().as_bytes()),
        algorithm_version: params.step().algorithm_version(),
        params,
        models,
        result_url: String::new(),
    };
    let steps: Vec<StepOrder> = steps.into_iter().map(order).collect();
    let limits =
        Limits { run_seconds: 600, threads: 2, child_memory_bytes: sandbox::Limits::DECODE.memory_bytes, max_media_seconds: 60 };
    pipeline::run(Work {
        artefacts: &Artefacts::from_environment(),
        sandbox: &sandbox(),
        source: &Source::open(path).expect("opens"),
        steps: &steps,
        given: &Given::default(),
        limits: &limits,
        sink: &FolderSink::new(&studio.path("out")).expect("a folder"),
        tracker: &Tracker::default(),
    })
}

const PRINT: StepParams = StepParams::Fingerprint { query: false, track: None };
const THUMBNAILS: StepParams = StepParams::Thumbnails { select: 1, sprite_interval_ms: 1_000, exclude_nudity_at_or_above: 3 };

fn found(studio: &Studio, path: &Path, profile: ShotsProfile, models: Vec<ModelRef>) -> (ShotsDocument, u32) {
    let steps = tried(studio, path, vec![(StepParams::Shots { profile }, models)]).steps;
    assert!(matches!(steps[0].outcome, Outcome::Done { .. }), "{:?}", steps[0]);
    let read = |name: &str| std::fs::read(studio.path("out").join(name)).expect("the step made it");
    let result = StepResult::from_bytes(&read(&FolderSink::result_name(Step::Shots))).expect("a result");
    let StepSummary::Shots { inferred, .. } = result.summary else { panic!("{:?}", result.summary) };
    (ShotsDocument::from_bytes(&read("shots.json")).expect("it reads"), inferred)
}

#[test]
fn only_what_is_in_doubt_is_shown_to_it_and_what_it_confirms_stands() {
    let studio = Studio::new();
    let one = FRAMES as u32;
    // In pictures that rock hardly a cut stands out; pale ones, of whose true cuts it would say no, it is not shown.
    for (name, filter, wanted) in [
        ("plain.mkv", "null", 0),
        ("rocking.mkv", "rotate=0.15*sin(n*6.1)", one),
        ("pale.mkv", "rotate=0.15*sin(n*6.1),eq=contrast=0.25", 0),
    ] {
        let clip = street(&studio, name, &format!("{filter} -c:v ffv1"));
        let (fast, none) = found(&studio, &clip, ShotsProfile::Fast, Vec::new());
        let (accurate, shown) = found(&studio, &clip, ShotsProfile::Accurate, vec![model()]);
        assert_eq!((none, &fast.shots), (0, &accurate.shots), "{name}");
        assert_eq!((accurate.shots.len(), shown), (CUTS.len() + 1, wanted), "{name}");
    }
}

#[test]
fn without_its_model_the_step_says_so_and_others_are_done_unless_they_read_it() {
    let studio = Studio::new();
    let clip = street(&studio, "plain.mkv", "null -c:v ffv1");
    let missing = ModelRef { name: "shots-nobodys".to_owned(), ..model() };
    let changed = ModelRef { digest: Digest::of(b"another"), ..model() };
    let accurate = StepParams::Shots { profile: ShotsProfile::Accurate };
    for (models, wanted) in [
        (Vec::new(), Reason::OrderMalformed),
        (vec![missing.clone()], Reason::OrderMalformed),
        (vec![changed], Reason::ModelDigestMismatch),
    ] {
        let failed = |step: &StepOutcome| matches!(&step.outcome, Outcome::Failed(failure) if failure.reason == wanted);
        let steps = tried(&studio, &clip, vec![(accurate.clone(), models.clone()), (PRINT, Vec::new())]).steps;
        assert!(failed(&steps[0]) && matches!(steps[1].outcome, Outcome::Done { .. }), "{steps:?}");
        let done = tried(&studio, &clip, vec![(accurate.clone(), models), (THUMBNAILS, Vec::new())]);
        assert!(done.steps.iter().all(failed) && done.picture_decodes == 0, "it was decoded for nothing: {done:?}");
    }
    // Nor is it for thumbnails that cannot be judged, with shots from an earlier attempt.
    let done = tried(&studio, &clip, vec![(THUMBNAILS, vec![missing])]);
    let named = matches!(&done.steps[0].outcome, Outcome::Failed(failure) if failure.reason == Reason::ModelMissing);
    assert!(named && done.picture_decodes == 0, "{done:?}");
}
