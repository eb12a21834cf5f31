//! What Showrunner's own processes say to each other: work orders, results, published documents.
//!
//! Versioned serde types and nothing else; no I/O. Every document names its schema in its first field, readers refuse
//! a schema they do not know, and everything read from outside is bounded before it is parsed.
//!
//! What asks for work is read strictly: an order with a field that the worker does not know is refused, for it may be the
//! one that matters. What tells of work is read tolerantly: an operator that was rolled back reads what a newer worker
//! committed, and passes over what it does not know. The published schemas are closed all the same: they say what is written.
#![forbid(unsafe_code)]

pub mod catalogue;
mod digest;
pub mod documents;
pub mod lease;
pub mod lock;
pub mod manifest;
pub mod progress;
pub mod result;
pub mod step;
pub mod time;
pub mod work_order;

pub use digest::{Digest, DigestError};

use serde::{Serialize, de::DeserializeOwned};

/// Largest JSON document any reader of ours accepts, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 4 << 20;

/// Why a document was refused.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Longer than [`MAX_DOCUMENT_BYTES`].
    #[error("document of {0} bytes is larger than the limit of {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge(usize),
    /// Not the JSON that the schema describes.
    #[error("failed to read the document as {schema}: {}", short(.source))]
    Malformed {
        /// The schema that was expected.
        schema: &'static str,
        /// What the parser says, with line and column.
        source: serde_json::Error,
    },
    /// A schema this version does not know.
    #[error("document has schema {found:?}, this version reads {expected:?}: upgrade the older of the two sides")]
    WrongSchema {
        /// The schema the document names (first 80 characters).
        found: String,
        /// The schema this reader knows.
        expected: &'static str,
    },
}

/// Longest quotation of the parser's words, characters: they may quote the document.
const MAX_WORDS: usize = 300;

fn short(error: &serde_json::Error) -> String {
    error.to_string().chars().take(MAX_WORDS).collect()
}

/// A document with a schema name, read and written as JSON.
pub trait Document: Serialize + DeserializeOwned {
    /// The schema's name and version, the value of the field `schema`.
    const SCHEMA: &'static str;

    /// The document's bytes: compact JSON with fields in declaration order, so that equal values have equal bytes.
    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("our documents have string keys and no failing serializers")
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`ReadError`] when the bytes are too long, not this document, or of another schema.
    fn from_bytes(bytes: &[u8]) -> Result<Self, ReadError> {
        #[derive(serde::Deserialize)]
        struct Head {
            schema: String,
        }
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(ReadError::TooLarge(bytes.len()));
        }
        let malformed = |source| ReadError::Malformed { schema: Self::SCHEMA, source };
        let head: Head = serde_json::from_slice(bytes).map_err(malformed)?;
        if head.schema != Self::SCHEMA {
            return Err(ReadError::WrongSchema { found: head.schema.chars().take(80).collect(), expected: Self::SCHEMA });
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }
}

/// Declares the `schema` field's value and implements [`Document`].
macro_rules! document {
    ($type:ty, $schema:literal) => {
        impl $crate::Document for $type {
            const SCHEMA: &'static str = $schema;
        }
    };
}
pub(crate) use document;
