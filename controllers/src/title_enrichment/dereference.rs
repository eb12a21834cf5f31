//! Reads all that a decision asks for: Jobs and pods from the caches, sources and results from the store.
//!
//! The only reader. Everything that comes from the store is bounded before it is read and checked before it is used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use showrunner_contracts::{
    Digest, Document as _,
    catalogue::MAX_QUERY_BYTES,
    progress::Progress,
    result::{StepResult, UnitResult},
    step::Step,
};
use showrunner_crds::title_enrichment::{SourceStatus, TitleEnrichmentStatus, TitleReason};
use showrunner_kit::cache::Cache;
use showrunner_kit::jobs::room::{Asking, Room};
use showrunner_kit::jobs::{
    Seal, believed, is_finished, is_suspended, lost_at, next_cancel_step, observe, record_digests, start_overdue,
};
use showrunner_kit::names;
use showrunner_kit::object::{ObjectKey, annotation, has_finalizer, is_controlled_by};
use showrunner_kit::store::{Store, StoreError, Stores};

use super::catalogue::{self, Places};
use super::decide::{Answer, Committed, Found, Need, Seen, SeenJob, Trouble, failure};
use super::layout;

/// Largest step or unit result that is read, bytes.
pub const MAX_RESULT_BYTES: usize = 1 << 20;
/// Largest progress record that is read, bytes.
const MAX_PROGRESS_BYTES: usize = 16 << 10;
/// Largest file of a step that is published, bytes.
pub const MAX_OUTPUT_BYTES: usize = 16 << 20;
/// Most that all files of a step may have together, bytes: many times what a worker writes.
const MAX_STEP_BYTES: u64 = 48 << 20;
/// When to look again at something that should pass by itself.
const PASSING: Duration = Duration::from_secs(15);
/// When to look again for an object that is not there.
const MISSING: Duration = Duration::from_mins(1);
/// When to look again at what a person has to cure.
const BROKEN: Duration = Duration::from_mins(4);
/// Part of a wait that differs from title to title, so that they do not all come at once.
const JITTER_PERCENT: u64 = 20;

/// What a title's status says of a Job of its own, whatever stands on the Job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// UID; none where the status does not know it.
    pub uid: Option<String>,
    /// When it was admitted.
    pub admitted: Option<Timestamp>,
    /// Digests of the records of its pods that count; none for all of them.
    pub records: Option<Vec<String>>,
}

/// What a status says of its Jobs, by name: of the one in hand, and of those of earlier attempts.
pub fn told_of(status: &TitleEnrichmentStatus) -> BTreeMap<&str, Told> {
    let past = status.history.iter().map(|past| {
        let records = past.uid.is_some().then(|| past.records.clone());
        (past.job.as_str(), Told { uid: past.uid.clone(), admitted: None, records })
    });
    let in_hand = status.attempt.iter().map(|attempt| {
        let uid = attempt.seal.as_deref().and_then(Seal::read).map(|seal| seal.uid().to_owned());
        // An attempt of an older operator has no seal, and kept no digests.
        let records = attempt.seal.is_some().then(|| attempt.records.clone());
        (attempt.job.as_str(), Told { uid, admitted: attempt.admitted.as_ref().map(|at| at.0), records })
    });
    past.chain(in_hand).collect()
}

/// The Jobs of a title as they count: those that say they are its own, and those that are by its own account, whatever
/// somebody has taken off them.
pub fn jobs_of(cache: &Cache<Job>, namespace: &str, owner_uid: &str, told: &BTreeMap<&str, Told>) -> Vec<Arc<Job>> {
    // The cache finds by a label, which anybody can write: what only says that it is this title's is kept apart by `decide`.
    let mut jobs = cache.controlled_by(owner_uid);
    jobs.retain(|job| job.metadata.namespace.as_deref() == Some(namespace));
    for (name, told) in told {
        let known = |job: &Arc<Job>| told.uid.is_some() && job.metadata.uid == told.uid;
        let by_name = || cache.get(&ObjectKey::new(namespace, *name)).filter(known);
        if !jobs.iter().any(|job| job.metadata.name.as_deref() == Some(*name)) {
            jobs.extend(by_name());
        }
    }
    let counts = |job: &Arc<Job>| {
        let told = job.metadata.name.as_deref().and_then(|name| told.get(name));
        believed(job, told.and_then(|told| told.records.as_deref()))
    };
    jobs.iter().map(counts).collect()
}

/// A Job as decisions see it.
pub fn seen_job(job: &Job, owner_uid: &str, pods: &[Arc<Pod>], told: Option<&Told>, now: Timestamp) -> SeenJob {
    let state = observe(job, pods, now);
    SeenJob {
        name: job.metadata.name.clone().unwrap_or_default(),
        cancel: next_cancel_step(job, pods, now),
        overdue: start_overdue(job, &state, told.and_then(|told| told.admitted), now),
        held: has_finalizer(&job.metadata, names::FINALIZER_SETTLE) || held_pods(job, pods).next().is_some(),
        unsettled: has_finalizer(&job.metadata, names::FINALIZER_SETTLE),
        deleting: job.metadata.deletion_timestamp.is_some(),
        class: annotation(&job.metadata, names::ANNOTATION_CLASS).unwrap_or_default().to_owned(),
        controlled: is_controlled_by(&job.metadata, owner_uid),
        suspended: is_suspended(job),
        finished: is_finished(job),
        seal: Seal::of(job),
        records: record_digests(job, pods, now),
        lost_at: lost_at(job, pods),
        state,
    }
}

/// Pods of a Job that wait for us to let them go.
pub fn held_pods<'a>(job: &'a Job, pods: &'a [Arc<Pod>]) -> impl Iterator<Item = &'a Arc<Pod>> {
    let of_job = |pod: &&Arc<Pod>| job.metadata.uid.as_deref().is_some_and(|uid| is_controlled_by(&pod.metadata, uid));
    pods.iter().filter(of_job).filter(|pod| has_finalizer(&pod.metadata, names::FINALIZER_OBSERVE))
}

/// A store that does not do what is asked, as the condition tells it.
pub fn trouble(error: &StoreError, salt: &str, now: Timestamp) -> Trouble {
    let reason = failure::of_store(error);
    let wait = match reason {
        TitleReason::StoreUnavailable => PASSING,
        TitleReason::SourceNotFound => MISSING,
        _ => BROKEN,
    };
    Trouble { reason, message: error.to_string(), retry_at: now + jittered(wait, salt) }
}

/// A wait that is up to a fifth longer, by the name of who waits.
pub fn jittered(wait: Duration, salt: &str) -> Duration {
    let share = salt.bytes().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))) % (JITTER_PERCENT + 1);
    wait + Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or_default() * share / 100)
}

/// Reads for one title.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// Stores by profile.
    pub stores: &'a Stores,
    /// The title's namespace.
    pub namespace: &'a str,
    /// The title's UID.
    pub uid: &'a str,
    /// Digests of the results that its status has.
    pub known: &'a [String],
    /// Room for Jobs.
    pub room: &'a Room,
    /// What is known of catalogues.
    pub places: &'a Places,
    /// The title, as it asks for room.
    pub asking: &'a Asking,
    /// Now.
    pub now: Timestamp,
}

impl Reader<'_> {
    /// Reads what is needed into `seen`.
    pub async fn answer(&self, need: Need, seen: &mut Seen) {
        match need {
            Need::Source { store, path } => seen.source = self.told(self.source(&store, &path).await),
            Need::Results { store, keys } => seen.results = self.told(self.results(&store, &keys).await),
            Need::Report { store, folder, digest } => seen.report = self.told(self.report(&store, &folder, &digest).await),
            Need::Place { store } => seen.place = self.told(self.place(&store).await),
            Need::Room => seen.room = Answer::Got(self.room.enter(self.asking)),
            Need::Progress { store, folder } => seen.progress = self.told(self.progress(&store, &folder).await),
        }
    }

    fn told<T>(&self, result: Result<T, StoreError>) -> Answer<T> {
        match result {
            Ok(value) => Answer::Got(value),
            Err(error) => Answer::Trouble(trouble(&error, self.uid, self.now)),
        }
    }

    async fn source(&self, store: &str, path: &str) -> Result<SourceStatus, StoreError> {
        let open = self.stores.get(store)?;
        let info = open.head(&open.locate(self.namespace, path)?).await?;
        Ok(SourceStatus {
            store: store.to_owned(),
            path: path.to_owned(),
            version: info.version.clone().unwrap_or_else(|| info.etag.clone()),
            etag: info.etag,
            size_bytes: i64::try_from(info.size).unwrap_or(i64::MAX),
        })
    }

    async fn results(&self, store: &str, keys: &[(Step, Digest)]) -> Result<BTreeMap<Digest, Option<Found>>, StoreError> {
        let store = self.stores.get(store)?;
        let whose = Whose { namespace: self.namespace, uid: self.uid, known: self.known };
        let mut found = BTreeMap::new();
        for (step, key) in keys {
            found.insert(key.clone(), result(&store, whose, *step, key).await?);
        }
        Ok(found)
    }

    async fn report(&self, store: &str, folder: &str, digest: &Digest) -> Result<Result<Box<UnitResult>, String>, StoreError> {
        unit_result(&*self.stores.get(store)?, self.namespace, folder, digest).await
    }

    async fn place(&self, store: &str) -> Result<u32, StoreError> {
        catalogue::free_place(&*self.stores.get(store)?, self.namespace, self.places).await
    }

    async fn progress(&self, store: &str, folder: &str) -> Result<Option<Progress>, StoreError> {
        let store = self.stores.get(store)?;
        let at = store.locate(self.namespace, &layout::progress(folder))?;
        let fetched = store.get_if_exists(&at, MAX_PROGRESS_BYTES).await?;
        Ok(fetched.and_then(|fetched| Progress::from_bytes(&fetched.body).ok()))
    }
}

/// The namespace, where its results need a folder of their own.
pub fn sharing<'a>(store: &Store, namespace: &'a str) -> Option<&'a str> {
    store.profile().is_shared().then_some(namespace)
}

/// Whose results are read, and which of them are known already.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// The title's namespace.
    pub namespace: &'a str,
    /// The title's UID.
    pub uid: &'a str,
    /// Digests of the results that its status has.
    pub known: &'a [String],
}

/// The committed result of a step: none, or checked, or what is wrong with it.
pub async fn result(store: &Store, whose: Whose<'_>, step: Step, key: &Digest) -> Result<Option<Found>, StoreError> {
    let shared = sharing(store, whose.namespace);
    let found = result_at(store, whose.namespace, &layout::result(key, shared), step, key).await?;
    if found.is_some() || shared.is_none() {
        return Ok(found);
    }
    // Before namespaces had folders of their own, all results of a shared prefix lay together. What is this title's own, or
    // was harvested before, is not done again; what anybody may have put there is not looked at.
    let old = result_at(store, whose.namespace, &layout::result(key, None), step, key).await?;
    let root = root_of(store, whose.namespace)?;
    Ok(old.filter(|old| old.as_ref().is_ok_and(|old| whose.trusts(old, &root))))
}

impl Whose<'_> {
    pub(super) fn trusts(&self, old: &Committed, root: &str) -> bool {
        let own = old.result.folder.strip_prefix(root).is_some_and(|folder| layout::is_folder_of(folder, self.uid));
        own || self.known.iter().any(|known| known == old.digest.as_str())
    }
}

async fn result_at(store: &Store, namespace: &str, path: &str, step: Step, key: &Digest) -> Result<Option<Found>, StoreError> {
    let fetched = match store.get_if_exists(&store.locate(namespace, path)?, MAX_RESULT_BYTES).await {
        Ok(Some(fetched)) => fetched,
        Ok(None) => return Ok(None),
        Err(StoreError::TooLarge { .. }) => {
            return Ok(Some(Err(format!("{path} is larger than {MAX_RESULT_BYTES} bytes: delete it"))));
        }
        Err(error) => return Err(error),
    };
    let root = root_of(store, namespace)?;
    Ok(Some(
        check_result(&fetched.body, step, key, &root)
            .map_err(|wrong| format!("{path} in the store is no result of {step} ({wrong}): delete it")),
    ))
}

/// What every key of the profile begins with for this namespace.
pub fn root_of(store: &Store, namespace: &str) -> Result<String, StoreError> {
    let probe = "x";
    let key = store.locate(namespace, probe)?.key().to_owned();
    Ok(key[..key.len() - probe.len()].to_owned())
}

/// Whether bytes are the result of this step under this key, naming files in an attempt's folder below `root` only.
pub fn check_result(bytes: &[u8], step: Step, key: &Digest, root: &str) -> Result<Box<Committed>, String> {
    let result = StepResult::from_bytes(bytes).map_err(|error| error.to_string())?;
    if result.step != step || result.key != *key {
        return Err("it is of another step or key".to_owned());
    }
    if !result.folder.strip_prefix(root).is_some_and(layout::is_attempt_folder) {
        return Err("it names files outside of the folders of attempts".to_owned());
    }
    if result.summary.step() != step {
        return Err("its figures are of another step".to_owned());
    }
    if !step.uses_models() && !result.models.is_empty() {
        return Err("it names models, and the step uses none".to_owned());
    }
    let slots = step.slots();
    for (index, kept) in result.kept.iter().enumerate() {
        if !step.keeps(&kept.name) || result.kept[..index].iter().any(|other| other.name == kept.name) {
            return Err("it keeps a file that the step does not keep, or one twice".to_owned());
        }
        if kept.size_bytes > MAX_QUERY_BYTES as u64 {
            return Err(format!("its file {} is larger than {MAX_QUERY_BYTES} bytes", kept.name));
        }
    }
    for (index, output) in result.outputs.iter().enumerate() {
        if step.keeps(&output.name) {
            return Err("it would publish a file that is for other steps only".to_owned());
        }
        if !slots.contains(&output.name) || result.outputs[..index].iter().any(|other| other.name == output.name) {
            return Err("it names a file that the step does not have, or one twice".to_owned());
        }
        if output.size_bytes > MAX_OUTPUT_BYTES as u64 {
            return Err(format!("its file {} is larger than {MAX_OUTPUT_BYTES} bytes", output.name));
        }
    }
    if result.outputs.iter().fold(0, |sum: u64, output| sum.saturating_add(output.size_bytes)) > MAX_STEP_BYTES {
        return Err(format!("its files have more than {} MiB together", MAX_STEP_BYTES >> 20));
    }
    Ok(Box::new(Committed { digest: Digest::of(bytes), result }))
}

/// What became of an attempt, if it has the digest that the pod named; else what is wrong with it.
pub async fn unit_result(
    store: &Store,
    namespace: &str,
    folder: &str,
    digest: &Digest,
) -> Result<Result<Box<UnitResult>, String>, StoreError> {
    let path = layout::unit_result(folder);
    let fetched = match store.get_if_exists(&store.locate(namespace, &path)?, MAX_RESULT_BYTES).await {
        Ok(Some(fetched)) => fetched,
        Ok(None) => return Ok(Err(format!("the pod names a result and {path} is not in the store"))),
        Err(StoreError::TooLarge { .. }) => return Ok(Err(format!("{path} is larger than {MAX_RESULT_BYTES} bytes"))),
        Err(error) => return Err(error),
    };
    if Digest::of(&fetched.body) != *digest {
        return Ok(Err(format!("{path} does not have the digest that the pod named: it is not used")));
    }
    Ok(UnitResult::from_bytes(&fetched.body).map(Box::new).map_err(|error| format!("{path}: {error}")))
}
