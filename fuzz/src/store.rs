//! Object stores: what they answer, and which requests are signed for them. No I/O.

use http::{HeaderMap, HeaderName, HeaderValue};
use showrunner_kit::{
    clock::Clock,
    metrics::Metrics,
    store::{Location, Precondition, Profile, Store, answer},
};
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

/// How long a grant of these tests is good.
const AN_HOUR: Duration = Duration::from_hours(1);
/// Longest key that S3 takes, bytes.
const MAX_KEY: usize = 1024;

/// An answer as it comes over the wire: header lines, an empty line, a body.
pub(crate) fn answer(input: &[u8]) {
    let mut headers = HeaderMap::new();
    let mut rest = input;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = rest[..end].trim_ascii_end();
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    let code = answer::error_code(rest);
    assert!(!code.is_empty() && code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric()), "{code:?}");
    // What is taken over is stored in a status, whose schema has these limits, and sent back as a header.
    let info = answer::info_of(&headers);
    let printable = |text: &str| text.bytes().all(|b| matches!(b, b' '..=b'~'));
    assert!(info.etag.len() <= 256 && printable(&info.etag), "{:?}", info.etag);
    assert!(info.version.iter().all(|version| version.len() <= 1024 && printable(version)), "{:?}", info.version);
}

/// A namespace on the first line, a path below it on the second.
pub(crate) fn path(input: &[u8]) {
    static STORES: LazyLock<Vec<Store>> = LazyLock::new(|| {
        let prefixes = ["", "showrunner/{namespace}/", "a/b"];
        prefixes
            .iter()
            .map(|prefix| store(&profile("http://s3.example:9000", "titles", prefix)).expect("a good profile"))
            .collect()
    });
    let text = String::from_utf8_lossy(input);
    let (namespace, path) = text.split_once('\n').unwrap_or(("studio", &text));
    for store in STORES.iter() {
        let Ok(location) = store.locate(namespace, path) else { continue };
        assert_eq!(location.path(), path);
        assert!(location.key().len() <= MAX_KEY && location.key().ends_with(path));
        is_signed_exactly(store, &location);
        if let Ok(inside) = location.join(path) {
            assert!(inside.key().starts_with(location.key()));
            is_signed_exactly(store, &inside);
        }
    }
}

/// Whether a profile that was accepted signs for its own endpoint and bucket only.
pub(crate) fn signs_only_for_its_own(profile: &Profile) {
    let unsigned = Profile { credentials: None, ..profile.clone() };
    let Ok(store) = store(&unsigned) else { return };
    if let Ok(location) = store.locate("studio", "in/a b?c#d.mp4") {
        is_signed_exactly(&store, &location);
    }
}

/// Whether the grants for a location lead to its key and to nothing else, after another parser had the address.
fn is_signed_exactly(store: &Store, location: &Location) {
    let profile = store.profile();
    let wanted =
        if profile.path_style { format!("/{}/{}", profile.bucket, location.key()) } else { format!("/{}", location.key()) };
    let read = store.presign_get(location, AN_HOUR).expect("no credentials to fail on");
    let write =
        store.presign_put(location, AN_HOUR, &Precondition::Absent, "application/json").expect("no credentials to fail on");
    for grant in [read, write] {
        let url: url::Url = grant.url.as_str().parse().expect("an address");
        let endpoint = profile.pod_endpoint.as_ref().unwrap_or(&profile.endpoint);
        let host = url.host_str().expect("a host");
        let own = endpoint.host_str().expect("a host");
        assert!(host == own || !profile.path_style && host == format!("{}.{own}", profile.bucket).to_lowercase(), "{url}");
        assert_eq!((url.scheme(), url.port_or_known_default()), (endpoint.scheme(), endpoint.port_or_known_default()));
        assert_eq!(decoded(url.path()), wanted.as_bytes(), "{url}");
        assert!(url.fragment().is_none() && url.username().is_empty());
    }
}

/// A path with its escapes resolved; an escape that is none is a fault.
fn decoded(path: &str) -> Vec<u8> {
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).expect("an escape"));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

fn store(profile: &Profile) -> Result<Store, String> {
    Store::new(profile.clone(), Arc::new(Metrics::new()), Clock::start()).map_err(|error| error.to_string())
}

fn profile(endpoint: &str, bucket: &str, prefix: &str) -> Profile {
    let json = serde_json::json!({ "name": "media", "endpoint": endpoint, "bucket": bucket, "prefix": prefix });
    serde_json::from_value(json).expect("a profile")
}
