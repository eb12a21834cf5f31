//! The page for people: one file that shows what was found in a title. No I/O.
//!
//! Nothing is loaded from anywhere (pictures are inlined, scripts there are none, a content security policy says so), and
//! every text is escaped: names, words and numbers come from media that nobody here has vetted.

mod parts;
mod sprite;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use base64::Engine as _;
use bytes::Bytes;
use showrunner_contracts::{
    Digest,
    documents::{ShotsDocument, SubtitlesDocument, ThumbnailsDocument},
    manifest::{RunDocument, TitleManifest},
    time::TimeBase,
};

/// Most bytes of pictures that are inlined; what does not fit is left out, and the page says so.
pub const MAX_PICTURE_BYTES: usize = 12 << 20;

const STYLE: &str = include_str!("style.css");

/// What the page shows.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The title's namespace.
    pub namespace: &'a str,
    /// The title's name.
    pub name: &'a str,
    /// Digest of the manifest.
    pub digest: &'a Digest,
    /// The manifest.
    pub manifest: &'a TitleManifest,
    /// What it took.
    pub run: &'a RunDocument,
    /// Files by name, as far as the page shows them.
    pub files: &'a BTreeMap<String, Bytes>,
    /// Currency of the costs.
    pub currency: &'a str,
}

/// Whether a file of a step is shown on the page.
pub fn shows(name: &str) -> bool {
    matches!(name, "shots.json" | "thumbnails.json" | "subtitles.json" | "sprite.vtt") || is_picture(name)
}

fn is_picture(name: &str) -> bool {
    (name.starts_with("thumbnail-") || name.starts_with("sprite-"))
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
        && name.strip_suffix(".jpg").is_some()
}

/// The page.
pub fn html(page: &Page<'_>) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail; a part that could would only end the page early.
    let _ = write(page, &mut out);
    out
}

fn write(page: &Page<'_>, out: &mut String) -> fmt::Result {
    let shots: Option<ShotsDocument> = document(page, "shots.json");
    let thumbnails: Option<ThumbnailsDocument> = document(page, "thumbnails.json");
    let subtitles: Option<SubtitlesDocument> = document(page, "subtitles.json");
    let tiles = page.files.get("sprite.vtt").map(|bytes| sprite::tiles(bytes)).unwrap_or_default();
    let pictures = choose(page);
    write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title>\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"referrer\" content=\"no-referrer\">\
         <style>{STYLE}",
        name = text(page.name),
    )?;
    for (name, uri) in pictures.iter().filter(|(name, _)| name.starts_with("sprite-")) {
        write!(out, ".{}{{background-image:url({uri})}}", class_of(name))?;
    }
    out.push_str("</style></head><body>");
    parts::head(page, out)?;
    parts::steps(page, out)?;
    if let Some(thumbnails) = &thumbnails {
        parts::thumbnails(thumbnails, &pictures, out)?;
    }
    if let Some(shots) = &shots {
        parts::shots(shots, &tiles, &pictures, out)?;
    }
    if let Some(subtitles) = &subtitles {
        parts::subtitles(subtitles, page.manifest, out)?;
    }
    parts::attempts(page, out)?;
    parts::files(page, out)?;
    if page.files.keys().filter(|name| is_picture(name)).count() > pictures.len() {
        write!(
            out,
            "<p class=\"note\">Some pictures are left out: together they are larger than {} MiB.</p>",
            MAX_PICTURE_BYTES >> 20
        )?;
    }
    out.push_str("</body></html>\n");
    Ok(())
}

/// The pictures that fit, thumbnails first, as data URIs.
fn choose(page: &Page<'_>) -> BTreeMap<String, String> {
    let mut names: Vec<&String> = page.files.keys().filter(|name| is_picture(name)).collect();
    names.sort_by_key(|name| (!name.starts_with("thumbnail-"), name.len(), name.as_str()));
    let mut left = MAX_PICTURE_BYTES;
    let mut chosen = BTreeMap::new();
    for name in names {
        let bytes = &page.files[name];
        if bytes.len() > left {
            continue;
        }
        left -= bytes.len();
        let data = base64::engine::general_purpose::STANDARD.encode(bytes);
        chosen.insert(name.clone(), format!("data:image/jpeg;base64,{data}"));
    }
    chosen
}

/// A document of a step; one that cannot be read is not shown.
fn document<D: showrunner_contracts::Document>(page: &Page<'_>, name: &str) -> Option<D> {
    page.files.get(name).and_then(|bytes| D::from_bytes(bytes).ok())
}

/// CSS class of a trick-play sheet: letters, digits and dashes only.
fn class_of(name: &str) -> String {
    name.trim_end_matches(".jpg").chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
}

/// A text that can stand in HTML, in an attribute too.
struct Text<'a>(&'a str);

fn text(text: &str) -> Text<'_> {
    Text(text)
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Control characters, and those that turn the direction of what follows.
                c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => f.write_char(' ')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Ticks as milliseconds; never negative.
fn millis(ticks: i64, base: TimeBase) -> u64 {
    let ticks = u128::try_from(ticks.max(0)).unwrap_or_default();
    let millis = ticks * u128::from(base.num) * 1000 / u128::from(base.den.max(1));
    u64::try_from(millis).unwrap_or(u64::MAX)
}

/// `1:02:03.4`, without hours where there are none.
fn clock(millis: u64) -> String {
    let (tenths, seconds) = (millis / 100 % 10, millis / 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}.{tenths}") } else { format!("{minutes}:{seconds:02}.{tenths}") }
}
