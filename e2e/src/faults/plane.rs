//! A control plane without a node: etcd, API server, controller manager, and an S3 server, on loopback ports.
//!
//! I/O: child processes that end with this one, a temporary folder. Needs neither root nor containers. The scheduler and
//! the kubelet are played by [`super::player`].

use crate::cluster::{root, run};
use anyhow::{Context as _, Result, bail, ensure};
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{GroupVersionKind, TypeMeta},
    discovery::ApiResource,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a component may take to come up, on a machine that does other things too.
const UP_WITHIN: Duration = Duration::from_secs(90);
/// Time between two looks at a component that starts.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Where Showrunner would be installed; its service account is the operator's identity.
pub const NAMESPACE: &str = "showrunner-system";
/// Who the operator is to the API server, and so in the audit log.
pub const OPERATOR: &str = "system:serviceaccount:showrunner-system:showrunner";
/// The bucket of all runs.
pub const BUCKET: &str = "sweep";
/// Lifetime of the operator's token, seconds: longer than any sweep.
const TOKEN_SECONDS: u32 = 6 * 3600;
/// What of an installation the operator needs that runs outside of the cluster.
const INSTALLED: [&str; 9] = [
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];
/// The controllers that Jobs, owners and namespaces need. Those that look after nodes are left out: there are none.
const CONTROLLERS: &str = "job-controller,garbage-collector-controller,namespace-controller,ttl-after-finished-controller,\
                           serviceaccount-controller,root-ca-certificate-publisher-controller";
const CONTROLLER_MANAGER: &str = "kube-controller-manager";
/// Reads of the operator, its writes with what they wrote to our own kinds, and nothing of anybody else.
const AUDIT_POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    resources: [{group: coordination.k8s.io, resources: [leases]}]
MORE
  - level: Request
    users: ["system:serviceaccount:showrunner-system:showrunner"]
    resources: [{group: showrunner.dev}]
  - level: Metadata
    users: ["system:serviceaccount:showrunner-system:showrunner"]
  - level: None
"#;

/// The running control plane; ends when dropped.
pub struct Plane {
    folder: tempfile::TempDir,
    children: Vec<(&'static str, Child)>,
    /// `https://127.0.0.1:PORT`.
    pub api: String,
    /// `http://127.0.0.1:PORT`.
    pub store: String,
    /// Where etcd is, as its clients reach it.
    pub etcd: String,
    /// Certificate authority of the API server, PEM.
    pub authority: Vec<u8>,
    /// Access key and secret of the store.
    pub keys: (String, String),
    programs: BTreeMap<String, PathBuf>,
}

impl Plane {
    /// Starts everything and waits until it serves; installs our kinds, roles and policies.
    pub async fn start() -> Result<Self> {
        Self::start_with("").await
    }

    /// The same, with more rules for the audit log.
    pub async fn start_with(rules: &str) -> Result<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("showrunner-sweep.").tempdir()?;
        let ports = free_ports::<4>()?;
        let [etcd, peer, api, store] = ports.map(|port| format!("127.0.0.1:{port}"));
        let at = folder.path().to_path_buf();
        certificates(&at, ports[2])?;
        let mut plane = Self {
            authority: std::fs::read(at.join("pki/ca.crt"))?,
            folder,
            children: Vec::new(),
            api: format!("https://{api}"),
            store: format!("http://{store}"),
            etcd: format!("http://{etcd}"),
            keys: ("sweep".to_owned(), "sweep-secret".to_owned()),
            programs,
        };
        std::fs::create_dir(at.join("store"))?;
        std::fs::write(at.join("audit-policy.yaml"), AUDIT_POLICY.replace("MORE\n", rules.trim_start_matches('\n')))?;
        let (etcd, peer) = (format!("http://{etcd}"), format!("http://{peer}"));
        let data = at.join("etcd").display().to_string();
        let mut command = plane.program("etcd")?;
        command.args(["--name", "etcd", "--data-dir", &data, "--unsafe-no-fsync", "--log-level", "warn"]);
        command.args(["--listen-client-urls", &etcd, "--advertise-client-urls", &etcd, "--listen-peer-urls", &peer]);
        command.args(["--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("etcd={peer}")]);
        plane.spawn("etcd", command)?;
        let command = plane.apiserver(&etcd, ports[2])?;
        plane.spawn("kube-apiserver", command)?;
        let mut command = plane.program("s3")?;
        command.env("ROOT_ACCESS_KEY", &plane.keys.0).env("ROOT_SECRET_KEY", &plane.keys.1);
        command.args(["--port", &store, "--region", "us-east-1", "posix"]).arg(at.join("store"));
        plane.spawn("s3", command)?;
        plane.wait_ready().await?;
        let client = plane.client().await?;
        install(&client).await?;
        plane.start_controllers()?;
        plane.wait_bucket().await?;
        Ok(plane)
    }

    /// The folder of logs and data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The audit log.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    /// A client with the administrator's rights.
    pub async fn client(&self) -> Result<Client> {
        // Two providers are linked (kube's and reqwest's), and rustls refuses to choose. Set already: as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = kube::config::Kubeconfig::read_from(self.folder.path().join("kubeconfig"))?;
        let config = kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    /// A token of the operator's service account.
    pub async fn token(&self, client: &Client) -> Result<String> {
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
        let request = serde_json::from_value(json!({ "spec": { "audiences": [], "expirationSeconds": TOKEN_SECONDS } }))?;
        let given = accounts.create_token_request("showrunner", &PostParams::default(), &request).await?;
        Ok(given.status.context("the API server gave no token")?.token)
    }

    /// Ends the controllers: what is put into etcd now, they find when they start, and all of it at once.
    pub fn stop_controllers(&mut self) -> Result<()> {
        let at = self.children.iter().position(|(name, _)| *name == CONTROLLER_MANAGER).context("the controllers do not run")?;
        let (_, mut child) = self.children.remove(at);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Starts the controllers.
    pub fn start_controllers(&mut self) -> Result<()> {
        let command = self.controller_manager()?;
        self.spawn(CONTROLLER_MANAGER, command)
    }

    fn program(&self, name: &str) -> Result<Command> {
        let (tool, program) = if name == "s3" { ("s3", "s3") } else { ("controlplane", name) };
        let folder = self.programs.get(tool).with_context(|| format!("failed to find {tool}: run `make tools`"))?;
        // Ends with this process, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(folder.join(program)).current_dir(self.folder.path());
        Ok(command)
    }

    fn apiserver(&self, etcd: &str, port: u16) -> Result<Command> {
        let mut command = self.program("kube-apiserver")?;
        let conf = root().join("e2e/cluster/conf/authentication.yaml");
        command.args(["--bind-address=127.0.0.1", "--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none"]);
        command.arg(format!("--secure-port={port}")).arg(format!("--etcd-servers={etcd}"));
        command.args(["--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=RBAC", "--profiling=false"]);
        command.arg(format!("--authentication-config={}", conf.display()));
        command.args(["--client-ca-file=pki/ca.crt", "--tls-cert-file=pki/apiserver.crt"]);
        command.args(["--tls-private-key-file=pki/apiserver.key", "--service-account-key-file=pki/service-accounts.key"]);
        command.args(["--service-account-signing-key-file=pki/service-accounts.key"]);
        command.args(["--service-account-issuer=https://kubernetes.default.svc.cluster.local"]);
        command.args(["--audit-policy-file=audit-policy.yaml", "--audit-log-path=audit.log", "--audit-log-maxsize=1024"]);
        Ok(command)
    }

    fn controller_manager(&self) -> Result<Command> {
        let mut command = self.program(CONTROLLER_MANAGER)?;
        let kubeconfig = "conf/kube-controller-manager.kubeconfig";
        command.args(["--leader-elect=false", "--profiling=false", "--secure-port=0", "--use-service-account-credentials=true"]);
        command.arg(format!("--kubeconfig={kubeconfig}")).arg(format!("--controllers={CONTROLLERS}"));
        command.args(["--root-ca-file=pki/ca.crt", "--service-account-private-key-file=pki/service-accounts.key"]);
        Ok(command)
    }

    fn spawn(&mut self, name: &'static str, mut command: Command) -> Result<()> {
        let log = File::create(self.folder.path().join(format!("{name}.log")))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("failed to start {name} ({command:?})"))?;
        self.children.push((name, child));
        Ok(())
    }

    /// What a component said last.
    fn tail(&self, name: &str) -> String {
        let text = std::fs::read(self.folder.path().join(format!("{name}.log"))).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(3000)..]).into_owned()
    }

    fn all_run(&mut self) -> Result<()> {
        let ended = self.children.iter_mut().find_map(|(name, child)| Some((*name, child.try_wait().ok()??)));
        match ended {
            Some((name, status)) => bail!("{name} ended with {status}; its last words:\n{}", self.tail(name)),
            None => Ok(()),
        }
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let authority = reqwest::Certificate::from_pem(&self.authority)?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().tls_certs_only([authority]).timeout(Duration::from_secs(2)).no_proxy().build()?;
        let began = Instant::now();
        loop {
            self.all_run()?;
            let answer = http.get(format!("{}/readyz", self.api)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            ensure!(
                began.elapsed() < UP_WITHIN,
                "the API server is not ready after {UP_WITHIN:?}; its last words:\n{}",
                self.tail("kube-apiserver")
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn wait_bucket(&mut self) -> Result<()> {
        let store = crate::store::Store::new(&self.store, BUCKET, "us-east-1", &self.keys.0, &self.keys.1)?;
        let began = Instant::now();
        while let Err(error) = store.make_bucket().await {
            self.all_run()?;
            ensure!(began.elapsed() < UP_WITHIN, "the store is not ready after {UP_WITHIN:?}: {error:#}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        for (_, child) in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The folders of the built programs, by tool.
fn programs() -> Result<BTreeMap<String, PathBuf>> {
    let build = root().join("e2e/cluster/tools/build");
    run(Command::new(&build).args(["controlplane", "s3"]))?;
    let paths = run(Command::new(&build).args(["--path", "controlplane", "s3"]))?;
    let paths = String::from_utf8(paths.stdout)?;
    Ok(paths.lines().filter_map(|line| line.split_once(' ')).map(|(tool, path)| (tool.to_owned(), path.into())).collect())
}

/// The cluster's own certificates, made by the script that makes those of `make cluster`.
fn certificates(at: &Path, port: u16) -> Result<()> {
    std::fs::create_dir(at.join("conf"))?;
    let script = "set -euo pipefail; KUBERNETES_IP=10.96.0.1; source \"$1\"; make_server_certificates; make_client_certificates";
    run(Command::new("bash")
        .args(["-c", script, "certificates"])
        .arg(root().join("e2e/cluster/lib/certs.sh"))
        .env("NAME", "sweep")
        .env("NODE", "player")
        .env("NODE_IP", "127.0.0.1")
        .env("API_PORT", port.to_string())
        .env("STATE", at)
        .env("PKI", at.join("pki"))
        .env("CONF", at.join("conf")))?;
    Ok(())
}

/// Ports that nobody listens at now, and that no connection is given by chance: those are from 32768 on, and one that a process
/// listens at could be taken while it is started anew. No port is given twice by one process before all were.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 10_000;
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(std::process::id().wrapping_mul(97)));
    let next = || (FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) as u16;
    let free = (0..COUNT).map(|_| next()).filter(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok());
    let ports: Vec<u16> = free.take(N).collect();
    ports.try_into().map_err(|_| anyhow::anyhow!("failed to find free ports"))
}

/// Applies what of `dist/install.yaml` the operator needs, and lets it keep its lease in any namespace: each run has its
/// own.
async fn install(client: &Client) -> Result<()> {
    let path = root().join("dist/install.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let mut objects = Vec::new();
    for document in text.split("\n---\n") {
        let object: Option<Value> = serde_saphyr::from_str(document).with_context(|| format!("failed to read {document}"))?;
        objects.extend(object.filter(|object| INSTALLED.iter().any(|kind| object["kind"] == *kind)));
    }
    objects.extend([
        json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "sweep-lease" },
            "rules": [{ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"] }] }),
        json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "sweep-lease" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sweep-lease" },
            "subjects": [{ "kind": "ServiceAccount", "name": "showrunner", "namespace": NAMESPACE }] }),
    ]);
    for object in &objects {
        apply(client, object).await?;
    }
    for object in objects.iter().filter(|object| object["kind"] == "CustomResourceDefinition") {
        served(client, object).await?;
    }
    Ok(())
}

/// Waits until a definition is served.
pub async fn served(client: &Client, definition: &Value) -> Result<()> {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    let name = definition["metadata"]["name"].as_str().context("a definition of the installation has no name")?;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let served = kube::runtime::wait::await_condition(api, name, kube::runtime::conditions::is_crd_established());
    tokio::time::timeout(UP_WITHIN, served).await.with_context(|| format!("{name} is not served"))??;
    Ok(())
}

/// Applies an object with the administrator's rights.
///
/// Gives its generation.
pub async fn apply(client: &Client, object: &Value) -> Result<Option<i64>> {
    let types: TypeMeta = serde_json::from_value(object.clone())?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types)?);
    let name = object["metadata"]["name"].as_str().context("an object of the installation has no name")?;
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let params = PatchParams::apply("sweep").force();
    let patched = api.patch(name, &params, &Patch::Apply(object)).await;
    Ok(patched.with_context(|| format!("failed to apply {} {name}", types.kind))?.metadata.generation)
}
