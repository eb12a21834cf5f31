//! Shots found in moving pictures whose true edit list is known.

use crate::reel::{Dice, HEIGHT, Reel, Scene, Score, WIDTH, whip};
use showrunner_shots::Transition;
use showrunner_timeline::Ticks;

/// Frames of a shot: two dissolves of a second leave a second of it pure.
const SHOT: usize = 72;

fn shot(seed: u64) -> Vec<crate::reel::Rgb> {
    Scene::new(seed).shoot(SHOT)
}

/// Reels of five changes each.
fn score(reels: u64, mut change: impl FnMut(&mut Reel, Vec<crate::reel::Rgb>, &mut Dice)) -> Score {
    let mut score = Score::default();
    for seed in 0..reels {
        let mut dice = Dice(seed + 7);
        let mut reel = Reel::starting(shot(seed * 100));
        for n in 1..=5 {
            change(&mut reel, shot(seed * 100 + n), &mut dice);
        }
        score.add(&reel);
    }
    println!("{score:?}: precision {:.3}, recall {:.3}", score.precision(), score.recall());
    score
}

#[test]
fn cuts_between_panning_and_shaking_shots_are_found_to_the_frame() {
    let score = score(5, |reel, next, _| reel.cut(next));
    assert!(score.recall() >= 0.97 && score.precision() >= 0.97);
    assert_eq!((score.right_kind, score.worst_end), (score.hits, 0));
}

#[test]
fn dissolves_of_half_a_second_and_a_second_are_found_with_their_ends() {
    let score = score(6, |reel, next, dice| reel.dissolve(next, [12, 24][dice.below(2)]));
    assert!(score.recall() >= 0.9 && score.precision() >= 0.95);
    assert!(score.right_kind * 10 >= score.hits * 9);
    assert!(score.worst_end <= 4, "an end is {} frames off", score.worst_end);
}

#[test]
fn fades_through_black_and_white_are_found_with_their_ends() {
    let score = score(5, |reel, next, dice| {
        let colour = [0, 255][dice.below(2)];
        reel.fade(next, [6, 12, 16][dice.below(3)], [0, 1, 8][dice.below(3)], colour);
    });
    assert!(score.recall() >= 0.97 && score.precision() >= 0.97);
    assert!(score.right_kind * 20 >= score.hits * 19);
    assert!(score.worst_end <= 3, "an end is {} frames off", score.worst_end);
}

#[test]
fn flashes_are_not_cuts() {
    let score = score(5, |reel, next, dice| {
        let lights: [&[f32]; 4] = [&[1.0], &[0.8], &[1.0, 0.6, 0.3], &[0.7, 0.7]];
        reel.flash(20, lights[dice.below(4)]);
        reel.cut(next);
    });
    assert!(score.precision() >= 0.97 && score.recall() >= 0.97);
}

#[test]
fn a_flash_that_dies_slowly_from_white_is_no_fade() {
    for seed in 0..8 {
        let mut reel = Reel::starting(shot(seed + 60));
        reel.flash(30, [&[1.0, 0.8, 0.6, 0.3][..], &[1.0, 0.7, 0.4, 0.2]][seed as usize % 2]);
        assert_eq!(reel.shots().len(), 1, "seed {seed}");
    }
}

#[test]
fn a_camera_that_whips_round_is_no_change_of_shot() {
    for seed in 0..12 {
        let over = [5, 6, 8, 12][seed as usize % 4];
        let (from, to) = (Scene::new(seed + 700).shoot(1), Scene::new(seed + 800).shoot(1));
        let shots = Reel::starting(whip(&from[0], &to[0], 30, over)).shots();
        assert_eq!(shots.len(), 1, "seed {seed}: a turn in {over} frames gave {shots:?}");
    }
}

#[test]
fn a_faint_picture_fades_from_its_first_frame_to_its_last() {
    // Next to no texture: what a mix loses of it says nothing.
    let faint = |seed: u64| {
        let mut dice = Dice(seed);
        let (left, right) = (dice.between(40.0, 90.0), dice.between(150.0, 220.0));
        let value = |i: usize| (left + (right - left) * (i / 3 % WIDTH) as f32 / WIDTH as f32) as u8;
        vec![(0..WIDTH * HEIGHT * 3).map(value).collect::<Vec<u8>>(); SHOT]
    };
    let mut score = Score::default();
    for seed in 0..8 {
        let mut reel = Reel::starting(faint(seed + 80));
        reel.fade(faint(seed + 90), 14, 2, 0);
        score.add(&reel);
    }
    assert_eq!((score.missed, score.false_alarms, score.right_kind), (0, 0, 8), "{score:?}");
    assert!(score.worst_end <= 12, "an end is {} frames off", score.worst_end);
}

#[test]
fn a_cut_into_a_restless_shot_is_found() {
    for seed in 0..6 {
        let mut reel = Reel::starting(shot(seed + 30));
        reel.cut(shot(seed + 40));
        // Lightning: the light jumps up and down from the sixth frame on.
        let first = reel.frames.len() - SHOT + 5;
        for n in 0..8 {
            let light = [0.75, 0.0][n % 2];
            let white = vec![255; reel.frames[0].len()];
            let lit: Vec<u8> = reel.frames[first + n]
                .iter()
                .zip(&white)
                .map(|(a, b): (&u8, &u8)| (f32::from(*a) * (1.0 - light) + f32::from(*b) * light) as u8)
                .collect();
            reel.frames[first + n] = lit;
        }
        let shots = reel.shots();
        assert!(shots.iter().any(|shot| shot.start == Ticks(SHOT as i64)), "seed {seed}: {shots:?}");
    }
}

#[test]
fn a_single_shot_however_it_moves_stays_one() {
    for seed in 500..516 {
        let reel = Reel::starting(Scene::new(seed).shoot(120));
        assert_eq!(reel.shots().len(), 1, "seed {seed}");
    }
}

#[test]
fn a_change_of_light_is_not_a_dissolve() {
    let mut frames = shot(3);
    for (n, frame) in frames.iter_mut().enumerate() {
        let gain = 1.0 - 0.6 * (n as f32 / SHOT as f32);
        for value in frame {
            *value = (f32::from(*value) * gain) as u8;
        }
    }
    assert_eq!(Reel::starting(frames).shots().len(), 1);
}

#[test]
fn a_slope_of_two_colours_that_turns_is_not_a_dissolve() {
    for (turn, steep) in [(0.02, 1.0), (0.033, 1.0), (0.033, 2.0), (0.05, 1.5)] {
        let frames = (0..150).map(|n| {
            let (sin, cos) = (n as f32 * turn).sin_cos();
            let pixel = |i: usize| {
                let (x, y) = ((i % WIDTH) as f32 / WIDTH as f32 - 0.5, (i / WIDTH) as f32 / HEIGHT as f32 - 0.5);
                let share = (0.5 + steep * (x * cos + y * sin)).clamp(0.0, 1.0);
                [20.0 + 190.0 * share, 200.0 - 90.0 * share, 10.0 + 40.0 * share].map(|v| v as u8)
            };
            (0..WIDTH * HEIGHT).flat_map(pixel).collect()
        });
        assert_eq!(Reel::starting(frames.collect()).shots().len(), 1, "turn {turn}, steep {steep}");
    }
}

#[test]
fn a_slope_of_several_colours_that_turns_is_not_a_dissolve() {
    for seed in 0..8 {
        let mut dice = Dice(seed + 900);
        let colours: Vec<[f32; 3]> = (0..4).map(|_| std::array::from_fn(|_| dice.between(0.0, 255.0))).collect();
        let (turn, begin) = (dice.between(0.015, 0.03), dice.between(0.0, 6.0));
        let frames = (0..150).map(|n| {
            let (sin, cos) = (begin + n as f32 * turn).sin_cos();
            let pixel = |i: usize| {
                let (x, y) = ((i % WIDTH) as f32 / WIDTH as f32 - 0.5, (i / WIDTH) as f32 / WIDTH as f32 - 0.28);
                let along = (0.5 + 0.8 * (x * cos + y * sin)).clamp(0.0, 0.999) * 3.0;
                let (low, part) = (along as usize, along.fract());
                std::array::from_fn::<u8, 3, _>(|c| (colours[low][c] * (1.0 - part) + colours[low + 1][c] * part) as u8)
            };
            (0..WIDTH * HEIGHT).flat_map(pixel).collect()
        });
        let shots = Reel::starting(frames.collect()).shots();
        assert_eq!(shots.len(), 1, "seed {seed}: {shots:?}");
    }
}

#[test]
fn mixed_edits_are_told_apart() {
    let score = score(6, |reel, next, dice| match dice.below(4) {
        0 => reel.dissolve(next, 16),
        1 => reel.fade(next, 10, 3, 0),
        _ => reel.cut(next),
    });
    assert!(score.recall() >= 0.95 && score.precision() >= 0.95);
    assert!(score.right_kind * 20 >= score.hits * 19);
}

#[test]
fn a_title_from_black_to_black_says_so_and_starts_at_its_first_frame() {
    let black = vec![0u8; WIDTH * HEIGHT * 3];
    let mut reel = Reel { frames: vec![black.clone(); 5], truth: Vec::new() };
    reel.fade(shot(1), 1, 0, 0);
    reel.cut(shot(2));
    let end = vec![vec![0u8; WIDTH * HEIGHT * 3]; 24];
    reel.fade(end, 12, 0, 0);
    let shots = reel.shots();
    assert_eq!(shots.len(), 2);
    assert_eq!(shots[0].start, Ticks(0));
    assert!(matches!(shots[0].transition_in, Some(Transition::Fade { start: Ticks(0), .. })));
    assert!(
        matches!(shots[1].transition_out, Some(Transition::Fade { start, .. }) if (2 * SHOT as i64 - 8..=2 * SHOT as i64 - 5).contains(&start.0)),
        "{:?}",
        shots[1]
    );
}
