//! The pass through the sound: one decode for all that listen to it.

use super::{
    Audible, Decodes, Others, Work, all, child_limits, cut_short, longest, look::Found, outcome, seconds, settled, track,
};
use crate::{
    commit::commit,
    cpu::{self, Meter},
    failure::{of_decode, of_panic, of_refusal},
    fanout::StepError,
    media,
    probe::Probe,
    progress::Pass,
    sound::{self, Chunk},
    steps::{
        chapters::Hearing,
        failure_in,
        fingerprint::{self, Recorded, Recording},
        moderation::Spoken,
        subtitles::{self, Heard, Subtitles},
    },
};
use showrunner_chapters::Sound;
use showrunner_contracts::{
    result::{Failure, Outcome, Reason, StepOutcome},
    work_order::StepOrder,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

/// What a step that needs more than the sound takes from this pass.
#[derive(Debug, Default)]
pub(super) struct Sounds {
    /// Slices, and what listening used; none where the title has no sound, or nobody asked.
    pub(super) slices: Option<Found<Vec<Sound>>>,
    /// What the print is made of, and what listening used; as the slices.
    pub(super) recorded: Option<Found<Recorded>>,
    /// What is said; none where that is not found out here.
    pub(super) spoken: Option<Result<Spoken, Failure>>,
}

/// The steps that are done with this pass, and what it leaves to others where they ask for it.
pub(super) type Listened = (Vec<StepOutcome>, Result<Sounds, Failure>);

/// Everyone who listens, each until it fails.
struct Listeners {
    subtitles: Option<Result<Subtitles, Failure>>,
    ear: Option<Result<Hearing, Failure>>,
    ear_used: Meter,
    recording: Option<Result<Recording, Failure>>,
    recording_used: Meter,
}

impl Listeners {
    /// Lets all hear that can. An error: nobody is left.
    fn hear(&mut self, chunk: &Chunk<'_>) -> Result<(), StepError> {
        if let Some(Ok(subtitles)) = &mut self.subtitles {
            // One that panicked is never called again, so what state it was left in does not matter.
            let heard = catch_unwind(AssertUnwindSafe(|| subtitles.hear(chunk).map_err(failure_in)));
            if let Err(failure) = heard.unwrap_or_else(|payload| Err(of_panic(payload.as_ref()))) {
                self.subtitles = Some(Err(failure));
            }
        }
        if let Some(Ok(ear)) = &mut self.ear
            && let Err(error) = self.ear_used.turn(|| ear.hear(chunk))
        {
            self.ear = Some(Err(failure_in(error)));
        }
        if let Some(Ok(recording)) = &mut self.recording
            && let Err(error) = self.recording_used.turn(|| recording.hear(chunk))
        {
            self.recording = Some(Err(failure_in(error)));
        }
        self.left()
    }

    fn left(&self) -> Result<(), StepError> {
        let Self { subtitles, ear, recording, .. } = self;
        let left = matches!(subtitles, Some(Ok(_))) || matches!(ear, Some(Ok(_))) || matches!(recording, Some(Ok(_)));
        if left { Ok(()) } else { Err("no step is left that listens to the sound".into()) }
    }

    /// What befell the sound befalls all who are left.
    fn fail(&mut self, failure: &Failure) {
        if let Some(subtitles @ Ok(_)) = &mut self.subtitles {
            *subtitles = Err(failure.clone());
        }
        if let Some(ear @ Ok(_)) = &mut self.ear {
            *ear = Err(failure.clone());
        }
        if let Some(recording @ Ok(_)) = &mut self.recording {
            *recording = Err(failure.clone());
        }
    }
}

/// Goes through the sound, on a thread that is called `name`; for `others` that are done later, too. Where words are listened to in
/// another sound than the plain one, the others have that to themselves.
pub(super) fn listen(
    work: Work<'_>,
    probed: &Probe,
    audible: Audible<'_>,
    others: Others<'_>,
    decodes: &Decodes,
    name: &str,
) -> Listened {
    let plain = probed.with_plain_sound().filter(|_| others.listen());
    let Some(plain) = plain else { return listen_to(work, probed, audible, others, decodes, name) };
    let nobody = Others { chapters: false, fingerprint: None, ..others };
    let (steps, words) = listen_to(work, probed, audible, nobody, decodes, name);
    let (_, heard) = listen_to(work, &plain, Audible::default(), others, decodes, name);
    let spoken = match words {
        Ok(words) => words.spoken,
        Err(failure) => Some(Err(failure)),
    };
    (steps, heard.map(|heard| Sounds { spoken, ..heard }))
}

/// One pass through one sound.
fn listen_to(
    work: Work<'_>,
    probed: &Probe,
    audible: Audible<'_>,
    others: Others<'_>,
    decodes: &Decodes,
    name: &str,
) -> Listened {
    let begun = Instant::now();
    let Audible { subtitles: order } = audible;
    if let Some(refusal) = track(work.steps).and_then(|track| probed.lacks(track)) {
        let failure = of_refusal(&refusal);
        return (all(order.as_slice(), &failure, begun), Err(failure));
    }
    if probed.sound().is_none() || (order.is_none() && !others.listen()) {
        let skipped = order.map(|order| outcome(order, Outcome::Skipped(Reason::NoSound), begun, None));
        let spoken = order.map(|_| Ok(Spoken::Nothing(Reason::NoSound)));
        return (skipped.into_iter().collect(), Ok(Sounds { spoken, ..Sounds::default() }));
    }
    let longest = longest(work, sound::time_base());
    let new = |order: &StepOrder| Subtitles::new(work.artefacts, &order.models, &order.params, longest);
    let mut listeners = Listeners {
        subtitles: order.map(new),
        ear: others.chapters.then(|| Ok(Hearing::new(longest))),
        ear_used: Meter::default(),
        recording: others.fingerprint.map(|order| Ok(Recording::new(longest, fingerprint::asked(order)))),
        recording_used: Meter::default(),
    };
    if listeners.left().is_ok() {
        hear(work, probed, decodes, &mut listeners);
    }
    let Listeners { mut subtitles, ear, ear_used, recording, mut recording_used } = listeners;
    let (mut steps, mut spoken) = (Vec::new(), None);
    if let (Some(order), Some(subtitles)) = (order, &mut subtitles) {
        let (step, said) = finish(work, probed, order, subtitles, begun, name, ear_used.used() + recording_used.used());
        steps.push(step);
        spoken = Some(said);
    }
    drop(subtitles);
    let slices = ear.map(|ear| (ear.map(Hearing::finish), ear_used));
    let recorded = recording.map(|recording| (recording_used.turn(|| recording.map(Recording::finish)), recording_used));
    (steps, Ok(Sounds { slices, recorded, spoken }))
}

/// Decodes the sound for all listeners.
fn hear(work: Work<'_>, probed: &Probe, decodes: &Decodes, listeners: &mut Listeners) {
    let clock = sound::time_base();
    decodes.sound.fetch_add(1, Ordering::Relaxed);
    let all_seconds = seconds(probed);
    let decoded = sound::decode(work.sandbox, work.source, probed, child_limits(work.limits), &mut |chunk| {
        work.tracker.at(Pass::Sound, clock.to_seconds(chunk.start), all_seconds);
        listeners.hear(&chunk)
    });
    match decoded {
        // Where nobody was left, each has said why.
        Err(error) => listeners.fail(&of_decode(&error)),
        Ok(summary) => {
            *decodes.sound_cpu().get_or_insert_default() += summary.cpu;
            if let Some(shortfall) = summary.shortfall {
                listeners.fail(&cut_short("sound", &shortfall, clock));
            }
        }
    }
}

fn finish(
    work: Work<'_>,
    probed: &Probe,
    order: &StepOrder,
    subtitles: &mut Result<Subtitles, Failure>,
    begun: Instant,
    name: &str,
    others_used: Duration,
) -> (StepOutcome, Result<Spoken, Failure>) {
    let made = subtitles.as_mut().map_err(|failure| failure.clone()).and_then(Subtitles::finish);
    let spoken = made.as_ref().map_err(Clone::clone).and_then(|heard| match heard {
        Heard::NoSpeech => Ok(Spoken::Nothing(Reason::NoSpeech)),
        Heard::Made(made) => subtitles::said(made).map(Spoken::Cues),
    });
    let committed = made.and_then(|heard| match heard {
        Heard::NoSpeech => Ok(None),
        Heard::Made(made) => commit(work.sink, order, &media::summary(probed), *made).map(Some),
    });
    // The models' own threads end, and are told no more, when the models go.
    let ended = subtitles.as_ref().map_or(Duration::ZERO, Subtitles::ended_threads);
    let used = cpu::of_threads_named(name).map(|living| (living + ended).saturating_sub(others_used));
    let step = match committed {
        Ok(None) => outcome(order, Outcome::Skipped(Reason::NoSpeech), begun, used),
        Ok(Some(committed)) => settled(work, order, Ok(committed), begun, used),
        Err(failure) => settled(work, order, Err(failure), begun, used),
    };
    (step, spoken)
}
