//! One process of the operator, as the proxies know it: killed, stopped, resumed, shut out.
//!
//! I/O: signals to the process.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// One process of the operator, as the proxies know it.
#[derive(Debug, Default)]
pub struct Gate {
    /// 1 for the first process of a run.
    pub number: u32,
    pid: AtomicI32,
    closed: AtomicBool,
    stopped: AtomicBool,
}

impl Gate {
    /// A process that has not been started.
    pub fn new(number: u32) -> Self {
        Self { number, ..Self::default() }
    }

    /// It runs under this process id.
    pub fn started(&self, pid: i32) {
        self.pid.store(pid, Ordering::SeqCst);
    }

    /// It has ended: nothing of it passes any more.
    pub fn ended(&self) {
        self.close();
        self.pid.store(0, Ordering::SeqCst);
    }

    /// Whether it was stopped and not resumed.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Ends it at once.
    pub fn kill(&self) {
        self.close();
        self.signal(Signal::SIGKILL);
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
        self.stopped.store(false, Ordering::SeqCst);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.pid.load(Ordering::SeqCst);
        // It may have ended by itself since.
        if pid > 0 {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}
