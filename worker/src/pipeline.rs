//! A title's way: probe, then picture and sound side by side, each decoded once; every step is committed as soon as it is
//! done and fails alone. Runs media tools through the other rooms; writes through the sink.

use crate::{
    commit::{Sink, commit},
    cpu::{self, Meter},
    failure::{internal, of_decode, of_panic, of_refusal},
    fanout, media,
    models::Artefacts,
    picture::Plan,
    probe::{Probe, probe},
    progress::{Pass, Tracker},
    sandbox::{self, Sandbox, Source},
    sound,
    steps::{
        Longest, failure_in,
        shots::{self, Motions, Shots},
        subtitles::{Heard, Subtitles},
        thumbnails::Thumbnails,
    },
};
use showrunner_contracts::{
    documents::ShotsDocument,
    manifest::MediaSummary,
    progress::Doing,
    result::{Failure, Outcome, Reason, StepOutcome},
    step::{Step, StepParams},
    work_order::{Limits, StepOrder},
};
use showrunner_timeline::{Ticks, TimeBase};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Everything a title's way needs.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// Models and tools.
    pub artefacts: &'a Artefacts,
    /// Where media tools run.
    pub sandbox: &'a Sandbox,
    /// The title.
    pub source: &'a Source,
    /// What to do, dependencies first.
    pub steps: &'a [StepOrder],
    /// Shots of an earlier attempt, for a step that reads them when they are not to be done.
    pub given_shots: Option<&'a ShotsDocument>,
    /// What may be used.
    pub limits: &'a Limits,
    /// Where finished work goes.
    pub sink: &'a dyn Sink,
    /// Where progress is counted.
    pub tracker: &'a Tracker,
}

/// What became of a title.
#[derive(Debug, Default)]
pub struct Done {
    /// What it is; `None` when it could not be opened.
    pub media: Option<MediaSummary>,
    /// One outcome for each step, in their order.
    pub steps: Vec<StepOutcome>,
    /// Picture decoders started.
    pub picture_decodes: u32,
    /// Sound decoders started.
    pub sound_decodes: u32,
    /// Processor time of decoding the picture and handing it over, milliseconds; `None` where that did not come to its end.
    pub picture_decode_cpu_ms: Option<u64>,
    /// Processor time of decoding the sound, milliseconds; `None` where that did not come to its end.
    pub sound_decode_cpu_ms: Option<u64>,
}

/// Whose threads are told by name.
const LISTENING: &str = "speech";

/// Decoders started, by pass.
#[derive(Debug, Default)]
struct Decodes {
    picture: AtomicU32,
    sound: AtomicU32,
    picture_cpu: OnceLock<Duration>,
    sound_cpu: OnceLock<Duration>,
}

/// Goes the whole way. Never fails as a whole: every step has its own outcome.
pub fn run(work: Work<'_>) -> Done {
    let begun = Instant::now();
    work.tracker.doing(Doing::Probing);
    let (visual, audible) = share_out(work.steps);
    let (seen, heard) = (visual.all(), audible.all());
    let probed = match open(work) {
        Ok(probed) => probed,
        Err(failure) => {
            let steps = work.steps.iter().map(|order| outcome(order, Outcome::Failed(failure.clone()), begun, None)).collect();
            return Done { steps, ..Done::default() };
        }
    };
    let mut passes = Vec::new();
    passes.extend((!seen.is_empty() && probed.picture().is_some()).then_some(Pass::Picture));
    passes.extend((!heard.is_empty() && probed.sound().is_some()).then_some(Pass::Sound));
    work.tracker.begin(&passes);
    let decodes = Decodes::default();
    let mut steps = thread::scope(|scope| {
        // Each decoder's life is tied to the thread that started it, and that thread lives until its pass is over.
        let looking = scope.spawn(|| guarded(&seen, begun, || look(work, &probed, visual, &decodes)));
        let name = cpu::new_name(LISTENING);
        let listening = thread::Builder::new().name(name.clone()).spawn_scoped(scope, {
            let (probed, heard, decodes) = (&probed, &heard, &decodes);
            move || guarded(heard, begun, || listen(work, probed, audible, decodes, &name))
        });
        let mut steps = match listening.map(thread::ScopedJoinHandle::join) {
            Ok(done) => done.unwrap_or_else(|payload| all(&heard, &of_panic(payload.as_ref()), begun)),
            Err(error) => all(&heard, &internal(format_args!("failed to start a thread: {error}")), begun),
        };
        let looked = looking.join();
        steps.extend(looked.unwrap_or_else(|payload| all(&seen, &of_panic(payload.as_ref()), begun)));
        steps
    });
    steps.sort_by_key(|outcome| work.steps.iter().position(|order| order.step == outcome.step));
    let count = |decodes: &AtomicU32| decodes.load(Ordering::Relaxed);
    let told = |cpu: &OnceLock<Duration>| cpu.get().map(|cpu| cpu.as_millis() as u64);
    Done {
        media: Some(media::summary(&probed)),
        steps,
        picture_decodes: count(&decodes.picture),
        sound_decodes: count(&decodes.sound),
        picture_decode_cpu_ms: told(&decodes.picture_cpu),
        sound_decode_cpu_ms: told(&decodes.sound_cpu),
    }
}

/// What the pass through the picture is to do. Whoever reads this names every step of it, so that none is forgotten.
#[derive(Clone, Copy, Debug, Default)]
struct Visual<'a> {
    shots: Option<&'a StepOrder>,
    thumbnails: Option<&'a StepOrder>,
}

impl<'a> Visual<'a> {
    fn all(self) -> Vec<&'a StepOrder> {
        let Self { shots, thumbnails } = self;
        [shots, thumbnails].into_iter().flatten().collect()
    }
}

/// What the pass through the sound is to do.
#[derive(Clone, Copy, Debug, Default)]
struct Audible<'a> {
    subtitles: Option<&'a StepOrder>,
}

impl<'a> Audible<'a> {
    fn all(self) -> Vec<&'a StepOrder> {
        let Self { subtitles } = self;
        subtitles.into_iter().collect()
    }
}

/// Puts every step into the hands of the pass that does it. A step that nobody does does not compile: `docs/adding-a-step.md`.
fn share_out(steps: &[StepOrder]) -> (Visual<'_>, Audible<'_>) {
    let (mut visual, mut audible) = (Visual::default(), Audible::default());
    for order in steps {
        let place = match order.step {
            Step::Shots => &mut visual.shots,
            Step::Thumbnails => &mut visual.thumbnails,
            Step::Subtitles => &mut audible.subtitles,
        };
        *place = Some(order);
    }
    (visual, audible)
}

/// Finds out what the source is, and whether it is within the order's limits.
fn open(work: Work<'_>) -> Result<Probe, Failure> {
    let language = work.steps.iter().find_map(|order| match &order.params {
        StepParams::Subtitles { language, .. } => language.as_deref(),
        _ => None,
    });
    let probed = probe(work.sandbox, work.source, language).map_err(|refusal| of_refusal(&refusal))?;
    if let Some(duration) = media::stated_duration(&probed) {
        longest(work, probed.time_base()).check(duration)?;
    }
    Ok(probed)
}

/// The pass through the picture.
fn look(work: Work<'_>, probed: &Probe, visual: Visual<'_>, decodes: &Decodes) -> Vec<StepOutcome> {
    let begun = Instant::now();
    let Visual { shots: for_shots, thumbnails: for_thumbnails } = visual;
    let orders = &visual.all();
    if orders.is_empty() || probed.picture().is_none() {
        return orders.iter().map(|order| outcome(order, Outcome::Skipped(Reason::NoPicture), begun, None)).collect();
    }
    let (base, motions) = (probed.time_base(), Motions::default());
    // The detector runs for thumbnails, too, when the shots are given: how much frames move is part of their measure.
    let stills = for_shots.is_some();
    let mut shots = Shots::new(base, longest(work, base), seconds(probed), &motions, work.tracker, stills);
    let mut preparing = Meter::default();
    let new = |order| Thumbnails::new(order, base, longest(work, base), &motions, work.artefacts);
    let (mut thumbnails, unready) = match for_thumbnails.map(|order| preparing.turn(|| new(order))) {
        None => (None, None),
        Some(Ok(thumbnails)) => (Some(thumbnails), None),
        Some(Err(failure)) => (None, Some(failure)),
    };
    if thumbnails.is_none() && for_shots.is_none() {
        return all(orders, &unready.unwrap_or_else(|| internal("there is nothing to look for")), begun);
    }
    let plan = Plan { candidates: thumbnails.is_some(), threads: work.limits.threads, limits: child_limits(work.limits) };
    decodes.picture.fetch_add(1, Ordering::Relaxed);
    let viewed = {
        let mut viewers = vec![&mut shots as &mut dyn fanout::Viewer];
        viewers.extend(thumbnails.as_mut().map(|thumbnails| thumbnails as &mut dyn fanout::Viewer));
        fanout::view(work.sandbox, work.source, probed, &plan, &mut viewers)
    };
    let viewed = match viewed {
        Ok(viewed) => viewed,
        Err(error) => return all(orders, &of_decode(&error), begun),
    };
    if let Some(summary) = &viewed.summary {
        let _ = decodes.picture_cpu.set(summary.cpu);
    }
    let mut used = viewed.used.into_iter();
    let (mut shots_used, mut thumbnails_used) = (used.next().unwrap_or_default(), used.next().unwrap_or_default());
    thumbnails_used.add(preparing);
    let mut failures = viewed.failures.into_iter().map(|failure| failure.map(failure_in));
    let (shots_failed, thumbnails_failed) = (failures.next().flatten(), failures.next().flatten().or(unready));
    let end = match (viewed.summary, &shots_failed) {
        (Some(summary), _) => match summary.shortfall {
            Some(shortfall) => return all(orders, &cut_short("picture", &shortfall, base), begun),
            None => Ok(summary.end),
        },
        (None, Some(failure)) => Err(failure.clone()),
        (None, None) => Err(internal("the decoder was stopped and no step says why")),
    };
    work.tracker.doing(Doing::Committing);
    let found = match (shots_failed, end) {
        (Some(failure), _) | (None, Err(failure)) => Err(failure),
        (None, Ok(end)) => shots_used.turn(|| shots.finish(end)),
    };
    let mut outcomes = Vec::new();
    if let Some(order) = for_shots {
        let committed = shots_used.turn(|| {
            let made = found.as_ref().map(shots::made).map_err(Clone::clone);
            made.and_then(|made| commit(work.sink, order, &media::summary(probed), made))
        });
        outcomes.push(settled(work, order, committed, begun, Some(shots_used.used())));
    } else {
        // It looked for the thumbnails alone.
        thumbnails_used.add(shots_used);
    }
    if let Some(order) = for_thumbnails {
        let shots = match (work.given_shots, &found) {
            (Some(given), _) => Ok(given),
            (None, Ok(found)) => Ok(&found.document),
            (None, Err(failure)) => Err(failure.clone()),
        };
        let committed = thumbnails_used.turn(|| {
            let made = match (thumbnails_failed, thumbnails) {
                (Some(failure), _) => Err(failure),
                (None, Some(thumbnails)) => shots.and_then(|shots| thumbnails.finish(shots)),
                (None, None) => Err(internal("thumbnails were neither made nor refused")),
            };
            made.and_then(|made| commit(work.sink, order, &media::summary(probed), made))
        });
        outcomes.push(settled(work, order, committed, begun, Some(thumbnails_used.used())));
    }
    outcomes
}

/// The pass through the sound, on a thread that is called `name`.
fn listen(work: Work<'_>, probed: &Probe, audible: Audible<'_>, decodes: &Decodes, name: &str) -> Vec<StepOutcome> {
    let begun = Instant::now();
    let Audible { subtitles: order } = audible;
    let Some(order) = order else { return Vec::new() };
    if probed.sound().is_none() {
        return vec![outcome(order, Outcome::Skipped(Reason::NoSound), begun, None)];
    }
    let mut subtitles = None;
    let heard = hear(work, probed, order, decodes, &mut subtitles).and_then(|heard| match heard {
        Heard::NoSpeech => Ok(None),
        Heard::Made(made) => commit(work.sink, order, &media::summary(probed), *made).map(Some),
    });
    // The models' own threads end, and are told no more, when the models go.
    let ended = subtitles.as_ref().map_or(Duration::ZERO, Subtitles::ended_threads);
    let used = cpu::of_threads_named(name).map(|living| living + ended);
    drop(subtitles);
    vec![match heard {
        Ok(None) => outcome(order, Outcome::Skipped(Reason::NoSpeech), begun, used),
        Ok(Some(committed)) => settled(work, order, Ok(committed), begun, used),
        Err(failure) => settled(work, order, Err(failure), begun, used),
    }]
}

/// Decodes the sound into `subtitles`, which it prepares and leaves there.
fn hear(
    work: Work<'_>,
    probed: &Probe,
    order: &StepOrder,
    decodes: &Decodes,
    subtitles: &mut Option<Subtitles>,
) -> Result<Heard, Failure> {
    let clock = sound::time_base();
    let subtitles = subtitles.insert(Subtitles::new(work.artefacts, &order.models, &order.params, longest(work, clock))?);
    decodes.sound.fetch_add(1, Ordering::Relaxed);
    let all_seconds = seconds(probed);
    let mut stopped = None;
    let heard = sound::decode(work.sandbox, work.source, probed, child_limits(work.limits), &mut |chunk| {
        work.tracker.at(Pass::Sound, clock.to_seconds(chunk.start), all_seconds);
        subtitles.hear(&chunk).map_err(|error| {
            stopped = Some(failure_in(error));
            "the step subtitles failed".into()
        })
    });
    match (stopped, heard) {
        (Some(failure), _) => Err(failure),
        (None, Err(error)) => Err(of_decode(&error)),
        (None, Ok(summary)) => {
            let _ = decodes.sound_cpu.set(summary.cpu);
            match summary.shortfall {
                Some(shortfall) => Err(cut_short("sound", &shortfall, clock)),
                None => subtitles.finish(),
            }
        }
    }
}

/// A pass whose panic costs its own steps only.
fn guarded(orders: &[&StepOrder], begun: Instant, pass: impl FnOnce() -> Vec<StepOutcome>) -> Vec<StepOutcome> {
    // What the pass left behind is not looked at again; steps it had committed are found by their key.
    catch_unwind(AssertUnwindSafe(pass)).unwrap_or_else(|payload| all(orders, &of_panic(payload.as_ref()), begun))
}

fn settled(
    work: Work<'_>,
    order: &StepOrder,
    committed: Result<showrunner_contracts::Digest, Failure>,
    begun: Instant,
    used: Option<Duration>,
) -> StepOutcome {
    match committed {
        Ok(result) => {
            work.tracker.done(order.step);
            outcome(order, Outcome::Done { result }, begun, used)
        }
        Err(failure) => {
            tracing::error!(step = %order.step, reason = %failure.reason, message = failure.message, "the step failed");
            outcome(order, Outcome::Failed(failure), begun, used)
        }
    }
}

fn all(orders: &[&StepOrder], failure: &Failure, begun: Instant) -> Vec<StepOutcome> {
    orders.iter().map(|order| outcome(order, Outcome::Failed(failure.clone()), begun, None)).collect()
}

fn outcome(order: &StepOrder, outcome: Outcome, begun: Instant, used: Option<Duration>) -> StepOutcome {
    let (wall_ms, cpu_ms) = (begun.elapsed().as_millis() as u64, used.map(|used| used.as_millis() as u64));
    StepOutcome { step: order.step, key: order.key.clone(), outcome, wall_ms, cpu_ms }
}

fn cut_short(what: &str, shortfall: &crate::picture::Shortfall, base: TimeBase) -> Failure {
    let of = shortfall.stated.map_or_else(String::new, |stated| format!(" of {:.1} s", base.to_seconds(stated)));
    let message = format!(
        "failed to decode all of the {what}: it breaks off at {:.1} s{of} ({}); upload the source again, whole",
        base.to_seconds(shortfall.reached),
        shortfall.detail
    );
    Failure::new(Reason::SourceTruncated, &message)
}

fn longest(work: Work<'_>, base: TimeBase) -> Longest {
    let seconds = work.limits.max_media_seconds;
    Longest { ticks: base.from_millis(i64::from(seconds).saturating_mul(1_000)), seconds }
}

fn child_limits(limits: &Limits) -> sandbox::Limits {
    let wall = Duration::from_secs(u64::from(limits.run_seconds));
    let cpu_seconds = u64::from(limits.run_seconds) * u64::from(limits.threads);
    sandbox::Limits { wall: wall.min(sandbox::Limits::DECODE.wall), cpu_seconds, memory_bytes: limits.child_memory_bytes }
}

/// The title's stated length, seconds; 0 where it is not known. For progress only.
fn seconds(probed: &Probe) -> f64 {
    media::stated_duration(probed).map_or(0.0, |ticks: Ticks| probed.time_base().to_seconds(ticks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use showrunner_contracts::Digest;
    use strum::IntoEnumIterator as _;

    #[test]
    fn every_step_is_in_the_hands_of_the_pass_that_its_kind_names() {
        let params = |step| match step {
            Step::Shots => StepParams::Shots {},
            Step::Thumbnails => StepParams::Thumbnails { select: 1, sprite_interval_ms: 1000 },
            Step::Subtitles => StepParams::Subtitles { language: None, max_chars_per_second: 20 },
        };
        let order = |step: Step| StepOrder {
            step,
            key: Digest::of(step.to_string().as_bytes()),
            algorithm_version: step.algorithm_version(),
            params: params(step),
            models: Vec::new(),
            result_url: String::new(),
        };
        let steps: Vec<StepOrder> = Step::iter().map(order).collect();
        let (visual, audible) = share_out(&steps);
        let kinds = |orders: Vec<&StepOrder>| orders.into_iter().map(|order| order.step).collect::<Vec<_>>();
        let (seen, heard) = (kinds(visual.all()), kinds(audible.all()));
        assert_eq!(seen.len() + heard.len(), steps.len());
        assert!(seen.iter().all(|step| step.is_visual()) && !heard.iter().any(|step| step.is_visual()), "{seen:?} {heard:?}");
    }
}
