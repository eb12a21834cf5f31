//! What the handbook and the examples promise, checked against the code.

use serde_json::Value;
use showrunner_crds::{AiBudget, TitleEnrichment, ai_budget::BudgetReason, title_enrichment::TitleReason};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use strum::IntoEnumIterator as _;

fn root() -> PathBuf {
    crate::root().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names in the first column of the tables of a page: "| `Name` | ...".
fn table_names(page: &str) -> BTreeSet<String> {
    let cell = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    page.lines().filter_map(cell).collect()
}

#[test]
fn every_reason_is_documented_with_its_cure() {
    let title: Vec<String> = TitleReason::iter().map(|reason| reason.to_string()).collect();
    let budget: Vec<String> = BudgetReason::iter().map(|reason| reason.to_string()).collect();
    for (page, reasons) in [("docs/kinds/title-enrichment.md", title), ("docs/kinds/ai-budget.md", budget)] {
        let documented = table_names(&read(page));
        let missing: Vec<_> = reasons.iter().filter(|name| !documented.contains(*name)).collect();
        assert!(missing.is_empty(), "{page} does not explain {missing:?}");
    }
}

#[test]
fn the_charts_licences_are_those_of_the_code() {
    let values: Value = serde_saphyr::from_str(&read("charts/showrunner/values.yaml")).unwrap();
    let chart: Vec<String> = serde_json::from_value(values["models"]["allowedLicences"].clone()).unwrap();
    assert_eq!(chart, showrunner_contracts::lock::ALLOWED_LICENCES, "contracts/src/lock.rs has the list");
}

fn spec_of<K: serde::de::DeserializeOwned + serde::Serialize>(path: &Path, value: &Value) -> Value {
    let object: K = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::to_value(&object).unwrap()["spec"].take()
}

#[test]
fn every_example_is_a_valid_object_of_ours_without_unknown_fields() {
    let mut seen = 0;
    for path in yaml_files(&root().join("examples")) {
        let text = fs::read_to_string(&path).unwrap();
        for document in text.split("\n---\n") {
            let value: Value = serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let spec = match value["kind"].as_str() {
                Some("TitleEnrichment") => spec_of::<TitleEnrichment>(&path, &value),
                Some("AiBudget") => spec_of::<AiBudget>(&path, &value),
                _ => continue,
            };
            seen += 1;
            // What was read, written again, must hold every field of the file: an unknown one would have been dropped.
            contains(&path.display().to_string(), &spec, &value["spec"]);
        }
    }
    assert!(seen >= 7, "only {seen} examples found");
}

#[test]
fn links_between_our_pages_lead_somewhere() {
    for page in markdown_files(&root()) {
        let text = fs::read_to_string(&page).unwrap();
        // What stands between backticks is code: a pattern may look like a link.
        let prose: String = text.split('`').step_by(2).collect();
        for target in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let at = page.parent().unwrap().join(target);
            assert!(at.exists(), "{} links to {target}, which is not there", page.display());
        }
    }
}

fn contains(path: &str, whole: &Value, part: &Value) {
    match part {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| contains(&format!("{path}.{name}"), &whole[name], value)),
        _ => assert_eq!(whole, part, "{path}"),
    }
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    files(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect()
}

fn markdown_files(root: &Path) -> Vec<PathBuf> {
    let mut all = files(&root.join("docs"));
    all.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root.join(name)));
    all.into_iter().filter(|path| path.extension().is_some_and(|e| e == "md")).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
