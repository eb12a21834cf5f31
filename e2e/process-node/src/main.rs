//! A Kubernetes node whose Job pods are plain processes of this machine: for where no containers run, and for fast tests.
//!
//! Reads its flags and a kubeconfig; registers a node, watches the pods bound to it, starts and ends their processes.
//! Nothing confines those processes but the user they run as: for one's own machine, never for others' pods.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))] // a test that meets an error should end right there

mod image;
mod keeper;
mod launch;
mod node;
mod plan;
mod process;
mod publish;
mod refuse;
mod status;
mod usage;
mod volumes;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Runs the Job pods of one node as local processes.
#[derive(Debug, Parser)]
#[command(name = "showrunner-process-node", version)]
struct Flags {
    /// Name of the node; its client certificate must be the one of `system:node:NAME`.
    #[arg(long)]
    name: String,
    /// Address that the node and its pods report.
    #[arg(long, default_value = "127.0.0.1")]
    address: String,
    /// How to reach the API server; KUBECONFIG's or the pod's where it is not given.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Folder for what pods need while they run, and for their logs.
    #[arg(long)]
    root: PathBuf,
    /// Folder of images: every folder in it that has an image.json. Looked through anew for every pod.
    #[arg(long)]
    images: PathBuf,
    /// A capacity in place of what this machine has, or beside it, such as `cpu=4` or `nvidia.com/gpu=1`.
    #[arg(long = "capacity", value_name = "RESOURCE=QUANTITY", value_parser = pair)]
    capacity: Vec<(String, String)>,
    /// A label for the node.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    // Before any thread and any argument parser: this process may be what becomes a container's program.
    launch::run_if_asked();
    let flags = Flags::parse();
    let filter = EnvFilter::try_from_env("SHOWRUNNER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    match start(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("showrunner-process-node: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(flags: Flags) -> anyhow::Result<()> {
    // Orphans of pods become our children, so that they can be found and ended.
    nix::sys::prctl::set_child_subreaper(true).context("failed to become the parent of orphaned processes")?;
    // Set already: as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let places = volumes::Places::make(&flags.root)?;
    let spawner = process::Spawner::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let client = node::connect(flags.kubeconfig.as_deref()).await?;
        let facts = node::Facts { name: flags.name, address: flags.address, capacity: flags.capacity, labels: flags.labels };
        node::run(client, facts, places, image::Images::at(&flags.images), spawner).await
    })
}
