//! Request -> Job: suspended, with everything that must hold from its first moment.
//!
//! Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, DownwardAPIVolumeFile, DownwardAPIVolumeSource, EmptyDirVolumeSource, EnvVar, LocalObjectReference,
    ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile, SecurityContext,
    Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rust_decimal::Decimal;

use super::{
    AcceleratorClass, JobError, JobRequest, JobsConfig, MAX_UNIT_KEY, MAX_WORK_ORDER, Resources, job_name, short_digest,
};
use crate::money::Money;
use crate::names;

/// User and group of job pods.
const WORKER_UID: i64 = 65532;
/// Room for logs and the termination message beside the scratch space, bytes.
const LOG_BYTES: u64 = 128 << 20;
const GIB: u64 = 1 << 30;
const VOLUME_ORDER: &str = "work-order";
const VOLUME_SCRATCH: &str = "scratch";
/// Readable by everybody in the pod, writable by none.
const ORDER_MODE: i32 = 0o444;

/// The Job of one attempt, suspended until [`super::Jobs::admit`].
pub fn build(request: &JobRequest, config: &JobsConfig) -> Result<Job, JobError> {
    check(request)?;
    let labels = labels(request);
    let estimate = estimate(request, config);
    let rate = config.hourly_rate(&request.class, &request.resources);
    let annotations = BTreeMap::from([
        (names::ANNOTATION_UNIT_KEY.to_owned(), request.unit_key.clone()),
        (names::ANNOTATION_ATTEMPT.to_owned(), request.attempt.to_string()),
        (names::ANNOTATION_GENERATION.to_owned(), request.owner.generation.to_string()),
        (names::ANNOTATION_CLASS.to_owned(), request.class.name.clone()),
        (names::ANNOTATION_COST_ESTIMATE.to_owned(), estimate.to_string()),
        (names::ANNOTATION_HOURLY_RATE.to_owned(), rate.to_string()),
        (names::ANNOTATION_START_DEADLINE.to_owned(), request.deadlines.start.as_secs().to_string()),
    ]);
    Ok(Job {
        metadata: ObjectMeta {
            name: Some(job_name(&request.owner.reference.uid, &request.unit_key, request.attempt)),
            namespace: Some(request.owner.namespace.clone()),
            labels: Some(labels.clone()),
            annotations: Some(annotations),
            owner_references: Some(vec![request.owner.reference.clone()]),
            finalizers: Some(vec![names::FINALIZER_SETTLE.to_owned()]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            suspend: Some(!crate::planted!("admitted-at-birth")),
            parallelism: Some(1),
            completions: Some(1),
            // Retries belong to the operator: each attempt has a Job, a reservation and a name of its own.
            backoff_limit: Some(0),
            pod_replacement_policy: Some("Failed".to_owned()),
            active_deadline_seconds: Some(seconds(request.deadlines.wall)),
            // No ttlSecondsAfterFinished: it is set by the patch that removes our finalizer, never before.
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: Some(BTreeMap::from([(names::ANNOTATION_WORK_ORDER.to_owned(), request.work_order.clone())])),
                    finalizers: Some(vec![names::FINALIZER_OBSERVE.to_owned()]),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(request, config)),
            },
            ..JobSpec::default()
        }),
        status: None,
    })
}

/// Upper bound of what one attempt may cost: everything it may use, for as long as it may run and then be ended.
pub fn estimate(request: &JobRequest, config: &JobsConfig) -> Money {
    let rate = config.hourly_rate(&request.class, &request.resources);
    rate.for_time(request.deadlines.run + request.deadlines.grace, Decimal::ONE)
}

impl JobsConfig {
    /// What a pod on a class costs per hour.
    pub fn hourly_rate(&self, class: &AcceleratorClass, resources: &Resources) -> Money {
        let gib = |bytes: u64| Decimal::from(bytes) / Decimal::from(GIB);
        let accelerators = if class.resource.is_some() { class.count.max(1) } else { 1 };
        let cores = Decimal::from(resources.cpu_millis) / Decimal::ONE_THOUSAND;
        let prices = self.prices_on(class);
        prices
            .cpu_core_hour
            .times(cores)
            .plus(prices.memory_gib_hour.times(gib(resources.memory_bytes)))
            .plus(prices.scratch_gib_hour.times(gib(resources.scratch_bytes)))
            .plus(class.price_per_hour.times(Decimal::from(accelerators)))
    }
}

fn check(request: &JobRequest) -> Result<(), JobError> {
    let (resources, deadlines) = (&request.resources, &request.deadlines);
    if request.owner.reference.uid.is_empty() || request.owner.namespace.is_empty() {
        return Err(JobError::OwnerNotRead);
    }
    if request.work_order.len() > MAX_WORK_ORDER {
        return Err(JobError::WorkOrderTooLarge(request.work_order.len()));
    }
    let rules = [
        (!request.unit_key.is_empty() && request.unit_key.len() <= MAX_UNIT_KEY, "the unit key is empty or too long"),
        (request.attempt >= 1, "attempts count from 1"),
        (resources.cpu_millis >= 1 && resources.memory_bytes >= 1 && resources.scratch_bytes >= 1, "a resource is zero"),
        (
            (1..=resources.cpu_millis).contains(&resources.cpu_request_millis),
            "the CPU request must be at least 1m and at most the limit",
        ),
        (
            [deadlines.run, deadlines.start, deadlines.grace].iter().all(|deadline| deadline.as_secs() >= 1),
            "every deadline must be at least one second",
        ),
        (
            deadlines.wall >= deadlines.start.saturating_add(deadlines.run).saturating_add(deadlines.grace),
            "the wall deadline must leave room for start, run and grace",
        ),
    ];
    rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, why)| Err(JobError::Invalid(why)))
}

fn labels(request: &JobRequest) -> BTreeMap<String, String> {
    let mut labels = request.labels.clone();
    labels.extend([
        (names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned()),
        (names::LABEL_COMPONENT.to_owned(), names::COMPONENT_WORKER.to_owned()),
        (names::LABEL_OWNER_KIND.to_owned(), request.owner.reference.kind.to_lowercase()),
        (names::LABEL_OWNER_UID.to_owned(), request.owner.reference.uid.clone()),
        (names::LABEL_UNIT.to_owned(), short_digest(&[&request.unit_key], 16)),
        (names::LABEL_STORE.to_owned(), request.store.clone()),
    ]);
    labels
}

fn pod(request: &JobRequest, config: &JobsConfig) -> PodSpec {
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        // The limit that counts: the kubelet's, from the pod's start. The Job's own restarts with each resume.
        active_deadline_seconds: Some(seconds(request.deadlines.run)),
        termination_grace_period_seconds: Some(seconds(request.deadlines.grace)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        priority_class_name: Some(config.priority_class_name.clone()).filter(|name| !name.is_empty()),
        node_selector: Some(request.class.node_selector.clone()).filter(|labels| !labels.is_empty()),
        tolerations: Some(tolerations(request)).filter(|tolerations| !tolerations.is_empty()),
        image_pull_secrets: Some(
            config.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect(),
        )
        .filter(|secrets: &Vec<_>| !secrets.is_empty()),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(WORKER_UID),
            run_as_group: Some(WORKER_UID),
            fs_group: Some(WORKER_UID),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(request, config)],
        volumes: Some(vec![
            Volume {
                name: VOLUME_ORDER.to_owned(),
                downward_api: Some(DownwardAPIVolumeSource {
                    default_mode: Some(ORDER_MODE),
                    items: Some(vec![DownwardAPIVolumeFile {
                        path: names::WORK_ORDER_FILE.to_owned(),
                        field_ref: Some(ObjectFieldSelector {
                            field_path: format!("metadata.annotations['{}']", names::ANNOTATION_WORK_ORDER),
                            ..ObjectFieldSelector::default()
                        }),
                        ..DownwardAPIVolumeFile::default()
                    }]),
                }),
                ..Volume::default()
            },
            Volume {
                name: VOLUME_SCRATCH.to_owned(),
                empty_dir: Some(EmptyDirVolumeSource { size_limit: Some(bytes(request.resources.scratch_bytes)), medium: None }),
                ..Volume::default()
            },
        ]),
        ..PodSpec::default()
    }
}

fn container(request: &JobRequest, config: &JobsConfig) -> Container {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        // As the API server keeps it: it leaves out what is false.
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    Container {
        name: names::WORKER_CONTAINER.to_owned(),
        image: Some(config.image.clone()),
        image_pull_policy: Some(config.image_pull_policy.clone()),
        // The only place that can be written to; nothing may fall back to /tmp.
        env: Some(vec![EnvVar { name: "TMPDIR".to_owned(), value: Some(names::SCRATCH_DIR.to_owned()), value_from: None }]),
        resources: Some(resources(request)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
            ..SecurityContext::default()
        }),
        termination_message_path: Some(names::TERMINATION_MESSAGE_PATH.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some(vec![
            mount(VOLUME_ORDER, names::WORK_ORDER_DIR, true),
            mount(VOLUME_SCRATCH, names::SCRATCH_DIR, false),
        ]),
        ..Container::default()
    }
}

fn resources(request: &JobRequest) -> ResourceRequirements {
    let wanted = &request.resources;
    let mut limits = BTreeMap::from([
        ("cpu".to_owned(), Quantity(format!("{}m", wanted.cpu_millis))),
        ("memory".to_owned(), bytes(wanted.memory_bytes)),
        ("ephemeral-storage".to_owned(), bytes(wanted.scratch_bytes.saturating_add(LOG_BYTES))),
    ]);
    if let Some(resource) = &request.class.resource {
        limits.insert(resource.clone(), Quantity(request.class.count.max(1).to_string()));
    }
    let mut requests = limits.clone();
    requests.insert("cpu".to_owned(), Quantity(format!("{}m", wanted.cpu_request_millis)));
    ResourceRequirements { limits: Some(limits), requests: Some(requests), claims: None }
}

fn tolerations(request: &JobRequest) -> Vec<Toleration> {
    let gpu = request.class.resource.is_some().then(|| Toleration {
        key: Some("gpu".to_owned()),
        operator: Some("Equal".to_owned()),
        value: Some("true".to_owned()),
        effect: Some("NoSchedule".to_owned()),
        toleration_seconds: None,
    });
    let mut all: Vec<_> = gpu.into_iter().collect();
    for toleration in &request.class.tolerations {
        if !all.contains(toleration) {
            all.push(toleration.clone());
        }
    }
    all
}

fn bytes(bytes: u64) -> Quantity {
    Quantity(bytes.to_string())
}

fn seconds(duration: Duration) -> i64 {
    duration.as_secs() as i64
}
