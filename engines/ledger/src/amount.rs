//! Exact money: whole millionths of the currency's unit, written as a decimal string, never a float.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Digits after the point that an amount keeps.
const DIGITS: usize = 6;
/// Millionths in one unit.
const MICROS: i128 = 1_000_000;
/// Largest amount that is read, in units; far above any bill, far below an overflow of a sum.
pub const MAX_UNITS: i128 = 1_000_000_000_000;

/// An amount of one currency, in millionths of its unit; negative where something is given back. Which currency is the
/// budget's business: amounts of different currencies never meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(i128);

/// A text that is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no amount: write a decimal such as \"12.50\", at most {DIGITS} digits after the point and {MAX_UNITS} at most")]
pub struct AmountError(String);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of whole millionths.
    #[must_use]
    pub const fn from_micros(micros: i128) -> Self {
        Self(micros)
    }

    /// Whole millionths.
    #[must_use]
    pub const fn micros(self) -> i128 {
        self.0
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// For statistics only, such as a forecast's spread: no amount that is compared or charged comes out of a float.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / MICROS as f64
    }

    /// The nearest amount to a statistic; nothing where that is no number.
    #[must_use]
    pub fn from_f64(value: f64) -> Self {
        if value.is_finite() { Self((value.clamp(-1e12, 1e12) * MICROS as f64).round() as i128) } else { Self::ZERO }
    }

    /// `numerator / denominator` of this amount, rounded towards nothing: a share of a limit never exceeds it. Nothing where
    /// the denominator is zero.
    #[must_use]
    pub const fn part(self, numerator: i128, denominator: i128) -> Self {
        if denominator == 0 { Self::ZERO } else { Self(self.0.saturating_mul(numerator) / denominator) }
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Amount {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let error = || AmountError(text.chars().take(40).collect());
        let (negative, plain) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (units, part) = plain.split_once('.').unwrap_or((plain, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More zeros than are kept say nothing more.
        let part = if part.len() > DIGITS { part.trim_end_matches('0') } else { part };
        if !digits(units)
            || (!part.is_empty() && !digits(part))
            || part.len() > DIGITS
            || units.len() > 30
            || plain.ends_with('.')
        {
            return Err(error());
        }
        let units: i128 = units.parse().map_err(|_| error())?;
        let micros: i128 = format!("{part:0<DIGITS$}").parse().map_err(|_| error())?;
        let value = units.checked_mul(MICROS).and_then(|units| units.checked_add(micros)).ok_or_else(error)?;
        if value > MAX_UNITS * MICROS {
            return Err(error());
        }
        Ok(Self(if negative { -value } else { value }))
    }
}

impl TryFrom<String> for Amount {
    type Error = AmountError;

    fn try_from(text: String) -> Result<Self, AmountError> {
        text.parse()
    }
}

impl From<Amount> for String {
    /// What is stored can be read back, whatever was added up.
    fn from(amount: Amount) -> Self {
        Amount(amount.0.clamp(-MAX_UNITS * MICROS, MAX_UNITS * MICROS)).to_string()
    }
}

impl fmt::Display for Amount {
    /// Without zeros that say nothing, or, with a precision, rounded half away from nothing to so many digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        let keep = f.precision().unwrap_or(DIGITS).min(DIGITS);
        let unit = 10u128.pow((DIGITS - keep) as u32);
        let kept = (micros + unit / 2) / unit;
        let scale = 10u128.pow(keep as u32);
        let (units, part) = (kept / scale, kept % scale);
        let mut text = if keep == 0 { String::new() } else { format!("{part:0keep$}") };
        if f.precision().is_none() {
            text.truncate(text.trim_end_matches('0').len());
        }
        let sign = if kept == 0 { "" } else { sign };
        if text.is_empty() { write!(f, "{sign}{units}") } else { write!(f, "{sign}{units}.{text}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "-", ".", "1.", "+1", "1_000", "1e3", "NaN", "0.0000001", "1,5", "1000000000001", "--1", " 1", "1.-5"] {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
    }

    #[test]
    fn zeros_that_say_nothing_are_not_written() {
        for (text, written) in [("0", "0"), ("1.500", "1.5"), ("-0.000001", "-0.000001"), ("12", "12"), ("0.10000000", "0.1")] {
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn people_are_shown_as_many_digits_as_they_ask_for() {
        let shown = |text: &str| format!("{:.2}", text.parse::<Amount>().unwrap());
        assert_eq!(["0.005", "0.004999", "-1.2", "12", "-0.001"].map(shown), ["0.01", "0.00", "-1.20", "12.00", "0.00"]);
    }

    #[test]
    fn a_sum_beyond_what_is_read_is_stored_as_the_largest() {
        let sum = Amount::from_micros(MAX_UNITS * MICROS) + Amount::from_micros(1);
        assert_eq!(String::from(sum).parse::<Amount>().unwrap(), Amount::from_micros(MAX_UNITS * MICROS));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(micros in -MAX_UNITS * MICROS..=MAX_UNITS * MICROS) {
            let amount = Amount::from_micros(micros);
            prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
        }

        #[test]
        fn a_sum_is_the_same_in_any_order(mut micros in proptest::collection::vec(-1_000_000_000_000i128..1_000_000_000_000, 0..50)) {
            let sum = |micros: &[i128]| micros.iter().copied().map(Amount::from_micros).sum::<Amount>();
            let forward = sum(&micros);
            micros.reverse();
            prop_assert_eq!(forward, sum(&micros));
        }
    }
}
