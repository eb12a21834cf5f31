//! Why a source is not worked on, in words a person can act on. No I/O.

use crate::sandbox::{End, Finished, SandboxError, Tool};
use showrunner_contracts::result::Reason;

/// Longest quotation of a tool's own words.
const MAX_DETAIL: usize = 200;
/// What comes before an address in `FFmpeg`'s words.
const ADDRESS: &str = "@ 0x";
/// How `FFmpeg` calls the source.
const SOURCE: &str = "fd:: ";
/// What `FFmpeg` says of itself once something has gone wrong, after the words that tell what.
const AFTERTHOUGHTS: [&str; 8] = [
    "Decode error rate",
    "Nothing was written into output file",
    "Terminating thread with return code",
    "Task finished with error code",
    "Cannot determine format of input",
    "Could not open encoder before EOF",
    "Last message repeated",
    "Conversion failed!",
];

/// Why a source is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No bytes.
    #[error("failed to read the source: it has no bytes; upload it again")]
    Empty,
    /// Not a container we open.
    #[error(
        "failed to open the source: it is not a media file of an accepted container ({detail}); deliver MP4, MOV, MXF, Matroska, MPEG-TS, WAV or the like, with the media in it"
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
    #[error(
        "failed to open the source: it has more than {limit} streams, subtitles and attachments counted; take out what is neither picture nor sound"
    )]
    TooManyStreams {
        /// The limit.
        limit: usize,
    },
    /// Something is larger than its limit.
    #[error("failed to open the source: {what} is larger than {limit}, which is the most that is taken; deliver it smaller")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Neither picture nor sound.
    #[error("failed to find a picture or a sound in the source; give the media file itself")]
    NoStreams,
    /// Another sound track was asked for than there is.
    #[error(
        "failed to find sound track {track}: the source has {tracks}; correct spec.audio.track, or deliver the file with that track"
    )]
    NoTrack {
        /// Which was asked for.
        track: u8,
        /// How many there are.
        tracks: usize,
    },
    /// There are streams, but not one frame of the main one could be decoded.
    #[error(
        "failed to decode anything of the source's {what} ({detail}); is it damaged, encrypted, in a codec that is not supported, or kept in another file?"
    )]
    NothingDecodes {
        /// "picture" or "sound".
        what: &'static str,
        /// The tool's words.
        detail: String,
    },
    /// A tool reached a limit.
    #[error(
        "failed to read the source within the limits of {tool}: {what}; for memory raise worker.childMemoryMiB, for time spec.execution.maxDuration"
    )]
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
            Self::NoTrack { .. } => Reason::SoundTrackMissing,
            Self::NotMedia { .. } | Self::NoStreams | Self::NothingDecodes { .. } => Reason::SourceNotMedia,
            Self::Truncated { .. } => Reason::SourceTruncated,
            Self::TooManyStreams { .. } | Self::TooLarge { .. } => Reason::SourceTooLarge,
            Self::Limit { .. } | Self::Crash { .. } => Reason::LimitExceeded,
            Self::Unreadable { .. } | Self::Sandbox(_) => Reason::Internal,
        }
    }

    /// From a decoder that gave nothing of the source's `what`.
    pub(crate) fn of_nothing(what: &'static str, finished: &Finished) -> Self {
        let said = &finished.stderr;
        if finished.lacked_memory() {
            Self::Limit { tool: Tool::Ffmpeg, what: "memory" }
        } else if stated_pixels(said).is_some_and(|pixels| pixels > super::MAX_PIXELS) {
            Self::TooLarge { what: "the picture, in pixels,", limit: super::MAX_PIXELS }
        } else {
            Self::NothingDecodes { what, detail: last_words(said) }
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
        if finished.lacked_memory() {
            Self::Limit { tool, what: "memory" }
        } else if said.contains("max_streams") {
            Self::TooManyStreams { limit: super::MAX_STREAMS }
        } else if said.contains("moov atom not found") || said.contains("End of file") {
            Self::Truncated { detail }
        } else {
            Self::NotMedia { detail: foreign_format(said).map_or(detail, |format| format!("it looks like {format}")) }
        }
    }
}

/// Pixels of a picture whose size a decoder refused.
fn stated_pixels(stderr: &str) -> Option<u64> {
    let (_, size) = stderr.split_once("Picture size ")?;
    let (width, height) = size.split_ascii_whitespace().next()?.split_once('x')?;
    width.parse::<u64>().ok()?.checked_mul(height.parse().ok()?)
}

/// The format that a file is in, by `FFmpeg`'s name, where it is none that is opened.
fn foreign_format(stderr: &str) -> Option<&str> {
    let (before, _) = stderr.split_once("] Format not on whitelist")?;
    let (format, _) = before.rsplit_once('[')?.1.split_once(ADDRESS)?;
    Some(format.trim_end())
}

/// The last line that says something of the source, without control characters and addresses, cut to size: the same words for
/// the same source each time, because they end up in conditions.
pub(crate) fn last_words(stderr: &str) -> String {
    let words = |line: &str| {
        let plain: String = without_addresses(line).chars().filter(|c| !c.is_control()).collect();
        plain.trim().chars().take(MAX_DETAIL).collect::<String>()
    };
    let says = |words: &String| !words.is_empty() && !AFTERTHOUGHTS.iter().any(|after| words.contains(after));
    stderr.lines().rev().map(words).find(says).unwrap_or_else(|| "no message".to_owned())
}

/// Without what `FFmpeg` puts before its words to say who speaks, as in `[vist#0:0/h264 @ 0x55d0c8] [dec:h264 @ 0x55d0c9] `, and
/// without addresses elsewhere: they differ from run to run.
fn without_addresses(line: &str) -> String {
    let mut words = line.trim_start().trim_start_matches(SOURCE);
    while let Some((speaker, rest)) = words.strip_prefix('[').and_then(|words| words.split_once(']')) {
        // What a file itself put into brackets is its own affair.
        if !speaker.contains(ADDRESS) {
            break;
        }
        words = rest.trim_start();
    }
    let mut kept = String::with_capacity(words.len());
    while let Some((before, after)) = words.split_once(ADDRESS) {
        kept.push_str(before.trim_end());
        words = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    kept.push_str(words);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tools_words_are_the_same_wherever_in_memory_it_spoke() {
        for (said, told) in [
            ("[h264 @ 0x55d0c8e3a2c0] error while decoding MB 5 7", "error while decoding MB 5 7"),
            (
                "[vist#0:0/h264 @ 0x5601] [dec:h264 @ 0x5602] Error submitting packet: [a] Invalid data",
                "Error submitting packet: [a] Invalid data",
            ),
            ("[mov,mp4 @ 0x7f] stream 0\n[in#0 @ 0x7f00aa] Error at tag 0x31637661\n\n", "Error at tag 0x31637661"),
            ("Decoder h264 @ 0x5588f failed", "Decoder h264 failed"),
            ("[title] not a prefix of FFmpeg's", "[title] not a prefix of FFmpeg's"),
            ("[broken @ 0x12", "[broken"),
            (
                "Invalid SOS\n[vist#0:0/mjpeg @ 0x1] Terminating thread with return code -1\n[out#0 @ 0x2] Nothing was written into output file, because",
                "Invalid SOS",
            ),
            ("Conversion failed!\n", "no message"),
            ("fd:: Invalid argument\n", "Invalid argument"),
            ("@ 0x7f00 at the beginning", "at the beginning"),
            ("\u{1b}[31m\n", "[31m"),
            ("it failed\n[h264 @ 0x55d0c8e3a2c0] \n\u{7}\n", "it failed"),
            ("", "no message"),
        ] {
            assert_eq!(last_words(said), told, "{said:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_format_and_the_size_that_a_tool_spoke_of() {
        let finished = |stderr: &str| Finished {
            end: End::Code(1),
            stderr: stderr.to_owned(),
            wall: std::time::Duration::ZERO,
            cpu: std::time::Duration::ZERO,
        };
        let list = "[in#0 @ 0x1] x\n[concat @ 0x7f67] Format not on whitelist 'mov,matroska'\nfd:: Invalid argument\n";
        let refusal = Refusal::from_tool(Tool::Ffprobe, &finished(list));
        assert!(refusal.to_string().contains("(it looks like concat)"), "{refusal}");
        for (said, reason) in [
            ("[mjpeg @ 0x1] [IMGUTILS @ 0x2] Picture size 16384x16384 is invalid", Reason::SourceTooLarge),
            ("[png @ 0x1] Picture size 20000x10000 exceeds specified max pixel count 134217728", Reason::SourceTooLarge),
            ("[mjpeg @ 0x1] Picture size 0x0 is invalid", Reason::SourceNotMedia),
            ("Picture size 16384x16384 is invalid\nCannot allocate memory", Reason::LimitExceeded),
            ("[png @ 0x1] pthread_create() failed: Resource temporarily unavailable", Reason::LimitExceeded),
        ] {
            assert_eq!(Refusal::of_nothing("picture", &finished(said)).reason(), reason, "{said}");
        }
    }
}
