//! The launcher takes every right away, whatever program it becomes.

use crate::kit::{Studio, WORKER, artefacts};
use showrunner_worker::sandbox::{Tool, launch::SUBCOMMAND};
use std::{
    fs::File,
    path::Path,
    process::{Command, Output, Stdio},
};

const CANARY: &str = "THE-CANARY-SINGS";

/// Becomes `program` in the sandbox, as the worker does with its tools.
fn confined(program: &Path, args: &[&str], stdin: Stdio) -> Output {
    let limits = serde_json::json!({"wall": {"secs": 20, "nanos": 0}, "cpu_seconds": 20, "memory_bytes": 4_u64 << 30});
    let orders = serde_json::json!({"program": program, "confinement": {"landlock": 1}, "limits": limits, "descriptors": 3});
    let mut command = Command::new(WORKER);
    command.arg(SUBCOMMAND).arg(orders.to_string()).args(args).env("SECRET", CANARY).stdin(stdin);
    command.output().expect("the launcher starts")
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
    for script in ["/bin/cat /dev/null", "/bin/ls /", "exec /usr/bin/env"] {
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
fn orders_that_cannot_be_followed_start_nothing() {
    for orders in ["", "{}", "not json"] {
        let output = Command::new(WORKER).args([SUBCOMMAND, orders, "-version"]).output().expect("the launcher starts");
        assert_eq!(output.status.code(), Some(125));
        assert!(said(&output).starts_with("sandboxed-exec: "), "{}", said(&output));
    }
}
