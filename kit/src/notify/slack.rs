//! Messages as incoming webhooks of Slack and its likes take them: a text for those who show no blocks, and blocks.
//!
//! Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::text::slack as escape;
use super::{Clean, Event};

/// Longest text of a block, UTF-16 units. Slack's limit is 3000.
const MAX_BLOCK: usize = 2900;
/// Longest text of the lines below the message: all blocks together must stay below some 13000.
const MAX_SMALL: usize = 1500;

/// The message for a notice.
pub(super) fn body(notice: &Clean) -> Value {
    let event = match notice.event {
        Event::Firing => "FIRING",
        Event::Resolved => "RESOLVED",
    };
    let severity = notice.severity.as_str();
    // Escaped before anything of ours is put around it.
    let summary = escape(&notice.summary, MAX_BLOCK);
    let mut blocks = vec![section(&format!("*[{event}] {severity}* {summary}"))];
    if !notice.description.is_empty() {
        blocks.push(section(&escape(&notice.description, MAX_BLOCK)));
    }
    if let Some(links) = links(notice) {
        blocks.push(section(&links));
    }
    let mut small = format!("{} since {:.0}", notice.name, notice.since);
    for (name, value) in &notice.labels {
        let _ = write!(small, ", {name}: {value}"); // Writing to a string cannot fail.
    }
    blocks.push(json!({ "type": "context", "elements": [markup(&escape(&small, MAX_SMALL))] }));
    json!({
        "text": format!("[{event}] {severity}: {summary}"),
        "blocks": blocks,
        // Nothing in it is looked up: neither names of people nor pages.
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

fn links(notice: &Clean) -> Option<String> {
    let mut all = String::new();
    for (word, url) in &notice.links {
        // The bar would end the URL.
        let url = url.as_str().replace('|', "%7C").replace('<', "%3C").replace('>', "%3E").replace('&', "&amp;");
        let word = escape(if word.is_empty() { "link" } else { word }, MAX_SMALL).replace('|', "/");
        let link = format!("{}<{url}|{word}>", if all.is_empty() { "" } else { "  " });
        // A link is there whole or not at all.
        if all.len() + link.len() <= MAX_BLOCK {
            all.push_str(&link);
        }
    }
    (!all.is_empty()).then_some(all)
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": markup(text) })
}

/// `verbatim`: channels, people and URLs that are merely named are no links.
fn markup(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}
