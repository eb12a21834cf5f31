//! What calls of models cost that are reached over somebody's API: so much for a million tokens in and out, for a picture, for a
//! request. What has no price is refused by name: it is never free.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::amount::Amount;

/// Tokens that a price is for.
const PER: i128 = 1_000_000;
/// Most models with a price.
pub const MAX_PRICES: usize = 500;
/// Longest name of a provider, bytes: with that of the model, what a budget's status has room for.
pub const MAX_PROVIDER: usize = 40;
/// Longest name of a model, bytes.
pub const MAX_MODEL: usize = 80;
/// Most that one use costs, in units of the currency.
const MAX_COST: i128 = 1_000_000;
/// Most tokens, pictures or requests of one use; far above a month of anything, far below an overflow.
pub const MAX_COUNT: u64 = 1_000_000_000_000;

/// What one model costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelPrice {
    /// Who serves it, such as `openai`.
    pub provider: String,
    /// Its name there, such as `gpt-4o-mini`.
    pub model: String,
    /// For a million tokens that go in.
    #[serde(rename = "inputPer1M", default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Amount>,
    /// For a million tokens that come out.
    #[serde(rename = "outputPer1M", default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Amount>,
    /// For a picture that goes in.
    #[serde(rename = "perImage", default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Amount>,
    /// For a request, whatever is in it.
    #[serde(rename = "perRequest", default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Amount>,
}

/// How much of one model was used, or will be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// Who serves it.
    pub provider: String,
    /// Its name there.
    pub model: String,
    /// Tokens in.
    pub input_tokens: u64,
    /// Tokens out.
    pub output_tokens: u64,
    /// Pictures in.
    pub images: u64,
    /// Requests.
    pub requests: u64,
}

impl Use {
    /// What books call the model.
    pub fn name(&self) -> String {
        format!("{}/{}", self.provider, self.model)
    }
}

/// A use that nobody knows the price of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unpriced {
    /// The model has none.
    #[error("model {0} has no price")]
    Model(String),
    /// The model has one, and not for this.
    #[error("model {model} has no price {field} for its {what}")]
    Part {
        /// Model.
        model: String,
        /// What was used of it.
        what: &'static str,
        /// The price that is missing.
        field: &'static str,
    },
    /// So much of a model is no use that anybody has.
    #[error("model {0}: one use has at most {MAX_COUNT} tokens, pictures or requests, and costs at most {MAX_COST}")]
    TooMuch(String),
}

/// A list of prices that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// There are too many.
    #[error("{0} models are listed; at most {MAX_PRICES} may be")]
    TooMany(usize),
    /// A name is empty, or too long.
    #[error("{0:?}: provider and model need names of at most {MAX_PROVIDER} and {MAX_MODEL} bytes, without control characters")]
    Name(String),
    /// Two say what the same costs.
    #[error("{0} is listed twice")]
    Twice(String),
    /// No price is given, or one below nothing.
    #[error("{0}: give at least one price that is more than 0, and none below 0")]
    Nothing(String),
}

/// Prices of models, by provider and model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices(BTreeMap<(String, String), ModelPrice>);

impl Prices {
    /// A list that is meant.
    pub fn new(list: impl IntoIterator<Item = ModelPrice>) -> Result<Self, PriceError> {
        let mut prices = BTreeMap::new();
        for price in list {
            let name = format!("{}/{}", price.provider, price.model);
            let is_name = |name: &str, most| (1..=most).contains(&name.len()) && !name.contains(char::is_control);
            if !is_name(&price.provider, MAX_PROVIDER) || !is_name(&price.model, MAX_MODEL) {
                return Err(PriceError::Name(name.chars().take(MAX_MODEL).collect()));
            }
            let given = [price.input, price.output, price.image, price.request];
            let given = || given.iter().flatten();
            if given().any(|amount| amount.is_negative()) || given().all(|amount| *amount == Amount::ZERO) {
                return Err(PriceError::Nothing(name));
            }
            if prices.insert((price.provider.clone(), price.model.clone()), price).is_some() {
                return Err(PriceError::Twice(name));
            }
        }
        if prices.len() > MAX_PRICES { Err(PriceError::TooMany(prices.len())) } else { Ok(Self(prices)) }
    }

    /// What a use costs, rounded up to a millionth, so that a bound stays a bound.
    pub fn cost(&self, used: &Use) -> Result<Amount, Unpriced> {
        let name = used.name();
        let price = self.0.get(&(used.provider.clone(), used.model.clone())).ok_or_else(|| Unpriced::Model(name.clone()))?;
        let parts = [
            (used.input_tokens, price.input, PER, "tokens in", "inputPer1M"),
            (used.output_tokens, price.output, PER, "tokens out", "outputPer1M"),
            (used.images, price.image, 1, "pictures", "perImage"),
            // Most models have no price for a request as such: its tokens are what is paid for.
            (used.requests, Some(price.request.unwrap_or_default()), 1, "requests", "perRequest"),
        ];
        let mut micros = 0;
        for (count, price, per, what, field) in parts {
            if count > MAX_COUNT {
                return Err(Unpriced::TooMuch(name));
            }
            if count > 0 {
                let price = price.ok_or_else(|| Unpriced::Part { model: name.clone(), what, field })?;
                // All in units of a millionth of a millionth, so that rounding happens once.
                micros += i128::from(count) * price.micros() * (PER / per);
            }
        }
        let micros = (micros + PER - 1) / PER;
        if micros > MAX_COST * PER { Err(Unpriced::TooMuch(name)) } else { Ok(Amount::from_micros(micros)) }
    }

    /// What all of it costs.
    pub fn cost_of(&self, used: &[Use]) -> Result<Amount, Unpriced> {
        used.iter().map(|used| self.cost(used)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn price(model: &str, input: Option<&str>, output: Option<&str>, image: Option<&str>) -> ModelPrice {
        let amount = |text: Option<&str>| text.map(|text| text.parse().unwrap());
        ModelPrice {
            provider: "openai".into(),
            model: model.into(),
            input: amount(input),
            output: amount(output),
            image: amount(image),
            request: None,
        }
    }

    fn used(model: &str, input_tokens: u64, output_tokens: u64, images: u64) -> Use {
        Use { provider: "openai".into(), model: model.into(), input_tokens, output_tokens, images, requests: 1 }
    }

    fn prices() -> Prices {
        let list = [price("mini", Some("0.15"), Some("0.6"), None), price("eye", Some("2.5"), Some("10"), Some("0.003825"))];
        Prices::new(list).unwrap()
    }

    #[test]
    fn calls_cost_what_the_list_says_to_the_millionth() {
        let cost = |used: &Use| prices().cost(used).unwrap().to_string();
        assert_eq!(cost(&used("mini", 1_000_000, 0, 0)), "0.15");
        assert_eq!(cost(&used("mini", 1234, 567, 0)), "0.000526", "0.0001851 + 0.0003402, rounded up once");
        assert_eq!(cost(&used("eye", 85, 40, 3)), "0.012088");
        assert_eq!(cost(&used("mini", 0, 0, 0)), "0");
    }

    #[test]
    fn what_has_no_price_is_refused_by_name() {
        let why = |used: &Use| prices().cost(used).unwrap_err().to_string();
        assert_eq!(why(&used("maxi", 0, 0, 0)), "model openai/maxi has no price");
        assert_eq!(why(&used("mini", 5, 0, 1)), "model openai/mini has no price perImage for its pictures");
        assert!(why(&used("mini", MAX_COUNT + 1, 0, 0)).contains("at most"));
        assert!(why(&used("eye", 0, 0, MAX_COUNT)).contains("costs at most"));
        let both = [used("mini", 5, 5, 0), used("maxi", 5, 5, 0)];
        assert!(prices().cost_of(&both).is_err(), "one that is known does not make up for one that is not");
    }

    #[test]
    fn lists_that_cannot_be_meant_are_refused() {
        let good = || price("mini", Some("0.15"), None, None);
        let cases = [
            (vec![good(), good()], "twice"),
            (vec![price("mini", None, None, None)], "at least one"),
            (vec![price("mini", Some("0"), Some("0"), None)], "at least one"),
            (vec![price("mini", Some("-1"), Some("5"), None)], "at least one"),
            (vec![price("", Some("1"), None, None)], "names"),
            (vec![price(&"m".repeat(MAX_MODEL + 1), Some("1"), None, None)], "names"),
            ((0..=MAX_PRICES).map(|nth| price(&nth.to_string(), Some("1"), None, None)).collect(), "at most"),
        ];
        for (list, expected) in cases {
            let error = Prices::new(list).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        /// To have more costs no less, and to pay for it in two parts costs a millionth more at most.
        #[test]
        fn parts_cost_what_the_whole_does(a in 0u64..MAX_COUNT / 2, b in 0u64..MAX_COUNT / 2, out in 0u64..1_000_000) {
            let cost = |tokens, out| prices().cost(&used("mini", tokens, out, 0)).unwrap();
            let (whole, parts) = (cost(a + b, out), cost(a, out) + cost(b, 0));
            prop_assert!(whole <= parts && parts <= whole + Amount::from_micros(1));
            prop_assert!(cost(a + b, out) >= cost(a, out));
        }
    }
}
