//! Titles that a frozen world gets beside its own. No I/O.
//!
//! Two are as an operator with older algorithms would have left them, one published and one at work: whatever the versions
//! are today, there is something outdated. One is as a newer version would have left it before somebody went back: with
//! fields, words, a step and a condition that nobody knows today.

use crate::world::{jobs_made, outdated};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use showrunner_contracts::{Digest, step::unit_key};
use showrunner_e2e::{
    age::frozen::Frozen,
    faults::history::{Version, World},
};

/// Their names.
pub(crate) const NAMES: [&str; 3] = ["published-older", "running-older", NEWER];
const NEWER: &str = "published-newer";

/// The world with all of them.
pub(crate) fn with_others(frozen: &Frozen) -> Result<Frozen> {
    let mut aged = frozen.clone();
    for name in NAMES {
        match name.strip_suffix("-older") {
            Some(of) => aged.objects.extend(older(frozen, of)?),
            None => aged.objects.push(newer(frozen)?),
        }
    }
    // Whoever does not know a phase looks whether what is published is there.
    let published = frozen.store.iter().filter(|(key, _)| key.contains("/published/"));
    aged.store.extend(published.map(|(key, bytes)| (key.replace("/published/", &format!("/{NEWER}/")), bytes.clone())));
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
    // The folder of an attempt has the beginning of the title's UID.
    let digits = uid.split('-').next().unwrap_or_default();
    replace(&format!("/{digits}-"), &format!("/{}-", turned(digits)));
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
    objects.iter_mut().for_each(publish);
    Ok(objects)
}

/// A published title with what nobody knows today.
fn newer(frozen: &Frozen) -> Result<Value> {
    let mut title = frozen.object("TitleEnrichment", "published").context("there is a published title")?.clone();
    let uid = title["metadata"]["uid"].as_str().context("it has a UID")?;
    // Neither its own nor that of the title with older algorithms.
    let next = |c: char| c.to_digit(10).and_then(|digit| char::from_digit((digit + 1) % 10, 10)).unwrap_or(c);
    title["metadata"]["uid"] = uid.chars().map(next).collect::<String>().into();
    title["metadata"]["name"] = NEWER.into();
    let key = Digest::of(b"credits").to_string();
    let steps = title["status"]["steps"].as_array_mut().context("it has steps")?;
    steps.insert(1, json!({ "name": "credits", "state": "Done", "wanted": key, "key": key, "result": key, "grade": 7 }));
    // Times of conditions are whole seconds.
    let at = jiff::Timestamp::from_second(frozen.at.as_second())?.to_string();
    let reviewed = json!({ "type": "Reviewed", "status": "True", "reason": "Approved", "message": "", "lastTransitionTime": at });
    title["status"]["conditions"].as_array_mut().context("it has conditions")?.push(reviewed);
    title["status"]["phase"] = "Archived".into();
    title["status"]["novelty"] = "kept".into();
    publish(&mut title);
    Ok(title)
}

/// Today's definitions as a newer version would extend them. Whoever goes back by `helm rollback showrunner` alone has the
/// newer ones still.
pub(crate) fn extended(definitions: &[Value]) -> Result<Vec<Value>> {
    let mut definitions = definitions.to_vec();
    let titles = definitions.iter_mut().find(|definition| definition["spec"]["names"]["kind"] == "TitleEnrichment");
    let titles = titles.context("titles are defined")?;
    for version in titles["spec"]["versions"].as_array_mut().context("they have versions")? {
        let status = &mut version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"];
        status["novelty"] = json!({ "type": "string", "maxLength": 16 });
        status["steps"]["items"]["properties"]["grade"] = json!({ "type": "integer" });
    }
    Ok(definitions)
}

/// Has a published title say that what its steps are is what is published.
fn publish(title: &mut Value) {
    let steps = title["status"]["steps"].as_array().into_iter().flatten();
    let steps: Vec<_> = steps.map(|step| json!([step["name"], step["key"], step["result"], step["reason"]])).collect();
    if let Some(published) = title["status"]["published"].as_object_mut() {
        published.insert("contents".to_owned(), Digest::of_json(&("showrunner.dev/contents/v1", steps)).as_str().into());
    }
}

/// A UID or name of the same form.
fn turned(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_digit() { char::from(b'0' + (b'9' - c as u8)) } else { c }).collect()
}

/// Whether those with older algorithms are said to be outdated.
pub(crate) fn are_told(now: &World) -> bool {
    let mut older = NAMES.iter().filter(|name| **name != NEWER);
    older.all(|name| now.get("titleenrichments", name).and_then(outdated) == Some("True"))
}

/// No Job was made for any, and what is not known is not forgotten.
pub(crate) fn check(frozen: &Frozen, now: &World, versions: &[Version]) -> Result<()> {
    for name in NAMES {
        let title = now.get("titleenrichments", name).context("it is there")?;
        let uid = title["metadata"]["uid"].as_str().unwrap_or_default();
        let made = jobs_made(frozen, uid, versions).len();
        ensure!(made == 0, "{made} Jobs were made for {name}; its attempts: {}", title["status"]["history"]);
    }
    let (before, after) = (frozen.object("TitleEnrichment", NEWER), now.get("titleenrichments", NEWER));
    let (before, after) = (&before.context("it was there")?["status"], &after.context("it is there")?["status"]);
    for field in ["novelty", "steps", "published"] {
        ensure!(is_kept(&before[field], &after[field]), "{NEWER}: {field} is {} now, and was {}", after[field], before[field]);
    }
    let reviewed = after["conditions"].as_array().is_some_and(|all| all.iter().any(|condition| condition["type"] == "Reviewed"));
    ensure!(reviewed, "{NEWER}: the condition Reviewed is gone");
    Ok(())
}

/// Whether all of a value is there still. The time of publication was moved when the world was set up, and what is wanted of
/// a step may be another key today; fields that have a default are there beside it.
fn is_kept(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Array(before), Value::Array(after)) => {
            before.len() == after.len() && before.iter().zip(after).all(|(before, after)| is_kept(before, after))
        }
        (Value::Object(before), after) => {
            let mut fields = before.iter().filter(|(name, _)| !["at", "wanted"].contains(&name.as_str()));
            fields.all(|(name, value)| is_kept(value, &after[name]))
        }
        (before, after) => before == after,
    }
}
