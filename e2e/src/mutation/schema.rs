//! What can be changed in a spec, read from the kind's schema. No I/O.
//!
//! Enums, lists of them, booleans and bounded numbers say themselves what they take; strings, lists of objects and objects that are
//! good only as a whole are looked up, by path where the kind knows better, else by pattern. A field that nobody has a value for is an error: it would never be changed.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

/// Strings that fit a pattern, whatever field it is on. Some of them are outside of what a field's rules allow: refusals
/// are of interest, too.
const PATTERNS: [(&str, &[&str]); 1] = [("^([0-9]+h)?([0-9]+m)?([0-9]+s)?$", &["0s", "30s", "90s", "5m", "1h30m", "23h59m59s"])];

/// One thing in a spec that can be changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Where: names from the spec down.
    pub path: Vec<String>,
    /// What it can be set to. Null takes it out, so that a default comes in its place, where there is one.
    pub values: Vec<Value>,
}

impl Field {
    /// As people write it: `execution.retries`.
    pub fn name(&self) -> String {
        self.path.join(".")
    }

    /// The merge patch of a spec that sets the field.
    pub fn set(&self, value: Value) -> Value {
        self.path.iter().rev().fold(value, |inner, name| json!({ name: inner }))
    }
}

/// The fields of a definition's spec. `words` gives strings for those that a pattern does not say enough about.
pub fn fields(definition: &Value, words: &dyn Fn(&str) -> Option<Vec<Value>>) -> Result<Vec<Field>> {
    let versions = definition["spec"]["versions"].as_array().context("the definition has no versions")?;
    let stored = versions.iter().find(|version| version["storage"] == true).context("the definition has no stored version")?;
    let spec = &stored["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut found = Vec::new();
    walk(spec, &[], words, &mut found)?;
    ensure!(!found.is_empty(), "the definition has no spec");
    Ok(found)
}

fn walk(schema: &Value, at: &[String], words: &dyn Fn(&str) -> Option<Vec<Value>>, found: &mut Vec<Field>) -> Result<()> {
    let properties = schema["properties"].as_object().with_context(|| format!("spec.{} has no properties", at.join(".")))?;
    let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    for (name, field) in properties {
        let path: Vec<String> = at.iter().cloned().chain([name.clone()]).collect();
        let mut values = if field["type"] == "object" {
            walk(field, &path, words, found)?;
            // Some are good only as a whole.
            words(&path.join(".")).unwrap_or_default()
        } else {
            values(field, &path.join("."), words)?
        };
        if !required(name) {
            values.push(Value::Null);
        }
        if !values.is_empty() {
            found.push(Field { path, values });
        }
    }
    Ok(())
}

fn values(field: &Value, name: &str, words: &dyn Fn(&str) -> Option<Vec<Value>>) -> Result<Vec<Value>> {
    if let Some(words) = words(name) {
        return Ok(words);
    }
    if let Some(all) = field["enum"].as_array() {
        return Ok(all.clone());
    }
    match field["type"].as_str() {
        Some("array") => {
            let all = field["items"]["enum"]
                .as_array()
                .with_context(|| format!("no value is known for the list spec.{name}: give the kind's file some for it"))?;
            let one = all.first().cloned().into_iter().collect::<Vec<_>>();
            // The first may be too short.
            Ok(vec![json!([]), one.into(), all.clone().into()])
        }
        Some("boolean") => Ok(vec![true.into(), false.into()]),
        Some("integer") => {
            let bound = |word: &str| field[word].as_f64().with_context(|| format!("spec.{name} has no {word}"));
            let (least, most) = (bound("minimum")? as i64, bound("maximum")? as i64);
            // The last is one too many.
            let mut all = vec![least, least.midpoint(most), most, most + 1];
            all.dedup();
            Ok(all.into_iter().map(Value::from).collect())
        }
        Some("string") => {
            let pattern = field["pattern"].as_str().unwrap_or_default();
            let known = PATTERNS.iter().find(|(known, _)| *known == pattern);
            let (_, all) = known.with_context(|| {
                format!("no value is known for spec.{name} (pattern {pattern:?}): give the kind's file some words for it")
            })?;
            Ok(all.iter().map(|word| Value::from(*word)).collect())
        }
        other => bail!("spec.{name} is {other:?}, which nothing here can change: teach e2e/src/mutation/schema.rs"),
    }
}

/// The merge patch that leads from one value to another; an empty object where they are the same.
pub fn difference(from: &Value, to: &Value) -> Value {
    let (Some(old), Some(new)) = (from.as_object(), to.as_object()) else { return to.clone() };
    let mut patch = json!({});
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        patch[name] = Value::Null;
    }
    for (name, value) in new {
        match old.get(name) {
            Some(old) if old == value => {}
            Some(old) => patch[name] = difference(old, value),
            None => patch[name] = value.clone(),
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lays a merge patch over a value (RFC 7396).
    fn merge(target: &mut Value, patch: &Value) {
        let Some(patch) = patch.as_object() else {
            target.clone_from(patch);
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        for (name, value) in patch {
            if value.is_null() {
                target.as_object_mut().map(|object| object.remove(name));
            } else {
                merge(&mut target[name], value);
            }
        }
    }

    fn definition(field: &Value) -> Value {
        let spec =
            json!({ "type": "object", "required": ["must"], "properties": { "must": field, "may": { "type": "boolean" } } });
        json!({ "spec": { "versions": [{ "storage": true, "schema": { "openAPIV3Schema": { "properties": { "spec": spec } } } }] } })
    }

    fn of(field: &Value) -> Result<Vec<Field>> {
        fields(&definition(field), &|name| (name == "must.word").then(|| vec!["a".into()]))
    }

    #[test]
    fn what_a_schema_says_is_what_can_be_changed() {
        let number = json!({ "type": "integer", "minimum": 0.0, "maximum": 10.0 });
        let found = of(&number).unwrap();
        assert_eq!(found[0], Field { path: vec!["may".into()], values: vec![true.into(), false.into(), Value::Null] });
        assert_eq!(found[1].values, vec![json!(0), json!(5), json!(10), json!(11)], "a required field is not taken out");
        let nested = json!({ "type": "object", "properties": { "word": { "type": "string" }, "one": { "enum": ["A", "B"] } } });
        let names: Vec<String> = of(&nested).unwrap().iter().map(Field::name).collect();
        assert_eq!(names, ["may", "must.one", "must.word"]);
        assert_eq!(of(&nested).unwrap()[2].set("a".into()), json!({ "must": { "word": "a" } }));
    }

    #[test]
    fn a_list_of_words_is_empty_has_one_of_them_or_all() {
        let list = json!({ "type": "array", "items": { "enum": ["A", "B"] } });
        assert_eq!(of(&list).unwrap()[1].values, [json!([]), json!(["A"]), json!(["A", "B"])]);
    }

    #[test]
    fn a_field_that_nobody_has_a_value_for_is_named() {
        for (field, word) in [
            (json!({ "type": "string", "pattern": "^x+$" }), "spec.must (pattern \"^x+$\")"),
            (json!({ "type": "integer" }), "spec.must has no minimum"),
            (json!({ "type": "array" }), "the list spec.must"),
            (json!({ "type": "null" }), "spec.must is Some(\"null\")"),
        ] {
            let error = of(&field).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_difference_laid_over_the_one_gives_the_other() {
        let (one, other) = (json!({ "a": 1, "b": { "c": 2, "d": 3 } }), json!({ "b": { "c": 4, "e": { "f": 5 } }, "g": 6 }));
        let mut merged = one.clone();
        merge(&mut merged, &difference(&one, &other));
        assert_eq!(merged, other);
        assert_eq!(difference(&one, &one), json!({}));
    }
}
