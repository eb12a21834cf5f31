//! What goes into and comes out of a store.
//!
//! Pure.

use bytes::Bytes;
use url::Url;

/// What is known of an object without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Bytes.
    pub size: u64,
    /// `ETag`, quotes and all.
    pub etag: String,
    /// Version, where the bucket keeps versions.
    pub version: Option<String>,
}

/// An object with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The content, whole.
    pub body: Bytes,
    /// The rest.
    pub info: ObjectInfo,
}

/// What must be so for a write to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    None,
    /// There is no such object (`If-None-Match: *`): the first writer wins.
    Absent,
    /// The object has this `ETag` (`If-Match`).
    Matches(String),
}

impl Precondition {
    pub(super) fn header(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::None => None,
            Self::Absent => Some(("if-none-match", "*")),
            Self::Matches(etag) => Some(("if-match", etag)),
        }
    }
}

/// A request that somebody without credentials may send until it expires. Holds a signature: not for logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// Method.
    pub method: &'static str,
    /// Signed URL.
    pub url: Url,
    /// Headers that are signed too and must be sent as they are, lower case.
    pub headers: Vec<(String, String)>,
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Grant({} {})", self.method, self.url.path())
    }
}
