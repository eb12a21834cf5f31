//! Contracts and specs: what is accepted is within its limits and comes back the same. No I/O.

use serde_json::Value;
use showrunner_contracts::{
    Digest, Document, MAX_DOCUMENT_BYTES,
    catalogue::{self, CatalogueView},
    documents::{
        ChaptersDocument, DuplicatesDocument, FingerprintDocument, ShotsDocument, SubtitlesDocument, ThumbnailsDocument,
    },
    manifest::{RunDocument, TitleManifest},
    progress::Progress,
    result::{Failure, StepResult, Termination, UnitResult},
    time::TimeBase,
    work_order::WorkOrder,
};
use showrunner_controllers::title_enrichment::{dereference, layout, validate};
use showrunner_crds::TitleEnrichmentSpec;
use std::{fmt::Debug, time::Duration};

/// Longest time anything may take, by the schema of our kinds.
const LONGEST: Duration = Duration::from_hours(720);
/// Most that writing a document anew may add to each of its bytes: `\u0000` for one byte, and a missing `null` written out.
const GROWTH: usize = 6;
/// Length from which on a head of an entry is none, bytes.
const LONGEST_HEAD: usize = 4 << 10;
/// What optional fields add when they are written out.
const SLACK: usize = 4096;

/// Any document, read as every kind of document.
pub(crate) fn document(input: &[u8]) {
    same_again::<WorkOrder>(input);
    same_again::<StepResult>(input);
    same_again::<UnitResult>(input);
    same_again::<TitleManifest>(input);
    same_again::<RunDocument>(input);
    same_again::<SubtitlesDocument>(input);
    same_again::<ThumbnailsDocument>(input);
    same_again::<ChaptersDocument>(input);
    same_again::<FingerprintDocument>(input);
    same_again::<DuplicatesDocument>(input);
    same_again::<CatalogueView>(input);
    if let Some(shots) = same_again::<ShotsDocument>(input) {
        is_base(shots.time_base);
    }
    if let Some(progress) = same_again::<Progress>(input) {
        assert!(progress.percent <= 100, "{} percent", progress.percent);
    }
}

/// Reads a document; what was read is written and read again as the same, and its bytes are then settled.
fn same_again<D: Document + PartialEq + Debug>(input: &[u8]) -> Option<D> {
    let document = match D::from_bytes(input) {
        Ok(document) => document,
        Err(error) => {
            assert!(error.to_string().len() <= 2048, "an error is no place for a document");
            return None;
        }
    };
    assert!(input.len() <= MAX_DOCUMENT_BYTES);
    let bytes = document.to_bytes();
    assert!(bytes.len() <= input.len() * GROWTH + SLACK, "{} bytes of {}", bytes.len(), input.len());
    if bytes.len() <= MAX_DOCUMENT_BYTES {
        let again = D::from_bytes(&bytes).expect("what we write we read");
        assert_eq!(again, document);
        assert_eq!(again.to_bytes(), bytes, "equal values have equal bytes");
    }
    Some(document)
}

fn is_base(base: TimeBase) {
    assert!(base.num >= 1 && base.den >= 1, "{base:?} is no time base");
}

/// A place of the catalogue: it has the print that it names, or none, and comes back the same.
pub(crate) fn entry(input: &[u8]) {
    let (entry, print) = match catalogue::read(input) {
        Ok(read) => read,
        Err(error) => return assert!(error.to_string().len() <= 2048, "an error is no place for an entry"),
    };
    assert_eq!(entry.print, (!print.is_empty() || entry.print.is_some()).then(|| Digest::of(print)));
    // With what was left out written down, a head may be longer than a head may be.
    if entry.to_bytes().len() < LONGEST_HEAD {
        let again = catalogue::write(&entry, print);
        assert_eq!(catalogue::read(&again).expect("what we write we read"), (entry, print));
    }
}

/// The last words of a pod.
pub(crate) fn termination(input: &[u8]) {
    let Ok(words) = serde_json::from_slice::<Termination>(input) else { return };
    let bytes = serde_json::to_vec(&words).expect("serialises");
    assert_eq!(serde_json::from_slice::<Termination>(&bytes).expect("what we write we read"), words);
    if let Termination::Failure(failure) = words {
        // Whatever is read, what the worker itself would say of it fits.
        let said = Failure::new(failure.reason, &failure.message);
        assert!(said.message.chars().count() <= Failure::MAX_MESSAGE && !said.message.chars().any(char::is_control));
        assert!(serde_json::to_vec(&Termination::Failure(said)).expect("serialises").len() <= 4096);
    }
}

/// A committed step: what is accepted names files of its own slots and folders of attempts only.
pub(crate) fn step_result(input: &[u8]) {
    const ROOT: &str = "root/studio/";
    let Ok(read) = StepResult::from_bytes(input) else { return };
    let Ok(checked) = dereference::check_result(input, read.step, &read.key, ROOT) else { return };
    let result = &checked.result;
    assert_eq!(checked.digest, Digest::of(input));
    let attempt = result.folder.strip_prefix(ROOT).expect("below the root");
    assert!(layout::is_attempt_folder(attempt) && !attempt.contains("..") && !attempt.contains("//"), "{attempt:?}");
    let slots = read.step.slots();
    assert!(result.outputs.len() <= slots.len());
    assert!(result.outputs.iter().all(|output| slots.contains(&output.name)));
    assert!(result.outputs.iter().map(|output| u128::from(output.size_bytes)).sum::<u128>() <= 48 << 20);
    let other = Digest::of(b"another key");
    assert!(dereference::check_result(input, read.step, &other, ROOT).is_err(), "of another key");
}

/// A spec: read tolerantly, and what is wished for is within the limits that the schema states.
pub(crate) fn title_spec(input: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(input) else { return };
    let Ok(spec) = serde_json::from_value::<TitleEnrichmentSpec>(value) else { return };
    let again: TitleEnrichmentSpec = serde_json::from_value(serde_json::to_value(&spec).expect("serialises")).expect("again");
    assert_eq!(again, spec);
    let wish = match validate::wish(&spec) {
        Ok(wish) => wish,
        Err(refusal) => return assert!(!refusal.message.is_empty()),
    };
    for time in [wish.start, wish.run, wish.deadline] {
        assert!(!time.is_zero() && time <= LONGEST, "{time:?}");
    }
    assert!(!wish.steps.is_empty() && wish.steps.len() <= 7);
    let steps: Vec<_> = wish.steps.iter().map(|wished| wished.params.step()).collect();
    for (index, step) in steps.iter().enumerate() {
        let needs = wish.steps[index].params.needs();
        assert!(needs.iter().all(|needed| steps[..index].contains(needed)), "{step} before what it needs");
    }
}
