//! What moderation sees: the model's input is the reference's, moments have their times, and what nobody judged is never 0.

use crate::kit::{Studio, artefacts, look, plan, sandbox};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use showrunner_contracts::{
    Digest, Document as _,
    documents::{Cue, Finding, ModerationDocument, SubtitlesDocument},
    manifest::Unsupported,
    result::{Outcome, Reason},
    step::{Axis, ModelRef, Step, StepParams},
    work_order::{Limits, StepOrder},
};
use showrunner_moderation::{shown, squeezed};
use showrunner_timeline::Ticks;
use showrunner_worker::{
    commit::FolderSink,
    fanout::{Viewer, view},
    models::Artefacts,
    picture::{Picture, Plan},
    pipeline::{self, Given, Work},
    progress::Tracker,
    sandbox::{self, Source, Tool},
    steps::{
        Longest,
        moderation::{Spoken, Watch},
        picture_model::PictureModel,
        quality::OnnxQuality,
    },
};
use std::{path::Path, process::Command};

const REFERENCE: &str = include_str!("../fixtures/nsfw-reference.json");
/// As `bench/media/nsfw_reference.py` scales.
const SCALER: &str = "bicubic+accurate_rnd+full_chroma_int+bitexact";

/// The frames that the reference code was shown.
fn frames(clip: &str, width: usize, height: usize, step: u64) -> Vec<Vec<u8>> {
    let file = artefacts().join("media").join(clip);
    let output = Command::new(artefacts().join(Tool::Ffmpeg.path()))
        .args(["-v", "error", "-nostdin", "-sws_flags", SCALER, "-i"])
        .arg(file)
        .args(["-vf", &format!("select=not(mod(n\\,{step}))"), "-fps_mode", "passthrough", "-frames:v", "100"])
        .args(["-pix_fmt", "rgb24", "-f", "rawvideo", "-"])
        .output()
        .expect("ffmpeg starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.chunks_exact(width * height * 3).map(<[u8]>::to_vec).collect()
}

#[test]
fn two_hundred_frames_are_squeezed_exactly_and_judged_as_by_the_reference_code() {
    let reference: Value = serde_json::from_str(REFERENCE).expect("JSON");
    let mut told = reference["frames"].as_array().expect("a list").iter();
    let number = |value: &Value| value.as_u64().expect("a number");
    let file = artefacts().join("models/moderation-nudity/model.onnx");
    let mut model = PictureModel::open(&Artefacts::from_environment(), "moderation-nudity", &file).expect("loads");
    let (mut furthest, mut sum) = (0.0_f64, 0.0_f64);
    for clip in reference["clips"].as_array().expect("a list") {
        let (width, height) = (number(&clip[1]) as usize, number(&clip[2]) as usize);
        for (nth, rgb) in frames(clip[0].as_str().expect("a name"), width, height, number(&clip[3])).into_iter().enumerate() {
            let wanted = told.next().expect("as many as there are frames");
            let digest = Digest::from_hash(&Sha256::digest(squeezed(&rgb, width, height).expect("a picture")));
            assert_eq!(Some(&digest.hex()[..16]), wanted[0].as_str(), "frame {nth} of {}", clip[0]);
            let picture = Picture { pts: Ticks::ZERO, width: width as u32, height: height as u32, rgb };
            let probability = f64::from(model.judge(&picture).expect("a probability"));
            let apart = (probability - wanted[1].as_f64().expect("a number")).abs();
            (furthest, sum) = (furthest.max(apart), sum + apart);
        }
    }
    assert!(told.next().is_none());
    println!("probabilities are {:.6} apart on average, {furthest:.6} at most", sum / 200.0);
    assert!(furthest < 0.001, "{furthest}");
}

/// A field of a protocol buffers message that holds bytes; all of these are short.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(content.len()).expect("short")], content].concat()
}

/// A field that holds a small number.
fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

/// An ONNX model that makes one number of a picture `[1, 3, 8, -]`, by this operation; its width is left open by a name.
pub(crate) fn reduced_by(operation: &[u8]) -> Vec<u8> {
    let side = |value: u8| field(1, &number(1, value));
    let shape = [side(1), side(3), side(8), field(1, &field(2, b"w"))].concat();
    let value = |name: &[u8], shape: &[u8]| {
        let tensor = [number(1, 1), field(2, shape)].concat();
        [field(1, name), field(2, &field(1, &tensor))].concat()
    };
    // An attribute's type is field 20, whose tag takes two bytes; 2 is "integer".
    let keep = [field(1, b"keepdims"), number(3, 0), vec![0xa0, 0x01, 2]].concat();
    let node = [field(1, b"x"), field(2, b"y"), field(4, operation), field(5, &keep)].concat();
    let graph = [field(1, &node), field(2, b"g"), field(11, &value(b"x", &shape)), field(12, &value(b"y", &[]))].concat();
    [number(1, 8), field(7, &graph), field(8, &[field(1, b""), number(2, 13)].concat())].concat()
}

#[test]
fn a_quality_model_in_onnx_scores_what_it_is_shown() {
    let studio = Studio::new();
    let file = studio.write("model.onnx", reduced_by(b"ReduceMean"));
    let model = PictureModel::open(&Artefacts::from_environment(), "mean", &file).expect("a model");
    let mut model = OnnxQuality::of("mean".to_owned(), model).expect("fits");
    let rgb = [51_u8; 8 * 4 * 3];
    let picture = showrunner_thumbnails::Picture::new(&rgb, 8, 4).expect("a picture");
    let score = showrunner_thumbnails::measure(&picture, Ticks(0), 0.0, &mut model).expect("a score").quality.overall;
    assert!((score - 0.2).abs() < 1e-5, "{score}");
}

#[test]
fn a_marked_patch_is_found_at_its_time_whatever_the_frame_rate_and_the_container() {
    // Dark grey, with a white patch of a quarter of the picture from 3.2 to 4.9 s and from 8.4 to 9.1 s.
    let patch = "drawbox=x=0:y=0:w=iw/2:h=ih/2:color=white:t=fill:enable='between(t,3.2,4.9)+between(t,8.4,9.1)'";
    for (rate, container, fps) in [("24000/1001", "mp4", 1_u8), ("25", "mkv", 2), ("30000/1001", "ts", 4)] {
        let studio = Studio::new();
        let clip = studio.make(
            &format!("marked.{container}"),
            &format!("-f lavfi -i color=0x282828:s=320x180:r={rate}:d=12,{patch} -c:v libx264 -bf 2 -pix_fmt yuv420p -qp 18"),
        );
        let model = studio.write("model.onnx", reduced_by(b"ReduceMax"));
        let model = PictureModel::open(&Artefacts::from_environment(), "stub", &model).expect("a model");
        let (sandbox, probe, source) = (sandbox(), look(&clip), Source::open(&clip).expect("opens"));
        let longest = Longest { ticks: Ticks(i64::MAX), seconds: u32::MAX };
        let mut watch = Watch::with(vec![(Axis::Violence, model)], fps, probe.time_base(), longest);
        let wanted = Plan { samples: watch.per_second(), ..plan(false) };
        let fanout =
            view(&sandbox, &source, &probe, &wanted, &mut [&mut watch as &mut dyn Viewer], &mut |_| {}).expect("decodes");
        assert!(fanout.failures[0].is_none(), "{:?}", fanout.failures);
        let samples = &watch.finish()[&Axis::Violence];
        assert!(samples.len().abs_diff(12 * usize::from(fps)) <= 1, "{} samples", samples.len());
        let found = shown(samples, fanout.summary.expect("whole").end);
        let seconds = |ticks: Ticks| probe.time_base().to_seconds(ticks);
        let mut spans: Vec<(f64, f64)> = found.episodes.iter().map(|e| (seconds(e.start), seconds(e.end))).collect();
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        let tolerance = 1.0 / f64::from(fps) + 0.05;
        let wanted = [(3.2, 4.9), (8.4, 9.1)];
        assert_eq!(spans.len(), wanted.len(), "{rate}: {spans:?}");
        for ((start, end), (from, to)) in spans.into_iter().zip(wanted) {
            assert!(
                (start - from).abs() <= tolerance && (end - to).abs() <= tolerance,
                "{rate}: {start} to {end}, {from} to {to}"
            );
        }
        assert_eq!(found.level, 5);
    }
}

fn said(language: &str) -> SubtitlesDocument {
    let cue = |start_ms, text: &str| Cue { start_ms, end_ms: start_ms + 800, lines: vec![text.to_owned()], confidence: None };
    SubtitlesDocument {
        schema: SubtitlesDocument::SCHEMA.to_owned(),
        language: language.to_owned(),
        language_detected: true,
        cues: vec![cue(500, "Good morning."), cue(2_000, "What the\u{a0}fuck is"), cue(3_000, "this damn thing?")],
        violations: Vec::new(),
    }
}

/// What the step says of a title in which this is said, with these models.
fn judged(path: &Path, spoken: Spoken, axes: &[Axis], models: &[&str]) -> ModerationDocument {
    let out = tempfile::tempdir().expect("temporary folder");
    let artefacts = Artefacts::from_environment();
    let model = |name: &&str| ModelRef {
        name: (*name).to_owned(),
        digest: artefacts.locked_digest(name).expect("the lock file has it"),
        licence: "BSD-2-Clause".to_owned(),
    };
    let order = StepOrder {
        step: Step::Moderation,
        key: Digest::of(b"key"),
        algorithm_version: Step::Moderation.algorithm_version(),
        params: StepParams::Moderation { axes: axes.to_vec(), sample_fps: 1 },
        models: models.iter().map(model).collect(),
        result_url: String::new(),
    };
    let limits =
        Limits { run_seconds: 600, threads: 2, child_memory_bytes: sandbox::Limits::DECODE.memory_bytes, max_media_seconds: 60 };
    let done = pipeline::run(Work {
        artefacts: &artefacts,
        sandbox: &sandbox(),
        source: &Source::open(path).expect("opens"),
        steps: &[order],
        given: &Given { shots: None, spoken: Some(spoken) },
        limits: &limits,
        sink: &FolderSink::new(out.path()).expect("a folder"),
        tracker: &Tracker::default(),
    });
    assert!(matches!(done.steps[0].outcome, Outcome::Done { .. }), "{:?}", done.steps);
    ModerationDocument::from_bytes(&std::fs::read(out.path().join("moderation.json")).expect("the document")).expect("it reads")
}

const ALL: [Axis; 3] = [Axis::Nudity, Axis::Violence, Axis::Language];

#[test]
fn each_axis_is_judged_by_itself_and_what_has_no_model_says_so() {
    let studio = Studio::new();
    let clip = studio.make("clip.mp4", "-f lavfi -i testsrc2=r=25:s=320x180:d=4 -c:v libx264 -preset ultrafast -pix_fmt yuv420p");
    let found = judged(&clip, Spoken::Cues(said("en")), &ALL, &["moderation-nudity"]);
    let [nudity, violence, language] = &found.axes[..] else { panic!("{:?}", found.axes) };
    let Finding::Judged { level: 0, moments_in_all: 0, .. } = &nudity.finding else { panic!("{nudity:?}") };
    assert_eq!(violence.finding, Finding::Unsupported(Unsupported::NoModel));
    let Finding::Judged { level, moments, .. } = &language.finding else { panic!("{language:?}") };
    let millis = |ticks: i64| ticks * 1_000 * i64::from(found.time_base.num) / i64::from(found.time_base.den);
    let told: Vec<(i64, u8, &str)> =
        moments.iter().map(|moment| (millis(moment.span.start), moment.strength, moment.word.as_deref().unwrap())).collect();
    assert_eq!((*level, told), (3, vec![(2_000, 3, "fuck"), (3_000, 1, "damn")]));
}

#[test]
fn silence_is_level_zero_and_a_language_without_a_list_is_not_judged() {
    let studio = Studio::new();
    let clip = studio.make("clip.mp4", "-f lavfi -i testsrc2=r=25:s=64x64:d=1 -c:v libx264 -preset ultrafast -pix_fmt yuv420p");
    let level = |spoken| match &judged(&clip, spoken, &[Axis::Language], &[]).axes[0].finding {
        Finding::Judged { level, .. } => Ok(*level),
        Finding::Unsupported(why) => Err(*why),
    };
    assert_eq!(level(Spoken::Nothing(Reason::NoSpeech)), Ok(0));
    assert_eq!(level(Spoken::Nothing(Reason::NoSound)), Ok(0));
    assert_eq!(level(Spoken::Nothing(Reason::LanguageUnsupported)), Err(Unsupported::Language));
    assert_eq!(level(Spoken::Cues(said("de"))), Err(Unsupported::Language));
    assert_eq!(level(Spoken::Cues(said("en-GB"))), Ok(3));
}

#[test]
fn a_title_without_a_picture_has_language_and_no_other_axis() {
    let studio = Studio::new();
    let clip = studio.make("sound.m4a", "-f lavfi -i sine=f=440:d=2 -c:a aac");
    let found = judged(&clip, Spoken::Nothing(Reason::NoSpeech), &ALL, &["moderation-nudity"]);
    assert_eq!(found.axes[0].finding, Finding::Unsupported(Unsupported::NoPicture));
    assert!(matches!(found.axes[2].finding, Finding::Judged { level: 0, .. }));
}
