//! Reads `FFmpeg`'s pipes: a line that tells a frame's time, then the frame. Reads pipes on threads of its own.

use super::recipe::Size;
use crate::{
    cpu,
    sandbox::{SandboxError, Tool},
};
use nix::fcntl::{FcntlArg, fcntl};
use showrunner_timeline::{Ticks, TimeBase};
use std::{
    io::{self, BufRead as _, BufReader, PipeReader, Read},
    os::fd::OwnedFd,
    sync::mpsc::SyncSender,
    thread::JoinHandle,
    time::Duration,
};

/// What `FFmpeg` writes before each frame (`-stats_enc_pre_fmt`).
pub(crate) const LINE: &str = "{pts} {tb} {samp}";
/// Longest line, bytes: two 64-bit numbers and a fraction fit twice.
pub(crate) const MAX_LINE: usize = 128;
/// Wanted pipe capacity, bytes: many glances at once. What the kernel allows a user without privileges by default.
const PIPE_BYTES: i32 = 1 << 20;

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// `None` when the frame has no time.
    pub(crate) pts: Option<Ticks>,
    pub(crate) base: TimeBase,
    /// Of sound; 0 for a picture.
    pub(crate) samples: usize,
}

impl Head {
    /// `FFmpeg`'s "no time" is the smallest integer.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let pts: i64 = fields.next()?.parse().ok()?;
        let base = fields.next()?.parse().ok()?;
        let samples = fields.next()?.parse().ok()?;
        fields.next().is_none().then_some(Self { pts: (pts != i64::MIN).then_some(Ticks(pts)), base, samples })
    }
}

/// A picture as it came.
pub(super) struct Item {
    pub(super) head: Head,
    pub(super) size: Size,
    pub(super) rgb: Vec<u8>,
    pub(super) kind: Kind,
}

/// Which of a frame's pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Glance,
    Sample,
    Candidate,
}

/// Lines of times, one frame after another.
pub(crate) struct Heads {
    lines: BufReader<PipeReader>,
    line: Vec<u8>,
}

impl Heads {
    pub(crate) fn new(times: PipeReader) -> Self {
        Self { lines: BufReader::new(times), line: Vec::with_capacity(MAX_LINE) }
    }

    /// The next frame's head; `None` after the last.
    pub(crate) fn next(&mut self) -> io::Result<Option<Head>> {
        self.line.clear();
        self.lines.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(None);
        }
        let head = std::str::from_utf8(&self.line).ok().and_then(Head::parse);
        head.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a frame's time could not be understood"))
    }
}

/// A pipe for a child to write to: our end, and the child's.
pub(crate) fn pipe(tool: Tool) -> Result<(PipeReader, OwnedFd), SandboxError> {
    let (reader, writer) = io::pipe().map_err(|source| SandboxError::Start { tool, source })?;
    widen(&reader);
    Ok((reader, writer.into()))
}

/// Makes a pipe hold more; a matter of speed only, so a kernel that refuses is fine.
pub(crate) fn widen(pipe: &impl std::os::fd::AsFd) {
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
}

/// Reads pictures until the child closes its end or the receiver is gone. Gives the processor time that took.
pub(super) fn read_pictures(
    mut data: impl Read + std::os::fd::AsFd + Send + 'static,
    times: PipeReader,
    size: Size,
    kind: Kind,
    sender: SyncSender<Item>,
) -> JoinHandle<io::Result<Duration>> {
    widen(&data);
    std::thread::spawn(move || {
        let mut heads = Heads::new(times);
        while let Some(head) = heads.next()? {
            let mut rgb = vec![0; size.bytes()];
            match data.read_exact(&mut rgb) {
                Ok(()) => {}
                // Told its time but never came: the decoder was stopped between the two.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
            if sender.send(Item { head, size, rgb, kind }).is_err() {
                break; // the receiver wants no more
            }
        }
        Ok(cpu::of_this_thread())
    })
}

/// A reader's outcome.
pub(super) fn join(reader: JoinHandle<io::Result<Duration>>) -> Result<Duration, SandboxError> {
    let outcome = reader.join().unwrap_or_else(|_| Err(io::Error::other("a reader ended abruptly")));
    outcome.map_err(|source| SandboxError::Read { tool: Tool::Ffmpeg, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_time_base_and_samples_and_anything_else_is_refused() {
        let base = TimeBase::new(1, 12_800).expect("positive");
        assert_eq!(Head::parse("512 1/12800 0\n"), Some(Head { pts: Some(Ticks(512)), base, samples: 0 }));
        assert_eq!(Head::parse("-9223372036854775808 1/12800 1024"), Some(Head { pts: None, base, samples: 1024 }));
        for bad in ["", "512", "512 1/12800", "512 1/0 0", "x 1/2 0", "1 1/2 -1", "1 1/2 0 0", "99999999999999999999 1/2 0"] {
            assert_eq!(Head::parse(bad), None, "{bad}");
        }
    }
}
