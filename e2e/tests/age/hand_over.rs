//! Programs of two versions after each other on the same titles: an upgrade with titles in flight, and the way back.

use crate::Suite;
use anyhow::{Context as _, Result, ensure};
use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use serde_json::json;
use showrunner_e2e::{
    age::{
        frozen::Frozen,
        restore::define,
        stage::Stage,
        stories::{Story, source, spec},
    },
    faults::{
        history::World,
        player::{Behaviour, ready_reason},
    },
};
use std::{collections::BTreeMap, fmt, path::Path, time::Duration};

/// How long each half may take.
const LIMIT: Duration = Duration::from_secs(40);
/// One title is done by the first operator, one runs from the first to the second, one waits for a node so long.
const TITLES: [&str; 3] = ["done", "running", "waiting"];

/// Who hands over to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The older one to the one that is here.
    Upgrade,
    /// Back.
    Rollback,
}

impl Way {
    pub(crate) const ALL: [Self; 2] = [Self::Upgrade, Self::Rollback];
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upgrade => "its operator hands titles in flight over to the one that is here",
            Self::Rollback => "its operator takes titles in flight over from the one that is here",
        })
    }
}

/// Two operators after each other: the second finishes what the first began, with the Jobs there are.
pub(crate) async fn hands_over(suite: &Suite, frozen: &Frozen, old: &Path, way: Way) -> Result<()> {
    let means = &suite.means;
    let (first, second) = match way {
        Way::Upgrade => (old, suite.operator.as_path()),
        Way::Rollback => (suite.operator.as_path(), old),
    };
    let definitions = frozen.definitions()?;
    let (of_first, of_second) = match way {
        Way::Upgrade => (&definitions, &suite.definitions),
        Way::Rollback => (&suite.definitions, &definitions),
    };
    let stage = Stage::set(means, &format!("{}-{way:?}", frozen.namespace).to_lowercase()).await?;
    let namespace = &stage.namespace;
    let kind = means.history.kind("titleenrichments").context("titles are watched")?;
    let api: Api<DynamicObject> = Api::namespaced_with(means.client.clone(), namespace, &kind);

    define(means, of_first).await?;
    let operator = stage.operator("first", first)?;
    let watched = operator.watched();
    let pods = [("running", Behaviour::Hangs), ("waiting", Behaviour::Waits)];
    let player = stage.player(pods.into_iter().map(|(name, pod)| (source(name), vec![pod])).collect());
    let begun = async {
        for name in TITLES {
            means.store.put(&format!("{namespace}/ingest/{}", source(name)), means.recording.clip.clone()).await?;
            let story = Story { name, ..showrunner_e2e::age::stories::PLAIN };
            let title = DynamicObject::new(name, &kind).data(json!({ "spec": spec(&story) }));
            api.create(&PostParams::default(), &title).await?;
        }
        means.history.until(namespace, "one title is done and two are in flight", LIMIT, |now| in_flight(now).then_some(())).await
    };
    tokio::select! {
        begun = begun => begun.map_err(|error| error.context(watched.tail()))?,
        ended = player.play() => ended?,
    }
    operator.end().await?;
    let before = means.history.now(namespace);

    define(means, of_second).await?;
    let operator = stage.operator("second", second)?;
    let watched = operator.watched();
    let player = stage.player(BTreeMap::new());
    let ended = means.history.until(namespace, "every title is published", LIMIT, |now| are_published(now).then_some(()));
    let ended = tokio::select! {
        ended = ended => ended.map_err(|error| error.context(watched.tail())),
        ended = player.play() => ended,
    };
    operator.end().await?;
    define(means, &suite.definitions).await?;
    ended?;

    let births = means.history.of(namespace).into_iter().filter(|version| version.resource == "jobs");
    let jobs: std::collections::BTreeSet<String> = births.map(|version| version.uid().to_owned()).collect();
    ensure!(jobs.len() == TITLES.len(), "{} Jobs were made for {} titles", jobs.len(), TITLES.len());
    let digest = |now: &World| now.get("titleenrichments", "done").map(|title| title["status"]["published"].clone());
    ensure!(digest(&before) == digest(&means.history.now(namespace)), "the title that was done was published again");
    means.verify(namespace).await
}

fn is_published(now: &World, name: &str) -> bool {
    now.get("titleenrichments", name).is_some_and(|title| title["status"]["phase"] == "Published")
}

fn in_flight(now: &World) -> bool {
    let is = |name: &str, reason: &str| now.get("titleenrichments", name).and_then(ready_reason) == Some(reason);
    is_published(now, "done") && is("running", "Working") && is("waiting", "WaitingToStart")
}

fn are_published(now: &World) -> bool {
    let let_go = now.all().all(|version| version.is_ours() || version.our_finalizers().is_empty());
    TITLES.iter().all(|name| is_published(now, name)) && let_go
}
