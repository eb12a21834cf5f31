//! Compares a query with one title of the catalogue, moment by moment: the plain way, which the index only saves from being
//! gone for every title. Pure arithmetic; no I/O.

use crate::{
    Code, ITEM_SECONDS, Match, Print, Query, Segment, Side, Span,
    align::{self, Hit, Line, lines},
    class,
    evidence::{self, Evidence, Strip},
    sound,
};

/// Bits of the low block that may differ where two frames are looked at more closely, and of the whole code.
const LOW_DISTANCE: u32 = 16;
const HIT_DISTANCE: u32 = 42;
/// Hits of one frame: the nearest. A title card that stands for a minute would otherwise cast votes for every offset.
const MOST_HITS: usize = 12;
/// How far beside a line a frame or an item may lie, in seconds: frames come once a second, at any phase.
const FRAME_TOLERANCE: f32 = 1.25;
const ITEM_TOLERANCE: f32 = 0.4;
/// Votes of a line that is looked at more closely.
const FRAME_VOTES: f32 = 0.9;
const ITEM_VOTES: f32 = 3.0;
/// Evidence that stands alone between titles of a minute, and such as counts with others of the same title only.
const FRAME_STRONG: f32 = 2.2;
const FRAME_WEAK: f32 = 0.75;
const FRAME_TOGETHER: f32 = 4.0;
const SOUND_STRONG: f32 = 3.0;
/// How much more is asked for each doubling of the moments that could meet by chance.
const FRAME_STRONG_MORE: f32 = 0.12;
const FRAME_TOGETHER_MORE: f32 = 0.9;
const SOUND_STRONG_MORE: f32 = 0.25;
/// Share of bits that may differ over all of a line of sound.
const SOUND_ERROR: f32 = 0.235;
/// Share of a line's telling moments that must agree, for frames and for sound.
const FRAMES_AGREED: f32 = 0.5;
const SOUND_AGREED: f32 = 0.65;
/// Every so many of the query's items are looked for.
const ITEM_STEP: usize = 2;
/// Bits of an item that may differ, and of the one a second later.
const ITEM_DISTANCE: u32 = 7;
const LATER_DISTANCE: u32 = 11;
const LATER: usize = 8;
/// A half of an item that occurs more often in a title says nothing.
const MOST_ALIKE: usize = 48;

/// A title that may share something with the query, from the index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidate {
    /// The title's number in the catalogue, as its owner gave it.
    pub title: u64,
    /// Votes of the strongest line seen.
    pub votes: f32,
    /// The query's looks that had votes, most first.
    pub looks: Vec<usize>,
    /// The query's speeds of sound that had votes, most first.
    pub sounds: Vec<usize>,
}

/// What a query and a title share, if anything: every look and speed is tried.
pub fn compare(query: &Query, other: &Print) -> Option<Match> {
    let (looks, sounds): (Vec<_>, Vec<_>) = ((0..query.looks.len()).collect(), (0..query.sounds.len()).collect());
    with(query, other, &looks, &sounds)
}

/// As [`compare`], with the looks and speeds only that the index names.
pub fn compare_only(query: &Query, other: &Print, candidate: &Candidate) -> Option<Match> {
    with(query, other, &candidate.looks, &candidate.sounds)
}

fn with(query: &Query, other: &Print, looks: &[usize], sounds: &[usize]) -> Option<Match> {
    let mut segments = pictures(query, other, looks);
    segments.extend(sound(query, other, sounds));
    class::judge(query, other, segments)
}

fn pictures(query: &Query, other: &Print, looks: &[usize]) -> Vec<Segment> {
    let telling: Vec<bool> = query.print.frames.iter().map(crate::Seen::is_telling).collect();
    let there: Vec<Code> = other.frames.iter().map(|seen| Code::of(&seen.hash)).collect();
    let told: Vec<bool> = other.frames.iter().map(crate::Seen::is_telling).collect();
    let their_runs = evidence::runs(&there);
    let theirs = Strip { codes: &there, telling: &told, runs: &their_runs };
    let mut found = Vec::new();
    for (n, (look, codes)) in looks.iter().filter_map(|n| query.looks.get(*n).map(|look| (*n, look))) {
        if codes.len() != telling.len() {
            continue;
        }
        let runs = evidence::runs(codes);
        let ours = Strip { codes, telling: &telling, runs: &runs };
        for line in lines(&frame_hits(&ours, &theirs), FRAME_VOTES, FRAME_TOLERANCE) {
            let Some(evidence) = evidence::seen(&ours, &theirs, &line) else { continue };
            if evidence.weight >= FRAME_WEAK && evidence.agreed >= (FRAMES_AGREED * evidence.telling).max(2.0) {
                found.push((n, segment(Side::Picture { look: *look }, &line, &evidence, 1.0)));
            }
        }
    }
    let chosen = choose(found);
    let doublings = doublings(query, other);
    let together: f32 = chosen.iter().map(|one| one.weight).sum();
    let enough = together >= FRAME_TOGETHER + FRAME_TOGETHER_MORE * doublings;
    chosen.into_iter().filter(|one| enough || one.weight >= FRAME_STRONG + FRAME_STRONG_MORE * doublings).collect()
}

/// How many times two titles of a minute have to be doubled to be as long as these.
fn doublings(query: &Query, other: &Print) -> f32 {
    (query.print.seconds() / 60.0).max(1.0).log2() + (other.seconds() / 60.0).max(1.0).log2()
}

fn frame_hits(query: &Strip<'_>, other: &Strip<'_>) -> Vec<Hit> {
    let lengths = evidence::run_lengths(query.runs);
    let candidates: Vec<(usize, Code)> = other.codes.iter().copied().enumerate().filter(|(n, _)| other.telling[*n]).collect();
    let mut hits = Vec::new();
    let mut near: Vec<(u32, usize)> = Vec::new();
    for (at, code) in query.codes.iter().enumerate().filter(|(at, _)| query.telling[*at]) {
        near.clear();
        for (n, there) in &candidates {
            if (there.low ^ code.low).count_ones() <= LOW_DISTANCE {
                let distance = there.distance(*code);
                if distance <= HIT_DISTANCE {
                    near.push((distance, *n));
                }
            }
        }
        near.sort_unstable();
        near.truncate(MOST_HITS);
        let share = 1.0 / (lengths[at] as f32).sqrt();
        hits.extend(near.iter().map(|(distance, n)| Hit {
            query: at as f32,
            other: *n as f32,
            weight: share * (1.0 - *distance as f32 / (HIT_DISTANCE + 6) as f32),
        }));
    }
    hits
}

fn sound(query: &Query, other: &Print, sounds: &[usize]) -> Vec<Segment> {
    let strong = SOUND_STRONG + SOUND_STRONG_MORE * doublings(query, other);
    let alike = [0, 16].map(|shift| by_half(&other.sound, shift));
    let mut found = Vec::new();
    for (n, (speed, items)) in sounds.iter().filter_map(|n| query.sounds.get(*n).map(|sound| (*n, sound))) {
        for line in lines(&item_hits(items, &other.sound, &alike), ITEM_VOTES, ITEM_TOLERANCE) {
            if let Some(evidence) = evidence::heard(items, &other.sound, &line, speed.recip()) {
                let sure = evidence.weight >= strong && evidence.error <= SOUND_ERROR;
                if sure && evidence.agreed >= SOUND_AGREED * evidence.telling && align::SPEED.contains(&(line.speed * speed)) {
                    found.push((n, segment(Side::Sound { speed: *speed }, &line, &evidence, *speed)));
                }
            }
        }
    }
    choose(found)
}

/// Where each half of an item occurs, in order.
type ByHalf = Vec<(u16, u32)>;

fn by_half(items: &[u32], shift: u32) -> ByHalf {
    let mut places: ByHalf = items.iter().enumerate().map(|(at, item)| ((item >> shift) as u16, at as u32)).collect();
    places.sort_unstable();
    places
}

fn item_hits(query: &[u32], other: &[u32], alike: &[ByHalf; 2]) -> Vec<Hit> {
    let mut hits: Vec<Hit> = Vec::new();
    for at in (0..query.len().saturating_sub(LATER)).step_by(ITEM_STEP).filter(|at| sound::is_telling(query, *at)) {
        let first = hits.len();
        for (places, shift) in alike.iter().zip([0, 16]) {
            let half = (query[at] >> shift) as u16;
            let same = &places[places.partition_point(|place| place.0 < half)..];
            let same = &same[..same.iter().take(MOST_ALIKE + 1).take_while(|place| place.0 == half).count()];
            if same.len() > MOST_ALIKE {
                continue;
            }
            for there in same.iter().map(|place| place.1 as usize) {
                let Some(later) = other.get(there + LATER) else { continue };
                let distance = (query[at] ^ other[there]).count_ones();
                if distance <= ITEM_DISTANCE && (query[at + LATER] ^ later).count_ones() <= LATER_DISTANCE {
                    hits.push(Hit {
                        query: at as f32 * ITEM_SECONDS,
                        other: there as f32 * ITEM_SECONDS,
                        weight: 1.0 - distance as f32 / (ITEM_DISTANCE + 3) as f32,
                    });
                }
            }
        }
        hits[first..].sort_by(|a, b| a.other.total_cmp(&b.other));
    }
    hits
}

/// `undone` is the speed that the query's own seconds have to be divided by.
fn segment(side: Side, line: &Line, evidence: &Evidence, undone: f32) -> Segment {
    let speed = line.speed * undone;
    let at = |second: f32| (speed * second + line.offset).max(0.0);
    Segment {
        side,
        query: Span { start: evidence.from, end: evidence.to },
        other: Span { start: at(evidence.from), end: at(evidence.to) },
        speed,
        offset: line.offset,
        agreed: evidence.agreed / evidence.telling.max(1.0),
        error: evidence.error,
        weight: evidence.weight,
    }
}

/// The weightiest segments; what only says again what another has said is left out, as is what another look or speed saw worse.
fn choose(mut found: Vec<(usize, Segment)>) -> Vec<Segment> {
    found.sort_by(|(a, one), (b, other)| other.weight.total_cmp(&one.weight).then(a.cmp(b)));
    let mut chosen: Vec<Segment> = Vec::new();
    for (_, segment) in found {
        let length = segment.query.length().max(1.0);
        let covered: f32 = chosen.iter().map(|one| one.query.overlap(segment.query)).sum();
        if covered <= 0.4 * length {
            chosen.push(segment);
        }
    }
    chosen.sort_by(|a, b| a.query.start.total_cmp(&b.query.start));
    chosen
}
