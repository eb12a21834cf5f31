//! The launcher takes every right away, whatever program it becomes.

use crate::kit::{Studio, WORKER, artefacts};
use nix::libc::{self, c_long};
use serde_json::{Value, json};
use showrunner_worker::sandbox::{Tool, launch::SUBCOMMAND};
use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::UdpSocket,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

const CANARY: &str = "THE-CANARY-SINGS";

/// Orders to become `program`, from the process with this id.
fn orders(confinement: &Value, program: &Path, parent: &Value) -> Value {
    let limits = json!({"wall": {"secs": 20, "nanos": 0}, "cpu_seconds": 20, "memory_bytes": 4_u64 << 30});
    json!({"program": program, "confinement": confinement, "limits": limits, "descriptors": 3, "parent": parent})
}

/// The launcher, told to become `program`.
fn launcher(confinement: &Value, program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(WORKER);
    command.arg(SUBCOMMAND).arg(orders(confinement, program, &json!(std::process::id())).to_string()).args(args);
    command
}

/// Becomes `program` in the sandbox, as the worker does with its tools.
fn confined(program: &Path, args: &[&str], stdin: Stdio) -> Output {
    let mut command = launcher(&json!({"landlock": 1}), program, args);
    command.env("SECRET", CANARY).stdin(stdin).output().expect("the launcher starts")
}

/// A line of Perl, the language that every Debian has: by itself, and where nothing but the system-call filter is in the way.
fn perl(script: &str, args: &[String]) -> [String; 2] {
    let args: Vec<&str> = ["-e", script].into_iter().chain(args.iter().map(String::as_str)).collect();
    let perl = Path::new("/usr/bin/perl");
    let filtered = launcher(&json!("limitsOnly"), perl, &args).output().expect("the launcher starts");
    let free = Command::new(perl).args(&args).output().expect("there is a Perl");
    [said(&free), said(&filtered)]
}

fn shell(script: &str) -> Output {
    confined(&Path::new("/bin/sh").canonicalize().expect("there is a shell"), &["-c", script], Stdio::null())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn a_program_reads_what_is_open_and_no_path() {
    let studio = Studio::new();
    let canary = studio.write("canary.txt", CANARY);
    let cat = Path::new("/bin/cat").canonicalize().expect("there is a cat");
    let open = confined(&cat, &[], File::open(&canary).expect("opens").into());
    assert_eq!(said(&open), CANARY);
    for path in [canary.to_str().expect("text"), "/etc/passwd", "/proc/1/environ", "/proc/self/environ", "/proc/self/maps"] {
        let closed = confined(&cat, &[path], Stdio::null());
        assert!(!closed.status.success() && said(&closed).contains("Permission denied"), "{path}: {}", said(&closed));
    }
}

#[test]
fn a_program_writes_starts_and_lists_nothing() {
    let studio = Studio::new();
    let target = studio.path("written.txt");
    for script in [format!("echo x > {}", target.display()), format!("echo x > {}", studio.path("").join("x").display())] {
        assert!(!shell(&script).status.success(), "{script}");
    }
    assert!(!target.exists());
    for script in ["exec /bin/cat /dev/null", "exec /bin/ls /", "exec /usr/bin/env"] {
        let output = shell(script);
        assert!(!output.status.success() && said(&output).contains("ermission denied"), "{script}: {}", said(&output));
    }
    assert_eq!(said(&shell("echo /etc/*")).trim(), "/etc/*");
}

#[test]
fn a_program_inherits_no_environment_no_descriptors_and_low_limits() {
    let told = said(&shell("set; ulimit -f; ulimit -c; ulimit -n"));
    assert!(!told.contains(CANARY) && !told.contains("SECRET"), "{told}");
    assert!(told.trim_end().ends_with("0\n0\n64"), "{told}");
    let leak = shell("echo leaked >&3");
    assert!(!leak.status.success(), "{}", said(&leak));
}

#[test]
fn ffmpeg_told_to_open_other_files_cannot() {
    let studio = Studio::new();
    let film = studio.make("film.mp4", "-f lavfi -i testsrc2=s=320x180:d=1 -c:v libx264 -preset ultrafast");
    let script = studio.write("script.mp4", format!("ffconcat version 1.0\nfile 'file:{}'\n", film.display()));
    let ffmpeg = artefacts().join(Tool::Ffmpeg.path());
    // Everything that the whitelists forbid is allowed here: the kernel alone is in the way.
    let lenient = [
        "-v",
        "error",
        "-safe",
        "0",
        "-protocol_whitelist",
        "file,fd,pipe,subfile",
        "-f",
        "concat",
        "-fd",
        "0",
        "-i",
        "fd:",
        "-f",
        "null",
        "-",
    ];
    let output = confined(&ffmpeg, &lenient, File::open(&script).expect("opens").into());
    assert!(!output.status.success() && said(&output).contains("Permission denied"), "{}", said(&output));
    let direct = confined(&ffmpeg, &["-v", "error", "-i", film.to_str().expect("text"), "-f", "null", "-"], Stdio::null());
    assert!(!direct.status.success() && said(&direct).contains("Permission denied"), "{}", said(&direct));
    let given =
        confined(&ffmpeg, &["-v", "error", "-fd", "0", "-i", "fd:", "-f", "null", "-"], File::open(&film).expect("opens").into());
    assert!(given.status.success(), "what it was given it can decode: {}", said(&given));
}

#[test]
fn a_program_opens_no_socket_and_reaches_into_nothing() {
    const CALLS: [c_long; 28] = [
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_setsid,
        libc::SYS_setpgid,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_shmget,
        libc::SYS_memfd_create,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
        libc::SYS_open_by_handle_at,
        libc::SYS_personality,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_request_key,
        libc::SYS_io_uring_setup,
        libc::SYS_fanotify_init,
    ];
    // With arguments that do no harm: what is let through ends with another error, or with none.
    let script = "for (@ARGV) { my $gave = syscall($_ + 0, 0, 0, 0, 0, 0, 0); print $gave == -1 ? $! + 0 : 0, ' ' }";
    let [free, filtered] = perl(script, &CALLS.map(|call| call.to_string()));
    let refused = vec![libc::EPERM.to_string(); CALLS.len()];
    assert_eq!(filtered.split_ascii_whitespace().collect::<Vec<_>>(), refused, "of {CALLS:?}");
    let anyway = free.split_ascii_whitespace().filter(|errno| **errno == refused[0]).count();
    assert!(anyway * 2 < CALLS.len(), "most are refused without a filter, too: {free}");
    if cfg!(target_arch = "x86_64") {
        // `getpid` by its number among the calls of programs with short pointers.
        let [_, other] = perl("print syscall(0x40000000 + 39), ' ', $! + 0", &[]);
        assert_eq!(other, format!("-1 {}", libc::EPERM));
    }
}

#[test]
fn a_program_stays_one_process_in_its_group_and_harms_no_other() {
    let fork = "my $child = fork; exit if defined $child && !$child; print defined $child ? 'forked' : $! + 0";
    assert_eq!(perl(fork, &[]), ["forked".to_owned(), libc::EPERM.to_string()], "a child could leave the group and live on");
    let mut victim = Command::new("/bin/sleep").arg("60").spawn().expect("there is a sleep");
    let kill = "print kill('KILL', $ARGV[0]), ' ', $! + 0, ' ', syscall($ARGV[1] + 0, $ARGV[0] + 0, $ARGV[0] + 0, 9)";
    let args = [victim.id().to_string(), libc::SYS_tgkill.to_string()];
    let told = launcher(&json!("limitsOnly"), Path::new("/usr/bin/perl"), &["-e", kill, &args[0], &args[1]]).output();
    let lives = victim.try_wait().expect("it is ours").is_none();
    victim.kill().expect("it is ours");
    victim.wait().expect("it is ours");
    assert!(lives, "another process was killed");
    assert_eq!(said(&told.expect("the launcher starts")), format!("0 {} -1", libc::EPERM));
    let mine = "syscall($ARGV[0] + 0, $$ + 0, $$ + 0, 15)";
    let own = launcher(&json!("limitsOnly"), Path::new("/usr/bin/perl"), &["-e", mine, &args[1]]).status().expect("starts");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&own), Some(15), "a program may end itself");
}

#[test]
fn ffmpeg_told_to_send_what_it_reads_cannot() {
    let studio = Studio::new();
    let film = studio.make("film.mp4", "-f lavfi -i testsrc2=s=320x180:d=1 -c:v libx264 -preset ultrafast");
    let listener = UdpSocket::bind("127.0.0.1:0").expect("a port");
    listener.set_read_timeout(Some(Duration::from_millis(500))).expect("a time-out");
    let to = format!("udp://{}", listener.local_addr().expect("an address"));
    let args = ["-v", "error", "-fd", "0", "-i", "fd:", "-c", "copy", "-f", "mpegts", &to];
    let ffmpeg = artefacts().join(Tool::Ffmpeg.path());
    let open = || Stdio::from(File::open(&film).expect("opens"));
    let arrived = || listener.recv(&mut [0; 2048]).is_ok();
    let output = confined(&ffmpeg, &args, open());
    assert!(!output.status.success() && said(&output).contains("not permitted"), "{}", said(&output));
    assert!(!arrived(), "the film left the sandbox");
    let free = Command::new(&ffmpeg).args(args).stdin(open()).output().expect("FFmpeg starts");
    assert!(free.status.success() && arrived(), "by itself it can: {}", said(&free));
}

/// The kernel forgets whose end a process was to share when it becomes another user.
#[test]
fn a_program_ends_with_the_worker_whatever_user_it_has_become() {
    let sleep = Path::new("/bin/sleep").canonicalize().expect("there is a sleep");
    let mut confinements = vec![json!({"landlock": 1}), json!("limitsOnly")];
    if nix::unistd::geteuid().is_root() {
        confinements.push(json!("otherUser"));
    }
    for confinement in confinements {
        // A worker that says who its child is, and waits for it.
        let orders = orders(&confinement, &sleep, &json!("PARENT")).to_string().replace("\"PARENT\"", "PARENT");
        let script = r#""$0" "$1" "${2%PARENT*}$$${2#*PARENT}" 300 & echo $!; wait"#;
        let mut worker = Command::new("/bin/sh");
        worker.args(["-c", script, WORKER, SUBCOMMAND, &orders]).stdout(Stdio::piped());
        let mut worker = worker.spawn().expect("there is a shell");
        let mut pid = String::new();
        BufReader::new(worker.stdout.take().expect("piped")).read_line(&mut pid).expect("it says who its child is");
        let stat = format!("/proc/{}/stat", pid.trim());
        let stat = || std::fs::read_to_string(&stat).unwrap_or_default();
        wait_until(&format!("{confinement}: the program was not started"), || stat().contains("(sleep)"));
        worker.kill().expect("it is ours");
        worker.wait().expect("it has ended");
        wait_until(&format!("{confinement}: the program outlives its worker"), || stat().is_empty() || stat().contains(") Z "));
    }
}

fn wait_until(or_else: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "{or_else}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn nothing_is_started_for_a_worker_that_has_ended() {
    let orders = orders(&json!("limitsOnly"), Path::new("/bin/true"), &json!(i32::MAX));
    let output = Command::new(WORKER).args([SUBCOMMAND, &orders.to_string()]).output().expect("the launcher starts");
    assert_eq!((output.status.code(), said(&output).trim()), (Some(125), "sandboxed-exec: the worker has ended"));
}

#[test]
fn orders_that_cannot_be_followed_start_nothing() {
    for orders in ["", "{}", "not json"] {
        let output = Command::new(WORKER).args([SUBCOMMAND, orders, "-version"]).output().expect("the launcher starts");
        assert_eq!(output.status.code(), Some(125));
        assert!(said(&output).starts_with("sandboxed-exec: "), "{}", said(&output));
    }
}
