//! Tools, libraries and models as the lock file has them: found, checked by digest and licence, and only then used.
//! Reads and hashes files below the artefacts folder.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use showrunner_contracts::{Digest, lock::ALLOWED_LICENCES, result::Reason};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::{Component, Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Where the artefacts are in the worker image.
pub const DEFAULT_ROOT: &str = "/opt/showrunner";
/// Environment variable that says where they are elsewhere.
pub const ROOT_VARIABLE: &str = "SHOWRUNNER_ARTEFACTS";

/// The lock file is part of this binary: what lies beside the models cannot vouch for them.
const LOCK: &str = include_str!("../artefacts.lock.json");
/// Bytes hashed at a time.
const BLOCK: usize = 1 << 20;

/// Why an artefact is not used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The lock file does not know the name.
    #[error("failed to find the model {name:?}: this worker knows {known}")]
    Unknown {
        /// Asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A file is not there.
    #[error("failed to read {}: {source}; run scripts/fetch-artefacts, or use the worker image", path.display())]
    Missing {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is another than the lock file's.
    #[error("failed to verify {}: it is not the file that the lock file names; run scripts/fetch-artefacts", path.display())]
    Differs {
        /// Which.
        path: PathBuf,
    },
    /// The licence is not allowed.
    #[error("refused to use the model {name}: its licence {licence} is not among the allowed ones")]
    Licence {
        /// Which.
        name: String,
        /// Its licence.
        licence: String,
    },
    /// The order names another digest than the lock file gives.
    #[error("refused to use the model {name}: the order wants {wanted}, this worker has {found}")]
    OtherDigest {
        /// Which.
        name: String,
        /// The order's.
        wanted: Digest,
        /// Ours.
        found: Digest,
    },
}

impl ModelError {
    /// The contract's word for it.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Unknown { .. } | Self::Missing { .. } => Reason::ModelMissing,
            Self::Differs { .. } | Self::OtherDigest { .. } => Reason::ModelDigestMismatch,
            Self::Licence { .. } => Reason::ModelLicenceRefused,
        }
    }
}

/// A model that was checked and may be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its name in the lock file.
    pub name: String,
    /// Its version in the lock file.
    pub version: String,
    /// The folder with its files.
    pub folder: PathBuf,
    /// Over its files' names and digests, see [`digest_of`].
    pub digest: Digest,
    /// SPDX.
    pub licence: String,
    /// Where it comes from.
    pub source: String,
    /// Whom to name.
    pub attribution: String,
}

/// The artefacts folder and the lock file it is held against.
#[derive(Debug)]
pub struct Artefacts {
    root: PathBuf,
    lock: Lock,
    /// What was verified in this process: a model is hashed once.
    verified: Mutex<BTreeMap<String, Model>>,
}

#[derive(Debug, Deserialize)]
struct Lock {
    artefacts: Vec<Entry>,
}

#[derive(Clone, Debug, Deserialize)]
struct Entry {
    name: String,
    kind: Kind,
    version: String,
    licence: String,
    source: String,
    attribution: String,
    files: Vec<LockedFile>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Tool,
    Library,
    Model,
    Media,
}

#[derive(Clone, Debug, Deserialize)]
struct LockedFile {
    path: String,
    sha256: String,
    size: u64,
}

impl Artefacts {
    /// The folder that the environment names, else the image's.
    pub fn from_environment() -> Self {
        Self::at(&std::env::var_os(ROOT_VARIABLE).map_or_else(|| PathBuf::from(DEFAULT_ROOT), PathBuf::from))
    }

    /// The artefacts below `root`.
    #[expect(clippy::missing_panics_doc, reason = "only a build with a broken lock file could")]
    pub fn at(root: &Path) -> Self {
        let lock = serde_json::from_str(LOCK).expect("the lock file is part of this build and a test reads it");
        Self { root: root.to_owned(), lock, verified: Mutex::default() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Names of the models there are.
    pub fn model_names(&self) -> impl Iterator<Item = &str> {
        self.lock.artefacts.iter().filter(|entry| entry.kind == Kind::Model).map(|entry| entry.name.as_str())
    }

    /// The model's digest as the lock file has it, without reading the files.
    pub fn locked_digest(&self, name: &str) -> Option<Digest> {
        self.entry(name).map(|entry| digest_of(&entry.model_files()))
    }

    /// The model, after its licence and every one of its files were checked; `wanted` is the digest the order names, if it does.
    pub fn model(&self, name: &str, wanted: Option<&Digest>) -> Result<Model, ModelError> {
        let entry = self.entry(name).ok_or_else(|| ModelError::Unknown {
            name: name.chars().filter(|c| !c.is_control()).take(64).collect(),
            known: self.model_names().collect::<Vec<_>>().join(", "),
        })?;
        if !ALLOWED_LICENCES.contains(&entry.licence.as_str()) {
            return Err(ModelError::Licence { name: entry.name.clone(), licence: entry.licence.clone() });
        }
        let found = digest_of(&entry.model_files());
        if let Some(wanted) = wanted.filter(|wanted| **wanted != found) {
            return Err(ModelError::OtherDigest { name: entry.name.clone(), wanted: wanted.clone(), found });
        }
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = verified.get(name) {
            return Ok(model.clone());
        }
        for file in entry.model_files() {
            self.verify(file)?;
        }
        let model = Model {
            name: entry.name.clone(),
            version: entry.version.clone(),
            folder: self.root.join("models").join(&entry.name),
            digest: found,
            licence: entry.licence.clone(),
            source: entry.source.clone(),
            attribution: entry.attribution.clone(),
        };
        verified.insert(name.to_owned(), model.clone());
        Ok(model)
    }

    /// A tool's or library's files, verified: call once at start.
    pub fn verify_programs(&self) -> Result<(), ModelError> {
        let programs = self.lock.artefacts.iter().filter(|entry| matches!(entry.kind, Kind::Tool | Kind::Library));
        programs.flat_map(|entry| &entry.files).try_for_each(|file| self.verify(file))
    }

    /// ONNX Runtime.
    pub fn onnxruntime(&self) -> PathBuf {
        self.root.join("lib/libonnxruntime.so")
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.lock.artefacts.iter().find(|entry| entry.kind == Kind::Model && entry.name == name)
    }

    fn verify(&self, file: &LockedFile) -> Result<(), ModelError> {
        let path = self.root.join(&file.path);
        debug_assert!(Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_))), "{}", file.path);
        let found = hash(&path, file.size).map_err(|source| ModelError::Missing { path: path.clone(), source })?;
        if found == file.sha256 { Ok(()) } else { Err(ModelError::Differs { path }) }
    }
}

impl Entry {
    /// The files below `models/`: the licence texts beside are not part of a model.
    fn model_files(&self) -> Vec<&LockedFile> {
        self.files.iter().filter(|file| file.path.starts_with("models/")).collect()
    }
}

/// One digest for many files: SHA-256 over lines `<sha256>  <path>\n` in the order of paths, as `sha256sum` would print them.
fn digest_of(files: &[&LockedFile]) -> Digest {
    let mut files = files.to_vec();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let lines: Vec<String> = files.iter().map(|file| format!("{}  {}\n", file.sha256, file.path)).collect();
    Digest::of(lines.concat().as_bytes())
}

/// SHA-256 of a file of `size` bytes, in hex; of a longer one, only one byte more is read, so that it cannot match.
fn hash(path: &Path, size: u64) -> io::Result<String> {
    let mut file = File::open(path)?.take(size + 1);
    let (mut hasher, mut block) = (Sha256::new(), vec![0; BLOCK]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(Digest::from_hash(&hasher.finalize()).hex().to_owned()),
            count => hasher.update(&block[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artefacts_with(licence: &str, bytes: &[u8]) -> (tempfile::TempDir, Artefacts) {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir_all(folder.path().join("models/toy")).expect("folder");
        std::fs::write(folder.path().join("models/toy/weights.bin"), bytes).expect("file");
        let sha256 = Digest::of(b"weights").hex().to_owned();
        let file = LockedFile { path: "models/toy/weights.bin".to_owned(), sha256, size: 7 };
        let [name, version, source, attribution] = ["toy", "1", "https://example.org", "nobody"].map(str::to_owned);
        let entry =
            Entry { name, kind: Kind::Model, version, licence: licence.to_owned(), source, attribution, files: vec![file] };
        let artefacts =
            Artefacts { root: folder.path().to_owned(), lock: Lock { artefacts: vec![entry] }, verified: Mutex::default() };
        (folder, artefacts)
    }

    #[test]
    fn a_model_whose_files_and_licence_are_as_locked_may_be_loaded() {
        let (folder, artefacts) = artefacts_with("MIT", b"weights");
        let model = artefacts.model("toy", None).expect("good");
        assert_eq!(model.folder, folder.path().join("models/toy"));
        assert_eq!(Some(&model.digest), artefacts.locked_digest("toy").as_ref());
        assert_eq!(artefacts.model("toy", Some(&model.digest)).expect("good"), model);
    }

    #[test]
    fn a_model_with_other_bytes_more_bytes_or_no_bytes_is_refused() {
        for bytes in [&b"Weights"[..], b"weights+", b""] {
            let (_folder, artefacts) = artefacts_with("MIT", bytes);
            let error = artefacts.model("toy", None).expect_err("differs");
            assert_eq!(error.reason(), Reason::ModelDigestMismatch);
        }
    }

    #[test]
    fn a_model_under_a_licence_that_is_not_allowed_is_refused_before_it_is_read() {
        let (folder, artefacts) = artefacts_with("AGPL-3.0-only", b"weights");
        drop(folder);
        assert_eq!(artefacts.model("toy", None).expect_err("refused").reason(), Reason::ModelLicenceRefused);
    }

    #[test]
    fn a_model_of_another_digest_than_ordered_is_refused() {
        let (_folder, artefacts) = artefacts_with("MIT", b"weights");
        let error = artefacts.model("toy", Some(&Digest::of(b"another"))).expect_err("refused");
        assert_eq!(error.reason(), Reason::ModelDigestMismatch);
    }

    #[test]
    fn an_unknown_model_and_a_missing_file_say_what_to_do() {
        let (folder, artefacts) = artefacts_with("MIT", b"weights");
        assert!(artefacts.model("../toy", None).expect_err("unknown").to_string().contains("knows toy"));
        drop(folder);
        let error = artefacts.model("toy", None).expect_err("gone");
        assert_eq!(error.reason(), Reason::ModelMissing);
        assert!(error.to_string().contains("scripts/fetch-artefacts"));
    }

    #[test]
    fn the_lock_file_names_allowed_licences_plain_paths_and_whole_digests() {
        let artefacts = Artefacts::at(Path::new("/nowhere"));
        for entry in &artefacts.lock.artefacts {
            assert!(entry.kind != Kind::Model || ALLOWED_LICENCES.contains(&entry.licence.as_str()), "{}", entry.name);
            assert!(entry.source.starts_with("https://") && !entry.attribution.is_empty(), "{}", entry.name);
            for file in &entry.files {
                assert!(Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_))), "{}", file.path);
                assert_eq!(file.sha256.len(), 64, "{}", file.path);
            }
        }
        assert!(artefacts.model_names().count() >= 3);
    }
}
