//! What Showrunner asked of the API server, by the cluster's audit log. I/O: reads that log.

use crate::{cluster::Cluster, install::NAMESPACE};
use anyhow::Result;
use serde_json::Value;

/// What was asked and answered, oldest first.
pub fn answered(cluster: &Cluster) -> Result<Vec<Value>> {
    let log = std::fs::read_to_string(cluster.var("SHOWRUNNER_AUDIT_LOG")?)?;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ours = format!("system:serviceaccount:{NAMESPACE}:");
    let answered = lines.filter(|line| {
        line["stage"] == "ResponseComplete" && line["user"]["username"].as_str().is_some_and(|user| user.starts_with(&ours))
    });
    Ok(answered.collect())
}

/// How many Jobs were made in a namespace.
pub fn jobs_made(cluster: &Cluster, namespace: &str) -> Result<usize> {
    let made = |line: &Value| {
        line["verb"] == "create"
            && line["responseStatus"]["code"] == 201
            && line["objectRef"]["resource"] == "jobs"
            && line["objectRef"]["namespace"] == namespace
    };
    Ok(answered(cluster)?.iter().filter(|line| made(line)).count())
}
