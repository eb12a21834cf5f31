//! The command line. Reads arguments, sets up logs, starts what was asked for.

use crate::{
    enrich,
    farewell::Farewell,
    run::{self, Places},
    sandbox::Policy,
    store::Patience,
};
use clap::{Args, Parser, Subcommand};
use showrunner_contracts::result::exit;
use std::{path::PathBuf, process::ExitCode, time::Duration};
use tracing_subscriber::EnvFilter;

/// Does the media work of Showrunner's jobs.
#[derive(Debug, Parser)]
#[command(name = "showrunner-worker", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Does one work order, as a pod of a Job does. Exits 0 when every step is done, 10 when some step failed, 11 when no
    /// result could be stored.
    Run(RunArguments),
    /// Does all steps on one file and writes what they give into a folder; needs neither a store nor a cluster.
    Enrich(enrich::EnrichArguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// The work order.
    #[arg(long, env = "SHOWRUNNER_WORK_ORDER", default_value = "/etc/showrunner/work-order")]
    order: PathBuf,
    /// Folder with room for the source.
    #[arg(long, env = "SHOWRUNNER_SCRATCH", default_value = "/scratch")]
    scratch: PathBuf,
    /// Where the last words go.
    #[arg(long, env = "SHOWRUNNER_TERMINATION", default_value = "/dev/termination-log")]
    termination: PathBuf,
    /// How long a store may be away, without a byte, before the work is given up.
    #[arg(long, env = "SHOWRUNNER_STORE_PATIENCE_SECONDS", default_value_t = Patience::default().total.as_secs())]
    store_patience_seconds: u64,
    /// Run media tools with limits only where neither Landlock nor another user is to be had. For trusted sources.
    #[arg(long, env = "SHOWRUNNER_ALLOW_UNCONFINED_TOOLS")]
    allow_unconfined_tools: bool,
}

impl Arguments {
    /// Does what was asked for.
    pub fn execute(self) -> ExitCode {
        match self.command {
            Command::Run(arguments) => {
                tracing_subscriber::fmt().json().with_env_filter(filter()).with_writer(std::io::stderr).init();
                let farewell = Farewell::new(&arguments.termination);
                let policy = policy(arguments.allow_unconfined_tools);
                let places = Places { order: arguments.order, scratch: arguments.scratch, launcher: own_binary(), policy };
                let patience = Patience { total: Duration::from_secs(arguments.store_patience_seconds), ..Patience::default() };
                let code = farewell.guard(|| run::run(&places, patience, &farewell));
                ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
            }
            Command::Enrich(arguments) => {
                tracing_subscriber::fmt().with_env_filter(filter()).with_writer(std::io::stderr).without_time().init();
                match enrich::enrich(&arguments, &own_binary()) {
                    Ok(report) => {
                        print!("{report}");
                        ExitCode::from(if report.all_done() { exit::DONE } else { exit::STEPS_FAILED } as u8)
                    }
                    Err(failure) => {
                        eprintln!("{}: {}", failure.reason, failure.message);
                        ExitCode::from(exit::NO_RESULT as u8)
                    }
                }
            }
        }
    }
}

/// Media tools are started through this very program.
fn own_binary() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// How far to go where tools cannot be confined.
pub(crate) const fn policy(allow_unconfined: bool) -> Policy {
    if allow_unconfined { Policy::AllowUnconfined } else { Policy::Strict }
}

fn filter() -> EnvFilter {
    EnvFilter::try_from_env("SHOWRUNNER_LOG").unwrap_or_else(|_| EnvFilter::new("info,hyper=warn,ort=warn"))
}
