//! The catalogue of prints that titles are looked up in: what lies in it, and what a worker may read of it. No I/O.
//!
//! A title has a place, numbered from 0 without gaps; who enters takes the next one by a write where the first writer wins, so
//! that of two titles the one with the later place has always seen the other. A place is never given to another title: what
//! leaves the catalogue leaves its print, and an entry that says so.

use crate::{Digest, MAX_DOCUMENT_BYTES, ReadError, document};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the prints in it: those of another are in a catalogue of their own.
pub const VERSION: u16 = 1;
/// Version of the parts of its index: those of another are in a folder of their own.
pub const INDEX_VERSION: u16 = 1;
/// Most places; a title that would need one beyond is refused.
pub const MAX_PLACES: u32 = 50_000;
/// Places that share a part of the index.
pub const OF_PART: u32 = 250;
/// Largest entry with its print, bytes: two days.
pub const MAX_ENTRY_BYTES: usize = 12 << 20;
/// Largest part of the index, bytes.
pub const MAX_PART_BYTES: usize = 256 << 20;
/// Largest query, bytes: a day and more.
pub const MAX_QUERY_BYTES: usize = 256 << 20;
/// Longest head of an entry, bytes.
const MAX_HEAD_BYTES: usize = 4 << 10;

/// A title, wherever it may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct TitleName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl std::fmt::Display for TitleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The head of an entry: whose it is, and what print follows it. An entry is its head as JSON on one line, and the print's bytes
/// ([`write`], [`read`]), so that taking a place and filling it are one write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct CatalogueEntry {
    /// `showrunner.dev/catalogue-entry/v1`.
    pub schema: String,
    /// Whose it is.
    pub title: TitleName,
    /// UID of the resource.
    pub uid: String,
    /// Key of the step `fingerprint` that made the print.
    pub key: Digest,
    /// Digest of the print; absent when it was withdrawn.
    pub print: Option<Digest>,
}
document!(CatalogueEntry, "showrunner.dev/catalogue-entry/v1");

/// The bytes of an entry.
pub fn write(entry: &CatalogueEntry, print: &[u8]) -> Vec<u8> {
    use crate::Document as _;
    let mut bytes = entry.to_bytes();
    bytes.push(b'\n');
    bytes.extend_from_slice(print);
    bytes
}

/// The entry that these bytes are, and its print, which is empty when it was withdrawn.
///
/// # Errors
/// [`EntryError`] when there is no head, or the print is not the one that it names.
pub fn read(bytes: &[u8]) -> Result<(CatalogueEntry, &[u8]), EntryError> {
    use crate::Document as _;
    let head = bytes.iter().take(MAX_HEAD_BYTES).position(|byte| *byte == b'\n').ok_or(EntryError::NoHead)?;
    let entry = CatalogueEntry::from_bytes(&bytes[..head])?;
    let print = &bytes[head + 1..];
    let fits = entry.print.as_ref().map_or(print.is_empty(), |digest| Digest::of(print) == *digest);
    if fits { Ok((entry, print)) } else { Err(EntryError::Print) }
}

/// Whether bytes have the shape of a print of this version: `SRFP`, version, counts of frames (33 bytes each) and of items of sound (4
/// bytes each), and as many bytes as these say. What reads prints looks closer.
pub fn is_print(bytes: &[u8]) -> bool {
    let Some((header, body)) = bytes.split_first_chunk::<16>() else { return false };
    let count = |at: usize| u64::from(u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
    let named = header[..4] == *b"SRFP" && u16::from_le_bytes([header[4], header[5]]) == VERSION;
    named && count(8) * 33 + count(12) * 4 == body.len() as u64
}

/// Why bytes are no entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// No line at the beginning.
    #[error("failed to read a place of the catalogue: it begins with no head of at most {MAX_HEAD_BYTES} bytes")]
    NoHead,
    /// The head is none.
    #[error(transparent)]
    Head(#[from] ReadError),
    /// The print is another one.
    #[error("failed to read a place of the catalogue: its print is not the one that its head names")]
    Print,
}

/// What a worker may read of the catalogue, and where it may leave parts of the index: written by the operator into the attempt's
/// folder, for it has an address for every place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogueView {
    /// `showrunner.dev/catalogue-view/v1`.
    pub schema: String,
    /// The title that is looked up. What it left at an earlier place is no copy of it.
    pub title: TitleName,
    /// Its place: those before it are looked through.
    pub position: u32,
    /// Signed GETs of the places before it.
    pub entries: SignedPlaces,
    /// The parts of the index, the first [`OF_PART`] places first; what fills no part has none.
    pub parts: Vec<PartGrant>,
}
document!(CatalogueView, "showrunner.dev/catalogue-view/v1");

/// Signed addresses that differ in place and signature only: `before`, the place in eight digits, `after`, its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedPlaces {
    /// Up to the place.
    pub before: String,
    /// From there to the signature.
    pub after: String,
    /// One for each place, from 0.
    pub signatures: Vec<String>,
}

impl SignedPlaces {
    /// The address of a place.
    pub fn url(&self, place: u32) -> Option<String> {
        let signature = self.signatures.get(usize::try_from(place).ok()?)?;
        Some(format!("{}{}{}{signature}", self.before, place_name(place), self.after))
    }
}

/// A part of the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartGrant {
    /// Signed GET.
    pub read: String,
    /// Signed PUT, with `If-None-Match: *`.
    pub write: String,
}

/// The name of a place's entry.
pub fn place_name(place: u32) -> String {
    format!("{place:08}")
}

const _: () = assert!(MAX_PLACES as usize * 72 < MAX_DOCUMENT_BYTES, "a view of all places is a document");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document as _;

    fn entry(print: Option<&[u8]>) -> CatalogueEntry {
        CatalogueEntry {
            schema: CatalogueEntry::SCHEMA.to_owned(),
            title: TitleName { namespace: "studio".to_owned(), name: "tt-1".to_owned() },
            uid: "u".to_owned(),
            key: Digest::of(b"key"),
            print: print.map(Digest::of),
        }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written_and_with_no_other_print() {
        let print = b"SRFP\nwith a line of its own";
        let bytes = write(&entry(Some(print)), print);
        assert_eq!(read(&bytes).expect("reads"), (entry(Some(print)), &print[..]));
        let withdrawn = write(&entry(None), b"");
        assert_eq!(read(&withdrawn).expect("reads"), (entry(None), &b""[..]));
        assert!(matches!(read(&bytes[..bytes.len() - 1]), Err(EntryError::Print)));
        assert!(matches!(read(&write(&entry(None), b"x")), Err(EntryError::Print)));
        assert!(matches!(read(b"{}"), Err(EntryError::NoHead)));
        assert!(matches!(read(b"{}\n"), Err(EntryError::Head(_))));
        assert!(matches!(read(&[b' '; 10_000]), Err(EntryError::NoHead)));
    }

    #[test]
    fn addresses_of_places_are_put_together_as_they_were_taken_apart() {
        let places =
            SignedPlaces { before: "http://s/e/".into(), after: "?sig=".into(), signatures: vec!["a".into(), "b".into()] };
        assert_eq!(places.url(1).as_deref(), Some("http://s/e/00000001?sig=b"));
        assert_eq!(places.url(2), None);
    }
}
