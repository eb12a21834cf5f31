//! Who may do what at the API server: the table that the handbook shows and that the tests hold the chart to. Pure.

use std::collections::BTreeSet;

/// An account that pods of ours run under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The operator.
    Operator,
    /// The hook that ends an installation.
    Hook,
    /// The job pods, which run as their namespace's default account.
    JobPod,
}

/// Where a right holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the namespaces that are served: those of `watchNamespaces`, or all.
    Served,
    /// In the release's own namespace.
    Own,
    /// For objects that are in no namespace.
    Cluster,
}

/// Which objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// All of them.
    Any,
    /// The one of this name.
    One(&'static str),
    /// The operator's Deployment.
    Deployment,
    /// The namespaces of `watchNamespaces`.
    Watched,
}

/// With which values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// With all.
    Always,
    /// With `debug.listen=Cluster` or `leases.enabled`.
    Reviews,
    /// With `watchNamespaces`.
    Listed,
    /// With the ledger in ConfigMaps.
    Ledger,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// Who has it.
    pub who: &'static [Who],
    /// API group, empty for the core.
    pub group: &'static str,
    /// Resource, with a subresource after a slash.
    pub resource: &'static str,
    /// Verbs.
    pub verbs: &'static [&'static str],
    /// Which objects.
    pub named: Named,
    /// Where.
    pub place: Place,
    /// With which values.
    pub when: When,
}

const BOTH: &[Who] = &[Who::Operator, Who::Hook];

/// Everything that the chart allows. What every account may do by itself (ask what it may do) is not in it.
pub const RIGHTS: [Right; 17] = [
    right(BOTH, "showrunner.dev", "titleenrichments", &["list", "watch", "patch"], Place::Served),
    right(BOTH, "showrunner.dev", "titleenrichments/status", &["patch"], Place::Served),
    right(BOTH, "batch", "jobs", &["get", "list", "watch", "create", "patch", "delete"], Place::Served),
    right(BOTH, "", "pods", &["list", "watch", "patch", "delete"], Place::Served),
    right(BOTH, "events.k8s.io", "events", &["create"], Place::Served),
    right(BOTH, "coordination.k8s.io", "leases", &["create"], Place::Own),
    Right {
        named: Named::One("showrunner-operator"),
        ..right(BOTH, "coordination.k8s.io", "leases", &["get", "update"], Place::Own)
    },
    Right {
        named: Named::One("titleenrichments.showrunner.dev"),
        ..right(&[Who::Operator], "apiextensions.k8s.io", "customresourcedefinitions", &["get"], Place::Cluster)
    },
    Right {
        named: Named::One("aibudgets.showrunner.dev"),
        ..right(&[Who::Operator], "apiextensions.k8s.io", "customresourcedefinitions", &["get"], Place::Cluster)
    },
    right(BOTH, "showrunner.dev", "aibudgets", &["get", "list", "watch", "patch"], Place::Cluster),
    right(BOTH, "showrunner.dev", "aibudgets/status", &["patch"], Place::Cluster),
    right(BOTH, "", "namespaces", &["list", "watch"], Place::Cluster),
    Right { when: When::Ledger, ..right(&[Who::Operator], "", "configmaps", &["get", "create"], Place::Own) },
    Right {
        when: When::Reviews,
        ..right(&[Who::Operator], "authentication.k8s.io", "tokenreviews", &["create"], Place::Cluster)
    },
    Right {
        when: When::Reviews,
        ..right(&[Who::Operator], "authorization.k8s.io", "subjectaccessreviews", &["create"], Place::Cluster)
    },
    Right { named: Named::Deployment, ..right(&[Who::Hook], "apps", "deployments/scale", &["patch"], Place::Own) },
    Right { named: Named::Watched, when: When::Listed, ..right(&[Who::Hook], "", "namespaces", &["get"], Place::Cluster) },
];

const fn right(
    who: &'static [Who],
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    place: Place,
) -> Right {
    Right { who, group, resource, verbs, named: Named::Any, place, when: When::Always }
}

/// How the chart is installed.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The release's namespace.
    pub own: String,
    /// The operator's Deployment.
    pub deployment: String,
    /// `watchNamespaces`; empty where all are served.
    pub watched: Vec<String>,
    /// Whether tokens are reviewed: for `debug.listen=Cluster`, or for leases.
    pub reviews: bool,
    /// Whether the ledger is in a store.
    pub store_ledger: bool,
}

/// A verb on a resource: group, resource, verb, and the object's name where only one is meant.
pub type Allowed = (String, String, String, Option<String>);

impl Installation {
    /// What the table allows in a namespace, or for objects in none.
    pub fn allowed(&self, who: Who, namespace: Option<&str>) -> BTreeSet<Allowed> {
        let mut allowed = BTreeSet::new();
        for right in RIGHTS.iter().filter(|right| right.who.contains(&who) && self.is_given(right, namespace)) {
            for verb in right.verbs {
                let names = match right.named {
                    Named::Any => vec![None],
                    Named::One(name) => vec![Some(name.to_owned())],
                    Named::Deployment => vec![Some(self.deployment.clone())],
                    Named::Watched => self.watched.iter().cloned().map(Some).collect(),
                };
                let row = |name| (right.group.to_owned(), right.resource.to_owned(), (*verb).to_owned(), name);
                allowed.extend(names.into_iter().map(row));
            }
        }
        allowed
    }

    fn is_given(&self, right: &Right, namespace: Option<&str>) -> bool {
        let here = match (right.place, namespace) {
            (Place::Cluster, _) => namespace.is_none(),
            (_, None) => false,
            (Place::Own, Some(namespace)) => namespace == self.own,
            (Place::Served, Some(namespace)) => self.watched.is_empty() || self.watched.iter().any(|served| served == namespace),
        };
        let now = match right.when {
            When::Always => true,
            When::Reviews => self.reviews,
            When::Listed => !self.watched.is_empty(),
            When::Ledger => !self.store_ledger,
        };
        here && now
    }
}

/// The table as the handbook has it.
pub fn markdown() -> String {
    let rows = RIGHTS.iter().map(|right| {
        let who: Vec<_> = right.who.iter().map(|who| who.name()).collect();
        let group = if right.group.is_empty() { String::new() } else { format!(" of {}", right.group) };
        let which = match right.named {
            Named::Any => "all".to_owned(),
            Named::One(name) => format!("`{name}`"),
            Named::Deployment => "the operator's".to_owned(),
            Named::Watched => "those of `watchNamespaces`".to_owned(),
        };
        let place = match right.place {
            Place::Served => "namespaces served",
            Place::Own => "its own namespace",
            Place::Cluster => "cluster",
        };
        let when = match right.when {
            When::Always => "",
            When::Reviews => ", with `debug.listen=Cluster` or `leases.enabled`",
            When::Listed => ", with `watchNamespaces`",
            When::Ledger => ", without `budgets.ledger.store`",
        };
        let verbs = right.verbs.join(", ");
        format!("| {} | `{}`{group}: {verbs} | {which} | {place}{when} |", who.join(", "), right.resource)
    });
    let nothing = format!("| {} | nothing: no token is mounted | | |", Who::JobPod.name());
    let head = ["| who | what | which | where |".to_owned(), "|---|---|---|---|".to_owned()];
    head.into_iter().chain(rows).chain([nothing]).flat_map(|row| [row, "\n".to_owned()]).collect()
}

impl Who {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Hook => "the hook at uninstall",
            Self::JobPod => "job pods",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handbook_shows_this_table() {
        let page = std::fs::read_to_string(crate::cluster::root().join("docs/operations.md")).expect("the page is there");
        assert!(page.contains(&markdown()), "docs/operations.md#rights must have this table:\n{}", markdown());
    }

    #[test]
    fn a_right_holds_where_the_table_says() {
        let all =
            Installation { own: "own".into(), deployment: "d".into(), watched: vec![], reviews: false, store_ledger: false };
        let some = Installation { watched: vec!["studio".into()], ..all.clone() };
        let has = |at: &Installation, who, namespace, resource: &str| {
            at.allowed(who, namespace).iter().any(|(_, found, _, _)| found == resource)
        };
        assert!(has(&all, Who::Hook, Some("studio"), "jobs") && has(&some, Who::Hook, Some("studio"), "jobs"));
        assert!(has(&all, Who::Operator, Some("else"), "pods") && !has(&some, Who::Operator, Some("else"), "pods"));
        assert!(has(&some, Who::Operator, Some("own"), "leases") && !has(&some, Who::Operator, Some("studio"), "leases"));
        let watched = |at: &Installation| {
            at.allowed(Who::Hook, None).iter().any(|(_, found, verb, _)| found == "namespaces" && verb == "get")
        };
        assert!(watched(&some) && !watched(&all));
        assert!(has(&all, Who::Operator, Some("own"), "configmaps") && !has(&all, Who::Operator, Some("else"), "configmaps"));
        assert!(!has(&all, Who::Operator, None, "tokenreviews") && !has(&all, Who::Hook, None, "customresourcedefinitions"));
        assert!(all.allowed(Who::JobPod, Some("studio")).is_empty());
    }
}
