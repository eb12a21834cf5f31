//! Whether today's definitions still take what the frozen versions stored and what their users send. Reads files of the checkout.
//!
//! Loosening is fine; whatever refuses, drops or reinterprets what was good before is named with its path. A change that
//! is needed all the same, and that no stored object can meet, is listed with its reason in [`ACCEPTED`].

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

/// Where the frozen versions are: `NAME/crds/*.yaml`.
const FROZEN: &str = "e2e/fixtures/age";
/// Today's.
const CURRENT: &str = "crds/generated";
/// Changes that are accepted: a line each, what the check calls it, then `#` and why it hurts nobody.
const ACCEPTED: &str = "crds/accepted-changes.txt";
/// What to do about a breach.
const CURE: &str = "Take it back, or leave the field as it is and add another beside it. A change of meaning needs a new API version that is \
                    served beside the old one and converted from it (docs/upgrading.md, \"Changing a definition\"). Where no stored object and \
                    no client can meet it, list it in crds/accepted-changes.txt with the reason.";

/// One thing that was good and is not any more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Breach {
    /// Definition, version and field: `titleenrichments v1alpha1 spec.deadline`.
    at: String,
    /// What became of it.
    what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

/// Compares today's definitions with every frozen version; gives how many those are.
pub(crate) fn check(root: &Path) -> Result<usize> {
    let now = definitions(&root.join(CURRENT))?;
    let accepted = accepted(&fs::read_to_string(root.join(ACCEPTED)).unwrap_or_default())?;
    let (mut broken, mut met, mut versions) = (Vec::new(), BTreeSet::new(), 0);
    let folder = root.join(FROZEN);
    for entry in fs::read_dir(&folder).with_context(|| format!("failed to list {}", folder.display()))? {
        let path = entry.with_context(|| format!("failed to list {}", folder.display()))?.path();
        if !path.join("crds").is_dir() {
            continue;
        }
        versions += 1;
        let since = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for breach in breaches(&definitions(&path.join("crds"))?, &now) {
            let text = breach.to_string();
            if accepted.contains(&text) {
                met.insert(text);
            } else {
                broken.push(format!("  {text} (since {since})"));
            }
        }
    }
    broken.extend(accepted.difference(&met).map(|text| format!("  {ACCEPTED} lists what is not so: {text}")));
    if broken.is_empty() {
        return Ok(versions);
    }
    bail!("the definitions are not compatible with what older versions stored:\n{}\n{CURE}", broken.join("\n"));
}

/// Definitions of a folder, by name.
fn definitions(folder: &Path) -> Result<BTreeMap<String, Value>> {
    let mut definitions = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))? {
        let path = entry.with_context(|| format!("failed to list {}", folder.display()))?.path();
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let value: Value = serde_saphyr::from_str(&text).with_context(|| format!("failed to read {}", path.display()))?;
        definitions.insert(value["spec"]["names"]["plural"].as_str().unwrap_or_default().to_owned(), value);
    }
    Ok(definitions)
}

fn accepted(text: &str) -> Result<BTreeSet<String>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| match line.split_once(" # ") {
            Some((what, why)) if !why.trim().is_empty() => Ok(what.trim().to_owned()),
            _ => bail!("{ACCEPTED}: a line has no reason after ` # `: {line}"),
        })
        .collect()
}

/// Everything that was good in the older definitions and is not in the newer ones.
pub(crate) fn breaches(then: &BTreeMap<String, Value>, now: &BTreeMap<String, Value>) -> Vec<Breach> {
    let mut found = Found::default();
    for (plural, then) in then {
        let Some(now) = now.get(plural) else {
            found.tell(plural, "the kind was removed: its objects stay behind and nothing serves them");
            continue;
        };
        definition(&mut found, plural, &then["spec"], &now["spec"]);
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<Breach>);

impl Found {
    fn tell(&mut self, at: &str, what: impl Into<String>) {
        self.0.push(Breach { at: at.to_owned(), what: what.into() });
    }
}

fn definition(found: &mut Found, plural: &str, then: &Value, now: &Value) {
    for field in ["group", "scope"] {
        if then[field] != now[field] {
            found.tell(plural, format!("{field} changed from {} to {}", then[field], now[field]));
        }
    }
    if then["names"]["kind"] != now["names"]["kind"] {
        found.tell(plural, "the kind was renamed");
    }
    for name in then["names"]["shortNames"].as_array().into_iter().flatten() {
        if !now["names"]["shortNames"].as_array().is_some_and(|names| names.contains(name)) {
            found.tell(plural, format!("short name {name} was removed"));
        }
    }
    let versions = |of: &Value| of["versions"].as_array().cloned().unwrap_or_default();
    for old in versions(then) {
        let name = old["name"].as_str().unwrap_or_default();
        let at = format!("{plural} {name}");
        let Some(new) = versions(now).into_iter().find(|new| new["name"] == old["name"]) else {
            found.tell(&at, "the version was removed");
            continue;
        };
        if old["served"] == true && new["served"] != true {
            found.tell(&at, "the version is not served any more");
        }
        if old["storage"] == true && new["storage"] != true {
            found.tell(&at, "objects are stored in another version");
        }
        if !old["subresources"]["status"].is_null() && new["subresources"]["status"].is_null() {
            found.tell(&at, "the status subresource was removed");
        }
        schema(found, &at, "", &old["schema"]["openAPIV3Schema"], &new["schema"]["openAPIV3Schema"]);
    }
}

/// Keywords that hold texts for people.
const FOR_PEOPLE: [&str; 4] = ["description", "example", "externalDocs", "title"];
/// Upper bounds: lower, or new, is tighter.
const AT_MOST: [&str; 4] = ["maxLength", "maxItems", "maxProperties", "maximum"];
/// Lower bounds: higher, or new, is tighter.
const AT_LEAST: [&str; 4] = ["minLength", "minItems", "minProperties", "minimum"];
/// Conditions that are gone are no loss; whether another one lets through what the old one did, nobody can tell.
const CONDITIONS: [&str; 2] = ["pattern", "multipleOf"];
/// Switches that only refuse.
const REFUSALS: [&str; 3] = ["exclusiveMaximum", "exclusiveMinimum", "uniqueItems"];
/// Switches that only let through.
const PERMISSIONS: [&str; 2] = ["nullable", "x-kubernetes-preserve-unknown-fields"];

/// One schema with all below it.
fn schema(found: &mut Found, version: &str, path: &str, then: &Value, now: &Value) {
    let at = if path.is_empty() { version.to_owned() } else { format!("{version} {path}") };
    let nothing = Map::new();
    let (then, now) = (then.as_object().unwrap_or(&nothing), now.as_object().unwrap_or(&nothing));
    let keywords: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    for keyword in keywords {
        let (old, new) = (then.get(keyword), now.get(keyword));
        if old == new || FOR_PEOPLE.contains(&keyword.as_str()) {
            continue;
        }
        match keyword.as_str() {
            "properties" => {}
            "required" => required(found, &at, then, now),
            "enum" => values(found, &at, old, new),
            "default" => default(found, &at, then, old, new),
            "items" | "additionalProperties" if is_schema(old) && is_schema(new) => {
                let below = if keyword == "items" { format!("{path}[]") } else { format!("{path}{{}}") };
                schema(found, version, &below, old.unwrap_or(&Value::Null), new.unwrap_or(&Value::Null));
            }
            "x-kubernetes-validations" => rules(found, &at, old, new),
            "format" => format_of(found, &at, old, new),
            word if AT_MOST.contains(&word) => bound(found, &at, word, old, new, |old, new| new < old),
            word if AT_LEAST.contains(&word) => bound(found, &at, word, old, new, |old, new| new > old),
            word if CONDITIONS.contains(&word) => {
                if let Some(new) = new {
                    let old = old.map_or_else(|| "nothing".to_owned(), ToString::to_string);
                    found.tell(&at, format!("{word} changed from {old} to {new}"));
                }
            }
            word if REFUSALS.contains(&word) => {
                if new == Some(&Value::Bool(true)) {
                    found.tell(&at, format!("{word} is new"));
                }
            }
            word if PERMISSIONS.contains(&word) => {
                if old == Some(&Value::Bool(true)) {
                    found.tell(&at, format!("{word} is gone"));
                }
            }
            // Types, list kinds and keys, junctors, and whatever this check does not know.
            word => {
                let tell = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), ToString::to_string);
                found.tell(&at, format!("{word} changed from {} to {}", tell(old), tell(new)));
            }
        }
    }
    let below = |of: &Map<String, Value>| of.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let (old, new) = (below(then), below(now));
    for (name, field) in &old {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match new.get(name) {
            Some(now) => schema(found, version, &path, field, now),
            None => found.tell(&format!("{version} {path}"), "the field was removed: what objects say there is dropped"),
        }
    }
}

fn is_schema(value: Option<&Value>) -> bool {
    value.is_some_and(Value::is_object)
}

/// A field that must be given now, unless it is filled in.
fn required(found: &mut Found, at: &str, then: &Map<String, Value>, now: &Map<String, Value>) {
    let names = |of: &Map<String, Value>| -> BTreeSet<String> {
        let names = of.get("required").and_then(Value::as_array).into_iter().flatten();
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    for name in names(now).difference(&names(then)) {
        let is_filled_in = now.get("properties").is_some_and(|fields| !fields[name.as_str()]["default"].is_null());
        if !is_filled_in {
            found.tell(at, format!("{name} is required now and has no default"));
        }
    }
}

fn values(found: &mut Found, at: &str, old: Option<&Value>, new: Option<&Value>) {
    let Some(new) = new.and_then(Value::as_array) else { return };
    match old.and_then(Value::as_array) {
        None => found.tell(at, "only some values are allowed now (enum is new)"),
        Some(old) => {
            for value in old.iter().filter(|value| !new.contains(value)) {
                found.tell(at, format!("value {value} is not allowed any more"));
            }
        }
    }
}

/// A default may grow by fields that are new themselves; else whoever left the field out meant the old one.
fn default(found: &mut Found, at: &str, then: &Map<String, Value>, old: Option<&Value>, new: Option<&Value>) {
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (old, new) {
        let is_new = |name: &String| then.get("properties").is_some_and(|fields| fields[name.as_str()].is_null());
        if old.iter().all(|(name, value)| new.get(name) == Some(value))
            && new.keys().all(|name| old.contains_key(name) || is_new(name))
        {
            return;
        }
    }
    let tell = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    found.tell(at, format!("the default changed from {} to {}", tell(old), tell(new)));
}

fn bound(found: &mut Found, at: &str, word: &str, old: Option<&Value>, new: Option<&Value>, tighter: fn(f64, f64) -> bool) {
    let (old, new) = (old.and_then(Value::as_f64), new.and_then(Value::as_f64));
    match (old, new) {
        (Some(old), Some(new)) if tighter(old, new) => found.tell(at, format!("{word} changed from {old} to {new}")),
        (None, Some(new)) => found.tell(at, format!("{word} is new: {new}")),
        (Some(_), Some(_)) | (_, None) => {}
    }
}

/// Wider whole numbers take what narrower ones held; any other new format is another meaning.
fn format_of(found: &mut Found, at: &str, old: Option<&Value>, new: Option<&Value>) {
    const WIDER: [(&str, &str); 3] = [("uint8", "int32"), ("uint8", "int64"), ("int32", "int64")];
    let Some(new) = new.and_then(Value::as_str) else { return };
    let old = old.and_then(Value::as_str).unwrap_or("nothing");
    if !WIDER.contains(&(old, new)) {
        found.tell(at, format!("format changed from {old} to {new}"));
    }
}

/// A rule is new when its text is. One that lets stand what stood before (`optionalOldSelf`) refuses no stored object.
fn rules(found: &mut Found, at: &str, old: Option<&Value>, new: Option<&Value>) {
    let known: Vec<&Value> = old.and_then(Value::as_array).into_iter().flatten().map(|rule| &rule["rule"]).collect();
    for rule in new.and_then(Value::as_array).into_iter().flatten() {
        let lets_stand =
            rule["optionalOldSelf"] == json!(true) && rule["rule"].as_str().is_some_and(|text| text.contains("oldSelf"));
        if !known.contains(&&rule["rule"]) && !lets_stand {
            found.tell(at, format!("rule is new: {} (let stand what stood before: optionalOldSelf, oldSelf)", rule["rule"]));
        }
    }
}

#[cfg(test)]
#[path = "compat_tests.rs"]
mod tests;
