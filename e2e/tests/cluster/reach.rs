//! Who may reach whom, by the chart's network policies: exactly what the table says. No policy is enforced on this cluster's
//! network, so they are read, by an evaluator, as the API defines them.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _, api::ListParams};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use showrunner_e2e::{
    install, media,
    reach::{COLLECTOR, FLOWS, Network, OTHER_STORE, PORTS, Party, Place, Port, STORE},
    suite::{Suite, trial},
    titles::Namespaced,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

const A_JOB: Duration = Duration::from_mins(3);
/// The release's namespace.
const OWN: &str = "own";

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![trial(suite, "reach::job_pods_have_no_token_and_nobody_reaches_more_than_the_table_says", exactly)]
}

async fn exactly(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("reach").await?;
    // The labels of a pod as the operator makes it, of a title with the store "default".
    let job_pod = waiting_pod(&suite, &here).await?;
    let labels = job_pod.labels().clone();
    let spec = job_pod.spec.context("a pod has a spec")?;
    let mounted: Vec<_> = spec.volumes.iter().flatten().filter(|v| v.projected.is_some() || v.secret.is_some()).collect();
    ensure!(spec.automount_service_account_token == Some(false) && mounted.is_empty(), "the pod as it is stored has {mounted:?}");
    for listed in [false, true] {
        let allowed: BTreeSet<_> = FLOWS
            .iter()
            .flat_map(|(from, to, ports, _)| ports.iter().map(|port| (*from, *to, *port)))
            .flat_map(|(from, to, port)| who(from).into_iter().map(move |from| (from, to, port)))
            .collect();
        let (network, places) = installed(&suite, &here.name, listed, true, &labels)?;
        for party in Party::OURS {
            ensure!(network.guards(&places[&party]), "no policy guards {party:?}");
        }
        differ(&network.flows(&places), &allowed)?;

        // Without knowledge of the API server's address, its ports are open to everywhere, from the two that need it.
        let (network, places) = installed(&suite, &here.name, listed, false, &labels)?;
        let anywhere = [Party::Operator, Party::Hook].into_iter().flat_map(|from| {
            let peers = Party::ALL.into_iter().filter(move |to| *to != from && !Party::OURS.contains(to));
            peers.flat_map(move |to| PORTS.into_iter().filter(|port| is_api(*port)).map(move |port| (from, to, port)))
        });
        differ(&network.flows(&places), &allowed.iter().copied().chain(anywhere).collect())?;
    }
    here.end().await
}

/// The pod of a Job that waits for a node that never comes, as it is stored.
async fn waiting_pod(suite: &Suite, here: &Namespaced) -> Result<Pod> {
    let path = format!("titles/{}/a.mp4", here.name);
    suite.store.put(&path, media::small_title(51)?).await?;
    let execution = json!({"accelerator": "Required", "class": "absent-gpu"});
    here.apply("a", json!({"source": {"path": path}, "execution": execution})).await?;
    here.wait_reason("a", "PodUnschedulable", A_JOB).await?;
    let pods = Api::<Pod>::namespaced(suite.client.clone(), &here.name).list(&ListParams::default()).await?;
    pods.items.into_iter().next().context("the Job has no pod")
}

/// DNS and the collector are pods of the cluster, too.
fn who(party: Party) -> Vec<Party> {
    if party == Party::Neighbour { vec![party, Party::Dns, Party::Collector] } else { vec![party] }
}

fn is_api(port: Port) -> bool {
    matches!(port, Port(443 | 6443, "TCP"))
}

fn differ(found: &BTreeSet<(Party, Party, Port)>, table: &BTreeSet<(Party, Party, Port)>) -> Result<()> {
    let (more, less): (Vec<_>, Vec<_>) = (found.difference(table).collect(), table.difference(found).collect());
    ensure!(more.is_empty() && less.is_empty(), "allowed and not in the table: {more:?}; in it and not allowed: {less:?}");
    Ok(())
}

/// The chart's policies with everything on, and where everybody is.
fn installed(
    suite: &Suite,
    jobs: &str,
    listed: bool,
    narrow: bool,
    job_labels: &BTreeMap<String, String>,
) -> Result<(Network, BTreeMap<Party, Place>)> {
    let Port(store, _) = STORE;
    let Port(other, _) = OTHER_STORE;
    let Port(collector, _) = COLLECTOR;
    let mut values = vec![
        format!(
            "stores.default.endpoint=https://a.example:{store},stores.default.bucket=b,stores.default.ranges={{192.0.2.0/28}}"
        ),
        format!(
            "stores.other.endpoint=https://b.example,stores.other.bucket=b,stores.other.ranges={{192.0.2.16/28}},stores.other.ports={{{other}}}"
        ),
        format!("traces.endpoint=http://c.observability:{collector}"),
        "traces.to[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=observability".to_owned(),
        "debug.listen=Cluster,debug.tlsSecret=tls,leases.enabled=true,leases.tlsSecret=tls".to_owned(),
        if listed { format!("watchNamespaces={{{jobs}}}") } else { format!("networkPolicy.jobNamespaces={{{jobs}}}") },
    ];
    if narrow {
        values.push("networkPolicy.apiServer.cidrs={10.96.0.1/32}".to_owned());
    }
    let flags: Vec<_> = values.iter().flat_map(|value| ["--set", value.as_str()]).collect();
    let rendered = install::render(&suite.cluster, "showrunner", OWN, &flags)?;
    let of = |kind: &'static str| rendered.iter().filter(move |object| object["kind"] == kind);
    let template = |object: &Value| -> Result<BTreeMap<String, String>> {
        Ok(serde_json::from_value(object["spec"]["template"]["metadata"]["labels"].clone())?)
    };
    let policies = of("NetworkPolicy").map(|policy| serde_json::from_value(policy.clone())).collect::<Result<Vec<_>, _>>()?;
    let (deployments, hooks): (Vec<_>, Vec<_>) = (of("Deployment").collect(), of("Job").collect());
    ensure!(deployments.len() == 1 && hooks.len() == 1, "the chart makes other pods than the table knows");
    let somebody = BTreeMap::from([("app".to_owned(), "somebody".to_owned())]);
    let place = |address: &str, pod: Option<(&str, BTreeMap<String, String>)>| -> Result<Place> {
        let address = address.parse().context("an address")?;
        Ok(Place { address, pod: pod.map(|(namespace, labels)| (namespace.to_owned(), labels)) })
    };
    let places = BTreeMap::from([
        (Party::Operator, place("10.1.0.1", Some((OWN, template(deployments[0])?)))?),
        (Party::Hook, place("10.1.0.2", Some((OWN, template(hooks[0])?)))?),
        (Party::JobPod, place("10.1.0.3", Some((jobs, job_labels.clone())))?),
        (Party::Neighbour, place("10.1.0.4", Some((jobs, somebody.clone())))?),
        (Party::Dns, place("10.1.0.5", Some(("kube-system", somebody.clone())))?),
        (Party::ApiServer, place("10.96.0.1", None)?),
        (Party::Store, place("192.0.2.1", None)?),
        (Party::OtherStore, place("192.0.2.17", None)?),
        (Party::Collector, place("10.1.0.6", Some(("observability", somebody)))?),
        (Party::NodeMetadata, place("169.254.169.254", None)?),
        (Party::World, place("203.0.113.1", None)?),
    ]);
    Ok((Network::new(policies), places))
}
