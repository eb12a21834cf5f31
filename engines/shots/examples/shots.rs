//! Runs the detector over raw rgb24 frames and says what it finds, frames counted from 0. Reads standard input, prints a line
//! for each change of shot: `cut AT`, `dissolve FROM TO` or `fade FROM TO`; with what a frame's work took on standard error.
//!
//! Usage: `ffmpeg -i FILE -vf scale=160:90:flags=area -pix_fmt rgb24 -f rawvideo - | shots 160 90`
#![allow(clippy::unwrap_used)]

use std::{io::Read as _, time::Duration, time::Instant};

use showrunner_shots::{Detector, Frame, Transition};
use showrunner_timeline::{Ticks, TimeBase};

fn main() {
    let side = |n: usize| std::env::args().nth(n).expect("usage: shots WIDTH HEIGHT").parse::<u32>().unwrap();
    let (width, height) = (side(1), side(2));
    let mut frame = vec![0; (width * height * 3) as usize];
    let mut detector = Detector::new(TimeBase::new(1, 25).unwrap());
    let (mut count, mut spent, mut input) = (0, Duration::ZERO, std::io::stdin().lock());
    while input.read_exact(&mut frame).is_ok() {
        let begun = Instant::now();
        detector.push(Frame { rgb: &frame, width, height, pts: Ticks(count) }).unwrap();
        spent += begun.elapsed();
        count += 1;
    }
    let (shots, _) = detector.finish(Ticks(count)).unwrap();
    let ending = shots.last().and_then(|last| last.transition_out);
    for (start, transition) in shots.iter().map(|shot| (shot.start, shot.transition_in)).chain([(Ticks(count), ending)]) {
        match transition {
            None => {}
            Some(Transition::Cut) => println!("cut {start}"),
            Some(Transition::Dissolve { start, end }) => println!("dissolve {start} {end}"),
            Some(Transition::Fade { start, end }) => println!("fade {start} {end}"),
        }
    }
    eprintln!("{count} frames, {:.0} us each", spent.as_secs_f64() * 1e6 / count as f64);
}
