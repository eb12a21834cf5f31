//! What a store answers: the code of an error, and what headers say of an object.
//!
//! Pure.

use http::HeaderMap;

use super::types::ObjectInfo;

/// Longest error code that is believed.
const MAX_CODE: usize = 64;

/// Longest `ETag` that is believed, bytes; MD5 in hex with a count of parts has 40. As long as a status has room for.
const MAX_ETAG: usize = 256;
/// Longest version that is believed, bytes: what S3 states as its longest.
const MAX_VERSION: usize = 1024;

/// The `Code` of an S3 error, or `unknown`. Only plain words are believed: the text goes into messages.
pub fn error_code(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    let plain = |code: &&str| !code.is_empty() && code.len() <= MAX_CODE && code.chars().all(|c| c.is_ascii_alphanumeric());
    code.filter(plain).unwrap_or("unknown").to_owned()
}

/// What the headers of an answer say of its object.
pub fn info_of(headers: &HeaderMap) -> ObjectInfo {
    // Of HEAD's answer the header counts; its body is empty.
    let size = header(headers, "content-length").and_then(|text| text.parse().ok()).unwrap_or_default();
    let version = header(headers, "x-amz-version-id").filter(|version| version != "null" && version.len() <= MAX_VERSION);
    ObjectInfo { size, etag: etag_of(headers), version }
}

/// The object's `ETag`, quotes and all; empty where the store gives none that can be stored and sent back.
pub(super) fn etag_of(headers: &HeaderMap) -> String {
    header(headers, "etag").filter(|etag| etag.len() <= MAX_ETAG).unwrap_or_default()
}

/// One header's text, where it is printable.
fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (!text.contains('\t')).then(|| text.to_owned())
}
