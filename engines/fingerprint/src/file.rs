//! A title's print as a file: header, frames, sound. Bytes in, bytes out; no I/O.
//!
//! All numbers are little-endian: magic `SRFP`, version (u16), nothing (u16, 0), count of frames (u32), count of items (u32), then
//! for each frame 32 bytes of hash and one of quality, then for each item a u32. There is nothing behind them.

use std::fmt;

use showrunner_pdq::Hash;

use crate::{Print, Seen};

/// First bytes of a print.
pub const MAGIC: [u8; 4] = *b"SRFP";
/// Version of the method: raised by hand when the same title could give another print. Prints of different versions are not
/// compared.
pub const VERSION: u16 = 1;
/// Longest title: two days of frames, and of items.
pub const MAX_FRAMES: usize = 172_800;
/// As many items as fit into two days.
pub const MAX_ITEMS: usize = 1_400_000;
const HEADER: usize = 16;
const FRAME: usize = 33;

/// Why bytes are no print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    /// They do not begin as a print does.
    NoPrint,
    /// They are a print of another version of the method.
    Version(u16),
    /// They are more or fewer than the header says; or it says more than a title can have.
    Length {
        /// Frames stated.
        frames: u32,
        /// Items stated.
        items: u32,
        /// Bytes given.
        bytes: usize,
    },
    /// A frame's quality is above 100, or a place that is to be 0 is not.
    Value,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPrint => write!(f, "failed to read a print: it does not begin with SRFP"),
            Self::Version(version) => {
                write!(f, "failed to read a print: it has version {version}, need {VERSION}; make it again")
            }
            Self::Length { frames, items, bytes } => {
                write!(f, "failed to read a print: {bytes} bytes for {frames} frames and {items} items of sound")
            }
            Self::Value => write!(f, "failed to read a print: a value is out of its range"),
        }
    }
}

impl std::error::Error for FileError {}

/// The bytes of a print. What is beyond two days is left out.
pub fn write(print: &Print) -> Vec<u8> {
    let (frames, items) = (print.frames.len().min(MAX_FRAMES), print.sound.len().min(MAX_ITEMS));
    let mut bytes = Vec::with_capacity(HEADER + frames * FRAME + items * 4);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend((frames as u32).to_le_bytes());
    bytes.extend((items as u32).to_le_bytes());
    for seen in &print.frames[..frames] {
        bytes.extend(seen.hash.0);
        bytes.push(seen.quality.min(100));
    }
    for item in &print.sound[..items] {
        bytes.extend(item.to_le_bytes());
    }
    bytes
}

/// The print that these bytes are.
///
/// # Errors
/// [`FileError`] when they are none of this version, whole and with nothing behind it. Allocates no more than the bytes' own size.
pub fn read(bytes: &[u8]) -> Result<Print, FileError> {
    let (header, body) = bytes.split_at_checked(HEADER).ok_or(FileError::NoPrint)?;
    if header[..4] != MAGIC {
        return Err(FileError::NoPrint);
    }
    let version = u16::from_le_bytes([header[4], header[5]]);
    if version != VERSION {
        return Err(FileError::Version(version));
    }
    let count = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (frames, items) = (count(8), count(12));
    let wrong = FileError::Length { frames, items, bytes: bytes.len() };
    if frames as usize > MAX_FRAMES || items as usize > MAX_ITEMS {
        return Err(wrong);
    }
    let (seen, heard) = body.split_at_checked(frames as usize * FRAME).ok_or(wrong)?;
    if heard.len() != items as usize * 4 {
        return Err(wrong);
    }
    if header[6..8] != [0; 2] || seen.chunks_exact(FRAME).any(|frame| frame[FRAME - 1] > 100) {
        return Err(FileError::Value);
    }
    let frame = |bytes: &[u8]| {
        let mut hash = [0; 32];
        hash.copy_from_slice(&bytes[..32]);
        Seen { hash: Hash(hash), quality: bytes[32] }
    };
    Ok(Print {
        frames: seen.chunks_exact(FRAME).map(frame).collect(),
        sound: heard.chunks_exact(4).map(|item| u32::from_le_bytes([item[0], item[1], item[2], item[3]])).collect(),
    })
}
