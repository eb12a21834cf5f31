//! Times a model, for those who measure: nanoseconds per row as a line of JSON. Reads the files that it is given.
//!
//! `trees MODEL ROWS [TABLE_BYTES]`: MODEL ends in .json, .ubj, .txt or .onnx; ROWS are raw single floats, little-endian, row by row.
#![allow(clippy::unwrap_used)]

use std::{env, fs, hint::black_box, path::Path, time::Instant};

use showrunner_trees::{Explainer, Format, Limits, Model, Scratch, TABLE_BYTES};

/// Each figure is the median of so many passes over the rows.
const PASSES: usize = 15;

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let (model, rows, table_bytes) = match words.as_slice() {
        [model, rows] => (model, rows, TABLE_BYTES),
        [model, rows, bytes] => (model, rows, bytes.parse().unwrap()),
        _ => panic!("usage: trees MODEL ROWS [TABLE_BYTES]"),
    };
    let format = match Path::new(model).extension().unwrap().to_str().unwrap() {
        "json" => Format::XgboostJson,
        "ubj" => Format::XgboostUbjson,
        "txt" => Format::LightgbmText,
        _ => Format::Onnx,
    };
    let bytes = fs::read(model).unwrap();
    let began = Instant::now();
    let model = Model::read(&bytes, format, &Limits::default()).unwrap();
    let read_ms = began.elapsed().as_secs_f64() * 1e3;
    let rows: Vec<f32> = fs::read(rows).unwrap().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    time(&model, &rows, read_ms, table_bytes);
}

fn time(model: &Model, rows: &[f32], read_ms: f64, table_bytes: usize) {
    let (features, mut scratch) = (model.features(), Scratch::default());
    let width = model.predictions_per_row();
    let mut predictions = vec![0.0; rows.len() / features * width];
    let one = per_row(rows, features, |rows| {
        for (row, own) in rows.chunks_exact(features).zip(predictions.chunks_exact_mut(width)) {
            model.predict(black_box(row), &mut scratch, own).unwrap();
        }
    });
    let many = per_row(rows, features, |rows| model.predict(black_box(rows), &mut scratch, &mut predictions).unwrap());
    let sum: f64 = predictions.iter().sum();
    let Ok(explainer) = Explainer::new(model, table_bytes) else {
        println!(r#"{{"read_ms": {read_ms:.1}, "one_ns": {one:.0}, "many_ns": {many:.0}, "sum": {sum}}}"#);
        return;
    };
    let began = Instant::now();
    drop(black_box(Explainer::new(model, table_bytes)));
    let prepare_ms = began.elapsed().as_secs_f64() * 1e3;
    let rows = &rows[..rows.len().min(512 * features)];
    let width = explainer.contributions_per_row();
    let mut contributions = vec![0.0; rows.len() / features * width];
    let explain_one = per_row(rows, features, |rows| {
        for (row, own) in rows.chunks_exact(features).zip(contributions.chunks_exact_mut(width)) {
            explainer.contributions(black_box(row), &mut scratch, own).unwrap();
        }
    });
    let explain = per_row(rows, features, |rows| {
        explainer.contributions(black_box(rows), &mut scratch, &mut contributions).unwrap();
    });
    println!(
        r#"{{"read_ms": {read_ms:.1}, "one_ns": {one:.0}, "many_ns": {many:.0}, "prepare_ms": {prepare_ms:.1}, "explain_one_ns": {explain_one:.0}, "explain_ns": {explain:.0}, "sum": {sum}}}"#
    );
}

fn per_row(rows: &[f32], features: usize, mut pass: impl FnMut(&[f32])) -> f64 {
    let mut passes: Vec<f64> = (0..PASSES)
        .map(|_| {
            let began = Instant::now();
            pass(rows);
            began.elapsed().as_secs_f64() * 1e9 / (rows.len() / features) as f64
        })
        .collect();
    passes.sort_by(f64::total_cmp);
    passes[PASSES / 2]
}
