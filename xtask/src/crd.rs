//! Definitions of our kinds as YAML, for people and for the chart, with the digest of their schema. No I/O.

use crate::generated::sorted;
use anyhow::{Context as _, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use showrunner_contracts::Digest;

/// Largest definition: the API server takes more, but `kubectl apply` keeps a copy in an annotation of at most 256 KiB.
pub(crate) const MAX_BYTES: usize = 200 << 10;

const HEADER: &str = "# Written by `make gen` from crds/src; do not edit.\n";

/// One kind's definition, ready to be written.
pub(crate) struct Definition {
    /// File name, such as `titleenrichments.yaml`.
    pub(crate) file: String,
    /// The definition, with the digest of its schema as an annotation.
    pub(crate) crd: CustomResourceDefinition,
    /// The same as YAML.
    pub(crate) yaml: String,
}

impl Definition {
    /// The definition as a chart template: the same, kept when the release goes, because deleting it deletes every object.
    pub(crate) fn template(&self) -> Result<String> {
        ensure!(
            !self.yaml.contains("{{"),
            "failed to make a chart template of {}: a description or rule holds `{{{{`, which helm would expand",
            self.file
        );
        let marker = "  annotations:\n";
        let at = self.yaml.find(marker).context("the definition has annotations: the schema's digest is one")? + marker.len();
        let (head, tail) = self.yaml.split_at(at);
        Ok(format!("{head}    helm.sh/resource-policy: keep\n{tail}"))
    }
}

/// Every kind that has a working controller.
pub(crate) fn all() -> Result<Vec<Definition>> {
    showrunner_crds::all().into_iter().map(definition).collect()
}

/// SHA-256 over the compact JSON of the definition's spec: what the operator was compiled with and what is served are
/// compared by it.
pub(crate) fn schema_digest(crd: &CustomResourceDefinition) -> Result<String> {
    let json = serde_json::to_vec(&crd.spec).context("failed to write a definition's spec as JSON")?;
    Ok(Digest::of(&json).hex().to_owned())
}

fn definition(mut crd: CustomResourceDefinition) -> Result<Definition> {
    let digest = schema_digest(&crd)?;
    crd.metadata.annotations.get_or_insert_default().insert(showrunner_crds::SCHEMA_ANNOTATION.to_owned(), digest);
    let value = sorted(serde_json::to_value(&crd).context("failed to write a definition as JSON")?);
    let yaml = format!("{HEADER}{}", serde_saphyr::to_string(&value).context("failed to write a definition as YAML")?);
    ensure!(yaml.len() <= MAX_BYTES, "{} has {} bytes, more than {MAX_BYTES}", crd.spec.names.kind, yaml.len());
    Ok(Definition { file: format!("{}.yaml", crd.spec.names.plural), crd, yaml })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_definition_says_the_same_as_yaml_as_in_code() {
        for definition in all().unwrap() {
            let read: Value = serde_saphyr::from_str(&definition.yaml).unwrap();
            assert_eq!(read, serde_json::to_value(&definition.crd).unwrap(), "{}", definition.file);
            let template: Value = serde_saphyr::from_str(&definition.template().unwrap()).unwrap();
            assert_eq!(template["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
            assert_eq!(template["spec"], read["spec"]);
        }
    }

    #[test]
    fn every_definition_is_smaller_than_the_limit_and_has_the_status_subresource() {
        for definition in all().unwrap() {
            assert!(definition.yaml.len() <= MAX_BYTES, "{}: {} bytes", definition.file, definition.yaml.len());
            for version in &definition.crd.spec.versions {
                assert!(version.subresources.as_ref().is_some_and(|sub| sub.status.is_some()), "{}", definition.file);
            }
        }
    }

    /// Structural: <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>
    #[test]
    fn every_schema_is_structural_and_bounded() {
        for definition in all().unwrap() {
            for version in &definition.crd.spec.versions {
                let schema = serde_json::to_value(version.schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap()).unwrap();
                structural(&definition.file, &schema, true);
            }
        }
    }

    #[test]
    fn every_field_is_described() {
        for definition in all().unwrap() {
            for version in &definition.crd.spec.versions {
                let schema = serde_json::to_value(version.schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap()).unwrap();
                described(&definition.file, &schema["properties"]["spec"]);
                described(&definition.file, &schema["properties"]["status"]);
            }
        }
    }

    fn structural(path: &str, schema: &Value, root: bool) {
        let Some(object) = schema.as_object() else { panic!("{path}: a schema is an object") };
        assert!(!object.contains_key("$ref"), "{path}: no references");
        let int_or_string = object.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
        assert!(object.contains_key("type") || int_or_string, "{path}: no type");
        // Inside logical junctors nothing structural may be said.
        for junctor in ["anyOf", "oneOf", "allOf"] {
            for part in object.get(junctor).and_then(Value::as_array).into_iter().flatten() {
                for word in ["description", "type", "default", "additionalProperties", "nullable"] {
                    assert!(part.get(word).is_none() || int_or_string, "{path}.{junctor}: {word}");
                }
            }
        }
        if object.get("type") == Some(&Value::from("string")) && !root {
            let bounded = ["maxLength", "enum", "format"].iter().any(|word| object.contains_key(*word));
            assert!(bounded || path.contains(".conditions[]"), "{path}: a string without maxLength");
        }
        if object.get("type") == Some(&Value::from("array")) {
            assert!(object.contains_key("maxItems"), "{path}: a list without maxItems");
            structural(&format!("{path}[]"), &object["items"], false);
        }
        for (name, property) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
            structural(&format!("{path}.{name}"), property, false);
        }
    }

    fn described(path: &str, schema: &Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            assert!(property["description"].as_str().is_some_and(|text| !text.is_empty()), "{path}: no description");
            described(&path, property);
            described(&format!("{path}[]"), &property["items"]);
        }
    }
}
