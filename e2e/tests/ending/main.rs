//! How an installation on a real cluster changes its version and ends. On a cluster of its own, beside that of `--test cluster`:
//! each of these takes the installation down for a while.
//!
//! Runs only with `SHOWRUNNER_E2E=1`, which `make e2e-test` sets; see `--test cluster` for more.

mod age;
mod ending;

use showrunner_e2e::suite::{self, Trials};

fn main() -> std::process::ExitCode {
    suite::run("ending", |suite| Trials {
        peaceful: Vec::new(),
        // How it ends comes after the upgrade: what is uninstalled then was an older version once.
        disturbing: [age::tests, ending::tests].into_iter().flat_map(|tests| tests(suite)).collect(),
    })
}
