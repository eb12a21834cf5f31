//! A learnt picture quality model in the place of the classical one, run by ONNX Runtime.
//!
//! What a model has to be: one input `float32[1, 3, H, W]` and one output `float32` of one element, the mean opinion brought to
//! 0..1; the rest is as [`super::picture_model`] says. Its own normalisation is part of the model.

use super::picture_model::PictureModel;
use crate::models::Artefacts;
use showrunner_contracts::{
    result::{Failure, Reason},
    step::ModelRef,
};
use showrunner_thumbnails::{Crop, Picture, Quality, QualityError, QualityModel};

/// Name of the model that is used where an order does not say (only outside of a cluster).
pub const DEFAULT_MODEL: &str = "thumbnail-quality";

/// The model, loaded.
pub struct OnnxQuality {
    name: String,
    model: PictureModel,
}

impl OnnxQuality {
    /// Loads the model that an order names, after its digest and licence were checked.
    pub fn load(artefacts: &Artefacts, wanted: &ModelRef) -> Result<Self, Failure> {
        Self::of(format!("{} {}", wanted.name, wanted.digest), PictureModel::load(artefacts, wanted)?)
    }

    /// A model that is loaded already, under this name.
    pub fn of(name: String, model: PictureModel) -> Result<Self, Failure> {
        if model.takes_planes() {
            return Ok(Self { name, model });
        }
        let message = format!("failed to use the quality model {name}: its input is not [1, 3, H, W]");
        Err(Failure::new(Reason::ModelMissing, &message))
    }
}

impl QualityModel for OnnxQuality {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&mut self, picture: &Picture<'_>, content: Crop, _measured: &Quality) -> Result<f32, QualityError> {
        self.model.judge_content(picture, content).map_err(QualityError::Model)
    }
}
