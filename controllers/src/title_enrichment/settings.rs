//! What the operator's configuration says about titles: models, licences, what a pod may use. No I/O.

use serde::{Deserialize, Serialize};
use showrunner_contracts::lock::CatalogueModel;
use showrunner_kit::jobs::Resources;

const GIB: u64 = 1 << 30;
/// CPU that the default pod may use, thousandths of a core.
const DEFAULT_CPU_MILLIS: u32 = 2000;
/// CPU that the scheduler sets aside for it by default.
const DEFAULT_CPU_REQUEST_MILLIS: u32 = 500;
/// Memory of the default pod.
const DEFAULT_MEMORY: u64 = 3 * GIB;
/// Scratch space of the default pod: the source is kept there once.
const DEFAULT_SCRATCH: u64 = 20 * GIB;
/// Memory of the media child processes by default.
const DEFAULT_CHILD_MEMORY: u64 = 3 * GIB / 2;
/// Longest title by default: 12 hours.
const DEFAULT_MAX_MEDIA_SECONDS: u32 = 12 * 3600;

/// The part of the operator's configuration that is about titles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TitleSettings {
    /// The models in the worker image.
    #[serde(default)]
    pub models: Vec<CatalogueModel>,
    /// SPDX expressions of licences that may be used; models of others are refused.
    #[serde(default = "default_licences")]
    pub allowed_licences: Vec<String>,
    /// What a worker pod may use.
    #[serde(default = "default_resources")]
    pub resources: Resources,
    /// Memory of the media child processes, bytes; less than the pod's.
    #[serde(default = "default_child_memory")]
    pub child_memory_bytes: u64,
    /// Longest title accepted, seconds of presentation time.
    #[serde(default = "default_max_media")]
    pub max_media_seconds: u32,
}

impl Default for TitleSettings {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            allowed_licences: default_licences(),
            resources: default_resources(),
            child_memory_bytes: DEFAULT_CHILD_MEMORY,
            max_media_seconds: DEFAULT_MAX_MEDIA_SECONDS,
        }
    }
}

impl TitleSettings {
    /// A model by name.
    pub fn model(&self, name: &str) -> Option<&CatalogueModel> {
        self.models.iter().find(|model| model.name == name)
    }

    /// Whether a worker could work with it.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.child_memory_bytes > 0 && self.child_memory_bytes < self.resources.memory_bytes,
            "childMemoryBytes ({}) must be less than resources.memoryBytes ({}): the worker itself needs memory beside its media processes",
            self.child_memory_bytes,
            self.resources.memory_bytes
        );
        anyhow::ensure!(self.max_media_seconds > 0, "maxMediaSeconds must be at least 1");
        for (index, model) in self.models.iter().enumerate() {
            let twice = self.models[..index].iter().any(|other| other.name == model.name);
            anyhow::ensure!(!twice, "models: there are two models named {:?}: remove one", model.name);
        }
        Ok(())
    }

    /// CPU threads of a worker: whole cores of its limit, at least one.
    pub fn threads(&self) -> u32 {
        (self.resources.cpu_millis / 1000).max(1)
    }
}

fn default_licences() -> Vec<String> {
    showrunner_contracts::lock::ALLOWED_LICENCES.map(str::to_owned).to_vec()
}

fn default_resources() -> Resources {
    Resources {
        cpu_millis: DEFAULT_CPU_MILLIS,
        cpu_request_millis: DEFAULT_CPU_REQUEST_MILLIS,
        memory_bytes: DEFAULT_MEMORY,
        scratch_bytes: DEFAULT_SCRATCH,
    }
}

fn default_child_memory() -> u64 {
    DEFAULT_CHILD_MEMORY
}

fn default_max_media() -> u32 {
    DEFAULT_MAX_MEDIA_SECONDS
}
