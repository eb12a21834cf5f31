//! Containers as process trees: start, signal, count memory, end all of it.
//!
//! Starts processes through [`crate::launch`], reads `/proc`, sends signals.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use tokio::sync::oneshot;

use crate::launch::{Orders, SUBCOMMAND};
use crate::plan::{MARK, Plan};
use crate::usage;

/// What a shell and the kubelet add to the number of a signal that ended a process.
const SIGNAL_BASE: i32 = 128;

type Table = BTreeMap<i32, usage::Process>;
type Request = (Command, oneshot::Sender<std::io::Result<Child>>);

/// Starts all processes from one thread that lives as long as the node: their death signal is tied to the thread that
/// made them.
#[derive(Clone, Debug)]
pub(crate) struct Spawner {
    requests: mpsc::Sender<Request>,
    mains: Mains,
}

/// First processes of containers: theirs alone to be waited for. Locked while one is started, so that none is taken for an
/// orphan before it is in here.
type Mains = Arc<Mutex<BTreeSet<i32>>>;

fn spawn(command: &mut Command, mains: &Mains) -> std::io::Result<Child> {
    let mut mains = mains.lock().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn()?;
    mains.insert(child.id() as i32);
    Ok(child)
}

impl Spawner {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let (requests, queue) = mpsc::channel::<Request>();
        let mains = Mains::default();
        let of_thread = Arc::clone(&mains);
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                for (mut command, reply) in queue {
                    // Nobody waits for it any more: then it must not run either.
                    if let Err(Ok(mut child)) = reply.send(spawn(&mut command, &of_thread)) {
                        let _ = child.kill();
                        let _ = child.wait();
                    }
                }
            })
            .context("failed to start the thread that starts processes")?;
        Ok(Self { requests, mains })
    }

    /// Starts a container's process.
    pub(crate) async fn spawn(&self, plan: &Plan) -> Result<Running, String> {
        let orders = Orders {
            node: std::process::id() as i32,
            user: plan.user,
            directory: plan.directory.clone(),
            program: plan.program.clone(),
            name: plan.name.clone(),
            arguments: plan.arguments.clone(),
        };
        let shown = |error: std::io::Error| format!("failed to start the container: {error}");
        let orders = serde_json::to_string(&orders).map_err(|error| shown(error.into()))?;
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&plan.log).map_err(shown)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg(SUBCOMMAND).arg(orders).env_clear().envs(&plan.env).stdin(Stdio::null());
        command.stdout(log.try_clone().map_err(shown)?).stderr(log);
        let (reply, answer) = oneshot::channel();
        self.requests.send((command, reply)).map_err(|_| "the thread that starts processes is gone".to_owned())?;
        let child = answer.await.map_err(|_| "the thread that starts processes is gone".to_owned())?.map_err(shown)?;
        let pid = Pid::from_raw(child.id() as i32);
        Ok(Running { child, pid, mark: plan.env.get(MARK).cloned().unwrap_or_default(), mains: Arc::clone(&self.mains) })
    }
}

/// A container's processes.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pid: Pid,
    mark: String,
    mains: Mains,
}

impl Running {
    /// The first process.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// SIGTERM to the first process, as a container gets it: the init of a process namespace gets only signals that it
    /// asked for, so one that asked for nothing runs on until it is killed.
    pub(crate) fn ask(&self) {
        if usage::catches(self.pid.as_raw(), Signal::SIGTERM) {
            // It has not been waited for, so the number is still its own.
            let _ = kill(self.pid, Signal::SIGTERM);
        }
    }

    /// SIGKILL to all of the container.
    pub(crate) fn kill(&self) {
        kill_all(&|table| self.all(table));
    }

    /// Memory that the container's processes share with nobody, bytes.
    pub(crate) fn memory(&self) -> u64 {
        let table = usage::table();
        self.members(&table).iter().map(|pid| usage::memory(*pid)).sum()
    }

    /// Members, and who bears the container's mark: a process that left the session and whose parents are gone.
    fn all(&self, table: &Table) -> BTreeSet<i32> {
        let mut all = self.members(table);
        all.extend(marked(table, |mark| mark == self.mark));
        all
    }

    /// The first process, its session, and all that descend from those.
    fn members(&self, table: &Table) -> BTreeSet<i32> {
        let main = self.pid.as_raw();
        let mut members: BTreeSet<i32> =
            table.iter().filter(|(pid, process)| **pid == main || process.session == main).map(|(pid, _)| *pid).collect();
        loop {
            let more: Vec<i32> = table
                .iter()
                .filter(|(pid, process)| members.contains(&process.parent) && !members.contains(pid))
                .map(|(pid, _)| *pid)
                .collect();
            if more.is_empty() {
                return members;
            }
            members.extend(more);
        }
    }

    /// Ends what the first process left behind and gives its exit code. To be called once it has ended.
    pub(crate) fn bury(mut self) -> i32 {
        self.kill();
        let code = match self.child.wait() {
            Ok(status) => status.code().or(status.signal().map(|signal| SIGNAL_BASE + signal)).unwrap_or(SIGNAL_BASE),
            Err(_) => SIGNAL_BASE,
        };
        self.mains.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.pid.as_raw());
        reap_orphans(&self.mains);
        code
    }
}

/// Comes back when a process has ended, and leaves it to be waited for.
pub(crate) async fn ended(pid: Pid) {
    let waiting = tokio::task::spawn_blocking(move || {
        while let Err(Errno::EINTR) = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {}
    });
    let _ = waiting.await; // an error is the end of the runtime
}

/// Ends processes that an earlier life of this node left of a pod, whatever they have become.
pub(crate) fn end_leftovers(uid: &str) {
    let prefix = format!("{uid}/");
    kill_all(&|table| marked(table, |mark| mark.starts_with(&prefix)));
}

fn marked(table: &Table, fits: impl Fn(&str) -> bool) -> BTreeSet<i32> {
    table.keys().copied().filter(|pid| usage::variable(*pid, MARK).is_some_and(|mark| fits(&mark))).collect()
}

/// Kills until none is left: one that forks is only as fast as this loop for a while.
fn kill_all(which: &dyn Fn(&Table) -> BTreeSet<i32>) {
    const ROUNDS: usize = 100;
    for _ in 0..ROUNDS {
        let table = usage::table();
        let mut left = which(&table);
        left.retain(|pid| table.get(pid).is_some_and(|process| !process.ended));
        if left.is_empty() {
            return;
        }
        for pid in left {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL); // gone already: as good
        }
        std::thread::yield_now();
    }
}

/// Orphans become the node's children; those that have ended are taken off the table. Never a container's first process.
fn reap_orphans(mains: &Mains) {
    let mains = mains.lock().unwrap_or_else(PoisonError::into_inner);
    let own = std::process::id() as i32;
    for (pid, process) in usage::table() {
        if process.ended && process.parent == own && !mains.contains(&pid) {
            let _: Result<WaitStatus, _> = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::LazyLock;

    // Tests cannot start processes through the launcher, which is the binary's: they start them plainly.
    fn running(script: &str, mark: &str) -> Running {
        static MAINS: LazyLock<Mains> = LazyLock::new(Mains::default);
        let mut command = Command::new("/bin/sh");
        let child = spawn(command.args(["-c", script]).env(MARK, mark).stdin(Stdio::null()), &MAINS).unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        Running { child, pid, mark: mark.to_owned(), mains: Arc::clone(&MAINS) }
    }

    fn wait_for(what: &Path) {
        while !what.exists() {
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn exit_codes_are_a_shells() {
        for (script, expected) in [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -15 $$", 143)] {
            let process = running(script, "codes/c");
            ended(process.pid()).await;
            assert_eq!(process.bury(), expected, "{script}");
        }
    }

    #[tokio::test]
    async fn sigterm_reaches_who_asked_for_it_only() {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready");
        let deaf = running(&format!("touch {}; while :; do read -r x </dev/zero & wait $!; done", ready.display()), "deaf/c");
        wait_for(&ready);
        deaf.ask();
        let again = folder.path().join("again");
        let obedient = running(
            &format!("trap 'exit 7' TERM; touch {}; while :; do sleep 60 & wait $!; done", again.display()),
            "obedient/c",
        );
        wait_for(&again);
        obedient.ask();
        ended(obedient.pid()).await;
        assert_eq!(obedient.bury(), 7);
        deaf.kill();
        ended(deaf.pid()).await;
        assert_eq!(deaf.bury(), 137);
    }

    #[tokio::test]
    async fn nothing_outlives_its_container() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        // A daemon: another session, its parent gone.
        let process = running(
            &format!("setsid sh -c 'echo $$ >{0}.part; mv {0}.part {0}; exec sleep 600' & exit 0", file.display()),
            "daemon/c",
        );
        ended(process.pid()).await;
        wait_for(&file);
        let daemon: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        assert_eq!(usage::variable(daemon, MARK).as_deref(), Some("daemon/c"));
        assert_eq!(process.bury(), 0);
        let gone = |pid| usage::table().get(&pid).is_none_or(|process| process.ended);
        assert!(gone(daemon));
        let other = running("sleep 600", "other/c");
        end_leftovers("oth");
        assert!(!gone(other.pid().as_raw()));
        end_leftovers("other");
        ended(other.pid()).await;
        assert_eq!(other.bury(), 137);
    }
}
