//! Drawn titles: shots of rectangles under a moving camera, and melodies; and what is done to them.

use showrunner_fingerprint::{BarFinder, Bars, Code, Ear, Look, Painter, Print, Query, SAMPLE_RATE, SPEEDS, Seen, looks};

pub const WIDTH: usize = 96;
pub const HEIGHT: usize = 54;

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

    pub fn below(&mut self, most: usize) -> usize {
        (self.roll() % most as u64) as usize
    }

    pub fn unit(&mut self) -> f32 {
        (self.roll() >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// Luma of one frame.
pub type Picture = Vec<u8>;

/// A title as it is decoded: a frame a second, and samples.
#[derive(Clone, Default)]
pub struct Title {
    pub frames: Vec<Picture>,
    pub samples: Vec<i16>,
}

impl Title {
    /// `seconds` of pictures and sound that follow from the seed.
    pub fn new(seed: u64, seconds: usize) -> Self {
        let mut dice = Dice(seed);
        let mut frames = Vec::new();
        while frames.len() < seconds {
            let wide = scene(&mut dice);
            let pace = dice.below(4);
            for n in 0..2 + dice.below(4) {
                frames.push(window(&wide, n * pace));
            }
        }
        frames.truncate(seconds);
        Self { frames, samples: melody(seed, seconds as f32) }
    }

    pub fn seconds(&self, from: usize, to: usize) -> Self {
        let rate = SAMPLE_RATE as usize;
        Self { frames: self.frames[from..to].to_vec(), samples: self.samples[from * rate..to * rate].to_vec() }
    }

    pub fn then(mut self, next: &Self) -> Self {
        self.frames.extend_from_slice(&next.frames);
        self.samples.extend_from_slice(&next.samples);
        self
    }

    pub fn with_sound_of(mut self, other: &Self) -> Self {
        self.samples.clone_from(&other.samples);
        self
    }

    /// Changes every frame: row, column to luma.
    pub fn seen(mut self, look: impl Fn(&Picture, usize, usize) -> u8) -> Self {
        for frame in &mut self.frames {
            let from = frame.clone();
            for y in 0..HEIGHT {
                for x in 0..WIDTH {
                    frame[y * WIDTH + x] = look(&from, x, y);
                }
            }
        }
        self
    }

    pub fn mirrored(self) -> Self {
        self.seen(|frame, x, y| frame[y * WIDTH + WIDTH - 1 - x])
    }

    /// Without these shares of its sides (left, top, right, bottom), enlarged to the old size.
    pub fn cropped(self, [left, top, right, bottom]: [f32; 4]) -> Self {
        let place = |n: usize, side: usize, near: f32, far: f32| {
            let share = near + (1.0 - near - far) * (n as f32 + 0.5) / side as f32;
            (share * side as f32) as usize
        };
        self.seen(|frame, x, y| frame[place(y, HEIGHT, top, bottom) * WIDTH + place(x, WIDTH, left, right)])
    }

    /// Made lower by black rows above and below.
    pub fn letterboxed(self, rows: usize) -> Self {
        self.seen(|frame, x, y| {
            let inside = (rows..HEIGHT - rows).contains(&y);
            if inside { frame[(y - rows) * HEIGHT / (HEIGHT - 2 * rows) * WIDTH + x] } else { 0 }
        })
    }

    /// Noise and other contrast, as coding leaves them.
    pub fn coded(mut self, seed: u64) -> Self {
        let mut dice = Dice(seed);
        for frame in &mut self.frames {
            for v in frame {
                *v = (f32::from(*v) * 0.92 + 6.0 + dice.unit() * 10.0) as u8;
            }
        }
        self.samples.iter_mut().for_each(|v| *v = (f32::from(*v) * 0.8 + dice.unit() * 160.0 - 80.0) as i16);
        self
    }

    /// Played faster, pitch and all.
    pub fn faster(self, speed: f32) -> Self {
        let count = |all: usize| (all as f32 / speed) as usize;
        let at = |n: usize, all: usize| ((n as f32 * speed) as usize).min(all - 1);
        let (frames, samples) = (self.frames.len(), self.samples.len());
        Self {
            frames: (0..count(frames)).map(|n| self.frames[at(n, frames)].clone()).collect(),
            samples: (0..count(samples))
                .map(|n| {
                    let place = n as f64 * f64::from(speed);
                    let (first, share) = (place as usize, place.fract() as f32);
                    let sample = |n: usize| f32::from(self.samples[n.min(samples - 1)]);
                    (sample(first) * (1.0 - share) + sample(first + 1) * share) as i16
                })
                .collect(),
        }
    }

    pub fn query(&self) -> Query {
        let (frames, looks) = self.painted(looks);
        let sounds: Vec<_> = SPEEDS.iter().map(|speed| (*speed, self.heard(*speed))).collect();
        Query { print: Print { frames, sound: sounds[0].1.clone() }, looks, sounds }
    }

    pub fn print(&self) -> Print {
        Print { frames: self.painted(|_| Vec::new()).0, sound: self.heard(1.0) }
    }

    fn painted(&self, looks: impl Fn(&Bars) -> Vec<Look>) -> (Vec<Seen>, Vec<(Look, Vec<Code>)>) {
        let mut finder = BarFinder::default();
        self.frames.iter().for_each(|frame| finder.look(frame, WIDTH, HEIGHT));
        let bars = finder.bars();
        let mut painter = Painter::new(bars, looks(&bars));
        self.frames.iter().for_each(|frame| painter.paint(frame, WIDTH, HEIGHT).unwrap());
        painter.finish()
    }

    fn heard(&self, speed: f32) -> Vec<u32> {
        let mut ear = Ear::new(speed).unwrap();
        ear.hear(&self.samples);
        ear.finish()
    }
}

/// A picture three times as wide as a frame.
fn scene(dice: &mut Dice) -> Picture {
    let wide = WIDTH * 3;
    let (from, to) = (dice.unit() * 200.0, dice.unit() * 200.0);
    let mut out: Picture =
        (0..wide * HEIGHT).map(|n| (from + (to - from) * (n % wide + n / wide) as f32 / (wide + HEIGHT) as f32) as u8).collect();
    for n in 0..120 {
        let size = if n < 30 { 40 } else { 14 };
        let (w, h) = (2 + dice.below(size), 2 + dice.below(size));
        let (left, top) = (dice.below(wide - w), dice.below(HEIGHT.saturating_sub(h).max(1)));
        let value = dice.roll() as u8;
        for y in top..(top + h).min(HEIGHT) {
            out[y * wide + left..y * wide + left + w].fill(value);
        }
    }
    out
}

fn window(wide: &Picture, left: usize) -> Picture {
    (0..HEIGHT).flat_map(|y| wide[y * WIDTH * 3 + left..][..WIDTH].to_vec()).collect()
}

/// Rich notes that begin every quarter of a second and die away.
pub fn melody(seed: u64, seconds: f32) -> Vec<i16> {
    let mut dice = Dice(seed ^ 0xA5A5);
    let mut out = vec![0f32; (seconds * SAMPLE_RATE as f32) as usize];
    for beat in 0..(seconds * 4.0) as usize {
        let pitch = 110.0 * 2f32.powf(dice.below(30) as f32 / 12.0);
        let begin = beat * SAMPLE_RATE as usize / 4;
        let (loud, fall) = (0.05 + dice.unit() * 0.1, 1.5 + dice.unit() * 5.0);
        for (n, value) in out[begin..].iter_mut().take(SAMPLE_RATE as usize).enumerate() {
            let time = n as f32 / SAMPLE_RATE as f32;
            // A saw: all harmonics at the price of none.
            let wave = (pitch * time).fract() * 2.0 - 1.0;
            *value += loud * wave / (1.0 + time * time * fall * fall);
        }
    }
    out.into_iter().map(|v| (v.clamp(-1.0, 1.0) * 30_000.0) as i16).collect()
}
