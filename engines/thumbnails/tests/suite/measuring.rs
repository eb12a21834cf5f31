//! Better pictures score higher, useless ones are refused, bars are found.

use showrunner_thumbnails::{Crop, Picture, Quality, QualityError, QualityModel, Reject, measure};
use showrunner_timeline::Ticks;

use crate::draw::{HEIGHT, WIDTH, barred, blur, candidate, map, noisy, scene};

/// Whether more distortion always means a lower score: a rank correlation of 1.
fn falls(levels: &[f32]) -> bool {
    levels.windows(2).all(|pair| pair[0] > pair[1])
}

#[test]
fn every_step_of_blur_lowers_sharpness_and_the_verdict() {
    for seed in 0..6 {
        let picture = scene(seed);
        let scores: Vec<Quality> = [0, 1, 2, 4, 8].map(|radius| candidate(&blur(&picture, radius), 0, 0.0).quality).to_vec();
        assert!(falls(&scores.iter().map(|q| q.sharpness).collect::<Vec<_>>()), "seed {seed}: {scores:?}");
        assert!(falls(&scores.iter().map(|q| q.overall).collect::<Vec<_>>()), "seed {seed}: {scores:?}");
    }
}

#[test]
fn every_step_of_darkness_and_of_light_lowers_exposure() {
    for seed in 0..6 {
        let picture = map(&scene(seed), |v| 64.0 + v * 0.5);
        let dark = [0.8, 0.5, 0.3, 0.15].map(|gain| candidate(&map(&picture, |v| v * gain), 0, 0.0).quality.exposure);
        let light = [10.0, 40.0, 60.0, 80.0].map(|lift| candidate(&map(&picture, |v| v + lift), 0, 0.0).quality.exposure);
        assert!(falls(&dark) && falls(&light), "seed {seed}: {dark:?} {light:?}");
    }
}

#[test]
fn every_step_of_noise_lowers_cleanness() {
    for seed in 0..6 {
        let soft = blur(&scene(seed), 2);
        let clean = [0.0, 3.0, 6.0, 12.0].map(|level| candidate(&noisy(&soft, level, 9), 0, 0.0).quality.cleanness);
        assert!(falls(&clean), "seed {seed}: {clean:?}");
    }
}

#[test]
fn grey_pictures_are_less_colourful_and_flat_ones_have_less_contrast() {
    let picture = scene(4);
    let grey: Vec<u8> = picture.chunks(3).flat_map(|p| [p[1]; 3]).collect();
    let dull = map(&picture, |v| 128.0 + (v - 128.0) * 0.3);
    let (full, grey, dull) =
        (candidate(&picture, 0, 0.0).quality, candidate(&grey, 0, 0.0).quality, candidate(&dull, 0, 0.0).quality);
    assert!(grey.colourfulness < 0.05 && full.colourfulness > 0.4);
    assert!(dull.contrast < full.contrast * 0.5);
}

#[test]
fn black_flat_blurred_and_lost_pictures_are_rejected_and_good_ones_are_not() {
    let picture = scene(1);
    let reject = |rgb: &[u8]| candidate(rgb, 0, 0.0).reject;
    assert_eq!(reject(&picture), None);
    assert_eq!(reject(&map(&picture, |v| v * 0.1)), Some(Reject::Black));
    assert_eq!(reject(&vec![140; WIDTH * HEIGHT * 3]), Some(Reject::Flat));
    assert_eq!(reject(&blur(&blur(&picture, 14), 14)), Some(Reject::Blurred));
    let burnt: Vec<u8> = picture.chunks(3).flat_map(|p| [if p[1] > 20 { 255 } else { 0 }; 3]).collect();
    assert_eq!(reject(&burnt), Some(Reject::Lost));
}

#[test]
fn a_sharp_subject_before_a_soft_background_is_sharp() {
    let picture = scene(2);
    let mut mixed = blur(&picture, 6);
    for y in HEIGHT / 4..HEIGHT * 3 / 4 {
        let row = (y * WIDTH + WIDTH / 3) * 3..(y * WIDTH + WIDTH * 2 / 3) * 3;
        mixed[row.clone()].copy_from_slice(&picture[row]);
    }
    let (all, part, none) = (candidate(&picture, 0, 0.0), candidate(&mixed, 0, 0.0), candidate(&blur(&picture, 6), 0, 0.0));
    assert!(part.quality.sharpness > 0.5 * all.quality.sharpness && none.quality.sharpness < 0.2 * part.quality.sharpness);
}

#[test]
fn bars_are_found_on_all_sides_and_black_pictures_are_left_whole() {
    let rgb = barred(&scene(3), 22, 0);
    let crop = Picture::new(&rgb, WIDTH as u32, HEIGHT as u32).unwrap().content();
    assert!(crop.y.abs_diff(23) <= 1 && crop.height.abs_diff(HEIGHT as u32 - 46) <= 2 && crop.x == 0, "{crop:?}");
    let rgb = barred(&scene(3), 10, 40);
    let crop = Picture::new(&rgb, WIDTH as u32, HEIGHT as u32).unwrap().content();
    assert!(crop.x.abs_diff(41) <= 1 && crop.y.abs_diff(11) <= 1, "{crop:?}");
    let black = vec![16; WIDTH * HEIGHT * 3];
    let whole = Crop { x: 0, y: 0, width: WIDTH as u32, height: HEIGHT as u32 };
    assert_eq!(Picture::new(&black, WIDTH as u32, HEIGHT as u32).unwrap().content(), whole);
}

#[test]
fn bars_do_not_change_how_a_picture_is_judged() {
    let free = candidate(&scene(5), 0, 0.0).quality;
    let boxed = candidate(&barred(&scene(5), 22, 0), 0, 0.0).quality;
    assert!((free.exposure - boxed.exposure).abs() < 0.12 && (free.contrast - boxed.contrast).abs() < 0.12);
}

struct Fixed(Result<f32, QualityError>);

impl QualityModel for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }
    fn score(&mut self, _: &Picture<'_>, _: Crop, _: &Quality) -> Result<f32, QualityError> {
        self.0.clone()
    }
}

#[test]
fn a_model_replaces_the_verdict_and_its_nonsense_is_refused() {
    let rgb = scene(6);
    let picture = Picture::new(&rgb, WIDTH as u32, HEIGHT as u32).unwrap();
    let judge = |score| measure(&picture, Ticks(0), 0.0, &mut Fixed(score));
    assert!((judge(Ok(0.25)).unwrap().quality.overall - 0.25).abs() < f32::EPSILON);
    for bad in [f32::NAN, -0.1, 1.5, f32::INFINITY] {
        let error = judge(Ok(bad)).unwrap_err();
        assert!(matches!(&error, QualityError::Score(text) if text.contains("fixed")), "{error}");
    }
    assert_eq!(judge(Err(QualityError::Model("gone".into()))).unwrap_err().to_string(), "failed to score a picture: gone");
}

#[test]
fn pictures_of_every_shape_are_measured_and_wrong_buffers_refused() {
    for (width, height) in [(1u32, 1u32), (2, 2), (3, 400), (1279, 3)] {
        let rgb: Vec<u8> = (0..width * height * 3).map(|i| (i * 37 % 251) as u8).collect();
        let picture = Picture::new(&rgb, width, height).unwrap();
        let measured = measure(&picture, Ticks(0), f32::NAN, &mut showrunner_thumbnails::ClassicalQuality).unwrap();
        assert!((0.0..=1.0).contains(&measured.quality.overall) && measured.motion == 0.0);
    }
    for (width, height) in [(0, 1), (2, 2), (u32::MAX, u32::MAX)] {
        let error = Picture::new(&[0; 3], width, height).unwrap_err();
        assert!(error.to_string().starts_with("failed to read a picture: 3 bytes"));
    }
}
