//! The measures a cue is held to. No I/O.

use crate::{TICKS_PER_MS, TICKS_PER_SECOND};

/// Limits and aims for cues; times in ticks, lengths in characters.
///
/// Source: Netflix Timed Text Style Guide, general requirements and the language pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// Longest line.
    pub line: usize,
    /// Most lines in a cue.
    pub lines: usize,
    /// Shortest time on screen: 5/6 s.
    pub shortest: i64,
    /// Longest time on screen: 7 s.
    pub longest: i64,
    /// Least time between two cues: two frames, 83 ms at 24 frames a second.
    pub gap: i64,
    /// Most characters a second.
    pub reading_speed: u32,
    /// A cue that begins or ends this close to a shot change moves onto it: twelve frames, half a second.
    pub snap: i64,
    /// A gap shorter than this is closed down to `gap`, because a flicker is worse than a cue that stays.
    pub chain: i64,
    /// How long a cue stays after its last word, where there is room.
    pub linger: i64,
    /// A pause in speech that always ends a cue.
    pub pause: i64,
    /// The language writes no spaces: any two characters may be parted.
    pub breaks_anywhere: bool,
}

impl Style {
    /// The style of a language, by its BCP 47 primary subtag; what is not known here is held to the English measures.
    pub fn for_language(language: &str) -> Self {
        let primary = language.split(['-', '_']).next().unwrap_or_default();
        let (line, reading_speed, breaks_anywhere) = match primary {
            "ja" => (13, 4, true),
            "zh" | "yue" => (16, 9, true),
            "ko" => (16, 12, false),
            "th" | "lo" | "my" | "km" => (35, 17, true),
            "en" => (42, 20, false),
            _ => (42, 17, false),
        };
        Self {
            line,
            lines: 2,
            shortest: TICKS_PER_SECOND * 5 / 6 + 1, // rounded up: 5/6 s is no whole number of ticks
            longest: 7 * TICKS_PER_SECOND,
            gap: 84 * TICKS_PER_MS, // 83.3 ms, rounded up so that no rounding makes it less than two frames
            reading_speed,
            snap: TICKS_PER_SECOND / 2,
            chain: TICKS_PER_SECOND / 2,
            linger: TICKS_PER_SECOND / 2,
            pause: TICKS_PER_SECOND * 3 / 2,
            breaks_anywhere,
        }
    }

    /// The same for children's programmes: at most 17 characters a second, and fewer where the language has fewer.
    #[must_use]
    pub fn for_children(self) -> Self {
        Self { reading_speed: self.reading_speed.min(17), ..self }
    }

    /// Ticks needed to read so many characters.
    pub(crate) fn reading_time(&self, characters: usize) -> i64 {
        let speed = i64::from(self.reading_speed.max(1));
        (characters as i64 * TICKS_PER_SECOND + speed - 1) / speed
    }
}
