//! The guarded debug listener, with the reviews of a real API server.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _, api::ListParams};
use libtest_mimic::Trial;
use serde_json::Value;
use showrunner_e2e::{
    cluster::run,
    install::{self, NAMESPACE},
    suite::{Suite, trial},
};
use std::{net::SocketAddr, path::Path, process::Command, sync::Arc, time::Duration};

/// Name of the operator's Service, and so of its certificate.
pub(crate) const HOST: &str = "showrunner.showrunner-system.svc";
pub(crate) const PORT: u16 = 8443;
/// Rights that were taken away work for as long as answers are believed.
const FORGOTTEN: Duration = Duration::from_secs(30);

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![trial(suite, "debug::only_who_is_bound_to_the_role_looks_inside_from_the_cluster", guarded)]
}

/// A certificate for the Service, as the handbook makes it.
pub(crate) fn certificate(folder: &Path) -> Result<Vec<u8>> {
    let names = format!("subjectAltName=DNS:{HOST},DNS:*.{HOST}");
    run(Command::new("openssl").current_dir(folder).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        "tls.key",
        "-out",
        "tls.crt",
        "-subj",
        "/CN=showrunner",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-addext",
        &names,
    ]))?;
    Ok(std::fs::read(folder.join("tls.crt"))?)
}

/// A client that trusts this certificate alone, and finds the Service's name at this address.
pub(crate) fn client(certificate: &[u8], address: &str) -> Result<reqwest::Client> {
    client_of(certificate, HOST, address)
}

/// The same for another name.
pub(crate) fn client_of(certificate: &[u8], name: &str, address: &str) -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(certificate)?])
        .resolve(name, SocketAddr::new(address.parse()?, 0))
        .timeout(Duration::from_secs(15))
        .build()?)
}

async fn guarded(suite: Arc<Suite>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certificate = certificate(folder.path())?;
    let file = |name: &str| folder.path().join(name).display().to_string();
    suite.cluster.kubectl(&[
        "create",
        "secret",
        "tls",
        "showrunner-debug-tls",
        "--namespace",
        NAMESPACE,
        "--cert",
        &file("tls.crt"),
        "--key",
        &file("tls.key"),
    ])?;
    install::upgrade(&suite.cluster, &["--set", "debug.listen=Cluster,debug.tlsSecret=showrunner-debug-tls"])?;
    let looked = look(&suite, &certificate).await;
    // Whatever came of it, the others find the installation as it was.
    install::upgrade(&suite.cluster, &[])?;
    suite.cluster.kubectl(&["delete", "secret", "showrunner-debug-tls", "--namespace", NAMESPACE])?;
    looked
}

async fn look(suite: &Suite, certificate: &[u8]) -> Result<()> {
    let here = suite.namespace("debug").await?;
    let account = format!("--serviceaccount={}:watcher", here.name);
    suite.cluster.kubectl(&["create", "serviceaccount", "watcher", "--namespace", &here.name])?;
    let token = suite.cluster.kubectl(&["create", "token", "watcher", "--namespace", &here.name, "--duration", "10m"])?;

    let pods = Api::<Pod>::namespaced(suite.client.clone(), NAMESPACE);
    let pods = pods.list(&ListParams::default().labels("app.kubernetes.io/component=operator")).await?;
    let ready = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none();
    let pod = pods.items.iter().find(ready).context("there is no operator")?;
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).with_context(|| pod.name_any())?;
    let client = client(certificate, &address)?;
    let ask = async |method: reqwest::Method, path: &str, token: &str, body: &'static str| -> Result<(u16, String)> {
        let request = client.request(method, format!("https://{HOST}:{PORT}{path}")).bearer_auth(token).body(body);
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    };
    let get = async |token: &str| ask(reqwest::Method::GET, "/debug/state", token, "").await;

    let (status, text) = get("not-a-token").await?;
    ensure!(status == 401 && text.contains("does not know this bearer token"), "a wrong token: {status} {text}");
    let (status, text) = get(&token).await?;
    ensure!(status == 403, "without the role: {status} {text}");
    ensure!(text.contains("--clusterrole=showrunner-debug") && text.contains(&account), "it does not say how: {text}");

    // As it says.
    suite.cluster.kubectl(&["create", "clusterrolebinding", "watcher-debugs", "--clusterrole=showrunner-debug", &account])?;
    let state = eventually("let in", async || {
        let (status, text) = get(&token).await?;
        Ok((status == 200).then_some(text))
    })
    .await?;
    let state: Value = serde_json::from_str(&state)?;
    ensure!(state["queues"]["titleenrichment"].is_object() && state["leading"].is_boolean(), "this is no state: {state}");
    let (status, text) = ask(reqwest::Method::PUT, "/log-level", &token, "info").await?;
    ensure!(status == 204, "the log level: {status} {text}");
    let (status, text) = ask(reqwest::Method::GET, "/budgets/nobody/report", &token, "").await?;
    ensure!(status == 404 && text.contains("there is no AiBudget"), "a budget that is not there: {status} {text}");
    let (status, _) = ask(reqwest::Method::GET, "/metrics", &token, "").await?;
    ensure!(status == 404, "more than that is served: {status}");

    suite.cluster.kubectl(&["delete", "clusterrolebinding", "watcher-debugs"])?;
    eventually("shut out", async || Ok((get(&token).await?.0 == 403).then_some(()))).await?;
    here.end().await
}

/// Asks until there is an answer: reviews are remembered for a while.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    let asking = async {
        loop {
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(FORGOTTEN, asking).await.with_context(|| format!("not {what} after {} s", FORGOTTEN.as_secs()))?
}
