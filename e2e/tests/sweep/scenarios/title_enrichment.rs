//! TitleEnrichment under faults: the straight way, a failure and its retry, a pause, an end and a change midway.

use anyhow::Result;
use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Value, json};
use showrunner_e2e::faults::{
    history::{Version, World},
    laws::Record,
    player::{Behaviour, ready_reason},
    run::{SOURCE, Scenario},
    stage::Stage,
    wallet::{CLASS, MAX_DISRUPTIONS, SPOT},
};
use std::{sync::Arc, time::Duration};

pub(super) const TITLES: &str = "titleenrichments";
pub(super) const TITLE: &str = "title";

pub(crate) fn stories() -> Vec<Arc<dyn Scenario>> {
    vec![
        Arc::new(Straight),
        Arc::new(Retried),
        Arc::new(Evicted),
        Arc::new(Reclaimed),
        Arc::new(Paused),
        Arc::new(Deleted),
        Arc::new(Changed),
        Arc::new(LookedUp),
    ]
}

/// What the recording of the worker answers: two shots, one thumbnail, nothing to hear.
pub(super) fn spec() -> Value {
    json!({ "source": { "path": SOURCE }, "thumbnails": { "select": 1, "spriteInterval": "1s" } })
}

/// Whether the title is in this phase and has said so of the spec as it is now.
fn is_in(now: &World, phase: &str) -> bool {
    now.get(TITLES, TITLE).is_some_and(|title| {
        title["status"]["phase"] == phase && title["status"]["observedGeneration"] == title["metadata"]["generation"]
    })
}

fn is_working(now: &World) -> bool {
    now.get(TITLES, TITLE).and_then(ready_reason) == Some("Working")
}

pub(super) async fn published(stage: &Stage<'_>) -> Result<()> {
    stage.until("the title is published", |now| is_in(now, "Published")).await
}

/// From applied to published, nothing in between.
struct Straight;

impl Scenario for Straight {
    fn name(&self) -> &'static str {
        "straight"
    }

    fn play<'a>(&'a self, stage: &'a Stage<'a>) -> BoxFuture<'a, Result<()>> {
        async move {
            stage.create(TITLES, TITLE, &spec()).await?;
            published(stage).await
        }
        .boxed()
    }
}

/// The first attempt runs out of memory after its first step; the second does the rest.
struct Retried;

impl Scenario for Retried {
    fn name(&self) -> &'static str {
        "retried"
    }

    fn pods(&self) -> Vec<Behaviour> {
        vec![Behaviour::OutOfMemory]
    }

    fn jobs(&self) -> usize {
        2
    }

    /// There are ten seconds between the attempts.
    fn limit(&self) -> Duration {
        Duration::from_secs(22)
    }

    fn play<'a>(&'a self, stage: &'a Stage<'a>) -> BoxFuture<'a, Result<()>> {
        Straight.play(stage)
    }
}

/// The first pod crashes without a word, the second is evicted, and a person does not want to wait.
struct Evicted;

impl Scenario for Evicted {
    fn name(&self) -> &'static str {
        "crashed, evicted"
    }

    fn pods(&self) -> Vec<Behaviour> {
        vec![Behaviour::Crashes, Behaviour::Evicted]
    }

    fn jobs(&self) -> usize {
        3
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn play<'a>(&'a self, stage: &'a Stage<'a>) -> BoxFuture<'a, Result<()>> {
        async move {
            stage.create(TITLES, TITLE, &spec()).await?;
            for (failures, deadline) in [(1, "5h"), (2, "6h")] {
                stage
                    .until("another attempt has failed", |now| {
                        let history = now.get(TITLES, TITLE).map(|title| title["status"]["history"].clone());
                        history.and_then(|history| history.as_array().map(Vec::len)) == Some(failures)
                    })
                    .await?;
                // Any change of the spec ends the wait for the next attempt; this one restarts nothing.
                stage.edit(TITLES, TITLE, &json!({ "deadline": deadline })).await?;
            }
            published(stage).await
        }
        .boxed()
    }
}

/// The spot machine is taken back, and what is left is done on demand.
struct Reclaimed;

impl Scenario for Reclaimed {
    fn name(&self) -> &'static str {
        "reclaimed"
    }

    fn pods(&self) -> Vec<Behaviour> {
        vec![Behaviour::Evicted]
    }

    fn jobs(&self) -> usize {
        2
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(25)
    }

    fn play<'a>(&'a self, stage: &'a Stage<'a>) -> BoxFuture<'a, Result<()>> {
        async move {
            let mut wanted = spec();
            wanted["deadline"] = json!("24h");
            wanted["execution"] =
                json!({ "accelerator": "Required", "class": "steady", "spot": { "maxDisruptions": MAX_DISRUPTIONS } });
            stage.create(TITLES, TITLE, &wanted).await?;
            published(stage).await
        }
        .boxed()
    }

    fn look(&self, record: &Record) -> Vec<(String, String)> {
        let class = |job: &Version| job.object["metadata"]["annotations"][CLASS].as_str().map(str::to_owned);
        let classes: Vec<_> = record.births().into_iter().filter_map(class).collect();
        let as_told = classes == [SPOT, "steady"];
        (!as_told).then(|| ("GJ7: first on spot, then on demand".to_owned(), format!("{classes:?}"))).into_iter().collect()
    }
}

/// Paused while it works, and taken up again.
struct Paused;

impl Scenario for Paused {
    fn name(&self) -> &'static str {
        "paused, resumed"
    }

    fn pods(&self) -> Vec<Behaviour> {
        vec![Behaviour::Hangs]
    }

    fn jobs(&self) -> usize {
        2
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn play<'a>(&'a self, stage: &'a Stage<'a>) -> BoxFuture<'a, Result<()>> {
        async move {
            stage.create(TITLES, TITLE, &spec()).await?;
            stage.until("the title is worked on", is_working).await?;
            stage.edit(TITLES, TITLE, &json!({ "suspend": true })).await?;
            let paused = |now: &World| is_in(now, "Suspended") && now.of("pods").is_empty() && now.of("jobs").is_empty();
            stage.until("the title is paused and nothing of it is left", paused).await?;
            stage.edit(TITLES, TITLE, &json!({ "suspend": false })).await?;
            published(stage).await
        }
        .boxed()
    }
}

/// Deleted while it works.
struct Deleted;

impl Scenario for Deleted {
    fn name(&self) -> &'static str {
        "deleted midway"
    }

    fn pods(&self) -> Vec<Behaviour> {
        vec![Behaviour::Hangs]
    }

    fn editions(&self) -> usize {
        0
    }

    fn play<'a>(&'a self, stage: &'a Stage<'a>) -> BoxFuture<'a, Result<()>> {
        async move {
            stage.create(TITLES, TITLE, &spec()).await?;
            stage.until("the title is worked on", is_working).await?;
            stage.delete(TITLES, TITLE).await?;
            stage.until("nothing is left", |now| now.all().next().is_none()).await
        }
        .boxed()
    }
}

/// Something else is wanted while it works: what was finished is kept.
struct Changed;

impl Scenario for Changed {
    fn name(&self) -> &'static str {
        "changed midway"
    }

    fn pods(&self) -> Vec<Behaviour> {
        vec![Behaviour::Hangs]
    }

    fn jobs(&self) -> usize {
        2
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn play<'a>(&'a self, stage: &'a Stage<'a>) -> BoxFuture<'a, Result<()>> {
        async move {
            stage.create(TITLES, TITLE, &spec()).await?;
            stage.until("the title is worked on", is_working).await?;
            stage.edit(TITLES, TITLE, &json!({ "subtitles": { "maxCharsPerSecond": 17 } })).await?;
            published(stage).await
        }
        .boxed()
    }
}

/// Its print enters the catalogue, it is looked up, leaves, comes back as the latest, and is deleted.
struct LookedUp;

impl Scenario for LookedUp {
    fn name(&self) -> &'static str {
        "looked up"
    }

    fn jobs(&self) -> usize {
        3
    }

    fn editions(&self) -> usize {
        3
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn play<'a>(&'a self, stage: &'a Stage<'a>) -> BoxFuture<'a, Result<()>> {
        async move {
            let switched = |on: bool| json!({ "duplicates": { "enabled": on } });
            let place = |now: &World| now.get(TITLES, TITLE).map(|title| title["status"]["catalogue"]["position"].clone());
            let mut spec = spec();
            spec["fingerprint"] = json!({ "enabled": true });
            spec["duplicates"] = json!({ "enabled": true });
            stage.create(TITLES, TITLE, &spec).await?;
            published(stage).await?;
            stage.edit(TITLES, TITLE, &switched(false)).await?;
            stage.until("its place is left", |now| is_in(now, "Published") && place(now) == Some(Value::Null)).await?;
            stage.edit(TITLES, TITLE, &switched(true)).await?;
            stage.until("it has another", |now| is_in(now, "Published") && place(now) == Some(json!(1))).await?;
            stage.delete(TITLES, TITLE).await?;
            stage.until("nothing is left", |now| now.get(TITLES, TITLE).is_none()).await
        }
        .boxed()
    }
}
