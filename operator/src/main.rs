//! The Showrunner operator: reads its flags and its configuration, and runs.
//!
//! Reads the configuration file; everything else is [`run`]'s.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))] // a test that meets an error should end right there

mod config;
mod drain;
mod registry;
mod run;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use showrunner_kit::drain::{DrainError, EXIT_LEFT};
use showrunner_kit::metrics::Metrics;
use showrunner_kit::traces::export::Traces;
use showrunner_kit::{privacy, shutdown, telemetry};

use self::run::{Ended, Identity, Telemetry};

/// Runs the AI side of a video platform: watches Showrunner's kinds and brings the cluster towards what they say.
#[derive(Debug, Parser)]
#[command(name = "showrunner-operator", version)]
struct Flags {
    /// Configuration file (YAML).
    #[arg(long, env = "SHOWRUNNER_CONFIG", default_value = "/etc/showrunner/operator.yaml")]
    config: PathBuf,
    /// Check the configuration and end.
    #[arg(long)]
    check_config: bool,
    /// Log level, in place of the configuration's: `info`, or `info,showrunner_kit=debug`.
    #[arg(long, env = "SHOWRUNNER_LOG")]
    log_level: Option<String>,
    /// Name of this replica, in the Lease and in Events.
    #[arg(long, env = "POD_NAME", default_value = "showrunner-operator")]
    pod_name: String,
    /// Namespace of the Lease; that of the kubeconfig or service account where it is not given.
    #[arg(long, env = "POD_NAMESPACE")]
    pod_namespace: Option<String>,
    /// Address of this replica, by which others tell of it while it leads.
    #[arg(long, env = "POD_IP")]
    pod_ip: Option<IpAddr>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What else than to run.
#[derive(Debug, Subcommand)]
enum Command {
    Drain(drain::DrainFlags),
}

pub(crate) fn main() -> ExitCode {
    privacy::keep();
    let flags = Flags::parse();
    match start(flags) {
        Ok(Ended::Stopped) => ExitCode::SUCCESS,
        // Straight out: whatever this process still has on its way must not wait for a tidy end.
        Ok(Ended::LeaseLost) => std::process::exit(shutdown::EXIT_LEASE_LOST),
        Err(error) => {
            eprintln!("showrunner-operator: {error:#}");
            let is_final = |error: &DrainError| matches!(error, DrainError::Left { .. } | DrainError::Led { .. });
            if error.downcast_ref().is_some_and(is_final) { ExitCode::from(EXIT_LEFT) } else { ExitCode::FAILURE }
        }
    }
}

fn start(flags: Flags) -> anyhow::Result<Ended> {
    let identity = Identity { name: flags.pod_name, namespace: flags.pod_namespace, ip: flags.pod_ip };
    if let Some(Command::Drain(drain)) = flags.command {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(drain::drain(drain, identity, flags.log_level.as_deref()))?;
        return Ok(Ended::Stopped);
    }
    let config = config::Config::read(&flags.config)?;
    if flags.check_config {
        println!("{} is good", flags.config.display());
        return Ok(Ended::Stopped);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let metrics = Arc::new(Metrics::new());
    let traces = {
        let _within = runtime.enter();
        let start = |traces| Traces::start(traces, &identity.name, Arc::clone(&metrics));
        config.traces.as_ref().map(start).transpose().context("traces")?
    };
    let filter = flags.log_level.as_deref().unwrap_or(&config.log.level);
    let log_level = telemetry::init(filter, config.log.format, traces.as_ref())?;
    runtime.block_on(run::run(config, identity, Telemetry { log_level, metrics, traces }))
}
