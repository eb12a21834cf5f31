//! Compares JSON documents, and writes the smallest merge patch between two.
//!
//! Pure.

use serde_json::{Map, Value};

/// The field of a condition that says nothing about what is true now.
const TRANSITION_TIME: &str = "lastTransitionTime";

/// Whether two documents say the same, apart from when conditions flipped. A null is an absent field.
pub(super) fn equal_but_for_times(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => a
            .keys()
            .chain(b.keys())
            .filter(|key| *key != TRANSITION_TIME)
            .all(|key| equal_but_for_times(a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null))),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal_but_for_times(a, b)),
        (a, b) => a == b,
    }
}

/// The RFC 7386 merge patch that turns `old` into `new`.
pub(super) fn merge_patch(old: &Value, new: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return new.clone() };
    let mut patch = Map::new();
    for key in old.keys().filter(|key| new.get(*key).is_none_or(Value::is_null)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new.iter().filter(|(_, value)| !value.is_null()) {
        match old.get(key) {
            Some(before) if before == value => {}
            Some(before) => {
                patch.insert(key.clone(), merge_patch(before, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

/// Whether `live` has everything that `wanted` says; more is fine.
pub(super) fn contains(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (_, Value::Null) => live.is_null(),
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| contains(live.get(key).unwrap_or(&Value::Null), value))
        }
        // What the server leaves out is what was empty.
        (Value::Null, Value::Object(wanted)) => wanted.is_empty(),
        (Value::Null, Value::Array(wanted)) => wanted.is_empty(),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| contains(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn transition_times_alone_are_no_difference() {
        let old = json!({ "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "1" }], "gone": null });
        let new = json!({ "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2" }] });
        assert!(equal_but_for_times(&old, &new));
        let flipped = json!({ "conditions": [{ "type": "Ready", "status": "False", "lastTransitionTime": "2" }] });
        assert!(!equal_but_for_times(&old, &flipped));
    }

    #[test]
    fn a_field_that_went_away_is_a_difference() {
        assert!(!equal_but_for_times(&json!({ "a": 1 }), &json!({})));
        assert!(!equal_but_for_times(&json!({}), &json!({ "a": 1 })));
    }

    #[test]
    fn drift_of_a_wanted_field_is_seen_and_fields_of_others_are_not() {
        let wanted = json!({ "data": { "a": "1" }, "list": [{ "x": 1 }], "none": [] });
        assert!(contains(&json!({ "data": { "a": "1", "b": "2" }, "list": [{ "x": 1, "default": true }] }), &wanted));
        assert!(!contains(&json!({ "data": { "a": "2" }, "list": [{ "x": 1 }] }), &wanted));
        assert!(!contains(&json!({ "data": { "a": "1" }, "list": [{ "x": 1 }, { "x": 2 }] }), &wanted));
    }

    /// RFC 7386, section 2.
    fn apply(target: &mut Value, patch: &Value) {
        let Value::Object(patch) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        for (key, value) in patch {
            if value.is_null() {
                target.as_object_mut().unwrap().remove(key);
            } else {
                apply(&mut target[key], value);
            }
        }
    }

    fn documents() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), (0..4).prop_map(Value::from)];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn the_patch_turns_old_into_new(old in documents(), new in documents()) {
            let mut patched = old.clone();
            apply(&mut patched, &merge_patch(&old, &new));
            proptest::prop_assert_eq!(&patched, &new);
            proptest::prop_assert!(contains(&patched, &new));
        }
    }
}
