//! The streaming face of the engine: takes frames one by one, keeps a window of descriptors, collects what was found.
//! Pure; no I/O.

use std::{collections::VecDeque, fmt};

use showrunner_timeline::{Ticks, TimeBase};

use crate::{
    Shot,
    assemble::{Findings, FlatRun, Mark, Mix, assemble},
    compare::unlikeness,
    cut::{self, CutFinder, Verdict},
    feature::{Feature, LUMA_W},
    gradual,
    judge::{self, Judge, SecondOpinion},
    window::Window,
};

/// This many frames after a frame, nothing of what was found up to it changes any more. The slowest to settle is a mix that a
/// surer one replaces: the two overlap, the second's ends lie a lookahead around its middle, and that is judged one later.
pub const SETTLED_AFTER: usize = gradual::LONGEST + 2 * gradual::LOOKAHEAD + judge::AHEAD;
/// Frames held: as many before a judged middle as after it, and a few more for cuts.
const WINDOW: usize = 2 * gradual::LOOKAHEAD + judge::AHEAD;
/// Widest or highest frame accepted.
const MAX_SIDE: u32 = 16_384;
/// More shot changes than this in one title are refused: a day of one-second shots stays below.
const MAX_CHANGES: usize = 100_000;
/// A mix longer than this is weather, not a transition.
const LONGEST_MIX_MS: i64 = 5_000;
/// A flat run up to this long between two sights of the same picture is a flash or a dropout.
const LONGEST_FLASH_MS: i64 = 500;
/// A fade goes on while contrast rises by at least this part of what it rose by so far, frame for frame...
const RAMP_RISE: f32 = 0.35;
/// ...but for so many frames.
const RAMP_PATIENCE: usize = 2;

/// One decoded picture.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Packed rgb24, row by row from the top left, `width * height * 3` bytes.
    pub rgb: &'a [u8],
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Presentation time; later than that of the frame before.
    pub pts: Ticks,
}

/// What is known about a frame as soon as it was pushed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    /// Mean movement of the picture's blocks since the frame before, as a share of the picture's width (0 to about 0.1); 0
    /// where the picture jumped.
    pub motion: f32,
}

/// Why frames were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The buffer's length is not `width * height * 3`, or a side is 0 or above 16384.
    Shape {
        /// Bytes given.
        bytes: usize,
        /// Width stated.
        width: u32,
        /// Height stated.
        height: u32,
    },
    /// A frame's time is not after that of the frame before, or the end is not after the last frame.
    Order {
        /// The time before.
        before: Ticks,
        /// The time given.
        given: Ticks,
    },
    /// The title has more shot changes than any real one.
    TooManyChanges,
    /// No frame was pushed.
    NoFrames,
    /// Who is asked about cuts could not answer.
    Judge(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { bytes, width, height } => write!(
                f,
                "failed to read a frame: {bytes} bytes for {width}x{height} rgb24, need width * height * 3 and sides of 1 to {MAX_SIDE}"
            ),
            Self::Order { before, given } => {
                write!(f, "failed to place a frame: time {given} does not follow {before}; give frames in presentation order")
            }
            Self::TooManyChanges => {
                write!(
                    f,
                    "failed to keep shots: more than {MAX_CHANGES} shot changes; check that the source is a video of pictures"
                )
            }
            Self::Judge(why) => write!(f, "failed to ask about a cut: {why}"),
            Self::NoFrames => f.write_str("failed to find shots: the title has no video frame"),
        }
    }
}

impl std::error::Error for Error {}

/// Finds shots in a stream of frames.
pub struct Detector {
    base: TimeBase,
    window: Window,
    /// Times of the frames in the window, in step with it.
    times: VecDeque<Ticks>,
    cuts: CutFinder,
    opinion: Option<SecondOpinion>,
    cuts_judged: usize,
    mixes_judged: usize,
    /// Of overlapping mixes, the best so far, and its score.
    pending: Option<(Mix, f32)>,
    flat: Option<OpenFlat>,
    /// The last flat run, if it was short, and the frame until which it may turn out to have been a flash.
    fading: Option<(OpenFlat, usize)>,
    /// After a flat run, while contrast rises: for how many frames it has not.
    rising: Option<usize>,
    found: Findings,
}

/// A run of flat frames that has not ended yet.
struct OpenFlat {
    first: Mark,
    /// The last frame at full strength before it.
    from: Mark,
    /// The last frame before it, none at the beginning of the title.
    before: Option<Feature>,
    /// How the material moved before it.
    restless: f32,
}

impl OpenFlat {
    /// The run, if the title ends with it.
    fn until(&self, end: Mark) -> FlatRun {
        FlatRun {
            first: self.first,
            next: end,
            at_start: self.before.is_none(),
            at_end: true,
            flash: false,
            from: self.from,
            to: end,
        }
    }
}

impl Detector {
    /// A detector for a stream whose frames are timed in `base`.
    pub fn new(base: TimeBase) -> Self {
        Self {
            base,
            window: Window::new(WINDOW),
            times: VecDeque::with_capacity(WINDOW + 1),
            cuts: CutFinder::default(),
            opinion: None,
            cuts_judged: 0,
            mixes_judged: 0,
            pending: None,
            flat: None,
            fading: None,
            rising: None,
            found: Findings::default(),
        }
    }

    /// Who is asked about cuts that the rules doubt. Before the first frame.
    #[must_use]
    pub fn asking(self, judge: Box<dyn Judge>) -> Self {
        Self { opinion: Some(SecondOpinion::new(judge)), ..self }
    }

    /// Frames that must be known after a frame before it is judged as a cut.
    const fn ahead(&self) -> usize {
        if self.opinion.is_some() { judge::AHEAD - 1 } else { cut::LOOKAHEAD }
    }

    /// Takes the next frame. Frames may change size; they are compared scaled to one picture.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Order`] (both leave the detector as it was), [`Error::TooManyChanges`] or [`Error::Judge`].
    pub fn push(&mut self, frame: Frame<'_>) -> Result<Observed, Error> {
        let Frame { rgb, width, height, pts } = frame;
        let side = 1..=MAX_SIDE;
        if !side.contains(&width) || !side.contains(&height) || rgb.len() as u64 != u64::from(width) * u64::from(height) * 3 {
            return Err(Error::Shape { bytes: rgb.len(), width, height });
        }
        if let Some(&before) = self.times.back().filter(|before| **before >= pts) {
            return Err(Error::Order { before, given: pts });
        }
        let feature = Feature::measure(rgb, width as usize, height as usize);
        if let Some(opinion) = &mut self.opinion {
            opinion.see(rgb, (width as usize, height as usize));
        }
        let flat = feature.flat;
        let motion = self.window.push(feature);
        self.times.push_back(pts);
        if self.times.len() > WINDOW {
            self.times.pop_front();
        }
        self.follow_flat(flat);
        while self.cuts_judged + self.ahead() < self.window.end() {
            self.judge_cut()?;
        }
        // As far behind the cuts as ever: a mix lies between two of them.
        while self.mixes_judged + gradual::LOOKAHEAD + self.ahead() - cut::LOOKAHEAD < self.window.end() {
            self.judge_mix();
        }
        if self.found.changes() > MAX_CHANGES {
            return Err(Error::TooManyChanges);
        }
        // Blocks matched across a jump moved nowhere.
        let jumped = self.window.step(self.window.end() - 1) >= cut::FLOOR;
        Ok(Observed { motion: if jumped { 0.0 } else { motion / LUMA_W as f32 } })
    }

    /// The shots from the one that starts at `since` on, if the title ended with the last frame pushed. Of the last
    /// [`SETTLED_AFTER`] frames other things may be found yet; what is told of those before them is what
    /// [`finish`](Self::finish) will say. Empty before the first frame.
    pub fn so_far(&self, since: Ticks) -> Vec<Shot> {
        let Some(last) = self.times.back() else { return Vec::new() };
        let end = last.saturating_add(Ticks(1));
        let mut found = self.found.since(since);
        found.mixes.extend(self.pending.map(|(mix, _)| mix).filter(|mix| self.lasts(mix)));
        found.flats.extend(self.flat.as_ref().map(|open| open.until(Mark { index: self.window.end(), pts: end })));
        assemble(found, end)
    }

    /// Ends the title at `end` (the last frame's time plus its duration) and gives its shots, and how many frames whoever is asked was
    /// shown: at most a fifth of the title's, and a hundred.
    ///
    /// # Errors
    /// [`Error::NoFrames`], [`Error::Judge`], or [`Error::Order`] when `end` is not after the last frame.
    pub fn finish(mut self, end: Ticks) -> Result<(Vec<Shot>, usize), Error> {
        let last = *self.times.back().ok_or(Error::NoFrames)?;
        if end <= last {
            return Err(Error::Order { before: last, given: end });
        }
        while self.cuts_judged < self.window.end() {
            self.judge_cut()?;
        }
        while self.mixes_judged < self.window.end() {
            self.judge_mix();
        }
        if let Some((best, _)) = self.pending.take() {
            self.keep(best);
        }
        if let Some(open) = self.flat.take() {
            self.found.flats.push(open.until(Mark { index: self.window.end(), pts: end }));
        }
        Ok((assemble(self.found, end), self.opinion.as_ref().map_or(0, SecondOpinion::shown)))
    }

    fn mark(&self, index: usize) -> Mark {
        let place = index.saturating_sub(self.window.first()).min(self.times.len() - 1);
        Mark { index, pts: self.times[place] }
    }

    fn follow_flat(&mut self, flat: bool) {
        let at = self.window.end() - 1;
        let here = self.mark(at);
        if self.found.start.is_none() {
            self.found.start = Some(here.pts);
        }
        match (&self.flat, flat) {
            (None, true) => {
                let before = at.checked_sub(1).map(|before| self.window.get(before).clone());
                let restless = cut::restless_before(&self.window, at);
                let from = self.mark(self.ramp_start(at));
                self.flat = Some(OpenFlat { first: here, from, before, restless });
                self.rising = None;
            }
            (Some(open), false) => {
                let at_start = open.before.is_none();
                let (first, from) = (open.first, open.from);
                self.found.flats.push(FlatRun { first, next: here, at_start, at_end: false, flash: false, from, to: here });
                self.rising = Some(0);
                let short = here.pts.saturating_sub(open.first.pts) <= self.base.from_millis(LONGEST_FLASH_MS);
                self.fading = self.flat.take().filter(|_| short).map(|open| (open, at + cut::FLASH));
            }
            _ => {}
        }
        self.follow_flash(at);
        self.follow_ramp(at);
    }

    /// The last frame at full strength before the flat frame `at`: going back from it, contrast rises for as long as the fade
    /// lasts. The frame before `at` where it does not.
    fn ramp_start(&self, at: usize) -> usize {
        let (mut best, mut tried) = (at, at);
        while tried > self.window.first() && best - tried < RAMP_PATIENCE && at - best < gradual::LONGEST / 2 {
            tried -= 1;
            if self.rises(at, best, tried) {
                best = tried;
            }
        }
        best
    }

    /// Whether contrast still rises at frame `next` as it did from the flat frame to frame `full`.
    fn rises(&self, flat: usize, full: usize, next: usize) -> bool {
        let contrast = |at: usize| self.window.get(at).contrast;
        let so_far = contrast(full) / full.abs_diff(flat).max(1) as f32;
        contrast(next) - contrast(full) > RAMP_RISE * so_far * next.abs_diff(full) as f32
    }

    /// The same after a flat run, as the frames come.
    fn follow_ramp(&mut self, at: usize) {
        let (Some(since), false) = (self.rising, self.flat.is_some()) else { return };
        let here = self.mark(at);
        let Some(run) = self.found.flats.last().copied() else { return };
        if at == run.next.index || self.rises(run.next.index - 1, run.to.index, at) {
            self.found.flats.last_mut().expect("there is a last one").to = here;
            self.rising = Some(0);
        } else if since >= RAMP_PATIENCE || at - run.next.index >= gradual::LONGEST / 2 {
            self.rising = None;
        } else {
            self.rising = Some(since + 1);
        }
    }

    /// Whether the picture from before a short flat run is back, at once or as its light fades: then it was a flash.
    fn follow_flash(&mut self, at: usize) {
        let Some((open, until)) = &self.fading else { return };
        let limit = cut::same_picture(open.restless, at + 1 - open.first.index);
        let back = open.before.as_ref().is_some_and(|before| unlikeness(before, self.window.get(at)) < limit);
        if back && let Some(run) = self.found.flats.last_mut() {
            run.flash = true;
        }
        if back || at >= *until || self.flat.is_some() {
            self.fading = None;
        }
    }

    fn judge_cut(&mut self) -> Result<(), Error> {
        let at = self.cuts_judged;
        self.cuts_judged += 1;
        let stands = match (self.cuts.judge(&self.window, at), &mut self.opinion) {
            (Verdict::Nothing, _) => false,
            (Verdict::Doubtful, Some(opinion)) => opinion.allows(at).map_err(Error::Judge)?,
            (Verdict::Cut | Verdict::Doubtful, _) => true,
        };
        if stands {
            self.cuts.keep(at);
            self.found.cuts.push(self.mark(at));
        }
        Ok(())
    }

    fn judge_mix(&mut self) {
        let middle = self.mixes_judged;
        self.mixes_judged += 1;
        // A mix lies between two cuts; both are known this far.
        let next = self.found.cuts.partition_point(|cut| cut.index <= middle);
        let low = next.checked_sub(1).map_or(0, |i| self.found.cuts[i].index).max(self.window.first());
        let high = self.found.cuts.get(next).map_or(self.window.end(), |cut| cut.index) - 1;
        let Some(ramp) = gradual::find(&self.window, middle, low, high) else { return };
        // Marked now: later the window may have moved on.
        let middle = self.mark(usize::midpoint(ramp.from, ramp.to + 1));
        let mix = Mix { from: self.mark(ramp.from), middle, to: self.mark(ramp.to) };
        match self.pending {
            Some((best, score)) if mix.from.index < best.to.index => {
                if ramp.score > score {
                    self.pending = Some((mix, ramp.score));
                }
            }
            _ => {
                if let Some((best, _)) = self.pending.replace((mix, ramp.score)) {
                    self.keep(best);
                }
            }
        }
    }

    fn keep(&mut self, mix: Mix) {
        if self.lasts(&mix) {
            self.found.mixes.push(mix);
        }
    }

    /// Whether a mix is short enough for a transition.
    fn lasts(&self, mix: &Mix) -> bool {
        mix.to.pts.saturating_sub(mix.from.pts) <= self.base.from_millis(LONGEST_MIX_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_window_however_long_the_title() {
        let mut detector = Detector::new(TimeBase::MILLIS);
        let rgb: Vec<u8> = (0..48 * 27 * 3).map(|i| (i * 31 % 251) as u8).collect();
        for n in 0..1_000 {
            detector.push(Frame { rgb: &rgb, width: 48, height: 27, pts: Ticks(n * 40) }).expect("frames are in order");
            assert!(detector.times.len() <= WINDOW && detector.window.end() - detector.window.first() == detector.times.len());
        }
        assert_eq!(detector.found.changes(), 0);
    }
}
