//! Spec mutation: sequences of changes that a seed chooses from a kind's schema, made to a real object at named moments.
//! The end depends on the last spec only, and nothing is done on the way that nobody asked for.
//!
//! | module | is |
//! |---|---|
//! | [`schema`] | what can be changed, read from the kind's definition |
//! | [`sequence`] | changes and their moments, by a seed |
//! | [`story`] | a sequence as a story for the runs of [`crate::faults`] |
//! | [`oracle`] | what must hold beside the laws |
//!
//! I/O: reads the kind's definition and page; the stories are played on [`crate::faults::stage::Stage`].

pub mod oracle;
pub mod schema;
pub mod sequence;
pub mod story;

use crate::{cluster::root, faults::stage::Stage};
use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use schema::Field;
use serde_json::Value;
use std::collections::BTreeSet;

/// What a schema does not say of a kind: one file for each.
pub trait Kind: Send + Sync {
    /// Its plural.
    fn resource(&self) -> &'static str;

    /// Its page in `docs/kinds`, without the extension: what reasons there are.
    fn page(&self) -> &'static str;

    /// What is wanted first.
    fn start(&self) -> Value;

    /// Values for fields of which the schema does not say enough, by path: good ones, such as the operator has to refuse,
    /// and such as the API server refuses.
    fn words(&self, field: &str) -> Option<Vec<Value>>;

    /// Puts into the store what specs name.
    fn prepare<'a>(&'a self, stage: &'a Stage<'a>) -> BoxFuture<'a, Result<()>>;

    /// What has to be changed in a spec before it can come to a good end: a merge patch, an empty object where nothing.
    fn cure(&self, spec: &Value) -> Value;

    /// That part of a spec on which results depend: as long as it stays, work that is begun goes on.
    fn work(&self, spec: &Value) -> Value;

    /// Whether work is to stop for this spec.
    fn pauses(&self, spec: &Value) -> bool;

    /// Reasons of `Ready` that do not stay without something to happen from outside.
    fn moving(&self) -> &'static [&'static str];

    /// The phase, and reason, of a good end.
    fn end(&self) -> &'static str;
}

/// What can be changed in a kind's spec.
pub fn fields(kind: &dyn Kind) -> Result<Vec<Field>> {
    let path = root().join("crds/generated").join(format!("{}.yaml", kind.resource()));
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let definition: Value = serde_saphyr::from_str(&text)?;
    schema::fields(&definition, &|field| kind.words(field)).with_context(|| path.display().to_string())
}

/// The reasons that a kind's page explains.
pub fn reasons(kind: &dyn Kind) -> Result<BTreeSet<String>> {
    let path = root().join("docs/kinds").join(format!("{}.md", kind.page()));
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    Ok(oracle::documented(&text))
}
