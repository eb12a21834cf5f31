//! From margins to predictions: the links of the libraries' objectives. Pure arithmetic; no I/O.

/// What becomes of a row's margins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    /// Nothing: regression, ranking, raw scores.
    Identity,
    /// `1 / (1 + exp(-scale m))` of each margin: a probability of its own.
    Sigmoid {
        /// LightGBM's `sigmoid`; 1 elsewhere.
        scale: f64,
    },
    /// `exp(m)`: counts, amounts.
    Exp,
    /// `exp(m)` over the sum of all: one probability for each class.
    Softmax,
    /// Softmax of those margins that are not 0; the others stay 0 (ONNX's `SOFTMAX_ZERO`).
    SoftmaxOfNonZero,
    /// 1 above zero, else 0: XGBoost's `binary:hinge`.
    Step,
    /// `ln(1 + exp(m))`: LightGBM's `cross_entropy_lambda`.
    LogOnePlusExp,
    /// `sign(m) m^2`: LightGBM's `reg_sqrt`.
    SignedSquare,
    /// Two predictions of one margin that is a probability: `1 - m`, `m`.
    Complement,
    /// Two predictions of one margin: `-m`, `m`.
    Mirror,
    /// Two probabilities of one margin: of `-m` and of `m`, by the sigmoid.
    MirrorSigmoid,
}

impl Link {
    /// How many predictions so many margins give.
    pub(crate) fn predictions(self, margins: usize) -> usize {
        match self {
            Self::Complement | Self::Mirror | Self::MirrorSigmoid => 2 * margins,
            _ => margins,
        }
    }

    /// Turns margins to predictions where they lie: the first of `row` are the margins, and there is room for all predictions.
    pub(crate) fn apply(self, row: &mut [f64]) {
        match self {
            Self::Identity => {}
            Self::Sigmoid { scale } => each(row, |margin| sigmoid(scale * margin)),
            Self::Exp => each(row, f64::exp),
            Self::Softmax => softmax(row, |_| true),
            Self::SoftmaxOfNonZero => softmax(row, |margin| margin.abs() > LEAST_NON_ZERO),
            Self::Step => each(row, |margin| f64::from(u8::from(margin > 0.0))),
            Self::LogOnePlusExp => each(row, |margin| margin.exp().ln_1p()),
            Self::SignedSquare => each(row, |margin| margin * margin.abs()),
            Self::Complement => row.copy_from_slice(&[1.0 - row[0], row[0]]),
            Self::Mirror => row.copy_from_slice(&[-row[0], row[0]]),
            Self::MirrorSigmoid => row.copy_from_slice(&[sigmoid(-row[0]), sigmoid(row[0])]),
        }
    }
}

/// What ONNX Runtime takes for zero in `SOFTMAX_ZERO`.
const LEAST_NON_ZERO: f64 = 1e-7;

fn each(row: &mut [f64], link: impl Fn(f64) -> f64) {
    for value in row {
        *value = link(*value);
    }
}

fn sigmoid(margin: f64) -> f64 {
    1.0 / (1.0 + (-margin).exp())
}

/// The greatest is taken off first, so that nothing overflows.
fn softmax(row: &mut [f64], counts: impl Fn(f64) -> bool) {
    let greatest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    each(row, |margin| if counts(margin) { (margin - greatest).exp() } else { 0.0 });
    let sum: f64 = row.iter().sum();
    if sum > 0.0 {
        each(row, |value| value / sum);
    }
}
