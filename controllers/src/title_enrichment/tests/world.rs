//! A world in memory for decisions: a title, Jobs with pods that follow a script, a store. It carries out acts as the
//! real one does, counts writes, and can die right before or after any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use showrunner_contracts::progress::Progress;
use showrunner_contracts::{
    Digest, Document as _,
    result::{Reason, StepResult, UnitResult},
    step::Step,
};
use showrunner_crds::title_enrichment::{PublishedStatus, SourceStatus, TitleEnrichmentSpec, TitleEnrichmentStatus, TitleReason};
use showrunner_kit::Next;
use showrunner_kit::admission::Orders;
use showrunner_kit::jobs::{CancelStep, Cause, Charge, JobState, JobsConfig, Overdue, Prices, Seal};

use super::fixtures::{ROOT, class, media, model};
use crate::title_enrichment::decide::{
    Act, Answer, Decision, Edition, Facts, Input, Need, Order, Seen, SeenJob, Title, Trouble, Whereabouts, decide,
};
use crate::title_enrichment::dereference::check_result;
use crate::title_enrichment::pace::Paces;
use crate::title_enrichment::settings::TitleSettings;
use crate::title_enrichment::validate::{VOICE_ACTIVITY_MODEL, wish};
use crate::title_enrichment::{publish, status};

pub(super) const UID: &str = "0a1b2c3d-1111-2222-3333-444455556666";

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
    /// Commits these steps, then its node is heard of no more.
    NodeGone(Vec<Step>),
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "switches that tests turn one by one")]
pub(super) struct FakeJob {
    pub(super) order: Order,
    pub(super) state: JobState,
    pub(super) admitted: u32,
    pub(super) admitted_at: Option<Timestamp>,
    pub(super) held: bool,
    pub(super) pods_held: bool,
    pub(super) settled: u32,
    pub(super) script: Script,
    pub(super) seal: Seal,
    pub(super) taken: Taken,
    /// The caches do not have it yet.
    pub(super) late: bool,
    /// A pod of it has run.
    pub(super) ran: bool,
    /// Somebody has written other records of its pods on it.
    pub(super) forged_records: bool,
}

/// What somebody has taken off a Job of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// The label that the caches find it by.
    pub(super) label: bool,
    /// Its owner.
    pub(super) owner: bool,
    /// Our finalizer.
    pub(super) finalizer: bool,
}

impl FakeJob {
    /// What it is now: label and owner are sealed.
    pub(super) fn seal_now(&self) -> Seal {
        let mut text = self.seal.to_string();
        for (part, taken) in [("labels=1", self.taken.label), ("owner=1", self.taken.owner)] {
            text = if taken { text.replace(part, &part.replace('1', "0")) } else { text };
        }
        Seal::read(&text).unwrap()
    }

    /// Digests of what is known of its pod, once that has ended.
    pub(super) fn records(&self) -> Vec<String> {
        match &self.state {
            _ if !self.ran || self.forged_records => Vec::new(),
            JobState::Succeeded { record: Some(record) }
            | JobState::Failed { record: Some(record), .. }
            | JobState::Lost { record } => {
                vec![record.digest()]
            }
            JobState::Suspended => vec!["stopped".into()],
            _ => Vec::new(),
        }
    }

    pub(super) fn can_run(&self) -> bool {
        matches!(self.state, JobState::Pending { .. } | JobState::Running { .. })
    }
}

/// The seal of a Job with this UID and these limits.
pub(super) fn seal(uid: &str, limits: &str) -> Seal {
    Seal::read(&format!("{} uid={uid} labels=1 limits={limits} owner=1", Seal::PENDING)).unwrap()
}

/// Another title with the same catalogue. It goes on by some reconciles right before this one's use of the catalogue with a number.
pub(super) struct Rival {
    pub(super) world: Box<World>,
    pub(super) at_use: usize,
    pub(super) reconciles: usize,
}

/// The process died.
#[derive(Debug)]
pub(super) struct Crash;

#[expect(clippy::struct_excessive_bools, reason = "switches that tests turn one by one")]
pub(super) struct World {
    pub(super) spec: TitleEnrichmentSpec,
    pub(super) generation: i64,
    pub(super) status: TitleEnrichmentStatus,
    pub(super) deleting: Option<Timestamp>,
    pub(super) finalizer: bool,
    pub(super) gone: bool,
    pub(super) jobs: BTreeMap<String, FakeJob>,
    pub(super) names: Vec<String>,
    /// Classes of the Jobs, as their names.
    pub(super) classes: Vec<String>,
    /// What Jobs were charged.
    pub(super) charged: Vec<(String, Charge)>,
    /// Jobs that were gone before they were charged, and were charged their bound.
    pub(super) written_off: Vec<String>,
    /// Jobs on which nothing can be done.
    pub(super) refused: BTreeSet<String>,
    /// Jobs of somebody else.
    pub(super) intruders: Vec<SeenJob>,
    /// Whoever makes a Job first under the name of the next attempt makes another one.
    pub(super) squatted: bool,
    /// Whether there is room for one more Job.
    pub(super) room: bool,
    /// When pods of all Jobs count as lost.
    pub(super) lost_at: Option<Timestamp>,
    pub(super) results: BTreeMap<Digest, Vec<u8>>,
    pub(super) reports: BTreeMap<String, Vec<u8>>,
    pub(super) source: Result<SourceStatus, TitleReason>,
    pub(super) store_down: bool,
    pub(super) published: BTreeSet<String>,
    /// What was published, in order.
    pub(super) editions: Vec<Edition>,
    pub(super) alias: Option<Digest>,
    /// Places of the catalogue: whose print is there, if one is.
    pub(super) places: Vec<Option<String>>,
    /// UID of the title.
    pub(super) uid: &'static str,
    pub(super) rival: Option<Rival>,
    /// The catalogue cannot be read or written.
    pub(super) catalogue_down: bool,
    pub(super) settings: TitleSettings,
    pub(super) config: JobsConfig,
    pub(super) paces: Paces,
    /// What budgets ask.
    pub(super) orders: Orders,
    /// What the pod says of how far it is.
    pub(super) progress: Option<Progress>,
    pub(super) scripts: Vec<Script>,
    pub(super) now: Timestamp,
    pub(super) writes: usize,
    pub(super) reads: usize,
    pub(super) events: Vec<TitleReason>,
    pub(super) crash: Option<(usize, bool)>,
}

impl World {
    pub(super) fn new(spec: &str) -> Self {
        let config = JobsConfig {
            image: "registry.example/worker:1".into(),
            image_pull_policy: "IfNotPresent".into(),
            image_pull_secrets: Vec::new(),
            priority_class_name: String::new(),
            classes: vec![class("plain", None), class("t4", Some("nvidia.com/gpu"))],
            prices: Prices::default(),
            max_in_flight: 7,
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
            classes: Vec::new(),
            charged: Vec::new(),
            written_off: Vec::new(),
            refused: BTreeSet::new(),
            intruders: Vec::new(),
            squatted: false,
            room: true,
            lost_at: None,
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
            editions: Vec::new(),
            alias: None,
            places: Vec::new(),
            uid: UID,
            rival: None,
            catalogue_down: false,
            settings: TitleSettings { models, ..TitleSettings::default() },
            config,
            paces: Paces::default(),
            orders: Orders::default(),
            progress: None,
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
        for _ in 0..5000 {
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
        for _ in 0..5000 {
            if until(self) {
                return;
            }
            let before = self.writes;
            let Ok(next) = self.reconcile() else { continue };
            if until(self) {
                return;
            }
            let moved = self.pods();
            if let (Next::At(at), false, true) = (next, moved, self.writes == before) {
                self.now = at.max(self.now);
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
        let cached = self.jobs.values().filter(|job| !job.taken.label && !job.late);
        let jobs: Vec<SeenJob> = cached.map(|job| self.see(job)).chain(self.intruders.clone()).collect();
        let mut touched = BTreeSet::new();
        for _ in 0..16 {
            let title = Title {
                uid: self.uid.into(),
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
                paces: &self.paces,
                orders: &self.orders,
            };
            let steps = match decide(&input, self.now) {
                Decision::Need(need) => {
                    self.answer(need, &mut seen);
                    continue;
                }
                Decision::Do(steps) => *steps,
            };
            let harvested = steps.status.attempt.is_none() && self.status.attempt.is_some();
            let mut new = steps.status;
            let mut notes = steps.notes;
            notes.extend(
                steps.verdict.into_iter().flat_map(|verdict| status::tell(&mut new, &verdict, self.generation, self.now)),
            );
            let mut again = false;
            if without_times(&new) != without_times(&self.status) {
                self.write(|world| world.status = new)?;
                again = harvested;
            }
            self.events.extend(notes.into_iter().map(|note| note.reason));
            for act in steps.acts {
                let in_hand = self.status.attempt.as_ref().map(|attempt| attempt.job.as_str());
                match &act {
                    Act::Disown { job } | Act::End { job, .. } | Act::LetGo { job, .. } if self.refused.contains(job) => {
                        if !act.is_aside(in_hand) {
                            return Err(Crash);
                        }
                        if matches!(act, Act::Disown { .. }) {
                            facts.disowned.insert(job.clone());
                            again = true;
                        }
                    }
                    _ => again |= self.act(act, &mut facts, &mut touched)?,
                }
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
    pub(super) fn write(&mut self, change: impl FnOnce(&mut Self)) -> Result<(), Crash> {
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
            JobState::Pending { .. } | JobState::Running { .. } | JobState::Lost { .. } => CancelStep::Suspend,
            JobState::Stopping => CancelStep::Wait,
            JobState::Suspended | JobState::Succeeded { .. } | JobState::Failed { .. } if job.pods_held => {
                CancelStep::ReleasePods
            }
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
            state: job.state.clone(),
            cancel,
            overdue,
            held: (job.held && !job.taken.finalizer) || job.pods_held,
            unsettled: job.held && !job.taken.finalizer,
            deleting: false,
            class: job.order.class.name.clone(),
            controlled: !job.taken.owner,
            suspended: matches!(job.state, JobState::Suspended | JobState::Stopping),
            finished: matches!(job.state, JobState::Succeeded { .. } | JobState::Failed { .. }),
            seal: job.seal_now(),
            records: job.records(),
            lost_at: self.lost_at,
        }
    }

    fn answer(&mut self, need: Need, seen: &mut Seen) {
        self.reads += 1;
        if matches!(need, Need::Place { .. }) {
            self.meets_rival();
        }
        let trouble =
            |reason: TitleReason| Trouble { reason, message: format!("{reason}"), retry_at: self.now + Duration::from_secs(30) };
        let down = self.store_down.then(|| trouble(TitleReason::StoreUnavailable));
        // There is no store of this name.
        let down_or_unknown =
            |store: &str| down.clone().or_else(|| (store == "nowhere").then(|| trouble(TitleReason::StoreUnknown)));
        match need {
            Need::Source { store, path } => {
                seen.source = match (down_or_unknown(&store), &self.source) {
                    (Some(trouble), _) => Answer::Trouble(trouble),
                    (None, Ok(source)) => Answer::Got(SourceStatus { store, path, ..source.clone() }),
                    (None, Err(reason)) => Answer::Trouble(trouble(*reason)),
                };
            }
            Need::Results { store, keys } => {
                let found = keys
                    .iter()
                    .map(|(step, key)| (key.clone(), self.results.get(key).map(|bytes| check_result(bytes, *step, key, ROOT))));
                seen.results = down_or_unknown(&store).map_or_else(|| Answer::Got(found.collect()), Answer::Trouble);
            }
            Need::Report { folder, digest, .. } => {
                let report = match self.reports.get(&folder) {
                    Some(bytes) if Digest::of(bytes) == digest => Ok(Box::new(UnitResult::from_bytes(bytes).unwrap())),
                    _ => Err("not the digest".to_owned()),
                };
                seen.report = down.map_or(Answer::Got(report), Answer::Trouble);
            }
            Need::Place { .. } => {
                let free = u32::try_from(self.places.len()).unwrap();
                let down = down.or_else(|| self.catalogue_down.then(|| trouble(TitleReason::StoreUnavailable)));
                seen.place = down.map_or(Answer::Got(free), Answer::Trouble);
            }
            Need::Room => {
                // Asks nothing of the store.
                self.reads -= 1;
                seen.room = Answer::Got(self.room);
            }
            Need::Progress { .. } => seen.progress = Answer::Got(self.progress.clone()),
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
                assert_eq!(
                    self.status.attempt.as_ref().map(|a| &a.job),
                    Some(&order.attempt.job),
                    "the intent is stored before the Job is created"
                );
                let name = order.attempt.job.clone();
                self.write(|world| world.create(*order))?;
                match self.jobs[&name].seal.clone() {
                    seal if seal == super::world::seal("squatter", "3") => facts.forged = true,
                    seal => facts.sealed = Some(seal.to_string()),
                }
                return Ok(true);
            }
            Act::Publish(edition) => {
                let results: Vec<_> = edition
                    .steps
                    .iter()
                    .map(|step| step.result.is_ok().then(|| StepResult::from_bytes(&self.results[&step.key]).unwrap()))
                    .collect();
                let digest = Digest::of(&publish::manifest(&edition, &results, media()).to_bytes());
                self.write(|world| {
                    world.published.insert(digest.to_string());
                    world.editions.push(*edition.clone());
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
                assert_eq!(
                    self.status.published.as_ref().map(|p| p.digest.as_str()),
                    Some(digest.as_str()),
                    "the status is the truth before the alias is"
                );
                self.write(|world| world.alias = Some(digest))?;
                facts.alias = true;
                return Ok(true);
            }
            Act::Enter(entrance) => {
                assert_eq!(self.status.catalogue.as_ref(), Some(&entrance.place), "the place is stored before it is taken");
                return self.enter(&entrance.place, facts).map(|()| true);
            }
            Act::Leave(place) => {
                return self.leave(&place, facts).map(|()| true);
            }
            Act::Reserve { .. } => {
                facts.reserved = true;
                return Ok(true);
            }
            Act::Find { job, uid } => {
                let there = self.jobs.get(&job).map(FakeJob::seal_now).filter(|seal| seal.uid() == uid);
                facts.found = Some(there.map_or(Whereabouts::Gone, Whereabouts::There));
                return Ok(true);
            }
            Act::Reclaim { job } if touched.insert(job.clone()) => self.write(|world| {
                let job = world.jobs.get_mut(&job).unwrap();
                job.taken = Taken::default();
                if job.can_run() {
                    (job.state, job.admitted_at) = (JobState::Stopping, None);
                }
            })?,
            Act::WriteOff { job, .. } => {
                assert!(self.status.attempt.as_ref().is_some_and(|attempt| attempt.ending.is_some()), "the end is stored first");
                self.write(|world| world.written_off.push(job))?;
                facts.written_off = true;
                return Ok(true);
            }
            Act::Disown { job } => {
                facts.disowned.insert(job.clone());
                self.write(|world| {
                    let intruder = world.intruders.iter_mut().find(|intruder| intruder.name == job).unwrap();
                    (intruder.suspended, intruder.held) = (true, false);
                })?;
                return Ok(true);
            }
            Act::Admit { job } if touched.insert(job.clone()) => {
                let now = self.now;
                assert!(
                    self.status.attempt.as_ref().is_some_and(|attempt| attempt.admitted.is_some() && attempt.seal.is_some()),
                    "what the Job is, and its admission, are stored before it is let run"
                );
                assert!(self.jobs.values().all(|job| !job.can_run()), "one at a time: {:?}", self.jobs);
                self.write(|world| {
                    let job = world.jobs.get_mut(&job).unwrap();
                    job.admitted += 1;
                    job.admitted_at = Some(now);
                    job.state = JobState::Pending { reason: "Scheduling".into(), message: String::new() };
                })?;
            }
            Act::End { job, charge } if touched.insert(job.clone()) => {
                self.records_are_told(&job);
                self.write(|world| world.end(&job, charge))?;
            }
            Act::ReleasePods { job } if touched.insert(job.clone()) => {
                self.records_are_told(&job);
                self.write(|world| world.jobs.get_mut(&job).unwrap().pods_held = false)?;
            }
            Act::LetGo { job, charge } if touched.insert(job.clone()) => {
                assert_ne!(self.status.attempt.as_ref().map(|a| &a.job), Some(&job), "harvested before it is let go");
                self.records_are_told(&job);
                let name = job.clone();
                self.write(|world| {
                    let job = world.jobs.get_mut(&job).unwrap();
                    (job.held, job.pods_held) = (false, false);
                    job.settled += 1;
                    world.charged.push((name, charge));
                })?;
            }
            Act::ForceGo { job } if touched.insert(job.clone()) => self.write(|world| {
                world.jobs.remove(&job);
            })?,
            Act::Admit { .. }
            | Act::Reclaim { .. }
            | Act::End { .. }
            | Act::ReleasePods { .. }
            | Act::LetGo { .. }
            | Act::ForceGo { .. } => {}
        }
        Ok(false)
    }

    /// What is known of a Job's pod is in the status before the pod is let go.
    fn records_are_told(&self, name: &str) {
        let job = &self.jobs[name];
        let in_hand = self.status.attempt.as_ref().filter(|attempt| attempt.job == name).map(|attempt| &attempt.records);
        let past = self.status.history.iter().find(|past| past.job == name).map(|past| &past.records);
        let told = in_hand.or(past).cloned().unwrap_or_default();
        assert!(!job.pods_held || job.records().iter().all(|record| told.contains(record)), "{told:?} {job:?}");
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

fn without_times(status: &TitleEnrichmentStatus) -> TitleEnrichmentStatus {
    let mut status = status.clone();
    for condition in &mut status.conditions {
        condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
    }
    status
}
