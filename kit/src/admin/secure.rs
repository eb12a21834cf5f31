//! A listener with TLS and routes of its own, for programs of the cluster.
//!
//! Accepts connections; what it answers is its owner's business, and so is who may ask.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::tls::{self, Tls};
use super::{ListenError, listen_everywhere};
use crate::clock::Clock;

/// Connections at once: many programs may wake in the same second, and each answer takes some requests to the API server.
const MAX_CONNECTIONS: usize = 256;

/// A listener that is not open yet.
pub struct Secure {
    /// What logs call it.
    pub name: &'static str,
    /// Where.
    pub port: u16,
    /// Folder of the certificate.
    pub tls: PathBuf,
    /// For when to read the certificate again.
    pub clock: Clock,
    /// What it answers.
    pub router: Router,
}

/// One that serves.
pub struct Open {
    address: Option<SocketAddr>,
    task: JoinHandle<()>,
}

impl Secure {
    /// Opens it. Serves until `stop`.
    pub async fn open(self, stop: CancellationToken) -> Result<Open, ListenError> {
        let tls = Tls::open(self.tls, self.clock)?;
        let listener = listen_everywhere(self.port).await?;
        let address = listener.local_addr().ok();
        let task = tokio::spawn(tls::serve(self.name, listener, tls, MAX_CONNECTIONS, self.router, stop));
        Ok(Open { address, task })
    }
}

impl Open {
    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Waits until it has closed, which it does when its stop is cancelled.
    pub async fn join(self) {
        // An error is a panic in the listener; one in a handler ends its own connection only.
        let _ = self.task.await;
    }
}
