//! A budget on the real cluster: titles wait for money and start when there is some, are charged once, and what was spent is
//! known again whatever becomes of the budget's object.

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use showrunner_crds::{
    AiBudget,
    ai_budget::{BudgetPhase, BudgetReason},
    title_enrichment::Phase,
};
use showrunner_e2e::{
    media,
    suite::{Suite, trial},
    titles::Namespaced,
};
use std::{sync::Arc, time::Duration};

const A_JOB: Duration = Duration::from_mins(4);
const SOON: Duration = Duration::from_mins(1);

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![
        trial(suite, "budget::every_rule_of_the_schema_refuses_with_a_sentence_to_act_on", refuses),
        trial(suite, "budget::defaults_are_visible_and_a_minimal_budget_is_accepted", defaults),
        trial(suite, "budget::a_title_waits_for_money_is_charged_once_and_what_was_spent_outlives_the_object", spends),
        trial(suite, "budget::a_bill_that_is_missing_makes_work_wait_and_one_that_comes_lets_it_go_on", bill),
    ]
}

/// A change to a good spec, and a part of the message it must be refused with.
const REFUSED: &[(&str, &str, &str)] = &[
    ("/currency", r#""usd""#, "spec.currency"),
    ("/limits", "{}", "give limits.absolute, limits.share or both"),
    ("/limits", r#"{"absolute":{"cap":"1e3"}}"#, "spec.limits.absolute.cap"),
    ("/limits", r#"{"absolute":{"cap":"-5"}}"#, "spec.limits.absolute.cap"),
    ("/limits", r#"{"absolute":{"cap":"5.1234567"}}"#, "spec.limits.absolute.cap"),
    ("/limits", r#"{"absolute":{"warn":"6","cap":"5.99"}}"#, "warn must be at most cap"),
    ("/limits", r#"{"share":{"cap":"1.5","of":{"fixed":"1"}}}"#, "spec.limits.share.cap"),
    ("/limits", r#"{"share":{"warn":"0.2","cap":"0.15","of":{"fixed":"1"}}}"#, "warn must be at most cap"),
    ("/limits", r#"{"share":{"cap":"0.15","of":{}}}"#, "give either of.fixed or of.focus"),
    ("/limits", r#"{"share":{"cap":"0.15","of":{"fixed":"1","focus":{"path":"a.csv"}}}}"#, "give either of.fixed or of.focus"),
    ("/limits", r#"{"share":{"cap":"0.15","of":{"focus":{"path":"../a.csv"}}}}"#, "path is relative to the store profile"),
    (
        "/limits",
        r#"{"share":{"cap":"0.15","of":{"focus":{"path":"a.csv","maxAge":"10m"}}}}"#,
        "maxAge must be between 1h and 1440h",
    ),
    ("/period", r#"{"type":"Week"}"#, "spec.period.type"),
    ("/period", r#"{"timeZone":"../../etc/passwd"}"#, "spec.period.timeZone"),
    ("/scope", r#"{"namespaceSelector":{"matchExpressions":[{"key":"a","operator":"In"}]}}"#, "In and NotIn need values"),
    (
        "/scope",
        r#"{"namespaceSelector":{"matchExpressions":[{"key":"a","operator":"Exists","values":["b"]}]}}"#,
        "Exists and DoesNotExist have none",
    ),
    ("/actions", r#"[{"at":"Cap","do":["SellTheCompany"]}]"#, "spec.actions[0].do[0]"),
    ("/weights", r#"[{"namespace":"a","weight":0}]"#, "spec.weights[0].weight"),
    ("/override", r#"{"amount":"5","until":"soon","reason":"because"}"#, "spec.override.until"),
    ("/override", r#"{"amount":"5","until":"2030-01-01T00:00:00Z","reason":""}"#, "spec.override.reason"),
    ("/mode", r#""Off""#, "spec.mode"),
    ("/leases", r#"{"min":"0"}"#, "min must be at least 0.001"),
    ("/leases", r#"{"ttl":"30s"}"#, "ttl must be between 1m and 1h"),
    ("/leases", r#"{"ttl":"61m"}"#, "ttl must be between 1m and 1h"),
    ("/leases", r#"{"maxShare":"1.5"}"#, "spec.leases.maxShare"),
    ("/parentRef", r#"{"name":""}"#, "spec.parentRef.name"),
];

fn good() -> Value {
    json!({ "currency": "USD", "limits": { "absolute": { "cap": "100" } },
        "scope": { "namespaceSelector": { "matchLabels": { "nobody": "has-this" } } } })
}

fn budget(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "showrunner.dev/v1alpha1", "kind": "AiBudget", "metadata": { "name": name }, "spec": spec })
}

async fn try_create(suite: &Suite, spec: &Value) -> Result<Option<String>> {
    let api = Api::<kube::core::DynamicObject>::all_with(suite.client.clone(), &kube::core::ApiResource::erase::<AiBudget>(&()));
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match api.create(&params, &serde_json::from_value(budget("tried", spec))?).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(other) => Err(other.into()),
    }
}

async fn refuses(suite: Arc<Suite>) -> Result<()> {
    ensure!(try_create(&suite, &good()).await?.is_none(), "the good spec itself is refused");
    for (pointer, value, message) in REFUSED {
        let mut spec = good();
        spec[pointer.trim_start_matches('/')] = serde_json::from_str(value)?;
        let said = try_create(&suite, &spec).await?.with_context(|| format!("{pointer} = {value} was accepted"))?;
        ensure!(said.contains(message), "{pointer} = {value} was refused with another message: {said}");
    }
    Ok(())
}

async fn defaults(suite: Arc<Suite>) -> Result<()> {
    let api = Api::<AiBudget>::all(suite.client.clone());
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let made = api.create(&params, &serde_json::from_value(budget("tried", &good()))?).await?;
    let spec = serde_json::to_value(&made.spec)?;
    for (pointer, value) in [
        ("/period/type", json!("CalendarMonth")),
        ("/period/timeZone", json!("UTC")),
        ("/mode", json!("Enforce")),
        ("/leases", json!({ "min": "1", "ttl": "15m", "maxShare": "0.05" })),
        ("/actions", json!([{ "at": "Warn", "do": ["Notify"] }, { "at": "Cap", "do": ["Escalate", "HoldNewBatch"] }])),
    ] {
        ensure!(spec.pointer(pointer) == Some(&value), "{pointer} is {:?}, not {value}", spec.pointer(pointer));
    }
    Ok(())
}

/// One budget in a test.
pub(crate) struct Budget {
    pub(crate) api: Api<AiBudget>,
    name: String,
}

impl Budget {
    /// Over one namespace alone: other tests do not see it.
    pub(crate) async fn make(suite: &Suite, here: &Namespaced, limits: &Value) -> Result<Self> {
        let budget = Self { api: Api::all(suite.client.clone()), name: here.name.clone() };
        budget.apply(limits, &json!({})).await?;
        Ok(budget)
    }

    pub(crate) async fn apply(&self, limits: &Value, more: &Value) -> Result<AiBudget> {
        let labels = json!({ "kubernetes.io/metadata.name": self.name });
        let mut spec =
            json!({ "currency": "USD", "limits": limits, "scope": { "namespaceSelector": { "matchLabels": labels } } });
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        let object = Patch::Apply(budget(&self.name, &spec));
        Ok(self.api.patch(&self.name, &PatchParams::apply("e2e").force(), &object).await?)
    }

    pub(crate) async fn wait(&self, what: &str, wanted: impl Fn(&AiBudget) -> bool) -> Result<AiBudget> {
        let config = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let mut stream = watcher(self.api.clone(), config).default_backoff().applied_objects().boxed();
        let mut last = None;
        let seen = tokio::time::timeout(SOON, async {
            while let Some(budget) = stream.try_next().await? {
                if wanted(&budget) {
                    return Ok(Some(budget));
                }
                last = Some(budget);
            }
            Ok::<_, anyhow::Error>(None)
        })
        .await;
        match seen {
            Ok(found) => found?.with_context(|| format!("the watch ended before: {what}")),
            Err(_) => anyhow::bail!("not in {SOON:?}: {what}; last {}", serde_json::to_string(&last)?),
        }
    }

    pub(crate) async fn wait_reason(&self, reason: BudgetReason) -> Result<AiBudget> {
        self.wait(&reason.to_string(), |budget| ready(budget) == Some(reason.to_string())).await
    }

    pub(crate) async fn end(self) -> Result<()> {
        self.api.delete(&self.name, &DeleteParams::default()).await?;
        tokio::time::timeout(
            SOON,
            kube::runtime::wait::await_condition(self.api.clone(), &self.name, |budget: Option<&AiBudget>| budget.is_none()),
        )
        .await
        .context("the budget does not go")??;
        Ok(())
    }
}

fn ready(budget: &AiBudget) -> Option<String> {
    let conditions = &budget.status.as_ref()?.conditions;
    Some(conditions.iter().find(|condition| condition.type_ == "Ready")?.reason.clone())
}

pub(crate) fn text(budget: &AiBudget, pointer: &str) -> String {
    let status = serde_json::to_value(&budget.status).unwrap_or_default();
    status.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(crate) fn micros(text: &str) -> u64 {
    let (units, part) = text.split_once('.').unwrap_or((text, ""));
    units.parse::<u64>().unwrap_or_default() * 1_000_000 + format!("{part:0<6}").parse::<u64>().unwrap_or_default()
}

/// What is quick to do: nobody listens and nobody looks for thumbnails.
fn quick(path: &str) -> Value {
    let off = json!({ "enabled": false });
    json!({ "source": { "path": path }, "shots": { "enabled": true }, "thumbnails": off, "subtitles": off })
}

async fn spends(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("budget").await?;
    let path = format!("titles/{}/small.mp4", here.name);
    suite.store.put(&path, media::small_title(7)?).await?;
    let cap = |cap: &str| json!({ "absolute": { "cap": cap } });
    let budget = Budget::make(&suite, &here, &cap("0.000001")).await?;
    budget.wait_reason(BudgetReason::WithinLimits).await?;

    // No money: no pod.
    here.apply("first", quick(&path)).await?;
    let message = here.wait_reason("first", "WaitingForBudget", SOON).await?;
    ensure!(message.contains(&format!("the cap of AiBudget {} is 0.00 USD", here.name)), "{message}");
    let waiting =
        budget.wait("one waits", |budget| budget.status.as_ref().is_some_and(|status| status.waiting.is_some())).await?;
    ensure!(text(&waiting, "/waiting/first/0/owner") == format!("{}/first", here.name), "{:?}", waiting.status);
    ensure!(ready(&waiting) == Some("HeadroomReserved".into()), "{:?}", waiting.status);
    let jobs = here.jobs().await?;
    ensure!(jobs.len() == 1 && jobs[0].spec.as_ref().and_then(|spec| spec.suspend) == Some(true), "it runs: {jobs:?}");

    // Some money: it is done, and charged what it cost.
    budget.apply(&cap("100"), &json!({})).await?;
    here.wait_for("first", Phase::Published, A_JOB).await?;
    let settled = |budget: &AiBudget| text(budget, "/reserved") == "0" && micros(&text(budget, "/spent")) > 0;
    let charged = budget.wait("it is charged", settled).await?;
    let spent = text(&charged, "/spent");
    let bound = micros(&text(&waiting, "/waiting/need"));
    ensure!(micros(&spent) < bound / 10, "{spent} is not less than a tenth of what it might have cost, {bound} millionths");
    ensure!(text(&charged, "/models/0/model") == "shots" && text(&charged, "/models/0/spent") == spent, "{:?}", charged.status);
    ensure!(charged.status.as_ref().is_some_and(|status| status.running == 0), "{:?}", charged.status);

    // The same again is found ready, and costs nothing.
    here.apply("again", quick(&path)).await?;
    here.wait_for("again", Phase::Published, SOON).await?;

    // The object is a copy of what the ledger says.
    let wipe =
        Patch::Merge(json!({ "status": { "spent": null, "reserved": null, "ledger": null, "models": null, "phase": null } }));
    budget.api.patch_status(&budget.name, &PatchParams::default(), &wipe).await?;
    let back = budget.wait("the status is there again", |budget| text(budget, "/spent") == spent).await?;
    ensure!(text(&back, "/models/0/spent") == spent, "{:?}", back.status);
    let name = budget.name.clone();
    budget.end().await?;
    let half = micros(&spent) / 2;
    let budget = Budget::make(&suite, &here, &cap(&format!("0.{half:06}"))).await?;
    let capped = budget.wait_reason(BudgetReason::CapReached).await?;
    ensure!(text(&capped, "/spent") == spent, "deleted and applied again, {name} has spent {:?}", capped.status);
    ensure!(capped.status.as_ref().and_then(|status| status.phase) == Some(BudgetPhase::Capped), "{:?}", capped.status);

    // At the cap nothing new starts; watched only, it does.
    let other = format!("titles/{}/other.mp4", here.name);
    suite.store.put(&other, media::small_title(8)?).await?;
    here.apply("second", quick(&other)).await?;
    here.wait_reason("second", "WaitingForBudget", SOON).await?;
    budget.apply(&cap(&format!("0.{half:06}")), &json!({ "mode": "DryRun" })).await?;
    here.wait_for("second", Phase::Published, A_JOB).await?;
    let more = budget
        .wait("it is charged, too", |now| text(now, "/reserved") == "0" && micros(&text(now, "/spent")) > micros(&spent))
        .await?;
    ensure!(more.status.as_ref().and_then(|status| status.would_have_waited) == Some(1), "{:?}", more.status);
    budget.end().await?;
    here.end().await
}

async fn bill(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("billed").await?;
    let path = format!("titles/{}/small.mp4", here.name);
    suite.store.put(&path, media::small_title(9)?).await?;
    let csv = format!("billing/{}.csv", here.name);
    let limits = json!({ "share": { "warn": "0.12", "cap": "0.15", "of": { "focus": { "path": csv } } } });
    let budget = Budget::make(&suite, &here, &limits).await?;
    budget.wait_reason(BudgetReason::DenominatorMissing).await?;
    here.apply("billed", quick(&path)).await?;
    let message = here.wait_reason("billed", "WaitingForBudget", SOON).await?;
    ensure!(message.contains("are not known"), "{message}");

    // Ten days of 1,000 USD a day, up to today's midnight.
    let day = Duration::from_hours(24);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let midnight = jiff::Timestamp::from_second(i64::try_from(now - now % day.as_secs())?)?;
    let row = |back: u32| format!("1000,USD,Usage,,{},{}\n", midnight - day * back, midnight - day * (back - 1));
    let head = "BilledCost,BillingCurrency,ChargeCategory,ChargeClass,ChargePeriodStart,ChargePeriodEnd\n";
    let rows: String = std::iter::once(head.to_owned()).chain((1..=10).map(row)).collect();
    // The profile's prefix has the operator's own namespace, where it has one.
    suite.store.put(&csv, rows.into_bytes()).await?;
    let known = budget.wait("the bill is read", |budget| !text(budget, "/share/denominator").is_empty()).await?;
    let denominator = micros(&text(&known, "/share/denominator"));
    ensure!((28_000_000_000..=31_000_000_000).contains(&denominator), "{:?}", known.status);
    ensure!(
        text(&known, "/share/basis") == "Focus" && micros(&text(&known, "/cap")) == denominator * 15 / 100,
        "{:?}",
        known.status
    );
    here.wait_for("billed", Phase::Published, A_JOB).await?;
    ensure!(here.titles().get("billed").await?.name_any() == "billed", "it is there");
    budget.end().await?;
    here.end().await
}
