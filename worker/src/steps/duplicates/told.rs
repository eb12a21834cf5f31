//! What was found in the catalogue, as documents and status tell it. No I/O.

use super::{
    super::{pretty, rounded},
    FILE,
};
use crate::commit::{JSON, Made, StepFile};
use showrunner_contracts::{
    Document as _,
    catalogue::TitleName,
    documents::{DuplicatesDocument, MAX_MATCHES, MAX_SEGMENTS, MatchedSegment, Seconds, Sense, TitleMatch},
    manifest::{MAX_CLOSEST, MatchSummary, Relation, StepSummary},
    step::Step,
};
use showrunner_fingerprint::{ALGORITHM, Class, Match, Print, Segment, SharedPart, Side, Span, file};
use std::collections::BTreeMap;

/// What the title shares with the one at a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// Whose place it is.
    pub(super) title: TitleName,
    /// Which.
    pub(super) place: u32,
    /// How long that title is.
    pub(super) seconds: f32,
    /// What they share.
    pub(super) shared: Match,
}

/// The step's file and figures. `position` places were looked through, so many of which hold something that is no entry.
pub(super) fn made(print: &Print, position: u32, found: Vec<Found>, unreadable: usize) -> Made {
    let matches: Vec<TitleMatch> = closest_first(found).iter().take(MAX_MATCHES).map(told).collect();
    let mut settings = BTreeMap::from([("method".to_owned(), format!("{ALGORITHM}/{}", Step::Duplicates.algorithm_version()))]);
    if unreadable > 0 {
        settings.insert("unreadable".to_owned(), unreadable.to_string());
    }
    let summary = StepSummary::Duplicates {
        searched: position,
        matches: matches.len() as u32,
        closest: matches.iter().take(MAX_CLOSEST).map(in_short).collect(),
    };
    let document = DuplicatesDocument {
        schema: DuplicatesDocument::SCHEMA.to_owned(),
        algorithm: ALGORITHM.to_owned(),
        file_version: file::VERSION,
        position,
        seconds: three_decimals(print.seconds()),
        matches,
    };
    let file = StepFile { name: FILE.to_owned(), media_type: JSON, bytes: pretty(&document) };
    Made { files: vec![file], summary, settings }
}

/// Each title once, by the place that says most; then by what they are to each other.
fn closest_first(mut found: Vec<Found>) -> Vec<Found> {
    let weightier = |a: &Found, b: &Found| b.shared.weight.total_cmp(&a.shared.weight).then(a.place.cmp(&b.place));
    found.sort_by(|a, b| name(a).cmp(&name(b)).then(weightier(a, b)));
    found.dedup_by(|later, kept| later.title == kept.title);
    found.sort_by(|a, b| relation(a.shared.class).cmp(&relation(b.shared.class)).then(weightier(a, b)));
    found
}

fn name(one: &Found) -> (&str, &str) {
    (&one.title.namespace, &one.title.name)
}

const fn relation(class: Class) -> Relation {
    match class {
        Class::Exact => Relation::Exact,
        Class::ReEncode => Relation::ReEncode,
        Class::Dub => Relation::Dub,
        Class::AlternateCut => Relation::AlternateCut,
        Class::AudioOnlyReuse => Relation::AudioOnlyReuse,
        Class::TrailerOf => Relation::TrailerOf,
        Class::HasTrailer => Relation::HasTrailer,
        Class::SharedSegment(SharedPart::Intro) => Relation::SharedIntro,
        Class::SharedSegment(SharedPart::Ident) => Relation::SharedIdent,
        Class::SharedSegment(SharedPart::Credits) => Relation::SharedCredits,
        Class::SharedSegment(SharedPart::Other) => Relation::SharedSegment,
    }
}

fn told(one: &Found) -> TitleMatch {
    let found = &one.shared;
    TitleMatch {
        title: one.title.clone(),
        position: one.place,
        seconds: three_decimals(one.seconds),
        relation: relation(found.class),
        offset: three_decimals(found.offset),
        speed: three_decimals(found.speed),
        of_this: three_decimals(found.of_query),
        of_other: three_decimals(found.of_other),
        weight: three_decimals(found.weight),
        segments: weightiest(&found.segments).into_iter().map(segment).collect(),
    }
}

/// In their order those that say most, where there are more than are told.
fn weightiest(segments: &[Segment]) -> Vec<&Segment> {
    let mut chosen: Vec<(usize, &Segment)> = segments.iter().enumerate().collect();
    chosen.sort_by(|(_, a), (_, b)| b.weight.total_cmp(&a.weight));
    chosen.truncate(MAX_SEGMENTS);
    chosen.sort_by_key(|(nth, _)| *nth);
    chosen.into_iter().map(|(_, segment)| segment).collect()
}

fn segment(one: &Segment) -> MatchedSegment {
    let seconds = |span: Span| Seconds { start: three_decimals(span.start), end: three_decimals(span.end) };
    let by = match one.side {
        Side::Picture { .. } => Sense::Picture,
        Side::Sound { .. } => Sense::Sound,
    };
    MatchedSegment { by, this: seconds(one.query), other: seconds(one.other) }
}

fn in_short(one: &TitleMatch) -> MatchSummary {
    let percent = |share: f64| (share * 100.0).round().clamp(0.0, 100.0) as u8;
    MatchSummary {
        title: one.title.to_string(),
        relation: one.relation,
        of_this: percent(one.of_this),
        of_other: percent(one.of_other),
        offset_ms: (one.offset * 1_000.0).round() as i64,
    }
}

fn three_decimals(value: f32) -> f64 {
    // Nothing is nothing: what is a little below zero is not written as -0.
    rounded(f64::from(value)) + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use showrunner_fingerprint::{Look, Seen};

    fn found(name: &str, place: u32, class: Class, weight: f32) -> Found {
        let title = TitleName { namespace: "studio".into(), name: name.into() };
        let span = |start, end| Span { start, end };
        let segment = Segment {
            side: Side::Picture { look: Look::PLAIN },
            query: span(0.0, 20.0),
            other: span(1.000_26, 21.0),
            speed: 1.0,
            offset: 1.0,
            agreed: 1.0,
            error: 0.1,
            weight,
        };
        let found =
            Match { class, offset: -0.000_2, speed: 1.000_44, of_query: 0.996_4, of_other: 1.0, weight, segments: vec![segment] };
        Found { title, place, seconds: 21.5, shared: found }
    }

    fn document(made: &Made) -> DuplicatesDocument {
        DuplicatesDocument::from_bytes(&made.files[0].bytes).expect("it reads")
    }

    #[test]
    fn a_title_is_told_once_by_its_weightiest_place_and_the_closest_first() {
        let all = vec![
            found("intro", 1, Class::SharedSegment(SharedPart::Intro), 90.0),
            found("copy", 2, Class::ReEncode, 5.0),
            found("copy", 3, Class::ReEncode, 7.0),
            found("copy", 4, Class::ReEncode, 7.0),
            found("same", 9, Class::Exact, 3.0),
            found("later", 8, Class::ReEncode, 6.0),
            found("early", 5, Class::ReEncode, 6.0),
        ];
        let made = made(&Print::default(), 11, all, 0);
        let order: Vec<(String, u32)> = document(&made).matches.into_iter().map(|one| (one.title.name, one.position)).collect();
        let wanted = [("same", 9), ("copy", 3), ("early", 5), ("later", 8), ("intro", 1)];
        assert_eq!(order, wanted.map(|(name, place)| (name.to_owned(), place)));
        let StepSummary::Duplicates { searched: 11, matches: 5, closest } = made.summary else { panic!("{:?}", made.summary) };
        assert_eq!(
            closest.iter().map(|one| one.title.as_str()).collect::<Vec<_>>(),
            ["studio/same", "studio/copy", "studio/early", "studio/later"]
        );
        assert_eq!(made.settings.keys().collect::<Vec<_>>(), ["method"]);
    }

    #[test]
    fn numbers_have_three_decimals_and_nothing_is_less_than_zero_by_rounding() {
        let print =
            Print { frames: vec![Seen { hash: showrunner_fingerprint::Hash([0; 32]), quality: 0 }; 20], sound: Vec::new() };
        let made = made(&print, 3, vec![found("copy", 2, Class::ReEncode, 5.123_45)], 2);
        let text = String::from_utf8(made.files[0].bytes.clone()).expect("text");
        assert!(text.contains("\"offset\": 0.0,") && text.ends_with("}\n"), "{text}");
        let document = document(&made);
        let one = &document.matches[0];
        let numbers = [document.seconds, one.seconds, one.speed, one.of_this, one.weight, one.segments[0].other.start];
        assert_eq!(numbers.map(|number| number.to_string()), ["20", "21.5", "1", "0.996", "5.123", "1"]);
        let StepSummary::Duplicates { closest, .. } = &made.summary else { panic!("{:?}", made.summary) };
        assert_eq!((closest[0].of_this, closest[0].of_other, closest[0].offset_ms), (100, 100, 0));
        assert_eq!(made.settings["unreadable"], "2");
    }

    #[test]
    fn of_too_many_parts_those_that_say_most_are_told_in_their_order() {
        let mut one = found("copy", 2, Class::AlternateCut, 1.0);
        let first = one.shared.segments[0].clone();
        let weights = (0..MAX_SEGMENTS + 6).map(|nth| if nth < 6 { 0.1 } else { 1.0 });
        one.shared.segments = weights
            .enumerate()
            .map(|(nth, weight)| Segment { weight, query: Span { start: nth as f32, end: nth as f32 + 1.0 }, ..first.clone() })
            .collect();
        let told = document(&made(&Print::default(), 3, vec![one], 0)).matches.remove(0);
        let starts: Vec<f64> = told.segments.iter().map(|segment| segment.this.start).collect();
        assert_eq!(starts, (6..70).map(f64::from).collect::<Vec<_>>());
    }
}
