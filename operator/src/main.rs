//! The Showrunner operator: reads its flags and its configuration, and runs.
//!
//! Reads the configuration file; everything else is [`run`]'s.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))] // a test that meets an error should end right there

mod config;
mod registry;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use showrunner_kit::{shutdown, telemetry};

use self::run::{Ended, Identity};

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
}

pub(crate) fn main() -> ExitCode {
    let flags = Flags::parse();
    match start(flags) {
        Ok(Ended::Stopped) => ExitCode::SUCCESS,
        // Straight out: whatever this process still has on its way must not wait for a tidy end.
        Ok(Ended::LeaseLost) => std::process::exit(shutdown::EXIT_LEASE_LOST),
        Err(error) => {
            eprintln!("showrunner-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(flags: Flags) -> anyhow::Result<Ended> {
    let config = config::Config::read(&flags.config)?;
    if flags.check_config {
        println!("{} is good", flags.config.display());
        return Ok(Ended::Stopped);
    }
    let log_level = telemetry::init(flags.log_level.as_deref().unwrap_or(&config.log.level), config.log.format)?;
    let identity = Identity { name: flags.pod_name, namespace: flags.pod_namespace };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run::run(config, identity, log_level))
}
