//! Serves HTTP and holds every listener and every connection to a number, a size and a time.
//!
//! Accepts connections.
//!
//! When there are too many, the oldest is closed, not the newest kept waiting: an answer takes milliseconds, so whoever
//! has been there longest is the least likely to be owed one, and a flood of silent connections cannot keep out the
//! kubelet, which would end the process for it.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Connections at once of a listener for people and probes.
pub(super) const MAX_CONNECTIONS: usize = 32;
/// Time to send the head of a request.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for everything on one connection.
pub(super) const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// From how much on a head that is not complete is refused, bytes; less than twice as much is ever taken in. A token
/// with many groups is some kilobytes.
const MAX_HEAD: usize = 64 << 10;
/// Wait after a connection that could not be accepted (no file descriptor left, most likely).
const ACCEPT_WAIT: Duration = Duration::from_millis(200);
/// Time that open connections have when the listener closes.
const GRACE: Duration = Duration::from_secs(1);

/// Has each connection served by `connection`, `most` at once, until `stop`.
pub(super) async fn serve<C, F>(name: &'static str, listener: TcpListener, most: usize, stop: CancellationToken, connection: C)
where
    C: Fn(TcpStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        oldest.retain(|connection| !connection.is_finished());
        match accepted {
            Ok((stream, _)) => {
                if oldest.len() >= most
                    && let Some(oldest) = oldest.pop_front()
                {
                    oldest.abort();
                }
                let served = tokio::time::timeout(CONNECTION_TIMEOUT, connection(stream));
                // Whatever goes wrong here is between the client and its connection.
                oldest.push_back(connections.spawn(async { drop(served.await) }));
            }
            Err(error) => {
                tracing::warn!(%error, listener = name, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_WAIT).await;
            }
        }
    }
    drop(listener);
    // What is then still open is closed with the set.
    let _ = tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
}

/// Answers the one request of a connection: nobody here is in such a hurry that another connection is too much.
pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send>(stream: S, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke");
    }
}
