//! A title under a budget, under faults: it waits for money, somebody raises the cap, it is done and charged.

use anyhow::Result;
use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Value, json};
use showrunner_e2e::faults::{
    player::{Behaviour, ready_reason},
    run::Scenario,
    stage::Stage,
};
use std::{sync::Arc, time::Duration};

use super::title_enrichment::{TITLE, TITLES, published, spec};

pub(crate) fn stories() -> Vec<Arc<dyn Scenario>> {
    vec![Arc::new(Budgeted), Arc::new(Blind), Arc::new(Cancelled)]
}

/// The cap is too small for the title, and is raised.
struct Budgeted;

fn budget(cap: &str) -> Value {
    json!({ "currency": "USD", "limits": { "absolute": { "cap": cap } } })
}

impl Scenario for Budgeted {
    fn name(&self) -> &'static str {
        "budgeted"
    }

    fn budget(&self) -> Option<(Value, i128)> {
        Some((budget("0.000001"), 1_000_000))
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn play<'a>(&'a self, stage: &'a Stage<'a>) -> BoxFuture<'a, Result<()>> {
        async move {
            stage.create(TITLES, TITLE, &spec()).await?;
            let waits = "WaitingForBudget";
            stage.until("the title waits for money", |now| now.get(TITLES, TITLE).and_then(ready_reason) == Some(waits)).await?;
            stage.edit_budget(&budget("1")).await?;
            published(stage).await
        }
        .boxed()
    }
}

/// What the budget is a part of is not known, and then somebody says so.
struct Blind;

impl Scenario for Blind {
    fn name(&self) -> &'static str {
        "blind"
    }

    fn budget(&self) -> Option<(Value, i128)> {
        let of = json!({ "focus": { "path": "billing/nobody-wrote-it.csv" } });
        Some((json!({ "currency": "USD", "limits": { "share": { "cap": "0.15", "of": of } } }), 1_000_000))
    }

    fn is_blind(&self) -> bool {
        true
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn play<'a>(&'a self, stage: &'a Stage<'a>) -> BoxFuture<'a, Result<()>> {
        async move {
            stage.create(TITLES, TITLE, &spec()).await?;
            let waits = "WaitingForBudget";
            stage.until("the title waits for money", |now| now.get(TITLES, TITLE).and_then(ready_reason) == Some(waits)).await?;
            stage.edit_budget(&json!({ "limits": { "share": null, "absolute": { "cap": "1" } } })).await?;
            published(stage).await
        }
        .boxed()
    }
}

/// Deleted while it works: what was reserved for it is free again, and what it ran is charged.
struct Cancelled;

impl Scenario for Cancelled {
    fn name(&self) -> &'static str {
        "cancelled"
    }

    fn budget(&self) -> Option<(Value, i128)> {
        Some((budget("1"), 1_000_000))
    }

    fn pods(&self) -> Vec<Behaviour> {
        vec![Behaviour::Hangs]
    }

    fn editions(&self) -> usize {
        0
    }

    fn play<'a>(&'a self, stage: &'a Stage<'a>) -> BoxFuture<'a, Result<()>> {
        async move {
            stage.create(TITLES, TITLE, &spec()).await?;
            stage.until("the title is worked on", |now| now.get(TITLES, TITLE).and_then(ready_reason) == Some("Working")).await?;
            stage.delete(TITLES, TITLE).await?;
            stage.until("nothing is left", |now| now.all().next().is_none()).await
        }
        .boxed()
    }
}
