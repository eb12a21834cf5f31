//! What a title has published, checked byte by byte. I/O: reads from the store.

use crate::store::Store;
use anyhow::{Context as _, Result, ensure};
use showrunner_contracts::{Digest, Document as _, manifest::TitleManifest};
use showrunner_crds::{TitleEnrichment, title_enrichment::PublishedStatus};

/// What the status says of it.
pub fn of(title: &TitleEnrichment) -> Result<&PublishedStatus> {
    title.status.as_ref().and_then(|status| status.published.as_ref()).context("nothing is published")
}

/// Reads the published manifest and checks every byte of what it names.
pub async fn verify(store: &Store, title: &TitleEnrichment) -> Result<TitleManifest> {
    let published = of(title)?;
    let digest: Digest = published.digest.parse()?;
    let folder = published.folder.trim_end_matches('/');
    let bytes = store.read(&format!("{folder}/{}.json", digest.hex())).await?;
    ensure!(Digest::of(&bytes) == digest, "the manifest has another digest than status.published says");
    let alias = store.read(&format!("{folder}/manifest.json")).await?;
    ensure!(alias == bytes, "the alias is not the published manifest");
    let manifest = TitleManifest::from_bytes(&bytes)?;
    for output in manifest.steps.iter().flat_map(|step| &step.outputs) {
        let blob = store.read(&format!("{folder}/blobs/{}", output.sha256.hex())).await?;
        ensure!(
            Digest::of(&blob) == output.sha256 && blob.len() as u64 == output.size_bytes,
            "{} differs from the manifest",
            output.name
        );
    }
    // The first version wrote these by their names alone, and manifests that do not say who made what.
    let by_digest = std::str::from_utf8(&bytes)?.contains("\"origin\"");
    for (extension, name) in [("html", "report.html"), ("run.json", "run.json")] {
        let moved = store.read(&format!("{folder}/{name}")).await?;
        if by_digest {
            let of_this = store.read(&format!("{folder}/{}.{extension}", digest.hex())).await?;
            ensure!(moved == of_this, "{name} is that of another manifest");
        }
    }
    if manifest.steps.iter().flat_map(|step| &step.outputs).any(|output| output.name == "sprite.vtt") {
        plays(store, title, &manifest).await?;
    }
    Ok(manifest)
}

/// Checks that the trick-play index leads to a picture, as a player would follow it: its URLs are relative to `blobs/`.
async fn plays(store: &Store, title: &TitleEnrichment, manifest: &TitleManifest) -> Result<()> {
    let index = output(store, title, manifest, "sprite.vtt").await?;
    let url = std::str::from_utf8(&index)?.lines().find_map(|line| Some(line.split_once("#xywh=")?.0));
    let url = url.context("sprite.vtt has no cue with a part of a sheet")?;
    let sheet = store.read(&format!("{}/blobs/{url}", of(title)?.folder.trim_end_matches('/'))).await?;
    ensure!(sheet.starts_with(b"\xff\xd8\xff"), "sprite.vtt leads to {url}, which is no JPEG");
    Ok(())
}

/// The bytes of one published file.
pub async fn output(store: &Store, title: &TitleEnrichment, manifest: &TitleManifest, name: &str) -> Result<bytes::Bytes> {
    let found = manifest.steps.iter().flat_map(|step| &step.outputs).find(|output| output.name == name);
    let hex = found.with_context(|| format!("{name} is not in the manifest"))?.sha256.hex().to_owned();
    store.read(&format!("{}/blobs/{hex}", of(title)?.folder.trim_end_matches('/'))).await
}
