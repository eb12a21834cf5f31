//! The report of a budget on the real cluster: its status, the store and the listener say the same.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use libtest_mimic::Trial;
use serde_json::json;
use showrunner_crds::title_enrichment::Phase;
use showrunner_e2e::{
    install::{self, NAMESPACE},
    media,
    suite::{Suite, trial},
};
use std::sync::Arc;

use super::budget::{A_JOB, Budget, micros, quick, text};
use super::debug::{HOST, PORT, certificate, client};

/// A ledger that no other test has written.
const LEDGER: &str = "reported-ledger";

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![trial(suite, "report::status_store_and_listener_agree_on_what_a_budget_spent", agrees)]
}

async fn agrees(suite: Arc<Suite>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certificate = certificate(folder.path())?;
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) = (file("tls.crt"), file("tls.key"));
    let secret = ["create", "secret", "tls", "showrunner-report-tls", "--namespace", NAMESPACE];
    suite.cluster.kubectl(&[&secret[..], &["--cert", &cert, "--key", &key]].concat())?;
    let values = format!(
        "debug.listen=Cluster,debug.tlsSecret=showrunner-report-tls,budgets.ledger.store=default,budgets.ledger.path={LEDGER}"
    );
    install::upgrade(&suite.cluster, &["--set", &values])?;
    let agreed = compare(&suite, &certificate).await;
    // Whatever came of it, the others find the installation as it was.
    install::upgrade(&suite.cluster, &[])?;
    suite.cluster.kubectl(&["delete", "secret", "showrunner-report-tls", "--namespace", NAMESPACE])?;
    agreed
}

async fn compare(suite: &Suite, certificate: &[u8]) -> Result<()> {
    let here = suite.namespace("reported").await?;
    let path = format!("titles/{}/small.mp4", here.name);
    suite.store.put(&path, media::small_title(11)?).await?;
    let budget = Budget::make(suite, &here, &json!({ "absolute": { "warn": "50", "cap": "100" } })).await?;
    here.apply("reported", quick(&path)).await?;
    here.wait_for("reported", Phase::Published, A_JOB).await?;
    let told = budget.wait("it is reported", |budget| !text(budget, "/report/path").is_empty()).await?;
    let (spent, period) = (text(&told, "/report/spent"), text(&told, "/report/period"));
    ensure!(micros(&spent) > 0 && spent == text(&told, "/spent") && period == text(&told, "/period/name"), "{:?}", told.status);
    let folder = text(&told, "/report/path");
    ensure!(folder == format!("{LEDGER}-reports/{}/{period}", here.name), "{folder}");

    let account = format!("--serviceaccount={}:reader", here.name);
    suite.cluster.kubectl(&["create", "serviceaccount", "reader", "--namespace", &here.name])?;
    suite.cluster.kubectl(&["create", "clusterrolebinding", "reader-reports", "--clusterrole=showrunner-debug", &account])?;
    let token = suite.cluster.kubectl(&["create", "token", "reader", "--namespace", &here.name, "--duration", "10m"])?;
    let operators = ListParams::default().labels("app.kubernetes.io/component=operator");
    let pods = Api::<Pod>::namespaced(suite.client.clone(), NAMESPACE).list(&operators).await?;
    let pods: Vec<&Pod> = pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
    ensure!(!pods.is_empty(), "there is no operator");
    for name in ["models.csv", "focus.csv", "report"] {
        let stored = if name == "report" { "index.html" } else { name };
        let stored = String::from_utf8(suite.store.read(&format!("{folder}/{stored}")).await?.to_vec())?;
        // Each replica reads the same ledger, whichever of them leads.
        for pod in &pods {
            let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).context("no address")?;
            let url = format!("https://{HOST}:{PORT}/budgets/{}/{name}", here.name);
            let served =
                client(certificate, address)?.get(url).bearer_auth(&token).send().await?.error_for_status()?.text().await?;
            for form in [&stored, &served] {
                let said = match name {
                    "models.csv" => total(form, "Spent", |model| model == "(all)")?,
                    "focus.csv" => total(form, "BilledCost", |_| true)?,
                    _ => u64::from(form.contains(&format!("<b>{spent}</b>"))) * micros(&spent),
                };
                ensure!(said == micros(&spent), "{name} says {said} millionths, and the status {spent}: {form}");
            }
        }
    }
    suite.cluster.kubectl(&["delete", "clusterrolebinding", "reader-reports"])?;
    budget.end().await?;
    here.end().await
}

/// What a column of a CSV without quoted commas before it sums to, in millionths, over rows of these models.
fn total(csv: &str, column: &str, counts: impl Fn(&str) -> bool) -> Result<u64> {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().context("there is no header")?.split(',').collect();
    let place = |name: &str| header.iter().position(|found| *found == name);
    let (cost, model) = (place(column).with_context(|| format!("no column {column}"))?, place("Model"));
    let rows = lines.map(|line| line.split(',').collect::<Vec<_>>());
    Ok(rows.filter(|row| counts(model.and_then(|at| row.get(at)).unwrap_or(&""))).map(|row| micros(row[cost])).sum())
}
