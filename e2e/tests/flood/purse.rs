//! Many titles at once under a cap that has room for a few of them: nothing goes beyond it, whoever waits says why, and what
//! was charged is, to the millionth, what a script of its own makes of the API server's audit log.

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use showrunner_crds::AiBudget;
use showrunner_e2e::{
    cluster::{root, run},
    faults::{history::World, plane::BUCKET, run::kinds},
    store::Store,
};
use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

use crate::{APPLYING, Bed, LOOK_EVERY, TITLES};

/// Titles, and how many of them the cap has room for at once: in `make test`, and with `SHOWRUNNER_LONG`.
const CROWD: (usize, usize) = (120, 12);
const LARGE_CROWD: (usize, usize) = (1_000, 100);
/// How long an attempt may run, seconds, and the grace period after that.
const RUN: u64 = 600;
const GRACE: u64 = 30;
/// Longest time without anything happening.
const QUIET: Duration = Duration::from_secs(15);
/// Longest time for all of it.
const LONGEST: Duration = Duration::from_mins(12);

fn reason(title: &Value) -> &str {
    let conditions = title["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|condition| condition["type"] == "Ready").and_then(|ready| ready["reason"].as_str()).unwrap_or("")
}

/// Ends every pod that was made, as a kubelet would tell of it: by its name, it ran from a second to the whole of its time.
async fn end_pods(pods: &Api<Pod>, ended: &mut BTreeSet<String>) -> Result<()> {
    for pod in pods.list(&ListParams::default()).await? {
        if !ended.insert(pod.name_any()) {
            continue;
        }
        let letters = pod.name_any().bytes().fold(7_u64, |sum, letter| sum.wrapping_mul(31).wrapping_add(letter.into()));
        let finished = Timestamp::from_second(Timestamp::now().as_second())?;
        let started = finished - Duration::from_secs(1 + letters % RUN);
        let terminated =
            json!({ "exitCode": 1, "reason": "Error", "startedAt": started.to_string(), "finishedAt": finished.to_string() });
        let container = json!({ "name": "worker", "image": "none", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": terminated } });
        let patch = Patch::Merge(json!({ "status": { "phase": "Failed", "containerStatuses": [container] } }));
        pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await?;
    }
    Ok(())
}

/// How many have come to their end, and how many wait for money and say so; none where some do neither.
fn stands(now: &World, all: usize) -> Option<(usize, usize)> {
    let titles = now.of(TITLES);
    let count = |wanted: &str| titles.values().filter(|title| reason(&title.object) == wanted).count();
    let (ended, waiting) = (count("WorkerFailed"), count("WaitingForBudget"));
    (ended + waiting == all).then_some((ended, waiting))
}

pub(crate) async fn play(bed: &Bed) -> Result<()> {
    let (all, room) = if std::env::var_os("SHOWRUNNER_LONG").is_some() { LARGE_CROWD } else { CROWD };
    let namespace = "purse";
    bed.namespace(namespace).await?;
    let (key, secret) = &bed.plane.keys;
    let store = Store::new(&bed.plane.store, BUCKET, "us-east-1", key, secret)?;
    store.put(&format!("{namespace}/clip.mp4"), vec![0; 64]).await?;
    let mut settings = kinds()?;
    settings["aiBudget"] = json!({ "selector": "flood=purse", "ledger": { "store": "default", "path": "ledger" } });
    // A core-hour costs so much that a Job's bound is one unit: two cores, and nothing else has a price.
    let jobs =
        json!({ "image": "none", "classes": [{ "name": "cpu" }], "maxInFlight": 5000, "prices": { "cpuCoreHour": "2.857143" } });
    let cap = format!("{}", room + 1);
    let budget = json!({ "apiVersion": "showrunner.dev/v1alpha1", "kind": "AiBudget",
        "metadata": { "name": namespace, "labels": { "flood": namespace } },
        "spec": { "currency": "USD", "limits": { "absolute": { "cap": cap } },
            "scope": { "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } } } } });
    let budgets = Api::<AiBudget>::all(bed.client.clone());
    budgets.create(&PostParams::default(), &serde_json::from_value(budget)?).await?;
    let ground = bed.ground_with(namespace, json!({ "jobs": jobs, "kinds": settings })).await?;
    let off = json!({ "enabled": false });
    let spec = json!({ "source": { "path": "clip.mp4" }, "subtitles": off, "thumbnails": off,
        "execution": { "retries": 0, "maxDuration": format!("{RUN}s") } });
    let create = |number: usize| {
        let (ground, spec) = (&ground, &spec);
        async move { ground.create(&format!("purse-{number:04}"), &Value::Null, spec).await }
    };
    stream::iter(0..all).map(create).buffer_unordered(APPLYING).try_collect::<()>().await?;

    // Pods end as they come, until nobody has room any more; once, the operator is killed meanwhile.
    let pods = Api::<Pod>::namespaced(bed.client.clone(), namespace);
    let (mut ended, mut killed, began) = (BTreeSet::new(), false, Instant::now());
    let (mut moved, mut before) = (Instant::now(), 0);
    let (done, waiting) = loop {
        end_pods(&pods, &mut ended).await?;
        if !killed && ended.len() > room {
            ground.operator.watched().gate().kill();
            killed = true;
        }
        if ended.len() != before {
            (moved, before) = (Instant::now(), ended.len());
        }
        let now = bed.history.now(namespace);
        if let Some(stands) = stands(&now, all).filter(|_| moved.elapsed() > QUIET) {
            break stands;
        }
        ensure!(began.elapsed() < LONGEST, "some neither end nor say that they wait:\n{}", ground.operator.watched().tail());
        tokio::time::sleep(LOOK_EVERY).await;
    };
    ensure!(killed && done > room && waiting > 0, "{done} ended, {waiting} wait");

    let rests = Duration::from_mins(1);
    let status = || async { anyhow::Ok(budgets.get_status(namespace).await?.status.context("the budget says nothing")?) };
    let (settled, began) = (status().await?, Instant::now());
    let mut settled = settled;
    while settled.reserved.as_deref() != Some("0")
        || settled.waiting.as_ref().map(|waiting| waiting.count) != i32::try_from(waiting).ok()
    {
        ensure!(began.elapsed() < rests, "the budget does not come to rest: {settled:?}");
        tokio::time::sleep(LOOK_EVERY).await;
        settled = status().await?;
    }
    let log = bed.plane.audit_log();
    let told = run(Command::new(root().join("e2e/recompute")).arg(&log).args([namespace, &cap]))?;
    let told: Value = serde_json::from_slice(&told.stdout)?;
    let (units, part) =
        settled.spent.as_deref().unwrap_or("0").split_once('.').unwrap_or((settled.spent.as_deref().unwrap_or("0"), ""));
    let spent: u64 = units.parse::<u64>()? * 1_000_000 + format!("{part:0<6}").parse::<u64>()?;
    println!(
        "purse: {all} titles, a cap of {cap}: {done} ran, {waiting} wait; {spent} millionths by the budget, by the audit log {told}"
    );
    ensure!(told["beyond"] == false, "more was let in than the cap has room for: {told}");
    ensure!(told["spent"] == spent, "the budget says {spent}, the audit log {told}");
    ensure!(told["run"].as_u64() == u64::try_from(done).ok(), "{told}");
    let bound = (RUN + GRACE) * 2 * 2_857_143 / 3600;
    ensure!((999_000..=1_001_000).contains(&bound), "a bound is about one unit, not {bound}");
    ground.operator.end().await
}
