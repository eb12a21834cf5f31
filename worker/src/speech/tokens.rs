//! Whisper's tokens back to words. No I/O.
//!
//! Source: the byte-level alphabet of GPT-2 (`bytes_to_unicode`) and Whisper's `split_to_word_tokens`.

/// Languages that part words by no space.
const WITHOUT_SPACES: &[&str] = &["zh", "ja", "th", "lo", "my", "yue", "km"];

/// A word and the tokens it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenWord {
    pub(super) text: String,
    pub(super) glued: bool,
    /// First token, counted in the tokens given.
    pub(super) first: usize,
    /// Number of tokens.
    pub(super) count: usize,
}

/// Seconds of a time token (`<|12.34|>`).
pub(super) fn timestamp(token: &str) -> Option<f64> {
    let inner = token.strip_prefix("<|")?.strip_suffix("|>")?;
    let number = inner.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if number { inner.parse().ok() } else { None }
}

/// Whether the token says something about the text rather than being part of it.
pub(super) fn is_special(token: &str) -> bool {
    token.starts_with("<|") && token.ends_with("|>")
}

/// Groups text tokens into words.
pub(super) fn words(tokens: &[&str], language: &str) -> Vec<TokenWord> {
    let spaced = !WITHOUT_SPACES.contains(&language);
    let mut groups: Vec<(usize, Vec<u8>)> = Vec::new();
    for (nth, token) in tokens.iter().enumerate() {
        let bytes = bytes(token);
        let opens = match groups.last() {
            None => true,
            // Without spaces a word is one whole character (or several, where one token holds them).
            Some((_, open)) => bytes.first() == Some(&b' ') || (!spaced && std::str::from_utf8(open).is_ok()),
        };
        match groups.last_mut() {
            Some((_, open)) if !opens => open.extend(bytes),
            _ => groups.push((nth, bytes)),
        }
    }
    let mut words: Vec<TokenWord> = Vec::with_capacity(groups.len());
    for (nth, (first, bytes)) in groups.iter().enumerate() {
        let next = groups.get(nth + 1).map_or(tokens.len(), |(first, _)| *first);
        let text = String::from_utf8_lossy(bytes);
        let glued = !spaced && !text.starts_with(' ');
        let (text, count) = (text.trim(), next - first);
        let mark = !text.chars().any(char::is_alphanumeric);
        match words.last_mut() {
            // A mark belongs to the word before it: it must not begin a line. Nothing to read adds only its time.
            Some(last) if text.is_empty() || (mark && glued) => {
                last.text.push_str(text);
                last.count += count;
            }
            _ => words.push(TokenWord { text: text.to_owned(), glued, first: *first, count }),
        }
    }
    words.retain(|word| !word.text.is_empty());
    words
}

/// The bytes a token stands for.
fn bytes(token: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(token.len());
    for c in token.chars() {
        match byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(c.to_string().as_bytes()),
        }
    }
    bytes
}

/// GPT-2 writes bytes that cannot be printed as characters from 256 on, in order; the others stand for themselves.
fn byte(c: char) -> Option<u8> {
    let printable = |code: u32| matches!(code, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let code = u32::from(c);
    if code < 256 {
        return u8::try_from(code).ok().filter(|_| printable(code));
    }
    let nth = (code - 256) as usize;
    (0..=255_u8).filter(|&byte| !printable(u32::from(byte))).nth(nth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_become_words_with_their_marks() {
        let found = words(&["ĠIt", "Ġwas", "Ġincred", "ulity", ",", "ĠcafÃ©"], "en");
        let texts: Vec<_> = found.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["It", "was", "incredulity,", "café"]);
        assert_eq!((found[2].first, found[2].count), (2, 3));
        assert!(found.iter().all(|word| !word.glued));
    }

    #[test]
    fn a_character_spread_over_tokens_is_one_word_in_japanese() {
        // "最" is e6 9c 80; its bytes are æ, ľ and Ģ in the alphabet.
        let found = words(&["æľ", "Ģ", "ãģ®", "ãĢĤ"], "ja");
        let texts: Vec<_> = found.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["最", "の。"]);
        assert!(found.iter().all(|word| word.glued));
    }

    #[test]
    fn broken_bytes_are_replaced_and_never_fatal() {
        assert_eq!(words(&["æľ"], "en")[0].text, "\u{fffd}");
    }

    #[test]
    fn only_numbers_are_times() {
        assert_eq!(timestamp("<|12.34|>"), Some(12.34));
        assert_eq!(timestamp("<|en|>"), None);
        assert_eq!(timestamp("12.34"), None);
    }
}
