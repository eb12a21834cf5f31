//! Which results wait for a person, what people decided, and whether a title goes with its declared rating. No I/O.
//!
//! All of it follows from the status and the spec, so that a decision redoes no work and reads no store.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use showrunner_contracts::{Digest, manifest::Withheld, step::Step};
use showrunner_crds::title_enrichment::{
    AxisStatus, GivenPicture, HoldRule, Likeness, ReviewAction, ReviewDecision, ReviewState, ReviewStatus, ReviewStep, StepState,
    StepStatus, TitleReason, WordErrorsStatus,
};
use showrunner_kit::conditions::{Truth, clean};
use showrunner_moderation::{HOUSE_TABLE, Rating, gaps};

use super::{Draft, GivenFile, Planned, Replacement, harvest};
use crate::title_enrichment::validate::{Review, Wish};

/// Longest message of a review, bytes.
const MAX_MESSAGE: usize = 512;

/// Longest reason in the message of a title.
const MAX_TOLD: usize = 200;

/// How a title stands to its declared rating.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discrepancy {
    /// Whether there is one; unknown where that could not be found out.
    pub truth: Truth,
    /// Reason of the condition.
    pub reason: TitleReason,
    /// For people.
    pub message: String,
}

/// What is told of a title and its declared rating.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rated {
    /// What was told before: the steps were not looked at.
    AsBefore,
    /// Nothing: no rating is declared, or nothing is to be judged.
    NotAsked,
    /// This.
    Is(Discrepancy),
}

/// Rules that hold a whole title back.
const OF_ALL: [Likeness; 2] = [Likeness::Copy, Likeness::Version];

/// Why a step's result is not published although there is one. What shows that a title looks like another is published: people
/// decide by it.
pub(super) fn withheld(step: &StepStatus) -> Option<Withheld> {
    if step.doubts.iter().any(|doubt| OF_ALL.iter().any(|rule| doubt.rule == rule.to_string())) {
        return None;
    }
    match step.review.as_ref().filter(|_| step.state == StepState::Done)?.state {
        ReviewState::Held => Some(Withheld::Held),
        ReviewState::Rejected => Some(Withheld::Rejected),
        ReviewState::Accepted | ReviewState::Replaced => None,
    }
}

/// Digest of what is published in a result's place.
pub(super) fn replaced(step: &StepStatus) -> Option<&str> {
    let review = step.review.as_ref().filter(|review| step.state == StepState::Done && review.state == ReviewState::Replaced)?;
    review.replacement.as_deref()
}

/// What a review comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reviewed {
    state: ReviewState,
    message: String,
    /// Digest of what takes the result's place.
    replacement: Option<String>,
}

impl Reviewed {
    fn held(message: String) -> Self {
        Self { state: ReviewState::Held, message, replacement: None }
    }
}

/// How what was found stands to a rating. Only all axes together, each judged, make a title that goes with it.
pub(super) fn discrepancy(rating: &Rating, axes: &[AxisStatus]) -> Discrepancy {
    let found = |name: &str| axes.iter().find(|axis| axis.axis == name);
    let level = |name: &str| found(name).and_then(|axis| axis.level);
    let above = gaps(rating, level("nudity"), level("violence"), level("language"));
    if !above.is_empty() {
        let told = above.iter().map(|gap| {
            let at =
                found(gap.axis).and_then(|axis| axis.strongest_at.as_deref()).map_or_else(String::new, |at| format!(" at {at}"));
            format!("{} is {} of 5{at}, {rating} goes with {}", gap.axis, gap.level, gap.limit)
        });
        let message = format!("{} ({HOUSE_TABLE})", told.collect::<Vec<_>>().join("; "));
        return Discrepancy { truth: Truth::True, reason: TitleReason::AboveRating, message };
    }
    let missing: Vec<String> = ["nudity", "violence", "language"]
        .into_iter()
        .filter(|name| level(name).is_none())
        .map(|name| match found(name).and_then(|axis| axis.unsupported.as_deref()) {
            Some(why) => format!("{name} could not be judged ({why})"),
            None => format!("{name} was not asked for"),
        })
        .collect();
    if missing.is_empty() {
        let message = format!("no axis is stronger than what goes with {rating} ({HOUSE_TABLE})");
        return Discrepancy { truth: Truth::False, reason: TitleReason::WithinRating, message };
    }
    let message = format!("{}; what was judged goes with {rating} ({HOUSE_TABLE})", missing.join("; "));
    Discrepancy { truth: Truth::Unknown, reason: TitleReason::AxisNotJudged, message }
}

impl Draft<'_> {
    /// Finds for every result whether it waits for a person.
    pub(super) fn review(&mut self, wish: &Wish) {
        let now = Time(self.now);
        let mut found: Vec<_> = self.planned.iter().map(|planned| reviewed(planned.step(), &planned.status, wish)).collect();
        self.hold_readers(&mut found);
        self.hold_copy(wish, &mut found);
        for (planned, wanted) in self.planned.iter_mut().zip(found) {
            let status = &mut planned.status;
            status.review = wanted.map(|Reviewed { state, message, replacement }| {
                let new = ReviewStatus { state, message, replacement, since: now.clone() };
                let same = status.review.take().filter(|old| ReviewStatus { since: now.clone(), ..old.clone() } == new);
                same.unwrap_or(new)
            });
        }
    }

    /// What a step made of a result that is held back would show it, and what it made of one that was replaced is wrong for what
    /// took its place: it is held, too, unless a person accepted it for itself.
    fn hold_readers(&self, found: &mut [Option<Reviewed>]) {
        for at in 0..found.len() {
            let planned = &self.planned[at];
            let made_of = self.planned.iter().zip(found.iter()).find_map(|(other, review)| {
                let why = match review.as_ref()?.state {
                    ReviewState::Accepted => return None,
                    ReviewState::Replaced => "a person has replaced",
                    ReviewState::Held | ReviewState::Rejected => "is held back",
                };
                planned.params.needs().contains(&other.step()).then(|| format!("it is made of {}, which {why}", other.step()))
            });
            if let (Some(why), None, StepState::Done) = (made_of, &found[at], planned.status.state) {
                found[at] = Some(Reviewed::held(why));
            }
        }
    }

    /// A title that looks like another waits with all that it has, or is refused with all of it: what people decide on is
    /// `duplicates`.
    fn hold_copy(&self, wish: &Wish, found: &mut [Option<Reviewed>]) {
        let Some(at) = self.planned.iter().position(|planned| is_copy(&planned.status, wish)) else { return };
        let state = match found[at].as_ref().map(|review| review.state) {
            Some(state @ (ReviewState::Held | ReviewState::Rejected)) => state,
            Some(ReviewState::Accepted | ReviewState::Replaced) | None => return,
        };
        let message = match state {
            ReviewState::Rejected => "the title was rejected for what it is to another",
            _ => "the title looks like another, which is decided on as duplicates",
        };
        for (planned, review) in self.planned.iter().zip(found).filter(|(planned, _)| planned.step() != Step::Duplicates) {
            if planned.status.state == StepState::Done {
                *review = Some(Reviewed { state, message: message.to_owned(), replacement: None });
            }
        }
    }

    /// Whether all of the title waits for a person because it looks like another.
    pub(super) fn waits_as_copy(&self, wish: &Wish) -> bool {
        let held = |planned: &Planned| planned.status.review.as_ref().is_some_and(|review| review.state == ReviewState::Held);
        self.planned.iter().any(|planned| is_copy(&planned.status, wish) && held(planned))
    }

    /// What people have to decide, and how; none where nothing waits.
    pub(super) fn awaits(&self) -> Option<String> {
        let waits = |planned: &&Planned| {
            let review = planned.status.review.as_ref().filter(|_| planned.status.state == StepState::Done);
            review.is_some_and(|review| review.state == ReviewState::Held)
        };
        let mut held: Vec<_> = self.planned.iter().filter(waits).collect();
        if let Some(copy) = held.iter().find(|held| self.input.wish.is_ok_and(|wish| is_copy(&held.status, wish))) {
            held = vec![*copy];
        }
        let first = held.first()?;
        let told = held.iter().map(|planned| {
            let why = planned.status.review.as_ref().map_or("", |review| review.message.as_str());
            format!("{} is held: {}", planned.step(), why.chars().take(MAX_TOLD).collect::<String>())
        });
        let cure = format!(
            "look at {}, then add to spec.review.decisions {{step: {}, digest: \"{}\", action: Accept or Reject, by: you}}",
            first.status.folder.as_deref().unwrap_or("the step's files"),
            first.step(),
            first.status.result.as_deref().unwrap_or_default()
        );
        // What to do comes first: a message that is too long is cut at its end.
        Some(format!("{cure}. {}", told.collect::<Vec<_>>().join("; ")))
    }

    /// How the title stands to its declared rating.
    pub(super) fn rated(&self) -> Rated {
        let rating = self.input.wish.ok().and_then(|wish| wish.rating);
        if self.planned.is_empty() && (rating.is_some() || self.input.wish.is_err()) {
            return Rated::AsBefore;
        }
        let moderation = self.planned.iter().find(|planned| planned.step() == Step::Moderation);
        let (Some(rating), Some(moderation)) = (rating, moderation) else { return Rated::NotAsked };
        if moderation.status.state == StepState::Done {
            return Rated::Is(discrepancy(&rating, &moderation.status.axes));
        }
        let state = moderation.status.state.to_string().to_lowercase();
        let message = format!("moderation is {state}: whether the title goes with {rating} is not known");
        Rated::Is(Discrepancy { truth: Truth::Unknown, reason: TitleReason::NotJudgedYet, message })
    }
}

/// Whether a result says that the title looks like another, and that is a reason to hold it.
fn is_copy(status: &StepStatus, wish: &Wish) -> bool {
    let mut held = wish.review.likeness.iter().map(ToString::to_string);
    status.state == StepState::Done && held.any(|rule| status.doubts.iter().any(|doubt| doubt.rule == rule))
}

/// Where a result is between the worker and the public, and what is told of it; none where nobody is asked.
fn reviewed(step: Step, status: &StepStatus, wish: &Wish) -> Option<Reviewed> {
    let result = status.result.as_deref().filter(|_| status.state == StepState::Done)?;
    let Review { hold, likeness, always, decisions, .. } = &wish.review;
    let decision = decision_on(step, decisions);
    if let Some(decision) = decision.filter(|decision| decision.digest == result) {
        return Some(decided(decision));
    }
    let by_rating = || {
        let rating = wish.rating.filter(|_| step == Step::Moderation && hold.contains(&HoldRule::RatingDiscrepancy))?;
        let found = discrepancy(&rating, &status.axes);
        (found.truth != Truth::False).then_some(found.message)
    };
    let by_word_errors = || {
        let held = step == Step::Subtitles && hold.contains(&HoldRule::WordErrors);
        held.then(|| too_wrong(status, wish.review.max_word_error_percent)).flatten()
    };
    let by_doubt = || {
        let rules = || hold.iter().map(ToString::to_string).chain(likeness.iter().map(ToString::to_string));
        let held = status.doubts.iter().find(|doubt| rules().any(|rule| rule == doubt.rule))?;
        Some(format!("{} ({})", held.message, held.rule))
    };
    let by_name = || always.contains(&step).then(|| "its results always wait (spec.review.always)".to_owned());
    let mut why = by_rating().or_else(by_doubt).or_else(by_word_errors).or_else(by_name)?;
    if decision.is_some() {
        why.push_str("; the decision in the spec is of another result");
    }
    Some(Reviewed::held(cut(&why)))
}

/// Why subtitles are not published unread, where too many of their words are likely wrong.
fn too_wrong(status: &StepStatus, most: u8) -> Option<String> {
    // Where it cannot be told, the result says so of itself, as a doubt; what was done before anybody could ask says nothing.
    let (rule, WordErrorsStatus { per_mille, low, high, .. }) = (HoldRule::WordErrors, status.word_errors.as_ref()?);
    let percent = |per_mille: &u16| f64::from(*per_mille) / 10.0;
    (*per_mille > u16::from(most) * 10).then(|| {
        let (likely, low, high) = (percent(per_mille), percent(low), percent(high));
        format!("about {likely} % of the words are wrong ({low} to {high} %), and {most} % may be ({rule})")
    })
}

fn decision_on(step: Step, decisions: &[ReviewDecision]) -> Option<&ReviewDecision> {
    decisions.iter().find(|decision| decision.step.to_string() == step.to_string())
}

fn decided(decision: &ReviewDecision) -> Reviewed {
    let state = match decision.action {
        ReviewAction::Accept => ReviewState::Accepted,
        ReviewAction::Reject => ReviewState::Rejected,
        ReviewAction::Replace => ReviewState::Replaced,
    };
    let replacement = given(decision).map(|given| match given {
        Replacement::Whole(file) => file.digest.to_string(),
        Replacement::Pictures { by, files } => {
            let files: Vec<_> = files.iter().map(|(name, file)| (name, &file.digest)).collect();
            Digest::of_json(&("showrunner.dev/pictures/v1", by, files)).to_string()
        }
    });
    let reason = decision.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    Reviewed { state, message: cut(&format!("by {}{reason}", decision.by)), replacement }
}

/// What takes a result's place.
pub(super) fn replacement(step: Step, status: &StepStatus, wish: &Wish) -> Option<Replacement> {
    replaced(status)?;
    given(decision_on(step, &wish.review.decisions)?)
}

/// What of a person's a decision names; none where it replaces nothing.
fn given(decision: &ReviewDecision) -> Option<Replacement> {
    let file = |path: &str, hex: &str| Some(GivenFile { path: path.to_owned(), digest: format!("sha256:{hex}").parse().ok()? });
    match (decision.action, decision.step) {
        (ReviewAction::Replace, ReviewStep::Thumbnails) => {
            let named = |picture: &GivenPicture| Some((picture.file.clone(), file(&picture.path, &picture.sha256)?));
            let files = decision.pictures.iter().map(named).collect::<Option<_>>()?;
            Some(Replacement::Pictures { by: clean(&decision.by), files })
        }
        (ReviewAction::Replace, _) => Some(Replacement::Whole(file(decision.path.as_deref()?, decision.sha256.as_deref()?)?)),
        (ReviewAction::Accept | ReviewAction::Reject, _) => None,
    }
}

fn cut(text: &str) -> String {
    harvest::cut(&clean(text), MAX_MESSAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use showrunner_moderation::System;

    fn axes(levels: [Option<u8>; 3]) -> Vec<AxisStatus> {
        let axis = |(axis, level): (&str, Option<u8>)| AxisStatus {
            axis: axis.to_owned(),
            level,
            unsupported: level.is_none().then(|| "NoModel".to_owned()),
            strongest_at: Some("1m2.000s".to_owned()),
            moments: 1,
        };
        ["nudity", "violence", "language"].into_iter().zip(levels).map(axis).collect()
    }

    #[test]
    fn only_a_title_of_which_every_axis_was_judged_goes_with_its_rating() {
        let rating = Rating::known(System::Bbfc, "PG").unwrap();
        let truth = |levels| discrepancy(&rating, &axes(levels)).truth;
        assert_eq!(truth([Some(0), Some(0), Some(1)]), Truth::False);
        assert_eq!(truth([Some(0), Some(0), Some(5)]), Truth::True);
        assert_eq!(truth([Some(5), None, None]), Truth::True, "what is too strong is, whatever the others are");
        for nth in 0..3 {
            let mut levels = [Some(0); 3];
            levels[nth] = None;
            assert_eq!(truth(levels), Truth::Unknown);
        }
        let not_asked = discrepancy(&rating, &axes([Some(0), Some(0), Some(0)])[..2]);
        assert_eq!((not_asked.truth, not_asked.message.contains("language was not asked for")), (Truth::Unknown, true));
    }

    #[test]
    fn a_discrepancy_names_axis_level_time_and_rating() {
        let rating = Rating::known(System::Mpa, "PG-13").unwrap();
        let told = discrepancy(&rating, &axes([Some(0), None, Some(5)])).message;
        assert!(told.contains("language is 5 of 5 at 1m2.000s, MPA PG-13 goes with 3"), "{told}");
    }
}
