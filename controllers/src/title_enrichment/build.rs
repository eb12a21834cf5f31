//! Decision -> the exact Job and work order. No I/O: signing is a function that is handed in.

use std::collections::BTreeMap;

use showrunner_contracts::{
    Digest, Document as _,
    result::Output,
    work_order::{GivenResult, Grants, Limits, Source, StepOrder, WorkOrder},
};
use showrunner_kit::jobs::{self, JobRequest, JobsConfig, Owner};
use showrunner_kit::money::Money;
use showrunner_kit::store::StoreError;

use super::decide::{Committed, Order};
use super::layout;
use super::settings::TitleSettings;

/// Label with the title's name on Jobs and pods, for people.
pub const LABEL_TITLE: &str = "showrunner.dev/title";
/// Longest value of a label.
const MAX_LABEL: usize = 63;

/// Signs requests for a pod that holds no credentials. Paths are below the profile's prefix for the title's namespace.
pub trait Sign {
    /// GET.
    fn read(&self, path: &str) -> Result<String, StoreError>;
    /// GET of an object by its whole key below the bucket's prefix, as results name their folders.
    fn read_key(&self, key: &str) -> Result<String, StoreError>;
    /// PUT.
    fn write(&self, path: &str) -> Result<String, StoreError>;
    /// PUT where only the first writer wins.
    fn commit(&self, path: &str) -> Result<String, StoreError>;
    /// Path of the committed result of a step.
    fn result(&self, key: &Digest) -> String;
    /// The whole key in the bucket.
    fn key(&self, path: &str) -> Result<String, StoreError>;
}

/// What the pod is asked to do.
pub fn work_order(order: &Order, uid: &str, settings: &TitleSettings, sign: &dyn Sign) -> Result<WorkOrder, StoreError> {
    let folder = layout::attempt_folder(&order.unit, uid, order.attempt.number);
    let mut files = BTreeMap::new();
    let mut commits = BTreeMap::new();
    let mut steps = Vec::new();
    for ordered in &order.steps {
        let step = ordered.params.step();
        for name in ordered.params.slots() {
            let url = sign.write(&format!("{folder}/{name}"))?;
            files.insert(name, url);
        }
        commits.insert(step, sign.commit(&sign.result(&ordered.key))?);
        steps.push(StepOrder {
            step,
            key: ordered.key.clone(),
            algorithm_version: step.algorithm_version(),
            params: ordered.params.clone(),
            models: ordered.models.clone(),
            result_url: sign.read(&sign.result(&ordered.key))?,
        });
    }
    let reads_source = order.steps.iter().any(|step| step.params.step().reads_source());
    Ok(WorkOrder {
        schema: WorkOrder::SCHEMA.to_owned(),
        unit_key: order.unit.clone(),
        attempt: u32::try_from(order.attempt.number).unwrap_or(1),
        source: Source {
            url: sign.read(&order.source.path)?,
            size_bytes: u64::try_from(order.source.size_bytes).unwrap_or_default(),
            etag: order.source.etag.clone(),
            sha256: order.sha256.clone(),
        },
        steps,
        given: order
            .given
            .iter()
            .map(|committed| given(committed, sign))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect(),
        skipped: order.skipped.clone(),
        media: order.given.first().filter(|_| !reads_source).map(|committed| committed.result.media.clone()),
        catalogue: order.place.map(|_| sign.read(&layout::view(&folder))).transpose()?,
        grants: Grants {
            folder: format!("{}/", sign.key(&folder)?),
            files,
            commits,
            unit_result: sign.write(&layout::unit_result(&folder))?,
            progress: sign.write(&layout::progress(&folder))?,
        },
        limits: Limits {
            run_seconds: u32::try_from(order.deadlines.run.as_secs()).unwrap_or(u32::MAX),
            threads: settings.threads(),
            child_memory_bytes: settings.child_memory_bytes,
            max_media_seconds: settings.max_media_seconds,
        },
    })
}

/// The documents that other steps read, and what was made for them alone.
fn given(committed: &Committed, sign: &dyn Sign) -> Result<Vec<GivenResult>, StoreError> {
    let result = &committed.result;
    let document = |output: &&Output| output.media_type.starts_with("application/json") || is_json(&output.name);
    let give = |output: &Output| {
        Ok(GivenResult {
            step: result.step,
            name: output.name.clone(),
            url: sign.read_key(&format!("{}{}", result.folder, output.name))?,
            sha256: output.sha256.clone(),
            size_bytes: output.size_bytes,
        })
    };
    result.outputs.iter().filter(document).chain(&result.kept).map(give).collect()
}

fn is_json(name: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|extension| extension == "json")
}

/// The request for the Job of an order. The work order is empty where only the cost is asked for.
pub fn request(order: &Order, owner: Owner, work_order: String, settings: &TitleSettings) -> JobRequest {
    let name: String = owner_label(&order.attempt.job, &owner);
    JobRequest {
        unit_key: order.attempt.unit.clone(),
        attempt: u32::try_from(order.attempt.number).unwrap_or(1),
        work_order,
        class: order.class.clone(),
        resources: settings.resources,
        deadlines: order.deadlines,
        store: order.source.store.clone(),
        labels: BTreeMap::from([(LABEL_TITLE.to_owned(), name)]),
        owner,
    }
}

/// The title's name where it fits a label, else the Job's, which always does.
fn owner_label(job: &str, owner: &Owner) -> String {
    let name = &owner.reference.name;
    if name.len() <= MAX_LABEL { name.clone() } else { job.to_owned() }
}

/// Upper bound of what an order may cost.
pub fn estimate(order: &Order, settings: &TitleSettings, config: &JobsConfig) -> Money {
    let nobody = Owner {
        reference: k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference::default(),
        namespace: String::new(),
        generation: 0,
    };
    jobs::estimate(&request(order, nobody, String::new(), settings), config)
}
