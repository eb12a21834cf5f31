//! Tests on a real cluster: one cluster and one installation a suite, one namespace a test.
//!
//! I/O: starts and ends the cluster, installs the chart, prints what one would look at first after a failure.

use crate::{cluster::Cluster, install, store::Store, titles::Namespaced};
use anyhow::{Context as _, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use std::{
    future::Future,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// What every test is given.
pub struct Suite {
    /// The cluster, with Showrunner on it.
    pub cluster: Cluster,
    /// The administrator's client.
    pub client: kube::Client,
    /// The cluster's store.
    pub store: Store,
    runtime: tokio::runtime::Runtime,
    /// What failed, and why: told once more at the very end, where one looks first.
    failures: Mutex<Vec<String>>,
}

/// What a suite runs.
pub struct Trials {
    /// First, what shares the installation peacefully: two at a time. Two cores: tests that run media jobs side by side
    /// would only wait for each other.
    pub peaceful: Vec<Trial>,
    /// Then, one by one, what disturbs it.
    pub disturbing: Vec<Trial>,
}

impl Suite {
    /// On the cluster that `make cluster` left up, where that is to be kept; else on one named after the suite.
    fn start(suite: &str) -> Result<Self> {
        let keep = std::env::var_os("SHOWRUNNER_E2E_KEEP").is_some();
        let base = std::env::var("SHOWRUNNER_E2E_CLUSTER").unwrap_or_else(|_| "showrunner".to_owned());
        let name = if keep { base } else { format!("{base}-{suite}") };
        let cluster = Cluster::start(&name, keep)?;
        install::install(&cluster)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let client = runtime.block_on(cluster.client())?;
        let store = Store::of(&cluster)?;
        Ok(Self { cluster, client, store, runtime, failures: Mutex::default() })
    }

    /// A namespace for a test.
    pub async fn namespace(&self, test: &str) -> Result<Namespaced> {
        Namespaced::make(self.client.clone(), test).await.context("failed to make the test's namespace")
    }
}

/// A test as an ordinary trial, which says how long it took.
pub fn trial<F, R>(suite: &Arc<Suite>, name: &'static str, test: F) -> Trial
where
    F: FnOnce(Arc<Suite>) -> R + Send + 'static,
    R: Future<Output = Result<()>>,
{
    let suite = Arc::clone(suite);
    Trial::test(name, move || {
        let (runtime, began) = (suite.runtime.handle().clone(), Instant::now());
        let ended = runtime.block_on(test(Arc::clone(&suite)));
        println!("{name}: {} s", began.elapsed().as_secs());
        ended.map_err(|error| {
            let told = format!("{error:#}");
            suite.failures.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{name}: {told}"));
            Failed::from(told)
        })
    })
}

/// Runs a suite with the process's own arguments.
pub fn run(suite: &str, trials: impl FnOnce(&Arc<Suite>) -> Trials) -> ExitCode {
    let mut arguments = Arguments::from_args();
    if std::env::var_os("SHOWRUNNER_E2E").is_none() {
        println!("the tests on a real cluster are run by `make e2e-test`");
        return ExitCode::SUCCESS;
    }
    if arguments.list {
        return ExitCode::SUCCESS;
    }
    let suite = match Suite::start(suite) {
        Ok(suite) => Arc::new(suite),
        Err(error) => {
            eprintln!("failed to start the suite: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let Trials { peaceful, disturbing } = trials(&suite);
    let mut failed = false;
    for (threads, trials) in [(arguments.test_threads.unwrap_or(2), peaceful), (1, disturbing)] {
        if !trials.is_empty() {
            arguments.test_threads = Some(threads);
            failed |= libtest_mimic::run(&arguments, trials).has_failed();
        }
    }
    if failed {
        install::show(&suite.cluster);
    }
    let failures = std::mem::take(&mut *suite.failures.lock().unwrap_or_else(PoisonError::into_inner));
    // Ends the cluster.
    drop(suite);
    for failure in failures {
        eprintln!("FAILED: {failure}");
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
