//! What older versions wrote is still read, whole; what newer ones may write is, too, where it tells of work that was done.

use serde_json::{Value, json};
use showrunner_contracts::{
    Digest, Document,
    documents::{ChaptersDocument, ShotsDocument, ThumbnailsDocument},
    manifest::{RunDocument, TitleManifest},
    result::{StepResult, UnitResult},
    step::unit_key,
    work_order::WorkOrder,
};
use std::path::{Path, PathBuf};

/// Every frozen version.
fn versions() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/fixtures/age");
    let entries = std::fs::read_dir(&folder).expect("the folder is listed").map(|entry| entry.expect("an entry is read").path());
    let versions: Vec<_> = entries.filter(|path| path.join("frozen.json").is_file()).collect();
    assert!(!versions.is_empty(), "nothing is frozen in {}", folder.display());
    versions
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a frozen file is read")).expect("a frozen file is JSON")
}

/// A document of a store, by its key, read and written again; none for files that are no documents of ours.
fn read_again(key: &str, bytes: &[u8]) -> Option<Result<Vec<u8>, String>> {
    fn again<T: Document>(bytes: &[u8]) -> Result<Vec<u8>, String> {
        T::from_bytes(bytes).map(|document| document.to_bytes()).map_err(|error| error.to_string())
    }
    let name = key.rsplit('/').next().unwrap_or_default();
    let reader = match name {
        _ if key.contains("/results/") => again::<StepResult>,
        "unit-result.json" => again::<UnitResult>,
        "run.json" => again::<RunDocument>,
        "shots.json" => again::<ShotsDocument>,
        "chapters.json" => again::<ChaptersDocument>,
        "thumbnails.json" => again::<ThumbnailsDocument>,
        "manifest.json" => again::<TitleManifest>,
        // A manifest by its digest.
        _ if name.len() == 64 + ".json".len() => again::<TitleManifest>,
        _ => return None,
    };
    Some(reader(bytes))
}

/// Whether everything that was said then is said now, the same.
fn says_all(then: &Value, now: &Value) -> bool {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            then.iter().all(|(name, value)| says_all(value, now.get(name).unwrap_or(&Value::Null)))
        }
        (Value::Array(then), Value::Array(now)) => {
            then.len() == now.len() && then.iter().zip(now).all(|(then, now)| says_all(then, now))
        }
        (then, now) => then == now,
    }
}

/// The work orders of a version's Jobs.
fn orders(version: &Path) -> Vec<String> {
    let objects = json(&version.join("objects.json"));
    let jobs = objects.as_array().expect("objects.json is a list").iter().filter(|object| object["kind"] == "Job");
    let order =
        |job: &Value| job["spec"]["template"]["metadata"]["annotations"]["showrunner.dev/work-order"].as_str().map(str::to_owned);
    jobs.filter_map(order).collect()
}

#[test]
fn documents_of_every_frozen_version_are_read_and_nothing_of_them_is_lost() {
    for version in versions() {
        let mut read = std::collections::BTreeSet::new();
        for (key, blob) in json(&version.join("store.json")).as_object().unwrap() {
            let bytes = std::fs::read(version.join("blobs").join(blob.as_str().unwrap())).unwrap();
            let Some(again) = read_again(key, &bytes) else { continue };
            let again = again.unwrap_or_else(|error| panic!("{}: {key}: {error}", version.display()));
            let (then, now): (Value, Value) = (serde_json::from_slice(&bytes).unwrap(), serde_json::from_slice(&again).unwrap());
            assert!(says_all(&then, &now), "{}: {key}: {then} is read as {now}", version.display());
            read.insert(then["schema"].as_str().unwrap().to_owned());
        }
        assert_eq!(read.len(), 6, "{}: not every document is there: {read:?}", version.display());
    }
}

/// A worker may be older than the operator: what it is asked, and under which keys, is what it was asked.
#[test]
fn work_orders_of_every_frozen_version_are_read_and_their_keys_hold() {
    for version in versions() {
        let orders = orders(&version);
        assert!(orders.len() > 5, "{}: {} orders", version.display(), orders.len());
        for text in orders {
            let order = WorkOrder::from_bytes(text.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", version.display()));
            let (then, now): (Value, Value) =
                (serde_json::from_str(&text).unwrap(), serde_json::from_slice(&order.to_bytes()).unwrap());
            assert!(says_all(&then, &now), "{}: {then} is read as {now}", version.display());
            let keys: Vec<Digest> = order.steps.iter().map(|step| step.key.clone()).collect();
            assert_eq!(unit_key(&keys), order.unit_key, "{}: the attempts in hand would be given up", version.display());
        }
    }
}

/// Adds a field to every object.
fn grown(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: serde_json::Map<_, _> = fields.iter().map(|(name, value)| (name.clone(), grown(value))).collect();
            // Maps from names to texts, and enums, which are objects of one field, stay as they are.
            if fields.len() > 2 {
                fields.insert("newer".to_owned(), json!(7));
            }
            Value::Object(fields)
        }
        Value::Array(values) => Value::Array(values.iter().map(grown).collect()),
        other => other.clone(),
    }
}

#[test]
fn what_tells_of_work_may_have_more_fields_and_what_asks_for_work_may_not() {
    for version in versions() {
        for (key, blob) in json(&version.join("store.json")).as_object().unwrap() {
            let is_told = key.contains("/results/") || key.ends_with("/unit-result.json");
            if !is_told {
                continue;
            }
            let bytes = std::fs::read(version.join("blobs").join(blob.as_str().unwrap())).unwrap();
            let mut newer = grown(&serde_json::from_slice(&bytes).unwrap());
            // A map of settings: its values are texts.
            if let Some(settings) = newer.get_mut("settings").and_then(Value::as_object_mut) {
                settings.remove("newer");
            }
            let again = read_again(key, newer.to_string().as_bytes()).unwrap();
            let again = again.unwrap_or_else(|error| panic!("{}: {key}: {error}", version.display()));
            let then: Value = serde_json::from_slice(&bytes).unwrap();
            assert!(says_all(&then, &serde_json::from_slice(&again).unwrap()), "{}: {key}", version.display());
        }
        for text in orders(&version) {
            let mut newer: Value = serde_json::from_str(&text).unwrap();
            newer["newer"] = json!(7);
            assert!(WorkOrder::from_bytes(newer.to_string().as_bytes()).is_err(), "an order that is not understood was taken");
        }
    }
}
