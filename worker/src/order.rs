//! The work order: read, bounded, and checked before anything is spent on it.
//! Reads one file.

use showrunner_contracts::{
    Document as _, MAX_DOCUMENT_BYTES, ReadError,
    result::{Failure, Reason},
    step::{MAX_PICKS, MAX_SAMPLE_FPS, QUERY, Step, StepParams},
    work_order::{GivenResult, StepOrder, WorkOrder},
};
use showrunner_moderation::MAX_LEVEL;
use std::{fs::File, io::Read as _, path::Path};

/// Threads beyond this bring nothing and cost memory.
const MAX_THREADS: u32 = 64;
/// Trick-play pictures are at least this far apart, milliseconds.
const MIN_SPRITE_INTERVAL_MS: u32 = 500;

/// Reads and checks the order at `path`.
pub fn read(path: &Path) -> Result<WorkOrder, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_DOCUMENT_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| malformed(&format!("failed to read the work order at {}: {error}", path.display())))?;
    let order = WorkOrder::from_bytes(&bytes).map_err(|error| match error {
        ReadError::WrongSchema { .. } => Failure::new(Reason::WorkerVersionMismatch, &error.to_string()),
        _ => malformed(&error.to_string()),
    })?;
    check(&order)?;
    Ok(order)
}

/// Whether this worker can do what the order says, with what it grants.
pub fn check(order: &WorkOrder) -> Result<(), Failure> {
    if order.steps.is_empty() {
        return Err(malformed("the work order has no steps"));
    }
    if !(1..=MAX_THREADS).contains(&order.limits.threads) || order.limits.run_seconds == 0 {
        return Err(malformed(&format!(
            "the work order's limits are out of range: 1 to {MAX_THREADS} threads, 1 second or more"
        )));
    }
    let reads_source = order.steps.iter().any(|ordered| ordered.step.reads_source());
    if reads_source && (order.source.etag.is_empty() || order.source.etag.chars().any(char::is_control)) {
        return Err(malformed("the work order names no ETag for the source"));
    }
    let mut before: Vec<Step> = order.given.iter().map(|given| given.step).chain(order.skipped.keys().copied()).collect();
    for ordered in &order.steps {
        let step = ordered.step;
        if order.steps.iter().filter(|other| other.step == step).count() > 1 {
            return Err(malformed(&format!("the work order names the step {step} twice")));
        }
        if ordered.params.step() != step {
            return Err(malformed(&format!(
                "the work order's parameters of the step {step} belong to {}",
                ordered.params.step()
            )));
        }
        if ordered.algorithm_version != step.algorithm_version() {
            let (wanted, ours) = (ordered.algorithm_version, step.algorithm_version());
            let message = format!(
                "the order wants version {wanted} of the step {step}, this worker does {ours}: use operator and worker of one release"
            );
            return Err(Failure::new(Reason::WorkerVersionMismatch, &message));
        }
        if let Some(missing) = ordered.params.needs().iter().find(|needed| !before.contains(needed)) {
            return Err(malformed(&format!(
                "the step {step} reads {missing}, which the work order neither gives nor does first"
            )));
        }
        check_params(&ordered.params)?;
        check_needs(order, ordered)?;
        if let Some(file) = ordered.params.slots().into_iter().find(|file| !order.grants.files.contains_key(file)) {
            return Err(malformed(&format!("the work order grants no writing of {file}")));
        }
        if !order.grants.commits.contains_key(&step) {
            return Err(malformed(&format!("the work order grants no commit of the step {step}")));
        }
        before.push(step);
    }
    check_tracks(order)?;
    check_addresses(order)
}

fn check_params(params: &StepParams) -> Result<(), Failure> {
    match params {
        StepParams::Thumbnails { select, sprite_interval_ms, exclude_nudity_at_or_above } => {
            if !(1..=MAX_PICKS).contains(&usize::from(*select)) || *sprite_interval_ms < MIN_SPRITE_INTERVAL_MS {
                let message = format!(
                    "thumbnails: select must be 1 to {MAX_PICKS} and the sprite's interval {MIN_SPRITE_INTERVAL_MS} ms or more"
                );
                return Err(malformed(&message));
            }
            // A limit of 0 would leave out what shows nothing, and one above the levels nothing at all.
            if !(1..=MAX_LEVEL).contains(exclude_nudity_at_or_above) {
                return Err(malformed(&format!("thumbnails: the level of nudity that is left out must be 1 to {MAX_LEVEL}")));
            }
        }
        StepParams::Subtitles { max_chars_per_second: 0, .. } => {
            return Err(malformed("subtitles: a reading speed of 0 cannot be kept"));
        }
        StepParams::Moderation { axes, sample_fps } => {
            let in_order = axes.is_sorted_by(|a, b| a < b);
            if axes.is_empty() || !in_order || !(1..=MAX_SAMPLE_FPS).contains(sample_fps) {
                let message = format!(
                    "moderation: axes must be named once each and in order, and 1 to {MAX_SAMPLE_FPS} pictures a second looked at"
                );
                return Err(malformed(&message));
            }
        }
        StepParams::Shots { .. }
        | StepParams::Subtitles { .. }
        | StepParams::Chapters { .. }
        | StepParams::Fingerprint { .. }
        | StepParams::Duplicates {} => {}
    }
    Ok(())
}

/// One sound is decoded for all that listen.
fn check_tracks(order: &WorkOrder) -> Result<(), Failure> {
    let mut tracks = order.steps.iter().filter(|ordered| ordered.step.hears()).map(|ordered| ordered.params.track());
    let first = tracks.next();
    if tracks.all(|track| Some(track) == first) && first != Some(Some(0)) {
        return Ok(());
    }
    Err(malformed("the work order's steps listen to different sound tracks, or to track 0"))
}

/// What a step has instead of the source.
fn check_needs(order: &WorkOrder, ordered: &StepOrder) -> Result<(), Failure> {
    let step = ordered.step;
    if !step.reads_source() && order.media.is_none() {
        return Err(malformed(&format!("the step {step} reads no source, and the work order does not say what is known of it")));
    }
    if step == Step::Duplicates {
        let is_query = |given: &GivenResult| given.step == Step::Fingerprint && given.name == QUERY;
        if order.catalogue.is_none() || !order.given.iter().any(is_query) {
            let message = format!("the step {step} looks a title up: the work order has to name a catalogue and give {QUERY}");
            return Err(malformed(&message));
        }
    }
    Ok(())
}

/// Every address is plain HTTP to some host: never a file, never a name and password in the address.
fn check_addresses(order: &WorkOrder) -> Result<(), Failure> {
    let grants = &order.grants;
    let reads = order.steps.iter().map(|step| &step.result_url).chain(order.given.iter().map(|given| &given.url));
    let writes = grants.files.values().chain(grants.commits.values()).chain([&grants.unit_result, &grants.progress]);
    let reads = reads.chain(&order.catalogue);
    if !reads.chain(writes).chain([&order.source.url]).all(|address| is_address(address)) {
        return Err(malformed("the work order has an address that is not a signed http or https address"));
    }
    Ok(())
}

/// Whether this is an address that a worker dials.
pub fn is_address(address: &str) -> bool {
    let url = reqwest::Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.is_some_and(|url| url.has_host() && url.username().is_empty() && url.password().is_none())
}

/// The order, or something it names, is not as it has to be.
pub fn malformed(message: &str) -> Failure {
    Failure::new(Reason::OrderMalformed, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use strum::IntoEnumIterator as _;

    /// How an address that a worker dials begins.
    const ADDRESS_SCHEMES: [&str; 2] = ["http://", "https://"];

    #[test]
    fn an_order_that_is_accepted_can_be_done_with_what_it_grants() {
        let words = [
            "shots",
            "thumbnails",
            "subtitles",
            "duplicates",
            "file:///etc/passwd",
            "http://u:p@s3.example/",
            "HTTP://s3.example/x",
        ];
        showrunner_fuzz_driver::exercise("work_order", &words, |bytes| {
            let Ok(order) = WorkOrder::from_bytes(bytes) else { return };
            if let Err(refused) = check(&order) {
                assert!(!refused.message.is_empty() && !refused.message.contains("Signature"), "no address in words");
                return;
            }
            assert!((1..=MAX_THREADS).contains(&order.limits.threads) && order.limits.run_seconds > 0);
            assert!((1..=Step::iter().count()).contains(&order.steps.len()));
            for step in &order.steps {
                assert!(step.params.slots().iter().all(|file| order.grants.files.contains_key(file)));
                assert!(order.grants.commits.contains_key(&step.step));
                assert!(step.step.reads_source() || (order.media.is_some() && order.catalogue.is_some()));
            }
            let grants = order.grants.files.values().chain(order.grants.commits.values());
            for address in
                grants.chain(&order.catalogue).chain([&order.source.url, &order.grants.unit_result, &order.grants.progress])
            {
                let address = address.trim().to_lowercase();
                assert!(ADDRESS_SCHEMES.iter().any(|scheme| address.starts_with(scheme)), "{address:?}");
            }
        });
    }
}
