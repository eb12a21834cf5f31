//! What holds of every stream, and what is refused.

use crate::reel::{Dice, HEIGHT, Reel, Scene, WIDTH};
use showrunner_shots::{Detector, Error, Frame, SETTLED_AFTER, Shot, Transition};
use showrunner_timeline::{Ticks, TimeBase};

fn three_shots() -> Reel {
    let mut reel = Reel::starting(Scene::new(11).shoot(30));
    reel.cut(Scene::new(12).shoot(30));
    reel.dissolve(Scene::new(13).shoot(40), 12);
    reel
}

fn detect(reel: &Reel, base: TimeBase, times: &[i64], end: i64) -> Vec<Shot> {
    let mut detector = Detector::new(base);
    for (rgb, pts) in reel.frames.iter().zip(times) {
        detector.push(Frame { rgb, width: WIDTH as u32, height: HEIGHT as u32, pts: Ticks(*pts) }).unwrap();
    }
    detector.finish(Ticks(end)).unwrap().0
}

#[test]
fn shots_carry_presentation_times_of_a_variable_frame_rate_not_frame_numbers() {
    let reel = three_shots();
    // 90 kHz, frames of 1/24 and 1/30 s in turn, starting late.
    let times: Vec<i64> = (0..reel.frames.len() as i64).map(|n| 9_000 + n / 2 * 6_750 + n % 2 * 3_750).collect();
    let end = times.last().unwrap() + 3_000;
    let shots = detect(&reel, TimeBase::MPEG, &times, end);
    assert_eq!(shots.len(), 3);
    assert_eq!((shots[0].start.0, shots[0].end.0), (times[0], times[30]));
    assert_eq!(shots[1].transition_in, Some(Transition::Cut));
    let Some(Transition::Dissolve { start, end: mixed }) = shots[2].transition_in else { panic!("{:?}", shots[2]) };
    assert!(times.contains(&start.0) && times.contains(&mixed.0) && times.contains(&shots[2].start.0));
    assert_eq!(shots[2].end.0, end);
}

#[test]
fn the_same_frames_give_the_same_shots() {
    let reel = three_shots();
    assert_eq!(reel.shots(), reel.shots());
}

#[test]
fn shots_leave_no_gap_whatever_is_shown() {
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let mut frames = Vec::new();
        while frames.len() < 150 {
            let length = 1 + dice.below(30);
            match dice.below(4) {
                0 => frames.extend(vec![vec![dice.roll() as u8; WIDTH * HEIGHT * 3]; length]),
                1 => frames.extend((0..length.min(6)).map(|_| (0..WIDTH * HEIGHT * 3).map(|_| dice.roll() as u8).collect())),
                _ => frames.extend(Scene::new(dice.roll()).shoot(length)),
            }
        }
        let shots = Reel { frames: frames.clone(), truth: Vec::new() }.shots();
        assert_eq!(shots[0].start, Ticks(0));
        assert_eq!(shots[shots.len() - 1].end, Ticks(frames.len() as i64));
        for pair in shots.windows(2) {
            assert!(pair[0].start < pair[0].end && pair[0].end == pair[1].start, "seed {seed}: {pair:?}");
            assert!(pair[1].transition_in.is_some() && pair[0].transition_out.is_none());
        }
    }
}

#[test]
fn what_is_told_of_settled_frames_is_what_the_end_says() {
    for seed in 0..4 {
        let mut dice = Dice(seed + 40);
        let mut reel = Reel::starting(Scene::new(seed).shoot(60));
        for n in 1..14 {
            let next = Scene::new(seed * 100 + n).shoot(40 + dice.below(60));
            match dice.below(4) {
                0 => reel.dissolve(next, 20),
                1 => reel.fade(next, 12, [0, 9, 400][dice.below(3)], 0),
                _ => reel.cut(next),
            }
        }
        let shots = reel.shots();
        let mut detector = Detector::new(TimeBase::MILLIS);
        // Told in pieces: each time from the last shot on that is settled.
        let (mut told, mut since) = (Vec::<Shot>::new(), Ticks(0));
        for (n, rgb) in reel.frames.iter().enumerate() {
            detector.push(Frame { rgb, width: WIDTH as u32, height: HEIGHT as u32, pts: Ticks(n as i64) }).unwrap();
            if n % 32 == 0 {
                for shot in detector.so_far(since) {
                    if shot.end.0 + SETTLED_AFTER as i64 > n as i64 {
                        break;
                    }
                    since = shot.end;
                    told.push(shot);
                }
            }
        }
        assert!(told.len() >= 4, "seed {seed}: {} of {} shots were told of", told.len(), shots.len());
        assert_eq!(told, shots[..told.len()], "seed {seed}");
    }
}

#[test]
fn the_clear_part_of_a_shot_lies_between_its_transitions() {
    let shot =
        |start, end, transition_in, transition_out| Shot { start: Ticks(start), end: Ticks(end), transition_in, transition_out };
    let mix = |start, end| Some(Transition::Dissolve { start: Ticks(start), end: Ticks(end) });
    let fade = |start, end| Some(Transition::Fade { start: Ticks(start), end: Ticks(end) });
    let shots = [
        shot(0, 50, fade(0, 9), None),
        shot(50, 80, mix(40, 60), None),
        shot(80, 99, Some(Transition::Cut), fade(90, 99)),
        shot(99, 120, None, None),
    ];
    let clear: Vec<_> =
        (0..4).map(|n| shots[n].clear((n != 2).then(|| shots.get(n + 1)).flatten())).map(|(a, b)| (a.0, b.0)).collect();
    assert_eq!(clear, [(9, 40), (60, 80), (80, 90), (99, 120)]);
}

#[test]
fn the_shortest_titles_are_one_shot() {
    for frames in 1..4 {
        let shots = Reel::starting(Scene::new(1).shoot(frames)).shots();
        assert_eq!(shots.len(), 1);
        assert_eq!((shots[0].start, shots[0].end), (Ticks(0), Ticks(frames as i64)));
    }
}

#[test]
fn tiny_and_odd_pictures_are_taken() {
    for (width, height) in [(1u32, 1u32), (2, 3), (97, 57), (16, 2000)] {
        let mut detector = Detector::new(TimeBase::MILLIS);
        let rgb = vec![90; (width * height * 3) as usize];
        for n in 0..20 {
            detector.push(Frame { rgb: &rgb, width, height, pts: Ticks(n * 40) }).unwrap();
        }
        assert_eq!(detector.finish(Ticks(800)).unwrap().0.len(), 1);
    }
}

#[test]
fn wrong_frames_are_refused_and_leave_the_detector_usable() {
    let mut detector = Detector::new(TimeBase::MILLIS);
    let rgb = vec![0; 12];
    let good = Frame { rgb: &rgb, width: 2, height: 2, pts: Ticks(10) };
    detector.push(good).unwrap();
    for (width, height) in [(2, 3), (0, 2), (u32::MAX, u32::MAX)] {
        let bad = Frame { width, height, pts: Ticks(20), ..good };
        assert_eq!(detector.push(bad).unwrap_err(), Error::Shape { bytes: 12, width, height });
    }
    let late = detector.push(good).unwrap_err();
    assert_eq!(late, Error::Order { before: Ticks(10), given: Ticks(10) });
    assert!(late.to_string().starts_with("failed to place a frame"));
    detector.push(Frame { pts: Ticks(20), ..good }).unwrap();
    assert_eq!(detector.finish(Ticks(20)).unwrap_err(), Error::Order { before: Ticks(20), given: Ticks(20) });
    assert_eq!(Detector::new(TimeBase::MILLIS).finish(Ticks(1)).unwrap_err(), Error::NoFrames);
}
