//! Sends spans to a collector: OTLP, protobuf over HTTP, in batches, away from what is traced.
//!
//! Sends requests to the configured endpoint and reads the files of its headers. A collector that is away costs a metric
//! and one line of the log: spans wait in a queue of fixed size, and what does not fit or cannot be sent is counted and lost.

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use super::TARGET;
use crate::metrics::{Metrics, SpanOutcome};

/// Where OTLP receivers listen for traces, below the endpoint.
const PATH: &str = "v1/traces";
/// Spans that wait at most; about a megabyte.
const QUEUE: usize = 2048;
/// Spans in one request.
const BATCH: usize = 512;
/// Longest wait of a span for others to be sent with.
const DELAY: Duration = Duration::from_secs(5);
/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for one request with its answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for one batch with all its attempts.
const BATCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Attempts after the first.
const RETRIES: usize = 2;
/// Largest answer that is read, bytes: a few counts, or an error.
const MAX_ANSWER: usize = 64 << 10;
/// Largest file of a header, bytes.
const MAX_HEADER: u64 = 16 << 10;
/// Most headers.
const MAX_HEADERS: usize = 16;
/// Name of this service in traces.
const SERVICE: &str = "showrunner-operator";

/// Where traces go. Without it there are none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TracesConfig {
    /// `http` or `https` URL of an OTLP receiver, without the `/v1/traces` that is below it.
    pub endpoint: Url,
    /// Share of reconciles that are traced, 0 to 1.
    #[serde(default = "everything")]
    pub sample_ratio: f64,
    /// Folder with one file per header that the collector wants: the name is the header's, the content its value. Read
    /// for each request, so a change needs no restart.
    #[serde(default)]
    pub headers: Option<PathBuf>,
}

fn everything() -> f64 {
    1.0
}

/// Traces that cannot be sent as configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TracesError(String);

impl TracesConfig {
    /// Whether it makes sense.
    pub fn check(&self) -> Result<(), TracesError> {
        let refuse = |message: &str| Err(TracesError(message.to_owned()));
        let at = &self.endpoint;
        if !at.username().is_empty() || at.password().is_some() {
            return refuse("endpoint: must not hold credentials; put an authorization file into the headers folder");
        }
        if !matches!(at.scheme(), "http" | "https") || at.host().is_none() || at.query().is_some() || at.fragment().is_some() {
            return refuse("endpoint: must be http(s)://host[:port][/path], such as http://collector.observability:4318");
        }
        if at.path().trim_end_matches('/').ends_with(PATH) {
            return refuse("endpoint: leave out the /v1/traces at its end, it is added");
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return refuse("sampleRatio: must be 0 to 1");
        }
        Ok(())
    }

    fn url(&self) -> String {
        format!("{}/{PATH}", self.endpoint.as_str().trim_end_matches('/'))
    }
}

/// Traces that are being sent.
#[derive(Debug)]
pub struct Traces {
    tracer: SdkTracer,
    collector: Arc<Collector>,
    metrics: Arc<Metrics>,
    closing: CancellationToken,
    sending: JoinHandle<()>,
}

impl Traces {
    /// Starts sending; nothing is dialled before there is a span. To be called within a runtime.
    pub fn start(config: &TracesConfig, instance: &str, metrics: Arc<Metrics>) -> Result<Self, TracesError> {
        config.check()?;
        crate::kube_client::install_tls_provider();
        let refuse = |error: &dyn fmt::Display| TracesError(format!("failed to make a client for the collector: {error}"));
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ATTEMPT_TIMEOUT)
            .build()
            .map_err(|error| refuse(&error))?;
        let collector = Arc::new(Collector { http, headers: config.headers.clone(), state: Mutex::default() });
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_shared_http_client(Arc::clone(&collector) as Arc<dyn HttpClient>)
            .with_endpoint(config.url())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(BATCH_TIMEOUT)
            .with_retry_policy(RetryPolicy::recommended().with_max_retries(RETRIES))
            .build()
            .map_err(|error| refuse(&error))?;
        // Said here and nowhere else: variables of the environment must not change what the configuration says.
        let resource = Resource::builder_empty()
            .with_service_name(SERVICE)
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", instance.to_owned()))
            .build();
        exporter.set_resource(&resource);
        let (sender, queue) = mpsc::channel(QUEUE);
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio))))
            .with_resource(resource)
            .with_span_processor(Intake { queue: sender, metrics: Arc::clone(&metrics) })
            .build();
        let closing = CancellationToken::new();
        let sending = Sending {
            queue,
            exporter,
            endpoint: config.url(),
            collector: Arc::clone(&collector),
            metrics: Arc::clone(&metrics),
            closing: closing.clone(),
        };
        Ok(Self { tracer: provider.tracer("showrunner"), collector, metrics, closing, sending: tokio::spawn(sending.run()) })
    }

    /// The part of a subscriber that turns our spans into traces, and nobody else's.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let ours = filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET);
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            // Without the hint, every callsite of every library would have to be asked.
            .with_filter(ours.with_max_level_hint(LevelFilter::DEBUG))
    }

    /// Sends what waits, for this long at most; at once when the collector is known to be away.
    pub async fn shutdown(self, within: Duration) {
        self.closing.cancel();
        let mut sending = self.sending;
        if self.collector.is_away() {
            sending.abort();
        }
        if tokio::time::timeout(within, &mut sending).await.is_err() {
            sending.abort();
            tracing::warn!(seconds = within.as_secs_f64(), "failed to send the last traces in time: they are lost");
        }
        drop(self.metrics);
    }
}

/// Takes spans as they end: on the thread of whoever ended them, so it never waits.
#[derive(Debug)]
struct Intake {
    queue: mpsc::Sender<SpanData>,
    metrics: Arc<Metrics>,
}

impl SpanProcessor for Intake {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.queue.try_send(span).is_err() {
            self.metrics.spans(SpanOutcome::Dropped, 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends spans, until it is closed and the queue is empty.
struct Sending {
    queue: mpsc::Receiver<SpanData>,
    exporter: SpanExporter,
    endpoint: String,
    collector: Arc<Collector>,
    metrics: Arc<Metrics>,
    closing: CancellationToken,
}

impl Sending {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let closing = self.closing.clone();
            tokio::select! {
                () = closing.cancelled() => self.queue.close(),
                // Cut off at any point it has lost nothing: what was taken is in the batch.
                () = fill(&mut self.queue, &mut batch) => {}
            }
            if self.queue.is_closed() && batch.is_empty() && self.queue.recv_many(&mut batch, BATCH).await == 0 {
                return;
            }
            if !batch.is_empty() {
                self.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).await;
            }
        }
    }

    async fn send(&self, batch: Vec<SpanData>) {
        let spans = batch.len() as u64;
        let sent = tokio::time::timeout(BATCH_TIMEOUT, self.exporter.export(batch)).await.is_ok_and(|result| result.is_ok());
        self.metrics.spans(if sent { SpanOutcome::Sent } else { SpanOutcome::Failed }, spans);
        match self.collector.turned(sent, spans) {
            Turn::None => {}
            Turn::Away(error) => tracing::warn!(
                endpoint = self.endpoint,
                error,
                "failed to send traces: they are lost until the collector answers again, which is the next that is said of it"
            ),
            Turn::Back(lost) => tracing::info!(endpoint = self.endpoint, lost, "traces are sent again"),
        }
    }
}

/// Waits for a span, and then a while for more.
async fn fill(queue: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    if batch.is_empty() && queue.recv_many(batch, BATCH).await == 0 {
        // Every sender is gone, and with them every span: nothing left to do but to be closed.
        return std::future::pending().await;
    }
    let more = async { while batch.len() < BATCH && queue.recv_many(batch, BATCH - batch.len()).await > 0 {} };
    // Time over is the ordinary end.
    let _ = tokio::time::timeout(DELAY, more).await;
}

/// The way to the collector, and whether it answers.
struct Collector {
    http: reqwest::Client,
    headers: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Spans lost since it went away; none while it answers.
    lost: Option<u64>,
    /// What was wrong last.
    error: String,
}

/// A change that is worth a line.
enum Turn {
    None,
    Away(String),
    Back(u64),
}

// Headers are secrets, and the client has them in nothing it prints, but nor should this.
impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector(..)")
    }
}

impl Collector {
    fn is_away(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).lost.is_some()
    }

    fn turned(&self, sent: bool, spans: u64) -> Turn {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (sent, state.lost) {
            (true, None) => Turn::None,
            (true, Some(lost)) => {
                state.lost = None;
                Turn::Back(lost)
            }
            (false, None) => {
                state.lost = Some(spans);
                Turn::Away(std::mem::take(&mut state.error))
            }
            (false, Some(lost)) => {
                state.lost = Some(lost + spans);
                Turn::None
            }
        }
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.ask(request).await;
        let error = match &answer {
            Ok(answer) if answer.status().is_success() => return Ok(answer.clone()),
            Ok(answer) => format!("it answers {}", answer.status().as_u16()),
            Err(error) => error.clone(),
        };
        self.state.lock().unwrap_or_else(PoisonError::into_inner).error = error;
        answer.map_err(Into::into)
    }

    async fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let (parts, body) = request.into_parts();
        // What the body is, and what the configuration says; not what the environment has the exporter add.
        let mut headers = HeaderMap::new();
        if let Some(kind) = parts.headers.get(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, kind.clone());
        }
        if let Some(folder) = &self.headers {
            headers.extend(read_headers(folder)?);
        }
        let url = parts.uri.to_string();
        let sent = self.http.request(parts.method, url).headers(headers).body(body).send().await;
        let mut answer = sent.map_err(|error| trouble(&error))?;
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            *headers = answer.headers().clone();
        }
        let mut read = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| trouble(&error))? {
            if read.len() + chunk.len() > MAX_ANSWER {
                return Err(format!("its answer is longer than {MAX_ANSWER} bytes"));
            }
            read.extend_from_slice(&chunk);
        }
        response.body(read.freeze()).map_err(|error| error.to_string())
    }
}

/// What is wrong, without the URL.
fn trouble(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    what.to_owned()
}

impl HttpClient for Collector {
    // What the trait's own macro makes of an `async fn`.
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.send(request))
    }
}

/// The headers in a folder. Errors name the file, never what is in it.
fn read_headers(folder: &Path) -> Result<HeaderMap, String> {
    let at = |path: &Path, error: &dyn fmt::Display| format!("failed to read header {}: {error}", path.display());
    let mut headers = HeaderMap::new();
    let entries = std::fs::read_dir(folder).map_err(|error| at(folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| at(folder, &error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A mounted Secret has its bookkeeping beside its keys.
        if name.starts_with('.') {
            continue;
        }
        if headers.len() == MAX_HEADERS {
            return Err(at(folder, &format!("there are more than {MAX_HEADERS}")));
        }
        let size = std::fs::metadata(&path).map_err(|error| at(&path, &error))?.len();
        if size > MAX_HEADER {
            return Err(at(&path, &format!("it is larger than {MAX_HEADER} bytes")));
        }
        let value = std::fs::read_to_string(&path).map_err(|error| at(&path, &error))?;
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| at(&path, &"its name is no name of a header"))?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| at(&path, &"it must hold one line"))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}
