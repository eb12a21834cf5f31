//! Along a line: what of it is really seen or heard in both titles. Pure arithmetic; no I/O.

use crate::{Code, ITEM_SECONDS, align::Line, code, sound};

/// Bits of a code that may differ where two frames on a line show the same.
const FRAME_DISTANCE: u32 = 42;
/// Codes of neighbouring frames that differ in fewer bits are one run: a picture that stands still is one witness, not many.
const RUN_DISTANCE: u32 = 10;
/// Items of sound are judged over so many at a time.
const SOUND_WINDOW: usize = 24;
/// Share of bits that may differ over such a window where two titles sound the same.
const SOUND_ERROR: f32 = 0.27;
/// Beyond the ends of a line, its continuation is looked for until it is lost for so long, in seconds.
const LOST: f32 = 8.0;

/// What holds along a line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Evidence {
    /// From the first to the last moment that agrees, in the query. Seconds.
    pub(crate) from: f32,
    pub(crate) to: f32,
    /// Seconds in between that could agree, and those that do.
    pub(crate) telling: f32,
    pub(crate) agreed: f32,
    /// Sum over the different pictures, or seconds of sound, of how well they agree.
    pub(crate) weight: f32,
    /// Share of bits that differ where it agrees.
    pub(crate) error: f32,
}

/// Frames as they are compared: codes, whether each tells something, and how many neighbours look the same.
#[derive(Clone, Debug)]
pub(crate) struct Strip<'a> {
    pub(crate) codes: &'a [Code],
    pub(crate) telling: &'a [bool],
    pub(crate) runs: &'a [u32],
}

/// Numbers the runs of frames that look the same.
pub(crate) fn runs(codes: &[Code]) -> Vec<u32> {
    let (mut run, mut first) = (0, codes.first().copied().unwrap_or_default());
    codes
        .iter()
        .map(|code| {
            if code.distance(first) > RUN_DISTANCE {
                (run, first) = (run + 1, *code);
            }
            run
        })
        .collect()
}

/// How many frames each frame's run has.
pub(crate) fn run_lengths(runs: &[u32]) -> Vec<u32> {
    let mut counts = vec![0; runs.last().map_or(0, |last| *last as usize + 1)];
    for run in runs {
        counts[*run as usize] += 1;
    }
    runs.iter().map(|run| counts[*run as usize]).collect()
}

/// Follows a line over the frames of both titles.
pub(crate) fn seen(query: &Strip<'_>, other: &Strip<'_>, line: &Line) -> Option<Evidence> {
    let judge = |n: i32| {
        let at = usize::try_from(n).ok()?;
        let telling = *query.telling.get(at)?;
        let near = line.at(n as f32).round() as i64;
        let best = (near - 1..=near + 1)
            .filter_map(|n| usize::try_from(n).ok())
            .filter(|n| other.telling.get(*n).copied().unwrap_or(false))
            .map(|n| (query.codes[at].distance(other.codes[n]), n))
            .min()?;
        telling.then_some((best.0, at, best.1))
    };
    let walk = |from: i32, step: i32| {
        let (mut n, mut last) = (from, from - step);
        // Frames that say nothing do not break a line, but they do not carry it on for ever.
        while ((n - last) * step) as f32 <= LOST && n >= 0 && (n as usize) < query.codes.len() {
            if judge(n).is_some_and(|(distance, ..)| distance <= FRAME_DISTANCE) {
                last = n;
            }
            n += step;
        }
        last
    };
    let middle = f32::midpoint(line.from, line.to).round() as i32;
    let (first, last) = (walk(line.from.floor() as i32, -1).min(middle), walk(line.to.ceil() as i32, 1).max(middle));
    let (mut telling, mut agreed, mut bits) = (0u32, 0u32, 0u32);
    let mut best: Vec<(u32, u32, f32)> = Vec::new();
    let mut span: Option<(i32, i32)> = None;
    for n in first..=last {
        let Some((distance, at, there)) = judge(n) else { continue };
        telling += 1;
        let same = distance <= FRAME_DISTANCE;
        if same {
            agreed += 1;
            bits += distance;
            let close = 1.0 - distance as f32 / (FRAME_DISTANCE + 6) as f32;
            best.push((query.runs[at], other.runs[there], close));
            span = Some((span.map_or(n, |(from, _)| from), n));
        }
    }
    let (from, to) = span?;
    // One witness for each run of either title.
    let witnesses = |key: fn(&(u32, u32, f32)) -> u32| {
        let mut sorted: Vec<(u32, f32)> = best.iter().map(|one| (key(one), one.2)).collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        sorted.dedup_by_key(|one| one.0);
        sorted.iter().map(|one| one.1).sum::<f32>()
    };
    let weight = witnesses(|one| one.0).min(witnesses(|one| one.1));
    Some(Evidence {
        from: from as f32,
        to: to as f32 + 1.0,
        telling: telling as f32,
        agreed: agreed as f32,
        weight,
        error: bits as f32 / (agreed * code::BITS) as f32,
    })
}

/// Follows a line over the sound of both titles. `pace` is how many seconds of the query's own time pass in one of the items'
/// seconds: its speed, where that was undone.
pub(crate) fn heard(query: &[u32], other: &[u32], line: &Line, pace: f32) -> Option<Evidence> {
    let items = |seconds: f32| (seconds / ITEM_SECONDS) as i64;
    let differ = |n: i64| {
        let at = usize::try_from(n).ok().filter(|at| *at < query.len())?;
        let there = (line.at(n as f32 * ITEM_SECONDS) / ITEM_SECONDS).round() as i64;
        let best = (there - 1..=there + 1)
            .filter_map(|n| usize::try_from(n).ok())
            .filter(|n| sound::is_telling(other, *n))
            .map(|n| (other[n] ^ query[at]).count_ones())
            .min()?;
        sound::is_telling(query, at).then_some(best)
    };
    // By windows, from one end of what the titles have in common on this line to the other.
    let window = SOUND_WINDOW as i64;
    let around = items(3.0 * LOST);
    let (first, last) = ((items(line.from) - around).div_euclid(window), (items(line.to) + around).div_euclid(window));
    let (first, last) = (first.max(0), last.min(query.len() as i64 / window));
    let judged: Vec<(i64, Option<(u32, u32)>)> = (first..=last)
        .map(|n| {
            let (mut bits, mut count) = (0, 0);
            for differ in (n * window..(n + 1) * window).filter_map(differ) {
                (bits, count) = (bits + differ, count + 1);
            }
            (n, (count >= SOUND_WINDOW as u32 / 3).then_some((bits, count)))
        })
        .collect();
    let agrees = |window: &(u32, u32)| window.0 as f32 <= SOUND_ERROR * (window.1 * 32) as f32;
    let same = |one: &(i64, Option<(u32, u32)>)| one.1.as_ref().is_some_and(agrees);
    let (begin, end) = (judged.iter().position(same)?, judged.iter().rposition(same)?);
    let seconds = SOUND_WINDOW as f32 * ITEM_SECONDS * pace;
    let (mut telling, mut agreed, mut weight, mut bits, mut of) = (0.0, 0.0, 0.0, 0, 0);
    for (differ, count) in judged[begin..=end].iter().filter_map(|one| one.1) {
        let share = seconds * count as f32 / SOUND_WINDOW as f32;
        telling += share;
        if agrees(&(differ, count)) {
            let error = differ as f32 / (count * 32) as f32;
            agreed += share;
            weight += share * (1.0 - error / (SOUND_ERROR + 0.05));
            (bits, of) = (bits + differ, of + count * 32);
        }
    }
    let (from, to) = (judged[begin].0 as f32 * seconds, (judged[end].0 + 1) as f32 * seconds);
    Some(Evidence { from, to, telling, agreed, weight, error: bits as f32 / of as f32 })
}
