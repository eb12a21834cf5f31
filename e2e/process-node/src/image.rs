//! Images as folders: `image.json` says what a registry's image configuration says, the rest is the image's file system.
//!
//! Reads folders.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// What every image's folder has.
const FILE: &str = "image.json";
/// Longest `image.json` that is read, bytes.
const MAX_FILE: u64 = 64 * 1024;

/// The folder of images.
#[derive(Clone, Debug)]
pub(crate) struct Images(PathBuf);

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// Its file system.
    pub(crate) folder: PathBuf,
    /// Digest of its configuration, in the form of an image ID.
    pub(crate) id: String,
    /// How it is started.
    pub(crate) config: Config,
}

/// `image.json`. Paths in it are those inside the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Config {
    /// The one reference that pods name it by.
    pub(crate) reference: String,
    /// Program and first arguments.
    #[serde(default)]
    pub(crate) entrypoint: Vec<String>,
    /// Further arguments, where the pod gives none.
    #[serde(default)]
    pub(crate) cmd: Vec<String>,
    /// Environment.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Working directory.
    #[serde(default)]
    pub(crate) working_dir: String,
    /// User and group, numbers.
    #[serde(default)]
    pub(crate) user: Option<u32>,
}

impl Images {
    pub(crate) fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The image that a pod names. A folder that cannot be read does not stand in the way of the others.
    pub(crate) fn find(&self, reference: &str) -> Result<Image, String> {
        let folders = std::fs::read_dir(&self.0).map_err(|error| format!("failed to read {}: {error}", self.0.display()))?;
        let mut unreadable = String::new();
        // A leading dot is an image that is still being copied.
        let whole = folders.flatten().filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
        for folder in whole.map(|entry| entry.path()).filter(|path| path.join(FILE).is_file()) {
            match read(&folder) {
                Ok(image) if image.config.reference == reference => return Ok(image),
                Ok(_) => {}
                Err(why) => unreadable = format!("; {}: {why}", folder.display()),
            }
        }
        Err(format!("failed to find image \"{reference}\" in {}{unreadable}", self.0.display()))
    }
}

fn read(folder: &Path) -> Result<Image, String> {
    let file = folder.join(FILE);
    let size = std::fs::metadata(&file).map_err(|error| error.to_string())?.len();
    if size > MAX_FILE {
        return Err(format!("{FILE} is larger than {MAX_FILE} bytes"));
    }
    let bytes = std::fs::read(&file).map_err(|error| error.to_string())?;
    let config = serde_json::from_slice(&bytes).map_err(|error| format!("{FILE}: {error}"))?;
    let digest = Sha256::digest(&bytes);
    let hex = digest.iter().fold(String::from("sha256:"), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}"); // a String takes all that is written
        text
    });
    Ok(Image { folder: std::path::absolute(folder).map_err(|error| error.to_string())?, id: hex, config })
}

/// The parts of an absolute path without `.`; none when it is not absolute or climbs with `..`.
pub(crate) fn plain(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    if !path.is_absolute() || path.components().any(|part| matches!(part, Component::ParentDir)) {
        return None;
    }
    Some(path.components().collect())
}

impl Image {
    /// Where a path inside the image is on this machine. Links are the image's own affair: it is trusted, pods are not.
    pub(crate) fn inside(&self, path: &str) -> Option<PathBuf> {
        Some(self.folder.join(plain(path)?.strip_prefix("/").ok()?))
    }

    /// The program that a name means: a path inside the image, or a name to be looked up in folders inside the image.
    pub(crate) fn program(&self, name: &str, path: &str) -> Result<PathBuf, String> {
        let candidates: Vec<String> = if name.contains('/') {
            vec![name.to_owned()]
        } else {
            path.split(':').map(|folder| format!("{folder}/{name}")).collect()
        };
        candidates
            .iter()
            .filter_map(|candidate| self.inside(candidate))
            .find(|file| is_program(file))
            .ok_or_else(|| format!("exec: \"{name}\": no such program in the image"))
    }
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// An image with this machine's shell as /bin/sh.
    pub(crate) fn shell(images: &Path) -> Image {
        let folder = images.join("shell");
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        symlink("/bin/sh", folder.join("bin/sh")).unwrap();
        std::fs::write(folder.join(FILE), r#"{"reference": "test/shell:1", "entrypoint": ["/bin/sh", "-c"]}"#).unwrap();
        read(&folder).unwrap()
    }

    #[test]
    fn an_image_is_found_by_its_whole_reference_only() {
        let images = tempfile::tempdir().unwrap();
        let made = shell(images.path());
        let found = Images::at(images.path());
        assert_eq!(found.find("test/shell:1").unwrap(), made);
        assert!(found.find("test/shell").is_err() && found.find("test/shell:2").is_err());
        assert!(made.id.starts_with("sha256:") && made.id.len() == 71, "{}", made.id);
    }

    #[test]
    fn a_broken_image_hides_no_other_and_is_named() {
        let images = tempfile::tempdir().unwrap();
        shell(images.path());
        std::fs::create_dir(images.path().join("broken")).unwrap();
        std::fs::write(images.path().join("broken").join(FILE), "{").unwrap();
        assert!(Images::at(images.path()).find("test/shell:1").is_ok());
        assert!(Images::at(images.path()).find("other").unwrap_err().contains("broken"));
    }

    #[test]
    fn programs_come_from_inside_the_image() {
        let images = tempfile::tempdir().unwrap();
        let image = shell(images.path());
        assert!(image.program("/bin/sh", "").is_ok());
        assert!(image.program("sh", "/usr/bin:/bin").is_ok());
        for name in ["/bin/cat", "/../../../../bin/cat", "bin/sh", "../bin/sh", "cat"] {
            assert!(image.program(name, "/bin").is_err(), "{name}");
        }
    }
}
