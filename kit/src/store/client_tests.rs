//! The client against answers that a real store will not give on demand; a real store is asked in `e2e/`.

use super::*;
use crate::store::profile::tests::profile;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::IntoResponse as _;
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::net::TcpListener;

/// What was asked: method, path, query, and the two headers that matter.
#[derive(Debug)]
struct Asked {
    method: String,
    path: String,
    query: String,
    condition: Option<String>,
}

#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

async fn answer(State(script): State<Script>, request: Request) -> axum::response::Response {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    script.asked.lock().unwrap().push(Asked {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        condition: header("if-none-match").or_else(|| header("if-match")),
    });
    let (status, body) = script.answers.lock().unwrap().pop_front().expect("no more requests were expected");
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    (status, [("etag", "\"e1\"")], body).into_response()
}

fn failure(status: u16, code: &str) -> (u16, String) {
    (status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>"))
}

/// A store that gives these answers in turn, with credentials, and what it was asked.
async fn store(answers: Vec<(u16, String)>) -> (Store, Script, tempfile::TempDir) {
    let script = Script { answers: Arc::new(Mutex::new(answers.into())), ..Script::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(answer).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("accessKeyId"), "AKEXAMPLE").unwrap();
    std::fs::write(folder.path().join("secretAccessKey"), "very-secret").unwrap();
    let mut profile = profile(&endpoint);
    profile.credentials = Some(folder.path().to_owned());
    let store = Store::new(profile, Arc::new(Metrics::new()), Clock::start()).unwrap();
    (store, script, folder)
}

fn place(store: &Store) -> Location {
    store.locate("prod", "in/a b.mp4").unwrap()
}

#[tokio::test]
async fn requests_are_signed_and_below_bucket_and_prefix() {
    let (store, script, _folder) = store(vec![(200, "hello".into())]).await;
    let fetched = store.get(&place(&store), 10).await.unwrap();
    assert_eq!((&fetched.body[..], fetched.info.etag.as_str(), fetched.info.size), (&b"hello"[..], "\"e1\"", 5));
    let asked = &script.asked.lock().unwrap()[0];
    assert_eq!(asked.path, "/titles/showrunner/prod/in/a%20b.mp4");
    assert!(asked.query.contains("X-Amz-Signature=") && asked.query.contains("AKEXAMPLE"));
}

#[tokio::test]
async fn nothing_larger_than_the_limit_is_taken_in() {
    let (store, _, _folder) = store(vec![(200, "x".repeat(11))]).await;
    assert!(matches!(store.get(&place(&store), 10).await, Err(StoreError::TooLarge { limit: 10, .. })));
}

#[tokio::test]
async fn an_outage_is_retried_and_then_told() {
    let (store, script, _folder) = store(vec![failure(503, "SlowDown"), failure(500, "InternalError"), (200, "ok".into())]).await;
    assert_eq!(&store.get(&place(&store), 10).await.unwrap().body[..], b"ok");
    script.answers.lock().unwrap().extend((0..3).map(|_| failure(503, "SlowDown")));
    let error = store.get(&place(&store), 10).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable { .. }), "{error}");
    assert_eq!(script.asked.lock().unwrap().len(), 6, "a bounded number of attempts");
}

#[tokio::test]
async fn a_store_that_is_not_there_is_unavailable_and_no_signature_leaks() {
    let (mut broken, _, _folder) = store(Vec::new()).await;
    let endpoint: Url = "http://127.0.0.1:1".parse().unwrap();
    broken.bucket = Bucket::new(endpoint, UrlStyle::Path, "titles", "us-east-1").unwrap();
    let error = broken.head(&place(&broken)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable { .. }), "{error}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("X-Amz") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn each_refusal_says_who_can_cure_it() {
    let cases = [
        (failure(404, "NoSuchKey"), "ObjectNotFound"),
        (failure(404, "NoSuchBucket"), "StoreNotConfigured"),
        (failure(403, "SignatureDoesNotMatch"), "StoreCredentialsRejected"),
        (failure(403, "InvalidAccessKeyId"), "StoreCredentialsRejected"),
        (failure(403, "AccessDenied"), "StoreAccessDenied"),
        (failure(403, "RequestTimeTooSkewed"), "StoreUnavailable"),
        (failure(412, "PreconditionFailed"), "ObjectChanged"),
        (failure(400, "Nonsense"), "StoreAnsweredUnexpectedly"),
        ((302, String::new()), "StoreAnsweredUnexpectedly"),
    ];
    for (answer, reason) in cases {
        let (store, _, _folder) = store(vec![answer]).await;
        let error = store.get(&place(&store), 10).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
    }
}

#[tokio::test]
async fn a_store_that_is_full_is_called_that_whatever_its_words() {
    for (status, code) in
        [(403, "QuotaExceeded"), (400, "XMinioAdminBucketQuotaExceeded"), (507, "XMinioStorageFull"), (507, "Whatever")]
    {
        let (store, _, _folder) = store(vec![failure(status, code); 3]).await;
        let error = store.put(&place(&store), Bytes::from_static(b"x"), "text/plain", &Precondition::Absent).await.unwrap_err();
        assert_eq!(error.reason(), "StoreUnavailable", "{error}");
        let told = error.to_string();
        assert!(told.contains("\"in/a b.mp4\" in store \"media\": it is full") && told.contains("make room"), "{told}");
    }
}

#[tokio::test]
async fn a_head_that_is_forbidden_asks_again_in_a_way_that_can_say_why() {
    let (store, script, _folder) = store(vec![(403, String::new()), failure(403, "SignatureDoesNotMatch")]).await;
    assert!(matches!(store.head(&place(&store)).await, Err(StoreError::CredentialsRejected { .. })));
    let methods: Vec<_> = script.asked.lock().unwrap().iter().map(|asked| asked.method.clone()).collect();
    assert_eq!(methods, ["HEAD", "GET"]);
}

#[tokio::test]
async fn only_plain_words_are_believed_to_be_error_codes() {
    let (store, _, _folder) = store(vec![failure(400, "evil\nlevel=error")]).await;
    let error = store.get(&place(&store), 10).await.unwrap_err();
    assert!(error.to_string().contains("(unknown)"), "{error}");
}

#[tokio::test]
async fn a_write_carries_its_precondition_signed() {
    let (store, script, _folder) =
        store(vec![(200, String::new()), failure(412, "PreconditionFailed"), failure(404, "NoSuchKey")]).await;
    let write = async |precondition| store.put(&place(&store), Bytes::from_static(b"x"), "text/plain", &precondition).await;
    assert_eq!(write(Precondition::Absent).await.unwrap(), "\"e1\"");
    assert!(matches!(write(Precondition::Absent).await, Err(StoreError::PreconditionFailed { .. })));
    let missing = write(Precondition::Matches("\"e0\"".into())).await;
    assert!(matches!(missing, Err(StoreError::PreconditionFailed { .. })), "an object that is not there does not match");
    let asked = script.asked.lock().unwrap();
    assert_eq!(asked[0].condition.as_deref(), Some("*"));
    assert!(asked[0].query.contains("SignedHeaders=content-type%3Bhost%3Bif-none-match"), "{}", asked[0].query);
    assert_eq!(asked[2].condition.as_deref(), Some("\"e0\""));
}

#[tokio::test]
async fn a_grant_is_signed_for_the_endpoint_that_pods_dial_and_prints_no_signature() {
    let (store, _, folder) = store(Vec::new()).await;
    let mut profile = store.profile().clone();
    profile.pod_endpoint = Some("http://store.svc:9000".parse().unwrap());
    let store = Store::new(profile, Arc::new(Metrics::new()), Clock::start()).unwrap();
    let grant = store.presign_put(&place(&store), Duration::from_hours(999), &Precondition::Absent, "").unwrap();
    assert_eq!(grant.url.host_str(), Some("store.svc"));
    assert_eq!(grant.headers, [("if-none-match".to_owned(), "*".to_owned())]);
    assert!(grant.url.query().unwrap().contains("X-Amz-Expires=604800"), "no longer than S3 allows");
    assert!(!format!("{grant:?}").contains("Signature"));
    drop(folder);
}

#[tokio::test]
async fn missing_credentials_name_the_file() {
    let (store, _, folder) = store(Vec::new()).await;
    std::fs::remove_file(folder.path().join("secretAccessKey")).unwrap();
    let error = store.head(&place(&store)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Configuration { message, .. } if message.contains("secretAccessKey")), "{error}");
}

/// A store that takes connections and never answers.
async fn black_hole() -> Store {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    Store::new(profile(&endpoint), Arc::new(Metrics::new()), Clock::start()).unwrap()
}

fn is_away(store: &Store) -> bool {
    store.metrics.render().contains("showrunner_store_away{store=\"media\"} 1")
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_holds_each_worker_once_and_then_one_at_a_time() {
    let store = black_hole().await;
    let workers = Arc::new(tokio::sync::Semaphore::new(4));
    let began = store.clock.mono();
    let ask = async || {
        let _worker = workers.acquire().await.unwrap();
        let error = store.head(&place(&store)).await.unwrap_err();
        (store.clock.mono() - began, error)
    };
    // 40 titles whose store is away, and 4 workers: without help, ten rounds of a minute each.
    let ends = futures::future::join_all((0..40).map(|_| ask())).await;
    let last = ends.iter().map(|(at, _)| *at).max().unwrap();
    assert!(last <= ATTEMPT_TIMEOUT + Duration::from_secs(1), "the last was told after {last:?}");
    assert!(is_away(&store));
    for _ in 0..100 {
        let before = store.clock.mono();
        let place = place(&store);
        let probes = futures::future::join_all((0..4).map(|_| store.head(&place))).await;
        let held = store.clock.mono() - before;
        assert!(probes.iter().all(Result::is_err) && held <= ATTEMPT_TIMEOUT + Duration::from_secs(1), "{held:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_a_store_that_is_away_is_that_and_always_in_the_same_words() {
    let store = black_hole().await;
    store.head(&place(&store)).await.unwrap_err();
    let mut told = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let error = store.head(&place(&store)).await.unwrap_err();
        told.insert(error.to_string());
        assert_eq!(error.reason(), "StoreUnavailable");
        assert!(matches!(crate::error::ReconcileError::from(error).class, crate::error::Class::RetryAt(_)));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(told.len(), 1, "conditions that change are writes: {told:?}");
    assert!(told.first().unwrap().starts_with("failed to reach store \"media\": it is away (no "), "{told:?}");
}

#[tokio::test]
async fn a_store_that_is_back_is_noticed_and_one_that_refuses_is_not_away() {
    let (mut store, script, _folder) = store(Vec::new()).await;
    let here = store.bucket.clone();
    let nowhere: Url = "http://127.0.0.1:1".parse().unwrap();
    store.bucket = Bucket::new(nowhere, UrlStyle::Path, "titles", "us-east-1").unwrap();
    tokio::time::pause();
    store.head(&place(&store)).await.unwrap_err();
    assert!(is_away(&store));
    store.bucket = here;
    assert!(store.head(&place(&store)).await.is_err() && script.asked.lock().unwrap().is_empty(), "nothing is sent");
    tokio::time::advance(Duration::from_secs(7)).await;
    tokio::time::resume();
    script.answers.lock().unwrap().extend((0..6).map(|_| failure(503, "SlowDown")));
    for _ in 0..2 {
        let error = store.get(&place(&store), 10).await.unwrap_err();
        assert!(error.to_string().contains("it answers 503"), "an answer is an answer: {error}");
        assert!(!is_away(&store));
    }
}
