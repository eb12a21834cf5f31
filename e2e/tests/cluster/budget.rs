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
    alertmanager::Alertmanager,
    media,
    suite::{Suite, trial},
    titles::Namespaced,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) const A_JOB: Duration = Duration::from_mins(4);
const SOON: Duration = Duration::from_mins(1);

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![
        trial(suite, "budget::every_rule_of_the_schema_refuses_with_a_sentence_to_act_on", refuses),
        trial(suite, "budget::defaults_are_visible_and_a_minimal_budget_is_accepted", defaults),
        trial(suite, "budget::a_title_waits_for_money_is_charged_once_and_what_was_spent_outlives_the_object", spends),
        trial(suite, "budget::lines_are_told_to_alertmanager_and_measures_come_into_force_with_an_approval", lines),
        trial(suite, "budget::two_over_one_namespace_must_both_have_room_and_one_that_goes_charges_what_runs_first", both),
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
    ("/actions", r#"[{"at":"Warn","do":["SuspendBatch"]}]"#, "SuspendBatch goes with at: Cap"),
    ("/actions", r#"[{"at":"Warn","do":["Notify"],"overBy":"0.05"}]"#, "overBy goes with at: Cap"),
    ("/actions", r#"[{"at":"Cap","do":["HoldNewBatch"],"overBy":"0.05"}]"#, "HoldNewBatch holds at the cap"),
    ("/actions", r#"[{"at":"Cap","do":["Escalate"],"overBy":"5 %"}]"#, "spec.actions[0].overBy"),
    ("/approvals", r#"[{"action":"SuspendBatch","period":"soon","by":"ada"}]"#, "spec.approvals[0].period"),
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
pub(crate) fn quick(path: &str) -> Value {
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

    let quarter = json!({ "period": { "type": "CalendarQuarter" } });
    let refused = budget.apply(&cap("0.000001"), &quarter).await.err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(refused.contains("period.type cannot be changed"), "{refused:?}");

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

async fn both(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("both").await?;
    let path = format!("titles/{}/speech.mp4", here.name);
    let speech = "It was the best of times, it was the worst of times. ".repeat(16);
    suite.store.put(&path, media::spoken_title(&format!("Both. {speech}"))?).await?;
    let wide = Budget::make(&suite, &here, &json!({ "absolute": { "cap": "100" } })).await?;
    // The stricter of two counts, whatever the other has room for.
    let narrow = format!("{}-narrow", here.name);
    let labels = json!({ "kubernetes.io/metadata.name": here.name });
    let spec = json!({ "currency": "USD", "limits": { "absolute": { "cap": "0.000001" } }, "parentRef": { "name": wide.name },
        "scope": { "namespaceSelector": { "matchLabels": labels } } });
    wide.api.create(&PostParams::default(), &serde_json::from_value(budget(&narrow, &spec))?).await?;
    let mut long = quick(&path);
    (long["shots"], long["subtitles"]) = (json!({ "enabled": false }), json!({ "language": "en", "model": "whisper-base" }));
    long["review"] = json!({ "hold": [] });
    here.apply("long", long).await?;
    let message = here.wait_reason("long", "WaitingForBudget", SOON).await?;
    ensure!(message.contains(&narrow), "{message}");

    // One that goes, with nothing reserved under it, goes at once; the work starts under the other.
    let narrow = Budget { api: wide.api.clone(), name: narrow };
    narrow.end().await?;
    here.wait("long", "at work", A_JOB, |title| {
        showrunner_e2e::titles::ready(title).is_some_and(|(reason, _)| reason == "Working")
    })
    .await?;
    // One that goes with work in flight stays until that was charged, and is told of by its finalizer and its phase.
    wide.api.delete(&wide.name, &DeleteParams::default()).await?;
    let closing = wide
        .wait("closing", |budget| budget.status.as_ref().and_then(|status| status.phase) == Some(BudgetPhase::Closing))
        .await?;
    ensure!(closing.status.as_ref().is_some_and(|status| status.running == 1), "{:?}", closing.status);
    here.wait_for("long", Phase::Published, A_JOB).await?;
    let gone = kube::runtime::wait::await_condition(wide.api.clone(), &wide.name, |budget: Option<&AiBudget>| budget.is_none());
    tokio::time::timeout(SOON, gone).await.context("the budget stays although all was charged")??;
    // What it spent is known to one of the same name.
    let again = Budget::make(&suite, &here, &json!({ "absolute": { "cap": "100" } })).await?;
    again
        .wait("what was spent is known", |budget| micros(&text(budget, "/spent")) > 0 && text(budget, "/reserved") == "0")
        .await?;
    again.end().await?;
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

/// Longest that people may wait for news of a line that is crossed.
const TOLD_WITHIN: Duration = Duration::from_mins(1);

/// Waits until an alert of this name fires for a budget; says how long that took.
async fn told(alertmanager: &Alertmanager, budget: &str, name: &str, severity: &str) -> Result<(Duration, Value)> {
    let began = Instant::now();
    loop {
        let alerts = alertmanager.of_budget(budget).await?;
        if let Some(alert) = alerts.iter().find(|alert| alert["labels"]["alertname"] == name) {
            ensure!(alert["labels"]["severity"] == severity, "{alert}");
            return Ok((began.elapsed(), alert.clone()));
        }
        ensure!(began.elapsed() < TOLD_WITHIN, "{name} is not told of within a minute; there are {alerts:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn lines(suite: Arc<Suite>) -> Result<()> {
    let alertmanager = Alertmanager::start(&suite.cluster).await?;
    let here = suite.namespace("lines").await?;
    let path = |name: &str| format!("titles/{}/{name}.mp4", here.name);
    suite.store.put(&path("first"), media::small_title(11)?).await?;
    suite.store.put(&path("second"), media::small_title(12)?).await?;
    let speech = "It was the best of times, it was the worst of times. ".repeat(24);
    suite.store.put(&path("long"), media::spoken_title(&format!("Once more. {speech}"))?).await?;
    let limits = |cap: &str| json!({ "absolute": { "warn": "0.000001", "cap": cap } });
    let actions = json!({ "actions": [
        { "at": "Warn", "do": ["Notify", "ForceSpot"] },
        { "at": "Cap", "do": ["Escalate", "HoldNewBatch"] },
        { "at": "Cap", "do": ["SuspendBatch"] },
    ] });
    let budget = Budget { api: Api::all(suite.client.clone()), name: here.name.clone() };
    budget.apply(&limits("100"), &actions).await?;
    budget.wait_reason(BudgetReason::WithinLimits).await?;

    // The warning: told of, and spot machines from now on.
    here.apply("first", quick(&path("first"))).await?;
    here.wait_for("first", Phase::Published, A_JOB).await?;
    let warned = budget.wait_reason(BudgetReason::WarnReached).await?;
    ensure!(warned.status.as_ref().and_then(|status| status.phase) == Some(BudgetPhase::Warning), "{:?}", warned.status);
    let (took, alert) = told(&alertmanager, &budget.name, "AiBudgetWarn", "warning").await?;
    println!("budget: the warning was with Alertmanager {} ms after the status said so", took.as_millis());
    ensure!(alert["annotations"]["summary"].as_str().is_some_and(|text| text.contains("the warning")), "{alert}");
    ensure!(text(&warned, "/inForce/0") == "ForceSpot", "{:?}", warned.status);
    let mut second = quick(&path("second"));
    second["execution"] =
        json!({ "accelerator": "Required", "class": "steady", "startDeadline": "10s", "spot": { "policy": "Never" } });
    here.apply("second", second).await?;
    let planned = here
        .wait("second", "on its way", SOON, |title| title.status.as_ref().is_some_and(|status| status.attempt.is_some()))
        .await?;
    let made_with = planned.status.and_then(|status| status.attempt).and_then(|attempt| attempt.limits).unwrap_or_default();
    ensure!(made_with == "steady-spot 10 7200 Budget", "{made_with}");
    here.titles().delete("second", &DeleteParams::default()).await?;

    // The cap, with a job at work: it goes on until somebody approves that it is ended.
    let mut long = quick(&path("long"));
    long["review"] = json!({ "hold": [] });
    (long["shots"], long["subtitles"]) = (json!({ "enabled": false }), json!({ "language": "en", "model": "whisper-base" }));
    here.apply("long", long).await?;
    here.wait("long", "at work", A_JOB, |title| {
        showrunner_e2e::titles::ready(title).is_some_and(|(reason, _)| reason == "Working")
    })
    .await?;
    budget.apply(&limits("0.000001"), &actions).await?;
    let capped = budget.wait_reason(BudgetReason::CapReached).await?;
    let (took, alert) = told(&alertmanager, &budget.name, "AiBudgetCap", "critical").await?;
    println!("budget: the cap was with Alertmanager {} ms after the status said so", took.as_millis());
    let cure = alert["annotations"]["description"].as_str().unwrap_or_default();
    ensure!(cure.contains("SuspendBatch waits for an approval: kubectl patch aibudget"), "{alert}");
    ensure!(text(&capped, "/awaitingApproval/0") == "SuspendBatch", "{:?}", capped.status);
    ensure!(here.titles().get("long").await?.status.is_some_and(|status| status.attempt.is_some()), "it was ended unasked");
    let mut approved = actions.clone();
    let period = text(&capped, "/period/name");
    approved["approvals"] = json!([{ "action": "SuspendBatch", "period": period, "by": "the test" }]);
    budget.apply(&limits("0.000001"), &approved).await?;
    let stopped = here
        .wait("long", "ended by the budget", SOON, |title| {
            let history = title.status.as_ref().map(|status| status.history.clone()).unwrap_or_default();
            history.last().is_some_and(|past| past.outcome == "BudgetStopped")
        })
        .await?;
    ensure!(stopped.status.as_ref().is_some_and(|status| status.attempt.is_none()), "{:?}", stopped.status);
    let message = here.wait_reason("long", "WaitingForBudget", SOON).await?;
    ensure!(message.contains("SuspendBatch"), "{message}");

    // Room again: it goes on, and what it cost until then was charged.
    budget.apply(&limits("100"), &approved).await?;
    here.wait_for("long", Phase::Published, A_JOB).await?;
    let charged = budget.wait("all is charged", |now| text(now, "/reserved") == "0").await?;
    ensure!(micros(&text(&charged, "/spent")) > micros(&text(&capped, "/spent")), "{:?}", charged.status);
    budget.end().await?;
    here.end().await
}
