//! Runs the detector over a file of raw rgb24 frames and compares what it finds with a true edit list. Reads the file, prints.
//!
//! Usage: `score FILE.rgb WIDTH HEIGHT [cut@F | dissolve@F-T | fade@F-T]...`, frames counted from 0, one tick per frame.
#![allow(clippy::unwrap_used)]

use std::{fs::File, io::Read, time::Instant};

use showrunner_shots::{Detector, Frame, Transition};
use showrunner_timeline::{Ticks, TimeBase};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (width, height): (u32, u32) = (args[2].parse().unwrap(), args[3].parse().unwrap());
    let mut file = File::open(&args[1]).unwrap();
    let mut frame = vec![0; (width * height * 3) as usize];
    let mut detector = Detector::new(TimeBase::new(1, 25).unwrap());
    let mut count = 0;
    let begun = Instant::now();
    while file.read_exact(&mut frame).is_ok() {
        detector.push(Frame { rgb: &frame, width, height, pts: Ticks(count) }).unwrap();
        count += 1;
    }
    let shots = detector.finish(Ticks(count)).unwrap();
    let took = begun.elapsed();
    let truth: Vec<(String, i64, i64)> = args[4..]
        .iter()
        .map(|text| {
            let (kind, span) = text.split_once('@').unwrap();
            let (from, to) = span.split_once('-').unwrap_or((span, span));
            (kind.to_owned(), from.parse().unwrap(), to.parse().unwrap())
        })
        .collect();
    let mut matched = vec![false; truth.len()];
    let (mut hits, mut right_kind, mut false_alarms) = (0, 0, 0);
    for shot in &shots[1..] {
        let (kind, from, to) = match shot.transition_in.unwrap() {
            Transition::Cut => ("cut", shot.start.0, shot.start.0),
            Transition::Dissolve { start, end } => ("dissolve", start.0, end.0),
            Transition::Fade { start, end } => ("fade", start.0, end.0),
        };
        let slack = 1;
        let hit = truth.iter().enumerate().find(|(i, t)| !matched[*i] && from <= t.2 + slack && to >= t.1 - slack);
        if let Some((i, t)) = hit {
            matched[i] = true;
            hits += 1;
            right_kind += usize::from(t.0 == kind);
        } else {
            false_alarms += 1;
        }
        println!(
            "{kind:<9}{from}-{to} at {}  {}",
            shot.start,
            hit.map_or("FALSE".to_owned(), |(_, t)| format!("{} {}-{}", t.0, t.1, t.2))
        );
    }
    for (t, _) in truth.iter().zip(&matched).filter(|(_, m)| !**m) {
        println!("MISSED {t:?}");
    }
    let missed = truth.len() as i32 - hits;
    println!(
        "{count} frames, {:.0} fps: {hits} found, {missed} missed, {false_alarms} false, {right_kind} of the right kind, F1 {:.3}; in {:?} out {:?}",
        count as f64 / took.as_secs_f64(),
        2.0 * f64::from(hits) / f64::from(2 * hits + missed + false_alarms).max(1.0),
        shots[0].transition_in,
        shots[shots.len() - 1].transition_out,
    );
}
