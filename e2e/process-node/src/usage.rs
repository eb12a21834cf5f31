//! What the kernel says of processes. Reads `/proc`; a process that ends meanwhile is one that is not there.

use std::collections::BTreeMap;
use std::fs;

use nix::sys::signal::Signal;

/// A row of the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) parent: i32,
    pub(crate) session: i32,
    /// Ended and not yet waited for.
    pub(crate) ended: bool,
}

/// All processes.
pub(crate) fn table() -> BTreeMap<i32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, row(&fs::read_to_string(entry.path().join("stat")).ok()?)?))
        })
        .collect()
}

/// The name, in brackets, may hold anything: fields count from the last bracket.
fn row(stat: &str) -> Option<Process> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Process { parent, session, ended })
}

/// Memory that no file backs, bytes: what a memory limit is there to bound.
pub(crate) fn memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    ["RssAnon:", "RssShmem:"].iter().filter_map(|name| kib(&status, name)).sum::<u64>() * 1024
}

fn kib(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

/// Whether a process has a handler for a signal.
pub(crate) fn catches(pid: i32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim);
    mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

/// A variable that a process was started with; none when it is not ours to read.
pub(crate) fn variable(pid: i32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut entries = environment.split(|byte| *byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok());
    entries.find_map(|entry| entry.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
}

/// Memory of this machine, bytes.
pub(crate) fn machine_memory() -> u64 {
    kib(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal:").unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_with_brackets_confuses_nobody() {
        let expected = Process { parent: 5, session: 7, ended: false };
        assert_eq!(row("12 (a) b) (c) S 5 6 7 0 -1"), Some(expected));
        assert_eq!(row("12 (x) Z 5 6 7 0 -1"), Some(Process { ended: true, ..expected }));
        assert_eq!(row("12 (x"), None);
    }

    #[test]
    fn a_child_is_seen_with_what_it_was_started_with() {
        let mut child = Command::new("/bin/cat").env("MARKED", "yes").stdin(Stdio::piped()).spawn().unwrap();
        let pid = child.id() as i32;
        // The variables are the program's once it is the program.
        while variable(pid, "MARKED").is_none() {
            std::thread::yield_now();
        }
        assert_eq!(variable(pid, "MARKED").as_deref(), Some("yes"));
        assert_eq!(table()[&pid].parent, std::process::id() as i32);
        assert!(memory(pid) > 0 && memory(pid) < 64 << 20, "{}", memory(pid));
        assert!(!catches(pid, Signal::SIGTERM));
        child.kill().unwrap();
        let _ = child.wait(); // a test beside this one may have taken it for an orphan
        assert!(variable(pid, "MARKED").is_none() && memory(pid) == 0);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(machine_memory() > 1 << 26);
    }
}
