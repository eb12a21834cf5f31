//! Where a text may be parted, and how a cue's words fall into lines. No I/O.

use crate::{Style, Word, text::joined};

/// Breaks after these are natural: a sentence is over.
const SENTENCE_ENDS: &[char] = &['.', '?', '!', '…', '。', '？', '！', '؟', '।'];
/// Breaks after these are good: a clause is over.
const CLAUSE_ENDS: &[char] = &[',', ';', ':', '—', '–', '、', '，', '；', '：', '،'];
/// What may follow an end mark and still belong to it.
const CLOSERS: &[char] = &['"', '\'', '”', '’', '»', ')', ']', '」', '』'];
/// Full stops that end no sentence.
const ABBREVIATIONS: &[&str] = &["mr.", "mrs.", "ms.", "dr.", "st.", "prof.", "sr.", "jr.", "vs."];
/// A break before these is good (TTSG: before conjunctions and prepositions). Short lists of the commonest words of
/// the languages most asked for; in others punctuation and balance decide alone.
const LEADERS: &[&str] = &[
    "and", "but", "or", "nor", "so", "yet", "because", "although", "though", "while", "when", "where", "which", "who", "that",
    "if", "unless", "until", "since", "as", "than", "of", "in", "on", "at", "to", "from", "with", "without", "for", "by",
    "about", "after", "before", "into", "over", "under", "through", "between", "y", "pero", "porque", "que", "con", "para", "et",
    "mais", "ou", "car", "avec", "pour", "dans", "und", "aber", "oder", "weil", "dass", "mit", "für", "e", "ma", "perché", "che",
];
/// A break after these is bad: they lean on the next word.
const LEANERS: &[&str] = &[
    "a", "an", "the", "my", "your", "his", "her", "its", "our", "their", "this", "these", "those", "mr.", "mrs.", "ms.", "dr.",
    "i", "we", "he", "she", "they", "you", "it", "is", "are", "was", "were", "be", "not", "no", "very", "el", "la", "los", "las",
    "un", "una", "le", "les", "une", "des", "der", "die", "das", "ein", "eine", "il", "lo",
];

/// Cost of parting the text after `left`; 0 is a sentence's end, higher is worse.
pub(crate) fn break_cost(left: &Word, right: &Word, style: &Style) -> i64 {
    if ends_sentence(left) {
        return 0;
    }
    let trimmed = left.text.trim_end_matches(CLOSERS);
    if trimmed.ends_with(CLAUSE_ENDS) {
        return 12;
    }
    if right.glued {
        // Inside a word, unless the language has no spaces.
        return if style.breaks_anywhere { 35 } else { 400 };
    }
    let leads = LEADERS.contains(&bare(&right.text).as_str());
    let leans_on_next = LEANERS.contains(&left.text.to_lowercase().as_str()) || LEADERS.contains(&bare(&left.text).as_str());
    match (leads, leans_on_next) {
        (true, false) => 25,
        (false, false) => 45,
        (true, true) => 60,
        (false, true) => 80,
    }
}

/// Whether a sentence is over after this word.
pub(crate) fn ends_sentence(word: &Word) -> bool {
    let trimmed = word.text.trim_end_matches(CLOSERS);
    trimmed.ends_with(SENTENCE_ENDS) && !ABBREVIATIONS.contains(&trimmed.to_lowercase().as_str())
}

fn bare(text: &str) -> String {
    text.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

/// The words in one or two lines with what the break costs; `None` when they do not fit.
pub(crate) fn lay_out(words: &[Word], style: &Style) -> Option<(Vec<String>, i64)> {
    let whole = joined(words);
    let length = whole.chars().count();
    if length <= style.line {
        return Some((vec![whole], 0));
    }
    if style.lines < 2 || length > 2 * style.line + 1 {
        return None;
    }
    let mut best: Option<(i64, usize)> = None;
    let mut top = 0;
    for split in 1..words.len() {
        top += words[split - 1].text.chars().count();
        if split > 1 && !words[split - 1].glued {
            top += 1;
        }
        let space = usize::from(!words[split].glued);
        let bottom = length - top - space;
        if top > style.line {
            break;
        }
        if bottom > style.line {
            continue;
        }
        // Balanced lines, and of two equal ones the one whose top is shorter: it hides less of the picture.
        let lean = top as i64 - bottom as i64;
        let balance = if lean > 0 { lean * 3 / 2 } else { -lean };
        let cost = break_cost(&words[split - 1], &words[split], style) + balance;
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, split));
        }
    }
    let (cost, split) = best?;
    Some((vec![joined(&words[..split]), joined(&words[split..])], cost))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Word> {
        text.split(' ').map(|word| Word::new(word, 0, 0)).collect()
    }

    fn lines(text: &str) -> Vec<String> {
        lay_out(&words(text), &Style::for_language("en")).map(|(lines, _)| lines).unwrap_or_default()
    }

    #[test]
    fn a_line_breaks_after_a_comma_rather_than_in_the_middle_of_a_phrase() {
        assert_eq!(
            lines("it was the age of wisdom, it was the age of foolishness"),
            ["it was the age of wisdom,", "it was the age of foolishness"]
        );
    }

    #[test]
    fn a_line_breaks_before_a_conjunction_and_never_after_an_article() {
        assert_eq!(
            lines("we walked along the river bank and talked about the weather"),
            ["we walked along the river bank", "and talked about the weather"]
        );
    }

    #[test]
    fn what_fits_one_line_stays_one_line() {
        assert_eq!(lines("It was the best of times,").len(), 1);
    }

    #[test]
    fn what_fits_no_two_lines_is_refused() {
        assert!(lay_out(&words(&"word ".repeat(30)), &Style::for_language("en")).is_none());
    }

    #[test]
    fn a_title_before_a_name_ends_no_sentence() {
        assert!(!ends_sentence(&Word::new("Mr.", 0, 0)));
        assert!(ends_sentence(&Word::new("over.\"", 0, 0)));
    }
}
