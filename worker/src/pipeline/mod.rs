//! A title's way: probe, then picture and sound side by side, each decoded once; every step is committed as soon as it is
//! done and fails alone. Runs media tools through the other rooms; writes through the sink.

mod join;
mod listen;
mod look;

use crate::{
    commit::Sink,
    cpu,
    failure::{internal, of_panic, of_refusal},
    media,
    models::Artefacts,
    probe::{Probe, Wanted, probe},
    progress::{Pass, Tracker},
    sandbox::{self, Sandbox, Source},
    steps::{
        Longest,
        moderation::{self, Spoken},
    },
};
use join::{Left, join};
use listen::{Listened, listen};
use look::{Looked, look};
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
        Mutex, MutexGuard, OnceLock, PoisonError,
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
    /// What earlier attempts left.
    pub given: &'a Given,
    /// What may be used.
    pub limits: &'a Limits,
    /// Where finished work goes.
    pub sink: &'a dyn Sink,
    /// Where progress is counted.
    pub tracker: &'a Tracker,
}

/// What earlier attempts left for steps that read it when it is not to be done.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The title's shots.
    pub shots: Option<ShotsDocument>,
    /// What is said in it.
    pub spoken: Option<Spoken>,
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
    /// Of all of them.
    sound_cpu: Mutex<Option<Duration>>,
}

impl Decodes {
    fn sound_cpu(&self) -> MutexGuard<'_, Option<Duration>> {
        // Nothing panics while it holds the lock.
        self.sound_cpu.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes the whole way. Never fails as a whole: every step has its own outcome.
pub fn run(work: Work<'_>) -> Done {
    let begun = Instant::now();
    work.tracker.doing(Doing::Probing);
    let Shares { visual, audible, joint } = share_out(work.steps);
    let (to_see, to_hear) = (visual.all(), audible.all());
    let others = joint.others();
    let probed = match open(work) {
        Ok(probed) => probed,
        Err(failure) => {
            let steps = work.steps.iter().map(|order| outcome(order, Outcome::Failed(failure.clone()), begun, None)).collect();
            return Done { steps, ..Done::default() };
        }
    };
    let mut passes = Vec::new();
    passes.extend(((!to_see.is_empty() || others.look()) && probed.picture().is_some()).then_some(Pass::Picture));
    passes.extend(((!to_hear.is_empty() || others.listen()) && probed.sound().is_some()).then_some(Pass::Sound));
    work.tracker.begin(&passes);
    let decodes = Decodes::default();
    let (looked, listened) = thread::scope(|scope| {
        // Each decoder's life is tied to the thread that started it, and that thread lives until its pass is over.
        let looking = scope.spawn(|| guarded(&to_see, begun, || look(work, &probed, visual, others, &decodes)));
        let name = cpu::new_name(LISTENING);
        let listening = thread::Builder::new().name(name.clone()).spawn_scoped(scope, {
            let (probed, to_hear, decodes) = (&probed, &to_hear, &decodes);
            move || guarded(to_hear, begun, || listen(work, probed, audible, others, decodes, &name))
        });
        let listened: Listened = match listening.map(thread::ScopedJoinHandle::join) {
            Ok(done) => done.unwrap_or_else(|payload| lost(&to_hear, &of_panic(payload.as_ref()), begun)),
            Err(error) => lost(&to_hear, &internal(format_args!("failed to start a thread: {error}")), begun),
        };
        let looked: Looked<'_> = looking.join().unwrap_or_else(|payload| lost(&to_see, &of_panic(payload.as_ref()), begun));
        (looked, listened)
    });
    let (mut steps, seen) = looked;
    let (of_sound, heard) = listened;
    steps.extend(of_sound);
    steps.extend(join(work, &probed, joint, Left { seen, heard }, begun));
    steps.sort_by_key(|outcome| work.steps.iter().position(|order| order.step == outcome.step));
    let count = |decodes: &AtomicU32| decodes.load(Ordering::Relaxed);
    let told = |cpu: &OnceLock<Duration>| cpu.get().map(|cpu| cpu.as_millis() as u64);
    Done {
        media: Some(media::summary(&probed)),
        steps,
        picture_decodes: count(&decodes.picture),
        sound_decodes: count(&decodes.sound),
        picture_decode_cpu_ms: told(&decodes.picture_cpu),
        sound_decode_cpu_ms: decodes.sound_cpu().map(|cpu| cpu.as_millis() as u64),
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

/// What is to be done with what both passes leave.
#[derive(Clone, Copy, Debug, Default)]
struct Joint<'a> {
    chapters: Option<&'a StepOrder>,
    moderation: Option<&'a StepOrder>,
    fingerprint: Option<&'a StepOrder>,
}

impl<'a> Joint<'a> {
    /// What these steps take from the passes.
    fn others(self) -> Others<'a> {
        let Self { chapters, moderation, fingerprint } = self;
        let looks =
            |order: &&StepOrder| moderation::asked(order).is_ok_and(|(axes, _)| axes.iter().any(|axis| axis.model().is_some()));
        Others { chapters: chapters.is_some(), watch: moderation.filter(looks), fingerprint }
    }
}

/// What the passes do for steps that are done later.
#[derive(Clone, Copy, Debug, Default)]
struct Others<'a> {
    /// Look and listen for chapters.
    chapters: bool,
    /// Watch the picture for moderation.
    watch: Option<&'a StepOrder>,
    /// Look and listen for the print.
    fingerprint: Option<&'a StepOrder>,
}

impl Others<'_> {
    const fn look(self) -> bool {
        self.chapters || self.watch.is_some() || self.fingerprint.is_some()
    }

    const fn listen(&self) -> bool {
        self.chapters || self.fingerprint.is_some()
    }
}

/// Every step in the hands of those who do it.
#[derive(Clone, Copy, Debug, Default)]
struct Shares<'a> {
    visual: Visual<'a>,
    audible: Audible<'a>,
    joint: Joint<'a>,
}

/// Puts every step into the hands of the pass that does it. A step that nobody does does not compile: `docs/adding-a-step.md`.
fn share_out(steps: &[StepOrder]) -> Shares<'_> {
    let mut shares = Shares::default();
    for order in steps {
        let place = match order.step {
            Step::Shots => &mut shares.visual.shots,
            Step::Thumbnails => &mut shares.visual.thumbnails,
            Step::Subtitles => &mut shares.audible.subtitles,
            Step::Chapters => &mut shares.joint.chapters,
            Step::Moderation => &mut shares.joint.moderation,
            Step::Fingerprint => &mut shares.joint.fingerprint,
            // It reads no source: `apart` does it.
            Step::Duplicates => continue,
        };
        *place = Some(order);
    }
    shares
}

/// The sound track that is asked for; the order's check has seen that all steps that listen ask for the same.
fn track(steps: &[StepOrder]) -> Option<u8> {
    steps.iter().find_map(|order| order.params.track())
}

/// Finds out what the source is, and whether it is within the order's limits.
fn open(work: Work<'_>) -> Result<Probe, Failure> {
    let language = work.steps.iter().find_map(|order| match &order.params {
        StepParams::Subtitles { language, .. } => language.as_deref(),
        _ => None,
    });
    let wanted = Wanted { language, track: track(work.steps) };
    let probed = probe(work.sandbox, work.source, wanted).map_err(|refusal| of_refusal(&refusal))?;
    if let Some(duration) = media::stated_duration(&probed) {
        longest(work, probed.time_base()).check(duration)?;
    }
    Ok(probed)
}

/// A pass whose panic costs its own steps, and those that need what it would have left, only.
fn guarded<T>(
    orders: &[&StepOrder],
    begun: Instant,
    pass: impl FnOnce() -> (Vec<StepOutcome>, Result<T, Failure>),
) -> (Vec<StepOutcome>, Result<T, Failure>) {
    // What the pass left behind is not looked at again; steps it had committed are found by their key.
    catch_unwind(AssertUnwindSafe(pass)).unwrap_or_else(|payload| lost(orders, &of_panic(payload.as_ref()), begun))
}

/// A pass that came to nothing.
fn lost<T>(orders: &[&StepOrder], failure: &Failure, begun: Instant) -> (Vec<StepOutcome>, Result<T, Failure>) {
    (all(orders, failure, begun), Err(failure.clone()))
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
    let seconds = |at| format!("{:.1} s", base.to_seconds(at));
    let (reached, detail) = (seconds(shortfall.reached), &shortfall.detail);
    let (how, cure) = match shortfall.goes_on {
        None => {
            let of = shortfall.stated.map_or_else(String::new, |stated| format!(" of {}", seconds(stated)));
            (format!("it breaks off at {reached}{of}"), "upload the source again, whole")
        }
        Some(later) if later > shortfall.reached => {
            (format!("there is none between {reached} and {}", seconds(later)), "upload the source again, undamaged")
        }
        Some(earlier) => (
            format!("its clock goes back from {reached} to {}", seconds(earlier)),
            "write the file anew so that one clock runs through it, and upload that",
        ),
    };
    Failure::new(Reason::SourceTruncated, &format!("failed to decode all of the {what}: {how} ({detail}); {cure}"))
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
    use showrunner_contracts::{
        Digest,
        step::{Axis, ShotsProfile},
    };
    use strum::IntoEnumIterator as _;

    #[test]
    fn every_step_is_in_the_hands_of_the_pass_that_its_kind_names() {
        let params = |step| match step {
            Step::Shots => StepParams::Shots { profile: ShotsProfile::Fast },
            Step::Thumbnails => StepParams::Thumbnails { select: 1, sprite_interval_ms: 1000, exclude_nudity_at_or_above: 3 },
            Step::Subtitles => StepParams::Subtitles { language: None, max_chars_per_second: 20, track: None },
            Step::Chapters => StepParams::Chapters { track: None },
            Step::Moderation => StepParams::Moderation { axes: vec![Axis::Nudity], sample_fps: 1 },
            Step::Fingerprint => StepParams::Fingerprint { query: true, track: None },
            Step::Duplicates => StepParams::Duplicates {},
        };
        let order = |step: Step| StepOrder {
            step,
            key: Digest::of(step.to_string().as_bytes()),
            algorithm_version: step.algorithm_version(),
            params: params(step),
            models: Vec::new(),
            result_url: String::new(),
        };
        let (steps, apart): (Vec<StepOrder>, Vec<StepOrder>) =
            Step::iter().map(order).partition(|order| order.step.reads_source());
        assert_eq!(apart.iter().map(|order| order.step).collect::<Vec<_>>(), [Step::Duplicates]);
        let Shares { visual, audible, joint } = share_out(&steps);
        let Joint { chapters, moderation, fingerprint } = joint;
        let joint: Vec<&StepOrder> = [chapters, moderation, fingerprint].into_iter().flatten().collect();
        let held = [(visual.all(), (true, false)), (audible.all(), (false, true))];
        assert_eq!(held.iter().map(|(orders, _)| orders.len()).sum::<usize>() + joint.len(), steps.len());
        for (orders, senses) in held {
            assert!(orders.iter().all(|order| (order.step.sees(), order.step.hears()) == senses), "{orders:?}");
        }
        // Of both senses, or of what another step heard.
        let both = |order: &StepOrder| order.step.sees() && (order.step.hears() || order.step == Step::Moderation);
        assert!(joint.into_iter().all(both));
    }
}
