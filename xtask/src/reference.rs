//! A page per kind with every field, as `kubectl explain` would tell it. No I/O.

use crate::crd::Definition;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::fmt::Write as _;

/// File name and text of a kind's reference.
pub(crate) fn page(definition: &Definition) -> Result<(String, String)> {
    let names = &definition.crd.spec.names;
    let version = definition.crd.spec.versions.iter().find(|version| version.storage).context("a kind has a stored version")?;
    let schema =
        version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()).context("a version has a schema")?;
    let schema = serde_json::to_value(schema)?;
    let mut page = format!(
        "<!-- Written by `make gen` from crds/src; do not edit. -->\n# {} ({}/{})\n\n{}\n\nShort name `{}`. Namespaced. What it means and how to use it: [{}](../kinds/{}.md).\n",
        names.kind,
        definition.crd.spec.group,
        version.name,
        schema["description"].as_str().unwrap_or_default(),
        names.short_names.iter().flatten().map(String::as_str).collect::<Vec<_>>().join("`, `"),
        names.kind,
        kebab(&names.kind),
    );
    for part in ["spec", "status"] {
        let schema = &schema["properties"][part];
        write!(page, "\n## {part}\n\n{}\n", schema["description"].as_str().unwrap_or_default())?;
        rules(&mut page, schema)?;
        fields(&mut page, part, schema)?;
    }
    Ok((format!("{}.md", kebab(&names.kind)), page))
}

/// `TitleEnrichment` -> `title-enrichment`: the name of a kind's page.
pub(crate) fn kebab(kind: &str) -> String {
    let mut out = String::new();
    for c in kind.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.extend(c.to_lowercase());
    }
    out
}

fn fields(page: &mut String, path: &str, schema: &Value) -> Result<()> {
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let mut facts = vec![kind(field)];
        if required.contains(&name.as_str()) && field.get("default").is_none() {
            facts.push("required".to_owned());
        }
        facts.extend(limits(field));
        write!(page, "\n### `{path}`\n\n{}\n\n{}\n", facts.join(" · "), field["description"].as_str().unwrap_or_default())?;
        rules(page, field)?;
        fields(page, &path, field)?;
        fields(page, &format!("{path}[]"), &field["items"])?;
    }
    Ok(())
}

fn kind(field: &Value) -> String {
    let own = |field: &Value| match (field["type"].as_str().unwrap_or("any"), field["format"].as_str()) {
        ("string", Some("date-time")) => "time (RFC 3339)".to_owned(),
        (other, _) => other.to_owned(),
    };
    match field["type"].as_str() {
        Some("array") => format!("list of {}", own(&field["items"])),
        _ => own(field),
    }
}

fn limits(field: &Value) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(values) = field["enum"].as_array() {
        let values: Vec<_> = values.iter().map(|value| format!("`{}`", value.as_str().unwrap_or_default())).collect();
        facts.push(values.join(" or "));
    }
    // Defaults of blocks are those of their fields.
    if let Some(default) = field.get("default").filter(|default| !default.is_object()) {
        facts.push(format!("default `{}`", default.as_str().map_or_else(|| default.to_string(), str::to_owned)));
    }
    match (field["minimum"].as_f64(), field["maximum"].as_f64()) {
        (Some(low), Some(high)) => facts.push(format!("{low} to {high}")),
        (Some(low), None) => facts.push(format!("at least {low}")),
        (None, Some(high)) => facts.push(format!("at most {high}")),
        (None, None) => {}
    }
    for (word, unit) in [("maxLength", "characters"), ("maxItems", "entries"), ("maxProperties", "entries")] {
        if let Some(most) = field[word].as_u64() {
            facts.push(format!("at most {most} {unit}"));
        }
    }
    if let Some(pattern) = field["pattern"].as_str() {
        facts.push(format!("matches `{pattern}`"));
    }
    facts
}

fn rules(page: &mut String, schema: &Value) -> Result<()> {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let text = rule["message"].as_str().or_else(|| rule["rule"].as_str()).unwrap_or_default();
        write!(page, "\nRule: {text}.\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd;

    #[test]
    fn every_field_of_every_kind_has_its_heading() {
        let fields = |kind: &str| match kind {
            "AiBudget" => ["spec.limits.absolute.cap", "spec.scope.namespaceSelector.matchLabels", "status.models[].spent"],
            "TitleEnrichment" => ["spec.source.path", "status.steps[].state", "spec.execution.startDeadline"],
            other => panic!("name some fields of {other}"),
        };
        for definition in crd::all().unwrap() {
            let (_, text) = page(&definition).unwrap();
            for field in fields(&definition.crd.spec.names.kind) {
                assert!(text.contains(&format!("### `{field}`")), "{field} is missing");
            }
        }
    }

    #[test]
    fn pages_are_named_like_people_write_the_kind() {
        assert_eq!(kebab("TitleEnrichment"), "title-enrichment");
    }
}
