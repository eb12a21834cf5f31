//! The chart's list of models that are in the worker image, from the lock file of artefacts. Reads that file.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use showrunner_contracts::{Digest, lock::CatalogueModel, step::Step};
use std::path::Path;

/// Where the list lies.
pub(crate) const PATH: &str = "charts/showrunner/files/models.yaml";
const LOCK: &str = "worker/artefacts.lock.json";
const HEADER: &str = "\
# Written by `make gen` from worker/artefacts.lock.json; do not edit. The models that are in the worker image: steps may
# use these by name, and the worker refuses one whose files do not have this digest.
";

/// The part of the lock file that is looked at.
#[derive(Debug, Deserialize)]
struct Lock {
    artefacts: Vec<Artefact>,
}

#[derive(Debug, Deserialize)]
struct Artefact {
    name: String,
    kind: String,
    #[serde(rename = "use")]
    purpose: String,
    licence: String,
    files: Vec<File>,
}

#[derive(Debug, Deserialize)]
struct File {
    path: String,
    sha256: String,
}

/// The list's text.
pub(crate) fn catalogue(root: &Path) -> Result<String> {
    let bytes = std::fs::read(root.join(LOCK)).with_context(|| format!("failed to read {LOCK}"))?;
    let lock: Lock = serde_json::from_slice(&bytes).with_context(|| format!("failed to read {LOCK}"))?;
    let models: Vec<_> =
        lock.artefacts.iter().filter(|a| a.kind == "model" && a.purpose == "ship").map(model).collect::<Result<_>>()?;
    ensure!(!models.is_empty(), "{LOCK} names no model that is shipped");
    let list = serde_saphyr::to_string(&models).context("failed to write the list of models")?;
    Ok(format!("{HEADER}{list}"))
}

fn model(artefact: &Artefact) -> Result<CatalogueModel> {
    Ok(CatalogueModel {
        name: artefact.name.clone(),
        digest: digest(artefact)?,
        licence: artefact.licence.clone(),
        step: step(&artefact.name)?,
    })
}

/// As the worker works it out before it loads a model: SHA-256 over `<sha256>  <path>` lines of the files below `models/`,
/// sorted by path, as `sha256sum` would print them.
fn digest(artefact: &Artefact) -> Result<Digest> {
    let folder = format!("models/{}/", artefact.name);
    let mut files: Vec<_> = artefact.files.iter().filter(|file| file.path.starts_with("models/")).collect();
    let apart = files.iter().all(|file| file.path.starts_with(&folder));
    ensure!(!files.is_empty() && apart, "{LOCK}: the files of model {} must all be in {folder}", artefact.name);
    files.sort_unstable_by_key(|file| &file.path);
    let lines = files.iter().fold(String::new(), |text, file| text + &format!("{}  {}\n", file.sha256, file.path));
    Ok(Digest::of(lines.as_bytes()))
}

fn step(model: &str) -> Result<Step> {
    match model.split('-').next() {
        Some("whisper" | "silero") => Ok(Step::Subtitles),
        Some("thumbnail") => Ok(Step::Thumbnails),
        Some("moderation") => Ok(Step::Moderation),
        Some("shots") => Ok(Step::Shots),
        _ => anyhow::bail!("failed to tell which step model {model} serves: say so in xtask/src/models.rs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_speech_model_is_in_the_worker_image() {
        let text = catalogue(&crate::root().unwrap()).unwrap();
        let models: Vec<CatalogueModel> = serde_saphyr::from_str(&text).unwrap();
        let default = showrunner_crds::title_enrichment::SubtitlesSpec::default().model;
        assert!(models.iter().any(|model| model.name == default && model.step == Step::Subtitles), "{default}");
    }

    #[test]
    fn a_model_has_another_digest_when_any_of_its_files_changes_name_or_content() {
        let file = |path: &str, sha256: &str| File { path: path.into(), sha256: sha256.into() };
        let model =
            |files| Artefact { name: "m".into(), kind: "model".into(), purpose: "ship".into(), licence: "MIT".into(), files };
        let base = digest(&model(vec![file("models/m/a", "1"), file("models/m/b", "2")])).unwrap();
        let same = digest(&model(vec![file("models/m/b", "2"), file("licences/m", "9"), file("models/m/a", "1")])).unwrap();
        assert_eq!(base, same, "order and licence texts do not matter");
        assert_ne!(base, digest(&model(vec![file("models/m/a", "1"), file("models/m/c", "2")])).unwrap());
        assert_ne!(base, digest(&model(vec![file("models/m/a", "1"), file("models/m/b", "3")])).unwrap());
    }
}
