//! The pass through the picture: one decode for all that look at it.

use super::{Decodes, Others, Visual, Work, all, child_limits, cut_short, longest, outcome, seconds, settled};
use crate::{
    commit::commit,
    cpu::Meter,
    failure::{internal, of_decode},
    fanout::{self, Viewer},
    media,
    picture::Plan,
    probe::Probe,
    progress::Pass,
    steps::{
        chapters::Sight,
        failure_in,
        fingerprint::{self, Painted, Painting},
        moderation::{Watch, Watched},
        shots::{self, Motions, Shots},
        thumbnails::Thumbnails,
    },
};
use showrunner_chapters::Look;
use showrunner_contracts::{
    documents::ShotsDocument,
    progress::Doing,
    result::{Failure, Outcome, Reason, StepOutcome},
};
use showrunner_timeline::Ticks;
use std::{borrow::Cow, sync::atomic::Ordering, time::Instant};

/// What somebody found who looked, and what that used.
pub(super) type Found<T> = (Result<T, Failure>, Meter);

/// What a step that needs more than the picture takes from this pass.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    /// The title's shots.
    pub(super) shots: Result<Cow<'a, ShotsDocument>, Failure>,
    /// What it looks like now and then, and what looking used.
    pub(super) sight: Option<Found<Vec<(Ticks, Look)>>>,
    /// What the models saw, and what they used.
    pub(super) watch: Option<Found<Watched>>,
    /// What the print is made of, and what that used.
    pub(super) painted: Option<Found<Painted>>,
}

/// The steps that are done with this pass, and what it leaves to others where they ask for it.
pub(super) type Looked<'a> = (Vec<StepOutcome>, Result<Option<Seen<'a>>, Failure>);

/// Goes through the picture, for `others` that are done later, too.
pub(super) fn look<'a>(work: Work<'a>, probed: &Probe, visual: Visual<'_>, others: Others<'_>, decodes: &Decodes) -> Looked<'a> {
    let begun = Instant::now();
    let Visual { shots: for_shots, thumbnails: for_thumbnails } = visual;
    let orders = &visual.all();
    let failed = |failure: &Failure| (all(orders, failure, begun), Err(failure.clone()));
    if (orders.is_empty() && !others.look()) || probed.picture().is_none() {
        let skipped = orders.iter().map(|order| outcome(order, Outcome::Skipped(Reason::NoPicture), begun, None));
        return (skipped.collect(), Ok(None));
    }
    let (base, motions) = (probed.time_base(), Motions::default());
    // For thumbnails the detector runs when the shots are given, too: how much frames move is part of their measure.
    let detects = for_shots.is_some() || for_thumbnails.is_some() || others.chapters;
    let mut asking = Meter::default();
    let new = || {
        let shots = Shots::new(base, longest(work, base), &motions, for_shots.is_some());
        if let Some(order) = for_shots { shots.ordered(order, work.artefacts) } else { Ok(shots) }
    };
    let (mut shots, shots_unready) = match detects.then(|| asking.turn(new)) {
        None => (None, None),
        Some(Ok(shots)) => (Some(shots), None),
        Some(Err(failure)) => (None, Some(failure)),
    };
    // What reads the shots comes to nothing without them.
    let blind = shots_unready.as_ref().filter(|_| work.given.shots.is_none());
    let mut sight = (others.chapters && blind.is_none()).then(|| Sight::new(base, longest(work, base)));
    let mut painting = others.fingerprint.map(|order| Painting::new(base, longest(work, base), fingerprint::asked(order)));
    let (mut preparing, mut loading) = (Meter::default(), Meter::default());
    let watch = others.watch.map(|order| loading.turn(|| Watch::new(order, base, longest(work, base), work.artefacts)));
    let (mut watch, watch_unready) = match watch {
        None => (None, None),
        Some(Ok(watch)) => (Some(watch), None),
        Some(Err(failure)) => (None, Some(failure)),
    };
    let new = |order| {
        blind.map_or(Ok(()), |failure| Err(failure.clone()))?;
        Thumbnails::new(order, base, longest(work, base), &motions, work.artefacts)
    };
    let (mut thumbnails, unready) = match for_thumbnails.map(|order| preparing.turn(|| new(order))) {
        None => (None, None),
        Some(Ok(thumbnails)) => (Some(thumbnails), None),
        Some(Err(failure)) => (None, Some(failure)),
    };
    // A detector that nobody ordered looks for others alone.
    let finds = for_shots.is_some() && shots.is_some();
    if !finds && thumbnails.is_none() && sight.is_none() && painting.is_none() && watch.is_none() {
        return failed(&shots_unready.or(unready).or(watch_unready).unwrap_or_else(|| internal("there is nothing to look for")));
    }
    // What each asks for divides what all are given: each sees what it would see alone.
    let samples = match &watch {
        Some(watch) => watch.per_second(),
        None if painting.is_some() => 1,
        None => 0,
    };
    let plan =
        Plan { samples, candidates: thumbnails.is_some(), threads: work.limits.threads, limits: child_limits(work.limits) };
    decodes.picture.fetch_add(1, Ordering::Relaxed);
    let viewed = {
        let mut viewers: Vec<&mut dyn Viewer> = Vec::new();
        viewers.extend(shots.as_mut().map(|shots| shots as &mut dyn Viewer));
        viewers.extend(sight.as_mut().map(|sight| sight as &mut dyn Viewer));
        viewers.extend(painting.as_mut().map(|painting| painting as &mut dyn Viewer));
        viewers.extend(watch.as_mut().map(|watch| watch as &mut dyn Viewer));
        viewers.extend(thumbnails.as_mut().map(|thumbnails| thumbnails as &mut dyn Viewer));
        let all_seconds = seconds(probed);
        let mut shown = |pts| work.tracker.at(Pass::Picture, base.to_seconds(pts), all_seconds);
        fanout::view(work.sandbox, work.source, probed, &plan, &mut viewers, &mut shown)
    };
    let viewed = match viewed {
        Ok(viewed) => viewed,
        Err(error) => return failed(&of_decode(&error)),
    };
    if let Some(summary) = &viewed.summary {
        let _ = decodes.picture_cpu.set(summary.cpu);
    }
    // In the order in which the viewers were named.
    let mut ends = viewed.used.into_iter().zip(viewed.failures.into_iter().map(|failure| failure.map(failure_in)));
    let mut end_of = |there: bool| if there { ends.next().unwrap_or_default() } else { Default::default() };
    let (mut shots_used, shots_failed) = end_of(shots.is_some());
    let (mut sight_used, sight_failed) = end_of(sight.is_some());
    let (mut painting_used, painting_failed) = end_of(painting.is_some());
    let (mut watch_used, watch_failed) = end_of(watch.is_some());
    let shots_failed = shots_failed.or(shots_unready);
    shots_used.add(asking);
    watch_used.add(loading);
    let (mut thumbnails_used, thumbnails_failed) = end_of(thumbnails.is_some());
    thumbnails_used.add(preparing);
    let thumbnails_failed = thumbnails_failed.or(unready);
    let end = match (viewed.summary, &shots_failed) {
        (Some(summary), _) => match summary.shortfall {
            Some(shortfall) => return failed(&cut_short("picture", &shortfall, base)),
            None => Ok(summary.end),
        },
        (None, Some(failure)) => Err(failure.clone()),
        (None, None) => Err(internal("the decoder was stopped and no step says why")),
    };
    work.tracker.doing(Doing::Committing);
    let painted = painting.map(|painting| {
        let finish = || painting.finish(end.as_ref().copied().map_err(Clone::clone)?);
        painting_failed.map_or_else(|| painting_used.turn(finish), Err)
    });
    let found = match (shots_failed, end, shots) {
        (Some(failure), ..) | (None, Err(failure), _) => Err(failure),
        (None, Ok(end), Some(shots)) => shots_used.turn(|| shots.finish(end)),
        (None, Ok(_), None) => Err(internal("nobody looked for shots")),
    };
    let mut outcomes = Vec::new();
    if let Some(order) = for_shots {
        let committed = shots_used.turn(|| {
            let made = found.as_ref().map(shots::made).map_err(Clone::clone);
            made.and_then(|made| commit(work.sink, order, &media::summary(probed), made))
        });
        outcomes.push(settled(work, order, committed, begun, Some(shots_used.used())));
    } else if for_thumbnails.is_some() {
        // It looked for others alone.
        thumbnails_used.add(shots_used);
    } else {
        sight_used.add(shots_used);
    }
    let shots = match (&work.given.shots, found) {
        (Some(given), _) => Ok(Cow::Borrowed(given)),
        (None, Ok(found)) => Ok(Cow::Owned(found.document)),
        (None, Err(failure)) => Err(failure),
    };
    if let Some(order) = for_thumbnails {
        let committed = thumbnails_used.turn(|| {
            let made = match (thumbnails_failed, thumbnails) {
                (Some(failure), _) => Err(failure),
                (None, Some(thumbnails)) => shots.as_ref().map_err(Clone::clone).and_then(|shots| thumbnails.finish(shots)),
                (None, None) => Err(internal("thumbnails were neither made nor refused")),
            };
            made.and_then(|made| commit(work.sink, order, &media::summary(probed), made))
        });
        outcomes.push(settled(work, order, committed, begun, Some(thumbnails_used.used())));
    }
    let sight = sight.map(|sight| (sight_failed.map_or_else(|| Ok(sight.finish()), Err), sight_used));
    let painted = painted.map(|painted| (painted, painting_used));
    let watch = match (watch_failed.or(watch_unready), watch) {
        (Some(failure), _) => Some((Err(failure), watch_used)),
        (None, watch) => watch.map(|watch| (Ok(watch.finish()), watch_used)),
    };
    (outcomes, Ok(Some(Seen { shots, sight, watch, painted })))
}
