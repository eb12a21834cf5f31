//! TitleEnrichment: from a media file in a store to published shots, thumbnails and subtitles.
//!
//! Reads like a table of contents; what it calls says what it reads and writes:
//! `validate` turns the spec into values that cannot be wrong, `decide` says what is to be done or what it has to know
//! first, `dereference` finds that out, `status` puts it into words, the status is stored, and `act` does the rest.

mod act;
pub mod build;
pub mod catalogue;
pub mod decide;
pub mod dereference;
pub mod layout;
mod pace;
pub mod publish;
pub mod replace;
pub mod report;
pub mod settings;
mod shares;
pub mod status;
pub mod validate;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource as _, ResourceExt as _};
use showrunner_crds::TitleEnrichment;
use showrunner_crds::common::condition;
use showrunner_crds::title_enrichment::{TitleEnrichmentSpec, TitleEnrichmentStatus, TitleReason};
use showrunner_kit::conditions;
use showrunner_kit::controller::{Kit, Wiring};
use showrunner_kit::jobs::room::{Asking, Place};
use showrunner_kit::object::{ObjectKey, has_finalizer};
use showrunner_kit::planted;
use showrunner_kit::traces;
use showrunner_kit::write::StatusWrite;
use showrunner_kit::{Class, Next, ReconcileError, Reconciler};

use act::Actor;
use catalogue::Places;
use decide::{Answer, Decision, Facts, Input, Need, Seen, SeenJob, Title, decide, waits_for_money};
use dereference::{Reader, jobs_of, seen_job, told_of};
use pace::SharedPaces;
pub use settings::TitleSettings;

/// Our finalizer on titles: their Jobs end first.
pub const FINALIZER: &str = "showrunner.dev/title-jobs";
/// Most questions and acts in one reconcile; far above what any state needs.
const MAX_ROUNDS: u32 = 16;
/// What events say was done.
const ACTION: &str = "Reconcile";

/// Has titles reconciled. Fails on settings that cannot work.
pub fn register(wiring: &mut Wiring, settings: TitleSettings) -> anyhow::Result<()> {
    settings.check()?;
    wiring.count_conditions::<TitleEnrichment>(conditions_of);
    let kit = wiring.kit().clone();
    let _ = wiring
        .control(TitleReconciler { kit, settings, places: Places::default(), paces: SharedPaces::default() })
        .owns_jobs()
        .takes_room(place);
    Ok(())
}

fn conditions_of(title: &TitleEnrichment) -> &[Condition] {
    title.status.as_ref().map_or(&[], |status| &status.conditions)
}

/// Whether a title has an attempt in hand, and a Job for it to be had.
fn place(title: &TitleEnrichment) -> Place {
    let Some(status) = title.status.as_ref().filter(|status| holds_place(status)) else { return Place::Free };
    let refused = conditions::get(&status.conditions, condition::READY)
        .is_some_and(|ready| ready.reason == TitleReason::JobRefused.to_string());
    if refused { Place::Refused } else { Place::Held }
}

/// Whether a title has an attempt in hand that runs or may run at any moment. One that waits for a budget takes no place.
fn holds_place(status: &TitleEnrichmentStatus) -> bool {
    status.attempt.is_some() && !waits_for_money(status)
}

/// Brings titles towards what they ask for.
pub struct TitleReconciler {
    kit: Kit,
    settings: TitleSettings,
    places: Places,
    paces: SharedPaces,
}

impl Reconciler for TitleReconciler {
    type Kind = TitleEnrichment;
    const NAME: &'static str = "titleenrichment";

    async fn reconcile(&self, object: Arc<TitleEnrichment>, now: Timestamp) -> Result<Next, ReconcileError> {
        let asking = Asking {
            uid: object.uid().unwrap_or_default(),
            created: object.creation_timestamp().map_or(now, |created| created.0),
            key: ObjectKey::of(&object.metadata),
        };
        let has = object.status.as_ref().is_some_and(holds_place);
        let mut look = Look { asked: false, entered: false, has };
        let result = Box::pin(self.look(object, &asking, &mut look, now)).await;
        // However it ended: who does not ask now holds up nobody, and neither does who asked and then failed.
        if !look.asked || (!look.has && (look.entered || result.is_err())) {
            self.kit.room.pass(&asking, look.has);
        }
        result
    }
}

/// What came of a look at a title, as far as others wait for it.
struct Look {
    /// It asked for room.
    asked: bool,
    /// It was let in.
    entered: bool,
    /// It holds a place.
    has: bool,
}

impl TitleReconciler {
    async fn look(
        &self,
        object: Arc<TitleEnrichment>,
        asking: &Asking,
        look: &mut Look,
        now: Timestamp,
    ) -> Result<Next, ReconcileError> {
        let uid = object.uid().unwrap_or_default();
        let namespace = object.namespace().unwrap_or_default();
        let nothing = TitleEnrichmentStatus::default();
        let told = told_of(object.status.as_ref().unwrap_or(&nothing));
        let jobs = jobs_of(&self.kit.job_cache, &namespace, &uid, &told);
        let mut pods = self.kit.pod_cache.controlled_by(&uid);
        pods.retain(|pod| pod.namespace().as_deref() == Some(namespace.as_str()));
        let seen_jobs: Vec<SeenJob> =
            jobs.iter().map(|job| seen_job(job, &uid, &pods, told.get(job.name_any().as_str()), now)).collect();
        let steps = object.status.iter().flat_map(|status| &status.steps);
        let known: Vec<String> = steps.filter_map(|step| step.result.clone()).collect();
        let reader = Reader {
            stores: &self.kit.stores,
            namespace: &namespace,
            uid: &uid,
            known: &known,
            room: &self.kit.room,
            places: &self.places,
            asking,
            now,
        };
        let (mut seen, mut facts) = (Seen::default(), Facts::default());
        let mut actor = Actor {
            kit: &self.kit,
            settings: &self.settings,
            places: &self.places,
            title: object.as_ref().clone(),
            uid: uid.clone(),
            jobs: &jobs,
            pods: &pods,
            now,
            touched: BTreeSet::new(),
            fresh: false,
            moves: None,
            found: None,
            failed: None,
        };
        for _ in 0..MAX_ROUNDS {
            let decision = traces::step("decide").in_scope(|| self.decide(&actor.title, &seen_jobs, &seen, &facts, now));
            let steps = match decision {
                Decision::Need(need) => {
                    look.asked |= need == Need::Room;
                    traces::in_step("dereference", reader.answer(need, &mut seen)).await;
                    look.entered |= matches!(seen.room, Answer::Got(true));
                    continue;
                }
                Decision::Do(steps) => *steps,
            };
            let in_hand = |status: &TitleEnrichmentStatus| status.attempt.is_some();
            let harvested = !in_hand(&steps.status) && actor.title.status.as_ref().is_some_and(in_hand);
            let generation = actor.title.metadata.generation.unwrap_or_default();
            let mut status = steps.status;
            let mut notes = steps.notes;
            notes.extend(steps.verdict.into_iter().flat_map(|verdict| status::tell(&mut status, &verdict, generation, now)));
            let mut again = false;
            if planted!("intent-skipped") {
                for act in steps.acts.iter().filter(|act| matches!(act, decide::Act::Create(_))) {
                    actor.act(act.clone(), &mut facts).await?;
                }
            }
            if planted!("place-not-told") {
                for act in steps.acts.iter().filter(|act| matches!(act, decide::Act::Enter(_))) {
                    actor.act(act.clone(), &mut facts).await?;
                }
            }
            let has = holds_place(&status);
            let write = self.kit.writer.write_status(&actor.title, &status);
            if let StatusWrite::Written(title) = traces::in_step("status", write).await? {
                (actor.title, actor.fresh) = (title, true);
                again = harvested;
            }
            look.has = has;
            for note in notes {
                self.kit.events.publish(&actor.title, note.severity, note.reason.into(), ACTION, &note.message).await;
            }
            again |= traces::in_step("act", Box::pin(actor.all(steps.acts, &mut facts))).await?;
            if !again {
                return actor.end_of_look(steps.next);
            }
            if harvested {
                seen = Seen::default();
            }
        }
        Err(ReconcileError::new(
            Class::Terminal,
            "NotSettled",
            format!("failed to settle TitleEnrichment {namespace}/{}: please report it", object.name_any()),
        ))
    }

    fn decide(&self, title: &TitleEnrichment, jobs: &[SeenJob], seen: &Seen, facts: &Facts, now: Timestamp) -> Decision {
        let nothing = TitleEnrichmentStatus::default();
        let spec = if planted!("first-spec-kept") { first_spec(title) } else { title.spec.clone() };
        let wish = validate::wish(&spec);
        let input = Input {
            title: &identity(title),
            status: title.status.as_ref().unwrap_or(&nothing),
            wish: wish.as_ref(),
            jobs,
            seen,
            facts,
            settings: &self.settings,
            config: &self.kit.config,
            paces: &self.paces.with(title.status.as_ref()),
            orders: &self.kit.jobs.orders(&TitleEnrichment::kind(&()), &ObjectKey::of(&title.metadata)),
        };
        decide(&input, now)
    }
}

/// A planted bug: the spec as it was when the title was first looked at.
fn first_spec(title: &TitleEnrichment) -> TitleEnrichmentSpec {
    static SPECS: Mutex<BTreeMap<String, TitleEnrichmentSpec>> = Mutex::new(BTreeMap::new());
    let mut specs = SPECS.lock().unwrap_or_else(PoisonError::into_inner);
    specs.entry(title.uid().unwrap_or_default()).or_insert_with(|| title.spec.clone()).clone()
}

/// What a title is beside spec and status.
fn identity(title: &TitleEnrichment) -> Title {
    Title {
        uid: title.uid().unwrap_or_default(),
        namespace: title.namespace().unwrap_or_default(),
        name: title.name_any(),
        generation: title.metadata.generation.unwrap_or_default(),
        deleting: title.metadata.deletion_timestamp.as_ref().map(|time| time.0),
        has_finalizer: has_finalizer(&title.metadata, FINALIZER),
    }
}
