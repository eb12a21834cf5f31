//! Trick play: one small picture every so often, collected while the title goes by, and put onto sheets at its end. No I/O.

use super::jpeg::{self, Rgb, SHEET_QUALITY};
use crate::{commit::StepFile, failure::internal, picture::Picture};
use showrunner_contracts::{result::Failure, step::MAX_SPRITE_SHEETS};
use showrunner_thumbnails::trickplay::{Grid, layout};
use showrunner_timeline::{Ticks, TimeBase};

/// The index's file name.
pub const INDEX: &str = "sprite.vtt";
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
    /// `sprite.vtt`.
    pub index: StepFile,
    /// Time between two tiles, ticks.
    pub interval: Ticks,
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
            let tile = tile.get_or_insert_with(|| shrink(shown));
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
        let name = |sheet: usize| format!("sprite-{sheet}.jpg");
        let mut canvases: Vec<Rgb> = layout.sheets.iter().map(|sheet| Rgb::black(sheet.width, sheet.height)).collect();
        for (place, tile) in layout.tiles.iter().zip(&self.tiles) {
            draw(&mut canvases[place.sheet], tile, place.x, place.y);
        }
        let picture = |(sheet, canvas): (usize, &Rgb)| {
            let bytes = jpeg::encode(canvas.width, canvas.height, &canvas.pixels, SHEET_QUALITY)?;
            Ok(StepFile { name: name(sheet), media_type: jpeg::MEDIA_TYPE, bytes })
        };
        let pictures = canvases.iter().enumerate().map(picture).collect::<Result<_, Failure>>()?;
        let index = layout.webvtt(self.base, name).into_bytes();
        Ok(Sheets {
            pictures,
            index: StepFile { name: INDEX.to_owned(), media_type: "text/vtt", bytes: index },
            interval: self.interval,
        })
    }
}

/// The frame averaged down to a tile; never enlarged.
fn shrink(frame: &Rgb) -> Rgb {
    let (width, height) = (u64::from(frame.width), u64::from(frame.height));
    // The larger of the two shrinkings, as a fraction of whole numbers, so that it is the same on every machine.
    let (num, den) = if u64::from(TILE.0) * height <= u64::from(TILE.1) * width {
        (u64::from(TILE.0), width)
    } else {
        (u64::from(TILE.1), height)
    };
    let (num, den) = if num >= den { (1, 1) } else { (num, den) };
    let (tile_width, tile_height) = ((width * num / den).max(1), (height * num / den).max(1));
    let mut pixels = Vec::with_capacity((tile_width * tile_height * 3) as usize);
    for y in 0..tile_height {
        let rows = y * height / tile_height..((y + 1) * height / tile_height).max(y * height / tile_height + 1);
        for x in 0..tile_width {
            let columns = x * width / tile_width..((x + 1) * width / tile_width).max(x * width / tile_width + 1);
            let mut sums = [0_u32; 3];
            for row in rows.clone() {
                for column in columns.clone() {
                    let at = ((row * width + column) * 3) as usize;
                    for (sum, value) in sums.iter_mut().zip(&frame.pixels[at..at + 3]) {
                        *sum += u32::from(*value);
                    }
                }
            }
            let count = ((rows.end - rows.start) * (columns.end - columns.start)) as u32;
            pixels.extend(sums.map(|sum| ((sum + count / 2) / count) as u8));
        }
    }
    Rgb { width: tile_width as u32, height: tile_height as u32, pixels }
}

/// Copies `tile` onto `canvas` at `x`, `y`, as far as it fits.
fn draw(canvas: &mut Rgb, tile: &Rgb, x: u32, y: u32) {
    let width = tile.width.min(canvas.width.saturating_sub(x)) as usize * 3;
    for line in 0..tile.height.min(canvas.height.saturating_sub(y)) {
        let from = line as usize * tile.width as usize * 3;
        let to = ((y + line) as usize * canvas.width as usize + x as usize) * 3;
        canvas.pixels[to..to + width].copy_from_slice(&tile.pixels[from..from + width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(index.contains("00:00:03.000 --> 00:00:03.500\nsprite-0.jpg#xywh=480,0,160,90"), "{index}");
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
    }

    #[test]
    fn tiles_keep_the_pictures_shape() {
        for ((width, height), tile) in
            [((640, 360), (160, 90)), ((640, 266), (160, 66)), ((202, 360), (50, 90)), ((80, 60), (80, 60))]
        {
            let shrunk = shrink(&Rgb::black(width, height));
            assert_eq!((shrunk.width, shrunk.height), tile);
        }
    }

    #[test]
    fn a_title_without_a_frame_has_no_sheets() {
        assert!(Sprite::new(TimeBase::MILLIS, 1_000).finish(Ticks(10)).is_err());
    }
}
