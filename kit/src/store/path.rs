//! Paths below a profile: what they may look like, and what key they become.
//!
//! Pure.

use std::fmt;

use super::error::StoreError;
use super::profile::{NAMESPACE_MARK, Profile};

/// Longest key that S3 takes, bytes.
pub const MAX_KEY: usize = 1024;

/// An object in a store: a key that has been checked and lies below the profile's prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    key: String,
    /// Length of the prefix in `key`.
    prefix: usize,
}

impl Location {
    /// Where `path` of a resource in `namespace` lies.
    pub(super) fn new(profile: &Profile, namespace: &str, path: &str) -> Result<Self, StoreError> {
        let escapes = |why| StoreError::PathEscapes { path: crate::conditions::clean(path), why };
        check(path).map_err(escapes)?;
        let mut prefix = profile.prefix.replace(NAMESPACE_MARK, namespace);
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        let key = format!("{prefix}{path}");
        // The namespace is the API server's, but the key is what counts: checked whole.
        check(&key).map_err(escapes)?;
        Ok(Self { prefix: prefix.len(), key })
    }

    /// A path below this one.
    pub fn join(&self, path: &str) -> Result<Self, StoreError> {
        let escapes = |why| StoreError::PathEscapes { path: crate::conditions::clean(path), why };
        check(path).map_err(escapes)?;
        let key = format!("{}/{path}", self.key);
        check(&key).map_err(escapes)?;
        Ok(Self { key, prefix: self.prefix })
    }

    /// The whole key in the bucket.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The path below the profile, as the resource said it.
    pub fn path(&self) -> &str {
        &self.key[self.prefix..]
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// Whether a path is one that every store and every URL library reads in the same way; else why not.
pub(super) fn check(path: &str) -> Result<(), &'static str> {
    let refused = [
        (path.is_empty(), "it is empty"),
        (path.len() > MAX_KEY, "it is longer than 1024 bytes"),
        (path.starts_with('/'), "it begins with a slash"),
        (path.chars().any(char::is_control), "it has control characters"),
        (path.contains('\\'), "it has a backslash"),
        (path.split('/').any(str::is_empty), "it has an empty segment"),
        (path.split('/').any(|segment| matches!(segment, "." | "..")), "it has a dot segment"),
        // What is decoded once too often on its way must not become a dot segment then.
        (has_encoded_dots(path), "it has an encoded dot segment"),
    ];
    refused.into_iter().find(|(is, _)| *is).map_or(Ok(()), |(_, why)| Err(why))
}

fn has_encoded_dots(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    lower.contains("%2e") || lower.contains("%2f") || lower.contains("%5c") || lower.contains("%00") || lower.contains("%25")
}

#[cfg(test)]
mod tests {
    use super::super::profile::tests::profile;
    use super::*;

    fn locate(path: &str) -> Result<Location, StoreError> {
        Location::new(&profile("http://s3.example"), "prod", path)
    }

    #[test]
    fn a_path_lies_below_the_namespace_of_its_resource() {
        let location = locate("in/Tale of two cities é.mp4").unwrap();
        assert_eq!(location.key(), "showrunner/prod/in/Tale of two cities é.mp4");
        assert_eq!(location.path(), "in/Tale of two cities é.mp4");
        assert_eq!(location.join("a/b").unwrap().key(), "showrunner/prod/in/Tale of two cities é.mp4/a/b");
    }

    #[test]
    fn a_path_that_leaves_its_profile_is_refused() {
        let long = "a".repeat(1100);
        for path in [
            "",
            "/",
            "/a",
            "..",
            "../a",
            "a/../b",
            "a/..",
            "a/./b",
            "a//b",
            "a/",
            "a\\..\\b",
            "a\nb",
            "a\0b",
            "%2e%2e/a",
            "a/%2E./b",
            "a%2fb",
            "%252e%252e/a",
            long.as_str(),
        ] {
            assert!(matches!(locate(path), Err(StoreError::PathEscapes { .. })), "{path:?}");
            assert!(locate("a").unwrap().join(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_namespace_cannot_climb_either() {
        assert!(Location::new(&profile("http://s3.example"), "..", "a").is_err());
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_accepted_stays_below_the_prefix_after_a_url_parser_had_it(path in "\\PC{0,40}") {
            if let Ok(location) = locate(&path) {
                let url: url::Url = format!("http://s3.example/{}", location.key().replace('%', "%25").replace('?', "%3F").replace('#', "%23")).parse().unwrap();
                proptest::prop_assert!(url.path().starts_with("/showrunner/prod/"), "{}", url);
            }
        }
    }
}
