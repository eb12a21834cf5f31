//! Who may reach whom over the network: the table that the handbook shows, and an evaluator that holds network policies to it. Pure.
//!
//! The evaluator follows the API's definition of a `NetworkPolicy`: policies that select a pod add up; a pod that none selects
//! for a direction is open in it; a flow between two pods must be let out of the one and into the other.

use k8s_openapi::{
    api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::core::{Selector, SelectorExt as _};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Who talks, or is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The operator.
    Operator,
    /// The hook that ends an installation.
    Hook,
    /// A job's pod, in a namespace with the policies for job pods.
    JobPod,
    /// Another pod of the cluster.
    Neighbour,
    /// The cluster's DNS.
    Dns,
    /// The API server.
    ApiServer,
    /// The store that the title names.
    Store,
    /// Another store of the configuration.
    OtherStore,
    /// The collector of traces.
    Collector,
    /// The address at which clouds hand out a node's credentials.
    NodeMetadata,
    /// Anything else in the world.
    World,
}

impl Party {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Operator,
        Self::Hook,
        Self::JobPod,
        Self::Neighbour,
        Self::Dns,
        Self::ApiServer,
        Self::Store,
        Self::OtherStore,
        Self::Collector,
        Self::NodeMetadata,
        Self::World,
    ];

    /// Those that are ours: a policy must select each, in both directions.
    pub const OURS: [Self; 3] = [Self::Operator, Self::Hook, Self::JobPod];

    const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Hook => "the hook at uninstall",
            Self::JobPod => "job pods",
            Self::Neighbour => "pods of the cluster",
            Self::Dns => "DNS (`networkPolicy.dnsTo`)",
            Self::ApiServer => "API server (`networkPolicy.apiServer`)",
            Self::Store => "the store that the title names (its `ranges`)",
            Self::OtherStore => "other stores",
            Self::Collector => "collector (`traces.to`)",
            Self::NodeMetadata => "the cloud's metadata",
            Self::World => "anything else",
        }
    }
}

/// A port that somebody listens at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port(pub u16, pub &'static str);

/// The store that the title names, in the test's values.
pub const STORE: Port = Port(9000, "TCP");
/// The other one.
pub const OTHER_STORE: Port = Port(9001, "TCP");
/// The collector.
pub const COLLECTOR: Port = Port(4318, "TCP");
const DNS: [Port; 2] = [Port(53, "UDP"), Port(53, "TCP")];
const API: [Port; 2] = [Port(443, "TCP"), Port(6443, "TCP")];
/// Ports that flows are tried on: all that anybody listens at here, and some at which nobody of the table does.
pub const PORTS: [Port; 14] = [
    DNS[0],
    DNS[1],
    API[0],
    API[1],
    STORE,
    OTHER_STORE,
    COLLECTOR,
    Port(8080, "TCP"),
    Port(8443, "TCP"),
    Port(8444, "TCP"),
    Port(6060, "TCP"),
    Port(10250, "TCP"),
    Port(80, "TCP"),
    Port(443, "UDP"),
];

/// A row: from, to, ports, and what else there is to say.
type Row = (Party, Party, &'static [Port], &'static str);

/// Every flow that the policies allow from or to a pod of ours.
pub const FLOWS: [Row; 12] = [
    (Party::Operator, Party::Dns, &DNS, ""),
    (Party::Operator, Party::ApiServer, &API, "by default any address at these ports: narrow it where you know them"),
    (Party::Operator, Party::Store, &[STORE], "the port of its URL, or `ports`"),
    (Party::Operator, Party::OtherStore, &[OTHER_STORE], "the port of its URL, or `ports`"),
    (Party::Operator, Party::Collector, &[COLLECTOR], "with `traces.endpoint`; the port of its URL, or `traces.ports`"),
    (Party::Hook, Party::Dns, &DNS, ""),
    (Party::Hook, Party::ApiServer, &API, "as the operator"),
    (Party::JobPod, Party::Dns, &DNS, ""),
    (Party::JobPod, Party::Store, &[STORE], "the port of its `podEndpoint` or URL, or `ports`"),
    (Party::Neighbour, Party::Operator, &[Port(8080, "TCP")], "metrics and probes, from `networkPolicy.metricsFrom`"),
    (Party::Neighbour, Party::Operator, &[Port(8443, "TCP")], "with `debug.listen=Cluster`, from `networkPolicy.debugFrom`"),
    (Party::Neighbour, Party::Operator, &[Port(8444, "TCP")], "with `leases.enabled`, from `networkPolicy.leasesFrom`"),
];

/// The table as the handbook has it.
pub fn markdown() -> String {
    let rows = FLOWS.iter().map(|(from, to, ports, remark)| {
        let at: Vec<_> = match ports {
            [STORE | OTHER_STORE | COLLECTOR] => vec!["its own".to_owned()],
            ports => ports.iter().map(|port| format!("{} {}", port.0, port.1)).collect(),
        };
        format!("| {} | {} | {} | {remark} |", from.name(), to.name(), at.join(", "))
    });
    let nobody = [Party::JobPod, Party::Hook].map(|party| format!("| anybody | {} | none | |", party.name()));
    let head = ["| from | to | ports | |".to_owned(), "|---|---|---|---|".to_owned()];
    head.into_iter().chain(rows).chain(nobody).flat_map(|row| [row, "\n".to_owned()]).collect()
}

/// Where a party is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its address.
    pub address: IpAddr,
    /// Namespace and labels, of a pod.
    pub pod: Option<(String, BTreeMap<String, String>)>,
}

/// Network policies, and where they hold.
pub struct Network {
    policies: Vec<(String, NetworkPolicySpec)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

impl Network {
    /// Of these policies.
    pub fn new(policies: impl IntoIterator<Item = NetworkPolicy>) -> Self {
        let held = |policy: NetworkPolicy| Some((policy.metadata.namespace?, policy.spec?));
        Self { policies: policies.into_iter().filter_map(held).collect() }
    }

    /// Whether some policy selects a pod in both directions: what is not allowed is then refused.
    pub fn guards(&self, pod: &Place) -> bool {
        [Way::In, Way::Out].into_iter().all(|way| self.of(pod, way).next().is_some())
    }

    /// Whether `from` gets through to a port of `to`.
    pub fn lets(&self, from: &Place, to: &Place, port: Port) -> bool {
        self.side(from, to, port, Way::Out) && self.side(to, from, port, Way::In)
    }

    /// Everything that gets through from or to somebody of ours.
    pub fn flows(&self, places: &BTreeMap<Party, Place>) -> BTreeSet<(Party, Party, Port)> {
        let ours = |party| Party::OURS.contains(&party);
        let pairs = places.iter().flat_map(|from| places.iter().map(move |to| (from, to)));
        pairs
            .filter(|((from, _), (to, _))| from != to && (ours(**from) || ours(**to)))
            .flat_map(|((from, here), (to, there))| {
                let open = PORTS.into_iter().filter(move |port| self.lets(here, there, *port));
                open.map(move |port| (*from, *to, port))
            })
            .collect()
    }

    /// The policies that select a pod for a direction.
    fn of<'a>(&'a self, pod: &'a Place, way: Way) -> impl Iterator<Item = &'a NetworkPolicySpec> {
        let selects = move |(namespace, spec): &&(String, NetworkPolicySpec)| {
            let Some((home, labels)) = &pod.pod else { return false };
            let everything = LabelSelector::default();
            home == namespace && matches(spec.pod_selector.as_ref().unwrap_or(&everything), labels) && types(spec).contains(&way)
        };
        self.policies.iter().filter(selects).map(|(_, spec)| spec)
    }

    fn side(&self, pod: &Place, peer: &Place, port: Port, way: Way) -> bool {
        let mut policies = self.of(pod, way).peekable();
        if policies.peek().is_none() {
            return true;
        }
        let home = pod.pod.as_ref().map(|(namespace, _)| namespace.as_str()).unwrap_or_default();
        let fits = |peers: Option<&Vec<NetworkPolicyPeer>>, ports: Option<&Vec<NetworkPolicyPort>>| {
            let peers =
                peers.filter(|peers| !peers.is_empty()).is_none_or(|peers| peers.iter().any(|found| is_peer(found, peer, home)));
            peers && ports.filter(|ports| !ports.is_empty()).is_none_or(|ports| ports.iter().any(|found| is_port(found, port)))
        };
        policies.any(|spec| match way {
            Way::In => spec.ingress.iter().flatten().any(|rule| fits(rule.from.as_ref(), rule.ports.as_ref())),
            Way::Out => spec.egress.iter().flatten().any(|rule| fits(rule.to.as_ref(), rule.ports.as_ref())),
        })
    }
}

/// As the API has it: not given, it is ingress, and egress where there are rules for it.
fn types(spec: &NetworkPolicySpec) -> Vec<Way> {
    match &spec.policy_types {
        Some(types) => types.iter().map(|way| if way == "Egress" { Way::Out } else { Way::In }).collect(),
        None if spec.egress.is_some() => vec![Way::In, Way::Out],
        None => vec![Way::In],
    }
}

fn is_peer(peer: &NetworkPolicyPeer, place: &Place, home: &str) -> bool {
    if let Some(block) = &peer.ip_block {
        return in_block(block, place.address);
    }
    let Some((namespace, labels)) = &place.pod else { return false };
    let by_namespace = peer.namespace_selector.as_ref().map_or(namespace == home, |selector| {
        matches(selector, &BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), namespace.clone())]))
    });
    by_namespace && peer.pod_selector.as_ref().is_none_or(|selector| matches(selector, labels))
}

/// Numbers only: a port by name would need the pod's container.
fn is_port(found: &NetworkPolicyPort, port: Port) -> bool {
    let number = match &found.port {
        None => true,
        Some(IntOrString::Int(first)) => (*first..=found.end_port.unwrap_or(*first)).contains(&i32::from(port.0)),
        Some(IntOrString::String(_)) => false,
    };
    number && found.protocol.as_deref().unwrap_or("TCP") == port.1
}

fn in_block(block: &IPBlock, address: IpAddr) -> bool {
    let inside = |cidr: &str| {
        let Some((network, bits)) = cidr.split_once('/') else { return false };
        let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
        match (network, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits,
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits,
            _ => false,
        }
    };
    inside(&block.cidr) && !block.except.iter().flatten().any(|cidr| inside(cidr))
}

fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn network(specs: &[Value]) -> Network {
        let policy = |spec: &Value| {
            serde_json::from_value(json!({"metadata": {"namespace": "home"}, "spec": spec})).expect("it is a policy")
        };
        Network::new(specs.iter().map(policy))
    }

    fn pod(namespace: &str, label: &str) -> Place {
        let labels = BTreeMap::from([("app".to_owned(), label.to_owned())]);
        Place { address: "10.0.0.9".parse().expect("an address"), pod: Some((namespace.to_owned(), labels)) }
    }

    #[test]
    fn the_handbook_shows_this_table() {
        let page = std::fs::read_to_string(crate::cluster::root().join("docs/operations.md")).expect("the page is there");
        assert!(page.contains(&markdown()), "docs/operations.md#networks must have this table:\n{}", markdown());
    }

    #[test]
    fn the_evaluator_reads_policies_as_the_api_defines_them() {
        let (ours, friend, stranger) = (pod("home", "ours"), pod("home", "friend"), pod("away", "friend"));
        let outside = |address: &str| Place { address: address.parse().expect("an address"), pod: None };
        let select = json!({"matchLabels": {"app": "ours"}});
        let http = Port(80, "TCP");
        assert!(network(&[]).lets(&stranger, &ours, http), "nobody guards it");

        let closed = network(&[json!({"podSelector": select, "policyTypes": ["Ingress"]})]);
        assert!(!closed.lets(&friend, &ours, http) && closed.lets(&ours, &friend, http) && !closed.guards(&ours));
        assert!(closed.lets(&friend, &stranger, http), "it selects another");

        let from_home = network(&[json!({"podSelector": select, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 80, "endPort": 81}]}],
            "egress": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.8/29"]}}]}]})]);
        assert!(from_home.guards(&ours) && from_home.lets(&friend, &ours, Port(81, "TCP")));
        assert!(!from_home.lets(&stranger, &ours, http) && !from_home.lets(&friend, &ours, Port(80, "UDP")));
        assert!(from_home.lets(&ours, &outside("192.0.2.7"), Port(1, "UDP")) && !from_home.lets(&ours, &friend, http));
        assert!(!from_home.lets(&ours, &outside("192.0.2.9"), http) && !from_home.lets(&ours, &outside("2001:db8::1"), http));

        let away = json!({"matchLabels": {"kubernetes.io/metadata.name": "away"}});
        let named = network(&[
            json!({"podSelector": {}, "policyTypes": ["Ingress"]}),
            json!({"podSelector": select, "ingress": [{"from": [{"namespaceSelector": away, "podSelector": {"matchLabels": {"app": "friend"}}}]}]}),
        ]);
        assert!(named.lets(&stranger, &ours, http), "policies add up");
        assert!(!named.lets(&pod("away", "other"), &ours, http) && !named.lets(&stranger, &friend, http));
    }
}
