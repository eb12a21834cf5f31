//! Showrunner on a cluster, by its own chart from its own images. I/O: runs `e2e/install`, kubectl and helm.

use crate::{
    age::frozen::{Frozen, folder},
    cluster::{Cluster, root, run},
};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Where Showrunner is installed.
pub const NAMESPACE: &str = "showrunner-system";

/// Installs Showrunner and waits until it is ready.
pub fn install(cluster: &Cluster) -> Result<()> {
    upgrade(cluster, &[])
}

/// Upgrades the installation with more helm arguments than the suite's own, and waits until it is ready.
pub fn upgrade(cluster: &Cluster, arguments: &[&str]) -> Result<()> {
    run(Command::new(root().join("e2e/install")).arg(cluster.var("SHOWRUNNER_CLUSTER")?).args(arguments)).map(|_| ())
}

/// What helm makes of the chart under other names, and of its hooks; nothing is installed.
pub fn render(cluster: &Cluster, release: &str, namespace: &str, arguments: &[&str]) -> Result<Vec<Value>> {
    let mut helm = cluster.command("helm")?;
    helm.args(["template", release]).arg(root().join("charts/showrunner")).args(["--namespace", namespace]).args(arguments);
    let text = String::from_utf8(run(&mut helm)?.stdout)?;
    let objects: Result<Vec<Value>, _> = text.split("\n---\n").map(serde_saphyr::from_str).collect();
    Ok(objects.context("failed to read what helm rendered")?.into_iter().filter(Value::is_object).collect())
}

/// Installs a frozen version over what there is: its chart; its definitions and programs, too, where those are built.
/// Programs of today need today's definitions.
pub fn go_back_to(cluster: &Cluster, frozen: &Frozen) -> Result<()> {
    let charts = folder(&frozen.name).join("charts");
    let mut install = Command::new(root().join("e2e/install"));
    // Another level than the suite's: there and back, there is something to roll out whatever else has changed.
    install
        .arg(cluster.var("SHOWRUNNER_CLUSTER")?)
        .args(["--set", "log.level=debug"])
        .env("SHOWRUNNER_CHART", charts.join("showrunner.tgz"));
    if let Some(target) = frozen.binaries().as_deref().and_then(Path::parent) {
        install.env("CARGO_TARGET_DIR", target).env("SHOWRUNNER_CRDS_CHART", charts.join("showrunner-crds.tgz"));
    }
    run(&mut install).map(|_| ())
}

/// `helm rollback` of a release to the revision before, and waits until it is ready.
pub fn roll_back(cluster: &Cluster, release: &str) -> Result<()> {
    let arguments = ["rollback", release, "--namespace", NAMESPACE, "--wait", "--timeout", "120s"];
    run(cluster.command("helm")?.args(arguments)).map(|_| ())
}

/// Prints what one would look at first after a failure: pods, events, the operators' last lines.
pub fn show(cluster: &Cluster) {
    let looks: [&[&str]; 4] = [
        &["get", "pods,jobs,titleenrichments", "--all-namespaces", "--output", "wide"],
        &["get", "titleenrichments", "--all-namespaces", "--output", "yaml"],
        &["get", "events", "--all-namespaces", "--sort-by", ".lastTimestamp"],
        &["logs", "--namespace", NAMESPACE, "--selector", "app.kubernetes.io/component=operator", "--tail", "2000", "--prefix"],
    ];
    for arguments in looks {
        eprintln!("--- kubectl {}", arguments.join(" "));
        match cluster.command("kubectl").and_then(|mut kubectl| run(kubectl.args(arguments))) {
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout);
                // Some tests have the operator tell all it does: thousands of lines that say nothing of what went wrong.
                let worth = |line: &&str| !line.contains(r#""level":"DEBUG""#);
                eprintln!("{}", text.lines().filter(worth).collect::<Vec<_>>().join("\n"));
            }
            Err(error) => eprintln!("{error:#}"),
        }
    }
}

/// The demo title's file, made when it is not there.
pub fn demo_title() -> Result<PathBuf> {
    run(&mut Command::new(root().join("examples/demo-title/make-title")))?;
    let cache = std::env::var_os("SHOWRUNNER_CACHE").context("SHOWRUNNER_CACHE is not set: run `make e2e-test`")?;
    Ok(PathBuf::from(cache).join("demo/title.mp4"))
}
