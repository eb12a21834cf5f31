//! Times a model, for those who measure: nanoseconds per row, one row a call and all in one, as a line of JSON. Reads the files that it
//! is given.
//!
//! `trees predict MODEL ROWS`, `trees explain MODEL ROWS [TABLE_BYTES]`: MODEL ends in .json, .ubj, .txt or .onnx; ROWS are raw single
//! floats, little-endian, row by row. To predict takes all of them, to explain the first 256.
#![allow(clippy::unwrap_used)]

use std::{env, fs, hint::black_box, path::Path, time::Instant};

use showrunner_trees::{Explainer, Format, Limits, Model, Scratch, TABLE_BYTES};

/// Each figure is the median of so many passes over the rows.
const PASSES: usize = 9;
const EXPLAINED_ROWS: usize = 256;

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["predict", model, rows] => predict(&read(model), &floats(rows)),
        ["explain", model, rows] => explain(&read(model), &floats(rows), TABLE_BYTES),
        ["explain", model, rows, bytes] => explain(&read(model), &floats(rows), bytes.parse().unwrap()),
        _ => panic!("usage: trees predict MODEL ROWS | trees explain MODEL ROWS [TABLE_BYTES]"),
    }
}

fn read(path: &str) -> Model {
    let format = match Path::new(path).extension().unwrap().to_str().unwrap() {
        "json" => Format::XgboostJson,
        "ubj" => Format::XgboostUbjson,
        "txt" => Format::LightgbmText,
        _ => Format::Onnx,
    };
    Model::read(&fs::read(path).unwrap(), format, &Limits::default()).unwrap()
}

fn floats(path: &str) -> Vec<f32> {
    fs::read(path).unwrap().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn predict(model: &Model, rows: &[f32]) {
    let (features, width, mut scratch) = (model.features(), model.predictions_per_row(), Scratch::default());
    let mut predictions = vec![0.0; rows.len() / features * width];
    let one = per_row(rows.len() / features, || {
        for (row, own) in rows.chunks_exact(features).zip(predictions.chunks_exact_mut(width)) {
            model.predict(black_box(row), &mut scratch, own).unwrap();
        }
    });
    let many = per_row(rows.len() / features, || model.predict(black_box(rows), &mut scratch, &mut predictions).unwrap());
    tell(one, many, &predictions);
}

fn explain(model: &Model, rows: &[f32], table_bytes: usize) {
    let (features, mut scratch) = (model.features(), Scratch::default());
    let explainer = Explainer::new(model, table_bytes).unwrap();
    let rows = &rows[..rows.len().min(EXPLAINED_ROWS * features)];
    let width = explainer.contributions_per_row();
    let mut contributions = vec![0.0; rows.len() / features * width];
    let one = per_row(rows.len() / features, || {
        for (row, own) in rows.chunks_exact(features).zip(contributions.chunks_exact_mut(width)) {
            explainer.contributions(black_box(row), &mut scratch, own).unwrap();
        }
    });
    let many = per_row(rows.len() / features, || {
        explainer.contributions(black_box(rows), &mut scratch, &mut contributions).unwrap();
    });
    tell(one, many, &contributions);
}

/// The sum is for whoever compares it with the peer's.
fn tell(one: f64, many: f64, results: &[f64]) {
    println!(r#"{{"one_ns": {one:.0}, "many_ns": {many:.0}, "sum": {}}}"#, results.iter().sum::<f64>());
}

fn per_row(rows: usize, mut pass: impl FnMut()) -> f64 {
    let passes = (0..PASSES).map(|_| {
        let began = Instant::now();
        pass();
        began.elapsed().as_secs_f64() * 1e9 / rows as f64
    });
    let mut passes: Vec<f64> = passes.collect();
    passes.sort_by(f64::total_cmp);
    passes[PASSES / 2]
}
