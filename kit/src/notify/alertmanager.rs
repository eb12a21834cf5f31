//! Alerts as Alertmanager's API v2 takes them, `POST /api/v2/alerts`: many in one request.
//!
//! Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::config::ALERTS_PATH;
use super::{Clean, Event};
use crate::clock::Clock;

/// Sends of a firing alert that may be lost before Alertmanager takes it for ended.
const LOST_SENDS: u32 = 3;

/// Where alerts are posted.
pub(super) fn endpoint(url: &Url) -> Url {
    let mut endpoint = url.clone();
    endpoint.set_path(&format!("{}/{ALERTS_PATH}", url.path().trim_end_matches('/')));
    endpoint
}

/// The alerts of these notices, as of now.
pub(super) fn body<'a>(notices: impl IntoIterator<Item = &'a Clean>, now: Timestamp, resend: Duration) -> Value {
    notices.into_iter().map(|notice| alert(notice, now, resend)).collect()
}

fn alert(notice: &Clean, now: Timestamp, resend: Duration) -> Value {
    let ends = match notice.event {
        // Later than its resolve_timeout would say, or earlier: we say it, so that nothing depends on that setting. When
        // nobody sends it any more, it ends.
        Event::Firing => Clock::after(now, resend * LOST_SENDS),
        Event::Resolved => now,
    };
    let mut labels: BTreeMap<String, &str> =
        notice.labels.iter().map(|(name, value)| (label_name(name), value.as_str())).collect();
    labels.insert("alertname".into(), &notice.name);
    labels.insert("severity".into(), notice.severity.as_str());
    let mut annotations: BTreeMap<String, &str> =
        notice.links.iter().map(|(word, url)| (format!("{}_url", label_name(&word.to_lowercase())), url.as_str())).collect();
    annotations.insert("summary".into(), &notice.summary);
    if !notice.description.is_empty() {
        annotations.insert("description".into(), &notice.description);
    }
    let mut alert = json!({
        "labels": labels,
        "annotations": annotations,
        // It refuses alerts that end before they start, as after a clock was set back.
        "startsAt": format!("{:.3}", notice.since.min(now)),
        "endsAt": format!("{ends:.3}"),
    });
    if let Some((_, url)) = notice.links.first() {
        alert["generatorURL"] = json!(url.as_str());
    }
    alert
}

/// A name that every version takes: letters, digits and underscores, no digit first.
fn label_name(name: &str) -> String {
    let mut plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        plain.insert(0, '_');
    }
    plain
}
