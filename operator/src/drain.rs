//! The end of an installation, as the pre-delete hook of the chart runs it: the operators stopped, the lease taken by its
//! rules, everything let go.
//!
//! Talks to the API server through the kit. Needs neither the configuration file nor a store: an installation that never
//! worked must be removable too.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use showrunner_kit::admission::AdmitAll;
use showrunner_kit::clock::Clock;
use showrunner_kit::drain::{Drain, DrainConfig, DrainError, PATIENCE, stop_operators};
use showrunner_kit::events::Events;
use showrunner_kit::lease::keeper::{Keeper, KeeperConfig};
use showrunner_kit::lease::{Leadership, LeaseParams};
use showrunner_kit::metrics::Metrics;
use showrunner_kit::names::LEASE_NAME;
use showrunner_kit::object::ObjectKey;
use showrunner_kit::telemetry::{self, LogFormat};
use showrunner_kit::write::{WRITES_PER_SECOND, Writer};
use showrunner_kit::{kube_client, shutdown};
use tokio_util::sync::CancellationToken;

use super::run::{Identity, seed};

/// Ends an installation: stops the operators and every job, and takes all our finalizers off. Titles stay, and say that
/// they stand still; installing again goes on from what is finished.
#[derive(Debug, Args)]
pub(crate) struct DrainFlags {
    /// Namespaces that were served, separated by commas; all where none is given.
    #[arg(long, value_delimiter = ',')]
    namespaces: Vec<String>,
    /// Deployment of the operators, which is scaled to 0. Without it they must have been stopped before.
    #[arg(long)]
    deployment: Option<String>,
    /// Seconds that all of it may take.
    #[arg(long, default_value_t = 240)]
    timeout_seconds: u64,
}

/// Runs a drain to its end. Errors of [`DrainError`] say what is left and what to do.
pub(crate) async fn drain(flags: DrainFlags, identity: Identity, log_level: Option<&str>) -> anyhow::Result<()> {
    telemetry::init(log_level.unwrap_or("info"), LogFormat::Text, None)?;
    let limit = Duration::from_secs(flags.timeout_seconds);
    ensure!(limit >= Duration::from_secs(1), "failed to drain: --timeout-seconds must be at least 1");
    let stop = CancellationToken::new();
    shutdown::on_signals(&stop).context("failed to listen to signals")?;
    let clock = Clock::start();
    let metrics = Arc::new(Metrics::new());
    let (client, default_namespace) = kube_client::connect(Arc::clone(&metrics)).await?;
    let namespace = identity.namespace.unwrap_or(default_namespace);
    let instance = format!("{}-{:016x}", identity.name, seed(clock));
    let params = LeaseParams::default();
    let leadership = Leadership::new(params, clock);
    let lease = ObjectKey::new(namespace.clone(), LEASE_NAME);
    let election =
        KeeperConfig { namespace: namespace.clone(), name: LEASE_NAME, identity: instance.clone(), params, address: None };
    let mut keeper = Keeper::new(client.clone(), election, leadership.clone(), clock, Arc::clone(&metrics));

    let leading = async {
        if let Some(deployment) = &flags.deployment {
            stop_operators(&client, &namespace, deployment).await;
        }
        tracing::info!(%lease, "waiting for the operators to let go of the lease");
        keeper.acquire(&stop).await
    };
    match tokio::time::timeout(limit, leading).await {
        Ok(true) => {}
        Ok(false) => return Err(DrainError::Interrupted.into()),
        Err(_) => return Err(DrainError::Led { lease, limit }.into()),
    }

    let drain = Drain {
        writer: Writer::new(client.clone(), leadership.clone(), Arc::clone(&metrics)).paced(WRITES_PER_SECOND, clock),
        events: Events::new(client.clone(), leadership, metrics, clock, &instance),
        client,
        admission: Arc::new(AdmitAll),
        clock,
        config: DrainConfig {
            namespaces: flags.namespaces,
            kinds: showrunner_crds::all(),
            patience: PATIENCE.min(limit / 2),
            limit: limit.saturating_sub(clock.mono()),
        },
    };
    // Never given back: an operator that somebody starts again meanwhile waits until the lease has run out, and by then
    // helm has removed it.
    let never = CancellationToken::new();
    tokio::select! {
        result = drain.run() => Ok(result?),
        _ = keeper.keep(&never) => Err(DrainError::LeaseLost.into()),
        () = stop.cancelled() => Err(DrainError::Interrupted.into()),
    }
}
