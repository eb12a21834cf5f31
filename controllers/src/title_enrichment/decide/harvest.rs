//! The end of an attempt: what it committed, what failed and whose fault that is. No I/O.
//!
//! Everything is gathered into one status write; only then are pods and Job let go.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use showrunner_contracts::{
    Digest,
    manifest::{AxisSummary, MAX_CLOSEST, MatchSummary, MediaSummary, Relation, StepSummary, WordErrors},
    result::{Outcome, StepOutcome, Termination, UnitResult},
    step::{ModelRef, Step},
};
use showrunner_crds::common::Accelerator;
use showrunner_crds::title_enrichment::{
    AttemptStatus, AttemptSummary, AxisStatus, Doubt, HoldRule, Likeness, MatchStatus, MediaStatus, StepState, StepStatus,
    TitleReason, WordErrorsStatus,
};
use showrunner_kit::conditions::clean;
use showrunner_kit::jobs::{CancelStep, Cause, JobState, PodRecord, Seal};
use showrunner_kit::{Next, planted};

use super::failure::{Class, Failing, SUCCEEDED, of_pod, of_result, of_worker, wait_after};
use super::review::Rated;
use super::{Act, Answer, Committed, Decision, Draft, Need, SeenJob, Steps, Trouble, Verdict, failure, plan::is_newer};
use crate::title_enrichment::{layout, shares};

/// Longest message of a step in the status, bytes.
pub(super) const MAX_STEP_MESSAGE: usize = 512;
/// Longest settings of a step in the status, bytes.
const MAX_SETTINGS: usize = 400;
/// Models of a step in the status, and the longest of their texts, bytes.
const MAX_MODELS: usize = 4;
const MAX_MODEL: usize = 160;
/// Attempts that the status remembers.
const MAX_HISTORY: usize = 10;
/// Attempts of which the status remembers for what they worked.
const SHARES_KEPT: usize = 1;
/// Longest short text in the status, bytes.
const MAX_WORD: usize = 64;
/// Longest doubt in the status, bytes.
const MAX_DOUBT: usize = 200;
/// Longest name of a title that was found, bytes: the longest that Kubernetes allows.
const MAX_TITLE: usize = 63 + 1 + 253;
/// Longest folder in the status.
const MAX_FOLDER: usize = 1024;
/// Longest name of a method, bytes.
const MAX_METHOD: usize = 64;

/// How an attempt ended, before its steps are looked at.
struct End {
    /// What holds for every step that has no result of its own; none when the unit's result tells of each.
    failing: Option<Failing>,
    report: Option<Box<UnitResult>>,
    digest: Option<Digest>,
    at: Timestamp,
}

impl Draft<'_> {
    /// Harvests the attempt in hand when it is over. None when it is not.
    pub(super) fn harvest(&mut self) -> Option<Decision> {
        let attempt = self.status.attempt.clone()?;
        let job = self.job().cloned();
        let over = match &job {
            Some(job) => {
                (job.has_ended() && !job.deleting)
                    || (attempt.ending.is_some() && (job.is_quiet() || planted!("ending-not-awaited")))
            }
            // One that was never seen and turns up later is a stray, suspended from birth: it costs nothing and is ended then.
            None => attempt.ending.is_some() && !self.is_somewhere(),
        };
        if !over {
            return None;
        }
        // Attempts of older versions do not say it.
        let of_source = || self.status.source.as_ref().map(|source| source.store.clone());
        let of_spec = || self.input.wish.ok().map(|wish| wish.store.clone());
        let store = attempt.store.clone().or_else(of_source).or_else(of_spec);
        let store = store.unwrap_or_default();
        let is_left = attempt.ending.is_some() && self.input.wish.is_ok_and(|wish| wish.store != store);
        let end = match self.end_of(&attempt, job.as_ref(), &store, is_left) {
            Ok(end) => end,
            Err(decision) => return Some(decision),
        };
        let open = |step: &&StepStatus| {
            attempt.steps.contains(&step.name) && matches!(step.state, StepState::Running | StepState::Waiting)
        };
        let keys: Vec<(Step, Digest)> = self.status.steps.iter().filter(open).filter_map(key_of).collect();
        let found = match &self.input.seen.results {
            _ if keys.is_empty() => std::collections::BTreeMap::new(),
            Answer::NotAsked => return Some(Decision::Need(Need::Results { store, keys })),
            // The store's profile is gone, or the title has moved to another store and this one is away: a Job that is to end is let go
            // all the same.
            Answer::Trouble(trouble) if is_left || (trouble.reason == TitleReason::StoreUnknown && attempt.ending.is_some()) => {
                std::collections::BTreeMap::new()
            }
            Answer::Trouble(trouble) => return Some(self.harvest_later(job.as_ref(), trouble)),
            Answer::Got(found) => found.clone(),
        };
        let (retries, most_lost) =
            self.input.wish.map_or((i32::MAX, i32::MAX), |wish| (wish.retries, self.most_lost(&attempt, wish)));
        let mut word: Option<Failing> = None;
        let mut looked_at: Option<MediaStatus> = None;
        for status in self.status.steps.iter_mut().filter(|step| attempt.steps.contains(&step.name)) {
            let told = end.report.as_ref().and_then(|report| report.steps.iter().find(|told| told.key.as_str() == status.key));
            if let Some(told) = told.filter(|told| told.wall_ms > 0) {
                status.took = Some(seconds(told.wall_ms));
            }
            // A step of a newer version is for that version to look after: what it committed is found by key.
            if !matches!(status.state, StepState::Running | StepState::Waiting) || is_newer(status) {
                continue;
            }
            let committed = key_of(status).and_then(|(_, key)| found.get(&key).cloned().flatten());
            let failing = match committed {
                Some(Ok(committed)) if fits_report(&committed, told) => {
                    take(status, &committed);
                    looked_at = Some(media(&committed.result.media));
                    status.attempts += 1;
                    continue;
                }
                Some(Ok(_)) => of_result("the committed result is not the one that the worker tells of: it is not used"),
                Some(Err(wrong)) => Failing { class: Class::Final, ..of_result(wrong) },
                None => match told.map(|told| &told.outcome) {
                    Some(Outcome::Skipped(reason)) => {
                        (status.state, status.reason) = (StepState::Skipped, Some(reason.to_string()));
                        status.message = None;
                        status.attempts += 1;
                        continue;
                    }
                    Some(Outcome::Failed(failure)) => of_worker(failure.reason, &failure.message),
                    Some(Outcome::Done { .. }) => of_result("the worker tells of a result that is not in the store"),
                    None => end.failing.clone().unwrap_or_else(|| of_result("the worker's result does not tell of this step")),
                },
            };
            fail_step(status, &failing, retries, most_lost);
            word.get_or_insert(failing);
        }
        let reported = end.report.as_ref().and_then(|report| report.media.as_ref()).map(media);
        self.status.media = reported.or(looked_at).or(self.status.media.take());
        if word.as_ref().is_some_and(|word| matches!(word.reason, TitleReason::SourceChanged | TitleReason::SourceNotFound)) {
            self.status.source = None;
        }
        if let Some(job) = &job {
            self.note_records(job);
        }
        self.remember(job.as_ref(), &end, word.as_ref());
        Some(Decision::Do(Box::new(Steps {
            status: self.status.clone(),
            verdict: self.all_done(),
            notes: Vec::new(),
            acts: std::mem::take(&mut self.acts),
            next: Next::WaitForChange,
        })))
    }

    /// What people are told with the harvest, where nothing is left to do but to publish.
    fn all_done(&self) -> Option<Verdict> {
        let done = |step: &StepStatus| matches!(step.state, StepState::Done | StepState::Skipped);
        self.status.steps.iter().all(done).then(|| Verdict {
            phase: self.phase(),
            reason: TitleReason::Publishing,
            message: super::PUBLISHING.to_owned(),
            stalled: false,
            percent: 0,
            outdated: None,
            rated: Rated::AsBefore,
            answers: false,
        })
    }

    /// The store does not answer: the Job waits for that, its pods do not. What is to be known of them is kept on the Job,
    /// and whoever deletes the namespace waits for its pods before anything else is deleted.
    fn harvest_later(&mut self, job: Option<&SeenJob>, trouble: &Trouble) -> Decision {
        if let Some(job) = job.filter(|job| job.cancel == CancelStep::ReleasePods) {
            self.note_records(job);
            self.acts.push(Act::ReleasePods { job: job.name.clone() });
        }
        self.trouble(trouble)
    }

    /// One attempt less in hand, one more in the history, and when the next one may start.
    fn remember(&mut self, job: Option<&SeenJob>, end: &End, word: Option<&Failing>) {
        let Some(attempt) = self.status.attempt.take() else { return };
        // What has taken the place of the one that was made is let go and charged in its stead.
        let uid = job.map(|job| job.seal.clone()).or_else(|| attempt.seal.as_deref().and_then(Seal::read));
        let ended_early = attempt.ending.as_deref().filter(|_| end.report.is_none());
        self.status.history.push(AttemptSummary {
            job: attempt.job.clone(),
            unit: attempt.unit.clone(),
            number: attempt.number,
            outcome: cut(word.map_or(SUCCEEDED, |word| &word.outcome), MAX_WORD),
            counted: word.is_some_and(|word| word.class == Class::Counted),
            ended: Time(end.at),
            result: end.digest.as_ref().map(ToString::to_string),
            cost_estimate: attempt.cost_estimate.clone(),
            uid: uid.map(|seal| seal.uid().to_owned()),
            shares: shares::of(end.report.as_deref(), &attempt.steps),
            records: attempt.records,
        });
        let surplus = self.status.history.len().saturating_sub(MAX_HISTORY);
        self.status.history.drain(..surplus);
        // An attempt is settled soon after: older ones need it no more, and a status has little room.
        let old = self.status.history.len().saturating_sub(SHARES_KEPT);
        self.status.history[..old].iter_mut().for_each(|past| past.shares = None);
        let waits = word.is_some() && !ended_early.is_some_and(is_wanted_end) && !self.falls_back(word);
        self.status.next_attempt_at = waits.then(|| Time(self.now + wait_after(&self.status.history)));
    }

    /// A preferred accelerator that did not start is given up for CPU at once.
    fn falls_back(&self, word: Option<&Failing>) -> bool {
        let preferred = self.input.wish.is_ok_and(|wish| wish.accelerator == Accelerator::Preferred);
        let starved = |word: &Failing| matches!(word.reason, TitleReason::PodUnschedulable | TitleReason::StartDeadlineExceeded);
        let first = self.status.history.iter().filter(|past| past.outcome == word.map_or("", |word| &word.outcome)).count() <= 1;
        preferred && first && word.is_some_and(starved)
    }

    /// What is known of the attempt as a whole.
    fn end_of(&mut self, attempt: &AttemptStatus, job: Option<&SeenJob>, store: &str, is_left: bool) -> Result<End, Decision> {
        let now = self.now;
        let plain = |failing: Failing, record: Option<&PodRecord>| End {
            failing: Some(failing),
            report: None,
            digest: None,
            at: record.and_then(|record| record.finished).unwrap_or(now),
        };
        // Of a Job that somebody has changed, nothing is believed.
        let state = job.map(|job| &job.state).filter(|_| attempt.ending.as_deref() != Some(failure::JOB_ALTERED));
        let (cause, message, record) = match state {
            Some(JobState::Lost { record }) => {
                let message = format!("node {} does not answer", record.node);
                return Ok(plain(of_pod(Cause::NodeLost, &message), Some(record)));
            }
            Some(JobState::Succeeded { record }) => (None, "", record.as_ref()),
            Some(JobState::Failed { cause, message, record }) => (Some(*cause), message.as_str(), record.as_ref()),
            _ => return Ok(plain(of_ending(attempt, &self.status.steps), None)),
        };
        let said = record.and_then(|record| serde_json::from_str::<Termination>(&record.message).ok());
        match (said, cause) {
            // Last words of a pod that was ended from outside are of no interest: what it committed is found by key.
            (_, Some(cause)) if !cause.blames_work() => Ok(plain(of_pod(cause, message), record)),
            (Some(Termination::Failure(failure)), _) => Ok(plain(of_worker(failure.reason, &failure.message), record)),
            (None, Some(cause)) => Ok(plain(of_pod(cause, message), record)),
            (Some(Termination::Result(_)), Some(cause)) if !matches!(cause, Cause::ExitCode(_)) => {
                Ok(plain(of_pod(cause, ""), record))
            }
            (None, None) => Ok(plain(of_result("the worker ended well and named no result"), record)),
            (Some(Termination::Result(digest)), _) => {
                let Ok(unit) = attempt.unit.parse::<Digest>() else {
                    return Ok(plain(of_result("the unit in the status is no digest"), record));
                };
                match &self.input.seen.report {
                    Answer::NotAsked => {
                        let folder = layout::attempt_folder(&unit, &self.input.title.uid, attempt.number);
                        Err(Decision::Need(Need::Report { store: store.to_owned(), folder, digest }))
                    }
                    Answer::Trouble(_) if is_left => Ok(plain(of_ending(attempt, &self.status.steps), record)),
                    Answer::Trouble(trouble) => Err(self.harvest_later(job, trouble)),
                    Answer::Got(Err(wrong)) => Ok(plain(of_result(wrong.clone()), record)),
                    Answer::Got(Ok(report))
                        if report.unit_key != unit || i64::from(report.attempt) != i64::from(attempt.number) =>
                    {
                        Ok(plain(of_result("the worker's result is of another unit or attempt: it is not used"), record))
                    }
                    Answer::Got(Ok(report)) => Ok(End {
                        failing: None,
                        report: Some(report.clone()),
                        digest: Some(digest),
                        at: record.and_then(|record| record.finished).unwrap_or(now),
                    }),
                }
            }
        }
    }
}

/// What ended an attempt from our side.
fn of_ending(attempt: &AttemptStatus, steps: &[StepStatus]) -> Failing {
    let why = attempt.ending.clone().unwrap_or_default();
    let told = steps.iter().filter(|step| attempt.steps.contains(&step.name)).find_map(|step| step.message.clone());
    let class = if is_done_by_others(&why) { Class::Lost } else { Class::Outside };
    let message = told.unwrap_or_else(|| format!("the attempt was ended: {why}"));
    Failing { class, reason: failure::reason_of_step(&why), outcome: why, message }
}

/// Whether an attempt was ended because nobody wanted it any more: nothing to wait for then.
fn is_wanted_end(why: &str) -> bool {
    !is_done_by_others(why) && !failure::is_outside(why)
}

/// Whether somebody else has put an end to it.
fn is_done_by_others(why: &str) -> bool {
    [failure::JOB_DELETED, failure::JOB_ALTERED].contains(&why)
}

/// Counts a failure against a step and decides whether it is tried again.
fn fail_step(status: &mut StepStatus, failing: &Failing, retries: i32, most_lost: i32) {
    match failing.class {
        Class::Counted | Class::Final => status.attempts += 1,
        Class::Lost => status.lost += 1,
        Class::Outside => {}
    }
    let given_up = match failing.class {
        Class::Counted => status.attempts > retries,
        Class::Lost => status.lost > most_lost,
        Class::Final => true,
        Class::Outside => false,
    };
    status.state = if given_up { StepState::Failed } else { StepState::Waiting };
    status.reason = Some(cut(&failing.outcome, MAX_WORD));
    status.message = Some(cut(&clean(&failing.message), MAX_STEP_MESSAGE));
}

/// A step whose result is committed.
pub(super) fn take(status: &mut StepStatus, committed: &Committed) {
    status.state = StepState::Done;
    status.result = Some(committed.digest.to_string());
    status.reason = None;
    status.message = Some(cut(&clean(&figures(&committed.result.summary)), MAX_STEP_MESSAGE));
    status.folder = Some(cut(&clean(&committed.result.folder), MAX_FOLDER));
    status.axes = match &committed.result.summary {
        StepSummary::Moderation { axes } => axes.iter().map(axis).collect(),
        _ => Vec::new(),
    };
    status.matches = match &committed.result.summary {
        StepSummary::Duplicates { closest, .. } => closest.iter().take(MAX_CLOSEST).map(matched).collect(),
        _ => Vec::new(),
    };
    status.word_errors = match &committed.result.summary {
        StepSummary::Subtitles { word_errors, .. } => word_errors.as_ref().map(word_errors_of),
        _ => None,
    };
    status.doubts = doubt(&committed.result.summary).into_iter().chain(untold(&committed.result.summary)).collect();
    status.review = None;
    let model = |model: &ModelRef| cut(&clean(&format!("{}@{}", model.name, model.digest)), MAX_MODEL);
    status.models = committed.result.models.iter().take(MAX_MODELS).map(model).collect();
    let settings: Vec<_> = committed.result.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    status.settings = Some(cut(&clean(&settings.join(" ")), MAX_SETTINGS)).filter(|settings| !settings.is_empty());
}

fn word_errors_of(told: &WordErrors) -> WordErrorsStatus {
    let WordErrors { per_mille, low, high, ref method } = *told;
    WordErrorsStatus { per_mille, low, high, method: cut(&clean(method), MAX_METHOD) }
}

/// That nobody can tell how many words of the subtitles are wrong, where that is so.
fn untold(summary: &StepSummary) -> Option<Doubt> {
    let StepSummary::Subtitles { word_errors: None, .. } = summary else { return None };
    let message = "how many of the words are wrong cannot be told for this model and language".to_owned();
    Some(Doubt { rule: HoldRule::WordErrors.to_string(), message })
}

/// What a result says of itself that may hold it back.
fn doubt(summary: &StepSummary) -> Option<Doubt> {
    let (rule, message) = match summary {
        StepSummary::Subtitles { language, heard_instead: Some(heard), .. } => {
            let text = format!("written in {language}, while {} % of the speech sounds like {}", heard.percent, heard.language);
            (HoldRule::LanguageMismatch.to_string(), text)
        }
        StepSummary::Thumbnails { selected: 0, left_out: Some(1..), .. } => {
            (HoldRule::PoorThumbnails.to_string(), "every candidate was left out for its nudity".to_owned())
        }
        StepSummary::Thumbnails { poor: true, left_out, .. } => {
            let what = if left_out.is_some_and(|count| count > 0) { "every candidate without nudity" } else { "every candidate" };
            (HoldRule::PoorThumbnails.to_string(), format!("{what} was black, flat, blurred or badly exposed"))
        }
        StepSummary::Duplicates { closest, .. } => {
            let of = |is: fn(Relation) -> bool| closest.iter().find(|found| is(found.relation));
            let (rule, found) = match (of(Relation::is_copy), of(Relation::is_version)) {
                (Some(copy), _) => (Likeness::Copy, copy),
                (None, Some(version)) => (Likeness::Version, version),
                (None, None) => return None,
            };
            (rule.to_string(), format!("{}: {}", found.title, related(found)))
        }
        _ => return None,
    };
    Some(Doubt { rule, message: cut(&clean(&message), MAX_DOUBT) })
}

/// A step in whose place something else lies: nobody can overwrite it but a person.
pub(super) fn spoil(status: &mut StepStatus, wrong: &str) {
    fail_step(status, &Failing { class: Class::Final, ..of_result(wrong) }, 0, 0);
}

fn fits_report(committed: &Committed, told: Option<&StepOutcome>) -> bool {
    match told.map(|told| &told.outcome) {
        Some(Outcome::Done { result }) => *result == committed.digest,
        // Another attempt may have committed it after this one gave up on it.
        Some(Outcome::Skipped(_) | Outcome::Failed(_)) | None => true,
    }
}

fn key_of(status: &StepStatus) -> Option<(Step, Digest)> {
    use strum::IntoEnumIterator as _;
    let step = Step::iter().find(|step| step.to_string() == status.name)?;
    Some((step, status.key.parse().ok()?))
}

fn figures(summary: &StepSummary) -> String {
    match summary {
        StepSummary::Shots { shots, cuts, dissolves, fades, inferred } => {
            let shown = if *inferred == 0 { String::new() } else { format!(", {inferred} frames shown to the model") };
            format!("{shots} shots ({cuts} cuts, {dissolves} dissolves, {fades} fades{shown})")
        }
        StepSummary::Thumbnails { candidates, selected, sheets, left_out, .. } => {
            let nudity = match left_out {
                None => "not judged".to_owned(),
                Some(count) => format!("{count} candidates left out"),
            };
            format!("{selected} thumbnails of {candidates} candidates, {sheets} trick-play sheets, nudity: {nudity}")
        }
        StepSummary::Subtitles { language, cues, words, word_errors, .. } => {
            let wrong = word_errors.as_ref().map_or_else(String::new, |told| format!(", {told}"));
            format!("{cues} cues, {words} words, language {language}{wrong}")
        }
        StepSummary::Chapters { chapters, at_rest, heard } => {
            let by = if *heard { "picture and sound" } else { "picture alone" };
            format!("{chapters} chapters by {by}, {at_rest} begin at rest")
        }
        StepSummary::Moderation { axes } => {
            let told = |axis: &AxisSummary| match (axis.level, axis.unsupported) {
                (Some(level), _) => format!("{} {level} of 5", axis.axis),
                (None, why) => format!("{} not judged ({})", axis.axis, why.map(|why| why.to_string()).unwrap_or_default()),
            };
            axes.iter().map(told).collect::<Vec<_>>().join(", ")
        }
        StepSummary::Fingerprint { pictures, blank, bars, sound_seconds } => {
            let bars = if *bars { ", inside black bars" } else { "" };
            let seen = pictures.map_or_else(|| "no picture".to_owned(), |all| format!("{all} pictures ({blank} blank{bars})"));
            let heard = sound_seconds.map_or_else(|| "no sound".to_owned(), |seconds| format!("{seconds} s of sound"));
            format!("{seen}, {heard}")
        }
        StepSummary::Duplicates { searched, matches: 0, .. } => format!("nothing shared with the {searched} that entered before"),
        StepSummary::Duplicates { searched, matches, closest } => {
            let first = closest.first().map_or_else(String::new, |first| format!(": {} ({})", first.title, related(first)));
            format!("shares something with {matches} of the {searched} that entered before{first}")
        }
    }
}

/// What a title is to another, in words.
fn related(found: &MatchSummary) -> String {
    let relation = match found.relation {
        Relation::Exact => "the same where both agree",
        Relation::ReEncode => "the same title, coded again",
        Relation::Dub => "the same with another sound",
        Relation::AlternateCut => "another cut",
        Relation::AudioOnlyReuse => "the same sound under other pictures",
        Relation::TrailerOf => "a trailer or an excerpt of it",
        Relation::HasTrailer => "it has a trailer or an excerpt there",
        Relation::SharedIntro => "the same intro",
        Relation::SharedIdent => "the same ident",
        Relation::SharedCredits => "the same credits",
        Relation::SharedSegment => "a part in common",
    };
    format!("{relation}, {} % of it and {} % of the other", found.of_this.min(100), found.of_other.min(100))
}

/// A title that was found, as the status has it.
fn matched(found: &MatchSummary) -> MatchStatus {
    let sign = if found.offset_ms < 0 { "-" } else { "" };
    MatchStatus {
        title: cut(&clean(&found.title), MAX_TITLE),
        relation: found.relation.to_string(),
        of_this: found.of_this.min(100),
        of_other: found.of_other.min(100),
        offset: format!("{sign}{}", minutes(found.offset_ms.unsigned_abs())),
    }
}

/// One axis as the status has it.
fn axis(axis: &AxisSummary) -> AxisStatus {
    AxisStatus {
        axis: axis.axis.to_string(),
        level: axis.level.map(|level| level.min(showrunner_moderation::MAX_LEVEL)),
        unsupported: axis.unsupported.map(|why| why.to_string()),
        strongest_at: axis.strongest_at_ms.map(minutes),
        moments: i32::try_from(axis.moments).unwrap_or(i32::MAX),
    }
}

/// `41m7.000s`.
fn minutes(millis: u64) -> String {
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    format!("{minutes}m{}.{:03}s", rest / 1000, rest % 1000)
}

/// What the status says of the media.
pub(super) fn media(media: &MediaSummary) -> MediaStatus {
    let seconds = media.duration.max(0) as f64 * f64::from(media.time_base.num) / f64::from(media.time_base.den.max(1));
    let millis = if seconds.is_finite() { (seconds * 1000.0).round() as u64 } else { 0 };
    let text = |text: String| cut(&clean(&text), MAX_WORD);
    MediaStatus {
        container: text(media.container.clone()),
        duration: minutes(millis),
        video: media.video.as_ref().map(|video| text(format!("{} {}x{}", video.codec, video.width, video.height))),
        audio: media.audio.as_ref().map(|audio| {
            let layout = audio.layout.clone().unwrap_or_else(|| format!("{} channels", audio.channels));
            text(format!("{} {} Hz {layout}", audio.codec, audio.sample_rate))
        }),
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{}s", millis / 1000, millis % 1000 / 100)
}

/// As much of a text as has this many bytes: the status is bounded by what it takes in store and on its way.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use showrunner_contracts::manifest::HeardLanguage;

    #[test]
    fn what_a_result_says_of_itself_may_hold_it_back() {
        let heard = |language: &str| HeardLanguage { language: language.to_owned(), percent: 93 };
        let subtitles = |heard_instead| StepSummary::Subtitles {
            language: "en".to_owned(),
            cues: 1,
            words: 4,
            speech_ms: 1_000,
            dropped: 0,
            heard_instead,
            word_errors: None,
        };
        let picked = |selected, poor, left_out| StepSummary::Thumbnails { candidates: 9, selected, sheets: 1, poor, left_out };
        let thumbnails = |poor| picked(8, poor, Some(1));
        let mismatch = doubt(&subtitles(Some(heard("de")))).unwrap();
        assert_eq!(mismatch.rule, HoldRule::LanguageMismatch.to_string());
        assert_eq!(mismatch.message, "written in en, while 93 % of the speech sounds like de");
        assert_eq!(doubt(&thumbnails(true)).unwrap().rule, HoldRule::PoorThumbnails.to_string());
        assert_eq!((doubt(&subtitles(None)), doubt(&thumbnails(false))), (None, None));
        assert_eq!(untold(&subtitles(None)).unwrap().rule, HoldRule::WordErrors.to_string());
        assert_eq!(untold(&thumbnails(true)), None);
        let (none, few) = (doubt(&picked(0, false, Some(9))).unwrap(), doubt(&picked(1, true, Some(8))).unwrap());
        assert_eq!([&none.rule, &few.rule], [&HoldRule::PoorThumbnails.to_string(); 2]);
        assert_eq!(none.message, "every candidate was left out for its nudity");
        assert!(few.message.starts_with("every candidate without nudity was black"), "{}", few.message);
        assert_eq!(doubt(&picked(0, false, None)), None, "a title without a candidate has nothing to decide");
        let hostile = doubt(&subtitles(Some(heard(&"\u{1b}[31m".repeat(100))))).unwrap().message;
        assert!(hostile.len() <= MAX_DOUBT && !hostile.contains('\u{1b}'), "{hostile}");
    }
}
