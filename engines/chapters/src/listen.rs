//! What a quarter of a second sounds like, as far as chapters care: how loud it is, and how its energy is spread over octaves.
//! No I/O.

/// Length of a slice of sound, milliseconds.
pub const SLICE_MILLIS: u32 = 250;
/// Octave bands, from the highest down; what is below the last is the rest.
const BANDS: usize = 7;
/// Upper edges of the bands, as shares of the rate: 4 kHz, 2 kHz, ... 125 Hz at 16 kHz.
const FIRST_EDGE: f32 = 0.25;
/// Full scale of decibels: what is quieter than this below full scale is silence.
const FLOOR_DB: f32 = -70.0;

/// How many numbers describe a slice beside its loudness.
pub(crate) const LEN: usize = BANDS;

/// One slice of sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sound {
    /// Loudness, decibels below full scale, -70 at least.
    pub level: f32,
    /// Each band's share of the energy, square roots.
    pub(crate) bands: [f32; BANDS],
}

/// Cuts mono samples into slices. Memory does not grow with the sound; a slice is 32 bytes.
pub struct Ear {
    per_slice: usize,
    taken: usize,
    /// One-pole low passes, each fed by the one before: what one lets through less than the one before is its band.
    state: [f32; BANDS],
    gain: [f32; BANDS],
    energy: [f64; BANDS],
    total: f64,
    slices: Vec<Sound>,
}

impl Ear {
    /// For mono samples in [-1, 1], so many a second (at least 8,000).
    pub fn new(rate: u32) -> Self {
        let gain = std::array::from_fn(|band| {
            let edge = FIRST_EDGE / (1u32 << band) as f32;
            1.0 - (-std::f32::consts::TAU * edge).exp()
        });
        let per_slice = (rate as usize * SLICE_MILLIS as usize / 1_000).max(1);
        Self { per_slice, taken: 0, state: [0.0; BANDS], gain, energy: [0.0; BANDS], total: 0.0, slices: Vec::new() }
    }

    /// Hears more samples, which follow those before without a gap.
    pub fn hear(&mut self, samples: &[f32]) {
        for sample in samples {
            let sample = if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
            self.total += f64::from(sample * sample);
            let mut rest = sample;
            for ((state, gain), energy) in self.state.iter_mut().zip(&self.gain).zip(&mut self.energy) {
                *state += gain * (rest - *state);
                let band = rest - *state;
                *energy += f64::from(band * band);
                rest = *state;
            }
            self.taken += 1;
            if self.taken == self.per_slice {
                self.end_slice();
            }
        }
    }

    /// Hears nothing for so many samples.
    pub fn rest(&mut self, samples: u64) {
        let (mut left, per_slice) = (samples, self.per_slice as u64);
        while left > 0 {
            if self.taken == 0 && left >= per_slice {
                self.state = [0.0; BANDS];
                self.slices.push(Sound { level: FLOOR_DB, bands: [0.0; BANDS] });
                left -= per_slice;
                continue;
            }
            let some = left.min(per_slice - self.taken as u64);
            for _ in 0..some {
                self.hear(&[0.0]);
            }
            left -= some;
        }
    }

    /// All slices; the last may be short.
    pub fn finish(mut self) -> Vec<Sound> {
        if self.taken > 0 {
            self.end_slice();
        }
        self.slices
    }

    fn end_slice(&mut self) {
        let mean = self.total / self.taken as f64;
        let level = (10.0 * mean.max(1e-12).log10()) as f32;
        let all: f64 = self.energy.iter().sum::<f64>().max(1e-12);
        let silent = level <= FLOOR_DB;
        let bands = self.energy.map(|energy| if silent { 0.0 } else { (energy / all).sqrt() as f32 });
        self.slices.push(Sound { level: level.max(FLOOR_DB), bands });
        (self.taken, self.total, self.energy) = (0, 0.0, [0.0; BANDS]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f32, seconds: usize) -> Vec<f32> {
        (0..16_000 * seconds).map(|n| 0.5 * (std::f32::consts::TAU * hertz * n as f32 / 16_000.0).sin()).collect()
    }

    fn heard(samples: &[f32]) -> Vec<Sound> {
        let mut ear = Ear::new(16_000);
        // However it comes in pieces.
        samples.chunks(777).for_each(|chunk| ear.hear(chunk));
        ear.finish()
    }

    #[test]
    fn a_slice_is_as_loud_as_its_samples_and_tells_high_from_low() {
        let (low, high) = (heard(&tone(100.0, 1)), heard(&tone(6_000.0, 1)));
        assert_eq!((low.len(), high.len()), (4, 4));
        assert!((low[1].level - -9.03).abs() < 0.1, "{}", low[1].level);
        let centre = |sound: &Sound| {
            let weights = sound.bands.iter().enumerate().map(|(band, share)| band as f32 * share * share);
            weights.sum::<f32>()
        };
        assert!(centre(&low[1]) > centre(&high[1]) + 2.0, "{:?} {:?}", low[1], high[1]);
    }

    #[test]
    fn silence_has_no_colour_and_nonsense_is_silence() {
        for samples in [vec![0.0; 4_000], vec![f32::NAN; 4_000]] {
            assert_eq!(heard(&samples), [Sound { level: FLOOR_DB, bands: [0.0; BANDS] }]);
        }
    }

    #[test]
    fn a_rest_is_silence_wherever_it_begins() {
        let mut ear = Ear::new(16_000);
        ear.hear(&tone(440.0, 1)[..2_000]);
        ear.rest(2_000 + 4_000 * 1_000_000 + 1_000);
        ear.hear(&tone(440.0, 1)[..3_000]);
        let slices = ear.finish();
        assert_eq!(slices.len(), 1_000_002);
        assert!(slices[0].level > -15.0 && slices[1_000_001].level > -15.0);
        assert!(slices[1..1_000_001].iter().all(|slice| slice.level <= FLOOR_DB));
    }

    #[test]
    fn pieces_make_no_difference_and_the_last_slice_may_be_short() {
        let sound = tone(440.0, 1);
        let mut whole = Ear::new(16_000);
        whole.hear(&sound[..9_000]);
        let whole = whole.finish();
        assert_eq!(whole.len(), 3);
        assert_eq!(whole, heard(&sound[..9_000]));
    }
}
