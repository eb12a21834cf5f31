//! The front door of `cargo run -p showrunner-xtask`: writes generated files, and checks that they and the house are in order.
//!
//! Reads and writes files of the checkout; runs `cargo metadata` and, where a path is given, `helm template`.
#![forbid(unsafe_code)]

mod compat;
mod crd;
mod deps;
mod generated;
mod install;
mod models;
mod reference;
mod schemas;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Generated files and the checks of the house.
#[derive(Debug, Parser)]
#[command(name = "xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Writes every generated file: definitions, schemas, references, the chart's model list, dist/install.yaml.
    Gen {
        /// Path of a helm binary; else the one built by `make helm`; without either dist/install.yaml is left as it is.
        #[arg(long, env = "SHOWRUNNER_HELM")]
        helm: Option<PathBuf>,
    },
    /// Says which generated files are not what `gen` would write; fails when there are any.
    CheckGenerated {
        /// Path of a helm binary; else the one built by `make helm`; without either dist/install.yaml is not checked.
        #[arg(long, env = "SHOWRUNNER_HELM")]
        helm: Option<PathBuf>,
    },
    /// Checks that the definitions still take what the frozen versions stored.
    CheckCrds,
    /// Checks that crates depend on each other in one direction only.
    CheckDeps,
}

fn main() -> ExitCode {
    match run(&Args::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    let root = root()?;
    match task {
        Task::Gen { helm } => {
            let files = generated::files(&root)?;
            let mut changed = generated::write(&root, &files)?;
            // The charts just written are what helm renders, so this comes after them.
            if let Some(helm) = known_helm(&root, helm.as_deref()) {
                changed.extend(generated::write(&root, &install::files(&root, &helm)?)?);
            }
            for path in &changed {
                println!("wrote {}", path.display());
            }
            println!("generated files are up to date ({} changed)", changed.len());
        }
        Task::CheckGenerated { helm } => {
            let mut stale = generated::stale(&root, &generated::files(&root)?)?;
            if let Some(helm) = known_helm(&root, helm.as_deref()) {
                stale.extend(generated::stale(&root, &install::files(&root, &helm)?)?);
            }
            if !stale.is_empty() {
                let names: Vec<_> = stale.iter().map(|path| format!("  {}", path.display())).collect();
                bail!("generated files are not up to date; run `make gen` and commit what it changes:\n{}", names.join("\n"));
            }
            println!("generated files are up to date");
        }
        Task::CheckCrds => {
            let versions = compat::check(&root)?;
            println!("the definitions take what {versions} frozen version(s) stored");
        }
        Task::CheckDeps => {
            let crates = deps::check(&deps::metadata(&root)?)?;
            println!("{crates} crates depend on each other in one direction only");
        }
    }
    Ok(())
}

/// The helm to use, or a line that says what is left out without one.
fn known_helm(root: &Path, given: Option<&Path>) -> Option<PathBuf> {
    let helm = install::find_helm(root, given);
    if helm.is_none() {
        println!("skipped {}: build helm by `make helm`, or name one by --helm or SHOWRUNNER_HELM", install::PATH);
    }
    helm
}

/// The root of the checkout: the folder above this crate.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(Path::to_path_buf).context("failed to find the root of the workspace above xtask")
}

#[cfg(test)]
mod docs_tests;
