//! Spans of a reconcile, of its steps, and of what it asks of the API server and of stores: the one place that names them.
//!
//! No I/O here; [`export`] sends them, when it is configured. Until then they are disabled, which costs one comparison each.
//!
//! What is in a span: names of objects, words of ours, numbers. Never a URL, a header, a body or the text of an error.

pub mod export;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use opentelemetry::trace::TraceContextExt as _;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::object::ObjectKey;
use crate::queue::Ticket;

/// Target of every span that is exported. Nothing else is, so that no span or event of a library can carry something out.
pub const TARGET: &str = "showrunner::trace";

/// Outcome of what worked.
const OK: &str = "ok";
/// What the exporter takes for a failed span.
const STATUS_ERROR: &str = "ERROR";

/// One reconcile: the root of its trace. What is known only later is recorded by [`identify`] and [`end`].
pub(crate) fn reconcile(controller: &'static str, kind: &str, ticket: &Ticket<ObjectKey>) -> Span {
    tracing::debug_span!(
        target: TARGET,
        parent: None,
        "reconcile",
        otel.name = format!("reconcile {kind}"),
        otel.status_code = Empty,
        otel.status_description = Empty,
        showrunner.controller = controller,
        showrunner.queue.priority = ticket.priority.name(),
        showrunner.queue.waited_seconds = seconds(ticket.waited),
        // Signed, as OTLP's integers are: others become texts.
        showrunner.attempt = i64::from(ticket.failures) + 1,
        showrunner.outcome = Empty,
        k8s.object.kind = kind,
        k8s.object.namespace = ticket.key.namespace,
        k8s.object.name = ticket.key.name,
        k8s.object.uid = Empty,
        k8s.object.generation = Empty,
    )
}

/// Which object of that name it is.
pub(crate) fn identify(span: &Span, meta: &ObjectMeta) {
    span.record("k8s.object.uid", meta.uid.as_deref());
    span.record("k8s.object.generation", meta.generation);
}

/// A step of a reconcile, by the name of the file that does it. A step that is not a future: `step("decide").in_scope(..)`.
pub fn step(name: &'static str) -> Span {
    tracing::debug_span!(target: TARGET, "step", otel.name = name)
}

/// Does a step in a span of its own.
pub async fn in_step<T>(name: &'static str, work: impl Future<Output = T>) -> T {
    work.instrument(step(name)).await
}

/// A request to the API server about one object.
pub(crate) fn request(verb: &'static str, kind: &str, object: &ObjectKey) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "request",
        otel.name = format!("{verb} {kind}"),
        otel.kind = "client",
        otel.status_code = Empty,
        otel.status_description = Empty,
        showrunner.verb = verb,
        showrunner.outcome = Empty,
        k8s.object.kind = kind,
        k8s.object.namespace = object.namespace,
        k8s.object.name = object.name,
    )
}

/// A call to a store, all of its attempts together. The path is that of the resource, never the signed URL.
pub(crate) fn store(store: &str, operation: &'static str, method: &str, path: &str) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "store",
        otel.name = format!("{operation} {store}"),
        otel.kind = "client",
        otel.status_code = Empty,
        otel.status_description = Empty,
        http.request.method = method,
        http.response.status_code = Empty,
        showrunner.store = store,
        showrunner.path = path,
        showrunner.attempts = Empty,
        showrunner.outcome = Empty,
    )
}

/// How it ended: well, or with the reason that metrics and conditions use.
pub(crate) fn end(span: &Span, outcome: Result<(), &'static str>) {
    match outcome {
        Ok(()) => {
            span.record("showrunner.outcome", OK);
        }
        Err(reason) => {
            span.record("showrunner.outcome", reason);
            span.record("otel.status_code", STATUS_ERROR);
            span.record("otel.status_description", reason);
        }
    }
}

/// The trace that a span belongs to, as people look for it; none when it is not exported.
pub(crate) fn trace_id(span: &Span) -> Option<String> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_sampled().then(|| context.trace_id().to_string())
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[cfg(test)]
mod tests;
