//! A real Alertmanager beside the cluster, where its operator is told to send alerts. I/O: starts Debian's program in the
//! cluster's network.

use crate::cluster::{Cluster, root, run};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// Where it listens, at the node's address (`e2e/install` says the same).
const PORT: u16 = 9093;
const CONFIG: &str = "route: { receiver: nobody, group_wait: 1s }\nreceivers: [{ name: nobody }]\n";
const SOON: Duration = Duration::from_secs(30);

/// A running Alertmanager. Ends with the cluster.
pub struct Alertmanager {
    url: String,
}

impl Alertmanager {
    /// Starts it and waits until it answers.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        run(Command::new(root().join("scripts/deps")).arg("prometheus-alertmanager"))?;
        let endpoint = cluster.var("S3_ENDPOINT")?;
        let host = endpoint.trim_start_matches("http://").split(':').next().context("the node has an address")?.to_owned();
        let folder = Path::new(cluster.var("KUBECONFIG")?).parent().context("the cluster has a folder")?.join("alertmanager");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("config.yml"), CONFIG)?;
        let flags = [
            format!("--config.file={}/config.yml", folder.display()),
            format!("--storage.path={}", folder.display()),
            format!("--web.listen-address={host}:{PORT}"),
            "--cluster.listen-address=".to_owned(),
        ];
        let command: Vec<&str> =
            ["alertmanager", "prometheus-alertmanager"].into_iter().chain(flags.iter().map(String::as_str)).collect();
        cluster.script("run", &command)?;
        let alertmanager = Self { url: format!("http://{host}:{PORT}") };
        let began = Instant::now();
        while let Err(error) = alertmanager.get("-/ready").await {
            ensure!(began.elapsed() < SOON, "Alertmanager does not answer (its log: cluster logs): {error:#}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(alertmanager)
    }

    /// The alerts that fire for a budget, by their names.
    pub async fn of_budget(&self, name: &str) -> Result<Vec<Value>> {
        let alerts: Vec<Value> = serde_json::from_str(&self.get("api/v2/alerts?active=true").await?)?;
        Ok(alerts.into_iter().filter(|alert| alert["labels"]["aibudget"] == name).collect())
    }

    async fn get(&self, path: &str) -> Result<String> {
        let url = format!("{}/{path}", self.url);
        let response = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?.get(url).send().await?;
        Ok(response.error_for_status()?.text().await?)
    }
}
