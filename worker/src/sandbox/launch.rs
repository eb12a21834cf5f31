//! The launcher: takes every right away from itself, then becomes the tool.
//! Changes its own process (limits, Landlock, descriptors) and executes; prints to standard error only when that fails.

use super::{Confinement, Limits, filter};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use nix::{
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::Signal,
    },
    unistd::{self, Gid, Uid},
};
use serde::{Deserialize, Serialize};
use std::{
    convert::Infallible,
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// First argument of the worker's binary when it is to be a launcher.
pub const SUBCOMMAND: &str = "sandboxed-exec";
/// Exit code of a launcher that could not confine itself. With [`COMPLAINT`] on standard error, so that no tool's own code is mistaken for it.
pub(super) const EXIT_NOT_CONFINED: i32 = 125;
/// How a launcher's last words begin.
pub(super) const COMPLAINT: &str = "sandboxed-exec: ";

/// Nobody, on every Linux distribution.
const OTHER_USER: u32 = 65_534;
/// Largest descriptor number a tool may have open at once.
const MAX_DESCRIPTORS: u64 = 64;
/// Between the signal that says "processor time is up" and the kill.
const CPU_GRACE_SECONDS: u64 = 5;
/// Threads count as processes; decoders use two dozen. Counted by the kernel over all of a user's processes on the node.
const MAX_PROCESSES: u64 = 4_096;
/// What a dynamic linker looks at before the program starts, and what `FFmpeg` opens by itself.
const READABLE: [&str; 3] = ["/etc/ld.so.cache", "/dev/urandom", "/dev/null"];
/// The C library's parts, which a tool may be linked with.
const SHARED_OBJECTS: [&str; 9] = [
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libm.so.6",
    "libmvec.so.1",
    "libdl.so.2",
    "librt.so.1",
    "libpthread.so.0",
    "libgcc_s.so.1",
    "libstdc++.so.6",
];
/// Where distributions keep them.
const LIBRARY_FOLDERS: [&str; 4] = ["/lib64", "/usr/lib64", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"];

/// What the worker tells its launcher, as JSON in the second argument.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    pub(super) program: PathBuf,
    pub(super) confinement: Confinement,
    pub(super) limits: Limits,
    /// Descriptors from this number on are closed.
    pub(super) descriptors: i32,
    /// The worker's process id: a tool whose worker has ended meanwhile is not started.
    pub(super) parent: i32,
}

/// To be called first in `main`, before any thread is started. Returns when this process is not a launcher; else never.
pub fn run_if_asked() {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_none_or(|first| first != SUBCOMMAND) {
        return;
    }
    let error = match launch(args) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    eprintln!("{COMPLAINT}{error}");
    std::process::exit(EXIT_NOT_CONFINED);
}

fn launch(mut args: impl Iterator<Item = OsString>) -> Result<Infallible, String> {
    let orders = args.next().and_then(|orders| orders.into_string().ok()).ok_or("no orders given")?;
    let orders: Orders = serde_json::from_str(&orders).map_err(|error| format!("failed to read orders: {error}"))?;
    prctl::set_no_new_privs().map_err(|error| format!("failed to renounce new privileges: {error}"))?;
    close_from(orders.descriptors)?;
    limit(&orders.limits)?;
    match orders.confinement {
        Confinement::Landlock(_) => confine(&orders.program)?,
        Confinement::OtherUser => become_other_user()?,
        Confinement::LimitsOnly => {}
    }
    // After that: the kernel forgets it when a process becomes another user.
    tie_to(orders.parent)?;
    filter::install()?;
    let error = Command::new(&orders.program).args(args).env_clear().exec();
    // `exec` comes back only with an error.
    Err(format!("failed to execute {}: {error}", orders.program.display()))
}

/// Ends this process, and what it becomes, with the very thread that started us, which is the one that reads our output. Who
/// has ended before sends nothing any more: by then somebody else is our parent.
fn tie_to(parent: i32) -> Result<(), String> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("failed to tie the tool's life to the worker's: {error}"))?;
    if unistd::getppid().as_raw() == parent { Ok(()) } else { Err("the worker has ended".to_owned()) }
}

/// No group of root's is kept, and there is no way back.
fn become_other_user() -> Result<(), String> {
    unistd::setgroups(&[])
        .and_then(|()| unistd::setgid(Gid::from_raw(OTHER_USER)))
        .and_then(|()| unistd::setuid(Uid::from_raw(OTHER_USER)))
        .map_err(|error| format!("failed to become another user: {error}"))
}

/// Closes what the worker's own parents may have left open; the worker's own descriptors close at exec by themselves.
fn close_from(first: i32) -> Result<(), String> {
    let open = std::fs::read_dir("/proc/self/fd").map_err(|error| format!("failed to list open descriptors: {error}"))?;
    let numbers: Vec<i32> = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number >= first) {
        // The listing's own descriptor is among them and closed already.
        let _ = unistd::close(number);
    }
    Ok(())
}

fn limit(limits: &Limits) -> Result<(), String> {
    for (resource, value) in [
        (Resource::RLIMIT_CPU, limits.cpu_seconds),
        (Resource::RLIMIT_AS, limits.memory_bytes),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, MAX_DESCRIPTORS),
        (Resource::RLIMIT_NPROC, MAX_PROCESSES),
    ] {
        // A limit set from outside that is lower still stays.
        let (_, hard) =
            nix::sys::resource::getrlimit(resource).map_err(|error| format!("failed to read {resource:?}: {error}"))?;
        let value = value.min(hard);
        // Equal limits would end a tool by a plain kill, which cannot be told from running out of memory.
        let kill_at = if resource == Resource::RLIMIT_CPU { value.saturating_add(CPU_GRACE_SECONDS).min(hard) } else { value };
        setrlimit(resource, value, kill_at).map_err(|error| format!("failed to set {resource:?}: {error}"))?;
    }
    Ok(())
}

/// From here on this process can read and execute the program and the C library, read three small files, and nothing else:
/// no other path, no TCP, no signal or abstract socket to anyone outside.
fn confine(program: &Path) -> Result<(), String> {
    let fail = |error: landlock::RulesetError| format!("failed to build the Landlock ruleset: {error}");
    let (read, execute) = (AccessFs::ReadFile, AccessFs::ReadFile | AccessFs::Execute);
    let mut ruleset = Ruleset::default()
        // Without the first ABI's file rights there is no confinement; what later ABIs added is taken where it is offered.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .map_err(fail)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))
        .map_err(fail)?
        .handle_access(AccessNet::from_all(ABI::V5))
        .map_err(fail)?
        .scope(Scope::from_all(ABI::V6))
        .map_err(fail)?
        .create()
        .map_err(fail)?;
    let objects = LIBRARY_FOLDERS.iter().flat_map(|folder| SHARED_OBJECTS.iter().map(move |name| Path::new(folder).join(name)));
    let executable = objects.chain([program.to_owned()]).map(|path| (path, execute));
    let readable = READABLE.iter().map(|path| (PathBuf::from(path), read.into()));
    for (path, access) in executable.chain(readable) {
        // A static tool needs none of the libraries and a slim image has few: what is not there needs no rule.
        if let Ok(path) = PathFd::new(&path) {
            ruleset = ruleset.add_rule(PathBeneath::new(path, access)).map_err(fail)?;
        }
    }
    let status = ruleset.restrict_self().map_err(fail)?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err("the kernel does not enforce Landlock".to_owned());
    }
    Ok(())
}
