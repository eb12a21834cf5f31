//! Words that conditions of a title give as their reason. No I/O.

use strum::{Display, EnumIter, IntoStaticStr};

/// Reasons of the conditions of a TitleEnrichment. Part of the API: documented in `docs/kinds/title-enrichment.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr, EnumIter)]
pub enum TitleReason {
    /// Everything asked for is published.
    Published,
    /// The plan is made, its job is about to be created.
    Planned,
    /// As many jobs as are let run at once run already; the oldest title is next.
    Queued,
    /// The job waits for the money to be reserved.
    WaitingForAdmission,
    /// An AiBudget has no room for the job's upper bound now.
    WaitingForBudget,
    /// The job's pod waits to start.
    WaitingToStart,
    /// The job's pod runs.
    Working,
    /// An attempt failed; the next one starts at `status.nextAttemptAt`.
    Retrying,
    /// Results are being published.
    Publishing,
    /// `spec.suspend` is true.
    Suspended,
    /// The resource is being deleted; its job is stopped first.
    Cancelling,
    /// Showrunner was uninstalled while something was still to be done; installed again, it goes on.
    OperatorUninstalled,
    /// There is no object at `spec.source.path`.
    SourceNotFound,
    /// The source has no bytes.
    SourceEmpty,
    /// The source is not a media file of an accepted container.
    SourceNotMedia,
    /// The source ends early or is damaged.
    SourceTruncated,
    /// The source is longer, larger or has more streams than allowed.
    SourceTooLarge,
    /// The source's bytes are not those of `spec.source.sha256`.
    SourceDigestMismatch,
    /// The source changed while it was worked on.
    SourceChanged,
    /// `spec.source.path` leaves its profile.
    SourcePathEscapes,
    /// No store profile has the name of `spec.source.store`.
    StoreUnknown,
    /// The store cannot be reached.
    StoreUnavailable,
    /// The store does not accept the operator's credentials, or they are missing.
    StoreCredentialsRejected,
    /// The store's credentials do not allow this.
    StoreAccessDenied,
    /// The catalogue has no such model for this step.
    ModelUnknown,
    /// A model is missing in the worker image, or its files are not those of its digest.
    ModelUnusable,
    /// The model's licence is not on the allowed list.
    ModelLicenceRefused,
    /// No accelerator class has the name of `spec.execution.class`.
    ClassUnknown,
    /// The source does not have the sound track that `spec.audio.track` names.
    SoundTrackMissing,
    /// The model does not serve the title's language.
    LanguageUnsupported,
    /// The worker image cannot be pulled.
    ImageUnavailable,
    /// No node can take the pod.
    PodUnschedulable,
    /// No pod started within `spec.execution.startDeadline`.
    StartDeadlineExceeded,
    /// No spot machine took the pod in time.
    SpotUnavailable,
    /// The title was not done by `status.deadlineAt`.
    DeadlineExceeded,
    /// The worker used more memory than its limit.
    OutOfMemory,
    /// The worker ran longer than `spec.execution.maxDuration`.
    RunDeadlineExceeded,
    /// A step failed for a reason of its own; `status.steps` says which.
    StepFailed,
    /// The worker ended without a result.
    WorkerFailed,
    /// The worker's result does not fit its digest or its order, and is not used.
    ResultInvalid,
    /// The Job's name is taken by an object that is not ours.
    JobConflict,
    /// The API server refused the Job: a quota, an admission policy, a missing right.
    JobRefused,
    /// A Job says that it is this title's, and the operator has not made it.
    JobForged,
    /// Somebody else has changed the title's Job, or let it run.
    JobAltered,
    /// The spec cannot be served as it stands, although the schema accepts it.
    SpecInvalid,
    /// A result waits for a person: decide in `spec.review.decisions`.
    ReviewNeeded,
    /// The file that is to take a result's place cannot be published as it is.
    ReplacementInvalid,
    /// An axis is stronger than what goes with the declared rating.
    AboveRating,
    /// All axes were judged, and none is stronger than what goes with the declared rating.
    WithinRating,
    /// An axis could not be judged, or was not asked for; none of the others is too strong.
    AxisNotJudged,
    /// Moderation is not done: whether the title goes with its declared rating is not known yet.
    NotJudgedYet,
    /// The title looks like a copy of one that entered the catalogue before it.
    CopyFound,
    /// The title looks like a dub or another cut of one that entered the catalogue before it.
    VersionFound,
    /// No title that entered the catalogue before it looks like the same one.
    NoCopyFound,
    /// The title was not looked up yet.
    NotLookedUp,
    /// The catalogue of the store has no place left.
    CatalogueFull,
    /// A newer algorithm or model would give another result.
    NewerVersionAvailable,
    /// Results are of the newest algorithms and models.
    UpToDate,
}
