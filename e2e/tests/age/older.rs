//! Two titles that a frozen world gets beside its own: as an operator with older algorithms would have left them, one
//! published and one at work. Whatever the versions are today, there is something outdated. No I/O.

use crate::world::{jobs_made, outdated};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use showrunner_contracts::{Digest, step::unit_key};
use showrunner_e2e::{
    age::frozen::Frozen,
    faults::history::{Version, World},
};

/// Their names.
pub(crate) const NAMES: [&str; 2] = ["published-older", "running-older"];

/// The world with both.
pub(crate) fn with_older_titles(frozen: &Frozen) -> Result<Frozen> {
    let mut aged = frozen.clone();
    for name in NAMES {
        let of = name.strip_suffix("-older").unwrap_or(name);
        aged.objects.extend(older(frozen, of)?);
    }
    aged.objects.sort_by_key(|object| ["TitleEnrichment", "Job", "Pod"].iter().position(|kind| object["kind"] == *kind));
    Ok(aged)
}

/// The objects of a title under other names, UIDs and keys: an older algorithm is another key for the same wish.
fn older(frozen: &Frozen, name: &str) -> Result<Vec<Value>> {
    let title = frozen.object("TitleEnrichment", name).with_context(|| format!("there is no title {name}"))?;
    let uid = title["metadata"]["uid"].as_str().context("it has a UID")?;
    let at_work = !title["status"]["attempt"].is_null();
    let of_title = |object: &&Value| {
        let owned = object["metadata"]["labels"]["showrunner.dev/owner-uid"] == uid;
        object["metadata"]["uid"] == uid || (owned && at_work)
    };
    let objects: Vec<&Value> = frozen.objects.iter().filter(of_title).collect();
    let mut text = serde_json::to_string(&objects)?;
    let mut replace = |old: &str, new: &str| text = text.replace(old, new);
    for object in &objects {
        let uid = object["metadata"]["uid"].as_str().context("objects have UIDs")?;
        replace(uid, &turned(uid));
    }
    let field = |name: &str| format!("\"name\":\"{name}\"");
    replace(&field(name), &field(&format!("{name}-older")));
    if let Some(job) = title["status"]["attempt"]["job"].as_str() {
        replace(job, &turned(job));
    }
    let steps = title["status"]["steps"].as_array().context("it has steps")?;
    let mut keys = Vec::new();
    for step in steps {
        let key = step["key"].as_str().context("steps have keys")?;
        let older = Digest::of(format!("an older algorithm: {key}").as_bytes());
        replace(key.trim_start_matches("sha256:"), older.hex());
        keys.push((step["name"].clone(), older));
    }
    if let Some(unit) = title["status"]["attempt"]["unit"].as_str() {
        let does = |name: &Value| title["status"]["attempt"]["steps"].as_array().is_some_and(|steps| steps.contains(name));
        let keys: Vec<Digest> = keys.iter().filter(|(name, _)| does(name)).map(|(_, key)| key.clone()).collect();
        replace(unit.trim_start_matches("sha256:"), unit_key(&keys).hex());
    }
    let mut objects: Vec<Value> = serde_json::from_str(&text)?;
    for title in objects.iter_mut().filter(|object| !object["status"]["published"].is_null()) {
        let steps = title["status"]["steps"].as_array().context("it has steps")?;
        let steps: Vec<_> = steps.iter().map(|step| json!([step["name"], step["key"], step["result"], step["reason"]])).collect();
        title["status"]["published"]["contents"] = Digest::of_json(&("showrunner.dev/contents/v1", steps)).as_str().into();
    }
    Ok(objects)
}

/// A UID or name of the same form.
fn turned(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_digit() { char::from(b'0' + (b'9' - c as u8)) } else { c }).collect()
}

/// Whether both are said to be outdated.
pub(crate) fn are_told(now: &World) -> bool {
    NAMES.iter().all(|name| now.get("titleenrichments", name).and_then(outdated) == Some("True"))
}

/// No Job was made for either.
pub(crate) fn check(frozen: &Frozen, now: &World, versions: &[Version]) -> Result<()> {
    for name in NAMES {
        let uid = now.get("titleenrichments", name).context("it is there")?["metadata"]["uid"].as_str().unwrap_or_default();
        let made = jobs_made(frozen, uid, versions).len();
        ensure!(made == 0, "{made} Jobs were made for {name}");
    }
    Ok(())
}
