//! Small things that tests are made of.

use std::collections::BTreeMap;

use showrunner_contracts::{
    Digest, Document as _,
    lock::CatalogueModel,
    manifest::{AxisSummary, MediaSummary, StepSummary, Unsupported, VideoSummary, WordErrors},
    result::{Output, StepResult},
    step::{Axis, Step},
    time::TimeBase,
};
use showrunner_kit::jobs::AcceleratorClass;

use crate::title_enrichment::decide::Committed;

/// What every key in the store begins with.
pub(super) const ROOT: &str = "root/";

pub(super) fn model(name: &str, step: Step, content: &str) -> CatalogueModel {
    CatalogueModel { name: name.into(), digest: Digest::of(content.as_bytes()), licence: "MIT".into(), step }
}

pub(super) fn class(name: &str, resource: Option<&str>) -> AcceleratorClass {
    AcceleratorClass {
        name: name.into(),
        resource: resource.map(str::to_owned),
        count: 1,
        price_per_hour: "0.50".parse().unwrap(),
        ..AcceleratorClass::default()
    }
}

pub(super) fn media() -> MediaSummary {
    MediaSummary {
        container: "mov,mp4".into(),
        duration: 900_000,
        time_base: TimeBase { num: 1, den: 90_000 },
        video: Some(VideoSummary {
            codec: "h264".into(),
            width: 1280,
            height: 720,
            sample_aspect: None,
            rotation: 0,
            field_order: None,
            average_frame_rate: Some("25/1".into()),
            bit_depth: Some(8),
            pixel_format: Some("yuv420p".into()),
            primaries: None,
            transfer: None,
            matrix: None,
            range: None,
            hdr: Vec::new(),
            captions: false,
            timecode: None,
        }),
        audio: None,
        streams: 1,
    }
}

pub(in crate::title_enrichment) fn step_result(step: Step, key: &Digest, folder: &str) -> StepResult {
    let output = |name: &str| Output {
        name: name.to_owned(),
        media_type: "application/json".into(),
        sha256: Digest::of(key.as_str().as_bytes()),
        size_bytes: 71,
        origin: None,
    };
    let slots = step.slots();
    let (kept, others): (Vec<_>, Vec<_>) = slots.iter().partition(|name| step.keeps(name));
    // Of most steps one file says enough; of a print, the print and what is made for others are read, too.
    let names = if step == Step::Fingerprint { &others[..] } else { &others[others.len() - 1..] };
    StepResult {
        schema: StepResult::SCHEMA.into(),
        step,
        key: key.clone(),
        folder: format!("{ROOT}{folder}/"),
        media: media(),
        outputs: names.iter().map(|name| output(name)).collect(),
        kept: kept.iter().map(|name| output(name)).collect(),
        summary: match step {
            Step::Shots => StepSummary::Shots { shots: 3, cuts: 2, dissolves: 0, fades: 0, inferred: 0 },
            Step::Thumbnails => {
                StepSummary::Thumbnails { candidates: 10, selected: 8, sheets: 1, poor: false, left_out: Some(1) }
            }
            Step::Subtitles => StepSummary::Subtitles {
                language: "en".into(),
                cues: 2,
                words: 9,
                speech_ms: 4000,
                dropped: 0,
                heard_instead: None,
                word_errors: Some(WordErrors { per_mille: 30, low: 10, high: 60, method: "word-probabilities/1".into() }),
            },
            Step::Chapters => StepSummary::Chapters { chapters: 2, at_rest: 1, heard: true },
            Step::Duplicates => StepSummary::Duplicates { searched: 7, matches: 0, closest: Vec::new() },
            Step::Fingerprint => StepSummary::Fingerprint { pictures: Some(10), blank: 1, bars: true, sound_seconds: None },
            Step::Moderation => StepSummary::Moderation {
                axes: vec![
                    axis(Axis::Nudity, Ok(0)),
                    axis(Axis::Violence, Err(Unsupported::NoModel)),
                    axis(Axis::Language, Ok(4)),
                ],
            },
        },
        models: Vec::new(),
        settings: BTreeMap::new(),
    }
}

/// What moderation found on one axis.
pub(super) fn axis(axis: Axis, found: Result<u8, Unsupported>) -> AxisSummary {
    let strongest_at_ms = found.ok().filter(|level| *level > 0).map(|_| 62_000);
    AxisSummary {
        axis,
        level: found.ok(),
        unsupported: found.err(),
        strongest_at_ms,
        moments: u32::from(strongest_at_ms.is_some()),
    }
}

/// A checked result, as a decision sees it.
pub(super) fn committed(step: Step, key: &Digest, folder: &str) -> Committed {
    let result = step_result(step, key, folder);
    Committed { digest: Digest::of(&result.to_bytes()), result }
}
