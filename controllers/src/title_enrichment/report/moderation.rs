//! The part of the page that shows how strong a title is: a row an axis, and under it the moments that show it. No I/O.
//!
//! Words are shown by their first letter: the page is handed round, and `moderation.json` has them whole.

use std::fmt::{self, Write as _};

use showrunner_contracts::documents::{AxisFinding, Finding, ModerationDocument, Moment};
use showrunner_contracts::time::TimeBase;

use super::{Documents, Pictures, clock, millis, parts, text};

/// Most moments of an axis that are shown.
const MAX_MOMENTS: usize = 24;

pub(super) fn section(
    document: &ModerationDocument,
    documents: &Documents,
    pictures: &Pictures,
    out: &mut String,
) -> fmt::Result {
    write!(out, "<section id=\"moderation\"><h2>Moderation <small>advice, not a rating</small></h2>")?;
    for found in &document.axes {
        axis(found, document.time_base, documents, pictures, out)?;
    }
    write!(
        out,
        "<p class=\"note\">0 (none) to 5 (very strong), by tables that nobody has calibrated; {} pictures a second were looked at.</p></section>",
        document.sample_fps
    )
}

fn axis(found: &AxisFinding, base: TimeBase, documents: &Documents, pictures: &Pictures, out: &mut String) -> fmt::Result {
    let name = found.axis.to_string();
    match &found.finding {
        Finding::Unsupported(why) => write!(out, "<h3>{name} <small>not judged: {why}</small></h3>"),
        Finding::Judged { level, table, moments, moments_in_all } => {
            write!(out, "<h3>{name} <b class=\"n level-{level}\">{level}</b> <small>{}</small></h3>", text(table))?;
            out.push_str("<div class=\"grid\">");
            for (nth, moment) in moments.iter().take(MAX_MOMENTS).enumerate() {
                write!(out, "<figure id=\"{name}-{}\">", nth + 1)?;
                show(moment, base, documents, pictures, out)?;
                out.push_str("</figure>");
            }
            out.push_str("</div>");
            match (*moments_in_all as usize).saturating_sub(moments.len().min(MAX_MOMENTS)) {
                0 => Ok(()),
                left => write!(out, "<p class=\"note\">and {left} more, in moderation.json</p>"),
            }
        }
    }
}

fn show(moment: &Moment, base: TimeBase, documents: &Documents, pictures: &Pictures, out: &mut String) -> fmt::Result {
    let at = millis(moment.peak_at.unwrap_or(moment.span.start), base);
    // A picture of a word says nothing.
    if moment.word.is_none() {
        parts::picture_at(at, documents, pictures, out)?;
    }
    write!(out, "<figcaption><b class=\"n\">{}</b><span class=\"n\">{}</span>", moment.strength, clock(at))?;
    if let Some(probability) = moment.probability {
        write!(out, "<span>probability <b class=\"n\">{probability:.3}</b></span>")?;
    }
    if let Some(word) = &moment.word {
        write!(out, "<span>{}</span>", text(&hidden(word)))?;
    }
    out.push_str("</figcaption>");
    Ok(())
}

/// The first letter of a word, and that there are more.
pub(super) fn hidden(word: &str) -> String {
    word.chars().enumerate().map(|(nth, letter)| if nth == 0 || letter == ' ' { letter } else { '·' }).collect()
}

#[cfg(test)]
mod tests {
    use super::hidden;

    #[test]
    fn words_are_shown_by_their_first_letter() {
        assert_eq!([hidden("Damn"), hidden("f u c k"), hidden("")], ["D···", "f · · ·", ""]);
    }
}
