//! Points and weights of Gauss and Legendre on the way from 0 to 1. Pure arithmetic; no I/O.

use std::collections::HashMap;
use std::f64::consts::PI;
use std::sync::Arc;

/// Where a polynomial is looked at, and what each look weighs: of degree `2 n - 1` at most, `n` points give its integral from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rule {
    pub(super) points: Vec<f64>,
    pub(super) weights: Vec<f64>,
}

impl Rule {
    /// The points are the roots of the Legendre polynomial, found by Newton's steps from their known neighbourhood.
    fn new(count: usize) -> Self {
        let mut rule = Self { points: Vec::with_capacity(count), weights: Vec::with_capacity(count) };
        for n in 0..count {
            let mut x = (PI * (n as f64 + 0.75) / (count as f64 + 0.5)).cos();
            for _ in 0..MOST_STEPS {
                let (value, slope) = legendre(count, x);
                let step = value / slope;
                x -= step;
                if step.abs() < 1e-16 {
                    break;
                }
            }
            let (_, slope) = legendre(count, x);
            rule.points.push(f64::midpoint(1.0, x));
            rule.weights.push(1.0 / ((1.0 - x * x) * slope * slope));
        }
        rule
    }
}

/// Newton's steps double the digits: six are plenty.
const MOST_STEPS: usize = 10;

/// The Legendre polynomial of a degree at `x`, and its slope there (Bonnet's recursion).
fn legendre(degree: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (1.0, x);
    for n in 2..=degree {
        let n = n as f64;
        (before, value) = (value, ((2.0 * n - 1.0) * x * value - (n - 1.0) * before) / n);
    }
    (value, degree as f64 * (x * value - before) / (x * x - 1.0))
}

/// Rules by the number of features that they do for, each made once.
#[derive(Default)]
pub(super) struct Rules {
    made: HashMap<usize, Arc<Rule>>,
}

impl Rules {
    /// The least rule that is exact where so many features are asked on the way to a leaf: for a degree one less.
    pub(super) fn of_features(&mut self, features: usize) -> Arc<Rule> {
        let count = features.div_ceil(2).max(1);
        self.made.entry(count).or_insert_with(|| Arc::new(Rule::new(count))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_integrated_exactly_up_to_the_degree() {
        for count in 1..=64 {
            let rule = Rule::new(count);
            for degree in 0..2 * count {
                let looks = rule.points.iter().zip(&rule.weights);
                let integral: f64 = looks.map(|(point, weight)| weight * point.powi(degree as i32)).sum();
                let exact = 1.0 / (degree as f64 + 1.0);
                assert!((integral / exact - 1.0).abs() < 1e-12, "{count} points, degree {degree}: {integral}");
            }
        }
    }
}
