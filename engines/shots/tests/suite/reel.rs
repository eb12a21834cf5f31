//! Seeded moving pictures with a known edit list: textures that pan and shake, joined by cuts, dissolves, fades and flashes.

use showrunner_shots::{Detector, Frame, Shot, Transition};
use showrunner_timeline::{Ticks, TimeBase};

pub const WIDTH: usize = 160;
pub const HEIGHT: usize = 90;

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

    /// From `low` to `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.roll() >> 40) as f32 / (1u64 << 24) as f32
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }
}

/// A place with a camera in it.
pub struct Scene {
    lattice: Vec<f32>,
    dark: [f32; 3],
    light: [f32; 3],
    pan: (f32, f32),
    shake: f32,
    noise: f32,
    dice: Dice,
}

const LATTICE: usize = 64;

impl Scene {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let lattice = (0..LATTICE * LATTICE).map(|_| dice.between(0.0, 1.0)).collect();
        let dark = std::array::from_fn(|_| dice.between(0.0, 110.0));
        let light = std::array::from_fn(|_| dice.between(120.0, 255.0));
        let pan = (dice.between(-2.5, 2.5), dice.between(-0.8, 0.8));
        let (shake, noise) = (dice.between(0.0, 1.5), dice.between(0.0, 4.0));
        Self { lattice, dark, light, pan, shake, noise, dice }
    }

    /// The frames of a shot.
    pub fn shoot(mut self, frames: usize) -> Vec<Rgb> {
        let object = (self.dice.between(0.2, 0.8), self.dice.between(0.2, 0.8), self.dice.between(-0.008, 0.008));
        (0..frames)
            .map(|n| {
                let at = n as f32;
                let x = self.pan.0 * at + self.dice.between(-self.shake, self.shake);
                let y = self.pan.1 * at + self.dice.between(-self.shake, self.shake);
                self.expose(x, y, (object.0 + object.2 * at, object.1))
            })
            .collect()
    }

    fn expose(&mut self, left: f32, top: f32, object: (f32, f32)) -> Rgb {
        let mut rgb = Vec::with_capacity(WIDTH * HEIGHT * 3);
        for y in 0..HEIGHT {
            for x in 0..WIDTH {
                let (u, v) = (x as f32 + left + 1000.0, y as f32 + top + 1000.0);
                let mut value = 0.6 * self.value(u / 23.0, v / 23.0) + 0.4 * self.value(u / 7.0, v / 7.0);
                let (dx, dy) = (x as f32 / WIDTH as f32 - object.0, y as f32 / HEIGHT as f32 - object.1);
                if dx * dx + dy * dy < 0.012 {
                    value = 1.0 - value;
                }
                let grain = self.dice.between(-self.noise, self.noise);
                for (dark, light) in self.dark.iter().zip(self.light) {
                    rgb.push((dark + (light - dark) * value + grain).clamp(0.0, 255.0) as u8);
                }
            }
        }
        rgb
    }

    /// Smooth value noise.
    fn value(&self, x: f32, y: f32) -> f32 {
        let (column, row) = (x.floor(), y.floor());
        let ease = |t: f32| t * t * (3.0 - 2.0 * t);
        let (u, v) = (ease(x - column), ease(y - row));
        let at = |dx: usize, dy: usize| self.lattice[(row as usize + dy) % LATTICE * LATTICE + (column as usize + dx) % LATTICE];
        let upper = at(0, 0) * (1.0 - u) + at(1, 0) * u;
        let lower = at(0, 1) * (1.0 - u) + at(1, 1) * u;
        upper * (1.0 - v) + lower * v
    }
}

fn mix(a: &[u8], b: &[u8], share: f32) -> Rgb {
    a.iter().zip(b).map(|(a, b)| (f32::from(*a) * (1.0 - share) + f32::from(*b) * share).round() as u8).collect()
}

/// A camera that whips round within `over` frames, from what is on the left to what is beside it on the right, and stays `still`
/// frames on either.
pub fn whip(left: &[u8], right: &[u8], still: usize, over: usize) -> Vec<Rgb> {
    const BLUR: usize = 8;
    let turned = |at: f32| {
        let share = ((at - still as f32) / over as f32).clamp(0.0, 1.0);
        (share * share * (3.0 - 2.0 * share) * WIDTH as f32) as usize
    };
    let value = |x: usize, y: usize, channel: usize| {
        let side = if x < WIDTH { left } else { right };
        u32::from(side[(y * WIDTH + x % WIDTH) * 3 + channel])
    };
    let frame = |n: usize| {
        let turns: Vec<usize> = (0..BLUR).map(|s| turned(n as f32 + s as f32 / BLUR as f32).min(WIDTH)).collect();
        let pixel = |i: usize| {
            let (x, y, channel) = (i / 3 % WIDTH, i / 3 / WIDTH, i % 3);
            (turns.iter().map(|turn| value((x + turn).min(2 * WIDTH - 1), y, channel)).sum::<u32>() / BLUR as u32) as u8
        };
        (0..WIDTH * HEIGHT * 3).map(pixel).collect()
    };
    (0..2 * still + over).map(frame).collect()
}

/// What really happens at a change of shot: its kind, the last pure frame before and the first after.
#[derive(Clone, Copy, Debug)]
pub struct Truth {
    pub kind: &'static str,
    pub from: usize,
    pub to: usize,
}

/// Frames in the making, and their edit list.
#[derive(Default)]
pub struct Reel {
    pub frames: Vec<Rgb>,
    pub truth: Vec<Truth>,
}

impl Reel {
    pub fn starting(shot: Vec<Rgb>) -> Self {
        Self { frames: shot, truth: Vec::new() }
    }

    pub fn cut(&mut self, shot: Vec<Rgb>) {
        let at = self.frames.len();
        self.truth.push(Truth { kind: "cut", from: at, to: at });
        self.frames.extend(shot);
    }

    /// `over` frames are a mix.
    pub fn dissolve(&mut self, shot: Vec<Rgb>, over: usize) {
        let first = self.frames.len() - over;
        for (n, new) in shot.iter().take(over).enumerate() {
            let share = (n + 1) as f32 / (over + 1) as f32;
            self.frames[first + n] = mix(&self.frames[first + n], new, share);
        }
        self.truth.push(Truth { kind: "dissolve", from: first - 1, to: first + over });
        self.frames.extend(shot.into_iter().skip(over));
    }

    /// `over` frames down to one colour, `hold` frames of it, `over` frames up.
    pub fn fade(&mut self, mut shot: Vec<Rgb>, over: usize, hold: usize, colour: u8) {
        let flat = vec![colour; WIDTH * HEIGHT * 3];
        let first = self.frames.len() - over;
        for (n, rising) in shot.iter_mut().enumerate().take(over) {
            let share = (n + 1) as f32 / over as f32;
            self.frames[first + n] = mix(&self.frames[first + n], &flat, share);
            *rising = mix(&flat, rising, share);
        }
        self.frames.extend((0..hold).map(|_| flat.clone()));
        self.truth.push(Truth { kind: "fade", from: first - 1, to: self.frames.len() + over - 1 });
        self.frames.extend(shot);
    }

    /// A flash of light inside the last shot, `before_end` frames before its end.
    pub fn flash(&mut self, before_end: usize, lights: &[f32]) {
        let white = vec![255; WIDTH * HEIGHT * 3];
        let first = self.frames.len() - before_end;
        for (n, light) in lights.iter().enumerate() {
            self.frames[first + n] = mix(&self.frames[first + n], &white, *light);
        }
    }

    /// The shots found, with one tick per frame.
    pub fn shots(&self) -> Vec<Shot> {
        let mut detector = Detector::new(TimeBase::new(1, 25).unwrap());
        for (n, rgb) in self.frames.iter().enumerate() {
            let frame = Frame { rgb, width: WIDTH as u32, height: HEIGHT as u32, pts: Ticks(n as i64) };
            detector.push(frame).unwrap();
        }
        detector.finish(Ticks(self.frames.len() as i64)).unwrap().0
    }
}

/// How well shots agree with the truth.
#[derive(Clone, Copy, Debug, Default)]
pub struct Score {
    pub hits: usize,
    pub right_kind: usize,
    pub missed: usize,
    pub false_alarms: usize,
    /// Largest distance of a found end from its true one, in frames, over hits of the right kind.
    pub worst_end: usize,
}

impl Score {
    pub fn precision(&self) -> f32 {
        self.hits as f32 / (self.hits + self.false_alarms).max(1) as f32
    }

    pub fn recall(&self) -> f32 {
        self.hits as f32 / (self.hits + self.missed).max(1) as f32
    }

    /// Adds one reel. A cut must be exact to the frame; the spans of gradual changes must meet.
    pub fn add(&mut self, reel: &Reel) {
        let mut open: Vec<&Truth> = reel.truth.iter().collect();
        for shot in &reel.shots()[1..] {
            let (kind, from, to) = match shot.transition_in.unwrap() {
                Transition::Cut => ("cut", shot.start, shot.start),
                Transition::Dissolve { start, end } => ("dissolve", start, end),
                Transition::Fade { start, end } => ("fade", start, end),
            };
            let (from, to) = (from.0 as usize, to.0 as usize);
            if let Some(i) = open.iter().position(|t| from <= t.to && to >= t.from) {
                let truth = open.remove(i);
                self.hits += 1;
                if truth.kind == kind {
                    self.right_kind += 1;
                    self.worst_end = self.worst_end.max(truth.from.abs_diff(from)).max(truth.to.abs_diff(to));
                }
            } else {
                self.false_alarms += 1;
            }
        }
        self.missed += open.len();
    }
}
