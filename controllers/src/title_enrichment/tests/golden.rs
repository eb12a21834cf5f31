//! Golden objects: what a worker is told, the Job around it, and the page for people.

use std::collections::BTreeMap;

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use showrunner_contracts::{
    Digest, Document as _,
    documents::{
        Cue, FingerprintDocument, Given, Nudity, Pick, PicturePrint, PrintedBars, Shot, ShotsDocument, SoundPrint, Still,
        SubtitlesDocument, ThumbnailsDocument, Transition,
    },
    manifest::{AttemptRecord, Origin, PublishedStep, RunDocument, StepSummary, TitleManifest},
    result::{Outcome, Output, Reason, RunRecord, StepOutcome},
    step::{SourceIdentity, Step},
    time::{Span, TimeBase},
    work_order::WorkOrder,
};
use showrunner_kit::jobs::{MAX_WORK_ORDER, Owner, build as build_job};
use showrunner_kit::store::StoreError;
use strum::IntoEnumIterator as _;

use super::fixtures::media;
use super::world::{UID, World};
use super::{ALL, OTHERS, SHOTS};
use crate::title_enrichment::build::{Sign, request, work_order};
use crate::title_enrichment::decide::Order;
use crate::title_enrichment::layout;
use crate::title_enrichment::report::{self, Page};

/// URLs of the length that real ones have, or short ones to look at.
struct Fake {
    signature: usize,
    sharing: Option<&'static str>,
}

impl Sign for Fake {
    fn read(&self, path: &str) -> Result<String, StoreError> {
        Ok(format!("https://store.example/titles/root/{path}?get{}", "0".repeat(self.signature)))
    }
    fn read_key(&self, key: &str) -> Result<String, StoreError> {
        Ok(format!("https://store.example/titles/{key}?get{}", "0".repeat(self.signature)))
    }
    fn write(&self, path: &str) -> Result<String, StoreError> {
        Ok(format!("https://store.example/titles/root/{path}?put{}", "0".repeat(self.signature)))
    }
    fn commit(&self, path: &str) -> Result<String, StoreError> {
        Ok(format!("https://store.example/titles/root/{path}?put-if-absent{}", "0".repeat(self.signature)))
    }
    fn result(&self, key: &Digest) -> String {
        layout::result(key, self.sharing)
    }
    fn key(&self, path: &str) -> Result<String, StoreError> {
        Ok(format!("root/{path}"))
    }
}

fn ordered(spec: &str) -> (World, Order) {
    let mut world = World::new(spec);
    world.settle_until(World::running);
    let order = world.jobs.values().next().unwrap().order.clone();
    (world, order)
}

#[test]
fn the_work_order_is_as_it_was() {
    let (world, order) = ordered(
        "
source: { store: media, path: in/clip.mov, sha256: 0000000000000000000000000000000000000000000000000000000000000000 }
thumbnails: { select: 2 }
subtitles: { language: en-GB }
",
    );
    let order = work_order(&order, UID, &world.settings, &Fake { signature: 0, sharing: None }).unwrap();
    insta::assert_json_snapshot!(order);
}

#[test]
fn the_job_is_as_it_was() {
    let (world, order) = ordered(SHOTS);
    let owner = Owner {
        reference: OwnerReference {
            api_version: "showrunner.dev/v1alpha1".into(),
            kind: "TitleEnrichment".into(),
            name: "first-light".into(),
            uid: UID.into(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        },
        namespace: "studio".into(),
        generation: 1,
    };
    let job = build_job(&request(&order, owner, "{}".into(), &world.settings), &world.config).unwrap();
    assert_eq!(job.metadata.name.as_deref(), Some(order.attempt.job.as_str()), "the name in the intent is the name of the Job");
    assert_eq!(order.attempt.cost_estimate.as_deref(), Some("1.004167 EUR"));
    insta::assert_yaml_snapshot!(job);
}

#[test]
fn the_largest_work_order_fits_an_annotation_and_is_read_back() {
    let path = "d/".repeat(250) + "clip.mov";
    let (world, mut order) = ordered(&format!("{ALL}\n{OTHERS}"));
    order.source.path = path;
    let text = work_order(&order, UID, &world.settings, &Fake { signature: 900, sharing: Some("studio") }).unwrap().to_bytes();
    assert!(text.len() <= MAX_WORK_ORDER, "{} bytes", text.len());
    let read = WorkOrder::from_bytes(&text).unwrap();
    let together = Step::iter().filter(|step| step.reads_source());
    assert_eq!(read.grants.commits.len(), together.count(), "what reads no source has a Job of its own");
    let all = || read.grants.commits.values().chain(read.steps.iter().map(|step| &step.result_url));
    assert!(all().all(|url| url.contains("/results/studio/")), "a shared prefix keeps the results of namespaces apart");
    assert!(read.grants.folder.ends_with("-1/"));
}

fn page_files(evil: &str) -> BTreeMap<String, Bytes> {
    let base = TimeBase { num: 1, den: 1000 };
    let still = |sheet: &str, at| Some(Still { sheet: sheet.into(), at, x: 160, y: 0, width: 160, height: 90 });
    let shots = ShotsDocument {
        schema: ShotsDocument::SCHEMA.into(),
        time_base: base,
        duration: 10_000,
        ends_with_fade: Some(Span { start: 9000, end: 10_000 }),
        shots: vec![
            Shot { span: Span { start: 0, end: 4000 }, begins_with: Transition::Start, still: still("shots-0.jpg", 2000) },
            Shot {
                span: Span { start: 4000, end: 9000 },
                begins_with: Transition::Dissolve(Span { start: 3500, end: 4500 }),
                still: None,
            },
            Shot { span: Span { start: 9000, end: 10_000 }, begins_with: Transition::Cut, still: still(evil, 9500) },
        ],
    };
    let thumbnails = ThumbnailsDocument {
        schema: ThumbnailsDocument::SCHEMA.into(),
        time_base: base,
        picks: vec![Pick {
            name: "thumbnail-0.jpg".into(),
            at: 2000,
            shot: 0,
            category: evil.into(),
            score: 0.81,
            width: 1280,
            height: 720,
            pdq: "0".repeat(64),
            nudity: Nudity::Judged { probability: 0.125, level: 0 },
            given: Some(Given { by: evil.into(), sha256: Digest::of(b"given"), size_bytes: 9 }),
        }],
        relaxed: Some(evil.into()),
        nudity: None,
    };
    let subtitles = SubtitlesDocument {
        schema: SubtitlesDocument::SCHEMA.into(),
        language: "en".into(),
        language_detected: true,
        cues: vec![Cue { start_ms: 1000, end_ms: 2500, lines: vec![evil.into(), "second line".into()], confidence: Some(0.912) }],
        violations: vec![evil.into()],
    };
    let bars = PrintedBars { left: 0.0, top: 0.125, right: 0.0, bottom: 0.125 };
    let print = FingerprintDocument {
        schema: FingerprintDocument::SCHEMA.into(),
        algorithm: evil.into(),
        file_version: 1,
        picture: PicturePrint::Seen { pictures: 10, blank: 1, bars: Some(bars), strip: format!("00ff 00fe ---- {evil}") },
        sound: SoundPrint::Missing(Reason::NoSound),
    };
    let vtt = "WEBVTT\n\n00:00:00.000 --> 00:00:05.000\nsprite-0.jpg#xywh=0,0,160,90\n\n00:00:05.000 --> 00:00:10.000\nsprite-0.jpg#xywh=160,0,160,90\n";
    BTreeMap::from([
        ("shots.json".to_owned(), shots.to_bytes().into()),
        ("thumbnails.json".to_owned(), thumbnails.to_bytes().into()),
        ("subtitles.json".to_owned(), subtitles.to_bytes().into()),
        ("fingerprint.json".to_owned(), print.to_bytes().into()),
        ("sprite.vtt".to_owned(), Bytes::from_static(vtt.as_bytes())),
        ("thumbnail-0.jpg".to_owned(), Bytes::from_static(b"\xff\xd8picture")),
        ("sprite-0.jpg".to_owned(), Bytes::from_static(b"\xff\xd8sheet")),
        ("sprite-1.jpg".to_owned(), Bytes::from_static(b"\xff\xd8not needed")),
        ("shots-0.jpg".to_owned(), Bytes::from_static(b"\xff\xd8stills")),
    ])
}

/// An attempt that did the shots, with what it says of processor time.
fn run_by(evil: &str, cpu_ms: Option<u64>, picture_decode_cpu_ms: Option<u64>) -> RunDocument {
    RunDocument {
        schema: RunDocument::SCHEMA.into(),
        attempts: vec![AttemptRecord {
            job: "sr-1".into(),
            attempt: 1,
            steps: vec![StepOutcome {
                step: Step::Shots,
                key: Digest::of(b"key"),
                outcome: Outcome::Done { result: Digest::of(b"r") },
                wall_ms: 1234,
                cpu_ms,
            }],
            run: RunRecord {
                wall_ms: 3000,
                cpu_ms: 4000,
                sandbox: evil.into(),
                picture_decodes: 1,
                picture_decode_cpu_ms,
                ..RunRecord::default()
            },
            cost_estimate: "0.42".into(),
        }],
    }
}

fn page(evil: &str, files: &BTreeMap<String, Bytes>) -> String {
    page_of(evil, files, &run_by(evil, Some(2000), Some(1500)))
}

fn page_of(evil: &str, files: &BTreeMap<String, Bytes>, run: &RunDocument) -> String {
    page_with(evil, files, run, None)
}

fn page_with(evil: &str, files: &BTreeMap<String, Bytes>, run: &RunDocument, thumbnails: Option<PublishedStep>) -> String {
    let key = Digest::of(b"key");
    let mut manifest = TitleManifest {
        schema: TitleManifest::SCHEMA.into(),
        source: SourceIdentity {
            store: "media".into(),
            path: evil.into(),
            version: "\"v1\"".into(),
            size_bytes: 1000,
            sha256: None,
        },
        media: media(),
        steps: vec![PublishedStep {
            step: Step::Shots,
            key: key.clone(),
            skipped: None,
            withheld: None,
            origin: Origin::Machine,
            outputs: vec![Output {
                name: "shots.json".into(),
                media_type: evil.into(),
                sha256: key.clone(),
                size_bytes: 12,
                origin: Some(Origin::Machine),
            }],
            summary: Some(StepSummary::Shots { shots: 3, cuts: 1, dissolves: 1, fades: 0, inferred: 0 }),
            models: Vec::new(),
        }],
    };
    manifest.steps.extend(thumbnails);
    report::html(&Page {
        namespace: "studio",
        name: "first-light",
        digest: &Digest::of(b"m"),
        manifest: &manifest,
        run,
        files,
        currency: "EUR",
    })
}

#[test]
fn the_report_is_as_it_was() {
    let html = page("plain words", &page_files("plain words"));
    insta::assert_snapshot!(html.replace("<section", "\n<section").replace("<figure", "\n<figure").replace("<tr", "\n<tr"));
}

#[test]
fn nothing_in_a_title_can_break_out_of_the_report() {
    let evil = "</style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u{202e}";
    let html = page(evil, &page_files(evil));
    assert!(!html.contains("<script") && !html.contains("<img src=x") && !html.contains('\u{202e}'));
    assert_eq!(html.matches("</style>").count(), 1);
    assert!(html.contains("&lt;script&gt;"));
    assert!(html.contains("default-src 'none'") && !html.contains("unsafe"));
    assert!(!html.contains("http://") && !html.contains("https://"), "nothing is loaded from anywhere");
}

#[test]
fn pictures_that_do_not_fit_are_left_out_and_the_report_says_so() {
    let mut files = page_files("x");
    files.insert("sprite-0.jpg".into(), vec![0; report::MAX_PICTURE_BYTES].into());
    let html = page("x", &files);
    assert!(html.contains("Some pictures are left out"));
    assert!(html.len() < 1 << 20);
    assert!(html.contains("data:image/jpeg"), "the thumbnail, which fits, is there");
}

#[test]
fn the_reports_policy_lets_its_one_style_through_and_it_needs_no_other() {
    use base64::Engine as _;
    use sha2::{Digest as _, Sha256};
    let html = page("x", &page_files("x"));
    let (_, rest) = html.split_once("<style>").unwrap();
    let (style, body) = rest.split_once("</style>").unwrap();
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(style));
    assert!(html.contains(&format!("style-src 'sha256-{digest}'")));
    assert!(!body.contains("style=") && !body.contains("<style"), "a style in the body would not be let through");
}

#[test]
fn a_shot_shows_its_own_still_and_trick_play_only_where_it_has_none() {
    let html = page("x", &page_files("x"));
    let figure =
        |shot: usize| html.split(&format!("<figure id=\"shot-{shot}\">")).nth(1).unwrap().split("</figure>").next().unwrap();
    assert!(figure(1).contains("viewBox=\"160 0 160 90\"") && figure(1).contains("href=\"#sheet-shots-0\""), "{}", figure(1));
    assert!(figure(2).contains("href=\"#sheet-sprite-0\""), "{}", figure(2));
    assert!(!figure(3).contains("href"), "its sheet is not there: {}", figure(3));
    assert!(html.contains("Shots without a still of their own"));
    assert!(!html.contains("sheet-sprite-1"), "a sheet that no shot shows is not carried");
}

#[test]
fn trick_play_is_found_by_the_digests_of_its_sheets() {
    let mut files = page_files("x");
    let sheet = Digest::of(&files["sprite-0.jpg"]);
    let vtt = String::from_utf8(files["sprite.vtt"].to_vec()).unwrap().replace("sprite-0.jpg", sheet.hex());
    files.insert("sprite.vtt".into(), vtt.into());
    let outputs = vec![Output {
        name: "sprite-0.jpg".into(),
        media_type: "image/jpeg".into(),
        sha256: sheet,
        size_bytes: 7,
        origin: Some(Origin::Machine),
    }];
    let key = Digest::of(b"thumbnails");
    let step = PublishedStep {
        step: Step::Thumbnails,
        key,
        skipped: None,
        withheld: None,
        origin: Origin::Machine,
        outputs,
        summary: None,
        models: Vec::new(),
    };
    let html = page_with("x", &files, &run_by("x", None, None), Some(step));
    assert!(html.contains("href=\"#sheet-sprite-0\""));
    let unlisted = page("x", &files);
    assert!(!unlisted.contains("href=\"#sheet-sprite-0\""), "a digest that the manifest does not list");
}

#[test]
fn processor_time_that_is_not_told_apart_is_called_shared() {
    let html = page("x", &page_files("x"));
    let row = |html: &str, name: &str| {
        html.split(&format!("<th scope=\"row\">{name}</th>")).nth(1).unwrap().split("</tr>").next().unwrap().to_owned()
    };
    assert!(row(&html, "shots").contains("2.0 s"));
    let decode = row(&html, "decode of the picture");
    assert!(decode.contains("for shots") && decode.contains("1.5 s"), "{decode}");
    assert!(row(&html, "everything else").contains("0.5 s"));
    let older = run_by("x", None, None);
    let html = page_of("x", &page_files("x"), &older);
    assert!(row(&html, "shots").contains(">shared<"), "{}", row(&html, "shots"));
    assert!(!html.contains("decode of the picture") && !html.contains("everything else"));
}
