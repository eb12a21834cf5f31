//! One drawing of the whole title in time: its shots with their transitions, the thumbnails, the cues. No I/O.

use std::fmt::{self, Write as _};

use showrunner_contracts::{
    documents::{
        ChaptersDocument, Finding, ModerationDocument, ShotsDocument, SubtitlesDocument, ThumbnailsDocument, Transition,
    },
    time::{Span, TimeBase},
};

use super::{Documents, MAX_ROWS, Page, clock, millis, text};

/// Width that the title's length is drawn over; it is shown as wide as the page is.
const WIDTH: f64 = 1000.0;
/// Height of a row.
const ROW: u32 = 20;
/// Height of a row and the space below it.
const STEP: u32 = 26;
/// Narrowest mark.
const LEAST: f64 = 0.8;
/// Times written below the drawing.
const LABELS: u64 = 4;

/// Where times lie on the drawing.
struct Axis {
    total: u64,
}

impl Axis {
    /// The attributes that place a mark from one time to another in a row; never too narrow to be seen.
    fn mark(&self, row: u32, from: u64, to: u64) -> String {
        let x = |at: u64| at.min(self.total) as f64 * WIDTH / self.total as f64;
        let (from, to) = (x(from), x(to));
        format!("x=\"{from:.2}\" y=\"{}\" width=\"{:.2}\" height=\"{ROW}\"", row * STEP, (to - from).max(LEAST))
    }
}

pub(super) fn draw(page: &Page<'_>, documents: &Documents, out: &mut String) -> fmt::Result {
    let media = &page.manifest.media;
    let shown = documents.shots.as_ref().map(|shots| millis(shots.duration, shots.time_base));
    let axis = Axis { total: shown.unwrap_or_else(|| millis(media.duration, media.time_base)).max(1) };
    let mut rows = Vec::new();
    let mut marks = String::new();
    if let Some(document) = &documents.chapters {
        chapters(&axis, rows.len() as u32, document, &mut marks)?;
        rows.push("chapters");
    }
    if let Some(document) = &documents.shots {
        shots(&axis, rows.len() as u32, document, &mut marks)?;
        rows.push("shots");
    }
    if let Some(document) = &documents.thumbnails {
        thumbnails(&axis, rows.len() as u32, document, &mut marks)?;
        rows.push("thumbnails");
    }
    if let Some(document) = &documents.subtitles {
        subtitles(&axis, rows.len() as u32, document, &mut marks)?;
        rows.push("subtitles");
    }
    if let Some(document) = &documents.moderation {
        moderation(&axis, rows.len() as u32, document, &mut marks)?;
        rows.push("moderation");
    }
    if rows.is_empty() {
        return Ok(());
    }
    out.push_str("<section id=\"timeline\"><h2>Timeline</h2><div class=\"timeline\"><ul class=\"rows\">");
    for row in &rows {
        write!(out, "<li>{row}</li>")?;
    }
    write!(
        out,
        "</ul><div><svg viewBox=\"0 0 {WIDTH} {}\" preserveAspectRatio=\"none\" height=\"{}\" role=\"img\" aria-label=\"{} over time\">{marks}</svg><p class=\"axis\">",
        rows.len() as u32 * STEP,
        rows.len() as u32 * STEP,
        rows.join(", "),
    )?;
    for label in 0..=LABELS {
        write!(out, "<span>{}</span>", clock(axis.total / LABELS * label + axis.total % LABELS * label / LABELS))?;
    }
    out.push_str("</p></div></div>");
    if documents.shots.is_some() {
        out.push_str("<p class=\"legend\"><span><i class=\"shot\"></i>shot</span><span><i class=\"dissolve\"></i>dissolve</span><span><i class=\"fade\"></i>fade</span></p>");
    }
    out.push_str("</section>");
    Ok(())
}

fn chapters(axis: &Axis, row: u32, document: &ChaptersDocument, out: &mut String) -> fmt::Result {
    let base = document.time_base;
    for (index, chapter) in document.chapters.iter().take(MAX_ROWS).enumerate() {
        let (start, end) = (millis(chapter.span.start, base), millis(chapter.span.end, base));
        write!(
            out,
            "<a href=\"#chapter-{n}\"><rect class=\"chapter{}\" {}><title>{}, {}</title></rect></a>",
            if index % 2 == 1 { " odd" } else { "" },
            axis.mark(row, start, end),
            text(&chapter.title),
            clock(start),
            n = index + 1,
        )?;
    }
    Ok(())
}

fn shots(axis: &Axis, row: u32, document: &ShotsDocument, out: &mut String) -> fmt::Result {
    let base = document.time_base;
    let shots = document.shots.iter().take(MAX_ROWS);
    for (index, shot) in shots.clone().enumerate() {
        let (start, end) = (millis(shot.span.start, base), millis(shot.span.end, base));
        write!(
            out,
            "<a href=\"#shot-{n}\"><rect class=\"shot{}\" {}><title>shot {n}, {}</title></rect></a>",
            if index % 2 == 1 { " odd" } else { "" },
            axis.mark(row, start, end),
            clock(start),
            n = index + 1,
        )?;
    }
    for shot in shots {
        match &shot.begins_with {
            Transition::Start | Transition::Cut => {}
            Transition::Dissolve(span) => transition(axis, row, "dissolve", span, base, out)?,
            Transition::Fade(span) => transition(axis, row, "fade", span, base, out)?,
        }
    }
    match &document.ends_with_fade {
        Some(span) => transition(axis, row, "fade", span, base, out),
        None => Ok(()),
    }
}

fn transition(axis: &Axis, row: u32, kind: &str, span: &Span, base: TimeBase, out: &mut String) -> fmt::Result {
    let (start, end) = (millis(span.start, base), millis(span.end, base));
    let title = format!("{kind}, {} to {}", clock(start), clock(end));
    write!(out, "<rect class=\"{kind}\" {}><title>{title}</title></rect>", axis.mark(row, start, end))
}

fn thumbnails(axis: &Axis, row: u32, document: &ThumbnailsDocument, out: &mut String) -> fmt::Result {
    for (index, pick) in document.picks.iter().take(MAX_ROWS).enumerate() {
        let at = millis(pick.at, document.time_base);
        // A mark of a thumbnail is a moment: it is drawn as wide as can be hit with a pointer.
        let mark = axis.mark(row, at.saturating_sub(axis.total / 500), at.saturating_add(axis.total / 500));
        let n = index + 1;
        write!(
            out,
            "<a href=\"#thumbnail-{n}\"><rect class=\"pick\" {mark}><title>thumbnail {n}, {}, {}</title></rect></a>",
            text(&pick.category),
            clock(at),
        )?;
    }
    Ok(())
}

/// Every moment of every axis in one row, the stronger the darker.
fn moderation(axis: &Axis, row: u32, document: &ModerationDocument, out: &mut String) -> fmt::Result {
    for found in &document.axes {
        let Finding::Judged { moments, .. } = &found.finding else { continue };
        // The strongest are first; the last drawn is on top.
        for (nth, moment) in moments.iter().enumerate().rev() {
            let (start, end) = (millis(moment.span.start, document.time_base), millis(moment.span.end, document.time_base));
            write!(
                out,
                "<a href=\"#{}-{}\"><rect class=\"moment s{}\" {}><title>{} {}, {}</title></rect></a>",
                found.axis,
                nth + 1,
                moment.strength.min(5),
                axis.mark(row, start, end),
                found.axis,
                moment.strength,
                clock(start),
            )?;
        }
    }
    Ok(())
}

fn subtitles(axis: &Axis, row: u32, document: &SubtitlesDocument, out: &mut String) -> fmt::Result {
    for (index, cue) in document.cues.iter().take(MAX_ROWS).enumerate() {
        write!(
            out,
            "<a href=\"#cue-{}\"><rect class=\"cue\" {}><title>{} {}</title></rect></a>",
            index + 1,
            axis.mark(row, cue.start_ms, cue.end_ms),
            clock(cue.start_ms),
            text(&cue.lines.join(" ")),
        )?;
    }
    Ok(())
}
