//! One namespace with its operator and its pods. I/O: the operator as a process, the control plane.

use crate::faults::{
    cast::Commits,
    operator::{Replica, Setting},
    player::{Behaviour, Player},
    run::Means,
    wire::Wire,
};
use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::{Api, api::PostParams};
use serde_json::json;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

/// How long a namespace may take to get its default account.
const SOON: Duration = Duration::from_secs(20);

/// A namespace and what works in it.
pub struct Stage<'a> {
    /// What all have in common.
    pub means: &'a Means,
    /// Its name; the store's prefix, too.
    pub namespace: String,
    /// Between the operator and what it talks to.
    pub wire: Wire,
    /// What its pods have committed.
    pub commits: Arc<Commits>,
    numbers: Arc<AtomicU32>,
    folder: PathBuf,
}

impl<'a> Stage<'a> {
    /// Makes the namespace.
    pub async fn set(means: &'a Means, namespace: &str) -> Result<Self> {
        let object: Namespace = serde_json::from_value(json!({ "metadata": { "name": namespace,
            "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } }))?;
        Api::<Namespace>::all(means.client.clone()).create(&PostParams::default(), &object).await?;
        // Pods cannot be made before.
        let accounts = Api::<ServiceAccount>::namespaced(means.client.clone(), namespace);
        let there =
            kube::runtime::wait::await_condition(accounts, "default", |account: Option<&ServiceAccount>| account.is_some());
        tokio::time::timeout(SOON, there).await.context("the namespace has no default service account")??;
        let folder = means.folder.join(namespace);
        std::fs::create_dir_all(&folder)?;
        let wire = Wire::new(namespace, means.http.clone(), &means.api, &means.store_url, None);
        Ok(Self { means, namespace: namespace.to_owned(), wire, commits: Arc::default(), numbers: Arc::default(), folder })
    }

    /// Starts an operator, named `name` in its logs.
    pub fn operator(&self, name: &str, binary: &Path) -> Result<Replica> {
        let setting = Setting {
            binary: binary.to_path_buf(),
            bug: None,
            namespace: self.namespace.clone(),
            token: self.means.token.clone(),
            keys: self.means.keys.clone(),
            store: self.means.store_url.clone(),
            folder: self.folder.clone(),
            kinds: self.means.kinds.clone(),
        };
        Replica::start(setting, self.wire.clone(), name, &self.numbers)
    }

    /// What plays the pods, each by the file name of its source; others succeed.
    pub fn player(&self, by_source: BTreeMap<String, Vec<Behaviour>>) -> Player {
        Player {
            client: self.means.client.clone(),
            history: self.means.history.clone(),
            namespace: self.namespace.clone(),
            recording: Arc::clone(&self.means.recording),
            behaviours: Vec::new(),
            by_source,
            patient: false,
            http: self.means.http.clone(),
            leash: Arc::default(),
            commits: Arc::clone(&self.commits),
        }
    }
}
