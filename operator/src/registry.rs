//! The kinds that this operator runs. Adding one is one line.
//!
//! No I/O.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use showrunner_controllers::ai_budget::Shared;
use showrunner_controllers::{ai_budget, title_enrichment};
use showrunner_kit::controller::Wiring;

/// Wires one kind with its settings.
type Register<'a> = Box<dyn Fn(&mut Wiring, Value) -> anyhow::Result<()> + 'a>;

/// All kinds, by the name of their settings in `kinds`.
fn kinds(shared: &Shared) -> Vec<(&'static str, Register<'_>)> {
    vec![
        kind("aiBudget", |wiring, settings| ai_budget::register(wiring, &settings, shared)),
        kind("titleEnrichment", title_enrichment::register),
    ]
}

/// A kind whose settings are read as `S`, an empty map where the configuration says nothing.
fn kind<'a, S: DeserializeOwned + 'static>(
    name: &'static str,
    register: impl Fn(&mut Wiring, S) -> anyhow::Result<()> + 'a,
) -> (&'static str, Register<'a>) {
    let register = move |wiring: &mut Wiring, settings: Value| {
        let settings = serde_json::from_value(settings).context("failed to read its settings")?;
        register(wiring, settings)
    };
    (name, Box::new(register))
}

/// Wires every kind. Settings of a kind that does not exist are a mistake.
pub(crate) fn register_all(wiring: &mut Wiring, settings: &BTreeMap<String, Value>, shared: &Shared) -> anyhow::Result<()> {
    let kinds = kinds(shared);
    for name in settings.keys() {
        let known = || kinds.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        ensure!(kinds.iter().any(|(kind, _)| kind == name), "kinds: there is no kind {name:?}; there are {}", known());
    }
    for (name, register) in &kinds {
        let settings = settings.get(*name).cloned().unwrap_or_else(|| Value::Object(Map::new()));
        register(wiring, settings).with_context(|| format!("kinds.{name}"))?;
    }
    Ok(())
}
