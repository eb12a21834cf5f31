//! Where finished work goes: files first, the step's result last, and the first writer's result stands.
//! Writes to the store through grants, or to a folder.

use crate::{
    failure::internal,
    steps::sprite,
    store::{Put, Store},
};
use showrunner_contracts::{
    Digest, Document as _, MAX_DOCUMENT_BYTES,
    manifest::{MediaSummary, StepSummary},
    result::{Failure, Output, StepResult},
    step::Step,
    work_order::{StepOrder, WorkOrder},
};
use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

/// Media type of our documents.
pub const JSON: &str = "application/json";

/// One file that a step made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepFile {
    /// Its slot, such as `shots.json`.
    pub name: String,
    /// Media type.
    pub media_type: &'static str,
    /// Content.
    pub bytes: Vec<u8>,
}

/// What a step made, ready to be kept. The same input gives the same value: no times, no machine, no order of chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Files, in the order of the step's slots.
    pub files: Vec<StepFile>,
    /// Figures.
    pub summary: StepSummary,
    /// What shaped the result, for people.
    pub settings: BTreeMap<String, String>,
}

/// A place for finished work.
pub trait Sink: Sync {
    /// The folder that results name their files under.
    fn folder(&self) -> &str;

    /// Keeps one file of a step.
    fn keep(&self, file: &StepFile) -> Result<(), Failure>;

    /// Commits a step whose files are all kept. Gives the digest of the result that stands under the step's key: this one,
    /// or that of whoever was first.
    fn commit(&self, order: &StepOrder, result: &StepResult) -> Result<Digest, Failure>;
}

/// Keeps what a step made and commits it.
pub fn commit(sink: &dyn Sink, order: &StepOrder, media: &MediaSummary, made: Made) -> Result<Digest, Failure> {
    let slots = order.params.slots();
    if let Some(file) = made.files.iter().find(|file| !slots.contains(&file.name)) {
        return Err(internal(format_args!(
            "the step {} made {}, which it has no slot for; please report it",
            order.step, file.name
        )));
    }
    for file in &made.files {
        sink.keep(file)?;
    }
    let output = |file: &StepFile| Output {
        name: file.name.clone(),
        media_type: file.media_type.to_owned(),
        sha256: Digest::of(&file.bytes),
        size_bytes: file.bytes.len() as u64,
        origin: None,
    };
    let (kept, outputs) = made.files.iter().map(output).partition(|output| order.step.keeps(&output.name));
    let result = StepResult {
        schema: StepResult::SCHEMA.to_owned(),
        step: order.step,
        key: order.key.clone(),
        folder: sink.folder().to_owned(),
        media: media.clone(),
        outputs,
        kept,
        summary: made.summary,
        models: order.models.clone(),
        settings: made.settings,
    };
    sink.commit(order, &result)
}

/// A result that stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Of its bytes.
    pub digest: Digest,
    /// What the source is.
    pub media: MediaSummary,
}

/// The result that is committed under the step's key, if one is.
pub fn committed(store: &Store, order: &StepOrder) -> Result<Option<Committed>, Failure> {
    let what = format!("the result of the step {}", order.step);
    let Some(bytes) = store.get(&what, &order.result_url, MAX_DOCUMENT_BYTES)? else {
        return Ok(None);
    };
    let of_another = || {
        internal(format_args!(
            "{what} in the store is not a result of its key {}; delete that object, somebody else wrote it",
            order.key
        ))
    };
    let result = StepResult::from_bytes(&bytes).map_err(|_| of_another())?;
    if result.step != order.step || result.key != order.key {
        return Err(of_another());
    }
    Ok(Some(Committed { digest: Digest::of(&bytes), media: result.media }))
}

/// The store, through an order's grants.
#[derive(Debug)]
pub struct StoreSink<'a> {
    store: &'a Store,
    order: &'a WorkOrder,
}

impl<'a> StoreSink<'a> {
    /// For an order that was checked.
    pub const fn new(store: &'a Store, order: &'a WorkOrder) -> Self {
        Self { store, order }
    }
}

impl Sink for StoreSink<'_> {
    fn folder(&self) -> &str {
        &self.order.grants.folder
    }

    fn keep(&self, file: &StepFile) -> Result<(), Failure> {
        let grant = self.order.grants.files.get(&file.name);
        let grant =
            grant.ok_or_else(|| internal(format_args!("the work order grants no writing of {}; please report it", file.name)))?;
        Ok(self.store.put(&file.name, grant, file.media_type, &file.bytes)?)
    }

    fn commit(&self, order: &StepOrder, result: &StepResult) -> Result<Digest, Failure> {
        let grant = self.order.grants.commits.get(&order.step);
        let grant =
            grant.ok_or_else(|| internal(format_args!("the work order grants no commit of {}; please report it", order.step)))?;
        let bytes = result.to_bytes();
        match self.store.put_first(&format!("the result of the step {}", order.step), grant, JSON, &bytes)? {
            Put::Stored => Ok(Digest::of(&bytes)),
            // Another attempt was first, or this one's answer was lost on its way: what stands in the store counts.
            Put::Exists => committed(self.store, order)?.map(|theirs| theirs.digest).ok_or_else(|| {
                internal(format_args!("the store says that the step {} is committed and has no result of it", order.step))
            }),
        }
    }
}

/// A folder on this machine, for people and tests. Overwrites.
#[derive(Clone, Debug)]
pub struct FolderSink {
    folder: PathBuf,
}

impl FolderSink {
    /// Writes below `folder`, which is made when it is not there.
    pub fn new(folder: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Writes one file whole or not at all.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let (path, partial) = (self.folder.join(name), self.folder.join(format!(".{name}.partial")));
        let write = || {
            fs::File::create(&partial)?.write_all(bytes)?;
            fs::rename(&partial, &path)
        };
        write().map_err(|error| internal(format_args!("failed to write {}: {error}", path.display())))
    }

    /// The name of a step's result.
    pub fn result_name(step: Step) -> String {
        format!("{step}.result.json")
    }
}

impl Sink for FolderSink {
    fn folder(&self) -> &'static str {
        "./"
    }

    fn keep(&self, file: &StepFile) -> Result<(), Failure> {
        if sprite::is_sheet(&file.name) {
            // The index beside it names it so.
            self.write(Digest::of(&file.bytes).hex(), &file.bytes)?;
        }
        self.write(&file.name, &file.bytes)
    }

    fn commit(&self, order: &StepOrder, result: &StepResult) -> Result<Digest, Failure> {
        let bytes = result.to_bytes();
        self.write(&Self::result_name(order.step), &bytes)?;
        Ok(Digest::of(&bytes))
    }
}
