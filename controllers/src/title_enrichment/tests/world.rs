//! A world in memory for decisions: a title, Jobs with pods that follow a script, a store. It carries out acts as the
//! real one does, counts writes, and can die right before or after any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use showrunner_contracts::{
    Digest, Document as _,
    lock::CatalogueModel,
    manifest::{MediaSummary, StepSummary, VideoSummary},
    result::{Failure, Outcome, Output, Reason, RunRecord, StepOutcome, StepResult, Termination, UnitResult},
    step::Step,
    time::TimeBase,
};
use showrunner_crds::title_enrichment::{PublishedStatus, SourceStatus, TitleEnrichmentSpec, TitleEnrichmentStatus, TitleReason};
use showrunner_kit::Next;
use showrunner_kit::jobs::{AcceleratorClass, CancelStep, Cause, JobState, JobsConfig, Overdue, PodRecord, Prices};

use crate::title_enrichment::decide::{Act, Answer, Committed, Decision, Facts, Input, Need, Order, Seen, SeenJob, Title, Trouble, decide};
use crate::title_enrichment::dereference::check_result;
use crate::title_enrichment::settings::TitleSettings;
use crate::title_enrichment::validate::{VOICE_ACTIVITY_MODEL, wish};
use crate::title_enrichment::{layout, publish, status};

pub(super) const UID: &str = "0a1b2c3d-1111-2222-3333-444455556666";
const ROOT: &str = "root/";

/// What the pods of a Job do, one entry per Job in the order they are created; when it is used up they do their work.
#[derive(Clone, Debug)]
pub(super) enum Script {
    /// Everything is done and committed.
    Work,
    /// Commits these steps, then dies in this way.
    Dies(Vec<Step>, Cause),
    /// Ends well as a pod, with these steps failed.
    Fails(Vec<Step>, Reason),
    /// There is nothing to listen to.
    NoSound,
    /// Never starts, for this reason of the scheduler's or kubelet's.
    NeverStarts(&'static str),
    /// Runs until it is stopped.
    Hangs,
}

#[derive(Clone, Debug)]
pub(super) struct FakeJob {
    pub(super) order: Order,
    pub(super) state: JobState,
    pub(super) admitted: u32,
    pub(super) admitted_at: Option<Timestamp>,
    pub(super) held: bool,
    pub(super) settled: u32,
    script: Script,
}

/// The process died.
#[derive(Debug)]
pub(super) struct Crash;

pub(super) struct World {
    pub(super) spec: TitleEnrichmentSpec,
    pub(super) generation: i64,
    pub(super) status: TitleEnrichmentStatus,
    pub(super) deleting: Option<Timestamp>,
    pub(super) finalizer: bool,
    pub(super) gone: bool,
    pub(super) jobs: BTreeMap<String, FakeJob>,
    pub(super) names: Vec<String>,
    pub(super) results: BTreeMap<Digest, Vec<u8>>,
    reports: BTreeMap<String, Vec<u8>>,
    pub(super) source: Result<SourceStatus, TitleReason>,
    pub(super) store_down: bool,
    pub(super) published: BTreeSet<String>,
    pub(super) alias: Option<Digest>,
    pub(super) settings: TitleSettings,
    pub(super) config: JobsConfig,
    pub(super) scripts: Vec<Script>,
    pub(super) now: Timestamp,
    pub(super) writes: usize,
    pub(super) reads: usize,
    pub(super) events: Vec<TitleReason>,
    pub(super) crash: Option<(usize, bool)>,
}

pub(super) fn model(name: &str, step: Step, content: &str) -> CatalogueModel {
    CatalogueModel { name: name.into(), digest: Digest::of(content.as_bytes()), licence: "MIT".into(), step }
}

pub(super) fn class(name: &str, resource: Option<&str>) -> AcceleratorClass {
    AcceleratorClass { name: name.into(), resource: resource.map(str::to_owned), count: 1, price_per_hour: "0.50".parse().unwrap(), ..AcceleratorClass::default() }
}

pub(super) fn media() -> MediaSummary {
    MediaSummary {
        container: "mov,mp4".into(),
        duration: 900_000,
        time_base: TimeBase { num: 1, den: 90_000 },
        video: Some(VideoSummary {
            codec: "h264".into(),
            width: 1280,
            height: 720,
            sample_aspect: None,
            rotation: 0,
            field_order: None,
            average_frame_rate: Some("25/1".into()),
            bit_depth: Some(8),
            pixel_format: Some("yuv420p".into()),
            primaries: None,
            transfer: None,
            matrix: None,
            range: None,
            hdr: Vec::new(),
            captions: false,
            timecode: None,
        }),
        audio: None,
        streams: 1,
    }
}

pub(super) fn step_result(step: Step, key: &Digest, folder: &str) -> StepResult {
    let name = step.slots().pop().unwrap();
    StepResult {
        schema: StepResult::SCHEMA.into(),
        step,
        key: key.clone(),
        folder: format!("{ROOT}{folder}/"),
        media: media(),
        outputs: vec![Output { name, media_type: "application/json".into(), sha256: Digest::of(key.as_str().as_bytes()), size_bytes: 71 }],
        summary: match step {
            Step::Shots => StepSummary::Shots { shots: 3, cuts: 2, dissolves: 0, fades: 0 },
            Step::Thumbnails => StepSummary::Thumbnails { candidates: 10, selected: 8, sheets: 1 },
            Step::Subtitles => StepSummary::Subtitles { language: "en".into(), cues: 2, words: 9, speech_ms: 4000, dropped: 0 },
        },
        models: Vec::new(),
        settings: BTreeMap::new(),
    }
}

impl World {
    pub(super) fn new(spec: &str) -> Self {
        let config = JobsConfig {
            image: "registry.example/worker:1".into(),
            image_pull_policy: "IfNotPresent".into(),
            image_pull_secrets: Vec::new(),
            classes: vec![class("plain", None), class("t4", Some("nvidia.com/gpu"))],
            prices: Prices::default(),
            currency: "EUR".into(),
        };
        let models = vec![
            model("whisper-base", Step::Subtitles, "base"),
            model("whisper-large", Step::Subtitles, "large"),
            model(VOICE_ACTIVITY_MODEL, Step::Subtitles, "vad"),
        ];
        Self {
            spec: serde_saphyr::from_str(spec).unwrap(),
            generation: 1,
            status: TitleEnrichmentStatus::default(),
            deleting: None,
            finalizer: false,
            gone: false,
            jobs: BTreeMap::new(),
            names: Vec::new(),
            results: BTreeMap::new(),
            reports: BTreeMap::new(),
            source: Ok(SourceStatus {
                store: "media".into(),
                path: "in/clip.mov".into(),
                version: "\"v1\"".into(),
                etag: "\"v1\"".into(),
                size_bytes: 1000,
            }),
            store_down: false,
            published: BTreeSet::new(),
            alias: None,
            settings: TitleSettings { models, ..TitleSettings::default() },
            config,
            scripts: Vec::new(),
            now: "2026-03-01T12:00:00Z".parse().unwrap(),
            writes: 0,
            reads: 0,
            events: Vec::new(),
            crash: None,
        }
    }

    pub(super) fn edit(&mut self, change: impl FnOnce(&mut TitleEnrichmentSpec)) {
        change(&mut self.spec);
        self.generation += 1;
    }

    /// Reconciles, lets pods go on and time pass, until nothing is written and nothing moves.
    pub(super) fn settle(&mut self) {
        for _ in 0..400 {
            if self.gone {
                return;
            }
            let before = self.writes;
            let Ok(next) = self.reconcile() else { continue };
            let moved = self.pods();
            if self.writes == before && !moved {
                match next {
                    Next::WaitForChange => return,
                    Next::At(at) => self.now = at.max(self.now),
                }
            }
        }
        panic!("it does not settle: {:#?}", self.status);
    }

    /// Reconciles until a Job is running (or what `until` says), and no further.
    pub(super) fn settle_until(&mut self, until: impl Fn(&Self) -> bool) {
        for _ in 0..200 {
            if until(self) {
                return;
            }
            if self.reconcile().is_ok() && !until(self) {
                self.pods();
            }
        }
        panic!("it does not come to that: {:#?}", self.status);
    }

    pub(super) fn running(&self) -> bool {
        self.jobs.values().any(|job| matches!(job.state, JobState::Running { .. }))
    }

    /// One reconcile, as the controller does it.
    pub(super) fn reconcile(&mut self) -> Result<Next, Crash> {
        let (mut seen, mut facts) = (Seen::default(), Facts::default());
        let jobs: Vec<SeenJob> = self.jobs.values().map(|job| self.see(job)).collect();
        let mut touched = BTreeSet::new();
        for _ in 0..16 {
            let title = Title {
                uid: UID.into(),
                namespace: "studio".into(),
                name: "first-light".into(),
                generation: self.generation,
                deleting: self.deleting,
                has_finalizer: self.finalizer,
            };
            let wish = wish(&self.spec);
            let input = Input {
                title: &title,
                status: &self.status,
                wish: wish.as_ref(),
                jobs: &jobs,
                seen: &seen,
                facts: &facts,
                settings: &self.settings,
                config: &self.config,
            };
            let steps = match decide(&input, self.now) {
                Decision::Need(need) => {
                    self.answer(need, &mut seen);
                    continue;
                }
                Decision::Do(steps) => *steps,
            };
            let harvested = steps.verdict.is_none();
            let mut new = steps.status;
            let notes = steps.verdict.map(|verdict| status::tell(&mut new, &verdict, self.generation, self.now)).unwrap_or_default();
            let mut again = false;
            if without_times(&new) != without_times(&self.status) {
                self.write(|world| world.status = new)?;
                again = harvested;
            }
            self.events.extend(notes.into_iter().map(|note| note.reason));
            for act in steps.acts {
                again |= self.act(act, &mut facts, &mut touched)?;
            }
            if !again || self.gone {
                return Ok(steps.next);
            }
            if harvested {
                seen = Seen::default();
            }
        }
        panic!("it asks and asks: {:#?}", self.status);
    }

    /// A write that may be the last thing this process does, or the first that it does not.
    fn write(&mut self, change: impl FnOnce(&mut Self)) -> Result<(), Crash> {
        let number = self.writes;
        self.writes += 1;
        if self.crash == Some((number, false)) {
            return Err(Crash);
        }
        change(self);
        if self.crash == Some((number, true)) { Err(Crash) } else { Ok(()) }
    }

    fn see(&self, job: &FakeJob) -> SeenJob {
        let cancel = match &job.state {
            JobState::Pending { .. } | JobState::Running { .. } => CancelStep::Suspend,
            JobState::Stopping => CancelStep::Wait,
            JobState::Suspended | JobState::Succeeded { .. } | JobState::Failed { .. } if job.held => CancelStep::Settle,
            JobState::Suspended | JobState::Succeeded { .. } | JobState::Failed { .. } => CancelStep::Delete,
        };
        let overdue = match (&job.state, job.admitted_at) {
            (JobState::Pending { .. }, Some(at)) if at + job.order.deadlines.start <= self.now => Overdue::Now,
            (JobState::Pending { .. }, Some(at)) => Overdue::Due(at + job.order.deadlines.start),
            _ => Overdue::No,
        };
        SeenJob {
            name: job.order.attempt.job.clone(),
            number: job.order.attempt.number,
            state: job.state.clone(),
            cancel,
            overdue,
            held: job.held,
            deleting: false,
            class: job.order.class.name.clone(),
        }
    }

    fn answer(&mut self, need: Need, seen: &mut Seen) {
        self.reads += 1;
        let trouble = |reason: TitleReason| Trouble { reason, message: format!("{reason}"), retry_at: self.now + Duration::from_secs(30) };
        let down = self.store_down.then(|| trouble(TitleReason::StoreUnavailable));
        match need {
            Need::Source { .. } => {
                seen.source = match (down, &self.source) {
                    (Some(trouble), _) => Answer::Trouble(trouble),
                    (None, Ok(source)) => Answer::Got(source.clone()),
                    (None, Err(reason)) => Answer::Trouble(trouble(*reason)),
                };
            }
            Need::Results { keys, .. } => {
                let found = keys.iter().map(|(step, key)| {
                    (key.clone(), self.results.get(key).map(|bytes| check_result(bytes, *step, key, ROOT)))
                });
                seen.results = down.map_or_else(|| Answer::Got(found.collect()), Answer::Trouble);
            }
            Need::Report { folder, digest, .. } => {
                let report = match self.reports.get(&folder) {
                    Some(bytes) if Digest::of(bytes) == digest => Ok(Box::new(UnitResult::from_bytes(bytes).unwrap())),
                    _ => Err("not the digest".to_owned()),
                };
                seen.report = down.map_or(Answer::Got(report), Answer::Trouble);
            }
            Need::Progress { .. } => seen.progress = Answer::Got(None),
        }
    }

    fn act(&mut self, act: Act, facts: &mut Facts, touched: &mut BTreeSet<String>) -> Result<bool, Crash> {
        match act {
            Act::AddFinalizer => {
                self.write(|world| world.finalizer = true)?;
                return Ok(true);
            }
            Act::DropFinalizer => self.write(|world| {
                world.finalizer = false;
                world.gone = world.deleting.is_some();
            })?,
            Act::Create(order) => {
                assert_eq!(self.status.attempt.as_ref().map(|a| &a.job), Some(&order.attempt.job), "the intent is stored before the Job is created");
                self.write(|world| world.create(*order))?;
            }
            Act::Publish(edition) => {
                let results: Vec<_> = edition.steps.iter().map(|step| Some(StepResult::from_bytes(&self.results[&step.key]).unwrap()).filter(|_| step.result.is_ok())).collect();
                let digest = Digest::of(&publish::manifest(&edition, &results, media()).to_bytes());
                self.write(|world| {
                    world.published.insert(digest.to_string());
                })?;
                facts.published = Some(PublishedStatus {
                    digest: digest.to_string(),
                    contents: edition.contents.to_string(),
                    folder: "root/titles/studio/first-light".into(),
                    at: Time(self.now),
                });
                return Ok(true);
            }
            Act::Alias { digest, .. } => {
                assert_eq!(self.status.published.as_ref().map(|p| p.digest.as_str()), Some(digest.as_str()), "the status is the truth before the alias is");
                self.write(|world| world.alias = Some(digest))?;
                facts.alias = true;
                return Ok(true);
            }
            Act::Admit { job } if touched.insert(job.clone()) => {
                let now = self.now;
                self.write(|world| {
                    let job = world.jobs.get_mut(&job).unwrap();
                    job.admitted += 1;
                    job.admitted_at = Some(now);
                    job.state = JobState::Pending { since: Some(now), reason: "Scheduling".into(), message: String::new() };
                })?;
            }
            Act::End { job } if touched.insert(job.clone()) => self.write(|world| world.end(&job))?,
            Act::LetGo { job } if touched.insert(job.clone()) => {
                assert_ne!(self.status.attempt.as_ref().map(|a| &a.job), Some(&job), "harvested before it is let go");
                self.write(|world| {
                    let job = world.jobs.get_mut(&job).unwrap();
                    job.held = false;
                    job.settled += 1;
                })?;
            }
            Act::ForceGo { job } if touched.insert(job.clone()) => self.write(|world| {
                world.jobs.remove(&job);
            })?,
            Act::Admit { .. } | Act::End { .. } | Act::LetGo { .. } | Act::ForceGo { .. } => {}
        }
        Ok(false)
    }

    fn create(&mut self, order: Order) {
        let name = order.attempt.job.clone();
        if self.jobs.contains_key(&name) {
            return;
        }
        assert!(!self.names.contains(&name), "a name that was used before is used again");
        self.names.push(name.clone());
        let script = if self.scripts.is_empty() { Script::Work } else { self.scripts.remove(0) };
        self.jobs.insert(name, FakeJob { order, state: JobState::Suspended, admitted: 0, admitted_at: None, held: true, settled: 0, script });
    }

    /// One step of ending a Job, as the kit does it.
    fn end(&mut self, name: &str) {
        let job = self.jobs.get_mut(name).unwrap();
        match &job.state {
            JobState::Pending { .. } | JobState::Running { .. } => {
                job.state = JobState::Stopping;
                job.admitted_at = None;
            }
            JobState::Stopping => {}
            _ if job.held => {
                job.held = false;
                job.settled += 1;
            }
            _ => {
                self.jobs.remove(name);
            }
        }
    }

    /// Pods go on by one step. Says whether something moved.
    pub(super) fn pods(&mut self) -> bool {
        let mut moved = false;
        for name in self.jobs.keys().cloned().collect::<Vec<_>>() {
            let mut job = self.jobs[&name].clone();
            let next = match (&job.state, &job.script) {
                (JobState::Stopping, _) => JobState::Suspended,
                (JobState::Pending { reason, .. }, Script::NeverStarts(why)) if reason != why => {
                    JobState::Pending { since: job.admitted_at, reason: (*why).into(), message: "0/1 nodes".into() }
                }
                (JobState::Pending { .. }, Script::NeverStarts(_)) | (JobState::Running { .. }, Script::Hangs) => continue,
                (JobState::Pending { .. }, _) => JobState::Running { since: self.now },
                (JobState::Running { .. }, script) => {
                    let script = script.clone();
                    self.work(&job, &script)
                }
                _ => continue,
            };
            moved = true;
            job.state = next;
            self.jobs.insert(name, job);
        }
        moved
    }

    /// What a pod does from start to end.
    fn work(&mut self, job: &FakeJob, script: &Script) -> JobState {
        let folder = layout::attempt_folder(&job.order.unit, UID, job.order.attempt.number);
        let commits = |step: Step| match script {
            Script::Dies(steps, _) => steps.contains(&step),
            Script::Fails(steps, _) => !steps.contains(&step),
            Script::NoSound => step.is_visual(),
            _ => true,
        };
        let mut told = Vec::new();
        for ordered in &job.order.steps {
            let step = ordered.params.step();
            let outcome = if commits(step) {
                let bytes = self.results.entry(ordered.key.clone()).or_insert_with(|| step_result(step, &ordered.key, &folder).to_bytes());
                Outcome::Done { result: Digest::of(bytes) }
            } else {
                match script {
                    Script::NoSound => Outcome::Skipped(Reason::NoSound),
                    Script::Fails(_, reason) => Outcome::Failed(Failure::new(*reason, "as the script says")),
                    _ => continue,
                }
            };
            told.push(StepOutcome { step, key: ordered.key.clone(), outcome, wall_ms: 1200, cpu_ms: None });
        }
        let record = |message: String, exit_code| PodRecord {
            pod: "pod".into(),
            node: "node".into(),
            class: job.order.class.name.clone(),
            started: Some(self.now),
            finished: Some(self.now),
            exit_code: Some(exit_code),
            cause: None,
            reason: String::new(),
            message,
        };
        if let Script::Dies(_, cause) = script {
            return JobState::Failed { cause: *cause, message: "gone".into(), record: Some(record(String::new(), 137)) };
        }
        let failed = told.iter().any(|told| matches!(told.outcome, Outcome::Failed(_)));
        let report = UnitResult {
            schema: UnitResult::SCHEMA.into(),
            unit_key: job.order.unit.clone(),
            attempt: u32::try_from(job.order.attempt.number).unwrap(),
            media: Some(media()),
            steps: told,
            run: RunRecord::default(),
        };
        let bytes = report.to_bytes();
        let message = serde_json::to_string(&Termination::Result(Digest::of(&bytes))).unwrap();
        let ended = record(message, if failed { 10 } else { 0 });
        self.reports.insert(folder, bytes);
        if failed {
            JobState::Failed { cause: Cause::ExitCode(10), message: String::new(), record: Some(ended) }
        } else {
            JobState::Succeeded { record: Some(ended) }
        }
    }

    /// The step of this name in the status.
    pub(super) fn step(&self, name: &str) -> &showrunner_crds::title_enrichment::StepStatus {
        self.status.steps.iter().find(|step| step.name == name).unwrap()
    }

    /// Reason of the condition Ready.
    pub(super) fn reason(&self) -> &str {
        &showrunner_kit::conditions::get(&self.status.conditions, "Ready").unwrap().reason
    }

    pub(super) fn has(&self, condition: &str) -> bool {
        showrunner_kit::conditions::is_true(&self.status.conditions, condition)
    }
}

/// A checked result, as a decision sees it.
pub(super) fn committed(step: Step, key: &Digest, folder: &str) -> Committed {
    let result = step_result(step, key, folder);
    Committed { digest: Digest::of(&result.to_bytes()), result }
}

fn without_times(status: &TitleEnrichmentStatus) -> TitleEnrichmentStatus {
    let mut status = status.clone();
    for condition in &mut status.conditions {
        condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
    }
    status
}
