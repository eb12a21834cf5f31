//! What the tests share: the tools, a sandbox, and media made to measure. Runs `FFmpeg` outside of the sandbox to make media.

use showrunner_timeline::Ticks;
use showrunner_worker::{
    picture::{self, Event, Picture, Plan, Summary, recipe::Size},
    probe::{self, Probe, Wanted},
    sandbox::{Limits, Policy, Sandbox, Source, Tool},
};
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// The worker's own binary: the launcher.
pub(crate) const WORKER: &str = env!("CARGO_BIN_EXE_showrunner-worker");

/// The artefacts folder. A machine without it fails the tests; it never passes them by skipping.
pub(crate) fn artefacts() -> PathBuf {
    let cache = || env::var_os("SHOWRUNNER_CACHE").map(PathBuf::from);
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache/showrunner");
    let folder =
        env::var_os("SHOWRUNNER_ARTEFACTS").map_or_else(|| cache().unwrap_or_else(home).join("artefacts"), PathBuf::from);
    assert!(folder.join(Tool::Ffmpeg.path()).is_file(), "no artefacts in {}: run scripts/fetch-artefacts", folder.display());
    folder
}

pub(crate) fn sandbox() -> Sandbox {
    Sandbox::new(Path::new(WORKER), &artefacts(), Policy::Strict).expect("this machine can confine tools")
}

/// A temporary folder with media in it.
pub(crate) struct Studio {
    folder: TempDir,
}

impl Studio {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("temporary folder") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `ffmpeg ARGS name` in the folder; `args` are separated by spaces.
    pub(crate) fn make(&self, name: &str, args: &str) -> PathBuf {
        let mut command = Command::new(artefacts().join(Tool::Ffmpeg.path()));
        command
            .current_dir(self.folder.path())
            .args(["-v", "error", "-nostdin", "-y"])
            .args(args.split_ascii_whitespace())
            .arg(name);
        let output = command.output().expect("ffmpeg starts");
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
        self.path(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).expect("writes");
        self.path(name)
    }
}

/// Everything that one decode gave.
pub(crate) struct Seen {
    pub(crate) probe: Probe,
    pub(crate) glances: Vec<Picture>,
    /// The analysis pictures.
    pub(crate) frames: Vec<Picture>,
    pub(crate) candidates: Vec<Picture>,
    pub(crate) summary: Summary,
}

impl Seen {
    pub(crate) fn times(&self) -> Vec<i64> {
        self.glances.iter().map(|frame| frame.pts.0).collect()
    }

    /// Times in milliseconds, rounded.
    pub(crate) fn millis(&self) -> Vec<u64> {
        self.glances.iter().map(|frame| self.probe.time_base().to_millis(frame.pts).0).collect()
    }

    /// Of the analysis pictures.
    pub(crate) fn size(&self) -> Size {
        Size { width: self.frames[0].width, height: self.frames[0].height }
    }
}

/// With an analysis picture of every frame, too.
pub(crate) const fn plan(candidates: bool) -> Plan {
    Plan { samples: 1_000, candidates, threads: 2, limits: Limits::DECODE }
}

pub(crate) fn look(path: &Path) -> Probe {
    let source = Source::open(path).expect("opens");
    probe::probe(&sandbox(), &source, Wanted::default()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn watch(path: &Path) -> Seen {
    watch_with(path, &plan(false))
}

pub(crate) fn watch_with(path: &Path, plan: &Plan) -> Seen {
    let (sandbox, source, probe) = (sandbox(), Source::open(path).expect("opens"), look(path));
    let (mut glances, mut frames, mut candidates) = (Vec::<Picture>::new(), Vec::new(), Vec::new());
    let summary = picture::decode(&sandbox, &source, &probe, plan, &mut |event| {
        match event {
            Event::Frame(picture) => glances.push(picture),
            Event::Sample(picture) | Event::Candidate(picture) if !glances.iter().any(|glance| glance.pts == picture.pts) => {
                panic!("a larger picture came before its frame: {}", picture.pts)
            }
            Event::Sample(picture) => frames.push(picture),
            Event::Candidate(picture) => candidates.push(picture),
        }
        Ok(())
    });
    let summary = summary.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(summary.frames, glances.len() as u64);
    assert_eq!(glances.first().map(|frame| frame.pts), Some(Ticks::ZERO));
    Seen { probe, glances, frames, candidates, summary }
}

/// The pixel at (x, y).
pub(crate) fn pixel(picture: &Picture, x: u32, y: u32) -> [u8; 3] {
    let at = (y * picture.width + x) as usize * 3;
    [picture.rgb[at], picture.rgb[at + 1], picture.rgb[at + 2]]
}

/// Whether two colours differ by at most `by` in each channel.
pub(crate) fn near(a: [u8; 3], b: [u8; 3], by: u8) -> bool {
    a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= by)
}
