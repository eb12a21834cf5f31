//! Properties that every output relies on. No I/O.

use proptest::prelude::*;
use showrunner_timeline::{Millis, Rounding, Span, Ticks, TimeBase};

fn base() -> impl Strategy<Value = TimeBase> {
    (1..=u32::MAX, 1..=u32::MAX).prop_map(|(num, den)| TimeBase::new(num, den).expect("positive"))
}

/// Time bases that containers really use.
fn media_base() -> impl Strategy<Value = TimeBase> {
    prop::sample::select(vec![(1, 90_000), (1, 1_000), (1001, 24_000), (1, 12_800), (1, 48_000), (1, 1_000_000_000), (1, 25)])
        .prop_map(|(num, den)| TimeBase::new(num, den).expect("positive"))
}

proptest! {
    // A failing case is printed whole; no files beside the tests.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spans_that_do_not_overlap_in_ticks_do_not_overlap_in_milliseconds(
        base in base(), cuts in prop::collection::vec(any::<i64>(), 4..40)
    ) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let spans = cuts.chunks_exact(2).map(|pair| Span::new(Ticks(pair[0]), Ticks(pair[1])).expect("sorted"));
        let mut last_end = Millis(0);
        for (start, end) in spans.filter_map(|span| span.to_millis(base)) {
            prop_assert!(last_end <= start && start < end);
            last_end = end;
        }
    }

    #[test]
    fn floor_nearest_and_ceil_stay_in_order_and_within_one(from in base(), to in base(), ticks in any::<i64>()) {
        let scale = |rounding| from.rescale(Ticks(ticks), to, rounding);
        if let (Some(floor), Some(nearest), Some(ceil)) = (scale(Rounding::Floor), scale(Rounding::Nearest), scale(Rounding::Ceil)) {
            prop_assert!(floor <= nearest && nearest <= ceil);
            prop_assert!(ceil.0 - floor.0 <= 1);
        }
    }

    #[test]
    fn rescaling_is_monotone(from in base(), to in base(), a in any::<i64>(), b in any::<i64>()) {
        let (a, b) = (a.min(b), a.max(b));
        for rounding in [Rounding::Floor, Rounding::Nearest, Rounding::Ceil] {
            if let (Some(a), Some(b)) = (from.rescale(Ticks(a), to, rounding), from.rescale(Ticks(b), to, rounding)) {
                prop_assert!(a <= b);
            }
        }
    }

    #[test]
    fn a_finer_clock_and_back_gives_the_same_tick(base in media_base(), ticks in -1_i64 << 34..1 << 34) {
        let finer = TimeBase::new(1, 1_000_000_000).expect("positive");
        let there = base.rescale(Ticks(ticks), finer, Rounding::Nearest).expect("fits");
        prop_assert_eq!(finer.rescale(there, base, Rounding::Nearest), Some(Ticks(ticks)));
    }

    #[test]
    fn a_time_read_back_is_the_time_written(millis in 0..3_600_000_000_000_u64) {
        prop_assert_eq!(Millis(millis).to_string().parse(), Ok(Millis(millis)));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,40}") {
        let _ = text.parse::<Millis>();
        let _ = text.parse::<TimeBase>();
    }
}
