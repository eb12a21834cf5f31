//! Puts a frozen world into a control plane and a store, as a backup would be put back.
//!
//! I/O: writes objects into etcd, past the API server, so that they have the UIDs, generations and deletion times that
//! they had; PUTs to the store. Times are moved by as long as the world was frozen; requests are signed anew.

use super::{
    freeze::change_orders,
    frozen::{Frozen, GRANT, each_string},
};
use crate::faults::{
    plane::{apply, served},
    run::Means,
};
use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use serde_json::{Value, json};
use std::{fmt::Write as _, time::Duration};

/// How long the API server may go on with watches of a definition that has changed.
const ENDED_WITHIN: Duration = Duration::from_secs(90);

/// Applies definitions as an upgrade of their chart does, and waits until they are served. Watches of a kind end when its definition
/// changes, and what is written before they are opened again would be missed.
pub async fn define(means: &Means, definitions: &[Value]) -> Result<()> {
    for definition in definitions {
        let kind = definition["spec"]["names"]["plural"].as_str().context("a definition has a plural")?;
        let reopened = means.history.reopened(kind);
        let api: Api<CustomResourceDefinition> = Api::all(means.client.clone());
        let before = api.get_opt(definition["metadata"]["name"].as_str().context("a definition has a name")?).await?;
        let after = apply(&means.client, definition).await?;
        served(&means.client, definition).await?;
        if means.history.kind(kind).is_some() && before.is_some_and(|before| before.metadata.generation != after) {
            means.history.reopens(kind, reopened, ENDED_WITHIN).await?;
        }
    }
    Ok(())
}

/// Sets up objects and store of a frozen world; its namespace is there.
pub async fn restore(means: &Means, etcd: &str, frozen: &Frozen) -> Result<()> {
    for (key, bytes) in &frozen.store {
        means.store.put(key, bytes.clone()).await?;
    }
    let thawed: SignedDuration = Timestamp::now().duration_since(frozen.at);
    let by = SignedDuration::from_secs(thawed.as_secs());
    for object in &frozen.objects {
        let mut object = object.clone();
        change_orders(&mut object, &|order| sign(order, means));
        let text = moved(&object.to_string(), by);
        put(means, etcd, &place(&object)?, &text).await?;
    }
    Ok(())
}

/// Signs an order's requests: those that it grants write, the others read.
fn sign(order: &mut Value, means: &Means) {
    let signed = |write: bool| {
        move |text: &mut String| {
            if let Some(key) = text.strip_prefix(GRANT) {
                *text = means.store.signed(key, write);
            }
        }
    };
    each_string(&mut order["grants"], &signed(true));
    each_string(order, &signed(false));
}

/// Where the API server keeps an object.
fn place(object: &Value) -> Result<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("an object has kind, namespace and name");
    let (kind, namespace, name) =
        (text(&object["kind"])?, text(&object["metadata"]["namespace"])?, text(&object["metadata"]["name"])?);
    let resource = match kind.as_str() {
        "Job" => "jobs".to_owned(),
        "Pod" => "pods".to_owned(),
        _ => {
            let group = text(&object["apiVersion"])?;
            format!("{}/{}s", group.split('/').next().unwrap_or_default(), kind.to_lowercase())
        }
    };
    Ok(format!("/registry/{resource}/{namespace}/{name}"))
}

async fn put(means: &Means, etcd: &str, key: &str, value: &str) -> Result<()> {
    let body = json!({ "key": base64(key.as_bytes()), "value": base64(value.as_bytes()) });
    let answer = means.http.post(format!("{etcd}/v3/kv/put")).body(body.to_string()).send().await?;
    ensure!(answer.status().is_success(), "etcd answers {} to {key}: {}", answer.status(), answer.text().await?);
    Ok(())
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let three = chunk.iter().chain(&[0, 0]).take(3).fold(0u32, |all, byte| all << 8 | u32::from(*byte));
        for digit in 0..4 {
            let index = (three >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    text
}

/// What the seconds of a time look like: a digit for each 0.
const SECONDS: &[u8] = b"0000-00-00T00:00:00";

/// Text with every time in it (RFC 3339, UTC) moved by whole seconds; parts of seconds stay as they are.
fn moved(text: &str, by: SignedDuration) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = find_time(rest) {
        let (before, time) = rest.split_at(at);
        let (seconds, after) = time.split_at(SECONDS.len());
        out.push_str(before);
        match format!("{seconds}Z").parse::<Timestamp>() {
            Ok(found) => {
                let later = (found + by).to_string();
                let _ = write!(out, "{}", later.trim_end_matches('Z'));
            }
            Err(_) => out.push_str(seconds),
        }
        rest = after;
    }
    out + rest
}

/// Where the first time begins.
fn find_time(text: &str) -> Option<usize> {
    let fits = |window: &[u8]| {
        window.iter().zip(SECONDS).all(|(byte, mask)| if *mask == b'0' { byte.is_ascii_digit() } else { byte == mask })
    };
    text.as_bytes().windows(SECONDS.len()).position(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moved_wherever_they_stand_and_keep_their_parts_of_seconds() {
        let text = r#"{"a":"2026-11-24T23:59:59Z","b":"at 2026-11-24T09:00:00.000120Z or so","c":"{\"d\":\"2026-11-24T09:00:00Z\"}","e":"2026-11-24"}"#;
        let wanted = r#"{"a":"2026-11-25T00:00:04Z","b":"at 2026-11-24T09:00:05.000120Z or so","c":"{\"d\":\"2026-11-24T09:00:05Z\"}","e":"2026-11-24"}"#;
        assert_eq!(moved(text, SignedDuration::from_secs(5)), wanted);
    }

    /// RFC 4648, section 10.
    #[test]
    fn base64_is_that_of_the_rfc() {
        let wanted = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, wanted) in wanted.into_iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..length]), wanted);
        }
    }
}
