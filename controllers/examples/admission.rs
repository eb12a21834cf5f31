//! How long admissions take, with the ledger in a store or in ConfigMaps: a tool of `bench/suites/budget.py`.
//!
//! I/O: writes pages to the store that the environment names (`S3_ENDPOINT`, `S3_BUCKET`, `S3_REGION`, keys in the folder of
//! `S3_KEYS`), or to the namespace `LEDGER_NAMESPACE` of `KUBECONFIG`; prints one JSON document.
//!
//! usage: admission store|objects LIVE RATE SECONDS BURST

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::json;
use showrunner_controllers::ai_budget::known::World;
use showrunner_controllers::ai_budget::ledger::Ledger;
use showrunner_controllers::ai_budget::ledger::pages::{ObjectPages, Pages, StorePages};
use showrunner_controllers::ai_budget::validate::Terms;
use showrunner_crds::AiBudget;
use showrunner_kit::admission::{Admission as _, Reservation, Settlement, Verdict, Work};
use showrunner_kit::cache::Cache;
use showrunner_kit::clock::Clock;
use showrunner_kit::lease::{Leadership, LeaseParams};
use showrunner_kit::metrics::Metrics;
use showrunner_kit::object::ObjectKey;
use showrunner_kit::store::{Profile, Stores};
use showrunner_kit::write::Writer;

/// Namespaces that jobs come from.
const NAMESPACES: u32 = 20;
/// Admissions, one after the other, each on a page of its own.
const ALONE: u32 = 200;

fn work(number: u32) -> Work {
    let namespace = format!("ns-{}", number % NAMESPACES);
    Work {
        job: ObjectKey::new(namespace.clone(), format!("sr-{number:024}")),
        owner: ObjectKey::new(namespace, format!("title-{number}")),
        owner_kind: "TitleEnrichment".into(),
        owner_uid: format!("{number:036}"),
        class: "cpu".into(),
    }
}

async fn admit(ledger: &Ledger, number: u32) -> Result<Duration> {
    let began = Instant::now();
    let since = jiff::Timestamp::from_second(i64::from(number))?;
    let reservation = Reservation { work: work(number), estimate: "0.190400".parse()?, since, unpriced: None };
    let verdict = ledger.reserve(&reservation).await?;
    anyhow::ensure!(verdict == Verdict::Admit, "{verdict:?}");
    Ok(began.elapsed())
}

async fn settle(ledger: &Ledger, number: u32) -> Result<()> {
    let parts = vec![("whisper-base".to_owned(), 600), ("shots".to_owned(), 400)];
    Ok(ledger.settle(&Settlement { work: work(number), spent: "0.000317".parse()?, bound: false, parts }).await?)
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted.get(((sorted.len() - 1) as f64 * part).round() as usize).copied().unwrap_or_default()
}

async fn pages(kind: &str, clock: Clock) -> Result<Arc<dyn Pages>> {
    let metrics = Arc::new(Metrics::new());
    let run = format!("bench-{}", std::process::id());
    if kind == "objects" {
        let (client, _) = showrunner_kit::kube_client::connect(Arc::clone(&metrics)).await?;
        let leadership = Leadership::without_election(LeaseParams::default(), clock);
        let namespace = std::env::var("LEDGER_NAMESPACE").context("LEDGER_NAMESPACE is not set")?;
        return Ok(Arc::new(ObjectPages::new(Writer::new(client, leadership, metrics), namespace)));
    }
    let from = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
    let profile: Profile = serde_json::from_value(json!({
        "name": "bench", "endpoint": from("S3_ENDPOINT")?, "bucket": from("S3_BUCKET")?, "region": from("S3_REGION")?,
        "credentials": from("S3_KEYS")?, "requestsPerSecond": 1000,
    }))?;
    let store = Stores::new(vec![profile], &metrics, clock)?.get("bench")?;
    let folder = store.locate("bench", &run)?;
    Ok(Arc::new(StorePages::new(store, folder)))
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, numbers @ ..] = arguments.as_slice() else {
        anyhow::bail!("usage: admission store|objects LIVE RATE SECONDS BURST")
    };
    let numbers: Vec<u32> = numbers.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let [live, rate, seconds, burst] = numbers[..] else { anyhow::bail!("four numbers: LIVE RATE SECONDS BURST") };
    let clock = Clock::start();
    let budget: AiBudget = serde_json::from_value(json!({
        "apiVersion": "showrunner.dev/v1alpha1", "kind": "AiBudget", "metadata": { "name": "all" },
        "spec": { "currency": "USD", "limits": { "absolute": { "cap": "1000000" } } },
    }))?;
    let named =
        |number| -> Result<Namespace> { Ok(serde_json::from_value(json!({ "metadata": { "name": format!("ns-{number}") } }))?) };
    let namespaces = (0..NAMESPACES).map(named).collect::<Result<Vec<_>>>()?;
    let terms = Terms { currency: "USD".into(), ..Terms::default() };
    let world = World { namespaces: Cache::holding(namespaces), terms, unbudgeted: None };
    let ledger = Arc::new(Ledger::new("bench", clock));
    ledger.connect((pages(kind, clock).await?, kind.clone()), Cache::holding([budget]), world, Arc::new(|_| {}));
    for chunk in (0..live).collect::<Vec<_>>().chunks(256) {
        join_all(chunk.iter().map(|number| admit(&ledger, *number))).await.into_iter().collect::<Result<Vec<_>>>()?;
    }

    // Open loop: the next one comes when it is due, however long the last one takes.
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut asked = Vec::new();
    for number in 0..rate * seconds {
        ticks.tick().await;
        let ledger = Arc::clone(&ledger);
        asked.push(tokio::spawn(async move {
            let took = admit(&ledger, live + number).await?;
            settle(&ledger, live + number).await?;
            Ok::<_, anyhow::Error>(took)
        }));
    }
    let mut took = Vec::new();
    for ask in asked {
        took.push(ask.await??.as_secs_f64() * 1000.0);
    }
    took.sort_by(f64::total_cmp);

    let first = live + rate * seconds;
    let before = ledger.seen().head.sequence;
    let began = Instant::now();
    let all = join_all((first..first + burst).map(|number| admit(&ledger, number))).await;
    all.into_iter().collect::<Result<Vec<_>>>()?;
    let together = began.elapsed().as_secs_f64();
    let shared = ledger.seen().head.sequence - before;
    let began = Instant::now();
    for number in first + burst..first + burst + ALONE {
        admit(&ledger, number).await?;
    }
    let alone = began.elapsed().as_secs_f64() / f64::from(ALONE);
    println!(
        "{}",
        json!({
            "p50_ms": quantile(&took, 0.5), "p99_ms": quantile(&took, 0.99), "max_ms": took.last(),
            "burst_s": together, "burst_pages": shared, "alone_s": alone * f64::from(burst),
        })
    );
    Ok(())
}
