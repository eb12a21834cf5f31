//! Builds a part of the index from prints. Pure; no I/O.

use super::{FRAME_TABLES, ITEM_STEP, KEYS, MAGIC, MOMENT_BITS, POSTING, TABLES, VERSION, moment, quarter};
use crate::{Code, Print, sound};

/// Most titles of one part.
pub const MAX_TITLES: usize = 1 << (32 - MOMENT_BITS);
/// A frame is left out while it differs from the last one kept in no more bits than this,
const SAME: u32 = 10;
/// as long as that is no longer ago than this many seconds.
const LONGEST: usize = 12;
/// Frames kept are so many seconds apart at least: with the one-second query that looks for them, half is enough.
const APART: usize = 2;

type Posting = (u16, u32, u64);

/// The bytes of a part with these titles; numbers are the caller's, and come back in a [`crate::Candidate`]. What is beyond
/// [`MAX_TITLES`] titles, or beyond twelve days of one, is left out.
pub fn build(titles: &[(u64, &Print)]) -> Vec<u8> {
    let titles = &titles[..titles.len().min(MAX_TITLES)];
    let mut bytes = Vec::new();
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend((titles.len() as u32).to_le_bytes());
    bytes.extend((TABLES as u32).to_le_bytes());
    bytes.extend(titles.iter().flat_map(|(number, _)| number.to_le_bytes()));
    let mut postings = Vec::new();
    for table in 0..TABLES {
        let of = table_of(titles, table);
        let mut starts = vec![0u32; KEYS + 1];
        for (key, ..) in &of {
            starts[usize::from(*key) + 1] += 1;
        }
        for n in 1..starts.len() {
            starts[n] += starts[n - 1];
        }
        bytes.extend(starts.iter().flat_map(|start| start.to_le_bytes()));
        postings.push(of);
    }
    bytes.reserve_exact(postings.iter().map(Vec::len).sum::<usize>() * POSTING);
    for (_, place, rest) in postings.iter().flatten() {
        bytes.extend(place.to_le_bytes());
        bytes.extend(rest.to_le_bytes());
    }
    bytes
}

fn table_of(titles: &[(u64, &Print)], table: usize) -> Vec<Posting> {
    let mut postings = Vec::new();
    for (title, (_, print)) in titles.iter().enumerate() {
        let place = |moment: usize| (title as u32) << MOMENT_BITS | moment as u32;
        if table < FRAME_TABLES {
            postings.extend(kept(print).map(|(at, code)| (quarter(code, table), place(at), code.rest)));
        } else {
            let telling =
                (0..print.sound.len().min(1 << MOMENT_BITS)).step_by(ITEM_STEP).filter(|at| sound::is_telling(&print.sound, *at));
            postings.extend(
                telling
                    .filter_map(|at| moment(&print.sound, at).map(|(keys, rest)| (keys[table - FRAME_TABLES], place(at), rest))),
            );
        }
    }
    postings.sort_unstable();
    postings
}

/// The frames of a title that are indexed.
fn kept(print: &Print) -> impl Iterator<Item = (usize, Code)> {
    let mut last: Option<(usize, Code)> = None;
    print.frames.iter().enumerate().take(1 << MOMENT_BITS).filter(|(_, seen)| seen.is_telling()).filter_map(move |(at, seen)| {
        let code = Code::of(&seen.hash);
        let new =
            last.is_none_or(|(before, kept)| at - before >= APART && (at - before >= LONGEST || code.distance(kept) > SAME));
        if new {
            last = Some((at, code));
        }
        new.then_some((at, code))
    })
}
