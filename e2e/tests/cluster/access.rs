//! What each account may do at the API server: exactly what the table says, asked in two ways and tried for real.
//!
//! The chart's accounts, roles and bindings are rendered for a release of their own and applied without anything that runs: so
//! the hook's account is there too, and both ways of serving namespaces.

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::authorization::v1::{SelfSubjectRulesReview, SubjectAccessReview};
use kube::{
    Api, Client,
    api::PostParams,
    discovery::{Discovery, Scope},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use showrunner_e2e::{
    install::{self, NAMESPACE},
    rights::{Allowed, Installation, Who},
    suite::{Suite, trial},
    titles::Namespaced,
};
use std::{collections::BTreeSet, io::Write as _, process::Stdio, sync::Arc};

/// Questions under way at once.
const AT_ONCE: usize = 32;
/// What every account may do, by Kubernetes' own roles: ask about itself.
const ABOUT_ITSELF: [(&str, &str); 3] = [
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
];
const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
/// Rights that no list of resources shows.
const UNLISTED: [(&str, &str, &str); 10] = [
    ("*", "*", "*"),
    ("rbac.authorization.k8s.io", "roles", "bind"),
    ("rbac.authorization.k8s.io", "roles", "escalate"),
    ("rbac.authorization.k8s.io", "clusterroles", "bind"),
    ("rbac.authorization.k8s.io", "clusterroles", "escalate"),
    ("", "users", "impersonate"),
    ("", "groups", "impersonate"),
    ("", "serviceaccounts", "impersonate"),
    ("certificates.k8s.io", "signers", "approve"),
    ("certificates.k8s.io", "signers", "sign"),
];

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![
        trial(suite, "access::with_all_namespaces_served_nobody_may_do_more_than_the_table_says", all_served),
        trial(suite, "access::with_a_list_of_namespaces_nobody_may_do_more_than_the_table_says", some_served),
        trial(suite, "access::the_operator_that_runs_has_the_rights_of_the_table", installed),
        trial(suite, "access::the_operators_own_account_changes_no_spec_and_makes_no_pod_with_secrets", bounded),
    ]
}

async fn all_served(suite: Arc<Suite>) -> Result<()> {
    Box::pin(exactly(&suite, false)).await
}

async fn some_served(suite: Arc<Suite>) -> Result<()> {
    Box::pin(exactly(&suite, true)).await
}

/// An account: its namespace, its name, and a client with its token.
struct Account {
    user: String,
    client: Client,
}

impl Account {
    async fn of(suite: &Suite, namespace: &str, name: &str) -> Result<Self> {
        let token = suite.cluster.kubectl(&["create", "token", name, "--namespace", namespace, "--duration", "10m"])?;
        let client = suite.cluster.client_with(token).await?;
        Ok(Self { user: format!("system:serviceaccount:{namespace}:{name}"), client })
    }

    /// Everything it may do in a namespace and to objects in none, as the API server lists it; without what all may do.
    async fn rights(&self, namespace: &str) -> Result<BTreeSet<Allowed>> {
        let review = serde_json::from_value(json!({"spec": {"namespace": namespace}}))?;
        let review = Api::<SelfSubjectRulesReview>::all(self.client.clone()).create(&PostParams::default(), &review).await?;
        let status = review.status.context("a review has a status")?;
        let mut rights = BTreeSet::new();
        for rule in status.resource_rules {
            let names = rule.resource_names.filter(|names| !names.is_empty());
            let names = names.map_or(vec![None], |names| names.into_iter().map(Some).collect());
            for group in rule.api_groups.unwrap_or_default() {
                for resource in rule.resources.iter().flatten() {
                    for (verb, name) in rule.verbs.iter().flat_map(|verb| names.iter().map(move |name| (verb, name))) {
                        rights.insert((group.clone(), resource.clone(), verb.clone(), name.clone()));
                    }
                }
            }
        }
        for (group, resource) in ABOUT_ITSELF {
            let given = rights.remove(&(group.to_owned(), resource.to_owned(), "create".to_owned(), None));
            ensure!(given, "{} may not ask about itself: the review shows less than there is: {rights:?}", self.user);
        }
        let writes =
            status.non_resource_rules.iter().flat_map(|rule| &rule.verbs).any(|verb| !matches!(verb.as_str(), "get" | "head"));
        ensure!(!writes, "{} may do more than read paths: {:?}", self.user, status.non_resource_rules);
        Ok(rights)
    }
}

/// What is asked: group, resource with its subresource, verb, namespace, name.
type Question = (String, String, String, Option<String>, Option<String>);

async fn ask(suite: &Suite, user: &str, question: &Question) -> Result<bool> {
    let (group, resource, verb, namespace, name) = question;
    let (resource, subresource) = resource.split_once('/').map_or((resource.as_str(), None), |(of, sub)| (of, Some(sub)));
    let mut groups = vec!["system:serviceaccounts".to_owned(), "system:authenticated".to_owned()];
    groups.extend(user.split(':').nth(2).map(|namespace| format!("system:serviceaccounts:{namespace}")));
    let review = serde_json::from_value(json!({"spec": {"user": user, "groups": groups, "resourceAttributes": {
        "group": group, "resource": resource, "subresource": subresource, "verb": verb, "namespace": namespace, "name": name}}}))?;
    let review = Api::<SubjectAccessReview>::all(suite.client.clone()).create(&PostParams::default(), &review).await?;
    Ok(review.status.context("a review has a status")?.allowed)
}

/// Every verb on everything that the server has, in each of the namespaces, and what no list shows.
async fn questions(suite: &Suite, namespaces: &[&str]) -> Result<Vec<Question>> {
    let mut resources = Vec::new();
    for group in Discovery::new(suite.client.clone()).run().await?.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            let namespaced = capabilities.scope == Scope::Namespaced;
            let parts = capabilities.subresources.iter().map(|(sub, _)| format!("{}/{}", resource.plural, sub.plural));
            let all = parts.chain([resource.plural.clone()]);
            resources.extend(all.map(|name| (resource.group.clone(), name, namespaced)));
        }
    }
    ensure!(resources.len() > 60, "the server says it has {} resources only", resources.len());
    let listed = resources.iter().flat_map(|(group, resource, namespaced)| {
        VERBS.iter().map(move |verb| (group.as_str(), resource.as_str(), *verb, *namespaced))
    });
    let unlisted = UNLISTED.iter().flat_map(|(group, resource, verb)| [true, false].map(|n| (*group, *resource, *verb, n)));
    Ok(listed
        .chain(unlisted)
        .flat_map(|(group, resource, verb, namespaced)| {
            let places = if namespaced { namespaces.iter().map(|name| Some((*name).to_owned())).collect() } else { vec![None] };
            places.into_iter().map(move |place| (group.to_owned(), resource.to_owned(), verb.to_owned(), place, None))
        })
        .collect())
}

/// The namespaces of one release, its accounts, roles and bindings; nothing of it runs.
struct Release {
    name: &'static str,
    own: Namespaced,
    served: Namespaced,
    other: Namespaced,
    at: Installation,
}

impl Release {
    async fn apply(suite: &Suite, listed: bool) -> Result<Self> {
        let name = if listed { "some-showrunner" } else { "all-showrunner" };
        let (own, served, other) =
            (suite.namespace("access-own").await?, suite.namespace("access").await?, suite.namespace("access-other").await?);
        let watched = if listed { vec![served.name.clone()] } else { vec![] };
        let at =
            Installation { own: own.name.clone(), deployment: name.to_owned(), watched, reviews: listed, store_ledger: false };
        let served_only = format!("watchNamespaces={{{}}},debug.listen=Cluster,debug.tlsSecret=tls", served.name);
        let flags: &[&str] = if listed { &["--set", &served_only] } else { &[] };
        let rendered = install::render(&suite.cluster, name, &own.name, flags)?;
        let kinds = ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
        let wanted: Vec<_> = rendered.into_iter().filter(|object| kinds.iter().any(|kind| object["kind"] == *kind)).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": wanted});
        let mut kubectl = suite.cluster.command("kubectl")?;
        let mut kubectl = kubectl.args(["apply", "--filename", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        kubectl.stdin.take().context("it is piped")?.write_all(list.to_string().as_bytes())?;
        ensure!(kubectl.wait()?.success(), "the rendered roles were not taken");
        Ok(Self { name, own, served, other, at })
    }

    fn namespaces(&self) -> [&str; 3] {
        [&self.own.name, &self.served.name, &self.other.name]
    }

    async fn account(&self, suite: &Suite, who: Who) -> Result<Account> {
        match who {
            Who::Operator => Account::of(suite, &self.own.name, self.name).await,
            Who::Hook => Account::of(suite, &self.own.name, &format!("{}-drain", self.name)).await,
            Who::JobPod => Account::of(suite, &self.served.name, "default").await,
        }
    }

    async fn end(self, suite: &Suite) -> Result<()> {
        let selector = format!("app.kubernetes.io/instance={}", self.name);
        suite.cluster.kubectl(&["delete", "clusterroles,clusterrolebindings", "--selector", &selector])?;
        futures::try_join!(self.own.end(), self.served.end(), self.other.end()).map(|_| ())
    }
}

async fn exactly(suite: &Suite, listed: bool) -> Result<()> {
    let release = Release::apply(suite, listed).await?;
    // What holds everywhere is asked in two places; the account of job pods has no part in how namespaces are served.
    let [own, served, other] = release.namespaces();
    let (asked, accounts): (&[&str], &[Who]) = if listed {
        (&[own, served, other], &[Who::Operator, Who::Hook, Who::JobPod])
    } else {
        (&[own, other], &[Who::Operator, Who::Hook])
    };
    let questions = questions(suite, asked).await?;
    for who in accounts.iter().copied() {
        let account = release.account(suite, who).await?;
        for namespace in release.namespaces() {
            let mut table = release.at.allowed(who, Some(namespace));
            table.extend(release.at.allowed(who, None));
            differ(who, &format!("by the rules for {namespace}"), &account.rights(namespace).await?, &table)?;
        }

        let user = account.user.as_str();
        let answers = stream::iter(&questions)
            .map(|question| async move { Ok::<_, anyhow::Error>((question, ask(suite, user, question).await?)) });
        let allowed: Vec<(&Question, bool)> =
            answers.buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await.context(user.to_owned())?;
        let allowed = allowed.into_iter().filter(|(_, allowed)| *allowed).map(|(question, _)| question);
        for place in asked.iter().copied().map(Some).chain([None]) {
            let here = allowed.clone().filter(|question| question.3.as_deref() == place);
            let found: BTreeSet<Allowed> = here
                .filter(|(group, resource, ..)| !ABOUT_ITSELF.contains(&(group.as_str(), resource.as_str())))
                .map(|(group, resource, verb, ..)| (group.clone(), resource.clone(), verb.clone(), None))
                .collect();
            let table = release.at.allowed(who, place);
            let (unnamed, named): (BTreeSet<_>, BTreeSet<_>) = table.into_iter().partition(|(.., name)| name.is_none());
            differ(who, &format!("by {} questions, in {place:?}", questions.len()), &found, &unnamed)?;
            for (group, resource, verb, name) in named {
                let of =
                    |name: &str| (group.clone(), resource.clone(), verb.clone(), place.map(str::to_owned), Some(name.to_owned()));
                let name = name.context("it has a name")?;
                ensure!(ask(suite, user, &of(&name)).await?, "{user} may not {verb} {resource} {name}");
                ensure!(!ask(suite, user, &of("another")).await?, "{user} may {verb} any of {resource}, not {name} alone");
            }
        }
        tried(suite, &release, &account).await?;
    }
    release.end(suite).await
}

fn differ(who: Who, how: &str, found: &BTreeSet<Allowed>, table: &BTreeSet<Allowed>) -> Result<()> {
    let more: Vec<_> = found.difference(table).collect();
    let less: Vec<_> = table.difference(found).collect();
    ensure!(
        more.is_empty() && less.is_empty(),
        "{}, {how}: allowed and not in the table: {more:?}; in it and not allowed: {less:?}",
        who.name()
    );
    Ok(())
}

/// Requests with which one would take the cluster over, or read what is not one's own: method, path, body.
fn dangerous(release: &Release) -> Vec<(&'static str, String, Value)> {
    let (own, served) = (&release.own.name, &release.served.name);
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let subject = json!([{"kind": "ServiceAccount", "name": release.name, "namespace": own}]);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"});
    let binding = json!({"metadata": {"name": "mine"}, "roleRef": role, "subjects": subject});
    let everything = json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]});
    let container = json!({"name": "c", "image": "none"});
    let title = format!("/apis/showrunner.dev/v1alpha1/namespaces/{served}/titleenrichments");
    vec![
        (
            "POST",
            format!("/api/v1/namespaces/{served}/pods"),
            json!({"metadata": {"name": "p"}, "spec": {"containers": [container]}}),
        ),
        ("POST", format!("/api/v1/namespaces/{served}/pods/p/exec?command=id"), Value::Null),
        ("PATCH", format!("/api/v1/namespaces/{served}/pods/p/ephemeralcontainers"), json!({"spec": {}})),
        ("GET", format!("/api/v1/namespaces/{served}/pods/p/log"), Value::Null),
        ("GET", format!("/api/v1/namespaces/{own}/secrets/showrunner-store-default"), Value::Null),
        ("GET", "/api/v1/secrets".to_owned(), Value::Null),
        ("GET", format!("/api/v1/namespaces/{served}/configmaps"), Value::Null),
        ("POST", format!("{rbac}/clusterrolebindings"), binding.clone()),
        ("POST", format!("{rbac}/namespaces/{served}/rolebindings"), binding),
        ("PATCH", format!("{rbac}/clusterroles/{}-{own}-definitions", release.name), everything),
        ("GET", "/api/v1/nodes".to_owned(), Value::Null),
        ("GET", "/api/v1/nodes/n/proxy/pods".to_owned(), Value::Null),
        ("POST", format!("/api/v1/namespaces/{own}/serviceaccounts/{}/token", release.name), json!({"spec": {"audiences": []}})),
        ("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests".to_owned(), json!({"metadata": {"name": "c"}})),
        (
            "DELETE",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/titleenrichments.showrunner.dev".to_owned(),
            Value::Null,
        ),
        ("PATCH", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/p".to_owned(), json!({"spec": {}})),
        (
            "POST",
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations".to_owned(),
            json!({"metadata": {"name": "w"}}),
        ),
        ("PATCH", format!("/apis/apps/v1/namespaces/{own}/deployments/{}", release.name), json!({"spec": {}})),
        ("DELETE", format!("/api/v1/namespaces/{}", release.other.name), Value::Null),
        ("POST", title.clone(), json!({"metadata": {"name": "t"}, "spec": {"source": {"path": "p"}}})),
        ("DELETE", format!("{title}/t"), Value::Null),
    ]
}

/// What the API server says to a request; nothing where it does it. Writes are only tried on.
async fn said(client: &Client, method: &str, path: &str, body: &Value) -> Result<String> {
    let dry = if method == "GET" || path.contains('?') { "" } else { "?dryRun=All" };
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
    let request = http::Request::builder().method(method).uri(format!("{path}{dry}")).header("content-type", kind).body(bytes)?;
    match client.request_text(request).await {
        Ok(_) => Ok(String::new()),
        Err(kube::Error::Api(status)) => Ok(status.message.clone()),
        Err(error) => Err(error.into()),
    }
}

/// None of it is only a matter of reviews: refused for real, for want of the right, where the administrator is not.
async fn tried(suite: &Suite, release: &Release, account: &Account) -> Result<()> {
    for (method, path, body) in dangerous(release) {
        let refused = format!("User \"{}\" cannot", account.user);
        let answer = said(&account.client, method, &path, &body).await?;
        ensure!(answer.contains(&refused), "{} {method} {path}: {answer:?}", account.user);
        let answer = said(&suite.client, method, &path, &body).await?;
        ensure!(!answer.contains("\" cannot "), "the administrator is refused too: {method} {path}: {answer:?}");
    }
    let admin = http::Request::get("/api/v1/namespaces")
        .header("Impersonate-User", "admin")
        .header("Impersonate-Group", "system:masters");
    match account.client.request_text(admin.body(Vec::new())?).await {
        Err(kube::Error::Api(status)) if status.message.contains("cannot impersonate") => Ok(()),
        other => anyhow::bail!("{} impersonates: {other:?}", account.user),
    }
}

async fn installed(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("access-installed").await?;
    let operator = Account::of(&suite, NAMESPACE, "showrunner").await?;
    let at = Installation {
        own: NAMESPACE.into(),
        deployment: "showrunner".into(),
        watched: vec![],
        reviews: false,
        store_ledger: true,
    };
    for namespace in [NAMESPACE, &here.name] {
        let mut table = at.allowed(Who::Operator, Some(namespace));
        table.extend(at.allowed(Who::Operator, None));
        differ(Who::Operator, &format!("as installed, in {namespace}"), &operator.rights(namespace).await?, &table)?;
    }
    here.end().await
}

async fn bounded(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("access-bounds").await?;
    here.apply("a", json!({"source": {"path": "absent.mp4"}, "suspend": true})).await?;
    let operator = Account::of(&suite, NAMESPACE, "showrunner").await?;
    let title = format!("/apis/showrunner.dev/v1alpha1/namespaces/{}/titleenrichments/a", here.name);
    let answer = said(&operator.client, "PATCH", &title, &json!({"spec": {"suspend": false}})).await?;
    ensure!(answer.contains("a spec belongs to people"), "the operator's account changes a spec: {answer:?}");
    let annotated = json!({"metadata": {"annotations": {"a": "b"}}});
    let answer = said(&operator.client, "PATCH", &title, &annotated).await?;
    ensure!(answer.is_empty(), "the rest of a title is refused too: {answer}");

    let jobs = format!("/apis/batch/v1/namespaces/{}/jobs", here.name);
    let plain = json!({"metadata": {"generateName": "j-"}, "spec": {"suspend": true, "template": {"spec": {
        "restartPolicy": "Never", "automountServiceAccountToken": false, "volumes": [{"name": "v", "emptyDir": {}}],
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "c", "image": "none", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}}});
    let answer = said(&operator.client, "POST", &jobs, &plain).await?;
    ensure!(answer.is_empty(), "a Job like those of the operator is refused: {answer}");
    let pod = json!({"metadata": {"name": "p"}, "spec": plain["spec"]["template"]["spec"]});
    let pods = format!("/api/v1/namespaces/{}/pods", here.name);
    // With a query it is no dry run.
    let made = said(&suite.client, "POST", &format!("{pods}?fieldManager=test"), &pod).await?;
    ensure!(made.is_empty(), "the administrator makes no pod: {made}");
    let mut other = json!({"spec": {"containers": pod["spec"]["containers"]}});
    other["spec"]["containers"][0]["image"] = "another".into();
    let answer = said(&operator.client, "PATCH", &format!("{pods}/p"), &other).await?;
    ensure!(answer.contains("of a pod to its Job"), "the operator's account changes a pod's image: {answer:?}");
    let answer = said(&operator.client, "PATCH", &format!("{pods}/p"), &annotated).await?;
    ensure!(answer.is_empty(), "the rest of a pod is refused too: {answer}");
    for (what, pointer, key, value) in [
        ("a token", "", "automountServiceAccountToken", json!(true)),
        ("another account", "", "serviceAccountName", json!("builder")),
        ("the node's network", "", "hostNetwork", json!(true)),
        ("a Secret as files", "", "volumes", json!([{"name": "v", "secret": {"secretName": "s"}}])),
        (
            "a token as files",
            "",
            "volumes",
            json!([{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
        ),
        ("the node's files", "", "volumes", json!([{"name": "v", "hostPath": {"path": "/"}}])),
        (
            "a Secret as a variable",
            "/containers/0",
            "env",
            json!([{"name": "E", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
        ),
        ("a Secret as variables", "/containers/0", "envFrom", json!([{"secretRef": {"name": "s"}}])),
        ("a further container", "", "initContainers", json!([{"name": "i", "image": "none"}])),
    ] {
        let mut job = plain.clone();
        job.pointer_mut(&format!("/spec/template/spec{pointer}")).context("it is there")?[key] = value;
        let answer = said(&operator.client, "POST", &jobs, &job).await?;
        ensure!(answer.contains("the operator's Jobs"), "the operator's account makes a pod with {what}: {answer:?}");
    }
    here.end().await
}
