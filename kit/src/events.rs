//! One recorder for all Events, which are written on transitions only.
//!
//! Writes `events.k8s.io/v1` Events. Never fails its caller: an Event that is lost is counted and logged.
//!
//! kube's own `Recorder` merges Events that differ only in their note and keeps the old note, and names them by the
//! nanosecond, so that two can collide; here each transition is its own Event under a name that cannot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::conditions::clean;
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::names::{FIELD_MANAGER, REPORTING_CONTROLLER};
use crate::object::{Object, ObjectKey};
use crate::traces;

/// Longest part of an Event's name that comes from the object; the rest makes it unique.
const MAX_NAME_PART: usize = 200;
/// Longest `reportingInstance` that the API accepts.
const MAX_INSTANCE: usize = 128;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Records Events. Cloning is cheap.
#[derive(Clone)]
pub struct Events {
    client: Client,
    leadership: Leadership,
    metrics: Arc<Metrics>,
    clock: Clock,
    instance: Arc<str>,
    count: Arc<AtomicU64>,
}

impl Events {
    /// A recorder; `instance` is this process, unique among replicas and restarts.
    pub fn new(client: Client, leadership: Leadership, metrics: Arc<Metrics>, clock: Clock, instance: &str) -> Self {
        let instance = crate::conditions::cut(instance, MAX_INSTANCE).into();
        Self { client, leadership, metrics, clock, instance, count: Arc::default() }
    }

    /// Records one transition of `object`: `reason` is the condition's, `action` what was done about it, both
    /// `PascalCase`; the note is cleaned and cut.
    pub async fn publish<K: Object>(&self, object: &K, severity: Severity, reason: &str, action: &str, note: &str) {
        self.publish_about(object.object_ref(&()), severity, reason, action, note).await;
    }

    /// As [`Events::publish`], for an object of whatever kind.
    pub async fn publish_about(&self, object: ObjectReference, severity: Severity, reason: &str, action: &str, note: &str) {
        let Ok(token) = self.leadership.guard() else { return };
        let name = format!(
            "{} {}/{}",
            object.kind.as_deref().unwrap_or_default(),
            object.namespace.as_deref().unwrap_or_default(),
            object.name.as_deref().unwrap_or_default()
        );
        let event = self.event(object, severity, reason, action, note);
        let api: Api<Event> = Api::namespaced(self.client.clone(), event.metadata.namespace.as_deref().unwrap_or("default"));
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let span = traces::request("create", "Event", &ObjectKey::of(&event.metadata));
        let create = api.create(&params, &event).instrument(span.clone());
        let failed = match tokio::time::timeout(token.timeout, create).await {
            Ok(Ok(_)) => return traces::end(&span, Ok(())),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        traces::end(&span, Err("EventFailed"));
        self.metrics.event_failed();
        tracing::warn!(object = name, reason, error = failed, "failed to record an event");
    }

    fn event(&self, object: ObjectReference, severity: Severity, reason: &str, action: &str, note: &str) -> Event {
        let name = crate::conditions::cut(object.name.as_deref().unwrap_or_default(), MAX_NAME_PART);
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        // Instance and count make it unique; hashed, because names of pods do not belong in names of events.
        let unique =
            crate::jobs::short_digest(&[&self.instance, &number.to_string(), object.uid.as_deref().unwrap_or_default()], 16);
        Event {
            metadata: ObjectMeta {
                namespace: object.namespace.clone(),
                name: Some(format!("{}.{unique}", name.trim_end_matches(['.', '-']))),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(self.clock.now())),
            type_: Some(match severity {
                Severity::Normal => "Normal".to_owned(),
                Severity::Warning => "Warning".to_owned(),
            }),
            reason: Some(reason.to_owned()),
            action: Some(action.to_owned()),
            note: Some(clean(note)),
            regarding: Some(object),
            reporting_controller: Some(REPORTING_CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.to_string()),
            ..Event::default()
        }
    }
}
