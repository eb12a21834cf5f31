//! Why a source is not worked on, in words a person can act on. No I/O.

use crate::sandbox::{End, Finished, SandboxError, Tool};
use showrunner_contracts::result::Reason;

/// Longest quotation of a tool's own words.
const MAX_DETAIL: usize = 200;

/// Why a source is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No bytes.
    #[error("failed to read the source: it has no bytes; upload it again")]
    Empty,
    /// Not a container we open.
    #[error(
        "failed to open the source: it is not a media file of an accepted container ({detail}); deliver MP4, MOV, MXF, Matroska, MPEG-TS, WAV or the like"
    )]
    NotMedia {
        /// The tool's words.
        detail: String,
    },
    /// The end is missing, so much that it cannot be opened.
    #[error("failed to open the source: its end or its index is missing ({detail}); upload it again, whole")]
    Truncated {
        /// The tool's words.
        detail: String,
    },
    /// More streams than [`MAX_STREAMS`](super::MAX_STREAMS).
    #[error("failed to open the source: it has more than {limit} streams")]
    TooManyStreams {
        /// The limit.
        limit: usize,
    },
    /// Something is larger than its limit.
    #[error("failed to open the source: {what} is larger than {limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Neither picture nor sound.
    #[error("failed to find a picture or a sound in the source")]
    NoStreams,
    /// There are streams, but not one frame of the main one could be decoded.
    #[error(
        "failed to decode anything of the source's {what} ({detail}); is it damaged, encrypted, or in a codec that is not supported?"
    )]
    NothingDecodes {
        /// "picture" or "sound".
        what: &'static str,
        /// The tool's words.
        detail: String,
    },
    /// A tool reached a limit.
    #[error("failed to read the source within the limits of {tool}: {what}")]
    Limit {
        /// Which tool.
        tool: Tool,
        /// Which limit.
        what: &'static str,
    },
    /// A tool crashed.
    #[error("failed to read the source: {tool} ended by signal {signal}; the file may be damaged or hostile, or memory ran out")]
    Crash {
        /// Which tool.
        tool: Tool,
        /// Which signal.
        signal: i32,
    },
    /// A tool's answer could not be understood.
    #[error("failed to understand what the media tools said of the source: {detail}")]
    Unreadable {
        /// Why.
        detail: String,
    },
    /// No tool could be started or read.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

impl Refusal {
    /// The contract's word for it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Empty => Reason::SourceEmpty,
            Self::NotMedia { .. } | Self::NoStreams | Self::NothingDecodes { .. } => Reason::SourceNotMedia,
            Self::Truncated { .. } => Reason::SourceTruncated,
            Self::TooManyStreams { .. } | Self::TooLarge { .. } => Reason::SourceTooLarge,
            Self::Limit { .. } | Self::Crash { .. } => Reason::LimitExceeded,
            Self::Unreadable { .. } | Self::Sandbox(_) => Reason::Internal,
        }
    }

    /// From a tool that failed to open the source.
    pub(crate) fn from_tool(tool: Tool, finished: &Finished) -> Self {
        match finished.end {
            End::WallLimit => return Self::Limit { tool, what: "wall time" },
            End::CpuLimit => return Self::Limit { tool, what: "processor time" },
            End::Signal(signal) => return Self::Crash { tool, signal },
            End::Code(_) => {}
        }
        let said = &finished.stderr;
        let detail = last_words(said);
        if said.contains("max_streams") {
            Self::TooManyStreams { limit: super::MAX_STREAMS }
        } else if said.contains("moov atom not found") || said.contains("End of file") {
            Self::Truncated { detail }
        } else if said.contains("Cannot allocate memory") {
            Self::Limit { tool, what: "memory" }
        } else {
            Self::NotMedia { detail }
        }
    }
}

/// The last line that says something, without control characters and addresses, cut to size.
pub(crate) fn last_words(stderr: &str) -> String {
    let line = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
    // "[mov,mp4 @ 0x55..] words": the address differs from run to run.
    let line = match (line.starts_with('['), line.split_once("] ")) {
        (true, Some((_, words))) => words,
        _ => line,
    };
    line.trim().chars().filter(|c| !c.is_control()).take(MAX_DETAIL).collect()
}
