//! Every test that needs a real cluster. One cluster and one installation a run, one namespace a test.
//!
//! Runs only with `SHOWRUNNER_E2E=1`, which `make e2e-test` sets. `SHOWRUNNER_E2E_KEEP=1` uses the cluster that `make cluster` left up and leaves it up.
//! `SHOWRUNNER_E2E_CLUSTER` names another cluster than the usual one.

mod access;
mod age;
mod api;
mod debug;
mod ending;
mod inputs;
mod operations;
mod policy;
mod reach;
mod secrets;
mod titles;

use anyhow::{Context as _, Result};
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use showrunner_e2e::{cluster::Cluster, install, store::Store, titles::Namespaced};
use std::{future::Future, sync::Arc};

/// What every test is given.
pub(crate) struct Suite {
    pub(crate) cluster: Cluster,
    pub(crate) client: kube::Client,
    pub(crate) store: Store,
    runtime: tokio::runtime::Runtime,
}

impl Suite {
    fn start() -> Result<Self> {
        let keep = std::env::var_os("SHOWRUNNER_E2E_KEEP").is_some();
        let usual = if keep { "showrunner" } else { "showrunner-e2e" };
        let name = std::env::var("SHOWRUNNER_E2E_CLUSTER").unwrap_or_else(|_| usual.to_owned());
        let cluster = Cluster::start(&name, keep)?;
        install::install(&cluster)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let client = runtime.block_on(cluster.client())?;
        let store = Store::of(&cluster)?;
        Ok(Self { cluster, client, store, runtime })
    }

    /// A namespace for a test.
    pub(crate) async fn namespace(&self, test: &str) -> Result<Namespaced> {
        Namespaced::make(self.client.clone(), test).await.context("failed to make the test's namespace")
    }
}

/// A test as an ordinary trial.
pub(crate) fn trial<F, R>(suite: &Arc<Suite>, name: &'static str, test: F) -> Trial
where
    F: FnOnce(Arc<Suite>) -> R + Send + 'static,
    R: Future<Output = Result<()>>,
{
    let suite = Arc::clone(suite);
    Trial::test(name, move || {
        let runtime = suite.runtime.handle().clone();
        runtime.block_on(test(suite)).map_err(|error| Failed::from(format!("{error:#}")))
    })
}

fn main() -> std::process::ExitCode {
    let mut arguments = Arguments::from_args();
    // Two cores: tests that run media jobs side by side would only wait for each other.
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(2));
    if std::env::var_os("SHOWRUNNER_E2E").is_none() {
        println!("the tests on a real cluster are run by `make e2e-test`");
        return std::process::ExitCode::SUCCESS;
    }
    if arguments.list {
        return std::process::ExitCode::SUCCESS;
    }
    let suite = match Suite::start() {
        Ok(suite) => Arc::new(suite),
        Err(error) => {
            eprintln!("failed to start the suite: {error:#}");
            return std::process::ExitCode::FAILURE;
        }
    };
    let conclusion = run(&suite, &arguments);
    if conclusion.has_failed() {
        install::show(&suite.cluster);
    }
    // Ends the cluster.
    drop(suite);
    conclusion.exit_code()
}

/// First everything that shares the installation peacefully, then one by one what disturbs it.
fn run(suite: &Arc<Suite>, arguments: &Arguments) -> Conclusion {
    let peaceful = [
        api::tests(suite),
        policy::tests(suite),
        access::tests(suite),
        reach::tests(suite),
        inputs::tests(suite),
        titles::tests(suite),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut conclusion = libtest_mimic::run(arguments, peaceful);
    let one_by_one = Arguments { test_threads: Some(1), ..arguments.clone() };
    // How it ends comes after the upgrade: what is uninstalled then was an older version once.
    let disturbing = [
        policy::disturbing(suite),
        operations::tests(suite),
        debug::tests(suite),
        secrets::tests(suite),
        age::tests(suite),
        ending::tests(suite),
    ]
    .into_iter()
    .flatten()
    .collect();
    let disturbing = libtest_mimic::run(&one_by_one, disturbing);
    conclusion.num_filtered_out += disturbing.num_filtered_out;
    conclusion.num_passed += disturbing.num_passed;
    conclusion.num_failed += disturbing.num_failed;
    conclusion.num_ignored += disturbing.num_ignored;
    conclusion
}
