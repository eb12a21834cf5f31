//! A child at work: its pipes, its time limit, its end. Starts, kills and reaps processes.

use super::{
    FIRST_EXTRA_FD, Request, SOURCE_FD, SandboxError, Tool,
    launch::{COMPLAINT, EXIT_NOT_CONFINED, Orders, SUBCOMMAND},
};
use crate::cpu;
use command_fds::{CommandFdExt as _, FdMapping};
use nix::{
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};
use std::{
    collections::VecDeque,
    io::{self, Read},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How much of a child's last words is kept, bytes.
const STDERR_TAIL: usize = 8 << 10;

/// How a child came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit code.
    Code(i32),
    /// Killed by us: wall time.
    WallLimit,
    /// Killed by the kernel: processor time.
    CpuLimit,
    /// Killed by this signal: a crash, or memory.
    Signal(i32),
}

/// A child that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How.
    pub end: End,
    /// The end of what it said on standard error; may quote a hostile file.
    pub stderr: String,
    /// How long it ran.
    pub wall: Duration,
    /// Processor time it used, all threads together; zero where the kernel does not tell.
    pub cpu: Duration,
}

impl Finished {
    /// Whether it ended by itself, content.
    pub const fn succeeded(&self) -> bool {
        matches!(self.end, End::Code(0))
    }

    /// Whether it failed for want of memory: its limit is reached. What asks first is chance, and may be a thread for its stack. (Damage that asks for absurd amounts here and there is
    /// passed over by the tools themselves.)
    pub fn lacked_memory(&self) -> bool {
        const SIGNS: [&str; 2] = ["Cannot allocate memory", "pthread_create() failed: Resource temporarily unavailable"];
        !self.succeeded() && SIGNS.iter().any(|sign| self.stderr.contains(sign))
    }
}

/// A child at work. Dropping it kills it; there is never more than one process to it.
#[derive(Debug)]
pub struct Running {
    tool: Tool,
    child: Child,
    shared: Arc<Shared>,
    watchdog: Option<JoinHandle<()>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    started: Instant,
    cpu_seconds: u64,
}

/// What the watchdog and the owner agree on. While `ended` is false the process id is ours, dead or alive.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ended: bool,
    timed_out: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nobody panics while holding it; a poisoned lock would still hold two plain flags.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn spawn(launcher: &Path, orders: &Orders, request: Request<'_>) -> io::Result<Running> {
    let mut mappings = vec![FdMapping { parent_fd: request.source.reopen()?.into(), child_fd: SOURCE_FD }];
    let extra = request.extra.into_iter().enumerate();
    mappings.extend(extra.map(|(index, fd)| FdMapping { parent_fd: fd, child_fd: FIRST_EXTRA_FD + index as i32 }));
    let mut command = Command::new(launcher);
    command
        .arg(SUBCOMMAND)
        .arg(serde_json::to_string(orders).map_err(io::Error::other)?)
        .args(request.args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .fd_mappings(mappings)
        .map_err(io::Error::other)?;
    let mut child = command.spawn()?;
    // Our copies of the child's pipe ends live in `command`; readers would never see the end while they are open.
    drop(command);
    let stderr = child.stderr.take().map(|stderr| std::thread::spawn(move || tail(stderr)));
    let shared = Arc::new(Shared::default());
    let watchdog = std::thread::spawn({
        let (shared, wall, group) = (Arc::clone(&shared), request.limits.wall, group_of(&child));
        move || watch(&shared, wall, group)
    });
    Ok(Running {
        tool: request.tool,
        child,
        shared,
        watchdog: Some(watchdog),
        stderr,
        started: Instant::now(),
        cpu_seconds: request.limits.cpu_seconds,
    })
}

impl Running {
    /// The child's standard output, once.
    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for the child's end.
    pub fn finish(mut self) -> Result<Finished, SandboxError> {
        let tool = self.tool;
        let Reaped { status, stderr, timed_out, cpu } = self.reap().map_err(|source| SandboxError::Read { tool, source })?;
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        // FFmpeg catches the signal that says so and ends by itself, discontent: so the time used tells, not the way it ended.
        let cpu_is_up = !status.success() && cpu.as_secs() >= self.cpu_seconds;
        let end = match (status.code(), status.signal()) {
            _ if timed_out => End::WallLimit,
            (_, signal) if cpu_is_up || signal == Some(Signal::SIGXCPU as i32) => End::CpuLimit,
            (Some(EXIT_NOT_CONFINED), _) if stderr.starts_with(COMPLAINT) => {
                return Err(SandboxError::Launch { tool, message: stderr[COMPLAINT.len()..].trim_end().to_owned() });
            }
            (Some(code), _) => End::Code(code),
            (None, signal) => End::Signal(signal.unwrap_or_default()),
        };
        Ok(Finished { end, stderr, wall: self.started.elapsed(), cpu })
    }

    fn reap(&mut self) -> io::Result<Reaped> {
        // Seen dead but not reaped: the process id, and with it the group's, still cannot belong to anyone else.
        let pid = group_of(&self.child);
        while let Err(error) = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            if error != nix::errno::Errno::EINTR {
                return Err(error.into());
            }
        }
        let timed_out = {
            let mut state = self.shared.lock();
            state.ended = true;
            state.timed_out
        };
        self.shared.changed.notify_all();
        // Nobody is left: the filter lets a tool start no process and leave no group. For a kernel that would not keep to it.
        let _ = killpg(pid, Signal::SIGKILL);
        // It has ended and is not reaped yet: its counters are final and still there.
        let cpu = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok().as_deref().and_then(cpu::of_stat).unwrap_or_default();
        let status = self.child.wait()?;
        let stderr = self.stderr.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        if let Some(watchdog) = self.watchdog.take() {
            let _ = watchdog.join();
        }
        Ok(Reaped { status, stderr, timed_out, cpu })
    }
}

struct Reaped {
    status: ExitStatus,
    stderr: Vec<u8>,
    timed_out: bool,
    cpu: Duration,
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.watchdog.is_some() {
            let _ = killpg(group_of(&self.child), Signal::SIGKILL);
            let _ = self.reap();
        }
    }
}

fn group_of(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32)
}

fn watch(shared: &Shared, wall: Duration, group: Pid) {
    let state = shared.lock();
    let waited = shared.changed.wait_timeout_while(state, wall, |state| !state.ended);
    let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
    if timeout.timed_out() && !state.ended {
        state.timed_out = true;
        // Under the lock: the owner marks the end before it reaps, so the group is still the child's.
        let _ = killpg(group, Signal::SIGKILL);
    }
}

/// Reads everything, so that the child never blocks, and keeps the end.
fn tail(mut stderr: ChildStderr) -> Vec<u8> {
    let mut kept = VecDeque::with_capacity(STDERR_TAIL);
    let mut block = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut block) {
        kept.extend(&block[..count]);
        let surplus = kept.len().saturating_sub(STDERR_TAIL);
        kept.drain(..surplus);
    }
    kept.into()
}
