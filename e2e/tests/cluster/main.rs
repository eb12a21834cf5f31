//! What one installation on a real cluster does: it is asked, attacked, given titles good and bad, and disturbed.
//!
//! Runs only with `SHOWRUNNER_E2E=1`, which `make e2e-test` sets. `SHOWRUNNER_E2E_KEEP=1` uses the cluster that `make cluster`
//! left up and leaves it up. `SHOWRUNNER_E2E_CLUSTER` is what the cluster's name begins with, or with KEEP is.

mod access;
mod api;
mod budget;
mod catalogue;
mod debug;
mod inputs;
mod leases;
mod operations;
mod policy;
mod reach;
mod report;
mod review;
mod secrets;
mod spot;
mod titles;

use showrunner_e2e::suite::{self, Trials};

fn main() -> std::process::ExitCode {
    suite::run("e2e", |suite| Trials {
        peaceful: [
            api::tests,
            policy::tests,
            access::tests,
            reach::tests,
            inputs::tests,
            titles::tests,
            review::tests,
            catalogue::tests,
            budget::tests,
            spot::tests,
        ]
        .into_iter()
        .flat_map(|tests| tests(suite))
        .collect(),
        disturbing: [policy::disturbing, operations::tests, debug::tests, leases::tests, report::tests, secrets::tests]
            .into_iter()
            .flat_map(|tests| tests(suite))
            .collect(),
    })
}
