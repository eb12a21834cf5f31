//! The driver under virtual time.

use super::*;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

type Behaviour = dyn Fn(&str, usize) -> Result<Next, ReconcileError> + Send + Sync;

/// Does what a test says, and remembers when it was asked.
struct Scripted {
    behaviour: Box<Behaviour>,
    calls: Arc<Mutex<Vec<(String, Duration)>>>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    takes: Duration,
    clock: Clock,
}

impl Reconciler for Scripted {
    type Kind = ConfigMap;
    const NAME: &'static str = "scripted";

    async fn reconcile(&self, object: Arc<ConfigMap>, _: Timestamp) -> Result<Next, ReconcileError> {
        let name = object.metadata.name.clone().unwrap();
        let nth = {
            let mut calls = self.calls.lock().unwrap();
            calls.push((name.clone(), self.clock.mono()));
            calls.iter().filter(|(other, _)| *other == name).count()
        };
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(self.takes).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        (self.behaviour)(&name, nth)
    }
}

struct World {
    cache: Cache<ConfigMap>,
    feed: Feed,
    calls: Arc<Mutex<Vec<(String, Duration)>>>,
    most: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<usize>,
}

fn start(takes: Duration, behaviour: impl Fn(&str, usize) -> Result<Next, ReconcileError> + Send + Sync + 'static) -> World {
    let clock = Clock::start();
    let (cache, metrics) = (Cache::new(&[]), Arc::new(Metrics::new()));
    let calls: Arc<Mutex<Vec<_>>> = Arc::default();
    let most: Arc<AtomicUsize> = Arc::default();
    let reconciler = Scripted {
        behaviour: Box::new(behaviour),
        calls: Arc::clone(&calls),
        running: Arc::default(),
        most: Arc::clone(&most),
        takes,
        clock,
    };
    let controller = Controller::new(reconciler, cache.clone(), QueueConfig::default(), Arc::clone(&metrics), clock);
    controller.opener()(None);
    let (feed, stop) = (controller.feed(), CancellationToken::new());
    let task = tokio::spawn(controller.run(stop.clone(), Duration::from_secs(30)));
    World { cache, feed, calls, most, metrics, stop, task }
}

impl World {
    fn see(&self, name: &str, version: u32) {
        self.show(json!({ "name": name, "generation": version, "resourceVersion": version.to_string() }));
    }

    fn show(&self, mut metadata: serde_json::Value) {
        metadata["namespace"] = "ns".into();
        metadata["uid"] = metadata["name"].clone();
        let object = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
        for change in self.cache.apply(Ok(object)) {
            self.feed.primary(&change);
        }
    }

    fn times(&self, name: &str) -> Vec<u64> {
        self.calls.lock().unwrap().iter().filter(|(other, _)| other == name).map(|(_, at)| at.as_secs()).collect()
    }

    /// Times between the attempts at an object.
    fn gaps(&self, name: &str) -> Vec<Duration> {
        let calls = self.calls.lock().unwrap();
        let times: Vec<_> = calls.iter().filter(|(other, _)| other == name).map(|(_, at)| *at).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    fn metric(&self, line: &str) -> bool {
        self.metrics.render().contains(line)
    }
}

fn fail(class: Class) -> Result<Next, ReconcileError> {
    Err(ReconcileError::new(class, "Broken", "failed to do it"))
}

#[tokio::test(start_paused = true)]
async fn one_poisoned_object_delays_no_other() {
    let world = start(Duration::ZERO, |name, _| if name == "poison" { fail(Class::Retry) } else { Ok(Next::WaitForChange) });
    world.see("poison", 1);
    for version in 1..=20 {
        world.see("good", version);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.times("good"), (0..20).collect::<Vec<_>>());
    assert!(world.times("poison").len() <= 6, "{:?}", world.times("poison"));
}

/// The waits that the rule gives an object that always fails: doubled from the base to the cap, each with its jitter.
fn waits(name: &str) -> impl Iterator<Item = Duration> {
    let (key, mut queue) = (ObjectKey::new("ns", name), Queue::new(QueueConfig::default()));
    queue.push(&key, Trigger::Seen { intent: 1, initial: false }, Duration::ZERO);
    let mut now = Duration::ZERO;
    std::iter::repeat_with(move || {
        queue.pop(now).unwrap();
        queue.done(&key, Outcome::Backoff, now);
        let before = std::mem::replace(&mut now, queue.next_wake().unwrap());
        now - before
    })
}

#[track_caller]
fn assert_exact(gaps: &[Duration]) {
    // Timers have ticks of a millisecond.
    const TICK: Duration = Duration::from_millis(1);
    for (index, (gap, wait)) in gaps.iter().zip(waits("a")).enumerate() {
        assert!(*gap >= wait && *gap <= wait + TICK, "attempt {index} came after {gap:?}, not {wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_backoff_is_exact_under_a_virtual_clock() {
    let world = start(Duration::ZERO, |_, _| fail(Class::Retry));
    world.see("a", 1);
    tokio::time::sleep(Duration::from_hours(1)).await;
    let gaps = world.gaps("a");
    assert!((17..=20).contains(&gaps.len()), "1+2+...+256 s and ten times the cap, give or take a tenth: {}", gaps.len());
    assert_exact(&gaps);
}

#[tokio::test(start_paused = true)]
async fn wake_ups_move_no_attempt_and_inflate_no_backoff() {
    let world = start(Duration::ZERO, |_, _| fail(Class::Retry));
    for version in 1..6000 {
        // A chatty child, and a status that others write.
        world.show(json!({ "name": "a", "generation": 1, "resourceVersion": version.to_string() }));
        world.feed.push(&ObjectKey::new("ns", "a"), Trigger::Related);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!((8..=10).contains(&world.gaps("a").len()), "{:?}", world.gaps("a"));
    assert_exact(&world.gaps("a"));
}

#[tokio::test(start_paused = true)]
async fn a_changed_spec_a_nudge_and_a_success_start_the_backoff_anew() {
    let world = start(
        Duration::ZERO,
        |name, nth| {
            if name == "healed" && nth == 6 { Ok(Next::WaitForChange) } else { fail(Class::Retry) }
        },
    );
    for name in ["changed", "nudged", "healed", "left"] {
        world.see(name, 1);
    }
    tokio::time::sleep(Duration::from_secs(40)).await;
    world.see("changed", 2);
    let annotations = json!({ crate::names::ANNOTATION_RECONCILE_AT: "now" });
    world.show(json!({ "name": "nudged", "generation": 1, "resourceVersion": "2", "annotations": annotations }));
    world.feed.push(&ObjectKey::new("ns", "healed"), Trigger::Related);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(
        world.times("left").iter().all(|at| *at < 40),
        "the fifth wait of who is left alone lasts: {:?}",
        world.times("left")
    );
    for name in ["changed", "nudged", "healed"] {
        let late: Vec<_> = world.times(name).into_iter().filter(|at| *at >= 40).collect();
        assert!(matches!(late[..], [40, 40 | 41, 42 | 43, 46 | 47]), "{name}: at once, and then 1, 2, 4 s: {late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_moves_depth_adds_retries_and_longest_running_and_they_settle() {
    let world = start(Duration::from_millis(100), |name, nth| {
        if name.ends_with('7') && nth == 1 { fail(Class::Retry) } else { Ok(Next::WaitForChange) }
    });
    for index in 0..500 {
        world.see(&format!("o{index}"), 1);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let queue = |what: &str, value: &str| format!("workqueue_{what}{{name=\"scripted\",controller=\"scripted\"}} {value}\n");
    for (what, value) in [("depth", "496"), ("adds_total", "500"), ("retries_total", "0")] {
        assert!(world.metric(&queue(what, value)), "{what} while it lasts");
    }
    assert!(!world.metric(&queue("longest_running_processor_seconds", "0.0")));
    tokio::time::sleep(Duration::from_mins(1)).await;
    for (what, value) in
        [("depth", "0"), ("adds_total", "550"), ("retries_total", "50"), ("longest_running_processor_seconds", "0.0")]
    {
        assert!(world.metric(&queue(what, value)), "{what} after it: {}", world.metrics.render());
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_caught_counted_and_backed_off() {
    let world = start(Duration::ZERO, |name, nth| {
        assert!(name != "bad" || nth > 2, "planted panic");
        Ok(Next::WaitForChange)
    });
    world.see("bad", 1);
    world.see("good", 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.times("bad").len(), 3);
    assert_eq!(world.times("good").len(), 1);
    assert!(world.metric(r#"controller_runtime_reconcile_panics_total{controller="scripted"} 2"#));
    assert!(!world.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn counters_of_failures_are_there_before_the_first_one() {
    // A counter that begins with its first failure has never increased, as far as an alert can see.
    let world = start(Duration::ZERO, |_, _| Ok(Next::WaitForChange));
    for name in ["reconcile_errors", "terminal_reconcile_errors", "reconcile_panics"] {
        assert!(world.metric(&format!("controller_runtime_{name}_total{{controller=\"scripted\"}} 0")), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_that_hangs_is_cut_off_and_tried_again() {
    let world = start(Duration::from_hours(1), |_, _| Ok(Next::WaitForChange));
    world.see("slow", 1);
    tokio::time::sleep(RECONCILE_TIMEOUT + Duration::from_secs(5)).await;
    assert_eq!(world.times("slow").len(), 2);
    assert!(world.metric(r#"controller_runtime_reconcile_total{controller="scripted",result="error"} 1"#));
}

#[tokio::test(start_paused = true)]
async fn a_time_asked_for_is_kept() {
    let world = start(Duration::ZERO, |_, nth| {
        Ok(if nth == 1 { Next::At(Timestamp::now() + Duration::from_secs(30)) } else { Next::WaitForChange })
    });
    world.see("a", 1);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let times = world.times("a");
    assert!(matches!(times[..], [0, 29 | 30]), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_at_in_the_past_is_no_hot_loop() {
    let world = start(Duration::ZERO, |_, _| fail(Class::RetryAt(Timestamp::UNIX_EPOCH)));
    world.see("a", 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(world.times("a").len() <= 12, "{:?}", world.times("a"));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_only_a_change_cures_waits_for_one() {
    let world = start(Duration::ZERO, |_, _| fail(Class::Terminal));
    world.see("a", 1);
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(world.times("a").len(), 1);
    world.see("a", 2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.times("a").len(), 2);
    assert!(world.metric(r#"controller_runtime_terminal_reconcile_errors_total{controller="scripted"} 2"#));
}

#[tokio::test(start_paused = true)]
async fn every_object_is_looked_at_again_within_the_resync() {
    let world = start(Duration::ZERO, |_, _| Ok(Next::WaitForChange));
    for index in 0..50 {
        world.see(&format!("o{index}"), 1);
    }
    tokio::time::sleep(Duration::from_secs(11 * 60 + 35)).await;
    let mut second: Vec<_> = (0..50).map(|index| world.times(&format!("o{index}"))[1]).collect();
    second.sort_unstable();
    assert!(second[0] >= 540 && second[49] <= 695, "{second:?}");
    assert!(second[49] - second[0] > 30, "resyncs are spread out: {second:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_once_than_configured() {
    let world = start(Duration::from_secs(1), |_, _| Ok(Next::WaitForChange));
    for index in 0..20 {
        world.see(&format!("o{index}"), 1);
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(world.most.load(Ordering::SeqCst), QueueConfig::default().concurrency);
    assert_eq!(world.calls.lock().unwrap().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_nothing_new_and_lets_what_runs_end() {
    let world = start(Duration::from_secs(10), |_, _| Ok(Next::WaitForChange));
    for index in 0..6 {
        world.see(&format!("o{index}"), 1);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.stop.cancel();
    assert_eq!(world.task.await.unwrap(), 0, "all that ran have ended");
    assert_eq!(world.calls.lock().unwrap().len(), 4, "and nothing new was taken");
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_bounded_by_its_grace() {
    let world = start(Duration::from_secs(100), |_, _| Ok(Next::WaitForChange));
    world.see("slow", 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.stop.cancel();
    assert_eq!(world.task.await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_gone_is_forgotten() {
    let world = start(Duration::ZERO, |_, _| fail(Class::Retry));
    world.see("a", 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    if let Some(change) = world.cache.delete(&ObjectKey::new("ns", "a")) {
        world.feed.primary(&change);
    }
    tokio::time::sleep(Duration::from_mins(20)).await;
    assert!(world.times("a").len() <= 2);
    let stats = world.feed.stats();
    assert_eq!((stats.waiting, stats.held, stats.depth), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_child_wakes_the_owner_that_its_uid_names() {
    let world = start(Duration::ZERO, |_, _| Ok(Next::WaitForChange));
    world.see("a", 1);
    world.see("b", 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let child: ConfigMap = serde_json::from_value(json!({ "metadata": {
        "namespace": "ns", "name": "child", "uid": "c", "labels": { crate::names::LABEL_OWNER_UID: "b" }
    } }))
    .unwrap();
    world.feed.child(&Change::Applied { object: Arc::new(child), initial: false }, &world.cache);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((world.times("a").len(), world.times("b").len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_happens_in_a_closed_namespace_is_no_work_until_it_is_opened() {
    let (cache, feed) = (Cache::<ConfigMap>::new(&[]), Feed::new(QueueConfig::default(), Clock::start()));
    let see = |namespace: &str| {
        let metadata = json!({ "namespace": namespace, "name": "a", "uid": namespace, "generation": 1, "resourceVersion": "1" });
        let object = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
        cache.apply(Ok(object)).iter().for_each(|change| feed.primary(change));
    };
    feed.open(Some("open"), &cache);
    see("closed");
    assert_eq!(feed.stats().depth, 0);
    see("open");
    assert_eq!(feed.stats().depth, 1);
    feed.open(Some("closed"), &cache);
    assert_eq!(feed.stats().depth, 2);
}
