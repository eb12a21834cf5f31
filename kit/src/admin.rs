//! The operator's own listeners: health and metrics for the cluster, debug state, budgets and log level for loopback, and these
//! again for whoever the cluster lets in, where that is configured.
//!
//! Serves HTTP, and HTTPS to whoever [`guard`] lets in; [`serve`] bounds what anybody may take. Nothing here asks the API
//! server or a store: an outage elsewhere is a metric and a condition, not an unready operator.

pub mod budgets;
pub mod guard;
pub mod review;
pub mod secure;
mod serve;
pub mod tls;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use futures::future::OptionFuture;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::budgets::Budgets;
use self::guard::Guard;
use self::serve::MAX_CONNECTIONS;
use self::tls::{Tls, TlsError};
use crate::clock::Clock;
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
    /// What `/readyz` tells besides, and is ready all the same.
    pub away: Arc<Pending>,
    /// For `/debug/state`.
    pub debug: Arc<DebugState>,
    /// For `/log-level`.
    pub log_level: LogLevel,
    /// For `/budgets`; none where nobody knows of any.
    pub budgets: Option<Arc<dyn Budgets>>,
}

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub struct AdminPorts {
    /// Health and metrics, on all addresses.
    pub public: u16,
    /// Debug state and log level, on loopback.
    pub debug: u16,
}

/// Debug state and log level on all addresses, for whoever the guard lets in.
pub struct Guarded {
    /// Where.
    pub port: u16,
    /// Folder of the certificate. There is no such listener without: it would send tokens in the clear.
    pub tls: PathBuf,
    /// Who is let in.
    pub guard: Guard,
    /// For when to read the certificate again.
    pub clock: Clock,
}

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken, or not ours.
    #[error("failed to listen at {address}; is another process there?")]
    Address {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate of a listener with TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Admin {
    /// Opens the listeners. Serves until `stop`.
    pub async fn serve(
        self,
        ports: AdminPorts,
        guarded: Option<Guarded>,
        stop: CancellationToken,
    ) -> Result<Serving, ListenError> {
        let public = listen_everywhere(ports.public).await?;
        let debug = listen(IpAddr::V4(Ipv4Addr::LOCALHOST), ports.debug).await?;
        let mut addresses = vec![public.local_addr().ok(), debug.local_addr().ok()];
        let guarded = match guarded {
            None => None,
            Some(Guarded { port, tls, guard, clock }) => {
                let tls = Tls::open(tls, clock)?;
                let listener = listen_everywhere(port).await?;
                addresses.push(listener.local_addr().ok());
                let router = self.clone().guarded(guard);
                Some(tls::serve("guarded", listener, tls, MAX_CONNECTIONS, router, stop.clone()))
            }
        };
        let public = plain("public", public, self.clone().public(), stop.clone());
        let debug = plain("debug", debug, self.debug(), stop);
        let task = tokio::spawn(async move {
            tokio::join!(public, debug, OptionFuture::from(guarded));
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

    /// What [`Admin::debug`] shows, to whoever the guard lets in.
    fn guarded(self, guard: Guard) -> Router {
        self.debug().route_layer(axum::middleware::from_fn_with_state(guard, guard::check))
    }

    /// What names objects or changes the process. As it is, for loopback only.
    fn debug(self) -> Router {
        let budgets = Router::new().route("/budgets/{budget}/{page}", get(budgets::answer)).with_state(self.budgets.clone());
        Router::new()
            .route("/debug/state", get(async |State(admin): State<Self>| Json((admin.debug)())))
            .route("/log-level", put(log_level))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(self)
            .merge(budgets)
    }
}

/// Listeners that serve.
pub struct Serving {
    addresses: Vec<Option<SocketAddr>>,
    task: tokio::task::JoinHandle<()>,
}

impl Serving {
    /// Where health and metrics are.
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses.first().copied().flatten()
    }

    /// Where debug state and log level are.
    pub fn debug_address(&self) -> Option<SocketAddr> {
        self.addresses.get(1).copied().flatten()
    }

    /// Where they are for whoever is let in.
    pub fn guarded_address(&self) -> Option<SocketAddr> {
        self.addresses.get(2).copied().flatten()
    }

    /// Waits until all have closed, which they do when their stop is cancelled.
    pub async fn join(self) {
        // An error is a panic in the listener; one in a handler ends its own connection only.
        let _ = self.task.await;
    }
}

/// On both families where the machine has both.
async fn listen_everywhere(port: u16) -> Result<TcpListener, ListenError> {
    match listen(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port).await {
        Ok(listener) => Ok(listener),
        Err(_) => listen(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port).await,
    }
}

/// Serves `router` without TLS.
async fn plain(name: &'static str, listener: TcpListener, router: Router, stop: CancellationToken) {
    serve::serve(name, listener, MAX_CONNECTIONS, stop, |stream| serve::answer(stream, router.clone())).await;
}

async fn listen(address: IpAddr, port: u16) -> Result<TcpListener, ListenError> {
    let address = SocketAddr::new(address, port);
    TcpListener::bind(address).await.map_err(|source| ListenError::Address { address, source })
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let pending = (admin.pending)();
    let status = if pending.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": pending.is_empty(), "pending": pending, "away": (admin.away)() }))).into_response()
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
