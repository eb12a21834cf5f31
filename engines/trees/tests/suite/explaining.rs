//! Contributions are those of the libraries, sum up to the margin, and are the same in both ways.

use showrunner_trees::{ExplainError, Explainer, Model, Scratch, TABLE_BYTES};

use crate::fixtures::{Fixture, all};

fn contributions(explainer: &Explainer, rows: &[f64], features: usize) -> Vec<f64> {
    let mut contributions = vec![0.0; rows.len() / features * explainer.contributions_per_row()];
    explainer.contributions(rows, &mut Scratch::default(), &mut contributions).unwrap();
    contributions
}

fn explained(fixture: &Fixture, model: &Model, table_bytes: usize) -> Vec<f64> {
    contributions(&Explainer::new(model, table_bytes).unwrap(), &fixture.table("explained").values, model.features())
}

/// Greatest difference, by the greatest number in the row.
fn greatest_difference(ours: &[f64], theirs: &[f64], width: usize) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let of_row = |(ours, theirs): (&[f64], &[f64])| {
        let scale = theirs.iter().fold(1e-3, |greatest: f64, value| greatest.max(value.abs()));
        ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs() / scale).fold(0.0, f64::max)
    };
    ours.chunks(width).zip(theirs.chunks(width)).map(of_row).fold(0.0, f64::max)
}

#[test]
fn contributions_are_those_of_the_libraries() {
    for fixture in all("xgboost").into_iter().chain(all("lightgbm")) {
        let model = fixture.model();
        let mut ours = explained(&fixture, &model, TABLE_BYTES);
        if fixture.name.starts_with("lightgbm") && fixture.name.contains("forest") {
            ours = ours.into_iter().map(|value| value * 5.0).collect(); // LightGBM explains the sum of its rounds
        }
        let difference = greatest_difference(&ours, &fixture.table("contributions").values, model.features() + 1);
        let allowed = if fixture.name.starts_with("xgboost") { 1e-5 } else { 1e-9 };
        assert!(difference <= allowed, "{}: {difference:e}", fixture.name);
    }
}

#[test]
fn contributions_sum_up_to_the_margin() {
    for fixture in all("xgboost").into_iter().chain(all("lightgbm")) {
        let (model, rows) = (fixture.model(), &fixture.table("explained").values);
        let mut margins = vec![0.0; rows.len() / model.features() * model.margins_per_row()];
        model.margins(rows, &mut Scratch::default(), &mut margins).unwrap();
        // XGBoost adds single floats.
        let allowed = if fixture.name.starts_with("xgboost") { 1e-6 } else { 1e-9 };
        for (own, margin) in explained(&fixture, &model, TABLE_BYTES).chunks(model.features() + 1).zip(margins) {
            let sum: f64 = own.iter().sum();
            let scale = own.iter().fold(1.0, |greatest: f64, value| greatest.max(value.abs()));
            assert!((sum - margin).abs() <= allowed * scale, "{}: {sum} for {margin}", fixture.name);
        }
    }
}

#[test]
fn tables_say_what_is_worked_out_without_them() {
    for fixture in all("xgboost").into_iter().chain(all("lightgbm")) {
        let model = fixture.model();
        let [with, half, without] = [TABLE_BYTES, 20_000, 0].map(|bytes| explained(&fixture, &model, bytes));
        assert!(greatest_difference(&with, &without, model.features() + 1) <= 1e-12, "{}", fixture.name);
        assert!(greatest_difference(&half, &without, model.features() + 1) <= 1e-12, "{}", fixture.name);
    }
}

#[test]
fn a_model_without_counts_is_not_explained() {
    for fixture in all("onnx") {
        assert_eq!(Explainer::new(&fixture.model(), TABLE_BYTES).err(), Some(ExplainError::NoCounts));
    }
}
