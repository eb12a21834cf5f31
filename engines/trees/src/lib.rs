//! Tree ensembles of XGBoost, LightGBM and ONNX: read from the files of those libraries, evaluated fast, explained exactly.
//! Pure: files and rows come in as slices; nothing is opened, downloaded or written.
//!
//! [`Model::read`] makes a [`Model`] of a file's bytes. [`Model::predict`] says what the library that trained it would say of rows:
//! the same splits and sums in the same precision and order. [`Explainer`] says what each feature has contributed to a row's margin:
//! Shapley values by the ways that the training's rows took (path-dependent TreeSHAP), exact, without sampling.
//!
//! A file is taken for hostile: [`Limits`] bound what it may hold, and whatever is wrong with it is a [`LoadError`]. A kind of model
//! that is not evaluated here (linear boosters, linear trees, vectors in leaves) is refused by its name when it is read.

#![forbid(unsafe_code)]

mod error;
mod explain;
mod forest;
mod link;
mod model;
mod number;
#[cfg(test)]
mod oracle;
mod read;
mod set;
mod slots;
mod tree;

pub use error::{Limits, LoadError, RowError};
pub use explain::{ExplainError, Explainer, TABLE_BYTES};
pub use link::Link;
pub use model::{Labels, Model, Scratch};
pub use number::Number;
pub use read::Format;
