//! What the kernel says of processes. Reads `/proc`; a process that ends meanwhile is one that is not there.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;

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
///
/// While a process becomes another program, the kernel says nothing of its variables: asked again until it does. One
/// that was missed in that moment would outlive its container.
pub(crate) fn variable(pid: i32, name: &str) -> Option<String> {
    // A program is loaded in microseconds, and as late as a full machine lets it go on. One that was started with no
    // variables at all looks, at the end, like one whose are just being put in place.
    const ROUNDS: usize = 10_000;
    const PLACED: usize = 100;
    // One read: between two of them the program may have become another, which ends the file.
    const LONGEST: usize = 1 << 18;
    let (mut environment, mut placed) = (Vec::with_capacity(LONGEST), 0);
    for _ in 0..ROUNDS {
        environment.resize(LONGEST, 0);
        let length = fs::File::open(format!("/proc/{pid}/environ")).ok()?.read(&mut environment).ok()?;
        environment.truncate(length);
        if !environment.is_empty() || placed > PLACED {
            break;
        }
        match stage(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?) {
            Stage::NoProgram => return None,
            Stage::Loading => placed = 0,
            Stage::Placed => placed += 1,
        }
        std::thread::yield_now();
    }
    let mut entries = environment.split(|byte| *byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok());
    entries.find_map(|entry| entry.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
}

/// How far a process has its program.
enum Stage {
    /// A thread of the kernel's, or ended: no memory of its own.
    NoProgram,
    Loading,
    /// It is known where its variables stand.
    Placed,
}

fn stage(stat: &str) -> Stage {
    const SIZE: usize = 20; // proc(5), counted from the state, which is 0
    const END_OF_VARIABLES: usize = 48;
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let is_zero = |index| fields.split_ascii_whitespace().nth(index).is_none_or(|field| field == "0");
    match (is_zero(SIZE), is_zero(END_OF_VARIABLES)) {
        (true, _) => Stage::NoProgram,
        (false, true) => Stage::Loading,
        (false, false) => Stage::Placed,
    }
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
    fn who_becomes_another_program_again_and_again_is_seen_each_time() {
        const LOOKS: usize = 2_000;
        let mut script = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut script, b"exec /bin/sh \"$0\"\n").unwrap();
        let mut child = Command::new("/bin/sh").arg(script.path()).env("MARKED", "again").spawn().unwrap();
        let missed = (0..LOOKS).filter(|_| variable(child.id() as i32, "MARKED").is_none()).count();
        child.kill().unwrap();
        let _ = child.wait(); // as above
        assert_eq!(missed, 0, "of {LOOKS}");
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(machine_memory() > 1 << 26);
    }
}
