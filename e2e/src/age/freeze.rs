//! Plays every story with one operator and keeps what it had stored when each stood where it is to be frozen.
//!
//! The recorder has every version of every object, so that a title is frozen at the very version that a crash right then
//! would have left. I/O: the control plane and the store.

use super::{
    frozen::{Frozen, GRANT, each_string},
    stage::Stage,
    stories::{Deed, Moment, STORIES, Stored, Story, source, spec},
};
use crate::faults::{
    history::{Version, World},
    plane::BUCKET,
    run::Means,
};
use anyhow::{Context as _, Result};
use jiff::Timestamp;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use showrunner_contracts::{
    Document as _,
    step::{PICTURE_RECIPE, SOUND_RECIPE, Step},
    work_order::WorkOrder,
};
use std::{collections::BTreeMap, path::Path, time::Duration};

/// How long the stories may take together.
const LIMIT: Duration = Duration::from_mins(2);
/// Label of Jobs and pods.
const OWNER: &str = "showrunner.dev/owner-uid";
/// Annotation with the work order.
pub(super) const ORDER: &str = "showrunner.dev/work-order";

/// Plays and freezes.
pub async fn freeze(means: &Means, binary: &Path, name: &str, commit: &str) -> Result<Frozen> {
    let namespace = format!("age-{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    let stage = Stage::set(means, &namespace).await?;
    let kind = means.history.kind("titleenrichments").context("titles are watched")?;
    let api: Api<DynamicObject> = Api::namespaced_with(means.client.clone(), &namespace, &kind);
    let operator = stage.operator("frozen", binary)?;
    let player = stage.player(STORIES.iter().map(|story| (source(story.name), story.pods.to_vec())).collect());
    let played = async {
        for story in &STORIES {
            let key = format!("{namespace}/ingest/{}", source(story.name));
            means.store.put(&key, means.recording.clip.clone()).await?;
            let title = DynamicObject::new(story.name, &kind).data(json!({ "spec": spec(story) }));
            api.create(&PostParams::default(), &title).await?;
        }
        for (story, deed) in STORIES.iter().filter_map(|story| Some((story, story.deed?))) {
            let working = |now: &World| {
                now.get("titleenrichments", story.name).and_then(crate::faults::player::ready_reason) == Some("Working")
            };
            means.history.until(&namespace, story.name, LIMIT, |now| working(now).then_some(())).await?;
            match deed {
                Deed::Suspends => {
                    let patch = Patch::Merge(json!({ "spec": { "suspend": true } }));
                    api.patch(story.name, &PatchParams::default(), &patch).await.map(|_| ())?;
                }
                Deed::Deletes => api.delete(story.name, &DeleteParams::default()).await.map(|_| ())?,
            }
        }
        for story in &STORIES {
            let cut = |_: &World| cut(&means.history.of(&namespace), story);
            means.history.until(&namespace, &format!("{} stands where it is to be frozen", story.name), LIMIT, cut).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        played = played => played?,
        ended = player.play() => ended?,
    }
    operator.end().await?;
    let versions = means.history.of(&namespace);
    let keys = means.store.list(&format!("{namespace}/")).await?;
    let (mut objects, mut store) = (Vec::new(), BTreeMap::new());
    for story in &STORIES {
        let world = cut(&versions, story).context("it stood there before")?;
        objects.extend(world.all().map(|version| keep(&version.object, &means.store_url)));
        for key in keys.iter().filter(|key| belongs(key, story, &namespace, &versions)) {
            store.insert(key.clone(), means.store.read(key).await?.to_vec());
        }
    }
    objects.sort_by_key(|object| ["TitleEnrichment", "Job", "Pod"].iter().position(|kind| object["kind"] == *kind));
    Ok(Frozen {
        name: name.to_owned(),
        commit: commit.to_owned(),
        at: Timestamp::now(),
        namespace,
        algorithms: algorithms(&objects)?,
        // Those of this tool: a version is frozen when it is made.
        recipes: (PICTURE_RECIPE, SOUND_RECIPE),
        objects,
        store,
    })
}

/// A story's title and what belongs to it, at the first version where it stands as it is to be frozen.
fn cut(versions: &[Version], story: &Story) -> Option<World> {
    let is_title = |version: &Version| version.is_ours() && version.name() == story.name;
    let uid = versions.iter().find(|version| is_title(version))?.uid().to_owned();
    let own: Vec<Version> =
        versions.iter().filter(|v| is_title(v) || v.object["metadata"]["labels"][OWNER] == uid.as_str()).cloned().collect();
    (1..=own.len()).map(|count| World::at_end(&own[..count])).find(|world| {
        let moment = Moment::of(world, story.name);
        moment.is_some_and(|moment| (story.stands)(&moment))
    })
}

/// Whether the store had this object of the title's then.
fn belongs(key: &str, story: &Story, namespace: &str, versions: &[Version]) -> bool {
    let Some(path) = key.strip_prefix(namespace).and_then(|path| path.strip_prefix('/')) else { return false };
    if path == format!("ingest/{}", source(story.name)) {
        return true;
    }
    if path.starts_with(&format!("titles/{namespace}/{}/", story.name)) {
        return story.stored == Stored::Everything;
    }
    // Results lie under their step's key, files under the unit and the beginning of the title's UID.
    let of_title = versions.iter().filter(|version| version.is_ours() && version.name() == story.name);
    let work = of_title.clone().any(|version| {
        let steps = version.object["status"]["steps"].as_array().into_iter().flatten();
        let mut keys = steps.filter_map(|step| step["key"].as_str()?.strip_prefix("sha256:"));
        let digits: String = version.uid().chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        keys.any(|key| path == format!("results/{key}.json"))
            || (path.starts_with("work/") && path.contains(&format!("/{digits}-")))
    });
    work && story.stored != Stored::Source
}

/// An object without what the API server adds when it is read, and with requests that anybody may read.
fn keep(object: &Value, store: &str) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    let prefix = format!("{store}/{BUCKET}/");
    change_orders(&mut object, &|order| {
        each_string(order, &|text| {
            if let Some(rest) = text.strip_prefix(&prefix) {
                *text = format!("{GRANT}{}", rest.split('?').next().unwrap_or_default());
            }
        });
    });
    object
}

/// Changes the work order of a Job or pod, where it has one.
pub(super) fn change_orders(object: &mut Value, change: &impl Fn(&mut Value)) {
    let places = ["/metadata/annotations", "/spec/template/metadata/annotations"];
    for place in places {
        let Some(text) = object.pointer_mut(place).and_then(|all| all.get_mut(ORDER)) else { continue };
        if let Some(mut order) = text.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()) {
            change(&mut order);
            *text = order.to_string().into();
        }
    }
}

/// The versions of the algorithms that the frozen orders ask for.
fn algorithms(objects: &[Value]) -> Result<BTreeMap<String, u32>> {
    let orders = objects.iter().filter_map(|object| object["spec"]["template"]["metadata"]["annotations"][ORDER].as_str());
    let mut versions: BTreeMap<String, u32> = BTreeMap::new();
    for order in orders {
        let order = WorkOrder::from_bytes(order.as_bytes())?;
        versions.extend(order.steps.iter().map(|step: &_| (Step::to_string(&step.step), step.algorithm_version)));
    }
    Ok(versions)
}
