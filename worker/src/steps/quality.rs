//! A learnt picture quality model in the place of the classical one, run by ONNX Runtime.
//! Reads the model file once.
//!
//! What a model has to be: one input `float32[1, 3, H, W]`, RGB, 0 to 1, H and W fixed or, where they are not, 224; the
//! content of the picture is scaled so that it covers H x W and cut to its middle. One output `float32` of one element: the
//! mean opinion brought to 0..1. Its own normalisation is part of the model. File: `models/<name>/model.onnx`.

use crate::{models::Artefacts, onnx::Onnx};
use ort::{session::Session, value::Tensor};
use showrunner_contracts::{
    result::{Failure, Reason},
    step::ModelRef,
};
use showrunner_thumbnails::{Crop, Picture, Quality, QualityError, QualityModel};

/// Name of the model that is used where an order does not say (only outside of a cluster).
pub const DEFAULT_MODEL: &str = "thumbnail-quality";
/// The file below a model's folder.
const FILE: &str = "model.onnx";
/// Side of the input where the model leaves it open.
const OPEN_SIDE: usize = 224;
/// Largest input side that is believed.
const MAX_SIDE: usize = 2_048;

/// The model, loaded.
pub struct OnnxQuality {
    name: String,
    session: Session,
    input: String,
    width: usize,
    height: usize,
}

impl OnnxQuality {
    /// Loads the model that an order names, after its digest and licence were checked.
    pub fn load(artefacts: &Artefacts, wanted: &ModelRef) -> Result<Self, Failure> {
        let model = artefacts
            .model(&wanted.name, Some(&wanted.digest))
            .map_err(|error| Failure::new(error.reason(), &error.to_string()))?;
        let missing = |error: &dyn std::fmt::Display| Failure::new(Reason::ModelMissing, &error.to_string());
        let onnx = Onnx::load(&artefacts.onnxruntime()).map_err(|error| missing(&error))?;
        // One thread: the same sums on every node.
        let session = onnx.session(&model.folder.join(FILE), 1).map_err(|error| missing(&error))?;
        Self::new(format!("{} {}", model.name, model.digest), session)
    }

    fn new(name: String, session: Session) -> Result<Self, Failure> {
        let unfit = |what: &str| Failure::new(Reason::ModelMissing, &format!("failed to use the quality model {name}: {what}"));
        let [input] = session.inputs() else { return Err(unfit("it needs exactly one input")) };
        let shape = input.dtype().tensor_shape().ok_or_else(|| unfit("its input is no tensor"))?;
        let &[_, 3, height, width] = &shape[..] else { return Err(unfit("its input is not [1, 3, H, W]")) };
        let side = |side: i64| if side < 0 { OPEN_SIDE } else { (side as usize).clamp(1, MAX_SIDE) };
        let (input, width, height) = (input.name().to_owned(), side(width), side(height));
        Ok(Self { name, session, input, width, height })
    }

    fn run(&mut self, values: Vec<f32>) -> Result<f32, String> {
        let input = Tensor::from_array(([1, 3, self.height, self.width], values)).map_err(|error| error.to_string())?;
        let outputs = self.session.run(ort::inputs![self.input.as_str() => input]).map_err(|error| error.to_string())?;
        let (_, scores) = outputs[0].try_extract_tensor::<f32>().map_err(|error| error.to_string())?;
        match scores {
            [score] => Ok(*score),
            other => Err(format!("{} values instead of one", other.len())),
        }
    }
}

impl QualityModel for OnnxQuality {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&mut self, picture: &Picture<'_>, content: Crop, _measured: &Quality) -> Result<f32, QualityError> {
        let values = covering(picture, content, self.width, self.height);
        self.run(values).map_err(QualityError::Model)
    }
}

/// The content scaled to cover `width` by `height`, its middle, as planes of 0 to 1 (nearest by box averages).
pub(super) fn covering(picture: &Picture<'_>, content: Crop, width: usize, height: usize) -> Vec<f32> {
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
        let picture = Picture::new(&rgb, 8, 4).expect("a picture");
        let planes = covering(&picture, picture.whole(), 2, 2);
        assert_eq!(planes, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
    }

    /// A protocol buffers field that holds bytes; all ours are short.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        assert!(content.len() < 128, "lengths from 128 on take two bytes");
        [&[number << 3 | 2, content.len() as u8], content].concat()
    }

    /// A field that holds a small number.
    fn number(number: u8, value: u8) -> Vec<u8> {
        vec![number << 3, value]
    }

    /// An ONNX model that answers the mean of its input `[1, 3, 4, -]` (the width left open by a name).
    fn mean_model() -> Vec<u8> {
        let side = |value: u8| field(1, &number(1, value));
        let shape = [side(1), side(3), side(4), field(1, &field(2, b"w"))].concat();
        let value = |name: &[u8], shape: &[u8]| {
            let tensor = [number(1, 1), field(2, shape)].concat();
            [field(1, name), field(2, &field(1, &tensor))].concat()
        };
        // An attribute's type is field 20, whose tag takes two bytes: 20 << 3 = 0xa0 0x01; 2 is "integer".
        let keep = [field(1, b"keepdims"), number(3, 0), vec![0xa0, 0x01, 2]].concat();
        let node = [field(1, b"x"), field(2, b"y"), field(4, b"ReduceMean"), field(5, &keep)].concat();
        let graph = [field(1, &node), field(2, b"g"), field(11, &value(b"x", &shape)), field(12, &value(b"y", &[]))].concat();
        [number(1, 8), field(7, &graph), field(8, &[field(1, b""), number(2, 13)].concat())].concat()
    }

    #[test]
    fn a_model_in_onnx_scores_what_it_is_shown() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join(FILE);
        std::fs::write(&path, mean_model()).expect("the model is written");
        let onnx = Onnx::load(&Artefacts::from_environment().onnxruntime()).expect("run scripts/fetch-artefacts");
        let mut model = OnnxQuality::new("mean".to_owned(), onnx.session(&path, 1).expect("a model")).expect("fits");
        assert_eq!((model.width, model.height), (OPEN_SIDE, 4));
        let rgb = [51_u8; 8 * 4 * 3];
        let picture = Picture::new(&rgb, 8, 4).expect("a picture");
        let mut judge = |content| showrunner_thumbnails::measure(&picture, showrunner_timeline::Ticks(0), content, &mut model);
        let score = judge(0.0).expect("a score").quality.overall;
        assert!((score - 0.2).abs() < 1e-5, "{score}");
    }
}
