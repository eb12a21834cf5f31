//! An index over many titles' prints: which of them may share something with a query. Bytes in, bytes out; whoever calls maps
//! the files.
//!
//! An index is a row of **parts**, each with the titles of one build; a catalogue that grows gets more parts, and old ones may be
//! built into one. A lookup goes through one part after the other, so only the parts in hand need be in memory, and cores can
//! share them. For the layout and why it is so, see `docs/decisions/005-fingerprints.md`.
//!
//! A part (little-endian): magic `SRFX`, version (u16), nothing (u16, 0), count of titles (u32), count of tables (u32), then the
//! titles' numbers (u64 each), then for each table the starts of its 65,536 keys and its end (u32 each), then for each table its
//! postings by key: title and moment (u32), the rest of what was seen or heard there (u64).

mod build;
mod read;
mod search;

pub use build::{MAX_TITLES, build};
pub use read::{IndexError, Part};
pub use search::{Probes, best};

use crate::Code;

/// First bytes of a part.
pub const MAGIC: [u8; 4] = *b"SRFX";
/// Version of the layout and of what is chosen for it.
pub const VERSION: u16 = 1;
/// Tables of frames: one for each quarter of a code's low block.
const FRAME_TABLES: usize = 4;
/// Tables of sound: one for each half of an item.
const SOUND_TABLES: usize = 2;
const TABLES: usize = FRAME_TABLES + SOUND_TABLES;
const KEYS: usize = 0x1_0000;
const HEADER: usize = 16;
const POSTING: usize = 12;
/// Bits of a posting's place that say the moment; the title has those above.
const MOMENT_BITS: u32 = 20;
/// From one indexed item of sound to the next: two seconds.
const ITEM_STEP: usize = 16;
/// The item that is kept beside an item, so many later: half a second.
const BESIDE: usize = 4;

/// Every fourth bit of the low block, so that each quarter has bits of all frequencies.
fn quarter(code: Code, table: usize) -> u16 {
    (0..16).fold(0, |key, n| key | (((code.low >> (n * 4 + table)) & 1) as u16) << n)
}

/// Keys and rest of a moment of sound, if it is not the last of a title.
fn moment(items: &[u32], at: usize) -> Option<([u16; SOUND_TABLES], u64)> {
    let (item, beside) = (*items.get(at)?, *items.get(at + BESIDE)?);
    Some(([item as u16, (item >> 16) as u16], u64::from(item) | u64::from(beside) << 32))
}
