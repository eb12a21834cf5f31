//! Every label, annotation, finalizer, port and path that Showrunner puts on objects or listens at.
//!
//! Constants only: no I/O.

/// Value of [`LABEL_MANAGED_BY`] on every object we create; the selector of our caches.
pub const MANAGED_BY: &str = "showrunner";
/// The recommended label that says who manages an object.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The recommended label that says which part of Showrunner a pod is.
pub const LABEL_COMPONENT: &str = "app.kubernetes.io/component";
/// Value of [`LABEL_COMPONENT`] on job pods; `NetworkPolicies` select on it.
pub const COMPONENT_WORKER: &str = "worker";
/// Kind of the object that owns a Job or pod, lower case.
pub const LABEL_OWNER_KIND: &str = "showrunner.dev/owner-kind";
/// UID of the object that owns a Job or pod. Pods carry it too: their ownerReference names the Job only.
pub const LABEL_OWNER_UID: &str = "showrunner.dev/owner-uid";
/// First 16 hex digits of the unit key's digest, for finding a unit's attempts.
pub const LABEL_UNIT: &str = "showrunner.dev/unit";
/// Name of the object-store profile that a pod may reach; `NetworkPolicies` select on it.
pub const LABEL_STORE: &str = "showrunner.dev/store";

/// Full unit key of a Job.
pub const ANNOTATION_UNIT_KEY: &str = "showrunner.dev/unit-key";
/// Attempt number of a Job, from 1.
pub const ANNOTATION_ATTEMPT: &str = "showrunner.dev/attempt";
/// Generation of the owner when the Job was made. For people to read; nothing depends on it.
pub const ANNOTATION_GENERATION: &str = "showrunner.dev/owner-generation";
/// Upper bound of what a Job may cost, a decimal string.
pub const ANNOTATION_COST_ESTIMATE: &str = "showrunner.dev/cost-estimate";
/// What a Job's pod costs per hour, a decimal string; the price at the time the Job was made.
pub const ANNOTATION_HOURLY_RATE: &str = "showrunner.dev/hourly-rate";
/// Accelerator class of a Job.
pub const ANNOTATION_CLASS: &str = "showrunner.dev/accelerator-class";
/// When the Job was admitted (un-suspended) last, RFC 3339. The start deadline counts from it.
pub const ANNOTATION_ADMITTED_AT: &str = "showrunner.dev/admitted-at";
/// Seconds from admission to a running container, after which the Job is suspended again.
pub const ANNOTATION_START_DEADLINE: &str = "showrunner.dev/start-deadline-seconds";
/// What was recorded of a Job's pods before they were let go, a JSON list of [`crate::jobs::PodRecord`].
pub const ANNOTATION_POD_RECORDS: &str = "showrunner.dev/pod-records";
/// The work order, on the pod template; the pod reads it through the downward API.
pub const ANNOTATION_WORK_ORDER: &str = "showrunner.dev/work-order";
/// What the cache keeps in the place of [`ANNOTATION_WORK_ORDER`]; on no object that is stored.
pub const ANNOTATION_ORDER_DIGEST: &str = "showrunner.dev/work-order-digest";
/// Digest of what was applied last by server-side apply.
pub const ANNOTATION_APPLIED: &str = "showrunner.dev/applied-digest";
/// Touch this annotation (any new value) to have an object reconciled at once, whatever it waits for.
pub const ANNOTATION_RECONCILE_AT: &str = "showrunner.dev/reconcile-at";

/// On the leader-election Lease: where the leader gives out leases of money, as a URL.
pub const ANNOTATION_LEASES_ADDRESS: &str = "showrunner.dev/leases-address";

/// What all our labels, annotations and finalizers begin with, and the group of our kinds.
pub const DOMAIN: &str = "showrunner.dev/";

/// On Jobs: until the outcome is harvested and the cost settled.
pub const FINALIZER_SETTLE: &str = "showrunner.dev/settle";
/// On job pods: until start, end and node class are recorded.
pub const FINALIZER_OBSERVE: &str = "showrunner.dev/observe";

/// Name of the container that does the work in a job pod.
pub const WORKER_CONTAINER: &str = "worker";
/// Folder in which the work order is mounted.
pub const WORK_ORDER_DIR: &str = "/etc/showrunner";
/// File in [`WORK_ORDER_DIR`].
pub const WORK_ORDER_FILE: &str = "work-order";
/// Folder of a job pod that can be written to.
pub const SCRATCH_DIR: &str = "/scratch";
/// Where a job pod leaves its last words (at most 4096 bytes).
pub const TERMINATION_MESSAGE_PATH: &str = "/dev/termination-log";

/// Field manager of everything the operator writes without naming a usage site.
pub const FIELD_MANAGER: &str = "showrunner";
/// Name of the leader-election Lease.
pub const LEASE_NAME: &str = "showrunner-operator";
/// Reporting controller of our Events.
pub const REPORTING_CONTROLLER: &str = "showrunner.dev/operator";

/// Health and metrics listener.
pub const PORT_ADMIN: u16 = 8080;
/// Loopback listener for `/debug/state` and `/log-level`.
pub const PORT_DEBUG: u16 = 6060;
/// Debug state and log level again, with TLS and for whoever is let in.
pub const PORT_GUARDED: u16 = 8443;
/// Leases of money for callers that are no jobs, with TLS.
pub const PORT_LEASES: u16 = 8444;
