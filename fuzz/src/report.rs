//! The page for people, made of documents that nobody here has vetted: nothing in them becomes markup. No I/O.

use bytes::Bytes;
use serde_json::Value;
use showrunner_contracts::{
    Digest, Document as _,
    manifest::{RunDocument, TitleManifest},
};
use showrunner_controllers::title_enrichment::report::{Page, html};
use std::collections::BTreeMap;

use crate::markup::{Token, tokens};

/// Elements that the page is made of.
const ELEMENTS: [&str; 42] = [
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "svg",
    "defs",
    "image",
    "use",
    "rect",
    "header",
    "nav",
    "section",
    "h1",
    "h2",
    "h3",
    "p",
    "small",
    "dl",
    "dt",
    "dd",
    "div",
    "ul",
    "li",
    "span",
    "i",
    "b",
    "a",
    "figure",
    "figcaption",
    "img",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "br",
    "g",
    "text",
    "code",
];
/// Elements without an end.
const VOID: [&str; 3] = ["meta", "img", "br"];

/// `{"name": …, "manifest": {…}, "run": {…}, "files": {"shots.json": {…}, "sprite.vtt": "…"}}`.
pub(crate) fn report(input: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(input) else { return };
    let bytes = |value: &Value| match value {
        Value::String(text) => text.clone().into_bytes(),
        value => value.to_string().into_bytes(),
    };
    let (Ok(manifest), Ok(run)) =
        (TitleManifest::from_bytes(&bytes(&value["manifest"])), RunDocument::from_bytes(&bytes(&value["run"])))
    else {
        return;
    };
    let files = value["files"].as_object().cloned().unwrap_or_default();
    let files: BTreeMap<String, Bytes> = files.into_iter().map(|(name, file)| (name, Bytes::from(bytes(&file)))).collect();
    let name = value["name"].as_str().unwrap_or_default();
    let digest = Digest::of(input);
    let page = Page { namespace: name, name, digest: &digest, manifest: &manifest, run: &run, files: &files, currency: name };
    let page = html(&page);
    assert!(page.ends_with("</body></html>\n"), "the page is whole");
    is_harmless(&page);
}

/// Whether a page holds only what we put there: known elements, well nested, and nothing that runs or is fetched.
fn is_harmless(page: &str) {
    let page = page.strip_prefix("<!doctype html>").expect("a document type");
    let mut open: Vec<&str> = Vec::new();
    for token in tokens(page) {
        match token {
            Token::Open { name, attributes, closed } => {
                assert!(ELEMENTS.contains(&name), "<{name}>");
                for (key, value) in &attributes {
                    assert!(!key.starts_with("on") && *key != "style", "{key} on <{name}>");
                    if matches!(*key, "href" | "src") {
                        let inlined = matches!(name, "image" | "img") && value.starts_with("data:image/jpeg;base64,");
                        assert!(inlined || value.starts_with('#'), "<{name}> fetches {value:?}");
                    }
                }
                if !closed && !VOID.contains(&name) {
                    open.push(name);
                }
            }
            Token::Close(name) => assert_eq!(open.pop(), Some(name), "well nested"),
            Token::Text(text) => {
                let styled = open.last() == Some(&"style");
                assert!(styled || !text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
            }
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}
