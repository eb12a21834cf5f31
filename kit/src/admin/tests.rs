//! The listeners, over real sockets.

use super::*;
use crate::telemetry;
use futures::future::BoxFuture;
use serve::{CONNECTION_TIMEOUT, HEAD_TIMEOUT, MAX_CONNECTIONS};
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Knows one budget, and shows what it was asked for.
struct One;

impl Budgets for One {
    fn show(&self, ask: budgets::Ask) -> BoxFuture<'_, Result<String, budgets::NotShown>> {
        let answer = match ask.budget.as_str() {
            "all" => Ok(format!("{:?} {:?} {}", ask.page, ask.period, ask.after)),
            "away" => Err(budgets::NotShown::Away("the ledger is away".into())),
            other => Err(budgets::NotShown::Unknown(format!("no {other}"))),
        };
        Box::pin(async { answer })
    }
}

async fn serving(pending: &Arc<Mutex<Vec<String>>>) -> (String, String, CancellationToken, Serving) {
    crate::kube_client::install_tls_provider();
    let pending = Arc::clone(pending);
    let admin = Admin {
        metrics: Arc::new(Metrics::new()),
        pending: Arc::new(move || pending.lock().unwrap().clone()),
        away: Arc::new(|| vec!["namespace b".to_owned()]),
        debug: Arc::new(|| json!({ "queues": {} })),
        log_level: telemetry::LogLevel::for_tests(),
        budgets: Some(Arc::new(One)),
    };
    let stop = CancellationToken::new();
    let serving = admin.serve(AdminPorts { public: 0, debug: 0 }, None, stop.clone()).await.unwrap();
    let public = format!("http://127.0.0.1:{}", serving.address().unwrap().port());
    let debug = format!("http://{}", serving.debug_address().unwrap());
    (public, debug, stop, serving)
}

#[tokio::test]
async fn readiness_says_what_is_pending() {
    let pending = Arc::new(Mutex::new(vec!["cache TitleEnrichment".to_owned()]));
    let (public, _, stop, serving) = serving(&pending).await;
    let answer = reqwest::get(format!("{public}/readyz")).await.unwrap();
    assert_eq!(answer.status(), 503);
    let body = answer.json::<Value>().await.unwrap();
    assert_eq!(body, json!({ "ready": false, "pending": ["cache TitleEnrichment"], "away": ["namespace b"] }));
    pending.lock().unwrap().clear();
    let answer = reqwest::get(format!("{public}/readyz")).await.unwrap();
    assert_eq!(answer.status(), 200, "what is away is told, and keeps nobody from being ready");
    let body = answer.json::<Value>().await.unwrap();
    assert_eq!(body, json!({ "ready": true, "pending": [], "away": ["namespace b"] }));
    assert_eq!(reqwest::get(format!("{public}/livez")).await.unwrap().status(), 200);
    let metrics = reqwest::get(format!("{public}/metrics")).await.unwrap();
    assert_eq!(metrics.headers()["content-type"], CONTENT_TYPE);
    assert!(metrics.text().await.unwrap().ends_with("# EOF\n"));
    stop.cancel();
    serving.join().await;
}

#[tokio::test]
async fn what_names_objects_or_changes_the_process_is_on_loopback_only() {
    let (public, debug, stop, serving) = serving(&Arc::default()).await;
    assert!(serving.debug_address().unwrap().ip().is_loopback());
    for path in ["/debug/state", "/log-level"] {
        assert_eq!(reqwest::get(format!("{public}{path}")).await.unwrap().status(), 404, "{path}");
    }
    assert_eq!(
        reqwest::get(format!("{debug}/debug/state")).await.unwrap().json::<Value>().await.unwrap(),
        json!({ "queues": {} })
    );
    let client = reqwest::Client::new();
    let set = async |filter: String| client.put(format!("{debug}/log-level")).body(filter).send().await.unwrap().status();
    assert_eq!(set("debug".into()).await, 204);
    assert_eq!(set("info,=".into()).await, 400);
    assert_eq!(set("a".repeat(5000)).await, 413);
    stop.cancel();
    serving.join().await;
}

#[tokio::test]
async fn budgets_are_shown_on_loopback_only_and_never_as_more_than_a_page() {
    let (public, debug, stop, serving) = serving(&Arc::default()).await;
    assert_eq!(reqwest::get(format!("{public}/budgets/all/report")).await.unwrap().status(), 404);
    let get = async |path: &str| reqwest::get(format!("{debug}/budgets/{path}")).await.unwrap();
    for (path, content_type, text) in [
        ("all/report", "text/html; charset=utf-8", "Report None 0"),
        ("all/report?period=2026-10", "text/html; charset=utf-8", "Report Some(\"2026-10\") 0"),
        ("all/models.csv", "text/csv; charset=utf-8", "Models None 0"),
        ("all/focus.csv", "text/csv; charset=utf-8", "Focus None 0"),
        ("all/queue?after=500", "application/json", "Queue None 500"),
    ] {
        let answer = get(path).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &content_type.parse().unwrap()),
            "{path}"
        );
        assert!(answer.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.text().await.unwrap(), text);
    }
    let long = "a".repeat(254);
    for (path, status) in [
        ("none/report", 404),
        ("away/report", 503),
        ("all/secrets", 404),
        ("all/report?period=2026-10-2026-10-2026-10", 404),
        ("all/queue?after=-1", 400),
        ("all/queue?before=1", 400),
        (&format!("{long}/report"), 404),
    ] {
        assert_eq!(get(path).await.status(), status, "{path}");
    }
    stop.cancel();
    serving.join().await;
}

/// What a connection is told after it has sent this, until it is closed.
async fn talk(stream: &mut TcpStream, text: &str) -> String {
    // Both fail on a connection that was closed; what was read before counts.
    let _ = stream.write_all(text.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_flood_of_silent_connections_keeps_no_probe_out_and_is_bounded() {
    let (public, debug, stop, serving) = serving(&Arc::default()).await;
    for (address, path) in [(&public, "livez"), (&debug, "debug/state")] {
        let at = address.strip_prefix("http://").unwrap();
        let mut flood = Vec::new();
        for _ in 0..MAX_CONNECTIONS * 3 {
            flood.push(TcpStream::connect(at).await.unwrap());
        }
        assert_eq!(reqwest::get(format!("{address}/{path}")).await.unwrap().status(), 200);
        // That answer came after all of the flood was accepted, so that nobody else is closed for being too many.
        let closed = flood.drain(..MAX_CONNECTIONS * 2);
        for mut stream in closed {
            assert_eq!(talk(&mut stream, "").await, "", "the oldest were closed");
        }
        let mut kept = flood.pop().unwrap();
        assert!(
            talk(&mut kept, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n").await.starts_with("HTTP/1.1 404"),
            "the latest was not"
        );
    }
    stop.cancel();
    serving.join().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_is_cut_off() {
    let (public, debug, stop, serving) = serving(&Arc::default()).await;
    let took = async |address: &str, text: &str| {
        let began = Instant::now();
        let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
        let answer = talk(&mut stream, text).await;
        assert!(!answer.contains("200") && !answer.contains("204"), "{answer}");
        began.elapsed()
    };
    let second = Duration::from_secs(1);
    for address in [&public, &debug] {
        let head = took(address, "GET /metrics HTTP/1.1\r\nHost: a\r\nX-Slow: ").await;
        assert!(head >= HEAD_TIMEOUT && head < HEAD_TIMEOUT + second, "half a head: {head:?}");
    }
    let body = took(&debug, "PUT /log-level HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\ninf").await;
    assert!(body >= CONNECTION_TIMEOUT && body < CONNECTION_TIMEOUT + second, "half a body: {body:?}");
    stop.cancel();
    serving.join().await;
}

#[tokio::test]
async fn a_connection_is_for_one_request_and_a_head_has_a_size() {
    let (public, _, stop, serving) = serving(&Arc::default()).await;
    let at = public.strip_prefix("http://").unwrap();
    let ask = async |text: String| talk(&mut TcpStream::connect(at).await.unwrap(), &text).await;
    let request = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(ask(request.repeat(2)).await.matches("HTTP/1.1 200").count(), 1);
    let answer = ask(format!("GET /livez HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "a".repeat(200_000))).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    stop.cancel();
    serving.join().await;
}

#[tokio::test]
async fn connections_that_have_ended_are_not_counted() {
    let (public, _, stop, serving) = serving(&Arc::default()).await;
    let at = public.strip_prefix("http://").unwrap();
    let request = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut open = TcpStream::connect(at).await.unwrap();
    for _ in 0..=MAX_CONNECTIONS {
        assert!(talk(&mut TcpStream::connect(at).await.unwrap(), request).await.starts_with("HTTP/1.1 200"));
    }
    assert!(talk(&mut open, request).await.starts_with("HTTP/1.1 200"), "there were never more than two");
    stop.cancel();
    serving.join().await;
}

#[tokio::test]
async fn an_open_connection_does_not_hold_up_the_end() {
    let (public, _, stop, serving) = serving(&Arc::default()).await;
    let at = public.strip_prefix("http://").unwrap();
    let _open = TcpStream::connect(at).await.unwrap();
    assert_eq!(reqwest::get(format!("{public}/livez")).await.unwrap().status(), 200);
    tokio::time::pause();
    let began = Instant::now();
    stop.cancel();
    serving.join().await;
    assert!(began.elapsed() < Duration::from_secs(2));
}
