//! Times as output formats write them. Pure formatting, no I/O.

use std::{fmt, str::FromStr};

/// Milliseconds since the start of the title. Shown as `HH:MM:SS.mmm` (hours of at least two digits), which is both a `WebVTT`
/// timestamp (W3C `WebVTT` section 4.1) and a TTML2 clock-time with a decimal fraction (section 12.3.1, as IMSC 1.1 uses it).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1_000, self.0 % 1_000);
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        let (hours, minutes) = (minutes / 60, minutes % 60);
        write!(f, "{hours:02}:{minutes:02}:{seconds:02}.{millis:03}")
    }
}

/// The text is not `HH:MM:SS.mmm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimecodeError;

impl fmt::Display for TimecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time is written HH:MM:SS.mmm, with minutes and seconds below 60")
    }
}

impl std::error::Error for TimecodeError {}

impl FromStr for Millis {
    type Err = TimecodeError;

    /// Reads `HH:MM:SS.mmm` and, as `WebVTT` allows, `MM:SS.mmm`.
    fn from_str(text: &str) -> Result<Self, TimecodeError> {
        let (clock, millis) = text.split_once('.').ok_or(TimecodeError)?;
        let mut fields = clock.rsplit(':');
        let seconds = digits(fields.next(), 2..=2)?;
        let minutes = digits(fields.next(), 2..=2)?;
        let hours = match fields.next() {
            Some(hours) => digits(Some(hours), 2..=9)?,
            None => 0,
        };
        if fields.next().is_some() || minutes > 59 || seconds > 59 {
            return Err(TimecodeError);
        }
        let millis = digits(Some(millis), 3..=3)?;
        Ok(Self(((hours * 60 + minutes) * 60 + seconds) * 1_000 + millis))
    }
}

fn digits(field: Option<&str>, length: std::ops::RangeInclusive<usize>) -> Result<u64, TimecodeError> {
    let field = field.filter(|f| length.contains(&f.len()) && f.bytes().all(|b| b.is_ascii_digit())).ok_or(TimecodeError)?;
    field.parse().map_err(|_| TimecodeError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_webvtt_and_ttml_want_them() {
        for (millis, text) in
            [(0, "00:00:00.000"), (59_999, "00:00:59.999"), (3_600_000, "01:00:00.000"), (360_000_001, "100:00:00.001")]
        {
            assert_eq!(Millis(millis).to_string(), text);
            assert_eq!(text.parse(), Ok(Millis(millis)));
        }
        assert_eq!("01:02.003".parse(), Ok(Millis(62_003)));
    }

    #[test]
    fn malformed_times_are_refused() {
        for bad in [
            "",
            "1:00.000",
            "00:60.000",
            "00:00:61.000",
            "00:00.00",
            "00:00,000",
            "+0:00.000",
            "0000000000:00:00.000",
            "00:00:00:00.000",
        ] {
            assert_eq!(bad.parse::<Millis>(), Err(TimecodeError), "{bad}");
        }
    }
}
