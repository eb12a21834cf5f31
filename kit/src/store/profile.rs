//! What an object-store profile says, and whether it makes sense.
//!
//! Pure.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::path;

/// Stands for the namespace of the resource in a prefix.
pub const NAMESPACE_MARK: &str = "{namespace}";
/// Longest profile name; it is a label value too.
const MAX_NAME: usize = 63;

/// One object store, as the operator's configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// Name that resources refer to; a DNS label.
    pub name: String,
    /// `http` or `https` URL of the S3 service, without bucket or path.
    pub endpoint: Url,
    /// Region to sign for.
    #[serde(default = "default_region")]
    pub region: String,
    /// Bucket.
    pub bucket: String,
    /// What every key begins with; `{namespace}` stands for the namespace of the resource, so that namespaces cannot
    /// read each other's objects. Without the mark, all namespaces that may name the profile share what is below it.
    #[serde(default)]
    pub prefix: String,
    /// Networks (CIDR) of the store that job pods may reach; for network policies.
    #[serde(default)]
    pub ranges: Vec<String>,
    /// Folder with the files `accessKeyId` and `secretAccessKey`; read again when they change. None: no signature.
    #[serde(default)]
    pub credentials: Option<PathBuf>,
    /// Whether the bucket is a part of the path rather than of the host name.
    #[serde(default = "default_path_style")]
    pub path_style: bool,
    /// Endpoint that job pods dial, when it differs from the operator's: grants are signed for it.
    #[serde(default)]
    pub pod_endpoint: Option<Url>,
    /// Requests per second that this process sends to the store, all objects together.
    #[serde(default = "default_rate")]
    pub requests_per_second: u32,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

fn default_path_style() -> bool {
    true
}

fn default_rate() -> u32 {
    50
}

/// A profile that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to accept object-store profile {profile:?}: {message}")]
pub struct ProfileError {
    /// Which.
    pub profile: String,
    /// What is wrong.
    pub message: String,
}

impl Profile {
    /// Whether all namespaces lie below the same prefix.
    pub fn is_shared(&self) -> bool {
        !self.prefix.contains(NAMESPACE_MARK)
    }

    /// Checks everything that can be checked without dialling.
    pub fn check(&self) -> Result<(), ProfileError> {
        let refuse = |message: String| Err(ProfileError { profile: self.name.clone(), message });
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if self.name.len() > MAX_NAME
            || !self.name.chars().all(label)
            || !self.name.starts_with(ends)
            || !self.name.ends_with(ends)
        {
            return refuse("its name must be lower-case letters, digits and dashes".into());
        }
        for endpoint in std::iter::once(&self.endpoint).chain(&self.pod_endpoint) {
            let plain = endpoint.path() == "/" && endpoint.query().is_none() && endpoint.fragment().is_none();
            if !matches!(endpoint.scheme(), "http" | "https") || endpoint.host().is_none() || !plain {
                return refuse(format!("endpoint {endpoint} must be http(s)://host[:port] and nothing more"));
            }
            if !endpoint.username().is_empty() || endpoint.password().is_some() {
                return refuse("its endpoint must not hold credentials; name a credentials folder".into());
            }
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if !self.bucket.chars().all(plain) || !self.bucket.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return refuse("its bucket must be a bucket name".into());
        }
        if self.requests_per_second == 0 {
            return refuse("requestsPerSecond must be at least 1".into());
        }
        let sample = self.prefix.replace(NAMESPACE_MARK, "namespace");
        if !sample.is_empty() && path::check(sample.trim_end_matches('/')).is_err() || sample.contains(['{', '}']) {
            return refuse(format!("prefix {:?} must be a plain path; the only mark is {NAMESPACE_MARK}", self.prefix));
        }
        match self.ranges.iter().find(|range| !is_cidr(range)) {
            Some(range) => refuse(format!("{range:?} is no network in CIDR notation")),
            None => Ok(()),
        }
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    match (address.parse::<IpAddr>(), bits.parse::<u8>()) {
        (Ok(IpAddr::V4(_)), Ok(bits)) => bits <= 32,
        (Ok(IpAddr::V6(_)), Ok(bits)) => bits <= 128,
        _ => false,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::store) fn profile(endpoint: &str) -> Profile {
        Profile {
            name: "media".into(),
            endpoint: endpoint.parse().unwrap(),
            region: default_region(),
            bucket: "titles".into(),
            prefix: "showrunner/{namespace}/".into(),
            ranges: vec!["10.0.0.0/8".into()],
            credentials: None,
            path_style: true,
            pod_endpoint: None,
            requests_per_second: 1000,
        }
    }

    #[test]
    fn a_good_profile_is_accepted() {
        profile("https://s3.example").check().unwrap();
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        type Break = fn(&mut Profile);
        let cases: [(Break, &str); 9] = [
            (|p| p.name = "Media".into(), "lower-case"),
            (|p| p.endpoint = "ftp://s3.example".parse().unwrap(), "http(s)"),
            (|p| p.endpoint = "http://s3.example/bucket".parse().unwrap(), "nothing more"),
            (|p| p.endpoint = "http://key:secret@s3.example".parse().unwrap(), "credentials"),
            (|p| p.bucket = "a/b".into(), "bucket"),
            (|p| p.bucket = "..".into(), "bucket"),
            (|p| p.prefix = "a/../b".into(), "plain path"),
            (|p| p.prefix = "{name}/".into(), "only mark"),
            (|p| p.ranges = vec!["10.0.0.0".into()], "CIDR"),
        ];
        for (break_it, expected) in cases {
            let mut profile = profile("https://s3.example");
            break_it(&mut profile);
            let error = profile.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
