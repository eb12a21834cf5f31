//! Each kind of change, as a table: a change of one definition, and what the check says of it.

use super::*;

fn definition() -> Value {
    json!({ "spec": {
        "group": "example.org", "scope": "Namespaced", "names": { "kind": "Clip", "plural": "clips", "shortNames": ["cl"] },
        "versions": [{
            "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
            "schema": { "openAPIV3Schema": { "type": "object", "description": "old words", "properties": {
                "spec": {
                    "type": "object", "required": ["path"], "default": { "mode": "Fast" },
                    "x-kubernetes-validations": [{ "rule": "self.a > 0" }],
                    "properties": {
                        "path": { "type": "string", "maxLength": 64, "minLength": 2, "pattern": "^[a-z]+$" },
                        "mode": { "type": "string", "enum": ["Fast", "Good"], "default": "Fast" },
                        "count": { "type": "integer", "format": "uint8", "maximum": 30.0, "minimum": 10.0, "nullable": true },
                        "plain": { "type": "string" },
                        "parts": { "type": "array", "maxItems": 4, "items": { "type": "string", "maxLength": 9 },
                            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] },
                        "tags": { "type": "object", "additionalProperties": { "type": "string", "maxLength": 5 } },
                        "open": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                    },
                },
            } } },
        }],
    } })
}

const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

/// What the check says after a field of the definition was set, or removed where the value is null.
fn after(path: &str, value: &Value) -> Vec<String> {
    let mut changed = definition();
    let (parent, key) = path.rsplit_once('/').unwrap();
    let parent = changed.pointer_mut(parent).unwrap_or_else(|| panic!("{path}: there is no such place"));
    match parent {
        Value::Object(fields) if value.is_null() => drop(fields.remove(key).unwrap()),
        Value::Object(fields) => drop(fields.insert(key.to_owned(), value.clone())),
        other => panic!("{path}: {other} is no object"),
    }
    let all = |value| BTreeMap::from([("clips".to_owned(), value)]);
    breaches(&all(definition()), &all(changed)).iter().map(ToString::to_string).collect()
}

#[test]
fn whatever_refuses_drops_or_reinterprets_what_was_good_is_named_with_its_path() {
    let version = json!({ "name": "v2", "served": true, "storage": true, "schema": {} });
    let rows = [
        ("/spec/scope", json!("Cluster"), "clips: scope changed"),
        ("/spec/group", json!("example.com"), "clips: group changed"),
        ("/spec/names/kind", json!("Movie"), "clips: the kind was renamed"),
        ("/spec/names/shortNames", json!([]), "clips: short name \"cl\" was removed"),
        ("/spec/versions", json!([version]), "clips v1: the version was removed"),
        ("/spec/versions/0/served", json!(false), "clips v1: the version is not served any more"),
        ("/spec/versions/0/storage", json!(false), "clips v1: objects are stored in another version"),
        ("/spec/versions/0/subresources", json!({}), "clips v1: the status subresource was removed"),
        ("properties/spec", Value::Null, "clips v1 spec: the field was removed"),
        ("properties/spec/properties/plain", Value::Null, "clips v1 spec.plain: the field was removed"),
        ("properties/spec/properties/mode/enum", json!(["Fast"]), "clips v1 spec.mode: value \"Good\" is not allowed any more"),
        ("properties/spec/properties/plain/enum", json!(["a"]), "clips v1 spec.plain: only some values are allowed now"),
        ("properties/spec/properties/path/maxLength", json!(63), "clips v1 spec.path: maxLength changed from 64 to 63"),
        ("properties/spec/properties/plain/maxLength", json!(63), "clips v1 spec.plain: maxLength is new: 63"),
        ("properties/spec/properties/path/minLength", json!(3), "clips v1 spec.path: minLength changed from 2 to 3"),
        ("properties/spec/properties/count/maximum", json!(29.0), "clips v1 spec.count: maximum changed from 30 to 29"),
        ("properties/spec/properties/count/minimum", json!(11.0), "clips v1 spec.count: minimum changed from 10 to 11"),
        ("properties/spec/properties/count/exclusiveMaximum", json!(true), "clips v1 spec.count: exclusiveMaximum is new"),
        ("properties/spec/properties/count/multipleOf", json!(2), "clips v1 spec.count: multipleOf changed from nothing to 2"),
        ("properties/spec/properties/count/nullable", json!(false), "clips v1 spec.count: nullable is gone"),
        ("properties/spec/properties/path/pattern", json!("^[a-y]+$"), "clips v1 spec.path: pattern changed"),
        ("properties/spec/properties/plain/pattern", json!("^a"), "clips v1 spec.plain: pattern changed from nothing"),
        ("properties/spec/properties/plain/format", json!("date"), "clips v1 spec.plain: format changed from nothing to date"),
        (
            "properties/spec/properties/plain/type",
            json!("integer"),
            "clips v1 spec.plain: type changed from \"string\" to \"integer\"",
        ),
        (
            "properties/spec/properties/mode/default",
            json!("Good"),
            "clips v1 spec.mode: the default changed from \"Fast\" to \"Good\"",
        ),
        (
            "properties/spec/properties/mode/default",
            Value::Null,
            "clips v1 spec.mode: the default changed from \"Fast\" to nothing",
        ),
        (
            "properties/spec/properties/plain/default",
            json!("a"),
            "clips v1 spec.plain: the default changed from nothing to \"a\"",
        ),
        ("properties/spec/default", json!({ "mode": "Good" }), "clips v1 spec: the default changed"),
        ("properties/spec/default", json!({ "mode": "Fast", "plain": "a" }), "clips v1 spec: the default changed"),
        ("properties/spec/required", json!(["path", "plain"]), "clips v1 spec: plain is required now and has no default"),
        ("properties/spec/properties/parts/maxItems", json!(3), "clips v1 spec.parts: maxItems changed from 4 to 3"),
        ("properties/spec/properties/parts/items/maxLength", json!(8), "clips v1 spec.parts[]: maxLength changed from 9 to 8"),
        ("properties/spec/properties/parts/uniqueItems", json!(true), "clips v1 spec.parts: uniqueItems is new"),
        (
            "properties/spec/properties/parts/x-kubernetes-list-map-keys",
            json!(["name", "kind"]),
            "clips v1 spec.parts: x-kubernetes-list-map-keys changed",
        ),
        (
            "properties/spec/properties/parts/x-kubernetes-list-type",
            json!("atomic"),
            "clips v1 spec.parts: x-kubernetes-list-type changed",
        ),
        (
            "properties/spec/properties/tags/additionalProperties/maxLength",
            json!(4),
            "clips v1 spec.tags{}: maxLength changed from 5 to 4",
        ),
        (
            "properties/spec/properties/tags/additionalProperties",
            json!(false),
            "clips v1 spec.tags: additionalProperties changed",
        ),
        ("properties/spec/properties/open/x-kubernetes-preserve-unknown-fields", Value::Null, "is gone"),
        ("properties/spec/properties/plain/not", json!({ "pattern": "a" }), "clips v1 spec.plain: not changed"),
        (
            "properties/spec/x-kubernetes-validations",
            json!([{ "rule": "self.a > 0" }, { "rule": "self.b > 0" }]),
            "clips v1 spec: rule is new: \"self.b > 0\"",
        ),
        ("properties/spec/x-kubernetes-validations", json!([{ "rule": "self == oldSelf" }]), "clips v1 spec: rule is new"),
        // It says that it lets stand what stood before, and does not look at what that was.
        (
            "properties/spec/x-kubernetes-validations",
            json!([{ "rule": "self.b > 0", "optionalOldSelf": true }]),
            "clips v1 spec: rule is new",
        ),
    ];
    for (path, value, wanted) in rows {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("{SCHEMA}/{path}") };
        let told = after(&path, &value);
        assert!(told.len() == 1 && told[0].contains(wanted), "{path} = {value}: {told:?}, not {wanted:?}");
    }
}

#[test]
fn what_only_loosens_or_adds_is_fine() {
    let rows = [
        ("description", json!("new words")),
        ("properties/status", json!({ "type": "object" })),
        ("properties/spec/properties/new", json!({ "type": "string", "maxLength": 1, "pattern": "^a$", "default": "a" })),
        ("properties/spec/default", json!({ "mode": "Fast", "new": "a" })),
        ("properties/spec/required", json!([])),
        ("properties/spec/required", json!(["path", "mode"])),
        ("properties/spec/properties/mode/enum", json!(["Good", "Best", "Fast"])),
        ("properties/spec/properties/mode/enum", Value::Null),
        ("properties/spec/properties/path/maxLength", json!(65)),
        ("properties/spec/properties/path/maxLength", Value::Null),
        ("properties/spec/properties/path/minLength", json!(1)),
        ("properties/spec/properties/path/pattern", Value::Null),
        ("properties/spec/properties/count/format", json!("int32")),
        ("properties/spec/properties/plain/nullable", json!(true)),
        ("properties/spec/x-kubernetes-validations", json!([])),
        ("properties/spec/x-kubernetes-validations", json!([{ "rule": "self.a > 0", "message": "new words" }])),
        (
            "properties/spec/x-kubernetes-validations",
            json!([{ "rule": "oldSelf.hasValue() || self.b > 0", "optionalOldSelf": true }]),
        ),
        ("properties/spec/properties/parts/items/maxLength", json!(10)),
        ("properties/spec/properties/plain/x-kubernetes-preserve-unknown-fields", json!(true)),
    ];
    for (path, value) in rows {
        let told = after(&format!("{SCHEMA}/{path}"), &value);
        assert!(told.is_empty(), "{path} = {value}: {told:?}");
    }
}

#[test]
fn a_kind_that_is_gone_is_named() {
    let then = BTreeMap::from([("clips".to_owned(), definition())]);
    let told = breaches(&then, &BTreeMap::new());
    assert!(told.len() == 1 && told[0].to_string().starts_with("clips: the kind was removed"), "{told:?}");
    assert!(breaches(&BTreeMap::new(), &then).is_empty(), "a new kind is fine");
}

#[test]
fn an_accepted_change_has_a_reason() {
    let known = accepted("# notes\n\nclips v1 spec: rule is new: \"x\" # it names a field that is new, too\n").unwrap();
    assert_eq!(known, BTreeSet::from(["clips v1 spec: rule is new: \"x\"".to_owned()]));
    assert!(accepted("clips v1 spec: rule is new").is_err());
}

#[test]
fn todays_definitions_take_what_every_frozen_version_stored() {
    assert!(check(&crate::root().unwrap()).unwrap() >= 1);
}
