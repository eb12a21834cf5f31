use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn queue(concurrency: usize) -> Queue<&'static str> {
    Queue::new(QueueConfig { concurrency, seed: 7, ..QueueConfig::default() })
}

fn seen(intent: u64) -> Trigger {
    Trigger::Seen { intent, initial: false }
}

const DONE: Outcome = Outcome::Done { again: None };

/// Runs `key` once, to the given end, at the given time.
fn run(queue: &mut Queue<&'static str>, key: &'static str, outcome: Outcome, now: Mono) {
    assert_eq!(queue.pop(now).map(|ticket| ticket.key), Some(key), "at {now:?}");
    queue.done(&key, outcome, now);
}

/// When the only timer fires.
fn wake(queue: &Queue<&'static str>) -> Mono {
    queue.next_wake().unwrap()
}

fn close(actual: Duration, plain: Duration) -> bool {
    actual >= plain.mul_f64(1.0 - JITTER) && actual <= plain.mul_f64(1.0 + JITTER)
}

#[test]
fn a_key_pushed_many_times_runs_once() {
    let mut queue = queue(4);
    for _ in 0..5 {
        queue.push(&"a", seen(1), Mono::ZERO);
        queue.push(&"a", Trigger::Related, Mono::ZERO);
    }
    assert_eq!(queue.stats(Mono::ZERO).depth, 1);
    run(&mut queue, "a", DONE, Mono::ZERO);
    assert_eq!(queue.pop(Mono::ZERO), None);
    assert_eq!(queue.stats(Mono::ZERO).adds, 1);
}

#[test]
fn a_key_never_runs_twice_at_once_and_runs_again_after_an_event() {
    let mut queue = queue(4);
    queue.push(&"a", seen(1), Mono::ZERO);
    assert!(queue.pop(Mono::ZERO).is_some());
    queue.push(&"a", Trigger::Related, SECOND);
    assert_eq!(queue.pop(SECOND), None);
    queue.done(&"a", DONE, SECOND);
    assert_eq!(queue.pop(SECOND).unwrap().key, "a");
}

#[test]
fn backoff_doubles_exactly_up_to_the_cap() {
    let mut queue = queue(1);
    queue.push(&"a", seen(1), Mono::ZERO);
    let mut now = Mono::ZERO;
    for attempt in 0_u32..14 {
        run(&mut queue, "a", Outcome::Backoff, now);
        let plain = SECOND.saturating_mul(1 << attempt).min(Duration::from_mins(5));
        let waited = wake(&queue) - now;
        assert!(close(waited, plain), "attempt {attempt} waited {waited:?}, not about {plain:?}");
        assert_eq!(queue.pop(now + waited - Duration::from_nanos(1)), None, "not a moment early");
        now += waited;
    }
    assert_eq!(queue.stats(now).retries, 13, "the first run came from a push, the other 13 from a timer");
}

#[test]
fn retries_count_backoffs_that_ended_and_nothing_else() {
    let mut queue = queue(1);
    queue.push(&"a", seen(1), Mono::ZERO);
    run(&mut queue, "a", Outcome::Backoff, Mono::ZERO);
    let first = wake(&queue);
    run(&mut queue, "a", Outcome::Done { again: Some(SECOND) }, first);
    let second = wake(&queue);
    run(&mut queue, "a", DONE, second);
    assert_eq!(queue.stats(second).retries, 1);
    assert_eq!(queue.stats(second).adds, 3);
}

#[test]
fn events_neither_shorten_nor_lengthen_a_backoff() {
    let mut queue = queue(1);
    queue.push(&"a", seen(1), Mono::ZERO);
    run(&mut queue, "a", Outcome::Backoff, Mono::ZERO);
    let due = wake(&queue);
    for step in 1..10 {
        let now = due * step / 10;
        queue.push(&"a", Trigger::Related, now);
        queue.push(&"a", seen(1), now);
        assert_eq!(queue.pop(now), None);
        assert_eq!(wake(&queue), due);
    }
    let ticket = queue.pop(due).unwrap();
    assert_eq!(ticket.failures, 1, "wake-ups are not failures");
}

#[test]
fn new_intent_ends_a_backoff_and_forgets_the_failures() {
    let mut queue = queue(1);
    queue.push(&"a", seen(1), Mono::ZERO);
    let mut now = Mono::ZERO;
    for _ in 0..6 {
        run(&mut queue, "a", Outcome::Backoff, now);
        now = wake(&queue);
    }
    queue.push(&"a", seen(2), now);
    assert_eq!(queue.pop(now).unwrap().failures, 0);
    queue.done(&"a", Outcome::Backoff, now);
    assert!(close(wake(&queue) - now, SECOND), "the next backoff starts at the base");
}

#[test]
fn new_intent_during_a_run_that_fails_runs_at_once() {
    let mut queue = queue(1);
    queue.push(&"a", seen(1), Mono::ZERO);
    assert!(queue.pop(Mono::ZERO).is_some());
    queue.push(&"a", seen(2), Mono::ZERO);
    queue.done(&"a", Outcome::Backoff, SECOND);
    assert_eq!(queue.pop(SECOND).unwrap().failures, 0);
}

#[test]
fn success_resets_the_backoff() {
    let mut queue = queue(1);
    queue.push(&"a", seen(1), Mono::ZERO);
    let mut now = Mono::ZERO;
    for _ in 0..4 {
        run(&mut queue, "a", Outcome::Backoff, now);
        now = wake(&queue);
    }
    run(&mut queue, "a", DONE, now);
    queue.push(&"a", Trigger::Related, now);
    run(&mut queue, "a", Outcome::Backoff, now);
    assert!(close(wake(&queue) - now, SECOND));
}

#[test]
fn one_poisoned_object_delays_no_other() {
    let mut queue = queue(1);
    queue.push(&"poison", seen(1), Mono::ZERO);
    let mut now = Mono::ZERO;
    let mut poisoned_runs = 0;
    let mut healthy_runs = 0;
    for second in 0..600 {
        now = now.max(SECOND * second);
        queue.push(&"healthy", seen(u64::from(second)), now);
        queue.push(&"poison", Trigger::Related, now); // a chatty child
        while let Some(ticket) = queue.pop(now) {
            if ticket.key == "poison" {
                poisoned_runs += 1;
                queue.done(&"poison", Outcome::Backoff, now);
            } else {
                healthy_runs += 1;
                assert_eq!(ticket.waited, Duration::ZERO, "at {now:?}");
                queue.done(&"healthy", DONE, now);
            }
        }
    }
    assert_eq!(healthy_runs, 600);
    assert!((8..=11).contains(&poisoned_runs), "1+2+4+...+256 s and the cap fit 9 or 10 times into 600 s: {poisoned_runs}");
}

#[test]
fn a_retry_at_holds_until_then_and_does_not_grow() {
    let mut queue = queue(1);
    queue.push(&"a", seen(1), Mono::ZERO);
    let mut now = Mono::ZERO;
    for _ in 0..5 {
        run(&mut queue, "a", Outcome::Hold { again: SECOND * 60 }, now);
        queue.push(&"a", Trigger::Related, now + SECOND);
        let due = wake(&queue);
        assert!(close(due - now, SECOND * 60));
        now = due;
    }
}

#[test]
fn parked_keys_wait_for_a_change_or_the_resync() {
    let mut queue = queue(1);
    queue.push(&"a", seen(1), Mono::ZERO);
    run(&mut queue, "a", Outcome::Parked, Mono::ZERO);
    assert!(close(wake(&queue), Duration::from_mins(10)));
    queue.push(&"a", Trigger::Related, SECOND);
    run(&mut queue, "a", Outcome::Parked, SECOND);
}

#[test]
fn a_wish_to_look_again_does_not_keep_events_away() {
    let mut queue = queue(1);
    queue.push(&"a", seen(1), Mono::ZERO);
    run(&mut queue, "a", Outcome::Done { again: Some(SECOND * 30) }, Mono::ZERO);
    assert_eq!(wake(&queue), SECOND * 30, "a wish is exact");
    queue.push(&"a", Trigger::Related, SECOND);
    assert!(queue.pop(SECOND).is_some());
}

#[test]
fn fresh_intent_overtakes_the_first_list_but_starves_nobody() {
    let mut queue = queue(1);
    queue.push(&"old", Trigger::Seen { intent: 1, initial: true }, Mono::ZERO);
    queue.push(&"new", seen(1), SECOND);
    assert_eq!(queue.pop(SECOND).unwrap().key, "new");
    queue.done(&"new", DONE, SECOND);
    // A stream of fresh intent: the old key still gets its turn once its handicap is used up.
    let mut now = SECOND;
    let taken_after = loop {
        now += SECOND;
        queue.push(&"new", seen(now.as_secs()), now);
        let ticket = queue.pop(now).unwrap();
        queue.done(&ticket.key, DONE, now);
        if ticket.key == "old" {
            break now;
        }
    };
    assert!(taken_after <= HANDICAP_LOW + SECOND, "{taken_after:?}");
}

#[test]
fn no_more_keys_run_than_the_limit() {
    let mut queue = queue(2);
    for key in ["a", "b", "c"] {
        queue.push(&key, seen(1), Mono::ZERO);
    }
    assert!(queue.pop(Mono::ZERO).is_some());
    assert!(queue.pop(Mono::ZERO).is_some());
    assert_eq!(queue.pop(Mono::ZERO), None);
    assert_eq!(queue.next_wake(), None, "only a done can help now");
    queue.done(&"a", DONE, SECOND);
    assert_eq!(queue.pop(SECOND).unwrap().key, "c");
}

#[test]
fn a_child_of_an_unknown_object_makes_no_entry() {
    let mut queue = queue(1);
    queue.push(&"gone", Trigger::Related, Mono::ZERO);
    queue.push(&"gone", Trigger::Gone, Mono::ZERO);
    assert!(queue.is_empty());
}

#[test]
fn a_forgotten_key_leaves_nothing_behind_unless_seen_again() {
    let mut queue = queue(1);
    queue.push(&"a", seen(1), Mono::ZERO);
    run(&mut queue, "a", Outcome::Backoff, Mono::ZERO);
    queue.push(&"a", Trigger::Gone, SECOND / 2);
    assert!(queue.is_empty(), "nobody need run for it, so a replica that only stands by keeps nothing either");
    assert_eq!(queue.next_wake(), None);

    queue.push(&"r", seen(1), SECOND);
    queue.push(&"r", Trigger::Gone, SECOND);
    assert_eq!(queue.pop(SECOND), None);
    queue.push(&"r", seen(1), SECOND);
    assert!(queue.pop(SECOND).is_some());
    queue.push(&"r", Trigger::Gone, SECOND);
    queue.done(&"r", Outcome::Backoff, SECOND);
    run(&mut queue, "r", Outcome::Forget, SECOND);
    assert!(queue.is_empty());

    queue.push(&"b", seen(1), SECOND);
    assert!(queue.pop(SECOND).is_some());
    queue.push(&"b", seen(2), SECOND);
    queue.done(&"b", Outcome::Forget, SECOND);
    assert_eq!(queue.pop(SECOND).unwrap().key, "b");
}

#[test]
fn the_metrics_say_what_their_names_say() {
    let mut queue = queue(2);
    queue.push(&"a", seen(1), Mono::ZERO);
    queue.push(&"b", seen(1), SECOND);
    let a = queue.pop(SECOND * 3).unwrap();
    assert_eq!((a.key, a.waited), ("a", SECOND * 3), "queue duration: from ready to taken");
    assert!(queue.pop(SECOND * 4).is_some());
    let stats = queue.stats(SECOND * 10);
    assert_eq!((stats.depth, stats.running), (0, 2));
    assert_eq!(stats.unfinished, SECOND * 13);
    assert_eq!(stats.longest, SECOND * 7);
    assert_eq!(queue.done(&"a", DONE, SECOND * 10), SECOND * 7, "work duration: from taken to done");
    queue.done(&"b", Outcome::Backoff, SECOND * 10);
    let stats = queue.stats(SECOND * 10);
    assert_eq!((stats.waiting, stats.held, stats.running), (1, 1, 0));
}

#[test]
fn a_timer_seen_late_counts_as_queueing() {
    let mut queue = queue(1);
    queue.push(&"a", seen(1), Mono::ZERO);
    run(&mut queue, "a", Outcome::Done { again: Some(SECOND) }, Mono::ZERO);
    assert_eq!(queue.pop(SECOND * 5).unwrap().waited, SECOND * 4);
}

proptest::proptest! {
    /// Whatever comes in, in whatever order: no key is lost, none runs twice at once, and the sets agree.
    #[test]
    fn no_key_is_ever_lost(steps in proptest::collection::vec((0_u8..9, 0_u8..5, 0_u64..400), 1..200)) {
        const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
        let mut queue = queue(2);
        let mut now = Mono::ZERO;
        let mut running: Vec<&str> = Vec::new();
        let mut known: BTreeSet<&str> = BTreeSet::new();
        for (step, key, millis) in steps {
            now += Duration::from_millis(millis);
            let key = KEYS[usize::from(key)];
            match step {
                0 => { queue.push(&key, seen(millis / 100), now); known.insert(key); }
                1 => queue.push(&key, Trigger::Related, now),
                8 => {
                    queue.push(&key, Trigger::Gone, now);
                    if !running.contains(&key) { known.remove(key); }
                }
                2 | 3 => if let Some(ticket) = queue.pop(now) {
                    proptest::prop_assert!(!running.contains(&ticket.key));
                    running.push(ticket.key);
                },
                _ => if let Some(key) = running.pop() {
                    let outcome = match step {
                        4 => DONE,
                        5 => Outcome::Backoff,
                        6 => Outcome::Hold { again: SECOND },
                        _ => Outcome::Parked,
                    };
                    queue.done(&key, outcome, now);
                },
            }
            proptest::prop_assert!(running.len() <= 2);
            proptest::prop_assert_eq!(queue.len(), known.len());
        }
        for key in running.drain(..) { queue.done(&key, DONE, now); }
        // Every key comes up again by itself within a resync.
        let mut left = known;
        let end = now + Duration::from_mins(12);
        while let Some(wake) = queue.next_wake() {
            now = now.max(wake);
            if now > end { break; }
            while let Some(ticket) = queue.pop(now) { left.remove(ticket.key); queue.done(&ticket.key, DONE, now); }
            if left.is_empty() { break; }
        }
        proptest::prop_assert!(left.is_empty(), "{:?} never ran", left);
    }
}
