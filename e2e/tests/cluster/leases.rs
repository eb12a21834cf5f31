//! Leases with the tokens and reviews of a real API server: two replicas, of which one answers; the handbook's own program; an end
//! by evidence, and one by time across a change of leaders.

use crate::{
    budget::{Budget, text},
    debug::{HOST, certificate, client_of, eventually},
};
use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use showrunner_e2e::{
    cluster::{root, run},
    install::{self, NAMESPACE},
    suite::{Suite, trial},
    titles::Namespaced,
};
use std::{path::Path, process::Command, sync::Arc, time::Duration};

const PORT: u16 = 8444;
const AUDIENCE: &str = "showrunner.dev/leases";
const SECRET: &str = "showrunner-leases-tls";
/// A minute, another after it, and the time of a look.
const DUE: Duration = Duration::from_mins(4);
/// Has every name below the Service found at the pod whose address it has: a machine outside the cluster does not ask its DNS.
const NAMES: &str = "\
import os, socket, sys
real = socket.getaddrinfo
def found(host, *more, **named):
    name, _, below = host.partition('.')
    address = name.replace('-', '.') if below == os.environ['HOST'] else os.environ['ADDRESS'] if host == os.environ['HOST'] else host
    return real(address, *more, **named)
socket.getaddrinfo = found
exec(compile(sys.stdin.read(), 'docs/leases.md', 'exec'))
";

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![trial(suite, "leases::a_caller_has_money_in_hand_before_it_uses_it_and_nothing_is_refunded_on_its_word", leases)]
}

async fn leases(suite: Arc<Suite>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certificate = certificate(folder.path())?;
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) = (file("tls.crt"), file("tls.key"));
    suite.cluster.kubectl(&["create", "secret", "tls", SECRET, "--namespace", NAMESPACE, "--cert", &cert, "--key", &key])?;
    let model = json!([{ "provider": "openai", "model": "gpt-4o-mini", "inputPer1M": "0.15", "outputPer1M": "0.60" }]);
    let values = [format!("leases.enabled=true,leases.tlsSecret={SECRET}"), format!("prices.api={model}")];
    let took = async {
        install::upgrade(&suite.cluster, &["--set", &values[0], "--set-json", &values[1]])?;
        Box::pin(take(&suite, folder.path(), &certificate)).await
    }
    .await;
    // Whatever came of it, the others find the installation as it was.
    install::upgrade(&suite.cluster, &[])?;
    suite.cluster.kubectl(&["delete", "secret", SECRET, "--namespace", NAMESPACE])?;
    took
}

/// A replica, by the name of its address.
struct Replica {
    pod: String,
    address: String,
    url: String,
    client: reqwest::Client,
}

async fn replicas(suite: &Suite, certificate: &[u8]) -> Result<Vec<Replica>> {
    let pods = Api::<Pod>::namespaced(suite.client.clone(), NAMESPACE);
    let pods = pods.list(&ListParams::default().labels("app.kubernetes.io/component=operator")).await?;
    let mut replicas = Vec::new();
    for pod in pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        let Some(address) = pod.status.as_ref().and_then(|status| status.pod_ip.clone()) else { continue };
        let name = format!("{}.{HOST}", address.replace('.', "-"));
        let client = client_of(certificate, &name, &address)?;
        replicas.push(Replica { pod: pod.name_any(), address, url: format!("https://{name}:{PORT}"), client });
    }
    Ok(replicas)
}

impl Replica {
    async fn send(&self, token: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(token).body(body.to_string());
        let answer = request.send().await?;
        let (status, leader) = (answer.status().as_u16(), answer.headers().get("showrunner-leader").cloned());
        let body: Value = serde_json::from_slice(&answer.bytes().await?)?;
        ensure!(leader.as_ref().and_then(|leader| leader.to_str().ok()) == body["leader"].as_str(), "{body}");
        Ok((status, body))
    }
}

fn lease(id: &str) -> Value {
    json!({ "schema": "showrunner.dev/lease-request/v1", "requestId": id, "caller": "captions-0",
        "expects": [{ "provider": "openai", "model": "gpt-4o-mini" }] })
}

/// The replica that answers, and what it gave.
async fn taken(suite: &Suite, certificate: &[u8], token: &str, id: &str) -> Result<(Replica, Value)> {
    eventually("given a lease", async || {
        for replica in replicas(suite, certificate).await? {
            // One that just starts does not listen yet.
            if let Ok((200 | 201, body)) = replica.send(token, "/v1/leases", &lease(id)).await {
                return Ok(Some((replica, body)));
            }
        }
        Ok(None)
    })
    .await
}

fn token(suite: &Suite, here: &Namespaced, account: &str, audience: Option<&str>) -> Result<String> {
    let mut arguments = vec!["create", "token", account, "--namespace", &here.name, "--duration", "1h"];
    arguments.extend(audience.iter().flat_map(|audience| ["--audience", audience]));
    suite.cluster.kubectl(&arguments)
}

async fn take(suite: &Suite, folder: &Path, certificate: &[u8]) -> Result<()> {
    let here = suite.namespace("leases").await?;
    for account in ["captions", "meter", "poor"] {
        suite.cluster.kubectl(&["create", "serviceaccount", account, "--namespace", &here.name])?;
    }
    for (account, role) in [("captions", "showrunner-lease-caller"), ("meter", "showrunner-lease-verifier")] {
        let (bound, account) = (format!("--clusterrole={role}"), format!("--serviceaccount={}:{account}", here.name));
        suite.cluster.kubectl(&["create", "rolebinding", role, "--namespace", &here.name, &bound, &account])?;
    }
    let budget = Budget::make(suite, &here, &json!({ "absolute": { "cap": "10" } })).await?;
    let short = json!({ "leases": { "min": "0.5", "ttl": "1m", "maxShare": "0.5" } });
    budget.apply(&json!({ "absolute": { "cap": "10" } }), &short).await?;
    budget.wait("it is looked at", |budget| text(budget, "/spent") == "0").await?;
    let (captions, meter) = (token(suite, &here, "captions", Some(AUDIENCE))?, token(suite, &here, "meter", Some(AUDIENCE))?);

    // Debited before it is told of, and told of by the leader alone.
    let (leader, first) = taken(suite, certificate, &captions, "first").await?;
    ensure!(first["amount"] == "0.5" && first["namespace"] == *here.name && first["state"] == "Live", "{first}");
    budget.wait("it is out", |budget| text(budget, "/leasesOut") == "0.5" && text(budget, "/reserved") == "0.5").await?;
    let others = replicas(suite, certificate).await?.into_iter().filter(|replica| replica.pod != leader.pod);
    let follower = others.last().context("there is one replica only")?;
    let (status, refused) = follower.send(&captions, "/v1/leases", &lease("first")).await?;
    ensure!((status, &refused["reason"]) == (503, &json!("NotLeader")), "{refused}");
    ensure!(refused["leader"] == *leader.url, "the leader is at {}: {refused}", leader.url);
    let (status, again) = leader.send(&captions, "/v1/leases", &lease("first")).await?;
    ensure!(status == 200 && again["id"] == first["id"], "{again}");

    // Whose token it is, and what for.
    for (token, status, reason) in [
        (token(suite, &here, "captions", None)?, 401, "Unauthenticated"),
        ("not-a-token".to_owned(), 401, "Unauthenticated"),
        (token(suite, &here, "poor", Some(AUDIENCE))?, 403, "Forbidden"),
        (meter.clone(), 403, "Forbidden"),
    ] {
        let (said, refused) = leader.send(&token, "/v1/leases", &lease("second")).await?;
        ensure!((said, &refused["reason"]) == (status, &json!(reason)), "{refused}");
    }

    // A claim refunds nothing; evidence of somebody else does.
    let path = |what: &str| format!("/v1/leases/{}/{what}", first["id"].as_str().unwrap_or_default());
    let used = json!([{ "provider": "openai", "model": "gpt-4o-mini", "inputTokens": 100_000, "outputTokens": 50_000 }]);
    let claim = json!({ "schema": "showrunner.dev/lease-settlement/v1", "used": used });
    let (_, settled) = leader.send(&captions, &path("settle"), &claim).await?;
    ensure!(settled["charged"] == "0.5" && settled["basis"] == "Full", "{settled}");
    let mut evidence =
        json!({ "schema": "showrunner.dev/lease-evidence/v1", "namespace": here.name, "used": used, "records": ["u-1"] });
    let (status, _) = leader.send(&captions, &path("evidence"), &evidence).await?;
    ensure!(status == 403, "a caller verified itself: {status}");
    let (_, proven) = leader.send(&meter, &path("evidence"), &evidence).await?;
    ensure!(proven["charged"] == "0.045" && proven["basis"] == "Evidence", "{proven}");
    evidence["used"] = json!([]);
    let (_, known) = leader.send(&meter, &path("evidence"), &evidence).await?;
    ensure!(known["charged"] == "0.045", "the first counts: {known}");
    budget.wait("it is corrected", |budget| text(budget, "/spent") == "0.045" && text(budget, "/leasesOut").is_empty()).await?;

    let printed = example(folder, &follower, &captions)?;
    let [first, second, charged] = printed.split_whitespace().collect::<Vec<_>>()[..] else { anyhow::bail!("{printed}") };
    ensure!((first, second, charged) == ("0.5", "0.5", "0.5"), "{printed}");

    // Nobody ends this one, and another replica leads by the time that it is due.
    let (leader, left) = taken(suite, certificate, &captions, "left").await?;
    let amount = left["amount"].as_str().context("a lease has an amount")?.to_owned();
    budget.wait("it is out", |budget| text(budget, "/leasesOut") == amount).await?;
    let pods = Api::<Pod>::namespaced(suite.client.clone(), NAMESPACE);
    pods.delete(&leader.pod, &DeleteParams::default()).await?;
    let (next, again) = taken(suite, certificate, &captions, "left").await?;
    ensure!(next.pod != leader.pod && again["id"] == left["id"], "the next leader knows another one: {again}");
    let charged = async {
        while text(&budget.api.get(&here.name).await?, "/leasesOut") == amount {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::time::timeout(DUE, charged).await.context("it is not charged")??;
    journal(suite, &here, left["id"].as_str().unwrap_or_default()).await?;
    budget.end().await?;
    here.end().await
}

/// Runs the program of the handbook, which asks a replica that does not lead first.
fn example(folder: &Path, follower: &Replica, token: &str) -> Result<String> {
    let page = std::fs::read_to_string(root().join("docs/leases.md"))?;
    let program = page.split_once("```python\n").and_then(|(_, rest)| rest.split_once("```")).context("there is no program")?.0;
    std::fs::write(folder.join("token"), token)?;
    std::fs::write(folder.join("example.py"), program)?;
    let mut python = Command::new("python3");
    python.args(["-c", NAMES]).stdin(std::fs::File::open(folder.join("example.py"))?);
    python.env("HOST", HOST).env("ADDRESS", &follower.address).env("HOSTNAME", "example-0");
    python.env("LEASES_URL", format!("https://{HOST}:{PORT}")).env("LEASES_TOKEN_FILE", folder.join("token"));
    python.env("LEASES_CA", folder.join("tls.crt"));
    Ok(String::from_utf8(run(&mut python)?.stdout)?)
}

/// What the ledger says of a lease that nobody ended: reserved once with its terms, and charged in full once.
async fn journal(suite: &Suite, here: &Namespaced, id: &str) -> Result<()> {
    let key = format!("lease/{}/captions-0/{id}", here.name);
    let mut entries = Vec::new();
    for page in suite.store.list("showrunner-ledger/").await? {
        let page: Value = serde_json::from_slice(&suite.store.read(&page).await?)?;
        entries.extend(page["entries"].as_array().into_iter().flatten().filter(|entry| entry["key"] == *key).cloned());
    }
    let [reserved, settled] = entries.as_slice() else { anyhow::bail!("{key} has these entries: {entries:?}") };
    ensure!(reserved["fact"] == "Reserve" && reserved["lease"]["account"] == format!("{}/captions", here.name), "{reserved}");
    ensure!(settled["fact"] == "Settle" && settled["bound"] == true && settled["amount"] == reserved["amount"], "{settled}");
    ensure!(settled["parts"][0]["model"] == "openai/gpt-4o-mini", "{settled}");
    Ok(())
}
