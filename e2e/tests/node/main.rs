//! The table of behaviours of Job pods, run alike against the kubelet and against the process node.
//!
//! Runs only with `SHOWRUNNER_E2E=1`. Starts a cluster of each kind and ends it; `SHOWRUNNER_E2E_NODE=process` or
//! `=kubelet` runs one of them only: the former needs neither root nor containers.

mod bed;
mod process;
mod table;

use anyhow::Result;
use bed::Bed;
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use std::{future::Future, process::ExitCode, sync::Arc};

/// A behaviour as a trial, named after who shows it.
pub(crate) fn trial<F, R>(bed: &Arc<Bed>, name: &str, test: F) -> Trial
where
    F: FnOnce(Arc<Bed>) -> R + Send + 'static,
    R: Future<Output = Result<()>>,
{
    let bed = Arc::clone(bed);
    Trial::test(format!("{}::{name}", bed.backend), move || {
        let runtime = bed.runtime.handle().clone();
        runtime.block_on(test(bed)).map_err(|error| Failed::from(format!("{error:#}")))
    })
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Most of the time each of them waits.
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(8));
    if std::env::var_os("SHOWRUNNER_E2E").is_none() {
        println!("the tests on a real cluster are run by `make e2e-test`");
        return ExitCode::SUCCESS;
    }
    if arguments.list {
        return ExitCode::SUCCESS;
    }
    let only = std::env::var("SHOWRUNNER_E2E_NODE").ok();
    let mut failed = false;
    for backend in ["process", "kubelet"].into_iter().filter(|backend| only.as_deref().is_none_or(|only| only == *backend)) {
        match Bed::start(backend) {
            Ok(bed) => failed |= run(&Arc::new(bed), &arguments).has_failed(),
            Err(error) => {
                eprintln!("failed to start the cluster of the {backend}: {error:#}");
                failed = true;
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// First what shares the node peacefully, then one by one what stops it.
fn run(bed: &Arc<Bed>, arguments: &Arguments) -> Conclusion {
    let mut trials = table::peaceful(bed);
    if bed.backend == "process" {
        trials.extend(process::peaceful(bed));
    }
    let mut conclusion = libtest_mimic::run(arguments, trials);
    let mut disturbing = table::disturbing(bed);
    if bed.backend == "process" {
        disturbing.extend(process::disturbing(bed));
    }
    let one_by_one = Arguments { test_threads: Some(1), ..arguments.clone() };
    let second = libtest_mimic::run(&one_by_one, disturbing);
    conclusion.num_failed += second.num_failed;
    conclusion.num_passed += second.num_passed;
    conclusion
}
