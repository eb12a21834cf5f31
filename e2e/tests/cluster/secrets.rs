//! Secrets, planted where each can be, and looked for in everything that comes out of a title's life and an outage.

use crate::debug::{HOST, PORT, certificate, client};
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _, api::ListParams};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use showrunner_crds::title_enrichment::Phase;
use showrunner_e2e::{
    install::{self, NAMESPACE},
    media,
    needles::Needles,
    objects,
    suite::{Suite, trial},
    titles::Namespaced,
};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

const A_JOB: Duration = Duration::from_mins(3);
const SOON: Duration = Duration::from_mins(1);
const ORDER: &str = "showrunner.dev/work-order";
/// What a signed address is told by, whatever its signature.
const SIGNATURE: &str = "X-Amz-Signature";
const KEY_ID: &str = "the store's key id";
/// Longest life of a grant, as the spec of the title here has it: start, run, 30 s to end, and ten minutes.
const LIFE_SECONDS: u64 = 15 * 60 + 10 * 60 + 30 + 10 * 60;

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![trial(suite, "secrets::no_secret_comes_out_of_a_titles_life_and_an_outage", planted)]
}

/// What came out, by where.
type Hay = BTreeMap<String, Vec<u8>>;

async fn planted(suite: Arc<Suite>) -> Result<()> {
    let collector = Collector::start(suite.cluster.var("SHOWRUNNER_HOST_ADDRESS")?).await?;
    let folder = tempfile::tempdir()?;
    let certificate = certificate(folder.path())?;
    let file = |name: &str| folder.path().join(name).display().to_string();
    let header = "Bearer planted-in-the-header-of-traces";
    let kubectl = |arguments: &[&str]| suite.cluster.kubectl(&[arguments, &["--namespace", NAMESPACE]].concat());
    kubectl(&["create", "secret", "generic", "planted-headers", &format!("--from-literal=authorization={header}")])?;
    kubectl(&["create", "secret", "tls", "planted-tls", "--cert", &file("tls.crt"), "--key", &file("tls.key")])?;
    let mut needles = Needles::default();
    needles.add("the header of traces", header.trim_start_matches("Bearer "));
    needles.add("the debug listener's key", std::fs::read_to_string(file("tls.key"))?.lines().nth(1).context("a key has lines")?);
    needles.add("the store's secret", suite.cluster.var("S3_SECRET_ACCESS_KEY")?);
    needles.add(KEY_ID, suite.cluster.var("S3_ACCESS_KEY_ID")?);
    needles.add(SIGNATURE, SIGNATURE);

    let address = collector.address;
    let values = format!(
        "log.level=debug,debug.listen=Cluster,debug.tlsSecret=planted-tls,traces.endpoint=http://{address},\
         traces.headersSecret=planted-headers,traces.to[0].ipBlock.cidr={}/32",
        address.ip()
    );
    let looked = async {
        install::upgrade(&suite.cluster, &["--set", &values])?;
        look(&suite, needles, &collector, &certificate).await
    }
    .await;
    // Whatever came of it, the others find the installation as it was.
    install::upgrade(&suite.cluster, &[])?;
    kubectl(&["delete", "secret", "planted-headers", "planted-tls"])?;
    looked
}

async fn look(suite: &Suite, mut needles: Needles, collector: &Collector, certificate: &[u8]) -> Result<()> {
    let here = suite.namespace("secrets").await?;
    suite.cluster.kubectl(&["create", "serviceaccount", "watcher", "--namespace", &here.name])?;
    let binding = ["create", "clusterrolebinding", "secrets-watcher", "--clusterrole=showrunner-debug"];
    suite.cluster.kubectl(&[&binding[..], &[&format!("--serviceaccount={}:watcher", here.name)]].concat())?;
    let token = suite.cluster.kubectl(&["create", "token", "watcher", "--namespace", &here.name, "--duration", "10m"])?;
    needles.add("the watcher's token", token.rsplit('.').next().context("a token has parts")?);

    let processes = lives(suite, &here).await;
    let mut hay = Hay::new();
    let came = gather(suite, &here, collector, certificate, &token, &mut hay).await;
    suite.cluster.kubectl(&["delete", "clusterrolebinding", "secrets-watcher"])?;
    let (processes, orders) = (processes?, came?);
    needles.add("the operator's token", processes.token.rsplit('.').next().context("a token has parts")?);

    ensure!(collector.authorised(), "the collector was sent no header: it was not planted");
    for name in needles.names().map(str::to_owned).collect::<Vec<_>>() {
        hay.insert(format!("plant {name}"), needles.plant(&name));
    }
    let found: Vec<_> =
        hay.iter().flat_map(|(place, text)| needles.found_in(text).into_iter().map(move |what| (place, what))).collect();
    for name in needles.names() {
        ensure!(
            found.iter().any(|(place, what)| **place == format!("plant {name}") && *what == name),
            "the search does not find {name}"
        );
    }
    let leaks: Vec<_> = found.iter().filter(|(place, _)| !place.starts_with("plant ")).collect();
    ensure!(leaks.is_empty(), "secrets came out, of {} places: {leaks:?}", hay.len());
    // Orders hold what is signed, and of the credentials only what names them.
    ensure!(orders.len() >= 2, "no order was seen, of a Job and of its pod");
    for order in &orders {
        ensure!(
            needles.found_in(order.as_bytes()) == [SIGNATURE, KEY_ID],
            "an order holds {:?}",
            needles.found_in(order.as_bytes())
        );
        bounded(order)?;
    }
    here.end().await
}

/// Every grant of an order ends with the attempt, and writing reaches its own folder and the results of its steps.
fn bounded(order: &str) -> Result<()> {
    let order: Value = serde_json::from_str(order)?;
    let mut addresses = Vec::new();
    collect(&order, &mut addresses);
    ensure!(addresses.len() > 10, "an order has more addresses than {}", addresses.len());
    for address in &addresses {
        let lives = address.query_pairs().find(|(key, _)| key == "X-Amz-Expires").context("a grant ends")?.1.parse::<u64>()?;
        ensure!(lives <= LIFE_SECONDS, "a grant for {} lives {lives} s, the attempt {LIFE_SECONDS} s", address.path());
    }
    let folder = order["grants"]["folder"].as_str().context("an order has a folder")?;
    let (mut own, mut results) = (Vec::new(), Vec::new());
    collect(&order["grants"]["commits"], &mut results);
    for field in ["files", "unitResult", "progress"] {
        collect(&order["grants"][field], &mut own);
    }
    ensure!(own.iter().all(|address| address.path().contains(folder)), "a grant reaches out of {folder}");
    ensure!(results.iter().all(|address| address.path().contains("/results/")), "a grant commits elsewhere");
    Ok(())
}

fn collect(value: &Value, into: &mut Vec<url::Url>) {
    match value {
        Value::String(text) => into.extend(url::Url::parse(text).ok().filter(|url| url.scheme().starts_with("http"))),
        Value::Array(values) => values.iter().for_each(|value| collect(value, into)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, into)),
        _ => {}
    }
}

/// What the machine tells of our processes.
struct Processes {
    /// The operator's token, as it is mounted.
    token: String,
}

/// A title from nothing to Published, another that meets a store that is away, and meanwhile a look at the processes.
async fn lives(suite: &Suite, here: &Namespaced) -> Result<Processes> {
    let path = format!("titles/{}/small.mp4", here.name);
    suite.store.put(&path, media::small_title(61)?).await?;
    let execution = json!({"maxDuration": "10m"});
    here.apply("a", json!({"source": {"path": path}, "subtitles": {"enabled": false}, "execution": execution})).await?;
    let (published, seen) = tokio::join!(here.wait_for("a", Phase::Published, A_JOB), private(suite));
    published?;
    let token = seen?;
    suite.cluster.script("store", &["stop"])?;
    let away = async {
        here.apply("b", json!({"source": {"path": "other.mp4"}})).await?;
        here.wait_reason("b", "StoreUnavailable", SOON).await
    }
    .await;
    suite.cluster.script("store", &["start"])?;
    away?;
    Ok(Processes { token })
}

/// Waits until an operator and a worker have been seen, with no core limit, and not open to others of their user.
async fn private(suite: &Suite) -> Result<String> {
    // Of a process that keeps its memory to itself, what is in /proc belongs to root.
    const LOOK: &str = r#"for p in /proc/[0-9]*; do
        case $(cat $p/comm 2>/dev/null) in showrunner-oper*) name=operator;; showrunner-work*) name=worker;; *) continue;; esac
        echo "$name $(awk '/^Uid:/ { print $2 }' $p/status) $(stat -c %u $p/environ) $(awk '/^Max core/ { print $5, $6 }' $p/limits)"
        done 2>/dev/null || true"#;
    const TOKEN: &str = r"for p in /proc/[0-9]*; do case $(cat $p/comm 2>/dev/null) in showrunner-oper*)
        cat $p/root/var/run/secrets/kubernetes.io/serviceaccount/token && exit;; esac; done";
    let began = Instant::now();
    let mut seen = BTreeMap::new();
    while seen.len() < 2 {
        ensure!(began.elapsed() < A_JOB, "not both of operator and worker were seen at work: {seen:?}");
        let output = suite.cluster.script("exec", &["bash", "-c", LOOK])?;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            // Between its birth and its first act a process is as it was started.
            if let Some((name, state)) = line.split_once(' ')
                && state == "65532 0 0 0"
            {
                seen.insert(name.to_owned(), state.to_owned());
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(String::from_utf8(suite.cluster.script("exec", &["bash", "-c", TOKEN])?.stdout)?)
}

/// Brings everything in that came out, and gives the work orders, which are looked at apart.
async fn gather(
    suite: &Suite,
    here: &Namespaced,
    collector: &Collector,
    certificate: &[u8],
    token: &str,
    hay: &mut Hay,
) -> Result<Vec<String>> {
    let orders = told(suite, &here.name, hay).await?;
    let operators = "app.kubernetes.io/component=operator";
    let pods = Api::<Pod>::namespaced(suite.client.clone(), NAMESPACE).list(&ListParams::default().labels(operators)).await?;
    for pod in pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        let (name, ip) = (pod.name_any(), pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("no address")?);
        let log = suite.cluster.kubectl(&["logs", "--namespace", NAMESPACE, &name])?;
        ensure!(log.contains("DEBUG"), "{name} does not log at debug level");
        hay.insert(format!("log of {name}"), log.into_bytes());
        let client = client(certificate, &ip)?;
        let metrics = client.get(format!("http://{ip}:8080/metrics")).send().await?.error_for_status()?;
        hay.insert(format!("metrics of {name}"), metrics.bytes().await?.to_vec());
        let state = client.get(format!("https://{HOST}:{PORT}/debug/state")).bearer_auth(token).send().await?;
        hay.insert(format!("state of {name}"), state.error_for_status()?.bytes().await?.to_vec());
    }
    let jobs = ["logs", "--namespace", &here.name, "--selector", "app.kubernetes.io/component=worker", "--tail=-1"];
    // Quiet where all goes well; what it says at its lowest level is looked at by its own tests.
    hay.insert("log of the worker".to_owned(), suite.cluster.kubectl(&jobs)?.into_bytes());
    let order: Value = serde_json::from_str(orders.first().context("no order was seen")?)?;
    let folder = order["grants"]["folder"].as_str().context("an order has a folder")?;
    for prefix in [&format!("titles/{}/", here.name), folder, "results/"] {
        let keys = suite.store.list(prefix).await?;
        ensure!(!keys.is_empty(), "the store has nothing below {prefix}");
        for key in keys {
            hay.insert(format!("store {key}"), suite.store.read(&key).await?.to_vec());
        }
    }
    // They come in batches, after what they tell of.
    let (began, is_told) = (Instant::now(), |traces: &[u8]| String::from_utf8_lossy(traces).contains(&here.name));
    while !is_told(&collector.bodies()) && began.elapsed() < A_JOB {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let traces = collector.bodies();
    ensure!(is_told(&traces), "the collector saw no trace of the title in {} bytes", traces.len());
    hay.insert("traces".to_owned(), traces);
    Ok(orders)
}

/// Every object of whatever kind but Secrets, work orders left out. Gives those of a namespace.
async fn told(suite: &Suite, namespace: &str, hay: &mut Hay) -> Result<Vec<String>> {
    let mut orders = Vec::new();
    for (resource, object) in objects::all(&suite.client).await? {
        if resource.group.is_empty() && resource.plural == "secrets" {
            continue;
        }
        let place = format!("{} {}/{}", resource.kind, object.namespace().unwrap_or_default(), object.name_any());
        let here = object.namespace().is_some_and(|found| found == namespace);
        let mut object = serde_json::to_value(object)?;
        for pointer in ["/metadata/annotations", "/spec/template/metadata/annotations"] {
            let annotations = object.pointer_mut(pointer).and_then(Value::as_object_mut);
            let order = annotations.and_then(|annotations| annotations.remove(ORDER));
            orders.extend(order.filter(|_| here).and_then(|order| order.as_str().map(str::to_owned)));
        }
        hay.insert(place, serde_json::to_vec(&object)?);
    }
    for kind in ["Pod", "Job", "Event", "ConfigMap", "TitleEnrichment", "Lease"] {
        ensure!(hay.keys().any(|place| place.starts_with(&format!("{kind} "))), "no {kind} was looked at");
    }
    Ok(orders)
}

/// A collector of traces that keeps what it is sent.
struct Collector {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _serving: tokio_util::task::AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Seen {
    bodies: Vec<u8>,
    authorised: bool,
}

impl Collector {
    async fn start(ip: &str) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind((ip, 0)).await?;
        let (address, seen) = (listener.local_addr()?, Arc::new(Mutex::new(Seen::default())));
        let theirs = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&theirs);
                let service = service_fn(move |request| keep(Arc::clone(&seen), request));
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, seen, _serving: tokio_util::task::AbortOnDropHandle::new(serving) })
    }

    fn bodies(&self) -> Vec<u8> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).bodies.clone()
    }

    fn authorised(&self) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).authorised
    }
}

async fn keep(seen: Arc<Mutex<Seen>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let authorised = request.headers().get("authorization").is_some_and(|value| value.as_bytes().starts_with(b"Bearer planted"));
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.authorised |= authorised;
    seen.bodies.extend_from_slice(&body);
    Ok(Response::new(Full::default()))
}
