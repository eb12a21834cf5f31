//! What a container's process does before it becomes the container's program: it ties its life to the node's.
//!
//! Changes its own process and executes; prints to standard error only when that fails. Being a program of its own, it
//! needs no code between fork and exec, and so no `unsafe`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::{prctl, resource, signal::Signal};
use nix::unistd::{self, Gid, Pid, Uid};
use serde::{Deserialize, Serialize};

/// First argument of this binary when it is to be a launcher; the second are [`Orders`].
pub(crate) const SUBCOMMAND: &str = "launch";
/// Exit code of a launcher that failed, as a container runtime's that could not start a program.
pub(crate) const EXIT_NOT_STARTED: i32 = 128;

/// What the launcher is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// The node's process; when it is gone already, nothing is started.
    pub(crate) node: i32,
    /// User and group to become; for root only.
    pub(crate) user: Option<(u32, u32)>,
    pub(crate) directory: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
}

/// To be called first in `main`. Returns when this process is no launcher; else never.
pub(crate) fn run_if_asked() {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == SUBCOMMAND) {
        eprintln!("failed to start the container's program: {}", launch(args.next()));
        std::process::exit(EXIT_NOT_STARTED);
    }
}

/// Comes back only with what went wrong.
fn launch(orders: Option<OsString>) -> String {
    let text = orders.and_then(|orders| orders.into_string().ok()).unwrap_or_default();
    let orders: Orders = match serde_json::from_str(&text) {
        Ok(orders) => orders,
        Err(error) => return format!("bad orders: {error}"),
    };
    match prepare(&orders) {
        Ok(()) => Command::new(&orders.program).arg0(&orders.name).args(&orders.arguments).exec().to_string(),
        Err(error) => error,
    }
}

fn prepare(orders: &Orders) -> Result<(), String> {
    // A session of its own, so that its processes can be told from others' and get no signal of a terminal.
    unistd::setsid().map_err(|error| format!("setsid: {error}"))?;
    if let Some((user, group)) = orders.user {
        unistd::setgroups(&[]).map_err(|error| format!("setgroups: {error}"))?;
        unistd::setgid(Gid::from_raw(group)).map_err(|error| format!("setgid: {error}"))?;
        unistd::setuid(Uid::from_raw(user)).map_err(|error| format!("setuid: {error}"))?;
    }
    // After the change of user, which clears it. A parent that died before this is seen by the comparison after it.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("prctl: {error}"))?;
    if unistd::getppid() != Pid::from_raw(orders.node) {
        return Err("the node is gone".to_owned());
    }
    prctl::set_no_new_privs().map_err(|error| format!("prctl: {error}"))?;
    resource::setrlimit(resource::Resource::RLIMIT_CORE, 0, 0).map_err(|error| format!("setrlimit: {error}"))?;
    std::env::set_current_dir(&orders.directory).map_err(|error| format!("{}: {error}", orders.directory.display()))
}
