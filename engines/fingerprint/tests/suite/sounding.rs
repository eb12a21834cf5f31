//! The sound's items: against FFmpeg's, and at other speeds.

use showrunner_fingerprint::{Ear, ITEM_SECONDS, SAMPLE_RATE};

use crate::draw::{Dice, Title};

fn heard(samples: &[i16], speed: f32) -> Vec<u32> {
    let mut ear = Ear::new(speed).unwrap();
    // In pieces, as a decoder gives them.
    samples.chunks(4000).for_each(|piece| ear.hear(piece));
    ear.finish()
}

/// Share of bits that differ, over as many items as both have.
fn error(a: &[u32], b: &[u32]) -> f32 {
    let bits: u32 = a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum();
    bits as f32 / (a.len().min(b.len()) * 32) as f32
}

#[test]
fn items_are_those_of_the_reference() {
    assert_eq!(heard(&signal(), 1.0), PUBLISHED);
}

#[test]
fn an_item_comes_every_eighth_of_a_second() {
    let minute = Title::new(60, 60).samples;
    let items = heard(&minute, 1.0).len();
    // The first needs 2.6 seconds.
    assert!((items as f32 * ITEM_SECONDS - 57.4).abs() < 0.3, "{items}");
}

#[test]
fn a_speed_that_is_undone_sounds_as_before_and_one_that_is_not_does_not() {
    let title = Title::new(61, 40);
    let whole = heard(&title.samples, 1.0);
    for speed in [0.95f32, 1.04] {
        let faster = title.clone().faster(speed).samples;
        let (undone, left) = (error(&heard(&faster, speed), &whole), error(&heard(&faster, 1.0), &whole));
        assert!(undone < 0.1 && left > 0.3, "{speed}: {undone} {left}");
    }
}

#[test]
fn sound_at_another_rate_is_heard_as_the_same() {
    let title = Title::new(62, 40);
    let whole = heard(&title.samples, 1.0);
    // Drawn by straight lines between samples, as nobody would: what is left is the resampler's and that.
    let (rate, given) = (16_000usize, &title.samples);
    let samples: Vec<i16> = (0..given.len() * rate / SAMPLE_RATE as usize - 2)
        .map(|n| {
            let at = n as f64 * f64::from(SAMPLE_RATE) / rate as f64;
            let (from, share) = (at as usize, at.fract());
            (f64::from(given[from]) * (1.0 - share) + f64::from(given[from + 1]) * share).round() as i16
        })
        .collect();
    let mut ear = Ear::sampled(rate as u32, 1.0).unwrap();
    samples.chunks(4000).for_each(|piece| ear.hear(piece));
    let again = ear.finish();
    assert!(again.len().abs_diff(whole.len()) <= 1, "{} and {} items", again.len(), whole.len());
    assert!(error(&again, &whole) < 0.05, "{}", error(&again, &whole));
    assert!(Ear::sampled(7_999, 1.0).is_err() && Ear::sampled(192_001, 1.0).is_err());
}

#[test]
fn a_speed_that_no_title_has_is_refused() {
    for speed in [0.0, 0.49, 2.1, f32::NAN, f32::INFINITY] {
        assert!(Ear::new(speed).is_err(), "{speed}");
    }
    assert!(Ear::new(0.49).unwrap_err().to_string().starts_with("failed to hear a sound at 0.49"));
}

#[test]
fn nothing_heard_is_no_item() {
    assert_eq!(heard(&[], 1.0), []);
    assert_eq!(heard(&[5; 1000], 1.03), []);
}

/// 12 seconds of square waves that change, in whole numbers: the same on every machine.
fn signal() -> Vec<i16> {
    let mut dice = Dice(77);
    let mut out = Vec::new();
    while out.len() < 12 * SAMPLE_RATE as usize {
        let (period, loud) = (12 + dice.below(90), 1000 + dice.below(9000) as i32);
        for n in 0..2000 + dice.below(3000) {
            let wave = if n % period < period / 2 { loud } else { -loud };
            out.push((wave + dice.below(400) as i32 - 200) as i16);
        }
    }
    out.truncate(12 * SAMPLE_RATE as usize);
    out
}

/// What the muxer `chromaprint` of FFmpeg 9.0.2 (`-fp_format raw`, the reference library) says of [`signal`].
const PUBLISHED: [u32; 75] = [
    0x0b05_2248,
    0x0b07_2658,
    0x0b03_6978,
    0x0901_6978,
    0x08c1_4878,
    0x1883_d9cb,
    0x1881_f9ca,
    0x18c0_83ca,
    0x3840_83ca,
    0x3833_825b,
    0x2a12_b25b,
    0x3a02_b35a,
    0x3a02_a56a,
    0x3a40_a82a,
    0x7ac0_a82a,
    0x7a00_b82a,
    0x7a01_784a,
    0x7a01_304a,
    0x7a03_10ca,
    0x7a86_03aa,
    0x7fba_02ab,
    0x7cba_32a8,
    0x7cb8_26a8,
    0x7ca8_fa8c,
    0x7428_9a8c,
    0x2528_aa8c,
    0x2739_ad8c,
    0x261b_a41c,
    0x271e_a41c,
    0x273e_ac14,
    0x2727_ac34,
    0x2133_9825,
    0x2133_c827,
    0x2036_4827,
    0x2106_4b2f,
    0x21c6_0a25,
    0x2186_1a67,
    0x2194_1ad7,
    0x21f4_39c7,
    0x212c_14c6,
    0x232c_11c6,
    0x22fe_12ef,
    0x229e_22e9,
    0x228e_32f9,
    0x228c_12c8,
    0x228c_1648,
    0x268c_1a48,
    0x368c_3a08,
    0x1485_3a08,
    0x0c86_3a0b,
    0x0c82_7a4a,
    0x0c82_7e4a,
    0x0840_e2ca,
    0x0800_82fe,
    0x0800_b1e6,
    0x1843_a1e2,
    0x18c2_a0e2,
    0x3883_a462,
    0x3882_a443,
    0x3fc2_b401,
    0x3646_8400,
    0x3636_8400,
    0x2227_8cf0,
    0x2225_4cb0,
    0x2227_3ca0,
    0x2226_38a0,
    0x2227_3aa0,
    0x22f0_2aa0,
    0x2280_1aa0,
    0x2280_3a84,
    0x2280_7a85,
    0x2380_fa05,
    0x2080_ba07,
    0x2090_aa07,
    0x2071_aa06,
];
