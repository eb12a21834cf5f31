//! What holds for every job, whatever its numbers.

use std::time::Duration;

use proptest::prelude::*;
use showrunner_spot::{Choice, Class, Past, Prices, Reason, Rules, SpotPolicy, Work, decide, go_on};

fn millis(most: u64) -> impl Strategy<Value = Duration> {
    (0..=most).prop_map(Duration::from_millis)
}

fn work() -> impl Strategy<Value = Work> {
    (millis(20_000_000), 1..120_000u64, millis(120_000), millis(200_000), millis(300_000)).prop_map(
        |(remaining, chunk, overhead, on_demand_start, spot_start)| Work {
            remaining,
            chunk: Duration::from_millis(chunk),
            overhead,
            on_demand_start,
            spot_start,
        },
    )
}

fn rules() -> impl Strategy<Value = Rules> {
    (0..3_000u32, 0..8u32, 0..1_000u32, millis(600_000)).prop_map(
        |(safety_factor_milli, max_disruptions, reclaims_per_hour_milli, start_deadline)| Rules {
            policy: SpotPolicy::UntilSlack,
            safety_factor_milli,
            max_disruptions,
            reclaims_per_hour_milli,
            start_deadline,
        },
    )
}

fn past() -> impl Strategy<Value = Past> {
    (0..8u32, 0..4u32).prop_map(|(disruptions, no_capacity)| Past { disruptions, no_capacity })
}

/// Either may be the dearer; mostly it is on demand.
fn prices() -> impl Strategy<Value = Prices> {
    (0..1_200_000u64, 0..2_000_000u64).prop_map(|(spot, on_demand)| Prices { spot, on_demand })
}

fn any_class() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Spot), Just(Class::OnDemand)]
}

/// Times that no job has, for totality.
fn wild() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(Duration::ZERO), Just(Duration::MAX), any::<u64>().prop_map(Duration::from_nanos)]
}

fn times(duration: Duration, rules: &Rules) -> Duration {
    duration * rules.safety_factor_milli.max(1_000) / 1_000
}

/// The longest that on demand can take from its birth.
fn on_demand(work: &Work, rules: &Rules) -> Duration {
    times(work.on_demand_start, rules) + times(work.overhead, rules) + work.remaining
}

proptest! {
    #[test]
    fn a_reclaim_at_the_worst_moment_leaves_time_to_finish_on_demand(
        work in work(), past in past(), rules in rules(), left in millis(40_000_000), prices in prices(), running in any_class(),
    ) {
        for choice in [decide(&work, &past, &rules, left, prices), go_on(running, &work, &past, &rules, left, prices)] {
            if choice.class == Class::Spot {
                // Nothing was committed up to the switch, and the chunk that was then to be ended is lost as well.
                let lost = choice.switch_at.unwrap() + times(work.chunk.min(work.remaining), &rules);
                prop_assert!(left >= lost + on_demand(&work, &rules), "{choice:?}");
            } else {
                prop_assert_eq!((choice.switch_at, choice.start_within), (None, None));
            }
        }
    }

    /// The whole life of a job whose every start, overhead, chunk and reclaim an adversary picks, within what the factor allows.
    #[test]
    fn a_job_that_once_could_take_spot_is_never_late(
        work in work(), rules in rules(), spare in millis(2_000_000), prices in prices(), dice in any::<u64>(),
    ) {
        let mut dice = dice;
        // Zero, the most, or anything between: the ends are where rules break.
        let mut pick = |most: Duration| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match dice >> 61 {
                0..=1 => Duration::ZERO,
                2..=4 => most,
                _ => most * ((dice >> 40) as u32 % 1_000) / 1_000,
            }
        };
        let (mut work, mut past) = (work, Past::default());
        let mut left = on_demand(&work, &rules) + spare;
        let spend = |left: Duration, time: Duration| left.checked_sub(time);
        while work.remaining > Duration::ZERO {
            let choice = decide(&work, &past, &rules, left, prices);
            let wait = match choice.start_within {
                Some(most) => pick(most + Duration::from_millis(1)),
                None => pick(times(work.on_demand_start, &rules)),
            };
            if let Some(most) = choice.start_within && wait > most {
                left = spend(left, most).unwrap();
                past.no_capacity += 1;
                // What may wait no time at all is withdrawn at once: the clock moves on or this would not end.
                prop_assume!(most > Duration::ZERO);
                continue;
            }
            left = spend(left, wait).unwrap();
            let overhead = pick(times(work.overhead, &rules));
            left = spend(left, overhead).unwrap();
            while work.remaining > Duration::ZERO {
                let chunk = work.chunk.min(work.remaining);
                if choice.class == Class::Spot && pick(Duration::from_millis(10)) == Duration::from_millis(10) {
                    let lost = pick(times(chunk, &rules));
                    left = spend(left, lost).unwrap();
                    past.disruptions += 1;
                    break;
                }
                let in_time = spend(left, chunk);
                prop_assert!(in_time.is_some(), "late by a chunk of {chunk:?}, {:?} left to do", work.remaining);
                left = in_time.unwrap();
                work.remaining -= chunk;
                if go_on(choice.class, &work, &past, &rules, left, prices).class != choice.class {
                    break;
                }
            }
        }
    }

    #[test]
    fn more_time_never_turns_spot_into_on_demand(
        work in work(), past in past(), rules in rules(), left in millis(40_000_000), more in millis(40_000_000),
        prices in prices(), running in any_class(),
    ) {
        let asked: [&dyn Fn(Duration) -> Choice; 2] = [
            &|left| decide(&work, &past, &rules, left, prices),
            &|left| go_on(running, &work, &past, &rules, left, prices),
        ];
        for asked in asked {
            if asked(left).class == Class::Spot {
                prop_assert_eq!(asked(left + more).class, Class::Spot);
            }
        }
    }

    #[test]
    fn too_many_disruptions_give_on_demand(
        work in work(), past in past(), rules in rules(), left in millis(40_000_000), prices in prices(), running in any_class(),
    ) {
        let past = Past { disruptions: past.disruptions.max(rules.max_disruptions), ..past };
        for choice in [decide(&work, &past, &rules, left, prices), go_on(running, &work, &past, &rules, left, prices)] {
            prop_assert_eq!((choice.class, choice.reason), (Class::OnDemand, Reason::Disruptions));
        }
    }

    #[test]
    fn never_and_always_do_what_they_say(
        work in work(), past in past(), rules in rules(), left in millis(40_000_000), prices in prices(), running in any_class(),
    ) {
        for (policy, class) in [(SpotPolicy::Never, Class::OnDemand), (SpotPolicy::Always, Class::Spot)] {
            let rules = Rules { policy, ..rules };
            for choice in [decide(&work, &past, &rules, left, prices), go_on(running, &work, &past, &rules, left, prices)] {
                prop_assert_eq!((choice.class, choice.reason, choice.switch_at), (class, Reason::Policy, None));
            }
        }
    }

    #[test]
    fn spot_that_is_not_cheaper_is_not_taken(
        work in work(), past in past(), rules in rules(), left in millis(40_000_000), price in any::<u64>(), less in any::<u64>(),
    ) {
        let prices = Prices { spot: price, on_demand: price.min(less) };
        prop_assert_eq!(decide(&work, &past, &rules, left, prices).class, Class::OnDemand);
        prop_assert_eq!(go_on(Class::OnDemand, &work, &past, &rules, left, prices).class, Class::OnDemand);
    }

    /// Work that keeps pace never has to leave spot.
    #[test]
    fn a_commit_in_time_never_ends_a_spot_attempt(
        work in work(), past in past(), rules in rules(), left in millis(40_000_000), prices in prices(),
    ) {
        let before = go_on(Class::Spot, &work, &past, &rules, left, prices);
        let chunk = work.chunk.min(work.remaining);
        if before.class == Class::Spot && let Some(left) = left.checked_sub(chunk) {
            let work = Work { remaining: work.remaining.saturating_sub(chunk), ..work };
            let after = go_on(Class::Spot, &work, &past, &rules, left, prices);
            prop_assert!(after.slack_ms >= before.slack_ms);
            prop_assert_ne!(after.reason, Reason::NoSlack);
        }
    }

    #[test]
    fn every_number_has_an_answer(
        times in [wild(), wild(), wild(), wild(), wild(), wild(), wild()], counts in any::<[u32; 5]>(), prices in any::<[u64; 2]>(),
        running in any_class(),
    ) {
        let [remaining, chunk, overhead, on_demand_start, spot_start, start_deadline, left] = times;
        let work = Work { remaining, chunk, overhead, on_demand_start, spot_start };
        let [disruptions, no_capacity, safety_factor_milli, max_disruptions, reclaims_per_hour_milli] = counts;
        let past = Past { disruptions, no_capacity };
        let policy = SpotPolicy::UntilSlack;
        let rules = Rules { policy, safety_factor_milli, max_disruptions, reclaims_per_hour_milli, start_deadline };
        let prices = Prices { spot: prices[0], on_demand: prices[1] };
        let choice = decide(&work, &past, &rules, left, prices);
        prop_assert_eq!(choice, decide(&work, &past, &rules, left, prices));
        let _ = go_on(running, &work, &past, &rules, left, prices);
    }
}

/// Ten minutes of work in chunks of a minute; a minute each of overhead and of either start.
const WORK: Work = Work {
    remaining: Duration::from_mins(10),
    chunk: Duration::from_mins(1),
    overhead: Duration::from_mins(1),
    on_demand_start: Duration::from_mins(1),
    spot_start: Duration::from_mins(1),
};
const RULES: Rules = Rules {
    policy: SpotPolicy::UntilSlack,
    safety_factor_milli: 1_500,
    max_disruptions: 3,
    reclaims_per_hour_milli: 200,
    start_deadline: Duration::from_mins(5),
};
const PRICES: Prices = Prices { spot: 400_000, on_demand: 1_000_000 };

#[test]
fn spot_begins_where_one_loss_can_be_borne() {
    // 600 s of work, 1.5 x 180 s for one loss; 60 s to start on spot, and 1.5 x 60 s of overhead there.
    let at = |seconds| decide(&WORK, &Past::default(), &RULES, Duration::from_secs(seconds), PRICES);
    assert_eq!((at(1_019).class, at(1_019).reason, at(1_019).slack_ms), (Class::OnDemand, Reason::NoSlack, 149_000));
    let choice = at(1_020);
    assert_eq!((choice.class, choice.reason, choice.slack_ms), (Class::Spot, Reason::Slack, 150_000));
    assert_eq!(choice.switch_at, Some(Duration::from_secs(150)));
    assert_eq!(choice.start_within, Some(Duration::from_mins(1)));
    assert_eq!(at(10_000).start_within, Some(Duration::from_mins(5)), "the rules' own limit where there is slack enough");
    assert_eq!(at(0).slack_ms, -870_000);
}

#[test]
fn a_running_attempt_stays_on_spot_to_the_end_of_its_slack() {
    let at = |seconds| go_on(Class::Spot, &WORK, &Past::default(), &RULES, Duration::from_secs(seconds), PRICES);
    assert_eq!((at(870).class, at(870).switch_at), (Class::Spot, Some(Duration::ZERO)));
    assert_eq!((at(869).class, at(869).reason), (Class::OnDemand, Reason::NoSlack));
}

#[test]
fn on_demand_goes_back_to_spot_with_ample_slack_only() {
    let at = |seconds, no_capacity| {
        go_on(Class::OnDemand, &WORK, &Past { no_capacity, disruptions: 0 }, &RULES, Duration::from_secs(seconds), PRICES)
    };
    assert_eq!(at(1_169, 0).reason, Reason::NoSlack);
    assert_eq!(at(1_170, 0).class, Class::Spot);
    assert_eq!(at(1_170, 1).reason, Reason::NoSlack, "capacity was missing before");
    assert_eq!(at(1_320, 1).class, Class::Spot);
    let little = Work { remaining: Duration::from_secs(30), ..WORK };
    let choice = go_on(Class::OnDemand, &little, &Past::default(), &RULES, Duration::from_hours(1), PRICES);
    assert_eq!((choice.class, choice.reason), (Class::OnDemand, Reason::NotWorthARestart));
}

#[test]
fn reclaims_are_counted_into_the_price() {
    let often = Rules { reclaims_per_hour_milli: 60_000, ..RULES };
    // One reclaim a minute, 90 s lost each time: spot takes two and a half times as long.
    let at = |spot| decide(&WORK, &Past::default(), &often, Duration::from_hours(9), Prices { spot, on_demand: 1_000_000 });
    assert_eq!(at(399_999).class, Class::Spot);
    assert_eq!((at(400_000).class, at(400_000).reason), (Class::OnDemand, Reason::NotCheaper));
}

#[test]
fn spot_that_became_dear_is_left_where_a_restart_pays() {
    let dear = Prices { spot: 1_200_000, on_demand: 1_000_000 };
    let on = |seconds| {
        let work = Work { remaining: Duration::from_secs(seconds), ..WORK };
        go_on(Class::Spot, &work, &Past::default(), &RULES, Duration::from_hours(9), dear)
    };
    assert_eq!((on(301).class, on(301).reason), (Class::OnDemand, Reason::NotCheaper));
    assert_eq!((on(300).class, on(300).reason), (Class::Spot, Reason::NotWorthARestart));
}

#[test]
fn a_reclaim_takes_no_more_than_what_is_left() {
    let last = Work { remaining: Duration::from_secs(20), ..WORK };
    let choice = go_on(Class::Spot, &last, &Past::default(), &RULES, Duration::from_mins(4), PRICES);
    // 240 s, less 20 s of work, less 1.5 x (20 + 60 + 60) s for one loss.
    assert_eq!((choice.class, choice.slack_ms), (Class::Spot, 10_000));
}
