//! `dist/install.yaml`: both charts with their default values, for those who install without helm, and `dist/drain.yaml`, the
//! hook that helm would run at the end. Runs helm.

use crate::generated::Files;
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where it lies.
pub(crate) const PATH: &str = "dist/install.yaml";
/// Where the end lies.
const DRAIN_PATH: &str = "dist/drain.yaml";
/// The template of the end.
const DRAIN_TEMPLATE: &str = "templates/drain.yaml";
/// Name of the release.
const RELEASE: &str = "showrunner";
/// Namespace it is installed in.
const NAMESPACE: &str = "showrunner-system";
/// Says where the cluster's own tools are built.
const TOOLS: &str = "e2e/cluster/tools/build";
/// Release of Kubernetes that the charts are rendered for: the oldest that is supported.
const KUBERNETES: &str = "1.35.0";

const HEAD: &str = "\
# Written by `make gen` from charts/showrunner-crds and charts/showrunner with their default values; do not edit.
# Apply with `kubectl apply --server-side -f dist/install.yaml`. Stores, classes and images are in the ConfigMap
# showrunner-config and in the Deployment; for anything but a look around use the charts and values of your own.
# Before deleting any of it, let go of what it holds: `kubectl apply -f dist/drain.yaml`, and wait until that Job is complete.
apiVersion: v1
kind: Namespace
metadata:
  name: showrunner-system
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/enforce-version: latest
";

const DRAIN_HEAD: &str = "\
# Written by `make gen` from charts/showrunner with its default values; do not edit. Does for dist/install.yaml what the
# chart's pre-delete hook does: stops the operators, ends all jobs, takes our finalizers off; resources stay. Wait for it with
# `kubectl -n showrunner-system wait --for=condition=Complete --timeout=5m job/showrunner-drain`.
";

/// The helm to use: the one given, else the one that was built for the cluster; `None` where there is neither.
pub(crate) fn find_helm(root: &Path, given: Option<&Path>) -> Option<PathBuf> {
    if let Some(given) = given {
        return Some(given.to_path_buf());
    }
    let output = Command::new(root.join(TOOLS)).args(["--path", "helm"]).output().ok()?;
    let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.split_whitespace().last()?);
    let helm = if folder.is_dir() { folder.join("helm") } else { folder };
    helm.is_file().then_some(helm)
}

/// The rendered files.
pub(crate) fn files(root: &Path, helm: &Path) -> Result<Files> {
    let crds = template(root, helm, "charts/showrunner-crds", &[])?;
    let workloads = template(root, helm, "charts/showrunner", &["--no-hooks"])?;
    let drain = template(root, helm, "charts/showrunner", &["--show-only", DRAIN_TEMPLATE])?;
    Ok(Files::from([
        (PATH.into(), format!("{HEAD}{crds}{workloads}")),
        (DRAIN_PATH.into(), format!("{DRAIN_HEAD}{}", plain(&drain))),
    ]))
}

/// Objects without the annotations that only helm reads.
fn plain(rendered: &str) -> String {
    let of_helm = |line: &&str| line.trim() != "annotations:" && !line.trim().starts_with("helm.sh/hook");
    rendered.lines().filter(of_helm).flat_map(|line| [line, "\n"]).collect()
}

fn template(root: &Path, helm: &Path, chart: &str, more: &[&str]) -> Result<String> {
    // Absolute: the command runs in the root of the checkout, wherever it was called.
    let helm = std::path::absolute(helm).with_context(|| format!("failed to find {}", helm.display()))?;
    let output = Command::new(&helm)
        .args(["template", RELEASE, chart, "--namespace", NAMESPACE, "--kube-version", KUBERNETES])
        .args(more)
        .current_dir(root)
        .output()
        .with_context(|| format!("failed to run {}: give the path of a helm binary", helm.display()))?;
    ensure!(output.status.success(), "failed to render {chart}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).with_context(|| format!("failed to read {chart} as rendered: it is not UTF-8"))
}
