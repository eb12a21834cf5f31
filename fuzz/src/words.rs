//! Words that people and other programs write: durations, money, digests, times, folders. No I/O.

use rust_decimal::Decimal;
use showrunner_contracts::Digest;
use showrunner_controllers::title_enrichment::layout;
use showrunner_crds::common::parse_duration;
use showrunner_kit::money::Money;
use showrunner_timeline::{Millis, TimeBase};
use std::time::Duration;

/// Any text, read as every kind of word.
pub(crate) fn word(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    duration(text);
    money(text);
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text, "a digest is written in one way");
        assert_eq!(digest.hex().len(), 64);
    }
    if let Ok(millis) = text.parse::<Millis>() {
        assert_eq!(millis.to_string().parse(), Ok(millis));
    }
    if let Ok(base) = text.parse::<TimeBase>() {
        assert!(text.bytes().all(|b| b.is_ascii_digit() || b == b'/'), "{text:?} is no fraction");
        assert_eq!(base.to_string().parse(), Ok(base));
    }
    if layout::is_attempt_folder(text) {
        assert!(text.starts_with("work/") && text.ends_with('/') && text.matches('/').count() == 3);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-')), "{text:?}");
    }
}

/// Exactly what the schema's pattern takes is a duration, and means what it says.
fn duration(text: &str) {
    match (parse_duration(text), by_pattern(text)) {
        (Ok(read), wanted) => assert_eq!(Some(read), wanted, "{text:?}"),
        (Err(error), None) => assert!(error.to_string().len() <= 300, "an error is no place for a text"),
        (Err(_), Some(wanted)) => panic!("{text:?} is refused and is {wanted:?}"),
    }
}

/// `^([0-9]+h)?([0-9]+m)?([0-9]+s)?$`, not empty, and its sum where that fits.
fn by_pattern(text: &str) -> Option<Duration> {
    let (mut rest, mut sum) = (text, 0_u64);
    for (unit, seconds) in [("h", 3600), ("m", 60), ("s", 1)] {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if let Some(after) = rest[digits..].strip_prefix(unit).filter(|_| digits > 0) {
            sum = sum.checked_add(rest[..digits].parse::<u64>().ok()?.checked_mul(seconds)?)?;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then(|| Duration::from_secs(sum))
}

/// An amount is a plain decimal, keeps its value through text, and so does what is computed with it.
fn money(text: &str) {
    let Ok(amount) = text.parse::<Money>() else { return };
    assert!(text.bytes().all(|b| b.is_ascii_digit() || b == b'.'), "{text:?} is no plain decimal");
    let hour = amount.for_time(Duration::from_hours(1), Decimal::ONE);
    let minute = amount.for_time(Duration::from_mins(1), Decimal::ONE);
    assert!(minute <= hour && hour <= amount.plus(amount) || amount == Money::ZERO, "more time costs no less");
    for computed in [amount, hour, minute, amount.plus(amount), amount.times(Decimal::from(u64::MAX))] {
        assert_eq!(computed.to_string().parse(), Ok(computed), "{computed} is not read back");
    }
}
