//! Word error rate: how far what was heard is from what was said. No I/O.

/// Most words a side may have: the distance takes time in proportion to the product of both.
pub const MAX_WORDS: usize = 40_000;

/// The least edits that turn the truth into what was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Words heard as others.
    pub substitutions: usize,
    /// Words said and not heard.
    pub deletions: usize,
    /// Words heard and not said.
    pub insertions: usize,
    /// Words said.
    pub words: usize,
}

impl Score {
    /// Edits for each word said; `None` when nothing was said, for then there is no rate.
    pub fn rate(&self) -> Option<f64> {
        (self.words > 0).then(|| self.edits() as f64 / self.words as f64)
    }

    /// All edits.
    pub fn edits(&self) -> usize {
        self.substitutions + self.deletions + self.insertions
    }
}

/// A text too long to score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to score a text of {0} words: the limit is {MAX_WORDS}; score it in parts")]
pub struct TooLong(pub usize);

/// Compares two texts word by word; case, punctuation and hyphens do not count, apostrophes inside words do.
pub fn score(truth: &str, heard: &str) -> Result<Score, TooLong> {
    let (truth, heard) = (normalised(truth), normalised(heard));
    let longest = truth.len().max(heard.len());
    if longest > MAX_WORDS {
        return Err(TooLong(longest));
    }
    // One row of Levenshtein's table, each cell with the edits that led to it.
    let mut row: Vec<Score> = (0..=heard.len()).map(|insertions| Score { insertions, ..Score::default() }).collect();
    for said in &truth {
        let mut diagonal = row[0];
        row[0].deletions += 1;
        for (nth, word) in heard.iter().enumerate() {
            let mut kept = diagonal;
            kept.substitutions += usize::from(said != word);
            let mut deleted = row[nth + 1];
            deleted.deletions += 1;
            let mut inserted = row[nth];
            inserted.insertions += 1;
            diagonal = row[nth + 1];
            row[nth + 1] = [kept, deleted, inserted].into_iter().min_by_key(Score::edits).unwrap_or(kept);
        }
    }
    let mut total = row[heard.len()];
    total.words = truth.len();
    Ok(total)
}

/// The words that count.
pub fn normalised(text: &str) -> Vec<String> {
    text.to_lowercase()
        .replace(['’', '‘'], "'")
        .split(|c: char| !(c.is_alphanumeric() || c == '\''))
        .map(|word| word.trim_matches('\'').to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted_by_kind() {
        let found = score("the cat sat on the mat", "the bat sat the mat now").expect("short");
        assert_eq!(found, Score { substitutions: 1, deletions: 1, insertions: 1, words: 6 });
        assert_eq!(found.rate(), Some(0.5));
    }

    #[test]
    fn case_punctuation_and_curly_quotes_do_not_count() {
        let found = score("It was the BEST of times -- wasn't it?", "it was the best of times wasn’t it").expect("short");
        assert_eq!(found.edits(), 0);
    }

    #[test]
    fn silence_has_no_rate_and_hearing_nothing_is_wholly_wrong() {
        assert_eq!(score("", "ghost").expect("short").rate(), None);
        assert_eq!(score("all gone", "").expect("short").rate(), Some(1.0));
    }
}
