//! The guarded listener over real sockets and real TLS, in front of an API server that says what a test wants.

use super::super::review::{FRESH, MAX_ANSWERS, MAX_TOKEN, question};
use super::*;
use crate::admin::{Admin, AdminPorts, Guarded, Serving};
use crate::telemetry::LogLevel;
use kube::client::Body;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

/// An API server that knows two tokens: `good`, whose user may get, and `poor`, whose user may nothing.
#[derive(Clone, Default)]
struct Api {
    asked: Arc<Mutex<Vec<Value>>>,
    /// Answers this status instead, when it is not 0.
    broken: Arc<AtomicU16>,
}

impl Api {
    fn answer(&self, path: &str, body: &Value) -> (u16, Value) {
        let broken = self.broken.load(Ordering::SeqCst);
        if broken != 0 {
            return (
                broken,
                json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": broken, "message": "no" }),
            );
        }
        self.asked.lock().unwrap().push(body.clone());
        let status = if path.ends_with("/tokenreviews") {
            match body["spec"]["token"].as_str().unwrap() {
                token @ ("good" | "poor") => json!({ "authenticated": true, "user": {
                    "username": format!("system:serviceaccount:ops:{token}"), "uid": "u", "groups": ["system:authenticated"],
                    "extra": { "scopes": ["a"] } } }),
                _ => json!({ "authenticated": false, "error": "unknown" }),
            }
        } else {
            assert!(path.ends_with("/subjectaccessreviews"), "{path}");
            let spec = &body["spec"];
            assert_eq!((&spec["groups"][0], &spec["extra"]["scopes"][0]), (&json!("system:authenticated"), &json!("a")));
            let asked = &spec["nonResourceAttributes"];
            let may =
                spec["user"] == "system:serviceaccount:ops:good" && asked["verb"] == "get" && asked["path"] == "/debug/state";
            json!({ "allowed": may })
        };
        (201, json!({ "metadata": {}, "spec": body["spec"], "status": status }))
    }

    fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let api = api.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = serde_json::from_slice(&body.collect_bytes().await?).unwrap_or(Value::Null);
                let (code, answer) = api.answer(parts.uri.path(), &body);
                let body = Body::from(answer.to_string().into_bytes());
                Ok::<_, kube::Error>(http::Response::builder().status(code).body(body).unwrap())
            }
        });
        Client::new(service, "default")
    }
}

/// A certificate for localhost of its own, in the two files of a mounted Secret.
fn certificate(folder: &Path) {
    let config = folder.join("openssl.cnf");
    let text = "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN=localhost\n\
                [ext]\nsubjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\n";
    std::fs::write(&config, text).unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-config"])
        .args([&config, Path::new("-out"), &folder.join("tls.crt"), Path::new("-keyout"), &folder.join("tls.key")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

struct World {
    api: Api,
    metrics: Arc<Metrics>,
    guard: Guard,
    folder: tempfile::TempDir,
    url: String,
    address: std::net::SocketAddr,
    stop: CancellationToken,
    serving: Serving,
}

async fn world() -> World {
    crate::kube_client::install_tls_provider();
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let (api, metrics, clock) = (Api::default(), Arc::new(Metrics::new()), Clock::start());
    let guard = Guard::new(api.client(), "showrunner-debug", Arc::clone(&metrics), clock);
    let admin = Admin {
        metrics: Arc::clone(&metrics),
        pending: Arc::new(Vec::new),
        away: Arc::new(Vec::new),
        debug: Arc::new(|| json!({ "queues": {} })),
        log_level: LogLevel::for_tests(),
        budgets: None,
    };
    let stop = CancellationToken::new();
    let guarded = Guarded { port: 0, tls: folder.path().to_owned(), guard: guard.clone(), clock };
    let serving = admin.serve(AdminPorts { public: 0, debug: 0 }, Some(guarded), stop.clone()).await.unwrap();
    let port = serving.guarded_address().unwrap().port();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    World { api, metrics, guard, folder, url: format!("https://localhost:{port}"), address, stop, serving }
}

impl World {
    fn client(&self) -> reqwest::Client {
        let pem = std::fs::read(self.folder.path().join("tls.crt")).unwrap();
        reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
            .resolve("localhost", self.address)
            .build()
            .unwrap()
    }

    async fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        let mut request = self.client().get(format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn end(self) {
        self.stop.cancel();
        self.serving.join().await;
    }
}

#[tokio::test]
async fn only_who_may_gets_in_and_everybody_else_is_told_how() {
    let world = world().await;
    let (status, text) = world.get("/debug/state", None).await;
    assert_eq!(status, 401);
    assert!(text.contains("Authorization: Bearer"), "{text}");
    let (status, text) = world.get("/debug/state", Some("stolen")).await;
    assert_eq!(status, 401);
    assert!(text.contains("does not know this bearer token") && !text.contains("stolen"), "{text}");
    let (status, text) = world.get("/debug/state", Some("poor")).await;
    assert_eq!(status, 403);
    assert!(text.contains("system:serviceaccount:ops:poor may not get the non-resource URL /debug/state"), "{text}");
    let command = "kubectl create clusterrolebinding showrunner-debug --clusterrole=showrunner-debug --serviceaccount=ops:poor";
    assert!(text.contains(command), "{text}");
    let (status, text) = world.get("/debug/state", Some("good")).await;
    assert_eq!((status, text.as_str()), (200, r#"{"queues":{}}"#));
    // The right to look is not the right to change.
    let put = world.client().put(format!("{}/log-level", world.url)).bearer_auth("good").body("debug").send().await.unwrap();
    assert_eq!(put.status(), 403);
    assert!(put.text().await.unwrap().contains("may not put the non-resource URL /log-level"));
    assert_eq!(world.get("/budgets/all/report", None).await.0, 401);
    assert_eq!(world.get("/budgets/all/report", Some("good")).await.0, 403, "it is a right of its own");
    assert_eq!(world.get("/metrics", Some("good")).await.0, 404, "nothing else is served there");
    let metrics = world.metrics.render();
    for line in ["{outcome=\"allowed\"} 1", "{outcome=\"unauthenticated\"} 3", "{outcome=\"forbidden\"} 3"] {
        assert!(metrics.contains(&format!("showrunner_debug_requests_total{line}")), "{line}\n{metrics}");
    }
    world.end().await;
}

#[tokio::test]
async fn nobody_gets_in_while_the_api_server_cannot_be_asked() {
    let world = world().await;
    world.api.broken.store(500, Ordering::SeqCst);
    let (status, text) = world.get("/debug/state", Some("good")).await;
    assert_eq!(status, 503);
    assert!(text.contains("the API server did not answer to tokenreviews"), "{text}");
    world.api.broken.store(403, Ordering::SeqCst);
    let (status, text) = world.get("/debug/state", Some("good")).await;
    assert_eq!(status, 503);
    assert!(text.contains("the operator may not create tokenreviews") && text.contains("debug.listen=Cluster"), "{text}");
    world.api.broken.store(0, Ordering::SeqCst);
    assert_eq!(world.get("/debug/state", Some("good")).await.0, 200, "and a failure is not remembered");
    world.end().await;
}

#[tokio::test]
async fn what_is_too_large_or_too_slow_or_not_tls_is_turned_away() {
    let world = world().await;
    let long = "a".repeat(MAX_TOKEN + 1);
    assert_eq!(world.get("/debug/state", Some(&long)).await.0, 401);
    assert!(world.api.asked.lock().unwrap().is_empty(), "the API server is not asked about it");
    let mut plain = tokio::net::TcpStream::connect(world.address).await.unwrap();
    plain.write_all(b"GET /debug/state HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A reset is as good as an end.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("200"), "no answer without TLS");
    assert!(world.api.asked.lock().unwrap().is_empty());
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn answers_are_believed_for_ten_seconds_and_in_bounded_number() {
    let api = Api::default();
    let guard = Guard::new(api.client(), "r", Arc::new(Metrics::new()), Clock::start());
    let asked = || api.asked.lock().unwrap().len();
    let allowed = Answer::Allowed("system:serviceaccount:ops:good".into());
    assert_eq!(guard.ask("good", "get", "/debug/state").await.unwrap(), allowed);
    assert_eq!(guard.ask("good", "get", "/debug/state").await.unwrap(), allowed);
    assert_eq!(asked(), 2, "one token review and one access review");
    assert!(matches!(guard.ask("good", "put", "/log-level").await.unwrap(), Answer::Forbidden(_)));
    assert_eq!(asked(), 4, "another question is not answered from memory");
    tokio::time::advance(FRESH).await;
    assert_eq!(guard.ask("good", "get", "/debug/state").await.unwrap(), allowed);
    assert_eq!(asked(), 6, "and after a while the same one is not either");
    for number in 0..MAX_ANSWERS * 2 {
        tokio::time::advance(Duration::from_millis(10)).await;
        let (token, right) = (number.to_string(), Right::Path { verb: "get", path: "/" });
        guard.0.reviewer.remember(question(&Asked { token: &token, audience: None, right }), Answer::Unknown);
    }
    assert!(guard.0.reviewer.lock().len() <= MAX_ANSWERS);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_tokens_does_not_reach_the_api_server() {
    let api = Api::default();
    let guard = Guard::new(api.client(), "r", Arc::new(Metrics::new()), Clock::start());
    let asks = (0..200).map(|number| {
        let guard = guard.clone();
        async move { guard.ask(&format!("guess-{number}"), "get", "/debug/state").await }
    });
    let answers = futures::future::join_all(asks).await;
    let reviewed = answers.iter().filter(|answer| answer.is_ok()).count();
    // A second's worth at once, and another within the longest wait.
    assert_eq!(reviewed, 2 * RATE as usize);
    assert_eq!(api.asked.lock().unwrap().len(), reviewed);
    assert!(answers.iter().any(|answer| matches!(answer, Err(Unavailable(text)) if text.contains("try again"))));
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    tokio::time::pause();
    let tls = crate::admin::tls::Tls::open(folder.path().to_owned(), Clock::start()).unwrap();
    let first = tls.current();
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(Arc::ptr_eq(&first, &tls.current()), "nothing changed");
    std::fs::write(folder.path().join("tls.key"), "not a key").unwrap();
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(Arc::ptr_eq(&first, &tls.current()), "the last good one");
    certificate(folder.path());
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(!Arc::ptr_eq(&first, &tls.current()));
    let error = crate::admin::tls::Tls::open("/nowhere".into(), Clock::start()).err().unwrap().to_string();
    assert!(error.contains("/nowhere") && error.contains("kubernetes.io/tls"), "{error}");
}

#[tokio::test]
async fn a_token_is_kept_as_a_digest_only() {
    let world = world().await;
    assert_eq!(world.get("/debug/state", Some("good")).await.0, 200);
    let kept = format!("{:?}", *world.guard.0.reviewer.lock());
    assert!(kept.contains("Allowed") && !kept.contains("\"good\""), "{kept}");
    world.end().await;
}
