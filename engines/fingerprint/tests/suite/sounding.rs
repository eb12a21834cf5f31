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
    0x0b052248, 0x0b072658, 0x0b036978, 0x09016978, 0x08c14878, 0x1883d9cb, 0x1881f9ca, 0x18c083ca, 0x384083ca, 0x3833825b,
    0x2a12b25b, 0x3a02b35a, 0x3a02a56a, 0x3a40a82a, 0x7ac0a82a, 0x7a00b82a, 0x7a01784a, 0x7a01304a, 0x7a0310ca, 0x7a8603aa,
    0x7fba02ab, 0x7cba32a8, 0x7cb826a8, 0x7ca8fa8c, 0x74289a8c, 0x2528aa8c, 0x2739ad8c, 0x261ba41c, 0x271ea41c, 0x273eac14,
    0x2727ac34, 0x21339825, 0x2133c827, 0x20364827, 0x21064b2f, 0x21c60a25, 0x21861a67, 0x21941ad7, 0x21f439c7, 0x212c14c6,
    0x232c11c6, 0x22fe12ef, 0x229e22e9, 0x228e32f9, 0x228c12c8, 0x228c1648, 0x268c1a48, 0x368c3a08, 0x14853a08, 0x0c863a0b,
    0x0c827a4a, 0x0c827e4a, 0x0840e2ca, 0x080082fe, 0x0800b1e6, 0x1843a1e2, 0x18c2a0e2, 0x3883a462, 0x3882a443, 0x3fc2b401,
    0x36468400, 0x36368400, 0x22278cf0, 0x22254cb0, 0x22273ca0, 0x222638a0, 0x22273aa0, 0x22f02aa0, 0x22801aa0, 0x22803a84,
    0x22807a85, 0x2380fa05, 0x2080ba07, 0x2090aa07, 0x2071aa06,
];
