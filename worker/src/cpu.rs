//! Processor time of threads: what a step itself uses, though it shares its process, and even its thread, with others.
//! Reads this process's counters in `/proc` and from the kernel.
//!
//! Steps that look at pictures take turns on one thread, so that thread's clock is read before and after each turn.
//! Recognising speech uses threads that its libraries start: a new thread bears the name of the one that started it, so a pass
//! on a thread with a name of its own is told by that name, whatever else the process does meanwhile; threads that end before
//! that say themselves what they used.

use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeValLike as _,
    },
    unistd::{SysconfVar, sysconf},
};
use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// How the threads of this process are listed.
const THREADS: &str = "/proc/self/task";

/// Processor time of the calling thread since it began; zero where the kernel does not tell.
pub fn of_this_thread() -> Duration {
    getrusage(UsageWho::RUSAGE_THREAD).map_or(Duration::ZERO, |usage| {
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    })
}

/// Processor time of this process and of the children that ended, milliseconds.
pub fn of_everything() -> u64 {
    let of =
        |who| getrusage(who).map_or(0, |usage| usage.user_time().num_milliseconds() + usage.system_time().num_milliseconds());
    u64::try_from(of(UsageWho::RUSAGE_SELF) + of(UsageWho::RUSAGE_CHILDREN)).unwrap_or_default()
}

/// What one of several that take turns on a thread has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter(Duration);

impl Meter {
    /// Lets it have a turn.
    pub fn turn<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let before = of_this_thread();
        let done = work();
        self.0 += of_this_thread().saturating_sub(before);
        done
    }

    /// Counts another's turns as its own.
    pub fn add(&mut self, other: Self) {
        self.0 += other.0;
    }

    /// All its turns together.
    pub const fn used(self) -> Duration {
        self.0
    }
}

/// A name that no other thread of this process has, for a thread whose helpers are to be told by it.
pub fn new_name(what: &str) -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    // Thread names have 15 bytes.
    format!("{what:.9}-{}", LAST.fetch_add(1, Ordering::Relaxed) % 100_000)
}

/// Processor time of the threads of that name that live now; `None` where the kernel does not tell. Its grain is a clock tick
/// (usually 10 ms) for each thread.
pub fn of_threads_named(name: &str) -> Option<Duration> {
    let mut sum = None;
    for task in fs::read_dir(THREADS).ok()?.flatten() {
        // A thread may end between being listed and being read; it is then none of those that live.
        let named = fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name);
        if named && let Some(used) = fs::read_to_string(task.path().join("stat")).ok().as_deref().and_then(of_stat) {
            *sum.get_or_insert(Duration::ZERO) += used;
        }
    }
    sum
}

/// User and system time in proc(5)'s `stat` of a process or a thread, fields 14 and 15.
pub fn of_stat(stat: &str) -> Option<Duration> {
    // The second field, the name in parentheses, may itself hold blanks and parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = fields.next()?.ok()?.checked_add(fields.next()?.ok()?)?;
    let per_second =
        sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|rate| u64::try_from(rate).ok()).filter(|rate| *rate > 0)?;
    Some(Duration::from_millis(ticks.saturating_mul(1_000) / per_second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Barrier, thread};

    const LONG: Duration = Duration::from_millis(60);

    /// Computes until this thread has used so much.
    fn spend(time: Duration) {
        let until = of_this_thread() + time;
        while of_this_thread() < until {}
    }

    #[test]
    fn each_is_told_its_own_turns_only() {
        let (mut one, mut other) = (Meter::default(), Meter::default());
        for _ in 0..3 {
            one.turn(|| spend(LONG / 3));
            other.turn(|| thread::sleep(Duration::from_millis(1)));
        }
        spend(LONG);
        assert!((LONG..LONG * 2).contains(&one.used()), "{:?}", one.used());
        assert!(other.used() < LONG / 4, "waiting costs nothing: {:?}", other.used());
    }

    #[test]
    fn helpers_are_told_by_the_name_they_were_started_under_and_nobody_else_is() {
        let (name, stranger) = (new_name("speech"), new_name("speech"));
        assert_ne!(name, stranger);
        let (done, told) = (Barrier::new(2), Barrier::new(2));
        let run = |name: &str, time| {
            thread::Builder::new().name(name.to_owned()).spawn(move || spend(time)).expect("starts").join().expect("ends");
        };
        run(&stranger, LONG);
        thread::scope(|scope| {
            let lead = thread::Builder::new().name(name.clone()).spawn_scoped(scope, || {
                // Started without a name of its own, as the threads of a C++ library are.
                let helper = scope.spawn(|| {
                    spend(LONG);
                    done.wait();
                    told.wait();
                });
                spend(LONG);
                done.wait();
                let used = of_threads_named(&name);
                told.wait();
                helper.join().expect("ends");
                used
            });
            let used = lead.expect("starts").join().expect("ends").expect("this kernel tells");
            // Ticks are rounded down, each thread's on its own.
            assert!(used + Duration::from_millis(20) >= LONG * 2 && used < LONG * 3, "{used:?}");
        });
        assert_eq!(of_threads_named(&stranger), None, "it has ended");
    }
}
