//! The operator's own listeners: health and metrics for the cluster, debug state and log level for loopback.
//!
//! Serves HTTP. Nothing here asks the API server or a store: an outage elsewhere is a metric and a condition, not an
//! unready operator.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::telemetry::LogLevel;

/// Largest request body, bytes: a log filter.
const MAX_BODY: usize = 2048;

/// What is missing before this process is ready; empty when nothing is.
pub type Pending = dyn Fn() -> Vec<String> + Send + Sync;
/// Everything there is to see, for people who debug.
pub type DebugState = dyn Fn() -> Value + Send + Sync;

/// What the listeners show.
#[derive(Clone)]
pub struct Admin {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For `/readyz`.
    pub pending: Arc<Pending>,
    /// For `/debug/state`.
    pub debug: Arc<DebugState>,
    /// For `/log-level`.
    pub log_level: LogLevel,
}

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen at {address}; is another process there?")]
pub struct ListenError {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

impl Admin {
    /// Opens both listeners: `port` on all addresses, `debug_port` on loopback alone. Serves until `stop`.
    pub async fn serve(self, port: u16, debug_port: u16, stop: CancellationToken) -> Result<Serving, ListenError> {
        // Both families where the machine has both.
        let public = match listen(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port).await {
            Ok(listener) => listener,
            Err(_) => listen(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port).await?,
        };
        let debug = listen(IpAddr::V4(Ipv4Addr::LOCALHOST), debug_port).await?;
        let addresses = [public.local_addr(), debug.local_addr()].map(Result::ok);
        let (admin, stopped) = (self.clone(), stop.clone());
        let public = axum::serve(public, self.public()).with_graceful_shutdown(stop.clone().cancelled_owned());
        let debug = axum::serve(debug, admin.debug()).with_graceful_shutdown(stopped.cancelled_owned());
        let task = tokio::spawn(async move {
            let (public, debug) = tokio::join!(public.into_future(), debug.into_future());
            for error in [public, debug].into_iter().filter_map(Result::err) {
                tracing::error!(%error, "failed to serve");
            }
        });
        Ok(Serving { addresses, task })
    }

    fn public(self) -> Router {
        Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self)
    }

    /// What names objects or changes the process. On loopback only; behind `TokenReview` and `SubjectAccessReview` it
    /// could be reached from elsewhere, and is not until that exists.
    fn debug(self) -> Router {
        Router::new()
            .route("/debug/state", get(async |State(admin): State<Self>| Json((admin.debug)())))
            .route("/log-level", put(log_level))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(self)
    }
}

/// Listeners that serve.
pub struct Serving {
    addresses: [Option<SocketAddr>; 2],
    task: tokio::task::JoinHandle<()>,
}

impl Serving {
    /// Where health and metrics are.
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses[0]
    }

    /// Where debug state and log level are.
    pub fn debug_address(&self) -> Option<SocketAddr> {
        self.addresses[1]
    }

    /// Waits until both have closed, which they do when their stop is cancelled.
    pub async fn join(self) {
        // An error is a panic in a handler, which axum has answered and logged.
        let _ = self.task.await;
    }
}

async fn listen(address: IpAddr, port: u16) -> Result<TcpListener, ListenError> {
    let address = SocketAddr::new(address, port);
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let pending = (admin.pending)();
    let status = if pending.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": pending.is_empty(), "pending": pending }))).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], admin.metrics.render()).into_response()
}

async fn log_level(State(admin): State<Admin>, filter: String) -> Response {
    match admin.log_level.set(&filter) {
        Ok(()) => {
            tracing::info!(filter, "the log level was changed");
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests;
