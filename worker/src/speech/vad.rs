//! Silero voice activity: a probability of voice for each 32 ms of sound.
//! Reads the model once; no other I/O.
//!
//! Source: Silero VAD v6 in the stateless form that faster-whisper ships (inputs `input`, `h`, `c`).

use std::path::Path;

use ort::{session::Session, value::Tensor};

use super::SpeechError;
use crate::onnx::Onnx;

/// Samples that get one probability.
pub(super) const CHUNK: usize = 512;
/// Samples before a chunk that the model hears with it.
const CONTEXT: usize = 64;
/// Size of each of the two memories that the model hands from call to call.
const STATE: usize = 128;

/// The detector with its memory of the sound so far.
pub(super) struct Vad {
    session: Session,
    hidden: Vec<f32>,
    cell: Vec<f32>,
    context: [f32; CONTEXT],
}

impl Vad {
    pub(super) fn load(onnx: &Onnx, model: &Path) -> Result<Self, SpeechError> {
        // One thread: the model is so small that more only wait for each other.
        let session = onnx.session(model, 1)?;
        Ok(Self { session, hidden: vec![0.0; STATE], cell: vec![0.0; STATE], context: [0.0; CONTEXT] })
    }

    /// Probabilities of the next chunks; `samples` is a whole number of them.
    pub(super) fn probabilities(&mut self, samples: &[f32]) -> Result<Vec<f32>, SpeechError> {
        let chunks = samples.len() / CHUNK;
        if chunks == 0 {
            return Ok(Vec::new());
        }
        let mut input = Vec::with_capacity(chunks * (CONTEXT + CHUNK));
        for chunk in samples.chunks_exact(CHUNK) {
            input.extend_from_slice(&self.context);
            input.extend_from_slice(chunk);
            self.context.copy_from_slice(&chunk[CHUNK - CONTEXT..]);
        }
        let probabilities = self.run(chunks, input).map_err(|error| SpeechError::Vad(error.to_string()))?;
        if probabilities.len() != chunks || probabilities.iter().any(|value| !value.is_finite()) {
            return Err(SpeechError::Vad(format!(
                "the model gave {} values for {chunks} chunks, or values that are no numbers",
                probabilities.len()
            )));
        }
        Ok(probabilities)
    }

    fn run(&mut self, chunks: usize, input: Vec<f32>) -> Result<Vec<f32>, ort::Error> {
        let input = Tensor::from_array(([chunks, CONTEXT + CHUNK], input))?;
        let hidden = Tensor::from_array(([1, 1, STATE], self.hidden.clone()))?;
        let cell = Tensor::from_array(([1, 1, STATE], self.cell.clone()))?;
        let outputs = self.session.run(ort::inputs!["input" => input, "h" => hidden, "c" => cell])?;
        let (_, probabilities) = outputs["speech_probs"].try_extract_tensor::<f32>()?;
        let (_, hidden) = outputs["hn"].try_extract_tensor::<f32>()?;
        let (_, cell) = outputs["cn"].try_extract_tensor::<f32>()?;
        let probabilities = probabilities.to_vec();
        self.hidden = hidden.to_vec();
        self.cell = cell.to_vec();
        Ok(probabilities)
    }
}
