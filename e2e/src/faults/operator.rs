//! The operator as a process of this machine, started again whenever it ends, as a kubelet would.
//!
//! I/O: child processes, their configuration and logs in a folder.

use super::{
    plane::{BUCKET, free_ports},
    wire::{Gate, Listening, Wire},
};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{process::Command, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Timings of the lease. Short, so that a fail-over does not take long; long enough for a machine that is busy.
pub const LEASE: Duration = Duration::from_secs(2);
const RENEW_DEADLINE_MS: u32 = 1_200;
const REQUEST_TIMEOUT_MS: u32 = 700;
const RETRY_MS: u32 = 150;
/// How often a process may end by itself in one run before the run is given up.
const MOST_STARTS: u32 = 12;
/// How long an orderly end may take.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// What is the same for all replicas of a run.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The binary.
    pub binary: PathBuf,
    /// A planted bug to run with.
    pub bug: Option<String>,
    /// The run's namespace; the lease is there, too.
    pub namespace: String,
    /// Token of the operator's service account.
    pub token: String,
    /// Access key and secret of the store.
    pub keys: (String, String),
    /// The store as pods reach it.
    pub store: String,
    /// Folder of the run.
    pub folder: PathBuf,
    /// Settings of the kinds.
    pub kinds: serde_json::Value,
}

/// What can be seen of a replica from outside. Cloning is cheap.
#[derive(Clone)]
pub struct Watched {
    gate: Arc<Mutex<Arc<Gate>>>,
    starts: Arc<AtomicU32>,
    admin: u16,
    log: PathBuf,
}

/// One replica: a process after the other.
pub struct Replica {
    watched: Watched,
    stop: CancellationToken,
    task: Option<JoinHandle<Result<()>>>,
}

impl Watched {
    /// The process that runs now.
    pub fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often it was started.
    pub fn starts(&self) -> u32 {
        self.starts.load(Ordering::SeqCst)
    }

    /// Where its metrics are.
    pub fn metrics(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.admin)
    }

    /// What it logged last.
    pub fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(6_000)..]).into_owned()
    }
}

impl Replica {
    /// Starts a replica of this name; `numbers` gives every process of the run its own.
    pub fn start(setting: Setting, wire: Wire, name: &str, numbers: &Arc<AtomicU32>) -> Result<Self> {
        Self::start_with(setting, wire, name, numbers, json!({}))
    }

    /// The same with parts of the configuration replaced by those given here.
    pub fn start_with(setting: Setting, wire: Wire, name: &str, numbers: &Arc<AtomicU32>, parts: Value) -> Result<Self> {
        let [admin, debug] = free_ports()?;
        let first = Arc::new(Gate::new(numbers.fetch_add(1, Ordering::SeqCst) + 1));
        let gate = Arc::new(Mutex::new(Arc::clone(&first)));
        let (stop, starts) = (CancellationToken::new(), Arc::new(AtomicU32::new(0)));
        let log = setting.folder.join(format!("{name}.log"));
        let keeper = Keeper {
            setting,
            parts,
            wire,
            name: name.to_owned(),
            ports: (admin, debug),
            gate: Arc::clone(&gate),
            stop: stop.clone(),
            starts: Arc::clone(&starts),
            numbers: Arc::clone(numbers),
            log: log.clone(),
        };
        let task = Some(tokio::spawn(keeper.keep(first)));
        Ok(Self { watched: Watched { gate, starts, admin, log }, stop, task })
    }

    /// What can be seen of it.
    pub fn watched(&self) -> Watched {
        self.watched.clone()
    }

    /// Waits for a mistake of the test's own means: a process that cannot be started, or does not stay.
    pub async fn broke(&mut self) -> anyhow::Error {
        match &mut self.task {
            Some(task) => match task.await {
                Ok(Ok(())) => anyhow::anyhow!("the operator was ended"),
                Ok(Err(error)) => error,
                Err(error) => error.into(),
            },
            None => std::future::pending().await,
        }
    }

    /// Asks it to end, and waits until it has.
    pub async fn end(mut self) -> Result<()> {
        self.stop.cancel();
        let Some(task) = self.task.take() else { return Ok(()) };
        let gate = self.watched.gate();
        gate.resume();
        gate.terminate();
        let abort = task.abort_handle();
        let Ok(ended) = tokio::time::timeout(ENDS_WITHIN, task).await else {
            gate.kill();
            abort.abort();
            bail!("the operator has not ended {ENDS_WITHIN:?} after SIGTERM; its last words:\n{}", self.watched.tail());
        };
        ended?
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop.cancel();
        self.watched.gate().kill();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

struct Keeper {
    setting: Setting,
    parts: Value,
    wire: Wire,
    name: String,
    ports: (u16, u16),
    gate: Arc<Mutex<Arc<Gate>>>,
    stop: CancellationToken,
    starts: Arc<AtomicU32>,
    numbers: Arc<AtomicU32>,
    log: PathBuf,
}

impl Keeper {
    async fn keep(self, mut gate: Arc<Gate>) -> Result<()> {
        loop {
            // New ports for each process: what an old one has left in a socket reaches nobody.
            let listening = self.wire.listen(&gate).await?;
            let mut child = self.command(&listening)?.spawn().context("failed to start the operator")?;
            gate.started(child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default());
            if self.stop.is_cancelled() {
                gate.terminate();
            }
            let starts = 1 + self.starts.fetch_add(1, Ordering::SeqCst);
            let status = child.wait().await?;
            gate.ended();
            drop(listening);
            if self.stop.is_cancelled() {
                return Ok(());
            }
            if starts >= MOST_STARTS {
                let text = std::fs::read_to_string(&self.log).unwrap_or_default();
                let from = text.len().saturating_sub(3_000);
                bail!("the operator does not stay up ({status}); its last words:\n{}", text.get(from..).unwrap_or_default());
            }
            gate = Arc::new(Gate::new(self.numbers.fetch_add(1, Ordering::SeqCst) + 1));
            *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&gate);
        }
    }

    fn command(&self, listening: &Listening) -> Result<Command> {
        let setting = &self.setting;
        let folder = setting.folder.join(&self.name);
        let keys = folder.join("keys");
        std::fs::create_dir_all(&keys)?;
        std::fs::write(keys.join("accessKeyId"), &setting.keys.0)?;
        std::fs::write(keys.join("secretAccessKey"), &setting.keys.1)?;
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "sweep",
            "clusters": [{ "name": "sweep", "cluster": { "server": format!("http://127.0.0.1:{}", listening.api) } }],
            "users": [{ "name": "operator", "user": { "token": setting.token } }],
            "contexts": [{ "name": "sweep", "context": { "cluster": "sweep", "user": "operator", "namespace": setting.namespace } }],
        });
        std::fs::write(folder.join("kubeconfig"), kubeconfig.to_string())?;
        let mut config = json!({
            "namespaces": [setting.namespace],
            "election": {
                "leaseDurationMillis": LEASE.as_millis() as u64, "renewDeadlineMillis": RENEW_DEADLINE_MS,
                "retryPeriodMillis": RETRY_MS, "requestTimeoutMillis": REQUEST_TIMEOUT_MS,
            },
            // One at a time, so that points come in the same order in every run.
            "queue": { "concurrency": 1, "resyncSeconds": 3600, "backoffBaseMillis": 200, "backoffCapSeconds": 2 },
            "ports": { "admin": self.ports.0, "debug": self.ports.1 },
            "log": { "level": "info,showrunner_kit=debug,showrunner_controllers=debug", "format": "text" },
            "drainSeconds": 2,
            "stores": [{
                "name": "default", "endpoint": format!("http://127.0.0.1:{}", listening.store), "podEndpoint": setting.store,
                "bucket": BUCKET, "prefix": "{namespace}/", "credentials": keys, "requestsPerSecond": 1000,
            }],
            "jobs": {
                "image": "recorded", "classes": [{ "name": "cpu" }, { "name": "steady" }, { "name": super::wallet::SPOT, "spot": { "of": "steady" },
                    "prices": { "cpuCoreHour": "0.01" } }],
                "prices": { "cpuCoreHour": "0.04", "memoryGibHour": "0.005", "scratchGibHour": "0.0001" },
            },
            "kinds": setting.kinds,
        });
        for (name, part) in self.parts.as_object().into_iter().flatten() {
            config[name] = part.clone();
        }
        let path = folder.join("operator.yaml");
        std::fs::write(&path, config.to_string())?;
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        // Ends with this process, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&setting.binary).arg("--config").arg(&path);
        command.env_clear().env("KUBECONFIG", folder.join("kubeconfig"));
        command.env("POD_NAME", &self.name).env("POD_NAMESPACE", &setting.namespace);
        if let Some(bug) = &setting.bug {
            command.env("SHOWRUNNER_PLANTED_BUG", bug);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        Ok(command)
    }
}
