//! The perceptual hash: against the published implementation, and by what it is for.

use showrunner_thumbnails::Hash;

use crate::draw::{HEIGHT, WIDTH, blur, candidate, map, noisy, scene};

fn hash(rgb: &[u8]) -> Hash {
    candidate(rgb, 0, 0.0).hash
}

#[test]
fn copies_lie_close_and_other_pictures_far() {
    for seed in 0..12 {
        let picture = scene(seed);
        let own = hash(&picture);
        for copy in [noisy(&picture, 8.0, seed), blur(&picture, 1), map(&picture, |v| v * 0.9 + 8.0)] {
            assert!(own.distance(&hash(&copy)) <= 31, "seed {seed}: {}", own.distance(&hash(&copy)));
        }
        assert!(own.distance(&hash(&scene(seed + 50))) >= 64);
    }
}

#[test]
fn a_hash_is_64_hex_digits_and_half_of_its_bits_are_set() {
    let hash = hash(&scene(3));
    let text = hash.to_string();
    assert!(text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit()));
    assert_eq!(hash.0.iter().map(|b| b.count_ones()).sum::<u32>(), 128);
    assert_eq!(hash.distance(&hash), 0);
}

#[test]
fn it_agrees_with_the_published_implementation() {
    assert_eq!((WIDTH, HEIGHT), (320, 180), "the hashes below were taken at this size");
    for (seed, published) in GOLDEN {
        let own = hash(&scene(seed)).to_string();
        assert_eq!(own.len(), published.len());
        let differ: u32 = own
            .bytes()
            .zip(published.bytes())
            .map(|(a, b)| ((a as char).to_digit(16).unwrap() ^ (b as char).to_digit(16).unwrap()).count_ones())
            .sum();
        // Its constants are rounded otherwise, which may turn a coefficient that equals the median.
        assert!(differ <= 2, "seed {seed}: {differ} bits differ\n{own}\n{published}");
    }
}

/// Hashes of `scene(seed)` by the crate pdqhash 0.1.1 (`generate_pdq_full_size`).
const GOLDEN: [(u64, &str); 3] = [
    (1, "0f8fb129f1920cc92ebbd94e5b108e68695dc0eb3e3c26b0b58631abc45b7f8c"),
    (2, "3f26695895ec0b27905cdc7ba783b4da5cac63c43eb4ccb3455b8026a8e33ed8"),
    (3, "2c927fec967c8033f9263d12b691bbe05229f21d91e1c9b3ec1a8459b3d82f66"),
];
