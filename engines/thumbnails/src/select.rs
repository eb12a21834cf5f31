//! Chooses a few candidates that are good, typical of their shots and unlike each other, spread over the title. Pure; no I/O.

use std::{collections::BTreeSet, fmt};

use showrunner_timeline::Ticks;

use crate::{
    HASH_BITS,
    category::{Category, action_level, categorise},
    measure::Candidate,
    picture::Crop,
};

/// Picks wanted by default.
const COUNT: usize = 8;
/// Most picks that can be asked for.
const MAX_COUNT: usize = 64;
/// Least distance of two picks' hashes (of 256 bits; copies stay below 32, unrelated pictures lie near 128).
const DISTANCE: u32 = 64;
/// Distances tried in turn when a title cannot give so many different pictures. Below the last, two picks would be one.
const RELAXED: [u32; 3] = [48, 32, 16];
/// Different shots that picks come from, when there are as many.
const SHOTS: usize = 6;
/// Worth is this much quality...
const QUALITY_WEIGHT: f32 = 0.7;
/// ...this much likeness to the rest of the shot...
const TYPICAL_WEIGHT: f32 = 0.15;
/// ...this much of the title that the shot takes, beside the longest...
const PRESENT_WEIGHT: f32 = 0.05;
/// ...and this much stillness.
const STILL_WEIGHT: f32 = 0.1;
/// Maximal marginal relevance (Carbonell and Goldstein, 1998): weight of worth against unlikeness to what is picked.
const LAMBDA: f32 = 0.7;
/// What a second pick from the same shot loses.
const SAME_SHOT: f32 = 0.12;
/// What the first pick of its category gains: a set shows what kinds of moment there are.
const NEW_CATEGORY: f32 = 0.05;
/// Root mean square colour distance from the shot's mean at which a picture is not typical at all.
const UNTYPICAL: f32 = 60.0;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many picks, 1 to 64; 8 by default.
    pub count: usize,
    /// Least distance of any two picks' hashes; 64 by default.
    pub distance: u32,
    /// From how many different shots, when there are as many; 6 by default.
    pub shots: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { count: COUNT, distance: DISTANCE, shots: SHOTS }
    }
}

/// A shot, and the part of it in which a picture is neither in a transition nor next to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShotSpan {
    /// First tick.
    pub start: Ticks,
    /// First tick after.
    pub end: Ticks,
    clear_start: Ticks,
    clear_end: Ticks,
}

impl ShotSpan {
    /// A shot of `[start, end)` that is entered by a transition ending at `entered` and left by one starting at `left` (the
    /// shot's own bounds for cuts). `guard` is kept free on both sides: four frames.
    pub fn new(start: Ticks, end: Ticks, entered: Ticks, left: Ticks, guard: Ticks) -> Self {
        let clear_start = entered.max(start).saturating_add(guard);
        let clear_end = left.min(end).saturating_sub(guard);
        Self { start, end, clear_start, clear_end }
    }

    fn holds(&self, at: Ticks) -> bool {
        self.start <= at && at < self.end
    }

    fn is_clear(&self, at: Ticks) -> bool {
        self.clear_start <= at && at < self.clear_end
    }
}

/// One chosen picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Pick {
    /// Index into the candidates.
    pub candidate: usize,
    /// Index into the shots.
    pub shot: usize,
    /// What kind of moment it is.
    pub category: Category,
    /// How clearly its category's rule was met, 0 to 1; a margin, not a probability.
    pub confidence: f32,
    /// Worth: quality, likeness to its shot, the shot's part of the title, stillness; 0 to 1. No pick has more than one before it.
    pub score: f32,
    /// The part to show: inside the title's black bars.
    pub crop: Crop,
}

/// A rule that could not be kept, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The title gave fewer pictures that differ at all.
    Fewer {
        /// Picks given.
        given: usize,
        /// Picks wanted.
        wanted: usize,
    },
    /// Some picks are closer to each other than wanted.
    Alike {
        /// The least distance among the picks.
        distance: u32,
        /// The distance wanted.
        wanted: u32,
    },
    /// No candidate lay clear of transitions; some that do not were used.
    NearTransitions,
    /// Every candidate was black, flat, blurred or lost; some were used all the same.
    OnlyPoor,
    /// The picks come from fewer shots than wanted.
    FewShots {
        /// Shots with a pick.
        given: usize,
        /// Shots wanted.
        wanted: usize,
    },
    /// Nobody looked for faces, so no pick could be called a character's.
    FacesUnknown,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fewer { given, wanted } => write!(f, "{given} of {wanted} pictures: the title has no more that differ"),
            Self::Alike { distance, wanted } => {
                write!(f, "two pictures differ in {distance} of {HASH_BITS} hash bits, {wanted} wanted")
            }
            Self::NearTransitions => f.write_str("every shot is too short to stay clear of its transitions"),
            Self::OnlyPoor => f.write_str("every candidate was black, flat, blurred or badly exposed"),
            Self::FewShots { given, wanted } => write!(f, "pictures from {given} shots, {wanted} wanted"),
            Self::FacesUnknown => f.write_str("no face model: no picture is called Character"),
        }
    }
}

/// The picks, best first, and what could not be kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Best first.
    pub picks: Vec<Pick>,
    /// Rules that gave way.
    pub notes: Vec<Note>,
}

/// A candidate that may be picked.
struct Entrant {
    candidate: usize,
    shot: usize,
    worth: f32,
    category: (Category, f32),
}

/// Chooses from `candidates` of a title with these `shots` (in order, without gaps). Never empty while there is a candidate
/// inside a shot that is not barred. Ties go to the earlier candidate, so that the same input gives the same picks.
pub fn select(candidates: &[Candidate], shots: &[ShotSpan], settings: &Settings) -> Selection {
    let wanted = settings.count.clamp(1, MAX_COUNT);
    let mut selection = Selection::default();
    let entrants = enter(candidates, shots, &mut selection.notes);
    if entrants.is_empty() {
        selection.notes.push(Note::Fewer { given: 0, wanted });
        return selection;
    }
    let open_shots = count_shots(entrants.iter().map(|e| e.shot));
    let shots_wanted = settings.shots.min(open_shots).min(wanted);
    let mut chosen: Vec<&Entrant> = Vec::new();
    let distances = std::iter::once(settings.distance).chain(RELAXED.into_iter().filter(|d| *d < settings.distance));
    for distance in distances {
        while chosen.len() < wanted {
            let missing = shots_wanted.saturating_sub(count_shots(chosen.iter().map(|e| e.shot)));
            let new_only = missing >= wanted - chosen.len();
            let Some(next) = best(candidates, &entrants, &chosen, distance, new_only) else { break };
            chosen.push(next);
        }
    }
    tell(candidates, &chosen, settings, wanted, shots_wanted, &mut selection.notes);
    // Chosen in the order that serves the set; shown best first.
    chosen.sort_by(|a, b| b.worth.total_cmp(&a.worth).then(a.candidate.cmp(&b.candidate)));
    let bars = title_bars(candidates);
    selection.picks = chosen
        .into_iter()
        .map(|entrant| {
            let candidate = &candidates[entrant.candidate];
            let (category, confidence) = entrant.category;
            let crop = bars.crop(candidate);
            Pick {
                candidate: entrant.candidate,
                shot: entrant.shot,
                category,
                confidence,
                score: entrant.worth.clamp(0.0, 1.0),
                crop,
            }
        })
        .collect();
    selection
}

/// Chooses as [`select`] does, until every pick may be shown: `may_be_shown` is asked about each pick, and what it refuses is barred
/// and chosen again without. It is asked about no candidate twice, so that there is an end at the latest when all were asked
/// about: then what may be shown is picked, fewer than wanted, or nothing.
///
/// # Errors
/// What `may_be_shown` says.
pub fn select_shown<E>(
    candidates: &mut [Candidate],
    shots: &[ShotSpan],
    settings: &Settings,
    mut may_be_shown: impl FnMut(&Pick) -> Result<bool, E>,
) -> Result<Selection, E> {
    let mut asked = BTreeSet::new();
    loop {
        let selection = select(candidates, shots, settings);
        let mut stands = true;
        for pick in selection.picks.iter().filter(|pick| asked.insert(pick.candidate)) {
            candidates[pick.candidate].barred = !may_be_shown(pick)?;
            stands &= !candidates[pick.candidate].barred;
        }
        if stands {
            return Ok(selection);
        }
    }
}

/// Who may be picked: clear of transitions and not rejected; failing that, giving up the first, then the second. Never who is barred.
fn enter(candidates: &[Candidate], shots: &[ShotSpan], notes: &mut Vec<Note>) -> Vec<Entrant> {
    let placed: Vec<(usize, usize)> = candidates
        .iter()
        .enumerate()
        .filter(|(_, c)| !c.barred)
        .filter_map(|(i, c)| {
            let shot = shots.partition_point(|s| s.start <= c.pts).checked_sub(1)?;
            shots[shot].holds(c.pts).then_some((i, shot))
        })
        .collect();
    let clear = |(i, shot): &(usize, usize)| shots[*shot].is_clear(candidates[*i].pts);
    let sound = |(i, _): &(usize, usize)| candidates[*i].reject.is_none();
    let mut open: Vec<(usize, usize)> = placed.iter().copied().filter(|p| clear(p) && sound(p)).collect();
    if open.is_empty() {
        open = placed.iter().copied().filter(sound).collect();
        if !open.is_empty() {
            notes.push(Note::NearTransitions);
        }
    }
    if open.is_empty() {
        open = placed;
        if !open.is_empty() {
            notes.push(Note::OnlyPoor);
        }
    }
    let level = action_level(candidates);
    let length = |span: &ShotSpan| span.end.saturating_sub(span.start).0.max(0) as f32;
    let longest = shots.iter().map(length).fold(1.0, f32::max);
    open.iter()
        .map(|&(candidate, shot)| {
            let c = &candidates[candidate];
            let still = 1.0 - (c.motion / (2.0 * level)).min(1.0);
            let present = (length(&shots[shot]) / longest).sqrt();
            let worth = QUALITY_WEIGHT * c.quality.overall
                + TYPICAL_WEIGHT * typical(candidates, &open, candidate, shot)
                + PRESENT_WEIGHT * present
                + STILL_WEIGHT * still;
            Entrant { candidate, shot, worth, category: categorise(c, level) }
        })
        .collect()
}

/// How close a picture is to the mean of its shot's candidates, 0 to 1.
fn typical(candidates: &[Candidate], open: &[(usize, usize)], candidate: usize, shot: usize) -> f32 {
    let mates: Vec<&Candidate> = open.iter().filter(|(_, s)| *s == shot).map(|(i, _)| &candidates[*i]).collect();
    let own = &candidates[candidate].signature;
    let squared: f32 = (0..own.len())
        .map(|k| {
            let mean = mates.iter().map(|m| m.signature[k]).sum::<f32>() / mates.len() as f32;
            (own[k] - mean) * (own[k] - mean)
        })
        .sum();
    1.0 - ((squared / own.len() as f32).sqrt() / UNTYPICAL).min(1.0)
}

fn best<'a>(
    candidates: &[Candidate],
    entrants: &'a [Entrant],
    chosen: &[&Entrant],
    distance: u32,
    new_only: bool,
) -> Option<&'a Entrant> {
    let mut best: Option<(f32, &Entrant)> = None;
    for entrant in entrants {
        let used = chosen.iter().filter(|c| c.shot == entrant.shot).count();
        if new_only && used > 0 {
            continue;
        }
        let hash = &candidates[entrant.candidate].hash;
        let nearest = chosen.iter().map(|c| candidates[c.candidate].hash.distance(hash)).min().unwrap_or(HASH_BITS);
        if nearest < distance {
            continue;
        }
        // Unrelated pictures lie half the bits apart; that is as unlike as it gets.
        let alike = 1.0 - (nearest as f32 / (HASH_BITS / 2) as f32).min(1.0);
        let new = chosen.iter().all(|c| c.category.0 != entrant.category.0);
        let value =
            LAMBDA * entrant.worth - (1.0 - LAMBDA) * alike - SAME_SHOT * used as f32 + if new { NEW_CATEGORY } else { 0.0 };
        if best.is_none_or(|(most, _)| value > most) {
            best = Some((value, entrant));
        }
    }
    best.map(|(_, entrant)| entrant)
}

fn count_shots(shots: impl Iterator<Item = usize>) -> usize {
    shots.collect::<BTreeSet<_>>().len()
}

fn tell(
    candidates: &[Candidate],
    chosen: &[&Entrant],
    settings: &Settings,
    wanted: usize,
    shots_wanted: usize,
    notes: &mut Vec<Note>,
) {
    if chosen.len() < wanted {
        notes.push(Note::Fewer { given: chosen.len(), wanted });
    }
    let hash = |e: &Entrant| candidates[e.candidate].hash;
    let least = chosen.iter().enumerate().flat_map(|(i, a)| chosen[..i].iter().map(move |b| hash(a).distance(&hash(b)))).min();
    if let Some(distance) = least.filter(|d| *d < settings.distance) {
        notes.push(Note::Alike { distance, wanted: settings.distance });
    }
    let given = count_shots(chosen.iter().map(|e| e.shot));
    if given < shots_wanted {
        notes.push(Note::FewShots { given, wanted: shots_wanted });
    }
    if chosen.iter().all(|e| candidates[e.candidate].face.is_none()) {
        notes.push(Note::FacesUnknown);
    }
}

/// The black bars of a title, as shares of the sides.
struct Bars {
    /// Left, top, right, bottom.
    shares: [f32; 4],
}

/// Bars of the median candidate: one dark scene must not crop the rest, one title card must not uncrop it.
fn title_bars(candidates: &[Candidate]) -> Bars {
    let mut sides: [Vec<f32>; 4] = std::array::from_fn(|_| Vec::new());
    for candidate in candidates.iter().filter(|c| c.reject.is_none()) {
        for (side, share) in sides.iter_mut().zip(bar_shares(candidate)) {
            side.push(share);
        }
    }
    let shares = sides.map(|mut side| {
        side.sort_by(f32::total_cmp);
        side.get(side.len() / 2).copied().unwrap_or(0.0)
    });
    Bars { shares }
}

fn bar_shares(candidate: &Candidate) -> [f32; 4] {
    let (c, (width, height)) = (candidate.content, candidate.size);
    let share = |bar: u32, side: u32| bar as f32 / side as f32;
    [share(c.x, width), share(c.y, height), share(width - c.x - c.width, width), share(height - c.y - c.height, height)]
}

impl Bars {
    /// The candidate's own bars, but never more than the title's.
    fn crop(&self, candidate: &Candidate) -> Crop {
        let (width, height) = candidate.size;
        let own = bar_shares(candidate);
        let [left, top, right, bottom] = std::array::from_fn(|i| {
            let side = if i % 2 == 0 { width } else { height };
            (own[i].min(self.shares[i]) * side as f32).round() as u32
        });
        Crop {
            x: left,
            y: top,
            width: width.saturating_sub(left + right).max(1),
            height: height.saturating_sub(top + bottom).max(1),
        }
    }
}
