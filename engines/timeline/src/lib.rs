//! Presentation time: integer ticks over a rational time base, and the few ways it may be rounded.
//! Pure arithmetic, no I/O.
//!
//! Every contract carries ticks and their time base. Milliseconds appear only where an output format asks for them, and one
//! monotone rule makes them ([`TimeBase::to_millis`]), so that spans which did not overlap in ticks never overlap in milliseconds.

#![forbid(unsafe_code)]

mod span;
mod timecode;

pub use span::Span;
pub use timecode::Millis;

use std::{fmt, ops, str::FromStr};

/// A point on (or a distance along) the title's timeline, counted in some [`TimeBase`]; zero is the first presented video frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub i64);

impl Ticks {
    /// The start of the timeline.
    pub const ZERO: Self = Self(0);

    /// `self + other`, or the nearest end of the range.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `self - other`, or the nearest end of the range.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// Panics on overflow; use [`Ticks::saturating_add`] on numbers that a file chose.
impl ops::Add for Ticks {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

/// Panics on overflow; use [`Ticks::saturating_sub`] on numbers that a file chose.
impl ops::Sub for Ticks {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl fmt::Display for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which integer stands for a time that falls between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// The one before.
    Floor,
    /// The one after.
    Ceil,
    /// The nearest; halfway goes to the one after. Monotone, unlike "half to even".
    Nearest,
}

/// Seconds per tick, as a fraction in lowest terms. Both parts are positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeBase {
    num: u32,
    den: u32,
}

/// The text or pair is not a positive fraction of two 32-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeBaseError;

impl fmt::Display for TimeBaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time base is a positive fraction of two 32-bit integers, such as 1/90000 or 1001/24000")
    }
}

impl std::error::Error for TimeBaseError {}

impl TimeBase {
    /// Thousandths of a second.
    pub const MILLIS: Self = Self { num: 1, den: 1_000 };
    /// The 90 kHz clock of MPEG.
    pub const MPEG: Self = Self { num: 1, den: 90_000 };

    /// `num / den` seconds per tick, reduced to lowest terms.
    pub const fn new(num: u32, den: u32) -> Result<Self, TimeBaseError> {
        if num == 0 || den == 0 {
            return Err(TimeBaseError);
        }
        let (mut a, mut b) = (num, den);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Ok(Self { num: num / a, den: den / a })
    }

    /// The numerator: seconds.
    pub const fn num(self) -> u32 {
        self.num
    }

    /// The denominator: ticks.
    pub const fn den(self) -> u32 {
        self.den
    }

    /// `ticks` of this base counted in `to`; `None` when the result does not fit. Exact but for the one stated rounding.
    pub fn rescale(self, ticks: Ticks, to: Self, rounding: Rounding) -> Option<Ticks> {
        i64::try_from(self.rescale_wide(ticks, to, rounding)).ok().map(Ticks)
    }

    /// Never overflows: 63 + 32 + 32 bits and the rounding stay inside 128.
    fn rescale_wide(self, ticks: Ticks, to: Self, rounding: Rounding) -> i128 {
        let numerator = i128::from(ticks.0) * i128::from(self.num) * i128::from(to.den);
        let denominator = i128::from(self.den) * i128::from(to.num);
        match rounding {
            Rounding::Floor => numerator.div_euclid(denominator),
            Rounding::Ceil => -(-numerator).div_euclid(denominator),
            Rounding::Nearest => {
                // floor(x + 1/2), without doubling the numerator (which could leave 128 bits).
                let (whole, rest) = (numerator.div_euclid(denominator), numerator.rem_euclid(denominator));
                whole + i128::from(rest >= denominator - rest)
            }
        }
    }

    /// Milliseconds for an output format: the nearest, halfway up, never before zero. Monotone: starts and ends that were in
    /// order stay in order. A span shorter than a millisecond may become empty, which [`Span::to_millis`] reports.
    pub fn to_millis(self, ticks: Ticks) -> Millis {
        let wide = self.rescale_wide(ticks, Self::MILLIS, Rounding::Nearest);
        Millis(u64::try_from(wide.max(0)).unwrap_or(u64::MAX))
    }

    /// The tick nearest to `millis`, or the end of the range.
    pub fn from_millis(self, millis: i64) -> Ticks {
        Self::MILLIS.rescale(Ticks(millis), self, Rounding::Nearest).unwrap_or(Ticks(if millis < 0 {
            i64::MIN
        } else {
            i64::MAX
        }))
    }

    /// Seconds as a float, for logs and reports only: never computed with.
    pub fn to_seconds(self, ticks: Ticks) -> f64 {
        ticks.0 as f64 * f64::from(self.num) / f64::from(self.den)
    }
}

impl fmt::Display for TimeBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

impl FromStr for TimeBase {
    type Err = TimeBaseError;
    fn from_str(text: &str) -> Result<Self, TimeBaseError> {
        let (num, den) = text.split_once('/').ok_or(TimeBaseError)?;
        // Digits alone: the number parser of Rust takes a plus sign too.
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let part = |text: &str| text.parse().ok().filter(|_| digits(text)).ok_or(TimeBaseError);
        Self::new(part(num)?, part(den)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILM: TimeBase = TimeBase { num: 1001, den: 24_000 };

    #[test]
    fn a_time_base_is_kept_in_lowest_terms_and_is_never_zero() {
        assert_eq!("1000/25000".parse(), TimeBase::new(1, 25));
        assert_eq!("1001/24000".parse(), Ok(FILM));
        for bad in ["0/1", "1/0", "-1/25", "1", "", "1/25/3", "+1/25", "1/4294967296"] {
            assert_eq!(bad.parse::<TimeBase>(), Err(TimeBaseError), "{bad}");
        }
    }

    #[test]
    fn every_film_frame_of_ten_hours_comes_back_from_the_mpeg_clock() {
        for frame in 0..863_136 {
            let clock = FILM.rescale(Ticks(frame), TimeBase::MPEG, Rounding::Nearest).expect("fits");
            assert_eq!(TimeBase::MPEG.rescale(clock, FILM, Rounding::Nearest), Some(Ticks(frame)));
        }
    }

    #[test]
    fn rounding_goes_the_stated_way_on_both_sides_of_zero() {
        let half = TimeBase::new(1, 2).expect("positive");
        let whole = TimeBase::new(1, 1).expect("positive");
        for (ticks, floor, ceil, nearest) in [(3, 1, 2, 2), (-3, -2, -1, -1), (1, 0, 1, 1), (-1, -1, 0, 0), (4, 2, 2, 2)] {
            let to = |rounding| half.rescale(Ticks(ticks), whole, rounding);
            assert_eq!(to(Rounding::Floor), Some(Ticks(floor)), "{ticks}");
            assert_eq!(to(Rounding::Ceil), Some(Ticks(ceil)), "{ticks}");
            assert_eq!(to(Rounding::Nearest), Some(Ticks(nearest)), "{ticks}");
        }
    }

    #[test]
    fn what_does_not_fit_is_none_and_never_wraps() {
        let slow = TimeBase::new(u32::MAX, 1).expect("positive");
        let quick = TimeBase::new(1, u32::MAX).expect("positive");
        assert_eq!(slow.rescale(Ticks(i64::MAX), quick, Rounding::Nearest), None);
        assert_eq!(quick.rescale(Ticks(i64::MIN), slow, Rounding::Floor), Some(Ticks(-1)));
        assert_eq!(slow.to_millis(Ticks(i64::MAX)), Millis(u64::MAX));
        assert_eq!(slow.to_millis(Ticks(i64::MIN)), Millis(0));
    }
}
