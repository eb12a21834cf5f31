//! Decodes the main sound once, to 16 kHz mono with its place on the title's timeline.
//! Runs one `FFmpeg` in the sandbox and reads its pipes.

use crate::{
    picture::{DecodeError, SHORTFALL, Shortfall, Taken, head_time, is_short, much_of, output_times, pipes, quiet, stated_end},
    probe::{Probe, Refusal, Stream, Zero, input_args, last_words},
    sandbox::{End, FIRST_EXTRA_FD, Finished, Limits, Request, Sandbox, SandboxError, Source, Tool},
};
use showrunner_timeline::{Rounding, Ticks, TimeBase};
use std::{
    io::{self, Read},
    time::Duration,
};

/// Samples per second of what is handed over.
pub const SAMPLE_RATE: u32 = 16_000;
/// Most samples of a title: 24 hours.
pub const MAX_SAMPLES: u64 = 24 * 3_600 * SAMPLE_RATE as u64;
/// Most samples of one decoded frame; codecs have at most 64 Ki at 48 kHz and PCM demuxers far less.
const MAX_FRAME: usize = 1 << 20;
/// A frame that is this far from where the one before ended, in samples (40 ms), is moved no more: containers round times to
/// a millisecond and clocks drift, which is no gap.
const JITTER: i64 = 640;
const BYTES_PER_SAMPLE: usize = size_of::<f32>();

/// A stretch of sound without a gap.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// Where its first sample is on the title's timeline, in samples ([`time_base`]); never negative, never before the end of
    /// the chunk before. A jump is a gap in the sound: silence.
    pub start: Ticks,
    /// 16 kHz mono, nominally within -1..=1.
    pub samples: &'a [f32],
}

/// How a decode went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Samples handed over.
    pub samples: u64,
    /// Where the sound starts, in samples; `None` when there was none.
    pub start: Option<Ticks>,
    /// Where it ends, in samples.
    pub end: Ticks,
    /// Samples before the first picture, which nobody hears: not handed over.
    pub before_zero: u64,
    /// Jumps forward longer than jitter.
    pub gaps: u64,
    /// Samples dropped because they lay on top of earlier ones.
    pub overlapping: u64,
    /// The sound is cut short or damaged; times in samples.
    pub shortfall: Option<Shortfall>,
    /// Processor time of the decoder.
    pub cpu: Duration,
}

/// One sixteen-thousandth of a second: what [`Chunk`] counts in.
#[expect(clippy::missing_panics_doc, reason = "a constant that is positive")]
pub fn time_base() -> TimeBase {
    TimeBase::new(1, SAMPLE_RATE).expect("both are positive")
}

/// Decodes the main sound, handing it to `take` on this thread in order. An error from `take` ends the decoder.
///
/// # Panics
/// When `probe` has no sound: check before.
pub fn decode(
    sandbox: &Sandbox,
    source: &Source,
    probe: &Probe,
    limits: Limits,
    take: &mut dyn FnMut(Chunk<'_>) -> Taken,
) -> Result<Summary, DecodeError> {
    let (stream, _) = probe.sound().expect("the caller checked that there is sound");
    let (times, times_end) = pipes::pipe(Tool::Ffmpeg)?;
    let args = arguments(stream);
    let mut running = sandbox.start(Request { tool: Tool::Ffmpeg, args, source, extra: vec![times_end], limits })?;
    let mut data = running.take_stdout().expect("a child's output is piped and taken once");
    pipes::widen(&data);
    let mut heads = pipes::Heads::new(times);
    let mut placing = Placing::new(probe.zero)?;
    let mut samples = Vec::new();
    let read = |source: io::Error| DecodeError::from(SandboxError::Read { tool: Tool::Ffmpeg, source });
    // Each line comes before its frame, so reading one after the other on one thread cannot block for good.
    while let Some(head) = heads.next().map_err(read)? {
        if head.samples > MAX_FRAME {
            return Err(Refusal::TooLarge { what: "a frame of sound, in samples,", limit: MAX_FRAME as u64 }.into());
        }
        match read_samples(&mut data, head.samples, &mut samples) {
            Ok(()) => placing.place(head, &samples, take)?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(read(error)),
        }
    }
    drop((data, heads));
    let finished = running.finish()?;
    placing.summary(stream, probe.zero, &finished)
}

/// The time of the first sample on the container's clock, in the stream's base.
pub(crate) fn first_time(sandbox: &Sandbox, source: &Source, stream: &Stream) -> Result<Ticks, Refusal> {
    head_time(sandbox, source, stream, 'a', "sound")
}

fn arguments(stream: &Stream) -> Vec<String> {
    let mut args = quiet();
    args.extend(["-threads", "1"].map(str::to_owned));
    args.extend(input_args());
    let (map, filter) = (format!("0:{}", stream.index), format!("aresample=osr={SAMPLE_RATE}:ochl=mono:osf=flt"));
    args.extend(["-map", &map, "-af", &filter].map(str::to_owned));
    args.extend(output_times('a', FIRST_EXTRA_FD));
    args.extend(["-c:a", "pcm_f32le", "-f", "f32le", "pipe:1"].map(str::to_owned));
    args
}

fn read_samples(data: &mut impl Read, count: usize, samples: &mut Vec<f32>) -> io::Result<()> {
    let mut bytes = vec![0; count * BYTES_PER_SAMPLE];
    data.read_exact(&mut bytes)?;
    samples.clear();
    samples.extend(bytes.as_chunks().0.iter().map(|bytes| {
        let sample = f32::from_le_bytes(*bytes);
        // Decoders of floating-point sound pass on whatever a file holds.
        if sample.is_finite() { sample } else { 0.0 }
    }));
    Ok(())
}

/// Puts frames of sound onto the title's timeline.
struct Placing {
    /// The title's zero, in samples on the container's clock.
    zero: i64,
    summary: Summary,
    /// Where the clock was first set back, and to what.
    set_back: Option<(Ticks, Ticks)>,
    /// Samples that were dropped because it was.
    behind: i64,
}

impl Placing {
    fn new(zero: Zero) -> Result<Self, Refusal> {
        let zero = zero.base.rescale(zero.at, time_base(), Rounding::Nearest);
        let Ticks(zero) = zero.ok_or_else(|| Refusal::Unreadable { detail: "the title starts at an absurd time".to_owned() })?;
        Ok(Self { zero, summary: Summary::default(), set_back: None, behind: 0 })
    }

    fn place(&mut self, head: pipes::Head, samples: &[f32], take: &mut dyn FnMut(Chunk<'_>) -> Taken) -> Result<(), DecodeError> {
        let expected = self.summary.end.0;
        let stated = head
            .pts
            .and_then(|pts| head.base.rescale(pts, time_base(), Rounding::Nearest))
            .and_then(|at| at.0.checked_sub(self.zero));
        // Without a time of its own a frame follows the one before.
        let mut start = stated.unwrap_or(expected);
        let mut samples = samples;
        if self.summary.start.is_some() && start.abs_diff(expected) <= JITTER.unsigned_abs() {
            start = expected;
        }
        if self.summary.start.is_some() && expected.saturating_sub(start) > time_base().from_millis(SHORTFALL).0 {
            // What lies before the title's beginning goes back to it, as far as people are concerned.
            self.set_back.get_or_insert((Ticks(expected), Ticks(start.max(0))));
            self.behind += (expected.abs_diff(start) as usize).min(samples.len()) as i64;
        }
        if start < 0 {
            let early = (start.unsigned_abs() as usize).min(samples.len());
            self.summary.before_zero += early as u64;
            samples = &samples[early..];
            start = 0;
        }
        if start < expected {
            let covered = (expected.abs_diff(start) as usize).min(samples.len());
            self.summary.overlapping += covered as u64;
            samples = &samples[covered..];
            start = expected;
        }
        if samples.is_empty() {
            return Ok(());
        }
        self.summary.gaps += u64::from(self.summary.start.is_some() && start > expected);
        self.summary.start.get_or_insert(Ticks(start));
        self.summary.samples += samples.len() as u64;
        let end = start.saturating_add(samples.len() as i64);
        if end.unsigned_abs() > MAX_SAMPLES {
            return Err(Refusal::TooLarge { what: "the end of the sound, in samples,", limit: MAX_SAMPLES }.into());
        }
        self.summary.end = Ticks(end);
        take(Chunk { start: Ticks(start), samples }).map_err(DecodeError::Stopped)
    }

    fn summary(mut self, stream: &Stream, zero: Zero, finished: &Finished) -> Result<Summary, DecodeError> {
        match finished.end {
            End::Code(_) if !finished.lacked_memory() => {}
            _ => return Err(Refusal::from_tool(Tool::Ffmpeg, finished).into()),
        }
        if self.summary.start.is_none() && !finished.succeeded() {
            return Err(Refusal::of_nothing("sound", finished).into());
        }
        let stated = stated_end(stream, zero).and_then(|end| zero.base.rescale(end, time_base(), Rounding::Nearest));
        if !finished.succeeded() || stated.is_some_and(|stated| is_short(self.summary.end, stated, time_base(), finished)) {
            let detail = last_words(&finished.stderr);
            self.summary.shortfall = Some(Shortfall { reached: self.summary.end, goes_on: None, stated, detail });
        } else if let Some((from, to)) = self.set_back.filter(|_| self.behind > much_of(self.summary.end, time_base())) {
            let detail = format!("{} samples are of a time that was there before", self.behind);
            self.summary.shortfall = Some(Shortfall { reached: from, goes_on: Some(to), stated, detail });
        }
        self.summary.cpu = finished.cpu;
        Ok(self.summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipes::Head;

    fn placed(frames: &[(Option<i64>, usize)]) -> (Vec<(i64, usize)>, Summary) {
        let zero = Zero { at: Ticks(1_000), base: TimeBase::MILLIS };
        let mut placing = Placing::new(zero).expect("fits");
        let mut got = Vec::new();
        for (pts, count) in frames {
            let head = Head { pts: pts.map(Ticks), base: TimeBase::MILLIS, samples: *count };
            let mut take = |chunk: Chunk<'_>| -> Taken {
                got.push((chunk.start.0, chunk.samples.len()));
                Ok(())
            };
            placing.place(head, &vec![0.5; *count], &mut take).expect("takes all");
        }
        (got, placing.summary)
    }

    #[test]
    fn sound_that_starts_after_the_picture_keeps_its_offset() {
        let (got, summary) = placed(&[(Some(1_500), 1_600), (Some(1_600), 1_600)]);
        assert_eq!(got, [(8_000, 1_600), (9_600, 1_600)]);
        assert_eq!((summary.gaps, summary.start), (0, Some(Ticks(8_000))));
    }

    #[test]
    fn sound_before_the_first_picture_is_not_handed_over() {
        let (got, summary) = placed(&[(Some(900), 800), (Some(950), 1_600)]);
        assert_eq!(got, [(0, 800)]);
        assert_eq!(summary.before_zero, 1_600);
    }

    #[test]
    fn rounded_times_are_no_gaps_and_real_gaps_are_kept() {
        let (got, summary) = placed(&[(Some(1_000), 1_024), (Some(1_065), 1_024), (Some(3_000), 1_024)]);
        assert_eq!(got, [(0, 1_024), (1_024, 1_024), (32_000, 1_024)]);
        assert_eq!(summary.gaps, 1);
    }

    #[test]
    fn sound_on_top_of_earlier_sound_is_dropped() {
        let (got, summary) = placed(&[(Some(1_000), 16_000), (Some(1_500), 16_000)]);
        assert_eq!(got, [(0, 16_000), (16_000, 8_000)]);
        assert_eq!(summary.overlapping, 8_000);
    }

    #[test]
    fn a_frame_without_a_time_follows_the_one_before() {
        let (got, _) = placed(&[(Some(1_500), 160), (None, 160)]);
        assert_eq!(got, [(8_000, 160), (8_160, 160)]);
    }
}
