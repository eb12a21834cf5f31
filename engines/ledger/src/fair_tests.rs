//! Who is next, by tables and properties.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn job(namespace: &str, number: u32, need: i128) -> Waiting {
    let key = format!("{namespace}/{number}");
    Waiting { key, namespace: namespace.to_owned(), since: i64::from(number), need: Amount::from_micros(need * 1_000) }
}

fn queue(jobs: impl IntoIterator<Item = Waiting>) -> Fair {
    let mut fair = Fair::new();
    jobs.into_iter().for_each(|job| fair.enter(job));
    fair
}

fn keys<'a>(jobs: impl IntoIterator<Item = &'a Waiting>) -> Vec<&'a str> {
    jobs.into_iter().map(|job| job.key.as_str()).collect()
}

fn serve(fair: &mut Fair) -> Option<Waiting> {
    let key = fair.head()?.key.clone();
    fair.served(&key)
}

/// Every index that is kept twice says the same.
fn check(fair: &Fair) {
    assert_eq!(fair.places.len(), fair.namespaces.len());
    for (name, namespace) in &fair.namespaces {
        assert!(!namespace.waiting.is_empty());
        assert_eq!(&fair.places[&namespace.place], name);
        for ((since, key), waiting) in &namespace.waiting {
            assert_eq!(&fair.keys[key], &(name.clone(), *since));
            assert_eq!((&waiting.key, &waiting.namespace, waiting.since), (key, name, *since));
        }
    }
    assert_eq!(fair.keys.len(), fair.namespaces.values().map(|namespace| namespace.waiting.len()).sum::<usize>());
}

#[test]
fn a_thousand_jobs_of_one_delay_a_single_job_of_another_by_one() {
    for need in [0, 1, 1_000_000] {
        let mut fair = queue((0..1_000).map(|number| job("many", number, 7)));
        for _ in 0..10 {
            serve(&mut fair);
        }
        fair.enter(job("single", 5_000, need));
        assert_eq!(fair.position("single/5000"), Some(1));
        assert_eq!(fair.len(), 991);
    }
}

#[test]
fn a_job_that_enters_again_keeps_its_place_with_another_need() {
    let mut fair = queue([job("a", 1, 1), job("a", 2, 1)]);
    fair.enter(Waiting { since: 99, namespace: "b".into(), ..job("a", 1, 5) });
    assert_eq!(fair.order(), [&job("a", 1, 5), &job("a", 2, 1)]);
    check(&fair);
}

#[test]
fn a_weight_of_three_gets_three_for_one() {
    let mut fair = queue(["a", "b"].iter().flat_map(|name| (0..40).map(|number| job(name, number, 10))));
    fair.weights(&BTreeMap::from([("a".into(), 3), ("b".into(), 0)]));
    let order = fair.order();
    let of_a = order[..40].iter().filter(|job| job.namespace == "a").count();
    assert_eq!(of_a, 30);
}

#[test]
fn jobs_that_need_nothing_take_turns_too() {
    let fair = queue(["a", "b"].iter().flat_map(|name| (0..2).map(|number| job(name, number, if number == 0 { -5 } else { 0 }))));
    assert_eq!(keys(fair.order()), ["a/0", "b/0", "a/1", "b/1"]);
}

#[test]
fn who_leaves_and_comes_back_is_not_before_those_that_stayed() {
    let mut fair = queue((0..10).map(|number| job("stays", number, 1)));
    let mut served = Vec::new();
    for _ in 0..10 {
        fair.leave("trick/1");
        fair.enter(job("trick", 1, 1_000));
        served.push(serve(&mut fair).unwrap().namespace);
    }
    // Entering anew each time puts it behind the other each time.
    assert!(served.iter().all(|name| name == "stays"), "{served:?}");
}

#[test]
fn what_does_not_wait_is_nowhere() {
    let mut fair = queue([job("a", 1, 1)]);
    assert_eq!((fair.position("b/1"), fair.leave("b/1"), fair.served("b/1")), (None, None, None));
    assert_eq!(fair.served("a/1"), Some(job("a", 1, 1)));
    assert_eq!((fair.head(), fair.is_empty(), fair.order()), (None, true, vec![]));
}

/// What is left of 10 after what is promised, of which open reservations hold what is above `free`.
fn room(free: i128) -> impl FnMut(&Waiting, Amount) -> Fit {
    move |job, promised| match (job.need + promised).micros() / 1_000 {
        wanted if wanted <= free => Fit::Now,
        _ if job.need.micros() / 1_000 > 10 => Fit::NotInThisPeriod,
        _ => Fit::Later,
    }
}

#[test]
fn small_jobs_do_not_slip_past_a_large_one_that_waits_for_money() {
    let fair = queue([job("a", 1, 2), job("b", 1, 9), job("c", 1, 1), job("a", 2, 1)]);
    assert_eq!(keys(fair.admissible(room(10))), ["a/1"]);
    assert_eq!(keys(admissible(fair.order(), room(10))), ["a/1"]);
    assert_eq!(keys(fair.admissible(room(1))), Vec::<&str>::new());
}

#[test]
fn a_job_beyond_the_periods_money_holds_up_nobody() {
    let fair = queue([job("a", 1, 11), job("b", 1, 2), job("c", 1, 3), job("b", 2, 4), job("b", 3, 4)]);
    assert_eq!(keys(fair.admissible(room(10))), ["b/1", "c/1", "b/2"]);
    assert_eq!(keys(admissible(fair.order(), room(10))), ["b/1", "c/1", "b/2"]);
}

#[test]
fn a_job_beyond_the_periods_money_costs_its_namespace_no_turn() {
    let mut fair = queue((0..100).map(|number| job("b", number, 1)));
    fair.enter(job("a", 1, 11));
    fair.enter(job("a", 2, 1));
    assert_eq!(keys(fair.admissible(room(3))), ["b/0", "a/2", "b/1"]);
    // An order that was made before anybody asked counts the large job as served.
    assert_eq!(keys(admissible(fair.order(), room(3))), ["b/0", "b/1", "b/2"]);
}

#[test]
fn who_was_stepped_over_for_long_has_not_saved_up() {
    let mut fair = queue((0..200).map(|number| job("b", number, 1)));
    (0..50).for_each(|number| fair.enter(job("a", number, 11)));
    for number in 0..100 {
        fair.served(&format!("b/{number}"));
    }
    fair.enter(job("c", 1, 1));
    let order = fair.order();
    assert!(keys(order[..3].iter().copied()).contains(&"c/1"));
    assert!(order[..13].iter().filter(|job| job.namespace == "a").count() <= 2);
}

#[test]
fn jobs_that_need_next_to_nothing_do_not_hold_up_another_for_long() {
    let mut fair = queue((0..5_000).map(|number| Waiting { need: Amount::from_micros(1), ..job("tiny", number, 0) }));
    (0..2).for_each(|number| fair.enter(job("a", number, 1_000)));
    assert_eq!(fair.position("a/1"), Some(1_001));
}

#[test]
fn one_job_at_a_time_does_not_pass_a_backlog_while_another_is_stepped_over() {
    let mut fair = queue((0..100).map(|number| job("backlog", number, 7)));
    fair.enter(job("blocked", 1, 1_000));
    let mut had = BTreeMap::new();
    for number in 0..40 {
        fair.enter(job("serial", number, 1_000));
        let fits = |job: &Waiting, _| if job.namespace == "blocked" { Fit::NotInThisPeriod } else { Fit::Now };
        let next = fair.admissible(fits)[0].key.clone();
        *had.entry(fair.served(&next).unwrap().namespace).or_insert(0) += 1;
        if number % 2 == 1 {
            fair.leave(&format!("serial/{number}"));
        }
    }
    assert!(had["backlog"] >= 18, "{had:?}");
}

#[test]
fn five_thousand_are_put_in_order_at_once() {
    let fair = queue((0..5_000).map(|number| job(&format!("n{}", number % 300), number, i128::from(number % 37))));
    let order = fair.order();
    let distinct: BTreeSet<_> = order.iter().map(|job| &job.key).collect();
    assert_eq!((order.len(), distinct.len()), (5_000, 5_000));
}

#[derive(Clone, Debug)]
enum Deed {
    Enter(u8, u32, i128),
    Leave(u8, u32),
    Serve,
    /// Not the head: what happens where jobs are stepped over.
    ServeThis(usize),
    Weigh(u8, u32),
}

fn deeds(length: usize) -> impl Strategy<Value = Vec<Deed>> {
    let need = prop_oneof![0i128..20, 0i128..5_000];
    prop::collection::vec(
        prop_oneof![
            6 => (0u8..5, 0u32..40, need).prop_map(|(name, number, need)| Deed::Enter(name, number, need)),
            1 => (0u8..5, 0u32..40).prop_map(|(name, number)| Deed::Leave(name, number)),
            3 => Just(Deed::Serve),
            1 => (0usize..30).prop_map(Deed::ServeThis),
            1 => (0u8..5, 0u32..9).prop_map(|(name, weight)| Deed::Weigh(name, weight)),
        ],
        0..length,
    )
}

fn after(deeds: &[Deed], equal: bool) -> Fair {
    let (mut fair, mut weights) = (Fair::new(), BTreeMap::new());
    for deed in deeds {
        match deed {
            Deed::Enter(name, number, need) => fair.enter(job(&format!("n{name}"), *number, *need)),
            Deed::Leave(name, number) => drop(fair.leave(&format!("n{name}/{number}"))),
            Deed::Serve => drop(serve(&mut fair)),
            Deed::ServeThis(index) => {
                if let Some(key) = fair.order().get(*index).map(|job| job.key.clone()) {
                    fair.served(&key);
                }
            }
            Deed::Weigh(name, weight) if !equal => {
                weights.insert(format!("n{name}"), *weight);
                fair.weights(&weights);
            }
            Deed::Weigh(..) => {}
        }
    }
    check(&fair);
    fair
}

proptest! {
    #[test]
    fn who_begins_to_wait_is_next_after_one_admission_of_each(before in deeds(120), then in deeds(60), need in 0i128..100_000, equal in any::<bool>()) {
        // It holds for unequal weights as well.
        let mut fair = after(&before, equal);
        let there: BTreeSet<String> = fair.namespaces.keys().cloned().collect();
        fair.enter(job("new", 1, need));
        let mut had: BTreeSet<String> = BTreeSet::new();
        let mut then = then.into_iter();
        loop {
            // Others come and go meanwhile; they are behind it.
            for deed in then.by_ref().take(3) {
                match deed {
                    Deed::Enter(name, number, need) => fair.enter(job(&format!("n{name}"), number, need)),
                    Deed::Leave(name, number) => drop(fair.leave(&format!("n{name}/{number}"))),
                    _ => {}
                }
            }
            let served = serve(&mut fair).unwrap();
            if served.namespace == "new" {
                break;
            }
            prop_assert!(there.contains(&served.namespace), "{} came later", served.key);
            prop_assert!(had.insert(served.namespace), "{} again", served.key);
        }
    }

    #[test]
    fn a_long_backlog_shares_the_money_by_weight(
        needs in prop::collection::vec((1i128..2_000, 1i128..2_000, 1i128..2_000), 30..150), weights in [1u32..20, 1u32..20, 1u32..20],
    ) {
        let names = ["a", "b", "c"];
        let mut fair = Fair::new();
        fair.weights(&names.iter().zip(weights).map(|(name, weight)| ((*name).to_owned(), weight)).collect());
        for (number, (a, b, c)) in needs.iter().enumerate() {
            for (name, need) in names.iter().zip([a, b, c]) {
                fair.enter(job(name, number as u32, *need));
            }
        }
        let largest = fair.order().iter().map(|job| job.need.to_f64()).fold(0.0, f64::max);
        let mut had = [0.0; 3];
        while fair.namespaces.len() == 3 {
            let served = serve(&mut fair).unwrap();
            had[names.iter().position(|name| *name == served.namespace).unwrap()] += served.need.to_f64();
            for (one, other) in [(0, 1), (0, 2), (1, 2)] {
                let share = |index: usize| had[index] / f64::from(weights[index]);
                let within = largest / f64::from(weights[one]) + largest / f64::from(weights[other]) + 1e-6;
                prop_assert!((share(one) - share(other)).abs() <= within, "{:?} {:?}", had, weights);
            }
        }
    }

    #[test]
    fn of_one_namespace_the_oldest_is_first(deeds in deeds(200)) {
        let fair = after(&deeds, false);
        let order = fair.order();
        prop_assert_eq!(order.len(), fair.len());
        for name in 0..5 {
            let of_one: Vec<_> = order.iter().filter(|job| job.namespace == format!("n{name}")).map(|job| (job.since, &job.key)).collect();
            prop_assert!(of_one.is_sorted());
        }
    }

    #[test]
    fn the_order_is_what_serving_the_head_gives(deeds in deeds(200)) {
        let mut fair = after(&deeds, false);
        let order: Vec<Waiting> = fair.order().into_iter().cloned().collect();
        for (index, expected) in order.iter().enumerate().step_by(7) {
            prop_assert_eq!(fair.position(&expected.key), Some(index));
        }
        for expected in order {
            prop_assert_eq!(serve(&mut fair), Some(expected));
        }
        prop_assert!(fair.is_empty());
        check(&fair);
    }

    #[test]
    fn nobody_starves_however_many_come(deeds in deeds(100), needs in prop::collection::vec(0i128..5_000, 1..5), limit in 0i128..9_000) {
        let mut fair = after(&deeds, false);
        let fits = |job: &Waiting| job.need <= Amount::from_micros(limit * 1_000);
        let mut old: BTreeSet<String> = fair.order().iter().filter(|job| fits(job)).map(|job| job.key.clone()).collect();
        // After every admission one more comes, for ever, and what does not fit stays and is stepped over.
        for number in 100..100_000 {
            let mut next = None;
            fair.admissible(|job, _| {
                if !fits(job) {
                    return Fit::NotInThisPeriod;
                }
                next = Some(job.key.clone());
                Fit::Later
            });
            if let Some(next) = next {
                fair.served(&next);
                old.remove(&next);
            }
            if old.is_empty() {
                break;
            }
            let need = needs[number as usize % needs.len()];
            fair.enter(job(&format!("n{}", number % 7), number, need.min(limit)));
        }
        prop_assert!(old.is_empty(), "{:?}", old);
    }

    #[test]
    fn what_is_admissible_is_what_serving_would_admit(deeds in deeds(150), free in 0i128..2_000, limit in 1i128..3_000) {
        let mut fair = after(&deeds, false);
        let in_thousandths = |amount: Amount| amount.micros() / 1_000;
        let fits = |job: &Waiting, promised: Amount| match in_thousandths(job.need) {
            need if need > limit => Fit::NotInThisPeriod,
            need if need + in_thousandths(promised) > free => Fit::Later,
            _ => Fit::Now,
        };
        let taken: Vec<Waiting> = fair.admissible(fits).into_iter().cloned().collect();
        // One at a time: the first that is for this period, until it must wait.
        let (mut one_by_one, mut promised) = (Vec::new(), Amount::ZERO);
        loop {
            let mut first = None;
            fair.admissible(|job, _| match fits(job, promised) {
                Fit::NotInThisPeriod => Fit::NotInThisPeriod,
                fit => {
                    first = Some((job.key.clone(), fit));
                    Fit::Later
                }
            });
            let Some((key, Fit::Now)) = first else { break };
            one_by_one.extend(fair.served(&key));
            promised = one_by_one.iter().map(|job| job.need).sum();
        }
        prop_assert_eq!(taken, one_by_one);
    }
}
