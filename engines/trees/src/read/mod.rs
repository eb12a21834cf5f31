//! Reads model files into one vocabulary. Bytes in, a [`Draft`] out; no I/O.

mod json;
mod lightgbm;
mod onnx;
mod onnx_nodes;
mod protobuf;
mod ubjson;
mod value;
mod xgboost;

use crate::error::{Limits, LoadError, within};
use crate::link::Link;
use crate::model::{Combine, Labels, Precision};
use crate::tree::Tree;

/// How a model file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// XGBoost 1.7 to 3.x, `save_model("model.json")`.
    XgboostJson,
    /// XGBoost 1.7 to 3.x, `save_model("model.ubj")`.
    XgboostUbjson,
    /// LightGBM 3 and 4, `save_model("model.txt")`.
    LightgbmText,
    /// ONNX whose graph is one `TreeEnsembleClassifier` or `TreeEnsembleRegressor` (ai.onnx.ml 1 to 3) or `TreeEnsemble` (5).
    Onnx,
}

/// All that a file says, before it is made fast.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) trees: Vec<Tree>,
    pub(crate) features: usize,
    /// Empty when the file names none.
    pub(crate) names: Vec<String>,
    /// One margin for each output, to which trees add.
    pub(crate) base: Vec<f64>,
    pub(crate) combine: Combine,
    pub(crate) link: Link,
    pub(crate) precision: Precision,
    pub(crate) labels: Labels,
    pub(crate) trees_per_round: usize,
    pub(crate) best_round: Option<usize>,
    /// Whether the file says how many rows of the training came by each node.
    pub(crate) covered: bool,
}

pub(crate) fn read(bytes: &[u8], format: Format, limits: &Limits) -> Result<Draft, LoadError> {
    within("bytes", bytes.len(), limits.bytes)?;
    let draft = match format {
        Format::XgboostJson => xgboost::draft(&json::read(bytes)?, limits),
        Format::XgboostUbjson => xgboost::draft(&ubjson::read(bytes)?, limits),
        Format::LightgbmText => lightgbm::draft(bytes, limits),
        Format::Onnx => onnx::draft(bytes, limits),
    }?;
    if draft.features == 0 || draft.base.is_empty() {
        return Err(LoadError::malformed("the model", "no features, or no outputs"));
    }
    Ok(draft)
}
