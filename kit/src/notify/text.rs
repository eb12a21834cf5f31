//! Makes texts of unknown origin harmless, and bounds them.
//!
//! Pure.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Stands at the end of what was cut.
const CUT: char = '…';
/// Longest key that is kept as it is, bytes: what `PagerDuty` takes.
pub(super) const MAX_KEY: usize = 255;
/// Part of a longer key that is kept for people to read, bytes; a hash follows.
const READABLE: usize = 180;
/// Longest part of an answer that is repeated.
const MAX_SAID: usize = 160;
/// Words of an answer this long must not be a part of the secret it was asked with.
const TELLING: usize = 6;

/// Characters that show nothing, or that turn around how others are shown.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// One line of at most `max` characters. Breaks become blanks.
pub(super) fn line(text: &str, max: usize) -> String {
    clean(text, max, |_| ' ')
}

/// Lines of at most `max` characters together.
pub(super) fn lines(text: &str, max: usize) -> String {
    clean(text, max, |c| if c == '\n' { '\n' } else { ' ' })
}

fn clean(text: &str, max: usize, blank: fn(char) -> char) -> String {
    // A text may be huge; no more of it is looked at than could be used.
    let seen = text.trim().chars().take(max.saturating_mul(4));
    let kept = seen.map(|c| if matches!(c, '\n' | '\t') { blank(c) } else { c }).filter(|c| *c == '\n' || !is_hidden(*c));
    let mut kept: String = kept.take(max + 1).collect();
    if kept.chars().count() > max {
        kept = kept.chars().take(max.saturating_sub(1)).collect();
        kept.push(CUT);
    }
    kept.trim().to_owned()
}

/// A key as it is kept and sent: itself when it is short and plain, else a part of it and a hash of the whole.
pub(super) fn key(key: &str) -> String {
    if !key.is_empty() && key.len() <= MAX_KEY && !key.chars().any(is_hidden) && key.trim() == key {
        return key.to_owned();
    }
    let mut short = String::new();
    for c in key.chars().filter(|c| !is_hidden(*c)) {
        if short.len() + c.len_utf8() > READABLE {
            break;
        }
        short.push(c);
    }
    let mut short = short.trim().to_owned();
    short.push('#');
    for byte in Sha256::digest(key.as_bytes()) {
        let _ = write!(short, "{byte:02x}"); // Writing to a string cannot fail.
    }
    short
}

/// Text for a message in Slack's markup, of at most `max` UTF-16 units. It can format itself, but it can neither mention
/// anybody nor hide a link behind a text.
pub(super) fn slack(text: &str, max: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let mut buffer = [0; 4];
        let piece: &str = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => c.encode_utf8(&mut buffer),
        };
        // Slack itself mentions with <!channel> only; others that take its messages know a plain @channel and [text](url).
        let broken = match (c, chars.peek()) {
            ('@', Some(next)) => !next.is_whitespace(),
            (']', Some(next)) => *next == '(',
            _ => false,
        };
        let needed = piece.encode_utf16().count() + usize::from(broken);
        if length + needed > max.saturating_sub(1) && (chars.peek().is_some() || length + needed > max) {
            out.push(CUT);
            return out;
        }
        out.push_str(piece);
        if broken {
            out.push('\u{200b}');
        }
        length += needed;
    }
    out
}

/// What an endpoint said, if it can be repeated: plain characters only, and no part of the secret.
pub(super) fn said(answer: &str, secret: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '\'' | '(' | ')' | '.' | ',' | ':' | '-');
    let answer = line(answer, MAX_SAID);
    let answer: String = answer.chars().filter(|c| plain(*c)).collect();
    let secret = secret.to_ascii_lowercase();
    let words = answer.split(|c: char| !c.is_ascii_alphanumeric());
    let tells = |word: &str| word.len() >= TELLING && secret.contains(&word.to_ascii_lowercase());
    let telling = words.into_iter().any(tells);
    (!telling && !answer.trim().is_empty()).then(|| answer.trim().to_owned())
}
