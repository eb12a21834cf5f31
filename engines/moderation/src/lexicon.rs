//! The words that are strong language in a language, with their tiers and what makes them innocent. Reads lists that are part of
//! the build.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

/// How strong a word is, 1 (mild) to 4 (very strong, or a slur).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tier(u8);

impl Tier {
    /// The strongest.
    pub const STRONGEST: Self = Self(4);

    /// 1 to 4; none for other numbers.
    pub const fn new(tier: u8) -> Option<Self> {
        if 1 <= tier && tier <= 4 { Some(Self(tier)) } else { None }
    }

    /// 1 to 4.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The list of one language.
#[derive(Debug)]
pub struct Lexicon {
    entries: Vec<Entry>,
    /// Whole words, each to its entry.
    words: HashMap<String, usize>,
    /// Words that hold a strong one and are none.
    innocent: HashSet<String>,
}

/// One word of the list.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word on a line of the list")]
pub(crate) struct Entry {
    stem: String,
    pub(crate) tier: u8,
    starts: bool,
    inside: bool,
    masks: bool,
    /// Innocent where it is written like a name.
    pub(crate) name: bool,
    /// Innocent where one of these comes after it.
    pub(crate) not_before: Vec<String>,
    /// Innocent where one of these comes before it.
    pub(crate) not_after: Vec<String>,
    /// Counted only where one of these comes after it.
    pub(crate) only_before: Vec<String>,
}

/// A stem inside other words is looked for from this length on.
const SHORTEST_INSIDE: usize = 4;
/// At least this much of a word must not be blotted out.
const LEAST_SHOWN: usize = 1;
/// What letters are blotted out with.
pub(crate) const BLOTS: [char; 8] = ['*', '-', '_', '#', '•', '@', '©', 'µ'];

static ENGLISH: LazyLock<Lexicon> = LazyLock::new(|| {
    let lists = (include_str!("../data/en.txt"), include_str!("../data/en.innocent.txt"));
    Lexicon::read(lists.0, lists.1).expect("the lists are part of the build, and a test reads them")
});

impl Lexicon {
    /// The list of a language, by its BCP 47 tag; none where there is no list.
    pub fn of(language: &str) -> Option<&'static Self> {
        let primary = language.split(['-', '_']).next().unwrap_or_default();
        primary.eq_ignore_ascii_case("en").then(|| &*ENGLISH)
    }

    /// Reads the two lists; the text of a line that cannot be read is the error.
    fn read(list: &str, innocent: &str) -> Result<Self, String> {
        let lines = |text: &'_ str| -> Vec<String> {
            text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
        };
        let (mut entries, mut words) = (Vec::new(), HashMap::new());
        for line in lines(list) {
            let (entry, forms) = Entry::read(&line).ok_or(line)?;
            for form in forms {
                // A later line of its own is the last word on a form.
                if form == entry.stem {
                    words.insert(form, entries.len());
                } else {
                    words.entry(form).or_insert(entries.len());
                }
            }
            entries.push(entry);
        }
        Ok(Self { entries, words, innocent: lines(innocent).into_iter().collect() })
    }

    /// The entry that a whole word, in small letters, is of.
    pub(crate) fn find(&self, word: &str) -> Option<&Entry> {
        if self.innocent.contains(word) {
            return None;
        }
        if let Some(at) = self.words.get(word) {
            return self.entries.get(*at);
        }
        let holds = |entry: &&Entry| {
            (entry.starts && word.starts_with(&entry.stem))
                || (entry.inside && entry.stem.len() >= SHORTEST_INSIDE && word.contains(&entry.stem))
        };
        self.entries.iter().filter(holds).max_by_key(|entry| (entry.tier, entry.stem.len()))
    }

    /// The entry that a word with blotted-out letters stands for.
    pub(crate) fn unmask(&self, masked: &str) -> Option<&Entry> {
        let pattern: Vec<char> = masked.chars().collect();
        let shown = pattern.iter().filter(|c| !BLOTS.contains(c)).count();
        if shown < LEAST_SHOWN || shown == pattern.len() || BLOTS.contains(pattern.first()?) {
            return None;
        }
        let mut forms: Vec<(&usize, &String)> = self.words.iter().map(|(word, at)| (at, word)).collect();
        forms.sort();
        let fits = |word: &str| {
            word.chars().count() == pattern.len()
                && word.chars().zip(&pattern).all(|(letter, shown)| BLOTS.contains(shown) || letter == *shown)
        };
        forms
            .into_iter()
            .filter(|(at, _)| self.entries[**at].masks)
            .find(|(_, word)| fits(word))
            .map(|(at, _)| &self.entries[*at])
    }
}

impl Entry {
    /// A line of the list, with every whole word it stands for.
    fn read(line: &str) -> Option<(Self, Vec<String>)> {
        let mut parts = line.split_whitespace();
        let stem = parts.next()?.to_owned();
        let tier = Tier::new(parts.next()?.parse().ok()?)?.get();
        let mut entry = Self { stem: stem.clone(), tier, ..Self::default() };
        let mut forms = vec![stem.clone()];
        let list = |text: Option<&str>| -> Option<Vec<String>> { Some(text?.split(',').map(str::to_owned).collect()) };
        while let Some(part) = parts.next() {
            match part {
                "verb" => forms.extend(verb(&stem)),
                "noun" => forms.extend(["s", "es", "y"].map(|end| format!("{stem}{end}"))),
                "start" => entry.starts = true,
                "inside" => entry.inside = true,
                "mask" => entry.masks = true,
                "name" => entry.name = true,
                "!before" => entry.not_before = list(parts.next())?,
                "!after" => entry.not_after = list(parts.next())?,
                "?before" => entry.only_before = list(parts.next())?,
                _ => return None,
            }
        }
        Some((entry, forms))
    }
}

/// The forms of a verb, and of what it is made into.
fn verb(stem: &str) -> Vec<String> {
    const ENDS: [&str; 8] = ["ed", "er", "ers", "in", "ing", "ings", "y", "able"];
    let mut forms: Vec<String> = ["s", "es"].map(|end| format!("{stem}{end}")).into();
    let doubled = stem.chars().next_back().map(|last| format!("{stem}{last}"));
    for base in [Some(stem.to_owned()), doubled].into_iter().flatten() {
        forms.extend(ENDS.map(|end| format!("{base}{end}")));
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_can_be_read_and_every_word_has_a_tier() {
        let english = Lexicon::of("en-GB").unwrap();
        assert!(english.entries.len() > 90 && english.entries.iter().all(|entry| Tier::new(entry.tier).is_some()));
        assert!(Lexicon::of("de").is_none() && Lexicon::of("").is_none() && Lexicon::of("english").is_none());
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for line in ["damn", "damn 0", "damn 5", "damn x", "damn 1 adverb", "damn 1 !before"] {
            assert_eq!(Lexicon::read(line, "").unwrap_err(), line);
        }
    }

    #[test]
    fn what_is_blotted_out_is_taken_for_the_first_word_of_the_list_that_fits() {
        let lexicon = Lexicon::read("slut 2\nshit 1 verb mask\nslag 2 mask", "").unwrap();
        let tier = |word: &str| lexicon.unmask(word).map(|entry| entry.stem.as_str());
        assert_eq!(
            [tier("s***"), tier("s**t"), tier("sl**"), tier("s***ing"), tier("****"), tier("shit")],
            [Some("shit"), Some("shit"), Some("slag"), Some("shit"), None, None]
        );
    }
}
