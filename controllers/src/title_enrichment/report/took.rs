//! What the work took: for each step and for each attempt. No I/O.

use std::fmt::{self, Write as _};

use showrunner_contracts::{
    manifest::{AxisSummary, Origin, PublishedStep, StepSummary, Withheld},
    result::{Outcome, RunRecord, StepOutcome},
};

use super::{Page, clock, seconds, text};

/// What a cell says of processor time that was used together with other steps and not told apart.
const SHARED: &str = "shared";

/// A step as it was done: the attempt that did it, and what that says of it.
struct Done<'a> {
    step: &'a PublishedStep,
    /// Index of the attempt; none where no attempt that is still known did it.
    told: Option<(usize, &'a StepOutcome)>,
}

pub(super) fn steps(page: &Page<'_>, out: &mut String) -> fmt::Result {
    let done: Vec<Done<'_>> = page.manifest.steps.iter().map(|step| Done { step, told: told(page, step) }).collect();
    out.push_str("<section id=\"steps\"><h2>Steps</h2><table class=\"cards\"><thead><tr><th>Step</th><th>Result</th><th class=\"n\">Wall time</th><th class=\"n\">CPU time</th><th>Models</th></tr></thead><tbody>");
    // Shares are of what is known of all of it.
    let all = page.run.attempts.iter().fold(0, |all: u64, attempt| all.saturating_add(attempt.run.cpu_ms));
    for done in &done {
        let result = match (&done.step.summary, done.step.skipped) {
            (Some(summary), _) if done.step.origin == Origin::Human => format!("{}; by a person", figures(summary)),
            (Some(summary), _) if done.step.origin == Origin::Mixed => format!("{}; some by a person", figures(summary)),
            (Some(summary), _) => figures(summary),
            (None, Some(reason)) => format!("skipped: {reason}"),
            (None, None) => done
                .step
                .withheld
                .map_or("skipped", |word| match word {
                    Withheld::Held => "waits for a person",
                    Withheld::Rejected => "refused by a person",
                })
                .to_owned(),
        };
        let models: Vec<String> = done.step.models.iter().map(|model| format!("{} ({})", model.name, model.licence)).collect();
        let wall = done.told.map_or_else(|| "found ready".to_owned(), |(_, outcome)| seconds(outcome.wall_ms));
        let cpu = match done.told {
            None => Cpu::Nothing,
            Some((_, outcome)) => outcome.cpu_ms.map_or(Cpu::Shared, Cpu::Told),
        };
        row(out, &done.step.step.to_string(), &result, &wall, &cpu, all, &models.join(", "))?;
    }
    for (visual, what) in [(true, "decode of the picture"), (false, "decode of the sound")] {
        decode(page, &done, visual, what, all, out)?;
    }
    rest(page, all, out)?;
    out.push_str("</tbody></table>");
    out.push_str("<p class=\"note\">Steps that share a decode run side by side: their wall times overlap, and each includes the decode. CPU time is a step's own; the decode that it shares has a line of its own.</p></section>");
    Ok(())
}

/// A cell of processor time.
enum Cpu {
    Told(u64),
    /// Used and not told apart from others'.
    Shared,
    /// None was used.
    Nothing,
}

fn row(out: &mut String, name: &str, result: &str, wall: &str, cpu: &Cpu, all: u64, models: &str) -> fmt::Result {
    write!(
        out,
        "<tr><th scope=\"row\">{}</th><td data-l=\"Result\">{}</td><td class=\"n\" data-l=\"Wall time\">{}</td><td class=\"n\" data-l=\"CPU time\">",
        text(name),
        text(result),
        text(wall),
    )?;
    match cpu {
        Cpu::Nothing => out.push('–'),
        Cpu::Shared => out.push_str(SHARED),
        Cpu::Told(millis) => {
            out.push_str(&seconds(*millis));
            if let Some(share) = millis.saturating_mul(1000).checked_div(all).filter(|share| *share <= 1000) {
                let (whole, tenths) = (share / 10, share % 10);
                write!(
                    out,
                    " <svg class=\"share\" viewBox=\"0 0 100 8\" role=\"img\" aria-label=\"{whole}.{tenths} percent of all\"><rect class=\"of\" width=\"100\" height=\"8\"/><rect class=\"is\" width=\"{whole}.{tenths}\" height=\"8\"/></svg>"
                )?;
            }
        }
    }
    write!(out, "</td><td data-l=\"Models\">{}</td></tr>", text(models))
}

/// The line of a decode that steps shared.
fn decode(page: &Page<'_>, done: &[Done<'_>], visual: bool, what: &str, all: u64, out: &mut String) -> fmt::Result {
    let sharing =
        done.iter().filter(|done| (if visual { done.step.step.sees() } else { done.step.step.hears() }) && done.told.is_some());
    let mut attempts: Vec<usize> = sharing.clone().filter_map(|done| Some(done.told?.0)).collect();
    attempts.dedup();
    let cpu_of = |run: &RunRecord| if visual { run.picture_decode_cpu_ms } else { run.sound_decode_cpu_ms };
    let known = attempts.iter().try_fold(0, |known: u64, nth| Some(known.saturating_add(cpu_of(&page.run.attempts[*nth].run)?)));
    let Some(cpu) = known.filter(|_| !attempts.is_empty()) else { return Ok(()) };
    let names: Vec<String> = sharing.map(|done| done.step.step.to_string()).collect();
    let shared = if names.len() > 1 { "shared by" } else { "for" };
    row(out, what, &format!("{shared} {}", names.join(" and ")), "", &Cpu::Told(cpu), all, "")
}

/// The line of what no step and no decode used: only where all of them are told.
fn rest(page: &Page<'_>, all: u64, out: &mut String) -> fmt::Result {
    let mut told = 0u64;
    for attempt in &page.run.attempts {
        let run = &attempt.run;
        for step in attempt.steps.iter().filter(|step| step.wall_ms > 0) {
            let Some(cpu) = step.cpu_ms else { return Ok(()) };
            told = told.saturating_add(cpu);
        }
        let decodes = [run.picture_decode_cpu_ms, run.sound_decode_cpu_ms];
        told = decodes.into_iter().flatten().fold(told, u64::saturating_add);
    }
    match all.checked_sub(told).filter(|rest| *rest > 0) {
        Some(rest) => row(out, "everything else", "start, download, digests, headers", "", &Cpu::Told(rest), all, ""),
        None => Ok(()),
    }
}

/// What is known of how a step was done: by the last attempt that did it, not by one that found it ready.
fn told<'a>(page: &Page<'a>, step: &PublishedStep) -> Option<(usize, &'a StepOutcome)> {
    let of = |(nth, outcome): (usize, &'a StepOutcome)| {
        (outcome.key == step.key && outcome.wall_ms > 0 && !matches!(outcome.outcome, Outcome::Failed(_)))
            .then_some((nth, outcome))
    };
    let attempts = page.run.attempts.iter().enumerate().rev();
    attempts.flat_map(|(nth, attempt)| attempt.steps.iter().map(move |outcome| (nth, outcome))).find_map(of)
}

fn figures(summary: &StepSummary) -> String {
    match summary {
        StepSummary::Shots { shots, cuts, dissolves, fades, inferred } => {
            format!(
                "{}: {}, {}, {}{}",
                many(*shots, "shot"),
                many(*cuts, "cut"),
                many(*dissolves, "dissolve"),
                many(*fades, "fade"),
                if *inferred == 0 { String::new() } else { format!("; {} shown to the model", many(*inferred, "frame")) }
            )
        }
        StepSummary::Thumbnails { candidates, selected, sheets, left_out, .. } => {
            let nudity = left_out.map_or_else(|| "not judged".to_owned(), |count| format!("{count} left out"));
            format!(
                "{} of {}, {}, nudity: {nudity}",
                many(*selected, "thumbnail"),
                many(*candidates, "candidate"),
                many(*sheets, "trick-play sheet")
            )
        }
        StepSummary::Subtitles { language, cues, words, speech_ms, dropped, word_errors, .. } => {
            let wrong = word_errors.as_ref().map_or_else(String::new, |told| format!(", {told}"));
            format!(
                "{}, {} in {language}, {} of speech, {} dropped{wrong}",
                many(*cues, "cue"),
                many(*words, "word"),
                clock(*speech_ms),
                many(*dropped, "segment")
            )
        }
        StepSummary::Chapters { chapters, at_rest, heard } => {
            let by = if *heard { "picture and sound" } else { "picture alone" };
            format!("{} by {by}, {at_rest} of them at rest", many(*chapters, "chapter"))
        }
        StepSummary::Moderation { axes } => {
            let told = |axis: &AxisSummary| match axis.level {
                Some(level) => format!("{} {level} of 5 in {}", axis.axis, many(axis.moments, "moment")),
                None => format!("{} not judged", axis.axis),
            };
            axes.iter().map(told).collect::<Vec<_>>().join(", ")
        }
        StepSummary::Fingerprint { pictures, blank, sound_seconds, .. } => {
            let seen = pictures.map(|pictures| format!("{}, {blank} blank", many(pictures, "picture")));
            let heard = sound_seconds.map(|seconds| format!("{} of sound", clock(u64::from(seconds) * 1000)));
            seen.into_iter().chain(heard).collect::<Vec<_>>().join(", ")
        }
        StepSummary::Duplicates { searched, matches, .. } => {
            format!("{matches} of {} that entered before", many(*searched, "title"))
        }
    }
}

fn many(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

pub(super) fn attempts(page: &Page<'_>, out: &mut String) -> fmt::Result {
    if page.run.attempts.is_empty() {
        return Ok(());
    }
    out.push_str("<section id=\"attempts\"><h2>Attempts</h2><table class=\"cards\"><thead><tr><th>Job</th><th>Steps</th><th class=\"n\">Wall time</th><th class=\"n\">CPU time</th><th class=\"n\">Read</th><th class=\"n\">Decodes</th><th>Sandbox</th><th class=\"n\">Cost at most</th></tr></thead><tbody>");
    for attempt in &page.run.attempts {
        let steps: Vec<String> = attempt
            .steps
            .iter()
            .map(|step| match &step.outcome {
                Outcome::Done { .. } if step.wall_ms == 0 => format!("{} found ready", step.step),
                Outcome::Done { .. } => step.step.to_string(),
                Outcome::Skipped(reason) => format!("{} skipped ({reason})", step.step),
                Outcome::Failed(failure) => format!("{} failed ({})", step.step, failure.reason),
            })
            .collect();
        write!(
            out,
            "<tr><th scope=\"row\">{}</th><td data-l=\"Steps\">{}</td><td class=\"n\" data-l=\"Wall time\">{}</td><td class=\"n\" data-l=\"CPU time\">{}</td><td class=\"n\" data-l=\"Read\">{:.1} MB</td><td class=\"n\" data-l=\"Decodes\">{} picture, {} sound</td><td data-l=\"Sandbox\">{}</td><td class=\"n\" data-l=\"Cost at most\">{} {}</td></tr>",
            text(&attempt.job),
            text(&steps.join(", ")),
            seconds(attempt.run.wall_ms),
            seconds(attempt.run.cpu_ms),
            attempt.run.bytes_read as f64 / 1e6,
            attempt.run.picture_decodes,
            attempt.run.sound_decodes,
            text(&attempt.run.sandbox),
            text(&attempt.cost_estimate),
            text(page.currency),
        )?;
    }
    out.push_str("</tbody></table></section>");
    Ok(())
}
