//! A model that gives one picture a probability, run by ONNX Runtime. Reads the model file once.
//!
//! Two kinds of input are known, told apart by their shape. `float32[N, 224, 224, 3]` is that of `open_nsfw`, prepared as its authors
//! do, with two outputs of which the second is the probability. `float32[1, 3, H, W]` is what a quality model has, too: RGB from
//! 0 to 1, H and W fixed or else 224, the content inside black bars scaled to cover it; one output, the probability. File:
//! `models/<name>/model.onnx`.

use super::{jpeg, quality::covering};
use crate::{models::Artefacts, onnx::Onnx, picture::Picture};
use ort::{session::Session, value::Tensor};
use showrunner_contracts::{
    result::{Failure, Reason},
    step::ModelRef,
};
use showrunner_moderation::{NSFW_SIDE, SQUEEZED, nsfw_input, squeezed};
use std::path::Path;

/// The file below a model's folder.
const FILE: &str = "model.onnx";
/// Side of the input where the model leaves it open.
const OPEN_SIDE: usize = 224;
/// Quality of the JPEG file that pictures go through on their way to `open_nsfw`: what Pillow writes where nobody says.
const NSFW_JPEG_QUALITY: u8 = 75;
/// Largest input side that is believed.
const MAX_SIDE: usize = 2_048;

/// A model, loaded.
pub struct PictureModel {
    session: Session,
    input: String,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// `[N, 224, 224, 3]`.
    Nsfw,
    /// `[1, 3, height, width]`.
    Planes { width: usize, height: usize },
}

impl PictureModel {
    /// Loads the model that an order names, after its digest and licence were checked.
    pub fn load(artefacts: &Artefacts, wanted: &ModelRef) -> Result<Self, Failure> {
        let model = artefacts
            .model(&wanted.name, Some(&wanted.digest))
            .map_err(|error| Failure::new(error.reason(), &error.to_string()))?;
        Self::open(artefacts, &model.name, &model.folder.join(FILE))
    }

    /// Loads a model file as it is.
    pub fn open(artefacts: &Artefacts, name: &str, file: &Path) -> Result<Self, Failure> {
        let missing = |error: &dyn std::fmt::Display| Failure::new(Reason::ModelMissing, &error.to_string());
        let onnx = Onnx::load(&artefacts.onnxruntime()).map_err(|error| missing(&error))?;
        // One thread: the same sums on every node.
        Self::new(name, onnx.session(file, 1).map_err(|error| missing(&error))?)
    }

    fn new(name: &str, session: Session) -> Result<Self, Failure> {
        let unfit = |what: &str| Failure::new(Reason::ModelMissing, &format!("failed to use the picture model {name}: {what}"));
        let [input] = session.inputs() else { return Err(unfit("it needs exactly one input")) };
        let sides = input.dtype().tensor_shape().ok_or_else(|| unfit("its input is no tensor"))?;
        let side = |side: i64| if side < 0 { OPEN_SIDE } else { (side as usize).clamp(1, MAX_SIDE) };
        let shape = match sides[..] {
            [_, 3, height, width] => Shape::Planes { width: side(width), height: side(height) },
            [_, height, width, 3] if [height, width] == [NSFW_SIDE as i64; 2] => Shape::Nsfw,
            _ => return Err(unfit("its input is neither [1, 3, H, W] nor [N, 224, 224, 3]")),
        };
        let input = input.name().to_owned();
        Ok(Self { session, input, shape })
    }

    /// The probability of a picture, 0 to 1.
    pub fn judge(&mut self, picture: &Picture) -> Result<f32, String> {
        let (sides, values) = self.prepare(picture)?;
        let input = Tensor::from_array((sides, values)).map_err(|error| error.to_string())?;
        let outputs = self.session.run(ort::inputs![self.input.as_str() => input]).map_err(|error| error.to_string())?;
        let (_, given) = outputs[0].try_extract_tensor::<f32>().map_err(|error| error.to_string())?;
        let probability = match (self.shape, given) {
            (Shape::Nsfw, [_, probability]) | (Shape::Planes { .. }, [probability]) => *probability,
            (_, other) => return Err(format!("the model gave {} values, which is not what its kind gives", other.len())),
        };
        if (0.0..=1.0).contains(&probability) { Ok(probability) } else { Err(format!("the model gave {probability}")) }
    }

    fn prepare(&self, picture: &Picture) -> Result<([usize; 4], Vec<f32>), String> {
        let Picture { width, height, ref rgb, .. } = *picture;
        match self.shape {
            Shape::Nsfw => {
                let square = squeezed(rgb, width as usize, height as usize).map_err(|error| error.to_string())?;
                let side = SQUEEZED as u32;
                let through = jpeg::encode(side, side, &square, NSFW_JPEG_QUALITY).and_then(|file| jpeg::decode(&file));
                let input = nsfw_input(&through.map_err(|failure| failure.message)?.pixels).map_err(|error| error.to_string())?;
                Ok(([1, NSFW_SIDE, NSFW_SIDE, 3], input))
            }
            Shape::Planes { width: across, height: down } => {
                let checked = showrunner_thumbnails::Picture::new(rgb, width, height).map_err(|error| error.to_string())?;
                Ok(([1, 3, down, across], covering(&checked, checked.content(), across, down)))
            }
        }
    }
}
