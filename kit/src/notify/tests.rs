//! Notices against a server that answers as the real ones do, and against a network in virtual time.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::IntoResponse as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::outbox::Pace;
use super::secret::SecretFile;
use super::wire::{Answer, Dialect, Outgoing, Wire};
use super::*;
use crate::clock::Clock;

const KEY: &str = "aibudget/platform/2026-12/warn";
const ROUTING_KEY: &str = "e93facc04764012d7bfb002500d5d1a6";
const SECOND: Duration = Duration::from_secs(1);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn notice(key: &str, severity: Severity, event: Event) -> Notice {
    Notice {
        key: key.into(),
        severity,
        event,
        name: "AiBudgetWarn".into(),
        summary: "Budget platform has spent 82 % of December".into(),
        description: "410 of 500 EUR.\nAt this rate it is spent on the 19th.".into(),
        labels: BTreeMap::from([("budget".into(), "platform".into()), ("team.name".into(), "media".into())]),
        links: vec![
            ("runbook".into(), "https://docs.example/budget?a=1&b=2".into()),
            ("dashboard".into(), "https://grafana.example/d/1".into()),
        ],
        since: at("2026-12-01T10:20:30.123456789Z"),
    }
}

fn firing(key: &str) -> Notice {
    notice(key, Severity::Critical, Event::Firing)
}

fn resolved(key: &str) -> Notice {
    notice(key, Severity::Critical, Event::Resolved)
}

fn secret(folder: &Path, text: &str) -> secret::Secret {
    std::fs::write(folder.join("it"), text).unwrap();
    SecretFile::new(folder, "it").read().unwrap()
}

// The other end.

#[derive(Clone, Debug)]
struct Asked {
    path: String,
    authorization: Option<String>,
    body: Value,
}

type Scripted = (u16, Vec<(&'static str, String)>, String);

#[derive(Clone, Default)]
struct Script {
    /// When empty: 202.
    answers: Arc<Mutex<VecDeque<Scripted>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Script {
    fn then(&self, status: u16, headers: &[(&'static str, &str)], body: &str) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.answers.lock().unwrap().push_back((status, headers, body.to_owned()));
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State(script): State<Script>, request: Request) -> axum::response::Response {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let (path, authorization) = (parts.uri.path().to_owned(), header("authorization"));
    assert_eq!((parts.method.as_str(), header("content-type").as_deref()), ("POST", Some("application/json")));
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    script.asked.lock().unwrap().push(Asked { path, authorization, body: serde_json::from_slice(&body).unwrap() });
    let (status, headers, body) = script.answers.lock().unwrap().pop_front().unwrap_or((202, Vec::new(), "ok".into()));
    let mut response = (axum::http::StatusCode::from_u16(status).unwrap(), body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

async fn server() -> (Script, String) {
    let script = Script::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(answer).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (script, url)
}

// This end.

type Counts = Arc<Mutex<BTreeMap<(String, String), u64>>>;

struct Bench {
    outbox: Arc<Outbox>,
    counts: Counts,
    folder: tempfile::TempDir,
    stop: CancellationToken,
}

/// Two Alertmanagers, a chat and a pager, all of them `server`. Each kind has paths of its own.
fn config(server: &str, folder: &Path) -> NotifyConfig {
    std::fs::write(folder.join("url"), format!("{server}/services/T0/B0/topSecretHook\n")).unwrap();
    std::fs::write(folder.join("routingKey"), ROUTING_KEY).unwrap();
    std::fs::write(folder.join("token"), "topSecretToken\n").unwrap();
    let folder = folder.to_str().unwrap();
    serde_json::from_value(json!({
        "alertmanagers": [{ "name": "am", "url": format!("{server}/am/"), "credentials": folder }],
        "slack": [{ "name": "ops", "secret": folder }],
        "pagerduty": [{ "name": "night", "secret": folder, "url": format!("{server}/v2/enqueue") }],
    }))
    .unwrap()
}

fn only(config: NotifyConfig, kind: &str) -> NotifyConfig {
    match kind {
        "alertmanager" => NotifyConfig { slack: Vec::new(), pagerduty: Vec::new(), ..config },
        "slack" => NotifyConfig { alertmanagers: Vec::new(), pagerduty: Vec::new(), ..config },
        _ => NotifyConfig { alertmanagers: Vec::new(), slack: Vec::new(), ..config },
    }
}

/// Real time, but little of it.
fn hasty() -> Pace {
    Pace {
        resend: Duration::from_mins(1),
        first_pause: Duration::from_millis(20),
        longest_pause: Duration::from_millis(100),
        look: Duration::from_millis(50),
        quiet: Duration::from_mins(1),
    }
}

fn real() -> Pace {
    Pace {
        resend: Duration::from_mins(1),
        first_pause: SECOND,
        longest_pause: Duration::from_mins(1),
        look: Duration::from_secs(10),
        quiet: Duration::from_mins(1),
    }
}

fn bench(make: impl FnOnce(&Path) -> NotifyConfig, pace: Pace, wire: Wire) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let counts = Counts::default();
    let counted = Arc::clone(&counts);
    let count: Count = Arc::new(move |channel, outcome| {
        *counted.lock().unwrap().entry((channel.into(), outcome.into())).or_default() += 1;
    });
    let outbox = Outbox::with(&make(folder.path()), "showrunner", Clock::start(), count, pace, wire).unwrap();
    Bench { outbox: Arc::new(outbox), counts, folder, stop: CancellationToken::new() }
}

impl Bench {
    fn run(self) -> Self {
        let (outbox, stop) = (Arc::clone(&self.outbox), self.stop.clone());
        tokio::spawn(async move { outbox.run(stop).await });
        self
    }

    fn count(&self, channel: &str, outcome: &str) -> u64 {
        self.counts.lock().unwrap().get(&(channel.into(), outcome.into())).copied().unwrap_or_default()
    }

    fn of(&self, channel: &str) -> Delivery {
        self.outbox.state().into_iter().find(|delivery| delivery.channel == channel).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..1000 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen");
}

fn http() -> Wire {
    Wire::within(Duration::from_secs(2)).unwrap()
}

// Bodies.

#[test]
fn alertmanager_is_told_when_an_alert_would_end_by_itself() {
    let now = at("2026-12-01T10:30:00Z");
    let body = alertmanager::body([&Clean::of(&firing(KEY))], now, Duration::from_mins(1));
    let expected = json!([{
        "labels": { "alertname": "AiBudgetWarn", "severity": "critical", "budget": "platform", "team_name": "media" },
        "annotations": {
            "summary": "Budget platform has spent 82 % of December",
            "description": "410 of 500 EUR.\nAt this rate it is spent on the 19th.",
            "runbook_url": "https://docs.example/budget?a=1&b=2",
            "dashboard_url": "https://grafana.example/d/1",
        },
        "startsAt": "2026-12-01T10:20:30.123Z",
        "endsAt": "2026-12-01T10:33:00.000Z",
        "generatorURL": "https://docs.example/budget?a=1&b=2",
    }]);
    assert_eq!(body, expected);
    let over = alertmanager::body([&Clean::of(&resolved(KEY))], now, Duration::from_mins(1));
    assert_eq!(over[0]["endsAt"], "2026-12-01T10:30:00.000Z");
    assert_eq!(over[0]["labels"], expected[0]["labels"], "the same alert");
}

#[test]
fn an_alert_never_ends_before_it_starts() {
    let now = at("2026-12-01T10:00:00Z");
    let body = alertmanager::body([&Clean::of(&resolved(KEY))], now, Duration::from_mins(1));
    assert_eq!(
        (&body[0]["startsAt"], &body[0]["endsAt"]),
        (&json!("2026-12-01T10:00:00.000Z"), &json!("2026-12-01T10:00:00.000Z"))
    );
}

#[test]
fn a_page_is_triggered_and_resolved_by_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let key = secret(folder.path(), ROUTING_KEY);
    assert_eq!(
        pagerduty::body(&Clean::of(&firing(KEY)), &key, "showrunner"),
        json!({
            "routing_key": ROUTING_KEY,
            "event_action": "trigger",
            "dedup_key": KEY,
            "payload": {
                "summary": "Budget platform has spent 82 % of December",
                "source": "showrunner",
                "severity": "critical",
                "timestamp": "2026-12-01T10:20:30.123Z",
                "class": "AiBudgetWarn",
                "custom_details": {
                    "budget": "platform",
                    "team.name": "media",
                    "description": "410 of 500 EUR.\nAt this rate it is spent on the 19th.",
                },
            },
            "links": [
                { "href": "https://docs.example/budget?a=1&b=2", "text": "runbook" },
                { "href": "https://grafana.example/d/1", "text": "dashboard" },
            ],
        })
    );
    assert_eq!(
        pagerduty::body(&Clean::of(&resolved(KEY)), &key, "showrunner"),
        json!({ "routing_key": ROUTING_KEY, "event_action": "resolve", "dedup_key": KEY })
    );
}

#[test]
fn a_chat_gets_a_text_and_blocks() {
    let markup = |text: &str| json!({ "type": "mrkdwn", "text": text, "verbatim": true });
    assert_eq!(
        slack::body(&Clean::of(&firing(KEY))),
        json!({
            "text": "[FIRING] critical: Budget platform has spent 82 % of December",
            "blocks": [
                { "type": "section", "text": markup("*[FIRING] critical* Budget platform has spent 82 % of December") },
                { "type": "section", "text": markup("410 of 500 EUR.\nAt this rate it is spent on the 19th.") },
                { "type": "section", "text": markup(
                    "<https://docs.example/budget?a=1&amp;b=2|runbook>  <https://grafana.example/d/1|dashboard>") },
                { "type": "context", "elements": [
                    markup("AiBudgetWarn since 2026-12-01T10:20:30Z, budget: platform, team.name: media")] },
            ],
            "link_names": false,
            "unfurl_links": false,
            "unfurl_media": false,
        })
    );
    assert_eq!(
        slack::body(&Clean::of(&resolved(KEY)))["text"],
        "[RESOLVED] critical: Budget platform has spent 82 % of December"
    );
}

#[test]
fn hostile_texts_mention_nobody_hide_nothing_and_stay_short() {
    let hostile = "<!channel> @channel @here <@U1> &lt;!here&gt; [safe](http://evil) \u{202e}gpj.exe\u{7}\r\n\u{1b}[31m";
    let mut notice = firing("k");
    notice.name = hostile.into();
    notice.summary = format!("{hostile}{}", "&".repeat(100_000));
    notice.description = format!("{hostile}{}", "😀".repeat(100_000));
    notice.labels = (0..1000).map(|n| (format!("{n}{hostile}"), hostile.repeat(1000))).collect();
    notice.links = vec![
        ("a|b>".into(), "https://x.example/?q=<!channel>|text>".into()),
        ("js".into(), "javascript:alert(1)".into()),
        ("user".into(), "https://user:pass@x.example/".into()),
        ("long".into(), format!("https://x.example/{}", "y".repeat(5000))),
        ("not".into(), "not a url".into()),
    ];
    notice.links.extend((0..100).map(|n| (format!("l{n}"), format!("https://x.example/{}", "z".repeat(900)))));
    let clean = Clean::of(&notice);
    assert!(clean.labels.len() <= MAX_LABELS && clean.links.len() == MAX_LINKS && clean.summary.chars().count() == MAX_SUMMARY);

    let message = slack::body(&clean);
    let mut texts = vec![message["text"].as_str().unwrap()];
    for block in message["blocks"].as_array().unwrap() {
        texts.push(block["text"]["text"].as_str().or_else(|| block["elements"][0]["text"].as_str()).unwrap());
    }
    assert_eq!(texts.len(), 5);
    for text in &texts {
        assert!(text.encode_utf16().count() <= 3000, "{}", text.len());
        assert!(!text.contains("<!") && !text.contains("<@") && !text.contains("@c") && !text.contains("@h"), "{text}");
        assert!(!text.contains("](") && !text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
        assert!(!text.contains(['\u{202e}', '\u{1b}']), "{text}");
        let cut_entity = text.rsplit_once('&').is_some_and(|(_, end)| !end.contains(';'));
        assert!(!cut_entity, "no half an entity: {text}");
    }
    assert!(texts.iter().map(|text| text.len()).sum::<usize>() < 26_000);
    assert!(texts[3].contains("|a/b&gt;>") && texts[3].matches('<').count() == texts[3].matches("https://").count());

    let folder = tempfile::tempdir().unwrap();
    let event = pagerduty::body(&clean, &secret(folder.path(), ROUTING_KEY), "s");
    assert!(event["payload"]["summary"].as_str().unwrap().chars().count() <= 1024);
    assert!(event.to_string().len() < 100_000, "far below PagerDuty's 512 KB");

    let alerts = alertmanager::body([&clean], Timestamp::now(), SECOND);
    let plain =
        |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(char::is_numeric);
    assert!(alerts[0]["labels"].as_object().unwrap().keys().all(plain));
    assert!(alerts[0]["annotations"].as_object().unwrap().keys().all(plain));
    assert_eq!(alerts[0]["labels"]["severity"], "critical");
}

#[test]
fn labels_cannot_take_the_place_of_ours() {
    let mut notice = firing("k");
    notice.labels = BTreeMap::from([("alertname".into(), "Watchdog".into()), ("severity".into(), "none".into())]);
    let alerts = alertmanager::body([&Clean::of(&notice)], Timestamp::now(), SECOND);
    assert_eq!(alerts[0]["labels"], json!({ "alertname": "AiBudgetWarn", "severity": "critical" }));
}

#[test]
fn nothing_is_ever_without_a_summary_or_a_name() {
    let mut notice = firing("k");
    (notice.name, notice.summary) = ("\u{7}".into(), " \n".into());
    let clean = Clean::of(&notice);
    assert_eq!((clean.name.as_str(), clean.summary.as_str()), ("Notice", "Notice"));
}

#[test]
fn long_keys_are_cut_and_stay_different() {
    let long = |end: &str| text::key(&format!("{}{end}", "aibudget/ü/".repeat(50)));
    assert_eq!(text::key(KEY), KEY);
    assert!(long("a").len() <= 255 && long("a").starts_with("aibudget/ü/"));
    assert_ne!(long("a"), long("b"));
    assert_eq!(long("a"), long("a"));
    assert_ne!(text::key("a\u{1}b"), text::key("ab"), "nor does cleaning make two keys one");
    assert!(!text::key("a\u{1}b").contains('\u{1}') && !text::key("").is_empty());
}

#[test]
fn answers_are_repeated_only_where_they_tell_nothing() {
    assert_eq!(text::said("Length of 'routing_key' is incorrect", ROUTING_KEY).unwrap(), "Length of 'routing_key' is incorrect");
    assert_eq!(text::said(&format!("unknown key {ROUTING_KEY}"), ROUTING_KEY), None);
    assert_eq!(text::said(&format!("unknown key {}", ROUTING_KEY[4..14].to_uppercase()), ROUTING_KEY), None);
    assert_eq!(text::said("<html>\u{1b}\n{}", ""), Some("html".into()));
    assert_eq!(text::said("", ""), None);
    assert_eq!(text::said(&"a ".repeat(1000), "").unwrap().len(), 159);
}

// Over HTTP.

#[tokio::test]
async fn everybody_is_told_and_told_of_the_end() {
    let (script, url) = server().await;
    let bench = bench(|folder| config(&url, folder), hasty(), http()).run();
    bench.outbox.put(&firing(KEY), Told::New);
    until(|| bench.outbox.delivered(KEY)).await;
    let by_path = |asked: &[Asked], path: &str| asked.iter().filter(|asked| asked.path == path).cloned().collect::<Vec<_>>();
    let asked = script.asked();
    let am = by_path(&asked, "/am/api/v2/alerts");
    assert_eq!(am[0].authorization.as_deref(), Some("Bearer topSecretToken"));
    assert_eq!(am[0].body[0]["labels"]["alertname"], "AiBudgetWarn");
    let ends = at(am[0].body[0]["endsAt"].as_str().unwrap()).duration_since(Timestamp::now()).as_secs();
    assert!((170..=180).contains(&ends), "three sends later: {ends}");
    assert_eq!(by_path(&asked, "/services/T0/B0/topSecretHook")[0].body, slack::body(&Clean::of(&firing(KEY))));
    let page = by_path(&asked, "/v2/enqueue");
    assert_eq!((&page[0].body["event_action"], page[0].authorization.as_ref()), (&json!("trigger"), None));
    assert_eq!(asked.len(), 3);

    bench.outbox.put(&firing(KEY), Told::New);
    // Whoever ends it may not remember how it began.
    let end = Notice { severity: Severity::Info, labels: BTreeMap::new(), ..resolved(KEY) };
    bench.outbox.put(&end, Told::New);
    until(|| bench.outbox.delivered(KEY)).await;
    let asked = script.asked();
    assert_eq!(asked.len(), 6, "once per change of state");
    let am = by_path(&asked, "/am/api/v2/alerts");
    assert_eq!(am[1].body[0]["labels"], am[0].body[0]["labels"]);
    assert!(at(am[1].body[0]["endsAt"].as_str().unwrap()) <= Timestamp::now());
    assert_eq!(by_path(&asked, "/v2/enqueue")[1].body["event_action"], "resolve");
    for channel in ["alertmanager/am", "slack/ops", "pagerduty/night"] {
        assert_eq!(bench.count(channel, "sent"), 2, "{channel}");
    }
}

#[tokio::test]
async fn failures_that_pass_are_tried_again() {
    let (script, url) = server().await;
    script.then(500, &[], "oops");
    script.then(503, &[], "");
    script.then(429, &[], "");
    let bench = bench(|folder| only(config(&url, folder), "pagerduty"), hasty(), http()).run();
    bench.outbox.put(&firing(KEY), Told::New);
    until(|| bench.outbox.delivered(KEY)).await;
    assert_eq!(script.asked().len(), 4);
    assert_eq!((bench.count("pagerduty/night", "retried"), bench.count("pagerduty/night", "sent")), (3, 1));
    assert_eq!(bench.of("pagerduty/night").attempts, 4);
    assert_eq!(bench.of("pagerduty/night").last_error, None);
}

#[tokio::test]
async fn an_answer_that_asks_to_wait_is_heard() {
    let (script, url) = server().await;
    script.then(429, &[("retry-after", "1")], "");
    let bench = bench(|folder| only(config(&url, folder), "pagerduty"), hasty(), http()).run();
    let began = std::time::Instant::now();
    bench.outbox.put(&firing(KEY), Told::New);
    until(|| bench.outbox.delivered(KEY)).await;
    assert!(began.elapsed() >= SECOND, "{:?}", began.elapsed());
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test]
async fn what_an_answer_asks_to_wait_is_bounded_and_may_be_a_date() {
    let (script, url) = server().await;
    let far = jiff::fmt::rfc2822::to_string(&Timestamp::MAX.to_zoned(jiff::tz::TimeZone::UTC)).unwrap();
    let past = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (value, expected) in [("999999999", Some(300)), (&far, Some(300)), (past, Some(0)), ("soon", None), ("-1", None)] {
        script.then(429, &[("retry-after", value)], "");
        let outgoing =
            Outgoing { url: url.parse().unwrap(), bearer: None, body: b"{}".to_vec(), dialect: Dialect::Slack, secret: None };
        let Answer::Later { after, .. } = http().send(outgoing).await else { panic!() };
        assert_eq!(after.map(|after| after.as_secs()), expected, "{value}");
    }
}

#[tokio::test]
async fn what_is_refused_is_not_sent_again_until_the_secret_changes() {
    let (script, url) = server().await;
    script.then(
        400,
        &[],
        &json!({ "status": "invalid event", "message": "Event object is invalid",
        "errors": ["Length of 'routing_key' is incorrect"] })
        .to_string(),
    );
    let bench = bench(|folder| only(config(&url, folder), "pagerduty"), hasty(), http()).run();
    bench.outbox.put(&firing(KEY), Told::New);
    until(|| bench.count("pagerduty/night", "refused") == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(script.asked().len(), 1);
    let delivery = bench.of("pagerduty/night");
    assert_eq!(delivery.state, "refused");
    let error = delivery.last_error.unwrap();
    assert_eq!(error, "it answers 400 (Event object is invalid: Length of 'routing_key' is incorrect)");
    assert!(!bench.outbox.delivered(KEY));

    std::fs::write(bench.folder.path().join("routingKey"), "another").unwrap();
    until(|| bench.outbox.delivered(KEY)).await;
    assert_eq!(script.asked()[1].body["routing_key"], "another");
}

#[tokio::test]
async fn a_rotated_webhook_is_used_at_once() {
    let (script, url) = server().await;
    let bench = bench(|folder| only(config(&url, folder), "slack"), hasty(), http()).run();
    bench.outbox.put(&firing("a"), Told::New);
    until(|| bench.outbox.delivered("a")).await;
    std::fs::write(bench.folder.path().join("url"), format!("{url}/new")).unwrap();
    bench.outbox.put(&firing("b"), Told::New);
    until(|| bench.outbox.delivered("b")).await;
    assert_eq!(script.asked()[1].path, "/new");
}

#[tokio::test]
async fn a_secret_that_is_missing_is_waited_for() {
    let (script, url) = server().await;
    let bench = bench(|folder| only(config(&url, folder), "slack"), hasty(), http()).run();
    let file = bench.folder.path().join("url");
    std::fs::write(&file, "not-a-url-but-secret").unwrap();
    bench.outbox.put(&firing(KEY), Told::New);
    until(|| bench.count("slack/ops", "retried") > 0).await;
    let error = bench.of("slack/ops").last_error.unwrap();
    assert!(error.starts_with("failed to use file") && !error.contains("not-a-url"), "{error}");
    std::fs::remove_file(&file).unwrap();
    until(|| bench.of("slack/ops").last_error.unwrap().starts_with("failed to read file")).await;
    assert!(script.asked().is_empty());
    std::fs::write(&file, &url).unwrap();
    until(|| bench.outbox.delivered(KEY)).await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (script, url) = server().await;
    script.then(307, &[("location", "/elsewhere")], "");
    let bench = bench(|folder| only(config(&url, folder), "slack"), hasty(), http()).run();
    bench.outbox.put(&firing(KEY), Told::New);
    until(|| bench.count("slack/ops", "refused") == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(script.asked().len(), 1);
    assert_eq!(bench.of("slack/ops").last_error.unwrap(), "it answers 307");
}

#[tokio::test]
async fn no_error_and_no_print_has_a_secret_in_it() {
    let (script, url) = server().await;
    script.then(404, &[], "no_service");
    script.then(404, &[], "topSecretHook");
    let bench = bench(|folder| config(&url, folder), hasty(), http());
    let silent = Outgoing {
        url: "http://127.0.0.1:1/services/topSecretHook".parse().unwrap(),
        bearer: None,
        body: Vec::new(),
        dialect: Dialect::Slack,
        secret: None,
    };
    assert_eq!(http().send(silent).await, Answer::later("no connection".into()));
    for expected in ["it answers 404 (no_service)", "it answers 404"] {
        let outgoing = Outgoing {
            url: url.parse().unwrap(),
            bearer: None,
            body: b"{}".to_vec(),
            dialect: Dialect::Slack,
            secret: Some(secret(bench.folder.path(), "https://hooks/topSecretHook")),
        };
        assert_eq!(http().send(outgoing).await, Answer::Refused { error: expected.into() });
    }
    let printed = format!("{:?} {:?}", bench.outbox, secret(bench.folder.path(), "topSecret"));
    assert!(!printed.contains("topSecret"), "{printed}");
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let (script, url) = server().await;
    script.then(400, &[], &"x ".repeat(1 << 20));
    let bench = bench(|folder| only(config(&url, folder), "slack"), hasty(), http()).run();
    bench.outbox.put(&firing(KEY), Told::New);
    until(|| bench.count("slack/ops", "refused") == 1).await;
    assert_eq!(bench.of("slack/ops").last_error.unwrap(), "it answers 400");
}

#[tokio::test]
async fn a_dead_channel_delays_no_other() {
    let (script, url) = server().await;
    // Takes connections and never answers.
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = format!("http://{}/", hole.local_addr().unwrap());
    let bench = bench(
        |folder| {
            let mut config = config(&url, folder);
            config.alertmanagers[0].url = dead.parse().unwrap();
            config.alertmanagers.push(AlertmanagerConfig { name: "am-1".into(), url: url.parse().unwrap(), credentials: None });
            config
        },
        hasty(),
        http(),
    )
    .run();
    let began = std::time::Instant::now();
    bench.outbox.put(&firing(KEY), Told::New);
    until(|| {
        bench.count("slack/ops", "sent") + bench.count("pagerduty/night", "sent") + bench.count("alertmanager/am-1", "sent") == 3
    })
    .await;
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    assert_eq!(script.asked().len(), 3);
    assert!(!bench.outbox.delivered(KEY) && bench.outbox.told(KEY));
    until(|| bench.count("alertmanager/am", "retried") > 0).await;
    assert_eq!(bench.of("alertmanager/am").last_error.unwrap(), "no answer in time");
}

#[tokio::test]
async fn one_bad_alert_of_many_does_not_keep_the_others_back() {
    let (script, url) = server().await;
    let bench = bench(|folder| only(config(&url, folder), "alertmanager"), hasty(), http());
    for key in ["a", "b", "c"] {
        bench.outbox.put(&firing(key), Told::New);
    }
    script.then(400, &[], "\"bad\"");
    script.then(400, &[], "\"bad\"");
    let bench = bench.run();
    until(|| bench.count("alertmanager/am", "sent") == 2).await;
    let sizes: Vec<_> = script.asked().iter().map(|asked| asked.body.as_array().unwrap().len()).collect();
    assert_eq!(sizes, [3, 1, 1, 1], "together, and then each alone");
    assert_eq!(bench.count("alertmanager/am", "refused"), 1);
}

// In virtual time.

type Sent = Arc<Mutex<Vec<(Duration, Dialect, Value)>>>;

/// A network that answers by these rules, and what was sent when.
fn fake(answer: impl Fn(Dialect, usize) -> Answer + Send + Sync + 'static) -> (Wire, Sent) {
    let (sent, clock) = (Sent::default(), Clock::start());
    let kept = Arc::clone(&sent);
    let network = move |outgoing: &Outgoing| {
        let mut sent = kept.lock().unwrap();
        sent.push((clock.mono(), outgoing.dialect, serde_json::from_slice(&outgoing.body).unwrap()));
        let before = sent.iter().filter(|(_, dialect, _)| *dialect == outgoing.dialect).count();
        answer(outgoing.dialect, before)
    };
    (Wire::Fake(Box::new(network)), sent)
}

fn times(sent: &Sent, dialect: Dialect) -> Vec<Duration> {
    sent.lock().unwrap().iter().filter(|(_, other, _)| *other == dialect).map(|(at, ..)| *at).collect()
}

#[tokio::test(start_paused = true)]
async fn a_firing_alert_is_sent_again_each_minute_and_others_once() {
    let (wire, sent) = fake(|_, _| Answer::Accepted);
    let bench = bench(|folder| config("http://x", folder), real(), wire).run();
    bench.outbox.put(&firing(KEY), Told::New);
    tokio::time::sleep(Duration::from_secs(30)).await;
    bench.outbox.put(&firing("other"), Told::New);
    tokio::time::sleep(Duration::from_secs(280)).await;
    let alerts = times(&sent, Dialect::Alertmanager);
    assert!((11..=12).contains(&alerts.len()), "each on its own minute: {alerts:?}");
    assert_eq!((times(&sent, Dialect::Slack).len(), times(&sent, Dialect::PagerDuty).len()), (2, 2));
    assert_eq!(bench.count("alertmanager/am", "sent"), 2);
    assert!(bench.count("alertmanager/am", "resent") >= 9);
    bench.outbox.put(&resolved(KEY), Told::New);
    bench.outbox.put(&resolved("other"), Told::New);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = sent.lock().unwrap().len();
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(sent.lock().unwrap().len(), before, "what is over is not sent again");
}

#[tokio::test(start_paused = true)]
async fn alerts_that_are_due_at_about_the_same_time_share_requests() {
    let (wire, sent) = fake(|_, _| Answer::Accepted);
    let bench = bench(|folder| only(config("http://x", folder), "alertmanager"), real(), wire).run();
    for n in 0..100 {
        bench.outbox.put(&firing(&n.to_string()), Told::New);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(50)).await;
    sent.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_mins(10)).await;
    let requests = sent.lock().unwrap().len();
    assert!((36..=60).contains(&requests), "{requests}: four a minute, not a hundred");
}

#[tokio::test(start_paused = true)]
async fn people_who_know_are_not_told_twice_after_a_restart() {
    let (wire, sent) = fake(|_, _| Answer::Accepted);
    let bench = bench(|folder| config("http://x", folder), real(), wire).run();
    bench.outbox.put(&firing(KEY), Told::Before);
    bench.outbox.put(&firing(KEY), Told::New);
    tokio::time::sleep(SECOND * 5).await;
    assert!(bench.outbox.delivered(KEY) && bench.of("slack/ops").state == "told");
    let count = |dialect| times(&sent, dialect).len();
    assert_eq!((count(Dialect::Alertmanager), count(Dialect::PagerDuty), count(Dialect::Slack)), (1, 1, 0));
    bench.outbox.put(&resolved(KEY), Told::New);
    tokio::time::sleep(SECOND * 5).await;
    assert_eq!(count(Dialect::Slack), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_hours_is_waited_out_a_minute_at_a_time() {
    let (wire, sent) = fake(|dialect, n| match dialect {
        Dialect::PagerDuty if n <= 200 => Answer::later("it answers 500".into()),
        _ => Answer::Accepted,
    });
    let bench = bench(|folder| only(config("http://x", folder), "pagerduty"), real(), wire).run();
    bench.outbox.put(&firing(KEY), Told::New);
    tokio::time::sleep(Duration::from_hours(4)).await;
    assert!(bench.outbox.delivered(KEY));
    let times = times(&sent, Dialect::PagerDuty);
    assert_eq!(times.len(), 201);
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[0] <= SECOND && gaps[1] <= SECOND * 2 && gaps.iter().all(|gap| *gap <= SECOND * 61), "{gaps:?}");
    assert!(gaps[10..].iter().all(|gap| *gap >= SECOND * 40), "{gaps:?}");
    assert!(gaps[10..].iter().any(|gap| *gap != gaps[10]), "jitter");
}

#[tokio::test(start_paused = true)]
async fn a_newer_state_takes_the_place_of_one_that_was_not_sent() {
    let (wire, sent) = fake(|_, n| if n <= 3 { Answer::later("no connection".into()) } else { Answer::Accepted });
    let bench = bench(|folder| only(config("http://x", folder), "slack"), real(), wire).run();
    bench.outbox.put(&firing(KEY), Told::New);
    tokio::time::sleep(SECOND / 2).await;
    bench.outbox.put(&resolved(KEY), Told::New);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let texts: Vec<_> = sent.lock().unwrap().iter().map(|(.., body)| body["text"].as_str().unwrap()[..9].to_owned()).collect();
    assert_eq!(texts, ["[FIRING] ", "[RESOLVED", "[RESOLVED", "[RESOLVED"]);
    assert_eq!(bench.outbox.state().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_bad_notice_does_not_keep_others_of_its_channel_back() {
    let (wire, sent) = fake(|_, n| if n % 2 == 1 { Answer::later("it answers 500".into()) } else { Answer::Accepted });
    let bench = bench(|folder| only(config("http://x", folder), "pagerduty"), real(), wire).run();
    bench.outbox.put(&firing("bad"), Told::New);
    bench.outbox.put(&firing("good"), Told::New);
    tokio::time::sleep(SECOND * 3).await;
    let keys: Vec<_> = sent.lock().unwrap().iter().map(|(.., body)| body["dedup_key"].clone()).collect();
    assert_eq!(keys[..2], ["bad", "good"]);
}

#[tokio::test(start_paused = true)]
async fn the_rate_of_a_channel_is_bounded_and_the_worst_comes_first() {
    let (wire, sent) = fake(|_, _| Answer::Accepted);
    let bench = bench(|folder| only(config("http://x", folder), "slack"), real(), wire);
    for n in 0..20 {
        bench.outbox.put(&notice(&format!("info{n}"), Severity::Info, Event::Firing), Told::New);
    }
    bench.outbox.put(&firing("worst"), Told::New);
    let bench = bench.run();
    tokio::time::sleep(SECOND * 10).await;
    let count = times(&sent, Dialect::Slack).len();
    assert!((9..=12).contains(&count), "{count}");
    assert!(sent.lock().unwrap()[0].2["text"].as_str().unwrap().starts_with("[FIRING] critical"));
    drop(bench);
}

#[tokio::test(start_paused = true)]
async fn severities_choose_the_channels() {
    let (wire, sent) = fake(|_, _| Answer::Accepted);
    let bench = bench(|folder| config("http://x", folder), real(), wire).run();
    bench.outbox.put(&notice(KEY, Severity::Warning, Event::Firing), Told::New);
    tokio::time::sleep(SECOND * 5).await;
    assert!(bench.outbox.delivered(KEY) && times(&sent, Dialect::PagerDuty).is_empty());
    assert_eq!(bench.outbox.state().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_outbox_is_bounded_and_drops_the_least() {
    let (wire, _) = fake(|_, _| Answer::Accepted);
    let bench = bench(|folder| only(config("http://x", folder), "slack"), real(), wire);
    let put = |key: &str, severity, event| bench.outbox.put(&notice(key, severity, event), Told::New);
    let has = |key: &str| bench.outbox.state().iter().any(|delivery| delivery.key == key);
    for n in 0..KEYS {
        put(&format!("info{n}"), Severity::Info, Event::Firing);
    }
    put("info-more", Severity::Info, Event::Firing);
    assert!(!has("info-more") && bench.count("slack/ops", "dropped") == 1, "its like do not drive each other out");
    put("worse", Severity::Critical, Event::Firing);
    assert!(has("worse") && !has("info0") && bench.count("slack/ops", "dropped") == 2);
    for n in 0..KEYS {
        put(&format!("critical{n}"), Severity::Critical, Event::Firing);
    }
    put("info-again", Severity::Info, Event::Firing);
    assert!(has("worse") && !has("info-again"));
    let deliveries = bench.outbox.state();
    assert_eq!(deliveries.len(), KEYS);
    assert!(deliveries.iter().all(|delivery| delivery.key.starts_with("critical") || delivery.key == "worse"));
    // An end that could not be told makes room for a beginning, and not the other way round.
    put("worse", Severity::Critical, Event::Resolved);
    put("new", Severity::Critical, Event::Firing);
    put("old", Severity::Critical, Event::Resolved);
    assert!(has("new") && !has("worse") && !has("old"));
}

#[tokio::test(start_paused = true)]
async fn what_is_over_makes_room_and_nothing_is_lost() {
    let (wire, _) = fake(|_, _| Answer::Accepted);
    let bench = bench(|folder| only(config("http://x", folder), "pagerduty"), real(), wire).run();
    for n in 0..3 * KEYS {
        bench.outbox.put(&firing(&n.to_string()), Told::New);
        tokio::time::sleep(SECOND).await;
        bench.outbox.put(&resolved(&n.to_string()), Told::New);
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!((bench.count("pagerduty/night", "sent"), bench.count("pagerduty/night", "dropped")), (6 * KEYS as u64, 0));
    assert_eq!(bench.outbox.state().len(), KEYS);
}

#[tokio::test(start_paused = true)]
async fn without_channels_everybody_knows() {
    let (wire, _) = fake(|_, _| Answer::Accepted);
    let bench = bench(|_| NotifyConfig::default(), real(), wire);
    bench.outbox.put(&firing(KEY), Told::New);
    assert!(bench.outbox.delivered(KEY) && bench.outbox.state().is_empty());
    let run = bench.outbox.run(bench.stop.clone());
    assert!(tokio::time::timeout(SECOND, run).await.is_err(), "it ends when it is stopped");
}

#[tokio::test(start_paused = true)]
async fn it_stops_when_asked() {
    let (wire, _) = fake(|_, _| Answer::later("no connection".into()));
    let bench = bench(|folder| config("http://x", folder), real(), wire);
    bench.outbox.put(&firing(KEY), Told::New);
    let stop = bench.stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(SECOND * 90).await;
        stop.cancel();
    });
    tokio::time::timeout(SECOND * 91, bench.outbox.run(bench.stop.clone())).await.unwrap();
}
