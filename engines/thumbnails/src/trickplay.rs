//! Lays small pictures out on sheets, and writes the `WebVTT` index by which players show them while seeking. Pure; no I/O.
//!
//! Cues point into a sheet by a spatial media fragment (`#xywh=x,y,w,h`, W3C Media Fragments URI 1.0, section 4.2.2), which
//! is what hls.js, Shaka Player, Video.js and JW Player plugins read.

use std::fmt::{self, Write as _};

use showrunner_timeline::{Rounding, Ticks, TimeBase};

/// Most tiles of a title: a day at one every five seconds is 17280.
const MAX_TILES: i64 = 20_000;
/// Widest or highest sheet: what JPEG and every browser can hold.
const MAX_SHEET_SIDE: u32 = 16_384;

/// How tiles lie on a sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Pixels across one tile.
    pub tile_width: u32,
    /// Pixels down one tile.
    pub tile_height: u32,
    /// Tiles across a sheet.
    pub columns: u32,
    /// Tiles down a sheet.
    pub rows: u32,
}

/// One small picture: shown while the player seeks inside `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// First tick it stands for; the picture is the frame shown then.
    pub start: Ticks,
    /// First tick it does not stand for.
    pub end: Ticks,
    /// Index of its sheet.
    pub sheet: usize,
    /// Pixels from the sheet's left.
    pub x: u32,
    /// Pixels from the sheet's top.
    pub y: u32,
}

/// The size of one sheet; the last is only as high (and, with one row, as wide) as its tiles need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// Where every tile of a title lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The grid it was laid out on.
    pub grid: Grid,
    /// In order.
    pub sheets: Vec<Sheet>,
    /// In order of time, without gaps, from zero to the title's end.
    pub tiles: Vec<Tile>,
}

/// Why there is no layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// The title or the interval is not longer than nothing.
    Empty,
    /// A tile or a grid side is 0, or a sheet is wider or higher than 16384 pixels.
    Grid,
    /// There would be more than 20000 tiles.
    TooMany,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "failed to lay out trick-play pictures: the title's duration and the interval must be above 0",
            Self::Grid => "failed to lay out small pictures: tiles and grid must be above 0, a sheet at most 16384 pixels a side",
            Self::TooMany => "failed to lay out small pictures: more than 20000; choose a longer interval",
        })
    }
}

impl std::error::Error for LayoutError {}

/// The shortest interval of whole seconds, `least_ms` or more, at which a title fits on `sheets` sheets of `grid`.
pub fn interval(duration: Ticks, base: TimeBase, grid: &Grid, sheets: u32, least_ms: i64) -> Ticks {
    let room = i64::from(grid.columns.max(1)) * i64::from(grid.rows.max(1)) * i64::from(sheets.max(1));
    let room = room.clamp(1, MAX_TILES);
    let millis = base.rescale(duration, TimeBase::MILLIS, Rounding::Ceil).map_or(i64::MAX, |ms| ms.0.max(1));
    let seconds = (millis / room + i64::from(millis % room != 0)).max(least_ms.max(1));
    // Whole seconds above the shortest, so that the index reads well; ticks rounded up, so that it still fits.
    let millis = if seconds > least_ms { seconds.saturating_add(999) / 1000 * 1000 } else { seconds };
    TimeBase::MILLIS.rescale(Ticks(millis), base, Rounding::Ceil).unwrap_or(Ticks(i64::MAX)).max(Ticks(1))
}

/// Where a small picture lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of its sheet.
    pub sheet: usize,
    /// Pixels from the sheet's left.
    pub x: u32,
    /// Pixels from the sheet's top.
    pub y: u32,
}

/// Places `count` small pictures row by row: the sheets that takes, and where each picture lies.
///
/// # Errors
/// [`LayoutError`] when a size is out of bounds.
pub fn place(count: usize, grid: Grid) -> Result<(Vec<Sheet>, Vec<Place>), LayoutError> {
    let fits =
        |tile: u32, count: u32| tile > 0 && count > 0 && tile.checked_mul(count).is_some_and(|side| side <= MAX_SHEET_SIDE);
    if !fits(grid.tile_width, grid.columns) || !fits(grid.tile_height, grid.rows) {
        return Err(LayoutError::Grid);
    }
    if count as u64 > MAX_TILES as u64 {
        return Err(LayoutError::TooMany);
    }
    let (count, per_sheet) = (count as u32, grid.columns * grid.rows);
    let places = (0..count).map(|n| {
        let place = n % per_sheet;
        Place {
            sheet: (n / per_sheet) as usize,
            x: place % grid.columns * grid.tile_width,
            y: place / grid.columns * grid.tile_height,
        }
    });
    let sheets = (0..count.div_ceil(per_sheet)).map(|sheet| {
        let on_it = (count - sheet * per_sheet).min(per_sheet);
        Sheet { width: on_it.min(grid.columns) * grid.tile_width, height: on_it.div_ceil(grid.columns) * grid.tile_height }
    });
    Ok((sheets.collect(), places.collect()))
}

/// Lays out one tile every `interval` over `duration`.
///
/// # Errors
/// [`LayoutError`] when a size is out of bounds.
pub fn layout(duration: Ticks, interval: Ticks, grid: Grid) -> Result<Layout, LayoutError> {
    if duration.0 <= 0 || interval.0 <= 0 {
        return Err(LayoutError::Empty);
    }
    let count = duration.0 / interval.0 + i64::from(duration.0 % interval.0 != 0);
    let (sheets, places) = place(usize::try_from(count).unwrap_or(usize::MAX), grid)?;
    let tiles = places.into_iter().enumerate().map(|(n, Place { sheet, x, y })| {
        let start = Ticks(n as i64 * interval.0);
        Tile { start, end: start.saturating_add(interval).min(duration), sheet, x, y }
    });
    Ok(Layout { grid, sheets, tiles: tiles.collect() })
}

impl Layout {
    /// The `WebVTT` index; `address` gives a sheet's URL relative to it. Tiles shorter than a millisecond are left out.
    pub fn webvtt<A: fmt::Display>(&self, base: TimeBase, address: impl Fn(usize) -> A) -> String {
        let mut text = String::from("WEBVTT\n");
        let Grid { tile_width, tile_height, .. } = self.grid;
        for tile in &self.tiles {
            let (start, end) = (base.to_millis(tile.start), base.to_millis(tile.end));
            if start < end {
                let (sheet, x, y) = (address(tile.sheet), tile.x, tile.y);
                // Writing to a String cannot fail.
                let _ = write!(text, "\n{start} --> {end}\n{sheet}#xywh={x},{y},{tile_width},{tile_height}\n");
            }
        }
        text
    }
}
