//! A model that gives one picture one number, run by ONNX Runtime. Reads the model file once.
//!
//! Two kinds of input are known, told apart by their shape. `float32[N, 224, 224, 3]` is that of `open_nsfw`, prepared as its authors
//! do, with two outputs of which the second is the probability. `float32[1, 3, H, W]` is what a quality model has, too: RGB from
//! 0 to 1, H and W fixed or else 224, the content inside black bars scaled to cover it; one output, the probability. File:
//! `models/<name>/model.onnx`.

use super::jpeg::through_libjpeg;
use crate::{models::Artefacts, onnx::Onnx, picture::Picture};
use ort::{session::Session, value::Tensor};
use showrunner_contracts::{
    result::{Failure, Reason},
    step::ModelRef,
};
use showrunner_moderation::{NSFW_SIDE, middle, nsfw_input, squeezed};
use showrunner_thumbnails::{Crop, Picture as Checked};
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

    /// Whether its input is `[1, 3, H, W]`.
    pub fn takes_planes(&self) -> bool {
        matches!(self.shape, Shape::Planes { .. })
    }

    /// The probability of a picture, 0 to 1.
    pub fn judge(&mut self, picture: &Picture) -> Result<f32, String> {
        let Picture { width, height, ref rgb, .. } = *picture;
        let probability = match self.shape {
            Shape::Nsfw => {
                let square = squeezed(rgb, width as usize, height as usize).and_then(|square| middle(&square));
                let square = square.map_err(|error| error.to_string())?;
                let through = through_libjpeg(NSFW_SIDE, NSFW_SIDE, &square, NSFW_JPEG_QUALITY);
                let input = nsfw_input(&through.map_err(|failure| failure.message)?).map_err(|error| error.to_string())?;
                self.run([1, NSFW_SIDE, NSFW_SIDE, 3], input)?
            }
            Shape::Planes { .. } => {
                let checked = Checked::new(rgb, width, height).map_err(|error| error.to_string())?;
                self.judge_content(&checked, checked.content())?
            }
        };
        if (0.0..=1.0).contains(&probability) { Ok(probability) } else { Err(format!("the model gave {probability}")) }
    }

    /// What a model of planes says of a part of a picture.
    pub fn judge_content(&mut self, picture: &Checked<'_>, content: Crop) -> Result<f32, String> {
        let Shape::Planes { width, height } = self.shape else { return Err("the model does not take planes".to_owned()) };
        self.run([1, 3, height, width], covering(picture, content, width, height))
    }

    fn run(&mut self, sides: [usize; 4], values: Vec<f32>) -> Result<f32, String> {
        let input = Tensor::from_array((sides, values)).map_err(|error| error.to_string())?;
        let outputs = self.session.run(ort::inputs![self.input.as_str() => input]).map_err(|error| error.to_string())?;
        let (_, given) = outputs[0].try_extract_tensor::<f32>().map_err(|error| error.to_string())?;
        match (self.shape, given) {
            (Shape::Nsfw, [_, number]) | (Shape::Planes { .. }, [number]) => Ok(*number),
            (_, other) => Err(format!("the model gave {} values, which is not what its kind gives", other.len())),
        }
    }
}

/// The content scaled to cover `width` by `height`, its middle, as planes of 0 to 1 (nearest by box averages).
fn covering(picture: &Checked<'_>, content: Crop, width: usize, height: usize) -> Vec<f32> {
    let (across, down) = (content.width as usize, content.height as usize);
    // The part of the content that has the input's shape.
    let (part_width, part_height) = if across * height > down * width {
        ((down * width / height).max(1), down)
    } else {
        (across, (across * height / width).max(1))
    };
    let left = content.x as usize + (across - part_width) / 2;
    let top = content.y as usize + (down - part_height) / 2;
    let span = |cell: usize, cells: usize, size: usize| {
        let start = cell * size / cells;
        start..((cell + 1) * size / cells).max(start + 1)
    };
    let mut planes = vec![0.0; 3 * width * height];
    for y in 0..height {
        for x in 0..width {
            let mut sums = [0_u32; 3];
            let (rows, columns) = (span(y, height, part_height), span(x, width, part_width));
            let count = (rows.len() * columns.len()) as f32;
            for row in rows {
                for column in columns.clone() {
                    let at = ((top + row) * picture.width() as usize + left + column) * 3;
                    for (sum, value) in sums.iter_mut().zip(&picture.rgb()[at..at + 3]) {
                        *sum += u32::from(*value);
                    }
                }
            }
            for (plane, sum) in sums.into_iter().enumerate() {
                planes[(plane * height + y) * width + x] = sum as f32 / count / 255.0;
            }
        }
    }
    planes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_content_reaches_the_model_as_planes() {
        // 8x4: the left and right quarter red, the middle blue; the model wants a square.
        let rgb: Vec<u8> = (0..32).flat_map(|i| if (2..6).contains(&(i % 8)) { [0, 0, 255] } else { [255, 0, 0] }).collect();
        let picture = Checked::new(&rgb, 8, 4).expect("a picture");
        let planes = covering(&picture, picture.whole(), 2, 2);
        assert_eq!(planes, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
    }
}
