//! The part of the page that shows which titles share something with this one, and where in both. No I/O.

use std::fmt::{self, Write as _};

use showrunner_contracts::{
    documents::{DuplicatesDocument, MAX_MATCHES, MAX_SEGMENTS, Seconds, Sense, TitleMatch},
    manifest::Relation,
};

use super::{clock, text};

/// Width that the longer of two titles is drawn over; it is shown as wide as the page is.
const WIDTH: f64 = 1000.0;
/// Height of a title's bar, and of what joins the two.
const BAR: u32 = 14;
const BETWEEN: u32 = 44;
/// Narrowest end of a part.
const LEAST: f64 = 1.0;
/// Longest title that is drawn, seconds: what is beyond lies at its end.
const LONGEST: f64 = 1e6;

pub(super) fn section(document: &DuplicatesDocument, out: &mut String) -> fmt::Result {
    write!(
        out,
        "<section id=\"duplicates\"><h2>Duplicates <small>{} of {} titles that entered before</small></h2>",
        document.matches.len(),
        document.position
    )?;
    if document.matches.is_empty() {
        out.push_str("<p class=\"note\">It shares nothing with any of them.</p></section>");
        return Ok(());
    }
    for found in document.matches.iter().take(MAX_MATCHES) {
        matched(document.seconds, found, out)?;
    }
    out.push_str(
        "<p class=\"legend\"><span><i class=\"shot\"></i>by picture</span><span><i class=\"cue\"></i>by sound</span></p>\
         <p class=\"note\">Above this title, below the other one, on one scale; what joins them is in both.</p></section>",
    );
    Ok(())
}

fn matched(seconds: f64, found: &TitleMatch, out: &mut String) -> fmt::Result {
    write!(out, "<figure class=\"match\"><h3>{} <small>{}</small></h3>", text(&found.title.to_string()), words(found.relation))?;
    draw(seconds, found, out)?;
    let percent = |share: f64| (share.clamp(0.0, 1.0) * 100.0).round();
    write!(
        out,
        "<figcaption><span><b class=\"n\">{} %</b> of this</span><span><b class=\"n\">{} %</b> of the other</span>",
        percent(found.of_this),
        percent(found.of_other),
    )?;
    // Of parts in another order, one line through all of them says nothing.
    if matches!(found.relation, Relation::Exact | Relation::ReEncode | Relation::Dub) {
        let sign = if found.offset < 0.0 { "−" } else { "" };
        write!(
            out,
            "<span>begins there at <b class=\"n\">{sign}{}</b></span><span>speed <b class=\"n\">{:.3}</b></span>",
            moment(found.offset.abs()),
            found.speed.clamp(0.0, 99.0),
        )?;
    }
    out.push_str("</figcaption></figure>");
    Ok(())
}

/// Two bars, and what joins them.
fn draw(seconds: f64, found: &TitleMatch, out: &mut String) -> fmt::Result {
    let longer = seconds.max(found.seconds).clamp(1.0, LONGEST);
    let x = |at: f64| at.clamp(0.0, longer) * WIDTH / longer;
    let (below, height) = (BAR + BETWEEN, 2 * BAR + BETWEEN);
    write!(
        out,
        "<svg class=\"both\" viewBox=\"0 0 {WIDTH} {height}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"parts that both titles have\">\
         <rect class=\"of\" width=\"{:.2}\" height=\"{BAR}\"/><rect class=\"of\" y=\"{below}\" width=\"{:.2}\" height=\"{BAR}\"/>",
        x(seconds),
        x(found.seconds)
    )?;
    for segment in found.segments.iter().take(MAX_SEGMENTS) {
        let class = match segment.by {
            Sense::Picture => "shot",
            Sense::Sound => "cue",
        };
        let ends = |part: &Seconds| (x(part.start), x(part.end).max(x(part.start) + LEAST));
        let ((from, to), (there, until)) = (ends(&segment.this), ends(&segment.other));
        write!(
            out,
            "<path class=\"{class}\" d=\"M{from:.1} 0H{to:.1}V{BAR}L{until:.1} {below}V{height}H{there:.1}V{below}L{from:.1} {BAR}Z\"><title>{} to {}, there {} to {}</title></path>",
            moment(segment.this.start),
            moment(segment.this.end),
            moment(segment.other.start),
            moment(segment.other.end),
        )?;
    }
    out.push_str("</svg>");
    Ok(())
}

fn moment(seconds: f64) -> String {
    clock((seconds.clamp(0.0, LONGEST) * 1000.0) as u64)
}

const fn words(relation: Relation) -> &'static str {
    match relation {
        Relation::Exact => "the same where both agree",
        Relation::ReEncode => "the same title, coded again",
        Relation::Dub => "the same picture with another sound",
        Relation::AlternateCut => "another cut",
        Relation::AudioOnlyReuse => "the same sound under other pictures",
        Relation::TrailerOf => "this is a trailer or an excerpt of it",
        Relation::HasTrailer => "that is a trailer or an excerpt of this",
        Relation::SharedIntro => "the same intro",
        Relation::SharedIdent => "the same ident",
        Relation::SharedCredits => "the same credits",
        Relation::SharedSegment => "a part in common",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use showrunner_contracts::{Document as _, catalogue::TitleName, documents::MatchedSegment};

    fn document(name: &str, seconds: f64) -> DuplicatesDocument {
        let segment = |by, start: f64| MatchedSegment {
            by,
            this: Seconds { start, end: start + 10.0 },
            other: Seconds { start: start + 5.0, end: start + 15.0 },
        };
        DuplicatesDocument {
            schema: DuplicatesDocument::SCHEMA.to_owned(),
            algorithm: "votes".to_owned(),
            file_version: 1,
            position: 7,
            seconds,
            matches: vec![TitleMatch {
                title: TitleName { namespace: "studio".to_owned(), name: name.to_owned() },
                position: 3,
                seconds: 100.0,
                relation: Relation::Dub,
                offset: -5.0,
                speed: 1.0,
                of_this: 0.5,
                of_other: 0.25,
                weight: 9.0,
                segments: vec![segment(Sense::Picture, 0.0), segment(Sense::Sound, 20.0)],
            }],
        }
    }

    #[test]
    fn both_titles_are_drawn_on_one_scale_with_what_joins_them() {
        let mut out = String::new();
        section(&document("tt-1", 50.0), &mut out).unwrap();
        assert!(out.contains("M0.0 0H100.0V14L150.0 58V72H50.0V58L0.0 14Z"), "{out}");
        assert!(out.contains("class=\"cue\" d=\"M200.0 0H300.0"), "{out}");
        assert!(out.contains("<b class=\"n\">50 %</b> of this") && out.contains("−0:05.0"), "{out}");
        assert!(out.contains("1 of 7 titles"), "{out}");
    }

    #[test]
    fn nothing_of_a_document_gets_out_of_its_place() {
        let mut hostile = document("\"><script>", f64::MAX);
        hostile.matches[0].segments[0].this.end = -f64::MAX;
        hostile.matches[0].offset = f64::MIN;
        let mut out = String::new();
        section(&hostile, &mut out).unwrap();
        assert!(!out.contains("<script") && !out.contains("inf") && !out.contains("NaN"), "{out}");
        assert!(out.len() < 4096, "{}", out.len());
    }
}
