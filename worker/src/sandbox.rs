//! Runs `FFmpeg` and `ffprobe` in a child that sees one open descriptor and nothing else of this machine.
//! Starts processes, reads their pipes, ends them at their limits.
//!
//! The worker starts itself again as `showrunner-worker sandboxed-exec` ([`launch::run_if_asked`]); that short-lived launcher takes
//! all rights away from itself (Landlock, a system-call filter, resource limits, no new privileges, only the descriptors it was
//! given) and then becomes the tool. So no `unsafe` is needed here, and the worker itself never runs code between fork and exec.

mod filter;
pub mod launch;
mod running;
mod source;

pub use running::{End, Finished, Running};
pub use source::Source;

use landlock::{ABI, Access as _, AccessFs, Compatible as _, Ruleset, RulesetAttr as _};
use serde::{Deserialize, Serialize};
use std::{
    fmt, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Where a child finds the source; the first descriptor after the standard three.
pub const SOURCE_FD: i32 = 3;
/// Where the first further descriptor of a [`Request`] is found; the others follow.
pub const FIRST_EXTRA_FD: i32 = SOURCE_FD + 1;

/// What a child may use. A limit that is reached ends the child and is named in [`End`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall time until the child is killed.
    pub wall: Duration,
    /// Processor time, seconds, all threads together (`RLIMIT_CPU`).
    pub cpu_seconds: u64,
    /// Address space, bytes (`RLIMIT_AS`).
    pub memory_bytes: u64,
}

impl Limits {
    /// For reading headers: seconds, not minutes.
    pub const PROBE: Self = Self { wall: Duration::from_mins(1), cpu_seconds: 60, memory_bytes: 2 << 30 };
    /// For one pass over a title.
    pub const DECODE: Self = Self { wall: Duration::from_hours(4), cpu_seconds: 16 * 3_600, memory_bytes: 6 << 30 };
}

/// Which program a child becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Decodes.
    Ffmpeg,
    /// Reads headers.
    Ffprobe,
}

impl Tool {
    /// Its place below the artefacts folder.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Ffmpeg => "bin/ffmpeg",
            Self::Ffprobe => "bin/ffprobe",
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ffmpeg => "ffmpeg",
            Self::Ffprobe => "ffprobe",
        })
    }
}

/// How children are kept from files that are not theirs, besides what holds for all of them: a cleared environment, limits, and a
/// filter that leaves no socket and no further process. Written into the run record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Confinement {
    /// The kernel's Landlock, of this ABI version.
    Landlock(u8),
    /// No Landlock in this kernel; we are root, so the child becomes user and group 65534.
    OtherUser,
    /// Only what holds for all: a person allowed it.
    LimitsOnly,
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Landlock(abi) => write!(f, "landlock-abi{abi}"),
            Self::OtherUser => f.write_str("other-user"),
            Self::LimitsOnly => f.write_str("limits-only"),
        }
    }
}

/// Whether to go on where children cannot be kept from other files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Refuse to start any child.
    Strict,
    /// Go on without. For kernels without Landlock, when every source is trusted.
    AllowUnconfined,
}

/// Why no child could be started, or none may be.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Neither Landlock nor root.
    #[error(
        "failed to confine media tools: the kernel (or the pod's seccomp profile) offers no Landlock and the worker is not root; \
         use a node with Linux 5.13 or later, or allow unconfined tools if every source is trusted"
    )]
    NoConfinement,
    /// The tool is not there.
    #[error("failed to find {tool} at {}; run scripts/fetch-artefacts, or use the worker image", path.display())]
    ToolMissing {
        /// Which.
        tool: Tool,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("failed to start {tool} in its sandbox: {source}")]
    Start {
        /// Which.
        tool: Tool,
        /// Why.
        source: io::Error,
    },
    /// The launcher could not take away the child's rights, so the tool was not started.
    #[error("failed to confine {tool}: {message}")]
    Launch {
        /// Which.
        tool: Tool,
        /// What the launcher said.
        message: String,
    },
    /// Reading from the child failed.
    #[error("failed to read from {tool}: {source}")]
    Read {
        /// Which.
        tool: Tool,
        /// Why.
        source: io::Error,
    },
}

/// Starts children. One per process; counts them.
#[derive(Debug)]
pub struct Sandbox {
    launcher: PathBuf,
    artefacts: PathBuf,
    confinement: Confinement,
    starts: AtomicU32,
}

/// One child to start.
pub(crate) struct Request<'a> {
    pub(crate) tool: Tool,
    pub(crate) args: Vec<String>,
    pub(crate) source: &'a Source,
    /// Found by the child at [`FIRST_EXTRA_FD`] and after.
    pub(crate) extra: Vec<OwnedFd>,
    pub(crate) limits: Limits,
}

impl Sandbox {
    /// `launcher` is the worker's own binary (`/proc/self/exe` inside it); `artefacts` the folder with `bin/ffmpeg` and
    /// `bin/ffprobe`.
    pub fn new(launcher: &Path, artefacts: &Path, policy: Policy) -> Result<Self, SandboxError> {
        for tool in [Tool::Ffmpeg, Tool::Ffprobe] {
            let path = artefacts.join(tool.path());
            if !path.is_file() {
                return Err(SandboxError::ToolMissing { tool, path });
            }
        }
        let confinement = match (landlock_abi(), nix::unistd::geteuid().is_root(), policy) {
            (Some(abi), _, _) => Confinement::Landlock(abi),
            (None, true, _) => Confinement::OtherUser,
            (None, false, Policy::AllowUnconfined) => Confinement::LimitsOnly,
            (None, false, Policy::Strict) => return Err(SandboxError::NoConfinement),
        };
        Ok(Self { launcher: launcher.to_owned(), artefacts: artefacts.to_owned(), confinement, starts: AtomicU32::new(0) })
    }

    /// How children are confined.
    pub const fn confinement(&self) -> Confinement {
        self.confinement
    }

    /// How many children were started so far.
    pub fn starts(&self) -> u32 {
        self.starts.load(Ordering::Relaxed)
    }

    pub(crate) fn start(&self, request: Request<'_>) -> Result<Running, SandboxError> {
        let tool = request.tool;
        let orders = launch::Orders {
            program: self.artefacts.join(tool.path()),
            confinement: self.confinement,
            limits: request.limits,
            descriptors: FIRST_EXTRA_FD + request.extra.len() as i32,
            parent: std::process::id() as i32,
        };
        self.starts.fetch_add(1, Ordering::Relaxed);
        running::spawn(&self.launcher, &orders, request).map_err(|source| SandboxError::Start { tool, source })
    }
}

/// The newest Landlock ABI that the kernel offers and we know, or `None`.
fn landlock_abi() -> Option<u8> {
    // Creating a ruleset restricts nobody; it fails when the kernel does not know the rights it should handle.
    let offers = |abi: ABI| {
        Ruleset::default()
            .set_compatibility(landlock::CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(abi))
            .and_then(landlock::Ruleset::create)
            .is_ok()
    };
    [(ABI::V5, 5), (ABI::V3, 3), (ABI::V2, 2), (ABI::V1, 1)].into_iter().find(|(abi, _)| offers(*abi)).map(|(_, number)| number)
}
