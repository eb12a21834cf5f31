//! Log-mel spectrogram exactly as Whisper was trained on: Hann window of 25 ms every 10 ms, Slaney mel bands, log10,
//! the quietest kept 8 below the loudest. No I/O.
//!
//! Source: `log_mel_spectrogram` of Whisper's own code.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

/// Samples in an analysis window.
const WINDOW: usize = 400;
/// Samples between windows.
const HOP: usize = 160;
/// Frequencies of one spectrum.
const BINS: usize = WINDOW / 2 + 1;
/// Samples of the sound that Whisper hears at once: 30 s.
pub(super) const SAMPLES: usize = 480_000;
/// Frames of that sound.
pub(super) const FRAMES: usize = SAMPLES / HOP;

/// Makes spectrograms with a given number of bands.
pub(super) struct Mel {
    bands: usize,
    /// For each band its first bin and its weights.
    filters: Vec<(usize, Vec<f32>)>,
    hann: Vec<f32>,
    fft: Arc<dyn RealToComplex<f32>>,
}

impl Mel {
    pub(super) fn new(bands: usize) -> Self {
        let hann = (0..WINDOW).map(|n| (0.5 - 0.5 * (2.0 * PI * n as f64 / WINDOW as f64).cos()) as f32).collect();
        Self { bands, filters: filters(bands), hann, fft: RealFftPlanner::new().plan_fft_forward(WINDOW) }
    }

    /// `bands x FRAMES` values, band after band, of at most 30 s of sound; the rest is silence.
    pub(super) fn of(&self, samples: &[f32]) -> Vec<f32> {
        let mut padded = vec![0.0_f32; SAMPLES + WINDOW];
        let sound = &samples[..samples.len().min(SAMPLES)];
        let half = WINDOW / 2;
        padded[half..half + sound.len()].copy_from_slice(sound);
        // The edges are mirrored, as torch's centred transform does.
        for n in 0..half {
            padded[half - 1 - n] = padded[half + 1 + n];
            padded[half + SAMPLES + n] = padded[half + SAMPLES - 2 - n];
        }
        let mut input = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut power = [0.0_f32; BINS];
        let mut mel = vec![0.0_f32; self.bands * FRAMES];
        for frame in 0..FRAMES {
            let part = &padded[frame * HOP..frame * HOP + WINDOW];
            for ((value, sample), weight) in input.iter_mut().zip(part).zip(&self.hann) {
                *value = sample * weight;
            }
            self.fft
                .process_with_scratch(&mut input, &mut spectrum, &mut scratch)
                .expect("the buffers were made by this very transform");
            for (value, bin) in power.iter_mut().zip(&spectrum) {
                *value = bin.norm_sqr();
            }
            for (band, (first, weights)) in self.filters.iter().enumerate() {
                let sum: f32 = weights.iter().zip(&power[*first..]).map(|(weight, value)| weight * value).sum();
                mel[band * FRAMES + frame] = sum.max(1e-10).log10();
            }
        }
        let floor = mel.iter().copied().fold(f32::MIN, f32::max) - 8.0;
        for value in &mut mel {
            *value = (value.max(floor) + 4.0) / 4.0;
        }
        mel
    }
}

/// Triangular filters on Slaney's mel scale, each of unit area.
fn filters(bands: usize) -> Vec<(usize, Vec<f32>)> {
    /// Slaney's scale is linear up to here and logarithmic beyond.
    const KNEE_HZ: f64 = 1000.0;
    const HZ_PER_MEL: f64 = 200.0 / 3.0;
    const HIGHEST_HZ: f64 = 8000.0;
    let log_step = 6.4_f64.ln() / 27.0;
    let knee = KNEE_HZ / HZ_PER_MEL;
    let highest = knee + (HIGHEST_HZ / KNEE_HZ).ln() / log_step;
    let hz = |mel: f64| {
        if mel < knee { mel * HZ_PER_MEL } else { KNEE_HZ * ((mel - knee) * log_step).exp() }
    };
    let edges: Vec<f64> = (0..bands + 2).map(|n| hz(highest * n as f64 / (bands + 1) as f64)).collect();
    edges
        .windows(3)
        .map(|edge| {
            let (low, middle, high) = (edge[0], edge[1], edge[2]);
            let weight = |bin: usize| {
                let frequency = bin as f64 * HIGHEST_HZ / (BINS - 1) as f64;
                let rising = (frequency - low) / (middle - low);
                let falling = (high - frequency) / (high - middle);
                (rising.min(falling).max(0.0) * 2.0 / (high - low)) as f32
            };
            let weights: Vec<f32> = (0..BINS).map(weight).collect();
            let first = weights.iter().position(|&weight| weight > 0.0).unwrap_or(0);
            let last = weights.iter().rposition(|&weight| weight > 0.0).unwrap_or(0);
            (first, weights[first..=last].to_vec())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spectrogram_is_the_one_whisper_was_trained_on() {
        let samples: Vec<f32> = (0..32_000)
            .map(|n| {
                let t = f64::from(n) / 16_000.0;
                (0.5 * (2.0 * PI * 440.0 * t).sin() + 0.25 * (2.0 * PI * (100.0 + 900.0 * t) * t).sin()) as f32
            })
            .collect();
        let mel = Mel::new(80).of(&samples);
        assert_eq!(mel.len(), 80 * FRAMES);
        // From faster-whisper 1.2.1's FeatureExtractor on the same two seconds, padded to 30 s.
        let golden = [
            (0, 0, 1.289),
            (10, 5, 1.3486),
            (16, 100, -0.4825),
            (40, 150, -0.4825),
            (79, 199, -0.348),
            (30, 201, -0.1437),
            (5, 2999, -0.4825),
        ];
        for (band, frame, value) in golden {
            let found = mel[band * FRAMES + frame];
            assert!((found - value).abs() < 2e-3, "band {band} frame {frame}: {found} for {value}");
        }
        let mean = mel.iter().map(|&value| f64::from(value)).sum::<f64>() / mel.len() as f64;
        assert!((mean + 0.468_615).abs() < 1e-4, "mean {mean}");
    }

    #[test]
    fn silence_is_even_and_finite() {
        let mel = Mel::new(128).of(&[]);
        assert!(mel.iter().all(|value| (value - mel[0]).abs() < 1e-6 && value.is_finite()));
    }
}
