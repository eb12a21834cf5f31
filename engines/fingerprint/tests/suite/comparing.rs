//! Which titles match, where, and what they are to each other.

use showrunner_fingerprint::{Class, Code, Look, Match, Print, Query, Seen, SharedPart, Side, compare};
use showrunner_pdq::Hash;

use crate::draw::{Dice, Title};

fn found(query: &Title, other: &Title) -> Match {
    compare(&query.query(), &other.print()).expect("a match")
}

fn silent(mut title: Title) -> Title {
    title.samples.clear();
    title
}

fn blind(mut title: Title) -> Title {
    title.frames.clear();
    title
}

#[test]
fn a_title_is_exactly_itself() {
    let title = Title::new(1, 60);
    let found = found(&title, &title);
    assert_eq!(found.class, Class::Exact);
    assert!(found.offset.abs() < 0.1 && (found.speed - 1.0).abs() < 0.001 && found.of_query > 0.95, "{found:?}");
}

#[test]
fn a_copy_that_was_coded_again_is_found_whole_by_picture_and_by_sound() {
    let title = Title::new(2, 60);
    let found = found(&title.clone().coded(3), &title);
    assert_eq!(found.class, Class::ReEncode);
    assert!(found.of_query > 0.95 && found.of_other > 0.95);
    assert!(found.segments.iter().any(|one| matches!(one.side, Side::Picture { .. })));
    assert!(found.segments.iter().any(|one| matches!(one.side, Side::Sound { .. })));
}

#[test]
fn strangers_share_nothing() {
    let prints: Vec<Print> = (100..112).map(|seed| Title::new(seed, 50).print()).collect();
    for seed in 200..206 {
        let query = Title::new(seed, 50).query();
        assert!(prints.iter().all(|print| compare(&query, print).is_none()), "seed {seed}");
    }
}

#[test]
fn a_mirror_image_is_found_by_a_mirrored_look() {
    let title = Title::new(4, 50);
    let found = found(&silent(title.clone().mirrored()), &title);
    assert!(found.segments.iter().all(|one| matches!(one.side, Side::Picture { look } if look.mirrored)), "{found:?}");
    assert!(found.of_query > 0.9);
}

#[test]
fn crops_of_3_to_12_percent_on_each_side_are_found_by_picture_alone() {
    let title = Title::new(5, 50);
    let print = title.print();
    for cut in [[0.03; 4], [0.08; 4], [0.12; 4], [0.12, 0.03, 0.03, 0.1], [0.03, 0.11, 0.09, 0.04], [0.0, 0.08, 0.0, 0.08]] {
        let found = compare(&silent(title.clone().cropped(cut).coded(6)).query(), &print).unwrap_or_else(|| panic!("{cut:?}"));
        assert!(found.offset.abs() < 1.0 && found.of_query > 0.8, "{cut:?}: {found:?}");
    }
}

#[test]
fn a_title_that_shows_more_than_the_catalogues_is_found() {
    let title = Title::new(7, 50);
    let found = found(&silent(title.clone()), &title.clone().cropped([0.1; 4]));
    assert!(found.of_query > 0.8, "{found:?}");
}

#[test]
fn bars_on_either_side_of_a_comparison_do_not_hide_a_copy() {
    let title = Title::new(8, 50);
    for (query, other) in [(title.clone().letterboxed(6), title.clone()), (title.clone(), title.clone().letterboxed(6))] {
        let found = found(&silent(query), &other);
        assert!(found.of_query > 0.9 && found.class == Class::ReEncode, "{found:?}");
    }
}

#[test]
fn speeds_of_five_percent_either_way_are_found_and_told_by_picture_and_by_sound() {
    let title = Title::new(9, 120);
    let print = title.print();
    for speed in [0.95, 0.96, 0.985, 1.0417, 1.05] {
        let copy = title.clone().faster(speed);
        for query in [silent(copy.clone()), blind(copy)] {
            let found = compare(&query.query(), &print).unwrap_or_else(|| panic!("{speed}"));
            assert!((found.speed - speed).abs() < 0.006, "{speed}: {found:?}");
            assert!(found.offset.abs() < 1.5 && found.of_query > 0.9, "{speed}: {found:?}");
        }
    }
}

#[test]
fn a_title_with_another_sound_is_a_dub() {
    let title = Title::new(10, 60);
    let found = found(&title.clone().with_sound_of(&Title::new(11, 60)).coded(1), &title);
    assert_eq!(found.class, Class::Dub);
}

#[test]
fn a_copy_without_sound_is_nobodys_dub() {
    let title = Title::new(12, 60);
    assert_eq!(found(&silent(title.clone().coded(2)), &title).class, Class::ReEncode);
}

#[test]
fn sound_under_other_pictures_is_audio_only_reuse() {
    let title = Title::new(13, 60);
    let found = found(&Title::new(14, 60).with_sound_of(&title).coded(3), &title);
    assert_eq!(found.class, Class::AudioOnlyReuse);
    assert!(found.of_query > 0.9);
}

#[test]
fn a_title_without_its_middle_is_another_cut_whose_parts_have_offsets_of_their_own() {
    let title = Title::new(15, 100);
    let cut = title.seconds(0, 40).then(&title.seconds(65, 100)).coded(4);
    let found = found(&cut, &title);
    assert_eq!(found.class, Class::AlternateCut);
    let offsets: Vec<f32> =
        found.segments.iter().filter(|one| matches!(one.side, Side::Picture { .. })).map(|one| one.offset).collect();
    assert!(offsets.iter().any(|at| at.abs() < 1.5) && offsets.iter().any(|at| (at - 25.0).abs() < 2.5), "{offsets:?}");
    assert!(found.of_query > 0.9 && (0.65..0.85).contains(&found.of_other), "{found:?}");
}

#[test]
fn short_pieces_in_another_order_are_a_trailer() {
    let title = Title::new(16, 200);
    let pieces = [150, 20, 95, 60, 180, 120, 5, 40];
    let trailer = pieces.iter().fold(Title::default(), |made, from| made.then(&title.seconds(*from, from + 4)));
    let trailer = trailer.with_sound_of(&Title::new(17, 32)).coded(5);
    assert_eq!(found(&trailer, &title).class, Class::TrailerOf);
    assert_eq!(found(&title, &trailer).class, Class::HasTrailer);
}

#[test]
fn an_intro_in_common_is_a_shared_segment_and_so_are_credits() {
    let (intro, credits) = (Title::new(18, 24), Title::new(19, 24));
    let body = |seed: u64| Title::new(seed, 90);
    let one = intro.clone().then(&body(20));
    let other = intro.clone().then(&body(21)).coded(6);
    assert_eq!(found(&other, &one).class, Class::SharedSegment(SharedPart::Intro));
    let one = body(22).then(&credits);
    let other = body(23).then(&credits).coded(7);
    assert_eq!(found(&other, &one).class, Class::SharedSegment(SharedPart::Credits));
}

#[test]
fn spans_say_where_a_part_lies_in_both_titles() {
    let part = Title::new(24, 30);
    let one = Title::new(25, 50).then(&part).then(&Title::new(26, 40));
    let other = Title::new(27, 20).then(&part).then(&Title::new(28, 70));
    let found = found(&other, &one);
    assert_eq!(found.class, Class::SharedSegment(SharedPart::Other));
    for segment in &found.segments {
        assert!((segment.query.start - 20.0).abs() < 4.0 && (segment.query.end - 50.0).abs() < 4.0, "{segment:?}");
        assert!((segment.other.start - 50.0).abs() < 4.0 && (segment.other.end - 80.0).abs() < 4.0, "{segment:?}");
    }
}

#[test]
fn black_and_silence_match_nothing() {
    let nothing = Title { frames: vec![vec![16; crate::draw::WIDTH * crate::draw::HEIGHT]; 60], samples: vec![0; 60 * 11_025] };
    assert_eq!(compare(&nothing.query(), &nothing.print()), None);
}

#[test]
fn what_is_empty_matches_nothing() {
    let title = Title::new(29, 30);
    assert_eq!(compare(&Query::default(), &title.print()), None);
    assert_eq!(compare(&title.query(), &Print::default()), None);
}

/// Frames of which no two are alike, and items likewise.
fn random(seed: u64, seconds: usize) -> Print {
    let mut dice = Dice(seed);
    let hash = |dice: &mut Dice| Hash(std::array::from_fn(|_| dice.roll() as u8));
    Print {
        frames: (0..seconds).map(|_| Seen { hash: hash(&mut dice), quality: 100 }).collect(),
        sound: (0..seconds * 8).map(|_| dice.roll() as u32).collect(),
    }
}

fn asked(print: &Print) -> Query {
    let codes = print.frames.iter().map(|seen| Code::of(&seen.hash)).collect();
    Query { print: print.clone(), looks: vec![(Look::PLAIN, codes)], sounds: vec![(1.0, print.sound.clone())] }
}

#[test]
fn what_tells_in_a_minute_does_not_in_two_hours() {
    for (seconds, matches) in [(60, true), (7200, false)] {
        let (mut one, other) = (random(1, seconds), random(2, seconds));
        one.frames[20..23].copy_from_slice(&other.frames[30..33]);
        assert_eq!(compare(&asked(&one), &other).is_some(), matches, "{seconds} s");
    }
    let (mut one, other) = (random(1, 7200), random(2, 7200));
    one.frames[20..28].copy_from_slice(&other.frames[30..38]);
    assert!(compare(&asked(&one), &other).is_some());
}

#[test]
fn a_short_part_is_found_beside_one_of_an_hour() {
    let (hour, part, other) = (random(3, 3600), random(4, 40), random(5, 100));
    let row = |prints: &[&Print]| Print {
        frames: prints.iter().flat_map(|print| print.frames.clone()).collect(),
        sound: prints.iter().flat_map(|print| print.sound.clone()).collect(),
    };
    let (one, other) = (row(&[&hour, &part]), row(&[&part, &other, &hour]));
    let found = compare(&asked(&one), &other).unwrap();
    let mut offsets: Vec<i32> = found
        .segments
        .iter()
        .filter(|one| matches!(one.side, Side::Picture { .. }))
        .map(|one| one.offset.round() as i32)
        .collect();
    offsets.dedup();
    assert_eq!(offsets, [140, -3600]);
}

#[test]
fn a_tone_that_stands_still_matches_no_other_though_single_bits_of_it_change() {
    let tone = |seed: u64| {
        let mut dice = Dice(seed);
        let sound = (0..400).map(|_| 0x2560_1a3b ^ if dice.below(3) == 0 { 1 << dice.below(32) } else { 0 }).collect();
        Print { frames: Vec::new(), sound }
    };
    assert_eq!(compare(&asked(&tone(1)), &tone(2)), None);
}

#[test]
fn what_two_lines_say_of_the_same_seconds_counts_once() {
    let title = Title::new(30, 60);
    let found = found(&title.clone().coded(8), &title.clone().then(&title));
    let pictures: Vec<_> = found.segments.iter().filter(|one| matches!(one.side, Side::Picture { .. })).collect();
    assert_eq!(pictures.len(), 1, "{pictures:?}");
}
