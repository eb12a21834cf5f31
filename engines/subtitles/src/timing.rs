//! Gives every cue its span on screen: with its words, readable, on shot changes, never over the next. No I/O.

use crate::{Cue, Picture, Style, TICKS_PER_MS};

/// However fast the speech, a cue is on screen this long.
const LEAST_VISIBLE: i64 = 40 * TICKS_PER_MS;

/// A cue whose span is still that of its words.
pub(crate) struct Draft {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) lines: Vec<String>,
}

/// Spans for all drafts, which are in order.
pub(crate) fn place(drafts: &[Draft], picture: &Picture<'_>, style: &Style) -> Vec<Cue> {
    let starts = starts(drafts, picture, style);
    drafts
        .iter()
        .enumerate()
        .map(|(nth, draft)| {
            let start = starts[nth];
            let limit = starts.get(nth + 1).map_or(i64::MAX, |next| next - style.gap);
            Cue { start, end: end(draft, start, limit, picture, style), lines: draft.lines.clone() }
        })
        .collect()
}

fn starts(drafts: &[Draft], picture: &Picture<'_>, style: &Style) -> Vec<i64> {
    let mut starts: Vec<i64> = Vec::with_capacity(drafts.len());
    for (nth, draft) in drafts.iter().enumerate() {
        let earliest = match (nth.checked_sub(1), starts.last()) {
            (Some(before), Some(start)) => Some((start + LEAST_VISIBLE + style.gap, drafts[before].end + style.gap)),
            _ => None,
        };
        let mut start = draft.start.max(0);
        if let Some(shot) = picture.shot_near(start, style.snap) {
            let words_before_are_over = earliest.is_none_or(|(_, after_words)| shot >= after_words);
            let stays_readable = shot <= start || {
                let next = drafts.get(nth + 1).map_or(i64::MAX, |next| next.start);
                let characters = draft.lines.iter().map(|line| line.chars().count()).sum();
                let room = next.saturating_sub(style.gap).saturating_sub(shot);
                shot < draft.end && room >= style.shortest.max(style.reading_time(characters))
            };
            if words_before_are_over && stays_readable {
                start = shot;
            }
        }
        starts.push(earliest.map_or(start, |(possible, _)| start.max(possible)));
    }
    starts
}

fn end(draft: &Draft, start: i64, limit: i64, picture: &Picture<'_>, style: &Style) -> i64 {
    let characters = draft.lines.iter().map(|line| line.chars().count()).sum();
    let readable = start + style.shortest.max(style.reading_time(characters));
    let longest = start + style.longest;
    let mut end = (draft.end + style.linger).max(readable).min(longest).min(limit);
    if limit != i64::MAX && limit - end < style.chain {
        end = limit.min(longest);
    }
    if let Some(shot) = picture.shot_near(end + style.gap, style.snap) {
        let snapped = shot - style.gap;
        let keeps_words = snapped + style.gap >= draft.end;
        if keeps_words && snapped >= readable && snapped <= limit && snapped <= longest {
            end = snapped;
        }
    }
    if let Some(last) = picture.end {
        end = end.min(last);
    }
    end.max(start + LEAST_VISIBLE)
}
