//! JSON Schemas of the documents in `contracts`, for whoever reads what Showrunner publishes. No I/O.

use crate::generated::sorted;
use anyhow::{Context as _, Result};
use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::Value;
use showrunner_contracts::{
    Document,
    catalogue::{CatalogueEntry, CatalogueView},
    documents::{
        ChaptersDocument, DuplicatesDocument, FingerprintDocument, ModerationDocument, ShotsDocument, SubtitlesDocument,
        ThumbnailsDocument,
    },
    lease::{Lease, LeaseEvidence, LeaseRefusal, LeaseRequest, LeaseSettlement},
    manifest::TitleManifest,
    progress::Progress,
    result::{StepResult, Termination, UnitResult},
    work_order::WorkOrder,
};

/// File name and text of every schema.
pub(crate) fn all() -> Result<Vec<(String, String)>> {
    [
        document::<TitleManifest>(),
        document::<ShotsDocument>(),
        document::<ThumbnailsDocument>(),
        document::<SubtitlesDocument>(),
        document::<ChaptersDocument>(),
        document::<ModerationDocument>(),
        document::<FingerprintDocument>(),
        document::<DuplicatesDocument>(),
        document::<CatalogueEntry>(),
        document::<CatalogueView>(),
        document::<WorkOrder>(),
        document::<StepResult>(),
        document::<UnitResult>(),
        document::<Progress>(),
        document::<LeaseRequest>(),
        document::<LeaseSettlement>(),
        document::<LeaseEvidence>(),
        document::<Lease>(),
        document::<LeaseRefusal>(),
        text("termination.v1.schema.json", &schema::<Termination>("showrunner.dev/termination/v1")),
    ]
    .into_iter()
    .collect()
}

/// A document names its schema in the field `schema`: the only value that may have is part of the JSON Schema.
fn document<T: Document + JsonSchema>() -> Result<(String, String)> {
    let mut schema = schema::<T>(T::SCHEMA);
    let field = schema.pointer_mut("/properties/schema").and_then(Value::as_object_mut);
    field.context("a document has the field `schema`")?.insert("const".to_owned(), T::SCHEMA.into());
    let name = T::SCHEMA.strip_prefix("showrunner.dev/").context("names of schemas begin with our group")?;
    text(&format!("{}.schema.json", name.replace('/', ".")), &schema)
}

fn schema<T: JsonSchema>(id: &str) -> Schema {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), format!("https://{id}").into());
    schema
}

fn text(name: &str, schema: &Schema) -> Result<(String, String)> {
    let value = sorted(schema.clone().to_value());
    let json = serde_json::to_string_pretty(&value).with_context(|| format!("failed to write {name}"))?;
    Ok((name.to_owned(), json + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_is_closed_and_names_its_document() {
        for (name, text) in all().unwrap() {
            let schema: Value = serde_json::from_str(&text).unwrap();
            assert!(schema["$id"].as_str().unwrap().starts_with("https://showrunner.dev/"), "{name}");
            if name != "termination.v1.schema.json" {
                assert_eq!(schema["additionalProperties"], false, "{name}");
                let id = schema["$id"].as_str().unwrap();
                assert_eq!(id.strip_prefix("https://"), schema["properties"]["schema"]["const"].as_str(), "{name}");
            }
        }
    }
}
