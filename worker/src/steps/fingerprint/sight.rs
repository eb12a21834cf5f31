//! A picture a second, hashed inside the title's black bars. No I/O.
//!
//! Where the bars are is known when the title has been seen, so small pictures wait for it: 100 MiB of them, which are two hours in
//! 16:9. A longer title's bars are those of its beginning.
//!
//! For a query each picture is also seen in a hundred looks, 16 bytes each: 12 MB for two hours.

use super::super::{Longest, StepFailed, part_begins, sheet::shrink};
use crate::{
    failure::internal,
    fanout::{StepError, Viewer},
    picture::Picture,
};
use showrunner_contracts::result::Failure;
use showrunner_fingerprint::{BarFinder, Bars, Code, Look, Painter, Seen, looks};
use showrunner_timeline::{Ticks, TimeBase};
use std::mem::take;

/// Least sides of the pictures that are hashed, where the title has as many pixels: with 160x90 the engine was measured.
const LONGER_SIDE: u32 = 160;
const SHORTER_SIDE: u32 = 90;
/// Most bytes of pictures that wait.
const MOST_WAITING: usize = 100 << 20;

/// Luma of a small picture.
struct Small {
    luma: Vec<u8>,
    width: usize,
    height: usize,
}

/// Looks at a picture a second.
pub struct Painting {
    base: TimeBase,
    longest: Longest,
    /// Second whose picture comes next.
    next: i64,
    /// For how many seconds each picture stands.
    stands: Vec<u32>,
    finder: BarFinder,
    waiting: Vec<Small>,
    bytes: usize,
    most_bytes: usize,
    /// Whether the title is seen in every look, or as it is alone.
    query: bool,
    /// Once nothing waits any more.
    painter: Option<(Bars, Painter)>,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Painted {
    /// One for each second that has begun.
    pub frames: Vec<Seen>,
    /// The same in each look; none without a query.
    pub looks: Vec<(Look, Vec<Code>)>,
    /// What was cut off.
    pub bars: Bars,
}

impl Painting {
    /// For frames timed in `base`.
    pub fn new(base: TimeBase, longest: Longest, query: bool) -> Self {
        Self {
            base,
            longest,
            next: 0,
            stands: Vec::new(),
            finder: BarFinder::default(),
            waiting: Vec::new(),
            bytes: 0,
            most_bytes: MOST_WAITING,
            query,
            painter: None,
        }
    }

    /// All that was seen; the last picture is shown until `end`.
    pub fn finish(mut self, end: Ticks) -> Result<Painted, Failure> {
        while self.starts(self.next) < end {
            self.show_on();
        }
        self.settle()?;
        let (bars, painter) = self.painter.ok_or_else(|| internal("pictures wait to be hashed after the title's end"))?;
        let (frames, looks) = painter.finish();
        let looks = looks.into_iter().map(|(look, codes)| (look, shown(codes, &self.stands))).collect();
        Ok(Painted { frames: shown(frames, &self.stands), looks, bars })
    }

    /// The picture that was taken last is that of the next second, too.
    fn show_on(&mut self) {
        if let Some(last) = self.stands.last_mut() {
            *last += 1;
        }
        self.next += 1;
    }

    fn starts(&self, second: i64) -> Ticks {
        part_begins(self.base, second, 1)
    }

    fn take(&mut self, small: Small) -> Result<(), Failure> {
        if let Some((_, painter)) = &mut self.painter {
            return paint(painter, &small);
        }
        self.finder.look(&small.luma, small.width, small.height);
        self.bytes += small.luma.len();
        self.waiting.push(small);
        if self.bytes > self.most_bytes { self.settle() } else { Ok(()) }
    }

    /// Decides where the bars are, and hashes what has waited for it.
    fn settle(&mut self) -> Result<(), Failure> {
        if self.painter.is_none() {
            let bars = self.finder.bars();
            let mut painter = Painter::new(bars, if self.query { looks(&bars) } else { Vec::new() });
            take(&mut self.waiting).iter().try_for_each(|small| paint(&mut painter, small))?;
            self.painter = Some((bars, painter));
        }
        Ok(())
    }
}

/// One for each second, from one for each picture and the seconds that it stands for.
fn shown<T: Copy>(pictures: Vec<T>, stands: &[u32]) -> Vec<T> {
    if stands.iter().all(|seconds| *seconds == 1) {
        return pictures;
    }
    pictures.into_iter().zip(stands).flat_map(|(picture, seconds)| std::iter::repeat_n(picture, *seconds as usize)).collect()
}

fn paint(painter: &mut Painter, small: &Small) -> Result<(), Failure> {
    painter.paint(&small.luma, small.width, small.height).map_err(internal)
}

impl Viewer for Painting {
    fn sample(&mut self, picture: &Picture) -> Result<(), StepError> {
        let pts = picture.pts;
        self.longest.check(pts).map_err(StepFailed)?;
        if pts < self.starts(self.next) {
            return Ok(());
        }
        // Seconds that had no picture of their own.
        while self.starts(self.next + 1) <= pts {
            self.show_on();
        }
        self.next += 1;
        self.stands.push(1);
        self.take(small(picture)).map_err(|failure| StepFailed(failure).into())
    }
}

/// Luma (Rec. 601, as PDQ takes it) of the picture averaged down.
fn small(picture: &Picture) -> Small {
    let (width, height) = (picture.width, picture.height);
    let (longer, shorter) = (width.max(height), width.min(height).max(1));
    let side = LONGER_SIDE.max((SHORTER_SIDE * longer).div_ceil(shorter)).min(longer);
    let small = shrink(&picture.rgb, (width, height), (side, side));
    let luma = |[r, g, b]: &[u8; 3]| ((299 * u32::from(*r) + 587 * u32::from(*g) + 114 * u32::from(*b) + 500) / 1_000) as u8;
    Small {
        luma: small.pixels.as_chunks().0.iter().map(luma).collect(),
        width: small.width as usize,
        height: small.height as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Longest = Longest { ticks: Ticks(i64::MAX), seconds: u32::MAX };

    /// Patches of light between points that a seed sets, inside a frame of black.
    fn drawn(pts: i64, seed: u32, frame: u32) -> Picture {
        let (width, height) = (160, 90 + 2 * frame);
        let point = |x: u32, y: u32| {
            let mixed = (seed * 7_919 + y * 211 + x * 17 + 1).wrapping_mul(2_654_435_761);
            40.0 + (mixed >> 16 & 127) as f32
        };
        // From one point to the next, six pixels on.
        let between = |x: u32, y: u32, share: f32| point(x, y) * (1.0 - share) + point(x + 1, y) * share;
        let shade = |x: u32, y: u32| {
            let (across, down) = ((x % 6) as f32 / 6.0, (y % 6) as f32 / 6.0);
            (between(x / 6, y / 6, across) * (1.0 - down) + between(x / 6, y / 6 + 1, across) * down) as u8
        };
        let inside = |y: u32| y.checked_sub(frame).filter(|y| *y < 90);
        let pixel = |x, y| inside(y).map_or(16, |y| shade(x, y));
        let rgb = (0..height).flat_map(|y| (0..width).flat_map(move |x| [pixel(x, y); 3])).collect();
        Picture { pts: Ticks(pts), width, height, rgb }
    }

    fn painted(pictures: &[Picture], most_bytes: usize, end: i64) -> Painted {
        painted_for(pictures, most_bytes, end, false)
    }

    fn painted_for(pictures: &[Picture], most_bytes: usize, end: i64, query: bool) -> Painted {
        let mut painting = Painting { most_bytes, ..Painting::new(TimeBase::MILLIS, LONGEST, query) };
        for picture in pictures {
            painting.sample(picture).expect("looks");
            assert!(painting.bytes <= most_bytes + 160 * 150, "{} bytes wait", painting.bytes);
        }
        painting.finish(Ticks(end)).expect("hashes")
    }

    #[test]
    fn the_picture_inside_its_bars_is_hashed_whenever_the_bars_were_decided() {
        let title = |frame: u32| (0..24_u32).map(|n| drawn(i64::from(n) * 500, n / 4, frame)).collect::<Vec<_>>();
        let plain = painted(&title(0), MOST_WAITING, 12_000);
        assert_eq!((plain.frames.len(), plain.bars), (12, Bars::NONE));
        assert!(plain.frames.iter().all(Seen::is_telling));
        for most_bytes in [MOST_WAITING, 6 * 160 * 130] {
            let framed = painted(&title(20), most_bytes, 12_000);
            assert!((framed.bars.top - 20.0 / 130.0).abs() < 0.01 && framed.bars.left == 0.0, "{:?}", framed.bars);
            let furthest = plain.frames.iter().zip(&framed.frames).map(|(a, b)| a.hash.distance(&b.hash)).max();
            // As near as copies are to PDQ itself; bars that are hashed with the picture turn half of the bits.
            assert!(furthest <= Some(31), "{furthest:?} bits");
        }
    }

    #[test]
    fn a_second_without_a_picture_of_its_own_shows_the_one_before() {
        let rare = [drawn(0, 1, 0), drawn(3_400, 2, 0), drawn(3_700, 3, 0), drawn(4_000, 4, 0)];
        let painted = painted(&rare, MOST_WAITING, 6_001);
        let hash = |seed| {
            let mut painter = Painter::new(Bars::NONE, Vec::new());
            paint(&mut painter, &small(&drawn(0, seed, 0))).expect("hashes");
            painter.finish().0[0]
        };
        assert_eq!(painted.frames, [1, 1, 1, 2, 4, 4, 4].map(hash));
    }

    #[test]
    fn a_query_has_a_code_for_each_second_in_each_look_and_the_same_print() {
        let rare = [drawn(0, 1, 20), drawn(1_000, 2, 20), drawn(2_000, 3, 20), drawn(5_000, 4, 20)];
        for most_bytes in [MOST_WAITING, 2 * 160 * 130] {
            let (plain, query) = (painted(&rare, most_bytes, 7_000), painted_for(&rare, most_bytes, 7_000, true));
            assert!(plain.looks.is_empty() && plain.bars != Bars::NONE);
            assert_eq!((&plain.frames, plain.bars), (&query.frames, query.bars));
            assert_eq!(query.looks.iter().map(|(look, _)| *look).collect::<Vec<_>>(), looks(&query.bars));
            for (look, codes) in &query.looks {
                assert_eq!(codes.len(), 7);
                // The third picture stands for three seconds, the last for two.
                assert!(codes[2..5].iter().all(|code| *code == codes[2]) && codes[5] == codes[6], "{look:?}");
                assert!(codes[1] != codes[2] && codes[4] != codes[5], "{look:?}");
            }
            assert!(query.frames.iter().zip(&query.looks[0].1).all(|(seen, code)| Code::of(&seen.hash) == *code));
        }
    }

    #[test]
    fn pictures_are_made_small_but_not_smaller_than_the_engine_was_measured_with() {
        for ((width, height), wanted) in [
            ((640, 360), (160, 90)),
            ((202, 360), (90, 161)),
            ((360, 360), (160, 160)),
            ((640, 272), (212, 90)),
            ((80, 60), (80, 60)),
            ((640, 2), (640, 2)),
        ] {
            let picture = Picture { pts: Ticks::ZERO, width, height, rgb: vec![9; (width * height * 3) as usize] };
            let small = small(&picture);
            assert_eq!((small.width, small.height), wanted, "{width}x{height}");
            assert!(small.luma.iter().all(|luma| *luma == 9));
        }
    }
}
