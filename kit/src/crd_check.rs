//! Whether the API server serves our kinds with all that this binary was compiled for.
//!
//! Reads `CustomResourceDefinitions` by name; writes nothing.
//!
//! What is compared is the schema itself, not a label that says which it is, and it is compared one way: all that the
//! compiled schema accepts must be accepted by the served one. A newer definition accepts more (a field, a value of an
//! enum), and the operator before it, to which people roll back, can live with that; an older one does not do. A missing
//! definition is a state to wait in, not a crash: Helm does not upgrade `crds/`, and people install in any order.

mod schema;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use kube::{Api, Client};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Time for one question.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often to ask while something is missing.
const ASK_WHEN_MISSING: Duration = Duration::from_secs(2);
/// How often to ask when all is well: a definition can be changed under a running operator.
const ASK_WHEN_WELL: Duration = Duration::from_mins(1);

/// What is known of our definitions. Cloning is cheap.
#[derive(Clone)]
pub struct CrdCheck {
    wanted: Arc<Vec<CustomResourceDefinition>>,
    pending: Arc<watch::Sender<Vec<String>>>,
}

impl CrdCheck {
    /// Nothing is known yet, so all are pending.
    pub fn new(wanted: Vec<CustomResourceDefinition>) -> Self {
        let pending = wanted.iter().map(|crd| format!("{}: not asked for yet", name_of(crd))).collect();
        Self { wanted: Arc::new(wanted), pending: Arc::new(watch::Sender::new(pending)) }
    }

    /// What is missing or different, for people; empty when all is well.
    pub fn pending(&self) -> Vec<String> {
        self.pending.borrow().clone()
    }

    /// Waits until nothing is missing: who would write by another schema than the one that is served must not lead.
    pub async fn all_served(&self) {
        // An error says that nobody asks any more, which cannot be: this check holds the sender.
        let _ = self.pending.subscribe().wait_for(Vec::is_empty).await;
    }

    /// Asks until `stop`.
    pub async fn run(self, client: Client, stop: CancellationToken) {
        let api: Api<CustomResourceDefinition> = Api::all(client);
        loop {
            let mut pending = Vec::new();
            for wanted in self.wanted.iter() {
                let name = name_of(wanted);
                let verdict = match tokio::time::timeout(TIMEOUT, api.get_opt(name)).await {
                    Err(_) => Some("no answer in time".to_owned()),
                    Ok(Err(error)) if is_not_ours(wanted, &error) => None,
                    Ok(Err(error)) => Some(crate::conditions::clean(&error.to_string())),
                    Ok(Ok(None)) => Some("not installed; install the showrunner-crds chart".to_owned()),
                    Ok(Ok(Some(served))) => compare(wanted, &served),
                };
                pending.extend(verdict.map(|verdict| format!("{name}: {verdict}")));
            }
            let wait = if pending.is_empty() { ASK_WHEN_WELL } else { ASK_WHEN_MISSING };
            let before = self.pending.send_replace(pending.clone());
            if before != pending {
                tracing::info!(?pending, "the definitions of our kinds changed");
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Whether this installation may know nothing of a kind that is in no namespace, as one does whose roles are older than the kind, or
/// that was told to leave it alone: it goes on without, and the watch of the kind says that it is refused.
fn is_not_ours(wanted: &CustomResourceDefinition, error: &kube::Error) -> bool {
    wanted.spec.scope == "Cluster" && matches!(error, kube::Error::Api(status) if status.code == 403)
}

fn name_of(crd: &CustomResourceDefinition) -> &str {
    crd.metadata.name.as_deref().unwrap_or_default()
}

/// Why the served definition does not do; `None` when it does: it may be newer, but must accept all that the wanted one does.
fn compare(wanted: &CustomResourceDefinition, served: &CustomResourceDefinition) -> Option<String> {
    let established = served.status.iter().flat_map(|status| status.conditions.iter().flatten());
    if !established.into_iter().any(|condition| condition.type_ == "Established" && condition.status == "True") {
        return Some("not established yet".to_owned());
    }
    wanted.spec.versions.iter().find_map(|version| {
        let found = served.spec.versions.iter().find(|found| found.name == version.name && found.served);
        let lacking = found.map_or_else(|| Some("it is not served".to_owned()), |found| version_lacks(version, found))?;
        let name = &version.name;
        Some(format!("version {name}: {lacking}; install the showrunner-crds chart of this operator's version, or a newer one"))
    })
}

/// What of one version is not served as it is wanted.
fn version_lacks(wanted: &CustomResourceDefinitionVersion, served: &CustomResourceDefinitionVersion) -> Option<String> {
    let has_status =
        |version: &CustomResourceDefinitionVersion| version.subresources.as_ref().is_some_and(|s| s.status.is_some());
    if has_status(wanted) && !has_status(served) {
        return Some("it has no status subresource".to_owned());
    }
    let schema = |version: &CustomResourceDefinitionVersion| {
        let schema = version.schema.as_ref().and_then(|validation| validation.open_api_v3_schema.as_ref());
        serde_json::to_value(schema).unwrap_or_default()
    };
    schema::not_accepted(&schema(wanted), &schema(served), "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::client::Body;
    use serde_json::{Value, json};
    use std::sync::{Mutex, PoisonError};

    /// The definition that is installed, as the API server gives it back.
    fn real() -> Value {
        let mut crd: Value = serde_saphyr::from_str(include_str!("../../crds/generated/titleenrichments.yaml")).unwrap();
        crd["status"] = json!({ "conditions": [{ "type": "Established", "status": "True" }] });
        crd
    }

    fn verdict(wanted: &Value, served: &Value) -> Option<String> {
        let crd = |value: &Value| serde_json::from_value(value.clone()).unwrap();
        compare(&crd(wanted), &crd(served))
    }

    fn root(crd: &mut Value) -> &mut Value {
        &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    }

    /// JSON pointers of all objects below `value` that have `key`.
    fn places(value: &Value, key: &str, at: &str, found: &mut Vec<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), value)).collect(),
            Value::Array(list) => list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
            _ => Vec::new(),
        };
        if value.get(key).is_some() {
            found.push(at.to_owned());
        }
        for (name, child) in children {
            places(child, key, &format!("{at}/{name}"), found);
        }
    }

    #[test]
    fn the_same_definition_in_other_words_is_the_same() {
        let mut served = real();
        root(&mut served)["properties"]["spec"]["description"] = "another".into();
        assert_eq!(verdict(&real(), &served), None);
    }

    #[test]
    fn a_newer_definition_that_takes_more_keeps_an_older_operator_ready() {
        let mut newer = real();
        newer["spec"]["versions"][0]["additionalPrinterColumns"].as_array_mut().unwrap().push(json!({
            "name": "New", "type": "string", "jsonPath": ".status.new"
        }));
        let spec = &mut root(&mut newer)["properties"]["spec"];
        spec["properties"]["invented"] = json!({ "type": "string", "maxLength": 9, "default": "a" });
        spec["x-kubernetes-validations"] = json!([{ "rule": "!has(self.invented) || self.invented != ''" }]);
        let required = spec["required"].as_array_mut().unwrap();
        required.push("invented".into());
        let mut enums = Vec::new();
        places(&newer, "enum", "", &mut enums);
        assert!(!enums.is_empty());
        for place in enums {
            newer.pointer_mut(&place).unwrap()["enum"].as_array_mut().unwrap().insert(0, "Invented".into());
        }
        assert_eq!(verdict(&real(), &newer), None);
        let told = verdict(&newer, &real()).unwrap();
        assert!(told.contains("install the showrunner-crds chart"), "but a newer operator waits for it: {told}");
    }

    #[test]
    fn every_field_and_every_value_that_the_operator_knows_must_be_served() {
        let (mut objects, mut enums) = (Vec::new(), Vec::new());
        places(&real(), "properties", "", &mut objects);
        places(&real(), "enum", "", &mut enums);
        assert!(objects.len() > 10, "{objects:?}");
        for place in &objects {
            let names: Vec<_> = real().pointer(place).unwrap()["properties"].as_object().unwrap().keys().cloned().collect();
            for name in names {
                let mut older = real();
                older.pointer_mut(place).unwrap()["properties"].as_object_mut().unwrap().remove(&name);
                let told = verdict(&real(), &older).unwrap_or_else(|| panic!("{place}/{name} is not missed"));
                assert!(told.contains(&format!("{name} is missing;")), "{told}");
            }
        }
        for place in &enums {
            let mut older = real();
            // Another value in its place: where there was one only, none at all would be no limit.
            let last = older.pointer_mut(place).unwrap()["enum"].as_array_mut().unwrap().last_mut().unwrap();
            let gone = std::mem::replace(last, "another".into());
            let told = verdict(&real(), &older).unwrap_or_else(|| panic!("{gone} of {place} is not missed"));
            assert!(told.contains(&format!("does not take {gone}")), "{told}");
        }
    }

    #[test]
    fn an_installation_goes_on_without_a_kind_of_the_cluster_that_it_may_not_see() {
        let crd = |text: &str| -> CustomResourceDefinition { serde_saphyr::from_str(text).unwrap() };
        let budgets = crd(include_str!("../../crds/generated/aibudgets.yaml"));
        let titles = crd(include_str!("../../crds/generated/titleenrichments.yaml"));
        let answer = |code| kube::Error::Api(Box::new(kube::core::Status { code, ..kube::core::Status::default() }));
        assert!(is_not_ours(&budgets, &answer(403)));
        assert!(!is_not_ours(&titles, &answer(403)), "without its own kinds nothing can be done");
        assert!(!is_not_ours(&budgets, &answer(500)), "that says nothing");
    }

    #[test]
    fn a_definition_that_is_not_served_yet_is_pending() {
        let change = |change: fn(&mut Value)| {
            let mut served = real();
            change(&mut served);
            verdict(&real(), &served).unwrap()
        };
        let told = change(|crd| crd["status"]["conditions"][0]["status"] = "False".into());
        assert_eq!(told, "not established yet");
        let told = change(|crd| crd["spec"]["versions"][0]["served"] = false.into());
        assert!(told.starts_with("version v1alpha1: it is not served;"), "{told}");
        let told = change(|crd| drop(crd["spec"]["versions"][0].as_object_mut().unwrap().remove("subresources")));
        assert!(told.contains("no status subresource"), "{told}");
    }

    /// What the API server has of the definition, told to whoever asks for it.
    #[derive(Clone, Default)]
    struct Served(Arc<Mutex<Option<Value>>>);

    impl Served {
        fn set(&self, definition: Option<Value>) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = definition;
        }

        fn client(&self) -> Client {
            let served = self.clone();
            let service = tower::service_fn(move |_: http::Request<Body>| {
                let found = served.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let missing =
                    || json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "" });
                let (code, answer) = found.map_or_else(|| (404, missing()), |definition| (200, definition));
                let body = Body::from(answer.to_string().into_bytes());
                async move { Ok::<_, kube::Error>(http::Response::builder().status(code).body(body).unwrap()) }
            });
            Client::new(service, "default")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_the_definitions_waits_until_they_are_served_and_is_told_when_they_go() {
        let served = Served::default();
        let check = CrdCheck::new(vec![serde_json::from_value(real()).unwrap()]);
        assert_eq!(check.pending(), ["titleenrichments.showrunner.dev: not asked for yet"]);
        tokio::spawn(check.clone().run(served.client(), CancellationToken::new()));
        let waiting = tokio::spawn({
            let check = check.clone();
            async move { check.all_served().await }
        });
        tokio::time::sleep(ASK_WHEN_MISSING * 10).await;
        let told = "titleenrichments.showrunner.dev: not installed; install the showrunner-crds chart";
        assert!(!waiting.is_finished());
        assert_eq!(check.pending(), [told]);
        served.set(Some(real()));
        tokio::time::sleep(ASK_WHEN_MISSING * 2).await;
        assert!(waiting.is_finished());
        assert_eq!(check.pending(), [""; 0]);
        served.set(None);
        tokio::time::sleep(ASK_WHEN_WELL * 2).await;
        assert_eq!(check.pending(), [told], "a definition can be taken away under a running operator");
    }
}
