//! The set of generated files: what they should hold, and whether they do. Reads and writes files of the checkout.

use crate::{crd, models, reference, schemas};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Path below the root -> what the file should hold.
pub(crate) type Files = BTreeMap<PathBuf, String>;

/// Folders that hold generated files only: what else is found there is left over and goes.
const OWNED: [&str; 4] = ["crds/generated", "charts/showrunner-crds/templates", "contracts/schemas", "docs/reference"];

/// Every generated file but the one that helm makes.
pub(crate) fn files(root: &Path) -> Result<Files> {
    let mut files = Files::new();
    for definition in crd::all()? {
        let name = &definition.file;
        files.insert(format!("crds/generated/{name}").into(), definition.yaml.clone());
        files.insert(format!("charts/showrunner-crds/templates/{name}").into(), definition.template()?);
        let (name, text) = reference::page(&definition)?;
        files.insert(format!("docs/reference/{name}").into(), text);
    }
    for (name, text) in schemas::all()? {
        files.insert(format!("contracts/schemas/{name}").into(), text);
    }
    files.insert(models::PATH.into(), models::catalogue(root)?);
    Ok(files)
}

/// Writes what differs, removes what is left over, and says which files those were.
pub(crate) fn write(root: &Path, files: &Files) -> Result<Vec<PathBuf>> {
    let stale = stale(root, files)?;
    for path in &stale {
        let at = root.join(path);
        match files.get(path) {
            Some(text) => {
                let folder = at.parent().context("a generated file lies in a folder")?;
                fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
                fs::write(&at, text).with_context(|| format!("failed to write {}", at.display()))?;
            }
            None => fs::remove_file(&at).with_context(|| format!("failed to remove {}", at.display()))?,
        }
    }
    Ok(stale)
}

/// The files that are missing, differ, or lie in a folder of generated files without being one.
pub(crate) fn stale(root: &Path, files: &Files) -> Result<Vec<PathBuf>> {
    let mut stale = Vec::new();
    for (path, text) in files {
        // A file that cannot be read is as stale as one that differs: writing it says why.
        if fs::read(root.join(path)).ok().as_deref() != Some(text.as_bytes()) {
            stale.push(path.clone());
        }
    }
    for folder in OWNED.iter().filter(|folder| files.keys().any(|path| path.starts_with(folder))) {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
        for entry in entries {
            let path = Path::new(folder).join(entry.with_context(|| format!("failed to list {folder}"))?.file_name());
            if !files.contains_key(&path) {
                stale.push(path);
            }
        }
    }
    stale.sort();
    Ok(stale)
}

/// The value with the fields of every object in alphabetical order: what is written must not depend on which features of
/// `serde_json` some other crate of the same build asks for.
pub(crate) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> = fields.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_in_the_checkout_are_up_to_date() {
        let root = crate::root().unwrap();
        let stale = stale(&root, &files(&root).unwrap()).unwrap();
        assert!(stale.is_empty(), "run `make gen`: {stale:?}");
    }

    #[test]
    fn a_changed_a_missing_and_a_left_over_file_are_each_found_and_put_right() {
        let root = std::env::temp_dir().join(format!("showrunner-xtask-{}", std::process::id()));
        let folder = root.join(OWNED[2]);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("changed.json"), "old").unwrap();
        fs::write(folder.join("left-over.json"), "x").unwrap();
        let path = |name: &str| Path::new(OWNED[2]).join(name);
        let wanted = Files::from([(path("changed.json"), "new".into()), (path("missing.json"), "new".into())]);
        let expected = vec![path("changed.json"), path("left-over.json"), path("missing.json")];
        assert_eq!(write(&root, &wanted).unwrap(), expected);
        assert!(stale(&root, &wanted).unwrap().is_empty());
        fs::remove_dir_all(&root).unwrap();
    }
}
