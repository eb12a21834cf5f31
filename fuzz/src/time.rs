//! Presentation time: exact, ordered, and the same when it is read back. No I/O.

use arbitrary::Unstructured;
use showrunner_timeline::{Millis, Rounding, Span, Ticks, TimeBase};

/// The reader takes up to nine digits of hours, some hundred thousand years.
const LONGEST: Millis = Millis(1_000_000_000 * 3_600_000);

/// Two time bases and some ticks, of any size.
pub(crate) fn timeline(input: &[u8]) {
    let mut given = Unstructured::new(input);
    let mut base = || TimeBase::new(given.arbitrary().ok()?, given.arbitrary().ok()?).ok();
    let (Some(from), Some(to)) = (base(), base()) else { return };
    assert_eq!(from.to_string().parse(), Ok(from));
    assert_eq!(gcd(from.num(), from.den()), 1, "{from} in lowest terms");
    let mut ticks: Vec<i64> = (0..16).map_while(|_| given.arbitrary().ok()).collect();
    for tick in &ticks {
        is_exact(from, to, *tick);
    }
    ticks.sort_unstable();
    let spans = ticks.chunks_exact(2).filter_map(|pair| Span::new(Ticks(pair[0]), Ticks(pair[1])));
    let mut last = None;
    for (start, end) in spans.filter_map(|span| span.to_millis(from)) {
        assert!(start < end && last.is_none_or(|last| last <= start), "spans in order do not overlap in milliseconds");
        if start < LONGEST {
            assert_eq!(start.to_string().parse(), Ok(start), "a time that is written is read back");
        }
        last = Some(end);
    }
}

/// Whether all three roundings are what arithmetic in whole numbers says.
fn is_exact(from: TimeBase, to: TimeBase, ticks: i64) {
    let value = i128::from(ticks) * i128::from(from.num()) * i128::from(to.den());
    let unit = i128::from(from.den()) * i128::from(to.num());
    // Both sides of a product that does not leave 128 bits: |result| < 2^63 and unit < 2^64.
    let of = |rounding| from.rescale(Ticks(ticks), to, rounding).map(|ticks| i128::from(ticks.0) * unit);
    if let Some(floor) = of(Rounding::Floor) {
        assert!((0..unit).contains(&(value - floor)), "floor");
    }
    if let Some(ceil) = of(Rounding::Ceil) {
        assert!((0..unit).contains(&(ceil - value)), "ceil");
    }
    if let Some(nearest) = of(Rounding::Nearest) {
        let off = nearest - value;
        assert!(off.abs() <= unit - off.abs() && (off >= 0 || off.abs() < unit - off.abs()), "nearest, halfway up");
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
