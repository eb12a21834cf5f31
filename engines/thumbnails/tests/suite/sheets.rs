//! Trick-play sheets and their index.

use showrunner_thumbnails::trickplay::{Grid, LayoutError, Sheet, interval, layout};
use showrunner_timeline::{Ticks, TimeBase};

const GRID: Grid = Grid { tile_width: 160, tile_height: 90, columns: 3, rows: 2 };

#[test]
fn tiles_cover_the_title_without_gaps_and_lie_inside_their_sheets() {
    for duration in [1, 999, 1000, 1001, 7777, 60_000] {
        let laid = layout(Ticks(duration), Ticks(1000), GRID).unwrap();
        assert_eq!(laid.tiles[0].start, Ticks(0));
        assert_eq!(laid.tiles[laid.tiles.len() - 1].end, Ticks(duration));
        assert!(laid.tiles.windows(2).all(|pair| pair[0].end == pair[1].start));
        for tile in &laid.tiles {
            let sheet = laid.sheets[tile.sheet];
            assert!(tile.start < tile.end && tile.x + 160 <= sheet.width && tile.y + 90 <= sheet.height);
        }
        let mut places: Vec<_> = laid.tiles.iter().map(|t| (t.sheet, t.x, t.y)).collect();
        places.dedup();
        assert_eq!(places.len(), laid.tiles.len());
    }
}

#[test]
fn the_last_sheet_is_only_as_large_as_it_needs() {
    let laid = layout(Ticks(8), Ticks(1), GRID).unwrap();
    assert_eq!(laid.sheets, [Sheet { width: 480, height: 180 }, Sheet { width: 320, height: 90 }]);
}

#[test]
fn the_index_is_webvtt_with_spatial_fragments() {
    let laid = layout(Ticks(225_000), Ticks(90_000), GRID).unwrap();
    let text = laid.webvtt(TimeBase::MPEG, |sheet| format!("sprite-{sheet}.jpg"));
    let wanted = "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nsprite-0.jpg#xywh=0,0,160,90\n\n\
        00:00:01.000 --> 00:00:02.000\nsprite-0.jpg#xywh=160,0,160,90\n\n\
        00:00:02.000 --> 00:00:02.500\nsprite-0.jpg#xywh=320,0,160,90\n";
    assert_eq!(text, wanted);
}

#[test]
fn the_interval_makes_a_title_fit_its_sheets() {
    let base = TimeBase::new(1001, 24_000).unwrap();
    for frames in [1, 24, 1_000, 34_000, 200_000, 5_000_000] {
        let every = interval(Ticks(frames), base, &GRID, 16, 1_000);
        let laid = layout(Ticks(frames), every, GRID).unwrap();
        assert!(laid.sheets.len() <= 16, "{frames} frames: {} sheets", laid.sheets.len());
        assert!(base.to_seconds(every) >= 1.0);
    }
}

#[test]
fn impossible_layouts_are_refused() {
    let tall = Grid { rows: 200, ..GRID };
    assert_eq!(layout(Ticks(0), Ticks(1), GRID), Err(LayoutError::Empty));
    assert_eq!(layout(Ticks(1), Ticks(0), GRID), Err(LayoutError::Empty));
    assert_eq!(layout(Ticks(1), Ticks(1), tall), Err(LayoutError::Grid));
    assert_eq!(layout(Ticks(1), Ticks(1), Grid { columns: 0, ..GRID }), Err(LayoutError::Grid));
    assert_eq!(layout(Ticks(i64::MAX), Ticks(1), GRID), Err(LayoutError::TooMany));
    assert!(layout(Ticks(1), Ticks(1), Grid { tile_width: u32::MAX, ..GRID }).is_err());
}
