//! Strong language in what is said: which words, when, and what level that makes of a title. Pure; no I/O.

use crate::lexicon::{Entry, Lexicon, Tier};
use showrunner_timeline::Ticks;

/// Name and version of the table from words to level. It is ours and uncalibrated.
pub const LANGUAGE_TABLE: &str = "words-and-rates/1 (uncalibrated)";
/// Words that stand for one that was taken out of the sound.
const BLEEPS: [&str; 2] = ["bleep", "expletive"];
/// What a word that was taken out counts as: strong enough to be taken out, and not heard.
const BLEEP_TIER: u8 = 2;
/// Letters spelled one by one are joined from this many on.
const SPELLED: usize = 3;
/// What parts words, beside spaces.
const PARTS: fn(char) -> bool = |c| {
    c.is_whitespace()
        || matches!(c, ',' | ';' | ':' | '/' | '"' | '(' | ')' | '[' | ']' | '<' | '>' | '…' | '—' | '–' | '“' | '”')
};
/// Longest word that is looked at, characters: hostile text has longer ones.
const LONGEST_WORD: usize = 64;

/// A stretch of text with its time, such as a cue.
#[derive(Clone, Copy, Debug)]
pub struct Spoken<'a> {
    /// When it begins to be said.
    pub start: Ticks,
    /// When it has been said.
    pub end: Ticks,
    /// What is said; line breaks are spaces.
    pub text: &'a str,
}

/// One strong word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Of the stretch it is in.
    pub start: Ticks,
    /// Of the stretch it is in.
    pub end: Ticks,
    /// As it stands in the text.
    pub word: String,
    /// How strong.
    pub tier: Tier,
}

/// The strong language of a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Language {
    /// 0 to 5.
    pub level: u8,
    /// Strongest first; among equals the earlier.
    pub hits: Vec<Hit>,
    /// How many of tier 1, 2, 3, 4.
    pub counts: [u32; 4],
}

/// Scores a title that is `seconds` long.
pub fn language<'a>(lexicon: &Lexicon, spoken: impl IntoIterator<Item = Spoken<'a>>, seconds: f64) -> Language {
    let mut hits: Vec<Hit> = spoken
        .into_iter()
        .flat_map(|stretch| {
            words_in(lexicon, stretch.text).into_iter().map(move |(word, tier)| Hit {
                start: stretch.start,
                end: stretch.end,
                word,
                tier,
            })
        })
        .collect();
    let mut counts = [0_u32; 4];
    for hit in &hits {
        counts[usize::from(hit.tier.get()) - 1] += 1;
    }
    hits.sort_by(|a, b| b.tier.cmp(&a.tier).then(a.start.cmp(&b.start)));
    Language { level: language_level(counts, seconds), hits, counts }
}

/// The level of so many words of tier 1, 2, 3, 4 in so many seconds. Short titles are held to the rates of ten minutes, so that
/// one word in a trailer is not sixty an hour.
pub fn language_level(counts: [u32; 4], seconds: f64) -> u8 {
    const SHORTEST: f64 = 600.0;
    let hours = if seconds.is_finite() { seconds.max(SHORTEST) } else { SHORTEST } / 3_600.0;
    let [mild, moderate, strong, very_strong] = counts.map(f64::from);
    let often = |count: f64, an_hour: f64| count > 1.0 && count / hours >= an_hour;
    if very_strong > 0.0 || often(strong, 90.0) {
        5
    } else if strong > 2.0 {
        4
    } else if strong > 0.0 || often(moderate, 12.0) {
        3
    } else if moderate > 0.0 || often(mild, 30.0) {
        2
    } else {
        u8::from(mild > 0.0)
    }
}

/// The strong words of a text, as they stand in it, in order.
pub fn words_in(lexicon: &Lexicon, text: &str) -> Vec<(String, Tier)> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let spelled = tokens[at..].iter().take_while(|token| token.is_letter()).count();
        if spelled >= SPELLED {
            found.extend(spelled_out(lexicon, &tokens[at..at + spelled]));
            at += spelled;
            continue;
        }
        found.extend(strong(lexicon, &tokens, at));
        at += 1;
    }
    found
}

/// A word of a text.
#[derive(Clone, Debug)]
struct Token<'a> {
    /// As it stands, without what is around it.
    raw: &'a str,
    /// In small letters.
    low: String,
    /// First of a sentence.
    first: bool,
    /// A comma comes after it.
    comma: bool,
}

impl Token<'_> {
    fn is_letter(&self) -> bool {
        self.raw.len() == 1 && self.raw.chars().all(|c| c.is_ascii_alphabetic())
    }

    fn is_capitalised(&self) -> bool {
        let mut letters = self.raw.chars();
        letters.next().is_some_and(char::is_uppercase) && letters.any(char::is_lowercase)
    }
}

/// Cuts a text into words. Blots stay with the word whose letters they hide.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut tokens, mut first): (Vec<Token<'_>>, bool) = (Vec::new(), true);
    let outer = |c: char| !c.is_alphanumeric() && !matches!(c, '*' | '#' | '_' | '•' | '@' | '$');
    for piece in text.split_inclusive(PARTS) {
        let raw = piece.trim_start_matches(outer).trim_end_matches(|c| outer(c) && c != '-');
        // A word that breaks off in dashes is one whose letters are hidden; one dash is a pause.
        let raw = if raw.ends_with("--") { raw } else { raw.trim_end_matches(outer) };
        if !raw.is_empty() && raw.chars().count() <= LONGEST_WORD {
            tokens.push(Token { raw, low: raw.to_lowercase().replace('’', "'"), first, comma: piece.ends_with(',') });
            first = false;
        }
        first |= piece.trim_end().ends_with(['.', '!', '?']);
    }
    tokens
}

/// The strong word at `at`, where it is one.
fn strong(lexicon: &Lexicon, tokens: &[Token<'_>], at: usize) -> Option<(String, Tier)> {
    let token = &tokens[at];
    let tier = |tier: u8| Tier::new(tier).map(|tier| (token.raw.to_owned(), tier));
    if BLEEPS.contains(&token.low.as_str()) {
        return tier(BLEEP_TIER);
    }
    let entry = entry_of(lexicon, &token.low)?;
    if is_innocent(entry, tokens, at) {
        return None;
    }
    tier(entry.tier)
}

/// The entry that a word in small letters is of, however it is written.
fn entry_of<'a>(lexicon: &'a Lexicon, low: &str) -> Option<&'a Entry> {
    let possessive = low.strip_suffix("'s").or_else(|| low.strip_suffix('\'')).unwrap_or(low);
    let whole = |word: &str| lexicon.find(word);
    if let Some(entry) = whole(low).or_else(|| whole(possessive)).or_else(|| whole(&drawn_out(possessive))) {
        return Some(entry);
    }
    if possessive.chars().any(|c| !c.is_alphabetic())
        && let Some(entry) = whole(&letters_for_signs(possessive))
            .or_else(|| whole(&letters_for_signs(&possessive.replace('1', "l"))))
            .or_else(|| lexicon.unmask(possessive))
    {
        return Some(entry);
    }
    // Letters with dots or dashes between them, and the strongest part of a word in parts: mother-..., half-arsed.
    let parts: Vec<&str> = low.split(['-', '.']).filter(|part| !part.is_empty()).collect();
    if parts.len() < 2 {
        return None;
    }
    let of_part = |part: &&str| whole(part).or_else(|| whole(&letters_for_signs(part))).or_else(|| lexicon.unmask(part));
    whole(&parts.concat()).or_else(|| parts.iter().filter_map(of_part).max_by_key(|entry| entry.tier))
}

/// Letters that are held for long are said once: three and more in a row are one.
fn drawn_out(word: &str) -> String {
    let letters: Vec<char> = word.chars().collect();
    let mut out = String::with_capacity(word.len());
    let mut at = 0;
    while at < letters.len() {
        let run = letters[at..].iter().take_while(|letter| **letter == letters[at]).count();
        out.extend(std::iter::repeat_n(letters[at], if run >= 3 { 1 } else { run }));
        at += run;
    }
    out
}

/// Digits and signs that are written for letters.
fn letters_for_signs(word: &str) -> String {
    word.chars()
        .map(|sign| match sign {
            '@' | '4' => 'a',
            '$' | '5' => 's',
            '0' => 'o',
            '1' | '!' | '|' => 'i',
            '3' => 'e',
            '7' => 't',
            '9' => 'g',
            'µ' => 'u',
            other => other,
        })
        .collect()
}

fn is_innocent(entry: &Entry, tokens: &[Token<'_>], at: usize) -> bool {
    let is_in = |list: &[String], token: Option<&Token<'_>>| token.is_some_and(|token| list.contains(&token.low));
    let (token, before, next) = (&tokens[at], at.checked_sub(1).and_then(|at| tokens.get(at)), tokens.get(at + 1));
    let like_a_name =
        entry.name && token.is_capitalised() && (!token.first || token.comma || next.is_some_and(Token::is_capitalised));
    let counts_only = !entry.only_before.is_empty() && !is_in(&entry.only_before, next);
    like_a_name || counts_only || is_in(&entry.not_before, next) || is_in(&entry.not_after, before)
}

/// A strong word that is spelled letter by letter.
fn spelled_out(lexicon: &Lexicon, letters: &[Token<'_>]) -> Option<(String, Tier)> {
    let joined: String = letters.iter().map(|letter| letter.low.as_str()).collect();
    let entry = lexicon.find(&joined)?;
    let raw: Vec<&str> = letters.iter().map(|letter| letter.raw).collect();
    Tier::new(entry.tier).map(|tier| (raw.join(" "), tier))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiers(text: &str) -> Vec<u8> {
        words_in(Lexicon::of("en").unwrap(), text).into_iter().map(|(_, tier)| tier.get()).collect()
    }

    #[test]
    fn words_count_however_they_are_written() {
        for text in [
            "fuck",
            "Fuckin' hell",
            "FUCKING",
            "motherf**ker",
            "f*ck",
            "f---",
            "phuck",
            "fuuuuck",
            "f u c k",
            "abso-fucking-lutely",
        ] {
            assert!(tiers(text).iter().any(|tier| *tier >= 3), "{text}: {:?}", tiers(text));
        }
        assert_eq!(tiers("What the sh1t, you @sshole."), [2, 2]);
    }

    #[test]
    fn words_that_only_look_like_it_do_not_count() {
        for text in [
            "Scunthorpe and Penistone",
            "a shiitake in the cocktail",
            "Dick Van Dyke",
            "The cock crowed.",
            "Moby Dick",
            "A bloody nose.",
            "hello",
            "classic bass",
            "assassin",
            "Two great tits",
            "Dickens",
            "a chink in the wall",
            "spic and span",
        ] {
            assert!(tiers(text).is_empty(), "{text}: {:?}", tiers(text));
        }
    }

    #[test]
    fn a_hit_is_told_with_the_time_of_what_was_said_and_the_strongest_comes_first() {
        let lexicon = Lexicon::of("en").unwrap();
        let said = |start: i64, text| Spoken { start: Ticks(start), end: Ticks(start + 1_000), text };
        let told = language(lexicon, [said(0, "Damn it."), said(5_000, "Nothing."), said(9_000, "What a wanker!")], 60.0);
        assert_eq!(told.counts, [1, 1, 0, 0]);
        let hits: Vec<(i64, &str)> = told.hits.iter().map(|hit| (hit.start.0, hit.word.as_str())).collect();
        assert_eq!(hits, [(9_000, "wanker"), (0, "Damn")]);
        assert_eq!(told.level, 2);
    }

    #[test]
    fn levels_go_by_the_strongest_and_by_how_often() {
        let hour = 3_600.0;
        assert_eq!(language_level([0; 4], hour), 0);
        assert_eq!([language_level([3, 0, 0, 0], hour), language_level([40, 0, 0, 0], hour)], [1, 2]);
        assert_eq!([language_level([0, 2, 0, 0], hour), language_level([0, 14, 0, 0], hour)], [2, 3]);
        assert_eq!([1, 2, 3, 90].map(|strong| language_level([0, 0, strong, 0], hour)), [3, 3, 4, 5]);
        assert_eq!(language_level([0, 0, 0, 1], 2.0 * hour), 5);
        assert_eq!(language_level([1, 0, 0, 0], f64::NAN), 1);
    }
}
