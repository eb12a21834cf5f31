//! The files of a frozen world. I/O: reads and writes a folder below `e2e/fixtures/age/`.
//!
//! Objects are kept as they were stored, in the order in which they are set up again. The store's objects are kept by
//! digest, so that what several titles have in common is kept once. Signed requests are kept without host and signature.

use crate::cluster::root;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use showrunner_contracts::Digest;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Where frozen worlds lie.
pub const FIXTURES: &str = "e2e/fixtures/age";
/// What a signed request is frozen as, followed by the key.
pub const GRANT: &str = "store:";

/// A frozen world.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// Its folder's name, such as `v0.1-house`.
    pub name: String,
    /// Commit of the version that stored it.
    pub commit: String,
    /// When it was frozen.
    pub at: jiff::Timestamp,
    /// Its namespace.
    pub namespace: String,
    /// The version of each step's algorithm.
    pub algorithms: BTreeMap<String, u32>,
    /// The versions of the recipes that picture and sound are made by before a step sees them.
    pub recipes: (u32, u32),
    /// Titles, then Jobs, then pods.
    pub objects: Vec<Value>,
    /// What the store has, by key.
    pub store: BTreeMap<String, Vec<u8>>,
}

/// The folder of a frozen world.
pub fn folder(name: &str) -> PathBuf {
    root().join(FIXTURES).join(name)
}

/// Every frozen world, oldest name first.
pub fn all() -> Result<Vec<Frozen>> {
    let folder = root().join(FIXTURES);
    let entries = std::fs::read_dir(&folder).with_context(|| format!("failed to list {}", folder.display()))?;
    let mut names = BTreeSet::new();
    for entry in entries {
        let path = entry?.path();
        if path.join("frozen.json").is_file() {
            names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    ensure!(!names.is_empty(), "no version is frozen below {}", folder.display());
    names.iter().map(|name| Frozen::read(name)).collect()
}

impl Frozen {
    /// Reads a frozen world.
    pub fn read(name: &str) -> Result<Self> {
        let folder = folder(name);
        let read = |file: &str| -> Result<Value> {
            let path = folder.join(file);
            let bytes = std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            serde_json::from_slice(&bytes).with_context(|| format!("failed to read {}", path.display()))
        };
        let about = read("frozen.json")?;
        let text =
            |field: &str| about[field].as_str().map(str::to_owned).with_context(|| format!("{name} does not say its {field}"));
        let mut store = BTreeMap::new();
        for (key, blob) in read("store.json")?.as_object().context("store.json is an object")? {
            let path = folder.join("blobs").join(blob.as_str().unwrap_or_default());
            store.insert(key.clone(), std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?);
        }
        let algorithms = about["algorithms"].as_object().into_iter().flatten();
        // The first version was frozen without.
        let recipe = |of: &str| about["recipes"][of].as_u64().map_or(1, |version| version as u32);
        Ok(Self {
            name: name.to_owned(),
            commit: text("commit")?,
            at: text("at")?.parse()?,
            namespace: text("namespace")?,
            algorithms: algorithms.map(|(step, version)| (step.clone(), version.as_u64().unwrap_or_default() as u32)).collect(),
            recipes: (recipe("picture"), recipe("sound")),
            objects: read("objects.json")?.as_array().cloned().context("objects.json is a list")?,
            store,
        })
    }

    /// Writes it.
    pub fn write(&self) -> Result<()> {
        let folder = folder(&self.name);
        let blobs = folder.join("blobs");
        std::fs::create_dir_all(&blobs)?;
        let mut store = BTreeMap::new();
        for (key, bytes) in &self.store {
            let extension = Path::new(key).extension().map(|extension| format!(".{}", extension.to_string_lossy()));
            let blob = format!("{}{}", &Digest::of(bytes).hex()[..16], extension.unwrap_or_default());
            std::fs::write(blobs.join(&blob), bytes)?;
            store.insert(key, blob);
        }
        let about = json!({ "commit": self.commit, "at": self.at.to_string(), "namespace": self.namespace, "algorithms": self.algorithms,
            "recipes": { "picture": self.recipes.0, "sound": self.recipes.1 } });
        for (file, value) in [("frozen.json", &about), ("objects.json", &json!(self.objects)), ("store.json", &json!(store))] {
            std::fs::write(folder.join(file), serde_json::to_string_pretty(value)? + "\n")?;
        }
        Ok(())
    }

    /// An object as it was frozen.
    pub fn object(&self, kind: &str, name: &str) -> Option<&Value> {
        self.objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
    }

    /// The definitions of its kinds.
    pub fn definitions(&self) -> Result<Vec<Value>> {
        let mut definitions = Vec::new();
        for entry in std::fs::read_dir(folder(&self.name).join("crds"))? {
            definitions.push(serde_saphyr::from_str(&std::fs::read_to_string(entry?.path())?)?);
        }
        Ok(definitions)
    }

    /// The operator and worker that stored it, where `e2e/fixtures/age/build` has built them.
    pub fn binaries(&self) -> Option<PathBuf> {
        let cache = PathBuf::from(std::env::var_os("SHOWRUNNER_CACHE")?);
        let folder = cache.join("age").join(&self.commit).join("release");
        ["showrunner-operator", "showrunner-worker"].iter().all(|name| folder.join(name).is_file()).then_some(folder)
    }
}

/// Does something to every string of a value.
pub fn each_string(value: &mut Value, change: &impl Fn(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(values) => values.iter_mut().for_each(|value| each_string(value, change)),
        Value::Object(fields) => fields.values_mut().for_each(|value| each_string(value, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
