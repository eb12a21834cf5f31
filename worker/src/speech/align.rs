//! When each word of a window was said: Whisper's attention tells, the voice activity corrects. No I/O.

use super::{SAMPLE_RATE, Span, tokens::TokenWord};

/// Samples of one frame of Whisper's encoder: 20 ms.
pub(super) const FRAME: i64 = SAMPLE_RATE / 50;
/// A word's edge may lie this far outside the voice: soft consonants are quieter than the detector hears.
const SOFT: i64 = SAMPLE_RATE / 10;
/// Longest time a single word is shown as spoken.
const LONGEST_WORD: i64 = 2 * SAMPLE_RATE;

/// Loudness is looked at in steps of 10 ms.
const STEP: usize = SAMPLE_RATE as usize / 100;
/// Quieter than this share of the mean voice (-14 dB) is a pause, if it lasts; weak consonants are, but never last.
const QUIET: f32 = 0.2;
/// A pause shorter than this is part of a word: the closure of a stop consonant.
const SHORT_PAUSE: i64 = SAMPLE_RATE * 15 / 100;

/// The voice without the pauses in it: the detector stays on for some tenths of a second after the voice.
///
/// Under music nothing is quiet, and the voice stays as the detector found it.
pub(super) fn sounding(samples: &[f32], voiced: &[Span]) -> Vec<Span> {
    let part = |span: &Span| {
        let place = |at: i64| at.clamp(0, samples.len() as i64) as usize;
        &samples[place(span.start)..place(span.end)]
    };
    let power = |sound: &[f32]| sound.iter().map(|sample| sample * sample).sum::<f32>();
    let (energy, count) =
        voiced.iter().map(part).fold((0.0, 0), |(energy, count), sound| (energy + power(sound), count + sound.len()));
    let quiet = (energy / count.max(1) as f32).sqrt() * QUIET;
    let mut runs: Vec<Span> = Vec::new();
    for span in voiced {
        for (nth, step) in part(span).chunks(STEP).enumerate() {
            if (power(step) / step.len() as f32).sqrt() < quiet {
                continue;
            }
            let start = span.start + (nth * STEP) as i64;
            let end = start + step.len() as i64;
            match runs.last_mut() {
                Some(run) if start - run.end < SHORT_PAUSE => run.end = end,
                _ => runs.push(Span { start, end }),
            }
        }
    }
    runs
}

/// First frame of each token and of the end, from the path through the attention; `None` where the path has holes
/// that cannot be filled.
pub(super) fn token_starts(path: &[(i64, i64)], tokens: usize) -> Option<Vec<i64>> {
    let mut starts: Vec<Option<i64>> = vec![None; tokens + 1];
    for &(token, frame) in path {
        let slot = usize::try_from(token).ok().and_then(|token| starts.get_mut(token))?;
        *slot = Some(slot.map_or(frame, |earlier| earlier.min(frame)));
    }
    // A token the path passes over in no time begins where the next one does.
    let mut next = path.iter().map(|&(_, frame)| frame + 1).max()?;
    let mut filled: Vec<i64> = starts
        .iter()
        .rev()
        .map(|start| {
            next = start.unwrap_or(next).min(next);
            next
        })
        .collect();
    filled.reverse();
    Some(filled)
}

/// Spans of words in samples of the window, from the starts of tokens.
pub(super) fn from_attention(words: &[TokenWord], starts: &[i64], voiced: &[Span], length: i64) -> Vec<Span> {
    let at = |token: usize| starts[token.min(starts.len() - 1)] * FRAME;
    let raw = words.iter().map(|word| Span { start: at(word.first), end: at(word.first + word.count) });
    tidy(raw.map(|span| to_voice(span, voiced)), length)
}

/// Spans of words shared out over the segment by characters: for models whose attention cannot be read.
pub(super) fn by_characters(words: &[TokenWord], segment: Span, length: i64) -> Vec<Span> {
    let size = |word: &TokenWord| word.text.chars().count() as i64 + 1;
    let total: i64 = words.iter().map(size).sum::<i64>().max(1);
    let mut before = 0;
    let raw = words.iter().map(|word| {
        let place = |characters: i64| segment.start + (segment.end - segment.start) * characters / total;
        let start = place(before);
        before += size(word);
        Span { start, end: place(before) }
    });
    tidy(raw, length)
}

/// The attention puts the pause before a word into the word; the voice does not.
fn to_voice(word: Span, voiced: &[Span]) -> Span {
    // A run that ends just after the word begins is the tail of the word before.
    let Some(run) = voiced.iter().find(|run| run.end > word.start + SOFT) else {
        return word;
    };
    let mut span = word;
    if run.start > word.start + SOFT && run.start < word.end {
        span.start = run.start - SOFT;
    }
    if run.start < word.end && run.end + SOFT < word.end {
        span.end = run.end + SOFT;
    }
    span
}

/// In order, inside the window, of some length, and none absurdly long.
fn tidy(spans: impl Iterator<Item = Span>, length: i64) -> Vec<Span> {
    let mut clock = 0;
    let mut tidied: Vec<Span> = spans
        .map(|span| {
            let start = span.start.clamp(clock, length);
            let end = span.end.clamp(start, length).min(start + LONGEST_WORD);
            clock = start;
            Span { start, end }
        })
        .collect();
    for nth in 1..tidied.len() {
        tidied[nth - 1].end = tidied[nth - 1].end.min(tidied[nth].start);
    }
    tidied
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(first: usize, count: usize) -> TokenWord {
        TokenWord { text: "word".into(), glued: false, first, count }
    }

    #[test]
    fn a_token_begins_where_the_path_first_meets_it() {
        let path = [(0, 0), (0, 1), (1, 2), (3, 3), (3, 9), (4, 10)];
        assert_eq!(token_starts(&path, 4), Some(vec![0, 2, 3, 3, 10]));
        assert_eq!(token_starts(&[(9, 0)], 4), None);
        assert_eq!(token_starts(&[], 0), None);
    }

    #[test]
    fn a_pause_before_and_after_a_word_is_no_part_of_it() {
        let voiced = [Span { start: 16_000, end: 24_000 }];
        let spans = from_attention(&[word(0, 1)], &[0, 100], &voiced, 48_000);
        assert_eq!(spans, [Span { start: 16_000 - SOFT, end: 24_000 + SOFT }]);
    }

    #[test]
    fn the_tail_of_the_word_before_does_not_hold_a_word_back() {
        let voiced = [Span { start: 0, end: 10_000 }, Span { start: 18_000, end: 30_000 }];
        let spans = from_attention(&[word(0, 1)], &[28, 90], &voiced, 48_000);
        assert_eq!(spans, [Span { start: 18_000 - SOFT, end: 90 * FRAME }]);
    }

    #[test]
    fn a_pause_inside_the_voice_is_found_and_a_stop_consonant_is_none() {
        let mut samples = vec![0.1; 48_000];
        samples[16_000..17_600].fill(0.0);
        samples[30_000..34_000].fill(0.001);
        let voiced = [Span { start: 8_000, end: 48_000 }];
        assert_eq!(sounding(&samples, &voiced), [Span { start: 8_000, end: 30_080 }, Span { start: 33_920, end: 48_000 }]);
        assert_eq!(sounding(&[], &voiced), []);
    }

    #[test]
    fn words_stay_in_order_and_inside_the_window_whatever_the_path_says() {
        let spans = from_attention(&[word(0, 1), word(1, 1), word(2, 1)], &[90, 10, 400, 500], &[], 32_000);
        assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start));
        assert!(spans.iter().all(|span| span.start <= span.end && span.end <= 32_000));
    }

    #[test]
    fn without_attention_longer_words_take_longer() {
        let mut words = [word(0, 1), word(1, 1)];
        words[1].text = "wonderful".into();
        let spans = by_characters(&words, Span { start: 0, end: 15_000 }, 48_000);
        assert_eq!(spans, [Span { start: 0, end: 5_000 }, Span { start: 5_000, end: 15_000 }]);
    }
}
