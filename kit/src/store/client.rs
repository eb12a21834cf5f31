//! Talks S3: head, get, put and signed grants, with a timeout, a bounded retry and a rate limit on everything.
//!
//! Sends requests to the profile's endpoint, follows no redirects, and never puts a signed URL into a text.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use jiff::Timestamp;
use reqwest::{Client, Response};
use rusty_s3::{Bucket, Credentials as S3Credentials, S3Action as _, UrlStyle};
use tracing::Instrument as _;
use url::Url;

use super::answer::{self, etag_of, info_of};
use super::breaker::{Breaker, Pass};
use super::credentials::{Credentials, Pair};
use super::error::StoreError;
use super::path::Location;
use super::profile::{Profile, ProfileError};
use super::types::{Fetched, Grant, ObjectInfo, Precondition};
use crate::clock::Clock;
use crate::limit::Limit;
use crate::metrics::Metrics;
use crate::traces;

/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for one request with its answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// Requests sent for one call before it fails.
const ATTEMPTS: u32 = 3;
/// Wait before the second attempt; doubles.
const RETRY_WAIT: Duration = Duration::from_millis(200);
/// Longest wait for the rate limit before a call fails instead.
const MAX_QUEUE: Duration = Duration::from_secs(10);
/// How long a request that we send ourselves may take to arrive.
const OWN_EXPIRY: Duration = Duration::from_mins(5);
/// Longest grant: what S3 allows.
pub const MAX_EXPIRY: Duration = Duration::from_hours(7 * 24);
/// Most that is read of an error's body, bytes.
const MAX_ERROR_BODY: usize = 4096;

/// Error codes that say there is no room, whatever the status: of Ceph and Versity, and of `MinIO`.
const FULL_CODES: &[&str] = &["QuotaExceeded", "XMinioStorageFull", "XMinioStorageBackendFull", "XMinioAdminBucketQuotaExceeded"];

/// Error codes that say the key or its secret is wrong.
const CREDENTIAL_CODES: &[&str] = &[
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "AuthorizationHeaderMalformed",
    "InvalidSecurity",
    "NotSignedUp",
];

/// One profile's store.
#[derive(Debug)]
pub struct Store {
    profile: Profile,
    bucket: Bucket,
    pod_bucket: Bucket,
    credentials: Option<Credentials>,
    http: Client,
    limit: Limit,
    breaker: Breaker,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// An answer that was read as far as its error code.
enum Answer {
    Good(Response),
    Bad { status: StatusCode, code: String },
}

impl Store {
    /// A client for a profile.
    pub fn new(profile: Profile, metrics: Arc<Metrics>, clock: Clock) -> Result<Self, ProfileError> {
        profile.check()?;
        crate::kube_client::install_tls_provider();
        let refuse = |message: String| ProfileError { profile: profile.name.clone(), message };
        let style = if profile.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let bucket = |endpoint: &Url| {
            Bucket::new(endpoint.clone(), style, profile.bucket.clone(), profile.region.clone())
                .map_err(|error| refuse(format!("bucket and endpoint do not fit: {error}")))
        };
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ATTEMPT_TIMEOUT)
            .build()
            .map_err(|error| refuse(format!("no HTTP client: {error}")))?;
        metrics.store_away(&profile.name, false);
        Ok(Self {
            bucket: bucket(&profile.endpoint)?,
            pod_bucket: bucket(profile.pod_endpoint.as_ref().unwrap_or(&profile.endpoint))?,
            credentials: profile.credentials.clone().map(|folder| Credentials::new(folder, clock)),
            http,
            limit: Limit::per_second(profile.requests_per_second),
            breaker: Breaker::new(&profile.name),
            metrics,
            clock,
            profile,
        })
    }

    /// The profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Where a path of a resource in `namespace` lies.
    pub fn locate(&self, namespace: &str, path: &str) -> Result<Location, StoreError> {
        Location::new(&self.profile, namespace, path)
    }

    /// Size, `ETag` and version of an object.
    pub async fn head(&self, location: &Location) -> Result<ObjectInfo, StoreError> {
        match self.send("head", Method::HEAD, location, None).await? {
            Answer::Good(response) => Ok(info_of(response.headers())),
            // HEAD has no body, so it cannot say whether the key is wrong or the permission is missing. GET can.
            Answer::Bad { status: StatusCode::FORBIDDEN, .. } => match self.send("get", Method::GET, location, None).await? {
                Answer::Good(response) => Ok(info_of(response.headers())),
                Answer::Bad { status, code } => Err(self.error("read", location, status, code)),
            },
            Answer::Bad { status, code } => Err(self.error("read", location, status, code)),
        }
    }

    /// An object of at most `max` bytes, whole.
    pub async fn get(&self, location: &Location, max: usize) -> Result<Fetched, StoreError> {
        let mut response = match self.send("get", Method::GET, location, None).await? {
            Answer::Good(response) => response,
            Answer::Bad { status, code } => return Err(self.error("read", location, status, code)),
        };
        let too_large = || StoreError::TooLarge { store: self.name(), path: location.path().to_owned(), limit: max };
        if response.content_length().is_some_and(|length| length > max as u64) {
            return Err(too_large());
        }
        let mut info = info_of(response.headers());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unavailable(silence(&error)))? {
            if body.len() + chunk.len() > max {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        info.size = body.len() as u64;
        Ok(Fetched { body: body.freeze(), info })
    }

    /// As [`Store::get`]; an object that is not there is `None`.
    pub async fn get_if_exists(&self, location: &Location, max: usize) -> Result<Option<Fetched>, StoreError> {
        match self.get(location, max).await {
            Ok(fetched) => Ok(Some(fetched)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What has to be so for a write that puts something in the place of what is there now, if anything is.
    pub async fn as_it_is(&self, location: &Location) -> Result<Precondition, StoreError> {
        match self.head(location).await {
            Ok(info) => Ok(Precondition::Matches(info.etag)),
            Err(StoreError::NotFound { .. }) => Ok(Precondition::Absent),
            Err(error) => Err(error),
        }
    }

    /// Writes an object and returns its `ETag`. After a lost answer, `Absent` may report
    /// [`StoreError::PreconditionFailed`] for what this very call wrote: read it and compare.
    pub async fn put(
        &self,
        location: &Location,
        body: Bytes,
        content_type: &str,
        precondition: &Precondition,
    ) -> Result<String, StoreError> {
        match self.send("put", Method::PUT, location, Some((body, content_type, precondition))).await? {
            Answer::Good(response) => Ok(etag_of(response.headers())),
            // Of an object that is not there, If-Match does not hold; some stores say 404.
            Answer::Bad { status: StatusCode::NOT_FOUND, code }
                if matches!(precondition, Precondition::Matches(_)) && code == "NoSuchKey" =>
            {
                Err(self.error("write", location, StatusCode::PRECONDITION_FAILED, code))
            }
            Answer::Bad { status, code } => Err(self.error("write", location, status, code)),
        }
    }

    /// A grant to read an object, signed for the endpoint that pods dial.
    pub fn presign_get(&self, location: &Location, expires: Duration) -> Result<Grant, StoreError> {
        let pair = self.pair()?;
        let action = self.pod_bucket.get_object(pair.as_ref(), location.key());
        Ok(Grant { method: "GET", url: action.sign_with_time(expires.min(MAX_EXPIRY), &self.clock.now()), headers: Vec::new() })
    }

    /// Grants to read many objects, all signed at one moment with one pair of keys: their addresses differ in key and signature only.
    pub fn presign_gets(&self, locations: &[Location], expires: Duration) -> Result<Vec<Grant>, StoreError> {
        let (pair, now) = (self.pair()?, self.clock.now());
        let grant = |location: &Location| {
            let action = self.pod_bucket.get_object(pair.as_ref(), location.key());
            Grant { method: "GET", url: action.sign_with_time(expires.min(MAX_EXPIRY), &now), headers: Vec::new() }
        };
        Ok(locations.iter().map(grant).collect())
    }

    /// A grant to write an object. Precondition and content type are signed: whoever sends the request cannot leave
    /// them out. An empty content type is not signed.
    pub fn presign_put(
        &self,
        location: &Location,
        expires: Duration,
        precondition: &Precondition,
        content_type: &str,
    ) -> Result<Grant, StoreError> {
        let pair = self.pair()?;
        let headers = put_headers(precondition, content_type);
        let mut action = self.pod_bucket.put_object(pair.as_ref(), location.key());
        for (name, value) in &headers {
            action.headers_mut().insert(name.clone(), value.clone());
        }
        Ok(Grant { method: "PUT", url: action.sign_with_time(expires.min(MAX_EXPIRY), &self.clock.now()), headers })
    }

    fn name(&self) -> String {
        self.profile.name.clone()
    }

    fn pair(&self) -> Result<Option<S3Credentials>, StoreError> {
        let Some(credentials) = &self.credentials else { return Ok(None) };
        match credentials.read() {
            Ok(Pair { key, secret }) => Ok(Some(S3Credentials::new(key, secret))),
            Err(message) => Err(StoreError::Configuration { store: self.name(), message }),
        }
    }

    fn unavailable(&self, message: &str) -> StoreError {
        StoreError::Unavailable { store: self.name(), message: message.to_owned() }
    }

    /// What a caller is told who is not let through. The same words until the store is back: conditions hold them.
    fn away(&self, why: &str) -> StoreError {
        self.unavailable(&format!("it is away ({why})"))
    }

    /// A request got no answer.
    fn silent(&self, pass: Pass, error: &reqwest::Error) -> StoreError {
        let message = silence(error);
        let Some((why, new)) = self.breaker.silent(pass, message, self.clock.mono()) else { return self.unavailable(message) };
        if new {
            tracing::warn!(store = self.profile.name, why, "a store is away: it is asked by one request at a time");
            self.metrics.store_away(&self.profile.name, true);
        }
        self.away(why)
    }

    /// A request got an answer.
    fn answered(&self) {
        if self.breaker.answered() {
            tracing::info!(store = self.profile.name, "a store is back");
            self.metrics.store_away(&self.profile.name, false);
        }
    }

    /// Sends a request, again where that may help, and counts it; nothing is sent to a store that is away.
    async fn send(
        &self,
        operation: &'static str,
        method: Method,
        location: &Location,
        write: Option<(Bytes, &str, &Precondition)>,
    ) -> Result<Answer, StoreError> {
        let began = self.clock.mono();
        let mut pass = self.breaker.enter(began).map_err(|why| self.away(why))?;
        let span = traces::store(&self.profile.name, operation, method.as_str(), location.path());
        let mut wait = RETRY_WAIT;
        let mut attempt = 1;
        let result = loop {
            let result = self.send_once(pass, &method, location, write.clone()).instrument(span.clone()).await;
            let passing = match &result {
                Ok(Answer::Bad { status, .. }) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
                Ok(Answer::Good(_)) => false,
                Err(error) => matches!(error, StoreError::Unavailable { .. }),
            };
            if !passing || attempt == ATTEMPTS {
                break result;
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
            pass = match self.breaker.enter(self.clock.mono()) {
                Ok(pass) => pass,
                Err(why) => break Err(self.away(why)),
            };
            attempt += 1;
        };
        let (status, outcome) = match &result {
            Ok(Answer::Good(response)) => (Some(response.status()), Ok(())),
            Ok(Answer::Bad { status, code }) => {
                (Some(*status), Err(self.error(operation, location, *status, code.clone()).reason()))
            }
            Err(error) => (None, Err(error.reason())),
        };
        span.record("showrunner.attempts", i64::from(attempt));
        span.record("http.response.status_code", status.map(|status| i64::from(status.as_u16())));
        traces::end(&span, outcome);
        self.metrics.stored(
            &self.profile.name,
            operation,
            outcome.err().unwrap_or("ok"),
            self.clock.mono().saturating_sub(began),
        );
        result
    }

    async fn send_once(
        &self,
        pass: Pass,
        method: &Method,
        location: &Location,
        write: Option<(Bytes, &str, &Precondition)>,
    ) -> Result<Answer, StoreError> {
        let queue = self.limit.book(self.clock.mono());
        if queue > MAX_QUEUE {
            return Err(self.unavailable("too many requests wait for the rate limit"));
        }
        tokio::time::sleep(queue).await;
        let pair = self.pair()?;
        let now = Timestamp::now();
        let headers =
            write.as_ref().map(|(_, content_type, precondition)| put_headers(precondition, content_type)).unwrap_or_default();
        let key = location.key();
        let url = match *method {
            Method::HEAD => self.bucket.head_object(pair.as_ref(), key).sign_with_time(OWN_EXPIRY, &now),
            Method::PUT => {
                let mut action = self.bucket.put_object(pair.as_ref(), key);
                for (name, value) in &headers {
                    action.headers_mut().insert(name.clone(), value.clone());
                }
                action.sign_with_time(OWN_EXPIRY, &now)
            }
            _ => self.bucket.get_object(pair.as_ref(), key).sign_with_time(OWN_EXPIRY, &now),
        };
        let mut request = self.http.request(method.clone(), url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some((body, _, _)) = write {
            request = request.header("content-length", body.len()).body(body);
        }
        let response = request.send().await.map_err(|error| self.silent(pass, &error))?;
        self.answered();
        if response.status().is_success() {
            return Ok(Answer::Good(response));
        }
        let status = response.status();
        let code = error_code(response).await;
        if CREDENTIAL_CODES.contains(&code.as_str()) || status == StatusCode::FORBIDDEN {
            // Perhaps they have just been changed: the next call reads them again.
            self.credentials.iter().for_each(Credentials::doubt);
        }
        Ok(Answer::Bad { status, code })
    }

    fn error(&self, operation: &'static str, location: &Location, status: StatusCode, code: String) -> StoreError {
        let (store, path) = (self.name(), location.path().to_owned());
        if CREDENTIAL_CODES.contains(&code.as_str()) {
            return StoreError::CredentialsRejected { store, code };
        }
        if status == StatusCode::INSUFFICIENT_STORAGE || FULL_CODES.contains(&code.as_str()) {
            return StoreError::Full { store, path, code };
        }
        match status.as_u16() {
            404 if code == "NoSuchBucket" => {
                StoreError::Configuration { store, message: format!("bucket {:?} does not exist", self.profile.bucket) }
            }
            404 => StoreError::NotFound { store, path },
            401 => StoreError::CredentialsRejected { store, code },
            403 if code == "RequestTimeTooSkewed" => {
                StoreError::Unavailable { store, message: "its clock and ours differ too much".into() }
            }
            403 => StoreError::AccessDenied { store, path, operation, code },
            409 if code == "ConditionalRequestConflict" => StoreError::PreconditionFailed { store, path },
            412 => StoreError::PreconditionFailed { store, path },
            429 | 500.. => StoreError::Unavailable { store, message: format!("it answers {} ({code})", status.as_u16()) },
            status => StoreError::Unexpected { store, path, operation, status, code },
        }
    }
}

/// What an error of the connection is, without its own text: that has the URL in it, and the URL a signature or
/// another secret.
pub(crate) fn silence(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    }
}

fn put_headers(precondition: &Precondition, content_type: &str) -> Vec<(String, String)> {
    let condition = precondition.header().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let content_type =
        Some(content_type).filter(|text| !text.is_empty()).map(|text| ("content-type".to_owned(), text.to_owned()));
    content_type.into_iter().chain(condition).collect()
}

/// The code of an error's answer, of whose body no more than that is read.
async fn error_code(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(MAX_ERROR_BODY - body.len())]);
        if body.len() == MAX_ERROR_BODY {
            break;
        }
    }
    answer::error_code(&body)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
