//! A sequence of changes as a story: an object is made, changed at the chosen moments, and at last wants something that can
//! be had. I/O: through the stage.

use super::{
    Kind, oracle,
    schema::difference,
    sequence::{Change, Sequence, When},
};
use crate::faults::{
    history::World,
    laws::Record,
    player::{Behaviour, ready_reason},
    run::Scenario,
    stage::Stage,
};
use anyhow::{Result, ensure};
use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

const NAME: &str = "changed";
/// How long it may take until a wish is fulfilled: a pod that fails costs ten seconds, or twenty.
const LIMIT: Duration = Duration::from_secs(25);

/// A sequence that is played.
pub struct Story {
    name: String,
    kind: Arc<dyn Kind>,
    reasons: Arc<BTreeSet<String>>,
    start: Value,
    sequence: Sequence,
    told: Mutex<Told>,
}

/// What came of the sequence so far.
#[derive(Clone, Debug, Default)]
struct Told {
    steps: Vec<String>,
    spec: Value,
}

impl Story {
    /// A story of this kind that begins with this spec.
    pub fn new(name: String, kind: &Arc<dyn Kind>, reasons: &Arc<BTreeSet<String>>, start: Value, sequence: Sequence) -> Self {
        Self { name, kind: Arc::clone(kind), reasons: Arc::clone(reasons), start, sequence, told: Mutex::default() }
    }

    /// What was done, when, and what the API server said where it refused it.
    pub fn steps(&self) -> Vec<String> {
        self.told().steps.clone()
    }

    /// The last spec, as the API server stored it.
    pub fn spec(&self) -> Value {
        self.told().spec.clone()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, step: String) {
        self.told().steps.push(step);
    }

    /// Whether nothing more happens to the object by itself.
    fn is_at_rest(&self, now: &World) -> bool {
        self.reason(now).is_some_and(|reason| !self.kind.moving().contains(&reason.as_str()))
    }

    /// What the object says of the spec as it is now.
    fn reason(&self, now: &World) -> Option<String> {
        let object = now.get(self.kind.resource(), NAME)?;
        let answers = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        ready_reason(object).filter(|_| answers).map(str::to_owned)
    }

    /// Waits for the moment; one that does not come is over when the object rests.
    async fn wait(&self, stage: &Stage<'_>, when: &When) -> Result<()> {
        let rests = stage.until("the object is at rest", |now| self.is_at_rest(now));
        // It rests, too, when its pod waits for what people do.
        let held = async {
            stage.pods_wait().await;
            stage.until("the object is at work", |now| self.reason(now).as_deref() == Some("Working")).await
        };
        let moment = async {
            match when {
                When::Now => Ok(()),
                When::Writes(count) => {
                    stage.writes(*count).await;
                    Ok(())
                }
                When::Reason(reason) => {
                    let said = |now: &World| now.get(self.kind.resource(), NAME).and_then(ready_reason) == Some(reason.as_str());
                    stage.until(reason, said).await
                }
                When::Rest => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            done = moment => done,
            done = rests => done,
            done = held => done,
        }
    }

    async fn change(&self, stage: &Stage<'_>, when: &When, change: &Change) -> Result<()> {
        let resource = self.kind.resource();
        let before = self.told().spec.clone();
        let mut what = format!("{when}: {change}");
        match change {
            Change::Nudge => {
                stage.nudge_all().await?;
            }
            Change::Replace => {
                stage.delete(resource, NAME).await?;
                stage.until("the object is gone", |now| now.get(resource, NAME).is_none()).await?;
                stage.create(resource, NAME, &before).await?;
            }
            Change::Set(_) | Change::Restore => {
                let patch = match change {
                    Change::Set(patch) => patch.clone(),
                    _ => difference(&before, &self.start),
                };
                match stage.try_edit(resource, NAME, &patch).await? {
                    Ok(stored) => self.told().spec = stored["spec"].clone(),
                    Err(refusal) => {
                        let there = stage.read(resource, NAME).await?;
                        ensure!(there["spec"] == before, "{change} was refused and stored: {}", there["spec"]);
                        ensure!(!refusal.is_empty(), "{change} was refused without a word");
                        what = format!("{what} - refused: {refusal}");
                    }
                }
            }
        }
        self.tell(what);
        Ok(())
    }
}

impl Scenario for Story {
    fn name(&self) -> &str {
        &self.name
    }

    fn pods(&self) -> Vec<Behaviour> {
        self.sequence.pods.clone()
    }

    /// A bound only: that there is none without a reason is looked at Job by Job.
    fn jobs(&self) -> usize {
        // What looks a title up is a Job of its own.
        2 * (1 + self.changes()) + self.sequence.pods.len() * (1 + self.changes())
    }

    fn editions(&self) -> usize {
        1 + self.changes()
    }

    fn changes(&self) -> usize {
        // The last one makes it something that can be had.
        self.sequence.moves.len() + 1
    }

    fn limit(&self) -> Duration {
        LIMIT
    }

    fn play<'a>(&'a self, stage: &'a Stage<'a>) -> BoxFuture<'a, Result<()>> {
        async move {
            let resource = self.kind.resource();
            self.kind.prepare(stage).await?;
            let made = stage.create(resource, NAME, &self.start).await?;
            self.told().spec = made["spec"].clone();
            for step in &self.sequence.moves {
                self.wait(stage, &step.when).await?;
                self.change(stage, &step.when, &step.change).await?;
            }
            let cure = self.kind.cure(&self.spec());
            if cure != json!({}) {
                let cured = stage.edit(resource, NAME, &cure).await?;
                self.told().spec = cured["spec"].clone();
                self.tell(format!("at last: {cure}"));
            }
            stage.let_pods_go();
            let end = self.kind.end();
            stage.until(end, |now| self.reason(now).as_deref() == Some(end)).await
        }
        .boxed()
    }

    fn look(&self, record: &Record) -> Vec<(String, String)> {
        oracle::breaches(self.kind.as_ref(), &self.reasons, record)
    }
}
