//! Where a title's things lie in the store, below the profile's prefix. No I/O.
//!
//! No key is another key followed by a slash: some stores keep objects as files and folders.

use showrunner_contracts::{
    Digest,
    catalogue::{INDEX_VERSION, place_name},
};

/// Digits of the title's UID in the folder of an attempt: enough to tell titles with the same unit apart.
const UID_DIGITS: usize = 8;
/// Folder of everything that attempts write.
const WORK: &str = "work";
/// Folder of the catalogue of prints.
const CATALOGUE: &str = "catalogue";

/// The folder of one attempt, without a slash at its end. Only this attempt's pod is granted writing to it.
pub fn attempt_folder(unit: &Digest, uid: &str, number: i32) -> String {
    let uid: String = uid.chars().filter(char::is_ascii_alphanumeric).take(UID_DIGITS).collect();
    format!("{WORK}/{}/{uid}-{number}", unit.hex())
}

/// Whether the folder of an attempt is one of this title's.
pub fn is_folder_of(folder: &str, uid: &str) -> bool {
    let digits: String = uid.chars().filter(char::is_ascii_alphanumeric).take(UID_DIGITS).collect();
    let name = folder.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    is_attempt_folder(folder) && name.split_once('-').is_some_and(|(of, _)| of == digits)
}

/// Whether a path is the folder of some attempt, as [`attempt_folder`] writes it, followed by a slash.
pub fn is_attempt_folder(path: &str) -> bool {
    let Some(rest) = path.strip_suffix('/').and_then(|path| path.strip_prefix(WORK)?.strip_prefix('/')) else { return false };
    let Some((unit, attempt)) = rest.split_once('/') else { return false };
    let Some((uid, number)) = attempt.split_once('-') else { return false };
    format!("sha256:{unit}").parse::<Digest>().is_ok()
        && uid.len() <= UID_DIGITS
        && uid.bytes().all(|b| b.is_ascii_alphanumeric())
        && !number.is_empty()
        && number.len() <= 10
        && number.bytes().all(|b| b.is_ascii_digit())
}

/// What became of an attempt.
pub fn unit_result(folder: &str) -> String {
    format!("{folder}/unit-result.json")
}

/// How far an attempt is.
pub fn progress(folder: &str) -> String {
    format!("{folder}/progress.json")
}

/// What an attempt may read of the catalogue.
pub fn view(folder: &str) -> String {
    format!("{folder}/catalogue.json")
}

/// A place of the catalogue with prints of this version. One catalogue serves all that share a prefix: copies are found whoever
/// brought them.
pub fn place(version: i32, place: u32) -> String {
    format!("{CATALOGUE}/v{version}/entries/{}", place_name(place))
}

/// A part of that catalogue's index.
pub fn part(version: i32, part: u32) -> String {
    format!("{CATALOGUE}/v{version}/parts/v{INDEX_VERSION}/{part:06}")
}

/// The committed result of a step. Below a prefix that all namespaces share, each has a folder of its own: who can write a
/// result there could else falsify those of others, whose keys are no secret.
pub fn result(key: &Digest, sharing: Option<&str>) -> String {
    match sharing {
        None => format!("results/{}.json", key.hex()),
        Some(namespace) => format!("results/{namespace}/{}.json", key.hex()),
    }
}

/// The folder of what is published of a title.
pub fn title_folder(namespace: &str, name: &str) -> String {
    format!("titles/{namespace}/{name}")
}

/// A published manifest, by its digest.
pub fn manifest(folder: &str, digest: &Digest) -> String {
    format!("{folder}/{}.json", digest.hex())
}

/// What is told beside a manifest: a page for people, and what it took. Named by the manifest they belong to.
pub fn beside(folder: &str, digest: &Digest, extension: &str) -> String {
    format!("{folder}/{}.{extension}", digest.hex())
}

/// The manifest that was published last: derived from `status.published`, never the truth.
pub fn alias(folder: &str) -> String {
    format!("{folder}/manifest.json")
}

/// A published file.
pub fn blob(folder: &str, digest: &Digest) -> String {
    format!("{folder}/blobs/{}", digest.hex())
}

/// What the manifest that was published last took.
pub fn run(folder: &str) -> String {
    format!("{folder}/run.json")
}

/// The page of the manifest that was published last.
pub fn report(folder: &str) -> String {
    format!("{folder}/report.html")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_an_attempt_is_known_again_and_nothing_else_is() {
        let unit = Digest::of(b"unit");
        let folder = attempt_folder(&unit, "0a1b2c3d-4e5f-6789", 3);
        assert_eq!(folder, format!("work/{}/0a1b2c3d-3", unit.hex()));
        assert!(is_attempt_folder(&format!("{folder}/")));
        let inside = format!("{folder}/more/");
        let climbs = format!("work/{}/../x-1/", unit.hex());
        let other = format!("titles/{}/0a1b2c3d-3/", unit.hex());
        assert!(
            is_folder_of(&format!("{folder}/"), "0a1b2c3d-4e5f-6789") && !is_folder_of(&format!("{folder}/"), "1a1b2c3d-4e5f")
        );
        for bad in [folder.as_str(), &inside, &climbs, &other, "work/abc/0a1b2c3d-3/", "work/", "", "/"] {
            assert!(!is_attempt_folder(bad), "{bad}");
        }
    }
}
