//! Takes, renews and releases the Lease.
//!
//! Reads and writes one `coordination.k8s.io/v1` Lease; every write carries the resourceVersion that was read.

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use super::{Election, Leadership, LeaseParams, Record, Step};
use crate::clock::{Clock, Mono};
use crate::metrics::Metrics;
use crate::names::{ANNOTATION_LEASES_ADDRESS, FIELD_MANAGER, LABEL_MANAGED_BY, MANAGED_BY};

/// How leading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// We gave it back because we were asked to stop.
    Released,
    /// It was lost: the process must end, for something it started may still be on its way.
    Lost,
}

/// Why one attempt at the Lease came to nothing.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error("no answer within the request timeout")]
    Timeout,
    #[error(transparent)]
    Api(#[from] kube::Error),
}

/// Which Lease to keep, as whom.
#[derive(Clone, Debug)]
pub struct KeeperConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: &'static str,
    /// This process; unique among replicas and restarts.
    pub identity: String,
    /// Timings.
    pub params: LeaseParams,
    /// Where this process is found while it leads, for those that ask a replica which does not.
    pub address: Option<String>,
}

/// Keeps one Lease.
pub struct Keeper {
    api: Api<Lease>,
    name: &'static str,
    params: LeaseParams,
    address: Option<String>,
    election: Election,
    leadership: Leadership,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// The Lease as we last read or wrote it.
    lease: Option<Lease>,
}

impl Keeper {
    /// A keeper; `leadership` must have been made with the parameters in `config`.
    pub fn new(client: Client, config: KeeperConfig, leadership: Leadership, clock: Clock, metrics: Arc<Metrics>) -> Self {
        metrics.leading(config.name, false);
        Self {
            api: Api::namespaced(client, &config.namespace),
            name: config.name,
            params: config.params,
            address: config.address,
            election: Election::new(config.identity),
            leadership,
            clock,
            metrics,
            lease: None,
        }
    }

    /// Waits until this replica leads; false when `stop` came first.
    pub async fn acquire(&mut self, stop: &CancellationToken) -> bool {
        tracing::info!(lease = self.name, identity = self.election.identity(), "waiting to lead");
        loop {
            match self.try_acquire().await {
                Ok(true) => {
                    tracing::info!(lease = self.name, "leading");
                    self.metrics.leading(self.name, true);
                    return true;
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(lease = self.name, %error, "failed to take the lease; trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(self.params.retry_period) => {}
                () = stop.cancelled() => return false,
            }
        }
    }

    /// Renews until the Lease is lost, or until `release` is asked for: then gives it back. `release` must come after
    /// the last write of this process.
    pub async fn keep(mut self, release: &CancellationToken) -> End {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.params.retry_period) => {}
                () = release.cancelled() => return self.release().await,
            }
            let sent = self.clock.mono();
            match self.renew().await {
                Ok(true) => self.leadership.renewed(sent),
                Ok(false) => return self.lost("somebody else holds it"),
                Err(error) if !self.leadership.leads_at(self.clock.mono()) => {
                    tracing::error!(lease = self.name, %error, "failed to renew the lease before the renew deadline");
                    return self.lost("the renew deadline has passed");
                }
                Err(error) => tracing::warn!(lease = self.name, %error, "failed to renew the lease; trying again"),
            }
        }
    }

    fn lost(&self, why: &str) -> End {
        self.leadership.lost();
        self.metrics.leading(self.name, false);
        tracing::error!(lease = self.name, why, "lost the lease");
        End::Lost
    }

    async fn try_acquire(&mut self) -> Result<bool, AttemptError> {
        let read = timed(self.params.request_timeout, self.api.get_opt(self.name)).await?;
        let record = read.as_ref().map(record_of);
        self.leadership.led_from(read.as_ref().and_then(address_of));
        let sent = self.clock.mono();
        let wanted = match self.election.step(record.as_ref(), sent) {
            Step::Wait => return Ok(false),
            Step::Create => self.wanted(None, 0),
            // Ours by name, but from before this process led: taken anew, so that the transition is counted.
            Step::Take | Step::Renew => {
                self.wanted(read.as_ref(), record.map_or(0, |record| record.transitions.saturating_add(1)))
            }
        };
        Ok(self.put(wanted, sent).await?.inspect(|()| self.leadership.renewed(sent)).is_some())
    }

    /// Whether the Lease is still ours.
    async fn renew(&mut self) -> Result<bool, AttemptError> {
        let transitions = self.lease.as_ref().map_or(0, |lease| record_of(lease).transitions);
        let wanted = self.wanted(self.lease.as_ref(), transitions);
        if self.put(wanted, self.clock.mono()).await?.is_some() {
            return Ok(true);
        }
        // Somebody wrote in between: perhaps only a label. Look, and renew at once if it is still ours.
        let Some(read) = timed(self.params.request_timeout, self.api.get_opt(self.name)).await? else {
            return Ok(false);
        };
        if record_of(&read).holder != self.election.identity() {
            return Ok(false);
        }
        let wanted = self.wanted(Some(&read), record_of(&read).transitions);
        Ok(self.put(wanted, self.clock.mono()).await?.is_some())
    }

    async fn release(mut self) -> End {
        self.leadership.lost();
        self.metrics.leading(self.name, false);
        let Some(mut lease) = self.lease.take() else { return End::Released };
        if let Some(spec) = lease.spec.as_mut() {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(self.clock.now()));
        }
        let params = post_params();
        match timed(self.params.request_timeout, self.api.replace(self.name, &params, &lease)).await {
            Ok(_) => tracing::info!(lease = self.name, "released the lease"),
            Err(error) => tracing::warn!(lease = self.name, %error, "failed to release the lease; others wait for it to run out"),
        }
        End::Released
    }

    /// Creates or replaces; `None` when somebody else was faster.
    async fn put(&mut self, lease: Lease, sent: Mono) -> Result<Option<()>, AttemptError> {
        let params = post_params();
        let result = if lease.metadata.resource_version.is_some() {
            timed(self.params.request_timeout, self.api.replace(self.name, &params, &lease)).await
        } else {
            timed(self.params.request_timeout, self.api.create(&params, &lease)).await
        };
        match result {
            Ok(lease) => {
                tracing::trace!(lease = self.name, ?sent, "wrote the lease");
                self.lease = Some(lease);
                Ok(Some(()))
            }
            Err(AttemptError::Api(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn wanted(&self, read: Option<&Lease>, transitions: i32) -> Lease {
        let now = MicroTime(self.clock.now());
        let identity = self.election.identity();
        let old = read.and_then(|lease| lease.spec.as_ref());
        let acquired =
            old.filter(|spec| spec.holder_identity.as_deref() == Some(identity) && Some(transitions) == spec.lease_transitions);
        let mut metadata = match read {
            Some(lease) => ObjectMeta { managed_fields: None, ..lease.metadata.clone() },
            None => ObjectMeta {
                name: Some(self.name.to_owned()),
                labels: Some([(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned())].into()),
                ..ObjectMeta::default()
            },
        };
        // Of the last leader, there is nothing to be found any more.
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.remove(ANNOTATION_LEASES_ADDRESS);
        annotations.extend(self.address.clone().map(|address| (ANNOTATION_LEASES_ADDRESS.to_owned(), address)));
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(identity.to_owned()),
                lease_duration_seconds: Some(self.params.lease_duration.as_secs() as i32),
                acquire_time: acquired.and_then(|spec| spec.acquire_time.clone()).or_else(|| Some(now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn post_params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// What a Lease object says; a field that is missing or nonsense counts as "free".
fn record_of(lease: &Lease) -> Record {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    Record {
        holder: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default(),
        duration: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        transitions: spec.and_then(|spec| spec.lease_transitions).unwrap_or(0),
        resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

/// Where whoever holds a Lease is found.
fn address_of(lease: &Lease) -> Option<String> {
    let held = !record_of(lease).holder.is_empty();
    lease.metadata.annotations.as_ref().filter(|_| held)?.get(ANNOTATION_LEASES_ADDRESS).cloned()
}

async fn timed<T>(limit: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T, AttemptError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(AttemptError::Timeout),
    }
}
