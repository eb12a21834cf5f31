//! Reads a trick-play WebVTT: which part of which sheet shows which time. No I/O.

/// Most tiles that are read.
const MAX_TILES: usize = 10_000;
/// Largest tile edge or offset that is believed, pixels.
const MAX_PIXELS: u32 = 65_535;

/// A part of a sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    /// From, milliseconds.
    pub(super) start: u64,
    /// Sheet's file name, whatever the index calls it.
    pub(super) sheet: String,
    /// Offset and size, pixels.
    pub(super) area: [u32; 4],
}

/// The tiles in order; what cannot be read is left out. `name_of` gives the file name of a sheet by the hex digits of its digest,
/// which is how the index names it; indexes of older workers hold the file name itself.
pub(super) fn tiles<'a>(bytes: &[u8], name_of: impl Fn(&str) -> Option<&'a str>) -> Vec<Tile> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    let mut tiles = Vec::new();
    let mut start = None;
    for line in text.lines() {
        if let Some((from, _)) = line.split_once(" --> ") {
            start = time(from);
        } else if let (Some(at), Some((sheet, area))) = (start, line.split_once("#xywh=")) {
            start = None;
            let numbers: Vec<u32> = area.split(',').filter_map(|n| n.trim().parse().ok()).filter(|n| *n <= MAX_PIXELS).collect();
            let sheet = name_of(sheet).unwrap_or(sheet);
            if let (Ok(area), true) = (<[u32; 4]>::try_from(numbers), super::is_picture(sheet)) {
                tiles.push(Tile { start: at, sheet: sheet.to_owned(), area });
            }
            if tiles.len() == MAX_TILES {
                break;
            }
        }
    }
    tiles
}

/// The tile that shows a time.
pub(super) fn at(tiles: &[Tile], millis: u64) -> Option<&Tile> {
    let after = tiles.partition_point(|tile| tile.start <= millis);
    tiles.get(after.saturating_sub(1))
}

/// `HH:MM:SS.mmm` or `MM:SS.mmm` in milliseconds.
fn time(text: &str) -> Option<u64> {
    let (clock, fraction) = text.trim().split_once('.')?;
    let seconds = clock.split(':').try_fold(0u64, |sum, part| sum.checked_mul(60)?.checked_add(part.parse().ok()?))?;
    seconds.checked_mul(1000)?.checked_add(fraction.parse().ok().filter(|millis| *millis < 1000)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_found_by_time_and_nonsense_is_left_out() {
        let vtt = "WEBVTT\n\n00:00:00.000 --> 00:00:10.000\nsprite-0.jpg#xywh=0,0,160,90\n\n\
                   00:00:10.000 --> 00:00:20.000\nsprite-0.jpg#xywh=160,0,160,90\n\n\
                   00:00:20.000 --> 00:00:30.000\nhttps://evil/x.jpg#xywh=0,0,1,1\n\n\
                   nonsense --> 1\nsprite-1.jpg#xywh=0,0,1\n";
        let tiles = tiles(vtt.as_bytes(), |_| None);
        assert_eq!(tiles.len(), 2);
        assert_eq!(at(&tiles, 9_999).map(|tile| tile.area[0]), Some(0));
        assert_eq!(at(&tiles, 10_000).map(|tile| tile.area[0]), Some(160));
        assert_eq!(at(&[], 5), None);
    }

    #[test]
    fn a_sheet_is_known_by_its_digest_and_by_its_name() {
        let vtt = "WEBVTT\n\n00:00.000 --> 00:10.000\nc0ffee#xywh=0,0,160,90\n\n\
                   00:10.000 --> 00:20.000\nsprite-1.jpg#xywh=0,0,160,90\n\n\
                   00:20.000 --> 00:30.000\nbad#xywh=0,0,160,90\n";
        let tiles = tiles(vtt.as_bytes(), |hex| (hex == "c0ffee").then_some("sprite-0.jpg"));
        let sheets: Vec<&str> = tiles.iter().map(|tile| tile.sheet.as_str()).collect();
        assert_eq!(sheets, ["sprite-0.jpg", "sprite-1.jpg"]);
    }
}
