//! The listener's answers, in front of an API server that says what a test wants, over a ledger in memory.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};
use showrunner_contracts::lease::LeaseRefusal;
use showrunner_crds::AiBudget;
use showrunner_kit::cache::Cache;
use showrunner_kit::lease::LeaseParams;
use showrunner_ledger::journal::{NOTHING_BEFORE, Page};
use showrunner_ledger::price::ModelPrice;
use showrunner_ledger::{Amount, Entry, Fact};
use strum::IntoEnumIterator as _;
use tower::ServiceExt as _;

use super::*;
use crate::ai_budget::known::World as Namespaces;
use crate::ai_budget::ledger::pages::memory::{MemoryPages, Trouble};
use crate::ai_budget::validate::Terms;

/// An API server that knows the accounts `NAMESPACE/NAME` by tokens of that text, if they are for us: `app` and `other` take leases,
/// `meter` and `app` verify, `poor` may nothing. `human` is no account.
fn api(is_broken: Arc<AtomicBool>) -> kube::Client {
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let is_broken = is_broken.load(Ordering::SeqCst);
        async move {
            let (parts, body) = request.into_parts();
            let asked: Value = serde_json::from_slice(&body.collect_bytes().await?).unwrap_or(Value::Null);
            let (code, status) = match parts.uri.path().rsplit('/').next() {
                _ if is_broken => (500, Value::Null),
                Some("tokenreviews") => (201, review(&asked)),
                _ => (201, json!({ "allowed": may(&asked["spec"]) })),
            };
            let answer = if code == 201 {
                json!({ "metadata": {}, "spec": asked["spec"], "status": status })
            } else {
                json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "no" })
            };
            let body = kube::client::Body::from(answer.to_string().into_bytes());
            Ok::<_, kube::Error>(http::Response::builder().status(code).body(body).unwrap())
        }
    });
    kube::Client::new(service, "default")
}

fn review(asked: &Value) -> Value {
    assert_eq!(asked["spec"]["audiences"], json!([AUDIENCE]));
    let token = asked["spec"]["token"].as_str().unwrap();
    match token.split_once('/') {
        Some(("elsewhere", name)) => json!({ "authenticated": true, "audiences": ["another"],
            "user": { "username": format!("system:serviceaccount:studio:{name}") } }),
        Some((namespace, name)) => json!({ "authenticated": true, "audiences": [AUDIENCE],
            "user": { "username": format!("system:serviceaccount:{namespace}:{name}") } }),
        None if token == "human" => {
            json!({ "authenticated": true, "audiences": [AUDIENCE], "user": { "username": "ada@example.com" } })
        }
        None => json!({ "authenticated": false }),
    }
}

fn may(spec: &Value) -> bool {
    let attributes = &spec["resourceAttributes"];
    assert_eq!((&attributes["group"], &attributes["resource"]), (&json!("showrunner.dev"), &json!("leases")));
    let name = spec["user"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    match attributes["verb"].as_str().unwrap() {
        "create" => ["app", "other"].contains(&name.as_str()),
        "verify" => ["meter", "app"].contains(&name.as_str()) && attributes["namespace"] == "studio",
        verb => panic!("nobody has the right to {verb}"),
    }
}

fn budget(name: &str, cap: &str, more: &Value) -> AiBudget {
    let labels = json!({ "namespaceSelector": { "matchLabels": { "ai": "true" } } });
    let mut object = json!({
        "apiVersion": "showrunner.dev/v1alpha1", "kind": "AiBudget", "metadata": { "name": name, "uid": name },
        "spec": { "currency": "EUR", "limits": { "absolute": { "cap": cap } }, "scope": labels, "leases": { "min": "1", "ttl": "15m", "maxShare": "0.1" } },
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        object[field] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn prices() -> Prices {
    let price: ModelPrice =
        serde_json::from_value(json!({ "provider": "openai", "model": "mini", "inputPer1M": "1", "outputPer1M": "4" })).unwrap();
    Prices::new([price]).unwrap()
}

struct World {
    router: Router,
    ledger: Arc<Ledger>,
    pages: MemoryPages,
    is_broken: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

fn world(budgets: Vec<AiBudget>) -> World {
    world_over(MemoryPages::default(), budgets, true)
}

fn world_over(pages: MemoryPages, budgets: Vec<AiBudget>, leads: bool) -> World {
    let namespace = |name: &str, ai: &str| -> Namespace {
        serde_json::from_value(json!({ "metadata": { "name": name, "labels": { "ai": ai } } })).unwrap()
    };
    let namespaces = Cache::holding([namespace("studio", "true"), namespace("lab", "true"), namespace("archive", "false")]);
    let clock = Clock::start();
    let ledger = Arc::new(Ledger::new("one", clock));
    let world = Namespaces { namespaces, terms: Terms { currency: "EUR".into(), ..Terms::default() }, unbudgeted: None };
    ledger.connect((Arc::new(pages.clone()), "memory".into()), Cache::holding(budgets), world, Arc::new(|_| {}));
    let is_broken = Arc::<AtomicBool>::default();
    let params = LeaseParams::default();
    let leadership = if leads { Leadership::without_election(params, clock) } else { Leadership::new(params, clock) };
    let (client, metrics) = (api(Arc::clone(&is_broken)), Arc::new(Metrics::new()));
    let leases = Leases::new(Arc::clone(&ledger), prices(), client, leadership, Arc::clone(&metrics), clock);
    World { router: leases.router(), ledger, pages, is_broken, metrics }
}

/// An answer.
struct Said {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Said {
    fn id(&self) -> String {
        assert!(matches!(self.status, 200 | 201), "{}", self.body);
        self.body["id"].as_str().unwrap().to_owned()
    }

    fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }
}

impl World {
    async fn send(&self, method: &str, path: &str, token: &str, body: String) -> Said {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = serde_json::from_slice(&to_bytes(answer.into_body(), 1 << 20).await.unwrap()).unwrap();
        Said { status, headers, body }
    }

    /// A lease for so many tokens in, of which a million costs 1.
    async fn take(&self, token: &str, id: &str, tokens: u64, ends: &Value) -> Said {
        self.send("POST", "/v1/leases", token, request(id, "mini", tokens, ends)).await
    }

    async fn settle(&self, token: &str, id: &str, tokens: u64) -> Said {
        let body = json!({ "schema": LeaseSettlement::SCHEMA, "used": [used("mini", tokens)] });
        self.send("POST", &format!("/v1/leases/{id}/settle"), token, body.to_string()).await
    }

    async fn verify(&self, token: &str, id: &str, tokens: u64) -> Said {
        let body =
            json!({ "schema": LeaseEvidence::SCHEMA, "namespace": "studio", "used": [used("mini", tokens)], "records": ["u-1"] });
        self.send("POST", &format!("/v1/leases/{id}/evidence"), token, body.to_string()).await
    }

    /// The pages read from the first on, as anybody may: what was spent and is reserved, and all entries.
    fn audit(&self) -> (Amount, Amount, Vec<Entry>) {
        let (mut digest, mut book, mut entries) = (NOTHING_BEFORE.to_owned(), Book::default(), Vec::new());
        for (sequence, bytes) in self.pages.pages.lock().unwrap().iter() {
            let (page, next) = Page::read(bytes, *sequence, Some(&digest)).unwrap();
            book.turn(&page, &next).unwrap();
            entries.extend(page.entries);
            digest = next;
        }
        let spent = book.account("all").map_or(Amount::ZERO, |account| account.days.values().copied().sum());
        (spent, book.reserved("all"), entries)
    }

    fn pages(&self) -> usize {
        self.pages.pages.lock().unwrap().len()
    }
}

fn used(model: &str, tokens: u64) -> Value {
    json!({ "provider": "openai", "model": model, "inputTokens": tokens })
}

fn request(id: &str, model: &str, tokens: u64, ends: &Value) -> String {
    json!({ "schema": LeaseRequest::SCHEMA, "requestId": id, "caller": "captions-0", "expects": [used(model, tokens)], "ends": ends })
        .to_string()
}

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn one() -> World {
    world(vec![budget("all", "100", &json!({}))])
}

#[tokio::test]
async fn a_lease_is_debited_before_it_is_told_of_and_the_same_request_has_the_same_one() {
    let world = one();
    let first = world.take("studio/app", "a", 2_000_000, &json!([])).await;
    assert_eq!((first.status, first.text("state"), first.text("amount")), (201, "Live", "2"));
    assert_eq!((first.text("namespace"), first.text("caller"), first.text("currency")), ("studio", "captions-0", "EUR"));
    assert!((860..=870).contains(&first.body["validSeconds"].as_u64().unwrap()), "{}", first.body);
    assert_eq!(world.audit().1, amount("2"));
    let again = world.take("studio/app", "a", 2_000_000, &json!([])).await;
    assert_eq!((again.status, again.id(), world.pages()), (200, first.id(), 1));
    let Fact::Reserve { who, lease: Some(terms), .. } = &world.audit().2[0].fact else { panic!("it is no lease") };
    assert_eq!((who.kind.as_str(), who.namespace.as_str(), who.name.as_str()), ("Lease", "studio", "captions-0"));
    assert_eq!((terms.account.as_str(), &terms.models), ("studio/app", &vec!["openai/mini".to_owned()]));
    assert_eq!(world.audit().2[0].key, format!("lease/studio/captions-0/{}", first.id()));
}

#[tokio::test]
async fn many_that_ask_at_once_for_the_same_have_one_and_for_others_never_go_beyond_the_cap() {
    let world = Arc::new(world(vec![budget("all", "20", &json!({}))]));
    // Reviewed once, for there are two accounts.
    for token in ["studio/app", "lab/app"] {
        assert_eq!(world.send("POST", "/v1/leases", token, String::new()).await.status, 400);
    }
    let asks = (0..120).map(|nth| {
        let world = Arc::clone(&world);
        let (token, id) = (format!("{}/app", if nth % 2 == 0 { "studio" } else { "lab" }), format!("r{}", nth / 4));
        let caller = format!("c{}", nth / 4);
        let body = request(&id, "mini", 0, &json!([])).replace("captions-0", &caller);
        tokio::spawn(async move { world.send("POST", "/v1/leases", &token, body).await.status })
    });
    let mut statuses = Vec::new();
    for ask in asks.collect::<Vec<_>>() {
        statuses.push(ask.await.unwrap());
    }
    let (_, reserved, entries) = world.audit();
    assert_eq!((reserved, entries.len()), (amount("20"), 20));
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 20);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 20, "each request came twice");
}

#[tokio::test]
async fn a_claim_and_a_cancel_refund_nothing_and_evidence_does_before_and_after() {
    let world = one();
    let ids = ["a", "b", "c", "d"].map(|id| async { world.take("studio/app", id, 2_000_000, &json!([])).await.id() });
    let [a, b, c, d] = ids;
    let (a, b, c, d) = (a.await, b.await, c.await, d.await);
    let claimed = world.settle("studio/app", &a, 100).await;
    assert_eq!((claimed.text("state"), claimed.text("charged"), claimed.text("basis")), ("Settled", "2", "Full"));
    let cancelled = world.send("POST", &format!("/v1/leases/{b}/cancel"), "studio/app", String::new()).await;
    assert_eq!((cancelled.text("charged"), cancelled.text("basis")), ("2", "Full"));
    let proven = world.verify("billing/meter", &c, 500_000).await;
    assert_eq!((proven.text("charged"), proven.text("basis")), ("0.5", "Evidence"));
    world.ledger.charge_lease(&key("studio", "captions-0", &d)).await.unwrap();
    let late = world.verify("billing/meter", &d, 250_000).await;
    assert_eq!((late.text("charged"), late.text("basis")), ("0.25", "Evidence"));
    // All of it again changes nothing.
    let pages = world.pages();
    world.settle("studio/app", &a, 0).await;
    world.settle("studio/app", &c, 0).await;
    world.verify("billing/meter", &d, 0).await;
    let (spent, reserved, entries) = world.audit();
    assert_eq!((spent, reserved, world.pages()), (amount("4.75"), Amount::ZERO, pages));
    let looked = world.send("GET", &format!("/v1/leases/{d}"), "studio/app", String::new()).await;
    assert_eq!((looked.status, looked.body), (200, late.body));
    let said = entries.iter().filter_map(|entry| match &entry.fact {
        Fact::Settle { said, bound, .. } => Some((said.as_ref().map(|said| (said.by.as_str(), said.verified)), *bound)),
        _ => None,
    });
    let expected = [
        (Some(("studio/app", false)), true),
        (Some(("studio/app", false)), true),
        (Some(("billing/meter", true)), false),
        (None, true),
    ];
    assert_eq!(said.collect::<Vec<_>>(), expected, "who said what is in the journal");
}

#[tokio::test]
async fn nobody_verifies_a_lease_of_their_own_and_nobody_touches_that_of_another() {
    let world = one();
    let id = world.take("studio/app", "a", 0, &json!([])).await.id();
    let own = world.verify("studio/app", &id, 0).await;
    assert_eq!((own.status, own.text("reason")), (403, "Forbidden"));
    for token in ["studio/other", "lab/app"] {
        assert_eq!(world.settle(token, &id, 0).await.status, 404, "{token}");
        assert_eq!(world.send("GET", &format!("/v1/leases/{id}"), token, String::new()).await.status, 404, "{token}");
        let ends = json!([{ "id": id, "used": [] }]);
        assert_eq!(world.take(token, "b", 0, &ends).await.status, 201, "{token}");
    }
    assert_eq!(world.audit().0, Amount::ZERO, "nobody else has ended it");
}

#[tokio::test]
async fn an_end_and_the_next_lease_are_one_page_and_the_next_is_sized_by_what_was_used() {
    let world = one();
    let first = world.take("studio/app", "a", 0, &json!([])).await.id();
    let ends = json!([{ "id": first, "used": [used("mini", 200_000)] }]);
    let second = world.take("studio/app", "b", 0, &ends).await;
    assert_eq!((second.text("amount"), world.pages()), ("3", 2), "0.2 in a minute at least, for fifteen");
    assert_eq!(world.audit().0, amount("1"));
}

#[tokio::test]
async fn a_new_leader_charges_what_nobody_ended_from_the_pages_alone() {
    let before = one();
    let id = before.take("studio/app", "a", 0, &json!([])).await.id();
    let after = world_over(before.pages.clone(), vec![budget("all", "100", &json!({}))], true);
    let again = after.take("studio/app", "a", 0, &json!([])).await;
    assert_eq!((again.status, again.id()), (200, id.clone()), "it knows the lease");
    after.ledger.charge_lease(&key("studio", "captions-0", &id)).await.unwrap();
    assert_eq!((after.audit().0, after.audit().1), (amount("1"), Amount::ZERO));
    assert_eq!(before.settle("studio/app", &id, 0).await.text("charged"), "1", "the last one reads on");
}

/// What was answered, with the words that a person would look for.
type Row = (LeaseReason, &'static str, Said);

/// One request for each reason to refuse.
async fn refusals() -> Vec<Row> {
    use LeaseReason as Why;
    let none = json!([]);
    let all = one();
    let with = |cap: &str, more: &Value| world(vec![budget("all", cap, more)]);
    let lost = "0123456789abcdef0123456789abcdef";
    let mut rows: Vec<Row> = vec![
        (Why::BadRequest, "lease-request/v1", all.send("POST", "/v1/leases", "studio/app", "{".into()).await),
        (Why::BadRequest, "requestId", all.take("studio/app", "a/b", 0, &none).await),
        (Why::Unauthenticated, "Bearer", all.take("", "a", 0, &none).await),
        (Why::Unauthenticated, "does not know", all.take("stolen", "a", 0, &none).await),
        (Why::Unauthenticated, AUDIENCE, all.take("elsewhere/app", "a", 0, &none).await),
        (Why::NotAServiceAccount, "ada@example.com", all.take("human", "a", 0, &none).await),
        (Why::Forbidden, "may not create leases.showrunner.dev", all.take("studio/poor", "a", 0, &none).await),
        (Why::Forbidden, "may not verify", all.verify("billing/poor", lost, 0).await),
        (Why::NotFound, lost, all.settle("studio/app", lost, 0).await),
        (Why::NotFound, "no lease", all.settle("studio/app", "short", 0).await),
        (Why::NotFound, "docs/leases.md", all.send("GET", "/v2/leases", "studio/app", String::new()).await),
        (Why::MethodNotAllowed, "docs/leases.md", all.send("DELETE", "/v1/leases", "studio/app", String::new()).await),
        (Why::TooLarge, "65536", all.send("POST", "/v1/leases", "studio/app", " ".repeat(MAX_REQUEST_BYTES + 1)).await),
        (
            Why::PriceUnknown,
            "openai/maxi has no price",
            all.send("POST", "/v1/leases", "studio/app", request("p", "maxi", 0, &none)).await,
        ),
        (Why::Unbudgeted, "archive", all.take("archive/app", "a", 0, &none).await),
        (Why::BudgetTooSmall, "100.00 EUR", all.take("studio/app", "a", 101_000_000, &none).await),
        (Why::ShareTooSmall, "10.00 EUR", all.take("studio/app", "a", 11_000_000, &none).await),
        (Why::Starting, "not known yet", all.take("justmade/app", "a", 0, &none).await),
    ];
    let id = all.take("studio/app", "once", 0, &none).await.id();
    rows.push((Why::RequestIdReused, "another request", all.take("studio/app", "once", 5, &none).await));
    all.settle("studio/app", &id, 0).await;
    rows.push((Why::LeaseOver, "new request id", all.take("studio/app", "once", 0, &none).await));
    for nth in 0..4 {
        all.take("studio/app", &format!("many{nth}"), 0, &none).await;
    }
    rows.push((Why::TooManyLeases, "caller name", all.take("studio/app", "many4", 0, &none).await));

    let tight = with("1.5", &json!({}));
    let id = tight.take("studio/app", "a", 0, &none).await.id();
    rows.push((Why::BudgetFull, "0.50 EUR left", tight.take("studio/app", "b", 0, &none).await));
    tight.settle("studio/app", &id, 0).await;
    rows.push((Why::BudgetSpent, "0.50 EUR left", tight.take("studio/app", "b", 0, &none).await));

    let mut queue = with("10", &json!({}));
    queue.wait_for("9").await;
    rows.push((Why::BudgetQueue, "jobs wait", queue.take("studio/app", "a", 0, &none).await));

    let blind = json!({ "spec": { "currency": "USD", "limits": { "absolute": { "cap": "5" } } } });
    rows.push((Why::BudgetBlind, "nothing is converted", with("5", &blind).take("studio/app", "a", 0, &none).await));
    let orphan =
        json!({ "spec": { "currency": "EUR", "limits": { "absolute": { "cap": "5" } }, "parentRef": { "name": "gone" } } });
    rows.push((Why::BudgetBlind, "gone does not exist", with("5", &orphan).take("studio/app", "a", 0, &none).await));
    let closing = json!({ "metadata": { "name": "all", "uid": "u", "deletionTimestamp": "2026-11-01T00:00:00Z" } });
    rows.push((Why::BudgetClosing, "being deleted", with("5", &closing).take("studio/app", "a", 0, &none).await));

    let refused = one();
    refused.pages.troubles.lock().unwrap().push(Trouble::Refused);
    rows.push((Why::LedgerUnavailable, "failed to write", refused.take("studio/app", "a", 0, &none).await));
    let noted = json!({ "status": { "ledger": { "page": 3, "digest": "sha256:x", "place": "memory" } } });
    rows.push((Why::LedgerBroken, "page 3", with("5", &noted).take("studio/app", "a", 0, &none).await));

    let follower = world_over(MemoryPages::default(), vec![budget("all", "5", &json!({}))], false);
    rows.push((Why::NotLeader, "another replica", follower.take("studio/app", "a", 0, &none).await));
    let unreviewed = one();
    unreviewed.is_broken.store(true, Ordering::SeqCst);
    rows.push((Why::ReviewUnavailable, "did not answer", unreviewed.take("studio/app", "a", 0, &none).await));
    let often = one();
    let mut last = often.settle("studio/app", lost, 0).await;
    for _ in 0..200 {
        if last.text("reason") == "NotFound" {
            last = often.settle("studio/app", lost, 0).await;
        }
    }
    rows.push((Why::TooManyRequests, "within a minute", last));
    rows
}

impl World {
    /// Jobs that have most of a budget, and one that waits for it.
    async fn wait_for(&mut self, cost: &str) {
        use showrunner_kit::admission::{Admission as _, Reservation, Verdict, Work};
        use showrunner_kit::object::ObjectKey;
        for name in ["first", "second"] {
            let work = Work { owner: ObjectKey::new("studio", name), ..Work::named(&ObjectKey::new("studio", name)) };
            let asked = Reservation { work, estimate: cost.parse().unwrap(), since: Timestamp::UNIX_EPOCH, unpriced: None };
            let verdict = self.ledger.reserve(&asked).await.unwrap();
            assert_eq!(verdict == Verdict::Admit, name == "first");
        }
    }
}

#[tokio::test]
async fn every_refusal_has_its_status_and_says_when_to_come_again() {
    let rows = refusals().await;
    let mut seen = BTreeSet::new();
    for (reason, words, said) in &rows {
        assert_eq!((said.text("reason"), said.status), (reason.to_string().as_str(), reason.status()), "{}", said.body);
        assert!(said.text("message").contains(words), "{reason}: {}", said.body);
        LeaseRefusal::from_bytes(said.body.to_string().as_bytes()).unwrap();
        let retry = said.headers.get("retry-after").map(|value| value.to_str().unwrap().parse::<u64>().unwrap());
        assert_eq!((retry, said.body["retryAfterSeconds"].as_u64()), (reason.retry_after(), reason.retry_after()), "{reason}");
        assert_eq!(said.headers.contains_key("www-authenticate"), *reason == LeaseReason::Unauthenticated);
        seen.insert(reason.to_string());
    }
    let all: BTreeSet<String> = LeaseReason::iter().map(|reason| reason.to_string()).collect();
    assert_eq!(seen, all, "each is refused once");
}

#[test]
fn the_handbook_has_every_refusal() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/leases.md")).unwrap();
    for reason in LeaseReason::iter() {
        let retry = reason.retry_after().map_or_else(String::new, |seconds| seconds.to_string());
        let row = format!("| {} | `{reason}` | {retry} |", reason.status());
        assert!(page.contains(&row), "docs/leases.md must have a row that begins so: {row}");
    }
}

#[tokio::test]
async fn who_leads_is_told_in_a_header_and_in_the_body() {
    let leader = "https://10-1-2-3.showrunner.media.svc:8444";
    let response = Refusal::not_leader(Some(leader.to_owned())).into_response();
    assert_eq!(
        (response.status(), response.headers()["showrunner-leader"].to_str().unwrap()),
        (StatusCode::SERVICE_UNAVAILABLE, leader)
    );
    let body: Value = serde_json::from_slice(&to_bytes(response.into_body(), 4096).await.unwrap()).unwrap();
    assert_eq!(body["leader"], leader);
}

#[tokio::test]
async fn answers_are_counted_by_what_they_were() {
    let world = one();
    world.take("studio/app", "a", 0, &json!([])).await;
    world.take("studio/app", "a", 0, &json!([])).await;
    world.take("studio/poor", "a", 0, &json!([])).await;
    let metrics = world.metrics.render();
    for outcome in ["Granted", "Known", "Forbidden"] {
        let line = format!("showrunner_lease_requests_total{{outcome=\"{outcome}\"}} 1");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
}
