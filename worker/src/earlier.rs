//! What earlier attempts left for the steps of an order: read, and held against the digests that the order states.
//! Reads through the store.

use crate::{
    failure::internal,
    pipeline::Given,
    steps::{moderation::Spoken, shots::FILE as SHOTS_FILE, subtitles::FILE as SUBTITLES_FILE},
    store::Store,
};
use showrunner_contracts::{
    Digest, Document, MAX_DOCUMENT_BYTES,
    result::Failure,
    step::Step,
    work_order::{StepOrder, WorkOrder},
};

/// What the steps that are left to do here read of others.
pub fn given(order: &WorkOrder, store: &Store, left: &[StepOrder]) -> Result<Given, Failure> {
    let is_read = |step: Step| left.iter().any(|order| order.params.needs().contains(&step));
    let mut given = Given::default();
    if is_read(Step::Shots) {
        given.shots = document(order, store, Step::Shots, SHOTS_FILE)?;
    }
    if is_read(Step::Subtitles) {
        let cues = document(order, store, Step::Subtitles, SUBTITLES_FILE)?.map(Spoken::Cues);
        given.spoken = cues.or_else(|| order.skipped.get(&Step::Subtitles).map(|reason| Spoken::Nothing(*reason)));
    }
    Ok(given)
}

/// A document, where the order gives one.
fn document<D: Document>(order: &WorkOrder, store: &Store, step: Step, name: &str) -> Result<Option<D>, Failure> {
    let Some(bytes) = bytes(order, store, step, name, MAX_DOCUMENT_BYTES)? else { return Ok(None) };
    D::from_bytes(&bytes).map(Some).map_err(|error| unusable(step, name, &error.to_string()))
}

/// A file of at most `limit` bytes, where the order gives one.
pub fn bytes(order: &WorkOrder, store: &Store, step: Step, name: &str, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
    let Some(given) = order.given.iter().find(|given| given.step == step && given.name == name) else {
        return Ok(None);
    };
    let read = store.get(&format!("{name} of an earlier attempt"), &given.url, limit)?;
    let bytes = read.ok_or_else(|| unusable(step, name, "it is no longer in the store"))?;
    if Digest::of(&bytes) != given.sha256 {
        return Err(unusable(step, name, "its digest is another"));
    }
    Ok(Some(bytes))
}

/// What an earlier attempt left is of no use.
pub fn unusable(step: Step, name: &str, detail: &str) -> Failure {
    internal(format_args!(
        "failed to read {name} of an earlier attempt: {detail}; put the file back; or delete the step's result in results/, disable the step {step}, and enable it again"
    ))
}
