//! Looks a query up in a part of the index. Pure; no I/O.

use super::{FRAME_TABLES, KEYS, Part, SOUND_TABLES, TABLES, moment, quarter};
use crate::{Candidate, ITEM_SECONDS, Query, align, align::Hit, sound};

/// Bits of what lies beside a key that may differ: of 64, for frames and for sound. Unrelated ones differ in 32, and in 24.
const FRAME_REST: u32 = 19;
const SOUND_REST: u32 = 12;
/// A key that more than this many times its share of the postings has says nothing: black with a logo, a steady tone.
const STOP: usize = 24;
/// A look's frame is passed over while it is nearly the last one asked for, up to so many seconds.
const SAME: u32 = 3;
const LONGEST: usize = 4;
/// Fewer hits of one look or speed than this in a title are chance.
const LEAST_HITS: usize = 2;
/// Votes that make a candidate.
const LEAST_VOTES: f32 = 1.0;
/// How much hits count that lie on no common line: a trailer's pieces are too short for one.
const LOOSE: f32 = 0.35;
/// Looks and speeds that are tried on a candidate.
const MOST_LOOKS: usize = 4;
/// Bits of a probe's owner that say the moment.
const MOMENT_BITS: u32 = 22;

#[derive(Clone, Copy, Debug)]
struct Probe {
    rest: u64,
    owner: u32,
    key: u16,
}

/// All that is asked of an index for one query, by key.
#[derive(Clone, Debug)]
pub struct Probes {
    tables: Vec<Vec<Probe>>,
}

impl Probes {
    /// Of a query, in all its looks and speeds.
    pub fn new(query: &Query) -> Self {
        let mut tables: Vec<Vec<Probe>> = vec![Vec::new(); TABLES];
        let owner = |variant: usize, moment: usize| (variant as u32) << MOMENT_BITS | moment as u32;
        for (look, (_, codes)) in query.looks.iter().enumerate().take(1 << (32 - MOMENT_BITS)) {
            let mut last = None;
            let frames = query.print.frames.iter().zip(codes).enumerate().take(1 << MOMENT_BITS);
            for (at, (_, code)) in frames.filter(|(_, (seen, _))| seen.is_telling()) {
                if last.is_some_and(|(before, kept)| at - before < LONGEST && code.distance(kept) <= SAME) {
                    continue;
                }
                last = Some((at, *code));
                for (table, probes) in tables[..FRAME_TABLES].iter_mut().enumerate() {
                    probes.push(Probe { rest: code.rest, owner: owner(look, at), key: quarter(*code, table) });
                }
            }
        }
        for (speed, (_, items)) in query.sounds.iter().enumerate() {
            for at in (0..items.len().min(1 << MOMENT_BITS)).filter(|at| sound::is_telling(items, *at)) {
                let Some((keys, rest)) = moment(items, at) else { continue };
                for (key, probes) in keys.into_iter().zip(&mut tables[FRAME_TABLES..]) {
                    probes.push(Probe { rest, owner: owner(speed, at), key });
                }
            }
        }
        for probes in &mut tables {
            probes.sort_unstable_by_key(|probe| (probe.key, probe.owner));
        }
        Self { tables }
    }

    /// The titles of a part that may share something with the query.
    pub fn search(&self, part: &Part<'_>) -> Vec<Candidate> {
        let frames = self.hits(part, 0..FRAME_TABLES, FRAME_REST);
        let sound = self.hits(part, FRAME_TABLES..FRAME_TABLES + SOUND_TABLES, SOUND_REST);
        let mut votes = Vec::new();
        for (hits, heard) in [(frames, false), (sound, true)] {
            for group in hits.chunk_by(|a, b| (a.title, a.variant) == (b.title, b.variant)) {
                if group.len() >= LEAST_HITS {
                    let voted = voted(group, heard);
                    if voted >= LEAST_VOTES {
                        votes.push((group[0].title, heard, voted, usize::from(group[0].variant)));
                    }
                }
            }
        }
        votes.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(b.2.total_cmp(&a.2)).then(a.3.cmp(&b.3)));
        let mut candidates = Vec::new();
        for title in votes.chunk_by(|a, b| a.0 == b.0) {
            let best =
                |heard: bool| title.iter().filter(move |vote| vote.1 == heard).take(MOST_LOOKS).map(|vote| vote.3).collect();
            let votes = title.iter().map(|vote| vote.2).fold(0.0, f32::max);
            candidates.push(Candidate {
                title: part.title(usize::from(title[0].0)),
                votes,
                looks: best(false),
                sounds: best(true),
            });
        }
        candidates
    }

    fn hits(&self, part: &Part<'_>, tables: std::ops::Range<usize>, most: u32) -> Vec<Found> {
        let mut found = Vec::new();
        for table in tables {
            let stop = STOP * (part.size(table) / KEYS + 8);
            for probes in self.tables[table].chunk_by(|a, b| a.key == b.key) {
                let postings = part.postings(table, probes[0].key);
                if postings.len() > stop {
                    continue;
                }
                for posting in postings {
                    for probe in probes {
                        let distance = (probe.rest ^ posting.rest).count_ones();
                        if distance <= most && posting.title < part.len() {
                            found.push(Found {
                                title: posting.title as u16,
                                variant: (probe.owner >> MOMENT_BITS) as u16,
                                query: probe.owner & ((1 << MOMENT_BITS) - 1),
                                other: posting.moment,
                                distance,
                            });
                        }
                    }
                }
            }
        }
        found.sort_unstable_by_key(|hit| (hit.title, hit.variant, hit.query, hit.other, hit.distance));
        // Several tables may have found the same two moments.
        found.dedup_by_key(|hit| (hit.title, hit.variant, hit.query, hit.other));
        found
    }
}

#[derive(Clone, Copy, Debug)]
struct Found {
    title: u16,
    variant: u16,
    query: u32,
    other: u32,
    distance: u32,
}

fn voted(group: &[Found], heard: bool) -> f32 {
    let (scale, most) = if heard { (ITEM_SECONDS, SOUND_REST) } else { (1.0, FRAME_REST) };
    let hits: Vec<Hit> = group
        .iter()
        .map(|hit| Hit {
            query: hit.query as f32 * scale,
            other: hit.other as f32 * scale,
            weight: 1.0 - hit.distance as f32 / (most + 8) as f32,
        })
        .collect();
    let line = align::strongest(&hits);
    // Of each moment of the other title the best hit counts.
    let mut by_other: Vec<(u32, f32)> = group.iter().zip(&hits).map(|(hit, weighed)| (hit.other, weighed.weight)).collect();
    by_other.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    by_other.dedup_by_key(|hit| hit.0);
    line + LOOSE * (by_other.iter().map(|hit| hit.1).sum::<f32>() - line).max(0.0)
}

/// The `most` candidates of all parts with the most votes.
pub fn best(mut candidates: Vec<Candidate>, most: usize) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.votes.total_cmp(&a.votes).then(a.title.cmp(&b.title)));
    candidates.truncate(most);
    candidates
}
