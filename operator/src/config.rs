//! The operator's configuration file: closed, checked as a whole before anything starts.
//!
//! Reads one YAML file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::Value;
use showrunner_controllers::ai_budget::leases::LeaseSettings;
use showrunner_kit::jobs::{AcceleratorClass, JobsConfig};
use showrunner_kit::lease::LeaseParams;
use showrunner_kit::names::{PORT_ADMIN, PORT_DEBUG, PORT_GUARDED, PORT_LEASES};
use showrunner_kit::notify::NotifyConfig;
use showrunner_kit::queue::QueueConfig;
use showrunner_kit::store::Profile;
use showrunner_kit::telemetry::LogFormat;
use showrunner_kit::traces::export::TracesConfig;
use showrunner_kit::write::WRITES_PER_SECOND;

/// Largest file that is read, bytes.
const MAX_FILE: u64 = 1 << 20;
/// Most namespaces in a list; beyond that, watch all.
const MAX_NAMESPACES: usize = 100;
/// Most reconciles of one kind at once.
const MAX_CONCURRENCY: usize = 64;
/// Most reclaims an hour of spot machines that are worth anything: one a minute.
const MAX_RECLAIMS: f64 = 60.0;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Config {
    /// Namespaces to watch: one, some, or (empty) all.
    #[serde(default)]
    pub(crate) namespaces: Vec<String>,
    /// Who leads, when there are several replicas.
    #[serde(default)]
    pub(crate) election: Election,
    /// How objects are worked on.
    #[serde(default)]
    pub(crate) queue: QueueSettings,
    /// Where the operator listens.
    #[serde(default)]
    pub(crate) ports: Ports,
    /// What is logged.
    #[serde(default)]
    pub(crate) log: Log,
    /// Where traces go; without it there are none.
    #[serde(default)]
    pub(crate) traces: Option<TracesConfig>,
    /// Who may look inside.
    #[serde(default)]
    pub(crate) debug: Debug,
    /// Where callers that are no jobs get money; without it, nowhere.
    #[serde(default)]
    pub(crate) leases: Option<LeaseSettings>,
    /// Whom to tell when a budget crosses a line; without it, events and conditions alone say so.
    #[serde(default)]
    pub(crate) notify: NotifyConfig,
    /// Seconds that running reconciles have to end after SIGTERM. The pod's grace period must be longer.
    #[serde(default = "default_drain")]
    pub(crate) drain_seconds: u64,
    /// Object stores by profile.
    #[serde(default)]
    pub(crate) stores: Vec<Profile>,
    /// What Jobs are made with.
    pub(crate) jobs: JobsConfig,
    /// Settings of each kind, by its lower camel-case name; each kind checks its own.
    #[serde(default)]
    pub(crate) kinds: BTreeMap<String, Value>,
}

fn default_drain() -> u64 {
    20
}

/// Leader election.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Election {
    /// Off for a single replica on a developer's machine only.
    pub(crate) enabled: bool,
    /// Milliseconds that others wait after the last renewal; whole seconds.
    pub(crate) lease_duration_millis: u64,
    /// Milliseconds after its last renewal in which a leader may start a write.
    pub(crate) renew_deadline_millis: u64,
    /// Milliseconds between attempts.
    pub(crate) retry_period_millis: u64,
    /// Milliseconds that one write may take.
    pub(crate) request_timeout_millis: u64,
}

impl Default for Election {
    fn default() -> Self {
        let params = LeaseParams::default();
        let millis = |duration: Duration| duration.as_millis() as u64;
        Self {
            enabled: true,
            lease_duration_millis: millis(params.lease_duration),
            renew_deadline_millis: millis(params.renew_deadline),
            retry_period_millis: millis(params.retry_period),
            request_timeout_millis: millis(params.request_timeout),
        }
    }
}

impl Election {
    pub(crate) fn params(&self) -> LeaseParams {
        LeaseParams {
            lease_duration: Duration::from_millis(self.lease_duration_millis),
            renew_deadline: Duration::from_millis(self.renew_deadline_millis),
            retry_period: Duration::from_millis(self.retry_period_millis),
            request_timeout: Duration::from_millis(self.request_timeout_millis),
        }
    }
}

/// Queue of each kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct QueueSettings {
    /// Objects of one kind worked on at once.
    pub(crate) concurrency: usize,
    /// Seconds after which every object is looked at again.
    pub(crate) resync_seconds: u64,
    /// Milliseconds of wait after the first failure; doubles with each further one.
    pub(crate) backoff_base_millis: u64,
    /// Seconds of wait at most after a failure.
    pub(crate) backoff_cap_seconds: u64,
    /// Writes to the API server a second at most, all kinds together.
    pub(crate) writes_per_second: u32,
}

impl Default for QueueSettings {
    fn default() -> Self {
        let queue = QueueConfig::default();
        Self {
            concurrency: queue.concurrency,
            resync_seconds: queue.resync.as_secs(),
            backoff_base_millis: queue.backoff_base.as_millis() as u64,
            backoff_cap_seconds: queue.backoff_cap.as_secs(),
            writes_per_second: WRITES_PER_SECOND,
        }
    }
}

impl QueueSettings {
    /// As the kit wants it; the seed spreads the resyncs of replicas and restarts.
    pub(crate) fn queue(&self, seed: u64) -> QueueConfig {
        QueueConfig {
            concurrency: self.concurrency,
            backoff_base: Duration::from_millis(self.backoff_base_millis),
            backoff_cap: Duration::from_secs(self.backoff_cap_seconds),
            resync: Duration::from_secs(self.resync_seconds),
            seed,
        }
    }
}

/// Ports.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Ports {
    /// Health and metrics, on all addresses.
    pub(crate) admin: u16,
    /// Debug state and log level, on loopback only.
    pub(crate) debug: u16,
    /// The same on all addresses, with `debug.listen: Cluster`.
    pub(crate) guarded: u16,
    /// Leases of money, with `leases`.
    pub(crate) leases: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { admin: PORT_ADMIN, debug: PORT_DEBUG, guarded: PORT_GUARDED, leases: PORT_LEASES }
    }
}

/// Where debug state and log level can be reached from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Listen {
    /// From within the pod, and so by a port-forward.
    #[default]
    Loopback,
    /// From the cluster too, with TLS, by whoever the API server says may.
    Cluster,
}

/// Debug state and log level.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Debug {
    /// From where.
    pub(crate) listen: Listen,
    /// Folder with `tls.crt` and `tls.key`, read again when they change.
    pub(crate) tls: Option<PathBuf>,
    /// `ClusterRole` that answers name as the one to bind.
    pub(crate) role: String,
}

impl Default for Debug {
    fn default() -> Self {
        Self { listen: Listen::default(), tls: None, role: "showrunner-debug".to_owned() }
    }
}

/// Logs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Log {
    /// Level, or targets with levels.
    pub(crate) level: String,
    /// `json` or `text`.
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::default() }
    }
}

impl Config {
    /// Reads and checks a file. Errors name the file, and the line and field where they can.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("failed to read the configuration {}", path.display());
        let size = std::fs::metadata(path).with_context(what)?.len();
        ensure!(size <= MAX_FILE, "{}: it is larger than {MAX_FILE} bytes", what());
        let text = std::fs::read_to_string(path).with_context(what)?;
        Self::parse(&text).with_context(what)
    }

    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = serde_saphyr::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.namespaces.len() <= MAX_NAMESPACES,
            "namespaces: {} are listed, the limit is {MAX_NAMESPACES}; leave the list out to watch all",
            self.namespaces.len()
        );
        for (index, namespace) in self.namespaces.iter().enumerate() {
            ensure!(is_dns_label(namespace), "namespaces: {namespace:?} is no name of a namespace");
            ensure!(!self.namespaces[..index].contains(namespace), "namespaces: {namespace:?} is listed twice");
        }
        self.election.params().check().context("election")?;
        let queue = &self.queue;
        ensure!((1..=MAX_CONCURRENCY).contains(&queue.concurrency), "queue.concurrency: must be 1 to {MAX_CONCURRENCY}");
        ensure!(queue.resync_seconds >= 10, "queue.resyncSeconds: must be at least 10");
        ensure!(queue.backoff_base_millis >= 1, "queue.backoffBaseMillis: must be at least 1");
        ensure!(queue.backoff_cap_seconds >= 1, "queue.backoffCapSeconds: must be at least 1");
        ensure!(queue.writes_per_second >= 1, "queue.writesPerSecond: must be at least 1");
        ensure!((1..=600).contains(&self.drain_seconds), "drainSeconds: must be 1 to 600");
        if let Some(traces) = &self.traces {
            traces.check().context("traces")?;
        }
        ensure!(
            self.debug.listen == Listen::Loopback || self.debug.tls.is_some(),
            "debug.tls: name a folder with tls.crt and tls.key; without TLS, tokens would cross the network in the clear"
        );
        if let Some(leases) = &self.leases {
            leases.check().context("leases")?;
        }
        self.notify.check()?;
        for profile in &self.stores {
            profile.check().context("stores")?;
        }
        self.check_jobs().context("jobs")
    }

    fn check_jobs(&self) -> anyhow::Result<()> {
        let jobs = &self.jobs;
        ensure!(!jobs.image.trim().is_empty(), "image: name the worker image");
        let policies = ["Always", "IfNotPresent", "Never"];
        ensure!(policies.contains(&jobs.image_pull_policy.as_str()), "imagePullPolicy: must be one of {}", policies.join(", "));
        ensure!(jobs.cpu_class().is_some(), "classes: one of them must have no resource, for work on the CPU");
        for (index, class) in jobs.classes.iter().enumerate() {
            ensure!(is_dns_label(&class.name), "classes: {:?} is no name; use lower-case letters, digits and dashes", class.name);
            ensure!(
                jobs.classes[..index].iter().all(|other| other.name != class.name),
                "classes: {:?} is listed twice",
                class.name
            );
            ensure!(
                class.resource.is_some() || class.count == 0,
                "classes: {:?} has a count and no resource to count",
                class.name
            );
            check_spot(class, jobs)?;
        }
        ensure!(jobs.max_in_flight >= 1, "maxInFlight: must be at least 1");
        let currency = jobs.currency.len() == 3 && jobs.currency.chars().all(|c| c.is_ascii_uppercase());
        ensure!(currency, "currency: must be an ISO 4217 code such as USD");
        Ok(())
    }
}

/// Whether the spot machines of a class are those of another one.
fn check_spot(class: &AcceleratorClass, jobs: &JobsConfig) -> anyhow::Result<()> {
    let Some(spot) = &class.spot else { return Ok(()) };
    let name = &class.name;
    let of = jobs.class(&spot.of);
    let of = of.with_context(|| format!("classes: {name:?} has the spot machines of {:?}, which is no class", spot.of))?;
    ensure!(of.spot.is_none(), "classes: {name:?} has the spot machines of {:?}, which are spot machines themselves", spot.of);
    ensure!(
        of.resource == class.resource && of.count == class.count,
        "classes: {name:?} must have the resource and count of {:?}: they are the same machines",
        spot.of
    );
    let first = jobs.spot_of(&spot.of).is_some_and(|first| first.name == *name);
    ensure!(first, "classes: {:?} has spot machines twice: remove one class", spot.of);
    let reclaims = spot.reclaims_per_hour;
    ensure!(
        (0.0..=MAX_RECLAIMS).contains(&reclaims),
        "classes: {name:?} is taken back {reclaims} times an hour: write 0 to {MAX_RECLAIMS}"
    );
    Ok(())
}

/// RFC 1123 label.
fn is_dns_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len()) && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "jobs:\n  image: worker:1\n  classes: [{ name: cpu }]\n";

    const FULL: &str = r"
namespaces: [studio, archive]
election: { enabled: true, leaseDurationMillis: 3000, renewDeadlineMillis: 1500, retryPeriodMillis: 300, requestTimeoutMillis: 1000 }
queue: { concurrency: 2, resyncSeconds: 60 }
ports: { admin: 8081, debug: 6061, guarded: 8445, leases: 8446 }
leases:
  tls: /etc/showrunner/leases
  host: showrunner.media.svc
  prices: [{ provider: openai, model: gpt-4o-mini, inputPer1M: '0.15', outputPer1M: '0.60' }]
traces: { endpoint: 'http://collector.example:4318', sampleRatio: 0.25, headers: /etc/showrunner/traces }
debug: { listen: Cluster, tls: /etc/showrunner/debug, role: studio-debug }
log: { level: 'info,showrunner_kit=debug', format: text }
drainSeconds: 5
stores:
  - name: media
    endpoint: http://store.example:9000
    bucket: titles
    prefix: '{namespace}/'
    ranges: [10.0.0.0/8]
    credentials: /etc/showrunner/stores/media
jobs:
  image: worker:1
  imagePullPolicy: Never
  classes:
    - name: cpu
    - { name: l4, resource: nvidia.com/gpu, count: 1, pricePerHour: '0.70', nodeSelector: { gpu: l4 }, scaleFromZero: true }
    - { name: l4-spot, resource: nvidia.com/gpu, count: 1, pricePerHour: '0.22', spot: { of: l4, reclaimsPerHour: 0.1 }, prices: { cpuCoreHour: '0.01' } }
  prices: { cpuCoreHour: '0.04' }
  currency: EUR
  maxInFlight: 20
kinds:
  titleEnrichment: { anything: 1 }
";

    #[test]
    fn a_small_file_is_enough() {
        let config = Config::parse(SMALL).unwrap();
        assert!(config.namespaces.is_empty() && config.election.enabled);
        assert_eq!(config.election.params(), LeaseParams::default());
        assert!(config.traces.is_none() && config.debug.listen == Listen::Loopback, "nothing is sent and nothing is open");
    }

    #[test]
    fn everything_can_be_said() {
        let config = Config::parse(FULL).unwrap();
        assert_eq!(config.jobs.classes[1].price_per_hour.to_string(), "0.7");
        assert_eq!(config.jobs.spot_of("l4").map(|class| class.name.as_str()), Some("l4-spot"));
        assert_eq!(config.election.params().lease_duration, Duration::from_secs(3));
        assert_eq!(config.log.format, LogFormat::Text);
        assert_eq!((config.ports.leases, config.leases.unwrap().prices.len()), (8446, 1));
        assert!((config.traces.unwrap().sample_ratio - 0.25).abs() < 1e-9);
        assert_eq!((config.debug.listen, config.ports.guarded), (Listen::Cluster, 8445));
    }

    #[test]
    fn mistakes_are_named_with_their_field() {
        let cases = [
            ("namespace: studio\n", "namespace"),
            ("namespaces: [Studio]\n", "namespaces"),
            ("namespaces: [a, a]\n", "twice"),
            ("election: { renewDeadlineMillis: 14000 }\n", "less than the lease duration"),
            ("queue: { concurrency: 0 }\n", "queue.concurrency"),
            ("queue: { writesPerSecond: 0 }\n", "queue.writesPerSecond"),
            ("drainSeconds: 0\n", "drainSeconds"),
            ("stores: [{ name: media, endpoint: 'ftp://x', bucket: b }]\n", "endpoint"),
            ("stores: [{ name: media, endpoint: 'http://x', bucket: b, secret: s }]\n", "secret"),
            ("log: { format: xml }\n", "xml"),
            ("traces: { sampleRatio: 1 }\n", "endpoint"),
            ("traces: { endpoint: 'grpc://c:4317' }\n", "traces: endpoint"),
            ("traces: { endpoint: 'http://user:secret@c' }\n", "headers folder"),
            ("traces: { endpoint: 'http://c/v1/traces' }\n", "leave out"),
            ("traces: { endpoint: 'http://c', sampleRatio: 1.5 }\n", "sampleRatio"),
            ("traces: { endpoint: 'http://c', token: t }\n", "token"),
            ("debug: { listen: Cluster }\n", "debug.tls"),
            ("leases: { tls: /tls, host: 'a b' }\n", "leases: host"),
            ("leases: { tls: /tls, host: a.svc, prices: [{ provider: p, model: m }] }\n", "p/m"),
            ("leases: { tls: /tls, host: a.svc, prices: [{ provider: p, model: m, inputPer1M: 'x' }] }\n", "no amount"),
            ("debug: { listen: Everywhere }\n", "Everywhere"),
        ];
        for (line, expected) in cases {
            let error = format!("{:#}", Config::parse(&format!("{SMALL}{line}")).unwrap_err());
            assert!(error.contains(expected), "{line}: {error}");
        }
        for (jobs, expected) in [
            ("{ image: '', classes: [{ name: cpu }] }", "image"),
            ("{ image: w, classes: [{ name: gpu, resource: g, count: 1 }] }", "CPU"),
            ("{ image: w, classes: [{ name: cpu }, { name: cpu }] }", "twice"),
            ("{ image: w, classes: [{ name: cpu, pricePerHour: '-1' }] }", "amount"),
            ("{ image: w, classes: [{ name: cpu }, { name: s, spot: { of: l4 } }] }", "which is no class"),
            ("{ image: w, classes: [{ name: cpu }, { name: s, spot: { of: s } }] }", "spot machines themselves"),
            ("{ image: w, classes: [{ name: cpu }, { name: s, resource: g, spot: { of: cpu } }] }", "the same machines"),
            ("{ image: w, classes: [{ name: cpu }, { name: s, spot: { of: cpu } }, { name: t, spot: { of: cpu } }] }", "twice"),
            ("{ image: w, classes: [{ name: cpu }, { name: s, spot: { of: cpu, reclaimsPerHour: -1 } }] }", "times an hour"),
            ("{ image: w, classes: [{ name: cpu }, { name: s, spot: { of: cpu, reclaimsPerHour: .nan } }] }", "times an hour"),
            ("{ image: w, classes: [{ name: s, spot: { of: s } }] }", "CPU"),
            ("{ image: w, classes: [{ name: cpu }], currency: euro }", "currency"),
            ("{ image: w, classes: [{ name: cpu }], maxInFlight: 0 }", "maxInFlight"),
        ] {
            let error = format!("{:#}", Config::parse(&format!("jobs: {jobs}\n")).unwrap_err());
            assert!(error.contains(expected), "{jobs}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = format!("{:#}", Config::read(Path::new("/nowhere/config.yaml")).unwrap_err());
        assert!(error.contains("/nowhere/config.yaml"), "{error}");
    }

    #[test]
    fn aliases_do_not_multiply_without_end() {
        let mut bomb = format!("{SMALL}kinds:\n  a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
            let _ = std::fmt::Write::write_fmt(&mut bomb, format_args!("  a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(Config::parse(&bomb).is_err());
    }

    #[test]
    fn a_configuration_that_is_accepted_is_within_its_limits() {
        let words = ["&a [", "*a", "<<: *a", "- ", "? ", "| \n", "!!binary ", "~", "namespaces: [a]", "drainSeconds: 5"];
        showrunner_fuzz_driver::exercise("operator_config", &words, |bytes| {
            let Ok(config) = std::str::from_utf8(bytes).map_err(anyhow::Error::from).and_then(Config::parse) else { return };
            assert!(config.namespaces.len() <= MAX_NAMESPACES && config.namespaces.iter().all(|name| is_dns_label(name)));
            assert!((1..=MAX_CONCURRENCY).contains(&config.queue.concurrency) && (1..=600).contains(&config.drain_seconds));
            assert!(config.jobs.cpu_class().is_some() && config.stores.iter().all(|profile| profile.check().is_ok()));
            config.election.params().check().unwrap();
            let queue = config.queue.queue(1);
            assert!(queue.backoff_base >= Duration::from_millis(1) && queue.resync >= Duration::from_secs(10));
        });
    }
}
