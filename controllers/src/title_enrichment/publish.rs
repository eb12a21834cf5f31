//! Publishes a title: checks what the worker committed, copies it under its digests, writes manifest, page and run record
//! under the manifest's digest, and at the very end, when the status names that manifest, moves what has a name of its own:
//! `run.json`, `report.html` and the alias.
//!
//! Reads and writes the store. Everything may be repeated: files are named by their digests, so who comes second finds
//! what the first one wrote.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use showrunner_contracts::{
    Digest, Document as _,
    manifest::{AttemptRecord, MediaSummary, Origin, PublishedStep, RunDocument, TitleManifest},
    result::{Output, Reason, StepResult},
};
use showrunner_crds::title_enrichment::{PublishedStatus, TitleReason};
use showrunner_kit::planted;
use showrunner_kit::store::{Location, Precondition, Store, StoreError};
use strum::IntoEnumIterator as _;

use super::decide::{Edition, EditionStep, GivenFile, Replacement, Trouble};
use super::dereference::{self, MAX_OUTPUT_BYTES, Whose};
use super::layout;
use super::replace;
use super::report::{self, Page};

/// Largest manifest that is read back for the alias, bytes.
const MAX_MANIFEST_BYTES: usize = 1 << 20;
/// When to try again what a person has to look at.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_mins(4);

/// Why a title could not be published now.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What lies in the store is not what was committed.
    #[error("{0}")]
    Invalid(String),
    /// A person's file cannot take a result's place as it is.
    #[error("{0}")]
    Replacement(String),
}

impl PublishError {
    /// As the condition tells it.
    pub fn trouble(&self, salt: &str, now: Timestamp) -> Trouble {
        match self {
            // Nothing but the source is called that: a file of a result that is gone is a broken result.
            Self::Store(StoreError::NotFound { .. }) | Self::Invalid(_) => Trouble {
                reason: TitleReason::ResultInvalid,
                message: format!("failed to publish: {self}; change spec.refresh once it is deleted or restored"),
                retry_at: now + dereference::jittered(LOOK_AGAIN, salt),
            },
            Self::Replacement(what) => Trouble {
                reason: TitleReason::ReplacementInvalid,
                message: format!("{what}; correct the file, or the decision in spec.review.decisions"),
                retry_at: now + dereference::jittered(LOOK_AGAIN, salt),
            },
            Self::Store(error) => dereference::trouble(error, salt, now),
        }
    }
}

/// One file with a name of its own, to be moved to what is published now.
#[derive(Debug)]
pub struct Move {
    at: Location,
    body: Bytes,
    media_type: &'static str,
    precondition: Precondition,
}

/// Whose results are published, and where.
#[derive(Clone, Copy, Debug)]
pub struct Publisher<'a> {
    /// The store.
    pub store: &'a Store,
    /// The title's namespace.
    pub namespace: &'a str,
    /// The title's name.
    pub name: &'a str,
    /// The title's UID.
    pub uid: &'a str,
}

/// Most bytes of a title that are held at once for its report.
const MAX_HELD_BYTES: usize = 24 << 20;
/// Largest page that is moved, bytes: what it holds in text form, and its words.
const MAX_PAGE_BYTES: usize = 2 * MAX_HELD_BYTES;

/// What is told beside a manifest, by the end of its name.
const RUN: &str = "run.json";
const PAGE: &str = "html";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

impl Publisher<'_> {
    /// Puts everything that is named by a digest into the store, and says what `status.published` shall say, and the manifest's digest.
    pub async fn publish(&self, edition: &Edition, now: Timestamp) -> Result<(PublishedStatus, Digest), PublishError> {
        let folder = layout::title_folder(self.namespace, self.name);
        let mut files = BTreeMap::new();
        let mut results = Vec::new();
        // A person's file may be wrong: that is found out before all the others are read.
        let mut replaced = BTreeMap::new();
        for step in &edition.steps {
            if let (Some(by), Some(held)) = (&step.replacement, &step.held) {
                replaced.insert(step.step, self.replace(&folder, step, by, held, &mut files).await?);
            }
        }
        for step in &edition.steps {
            results.push(match &step.result {
                Ok(digest) => Some(self.collect(&folder, step, digest, &mut files).await?),
                Err(_) => replaced.remove(&step.step),
            });
        }
        let attempts = self.attempts(edition).await?;
        let media = self.media(edition, &results, &attempts).await?;
        let manifest = manifest(edition, &results, media);
        let bytes = manifest.to_bytes();
        let digest = Digest::of(&bytes);
        if !planted!("published-before-manifest") {
            self.put_once(&layout::manifest(&folder, &digest), bytes.into(), JSON).await?;
        }
        let run = RunDocument {
            schema: RunDocument::SCHEMA.to_owned(),
            attempts: attempts.into_iter().map(|(record, _)| record).collect(),
        };
        let page = Page {
            namespace: self.namespace,
            name: self.name,
            digest: &digest,
            manifest: &manifest,
            run: &run,
            files: &files,
            currency: &edition.currency,
        };
        self.put_once(&layout::beside(&folder, &digest, RUN), run.to_bytes().into(), JSON).await?;
        let mut html = report::html(&page);
        if html.len() > MAX_PAGE_BYTES {
            // Documents of a length that no worker of ours writes: what they say is left out.
            html = report::html(&Page { files: &BTreeMap::new(), ..page });
        }
        self.put_once(&layout::beside(&folder, &digest, PAGE), html.into(), HTML).await?;
        let published = PublishedStatus {
            digest: digest.to_string(),
            contents: edition.contents.to_string(),
            folder: self.store.locate(self.namespace, &folder)?.key().to_owned(),
            at: Time(now),
        };
        Ok((published, digest))
    }

    /// What to write so that everything with a name of its own shows the manifest with this digest. Between this and
    /// [`Publisher::write_moves`] the title is to be proved current: whoever publishes something newer after that is seen by
    /// the preconditions, so that nothing ever moves backwards.
    ///
    /// Page and run record are moved even where the alias is right: who was stopped on the way to something else may have
    /// moved them already.
    pub async fn read_moves(&self, digest: &Digest) -> Result<Vec<Move>, PublishError> {
        let folder = &layout::title_folder(self.namespace, self.name);
        let mut moves = Vec::new();
        for (extension, name, media_type) in [(RUN, layout::run(folder), JSON), (PAGE, layout::report(folder), HTML)] {
            let from = self.store.locate(self.namespace, &layout::beside(folder, digest, extension))?;
            // An older version wrote them by their names alone, before the status was stored.
            let Some(there) = self.store.get_if_exists(&from, MAX_PAGE_BYTES).await? else { continue };
            let at = self.store.locate(self.namespace, &name)?;
            let precondition = self.store.as_it_is(&at).await?;
            moves.push(Move { at, body: there.body, media_type, precondition });
        }
        let at = self.store.locate(self.namespace, &layout::alias(folder))?;
        let precondition = match self.store.get_if_exists(&at, MAX_MANIFEST_BYTES).await? {
            Some(fetched) if Digest::of(&fetched.body) == *digest => return Ok(moves),
            Some(fetched) => Precondition::Matches(fetched.info.etag),
            None => Precondition::Absent,
        };
        let manifest =
            self.store.get(&self.store.locate(self.namespace, &layout::manifest(folder, digest))?, MAX_MANIFEST_BYTES).await?;
        if Digest::of(&manifest.body) != *digest {
            return Err(PublishError::Invalid(format!("the published manifest {digest} has other bytes now")));
        }
        moves.push(Move { at, body: manifest.body, media_type: JSON, precondition });
        Ok(moves)
    }

    /// Writes them, the alias last; false when somebody else wrote one of them since it was read.
    pub async fn write_moves(&self, moves: Vec<Move>) -> Result<bool, PublishError> {
        for Move { at, body, media_type, precondition } in moves {
            let precondition = if planted!("alias-unconditional") { &Precondition::None } else { &precondition };
            match self.store.put(&at, body, media_type, precondition).await {
                Ok(_) => {}
                Err(StoreError::PreconditionFailed { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Checks one step's result and copies its files under their digests.
    async fn collect(
        &self,
        folder: &str,
        step: &EditionStep,
        digest: &Digest,
        files: &mut BTreeMap<String, Bytes>,
    ) -> Result<StepResult, PublishError> {
        let result = self.result(step, digest).await?;
        let from = self.worked_in(&result)?;
        for output in &result.outputs {
            let body = self.copy(folder, &from, output).await?;
            hold(files, &output.name, body);
        }
        Ok(result)
    }

    /// Where a result's files are, below the profile.
    fn worked_in(&self, result: &StepResult) -> Result<String, PublishError> {
        let root = dereference::root_of(self.store, self.namespace)?;
        Ok(result.folder.strip_prefix(&root).unwrap_or_default().to_owned())
    }

    /// A person's file in the place of one step's result, or of parts of it.
    async fn replace(
        &self,
        folder: &str,
        step: &EditionStep,
        by: &Replacement,
        held: &Digest,
        files: &mut BTreeMap<String, Bytes>,
    ) -> Result<StepResult, PublishError> {
        let mut result = self.result(step, held).await?;
        let made = match by {
            Replacement::Whole(given) => {
                let file = self.given(step, given, replace::MAX_FILE).await?;
                let (made, summary) = replace::subtitles(file, &result).map_err(|what| wrong(step, &given.path, &what))?;
                // No model made it, and nothing of it is the worker's.
                (result.summary, result.models, result.outputs) = (summary, Vec::new(), Vec::new());
                made
            }
            Replacement::Pictures { by, files: given } => {
                let mut pictures = BTreeMap::new();
                for (name, of) in given {
                    let file = self.given(step, of, replace::MAX_PICTURE_FILE).await?;
                    // It takes some tens of milliseconds, for which no other title's reconcile should have to wait.
                    let read = tokio::task::spawn_blocking(move || replace::picture(file)).await;
                    let picture = read.unwrap_or_else(|_| Err("it cannot be read".to_owned()));
                    let picture = picture.map_err(|what| wrong(step, &of.path, &what))?;
                    pictures.insert(name.clone(), picture);
                }
                let (from, mut document) = (self.worked_in(&result)?, Bytes::new());
                // What a person put something better in the place of does not go to the public folder.
                for output in result.outputs.iter().filter(|output| !pictures.contains_key(&output.name)) {
                    let body = self.copy(folder, &from, output).await?;
                    if output.name == replace::PICKS {
                        document = body.clone();
                    }
                    hold(files, &output.name, body);
                }
                let paths = given.values().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", ");
                replace::thumbnails(&document, pictures, by).map_err(|what| wrong(step, &paths, &what))?
            }
        };
        for replace::File { name, media_type, origin, body } in made {
            let (sha256, size_bytes) = (Digest::of(&body), body.len() as u64);
            let output =
                Output { name: name.clone(), media_type: media_type.to_owned(), sha256, size_bytes, origin: Some(origin) };
            self.put_once(&layout::blob(folder, &output.sha256), body.clone(), &self::media_type(&output)).await?;
            match result.outputs.iter_mut().find(|old| old.name == name) {
                Some(old) => *old = output,
                None => result.outputs.push(output),
            }
            // The page shows pictures as far as there is room for them.
            if media_type.starts_with("image/") {
                hold(files, &name, body);
            } else {
                files.insert(name, body);
            }
        }
        Ok(result)
    }

    /// A person's file, as the decision names it.
    async fn given(&self, step: &EditionStep, given: &GivenFile, most: usize) -> Result<Bytes, PublishError> {
        let at = self.store.locate(self.namespace, &given.path).map_err(|error| wrong(step, &given.path, &error))?;
        let file = match self.store.get(&at, most).await {
            Ok(fetched) => fetched.body,
            Err(error @ (StoreError::NotFound { .. } | StoreError::TooLarge { .. })) => {
                return Err(wrong(step, &given.path, &error));
            }
            Err(error) => return Err(error.into()),
        };
        let found = Digest::of(&file);
        if found == given.digest {
            return Ok(file);
        }
        let what = format!("its SHA-256 is {}, and the decision says {}", found.hex(), given.digest.hex());
        Err(wrong(step, &given.path, &what))
    }

    /// One step's result, checked.
    async fn result(&self, step: &EditionStep, digest: &Digest) -> Result<StepResult, PublishError> {
        let known = [digest.to_string()];
        let whose = Whose { namespace: self.namespace, uid: self.uid, known: &known };
        let wrong = match dereference::result(self.store, whose, step.step, &step.key).await? {
            Some(Ok(committed)) if committed.digest == *digest => {
                let mut result = committed.result;
                // What a worker says of who made its files is nobody's word but its own.
                result.outputs.iter_mut().for_each(|output| output.origin = None);
                return Ok(result);
            }
            Some(Ok(_)) => format!("the result of {} is another one than was harvested", step.step),
            Some(Err(wrong)) => wrong,
            None => format!("the result of {} is gone from the store", step.step),
        };
        Err(PublishError::Invalid(wrong))
    }

    /// One file under its digest.
    async fn copy(&self, folder: &str, from: &str, output: &Output) -> Result<Bytes, PublishError> {
        let blob = self.store.locate(self.namespace, &layout::blob(folder, &output.sha256))?;
        let is_right = |body: &Bytes| body.len() as u64 == output.size_bytes && Digest::of(body) == output.sha256;
        if let Some(there) = self.store.get_if_exists(&blob, MAX_OUTPUT_BYTES).await?.filter(|there| is_right(&there.body)) {
            return Ok(there.body);
        }
        let at = self.store.locate(self.namespace, &format!("{from}{}", output.name))?;
        let body = self.store.get(&at, MAX_OUTPUT_BYTES).await?.body;
        if !is_right(&body) {
            return Err(PublishError::Invalid(format!("{} does not have the digest its result names", at.path())));
        }
        match self.store.put(&blob, body.clone(), &media_type(output), &Precondition::Absent).await {
            Ok(_) | Err(StoreError::PreconditionFailed { .. }) => Ok(body),
            Err(error) => Err(error.into()),
        }
    }

    /// The attempts that left a result, with the media facts they found.
    async fn attempts(&self, edition: &Edition) -> Result<Vec<(AttemptRecord, Option<MediaSummary>)>, PublishError> {
        let mut attempts = Vec::new();
        for past in &edition.history {
            let (Ok(unit), Some(Ok(digest))) = (past.unit.parse::<Digest>(), past.result.as_deref().map(str::parse::<Digest>))
            else {
                continue;
            };
            let folder = layout::attempt_folder(&unit, self.uid, past.number);
            // A record that is gone is missing in the run document and stops nothing.
            let Ok(report) = dereference::unit_result(self.store, self.namespace, &folder, &digest).await? else { continue };
            let record = AttemptRecord {
                job: past.job.clone(),
                attempt: report.attempt,
                steps: report.steps,
                run: report.run,
                cost_estimate: past
                    .cost_estimate
                    .as_deref()
                    .and_then(|cost| cost.split(' ').next())
                    .unwrap_or_default()
                    .to_owned(),
            };
            attempts.push((record, report.media));
        }
        Ok(attempts)
    }

    /// What the source is, by what is published; or by an attempt; or, where neither tells, by a result that is withheld.
    async fn media(
        &self,
        edition: &Edition,
        results: &[Option<StepResult>],
        attempts: &[(AttemptRecord, Option<MediaSummary>)],
    ) -> Result<MediaSummary, PublishError> {
        let by_step = results.iter().flatten().map(|result| &result.media).next();
        let by_attempt = || attempts.iter().rev().find_map(|(_, media)| media.as_ref());
        if let Some(media) = by_step.or_else(by_attempt) {
            return Ok(media.clone());
        }
        for step in &edition.steps {
            if let Some(digest) = &step.held {
                return Ok(self.result(step, digest).await?.media);
            }
        }
        Err(PublishError::Invalid(format!("no result of {}/{} says what the source is", self.namespace, self.name)))
    }

    async fn put_once(&self, path: &str, body: Bytes, media_type: &str) -> Result<(), PublishError> {
        match self.store.put(&self.store.locate(self.namespace, path)?, body, media_type, &Precondition::Absent).await {
            Ok(_) | Err(StoreError::PreconditionFailed { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Holds a file for the report, where that shows it. A result is a worker's word: however much it names, only so much of it is held.
fn hold(files: &mut BTreeMap<String, Bytes>, name: &str, body: Bytes) {
    let held = files.values().map(Bytes::len).sum::<usize>();
    if report::shows(name) && held + body.len() <= MAX_HELD_BYTES {
        files.insert(name.to_owned(), body);
    }
}

/// Why a person's file cannot be published.
fn wrong(step: &EditionStep, path: &str, what: &dyn std::fmt::Display) -> PublishError {
    PublishError::Replacement(format!("failed to publish {path} in place of {}: {what}", step.step))
}

/// What is published: content only, the same bytes for the same results.
pub fn manifest(edition: &Edition, results: &[Option<StepResult>], media: MediaSummary) -> TitleManifest {
    // Only what a person made says so until here.
    let made_by = |output: &Output| output.origin.unwrap_or_default();
    let told = |output: &Output| Output { origin: Some(made_by(output)), ..output.clone() };
    let steps = edition.steps.iter().zip(results).map(|(step, result)| PublishedStep {
        step: step.step,
        key: step.key.clone(),
        withheld: step.withheld,
        origin: Origin::of_all(result.iter().flat_map(|result| &result.outputs).map(made_by)),
        skipped: step
            .result
            .as_ref()
            .err()
            .filter(|_| step.withheld.is_none() && step.replacement.is_none())
            .and_then(|word| Reason::iter().find(|reason| reason.to_string() == *word)),
        outputs: result.iter().flat_map(|result| &result.outputs).map(told).collect(),
        summary: result.as_ref().map(|result| result.summary.clone()),
        models: result.as_ref().map(|result| result.models.clone()).unwrap_or_default(),
    });
    let mut source = edition.source.clone();
    if planted!("manifest-of-the-moment") {
        source.version = Timestamp::now().to_string();
    }
    TitleManifest { schema: TitleManifest::SCHEMA.to_owned(), source, media, steps: steps.collect() }
}

/// The media type by the file's name: what the worker says is not put into a header of ours.
fn media_type(output: &Output) -> String {
    let extension = output.name.rsplit('.').next().unwrap_or_default();
    match extension {
        "jpg" => "image/jpeg",
        "json" => "application/json",
        "vtt" => "text/vtt; charset=utf-8",
        "xml" => "application/ttml+xml",
        _ => "application/octet-stream",
    }
    .to_owned()
}
