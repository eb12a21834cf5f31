//! Whether a schema accepts all that another one does.
//!
//! Pure. By keyword, not by proof: where two texts differ that nobody can compare (patterns), it is said not to.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What of `wanted` the schema `served` does not accept, for people; `None` when it accepts all of it. `path` is where in
/// an object both are: `spec.steps[].name`, empty for the object itself.
///
/// Rules (CEL) count below `status` only. They limit what may be written, and the status is what this operator writes;
/// of `spec`, it must understand what people wrote, and a rule more leaves less to understand.
pub(super) fn not_accepted(wanted: &Value, served: &Value, path: &str) -> Option<String> {
    let (Value::Object(wanted), Value::Object(served)) = (wanted, served) else {
        // `additionalProperties` may be a plain true.
        return (*served != Value::Bool(true) && wanted != served).then(|| format!("{path} has another schema"));
    };
    let keywords: BTreeSet<&String> = wanted.keys().chain(served.keys()).collect();
    keywords.into_iter().find_map(|keyword| keyword_lacks(keyword, wanted, served, path))
}

/// The same for one keyword of both.
fn keyword_lacks(keyword: &str, wanted: &Map<String, Value>, served: &Map<String, Value>, path: &str) -> Option<String> {
    let of = |schema: &'_ Map<String, Value>| schema.get(keyword).filter(|value| !is_empty(value)).cloned();
    let (want, have) = (of(wanted), of(served));
    let place = if path.is_empty() { "the object" } else { path };
    match keyword {
        // Texts for people.
        "description" | "example" | "externalDocs" | "title" => None,
        "properties" => {
            let have = have.unwrap_or_default();
            want.as_ref()?.as_object()?.iter().find_map(|(name, schema)| {
                let at = field(path, name);
                match have.get(name) {
                    Some(found) => not_accepted(schema, found, &at),
                    None => Some(format!("{at} is missing")),
                }
            })
        }
        "items" | "additionalProperties" => {
            let at = format!("{path}{}", if keyword == "items" { "[]" } else { ".*" });
            match (want?, have) {
                (want, Some(have)) => not_accepted(&want, &have, &at),
                (_, None) => Some(format!("{at} is missing")),
            }
        }
        "enum" => {
            let have = have?;
            let Some(want) = want else { return Some(format!("{place} takes some values only")) };
            let missing = list(&want).iter().find(|value| !list(&have).iter().any(|found| same(value, found)))?;
            Some(format!("{place} does not take {missing}"))
        }
        "required" => {
            let (want, have) = (want.unwrap_or_default(), have?);
            let optional = |name: &&Value| {
                // Defaults are filled in before anything is checked.
                let default = name.as_str().and_then(|name| served.get("properties")?.get(name)?.get("default"));
                !list(&want).contains(*name) && default.is_none()
            };
            let name = list(&have).iter().find(optional)?.as_str()?;
            Some(format!("{} must be given", field(path, name)))
        }
        "maxLength" | "maxItems" | "maxProperties" | "maximum" => limit(keyword, want, &have?, place, |want, have| want <= have),
        "minLength" | "minItems" | "minProperties" | "minimum" => limit(keyword, want, &have?, place, |want, have| want >= have),
        "x-kubernetes-validations" => {
            let (want, have) = (want.unwrap_or_default(), have?);
            let known = |rule: &Value| list(&want).iter().any(|known| known["rule"] == rule["rule"]);
            let rule = list(&have).iter().find(|rule| !known(rule)).filter(|_| path.split('.').next() == Some("status"))?;
            Some(format!("{place} has the rule {}", rule["rule"]))
        }
        // The server may fill in something else; that it does is what makes the field one that is always there.
        "default" => (wanted.contains_key(keyword) && !served.contains_key(keyword)).then(|| format!("{place} has no default")),
        // Each lets more in.
        "nullable" | "x-kubernetes-preserve-unknown-fields" | "x-kubernetes-int-or-string" => {
            (want.is_some() && have.is_none()).then(|| format!("{place} lacks {keyword}"))
        }
        // Each keeps something out.
        "pattern" | "format" | "multipleOf" | "exclusiveMaximum" | "exclusiveMinimum" | "uniqueItems" | "not" | "oneOf"
        | "anyOf" | "allOf" => {
            let have = have?;
            (want.as_ref() != Some(&have)).then(|| format!("{keyword} of {place} is {have}"))
        }
        // `type`, how lists and maps are merged, and whatever is new: as this binary knows it, if it does.
        _ => (want.is_some() && want != have).then(|| format!("{keyword} of {place} is {}", have.unwrap_or_default())),
    }
}

/// A limit that must be as wide as the wanted one, by `wide(wanted, served)`.
fn limit(keyword: &str, want: Option<Value>, have: &Value, place: &str, wide: fn(f64, f64) -> bool) -> Option<String> {
    let is_wide = want.and_then(|want| Some(wide(want.as_f64()?, have.as_f64()?))).unwrap_or_default();
    (!is_wide).then(|| format!("{keyword} of {place} is {have}"))
}

fn field(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn same(a: &Value, b: &Value) -> bool {
    // 1 and 1.0 are one number to the API server.
    a == b || a.as_f64().is_some_and(|number| b.as_f64() == Some(number))
}

/// Values that the API server leaves out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Wanted, served, and what is said of it; none: it is accepted.
    #[track_caller]
    fn check(wanted: Value, served: Value, expected: Option<&str>) {
        assert_eq!(not_accepted(&wanted, &served, "spec.a").as_deref(), expected, "{wanted} by {served}");
    }

    #[test]
    fn what_is_served_may_be_wider() {
        let text = |more: Value| {
            let mut schema = json!({ "type": "string" });
            schema.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            schema
        };
        for (narrow, wide, told) in [
            (json!({ "enum": ["A"] }), json!({ "enum": ["B", "A"] }), "spec.a does not take \"B\""),
            (json!({ "enum": ["A"] }), json!({}), "spec.a takes some values only"),
            (json!({ "maxLength": 8 }), json!({ "maxLength": 9 }), "maxLength of spec.a is 8"),
            (json!({ "maxLength": 8 }), json!({}), "maxLength of spec.a is 8"),
            (json!({ "minItems": 2 }), json!({ "minItems": 1 }), "minItems of spec.a is 2"),
            (json!({ "minimum": 1.5 }), json!({ "minimum": 1 }), "minimum of spec.a is 1.5"),
            (json!({ "pattern": "^a$" }), json!({}), "pattern of spec.a is \"^a$\""),
            (json!({}), json!({ "nullable": true }), "spec.a lacks nullable"),
            (json!({ "required": ["x"] }), json!({}), "spec.a.x must be given"),
            (json!({}), json!({ "properties": { "x": { "type": "string" } } }), "spec.a.x is missing"),
            (json!({}), json!({ "items": { "type": "string" } }), "spec.a[] is missing"),
            (json!({}), json!({ "default": false }), "spec.a has no default"),
        ] {
            let (narrow, wide) = (text(narrow), text(wide));
            check(narrow.clone(), wide.clone(), None);
            check(wide, narrow, Some(told));
        }
    }

    #[test]
    fn what_cannot_be_compared_must_be_the_same() {
        check(json!({ "type": "string" }), json!({ "type": "integer" }), Some("type of spec.a is \"integer\""));
        check(json!({ "pattern": "a" }), json!({ "pattern": "b" }), Some("pattern of spec.a is \"b\""));
        check(json!({ "x-kubernetes-list-type": "map" }), json!({}), Some("x-kubernetes-list-type of spec.a is null"));
        check(json!({ "maxLength": 9 }), json!({ "maxLength": 9.0 }), None);
        check(json!({ "enum": [1] }), json!({ "enum": [1.0] }), None);
        check(json!({ "description": "old" }), json!({ "description": "new" }), None);
    }

    #[test]
    fn a_false_says_nothing_and_a_true_may_stand_for_any_schema() {
        check(json!({}), json!({ "uniqueItems": false }), None);
        check(json!({ "nullable": false }), json!({}), None);
        let of = |schema: Value| json!({ "additionalProperties": schema });
        check(of(json!({ "type": "string" })), of(json!(true)), None);
        check(of(json!(true)), of(json!(true)), None);
        check(of(json!(true)), of(json!({ "type": "string" })), Some("spec.a.* has another schema"));
    }

    #[test]
    fn a_field_more_that_must_be_given_is_no_matter_when_it_has_a_default() {
        let served = |default: Value| json!({ "properties": { "x": default }, "required": ["x"] });
        check(json!({}), served(json!({ "default": "auto" })), None);
        check(json!({}), served(json!({})), Some("spec.a.x must be given"));
    }

    #[test]
    fn a_field_may_have_the_name_of_a_keyword() {
        let with = |max: u32| json!({ "properties": { "title": { "maxLength": max }, "enum": {}, "default": {} } });
        check(with(8), with(9), None);
        check(with(9), with(8), Some("maxLength of spec.a.title is 8"));
    }

    #[test]
    fn rules_count_where_the_operator_writes() {
        let with = |rule: &str| json!({ "x-kubernetes-validations": [{ "rule": rule, "message": "no" }] });
        let told = |path| not_accepted(&with("self.a"), &with("self.b"), path);
        assert_eq!(told("spec.a"), None);
        assert_eq!(told("status.a").as_deref(), Some("status.a has the rule \"self.b\""));
        assert_eq!(not_accepted(&with("self.a"), &json!({}), "status"), None, "fewer rules accept more");
    }
}
