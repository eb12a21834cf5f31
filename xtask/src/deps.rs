//! Which crate may use which: the table of the house, checked against `cargo metadata`. Runs cargo; reads nothing else.

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// One row of the table: a crate and the crates of this workspace that it may use.
struct Rule {
    name: &'static str,
    may_use: &'static [&'static str],
    /// Crates from outside that it must not name: what would bring in I/O, a clock or Kubernetes.
    must_not_use: &'static [&'static str],
}

const KUBERNETES: [&str; 2] = ["kube", "k8s-openapi"];
const PURE: [&str; 8] = ["kube", "k8s-openapi", "tokio", "reqwest", "axum", "futures", "jiff", "tempfile"];

/// Calendar arithmetic needs time zones, and is given them.
const CALENDAR: [&str; 7] = ["kube", "k8s-openapi", "tokio", "reqwest", "axum", "futures", "tempfile"];

const fn rule(name: &'static str, may_use: &'static [&'static str], must_not_use: &'static [&'static str]) -> Rule {
    Rule { name, may_use, must_not_use }
}

const ENGINES: [&str; 11] = [
    "showrunner-chapters",
    "showrunner-fingerprint",
    "showrunner-ledger",
    "showrunner-moderation",
    "showrunner-pdq",
    "showrunner-shots",
    "showrunner-spot",
    "showrunner-subtitles",
    "showrunner-thumbnails",
    "showrunner-timeline",
    "showrunner-trees",
];

/// Dependency direction, one way only. A crate that is not here fails the check: put it where it belongs.
const TABLE: [Rule; 19] = [
    rule("showrunner-crds", &[], &["tokio", "reqwest", "axum"]),
    rule("showrunner-contracts", &[], &PURE),
    rule("showrunner-timeline", &[], &PURE),
    rule("showrunner-shots", &["showrunner-timeline"], &PURE),
    rule("showrunner-pdq", &[], &PURE),
    rule("showrunner-ledger", &[], &CALENDAR),
    rule("showrunner-spot", &[], &PURE),
    rule("showrunner-trees", &[], &PURE),
    rule("showrunner-fingerprint", &["showrunner-pdq"], &PURE),
    rule("showrunner-thumbnails", &["showrunner-pdq", "showrunner-timeline"], &PURE),
    rule("showrunner-subtitles", &["showrunner-timeline"], &PURE),
    rule("showrunner-chapters", &["showrunner-timeline"], &PURE),
    rule("showrunner-moderation", &["showrunner-timeline"], &PURE),
    rule("showrunner-kit", &["showrunner-crds"], &[]),
    rule(
        "showrunner-controllers",
        &[
            "showrunner-contracts",
            "showrunner-crds",
            "showrunner-kit",
            "showrunner-ledger",
            "showrunner-moderation",
            "showrunner-shots",
            "showrunner-spot",
            "showrunner-subtitles",
            "showrunner-thumbnails",
            "showrunner-timeline",
        ],
        &[],
    ),
    rule(
        "showrunner-worker",
        &[
            "showrunner-chapters",
            "showrunner-contracts",
            "showrunner-fingerprint",
            "showrunner-moderation",
            "showrunner-shots",
            "showrunner-subtitles",
            "showrunner-thumbnails",
            "showrunner-timeline",
        ],
        &KUBERNETES,
    ),
    rule("showrunner-fuzz-driver", &[], &PURE),
    // A stand-in for the kubelet: it knows pods, and nothing of what runs in them.
    rule("showrunner-process-node", &[], &[]),
    rule("showrunner-operator", &["showrunner-contracts", "showrunner-controllers", "showrunner-crds", "showrunner-kit"], &[]),
];

/// Crates that may use everything: nothing depends on them.
const FREE: [&str; 4] = ["showrunner-e2e", "showrunner-fuzz", "showrunner-xtask", "showrunner-bench"];

/// What any crate's tests may use besides the engines.
const TEST_TOOL: &str = "showrunner-fuzz-driver";

/// The part of `cargo metadata` that is looked at.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or nothing for a normal one.
    kind: Option<String>,
}

/// What cargo says of this workspace, without looking at the network or at other packages.
pub(crate) fn metadata(root: &Path) -> Result<Metadata> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .context("failed to run cargo metadata: is cargo installed?")?;
    ensure!(output.status.success(), "failed to run cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("failed to read what cargo metadata says")
}

/// Checks every crate against the table; gives how many there are.
pub(crate) fn check(metadata: &Metadata) -> Result<usize> {
    let mut faults = Vec::new();
    for package in &metadata.packages {
        let free = FREE.contains(&package.name.as_str());
        let rule = TABLE.iter().find(|rule| rule.name == package.name);
        if rule.is_none() && !free {
            faults.push(format!("{} is not in the table in xtask/src/deps.rs: say there what it may use", package.name));
        }
        for dependency in &package.dependencies {
            if FREE.contains(&dependency.name.as_str()) && !free {
                faults.push(format!("{} uses {}, which nothing may use", package.name, dependency.name));
            } else if let Some(rule) = rule {
                faults.extend(fault(rule, dependency));
            }
        }
    }
    if faults.is_empty() {
        return Ok(metadata.packages.len());
    }
    bail!("crates depend on each other in a direction that is not allowed:\n  {}", faults.join("\n  "));
}

fn fault(rule: &Rule, dependency: &Dependency) -> Option<String> {
    let name = dependency.name.as_str();
    // Tests may read files, start servers and know engines: only what ships has to keep to the table.
    let test = dependency.kind.as_deref() == Some("dev");
    if name.starts_with("showrunner-")
        && !rule.may_use.contains(&name)
        && !(test && (ENGINES.contains(&name) || name == TEST_TOOL))
    {
        return Some(format!("{} must not use {name}", rule.name));
    }
    (!test && rule.must_not_use.contains(&name))
        .then(|| format!("{} must not use {name}: keep I/O and Kubernetes out of it", rule.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_using(name: &str, dependency: &str, kind: Option<&str>) -> Metadata {
        let dependencies = vec![Dependency { name: dependency.into(), kind: kind.map(str::to_owned) }];
        Metadata { packages: vec![Package { name: name.into(), dependencies }] }
    }

    #[test]
    fn this_workspace_keeps_to_the_table() {
        check(&metadata(&crate::root().unwrap()).unwrap()).unwrap();
    }

    #[test]
    fn wrong_directions_are_found() {
        let bad = [
            ("showrunner-crds", "showrunner-kit", None),
            ("showrunner-contracts", "showrunner-crds", None),
            ("showrunner-shots", "showrunner-thumbnails", None),
            ("showrunner-kit", "showrunner-contracts", None),
            ("showrunner-kit", "showrunner-controllers", Some("dev")),
            ("showrunner-worker", "showrunner-crds", None),
            ("showrunner-worker", "kube", None),
            ("showrunner-timeline", "tokio", Some("build")),
            ("showrunner-operator", "showrunner-e2e", None),
            ("showrunner-newcomer", "serde", None),
            ("showrunner-worker", "showrunner-fuzz-driver", None),
            ("showrunner-worker", "showrunner-fuzz", Some("dev")),
        ];
        for (name, dependency, kind) in bad {
            assert!(check(&crate_using(name, dependency, kind)).is_err(), "{name} -> {dependency}");
        }
    }

    #[test]
    fn allowed_directions_pass() {
        let good = [
            ("showrunner-shots", "showrunner-timeline", None),
            ("showrunner-kit", "showrunner-crds", None),
            ("showrunner-contracts", "serde", None),
            ("showrunner-timeline", "tempfile", Some("dev")),
            ("showrunner-worker", "showrunner-fuzz-driver", Some("dev")),
            ("showrunner-e2e", "showrunner-operator", None),
        ];
        for (name, dependency, kind) in good {
            check(&crate_using(name, dependency, kind)).unwrap();
        }
    }
}
