//! A frozen world goes on under the operator that is here: titles in flight are finished by the Jobs they have, finished
//! ones are left alone, and nothing is lost.

use crate::{Suite, others};
use anyhow::{Context as _, Result, ensure};
use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use serde_json::{Value, json};
use showrunner_contracts::{
    Document as _,
    step::{PICTURE_RECIPE, SOUND_RECIPE, Step},
    work_order::WorkOrder,
};
use showrunner_e2e::{
    age::{
        frozen::Frozen,
        restore::define,
        stage::Stage,
        stories::{End, STORIES, Story},
    },
    faults::{
        history::{Version, World},
        laws::{LAWS, Record},
        run::Means,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long a world may take; the longest wait in it is that for a second attempt, ten seconds.
const LIMIT: Duration = Duration::from_mins(1);
/// Every step there is now.
const STEPS: [Step; 3] = [Step::Shots, Step::Thumbnails, Step::Subtitles];
/// Laws that say how titles and Jobs came to where a frozen world begins, or count what one story takes. What they stand for
/// is checked here title by title.
const OF_THE_BEGINNING: [&str; 8] = [
    "GJ1: names are functions of owner, unit and attempt",
    // Jobs are seen first as they were when the older version left them.
    "GJ2: a Job is born suspended, held, priced and with an end",
    "no more Jobs than the story takes",
    "the intent is stored before the Job",
    "no Job runs that was not admitted",
    "a finished step is not done again",
    "GJ3: the manifest is in the store before the status names it",
    "the spec is what people wrote",
];

pub(crate) async fn goes_on(suite: &Suite, frozen: &Frozen) -> Result<()> {
    let means = &suite.means;
    let stage = Stage::set(means, &frozen.namespace).await?;
    define(means, &frozen.definitions()?).await?;
    let aged = others::with_others(frozen)?;
    suite.restore(&aged).await?;
    define(means, &suite.definitions).await?;
    still_accepted(means, &aged).await?;
    define(means, &others::extended(&suite.definitions)?).await?;

    let operator = stage.operator("a", &suite.operator)?;
    let watched = operator.watched();
    let player = stage.player(BTreeMap::new());
    let ended = means.history.until(&frozen.namespace, "every title has ended", LIMIT, |now| all_ended(now).then_some(()));
    tokio::select! {
        ended = ended => ended.map_err(|error| error.context(watched.tail()))?,
        ended = player.play() => ended?,
    }
    operator.end().await?;
    define(means, &suite.definitions).await?;
    means.history.catch_up(&frozen.namespace, LIMIT).await?;

    let versions = means.history.of(&frozen.namespace);
    let now = World::at_end(&versions);
    for story in &STORIES {
        check(suite, &aged, story, &now, &versions).with_context(|| format!("title {}", story.name))?;
    }
    others::check(&aged, &now, &versions)?;
    means.verify(&frozen.namespace).await?;
    rewritten_nothing(means, frozen).await?;
    keeps_the_laws(means, &stage, versions).await
}

/// The specs of an older version are still accepted: as new objects, so that nothing is let pass because it is old.
async fn still_accepted(means: &Means, frozen: &Frozen) -> Result<()> {
    let kind = means.history.kind("titleenrichments").context("titles are watched")?;
    let api: Api<DynamicObject> = Api::namespaced_with(means.client.clone(), &frozen.namespace, &kind);
    for title in frozen.objects.iter().filter(|object| object["kind"] == "TitleEnrichment") {
        let name = title["metadata"]["name"].as_str().unwrap_or_default();
        let again = DynamicObject::new(&format!("{name}-again"), &kind).data(json!({ "spec": title["spec"] }));
        let made = api.create(&PostParams { dry_run: true, ..PostParams::default() }, &again).await;
        let made = made.with_context(|| format!("the spec of {name} is not accepted any more"))?;
        ensure!(is_kept(&title["spec"], &made.data["spec"]), "the spec of {name} is not stored as it was: {}", made.data["spec"]);
    }
    Ok(())
}

fn is_let_go(now: &World) -> bool {
    now.all().all(|version| version.is_ours() || version.our_finalizers().is_empty())
}

fn all_ended(now: &World) -> bool {
    let is_published = |name: &str| {
        now.get("titleenrichments", name).is_some_and(|title| {
            title["status"]["phase"] == "Published" && title["status"]["observedGeneration"] == title["metadata"]["generation"]
        })
    };
    let ended = |story: &Story| match story.end {
        End::Rests => true,
        End::Published => is_published(story.name),
        End::Gone => now.get("titleenrichments", story.name).is_none(),
    };
    STORIES.iter().all(ended) && others::NAMES.iter().all(|name| is_published(name)) && others::are_told(now) && is_let_go(now)
}

/// One title.
fn check(suite: &Suite, frozen: &Frozen, story: &Story, now: &World, versions: &[Version]) -> Result<()> {
    let before = frozen.object("TitleEnrichment", story.name).context("it is in the frozen world")?;
    let uid = before["metadata"]["uid"].as_str().context("it has a UID")?;
    let made = jobs_made(frozen, uid, versions);
    let after = now.get("titleenrichments", story.name);
    ensure!(
        made.len() == story.jobs,
        "{} Jobs were made for it, not {}; its attempts: {}",
        made.len(),
        story.jobs,
        after.map_or(&Value::Null, |title| &title["status"]["history"])
    );
    redoes_nothing(before, &made)?;
    let Some(after) = after else {
        ensure!(story.end == End::Gone, "it is gone");
        return Ok(());
    };
    ensure!(is_kept(&before["spec"], &after["spec"]), "its spec was changed to {}", after["spec"]);
    keeps_results(before, after)?;
    let told = outdated(after);
    // Whatever has another version now than it was frozen with is said to be outdated, and nothing else.
    let done = step_versions(before).filter(|(_, result)| result.is_some());
    let changed = done.map(|(step, _)| step).any(|step| {
        let then = frozen.algorithms.get(&step).copied();
        let recipe =
            |now: &Step| (now.sees() && frozen.recipes.0 != PICTURE_RECIPE) || (now.hears() && frozen.recipes.1 != SOUND_RECIPE);
        STEPS.iter().any(|now| now.to_string() == step && (Some(now.algorithm_version()) != then || recipe(now)))
    });
    ensure!(!changed || told == Some("True"), "finished steps are of an older version, and Outdated is {told:?}");
    if story.end == End::Rests && !changed {
        let audit = suite.means.audit.of(&frozen.namespace)?;
        let writes: Vec<_> =
            audit.iter().filter(|r| r.is_write() && r.name == story.name && r.resource.starts_with("titleenrichments")).collect();
        ensure!(writes.is_empty(), "it was at rest, and was written: {writes:?}");
    }
    Ok(())
}

/// Whether a spec says all that it said before; fields that were added since have their defaults now.
fn is_kept(before: &Value, after: &Value) -> bool {
    match before {
        Value::Object(fields) => fields.iter().all(|(name, value)| is_kept(value, &after[name])),
        before => before == after,
    }
}

/// Jobs of a title that were not in the frozen world.
pub(crate) fn jobs_made<'a>(frozen: &Frozen, owner: &str, versions: &'a [Version]) -> Vec<&'a Value> {
    let known: BTreeSet<&str> = frozen.objects.iter().filter_map(|object| object["metadata"]["uid"].as_str()).collect();
    let mut made = BTreeMap::new();
    for version in versions.iter().filter(|version| version.resource == "jobs" && !known.contains(version.uid())) {
        if version.object["metadata"]["labels"]["showrunner.dev/owner-uid"] == owner {
            made.entry(version.uid()).or_insert(version.object.as_ref());
        }
    }
    made.into_values().collect()
}

/// No Job does a step that was done before.
fn redoes_nothing(before: &Value, made: &[&Value]) -> Result<()> {
    let done: BTreeSet<String> = step_versions(before).filter(|(_, result)| result.is_some()).map(|(step, _)| step).collect();
    for job in made {
        let text = job["spec"]["template"]["metadata"]["annotations"]["showrunner.dev/work-order"].as_str();
        let order = WorkOrder::from_bytes(text.context("a Job has a work order")?.as_bytes())?;
        let again: Vec<String> =
            order.steps.iter().map(|step| step.step.to_string()).filter(|step| done.contains(step)).collect();
        ensure!(again.is_empty(), "{again:?} were done before, and are ordered again");
    }
    Ok(())
}

/// Steps of a title with their results.
fn step_versions(title: &Value) -> impl Iterator<Item = (String, Option<String>)> {
    let steps = title["status"]["steps"].as_array().into_iter().flatten();
    steps.map(|step| (step["name"].as_str().unwrap_or_default().to_owned(), step["result"].as_str().map(str::to_owned)))
}

/// What was done has the result that it had.
pub(crate) fn keeps_results(before: &Value, after: &Value) -> Result<()> {
    for (step, result) in step_versions(before).filter(|(_, result)| result.is_some()) {
        let now = step_versions(after).find(|(name, _)| *name == step).and_then(|(_, result)| result);
        ensure!(now == result, "{step} has another result than before: {now:?}, not {result:?}");
    }
    Ok(())
}

/// The status of the condition Outdated.
pub(crate) fn outdated(title: &Value) -> Option<&str> {
    let conditions = title["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == "Outdated")?["status"].as_str()
}

/// Whatever a frozen title had in the store is there as it was, but for what it publishes anew.
async fn rewritten_nothing(means: &Means, frozen: &Frozen) -> Result<()> {
    for (key, bytes) in &frozen.store {
        let now = means.store.read(key).await.with_context(|| format!("{key} is gone"))?;
        ensure!(now == bytes, "{key} was rewritten");
    }
    Ok(())
}

async fn keeps_the_laws(means: &Means, stage: &Stage<'_>, versions: Vec<Version>) -> Result<()> {
    let record = Record {
        specs: Vec::new(),
        versions,
        journal: stage.wire.journal(),
        audit: means.audit.of(&stage.namespace)?,
        editions: STORIES.len(),
        jobs: STORIES.len(),
        changes: 0,
        redone: stage.commits.redone(),
        processes: STORIES.len(),
        writes_at_rest: Vec::new(),
        account: None,
        keys: means.store.list(&format!("{}/", stage.namespace)).await?,
    };
    let laws = LAWS.iter().filter(|(name, _)| !OF_THE_BEGINNING.contains(name));
    let broken: Vec<String> =
        laws.flat_map(|(name, law)| law(&record).into_iter().map(move |breach| format!("{name}: {breach}"))).collect();
    ensure!(broken.is_empty(), "laws are broken:\n  {}", broken.join("\n  "));
    Ok(())
}
