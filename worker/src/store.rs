//! The object store as a worker sees it: signed requests that somebody else gave it, tried again while the store is away.
//! Talks HTTP; holds no credential and never writes a signed address into a message.

mod download;
mod error;
mod patience;

pub use error::StoreError;
pub use patience::Patience;

use patience::Waiting;
use reqwest::{
    Method, Response, StatusCode,
    header::{CONTENT_TYPE, IF_NONE_MATCH},
    redirect,
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::runtime::Runtime;

/// Until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a byte for this long a transfer counts as cut.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// For one request that carries or gives a small object, all in all.
const SMALL_TIMEOUT: Duration = Duration::from_mins(2);
/// Most of the answer to a refused write that is looked at, bytes.
const MAX_ERROR_BODY: usize = 4 << 10;
/// For news that nobody waits for.
const NEWS_TIMEOUT: Duration = Duration::from_secs(4);

/// Whether a write came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is ours.
    Stored,
    /// Somebody wrote it before (only where the first writer wins).
    Exists,
}

/// Sends signed requests. One per process.
#[derive(Debug)]
pub struct Store {
    runtime: Runtime,
    client: reqwest::Client,
    patience: Patience,
    read: AtomicU64,
    written: AtomicU64,
}

impl Store {
    /// A client that follows no redirect (a signed address is the whole permission) and asks no proxy.
    pub fn new(patience: Patience) -> Result<Self, StoreError> {
        let setup = |cause: String| StoreError::Client { cause };
        // One thread drives all requests; callers block.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| setup(error.to_string()))?;
        let client = reqwest::Client::builder()
            .user_agent(concat!("showrunner-worker/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(STALL_TIMEOUT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| setup(error.without_url().to_string()))?;
        Ok(Self { runtime, client, patience, read: AtomicU64::new(0), written: AtomicU64::new(0) })
    }

    /// Body bytes received so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Body bytes of successful writes so far.
    pub fn bytes_written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// A small object, or `None` when there is none. `what` names it in messages.
    pub fn get(&self, what: &str, url: &str, limit: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.patiently(what, async || {
            let response =
                self.client.get(url).timeout(SMALL_TIMEOUT).send().await.map_err(|error| error::of_request(what, error))?;
            match response.status() {
                StatusCode::NOT_FOUND => Ok(None),
                StatusCode::OK => self.body(what, response, limit).await.map(Some),
                status => Err(error::of_status(what, status)),
            }
        })
    }

    /// Writes an object where only this worker writes.
    pub fn put(&self, what: &str, url: &str, media_type: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.patiently(what, async || self.send(what, url, media_type, bytes, false, SMALL_TIMEOUT).await).map(|_| ())
    }

    /// Writes an object where the first writer wins. The grant is signed with the condition, so it cannot be left out.
    pub fn put_first(&self, what: &str, url: &str, media_type: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        self.patiently(what, async || self.send(what, url, media_type, bytes, true, SMALL_TIMEOUT).await)
    }

    /// Writes something that may be lost: one quick try.
    pub fn put_news(&self, what: &str, url: &str, media_type: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.runtime.block_on(self.send(what, url, media_type, bytes, false, NEWS_TIMEOUT)).map(|_| ())
    }

    async fn send(
        &self,
        what: &str,
        url: &str,
        media_type: &str,
        bytes: &[u8],
        first: bool,
        timeout: Duration,
    ) -> Result<Put, StoreError> {
        let mut request =
            self.client.request(Method::PUT, url).timeout(timeout).header(CONTENT_TYPE, media_type).body(bytes.to_vec());
        if first {
            request = request.header(IF_NONE_MATCH, "*");
        }
        let response = request.send().await.map_err(|error| error::of_request(what, error))?;
        match response.status() {
            StatusCode::PRECONDITION_FAILED if first => Ok(Put::Exists),
            // A write needs no object to be there, only the bucket.
            StatusCode::NOT_FOUND => Err(StoreError::Away { what: what.to_owned(), cause: "it has no such bucket".to_owned() }),
            status if status.is_success() => {
                self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Ok(Put::Stored)
            }
            status => Err(error::of_write(what, status, &said(response).await)),
        }
    }

    async fn body(&self, what: &str, mut response: Response, limit: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| error::of_request(what, error))? {
            self.read.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            if bytes.len() + chunk.len() > limit {
                return Err(StoreError::TooLarge { what: what.to_owned(), limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Tries until it works, the store says no, or patience ends.
    fn patiently<T>(&self, what: &str, attempt: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.runtime.block_on(async {
            let mut waiting = Waiting::new(self.patience);
            loop {
                match attempt().await {
                    Err(error) if error.may_pass() => waiting.pause(what, error).await?,
                    outcome => return outcome,
                }
            }
        })
    }
}

/// The beginning of what a refusal says.
async fn said(mut response: Response) -> String {
    let mut body = Vec::new();
    while body.len() < MAX_ERROR_BODY
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk[..chunk.len().min(MAX_ERROR_BODY - body.len())]);
    }
    String::from_utf8_lossy(&body).into_owned()
}
