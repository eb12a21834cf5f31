//! Trick play: one small picture every so often, collected while the title goes by, and put onto sheets at its end. No I/O.

use super::{
    jpeg::{Rgb, SHEET_QUALITY},
    sheet::{self, shrink},
};
use crate::{commit::StepFile, failure::internal, picture::Picture};
use showrunner_contracts::{Digest, result::Failure, step::MAX_SPRITE_SHEETS};
use showrunner_thumbnails::trickplay::{Grid, Place, layout};
use showrunner_timeline::{Ticks, TimeBase};

/// The index's file name.
pub const INDEX: &str = "sprite.vtt";
/// How the sheets' file names begin.
const SHEET_NAME: &str = "sprite-";
/// A tile fits in here, pixels: what players show above their seek bar.
const TILE: (u32, u32) = (160, 90);
/// Tiles across and down a sheet.
const SHEET: (u32, u32) = (10, 10);
/// Most tiles of a title; they are held uncompressed (69 MB at most) until the title's length is known.
const MAX_TILES: usize = MAX_SPRITE_SHEETS * (SHEET.0 * SHEET.1) as usize;

/// Collects tiles.
#[derive(Debug)]
pub struct Sprite {
    base: TimeBase,
    interval: Ticks,
    /// Tile `n` shows the title at `n * interval`.
    tiles: Vec<Rgb>,
    /// The frame before the next one: what is shown until that comes.
    shown: Option<Rgb>,
}

/// The finished sheets and their index.
#[derive(Debug)]
pub struct Sheets {
    /// `sprite-<n>.jpg`, in order.
    pub pictures: Vec<StepFile>,
    /// `sprite.vtt`: names the sheets by the hex digits of their digests.
    pub index: StepFile,
    /// Time between two tiles, ticks.
    pub interval: Ticks,
}

/// A sheet's file name.
fn name(sheet: usize) -> String {
    format!("{SHEET_NAME}{sheet}.jpg")
}

/// Whether a file is a sheet, which the index names by digest.
pub fn is_sheet(name: &str) -> bool {
    name.starts_with(SHEET_NAME)
}

impl Sprite {
    /// A tile every `interval_ms` milliseconds, or less often where a title is too long for that.
    pub fn new(base: TimeBase, interval_ms: u32) -> Self {
        let interval = base.from_millis(i64::from(interval_ms)).max(Ticks(1));
        Self { base, interval, tiles: Vec::new(), shown: None }
    }

    /// The next frame.
    pub fn see(&mut self, picture: &Picture) {
        self.fill_until(picture.pts);
        match &mut self.shown {
            Some(shown) if (shown.width, shown.height) == (picture.width, picture.height) => {
                shown.pixels.copy_from_slice(&picture.rgb);
            }
            shown => *shown = Some(Rgb { width: picture.width, height: picture.height, pixels: picture.rgb.clone() }),
        }
    }

    /// Takes the frame that is shown at each time for a tile before `pts`.
    fn fill_until(&mut self, pts: Ticks) {
        let Some(shown) = &self.shown else { return };
        let mut tile = None;
        while self.tiles.len() as i64 * self.interval.0 < pts.0 {
            let tile = tile.get_or_insert_with(|| shrink(&shown.pixels, (shown.width, shown.height), TILE));
            self.tiles.push(tile.clone());
            if self.tiles.len() > MAX_TILES {
                // Half as often from here on: every second tile already shows the title at a multiple of the new interval.
                let mut kept = 0;
                self.tiles.retain(|_| {
                    kept += 1;
                    kept % 2 == 1
                });
                self.interval = Ticks(self.interval.0.saturating_mul(2));
            }
        }
    }

    /// The title ends at `end`.
    pub fn finish(mut self, end: Ticks) -> Result<Sheets, Failure> {
        self.fill_until(end);
        let first = self.tiles.first().ok_or_else(|| internal("failed to make trick-play pictures: the title has no frame"))?;
        let grid = Grid { tile_width: first.width, tile_height: first.height, columns: SHEET.0, rows: SHEET.1 };
        let layout = layout(end, self.interval, grid).map_err(internal)?;
        let places: Vec<Place> = layout.tiles.iter().map(|tile| Place { sheet: tile.sheet, x: tile.x, y: tile.y }).collect();
        let mut tiles = self.tiles.into_iter();
        let picture = |_| tiles.next().ok_or_else(|| internal("there are fewer trick-play pictures than places for them"));
        let pictures = sheet::files(&layout.sheets, &places, SHEET_QUALITY, name, picture)?;
        // A published file's address ends in its digest; one folder holds them all.
        let addresses: Vec<String> = pictures.iter().map(|sheet| Digest::of(&sheet.bytes).hex().to_owned()).collect();
        let index = layout.webvtt(self.base, |sheet| &addresses[sheet]).into_bytes();
        Ok(Sheets {
            pictures,
            index: StepFile { name: INDEX.to_owned(), media_type: "text/vtt", bytes: index },
            interval: self.interval,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::jpeg;

    fn grey(pts: i64, value: u8) -> Picture {
        Picture { pts: Ticks(pts), width: 320, height: 180, rgb: vec![value; 320 * 180 * 3] }
    }

    #[test]
    fn a_tile_shows_the_frame_that_is_on_screen_at_its_time() {
        let mut sprite = Sprite::new(TimeBase::MILLIS, 1_000);
        for (pts, value) in [(0, 10), (900, 20), (1_100, 30), (2_000, 40), (2_040, 50)] {
            sprite.see(&grey(pts, value));
        }
        let sheets = sprite.finish(Ticks(3_500)).expect("sheets");
        let sheet = jpeg::decode(&sheets.pictures[0].bytes).expect("our own picture");
        assert_eq!((sheet.width, sheet.height), (4 * 160, 90));
        let shown: Vec<u8> = (0..4).map(|tile| sheet.pixels[(45 * 640 + tile * 160 + 80) * 3]).collect();
        for (shown, wanted) in shown.iter().zip([10_u8, 20, 40, 50]) {
            assert!(shown.abs_diff(wanted) <= 2, "{shown} for {wanted}");
        }
        let index = String::from_utf8(sheets.index.bytes).expect("text");
        let address = Digest::of(&sheets.pictures[0].bytes);
        let cue = format!("00:00:03.000 --> 00:00:03.500\n{}#xywh=480,0,160,90\n", address.hex());
        assert!(index.contains(&cue), "{index}");
    }

    #[test]
    fn a_title_too_long_for_its_sheets_gets_tiles_half_as_often() {
        let mut sprite = Sprite::new(TimeBase::MILLIS, 1_000);
        let mut small = grey(0, 7);
        (small.width, small.height, small.rgb) = (2, 2, vec![7; 12]);
        for second in 0..4_000 {
            small.pts = Ticks(second * 1_000);
            sprite.see(&small);
        }
        let sheets = sprite.finish(Ticks(4_000_000)).expect("sheets");
        assert_eq!(sheets.interval, Ticks(4_000));
        assert_eq!(sheets.pictures.len(), 10);
        let index = String::from_utf8(sheets.index.bytes).expect("text");
        let mut named: Vec<&str> = index.lines().filter_map(|line| Some(line.split_once("#xywh=")?.0)).collect();
        assert_eq!(named.len(), 1_000);
        named.dedup();
        // All sheets are alike here, and so are their addresses.
        assert_eq!(named, [Digest::of(&sheets.pictures[0].bytes).hex()]);
        assert!(sheets.pictures.iter().all(|sheet| is_sheet(&sheet.name)) && !is_sheet(INDEX));
    }

    #[test]
    fn a_title_without_a_frame_has_no_sheets() {
        assert!(Sprite::new(TimeBase::MILLIS, 1_000).finish(Ticks(10)).is_err());
    }
}
