//! What goes into a decision and what comes out of it. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use showrunner_contracts::{
    Digest,
    progress::Progress,
    result::{StepResult, UnitResult},
    step::Step,
};
use showrunner_crds::title_enrichment::{Phase, PublishedStatus, SourceStatus, TitleEnrichmentStatus, TitleReason};
use showrunner_kit::Next;
use showrunner_kit::admission::Orders;
use showrunner_kit::jobs::{CancelStep, JobState, JobsConfig, Overdue, Seal};

use super::acts::Act;
use super::review::Rated;
use crate::title_enrichment::pace::Paces;
use crate::title_enrichment::settings::TitleSettings;
use crate::title_enrichment::status::Note;
use crate::title_enrichment::validate::{Refusal, Wish};

/// Everything that a decision looks at.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The title.
    pub title: &'a Title,
    /// Its status as it was read.
    pub status: &'a TitleEnrichmentStatus,
    /// What is wanted.
    pub wish: Result<&'a Wish, &'a Refusal>,
    /// Its Jobs.
    pub jobs: &'a [SeenJob],
    /// What was read because a decision asked for it.
    pub seen: &'a Seen,
    /// What acts of this reconcile gave.
    pub facts: &'a Facts,
    /// Models and resources.
    pub settings: &'a TitleSettings,
    /// Classes and prices.
    pub config: &'a JobsConfig,
    /// How long steps take, by what was seen.
    pub paces: &'a Paces,
    /// What budgets ask of its work.
    pub orders: &'a Orders,
}

/// What a title is beside spec and status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title {
    /// UID.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Generation of the spec.
    pub generation: i64,
    /// Since when it is being deleted.
    pub deleting: Option<Timestamp>,
    /// Whether it has our finalizer.
    pub has_finalizer: bool,
}

/// A Job of the title.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is seen by itself, and any of them goes with any other")]
pub struct SeenJob {
    /// Name.
    pub name: String,
    /// Where it is.
    pub state: JobState,
    /// What would end it.
    pub cancel: CancelStep,
    /// Whether it has waited too long for a running container.
    pub overdue: Overdue,
    /// Whether it, or a pod of it, has our finalizer still.
    pub held: bool,
    /// Whether it has our finalizer still: what it cost is not settled.
    pub unsettled: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Accelerator class it was made for.
    pub class: String,
    /// Whether the title controls it; else it only says so in a label.
    pub controlled: bool,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Whether it has ended by its own account.
    pub finished: bool,
    /// What it is.
    pub seal: Seal,
    /// Digests of all that is known of its pods: what counts on the Job, and what its pods will leave there.
    pub records: Vec<String>,
    /// When a pod of it that should have ended counts as lost.
    pub lost_at: Option<Timestamp>,
}

impl SeenJob {
    /// Whether it is over: ended by itself, or lost with its node.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, JobState::Succeeded { .. } | JobState::Failed { .. } | JobState::Lost { .. })
    }

    /// Whether a pod of it can run or come to run.
    pub fn can_run(&self) -> bool {
        !self.suspended && !self.finished && !self.deleting
    }

    /// Whether nothing of it runs or can come to run again.
    pub fn is_quiet(&self) -> bool {
        matches!(self.cancel, CancelStep::Settle | CancelStep::Delete | CancelStep::Done)
    }
}

/// Something a decision has to know first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Size and version of the source.
    Source {
        /// Store profile.
        store: String,
        /// Path below it.
        path: String,
    },
    /// Committed results, by step and key.
    Results {
        /// Store profile.
        store: String,
        /// Which.
        keys: Vec<(Step, Digest)>,
    },
    /// What became of an attempt.
    Report {
        /// Store profile.
        store: String,
        /// The attempt's folder.
        folder: String,
        /// Digest the pod's last words name.
        digest: Digest,
    },
    /// Whether one more Job may be in flight.
    Room,
    /// The first place of the catalogue that no title has.
    Place {
        /// Store profile.
        store: String,
    },
    /// How far an attempt is.
    Progress {
        /// Store profile.
        store: String,
        /// The attempt's folder.
        folder: String,
    },
}

/// What became of a Job that no cache of ours has, by the API server's own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// There is none of this name and UID.
    Gone,
    /// It is there, and this is what it is now.
    There(Seal),
}

/// An answer to a [`Need`]. Absent data is its own value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Answer<T> {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// It cannot be known now.
    Trouble(Trouble),
    /// The answer.
    Got(T),
}

/// Something outside that does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Reason of the condition.
    pub reason: TitleReason,
    /// Cause and cure.
    pub message: String,
    /// When to look again.
    pub retry_at: Timestamp,
}

/// Answers so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// To [`Need::Source`].
    pub source: Answer<SourceStatus>,
    /// To [`Need::Results`]: by key, none where nothing is committed.
    pub results: Answer<BTreeMap<Digest, Option<Found>>>,
    /// To [`Need::Report`]; or what is wrong with it.
    pub report: Answer<Result<Box<UnitResult>, String>>,
    /// To [`Need::Room`].
    pub room: Answer<bool>,
    /// To [`Need::Place`].
    pub place: Answer<u32>,
    /// To [`Need::Progress`]; none where nothing is written yet.
    pub progress: Answer<Option<Progress>>,
}

/// A committed result; or what is wrong with what lies in its place.
pub type Found = Result<Box<Committed>, String>;

/// A committed result that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Digest of its bytes.
    pub digest: Digest,
    /// The result.
    pub result: StepResult,
}

/// What acts of this reconcile gave.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is given by an act of its own")]
pub struct Facts {
    /// The manifest and its files are in the store.
    pub published: Option<PublishedStatus>,
    /// The alias shows what `status.published` says.
    pub alias: bool,
    /// The Job of the attempt in hand is there, and this is what it is.
    pub sealed: Option<String>,
    /// A Job of the attempt's name is there, and it is not the one that was to be made.
    pub forged: bool,
    /// What became of the Job of the attempt in hand.
    pub found: Option<Whereabouts>,
    /// Its upper bound is charged, for it is gone.
    pub written_off: bool,
    /// Jobs that were disowned.
    pub disowned: BTreeSet<String>,
    /// The cost is reserved.
    pub reserved: bool,
    /// The reservation was not given.
    pub held: Option<Trouble>,
    /// What became of a place in the catalogue.
    pub place: Option<PlaceFact>,
    /// An act met something outside that does not work.
    pub trouble: Option<Trouble>,
}

/// What became of a place in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceFact {
    /// Which. What is said of one that is not the title's any more is of no interest.
    pub position: i32,
    /// What.
    pub fate: Fate,
}

/// What became of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The title's print is there.
    Entered,
    /// Another title's is.
    Taken,
    /// Nothing of the title's is there any more.
    Left,
    /// It could not be left.
    Stuck {
        /// When to try again.
        retry_at: Timestamp,
    },
}

/// The answer to "what now".
#[derive(Clone, Debug)]
pub enum Decision {
    /// Find this out, then ask again.
    Need(Need),
    /// Do this.
    Do(Box<Steps>),
}

/// What is to be done, in this order: write the status, then act, then look again.
#[derive(Clone, Debug)]
pub struct Steps {
    /// The durable facts; phase, progress and conditions are told by the verdict.
    pub status: TitleEnrichmentStatus,
    /// What people are told; none leaves it as it is.
    pub verdict: Option<Verdict>,
    /// What is worth an event beside the verdict.
    pub notes: Vec<Note>,
    /// What to do once the status is stored.
    pub acts: Vec<Act>,
    /// When to look again.
    pub next: Next,
}

/// Where the title is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Phase.
    pub phase: Phase,
    /// Reason of `Ready`.
    pub reason: TitleReason,
    /// Message of `Ready`.
    pub message: String,
    /// Nothing more will happen until a person changes something.
    pub stalled: bool,
    /// How far the attempt in hand is, percent.
    pub percent: u8,
    /// What is outdated; none where nothing is done yet.
    pub outdated: Option<Vec<String>>,
    /// How the title stands to its declared rating.
    pub rated: Rated,
    /// Whether it answers the spec as it is now.
    pub answers: bool,
}
