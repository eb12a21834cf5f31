//! Tells people: verdict -> phase, progress, conditions, and what is worth an event. No I/O.

use jiff::Timestamp;
use showrunner_contracts::step::Step;
use showrunner_crds::common::condition;
use showrunner_crds::title_enrichment::{Likeness, Phase, StepState, TitleEnrichmentStatus, TitleReason};
use showrunner_kit::conditions::{self, Change, Truth, Want};
use showrunner_kit::events::Severity;

use super::decide::{Verdict, review::Rated};

/// Progress is shown in steps of this many percent.
const PROGRESS_STEP: usize = 10;

/// A transition that is worth an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How bad it is.
    pub severity: Severity,
    /// Reason.
    pub reason: TitleReason,
    /// For people.
    pub message: String,
}

/// Writes a verdict into a status. Returns what is worth an event.
pub fn tell(status: &mut TitleEnrichmentStatus, verdict: &Verdict, generation: i64, now: Timestamp) -> Vec<Note> {
    let generation = if verdict.answers { generation } else { status.observed_generation.unwrap_or_default() };
    if verdict.answers {
        status.observed_generation = Some(generation);
    }
    status.phase = Some(verdict.phase);
    status.progress = Some(progress(status, verdict));
    let ready = Truth::from(verdict.phase == Phase::Published);
    let reason = verdict.reason.to_string();
    let before = conditions::get(&status.conditions, condition::READY).map(|ready| ready.reason.clone());
    let want = |type_, status, message: &str| Want { type_, status, reason: &reason, message: message.to_owned() };
    let flipped = conditions::set(&mut status.conditions, want(condition::READY, ready, &verdict.message), generation, now);
    let busy = matches!(verdict.phase, Phase::Pending | Phase::Running) && !verdict.stalled;
    set_or_remove(status, busy, want(condition::RECONCILING, Truth::True, &verdict.message), generation, now);
    set_or_remove(status, verdict.stalled, want(condition::STALLED, Truth::True, &verdict.message), generation, now);
    outdated(status, verdict, generation, now);
    discrepancy(status, verdict, generation, now);
    duplicate(status, generation, now);
    let moved = before.as_deref() != Some(reason.as_str());
    let worth = flipped == Change::Flipped || (moved && (verdict.stalled || needs_a_person(verdict.reason)));
    let severity = if verdict.stalled || needs_a_person(verdict.reason) { Severity::Warning } else { Severity::Normal };
    worth.then(|| Note { severity, reason: verdict.reason, message: verdict.message.clone() }).into_iter().collect()
}

fn set_or_remove(status: &mut TitleEnrichmentStatus, holds: bool, want: Want<'_>, generation: i64, now: Timestamp) {
    if holds {
        conditions::set(&mut status.conditions, want, generation, now);
    } else {
        conditions::remove(&mut status.conditions, want.type_);
    }
}

fn outdated(status: &mut TitleEnrichmentStatus, verdict: &Verdict, generation: i64, now: Timestamp) {
    let Some(steps) = &verdict.outdated else {
        if !status.steps.iter().any(|step| step.state == StepState::Done) {
            conditions::remove(&mut status.conditions, condition::OUTDATED);
        }
        return;
    };
    let (truth, reason, message) = if steps.is_empty() {
        (Truth::False, TitleReason::UpToDate, "results are of the newest algorithms and models".to_owned())
    } else {
        let message = format!(
            "{}: a newer algorithm or model would give another result; change spec.refresh to have it done again",
            steps.join(", ")
        );
        (Truth::True, TitleReason::NewerVersionAvailable, message)
    };
    let want = Want { type_: condition::OUTDATED, status: truth, reason: &reason.to_string(), message };
    conditions::set(&mut status.conditions, want, generation, now);
}

/// Whether a title goes with its declared rating.
fn discrepancy(status: &mut TitleEnrichmentStatus, verdict: &Verdict, generation: i64, now: Timestamp) {
    let found = match &verdict.rated {
        Rated::AsBefore => return,
        Rated::NotAsked => {
            conditions::remove(&mut status.conditions, condition::RATING_DISCREPANCY);
            return;
        }
        Rated::Is(found) => found,
    };
    let (type_, reason, message) = (condition::RATING_DISCREPANCY, found.reason.to_string(), found.message.clone());
    conditions::set(&mut status.conditions, Want { type_, status: found.truth, reason: &reason, message }, generation, now);
}

/// Whether a title looks like a copy or a version of another.
fn duplicate(status: &mut TitleEnrichmentStatus, generation: i64, now: Timestamp) {
    let Some(step) = status.steps.iter().find(|step| step.name == Step::Duplicates.to_string()) else {
        conditions::remove(&mut status.conditions, condition::DUPLICATE_FOUND);
        return;
    };
    let doubt = |rule: Likeness| step.doubts.iter().find(|doubt| doubt.rule == rule.to_string());
    let told = step.message.clone().unwrap_or_default();
    let (truth, reason, message) = match (step.state, doubt(Likeness::Copy), doubt(Likeness::Version)) {
        (StepState::Done, Some(copy), _) => (Truth::True, TitleReason::CopyFound, copy.message.clone()),
        (StepState::Done, None, Some(version)) => (Truth::True, TitleReason::VersionFound, version.message.clone()),
        (StepState::Done, None, None) => (Truth::False, TitleReason::NoCopyFound, told),
        (StepState::Skipped | StepState::Failed, ..) => (Truth::Unknown, TitleReason::NotLookedUp, told),
        (StepState::Waiting | StepState::Running, ..) => {
            (Truth::Unknown, TitleReason::NotLookedUp, "the title has not been looked up yet".to_owned())
        }
    };
    let want = Want { type_: condition::DUPLICATE_FOUND, status: truth, reason: &reason.to_string(), message };
    conditions::set(&mut status.conditions, want, generation, now);
}

/// Share of the work done, in coarse steps: what is shown changes seldom, so that it may be stored.
fn progress(status: &TitleEnrichmentStatus, verdict: &Verdict) -> String {
    if matches!(verdict.phase, Phase::Published | Phase::NeedsReview) {
        return "100%".to_owned();
    }
    let all = status.steps.len().max(1);
    let closed = status.steps.iter().filter(|step| matches!(step.state, StepState::Done | StepState::Skipped)).count();
    let in_hand = status.attempt.as_ref().map(|attempt| &attempt.steps);
    let running = status.steps.iter().filter(|step| in_hand.is_some_and(|names| names.contains(&step.name))).count();
    let closed_before = status
        .steps
        .iter()
        .filter(|step| matches!(step.state, StepState::Done | StepState::Skipped))
        .filter(|step| !in_hand.is_some_and(|names| names.contains(&step.name)))
        .count();
    let by_steps = closed * 100 / all;
    let by_worker = (closed_before * 100 + running * usize::from(verdict.percent)) / all;
    // All done and not published is not all done.
    let percent = by_steps.max(by_worker).min(99);
    format!("{}%", percent / PROGRESS_STEP * PROGRESS_STEP)
}

/// Whether somebody should look although the title is not given up.
fn needs_a_person(reason: TitleReason) -> bool {
    matches!(
        reason,
        TitleReason::SourceNotFound
            | TitleReason::SourcePathEscapes
            | TitleReason::StoreUnknown
            | TitleReason::StoreUnavailable
            | TitleReason::StoreCredentialsRejected
            | TitleReason::StoreAccessDenied
            | TitleReason::ImageUnavailable
            | TitleReason::PodUnschedulable
            | TitleReason::StartDeadlineExceeded
            | TitleReason::JobConflict
            | TitleReason::JobRefused
            | TitleReason::ResultInvalid
            | TitleReason::ReviewNeeded
            | TitleReason::ReplacementInvalid
            | TitleReason::CatalogueFull
    )
}
