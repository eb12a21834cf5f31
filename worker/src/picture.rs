//! Decodes the picture once, into a glance of every frame and larger pictures of some, each with its time.
//! Runs one `FFmpeg` in the sandbox and reads its pipes.

pub(crate) mod pipes;
pub mod recipe;

use crate::{
    probe::{Probe, Refusal, Stream, Zero, input_args, last_words},
    sandbox::{End, FIRST_EXTRA_FD, Finished, Limits, Request, Sandbox, SandboxError, Source, Tool},
};
use pipes::{Head, Item, Kind};
use recipe::{Chosen, Recipe, Size};
use showrunner_timeline::{Rounding, Ticks, TimeBase};
use std::{
    collections::BTreeMap,
    error::Error,
    io::Read as _,
    sync::mpsc::{Receiver, sync_channel},
    time::Duration,
};

/// Most frames of a title: 24 hours at 120 a second.
pub const MAX_FRAMES: u64 = 24 * 3_600 * 120;
/// Pictures of any size waiting for a step to take them.
const WAITING: usize = 4;
/// Bytes of larger pictures that may run ahead of the glances before something is wrong: sixty-four of the largest.
const MAX_AHEAD: usize = 64 * recipe::CANDIDATE.bytes();
/// A stated end this much after the last frame still counts as that frame's duration when the decoder met no fault, milliseconds.
const LONGEST_LAST_FRAME: i64 = 10_000;
/// A decoder that met a fault and ended this much before the stated end was cut short, and so much that it gave nothing of is
/// missing: at least so many milliseconds, or this part of the whole. Frames that lie so far before others that came before them
/// are of a clock that was set back.
pub(crate) const SHORTFALL: i64 = 1_000;
const SHORTFALL_PART: i64 = 100;
/// A hole is longer than so many frames usually are.
const USUAL_FRAMES: i64 = 10;
/// Fewer frames of a time that was there before are a mistake in their order.
const FEWEST_BEHIND: u64 = 5;
/// Demuxers of streams that begin anywhere, which a decoder always complains of, and that hold the gaps of their transmission.
const TRANSMITTED: [&str; 2] = ["mpegts", "mpeg"];

/// One picture: packed 8-bit RGB, full range, `width * height * 3` bytes, rows from the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// When it is shown, on the title's timeline: [`Probe::time_base`], the first one at zero.
    pub pts: Ticks,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The pixels.
    pub rgb: Vec<u8>,
}

/// What the decoder hands over, in this order: every frame by its time, and a larger picture some time after the glance of the
/// same `pts` (how long after is not defined, so look by `pts`), those of a kind in order too.
#[derive(Debug)]
pub enum Event {
    /// The glance of a frame, at most 160 pixels wide and high. Every frame has one.
    Frame(Picture),
    /// The analysis picture of some frame, at most 640x360.
    Sample(Picture),
    /// The largest picture of some frame, at most 1280x720: a candidate for a thumbnail.
    Candidate(Picture),
}

/// What to decode, beside the glances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Analysis pictures wanted of each second: the first frame of each such part of it; 0 for none.
    pub samples: u16,
    /// Whether to make candidates, too.
    pub candidates: bool,
    /// Decoder and filter threads. Results do not depend on it.
    pub threads: u32,
    /// What the child may use.
    pub limits: Limits,
}

/// How a decode went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Frames handed over.
    pub frames: u64,
    /// Candidates handed over.
    pub candidates: u64,
    /// Frames that had no time of their own, or one before an earlier frame's: not handed over.
    pub skipped: u64,
    /// Base of all times.
    pub time_base: TimeBase,
    /// When the last frame appears.
    pub last: Ticks,
    /// When the last frame ends: as the container states when that is plausible, else one frame interval after `last`.
    pub end: Ticks,
    /// The title is cut short or damaged.
    pub shortfall: Option<Shortfall>,
    /// Processor time of the decoder and of reading its pictures.
    pub cpu: Duration,
}

/// How far a damaged source could be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// Up to here.
    pub reached: Ticks,
    /// Where it goes on, when it does: later after a hole, earlier where its clock was set back.
    pub goes_on: Option<Ticks>,
    /// Of this much, where that is stated.
    pub stated: Option<Ticks>,
    /// The tool's words.
    pub detail: String,
}

/// Why a decode gave no result.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The source's or the sandbox's fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The receiver wanted no more.
    #[error("stopped by the receiver: {0}")]
    Stopped(#[source] Box<dyn Error + Send + Sync>),
}

impl From<SandboxError> for DecodeError {
    fn from(error: SandboxError) -> Self {
        Self::Refused(error.into())
    }
}

/// What a receiver of pictures or sound answers.
pub type Taken = Result<(), Box<dyn Error + Send + Sync>>;

/// Decodes the main picture, handing everything to `take` on this thread, which blocks the decoder while it works: memory is
/// bounded whatever the source. An error from `take` ends the decoder and comes back as [`DecodeError::Stopped`].
///
/// # Panics
/// When `probe` has no picture: check before.
pub fn decode(
    sandbox: &Sandbox,
    source: &Source,
    probe: &Probe,
    plan: &Plan,
    take: &mut dyn FnMut(Event) -> Taken,
) -> Result<Summary, DecodeError> {
    let (stream, info) = probe.picture().expect("the caller checked that there is a picture");
    let interval = plan.candidates.then(|| recipe::candidate_interval(duration_of(probe, stream)));
    let recipe = Recipe::new(stream.index, info, probe.zero, Chosen { samples: plan.samples, interval });
    let (sender, items) = sync_channel(WAITING);
    let mut readers = Vec::new();
    let mut extra = Vec::new();
    let (times, times_end) = pipes::pipe(Tool::Ffmpeg)?;
    extra.push(times_end);
    let mut larger = Vec::new();
    for (kind, size) in wanted(&recipe) {
        let ((data, data_end), (times, times_end)) = (pipes::pipe(Tool::Ffmpeg)?, pipes::pipe(Tool::Ffmpeg)?);
        extra.extend([data_end, times_end]);
        larger.push((data, times, size, kind));
    }
    let args = arguments(&recipe, plan.threads);
    let mut running = sandbox.start(Request { tool: Tool::Ffmpeg, args, source, extra, limits: plan.limits })?;
    let stdout = running.take_stdout().expect("a child's output is piped and taken once");
    readers.push(pipes::read_pictures(stdout, times, recipe.glance_size(), Kind::Glance, sender.clone()));
    for (data, times, size, kind) in larger {
        readers.push(pipes::read_pictures(data, times, size, kind, sender.clone()));
    }
    drop(sender);

    let mut placing = Placing::new(probe.zero);
    // On an error `items` and `running` go: closed channels stop the readers, and the child is killed.
    placing.drain(items, take)?;
    let finished = running.finish()?;
    let read: Result<Vec<Duration>, _> = readers.into_iter().map(pipes::join).collect();
    let cpu = finished.cpu + read.as_ref().map_or(Duration::ZERO, |times| times.iter().sum());
    placing.broken = read.err();
    placing.summary(probe, stream, &finished).map(|summary| Summary { cpu, ..summary })
}

/// The time of the first presented frame on the container's clock, in the stream's base. Decodes only so far.
pub(crate) fn first_time(sandbox: &Sandbox, source: &Source, stream: &Stream) -> Result<Ticks, Refusal> {
    head_time(sandbox, source, stream, 'v', "picture")
}

/// The time of the first frame that the decoder of `stream` gives; `letter` is `FFmpeg`'s for its type.
pub(crate) fn head_time(
    sandbox: &Sandbox,
    source: &Source,
    stream: &Stream,
    letter: char,
    what: &'static str,
) -> Result<Ticks, Refusal> {
    let (times, times_end) = pipes::pipe(Tool::Ffmpeg)?;
    let mut args = quiet();
    args.extend(input_args());
    let map = format!("0:{}", stream.index);
    args.extend(["-map", &map, &format!("-frames:{letter}"), "1"].map(str::to_owned));
    args.extend(output_times(letter, FIRST_EXTRA_FD));
    args.extend(["-f", "null", "-"].map(str::to_owned));
    let running = sandbox.start(Request { tool: Tool::Ffmpeg, args, source, extra: vec![times_end], limits: Limits::PROBE })?;
    let mut text = String::new();
    let read = times.take(pipes::MAX_LINE as u64).read_to_string(&mut text);
    let finished = running.finish()?;
    read.map_err(|source| SandboxError::Read { tool: Tool::Ffmpeg, source })?;
    let head = text.lines().next().and_then(Head::parse).filter(|head| head.pts.is_some());
    match head.and_then(|head| head.base.rescale(head.pts?, stream.time_base, Rounding::Nearest)) {
        Some(at) => Ok(at),
        None if matches!(finished.end, End::Code(_)) => Err(Refusal::of_nothing(what, &finished)),
        None => Err(Refusal::from_tool(Tool::Ffmpeg, &finished)),
    }
}

/// What every decode starts with. Times stay on the container's clock (`-copyts`): ours is made from it by one subtraction.
pub(crate) fn quiet() -> Vec<String> {
    ["-hide_banner", "-nostdin", "-nostats", "-v", "error", "-copyts"].map(str::to_owned).to_vec()
}

/// Makes `FFmpeg` write one line per frame before the frame itself: its time, that time's base and its number of samples.
pub(crate) fn output_times(letter: char, descriptor: i32) -> Vec<String> {
    let mut args = vec![format!("-stats_enc_pre:{letter}"), format!("pipe:{descriptor}")];
    args.extend([format!("-stats_enc_pre_fmt:{letter}"), pipes::LINE.to_owned()]);
    if letter == 'v' {
        args.extend(["-fps_mode", "passthrough", "-enc_time_base", "demux"].map(str::to_owned));
    }
    args
}

/// The kinds of larger pictures that are made, and their sizes.
fn wanted(recipe: &Recipe) -> impl Iterator<Item = (Kind, Size)> {
    let sized = |kind: Kind, size: Option<Size>| size.map(|size| (kind, size));
    [sized(Kind::Sample, recipe.sample_size()), sized(Kind::Candidate, recipe.candidate_size())].into_iter().flatten()
}

fn arguments(recipe: &Recipe, threads: u32) -> Vec<String> {
    let threads = threads.to_string();
    let mut args = quiet();
    args.extend(["-filter_complex_threads", &threads, "-threads", &threads].map(str::to_owned));
    args.extend(input_args());
    args.extend(["-filter_complex".to_owned(), recipe.graph()]);
    let mut output = |label: &str, times: i32, data: i32| {
        args.extend(["-map", label].map(str::to_owned));
        args.extend(output_times('v', times));
        args.extend(["-c:v", "rawvideo", "-pix_fmt", "rgb24", "-f", "rawvideo", &format!("pipe:{data}")].map(str::to_owned));
    };
    output("[glance]", FIRST_EXTRA_FD, 1);
    for ((kind, _), data) in wanted(recipe).zip((FIRST_EXTRA_FD + 1..).step_by(2)) {
        output(if kind == Kind::Sample { "[sample]" } else { "[candidate]" }, data + 1, data);
    }
    args
}

/// The stream's stated duration in milliseconds, else the container's.
fn duration_of(probe: &Probe, stream: &Stream) -> Option<u64> {
    let own = stream.duration.map(|ticks| stream.time_base.to_millis(ticks).0);
    own.filter(|millis| *millis > 0).or(probe.stated_duration_ms)
}

/// Puts what the readers bring onto the title's timeline and hands it over.
struct Placing {
    zero: Zero,
    frames: u64,
    candidates: u64,
    skipped: u64,
    last: Option<Ticks>,
    interval: Ticks,
    /// Between which frames the longest time lies.
    hole: (Ticks, Ticks),
    /// Where the clock was first set back, and to what.
    set_back: Option<(Ticks, Ticks)>,
    /// Frames that were skipped because it was.
    behind: u64,
    /// Larger pictures whose glance has not come yet.
    ahead: BTreeMap<(Ticks, Kind), Picture>,
    /// Of those.
    bytes: usize,
    /// When the last of each kind is shown.
    lasts: BTreeMap<Kind, Ticks>,
    /// A reader's complaint: the child wrote what it should not have.
    broken: Option<SandboxError>,
}

impl Placing {
    const fn new(zero: Zero) -> Self {
        Self {
            zero,
            frames: 0,
            candidates: 0,
            skipped: 0,
            last: None,
            interval: Ticks::ZERO,
            hole: (Ticks::ZERO, Ticks::ZERO),
            set_back: None,
            behind: 0,
            ahead: BTreeMap::new(),
            bytes: 0,
            lasts: BTreeMap::new(),
            broken: None,
        }
    }

    fn drain(&mut self, items: Receiver<Item>, take: &mut dyn FnMut(Event) -> Taken) -> Result<(), DecodeError> {
        for item in items {
            self.place(item, take)?;
        }
        // Larger pictures of frames that were skipped have no glance and are of no use.
        Ok(())
    }

    fn place(&mut self, item: Item, take: &mut dyn FnMut(Event) -> Taken) -> Result<(), DecodeError> {
        let Some(pts) = self.on_timeline(item.head) else {
            self.skipped += u64::from(item.kind == Kind::Glance);
            return Ok(());
        };
        if pts < Ticks::ZERO {
            if item.kind == Kind::Glance {
                self.skip(pts);
            }
            return Ok(());
        }
        let picture = Picture { pts, width: item.size.width, height: item.size.height, rgb: item.rgb };
        if item.kind != Kind::Glance {
            if self.lasts.get(&item.kind).is_none_or(|last| *last < pts) {
                self.lasts.insert(item.kind, pts);
                self.bytes += picture.rgb.len();
                self.ahead.insert((pts, item.kind), picture);
            }
            if self.bytes > MAX_AHEAD {
                return Err(Refusal::Unreadable { detail: "large pictures came without their frames".to_owned() }.into());
            }
        } else if self.last.is_some_and(|last| pts <= last) {
            self.skip(pts);
        } else {
            self.first_is_zero(pts)?;
            self.interval = self.last.map_or(Ticks::ZERO, |last| pts - last);
            if self.interval > self.hole.1 - self.hole.0 {
                self.hole = (pts - self.interval, pts);
            }
            self.last = Some(pts);
            self.frames += 1;
            if self.frames > MAX_FRAMES {
                return Err(Refusal::TooLarge { what: "the number of frames", limit: MAX_FRAMES }.into());
            }
            take(Event::Frame(picture)).map_err(DecodeError::Stopped)?;
        }
        self.hand_over_larger(take)
    }

    /// A frame of a time that was there before.
    fn skip(&mut self, pts: Ticks) {
        self.skipped += 1;
        if let Some(last) = self.last.filter(|last| *last - pts > self.zero.base.from_millis(SHORTFALL)) {
            self.behind += 1;
            // What lies before the title's beginning goes back to it, as far as people are concerned.
            self.set_back.get_or_insert((last, pts.max(Ticks::ZERO)));
        }
    }

    fn hand_over_larger(&mut self, take: &mut dyn FnMut(Event) -> Taken) -> Result<(), DecodeError> {
        while let (Some(first), Some(last)) = (self.ahead.first_entry(), self.last) {
            let (pts, kind) = *first.key();
            if pts > last {
                break;
            }
            let picture = first.remove();
            self.bytes -= picture.rgb.len();
            let event = if kind == Kind::Sample {
                Event::Sample(picture)
            } else {
                self.candidates += 1;
                Event::Candidate(picture)
            };
            take(event).map_err(DecodeError::Stopped)?;
        }
        Ok(())
    }

    /// `None` for a frame without a time.
    fn on_timeline(&self, head: Head) -> Option<Ticks> {
        let at = head.base.rescale(head.pts?, self.zero.base, Rounding::Nearest)?;
        at.0.checked_sub(self.zero.at.0).map(Ticks)
    }

    /// Where the clock was set back, if so much of the title could not be placed for it that it is not the title any more.
    fn set_back(&self, end: Ticks) -> Option<(Ticks, Ticks, String)> {
        let (from, to) = self.set_back?;
        // A frame takes as long as others do: those that lie behind tell no time of their own.
        let lost = Ticks(end.0 / self.frames.max(1) as i64).0.saturating_mul(self.behind as i64);
        // Of few pictures that are shown for long, one out of order is not a clock.
        (self.behind >= FEWEST_BEHIND && lost > much_of(end, self.zero.base))
            .then(|| (from, to, format!("{} pictures are of a time that was there before", self.behind)))
    }

    /// The longest time without a frame, if the decoder complained and that is why.
    fn hole(&self, end: Ticks, finished: &Finished, detail: impl Fn() -> String) -> Option<(Ticks, Ticks, String)> {
        let (from, to) = self.hole;
        // Where frames are few, one that is shown for long is no loss.
        let usual = end.0 / self.frames.max(1) as i64;
        let is_hole = is_faulty(finished) && (to - from).0 > much_of(end, self.zero.base).max(usual.saturating_mul(USUAL_FRAMES));
        is_hole.then(|| (from, to, detail()))
    }

    fn first_is_zero(&self, pts: Ticks) -> Result<(), Refusal> {
        if self.last.is_none() && pts != Ticks::ZERO {
            let detail = format!("the first frame is at tick {pts} of a timeline that should start with it");
            return Err(Refusal::Unreadable { detail });
        }
        Ok(())
    }

    fn summary(self, probe: &Probe, stream: &Stream, finished: &Finished) -> Result<Summary, DecodeError> {
        match finished.end {
            End::Code(_) if !finished.lacked_memory() => {}
            _ => return Err(Refusal::from_tool(Tool::Ffmpeg, finished).into()),
        }
        let Some(last) = self.last else {
            return Err(Refusal::of_nothing("picture", finished).into());
        };
        if let Some(broken) = self.broken {
            return Err(broken.into());
        }
        let base = self.zero.base;
        let by_interval = last.saturating_add(Ticks(self.interval.0.max(1)));
        let stated = stated_end(stream, self.zero);
        // A container's own duration may be that of a longer sound: it counts only together with a fault.
        let by_container =
            || probe.stated_duration_ms.and_then(|millis| i64::try_from(millis).ok()).map(|millis| base.from_millis(millis));
        let wanted = stated.or_else(|| by_container().filter(|_| is_faulty(finished)));
        let short = wanted.filter(|wanted| is_short(by_interval, *wanted, base, finished));
        let detail = || last_words(&finished.stderr);
        let cut = || Shortfall { reached: by_interval, goes_on: None, stated: wanted, detail: detail() };
        let shortfall = (short.is_some() || !finished.succeeded()).then(cut).or_else(|| {
            let hole = || self.hole(by_interval, finished, detail).filter(|_| !TRANSMITTED.contains(&probe.container.as_str()));
            let (reached, goes_on, detail) = self.set_back(by_interval).or_else(hole)?;
            Some(Shortfall { reached, goes_on: Some(goes_on), stated: wanted, detail })
        });
        let end = stated.filter(|stated| shortfall.is_none() && last < *stated).unwrap_or(by_interval);
        let (frames, candidates, skipped, time_base) = (self.frames, self.candidates, self.skipped, base);
        Ok(Summary { frames, candidates, skipped, time_base, last, end, shortfall, cpu: finished.cpu })
    }
}

/// Where the stream says that it ends, on the title's timeline.
pub(crate) fn stated_end(stream: &Stream, zero: Zero) -> Option<Ticks> {
    let end = stream.start?.0.checked_add(stream.duration.filter(|ticks| ticks.0 > 0)?.0)?;
    let end = stream.time_base.rescale(Ticks(end), zero.base, Rounding::Nearest)?;
    Some(end.saturating_sub(zero.at))
}

/// More than this is a loss, of something that long; ticks.
pub(crate) fn much_of(whole: Ticks, base: TimeBase) -> i64 {
    base.from_millis(SHORTFALL).0.max(whole.0 / SHORTFALL_PART)
}

/// Whether ending at `end` is too early for something that should end at `wanted`.
pub(crate) fn is_short(end: Ticks, wanted: Ticks, base: TimeBase, finished: &Finished) -> bool {
    let allowed = if is_faulty(finished) { SHORTFALL } else { LONGEST_LAST_FRAME };
    wanted.saturating_sub(end).0 > base.from_millis(allowed).0.max(wanted.0 / SHORTFALL_PART)
}

/// Whether the decoder complained.
fn is_faulty(finished: &Finished) -> bool {
    !finished.succeeded() || !finished.stderr.trim().is_empty()
}
