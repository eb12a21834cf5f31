//! Cuts running words into cues by the cheapest of all ways to cut them. No I/O.

use crate::{
    Cue, Picture, Style, TICKS_PER_SECOND, Word,
    layout::{break_cost, ends_sentence, lay_out},
    text::prepare,
    timing::{Draft, place},
};

/// Cost of one more cue: two short cues are worse than one good one.
const CUE: i64 = 30;
/// Cost of a cue that ends one sentence and begins another without finishing it.
const TORN_SENTENCE: i64 = 25;
/// Cost of a cue across a shot change that is too far away to snap to.
const SHOT_CROSSED: i64 = 25;
/// What a pause of half a second or more takes off the cost of ending a cue there.
const PAUSE_BONUS: i64 = 20;
/// Cost of missing the reading speed or the shortest duration altogether; misses cost in proportion.
const TIME_MISSED: i64 = 200;

/// Cues for words: never overlapping, in order, and with every word in exactly one of them.
///
/// Words are cleaned first: forbidden characters go, times are put in order, a word longer than a line is cut. What
/// the speech allows no style for (more words a second than anyone reads) is shown all the same and named by
/// [`crate::check`].
pub fn shape(words: &[Word], picture: &Picture<'_>, style: &Style) -> Vec<Cue> {
    let words = prepare(words, style);
    let mut drafts = Vec::new();
    let mut from = 0;
    while from < words.len() {
        let to = run_end(&words, from, style);
        cut_run(&words, from, to, picture, style, &mut drafts);
        from = to;
    }
    place(&drafts, picture, style)
}

/// First word after the run: speech up to a pause that always ends a cue.
fn run_end(words: &[Word], from: usize, style: &Style) -> usize {
    (from + 1..words.len()).find(|&next| words[next].start - words[next - 1].end >= style.pause).unwrap_or(words.len())
}

/// Cuts words `from..to` at least cost: dynamic programming over the last break.
fn cut_run(words: &[Word], from: usize, to: usize, picture: &Picture<'_>, style: &Style, drafts: &mut Vec<Draft>) {
    let count = to - from;
    let mut best: Vec<Option<(i64, usize)>> = vec![None; count + 1];
    best[0] = Some((0, 0));
    for end in 1..=count {
        for begin in (0..end).rev() {
            let part = &words[from + begin..from + end];
            let Some(cost) = cue_cost(words, from + begin, from + end, picture, style) else {
                if part.len() > 1 {
                    break; // longer parts fit even less
                }
                continue;
            };
            if let Some((before, _)) = best[begin] {
                let total = before + cost;
                if best[end].is_none_or(|(least, _)| total < least) {
                    best[end] = Some((total, begin));
                }
            }
        }
    }
    let mut cuts = Vec::new();
    let mut end = count;
    while end > 0 {
        // A single word always fits, so every end can be reached; a cue of one word is the way out if it could not.
        let begin = best[end].map_or(end - 1, |(_, begin)| begin);
        cuts.push((from + begin, from + end));
        end = begin;
    }
    for &(begin, end) in cuts.iter().rev() {
        let part = &words[begin..end];
        let lines = lay_out(part, style).map_or_else(|| part.iter().map(|word| word.text.clone()).collect(), |(lines, _)| lines);
        drafts.push(Draft { start: part[0].start, end: part.iter().map(|word| word.end).max().unwrap_or(part[0].start), lines });
    }
}

/// What one cue of words `begin..end` costs; `None` when it cannot be one cue.
fn cue_cost(words: &[Word], begin: usize, end: usize, picture: &Picture<'_>, style: &Style) -> Option<i64> {
    let part = &words[begin..end];
    let (lines, line_cost) = lay_out(part, style)?;
    let (first, last) = (&part[0], &part[part.len() - 1]);
    let spoken = last.end - first.start;
    if spoken > style.longest && part.len() > 1 {
        return None;
    }
    let mut cost = CUE + line_cost;
    let next = words.get(end);
    let room = next.map_or(i64::MAX, |next| next.start - style.gap - first.start);
    let characters = lines.iter().map(|line| line.chars().count()).sum();
    cost += missed(style.reading_time(characters), room);
    cost += missed(style.shortest, room);
    if let Some(next) = next {
        cost += break_cost(last, next, style);
        if next.start - last.end >= TICKS_PER_SECOND / 2 {
            cost -= PAUSE_BONUS;
        }
    }
    let sentence_inside = part[..part.len() - 1].iter().any(ends_sentence);
    if sentence_inside && !ends_sentence(last) {
        cost += TORN_SENTENCE;
    }
    if picture.has_shot_between(first.start + style.snap, last.end - style.snap) {
        cost += SHOT_CROSSED;
    }
    Some(cost)
}

/// Cost of having `room` where `wanted` was wanted.
fn missed(wanted: i64, room: i64) -> i64 {
    if room >= wanted {
        return 0;
    }
    TIME_MISSED * (wanted - room.max(0)) / wanted.max(1)
}
