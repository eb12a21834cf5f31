//! The client to the API server: TLS provider, no hidden retries, every request counted.
//!
//! Reads the kubeconfig or the pod's service account; connects on first use.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::{Layer, Service};

use crate::metrics::Metrics;

/// Name of the operator in the API server's audit log.
const USER_AGENT: &str = concat!("showrunner-operator/", env!("CARGO_PKG_VERSION"));

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Neither a kubeconfig nor a service account.
    #[error("failed to find a cluster: set KUBECONFIG, or run in a pod with a service account")]
    Config(#[source] Box<kube::config::InferConfigError>),
    /// The configuration is there and cannot be used.
    #[error("failed to make a client from the cluster configuration")]
    Build(#[source] Box<kube::Error>),
}

/// Makes ring the TLS provider of this process. Two are linked (kube's and reqwest's), and rustls refuses to choose.
pub fn install_tls_provider() {
    // An error says that one is installed already, which is all we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client from the environment. Requests are counted by code and method.
pub async fn connect(metrics: Arc<Metrics>) -> Result<(Client, String), ClientError> {
    install_tls_provider();
    let mut config = Config::infer().await.map_err(|error| ClientError::Config(Box::new(error)))?;
    // The queue and the watches back off; retries below them would outlive the lease's promise of when a write starts.
    config.default_retry = false;
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT)));
    let namespace = config.default_namespace.clone();
    let builder = ClientBuilder::try_from(config).map_err(|error| ClientError::Build(Box::new(error)))?;
    Ok((builder.with_layer(&CountLayer(metrics)).build(), namespace))
}

/// Counts requests.
#[derive(Clone)]
struct CountLayer(Arc<Metrics>);

impl<S> Layer<S> for CountLayer {
    type Service = Count<S>;

    fn layer(&self, inner: S) -> Count<S> {
        Count { inner, metrics: Arc::clone(&self.0) }
    }
}

/// See [`CountLayer`].
#[derive(Clone)]
struct Count<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S, B, C> Service<Request<B>> for Count<S>
where
    S: Service<Request<B>, Response = Response<C>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let method = request.method().to_string();
        let metrics = Arc::clone(&self.metrics);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let code = answer.as_ref().map_or_else(|_| "<error>".to_owned(), |answer| answer.status().as_u16().to_string());
            metrics.rest(code, method);
            answer
        })
    }
}
