//! What two titles are to each other, from the segments that they share. Pure arithmetic; no I/O.

use crate::{ITEM_SECONDS, Look, Print, Query, sound};

/// Share of a title above which all of it is shared.
const WHOLE: f32 = 0.9;
/// Share above which most of it is.
const MOST: f32 = 0.6;
/// Share of both titles up to which what they share is a part of its own: an intro, not a version of the title.
const SMALL: f32 = 0.4;
/// Share of the time that both are seen to be the same in which they also sound the same, at least, or it is a dub; and the
/// other way round.
const ALSO: f32 = 0.5;
/// Of what is seen the same and could be heard, in seconds, below which nothing is said of a dub.
const ENOUGH: f32 = 8.0;
/// An ident is at most so long, in seconds.
const IDENT: f32 = 15.0;
/// Intros begin within this share of both titles, credits end within this share of their ends.
const EDGE: f32 = 0.2;
/// Bits that differ in prints of one and the same stream, as a share: none but for the decoder's rounding.
const EXACT: f32 = 0.004;
/// An excerpt that is longer than this, in seconds, or more than this share of the other, is another cut.
const TRAILER: f32 = 300.0;
const TRAILER_SHARE: f32 = 0.5;
/// From so many steps back on, pieces are in no order.
const RETURNS: usize = 2;
/// Seconds by which the segments of one line may lie beside each other.
const STRAIGHT: f32 = 3.0;

/// `[start, end)` of a title, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// First moment.
    pub start: f32,
    /// First moment after it.
    pub end: f32,
}

impl Span {
    /// Seconds.
    pub fn length(&self) -> f32 {
        (self.end - self.start).max(0.0)
    }

    pub(crate) fn overlap(self, other: Self) -> f32 {
        (self.end.min(other.end) - self.start.max(other.start)).max(0.0)
    }
}

/// What a segment was found by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Side {
    /// Frames, seen so.
    Picture {
        /// The look that showed it best.
        look: Look,
    },
    /// Sound, at this speed undone.
    Sound {
        /// How much faster the query is played.
        speed: f32,
    },
}

/// A part of the query that is a part of the other title, too: `other = speed * query + offset`.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// By what it was found.
    pub side: Side,
    /// Where it lies in the query.
    pub query: Span,
    /// Where it lies in the other title.
    pub other: Span,
    /// Seconds of the other title to one of the query.
    pub speed: f32,
    /// Where in the other title the query would begin, in seconds.
    pub offset: f32,
    /// Share of its telling moments that agree, 0 to 1.
    pub agreed: f32,
    /// Share of bits that differ where it agrees, 0 to 1.
    pub error: f32,
    /// How much it says: about the number of different pictures, or of seconds of sound, that agree well.
    pub weight: f32,
}

/// A part that titles share without being versions of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedPart {
    /// At the beginning of both.
    Intro,
    /// A few seconds at the beginning: a company's sign.
    Ident,
    /// At the end of both.
    Credits,
    /// Elsewhere: a flashback, stock footage, a commercial.
    Other,
}

/// What the query is to the other title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The same stream, or the same pictures and samples.
    Exact,
    /// The whole of it, coded again, scaled, cropped, framed, played faster.
    ReEncode,
    /// The whole picture with another sound.
    Dub,
    /// Parts taken out, put in or moved.
    AlternateCut,
    /// Its sound under other pictures.
    AudioOnlyReuse,
    /// A trailer of it, or an excerpt.
    TrailerOf,
    /// It has a trailer or an excerpt in the other title.
    HasTrailer,
    /// They share a part, and are different titles.
    SharedSegment(SharedPart),
}

/// What a query and a title of the catalogue share.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// What the query is to the title.
    pub class: Class,
    /// Where in the other title the query's beginning would lie, in seconds, and how fast it is played, by the weightiest segment.
    pub offset: f32,
    /// Seconds of the other title to one of the query.
    pub speed: f32,
    /// Share of the query that is in the other title by picture or sound, 0 to 1; what is blank or silent does not count.
    pub of_query: f32,
    /// Share of the other title.
    pub of_other: f32,
    /// How much all segments say together.
    pub weight: f32,
    /// All segments, by their place in the query; pictures first.
    pub segments: Vec<Segment>,
}

/// Which seconds of a title say something, and which of these a match covers.
struct Cover {
    telling: Vec<bool>,
    covered: Vec<bool>,
}

impl Cover {
    fn of_frames(print: &Print) -> Self {
        let telling: Vec<bool> = print.frames.iter().map(crate::Seen::is_telling).collect();
        Self { covered: vec![false; telling.len()], telling }
    }

    fn of_sound(print: &Print) -> Self {
        let seconds = (print.sound.len() as f32 * ITEM_SECONDS).ceil() as usize;
        let mut telling = vec![false; seconds];
        for at in (0..print.sound.len()).filter(|at| sound::is_telling(&print.sound, *at)) {
            if let Some(second) = telling.get_mut((at as f32 * ITEM_SECONDS) as usize) {
                *second = true;
            }
        }
        Self { covered: vec![false; seconds], telling }
    }

    fn add(&mut self, span: Span) {
        let last = self.covered.len();
        let (from, to) = ((span.start.max(0.0).round() as usize).min(last), (span.end.max(0.0).round() as usize).min(last));
        self.covered[from..to.max(from)].fill(true);
    }

    fn count(&self, covered: bool) -> f32 {
        self.telling.iter().zip(&self.covered).filter(|(telling, is)| **telling && (**is || !covered)).count() as f32
    }

    fn share(&self) -> f32 {
        self.count(true) / self.count(false).max(1.0)
    }

    /// Of the seconds that `self` covers and `other` could, how many `other` covers, and how many there are.
    fn also(&self, other: &Self) -> (f32, f32) {
        let both = self.telling.iter().zip(&self.covered).zip(other.telling.iter().zip(&other.covered));
        let (mut also, mut of) = (0.0, 0.0);
        for ((telling, covered), (can, does)) in both {
            if *telling && *covered && *can {
                of += 1.0;
                also += f32::from(u8::from(*does));
            }
        }
        (also, of)
    }
}

/// The segments' match, if there are any.
pub(crate) fn judge(query: &Query, other: &Print, segments: Vec<Segment>) -> Option<Match> {
    let main = segments.iter().max_by(|a, b| a.weight.total_cmp(&b.weight))?;
    let (offset, speed, weight) = (main.offset, main.speed, segments.iter().map(|one| one.weight).sum());
    let mut covers =
        [[Cover::of_frames(&query.print), Cover::of_frames(other)], [Cover::of_sound(&query.print), Cover::of_sound(other)]];
    for segment in &segments {
        let cover = &mut covers[usize::from(matches!(segment.side, Side::Sound { .. }))];
        cover[0].add(segment.query);
        cover[1].add(segment.other);
    }
    let [[seen, seen_there], [heard, heard_there]] = &covers;
    let of_query = seen.share().max(heard.share());
    let of_other = seen_there.share().max(heard_there.share());
    let class = class(&segments, [seen, seen_there], [heard, heard_there], &query.print, other, [of_query, of_other]);
    Some(Match { class, offset, speed, of_query, of_other, weight, segments })
}

fn class(
    segments: &[Segment],
    [seen, seen_there]: [&Cover; 2],
    [heard, heard_there]: [&Cover; 2],
    query: &Print,
    other: &Print,
    [of_query, of_other]: [f32; 2],
) -> Class {
    let lengths = [query.seconds(), other.seconds()];
    let part = shared(segments, lengths);
    // What lies at an end of both and is followed by other things is no cut of the title, unless it is most of one.
    let edge = part != SharedPart::Other && of_query.max(of_other) < MOST && one_line(segments, |_| true);
    if edge || of_query.max(of_other) <= SMALL {
        return Class::SharedSegment(part);
    }
    // Where one can be heard, does it also sound the same, and the other way round?
    let ((dubbed, audible), (also_seen, visible)) = (seen.also(heard), heard.also(seen));
    // A query without any sound is nobody's dub.
    let both_sound = heard_there.count(false) >= ENOUGH && audible >= ENOUGH;
    let no_picture = seen.count(true) < ALSO * heard.count(true);
    if no_picture && heard.share().max(heard_there.share()) > SMALL && visible >= ENOUGH && also_seen < ALSO * visible {
        return Class::AudioOnlyReuse;
    }
    // What goes to and fro is a trailer even where it shows more than half.
    let most = if returns(segments) >= RETURNS { MOST } else { TRAILER_SHARE };
    let excerpt = |share: f32, of: f32, length: f32| share >= MOST && of < most && length <= TRAILER;
    if excerpt(of_query, of_other, lengths[0]) {
        return Class::TrailerOf;
    }
    if excerpt(of_other, of_query, lengths[1]) {
        return Class::HasTrailer;
    }
    let whole = seen.share().min(seen_there.share()) >= WHOLE;
    if both_sound && dubbed < ALSO * audible && seen.share().max(seen_there.share()) > SMALL {
        return Class::Dub;
    }
    let straight = one_line(segments, |side| matches!(side, Side::Picture { .. }))
        && one_line(segments, |side| matches!(side, Side::Sound { .. }));
    let complete = whole || (of_query.min(of_other) >= WHOLE);
    if !complete || !straight {
        return Class::AlternateCut;
    }
    let exact = segments.iter().all(|one| one.error <= EXACT && (one.speed - 1.0).abs() < 0.002 && one.offset.abs() < 0.5)
        && seen.share().min(seen_there.share()) >= WHOLE
        && (!both_sound || dubbed >= WHOLE * audible);
    if exact { Class::Exact } else { Class::ReEncode }
}

/// Whether all segments of a side have one offset.
fn one_line(segments: &[Segment], is: fn(&Side) -> bool) -> bool {
    let mut same = segments.iter().filter(|one| is(&one.side));
    same.next().is_none_or(|first| {
        let at = |one: &Segment, second: f32| one.speed * second + one.offset;
        same.all(|one| (at(one, one.query.start) - at(first, one.query.start)).abs() <= STRAIGHT)
    })
}

/// How often the picture goes back in the other title while it goes on in this one.
fn returns(segments: &[Segment]) -> usize {
    let pictures: Vec<_> = segments.iter().filter(|one| matches!(one.side, Side::Picture { .. })).collect();
    pictures.windows(2).filter(|pair| pair[1].other.start < pair[0].other.start).count()
}

fn shared(segments: &[Segment], [length, their_length]: [f32; 2]) -> SharedPart {
    let start = segments.iter().map(|one| one.query.start).fold(f32::INFINITY, f32::min);
    let end = segments.iter().map(|one| one.query.end).fold(0.0, f32::max);
    let there = segments.iter().map(|one| one.other.start).fold(f32::INFINITY, f32::min);
    let end_there = segments.iter().map(|one| one.other.end).fold(0.0, f32::max);
    if start <= EDGE * length && there <= EDGE * their_length {
        if end - start <= IDENT { SharedPart::Ident } else { SharedPart::Intro }
    } else if end >= (1.0 - EDGE) * length && end_there >= (1.0 - EDGE) * their_length {
        SharedPart::Credits
    } else {
        SharedPart::Other
    }
}
