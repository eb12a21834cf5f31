//! Whether the API server serves our kinds with the schema that this binary was compiled with.
//!
//! Reads `CustomResourceDefinitions` by name; writes nothing.
//!
//! What is compared is the schema itself, not a label that says which it is: whatever the server may add (defaults it
//! fills in, conversions), every field that this binary knows must be served as it knows it. A missing definition is a
//! state to wait in, not a crash: Helm does not upgrade `crds/`, and people install in any order.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use serde_json::Value;
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

fn name_of(crd: &CustomResourceDefinition) -> &str {
    crd.metadata.name.as_deref().unwrap_or_default()
}

/// Why the served definition does not do; `None` when it does.
fn compare(wanted: &CustomResourceDefinition, served: &CustomResourceDefinition) -> Option<String> {
    let established = served.status.iter().flat_map(|status| status.conditions.iter().flatten());
    if !established.into_iter().any(|condition| condition.type_ == "Established" && condition.status == "True") {
        return Some("not established yet".to_owned());
    }
    for version in &wanted.spec.versions {
        let Some(found) = served.spec.versions.iter().find(|found| found.name == version.name && found.served) else {
            return Some(format!("version {} is not served; upgrade the showrunner-crds chart", version.name));
        };
        let schema =
            |version: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion| {
                serde_json::to_value(&version.schema).unwrap_or(Value::Null)
            };
        if let Some(path) = first_difference(&schema(version), &schema(found), String::new()) {
            return Some(format!(
                "version {} has another schema at {path}; install the showrunner-crds chart of this operator's version",
                version.name
            ));
        }
    }
    None
}

/// Keys of a schema that hold texts for people: of no consequence.
const FOR_PEOPLE: &[&str] = &["description", "example", "externalDocs", "title"];

/// Where `served` lacks or changes something of `wanted`.
fn first_difference(wanted: &Value, served: &Value, path: String) -> Option<String> {
    match (wanted, served) {
        (Value::Object(wanted), Value::Object(served)) => wanted.iter().find_map(|(key, value)| {
            let at = format!("{path}/{key}");
            // A property may be called "title"; then its parent is "properties" and its value a schema.
            if FOR_PEOPLE.contains(&key.as_str()) && value.is_string() {
                return None;
            }
            match served.get(key) {
                Some(found) => first_difference(value, found, at),
                None if is_empty(value) => None,
                None => Some(at),
            }
        }),
        (Value::Array(wanted), Value::Array(served)) if wanted.len() == served.len() => wanted
            .iter()
            .zip(served)
            .enumerate()
            .find_map(|(index, (wanted, served))| first_difference(wanted, served, format!("{path}/{index}"))),
        // 1 and 1.0 are one number to the API server.
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => None,
        (wanted, served) if wanted == served => None,
        _ => Some(if path.is_empty() { "/".to_owned() } else { path }),
    }
}

/// Values that the API server leaves out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn crd(schema: Value, established: &str) -> CustomResourceDefinition {
        serde_json::from_value(json!({
            "metadata": { "name": "titles.showrunner.dev" },
            "spec": {
                "group": "showrunner.dev", "scope": "Namespaced", "names": { "kind": "Title", "plural": "titles" },
                "versions": [{ "name": "v1alpha1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } }],
            },
            "status": { "conditions": [{ "type": "Established", "status": established }] },
        }))
        .unwrap()
    }

    fn schema(max: u32, description: &str) -> Value {
        json!({ "type": "object", "properties": { "title": { "type": "string", "maxLength": max, "description": description } } })
    }

    #[test]
    fn the_same_schema_in_other_words_is_the_same() {
        assert_eq!(compare(&crd(schema(9, "old"), "True"), &crd(schema(9, "new"), "True")), None);
    }

    #[test]
    fn a_schema_that_differs_is_named_with_its_place() {
        let verdict = compare(&crd(schema(9, ""), "True"), &crd(schema(8, ""), "True")).unwrap();
        assert!(verdict.contains("/openAPIV3Schema/properties/title/maxLength"), "{verdict}");
        let without = json!({ "type": "object" });
        assert!(compare(&crd(schema(9, ""), "True"), &crd(without, "True")).is_some());
    }

    #[test]
    fn a_definition_that_is_not_served_yet_is_pending() {
        assert!(compare(&crd(schema(9, ""), "True"), &crd(schema(9, ""), "False")).is_some());
    }
}
