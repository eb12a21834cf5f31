//! Tells people that a line was crossed and that it is over: through Alertmanager, Slack-compatible webhooks and `PagerDuty`.
//!
//! [`Outbox`] sends requests to the endpoints of the configuration and reads the files of their secrets; the rest is pure.

mod alertmanager;
mod config;
mod outbox;
mod pagerduty;
mod secret;
mod slack;
mod text;
mod wire;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

pub use config::{AlertmanagerConfig, NotifyConfig, NotifyError, PagerDutyConfig, SlackConfig};
pub use outbox::{Count, Delivery, KEYS, Outbox};

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look at it in working hours.
    Warning,
    /// Somebody should look at it now.
    Critical,
}

impl Severity {
    /// As it is written in labels and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Which side of the line we are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// The line is crossed.
    Firing,
    /// It is over.
    Resolved,
}

/// Whether people know already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// An earlier process has told them: nothing is posted to a chat a second time. Alertmanager, which keeps nothing for
    /// long, and `PagerDuty`, which knows the key, are told again.
    Before,
    /// Nobody has told them.
    New,
}

/// Something that people should know. Texts may come from anybody: they are cleaned and cut before they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What makes two notices the same one, such as `aibudget/platform/2026-12/warn`: stable for one crossing of one line.
    /// A key has one severity and one set of labels; what a later notice of the key says of them is not heard.
    pub key: String,
    /// How much it matters.
    pub severity: Severity,
    /// Whether it begins or ends.
    pub event: Event,
    /// Name of the alert, such as `AiBudgetWarn`.
    pub name: String,
    /// One line.
    pub summary: String,
    /// A few lines more, or nothing.
    pub description: String,
    /// What it is about. To Alertmanager, name, severity and labels are what makes two alerts the same one: notices of
    /// different keys must differ in them.
    pub labels: BTreeMap<String, String>,
    /// Where to read on: a word (`runbook`, `dashboard`) and an `http` or `https` URL. Others are left out.
    pub links: Vec<(String, String)>,
    /// When the line was crossed.
    pub since: Timestamp,
}

/// Longest name.
const MAX_NAME: usize = 128;
/// Longest summary: what `PagerDuty` takes.
const MAX_SUMMARY: usize = 1024;
/// Longest description.
const MAX_DESCRIPTION: usize = 4096;
/// Most labels.
const MAX_LABELS: usize = 32;
/// Longest name of a label or a link.
const MAX_LABEL: usize = 128;
/// Longest value of a label.
const MAX_VALUE: usize = 512;
/// Most links.
const MAX_LINKS: usize = 8;
/// Longest URL of a link.
const MAX_URL: usize = 1024;

/// A notice whose texts are harmless: without control characters and of bounded length. What channels make messages of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Clean {
    key: String,
    severity: Severity,
    event: Event,
    name: String,
    summary: String,
    description: String,
    labels: BTreeMap<String, String>,
    links: Vec<(String, Url)>,
    since: Timestamp,
}

impl Clean {
    fn of(notice: &Notice) -> Self {
        let name = Some(text::line(&notice.name, MAX_NAME)).filter(|name| !name.is_empty()).unwrap_or("Notice".to_owned());
        let summary = text::line(&notice.summary, MAX_SUMMARY);
        let labels = notice.labels.iter().map(|(name, value)| (text::line(name, MAX_LABEL), text::line(value, MAX_VALUE)));
        let links = notice.links.iter().filter_map(|(word, link)| Some((text::line(word, MAX_LABEL), harmless(link)?)));
        Self {
            key: text::key(&notice.key),
            severity: notice.severity,
            event: notice.event,
            summary: if summary.is_empty() { name.clone() } else { summary },
            name,
            description: text::lines(&notice.description, MAX_DESCRIPTION),
            labels: labels.filter(|(name, value)| !name.is_empty() && !value.is_empty()).take(MAX_LABELS).collect(),
            links: links.take(MAX_LINKS).collect(),
            since: notice.since,
        }
    }

    /// What began is what ends: Alertmanager knows it by its labels, and who was told of the beginning is told of the end.
    fn ends(&mut self, began: &Self) {
        self.severity = began.severity;
        self.name.clone_from(&began.name);
        self.labels.clone_from(&began.labels);
        self.since = began.since;
    }
}

/// A link that may be put into a message. It is never followed from here.
fn harmless(link: &str) -> Option<Url> {
    if link.len() > MAX_URL {
        return None;
    }
    let url = Url::parse(link).ok()?;
    let plain = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    (plain && url.as_str().len() <= MAX_URL).then_some(url)
}

#[cfg(test)]
mod tests;
