//! The page for people: one file that shows what was found in a title. No I/O.
//!
//! Nothing is loaded from anywhere (pictures are inlined, scripts there are none, a content security policy lets one style
//! through, by its digest), and
//! every text is escaped: names, words and numbers come from media that nobody here has vetted.

mod duplicates;
mod fingerprint;
mod moderation;
mod parts;
mod sprite;
mod timeline;
mod took;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use showrunner_contracts::{
    Digest,
    documents::{
        ChaptersDocument, DuplicatesDocument, FingerprintDocument, ModerationDocument, ShotsDocument, SubtitlesDocument,
        ThumbnailsDocument,
    },
    manifest::{RunDocument, TitleManifest},
    step::{MAX_STILL_SHEETS, Step, still_sheet},
    time::TimeBase,
};

use sprite::Tile;

/// Most bytes of pictures that are inlined; what does not fit is left out, and the page says so.
pub const MAX_PICTURE_BYTES: usize = 12 << 20;
/// Most shots, thumbnails and cues that the page shows.
const MAX_ROWS: usize = 2000;

/// The only style that the page's policy lets through, by its digest: nothing in a title can add another.
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

/// What the steps say, as far as it could be read.
struct Documents {
    shots: Option<ShotsDocument>,
    thumbnails: Option<ThumbnailsDocument>,
    subtitles: Option<SubtitlesDocument>,
    chapters: Option<ChaptersDocument>,
    moderation: Option<ModerationDocument>,
    fingerprint: Option<FingerprintDocument>,
    duplicates: Option<DuplicatesDocument>,
    /// Trick play.
    tiles: Vec<Tile>,
}

/// The pictures that the page holds, as data URIs, by file name.
type Pictures = BTreeMap<String, String>;

/// Whether a file of a step is shown on the page.
pub fn shows(name: &str) -> bool {
    let documents = ["shots", "thumbnails", "chapters", "moderation", "fingerprint", "duplicates", "subtitles"]
        .map(|step| format!("{step}.json"));
    name == "sprite.vtt" || documents.iter().any(|document| document == name) || is_picture(name)
}

fn is_picture(name: &str) -> bool {
    (name.starts_with("thumbnail-") || is_sheet(name))
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
        && name.strip_suffix(".jpg").is_some()
}

/// Whether parts of the picture are shown, and not the whole.
fn is_sheet(name: &str) -> bool {
    name.starts_with("sprite-") || (0..MAX_STILL_SHEETS).any(|sheet| still_sheet(sheet) == name)
}

/// The page.
pub fn html(page: &Page<'_>) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail; a part that could would only end the page early.
    let _ = write(page, &mut out);
    out
}

fn write(page: &Page<'_>, out: &mut String) -> fmt::Result {
    let documents = Documents {
        shots: document(page, "shots.json"),
        thumbnails: document(page, "thumbnails.json"),
        subtitles: document(page, "subtitles.json"),
        chapters: document(page, "chapters.json"),
        moderation: document(page, "moderation.json"),
        fingerprint: document(page, "fingerprint.json"),
        duplicates: document(page, "duplicates.json"),
        tiles: page
            .files
            .get("sprite.vtt")
            .map(|bytes| sprite::tiles(bytes, |hex| name_of(page.manifest, hex)))
            .unwrap_or_default(),
    };
    let wanted = wanted(page, &documents);
    let pictures = choose(page, &wanted);
    write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title>\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'sha256-{style}'; \
         base-uri 'none'; form-action 'none'\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"referrer\" content=\"no-referrer\">\
         <style>{STYLE}</style></head><body>",
        name = text(page.name),
        style = BASE64.encode(Sha256::digest(STYLE)),
    )?;
    sheets(&pictures, out)?;
    parts::head(page, &documents, out)?;
    timeline::draw(page, &documents, out)?;
    if let Some(found) = &documents.duplicates {
        duplicates::section(found, out)?;
    }
    if let Some(found) = &documents.moderation {
        moderation::section(found, &documents, &pictures, out)?;
    }
    if let Some(chapters) = &documents.chapters {
        parts::chapters(chapters, &documents, &pictures, out)?;
    }
    if let Some(thumbnails) = &documents.thumbnails {
        parts::thumbnails(thumbnails, &pictures, out)?;
    }
    if let Some(shots) = &documents.shots {
        parts::shots(shots, &documents.tiles, &pictures, out)?;
    }
    if let Some(subtitles) = &documents.subtitles {
        parts::subtitles(subtitles, out)?;
    }
    if let Some(print) = &documents.fingerprint {
        fingerprint::section(print, out)?;
    }
    took::steps(page, out)?;
    took::attempts(page, out)?;
    parts::files(page, out)?;
    if wanted.len() > pictures.len() {
        write!(
            out,
            "<p class=\"note\">Some pictures are left out: together they are larger than {} MiB.</p>",
            MAX_PICTURE_BYTES >> 20
        )?;
    }
    out.push_str("</body></html>\n");
    Ok(())
}

/// The sheets, once, for the parts of them that are shown.
fn sheets(pictures: &Pictures, out: &mut String) -> fmt::Result {
    out.push_str("<svg class=\"sheets\" aria-hidden=\"true\"><defs>");
    for (name, uri) in pictures.iter().filter(|(name, _)| is_sheet(name)) {
        write!(out, "<image id=\"{}\" href=\"{uri}\"/>", id_of(name))?;
    }
    out.push_str("</defs></svg>");
    Ok(())
}

/// Names of the pictures that the page needs and that are there; trick play only for shots without a still.
fn wanted<'a>(page: &Page<'a>, documents: &Documents) -> BTreeSet<&'a str> {
    let picks = documents.thumbnails.iter().flat_map(|document| &document.picks).take(MAX_ROWS).map(|pick| pick.name.as_str());
    let shots = documents.shots.iter().flat_map(|document| {
        document.shots.iter().take(MAX_ROWS).filter_map(|shot| {
            if let Some(still) = &shot.still {
                return Some(still.sheet.as_str());
            }
            let (start, end) = (millis(shot.span.start, document.time_base), millis(shot.span.end, document.time_base));
            sprite::at(&documents.tiles, start.midpoint(end)).map(|tile| tile.sheet.as_str())
        })
    });
    let names = picks.chain(shots).filter(|name| is_picture(name));
    names.filter_map(|name| page.files.get_key_value(name).map(|(name, _)| name.as_str())).collect()
}

/// The wanted pictures that fit, thumbnails first, as data URIs.
fn choose(page: &Page<'_>, wanted: &BTreeSet<&str>) -> Pictures {
    let mut names: Vec<&str> = wanted.iter().copied().collect();
    names.sort_by_key(|name| (is_sheet(name), name.starts_with("sprite-"), name.len(), *name));
    let mut left = MAX_PICTURE_BYTES;
    let mut chosen = Pictures::new();
    for name in names {
        let bytes = &page.files[name];
        if bytes.len() > left {
            continue;
        }
        left -= bytes.len();
        chosen.insert(name.to_owned(), format!("data:image/jpeg;base64,{}", BASE64.encode(bytes)));
    }
    chosen
}

/// The name of the trick-play sheet with this digest.
fn name_of<'a>(manifest: &'a TitleManifest, hex: &str) -> Option<&'a str> {
    let mut outputs = manifest.steps.iter().filter(|step| step.step == Step::Thumbnails).flat_map(|step| &step.outputs);
    outputs.find(|output| is_sheet(&output.name) && output.sha256.hex() == hex).map(|output| output.name.as_str())
}

/// A document of a step; one that cannot be read is not shown.
fn document<D: showrunner_contracts::Document>(page: &Page<'_>, name: &str) -> Option<D> {
    page.files.get(name).and_then(|bytes| D::from_bytes(bytes).ok())
}

/// Id of a sheet on the page: letters, digits and dashes only.
fn id_of(name: &str) -> String {
    let stem = name.trim_end_matches(".jpg").chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-');
    "sheet-".chars().chain(stem).collect()
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

/// `12.3 s`.
fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}
