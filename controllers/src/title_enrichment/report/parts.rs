//! The parts of the page, from top to bottom. No I/O.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use showrunner_contracts::{
    documents::{ShotsDocument, SubtitlesDocument, ThumbnailsDocument, Transition},
    manifest::{StepSummary, TitleManifest},
    result::Outcome,
};

use super::{Page, class_of, clock, millis, sprite, sprite::Tile, text};

/// Most shots and cues that the page shows.
const MAX_ROWS: usize = 2000;
/// Width of a tile on the page, CSS pixels.
const TILE_WIDTH: u32 = 160;

pub(super) fn head(page: &Page<'_>, out: &mut String) -> fmt::Result {
    let media = &page.manifest.media;
    write!(
        out,
        "<header><p class=\"kind\">TitleEnrichment</p><h1>{}</h1><p class=\"sub\">namespace {}</p></header>",
        text(page.name),
        text(page.namespace)
    )?;
    out.push_str("<section><h2>Source</h2><dl class=\"facts\">");
    fact(out, "File", &format!("{} in {}", page.manifest.source.path, page.manifest.source.store))?;
    fact(out, "Size", &format!("{} bytes", page.manifest.source.size_bytes))?;
    fact(out, "Version", &page.manifest.source.version)?;
    fact(out, "Duration", &clock(millis(media.duration, media.time_base)))?;
    fact(out, "Container", &media.container)?;
    if let Some(video) = &media.video {
        let mut words = vec![video.codec.clone(), format!("{}x{}", video.width, video.height)];
        words.extend(video.average_frame_rate.iter().map(|rate| format!("{rate} fps")));
        words.extend(video.bit_depth.map(|bits| format!("{bits} bit")));
        words.extend([&video.primaries, &video.transfer, &video.matrix, &video.range].into_iter().flatten().cloned());
        fact(out, "Picture", &words.join(", "))?;
    }
    if let Some(audio) = &media.audio {
        let mut words = vec![audio.codec.clone(), format!("{} Hz", audio.sample_rate), format!("{} channels", audio.channels)];
        words.extend(audio.layout.clone());
        words.extend(audio.language.iter().map(|language| format!("language {language}")));
        fact(out, "Sound", &words.join(", "))?;
    }
    fact(out, "Manifest", page.digest.as_str())?;
    out.push_str("</dl></section>");
    Ok(())
}

fn fact(out: &mut String, name: &str, value: &str) -> fmt::Result {
    write!(out, "<dt>{}</dt><dd>{}</dd>", text(name), text(value))
}

pub(super) fn steps(page: &Page<'_>, out: &mut String) -> fmt::Result {
    out.push_str("<section><h2>Steps</h2><table><thead><tr><th>Step</th><th>Result</th><th class=\"n\">Wall time</th><th class=\"n\">CPU time</th><th>Models</th></tr></thead><tbody>");
    for step in &page.manifest.steps {
        let outcome = page
            .run
            .attempts
            .iter()
            .rev()
            .flat_map(|attempt| &attempt.steps)
            .find(|told| told.key == step.key && told.wall_ms > 0);
        let result = match (&step.summary, step.skipped) {
            (Some(summary), _) => figures(summary),
            (None, Some(reason)) => format!("skipped: {reason}"),
            (None, None) => "skipped".to_owned(),
        };
        let models: Vec<String> = step.models.iter().map(|model| format!("{} ({})", model.name, model.licence)).collect();
        let wall = outcome.map_or_else(|| "found ready".to_owned(), |outcome| seconds(outcome.wall_ms));
        let cpu = outcome.and_then(|outcome| outcome.cpu_ms).map_or_else(String::new, seconds);
        write!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{wall}</td><td class=\"n\">{cpu}</td><td>{}</td></tr>",
            step.step,
            text(&result),
            text(&models.join(", ")),
        )?;
    }
    out.push_str("</tbody></table></section>");
    Ok(())
}

fn figures(summary: &StepSummary) -> String {
    match summary {
        StepSummary::Shots { shots, cuts, dissolves, fades } => {
            format!("{shots} shots: {cuts} cuts, {dissolves} dissolves, {fades} fades")
        }
        StepSummary::Thumbnails { candidates, selected, sheets } => {
            format!("{selected} thumbnails of {candidates} candidates, {sheets} trick-play sheets")
        }
        StepSummary::Subtitles { language, cues, words, speech_ms, dropped } => {
            format!("{cues} cues, {words} words in {language}, {} of speech, {dropped} segments dropped", clock(*speech_ms))
        }
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

pub(super) fn thumbnails(document: &ThumbnailsDocument, pictures: &BTreeMap<String, String>, out: &mut String) -> fmt::Result {
    out.push_str("<section><h2>Thumbnails</h2><div class=\"grid wide\">");
    for pick in document.picks.iter().take(MAX_ROWS) {
        out.push_str("<figure>");
        match pictures.get(&pick.name) {
            Some(uri) => write!(
                out,
                "<img src=\"{uri}\" width=\"{}\" height=\"{}\" alt=\"{}\">",
                pick.width,
                pick.height,
                text(&pick.name)
            )?,
            None => out.push_str("<div class=\"blank\"></div>"),
        }
        write!(
            out,
            "<figcaption><b>{}</b><span class=\"n\">{:.3}</span><span class=\"n\">{}</span></figcaption></figure>",
            text(&pick.category),
            pick.score,
            clock(millis(pick.at, document.time_base)),
        )?;
    }
    out.push_str("</div>");
    if let Some(relaxed) = &document.relaxed {
        write!(out, "<p class=\"note\">{}</p>", text(relaxed))?;
    }
    out.push_str("</section>");
    Ok(())
}

pub(super) fn shots(
    document: &ShotsDocument,
    tiles: &[Tile],
    pictures: &BTreeMap<String, String>,
    out: &mut String,
) -> fmt::Result {
    let total = millis(document.duration, document.time_base).max(1);
    write!(out, "<section><h2>Shots <small>{}</small></h2><div class=\"strip\">", document.shots.len())?;
    for (index, shot) in document.shots.iter().take(MAX_ROWS).enumerate() {
        let (start, end) = (millis(shot.span.start, document.time_base), millis(shot.span.end, document.time_base));
        let share = end.saturating_sub(start) as f64 * 100.0 / total as f64;
        write!(
            out,
            "<i class=\"{}\" style=\"width:{share:.3}%\" title=\"shot {}, {}\"></i>",
            begins(&shot.begins_with),
            index + 1,
            clock(start)
        )?;
    }
    out.push_str("</div><p class=\"legend\">");
    for kind in ["start", "cut", "dissolve", "fade"] {
        write!(out, "<span><i class=\"{kind}\"></i>{kind}</span>")?;
    }
    out.push_str("</p><div class=\"grid\">");
    for (index, shot) in document.shots.iter().take(MAX_ROWS).enumerate() {
        let (start, end) = (millis(shot.span.start, document.time_base), millis(shot.span.end, document.time_base));
        out.push_str("<figure>");
        tile(sprite::at(tiles, start.midpoint(end)), pictures, out)?;
        write!(
            out,
            "<figcaption><b>{}</b><span>{}</span><span class=\"n\">{}</span><span class=\"n\">{}</span></figcaption></figure>",
            index + 1,
            begins(&shot.begins_with),
            clock(start),
            seconds(end.saturating_sub(start)),
        )?;
    }
    out.push_str("</div>");
    rows_left(document.shots.len(), "shots", out)?;
    out.push_str("</section>");
    Ok(())
}

/// A part of a trick-play sheet: the nearest picture to a shot's middle.
fn tile(tile: Option<&Tile>, pictures: &BTreeMap<String, String>, out: &mut String) -> fmt::Result {
    let shown = tile.filter(|tile| pictures.contains_key(&tile.sheet) && tile.area[2] > 0 && tile.area[3] > 0);
    let Some(Tile { sheet, area: [x, y, width, height], .. }) = shown else {
        out.push_str("<div class=\"blank\"></div>");
        return Ok(());
    };
    let zoom = f64::from(TILE_WIDTH) / f64::from(*width);
    write!(
        out,
        "<div class=\"frame\" style=\"height:{:.0}px\"><div class=\"{}\" style=\"width:{width}px;height:{height}px;background-position:-{x}px -{y}px;transform:scale({zoom:.4})\"></div></div>",
        f64::from(*height) * zoom,
        class_of(sheet),
    )
}

fn begins(transition: &Transition) -> &'static str {
    match transition {
        Transition::Start => "start",
        Transition::Cut => "cut",
        Transition::Dissolve(_) => "dissolve",
        Transition::Fade(_) => "fade",
    }
}

pub(super) fn subtitles(document: &SubtitlesDocument, manifest: &TitleManifest, out: &mut String) -> fmt::Result {
    let total = millis(manifest.media.duration, manifest.media.time_base).max(1);
    let how = if document.language_detected { "detected" } else { "stated" };
    write!(
        out,
        "<section><h2>Subtitles <small>{} ({how}), {} cues</small></h2><div class=\"strip cues\">",
        text(&document.language),
        document.cues.len()
    )?;
    let mut drawn = 0.0f64;
    for cue in document.cues.iter().take(MAX_ROWS) {
        let from = cue.start_ms as f64 * 100.0 / total as f64;
        let width = cue.end_ms.saturating_sub(cue.start_ms) as f64 * 100.0 / total as f64;
        write!(
            out,
            "<i style=\"margin-left:{:.3}%;width:{width:.3}%\" title=\"{}\"></i>",
            (from - drawn).max(0.0),
            text(&cue.lines.join(" "))
        )?;
        drawn = from + width;
    }
    out.push_str("</div><table class=\"cues\"><tbody>");
    for cue in document.cues.iter().take(MAX_ROWS) {
        write!(out, "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td>", clock(cue.start_ms), clock(cue.end_ms))?;
        for (index, line) in cue.lines.iter().enumerate() {
            write!(out, "{}{}", if index > 0 { "<br>" } else { "" }, text(line))?;
        }
        out.push_str("</td></tr>");
    }
    out.push_str("</tbody></table>");
    rows_left(document.cues.len(), "cues", out)?;
    out.push_str("</section>");
    Ok(())
}

fn rows_left(count: usize, what: &str, out: &mut String) -> fmt::Result {
    if count > MAX_ROWS {
        write!(out, "<p class=\"note\">{} more {what} are in the published file.</p>", count - MAX_ROWS)?;
    }
    Ok(())
}

pub(super) fn attempts(page: &Page<'_>, out: &mut String) -> fmt::Result {
    if page.run.attempts.is_empty() {
        return Ok(());
    }
    out.push_str("<section><h2>Attempts</h2><table><thead><tr><th>Job</th><th>Steps</th><th class=\"n\">Wall time</th><th class=\"n\">CPU time</th><th class=\"n\">Read</th><th class=\"n\">Decodes</th><th>Sandbox</th><th class=\"n\">Cost at most</th></tr></thead><tbody>");
    for attempt in &page.run.attempts {
        let steps: Vec<String> = attempt
            .steps
            .iter()
            .map(|step| match &step.outcome {
                Outcome::Done { .. } => step.step.to_string(),
                Outcome::Skipped(reason) => format!("{} skipped ({reason})", step.step),
                Outcome::Failed(failure) => format!("{} failed ({})", step.step, failure.reason),
            })
            .collect();
        write!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{:.1} MB</td><td class=\"n\">{} picture, {} sound</td><td>{}</td><td class=\"n\">{} {}</td></tr>",
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

pub(super) fn files(page: &Page<'_>, out: &mut String) -> fmt::Result {
    out.push_str("<section><h2>Files</h2><table class=\"files\"><thead><tr><th>Name</th><th class=\"n\">Bytes</th><th>blobs/…</th></tr></thead><tbody>");
    for output in page.manifest.steps.iter().flat_map(|step| &step.outputs) {
        write!(
            out,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"hash\">{}</td></tr>",
            text(&output.name),
            output.size_bytes,
            output.sha256.hex()
        )?;
    }
    out.push_str("</tbody></table></section>");
    Ok(())
}
