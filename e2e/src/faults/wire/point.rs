//! Names for requests and for events of watches, the same in every run. No I/O.

use super::Inner;
use http::{Method, request::Parts};
use serde_json::Value;
use std::fmt;

/// Digits of a digest, as keys in the store have it.
const DIGEST_DIGITS: usize = 64;

/// One request, or one event of a watch, in a way that is the same in every run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Point {
    /// `create`, `patch`, `list`, `event`, `put`, ...
    pub verb: &'static str,
    /// `jobs`, `titleenrichments/status`, `store`, ...
    pub resource: String,
    /// Name, with what the cluster chose replaced by a number.
    pub name: String,
    /// Which one of this verb, resource and name, from 1.
    pub nth: u32,
}

impl Point {
    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        matches!(self.verb, "create" | "patch" | "update" | "delete" | "put")
    }

    /// Whether it is of the store.
    pub fn is_store(&self) -> bool {
        self.resource == "store"
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        write!(f, " ({})", self.nth)
    }
}

impl Inner {
    /// A name that is the same in every run.
    pub(super) fn name(&self, resource: &str, name: &str) -> String {
        let kind = resource.split('/').next().unwrap_or_default();
        let word = match kind {
            "jobs" => "job",
            "pods" => "pod",
            _ => return name.to_owned(),
        };
        if name.is_empty() { String::new() } else { self.numbered(word, name) }
    }

    fn numbered(&self, word: &str, name: &str) -> String {
        let mut state = self.lock();
        let next = 1 + state.names.keys().filter(|(known, _)| known == word).count();
        state.names.entry((word.to_owned(), name.to_owned())).or_insert_with(|| format!("{word}-{next}")).clone()
    }

    pub(super) fn store_spot(&self, parts: &Parts) -> Option<(&'static str, String, String)> {
        let verb = match parts.method {
            Method::PUT => "put",
            Method::GET => "get",
            Method::HEAD => "head",
            Method::DELETE => "delete",
            _ => return None,
        };
        let mut segments = parts.uri.path().trim_start_matches('/').split('/').skip(1).peekable();
        if segments.peek() == Some(&self.namespace.as_str()) {
            segments.next();
        }
        let segments = segments.filter(|segment| *segment != self.namespace).map(|segment| self.segment(segment));
        Some((verb, "store".to_owned(), segments.collect::<Vec<_>>().join("/")))
    }

    /// A part of a key with digests and UIDs numbered.
    fn segment(&self, segment: &str) -> String {
        let (stem, extension) =
            segment.split_once('.').map_or((segment, String::new()), |(stem, rest)| (stem, format!(".{rest}")));
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if stem.len() == DIGEST_DIGITS && is_hex(stem) {
            return format!("{}{extension}", self.numbered("digest", stem));
        }
        match stem.split_once('-') {
            Some((uid, number)) if uid.len() == 8 && is_hex(uid) && number.bytes().all(|b| b.is_ascii_digit()) => {
                format!("uid-{number}{extension}")
            }
            _ => segment.to_owned(),
        }
    }
}

/// Verb, resource and name of a request to the API server; none where it is no point.
pub(super) fn api_spot(parts: &Parts, body: &[u8]) -> Option<(&'static str, String, String)> {
    let mut segments = parts.uri.path().trim_matches('/').split('/');
    match segments.next()? {
        "api" => segments.next()?,
        "apis" => segments.next().and(segments.next())?,
        _ => return None,
    };
    let mut resource = segments.next()?;
    let mut name = segments.next();
    if resource == "namespaces" && name.is_some() {
        (resource, name) = (segments.next()?, segments.next());
    }
    if matches!(resource, "leases" | "events" | "customresourcedefinitions") {
        return None;
    }
    let path = segments.next().map_or_else(|| resource.to_owned(), |below| format!("{resource}/{below}"));
    let watches = parts.uri.query().unwrap_or_default().split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
    let verb = match (&parts.method, name) {
        (&Method::GET, None) if watches => "watch",
        (&Method::GET, None) => "list",
        (&Method::GET, Some(_)) => "get",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, _) => "delete",
        _ => return None,
    };
    let created = || {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        body["metadata"]["name"].as_str().unwrap_or_default().to_owned()
    };
    let name = if verb == "create" { created() } else { name.unwrap_or_default().to_owned() };
    // A run has one at most, which is called as its namespace is.
    let name = if resource == "aibudgets" && !name.is_empty() { "budget".to_owned() } else { name };
    Some((verb, path, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::wire::Wire;
    use http::Request;

    fn spot(method: Method, uri: &str, body: &str) -> Option<(&'static str, String, String)> {
        let request = Request::builder().method(method).uri(uri).body(()).expect("a request");
        api_spot(&request.into_parts().0, body.as_bytes())
    }

    #[test]
    fn requests_are_named_by_verb_resource_and_name() {
        let named = |verb, resource: &str, name: &str| Some((verb, resource.to_owned(), name.to_owned()));
        let titles = "/apis/showrunner.dev/v1alpha1/namespaces/n/titleenrichments";
        assert_eq!(spot(Method::GET, &format!("{titles}?limit=500"), ""), named("list", "titleenrichments", ""));
        assert_eq!(spot(Method::GET, &format!("{titles}?watch=true"), ""), named("watch", "titleenrichments", ""));
        assert_eq!(spot(Method::PATCH, &format!("{titles}/a/status?x=1"), ""), named("patch", "titleenrichments/status", "a"));
        let job = r#"{"metadata":{"name":"sr-1"}}"#;
        assert_eq!(spot(Method::POST, "/apis/batch/v1/namespaces/n/jobs", job), named("create", "jobs", "sr-1"));
        assert_eq!(spot(Method::DELETE, "/api/v1/namespaces/n/pods/p", ""), named("delete", "pods", "p"));
        assert_eq!(spot(Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/n/leases/l", ""), None);
        assert_eq!(spot(Method::POST, "/apis/events.k8s.io/v1/namespaces/n/events", ""), None);
    }

    #[test]
    fn names_that_a_digest_or_the_cluster_gives_are_numbered() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wire = Wire::new("ns-7", reqwest::Client::new(), "", "", None);
        let key = |path: &str| {
            let request = Request::builder().method(Method::PUT).uri(path).body(()).expect("a request");
            wire.0.store_spot(&request.into_parts().0).expect("a point").2
        };
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        assert_eq!(key(&format!("/sweep/ns-7/titles/ns-7/title/blobs/{a}")), "titles/title/blobs/digest-1");
        assert_eq!(key(&format!("/sweep/ns-7/results/{b}.json")), "results/digest-2.json");
        assert_eq!(key(&format!("/sweep/ns-7/work/{a}/0a1b2c3d-2/progress.json")), "work/digest-1/uid-2/progress.json");
        assert_eq!(wire.0.name("jobs", "sr-99"), "job-1");
        assert_eq!(wire.0.name("pods", "sr-99-x7"), "pod-1");
        assert_eq!(wire.0.name("titleenrichments/status", "title"), "title");
    }
}
