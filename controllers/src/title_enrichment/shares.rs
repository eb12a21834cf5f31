//! For which models an attempt worked, by the processor time of its steps. No I/O.

use showrunner_contracts::result::{StepOutcome, UnitResult};
use showrunner_crds::title_enrichment::TitleEnrichmentStatus;

/// Longest text in the status, bytes; the six steps that share a decode have at most 90.
const MAX_TEXT: usize = 96;

/// What each step of an attempt took of its processor time, in thousandths, as `shots=388 subtitles=612`. A decode counts for the steps that
/// share it in equal parts, and what no step claims (start, download, headers) for all of them by what they took. Steps
/// that an earlier attempt had done took nothing. Equal parts where there is no report, or none that tells them apart.
pub(super) fn of(report: Option<&UnitResult>, steps: &[String]) -> Option<String> {
    let told = report.map(times).filter(|times| times.iter().map(|(_, time)| time).sum::<u64>() > 0);
    let times = told.unwrap_or_else(|| steps.iter().map(|step| (step.clone(), 1)).collect());
    let all = times.iter().map(|(_, time)| time).sum::<u64>().max(1);
    let share = |time: u64| u64::try_from(u128::from(time) * 1000 / u128::from(all)).unwrap_or_default();
    let shares = times.into_iter().filter(|(_, time)| *time > 0).map(|(step, time)| format!("{step}={}", share(time).max(1)));
    let text = shares.collect::<Vec<_>>().join(" ");
    Some(text).filter(|text| !text.is_empty() && text.len() <= MAX_TEXT)
}

/// Processor time of each step with its part of the decodes, milliseconds.
fn times(report: &UnitResult) -> Vec<(String, u64)> {
    let did: Vec<&StepOutcome> = report.steps.iter().filter(|step| step.wall_ms > 0).collect();
    let part = |time: Option<u64>, sharing: usize| time.unwrap_or_default().checked_div(sharing as u64).unwrap_or_default();
    let seeing = part(report.run.picture_decode_cpu_ms, did.iter().filter(|step| step.step.sees()).count());
    let hearing = part(report.run.sound_decode_cpu_ms, did.iter().filter(|step| step.step.hears()).count());
    let time = |step: &StepOutcome| {
        let decodes = [(step.step.sees(), seeing), (step.step.hears(), hearing)];
        let taken = decodes.into_iter().filter(|(takes, _)| *takes).map(|(_, part)| part);
        Some(taken.fold(step.cpu_ms?, u64::saturating_add))
    };
    // Where one of them does not say what it took, nobody's part is known.
    let times: Option<Vec<_>> = did.iter().map(|step| Some((step.step.to_string(), time(step)?))).collect();
    times.unwrap_or_default()
}

/// For which models a Job of the title worked, each with its weight: the model of the step, or the step where it has none.
pub(super) fn parts(status: &TitleEnrichmentStatus, job: &str) -> Vec<(String, u64)> {
    let model = |step: &str| {
        let models = status.steps.iter().find(|known| known.name == step).map(|known| known.models.as_slice());
        let name = models.and_then(|models| models.first()).and_then(|model| model.split('@').next());
        name.map_or_else(|| step.to_owned(), ToOwned::to_owned)
    };
    if let Some(past) = status.history.iter().rev().find(|past| past.job == job) {
        let shares = past.shares.iter().flat_map(|shares| shares.split(' ')).filter_map(|share| share.split_once('='));
        return shares.filter_map(|(step, share)| Some((model(step), share.parse().ok()?))).collect();
    }
    let attempt = status.attempt.iter().filter(|attempt| attempt.job == job);
    attempt.flat_map(|attempt| &attempt.steps).map(|step| (model(step), 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use showrunner_contracts::Digest;

    fn report(steps: &[(&str, u64, Option<u64>)], picture: Option<u64>, sound: Option<u64>) -> UnitResult {
        let key = Digest::of(b"key");
        let steps: Vec<_> = steps
            .iter()
            .map(|(step, wall, cpu)| json!({ "step": step, "key": key, "outcome": { "done": { "result": key } }, "wallMs": wall, "cpuMs": cpu }))
            .collect();
        let run = json!({
            "worker": "1", "wallMs": 1, "cpuMs": 1, "bytesRead": 0, "bytesWritten": 0, "pictureDecodes": 1, "soundDecodes": 1,
            "pictureDecodeCpuMs": picture, "soundDecodeCpuMs": sound, "sandbox": "none",
        });
        serde_json::from_value(json!({
            "schema": "showrunner.dev/unit-result/v1", "unitKey": key, "attempt": 1, "media": null, "steps": steps, "run": run,
        }))
        .unwrap()
    }

    #[test]
    fn a_decode_counts_for_those_who_share_it() {
        let report =
            report(&[("shots", 9, Some(100)), ("thumbnails", 9, Some(300)), ("subtitles", 9, Some(500))], Some(80), Some(20));
        assert_eq!(of(Some(&report), &[]).unwrap(), "shots=140 thumbnails=340 subtitles=520");
    }

    #[test]
    fn what_an_earlier_attempt_had_done_took_nothing() {
        let report = report(&[("shots", 0, None), ("subtitles", 9, Some(500))], None, None);
        assert_eq!(of(Some(&report), &[]).unwrap(), "subtitles=1000");
    }

    #[test]
    fn without_a_report_that_tells_them_apart_all_have_equal_parts() {
        let steps = ["shots".to_owned(), "thumbnails".to_owned()];
        assert_eq!(of(None, &steps).unwrap(), "shots=500 thumbnails=500");
        let silent = report(&[("shots", 9, Some(100)), ("thumbnails", 9, None)], None, None);
        assert_eq!(of(Some(&silent), &steps).unwrap(), "shots=500 thumbnails=500");
    }
}
