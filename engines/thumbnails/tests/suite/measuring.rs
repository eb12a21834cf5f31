//! Better pictures score higher, useless ones are refused, bars are found.

use showrunner_thumbnails::{Crop, Faults, Picture, Quality, QualityError, QualityModel, Reject, measure};
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
        let scores: Vec<Quality> = [0, 2, 4, 6].map(|radius| candidate(&blur(&picture, radius), 0, 0.0).quality).to_vec();
        assert!(falls(&scores.iter().map(|q| q.sharpness).collect::<Vec<_>>()), "seed {seed}: {scores:?}");
        assert!(falls(&scores.iter().map(|q| q.overall).collect::<Vec<_>>()), "seed {seed}: {scores:?}");
    }
}

#[test]
fn every_step_of_darkness_and_of_light_lowers_exposure() {
    for seed in 0..6 {
        let picture = map(&scene(seed), |v| 64.0 + v * 0.5);
        let dark = [0.8, 0.5, 0.3, 0.15].map(|gain| candidate(&map(&picture, |v| v * gain), 0, 0.0).quality.exposure);
        // Light that costs nothing is no fault: it begins where pixels turn white.
        let light = [1.35, 1.6, 2.0, 2.6].map(|gain| candidate(&map(&picture, |v| v * gain), 0, 0.0).quality.exposure);
        assert!(falls(&dark), "seed {seed}: {dark:?}");
        let never_rises = light.windows(2).all(|pair| pair[0] >= pair[1]);
        assert!(never_rises && light[0] > 0.9 && light[3] < 0.6, "seed {seed}: {light:?}");
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

/// A picture of levels `step` apart.
fn posterised(rgb: &[u8], step: f32) -> Vec<u8> {
    map(rgb, |v| (v / step).round() * step)
}

/// A smooth slope with soft things on it, in fractions of levels that noise spreads.
fn soft(seed: u64) -> Vec<u8> {
    noisy(&blur(&blur(&scene(seed), 8), 8), 1.0, seed)
}

#[test]
fn every_step_of_banding_lowers_coding_and_flat_colours_of_a_drawing_are_no_bands() {
    for seed in 0..6 {
        let picture = blur(&blur(&scene(seed), 8), 8);
        let coding = [1.0, 12.0, 20.0, 32.0].map(|step| candidate(&posterised(&picture, step), 0, 0.0).quality.coding);
        assert!(falls(&coding), "seed {seed}: {coding:?}");
        let drawn = candidate(&scene(seed), 0, 0.0).faults.banding;
        assert!(drawn < 0.05, "seed {seed}: {drawn}");
    }
}

/// Each block of 8x8, from `(x, y)` on, made alike by `share`: what a coder leaves of fine detail.
fn blocky(rgb: &[u8], (right, down): (usize, usize), share: f32) -> Vec<u8> {
    let mut out = rgb.to_vec();
    let cell = |side: usize, shift: usize| (side + 8 - shift) / 8;
    let key = |x: usize, y: usize| (cell(x, right), cell(y, down));
    let mut sums = std::collections::BTreeMap::new();
    for (i, pixel) in rgb.chunks_exact(3).enumerate() {
        let (sum, count) = sums.entry(key(i % WIDTH, i / WIDTH)).or_insert(([0.0_f32; 3], 0.0_f32));
        sum.iter_mut().zip(pixel).for_each(|(s, v)| *s += f32::from(*v));
        *count += 1.0;
    }
    for (i, pixel) in out.chunks_exact_mut(3).enumerate() {
        let (sum, count) = sums[&key(i % WIDTH, i / WIDTH)];
        for (value, sum) in pixel.iter_mut().zip(sum) {
            *value = (f32::from(*value) * (1.0 - share) + sum / count * share).round() as u8;
        }
    }
    out
}

#[test]
fn blocks_lower_coding_wherever_their_grid_begins() {
    for seed in 0..4 {
        let picture = soft(seed);
        for grid in [(0, 0), (3, 5)] {
            let coding = [0.0, 0.6, 0.9].map(|share| candidate(&blocky(&picture, grid, share), 0, 0.0).quality.coding);
            assert!(falls(&coding), "seed {seed}, grid {grid:?}: {coding:?}");
        }
    }
}

#[test]
fn what_was_enlarged_is_as_bad_as_what_was_blurred() {
    for seed in 0..4 {
        let picture = scene(seed);
        let enlarged = |times: usize| -> Vec<u8> {
            let small = blur(&picture, times / 2);
            let at = |i: usize| i / times * times + times / 2;
            let pixels = (0..WIDTH * HEIGHT).flat_map(|i| {
                let from = (at(i / WIDTH).min(HEIGHT - 1) * WIDTH + at(i % WIDTH).min(WIDTH - 1)) * 3;
                small[from..from + 3].to_vec()
            });
            blur(&pixels.collect::<Vec<u8>>(), times / 2)
        };
        let sharpness = [1, 4, 8].map(|times| candidate(&enlarged(times), 0, 0.0).quality.sharpness);
        assert!(falls(&sharpness), "seed {seed}: {sharpness:?}");
    }
}

#[test]
fn noise_is_seen_at_full_size_where_a_smaller_picture_would_hide_it() {
    // Four times as wide as the size at which composition is judged: there one pixel is the mean of sixteen.
    let (width, height) = (4 * WIDTH, 4 * HEIGHT);
    let small = soft(3);
    let large: Vec<u8> = (0..width * height)
        .flat_map(|i| {
            let from = (i / width / 4 * WIDTH + i % width / 4) * 3;
            small[from..from + 3].to_vec()
        })
        .collect();
    let noise = |rgb: &[u8]| {
        let picture = Picture::new(rgb, width as u32, height as u32).unwrap();
        measure(&picture, Ticks(0), 0.0, &mut showrunner_thumbnails::ClassicalQuality).unwrap().faults.noise
    };
    let (clean, grainy) = (noise(&large), noise(&noisy(&large, 12.0, 5)));
    assert!(clean < 0.1 && grainy > 0.3, "{clean} {grainy}");
}

#[test]
fn several_faults_are_worse_than_the_worst_and_no_fault_is_hidden_by_another() {
    let faults = Faults { blur: 0.5, ..Faults::default() };
    let both = Faults { noise: 0.5, ..faults };
    assert!((faults.together() - 0.5).abs() < 1e-3 && both.together() > 0.52 && both.together() < 0.6);
    let all = Faults { blur: 1.0, noise: 1.0, blocks: 1.0, banding: 1.0, dark: 1.0, bright: 1.0, flat: 1.0 };
    assert!((all.together() - 1.0).abs() < f32::EPSILON);
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
    assert!(part.quality.sharpness > 0.9 * all.quality.sharpness && none.quality.sharpness < 0.4 * part.quality.sharpness);
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
