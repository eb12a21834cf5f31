//! TitleEnrichment as it may be wanted: two good sources and bad ones, steps, models, classes.

use anyhow::Result;
use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Value, json};
use showrunner_contracts::Digest;
use showrunner_e2e::{
    faults::{recording::Recording, run::SOURCE, stage::Stage},
    mutation::Kind,
};

/// The same clip with one byte more: to everybody but a player another source.
const OTHER: &str = "ingest/other.mp4";
const EMPTY: &str = "ingest/empty.mp4";
const MISSING: &str = "ingest/missing.mp4";

pub(crate) struct Titles {
    clip: Vec<u8>,
    sha256: String,
}

impl Titles {
    pub(crate) fn of(recording: &Recording) -> Self {
        Self { clip: recording.clip.clone(), sha256: Digest::of(&recording.clip).hex().to_owned() }
    }
}

impl Kind for Titles {
    fn resource(&self) -> &'static str {
        "titleenrichments"
    }

    fn page(&self) -> &'static str {
        "title-enrichment"
    }

    fn start(&self) -> Value {
        json!({ "source": { "path": SOURCE }, "thumbnails": { "select": 1, "spriteInterval": "1s" } })
    }

    fn words(&self, field: &str) -> Option<Vec<Value>> {
        match field {
            "title.declaredRating" => {
                return Some(vec![json!({ "system": "BBFC", "category": "U" }), json!({ "system": "FSK", "category": "18" })]);
            }
            "review.decisions" => {
                // About results that there never were; the last one is refused.
                let about = |digest: &str, action: &str| json!([{ "step": "moderation", "digest": digest, "action": action, "by": "e2e" }]);
                let other = format!("sha256:{}", "0".repeat(64));
                let replace = json!([{
                    "step": "subtitles", "digest": other, "action": "Replace", "path": "corrected.vtt", "sha256": "0".repeat(64), "by": "e2e"
                }]);
                let pictures = json!([{
                    "step": "thumbnails", "digest": other, "action": "Replace", "by": "e2e",
                    "pictures": [{ "file": "thumbnail-0.jpg", "path": "corrected.jpg", "sha256": "0".repeat(64) }]
                }]);
                return Some(vec![
                    json!([]),
                    replace,
                    pictures,
                    about(&other, "Accept"),
                    about(&other, "Reject"),
                    about("abc", "Accept"),
                ]);
            }
            _ => {}
        }
        let words: &[&str] = match field {
            // The last ones are refused.
            "source.path" => &[SOURCE, OTHER, OTHER, EMPTY, MISSING, "/etc/passwd", "../clip.mp4"],
            // Good for the one source, wrong for the other.
            "source.sha256" => &[&self.sha256, "abc"],
            "source.store" => &["default", "archive"],
            "subtitles.language" => &["en", "de", "pt-BR", "pt-PT", "english"],
            "subtitles.model" => &["whisper-base", "whisper-tiny.en", "whisper-of-tomorrow"],
            "execution.class" => &["cpu", "t4"],
            // Too little is a deadline that passes: that is for tests with a clock of their own.
            "execution.spot.safetyFactor" => &["1", "2.5", "0.5", "11"],
            "execution.startDeadline" => &["5m", "1h", "9s"],
            "deadline" => &["5m", "1h30m", "720h", "59s", "721h"],
            "title.declaredRating.category" => &["U", "18", "PG-13"],
            "refresh" => &["once", "again"],
            _ => return None,
        };
        Some(words.iter().map(|word| Value::from(*word)).collect())
    }

    fn prepare<'a>(&'a self, stage: &'a Stage<'a>) -> BoxFuture<'a, Result<()>> {
        async move {
            stage.put(OTHER, [&self.clip[..], &[0]].concat()).await?;
            stage.put(EMPTY, Vec::new()).await
        }
        .boxed()
    }

    fn cure(&self, spec: &Value) -> Value {
        let (source, execution) = (&spec["source"], &spec["execution"]);
        let mut cure = json!({});
        if spec["suspend"] == true {
            cure["suspend"] = false.into();
        }
        if source["store"] != "default" {
            cure["source"]["store"] = "default".into();
        }
        if source["path"] == EMPTY || source["path"] == MISSING {
            cure["source"]["path"] = OTHER.into();
        }
        if source["path"] != SOURCE && !source["sha256"].is_null() {
            cure["source"]["sha256"] = Value::Null;
        }
        if spec["subtitles"]["model"] == "whisper-of-tomorrow" {
            cure["subtitles"]["model"] = "whisper-base".into();
        }
        if execution["accelerator"] != "None" && execution["class"] != "cpu" {
            cure["execution"]["accelerator"] = "None".into();
        }
        // A result that waits for a person would wait for ever.
        let review = &spec["review"];
        let waits = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
        let rated = spec["moderation"]["enabled"] == true && !spec["title"]["declaredRating"].is_null();
        if waits(&review["hold"]) && (rated || spec["subtitles"]["enabled"] == true) {
            cure["review"]["hold"] = json!([]);
        }
        if waits(&review["always"]) {
            cure["review"]["always"] = Value::Null;
        }
        // Some of the pods failed.
        if execution["retries"].as_u64().is_some_and(|retries| retries < 5) {
            cure["execution"]["retries"] = 5.into();
        }
        cure
    }

    fn work(&self, spec: &Value) -> Value {
        let step = |name: &str| if spec[name]["enabled"] == true { spec[name].clone() } else { Value::Null };
        let mut subtitles = step("subtitles");
        if let Some(tag) = subtitles["language"].as_str() {
            // Models know a language, not where it is spoken.
            subtitles["language"] = tag.split('-').next().into();
        }
        json!([
            spec["source"],
            step("shots"),
            step("thumbnails"),
            subtitles,
            step("chapters"),
            step("moderation"),
            step("fingerprint"),
            spec["duplicates"]["enabled"],
            spec["audio"]
        ])
    }

    fn pauses(&self, spec: &Value) -> bool {
        spec["suspend"] == true
    }

    fn moving(&self) -> &'static [&'static str] {
        &["Planned", "WaitingForAdmission", "WaitingToStart", "Working", "Publishing", "Cancelling"]
    }

    fn end(&self) -> &'static str {
        "Published"
    }
}
