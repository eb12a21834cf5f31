//! Events as `PagerDuty`'s Events API v2 takes them.
//!
//! Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::secret::Secret;
use super::{Clean, Event};

/// The event for a notice. It has the routing key in it: not to be shown.
pub(super) fn body(notice: &Clean, routing_key: &Secret, source: &str) -> Value {
    let routing_key = routing_key.expose();
    // A key is cut where it is made, at what fits here.
    let dedup_key = &notice.key;
    if notice.event == Event::Resolved {
        return json!({ "routing_key": routing_key, "event_action": "resolve", "dedup_key": dedup_key });
    }
    let mut details: BTreeMap<&str, &str> = notice.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if !notice.description.is_empty() {
        details.insert("description", &notice.description);
    }
    let links: Vec<_> = notice.links.iter().map(|(word, url)| json!({ "href": url.as_str(), "text": word })).collect();
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "payload": {
            "summary": notice.summary,
            "source": source,
            "severity": notice.severity.as_str(),
            "timestamp": format!("{:.3}", notice.since),
            "class": notice.name,
            "custom_details": details,
        },
        "links": links,
    })
}

/// What is wrong, in the words of its answer.
pub(super) fn complaint(answer: &str) -> String {
    let Ok(answer) = serde_json::from_str::<Value>(answer) else { return String::new() };
    let errors = answer["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).take(3);
    let message = answer["message"].as_str();
    message.into_iter().chain(errors).collect::<Vec<_>>().join(": ")
}
