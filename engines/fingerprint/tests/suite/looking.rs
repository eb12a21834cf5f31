//! Bars, looks and frames.

use showrunner_fingerprint::{BarFinder, Bars, Look, Painter, looks};

use crate::draw::{HEIGHT, Title, WIDTH};

fn bars(title: &Title) -> Bars {
    let mut finder = BarFinder::default();
    title.frames.iter().for_each(|frame| finder.look(frame, WIDTH, HEIGHT));
    finder.bars()
}

#[test]
fn bars_are_found_where_they_are() {
    let title = Title::new(40, 30);
    assert_eq!(bars(&title), Bars::NONE);
    let found = bars(&title.clone().letterboxed(7));
    let share = 7.0 / HEIGHT as f32;
    assert!((found.top - share).abs() < 0.02 && (found.bottom - share).abs() < 0.02, "{found:?}");
    assert!(found.left == 0.0 && found.right == 0.0);
    let pillars = title.seen(|frame, x, y| if (10..WIDTH - 10).contains(&x) { frame[y * WIDTH + x] } else { 3 });
    let found = bars(&pillars);
    let share = 10.0 / WIDTH as f32;
    assert!((found.left - share).abs() < 0.02 && (found.right - share).abs() < 0.02 && found.top == 0.0, "{found:?}");
}

#[test]
fn a_dark_scene_has_no_bars() {
    let dark = Title::new(41, 20).seen(|frame, x, y| if (20..60).contains(&x) && y > 40 { frame[y * WIDTH + x] / 8 } else { 2 });
    assert_eq!(bars(&dark), Bars::NONE);
}

#[test]
fn one_bright_frame_in_many_does_not_end_a_bar() {
    let mut title = Title::new(42, 90).letterboxed(6);
    title.frames[50].fill(200);
    assert!(bars(&title).top > 0.08);
    title.frames[10..20].iter_mut().for_each(|frame| frame.fill(200));
    assert_eq!(bars(&title), Bars::NONE);
}

#[test]
fn a_frame_of_another_size_says_nothing_of_bars() {
    let title = Title::new(43, 10).letterboxed(6);
    let mut finder = BarFinder::default();
    title.frames.iter().for_each(|frame| finder.look(frame, WIDTH, HEIGHT));
    finder.look(&[255; 16], 4, 4);
    finder.look(&[255; 7], 4, 4);
    assert_eq!(finder.bars(), bars(&title));
}

#[test]
fn looks_begin_with_the_plain_one_and_come_in_pairs() {
    let all = looks(&Bars::NONE);
    assert_eq!(all[0], Look::PLAIN);
    assert!(all.chunks_exact(2).all(|pair| pair[1] == Look { mirrored: true, ..pair[0] } && !pair[0].mirrored));
    let barred = looks(&Bars { top: 0.1, bottom: 0.1, ..Bars::NONE });
    assert_eq!(barred.len(), all.len() + 2);
}

#[test]
fn frames_that_are_none_are_refused() {
    let mut painter = Painter::new(Bars::NONE, vec![]);
    assert!(painter.paint(&[0; 5], 2, 2).is_err());
    assert!(painter.paint(&[], 0, 0).is_err());
    let error = painter.paint(&[0; 5], 5000, 1).unwrap_err();
    assert!(error.to_string().starts_with("failed to read a frame: 5 bytes for 5000x1"), "{error}");
    assert!(painter.paint(&[9; 4], 2, 2).is_ok());
    assert_eq!(painter.finish().0.len(), 1);
}
