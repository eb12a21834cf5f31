//! What the two readers share: bounds, errors, and the form in which cues come back. No I/O.

/// Longest file a reader takes.
pub const MAX_BYTES: usize = 16 << 20;
/// Most cues a reader takes: one every half second for a day.
pub const MAX_CUES: usize = 172_800;

/// Longest quotation of a file in an error, characters.
const MAX_QUOTE: usize = 60;

/// A cue as a file tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MsCue {
    /// Begin in milliseconds.
    pub start: i64,
    /// End in milliseconds.
    pub end: i64,
    /// Its lines, unescaped.
    pub lines: Vec<String>,
}

/// Why a subtitle file was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The file is larger than [`MAX_BYTES`] or has more cues than [`MAX_CUES`].
    #[error("failed to read subtitles: more than {MAX_BYTES} bytes or {MAX_CUES} cues")]
    TooLarge,
    /// The file is not of the format it should be.
    #[error("failed to read subtitles: {0}")]
    Malformed(String),
}

/// As much of a file as an error may quote.
pub(crate) fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTE).collect()
}

/// `HH:MM:SS.mmm` or `MM:SS.mmm` in milliseconds.
pub(crate) fn clock(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.')?;
    if fraction.len() != 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fields: Vec<i64> = whole
        .split(':')
        .map(|field| {
            let fits = (2..=6).contains(&field.len()) && field.bytes().all(|byte| byte.is_ascii_digit());
            if fits { field.parse().ok() } else { None }
        })
        .collect::<Option<_>>()?;
    let (hours, minutes, seconds) = match fields[..] {
        [hours, minutes, seconds] => (hours, minutes, seconds),
        [minutes, seconds] => (0, minutes, seconds),
        _ => return None,
    };
    if minutes > 59 || seconds > 59 {
        return None;
    }
    let fraction: i64 = fraction.parse().ok()?;
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + fraction)
}

/// Milliseconds as `HH:MM:SS.mmm`.
pub(crate) fn stamp(milliseconds: i64) -> String {
    let ms = milliseconds.max(0);
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}
