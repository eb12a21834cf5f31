//! What a failure means: whose fault, whether it counts, what the condition says, when to try again. No I/O.

use std::time::Duration;

use showrunner_contracts::result::Reason;
use showrunner_crds::title_enrichment::{AttemptSummary, TitleReason};
use showrunner_kit::jobs::Cause;
use showrunner_kit::store::StoreError;

/// Outcome of an attempt that did all it was asked.
pub const SUCCEEDED: &str = "Succeeded";
/// Outcome of an attempt that was ended because a person paused the title.
pub const SUSPENDED: &str = "Suspended";
/// Outcome of an attempt that was ended because something else is wanted now.
pub const SUPERSEDED: &str = "Superseded";
/// Outcome of an attempt whose Job somebody deleted.
pub const JOB_DELETED: &str = "JobDeleted";
/// Outcome of an attempt whose Job somebody else changed, or let run.
pub const JOB_ALTERED: &str = "JobAltered";
/// Outcome of an attempt that was ended because Showrunner was uninstalled.
pub const UNINSTALLED: &str = showrunner_kit::drain::OPERATOR_UNINSTALLED;
/// Outcome of an attempt on spot machines that was ended where it lost nothing, to be gone on with on demand.
pub const LEFT_SPOT: &str = "LeftSpot";
/// Outcome of an attempt that was ended because a budget is beyond its cap.
pub const BUDGET_STOP: &str = "BudgetStopped";
/// Attempts that may be lost to evictions and node failures before a step is given up.
pub const MAX_LOST: i32 = 6;
/// Wait after the first failed attempt; doubles.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// Longest wait between attempts.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// Who can do something about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Another attempt may end differently; each counts.
    Counted,
    /// Lost through no fault of the work; counted apart.
    Lost,
    /// Cured outside: tried again until the deadline.
    Outside,
    /// Another attempt ends the same way.
    Final,
}

/// A failure of a step or an attempt, as the status tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Who can do something about it.
    pub class: Class,
    /// What the condition says.
    pub reason: TitleReason,
    /// Outcome in the history and reason of the step: the worker's own word where there is one.
    pub outcome: String,
    /// Cause and cure.
    pub message: String,
}

/// What the worker says.
pub fn of_worker(reason: Reason, message: &str) -> Failing {
    let (class, title) = match reason {
        Reason::StoreUnavailable => (Class::Outside, TitleReason::StoreUnavailable),
        Reason::SourceNotFound => (Class::Outside, TitleReason::SourceNotFound),
        Reason::SourceChanged => (Class::Outside, TitleReason::SourceChanged),
        Reason::StoreDenied => (Class::Counted, TitleReason::StoreAccessDenied),
        Reason::LimitExceeded => (Class::Counted, TitleReason::StepFailed),
        Reason::Internal => (Class::Counted, TitleReason::WorkerFailed),
        Reason::SourceEmpty => (Class::Final, TitleReason::SourceEmpty),
        Reason::SourceNotMedia => (Class::Final, TitleReason::SourceNotMedia),
        Reason::SourceTruncated => (Class::Final, TitleReason::SourceTruncated),
        Reason::SourceTooLarge => (Class::Final, TitleReason::SourceTooLarge),
        Reason::SourceDigestMismatch => (Class::Final, TitleReason::SourceDigestMismatch),
        Reason::LanguageUnsupported => (Class::Final, TitleReason::LanguageUnsupported),
        Reason::SoundTrackMissing => (Class::Final, TitleReason::SoundTrackMissing),
        Reason::ModelMissing | Reason::ModelDigestMismatch => (Class::Final, TitleReason::ModelUnusable),
        Reason::ModelLicenceRefused => (Class::Final, TitleReason::ModelLicenceRefused),
        Reason::WorkerVersionMismatch | Reason::OrderMalformed => (Class::Final, TitleReason::WorkerFailed),
        Reason::NoSound | Reason::NoPicture | Reason::NoSpeech => (Class::Final, TitleReason::StepFailed),
    };
    Failing { class, reason: title, outcome: reason.to_string(), message: said(message, title) }
}

/// What became of the pod.
pub fn of_pod(cause: Cause, message: &str) -> Failing {
    let (class, reason, text) = match cause {
        Cause::Evicted | Cause::Disrupted | Cause::NodeLost | Cause::PodVanished => {
            (Class::Lost, TitleReason::Retrying, format!("the pod was lost ({}): {message}", cause.reason()))
        }
        Cause::NeverStarted => (Class::Outside, TitleReason::StartDeadlineExceeded, format!("no container of the pod ever ran: {message}")),
        Cause::Deadline | Cause::WallDeadline => (
            Class::Counted,
            TitleReason::RunDeadlineExceeded,
            "the worker ran longer than spec.execution.maxDuration: raise it, or give the worker more CPU in the operator's configuration"
                .to_owned(),
        ),
        Cause::OutOfMemory => (
            Class::Counted,
            TitleReason::OutOfMemory,
            "the worker used more memory than its limit: raise the worker's memory in the operator's configuration".to_owned(),
        ),
        Cause::OutOfScratch => (
            Class::Counted,
            TitleReason::WorkerFailed,
            "the worker used more scratch space than its limit: raise the worker's scratch space in the operator's configuration".to_owned(),
        ),
        Cause::ExitCode(code) => {
            (Class::Counted, TitleReason::WorkerFailed, format!("the worker ended with code {code} and without a result: look at its log"))
        }
        Cause::Unknown => (Class::Counted, TitleReason::WorkerFailed, format!("the worker ended without a result: {message}")),
    };
    Failing { class, reason, outcome: cause.reason().to_owned(), message: text }
}

/// A result that does not fit.
pub fn of_result(message: impl Into<String>) -> Failing {
    let reason = TitleReason::ResultInvalid;
    Failing { class: Class::Counted, reason, outcome: reason.to_string(), message: message.into() }
}

fn said(message: &str, reason: TitleReason) -> String {
    if message.is_empty() { format!("the worker gives no more than the reason {reason}") } else { message.to_owned() }
}

/// Reason of the condition for a step that failed with this word of the worker's or the kit's.
pub fn reason_of_step(outcome: &str) -> TitleReason {
    use strum::IntoEnumIterator as _;
    if let Some(reason) = Reason::iter().find(|reason| reason.to_string() == outcome) {
        return of_worker(reason, "").reason;
    }
    match outcome {
        "NeverStarted" => TitleReason::StartDeadlineExceeded,
        "DeadlineExceeded" | "WallDeadlineExceeded" => TitleReason::RunDeadlineExceeded,
        "Evicted" | "Disrupted" | "NodeLost" | "PodVanished" | "FailedForUnknownReason" | "OutOfScratchSpace" => {
            TitleReason::WorkerFailed
        }
        _ => TitleReason::iter().find(|reason| reason.to_string() == outcome).unwrap_or(TitleReason::StepFailed),
    }
}

/// Whether a step that waits with this word waits for something that is cured outside.
pub fn is_outside(outcome: &str) -> bool {
    matches!(
        reason_of_step(outcome),
        TitleReason::StoreUnavailable
            | TitleReason::SourceNotFound
            | TitleReason::SourceChanged
            | TitleReason::ImageUnavailable
            | TitleReason::PodUnschedulable
            | TitleReason::StartDeadlineExceeded
            | TitleReason::SpotUnavailable
    )
}

/// Why a pod does not start, from what the kubelet or the scheduler says.
pub fn of_waiting(pod_reason: &str) -> Option<TitleReason> {
    match pod_reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable" => Some(TitleReason::ImageUnavailable),
        "Unschedulable" | "SchedulingGated" => Some(TitleReason::PodUnschedulable),
        _ => None,
    }
}

/// How long to wait before the next attempt: exponential in the failures since the last success.
pub fn wait_after(history: &[AttemptSummary]) -> Duration {
    let since_success = history.iter().rev().take_while(|attempt| attempt.outcome != SUCCEEDED);
    let failures = since_success
        .filter(|attempt| !matches!(attempt.outcome.as_str(), SUSPENDED | SUPERSEDED | UNINSTALLED | LEFT_SPOT | BUDGET_STOP))
        .count();
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT)
}

/// Reason of the condition for a store that did not answer as it should.
pub fn of_store(error: &StoreError) -> TitleReason {
    match error {
        StoreError::UnknownProfile { .. } => TitleReason::StoreUnknown,
        StoreError::PathEscapes { .. } => TitleReason::SourcePathEscapes,
        StoreError::NotFound { .. } => TitleReason::SourceNotFound,
        StoreError::CredentialsRejected { .. } | StoreError::Configuration { .. } => TitleReason::StoreCredentialsRejected,
        StoreError::AccessDenied { .. } => TitleReason::StoreAccessDenied,
        StoreError::TooLarge { .. } => TitleReason::ResultInvalid,
        StoreError::Unavailable { .. }
        | StoreError::Full { .. }
        | StoreError::Unexpected { .. }
        | StoreError::PreconditionFailed { .. } => TitleReason::StoreUnavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strum::IntoEnumIterator as _;

    #[test]
    fn every_reason_of_the_worker_has_its_class_and_a_message() {
        for reason in Reason::iter() {
            let failing = of_worker(reason, "");
            assert!(!failing.message.is_empty());
            if failing.class == Class::Final {
                assert!(!reason.is_worth_a_retry(), "{reason} is worth a retry by contract");
            }
            if reason.is_worth_a_retry() {
                assert!(matches!(failing.class, Class::Counted | Class::Outside), "{reason}");
            }
        }
    }

    #[test]
    fn waits_double_from_ten_seconds_to_five_minutes_and_start_anew_after_a_success() {
        let attempt = |outcome: &str| AttemptSummary {
            job: "sr-1".into(),
            unit: "u".into(),
            number: 1,
            outcome: outcome.into(),
            counted: true,
            ended: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
            result: None,
            cost_estimate: None,
            uid: None,
            records: Vec::new(),
            shares: None,
        };
        let waits: Vec<u64> = (1..=7).map(|n| wait_after(&vec![attempt("Internal"); n]).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(wait_after(&[attempt("Internal"), attempt(SUCCEEDED), attempt("Internal")]).as_secs(), 10);
    }

    #[test]
    fn the_word_for_an_uninstall_is_one_of_our_reasons() {
        assert_eq!(reason_of_step(UNINSTALLED), TitleReason::OperatorUninstalled);
    }

    #[test]
    fn a_pod_that_was_lost_is_not_held_against_the_work() {
        for cause in [Cause::Evicted, Cause::Disrupted, Cause::NodeLost, Cause::PodVanished] {
            assert_eq!(of_pod(cause, "x").class, Class::Lost);
            assert!(!cause.blames_work());
        }
        assert_eq!(of_pod(Cause::OutOfMemory, "").reason, TitleReason::OutOfMemory);
    }
}
