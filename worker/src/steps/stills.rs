//! A small picture of every shot, taken while the title goes by and put onto sheets at its end. No I/O.
//!
//! Where a shot ends is known some frames later only, and a dissolve or a fade later still. So every frame is kept small until
//! nothing that is found of it can change any more; of the shot that goes on beyond that, every second, fourth ... frame. When
//! a shot is over, the picture nearest the middle of its clear part stays.

use super::{
    jpeg::{self, Rgb, THUMBNAIL_QUALITY},
    sheet::{self, Bounds, shrink},
};
use crate::{commit::StepFile, failure::internal, picture::Picture};
use showrunner_contracts::{
    documents::Still,
    result::Failure,
    step::{MAX_STILL_SHEETS, still_sheet},
};
use showrunner_shots::{Detector, SETTLED_AFTER, Shot};
use showrunner_thumbnails::trickplay::{Grid, place};
use showrunner_timeline::Ticks;
use std::collections::VecDeque;

/// A still fits in here, pixels; pictures on their side are as high as others are wide.
const TILE: Bounds = (160, 160);
/// Stills across and down a sheet.
const SHEET: (u32, u32) = (10, 20);
/// Most stills of a title. With more shots, every second, third ... has one.
pub const MAX_STILLS: usize = MAX_STILL_SHEETS * (SHEET.0 * SHEET.1) as usize;
/// Quality of the sheets: stills are looked at side by side and for longer than trick play.
const QUALITY: u8 = 80;
/// Most pictures kept of a shot that goes on: none is further from its middle than a thirty-second of its length.
const MOST_OF_SHOT: usize = 32;
/// Frames between two tidyings.
const BETWEEN: usize = 32;
/// Most pictures held uncompressed (36 MB at most, 20 MB in 16:9).
const ROOM: usize = SETTLED_AFTER + MOST_OF_SHOT + BETWEEN;

/// A frame, small.
#[derive(Debug)]
struct Tile {
    /// Number of the frame.
    nth: usize,
    pts: Ticks,
    picture: Rgb,
}

/// The picture that stays of a shot that is over.
#[derive(Debug)]
struct Kept {
    /// Number of the shot among those that were over.
    shot: u64,
    pts: Ticks,
    file: Vec<u8>,
}

/// Collects stills.
#[derive(Debug, Default)]
pub struct Stills {
    /// In order of time; the last `SETTLED_AFTER` frames without a gap.
    tiles: VecDeque<Tile>,
    /// Frames seen.
    seen: usize,
    /// Where the first shot starts that is not over.
    since: Ticks,
    kept: Vec<Kept>,
    /// Shots that are over.
    over: u64,
    /// One in so many of them keeps its picture.
    one_in: u64,
}

/// The stills of a title.
#[derive(Debug)]
pub struct Sheets {
    /// For each shot, in order; `None` only where there are too many shots.
    pub stills: Vec<Option<Still>>,
    /// `shots-<n>.jpg`, in order.
    pub pictures: Vec<StepFile>,
}

impl Stills {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self { one_in: 1, ..Self::default() }
    }

    /// The next frame, which `detector` has just seen.
    pub fn see(&mut self, picture: &Picture, detector: &Detector) -> Result<(), Failure> {
        let small = shrink(&picture.rgb, (picture.width, picture.height), TILE);
        self.tiles.push_back(Tile { nth: self.seen, pts: picture.pts, picture: small });
        self.seen += 1;
        if self.tiles.len() >= ROOM { self.tidy(detector) } else { Ok(()) }
    }

    /// Lets go of all but one picture of each shot that is over, and of most of the one that goes on.
    fn tidy(&mut self, detector: &Detector) -> Result<(), Failure> {
        let settled = self.seen.saturating_sub(SETTLED_AFTER);
        let Some(horizon) = self.tiles.iter().find(|tile| tile.nth >= settled).map(|tile| tile.pts) else { return Ok(()) };
        let shots = detector.so_far(self.since);
        for (nth, shot) in shots.iter().enumerate() {
            if shot.end > horizon {
                self.thin(shot.clear(shots.get(nth + 1)), settled);
                break;
            }
            self.end_shot(shot, shots.get(nth + 1))?;
        }
        Ok(())
    }

    /// The shot is over: one of its pictures stays.
    fn end_shot(&mut self, shot: &Shot, next: Option<&Shot>) -> Result<(), Failure> {
        let of_shot = self.tiles.partition_point(|tile| tile.pts < shot.end);
        let tiles: Vec<Tile> = self.tiles.drain(..of_shot).collect();
        self.since = shot.end;
        let number = self.over;
        self.over += 1;
        if !number.is_multiple_of(self.one_in) {
            return Ok(());
        }
        if let Some(at) = best(tiles.iter().map(|tile| tile.pts), shot, next) {
            let Tile { pts, picture, .. } = &tiles[at];
            let file = jpeg::encode(picture.width, picture.height, &picture.pixels, THUMBNAIL_QUALITY)?;
            self.kept.push(Kept { shot: number, pts: *pts, file });
        }
        if self.kept.len() > 2 * MAX_STILLS {
            self.one_in *= 2;
            self.kept.retain(|kept| kept.shot.is_multiple_of(self.one_in));
        }
        Ok(())
    }

    /// Thins out what is settled of the shot that goes on, whose clear part so far is given.
    fn thin(&mut self, (from, to): (Ticks, Ticks), settled: usize) {
        let count = self.tiles.partition_point(|tile| tile.nth < settled);
        let mut tiles: Vec<Tile> = self.tiles.drain(..count).collect();
        let clear = |tile: &Tile| from <= tile.pts && tile.pts < to;
        if tiles.iter().any(clear) {
            tiles.retain(clear);
        }
        // Frames are kept by their number, so that those kept earlier are among those to keep now.
        let mut every = 1;
        while tiles.len() > MOST_OF_SHOT {
            every *= 2;
            tiles.retain(|tile| tile.nth % every == 0);
        }
        for tile in tiles.into_iter().rev() {
            self.tiles.push_front(tile);
        }
    }

    /// The title is over and these are its shots.
    pub fn finish(self, shots: &[Shot]) -> Result<Sheets, Failure> {
        let Self { tiles, kept, .. } = self;
        let times: Vec<Ticks> = kept.iter().map(|kept| kept.pts).chain(tiles.iter().map(|tile| tile.pts)).collect();
        let picture_of = |at: usize| match kept.get(at) {
            Some(kept) => jpeg::decode(&kept.file),
            None => Ok(tiles[at - kept.len()].picture.clone()),
        };
        let mut chosen = Vec::new();
        for (nth, shot) in shots.iter().enumerate() {
            let range = times.partition_point(|at| *at < shot.start)..times.partition_point(|at| *at < shot.end);
            let first = range.start;
            chosen.extend(best(times[range].iter().copied(), shot, shots.get(nth + 1)).map(|at| (nth, first + at)));
        }
        let one_in = chosen.len().div_ceil(MAX_STILLS).max(1);
        let chosen: Vec<(usize, usize)> = chosen.into_iter().step_by(one_in).collect();
        let Some((_, first)) = chosen.first() else {
            return Err(internal("failed to take stills of the shots: the title has no frame"));
        };
        let Rgb { width, height, .. } = picture_of(*first)?;
        let grid = Grid { tile_width: width, tile_height: height, columns: SHEET.0, rows: SHEET.1 };
        let (sheets, places) = place(chosen.len(), grid).map_err(internal)?;
        let mut stills = vec![None; shots.len()];
        for ((shot, at), place) in chosen.iter().zip(&places) {
            let (sheet, at) = (still_sheet(place.sheet), times[*at].0);
            stills[*shot] = Some(Still { sheet, at, x: place.x, y: place.y, width, height });
        }
        let pictures = sheet::files(&sheets, &places, QUALITY, still_sheet, |nth| picture_of(chosen[nth].1))?;
        Ok(Sheets { stills, pictures })
    }
}

/// Which of these times, in order and inside of the shot, is nearest the middle of its clear part; one outside of that only
/// where none is inside.
fn best(times: impl Iterator<Item = Ticks>, shot: &Shot, next: Option<&Shot>) -> Option<usize> {
    let (from, to) = shot.clear(next);
    let (middle_from, middle_to) = if from < to { (from, to) } else { (shot.start, shot.end) };
    let twice_middle = i128::from(middle_from.0) + i128::from(middle_to.0);
    let distance = |at: Ticks| (!(from <= at && at < to), (2 * i128::from(at.0) - twice_middle).unsigned_abs());
    times.enumerate().min_by_key(|(_, at)| distance(*at)).map(|(nth, _)| nth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use showrunner_shots::{Frame, Transition};
    use showrunner_timeline::TimeBase;

    /// Small, so that thousands of frames take no time.
    const SIZE: (u32, u32) = (32, 18);

    /// A picture that its shot and the place in it can be told from: a texture of the shot's own, `at` in its first pixels.
    fn frame(pts: i64, shot: u64) -> Picture {
        let mut seed = shot.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut rgb = Vec::new();
        for _ in 0..SIZE.0 * SIZE.1 * 3 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            rgb.push(seed as u8);
        }
        Picture { pts: Ticks(pts), width: SIZE.0, height: SIZE.1, rgb }
    }

    /// Runs shots of these lengths through, checking the bound on memory at every frame.
    fn run(lengths: &[i64]) -> (Vec<Shot>, Sheets) {
        let (mut detector, mut stills, mut pts) = (Detector::new(TimeBase::MILLIS), Stills::new(), 0);
        for (shot, length) in lengths.iter().enumerate() {
            let mut picture = frame(pts, shot as u64);
            for _ in 0..*length {
                picture.pts = Ticks(pts);
                let Picture { pts: at, width, height, ref rgb } = picture;
                detector.push(Frame { rgb, width, height, pts: at }).expect("in order");
                stills.see(&picture, &detector).expect("takes it");
                assert!(stills.tiles.len() <= ROOM && stills.kept.len() <= 2 * MAX_STILLS + 1);
                pts += 1;
            }
        }
        let (shots, _) = detector.finish(Ticks(pts)).expect("frames were pushed");
        let sheets = stills.finish(&shots).expect("stills");
        (shots, sheets)
    }

    #[test]
    fn a_shots_still_is_the_frame_in_its_middle_however_long_it_is() {
        let (shots, sheets) = run(&[30, 5, 3_000, 40, 700]);
        assert_eq!(shots.len(), 5);
        for (shot, still) in shots.iter().zip(&sheets.stills) {
            let (still, length) = (still.as_ref().expect("few shots"), shot.end.0 - shot.start.0);
            let off = (2 * still.at - shot.start.0 - shot.end.0).abs();
            assert!(off <= 1 + length / 16, "{shot:?}: {}", still.at);
        }
        assert_eq!(sheets.stills[3].as_ref().map(|still| (still.x, still.y, still.sheet.as_str())), Some((96, 0, "shots-0.jpg")));
    }

    #[test]
    fn a_title_of_more_shots_than_places_has_stills_of_evenly_spread_ones() {
        let (shots, sheets) = run(&vec![6; 2 * 2 * MAX_STILLS + 700]);
        let with: Vec<usize> = (0..shots.len()).filter(|nth| sheets.stills[*nth].is_some()).collect();
        assert!(with.len() <= MAX_STILLS && with.len() >= MAX_STILLS / 2, "{} stills", with.len());
        assert_eq!(sheets.pictures.len(), with.len().div_ceil(200));
        assert!(with.windows(2).all(|pair| pair[1] - pair[0] <= 2 * shots.len() / with.len()), "no stretch goes without");
        for nth in with {
            let at = sheets.stills[nth].as_ref().map_or(0, |still| still.at);
            assert!(shots[nth].start.0 <= at && at < shots[nth].end.0);
        }
    }

    #[test]
    fn a_time_in_a_transition_is_taken_only_where_there_is_no_other() {
        let shot = Shot { start: Ticks(0), end: Ticks(100), transition_in: None, transition_out: None };
        let next = |start| {
            let mixed = Transition::Dissolve { start: Ticks(start), end: Ticks(110) };
            Shot { start: Ticks(100), end: Ticks(200), transition_in: Some(mixed), transition_out: None }
        };
        let times = [0, 20, 50, 90].map(Ticks);
        assert_eq!(best(times.into_iter(), &shot, Some(&next(95))), Some(2));
        assert_eq!(best(times.into_iter(), &shot, Some(&next(30))), Some(1));
        assert_eq!(best(times[2..].iter().copied(), &shot, Some(&next(40))), Some(0), "the nearer of those inside");
        assert_eq!(best(std::iter::empty(), &shot, None), None);
    }

    #[test]
    fn a_long_black_leaves_the_shot_before_it_its_picture() {
        let (mut detector, mut stills) = (Detector::new(TimeBase::MILLIS), Stills::new());
        let black = vec![0; (SIZE.0 * SIZE.1 * 3) as usize];
        for pts in 0..3_000 {
            let mut picture = frame(pts, u64::from(pts >= 2_900));
            if (100..2_900).contains(&pts) {
                picture.rgb.clone_from(&black);
            }
            detector.push(Frame { rgb: &picture.rgb, width: SIZE.0, height: SIZE.1, pts: Ticks(pts) }).expect("in order");
            stills.see(&picture, &detector).expect("takes it");
        }
        let (shots, _) = detector.finish(Ticks(3_000)).expect("frames were pushed");
        assert_eq!(shots.iter().map(|shot| shot.start.0).collect::<Vec<_>>(), [0, 2_900]);
        let sheets = stills.finish(&shots).expect("stills");
        let at = |nth: usize| sheets.stills[nth].as_ref().map(|still| still.at);
        assert!(at(0).is_some_and(|at| (44..=56).contains(&at)), "{:?}", at(0));
        assert_eq!(at(1), Some(2_950));
    }
}
