//! How far each fault of a picture goes, from the signs that it leaves, on scales fitted to pictures of known faults.
//! Pure arithmetic; no I/O.
#![expect(clippy::approx_constant, reason = "a fitted number may come close to pi")]

use crate::signs::{SCALES, Signs};

/// Below this no edge is a sign of anything, levels.
const LEAST_STEEP: f32 = 0.5;
/// Losses of steepness from one scale to the next (natural logarithm) from which on each further loss counts anew.
const LOSSES: [f32; 3] = [0.0, 0.3, 0.6];
/// Grain below this is not told from none, levels.
const LEAST_GRAIN: f32 = 0.3;
/// A grid stronger than this is as strong as any.
const MOST_GRID: f32 = 6.0;
/// White below this share of a picture is a lamp or a shirt.
const LEAST_WHITE: f32 = 0.004;
/// Faults join by this norm: nearly the worst of them, and a little worse than that where there are several.
const NORM: f32 = 6.0;

/// Faults, each from 0 (none seen) to 1 (of no use for it).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Out of focus, or enlarged from something small.
    pub blur: f32,
    /// Grain.
    pub noise: f32,
    /// Blocks of a coder.
    pub blocks: f32,
    /// Slopes in steps.
    pub banding: f32,
    /// Too little light.
    pub dark: f32,
    /// Burnt out.
    pub bright: f32,
    /// Little contrast.
    pub flat: f32,
}

/// Inputs of a fault weighed and summed, and what severity the sum stands for: knots, in order.
struct Scale<const INPUTS: usize> {
    weights: [f32; INPUTS],
    knots: &'static [(f32, f32)],
}

impl<const INPUTS: usize> Scale<INPUTS> {
    /// Between knots along a line; beyond the last as between the last two, but within 0 to 1.
    fn severity(&self, inputs: [f32; INPUTS]) -> f32 {
        let sum: f32 = inputs.iter().zip(self.weights).map(|(input, weight)| input * weight).sum();
        let upper = self.knots.partition_point(|(x, _)| *x <= sum).clamp(1, self.knots.len() - 1);
        let ((x0, y0), (x1, y1)) = (self.knots[upper - 1], self.knots[upper]);
        (y0 + (y1 - y0) * (sum - x0) / (x1 - x0)).clamp(0.0, 1.0)
    }
}

/// What each fault is read from, in the order of [`Faults`]' fields.
#[derive(Clone, Copy, Debug)]
pub struct Inputs {
    /// Losses of steepness.
    pub blur: [f32; (SCALES - 1) * LOSSES.len()],
    /// Grain.
    pub noise: [f32; 1],
    /// Grid, its square, changes of sign, activity, plains, grain.
    pub blocks: [f32; 6],
    /// Steps.
    pub banding: [f32; 1],
    /// The light that pixels reach.
    pub dark: [f32; 4],
    /// White.
    pub bright: [f32; 1],
    /// Ranges of light, deviation, blacks.
    pub flat: [f32; 5],
}

impl From<&Signs> for Inputs {
    fn from(signs: &Signs) -> Self {
        let [darkest, dark, middle, light, lighter, lightest] = signs.ranks.map(f32::from);
        let steep = signs.steep.map(|s| s.max(LEAST_STEEP));
        let blur = std::array::from_fn(|i| {
            let (scale, loss) = (i / LOSSES.len(), LOSSES[i % LOSSES.len()]);
            ((steep[scale + 1] / steep[scale]).ln() - loss).max(0.0)
        });
        let grid = signs.grid.min(MOST_GRID).ln();
        let grain = signs.grain.max(LEAST_GRAIN).ln();
        let step = signs.step.max(1.0).ln();
        let short = |value: f32| -(value + 2.0).ln();
        Self {
            blur,
            noise: [grain],
            blocks: [grid, grid * grid, signs.crossings, (signs.activity + 0.5).ln(), signs.plains, grain],
            banding: [step],
            dark: [short(middle), short(light), short(lighter), short(lightest)],
            bright: [(signs.white + LEAST_WHITE).ln()],
            flat: [
                short(lighter - dark),
                short(lightest - darkest),
                -(signs.deviation + 1.0).ln(),
                (dark + 4.0).ln(),
                (darkest + 4.0).ln(),
            ],
        }
    }
}

impl From<&Signs> for Faults {
    fn from(signs: &Signs) -> Self {
        let inputs = Inputs::from(signs);
        Self {
            blur: BLUR.severity(inputs.blur),
            noise: NOISE.severity(inputs.noise),
            blocks: BLOCKS.severity(inputs.blocks),
            banding: BANDING.severity(inputs.banding),
            dark: DARK.severity(inputs.dark),
            bright: BRIGHT.severity(inputs.bright),
            flat: FLAT.severity(inputs.flat),
        }
    }
}

impl Faults {
    /// All of them together, 0 to 1.
    pub fn together(&self) -> f32 {
        let all = [self.blur, self.noise, self.blocks, self.banding, self.dark, self.bright, self.flat];
        all.iter().map(|fault| fault.powf(NORM)).sum::<f32>().powf(1.0 / NORM).min(1.0)
    }
}

// Fitted by bench/media/fit.py to the split `tune` of bench/media/distortions.py; by nothing that is measured with.
const BLUR: Scale<9> = Scale {
    weights: [-0.075, 0.872, 1.435, -0.106, 0.657, 1.875, -0.197, 0.914, 0.864],
    knots: &[
        (-0.003, 0.000),
        (0.113, 0.122),
        (0.226, 0.245),
        (0.312, 0.367),
        (0.463, 0.490),
        (0.596, 0.612),
        (0.719, 0.734),
        (0.811, 0.857),
        (0.952, 0.979),
    ],
};
const NOISE: Scale<1> = Scale {
    weights: [1.000],
    knots: &[
        (-0.170, 0.000),
        (0.722, 0.124),
        (1.105, 0.248),
        (1.537, 0.371),
        (1.777, 0.495),
        (2.150, 0.619),
        (2.488, 0.743),
        (2.798, 0.867),
        (3.227, 0.991),
    ],
};
const BLOCKS: Scale<6> = Scale {
    weights: [0.561, -0.023, -0.579, 0.278, 0.315, 0.028],
    knots: &[
        (0.448, 0.000),
        (0.544, 0.120),
        (0.629, 0.239),
        (0.719, 0.359),
        (0.830, 0.478),
        (0.952, 0.598),
        (1.026, 0.718),
        (1.192, 0.837),
        (1.338, 0.957),
    ],
};
const BANDING: Scale<1> = Scale {
    weights: [1.000],
    knots: &[
        (0.693, 0.000),
        (2.079, 0.123),
        (2.303, 0.247),
        (2.639, 0.370),
        (2.996, 0.494),
        (3.296, 0.617),
        (3.664, 0.741),
        (4.025, 0.864),
        (4.419, 0.988),
    ],
};
const DARK: Scale<4> = Scale {
    weights: [0.020, -0.049, -0.569, 1.348],
    knots: &[
        (-4.079, 0.000),
        (-3.925, 0.122),
        (-3.829, 0.244),
        (-3.726, 0.366),
        (-3.614, 0.488),
        (-3.498, 0.610),
        (-3.427, 0.733),
        (-3.317, 0.855),
        (-2.942, 0.977),
    ],
};
const BRIGHT: Scale<1> = Scale {
    weights: [1.000],
    knots: &[
        (-4.245, 0.000),
        (-3.140, 0.123),
        (-2.587, 0.245),
        (-2.217, 0.368),
        (-1.868, 0.490),
        (-1.495, 0.613),
        (-1.039, 0.736),
        (-0.784, 0.858),
        (-0.332, 0.981),
    ],
};
const FLAT: Scale<5> = Scale {
    weights: [-0.503, 1.015, 0.028, 0.126, -0.142],
    knots: &[
        (-2.856, 0.000),
        (-2.772, 0.117),
        (-2.638, 0.233),
        (-2.558, 0.350),
        (-2.467, 0.466),
        (-2.334, 0.583),
        (-2.217, 0.699),
        (-2.124, 0.816),
        (-1.750, 0.932),
    ],
};
