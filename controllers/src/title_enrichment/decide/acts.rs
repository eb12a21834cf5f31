//! What comes out of a decision to be done, and what it is done with. No I/O.

use std::collections::BTreeMap;

use showrunner_contracts::{
    Digest,
    manifest::Withheld,
    result::Reason,
    step::{ModelRef, SourceIdentity, Step, StepParams},
};
use showrunner_crds::title_enrichment::{AttemptStatus, AttemptSummary, PlaceStatus, SourceStatus};
use showrunner_kit::jobs::{AcceleratorClass, Charge, Deadlines};
use showrunner_kit::money::Money;

use super::types::Committed;

/// Something to do. Each may be repeated without harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Put our finalizer on the title.
    AddFinalizer,
    /// Let the title go.
    DropFinalizer,
    /// Create the Job of the attempt in hand.
    Create(Box<Order>),
    /// Ask for its cost to be reserved.
    Reserve {
        /// Job.
        job: String,
    },
    /// Let it run.
    Admit {
        /// Job.
        job: String,
    },
    /// Suspend a Job that is not ours, and take off it what is.
    Disown {
        /// Job.
        job: String,
    },
    /// Look for the Job of the attempt in hand where no cache of ours would see it.
    Find {
        /// Job.
        job: String,
        /// UID.
        uid: String,
    },
    /// Put back on a Job what it is found and charged by, and suspend it.
    Reclaim {
        /// Job.
        job: String,
    },
    /// Charge the upper bound of a Job that is gone.
    WriteOff {
        /// Job.
        job: String,
        /// What it was reserved for.
        bound: Money,
    },
    /// The next step of ending a Job early.
    End {
        /// Job.
        job: String,
        /// What it costs.
        charge: Charge,
    },
    /// Record a Job's pods and let them go; the Job stays.
    ReleasePods {
        /// Job.
        job: String,
    },
    /// Record a Job's pods, settle its cost, let it go.
    LetGo {
        /// Job.
        job: String,
        /// What it costs.
        charge: Charge,
    },
    /// Let a Job and its pods go whatever they do: nobody waits for ever.
    ForceGo {
        /// Job.
        job: String,
    },
    /// Put manifest, files, report and run record into the store.
    Publish(Box<Edition>),
    /// Write the title's print to its place in the catalogue.
    Enter(Box<Entrance>),
    /// Take its print out of there.
    Leave(PlaceStatus),
    /// Let the alias show what is published.
    Alias {
        /// Store profile.
        store: String,
        /// Manifest.
        digest: Digest,
    },
}

impl Act {
    /// Whether this is for another Job than the one in hand, so that nothing else waits for it.
    pub fn is_aside(&self, in_hand: Option<&str>) -> bool {
        match self {
            Self::Disown { .. } => true,
            Self::Reclaim { job } | Self::End { job, .. } | Self::ReleasePods { job } | Self::LetGo { job, .. } => {
                in_hand != Some(job.as_str())
            }
            Self::AddFinalizer
            | Self::DropFinalizer
            | Self::Create(_)
            | Self::Reserve { .. }
            | Self::Admit { .. }
            | Self::Find { .. }
            | Self::WriteOff { .. }
            | Self::ForceGo { .. }
            | Self::Publish(_)
            | Self::Enter(_)
            | Self::Leave(_)
            | Self::Alias { .. } => false,
        }
    }
}

/// All that a Job is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The attempt, as the status has it.
    pub attempt: AttemptStatus,
    /// Unit.
    pub unit: Digest,
    /// The source as it was found.
    pub source: SourceStatus,
    /// Digest that the source must have.
    pub sha256: Option<Digest>,
    /// What to do, dependencies first.
    pub steps: Vec<OrderedStep>,
    /// Results that these read.
    pub given: Vec<Committed>,
    /// Steps that these read, and that have nothing to do for the title.
    pub skipped: BTreeMap<Step, Reason>,
    /// The title's place in the catalogue, where a step looks at what lies before it.
    pub place: Option<u32>,
    /// Where it runs.
    pub class: AcceleratorClass,
    /// Why this class and not its counterpart of spot machines or on demand; none where it has none, or was chosen before.
    pub why: Option<&'static str>,
    /// How long it may take.
    pub deadlines: Deadlines,
}

/// A print on its way into the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrance {
    /// Its place, as the status has it.
    pub place: PlaceStatus,
    /// Key of the print in the bucket.
    pub print: String,
    /// Its digest.
    pub sha256: Digest,
}

/// One step of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderedStep {
    /// Key.
    pub key: Digest,
    /// What to do.
    pub params: StepParams,
    /// Models.
    pub models: Vec<ModelRef>,
}

/// All that is published of a title.
#[derive(Clone, Debug, PartialEq)]
pub struct Edition {
    /// What was looked at.
    pub source: SourceIdentity,
    /// Steps in order.
    pub steps: Vec<EditionStep>,
    /// Attempts that are still known.
    pub history: Vec<AttemptSummary>,
    /// Digest over the steps' keys and results.
    pub contents: Digest,
    /// Currency of the costs in the history.
    pub currency: String,
}

/// One step of an edition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditionStep {
    /// Which.
    pub step: Step,
    /// Its key.
    pub key: Digest,
    /// Digest of its result, or why there is none.
    pub result: Result<Digest, String>,
    /// Why its result is not published although there is one.
    pub withheld: Option<Withheld>,
    /// That result: it is read for what it says of the source, and for nothing else.
    pub held: Option<Digest>,
    /// What of a person's is published in the place of `held`, or of a part of that.
    pub replacement: Option<Replacement>,
    /// Wall time as the status has it.
    pub took: Option<String>,
}

/// What of a person's takes a result's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// A file, the place of all that the step made.
    Whole(GivenFile),
    /// Pictures, the places of some picks.
    Pictures {
        /// Who decided.
        by: String,
        /// By the names of the files whose places they take.
        files: BTreeMap<String, GivenFile>,
    },
}

/// A file of a person's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenFile {
    /// Path in the source's store profile.
    pub path: String,
    /// Digest that it has to have.
    pub digest: Digest,
}

/// An upper bound as the status shows it.
pub fn price(amount: Money, currency: &str) -> String {
    format!("{amount} {currency}")
}

/// The amount of what [`price`] wrote.
pub fn amount(price: &str) -> Option<Money> {
    price.split(' ').next()?.parse().ok()
}
