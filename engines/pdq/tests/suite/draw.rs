//! Drawn pictures: seeded textures, and what is done to them.

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

/// Luma of a picture, as [`showrunner_pdq::hash`] takes it.
pub fn luma(rgb: &[u8]) -> Vec<f32> {
    rgb.chunks_exact(3).map(|p| showrunner_pdq::luma([p[0], p[1], p[2]])).collect()
}
