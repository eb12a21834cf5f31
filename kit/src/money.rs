//! Exact decimal money: parsed from and written as strings, never floats.
//!
//! Pure. The currency is the deployment's; amounts of different currencies never meet.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// Digits after the point that an amount keeps.
const DIGITS: u32 = 6;
/// Largest amount or hourly price that is accepted; far above any bill, far below an overflow.
const MAX: i64 = 1_000_000_000;
const SECONDS_PER_HOUR: i64 = 3600;

/// A non-negative amount, or an hourly price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Money(Decimal);

/// A text that is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to read {0:?} as an amount: write a decimal like \"0.75\", not negative, at most {DIGITS} digits after the point and {MAX} at most"
)]
pub struct MoneyError(String);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// What `time` costs at this price per hour, `times` over; rounded up, so that a bound stays a bound.
    #[must_use]
    pub fn for_time(self, time: Duration, times: Decimal) -> Self {
        let millis = Decimal::from(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let hours = millis / Decimal::from(SECONDS_PER_HOUR * 1000);
        let exact = self.0.saturating_mul(times).saturating_mul(hours);
        Self::bounded(exact)
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self::bounded(self.0.saturating_add(other.0))
    }

    /// The price of `times` units at this price per unit; rounded up.
    #[must_use]
    pub fn times(self, times: Decimal) -> Self {
        Self::bounded(self.0.saturating_mul(times))
    }

    /// In millionths of the unit: exact, for an amount has no more digits.
    #[must_use]
    pub fn micros(self) -> u64 {
        u64::try_from((self.0 * Decimal::from(1_000_000)).normalize().mantissa().max(0)).unwrap_or(u64::MAX)
    }

    /// An amount as it may be written: rounded up, and at most the largest that is read back. What is not read back would
    /// count as nothing.
    fn bounded(exact: Decimal) -> Self {
        Self(exact.round_dp_with_strategy(DIGITS, RoundingStrategy::ToPositiveInfinity).min(Decimal::from(MAX)))
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let error = || MoneyError(crate::conditions::cut(text, 40));
        // The parser of decimals takes signs and underscores, too.
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let value = Decimal::from_str_exact(text).ok().filter(|_| plain).ok_or_else(error)?;
        if value.is_sign_negative() || value.normalize().scale() > DIGITS || value > Decimal::from(MAX) {
            return Err(error());
        }
        Ok(Self(value))
    }
}

impl TryFrom<String> for Money {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Self, MoneyError> {
        text.parse()
    }
}

impl From<Money> for String {
    fn from(money: Money) -> Self {
        money.to_string()
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.normalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_rounded_up_and_otherwise_exact() {
        let price: Money = "0.10".parse().unwrap();
        assert_eq!(price.for_time(Duration::from_hours(1), Decimal::ONE).to_string(), "0.1");
        assert_eq!(price.for_time(Duration::from_secs(1), Decimal::ONE).to_string(), "0.000028");
        assert_eq!(price.for_time(Duration::from_mins(90), Decimal::TWO).to_string(), "0.3");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "-1", "+1", "1_000", "1e3", "NaN", "0.0000001", "1000000001", "1,5", "99999999999999999999999999999999"]
        {
            assert!(text.parse::<Money>().is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_keep_their_value_through_text() {
        for (text, written) in [("0", "0"), ("1.500", "1.5"), ("12", "12")] {
            assert_eq!(text.parse::<Money>().unwrap().to_string(), written);
        }
    }
}
