//! The one ONNX Runtime of the process and the sessions made on it.
//! Reads the runtime library and model files; nothing is written.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ort::{
    environment::Environment,
    session::{
        Session,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
};

/// Where the runtime library lies below the artefacts folder.
pub const LIBRARY: &str = "lib/libonnxruntime.so";

/// The runtime is loaded once: a process cannot hold two of them.
static LOADED: OnceLock<Result<Onnx, OnnxError>> = OnceLock::new();

/// A loaded ONNX Runtime.
#[derive(Clone, Debug)]
pub struct Onnx {
    environment: Environment,
}

/// Why the runtime or a model cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OnnxError {
    /// The library is missing, damaged or of another version.
    #[error("failed to load ONNX Runtime from {path}: {cause}; run scripts/fetch-artefacts or set SHOWRUNNER_ARTEFACTS")]
    Library {
        /// Where it was looked for.
        path: PathBuf,
        /// What the loader said.
        cause: String,
    },
    /// The model is missing, damaged or asks for operators this runtime lacks.
    #[error("failed to load the ONNX model {path}: {cause}")]
    Model {
        /// The model's file.
        path: PathBuf,
        /// What the runtime said.
        cause: String,
    },
}

impl Onnx {
    /// The runtime from this library file. The first call decides; later ones get the same runtime.
    pub fn load(library: &Path) -> Result<Self, OnnxError> {
        LOADED.get_or_init(|| Self::load_now(library)).clone()
    }

    fn load_now(library: &Path) -> Result<Self, OnnxError> {
        let failed = |cause: String| OnnxError::Library { path: library.to_owned(), cause };
        let environment = ort::init_from(library)
            .map_err(|error| failed(error.to_string()))?
            .with_name("showrunner")
            .with_telemetry(false)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { environment })
    }

    /// A session on the CPU that gives the same numbers each time: fixed threads, operators one after another.
    pub fn session(&self, model: &Path, threads: usize) -> Result<Session, OnnxError> {
        let session =
            self.builder(threads).and_then(|mut builder| builder.commit_from_file(model).map_err(|error| error.to_string()));
        session.map_err(|cause| OnnxError::Model { path: model.to_owned(), cause })
    }

    /// The same, of a graph that finds its numbers in another file, by that file's name.
    pub fn session_of(&self, graph: &[u8], weights: &Path, threads: usize) -> Result<Session, OnnxError> {
        let session = self.builder(threads).and_then(|builder| {
            let numbers: Arc<[u8]> = std::fs::read(weights).map_err(|error| error.to_string())?.into();
            let name = weights.file_name().unwrap_or_default();
            let builder = builder.with_external_initializer_file_in_memory(name, numbers);
            builder.map_err(|error| error.to_string())?.commit_from_memory(graph).map_err(|error| error.to_string())
        });
        session.map_err(|cause| OnnxError::Model { path: weights.to_owned(), cause })
    }

    fn builder(&self, threads: usize) -> Result<SessionBuilder, String> {
        // The builder's errors carry the builder along; only their text is of use here.
        Session::builder(&self.environment)
            .map_err(|error| error.to_string())?
            .with_intra_threads(threads.max(1))
            .map_err(|error| error.to_string())?
            .with_inter_threads(1)
            .map_err(|error| error.to_string())?
            .with_parallel_execution(false)
            .map_err(|error| error.to_string())?
            .with_deterministic_compute(true)
            .map_err(|error| error.to_string())?
            .with_optimization_level(GraphOptimizationLevel::Level3)
            .map_err(|error| error.to_string())
    }
}
