//! Drawn pictures: seeded textures with a subject, and what can go wrong with them.

use showrunner_thumbnails::{Candidate, ClassicalQuality, Picture, measure};
use showrunner_timeline::Ticks;

pub const WIDTH: usize = 320;
pub const HEIGHT: usize = 180;

pub type Rgb = Vec<u8>;

/// A small generator of repeatable numbers (`SplitMix64`).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn unit(&mut self) -> f32 {
        (self.roll() >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// Rectangles of many sizes and colours over a slope: sharp edges, full contrast.
pub fn scene(seed: u64) -> Rgb {
    let mut dice = Dice(seed);
    let mut rgb = vec![0; WIDTH * HEIGHT * 3];
    let ends: [(f32, f32); 3] = std::array::from_fn(|_| (dice.unit() * 255.0, dice.unit() * 255.0));
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            for (channel, (from, to)) in ends.iter().enumerate() {
                let share = (x + y) as f32 / (WIDTH + HEIGHT) as f32;
                rgb[(y * WIDTH + x) * 3 + channel] = (from + (to - from) * share) as u8;
            }
        }
    }
    for n in 0..90 {
        let size = if n < 12 { 90.0 } else { 24.0 };
        let (w, h) = (4 + (dice.unit() * size) as usize, 4 + (dice.unit() * size) as usize);
        let (left, top) =
            ((dice.unit() * (WIDTH - w) as f32) as usize, (dice.unit() * (HEIGHT.saturating_sub(h)) as f32) as usize);
        let colour: [u8; 3] = std::array::from_fn(|_| dice.roll() as u8);
        for y in top..(top + h).min(HEIGHT) {
            for x in left..left + w {
                rgb[(y * WIDTH + x) * 3..(y * WIDTH + x) * 3 + 3].copy_from_slice(&colour);
            }
        }
    }
    rgb
}

pub fn map(rgb: &[u8], change: impl Fn(f32) -> f32) -> Rgb {
    rgb.iter().map(|v| change(f32::from(*v)).clamp(0.0, 255.0) as u8).collect()
}

/// Box blur of `radius` pixels.
pub fn blur(rgb: &[u8], radius: usize) -> Rgb {
    let pass = |from: &[u8], across: bool| -> Rgb {
        let mut out = vec![0; from.len()];
        for y in 0..HEIGHT {
            for x in 0..WIDTH {
                let (at, end) = if across { (x, WIDTH - 1) } else { (y, HEIGHT - 1) };
                let (low, high) = (at.saturating_sub(radius), (at + radius).min(end));
                for channel in 0..3 {
                    let pixel = |i: usize| if across { y * WIDTH + i } else { i * WIDTH + x };
                    let sum: usize = (low..=high).map(|i| usize::from(from[pixel(i) * 3 + channel])).sum();
                    out[(y * WIDTH + x) * 3 + channel] = (sum / (high - low + 1)) as u8;
                }
            }
        }
        out
    };
    pass(&pass(rgb, true), false)
}

pub fn noisy(rgb: &[u8], level: f32, seed: u64) -> Rgb {
    let mut dice = Dice(seed);
    rgb.iter().map(|v| (f32::from(*v) + (dice.unit() + dice.unit() - 1.0) * 2.0 * level).clamp(0.0, 255.0) as u8).collect()
}

/// Black bars of `rows` above and below and `columns` on both sides.
pub fn barred(rgb: &[u8], rows: usize, columns: usize) -> Rgb {
    let mut out = rgb.to_vec();
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            if y < rows || y >= HEIGHT - rows || x < columns || x >= WIDTH - columns {
                out[(y * WIDTH + x) * 3..(y * WIDTH + x) * 3 + 3].fill(16);
            }
        }
    }
    out
}

pub fn candidate(rgb: &[u8], pts: i64, motion: f32) -> Candidate {
    let picture = Picture::new(rgb, WIDTH as u32, HEIGHT as u32).unwrap();
    measure(&picture, Ticks(pts), motion, &mut ClassicalQuality).unwrap()
}
