//! Puts everything together, runs it, and takes it down in order: intake, reconciles, lease, watches, listeners, traces.
//!
//! Talks to the API server through the kit, listens on its ports, ends the process when the lease is lost.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use showrunner_controllers::ai_budget::Shared;
use showrunner_controllers::ai_budget::leases::Leases;
use showrunner_controllers::ai_budget::ledger::Ledger;
use showrunner_controllers::ai_budget::shown::BudgetPages;
use showrunner_kit::admin::guard::Guard;
use showrunner_kit::admin::secure::Secure;
use showrunner_kit::admin::{Admin, AdminPorts, Guarded};
use showrunner_kit::admission::Admission;
use showrunner_kit::clock::Clock;
use showrunner_kit::controller::Wiring;
use showrunner_kit::controller::wiring::{Started, WiringConfig};
use showrunner_kit::crd_check::CrdCheck;
use showrunner_kit::lease::Leadership;
use showrunner_kit::lease::keeper::{End, Keeper, KeeperConfig};
use showrunner_kit::metrics::Metrics;
use showrunner_kit::names::LEASE_NAME;
use showrunner_kit::notify::{Count, Outbox};
use showrunner_kit::store::Stores;
use showrunner_kit::telemetry::LogLevel;
use showrunner_kit::traces::export::Traces;
use showrunner_kit::{kube_client, shutdown};
use tokio_util::sync::CancellationToken;

use super::config::{Config, Listen};
use super::registry;

/// How the run ended.
pub(crate) enum Ended {
    /// As asked.
    Stopped,
    /// The lease was lost: the process must end at once.
    LeaseLost,
}

/// Who this process is.
pub(crate) struct Identity {
    /// Pod name, or something else that people recognise.
    pub(crate) name: String,
    /// Namespace of the Lease; the client's own where it is not given.
    pub(crate) namespace: Option<String>,
    /// Its address, where it is known.
    pub(crate) ip: Option<IpAddr>,
}

/// What this process tells of itself.
pub(crate) struct Telemetry {
    /// Changes what is logged.
    pub(crate) log_level: LogLevel,
    /// Every metric.
    pub(crate) metrics: Arc<Metrics>,
    /// Traces, where they are configured.
    pub(crate) traces: Option<Traces>,
}

/// Time to send the last traces, after everything else has ended.
const FLUSH: Duration = Duration::from_secs(2);

/// Runs until a signal, or until the lease is lost.
pub(crate) async fn run(config: Config, identity: Identity, telemetry: Telemetry) -> anyhow::Result<Ended> {
    let Telemetry { log_level, metrics, traces } = telemetry;
    let stop = CancellationToken::new();
    shutdown::on_signals(&stop).context("failed to listen to signals")?;
    let clock = Clock::start();
    let (client, default_namespace) = kube_client::connect(Arc::clone(&metrics)).await?;
    let params = config.election.params();
    let leadership =
        if config.election.enabled { Leadership::new(params, clock) } else { Leadership::without_election(params, clock) };
    // Unique to this process: a container that restarts in the same pod must not pass for its predecessor.
    let seed = seed(clock);
    let instance = format!("{}-{seed:016x}", identity.name);
    let namespace = identity.namespace.unwrap_or(default_namespace);

    let stores = Stores::new(config.stores.clone(), &metrics, clock)?;
    let wiring_config = WiringConfig {
        namespaces: config.namespaces.clone(),
        queue: config.queue.queue(seed),
        writes_per_second: config.queue.writes_per_second,
        jobs: config.jobs.clone(),
        instance: instance.clone(),
    };
    let ledger = Arc::new(Ledger::new(&instance, clock));
    let admission: Arc<dyn Admission> = ledger.clone();
    let mut wiring =
        Wiring::new(client.clone(), wiring_config, &leadership, Arc::new(stores), admission, Arc::clone(&metrics), clock);
    let counting = Arc::clone(&metrics);
    let count: Count = Arc::new(move |channel, outcome| counting.notified(channel, outcome));
    let outbox = Arc::new(Outbox::new(&config.notify, &identity.name, clock, count)?);
    let budgets = Arc::new(BudgetPages::new(Arc::clone(&ledger), namespace.clone(), clock));
    let shared = Shared { ledger: Arc::clone(&ledger), outbox: Arc::clone(&outbox), home: namespace.clone() };
    registry::register_all(&mut wiring, &config.kinds, &shared)?;

    // Watches and listeners outlive the controllers, so that a drain can be watched.
    let close = CancellationToken::new();
    let crds = CrdCheck::new(showrunner_crds::all());
    let asking = tokio::spawn(crds.clone().run(client.clone(), close.clone()));
    let (telling, closing) = (outbox, close.clone());
    let telling = tokio::spawn(async move { telling.run(closing).await });
    let started = wiring.start(&close);
    // Only for whoever the API server lets in, and only where it is configured.
    let guarded = config.debug.tls.filter(|_| config.debug.listen == Listen::Cluster).map(|tls| Guarded {
        port: config.ports.guarded,
        tls,
        guard: Guard::new(client.clone(), config.debug.role, Arc::clone(&metrics), clock),
        clock,
    });
    let admin = admin(&started, &crds, &leadership, clock, Arc::clone(&metrics), log_level);
    let serving = Admin { budgets: Some(budgets), ..admin }
        .serve(AdminPorts { public: config.ports.admin, debug: config.ports.debug }, guarded, close.clone())
        .await?;
    let address = config.leases.as_ref().zip(identity.ip).map(|(leases, ip)| leases.address(ip, config.ports.leases));
    let leasing = match config.leases {
        None => None,
        Some(settings) => {
            let (prices, metrics) = (settings.prices()?, Arc::clone(&metrics));
            let router = Leases::new(ledger, prices, client.clone(), leadership.clone(), metrics, clock).router();
            let secure = Secure { name: "leases", port: config.ports.leases, tls: settings.tls, clock, router };
            Some(secure.open(close.clone()).await?)
        }
    };
    tracing::info!(instance, namespace, namespaces = ?config.namespaces, "started");

    let election = KeeperConfig { namespace, name: LEASE_NAME, identity: instance, params, address };
    let keeper = config.election.enabled.then(|| Keeper::new(client, election, leadership, clock, metrics));
    let well = tokio::select! {
        () = crds.all_served() => true,
        () = stop.cancelled() => false,
    };
    let (started, ended) = if well {
        lead(keeper, started, &stop, Duration::from_secs(config.drain_seconds)).await
    } else {
        (started, Ended::Stopped)
    };
    if matches!(ended, Ended::LeaseLost) {
        return Ok(ended);
    }
    close.cancel();
    started.join().await;
    serving.join().await;
    if let Some(leasing) = leasing {
        leasing.join().await;
    }
    // An error is a panic there, which has been logged.
    let _ = asking.await;
    let _ = telling.await;
    tracing::info!("stopped");
    if let Some(traces) = traces {
        traces.shutdown(FLUSH).await;
    }
    Ok(ended)
}

/// Waits to lead, reconciles while it does, and gives the lease back after the last write.
async fn lead(keeper: Option<Keeper>, mut started: Started, stop: &CancellationToken, grace: Duration) -> (Started, Ended) {
    let Some(mut keeper) = keeper else {
        started.control(stop, grace).await;
        return (started, Ended::Stopped);
    };
    if !keeper.acquire(stop).await {
        return (started, Ended::Stopped);
    }
    let release = CancellationToken::new();
    let keeping = keeper.keep(&release);
    tokio::pin!(keeping);
    tokio::select! {
        _ = started.control(stop, grace) => {}
        End::Lost | End::Released = &mut keeping => return (started, Ended::LeaseLost),
    }
    release.cancel();
    let ended = match keeping.await {
        End::Released => Ended::Stopped,
        End::Lost => Ended::LeaseLost,
    };
    (started, ended)
}

fn admin(
    started: &Started,
    crds: &CrdCheck,
    leadership: &Leadership,
    clock: Clock,
    metrics: Arc<Metrics>,
    log_level: LogLevel,
) -> Admin {
    let (ready, definitions) = (started.view(), crds.clone());
    let pending = move || {
        let caches = ready.pending().into_iter().map(|kind| format!("cache of {kind} is not synced"));
        definitions.pending().into_iter().chain(caches).collect()
    };
    let (view, definitions, leadership) = (started.view(), crds.clone(), leadership.clone());
    let debug = move || {
        let mut state = view.debug();
        state["leading"] = json!(leadership.leads_at(clock.mono()));
        state["definitionsPending"] = json!(definitions.pending());
        state
    };
    let view = started.view();
    Admin {
        metrics,
        pending: Arc::new(pending),
        away: Arc::new(move || view.away()),
        debug: Arc::new(debug),
        log_level,
        budgets: None,
    }
}

/// A number that differs between processes: seeds the jitter and ends the identity.
pub(crate) fn seed(clock: Clock) -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_i128(clock.now().as_nanosecond());
    hasher.finish()
}
