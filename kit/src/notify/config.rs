//! Whom to tell, as the operator's configuration says, and whether it makes sense.
//!
//! Pure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::Severity;

/// Most channels of one kind.
const MAX_CHANNELS: usize = 8;
/// Longest name of a channel; it is a label value too.
const MAX_NAME: usize = 63;
/// Shortest and longest wait between two sends of a firing alert, seconds.
const RESEND: std::ops::RangeInclusive<u32> = 10..=600;
/// Where Alertmanager takes alerts, below its URL.
pub(super) const ALERTS_PATH: &str = "api/v2/alerts";

/// Whom to tell. Empty: nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NotifyConfig {
    /// Every peer of an Alertmanager: they expect to be told each, and agree among themselves on who tells people.
    #[serde(default)]
    pub alertmanagers: Vec<AlertmanagerConfig>,
    /// Chats.
    #[serde(default)]
    pub slack: Vec<SlackConfig>,
    /// Pagers.
    #[serde(default)]
    pub pagerduty: Vec<PagerDutyConfig>,
    /// Seconds between two sends of an alert that fires to an Alertmanager, 10 to 600. It ends there by itself after three
    /// times that.
    #[serde(default = "default_resend")]
    pub resend_seconds: u32,
}

/// An Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// Name in logs and metrics; a DNS label.
    pub name: String,
    /// `http` or `https` URL, without the `/api/v2/alerts` that is below it.
    pub url: Url,
    /// Folder with the file `token`, sent as a bearer token; read for each request. None: nothing is sent.
    #[serde(default)]
    pub credentials: Option<PathBuf>,
}

/// A Slack-compatible incoming webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlackConfig {
    /// Name in logs and metrics; a DNS label.
    pub name: String,
    /// Folder with the file `url`: whoever knows it can post, so it is a secret. Read for each request.
    pub secret: PathBuf,
    /// What is posted.
    #[serde(default = "all_severities")]
    pub severities: Vec<Severity>,
}

/// An integration of a `PagerDuty` service, Events API v2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PagerDutyConfig {
    /// Name in logs and metrics; a DNS label.
    pub name: String,
    /// Folder with the file `routingKey`; read for each request.
    pub secret: PathBuf,
    /// Where events go.
    #[serde(default = "default_pagerduty")]
    pub url: Url,
    /// What somebody is paged for.
    #[serde(default = "only_critical")]
    pub severities: Vec<Severity>,
}

fn default_resend() -> u32 {
    60
}

fn all_severities() -> Vec<Severity> {
    vec![Severity::Info, Severity::Warning, Severity::Critical]
}

fn only_critical() -> Vec<Severity> {
    vec![Severity::Critical]
}

fn default_pagerduty() -> Url {
    Url::parse("https://events.pagerduty.com/v2/enqueue").expect("a constant that is a URL")
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self { alertmanagers: Vec::new(), slack: Vec::new(), pagerduty: Vec::new(), resend_seconds: default_resend() }
    }
}

/// A configuration of notices that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to accept {place}: {message}")]
pub struct NotifyError {
    /// Which part.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

impl NotifyConfig {
    /// Whether there is nobody to tell.
    pub fn is_empty(&self) -> bool {
        self.alertmanagers.is_empty() && self.slack.is_empty() && self.pagerduty.is_empty()
    }

    /// Checks everything that can be checked without dialling or reading.
    pub fn check(&self) -> Result<(), NotifyError> {
        names("alertmanagers", self.alertmanagers.iter().map(|channel| channel.name.as_str()))?;
        names("slack", self.slack.iter().map(|channel| channel.name.as_str()))?;
        names("pagerduty", self.pagerduty.iter().map(|channel| channel.name.as_str()))?;
        if !RESEND.contains(&self.resend_seconds) {
            return refuse("resendSeconds", "must be 10 to 600");
        }
        for channel in &self.alertmanagers {
            let place = format!("alertmanagers {}", channel.name);
            endpoint(&place, &channel.url)?;
            if channel.url.path().trim_end_matches('/').ends_with("/api/v2")
                || channel.url.path().trim_end_matches('/').ends_with(ALERTS_PATH)
            {
                return refuse(&place, "leave out the /api/v2/alerts at the end of its url, it is added");
            }
            channel.credentials.iter().try_for_each(|folder| named(&place, "credentials", folder))?;
        }
        for channel in &self.slack {
            let place = format!("slack {}", channel.name);
            named(&place, "secret", &channel.secret)?;
            some(&place, &channel.severities)?;
        }
        for channel in &self.pagerduty {
            let place = format!("pagerduty {}", channel.name);
            endpoint(&place, &channel.url)?;
            named(&place, "secret", &channel.secret)?;
            some(&place, &channel.severities)?;
        }
        Ok(())
    }

    pub(super) fn resend(&self) -> Duration {
        Duration::from_secs(self.resend_seconds.into())
    }
}

fn refuse(place: &str, message: &str) -> Result<(), NotifyError> {
    Err(NotifyError { place: format!("notify: {place}"), message: message.to_owned() })
}

fn names<'a>(kind: &str, names: impl Iterator<Item = &'a str>) -> Result<(), NotifyError> {
    let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut seen = BTreeSet::new();
    for name in names {
        if name.len() > MAX_NAME || !name.chars().all(label) || !name.starts_with(ends) || !name.ends_with(ends) {
            return refuse(kind, &format!("name {name:?} must be lower-case letters, digits and dashes"));
        }
        if !seen.insert(name) {
            return refuse(kind, &format!("name {name:?} is there twice"));
        }
        if seen.len() > MAX_CHANNELS {
            return refuse(kind, &format!("there may be {MAX_CHANNELS} at most"));
        }
    }
    Ok(())
}

fn endpoint(place: &str, url: &Url) -> Result<(), NotifyError> {
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(place, "its url must not hold credentials");
    }
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || url.query().is_some() || url.fragment().is_some() {
        return refuse(place, "its url must be http(s)://host[:port][/path] and nothing more");
    }
    Ok(())
}

fn named(place: &str, field: &str, folder: &Path) -> Result<(), NotifyError> {
    if folder.as_os_str().is_empty() { refuse(place, &format!("{field} must name a folder")) } else { Ok(()) }
}

fn some(place: &str, severities: &[Severity]) -> Result<(), NotifyError> {
    if severities.is_empty() { refuse(place, "severities must name one at least") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<NotifyConfig, String> {
        let config: NotifyConfig = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn a_configuration_says_little_and_means_the_rest() {
        let config = read(
            "alertmanagers: [{name: am-0, url: 'http://am-0.monitoring:9093'}, {name: am-1, url: 'https://am/prefix/', credentials: /am}]\n\
             slack: [{name: ops, secret: /slack, severities: [warning, critical]}, {name: all, secret: /slack2}]\n\
             pagerduty: [{name: night, secret: /pd}]",
        )
        .unwrap();
        assert_eq!(config.slack[0].severities, [Severity::Warning, Severity::Critical]);
        assert_eq!(config.slack[1].severities, all_severities());
        assert_eq!(config.pagerduty[0].severities, [Severity::Critical]);
        assert_eq!(config.pagerduty[0].url.as_str(), "https://events.pagerduty.com/v2/enqueue");
        assert_eq!(config.resend(), Duration::from_mins(1));
        assert!(!config.is_empty() && NotifyConfig::default().is_empty());
        assert_eq!(read("{}").unwrap(), NotifyConfig::default());
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let nine = (0..9).map(|n| format!("{{name: s{n}, secret: /s}}")).collect::<Vec<_>>().join(", ");
        let cases = [
            ("slack: [{name: Ops, secret: /s}]", "lower-case"),
            ("slack: [{name: ops, secret: /s}, {name: ops, secret: /t}]", "twice"),
            ("slack: [{name: ops, secret: ''}]", "secret must name a folder"),
            ("slack: [{name: ops, secret: /s, severities: []}]", "one at least"),
            ("slack: [{name: ops, secret: /s, url: 'https://hooks'}]", "url"),
            ("pagerduty: [{name: a, secret: /s, url: 'ftp://pd'}]", "http(s)"),
            ("pagerduty: [{name: a, secret: /s, severities: [fatal]}]", "fatal"),
            ("alertmanagers: [{name: a, url: 'http://u:p@am'}]", "credentials"),
            ("alertmanagers: [{name: a, url: 'http://am/?token=x'}]", "nothing more"),
            ("alertmanagers: [{name: a, url: 'http://am/x/api/v2/alerts'}]", "leave out"),
            ("alertmanagers: [{name: a, url: 'http://am', credentials: ''}]", "credentials must name a folder"),
            ("resendSeconds: 5", "10 to 600"),
            ("mail: []", "mail"),
        ];
        let many = (format!("slack: [{nine}]"), "8 at most");
        for (yaml, expected) in cases.map(|(yaml, expected)| (yaml.to_owned(), expected)).into_iter().chain([many]) {
            let error = read(&yaml).unwrap_err();
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }

    #[test]
    fn an_error_repeats_no_credentials() {
        let error = read("alertmanagers: [{name: a, url: 'http://user:hunter2@am'}]").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
