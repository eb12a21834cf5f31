//! The steps that need what the passes leave: done when both are over, each failing alone.

use super::{
    Joint, Work,
    listen::Sounds,
    look::{Found, Seen},
    outcome, settled,
};
use crate::{
    commit::{Made, commit},
    cpu::Meter,
    failure::{internal, of_panic},
    media,
    probe::Probe,
    steps::{
        chapters, fingerprint,
        moderation::{self, Evidence, Spoken, Watched},
    },
};
use showrunner_contracts::{
    result::{Failure, Outcome, Reason, StepOutcome},
    step::Axis,
    work_order::StepOrder,
};
use showrunner_timeline::Ticks;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

/// What the passes left; a pass that came to nothing left why.
pub(super) struct Left<'a> {
    /// Of the picture; none where there is none, or nobody looked.
    pub(super) seen: Result<Option<Seen<'a>>, Failure>,
    /// Of the sound.
    pub(super) heard: Result<Sounds, Failure>,
}

/// What a step came to: its files, or that there is nothing to do.
type Answer = Result<Option<(Made, Meter)>, Failure>;

/// Does them, in their order.
pub(super) fn join(work: Work<'_>, probed: &Probe, joint: Joint<'_>, left: Left<'_>, begun: Instant) -> Vec<StepOutcome> {
    let Joint { chapters: for_chapters, moderation: for_moderation, fingerprint: for_fingerprint } = joint;
    let mut outcomes = Vec::new();
    if let Some(order) = for_chapters {
        outcomes.push(done(work, probed, order, begun, || chapters_of(probed, &left)));
    }
    if let Some(order) = for_moderation {
        outcomes.push(done(work, probed, order, begun, || moderation_of(work, probed, order, &left)));
    }
    // Last, for it takes what it needs: a query of ten hours is 70 MB.
    if let Some(order) = for_fingerprint {
        outcomes.push(done(work, probed, order, begun, || fingerprint_of(order, left)));
    }
    outcomes
}

fn done(work: Work<'_>, probed: &Probe, order: &StepOrder, begun: Instant, make: impl FnOnce() -> Answer) -> StepOutcome {
    let made = || {
        let mut making = Meter::default();
        let Some((made, mut used)) = making.turn(make)? else { return Ok(None) };
        used.add(making);
        let committed = used.turn(|| commit(work.sink, order, &media::summary(probed), made))?;
        Ok(Some((committed, used.used())))
    };
    match catch_unwind(AssertUnwindSafe(made)).unwrap_or_else(|payload| Err(of_panic(payload.as_ref()))) {
        Ok(None) => outcome(order, Outcome::Skipped(Reason::NoPicture), begun, None),
        Ok(Some((committed, used))) => settled(work, order, Ok(committed), begun, Some(used)),
        Err(failure) => settled(work, order, Err(failure), begun, None),
    }
}

fn chapters_of(probed: &Probe, left: &Left<'_>) -> Answer {
    let Left { seen, heard } = left;
    let (Some(seen), heard) = (seen.as_ref().map_err(Clone::clone)?, heard.as_ref().map_err(Clone::clone)?) else {
        return Ok(None);
    };
    let shots = seen.shots.as_ref().map_err(Clone::clone)?;
    let (looks, mut used) = taken(seen.sight.as_ref(), "nobody looked for chapters")?;
    let slices = match &heard.slices {
        None => &[][..],
        Some((slices, hearing)) => {
            used.add(*hearing);
            slices.as_ref().map_err(Clone::clone)?
        }
    };
    Ok(Some((chapters::made(shots, probed.time_base(), looks, slices)?, used)))
}

fn moderation_of(work: Work<'_>, probed: &Probe, order: &StepOrder, left: &Left<'_>) -> Answer {
    let (axes, _) = moderation::asked(order)?;
    let (mut watched, mut used): (Option<&Watched>, Meter) = (None, Meter::default());
    if axes.iter().any(|axis| axis.model().is_some())
        && let Some(seen) = left.seen.as_ref().map_err(Clone::clone)?
    {
        let (samples, watching) = taken(seen.watch.as_ref(), "nobody watched for moderation")?;
        (watched, used) = (Some(samples), watching);
    }
    let spoken = if axes.contains(&Axis::Language) { Some(spoken(work, left)?) } else { None };
    let duration = media::stated_duration(probed).unwrap_or(Ticks::ZERO);
    let evidence = Evidence { base: probed.time_base(), duration, watched, spoken: spoken.as_ref() };
    Ok(Some((moderation::made(order, evidence)?, used)))
}

fn fingerprint_of(order: &StepOrder, left: Left<'_>) -> Answer {
    let (seen, heard) = (left.seen?, left.heard?);
    let (mut painted, mut recorded, mut used) = (None, None, Meter::default());
    if let Some(seen) = seen {
        let (found, painting) = seen.painted.ok_or_else(|| internal("nobody looked for the fingerprint"))?;
        painted = Some(found?);
        used.add(painting);
    }
    if let Some((found, recording)) = heard.recorded {
        recorded = Some(found?);
        used.add(recording);
    }
    if painted.is_none() && recorded.is_none() {
        return Ok(None);
    }
    Ok(Some((fingerprint::made(painted, recorded, fingerprint::asked(order))?, used)))
}

/// What is said: as it was heard here, else as an earlier attempt left it.
fn spoken(work: Work<'_>, left: &Left<'_>) -> Result<Spoken, Failure> {
    if let Some(here) = left.heard.as_ref().ok().and_then(|heard| heard.spoken.as_ref()) {
        return here.clone();
    }
    // Between the look at what there is and this, another attempt may have finished the subtitles: they are given next time.
    let missing = || internal("failed to read what is said: the subtitles were finished by another attempt meanwhile");
    match (&work.given.spoken, &left.heard) {
        (Some(given), _) => Ok(given.clone()),
        (None, Err(failure)) => Err(failure.clone()),
        (None, Ok(_)) => Err(missing()),
    }
}

fn taken<'a, T>(from: Option<&'a Found<T>>, nobody: &str) -> Result<(&'a T, Meter), Failure> {
    let (taken, used) = from.ok_or_else(|| internal(nobody))?;
    Ok((taken.as_ref().map_err(Clone::clone)?, *used))
}
