//! A real cluster for the length of a suite. I/O: runs `e2e/cluster/cluster` as a child process.

use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("e2e lies in the repository's root").to_path_buf()
}

/// Runs a command to its end; an exit status other than 0 is an error that shows what was printed.
pub fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("failed to start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output)
}

/// A running cluster; ended when dropped, unless it was there before.
pub struct Cluster {
    name: String,
    env: BTreeMap<String, String>,
    ours: bool,
}

impl Cluster {
    /// Starts a cluster of this name, or uses the one that is up when `keep` says so.
    pub fn start(name: &str, keep: bool) -> Result<Self> {
        Self::start_with(name, keep, "container")
    }

    /// The same, with a node that runs pods as containers or as processes: `container` or `process`.
    pub fn start_with(name: &str, keep: bool, node: &str) -> Result<Self> {
        if !keep {
            run(Command::new(script()).args(["down", name]))?;
        }
        let status =
            Command::new(script()).args(["up", name, "--node", node]).status().context("failed to start the cluster script")?;
        if !status.success() {
            bail!("failed to start the cluster: see above");
        }
        let output = run(Command::new(script()).args(["env", name]))?;
        let env = String::from_utf8(output.stdout)?
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Ok(Self { name: name.to_owned(), env, ours: !keep })
    }

    /// A variable of the cluster's environment, such as `S3_ENDPOINT`.
    pub fn var(&self, key: &str) -> Result<&str> {
        self.env.get(key).map(String::as_str).with_context(|| format!("the cluster's environment lacks {key}"))
    }

    /// The folders of kubectl and helm, in the form of PATH.
    pub fn programs(&self) -> Result<String> {
        let own = self.var("PATH")?.trim_end_matches(":\"$PATH\"");
        Ok(format!("{own}:{}", std::env::var("PATH").unwrap_or_default()))
    }

    /// A command with the cluster's programs and configuration.
    pub fn command(&self, program: &str) -> Result<Command> {
        let path = self.programs()?;
        let found = path.split(':').map(|dir| Path::new(dir).join(program)).find(|file| file.is_file());
        let mut command = Command::new(found.with_context(|| format!("failed to find {program} in {path}"))?);
        command.env("PATH", &path).env("KUBECONFIG", self.var("KUBECONFIG")?);
        Ok(command)
    }

    /// Runs the cluster script for this cluster: `cluster VERB NAME ARGUMENTS`.
    pub fn script(&self, verb: &str, arguments: &[&str]) -> Result<Output> {
        run(Command::new(script()).arg(verb).arg(&self.name).args(arguments))
    }

    /// Runs kubectl as the administrator and gives what it prints.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let output = run(self.command("kubectl")?.args(arguments))?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// A client with the administrator's rights.
    pub async fn client(&self) -> Result<kube::Client> {
        Ok(kube::Client::try_from(self.config().await?)?)
    }

    /// A client of whoever has this token.
    pub async fn client_with(&self, token: String) -> Result<kube::Client> {
        let mut config = self.config().await?;
        config.auth_info = kube::config::AuthInfo { token: Some(token.into()), ..kube::config::AuthInfo::default() };
        Ok(kube::Client::try_from(config)?)
    }

    async fn config(&self) -> Result<kube::Config> {
        // Two providers are linked (kube's and reqwest's), and rustls refuses to choose. Set already: as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = kube::config::Kubeconfig::read_from(self.var("KUBECONFIG")?)?;
        Ok(kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default()).await?)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = run(Command::new(script()).args(["down", &self.name]))
        {
            eprintln!("failed to end the cluster: {error:#}");
        }
    }
}

fn script() -> PathBuf {
    root().join("e2e/cluster/cluster")
}
