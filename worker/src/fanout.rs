//! Decodes once and hands every picture to every visual step; a step that fails leaves, the others go on.
//! Runs the one decode; does nothing else.

use crate::{
    cpu::Meter,
    picture::{self, DecodeError, Event, Picture, Plan, Summary},
    probe::Probe,
    sandbox::{Sandbox, Source},
};
use showrunner_timeline::Ticks;
use std::{
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Why a step could not go on.
pub type StepError = Box<dyn Error + Send + Sync>;

/// A step that looks at pictures.
pub trait Viewer {
    /// Every frame, in order: a glance of it.
    fn frame(&mut self, _picture: &Picture) -> Result<(), StepError> {
        Ok(())
    }

    /// The analysis picture of some frame, in order, some time after [`Viewer::frame`] of the same `pts`: of the first frame of each
    /// part of a second that the plan asks for, or of smaller parts that others ask for.
    fn sample(&mut self, _picture: &Picture) -> Result<(), StepError> {
        Ok(())
    }

    /// The largest picture of some frame, in order, some time after [`Viewer::frame`] of the same `pts`.
    /// Comes only when the plan asks for candidates.
    fn candidate(&mut self, _picture: &Picture) -> Result<(), StepError> {
        Ok(())
    }
}

/// What became of one decode for many.
#[derive(Debug)]
pub struct Fanout {
    /// The decode: `None` when every step failed before its end, so that it was stopped.
    pub summary: Option<Summary>,
    /// For each viewer, in the order given: why it left early, if it did.
    pub failures: Vec<Option<StepError>>,
    /// For each viewer: the processor time that it used.
    pub used: Vec<Meter>,
}

/// The viewer panicked: a fault of ours, reported like any other failure of that step.
#[derive(Debug, thiserror::Error)]
#[error("the step ended abruptly: {0}")]
pub struct Panicked(String);

/// Nobody is left to look.
#[derive(Debug, thiserror::Error)]
#[error("no step is left that looks at pictures")]
struct NobodyLeft;

/// Decodes the picture once for all `viewers`, telling `shown` the time of each frame. An error is the source's or the sandbox's; a
/// viewer's own is in [`Fanout::failures`].
pub fn view(
    sandbox: &Sandbox,
    source: &Source,
    probe: &Probe,
    plan: &Plan,
    viewers: &mut [&mut dyn Viewer],
    shown: &mut dyn FnMut(Ticks),
) -> Result<Fanout, DecodeError> {
    let mut failures: Vec<Option<StepError>> = viewers.iter().map(|_| None).collect();
    let (mut all, mut used) = (Meter::default(), vec![Meter::default(); viewers.len()]);
    let decoded = all.turn(|| {
        picture::decode(sandbox, source, probe, plan, &mut |event| {
            if let Event::Frame(picture) = &event {
                shown(picture.pts);
            }
            let looking = viewers.iter_mut().zip(&mut failures).zip(&mut used);
            for ((viewer, failure), used) in looking.filter(|((_, failure), _)| failure.is_none()) {
                *failure = used.turn(|| show(*viewer, &event)).err();
            }
            if failures.iter().all(Option::is_some) { Err(NobodyLeft.into()) } else { Ok(()) }
        })
    });
    match decoded {
        Ok(mut summary) => {
            // Handing over what was decoded serves them all, as decoding does.
            let theirs = used.iter().map(|used| used.used()).sum();
            summary.cpu += all.used().saturating_sub(theirs);
            Ok(Fanout { summary: Some(summary), failures, used })
        }
        Err(DecodeError::Stopped(reason)) if reason.is::<NobodyLeft>() => Ok(Fanout { summary: None, failures, used }),
        Err(error) => Err(error),
    }
}

fn show(viewer: &mut dyn Viewer, event: &Event) -> Result<(), StepError> {
    // A viewer that panicked is never called again, so what state it was left in does not matter.
    let shown = catch_unwind(AssertUnwindSafe(|| match event {
        Event::Frame(picture) => viewer.frame(picture),
        Event::Sample(picture) => viewer.sample(picture),
        Event::Candidate(picture) => viewer.candidate(picture),
    }));
    shown.unwrap_or_else(|payload| {
        let text =
            payload.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| payload.downcast_ref::<String>().cloned());
        Err(Panicked(text.unwrap_or_else(|| "no message".to_owned())).into())
    })
}
