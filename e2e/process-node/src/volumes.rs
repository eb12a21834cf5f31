//! A pod's folder: its volumes, termination messages and logs, and the mark that it was started.
//!
//! Writes and removes files below the node's root; what it reads back there may have been written by a pod.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{KeyToPath, Pod, Volume};
use nix::fcntl::OFlag;

use crate::plan::field;
use crate::refuse::is_name;

/// What a kubelet keeps of a termination message, bytes: the end of it.
pub(crate) const MAX_MESSAGE: u64 = 4096;
/// What it takes from a log in place of a message, bytes and lines.
const MAX_LOG_MESSAGE: u64 = 2048;
const MAX_LOG_LINES: usize = 80;
/// Log folders of past pods that are kept.
const KEPT_LOGS: usize = 100;
const DEFAULT_MODE: i32 = 0o644;
/// Folders that processes pass through and cannot list.
const PASSAGE: u32 = 0o711;

/// Data of `ConfigMap`s and Secrets by name; one that is not there is absent.
pub(crate) type Data = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// What volumes and variables are filled from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) config_maps: Data,
    pub(crate) secrets: Data,
}

/// The node's root folder.
#[derive(Clone, Debug)]
pub(crate) struct Places(PathBuf);

/// One pod's places.
#[derive(Clone, Debug)]
pub(crate) struct PodFolder {
    folder: PathBuf,
    logs: PathBuf,
    mark: PathBuf,
}

impl Places {
    /// Makes what is missing.
    pub(crate) fn make(root: &Path) -> anyhow::Result<Self> {
        let root = std::path::absolute(root)?;
        for folder in ["pods", "started", "logs"] {
            let folder = root.join(folder);
            DirBuilder::new()
                .recursive(true)
                .mode(PASSAGE)
                .create(&folder)
                .with_context(|| format!("failed to make {}", folder.display()))?;
        }
        Ok(Self(root))
    }

    /// A pod's places; its names go into paths, so they must be names.
    pub(crate) fn of(&self, pod: &Pod) -> Result<PodFolder, String> {
        let meta = &pod.metadata;
        let uid = meta.uid.as_deref().filter(|uid| is_name(uid)).ok_or("the pod's uid is no name")?;
        // A pod's name may have dots; neither may be a path.
        let words = [meta.namespace.as_deref(), meta.name.as_deref()].map(Option::unwrap_or_default);
        if words.iter().any(|word| word.is_empty() || word.starts_with('.') || word.contains('/')) {
            return Err("the pod's name is none".to_owned());
        }
        let [namespace, name] = words;
        Ok(PodFolder {
            folder: self.0.join("pods").join(uid),
            logs: self.0.join("logs").join(format!("{namespace}_{name}_{uid}")),
            mark: self.0.join("started").join(uid),
        })
    }

    /// Removes the oldest logs of pods.
    fn prune_logs(&self) {
        let mut logs: Vec<_> = fs::read_dir(self.0.join("logs"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        logs.sort();
        for (_, folder) in logs.iter().rev().skip(KEPT_LOGS) {
            let _ = fs::remove_dir_all(folder); // tried again with the next pod
        }
    }

    /// Forgets a pod: its volumes and its mark go, its logs stay a while.
    pub(crate) fn forget(&self, pod: &PodFolder) -> io::Result<()> {
        absent(fs::remove_dir_all(&pod.folder))?;
        absent(fs::remove_file(&pod.mark))?;
        self.prune_logs();
        Ok(())
    }

    /// UIDs of the pods that have a folder or a mark here.
    pub(crate) fn known(&self) -> BTreeSet<String> {
        let folders = ["pods", "started"].map(|folder| fs::read_dir(self.0.join(folder)));
        let entries = folders.into_iter().flatten().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|uid| is_name(uid)).collect()
    }

    /// Forgets a pod of which nothing but its UID is known.
    pub(crate) fn forget_uid(&self, uid: &str) -> io::Result<()> {
        absent(fs::remove_dir_all(self.0.join("pods").join(uid)))?;
        absent(fs::remove_file(self.0.join("started").join(uid)))
    }

    /// Size of the file system that pods write to, bytes.
    pub(crate) fn capacity(&self) -> u64 {
        nix::sys::statvfs::statvfs(&self.0).map_or(0, |about| about.blocks() * about.fragment_size())
    }
}

/// Removed before is as good as removed.
fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl PodFolder {
    /// Where a volume is.
    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.folder.join("volumes").join(name)
    }

    /// Where a container leaves its last words.
    pub(crate) fn message(&self, container: &str) -> PathBuf {
        self.folder.join("messages").join(container)
    }

    /// Where a container's output goes.
    pub(crate) fn log(&self, container: &str) -> PathBuf {
        self.logs.join(format!("{container}.log"))
    }

    /// Whether a process of this pod was ever started on this machine.
    pub(crate) fn was_started(&self) -> bool {
        self.mark.exists()
    }

    /// Marks the pod as started, once: whoever finds the mark never starts it again.
    pub(crate) fn mark_started(&self) -> Result<(), String> {
        let made = OpenOptions::new().write(true).create_new(true).open(&self.mark).and_then(|file| file.sync_all());
        made.map_err(|error| format!("failed to mark the pod as started: {error}"))
    }

    /// Writes everything a pod needs, anew.
    pub(crate) fn write(&self, pod: &Pod, sources: &Sources, owner: Option<(u32, u32)>) -> Result<(), String> {
        let spec = pod.spec.as_ref().ok_or("the pod has no spec")?;
        let shown = |error: io::Error| format!("failed to lay out the pod's folder: {error}");
        absent(fs::remove_dir_all(&self.folder)).map_err(shown)?;
        for folder in [self.folder.clone(), self.folder.join("volumes"), self.folder.join("messages")] {
            DirBuilder::new().mode(PASSAGE).create(&folder).map_err(shown)?;
        }
        DirBuilder::new().mode(0o700).recursive(true).create(&self.logs).map_err(shown)?;
        for container in &spec.containers {
            let file = self.message(&container.name);
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).map_err(shown)?;
            own(&file, owner).map_err(shown)?;
        }
        for volume in spec.volumes.iter().flatten() {
            let files = files(pod, volume, sources)?;
            let folder = self.volume(&volume.name);
            DirBuilder::new().mode(0o700).create(&folder).map_err(shown)?;
            for (path, mode, content) in &files {
                put(&folder, path, *mode, content, owner).map_err(|error| format!("volume {}: {path}: {error}", volume.name))?;
            }
            own(&folder, owner).map_err(shown)?;
        }
        Ok(())
    }

    /// The last words of a container as a kubelet would take them.
    pub(crate) fn last_words(&self, container: &str, from_log: bool) -> String {
        let words = tail(&self.message(container), MAX_MESSAGE).unwrap_or_default();
        if !words.is_empty() || !from_log {
            return words;
        }
        let log = tail(&self.log(container), MAX_LOG_MESSAGE).unwrap_or_default();
        let skip = log.lines().count().saturating_sub(MAX_LOG_LINES);
        log.split_inclusive('\n').skip(skip).collect()
    }

    /// Bytes used by an emptyDir.
    pub(crate) fn used(&self, volume: &str) -> u64 {
        let mut folders = vec![self.volume(volume)];
        let mut bytes = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                // Not through links.
                let Ok(about) = entry.metadata() else { continue };
                bytes += std::os::unix::fs::MetadataExt::blocks(&about) * 512;
                if about.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        bytes
    }
}

/// The end of a file that a pod may have put there: never through a link, never waiting for a pipe's other end.
fn tail(path: &Path, most: u64) -> io::Result<String> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("not a file"));
    }
    file.seek(SeekFrom::Start(about.len().saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn own(path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    owner.map_or(Ok(()), |(user, group)| chown(path, Some(user), Some(group)))
}

type Files = Vec<(String, u32, Vec<u8>)>;

/// What is in a volume: path, mode, content.
fn files(pod: &Pod, volume: &Volume, sources: &Sources) -> Result<Files, String> {
    if let Some(source) = &volume.config_map {
        let data = sources.config_maps.get(&source.name);
        return keyed("ConfigMap", &source.name, data, source.items.as_deref(), source.default_mode, source.optional);
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        return keyed("Secret", name, sources.secrets.get(name), source.items.as_deref(), source.default_mode, source.optional);
    }
    let Some(source) = &volume.downward_api else { return Ok(Vec::new()) };
    let items = source.items.iter().flatten();
    items
        .map(|item| {
            let path = item.field_ref.as_ref().map(|reference| reference.field_path.as_str()).unwrap_or_default();
            let content = field(pod, path).ok_or_else(|| format!("the field {path} is not known here"))?;
            Ok((item.path.clone(), mode(item.mode.or(source.default_mode)), content.into_bytes()))
        })
        .collect()
}

fn keyed(
    kind: &str,
    name: &str,
    data: Option<&BTreeMap<String, Vec<u8>>>,
    items: Option<&[KeyToPath]>,
    default_mode: Option<i32>,
    optional: Option<bool>,
) -> Result<Files, String> {
    let optional = optional == Some(true);
    let Some(data) = data else {
        return if optional { Ok(Vec::new()) } else { Err(format!("{} \"{name}\" not found", kind.to_lowercase())) };
    };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(data.iter().map(|(key, content)| (key.clone(), mode(default_mode), content.clone())).collect());
    };
    let mut files = Vec::new();
    for item in items {
        match data.get(&item.key) {
            Some(content) => files.push((item.path.clone(), mode(item.mode.or(default_mode)), content.clone())),
            None if optional => {}
            None => return Err(format!("{kind} \"{name}\" references non-existent key: {}", item.key)),
        }
    }
    Ok(files)
}

fn mode(mode: Option<i32>) -> u32 {
    u32::try_from(mode.unwrap_or(DEFAULT_MODE)).unwrap_or_default() & 0o777
}

/// Writes one file below a folder that nothing but us has written to yet.
fn put(folder: &Path, path: &str, mode: u32, content: &[u8], owner: Option<(u32, u32)>) -> io::Result<()> {
    let parts: Vec<_> = Path::new(path).components().collect();
    if parts.is_empty() || !parts.iter().all(|part| matches!(part, Component::Normal(_))) {
        return Err(io::Error::other("the path leaves the volume"));
    }
    let mut at = folder.to_owned();
    for part in &parts[..parts.len() - 1] {
        at.push(part);
        if !at.is_dir() {
            DirBuilder::new().mode(0o700).create(&at)?;
            own(&at, owner)?;
        }
    }
    at.push(parts[parts.len() - 1]);
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&at)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    own(&at, owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refuse::tests::pod;
    use serde_json::json;

    fn laid_out(pod: &Pod, sources: &Sources) -> (tempfile::TempDir, Result<PodFolder, String>) {
        let root = tempfile::tempdir().unwrap();
        let places = Places::make(root.path()).unwrap();
        let folder = places.of(pod).and_then(|folder| folder.write(pod, sources, None).map(|()| folder));
        (root, folder)
    }

    #[test]
    fn volumes_hold_what_the_pod_says() {
        let pod = pod(&[(
            "/spec/volumes/1",
            json!({"name": "scratch", "configMap": {"name": "c", "items": [
            {"key": "a", "path": "deep/er/a.txt", "mode": 256}]}}),
        )]);
        let data = BTreeMap::from([("a".to_owned(), b"A".to_vec()), ("b".to_owned(), b"B".to_vec())]);
        let sources = Sources { config_maps: BTreeMap::from([("c".to_owned(), data)]), secrets: Data::new() };
        let (_root, folder) = laid_out(&pod, &sources);
        let folder = folder.unwrap();
        let order = folder.volume("order").join("order.json");
        assert_eq!(fs::read_to_string(&order).unwrap(), "{\"steps\":[]}");
        assert_eq!(fs::metadata(order).unwrap().permissions().mode() & 0o777, 0o444);
        let deep = folder.volume("scratch").join("deep/er/a.txt");
        assert_eq!(fs::read_to_string(&deep).unwrap(), "A");
        assert_eq!(fs::metadata(deep).unwrap().permissions().mode() & 0o777, 0o400);
        assert!(!folder.volume("scratch").join("b").exists());
    }

    #[test]
    fn no_path_leaves_its_volume() {
        for path in ["../x", "/etc/x", "a/../../x", "..", ""] {
            let volume =
                json!({"name": "order", "downwardAPI": {"items": [{"path": path, "fieldRef": {"fieldPath": "metadata.name"}}]}});
            let (root, folder) = laid_out(&pod(&[("/spec/volumes/0", volume)]), &Sources::default());
            assert!(folder.is_err(), "{path}");
            assert!(!root.path().join("pods/0b1e/x").exists() && !root.path().join("pods/0b1e/volumes/x").exists());
        }
        let root = tempfile::tempdir().unwrap();
        let places = Places::make(root.path()).unwrap();
        for (pointer, value) in [("/metadata/uid", "../x"), ("/metadata/name", "../x"), ("/metadata/namespace", "")] {
            assert!(places.of(&pod(&[(pointer, json!(value))])).is_err(), "{pointer}");
        }
    }

    #[test]
    fn what_is_missing_is_named_unless_it_is_optional() {
        let secret = |optional: bool| {
            pod(&[("/spec/volumes/1", json!({"name": "scratch", "secret": {"secretName": "s", "optional": optional}}))])
        };
        assert!(laid_out(&secret(false), &Sources::default()).1.unwrap_err().contains("secret \"s\" not found"));
        assert!(laid_out(&secret(true), &Sources::default()).1.is_ok());
    }

    #[test]
    fn a_pod_is_started_once() {
        let (_root, folder) = laid_out(&pod(&[]), &Sources::default());
        let folder = folder.unwrap();
        assert!(!folder.was_started());
        folder.mark_started().unwrap();
        assert!(folder.was_started() && folder.mark_started().is_err());
    }

    #[test]
    fn last_words_are_cut_to_their_end_and_never_read_through_links() {
        let (root, folder) = laid_out(&pod(&[]), &Sources::default());
        let folder = folder.unwrap();
        let file = folder.message("worker");
        fs::write(&file, format!("begin{}", "x".repeat(5000))).unwrap();
        assert_eq!(folder.last_words("worker", false), "x".repeat(4096));
        let secret = root.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&secret, &file).unwrap();
        assert_eq!(folder.last_words("worker", false), "");
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(folder.last_words("worker", false), "");
        fs::write(folder.log("worker"), (0..100).map(|n| n.to_string() + "\n").collect::<String>()).unwrap();
        let said = folder.last_words("worker", true);
        assert!(said.starts_with("20\n") && said.ends_with("99\n"), "{said}");
    }

    #[test]
    fn use_of_scratch_space_is_counted_and_all_of_it_goes() {
        let (root, folder) = laid_out(&pod(&[]), &Sources::default());
        let folder = folder.unwrap();
        fs::create_dir(folder.volume("scratch").join("sub")).unwrap();
        fs::write(folder.volume("scratch").join("sub/file"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink("/usr", folder.volume("scratch").join("link")).unwrap();
        let used = folder.used("scratch");
        assert!((100_000..200_000).contains(&used), "{used}");
        let places = Places::make(root.path()).unwrap();
        places.forget(&folder).unwrap();
        places.forget(&folder).unwrap();
        assert!(!root.path().join("pods/0b1e").exists());
    }
}
