//! The listeners, over real sockets.

use super::*;
use crate::telemetry;
use std::sync::Mutex;

async fn serving(pending: &Arc<Mutex<Vec<String>>>) -> (String, String, CancellationToken, Serving) {
    crate::kube_client::install_tls_provider();
    let pending = Arc::clone(pending);
    let admin = Admin {
        metrics: Arc::new(Metrics::new()),
        pending: Arc::new(move || pending.lock().unwrap().clone()),
        debug: Arc::new(|| json!({ "queues": {} })),
        log_level: telemetry::LogLevel::for_tests(),
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
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "ready": false, "pending": ["cache TitleEnrichment"] }));
    pending.lock().unwrap().clear();
    assert_eq!(reqwest::get(format!("{public}/readyz")).await.unwrap().status(), 200);
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
