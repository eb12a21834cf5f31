//! Words made fit to be shown: clean, in order, none longer than a line. No I/O.

use crate::{Style, Word};

/// Characters that no subtitle file may carry, or that would break its structure.
pub(crate) fn is_forbidden(c: char) -> bool {
    // Bidirectional overrides could make a line read as something else than it says.
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// A line without forbidden characters and without stray spaces.
pub(crate) fn clean_line(line: &str) -> String {
    let kept: String = line.chars().map(|c| if is_forbidden(c) { ' ' } else { c }).collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The words as running text.
pub fn joined(words: &[Word]) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() && !word.glued {
            text.push(' ');
        }
        text.push_str(&word.text);
    }
    text
}

/// Times further out than this (two years) are pulled in, so that no sum of them overflows.
const MAX_TICK: i64 = 1 << 40;

/// Words without forbidden characters, split at inner spaces and at the length of a line, their times in order.
pub(crate) fn prepare(words: &[Word], style: &Style) -> Vec<Word> {
    let mut ready: Vec<Word> = Vec::with_capacity(words.len());
    let mut clock = i64::MIN;
    for word in words {
        let text = clean_line(&word.text);
        if text.is_empty() {
            continue;
        }
        let start = word.start.clamp(-MAX_TICK, MAX_TICK).max(clock);
        let end = word.end.clamp(start, start.max(MAX_TICK));
        clock = start;
        for piece in pieces(&text, style.line.max(1), word.glued, start, end) {
            ready.push(piece);
        }
    }
    ready
}

/// Splits at spaces and then at `line` characters; time is shared out by characters.
fn pieces(text: &str, line: usize, glued: bool, start: i64, end: i64) -> Vec<Word> {
    let total = text.chars().count() as i64;
    let mut parts: Vec<(String, bool, i64)> = Vec::new();
    let mut at = 0;
    for (nth, part) in text.split(' ').enumerate() {
        let characters: Vec<char> = part.chars().collect();
        for (chunk_nth, chunk) in characters.chunks(line).enumerate() {
            let joins = if chunk_nth > 0 { true } else { nth == 0 && glued };
            parts.push((chunk.iter().collect(), joins, at));
            at += chunk.len() as i64;
        }
        at += 1; // the space
    }
    let time_of = |characters: i64| start + (end - start) * characters / total.max(1);
    parts
        .into_iter()
        .map(|(text, glued, at)| {
            let length = text.chars().count() as i64;
            Word { text, start: time_of(at), end: time_of(at + length), glued }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_longer_than_a_line_is_cut_and_none_of_it_lost() {
        let long = "a".repeat(100);
        let ready = prepare(&[Word::new(long.clone(), 0, 1000)], &Style::for_language("en"));
        assert_eq!(ready.len(), 3);
        assert_eq!(joined(&ready), long);
        assert_eq!(ready[2].end, 1000);
    }

    #[test]
    fn control_characters_and_overrides_become_spaces() {
        assert_eq!(clean_line("a\u{202e}b\u{0}\n c"), "a b c");
    }
}
