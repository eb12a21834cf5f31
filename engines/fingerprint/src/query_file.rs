//! What a title is looked up with, as a file: its print, and how it may have been seen and played. Bytes in, bytes out; no I/O.
//!
//! All numbers are little-endian: magic `SRFQ`, version (u16, that of prints), count of looks (u16), count of speeds (u16), nothing
//! (u16, 0), bytes of the print (u32), and the print as [`file`] has it. Then for each look four shares that were cut off (f32),
//! whether it is mirrored and whether it has the bars (a byte each, 0 or 1), nothing (u16, 0), and a code (two u64) for each of the
//! print's frames. Then for each speed that speed (f32), the count of its items (u32), and these (u32). There is nothing behind them.

use std::fmt;

use crate::{
    Code, Look, Query,
    file::{self, FileError, MAX_FRAMES, VERSION},
};

/// First bytes of a query.
pub const MAGIC: [u8; 4] = *b"SRFQ";
/// Most looks of a query: an index tells twice as many apart.
pub const MAX_LOOKS: usize = 512;
/// Most speeds of a query.
pub const MAX_SOUNDS: usize = 64;
/// A look takes at most this share of a side for cut off, or for shown beyond it, at either end.
const MOST_CUT: f32 = 0.4;
/// Speeds that a title is played at.
const SPEEDS: std::ops::RangeInclusive<f32> = 0.5..=2.0;
const HEADER: usize = 16;
const LOOK: usize = 20;
const CODE: usize = 16;
const SOUND: usize = 8;
const ITEM: usize = 4;

/// Why bytes are no query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryError {
    /// They do not begin as a query does.
    NoQuery,
    /// They are a query of another version of the method.
    Version(u16),
    /// They are cut off, something is behind them, or they have more looks or speeds than a query can have.
    Length,
    /// The print among them is none.
    Print(FileError),
    /// A look or a speed is none that a title has, or a place that is to be 0 is not.
    Value,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoQuery => write!(f, "failed to read a query: it does not begin with SRFQ"),
            Self::Version(version) => {
                write!(f, "failed to read a query: it has version {version}, need {VERSION}; make it again")
            }
            Self::Length => write!(
                f,
                "failed to read a query: it is cut off, has something behind it, or more than {MAX_LOOKS} looks or {MAX_SOUNDS} speeds"
            ),
            Self::Print(error) => error.fmt(f),
            Self::Value => write!(f, "failed to read a query: a value is out of its range"),
        }
    }
}

impl std::error::Error for QueryError {}

/// The bytes of a query. What is beyond two days, 512 looks and 64 speeds is left out, as are looks that have not a code for each
/// frame: nobody would compare them.
pub fn write(query: &Query) -> Vec<u8> {
    let (print, frames) = (file::write(&query.print), query.print.frames.len());
    let looks: Vec<_> = query.looks.iter().filter(|(_, codes)| codes.len() == frames).take(MAX_LOOKS).collect();
    let sounds = &query.sounds[..query.sounds.len().min(MAX_SOUNDS)];
    let frames = frames.min(MAX_FRAMES);
    let heard: usize = sounds.iter().map(|(_, items)| SOUND + items.len() * ITEM).sum();
    let mut bytes = Vec::with_capacity(HEADER + print.len() + looks.len() * (LOOK + frames * CODE) + heard);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((looks.len() as u16).to_le_bytes());
    bytes.extend((sounds.len() as u16).to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend((print.len() as u32).to_le_bytes());
    bytes.extend(print);
    for (look, codes) in looks {
        bytes.extend(look.cut.iter().flat_map(|cut| cut.to_le_bytes()));
        bytes.extend([u8::from(look.mirrored), u8::from(look.with_bars), 0, 0]);
        for code in &codes[..frames] {
            bytes.extend(code.low.to_le_bytes());
            bytes.extend(code.rest.to_le_bytes());
        }
    }
    for (speed, items) in sounds {
        bytes.extend(speed.to_le_bytes());
        bytes.extend((items.len() as u32).to_le_bytes());
        bytes.extend(items.iter().flat_map(|item| item.to_le_bytes()));
    }
    bytes
}

/// The query that these bytes are.
///
/// # Errors
/// [`QueryError`] when they are none of this version, whole and with nothing behind it. Allocates no more than the bytes' own size.
pub fn read(bytes: &[u8]) -> Result<Query, QueryError> {
    let (header, mut rest) = bytes.split_first_chunk::<HEADER>().ok_or(QueryError::NoQuery)?;
    if header[..4] != MAGIC {
        return Err(QueryError::NoQuery);
    }
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    if half(4) != VERSION {
        return Err(QueryError::Version(half(4)));
    }
    let (looks, sounds) = (half(6), half(8));
    if usize::from(looks) > MAX_LOOKS || usize::from(sounds) > MAX_SOUNDS {
        return Err(QueryError::Length);
    }
    if half(10) != 0 {
        return Err(QueryError::Value);
    }
    let print = number(&header[12..]);
    let print = file::read(take(&mut rest, print as usize)?).map_err(QueryError::Print)?;
    let looks = (0..looks).map(|_| look(&mut rest, print.frames.len())).collect::<Result<_, _>>()?;
    let sounds = (0..sounds).map(|_| sound(&mut rest)).collect::<Result<_, _>>()?;
    if rest.is_empty() { Ok(Query { print, looks, sounds }) } else { Err(QueryError::Length) }
}

fn look(rest: &mut &[u8], frames: usize) -> Result<(Look, Vec<Code>), QueryError> {
    let head = take(rest, LOOK)?;
    let cut = [0, 4, 8, 12].map(|at| f32::from_bits(number(&head[at..])));
    let (mirrored, with_bars) = (head[16], head[17]);
    let is_look = cut.iter().all(|cut| (-MOST_CUT..=MOST_CUT).contains(cut)) && mirrored <= 1 && with_bars <= 1;
    if !is_look || head[18..] != [0; 2] {
        return Err(QueryError::Value);
    }
    let word = |bytes: &[u8]| u64::from(number(bytes)) | u64::from(number(&bytes[4..])) << 32;
    let code = |bytes: &[u8]| Code { low: word(bytes), rest: word(&bytes[8..]) };
    let codes = take(rest, frames * CODE)?.chunks_exact(CODE).map(code).collect();
    Ok((Look { cut, mirrored: mirrored == 1, with_bars: with_bars == 1 }, codes))
}

fn sound(rest: &mut &[u8]) -> Result<(f32, Vec<u32>), QueryError> {
    let head = take(rest, SOUND)?;
    let (speed, items) = (f32::from_bits(number(head)), number(&head[4..]));
    if !SPEEDS.contains(&speed) {
        return Err(QueryError::Value);
    }
    let items = (items as usize).checked_mul(ITEM).ok_or(QueryError::Length)?;
    Ok((speed, take(rest, items)?.chunks_exact(ITEM).map(number).collect()))
}

/// The next `count` bytes.
fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], QueryError> {
    let (taken, behind) = rest.split_at_checked(count).ok_or(QueryError::Length)?;
    *rest = behind;
    Ok(taken)
}

/// The u32 that these bytes begin with; there are four at least.
fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
