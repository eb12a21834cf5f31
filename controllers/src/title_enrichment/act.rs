//! Carries out what was decided: finalizers, Jobs, publishing.
//!
//! Writes to the API server and the store. Every act may be repeated, and is only done on what was seen in this
//! reconcile: a Job that was touched is not touched again before it has been seen anew.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::json;
use showrunner_contracts::{Digest, Document as _};
use showrunner_crds::TitleEnrichment;
use showrunner_crds::title_enrichment::{PlaceStatus, TitleReason};
use showrunner_kit::admission::Verdict;
use showrunner_kit::controller::Kit;
use showrunner_kit::events::Severity;
use showrunner_kit::jobs::{self, ActError, Charge, Made, Owner, Seal, is_terminal};
use showrunner_kit::money::Money;
use showrunner_kit::object::{ObjectKey, without_finalizer};
use showrunner_kit::store::client::MAX_EXPIRY;
use showrunner_kit::store::{Precondition, Store, StoreError};
use showrunner_kit::write::CONFLICT;
use showrunner_kit::{Class, Next, ReconcileError, WriteError, planted};

use super::build::{self, Sign};
use super::catalogue::{self, Places, Whose};
use super::decide::{Act, Edition, Entrance, Facts, Fate, Order, PlaceFact, Trouble, Whereabouts};
use super::dereference::{self, held_pods};
use super::layout;
use super::publish::{Move, PublishError, Publisher};
use super::settings::TitleSettings;
use super::shares;
use super::{FINALIZER, decide::DELETE_WITHIN};

/// How long a Job that has ended is kept for people to look at.
const KEEP_JOB: Duration = Duration::from_hours(1);
/// How often the alias is tried when somebody else writes it too.
const ALIAS_TRIES: u32 = 3;
/// When to look again at a Job's name that somebody else has taken.
const LOOK_AGAIN: Duration = Duration::from_mins(4);
/// When to try again at the latest what failed for another Job than the one in hand.
const ASIDE_AGAIN: Duration = Duration::from_secs(10);

/// What failed for another Job than the one in hand, as the end of a look that wants to look again `next`: it puts nothing off.
fn put_off(error: ReconcileError, next: Next, now: Timestamp) -> ReconcileError {
    match next {
        Next::WaitForChange => error,
        // Somebody wrote first: it is done again after the least wait. A Job that must not run is not let run for longer.
        Next::At(_) if error.reason == CONFLICT => error,
        Next::At(at) => ReconcileError { class: Class::RetryAt(at.min(now + ASIDE_AGAIN)), ..error },
    }
}

/// Acts for one title in one reconcile.
pub(super) struct Actor<'a> {
    pub(super) kit: &'a Kit,
    pub(super) settings: &'a TitleSettings,
    pub(super) places: &'a Places,
    pub(super) title: TitleEnrichment,
    pub(super) uid: String,
    pub(super) jobs: &'a [Arc<Job>],
    pub(super) pods: &'a [Arc<Pod>],
    pub(super) now: Timestamp,
    pub(super) touched: BTreeSet<String>,
    /// Whether the title as it is here was just written, and so is the newest there is.
    pub(super) fresh: bool,
    /// The Job of the attempt in hand, where no cache has it.
    pub(super) found: Option<Arc<Job>>,
    /// What first failed of what nothing else waits for.
    pub(super) failed: Option<ReconcileError>,
    /// What [`Publisher::read_moves`] said of a manifest that was published in this reconcile.
    pub(super) moves: Option<(Digest, Vec<Move>)>,
}

impl Actor<'_> {
    /// Does all of it, in this order. What is done to Jobs that are not the one in hand keeps nothing else from being done: its
    /// failure is told at the end. Says whether something gave what the decision has to know.
    pub(super) async fn all(&mut self, acts: Vec<Act>, facts: &mut Facts) -> Result<bool, ReconcileError> {
        let mut again = false;
        for act in acts {
            let in_hand =
                self.title.status.as_ref().and_then(|status| status.attempt.as_ref()).map(|attempt| attempt.job.as_str());
            let (aside, disowns) = (act.is_aside(in_hand), matches!(act, Act::Disown { .. }));
            match self.act(act, facts).await {
                Ok(gave) => again |= gave,
                Err(error) if aside => {
                    tracing::debug!(title = %self.title.name_any(), %error, "went on without it");
                    self.failed.get_or_insert(error);
                    // The title's own comes after these: they are not tried again before that.
                    again |= disowns;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(again)
    }

    /// How the look ends that wants to look again `next`.
    pub(super) fn end_of_look(self, next: Next) -> Result<Next, ReconcileError> {
        match self.failed {
            None => Ok(next),
            Some(error) => Err(put_off(error, next, self.now)),
        }
    }

    /// Does one thing. Says whether it gave something that the decision has to know.
    pub(super) async fn act(&mut self, act: Act, facts: &mut Facts) -> Result<bool, ReconcileError> {
        match act {
            Act::AddFinalizer => self.add_finalizer().await,
            Act::DropFinalizer => self.drop_finalizer().await,
            Act::Create(order) => self.create(&order, facts).await,
            Act::Reserve { job } => self.reserve(&job, facts).await,
            Act::Admit { job } => self.admit(&job).await,
            Act::Disown { job } => self.disown(&job, facts).await,
            Act::Find { job, uid } => self.find(&job, &uid, facts).await,
            Act::Reclaim { job } => self.reclaim(&job).await,
            Act::WriteOff { job, bound } => self.write_off(&job, bound, facts).await,
            Act::End { job, charge } => self.end(&job, charge).await,
            Act::ReleasePods { job } => self.release_pods(&job).await,
            Act::LetGo { job, charge } => self.let_go(&job, charge).await,
            Act::ForceGo { job } => self.force_go(&job).await,
            Act::Publish(edition) => self.publish(&edition, facts).await,
            Act::Enter(entrance) => self.enter(&entrance, facts).await,
            Act::Leave(place) => self.leave(&place, facts).await,
            Act::Alias { store, digest } => self.alias(&store, &digest, facts).await,
        }
    }

    /// The Job, unless it has been touched in this reconcile already.
    fn untouched(&mut self, name: &str) -> Option<Arc<Job>> {
        let job = self.jobs.iter().find(|job| job.name_any() == name)?;
        self.touched.insert(name.to_owned()).then(|| Arc::clone(job))
    }

    async fn add_finalizer(&mut self) -> Result<bool, ReconcileError> {
        let mut finalizers = self.title.metadata.finalizers.clone().unwrap_or_default();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            finalizers.push(FINALIZER.to_owned());
            self.title =
                self.kit.writer.patch_versioned(&self.title, json!({ "metadata": { "finalizers": finalizers } })).await?;
            if planted!("spec-written") {
                let patch = json!({ "spec": { "suspend": self.title.spec.suspend } });
                self.title = self.kit.writer.patch_versioned(&self.title, patch).await?;
            }
            self.fresh = true;
        }
        Ok(true)
    }

    async fn drop_finalizer(&mut self) -> Result<bool, ReconcileError> {
        if planted!("finalizer-kept") {
            return Ok(false);
        }
        let patch = json!({ "metadata": { "finalizers": without_finalizer(&self.title.metadata, FINALIZER) } });
        match self.kit.writer.patch_versioned(&self.title, patch).await {
            Ok(_) | Err(WriteError::Gone { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Proves that the title is as it was read: a write that changes nothing, with its resourceVersion. Without it, an
    /// old view could create a Job again that has come and gone since.
    async fn prove_fresh(&mut self) -> Result<(), ReconcileError> {
        if !self.fresh {
            self.title = self.kit.writer.patch_versioned(&self.title, json!({})).await?;
            self.fresh = true;
        }
        Ok(())
    }

    async fn create(&mut self, order: &Order, facts: &mut Facts) -> Result<bool, ReconcileError> {
        self.prove_fresh().await?;
        let work_order = match self.work_order(order).await {
            Ok(text) => text,
            Err(error) => {
                facts.trouble = Some(dereference::trouble(&error, &self.uid, self.now));
                return Ok(true);
            }
        };
        let request = build::request(order, Owner::of(&self.title)?, work_order, self.settings);
        let job = jobs::build(&request, &self.kit.config)?;
        match self.kit.jobs.create(&job, &self.uid).await {
            Ok(Made::Sealed(seal)) => {
                facts.sealed = Some(seal.to_string());
                Ok(true)
            }
            Ok(Made::Forged) => {
                facts.forged = true;
                Ok(true)
            }
            Err(error) => {
                let reason = match &error {
                    WriteError::Foreign { .. } => TitleReason::JobConflict,
                    WriteError::Rejected { .. } => TitleReason::JobRefused,
                    _ => return Err(error.into()),
                };
                let retry_at = self.now + dereference::jittered(LOOK_AGAIN, &self.uid);
                facts.trouble = Some(Trouble { reason, message: error.to_string(), retry_at });
                Ok(true)
            }
        }
    }

    async fn work_order(&self, order: &Order) -> Result<String, StoreError> {
        let store = self.kit.stores.get(&order.source.store)?;
        // As long as a pod of this Job can live, and no longer: whoever may read pods can read them.
        let expires = order.deadlines.wall.min(MAX_EXPIRY);
        let namespace = self.title.namespace().unwrap_or_default();
        let root = dereference::root_of(&store, &namespace)?;
        let signer = StoreSigner { store: &store, namespace: &namespace, root, expires };
        if let Some(position) = order.place {
            let folder = layout::attempt_folder(&order.unit, &self.uid, order.attempt.number);
            let name = self.title.name_any();
            catalogue::lay_out(&store, self.whose(&namespace, &name), &folder, position, expires).await?;
        }
        let work_order = build::work_order(order, &self.uid, self.settings, &signer)?;
        Ok(String::from_utf8_lossy(&work_order.to_bytes()).into_owned())
    }

    async fn reserve(&mut self, name: &str, facts: &mut Facts) -> Result<bool, ReconcileError> {
        let Some(job) = self.jobs.iter().find(|job| job.name_any() == name) else { return Ok(false) };
        match self.kit.jobs.reserve(job).await? {
            Verdict::Admit => facts.reserved = true,
            Verdict::Hold { message, retry_at, .. } => {
                facts.held = Some(Trouble { reason: TitleReason::WaitingForBudget, message, retry_at });
            }
        }
        Ok(true)
    }

    async fn admit(&mut self, name: &str) -> Result<bool, ReconcileError> {
        let Some(job) = self.untouched(name) else { return Ok(false) };
        self.kit.jobs.admit(&job, self.now).await?;
        Ok(false)
    }

    /// An old view of the title knows less Jobs than there are: what is disowned is held against the newest.
    async fn disown(&mut self, name: &str, facts: &mut Facts) -> Result<bool, ReconcileError> {
        facts.disowned.insert(name.to_owned());
        let Some(job) = self.untouched(name) else { return Ok(true) };
        self.prove_fresh().await?;
        let pods = self.kit.pod_cache.controlled_by(job.metadata.uid.as_deref().unwrap_or_default());
        self.kit.jobs.disown(&job, &pods).await?;
        Ok(true)
    }

    async fn find(&mut self, name: &str, uid: &str, facts: &mut Facts) -> Result<bool, ReconcileError> {
        let there = self.kit.jobs.find(&self.key(name)).await?.filter(|job| job.metadata.uid.as_deref() == Some(uid));
        facts.found = Some(there.as_ref().map_or(Whereabouts::Gone, |job| Whereabouts::There(Seal::of(job))));
        self.found = there.map(Arc::new);
        Ok(true)
    }

    async fn reclaim(&mut self, name: &str) -> Result<bool, ReconcileError> {
        let found = self.found.clone().filter(|job| job.name_any() == name && self.touched.insert(name.to_owned()));
        let Some(job) = found.or_else(|| self.untouched(name)) else { return Ok(false) };
        self.prove_fresh().await?;
        self.kit.jobs.reclaim(&job, &Owner::of(&self.title)?.reference).await?;
        Ok(false)
    }

    /// An old view of the title may take a Job for lost that was let go as it should be: this is held against the newest.
    async fn write_off(&mut self, name: &str, bound: Money, facts: &mut Facts) -> Result<bool, ReconcileError> {
        self.prove_fresh().await?;
        self.kit.jobs.write_off(&self.key(name), bound).await?;
        facts.written_off = true;
        Ok(true)
    }

    /// For which models a Job worked.
    fn parts(&self, job: &str) -> Vec<(String, u64)> {
        self.title.status.as_ref().map_or_else(Vec::new, |status| shares::parts(status, job))
    }

    fn key(&self, name: &str) -> ObjectKey {
        ObjectKey::new(self.title.namespace().unwrap_or_default(), name)
    }

    async fn end(&mut self, name: &str, charge: Charge) -> Result<bool, ReconcileError> {
        let Some(job) = self.untouched(name) else { return Ok(false) };
        let parts = self.parts(name);
        self.kit.jobs.cancel(&job, self.pods, charge, &parts, self.now).await?;
        Ok(false)
    }

    async fn release_pods(&mut self, name: &str) -> Result<bool, ReconcileError> {
        let Some(job) = self.untouched(name) else { return Ok(false) };
        self.kit.jobs.release_pods(&job, self.pods, self.now).await?;
        Ok(false)
    }

    async fn let_go(&mut self, name: &str, charge: Charge) -> Result<bool, ReconcileError> {
        let Some(job) = self.untouched(name) else { return Ok(false) };
        let waiting =
            held_pods(&job, self.pods).filter(|pod| !is_terminal(pod) && pod.metadata.deletion_timestamp.is_none()).count();
        let job = self.kit.jobs.release_pods(&job, self.pods, self.now).await?;
        // A pod that is seen as running belongs to an older view than the Job: it is let go when it is seen as ended.
        if waiting == 0 {
            self.kit.jobs.settle(&job, charge, &self.parts(name), KEEP_JOB).await?;
        }
        Ok(false)
    }

    async fn force_go(&mut self, name: &str) -> Result<bool, ReconcileError> {
        let Some(job) = self.untouched(name) else { return Ok(false) };
        let note = format!(
            "Job {name} had not ended {} s after the title was deleted: it was let go and is charged its upper bound",
            DELETE_WITHIN.as_secs()
        );
        self.kit.events.publish(&self.title, Severity::Warning, "Released", "Release", &note).await;
        match self.kit.jobs.abandon(&job, self.pods).await {
            Ok(_) | Err(ActError::Write(WriteError::Gone { .. })) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn publish(&mut self, edition: &Edition, facts: &mut Facts) -> Result<bool, ReconcileError> {
        let published = async {
            let store = self.kit.stores.get(&edition.source.store)?;
            let (namespace, name) = (self.title.namespace().unwrap_or_default(), self.title.name_any());
            let publisher = Publisher { store: &store, namespace: &namespace, name: &name, uid: &self.uid };
            let (published, digest) = publisher.publish(edition, self.now).await?;
            let moves = publisher.read_moves(&digest).await?;
            Ok::<_, PublishError>((published, (digest, moves)))
        };
        match published.await {
            Ok((published, moves)) => {
                facts.published = Some(published);
                // The title is current after this once its status is written.
                (self.moves, self.fresh) = (Some(moves), false);
            }
            Err(error) => facts.trouble = Some(error.trouble(&self.uid, self.now)),
        }
        Ok(true)
    }

    fn whose<'a>(&'a self, namespace: &'a str, name: &'a str) -> Whose<'a> {
        Whose { namespace, name, uid: &self.uid }
    }

    /// The intent is stored before this, with the newest view of the title.
    async fn enter(&mut self, entrance: &Entrance, facts: &mut Facts) -> Result<bool, ReconcileError> {
        let (namespace, name) = (self.title.namespace().unwrap_or_default(), self.title.name_any());
        facts.place = None;
        self.prove_fresh().await?;
        let entered = async {
            let store = self.kit.stores.get(&entrance.place.store)?;
            catalogue::enter(&store, self.whose(&namespace, &name), entrance, self.places).await
        };
        match entered.await {
            Ok(fate) => facts.place = Some(PlaceFact { position: entrance.place.position, fate }),
            Err(error) => facts.trouble = Some(error.trouble(&self.uid, self.now)),
        }
        Ok(true)
    }

    async fn leave(&mut self, place: &PlaceStatus, facts: &mut Facts) -> Result<bool, ReconcileError> {
        let (namespace, name) = (self.title.namespace().unwrap_or_default(), self.title.name_any());
        facts.place = None;
        self.prove_fresh().await?;
        let left = async {
            let store = match self.kit.stores.get(&place.store) {
                Ok(store) => store,
                // With the store's profile went its catalogue, as far as this operator is concerned.
                Err(StoreError::UnknownProfile { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            catalogue::leave(&store, self.whose(&namespace, &name), place).await
        };
        match left.await {
            Ok(()) => facts.place = Some(PlaceFact { position: place.position, fate: Fate::Left }),
            Err(error) => {
                let Trouble { message, retry_at, .. } = error.trouble(&self.uid, self.now);
                if self.title.metadata.deletion_timestamp.is_some() {
                    let note =
                        format!("the print is still at place {} of the catalogue of {}: {message}", place.position, place.store);
                    self.kit.events.publish(&self.title, Severity::Warning, "PrintLeft", "Leave", &note).await;
                }
                facts.place = Some(PlaceFact { position: place.position, fate: Fate::Stuck { retry_at } });
            }
        }
        Ok(true)
    }

    async fn alias(&mut self, store: &str, digest: &Digest, facts: &mut Facts) -> Result<bool, ReconcileError> {
        match self.move_alias(store, digest).await? {
            Ok(()) => facts.alias = true,
            Err(error) => facts.trouble = Some(error.trouble(&self.uid, self.now)),
        }
        Ok(true)
    }

    /// The outer error is the API server's, the inner one the store's.
    async fn move_alias(&mut self, store: &str, digest: &Digest) -> Result<Result<(), PublishError>, ReconcileError> {
        let store = match self.kit.stores.get(store) {
            Ok(store) => store,
            Err(error) => return Ok(Err(error.into())),
        };
        let (namespace, name) = (self.title.namespace().unwrap_or_default(), self.title.name_any());
        for _ in 0..ALIAS_TRIES {
            let publisher = Publisher { store: &store, namespace: &namespace, name: &name, uid: &self.uid };
            let already = self.moves.take().filter(|(of, _)| self.fresh && of == digest);
            let is_current = already.is_some();
            let read = match already {
                Some((_, moves)) => Ok(moves),
                None => publisher.read_moves(digest).await,
            };
            let moves = match read {
                Ok(moves) if moves.is_empty() => return Ok(Ok(())),
                Ok(moves) => moves,
                Err(error) => return Ok(Err(error)),
            };
            if !is_current {
                self.kit.writer.patch_versioned(&self.title, json!({})).await?;
            }
            match publisher.write_moves(moves).await {
                Ok(true) => return Ok(Ok(())),
                Ok(false) => {}
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Err(PublishError::Invalid("somebody else writes manifest.json, report.html or run.json too".to_owned())))
    }
}

/// Signs with the profile's credentials; only URLs leave this process.
struct StoreSigner<'a> {
    store: &'a Store,
    namespace: &'a str,
    root: String,
    expires: Duration,
}

impl Sign for StoreSigner<'_> {
    fn read(&self, path: &str) -> Result<String, StoreError> {
        Ok(self.store.presign_get(&self.store.locate(self.namespace, path)?, self.expires)?.url.into())
    }

    fn read_key(&self, key: &str) -> Result<String, StoreError> {
        // A key that is not below the prefix cannot be named as a path: locating it refuses it.
        self.read(key.strip_prefix(&self.root).unwrap_or("/"))
    }

    fn write(&self, path: &str) -> Result<String, StoreError> {
        let at = self.store.locate(self.namespace, path)?;
        Ok(self.store.presign_put(&at, self.expires, &Precondition::None, "")?.url.into())
    }

    fn commit(&self, path: &str) -> Result<String, StoreError> {
        let at = self.store.locate(self.namespace, path)?;
        Ok(self.store.presign_put(&at, self.expires, &Precondition::Absent, "")?.url.into())
    }

    fn result(&self, key: &Digest) -> String {
        layout::result(key, dereference::sharing(self.store, self.namespace))
    }

    fn key(&self, path: &str) -> Result<String, StoreError> {
        Ok(self.store.locate(self.namespace, path)?.key().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_for_another_job_is_tried_again_soon_and_sooner_where_somebody_wrote_first() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let error = |reason| ReconcileError::new(Class::Retry, reason, "failed".to_owned());
        let class = |reason, next| put_off(error(reason), next, now).class;
        let (soon, late) = (now + Duration::from_secs(3), now + Duration::from_hours(4));
        assert_eq!(class(CONFLICT, Next::At(late)), Class::Retry, "after the least wait");
        assert_eq!(class("Timeout", Next::At(late)), Class::RetryAt(now + ASIDE_AGAIN));
        assert_eq!(class("Timeout", Next::At(soon)), Class::RetryAt(soon));
        assert_eq!(class("Timeout", Next::WaitForChange), Class::Retry);
    }
}
