//! Measures pictures and says what was found. Reads PPM files (P6, one after the other) on standard input, prints a line for
//! each, as JSON: its comment, its score, and what its faults are read from; with what a picture's work took on standard error.
//!
//! Usage: `bench/media/distortions.py SOURCES FFMPEG tune | measure`
#![allow(clippy::unwrap_used)]

use std::{
    io::Read as _,
    time::{Duration, Instant},
};

use showrunner_thumbnails::{ClassicalQuality, Inputs, Picture, Signs, measure};
use showrunner_timeline::Ticks;

fn main() {
    let (mut input, mut spent, mut count) = (std::io::stdin().lock(), Duration::ZERO, 0_u32);
    while let Some((about, width, height)) = header(&mut input) {
        let mut rgb = vec![0; (width * height * 3) as usize];
        input.read_exact(&mut rgb).unwrap();
        let begun = Instant::now();
        let picture = Picture::new(&rgb, width, height).unwrap();
        let candidate = measure(&picture, Ticks(0), 0.0, &mut ClassicalQuality).unwrap();
        spent += begun.elapsed();
        count += 1;
        let (score, faults) = (candidate.quality.overall, candidate.faults);
        let Inputs { blur, noise, blocks, banding, dark, bright, flat } = Inputs::from(&Signs::of(&picture, candidate.content));
        print!(
            "{{\"about\":{about},\"score\":{score},\"sound\":{},\"rejected\":{},\"bars\":{}",
            1.0 - faults.together(),
            candidate.reject.is_some(),
            candidate.content != picture.whole()
        );
        print!(",\"blur\":{blur:?},\"noise\":{noise:?},\"blocks\":{blocks:?},\"banding\":{banding:?},\"dark\":{dark:?}");
        println!(",\"bright\":{bright:?},\"flat\":{flat:?}}}");
    }
    eprintln!("{count} pictures, {:.1} ms each", spent.as_secs_f64() * 1e3 / f64::from(count));
}

/// The comment, the width and the height of the next picture.
fn header(input: &mut impl std::io::BufRead) -> Option<(String, u32, u32)> {
    let mut line = || {
        let mut text = String::new();
        (input.read_line(&mut text).unwrap() > 0).then(|| text.trim_end().to_owned())
    };
    assert_eq!(line()?, "P6", "not a PPM file");
    let mut about = String::from("null");
    let mut size = line()?;
    while let Some(comment) = size.strip_prefix("# ") {
        comment.clone_into(&mut about);
        size = line()?;
    }
    let (width, height) = size.split_once(' ')?;
    assert_eq!(line()?, "255", "not of 8 bits");
    Some((about, width.parse().unwrap(), height.parse().unwrap()))
}
