//! Hash, quality, mirrored and shifted pictures.

use showrunner_pdq::{Coefficients, Hash, Part, Smooth, hash};

use crate::{
    draw::{HEIGHT, WIDTH, luma, scene},
    published::PUBLISHED,
};

fn smooth(rgb: &[u8]) -> Smooth {
    Smooth::new(luma(rgb), WIDTH, HEIGHT)
}

fn hash_of(smooth: &Smooth, part: Part) -> Hash {
    Coefficients::of(&smooth.samples(part)).hash()
}

/// The picture's columns in the opposite order.
fn mirrored(rgb: &[u8]) -> Vec<u8> {
    rgb.chunks_exact(WIDTH * 3).flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect()
}

/// The part of a picture without so many columns and rows at its edges.
fn cut(rgb: &[u8], [left, top, right, bottom]: [usize; 4]) -> (Vec<f32>, usize, usize) {
    let (width, height) = (WIDTH - left - right, HEIGHT - top - bottom);
    let whole = luma(rgb);
    let luma = (0..height).flat_map(|y| whole[(y + top) * WIDTH + left..][..width].to_vec()).collect();
    (luma, width, height)
}

#[test]
fn hash_and_quality_are_those_of_the_reference() {
    for (seed, shift, quality, published) in PUBLISHED {
        let picture: Vec<u8> = scene(seed).iter().map(|value| value >> shift).collect();
        let (own, own_quality) = hash(luma(&picture), WIDTH, HEIGHT);
        assert_eq!(own_quality, quality, "seed {seed}, {shift} bits darker");
        let theirs = Hash(std::array::from_fn(|n| u8::from_str_radix(&published[n * 2..n * 2 + 2], 16).unwrap()));
        // Sums in another order may turn a coefficient that equals the median.
        assert!(own.distance(&theirs) <= 2, "seed {seed}, {shift} bits darker: {own} {published}");
    }
}

#[test]
fn a_blank_picture_has_no_quality() {
    assert_eq!(hash(vec![17.0; 400], 20, 20).1, 0);
}

#[test]
fn a_picture_and_its_mirror_image_share_their_coefficients() {
    for seed in 0..6 {
        let picture = scene(seed);
        let direct = hash(luma(&mirrored(&picture)), WIDTH, HEIGHT).0;
        let turned = Coefficients::of(&smooth(&picture).samples(Part::WHOLE)).mirrored().hash();
        // Samples lie half a pixel off the middle, which the reference does not mirror either.
        assert!(direct.distance(&turned) <= 24, "seed {seed}: {}", direct.distance(&turned));
        assert!(direct.distance(&hash(luma(&picture), WIDTH, HEIGHT).0) > 90);
    }
}

#[test]
fn a_part_hashes_as_if_it_had_been_cut_out() {
    for seed in 0..6 {
        let picture = scene(seed);
        let (luma, width, height) = cut(&picture, [32, 18, 16, 9]);
        let part = Part { left: 0.1, top: 0.1, right: 0.95, bottom: 0.95 };
        let distance = hash(luma, width, height).0.distance(&hash_of(&smooth(&picture), part));
        assert!(distance <= 40, "seed {seed}: {distance}");
    }
}

#[test]
fn what_was_cut_off_can_be_guessed_from_the_edge() {
    let (mut guessed, mut plain) = (0, 0);
    for seed in 0..12 {
        let picture = scene(seed);
        let whole = hash_of(&smooth(&picture), Part::WHOLE);
        let (luma, width, height) = cut(&picture, [32, 9, 0, 18]);
        let copy = Smooth::new(luma, width, height);
        let share = |pixels: f32, side: usize| pixels / side as f32;
        let around = Part { left: -share(32.0, width), top: -share(9.0, height), right: 1.0, bottom: 1.0 + share(18.0, height) };
        guessed += whole.distance(&hash_of(&copy, around));
        plain += whole.distance(&hash_of(&copy, Part::WHOLE));
    }
    assert!(guessed * 3 < plain * 2, "{guessed} bits of {plain}");
}

#[test]
fn beyond_its_edge_a_picture_goes_on_mirrored() {
    // 64 pixels a side are not blurred, so that both ways see the same values.
    let value = |x: usize, y: usize| ((x * 37 + y * 11 + x * y) % 251) as f32;
    let picture: Vec<f32> = (0..64 * 64).map(|n| value(n % 64, n / 64)).collect();
    let across = |n: usize| if n < 64 { 63 - n } else { n - 64 };
    let extended = (0..64 * 128).map(|n| value(across(n % 128), n / 128)).collect();
    let part = Part { left: -1.0, ..Part::WHOLE };
    let wide = hash_of(&Smooth::new(extended, 128, 64), Part { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 });
    let beyond = hash_of(&Smooth::new(picture, 64, 64), part);
    assert!(wide.distance(&beyond) <= 20, "{}", wide.distance(&beyond));
}

#[test]
fn a_hash_is_64_hex_digits_and_half_of_its_bits_are_set() {
    let (hash, _) = hash(luma(&scene(3)), WIDTH, HEIGHT);
    assert_eq!(hash.to_string().len(), 64);
    assert_eq!(hash.0.iter().map(|b| b.count_ones()).sum::<u32>(), 128);
    let set = (0..256).filter(|n| hash.bit(n / 16, n % 16)).count();
    assert_eq!(set, 128);
    // The last digit of the text holds the lowest frequencies.
    let last = hash.to_string().bytes().last().map(|c| (c as char).to_digit(16).unwrap());
    assert_eq!(last, Some((0..4).map(|n| u32::from(hash.bit(0, n)) << n).sum()));
}

#[test]
fn a_picture_smaller_than_its_samples_has_a_hash() {
    let (hash, _) = hash((0..12).map(|n| f32::from(n as u8) * 20.0).collect(), 4, 3);
    assert_eq!(hash.distance(&hash), 0);
}
