//! Kubernetes quantities as numbers.
//!
//! Pure.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use rust_decimal::Decimal;

/// Suffixes and what they stand for, as powers: of 1024, or of ten.
const BINARY: [(&str, u32); 6] = [("Ki", 1), ("Mi", 2), ("Gi", 3), ("Ti", 4), ("Pi", 5), ("Ei", 6)];
const DECIMAL: [(&str, i32); 9] =
    [("n", -9), ("u", -6), ("m", -3), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// The amount; zero for what is no quantity. `2`, `2000m` and `2e0` are the same.
pub(super) fn quantity(quantity: &Quantity) -> Decimal {
    let text = quantity.0.trim();
    let number = |digits: &str| Decimal::from_str_exact(digits).ok();
    let read = || {
        if let Some((digits, power)) = BINARY.iter().find_map(|(suffix, power)| Some((text.strip_suffix(suffix)?, *power))) {
            return number(digits)?.checked_mul(Decimal::from(1024_u64.pow(power)));
        }
        if let Ok(plain) = Decimal::from_scientific(text) {
            return Some(plain);
        }
        if let Some((digits, power)) = DECIMAL.iter().find_map(|(suffix, power)| Some((text.strip_suffix(suffix)?, *power))) {
            return number(digits)?.checked_mul(Decimal::from_scientific(&format!("1e{power}")).ok()?);
        }
        number(text)
    };
    read().unwrap_or_default().normalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_to_write_an_amount_are_one_amount() {
        let cases = [
            (["2", "2000m", "2e0"], "2"),
            (["3221225472", "3Gi", "3072Mi"], "3221225472"),
            (["0.5", "500m", "500000u"], "0.5"),
            (["20480000000", "20480M", "20.48G"], "20480000000"),
            (["", "plenty", "12x"], "0"),
        ];
        for (texts, amount) in cases {
            for text in texts {
                assert_eq!(quantity(&Quantity(text.to_owned())).to_string(), amount, "{text}");
            }
        }
    }
}
