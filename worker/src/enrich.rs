//! The whole pipeline on one file, without store and cluster: for people who want to see what it gives, and for tests.
//! Reads one media file and the models; writes one folder.

use crate::{
    cli::policy,
    commit::FolderSink,
    cpu,
    failure::internal,
    models::Artefacts,
    pipeline::{self, Done, Given, Work},
    progress::Tracker,
    sandbox::{Sandbox, Source},
    steps::{pretty, quality},
};
use clap::Args;
use sha2::{Digest as _, Sha256};
use showrunner_contracts::{
    Digest, Document as _, MAX_DOCUMENT_BYTES,
    manifest::{AxisSummary, Origin, PublishedStep, StepSummary, TitleManifest},
    result::{Failure, Outcome, Output, Reason, RunRecord, StepResult, UnitResult},
    step::{
        Axis, ModelRef, NUDITY_LIMIT, NUDITY_MODEL, SHOTS_MODEL, ShotsProfile, SourceIdentity, Step, StepParams, step_key,
        unit_key,
    },
    work_order::{Limits, StepOrder},
};
use std::{
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Instant,
};
use strum::IntoEnumIterator as _;

/// Bytes hashed at a time.
const BLOCK: usize = 1 << 20;
/// The store that a file by hand stands in.
const STORE: &str = "file";

/// What to do, and with what.
#[derive(Clone, Debug, Args)]
pub struct EnrichArguments {
    /// The media file.
    pub file: PathBuf,
    /// Folder for everything that is made.
    #[arg(long)]
    pub out: PathBuf,
    /// Language of the speech, such as `en`; detected when left out.
    #[arg(long)]
    pub language: Option<String>,
    /// Which sound track to listen to, from 1.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    pub audio_track: Option<u8>,
    /// Speech model.
    #[arg(long, default_value = "whisper-base")]
    pub speech_model: String,
    /// Who decides where shots begin: `fast` rules alone, or `accurate`, with a network where they are in doubt.
    #[arg(long, default_value = "fast", value_parser = shots_profile)]
    pub shots_profile: ShotsProfile,
    /// How many thumbnails to pick, 1 to 8.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub select: u8,
    /// Milliseconds between trick-play pictures.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(500..))]
    pub sprite_interval_ms: u32,
    /// Level of nudity, 1 to 5, from which on a picture is not picked.
    #[arg(long, default_value_t = NUDITY_LIMIT, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub exclude_nudity_at_or_above: u8,
    /// Most characters a second that a cue asks to be read.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..))]
    pub max_chars_per_second: u8,
    /// Pictures that moderation looks at, a second.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub sample_fps: u8,
    /// Steps to do, separated by commas, such as `shots,chapters`; all without. A step brings no other with it.
    #[arg(long, value_delimiter = ',', value_parser = step)]
    pub only: Vec<Step>,
    /// Decoder threads.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
    /// Longest title accepted, seconds.
    #[arg(long, default_value_t = 24 * 3_600)]
    pub max_media_seconds: u32,
    /// Run media tools with limits only where they cannot be confined. For trusted files.
    #[arg(long)]
    pub allow_unconfined_tools: bool,
}

/// A step of one file alone: what needs others to compare it with is not offered.
fn step(name: &str) -> Result<Step, String> {
    let offered = || Step::iter().filter(|step| step.reads_source());
    let known = || offered().map(|step| step.to_string()).collect::<Vec<_>>().join(", ");
    offered().find(|step| step.to_string() == name).ok_or_else(|| format!("there is no such step; there are {}", known()))
}

fn shots_profile(name: &str) -> Result<ShotsProfile, String> {
    match name {
        "fast" => Ok(ShotsProfile::Fast),
        "accurate" => Ok(ShotsProfile::Accurate),
        _ => Err("there is no such profile; there are fast, accurate".to_owned()),
    }
}

/// What was made of the file, shown as a table.
#[derive(Debug)]
pub struct Report {
    file: PathBuf,
    out: PathBuf,
    unit: UnitResult,
    manifest: TitleManifest,
    tool_starts: u32,
}

impl Report {
    /// Whether no step failed.
    pub fn all_done(&self) -> bool {
        !self.unit.steps.iter().any(|step| matches!(step.outcome, Outcome::Failed(_)))
    }

    /// Every step's outcome and what all of it took.
    pub const fn unit(&self) -> &UnitResult {
        &self.unit
    }
}

/// Does all steps on one file. `launcher` is the worker's own binary. An error is one before any step.
pub fn enrich(arguments: &EnrichArguments, launcher: &Path) -> Result<Report, Failure> {
    let begun = Instant::now();
    let unreadable = |error: io::Error| internal(format_args!("failed to read {}: {error}", arguments.file.display()));
    let identity = identify(&arguments.file).map_err(unreadable)?;
    let source = Source::open(&arguments.file).map_err(unreadable)?;
    let artefacts = Artefacts::from_environment();
    let sandbox = Sandbox::new(launcher, artefacts.root(), policy(arguments.allow_unconfined_tools)).map_err(internal)?;
    let steps = orders(arguments, &identity, &artefacts)?;
    let sink = FolderSink::new(&arguments.out)
        .map_err(|error| internal(format_args!("failed to make {}: {error}", arguments.out.display())))?;
    let limits = Limits {
        run_seconds: 24 * 3_600,
        threads: arguments.threads,
        child_memory_bytes: crate::sandbox::Limits::DECODE.memory_bytes,
        max_media_seconds: arguments.max_media_seconds,
    };
    let tracker = Tracker::default();
    let done = pipeline::run(Work {
        artefacts: &artefacts,
        sandbox: &sandbox,
        source: &source,
        steps: &steps,
        given: &Given::default(),
        limits: &limits,
        sink: &sink,
        tracker: &tracker,
    });
    let (manifest, unit) = (manifest(&done, &identity, &arguments.out)?, unit(done, &steps, &sandbox, begun));
    sink.write("manifest.json", &pretty(&manifest))?;
    sink.write("unit-result.json", &pretty(&unit))?;
    Ok(Report { file: arguments.file.clone(), out: arguments.out.clone(), unit, manifest, tool_starts: sandbox.starts() })
}

fn identify(path: &Path) -> io::Result<SourceIdentity> {
    let (mut file, mut hasher, mut block) = (File::open(path)?, Sha256::new(), vec![0; BLOCK]);
    let mut size_bytes = 0;
    loop {
        match file.read(&mut block)? {
            0 => break,
            count => {
                hasher.update(&block[..count]);
                size_bytes += count as u64;
            }
        }
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(SourceIdentity {
        store: STORE.to_owned(),
        path: name,
        version: Digest::from_hash(&hasher.finalize()).into(),
        size_bytes,
        sha256: None,
    })
}

fn orders(arguments: &EnrichArguments, source: &SourceIdentity, artefacts: &Artefacts) -> Result<Vec<StepOrder>, Failure> {
    let wanted = |step: Step| arguments.only.is_empty() || arguments.only.contains(&step);
    let model = |name: &str| {
        let model = artefacts.model(name, None).map_err(|error| Failure::new(error.reason(), &error.to_string()))?;
        Ok::<_, Failure>(ModelRef { name: model.name, digest: model.digest, licence: model.licence })
    };
    let looking =
        [quality::DEFAULT_MODEL, NUDITY_MODEL].into_iter().filter(|name| artefacts.model_names().any(|known| known == *name));
    let looking = if wanted(Step::Thumbnails) { looking.map(model).collect::<Result<_, _>>()? } else { Vec::new() };
    let order = |params: StepParams, models: Vec<ModelRef>, needs: &[Digest]| StepOrder {
        step: params.step(),
        key: step_key(source, &params, &models, needs),
        algorithm_version: params.step().algorithm_version(),
        params,
        models,
        result_url: String::new(),
    };
    let judging = wanted(Step::Shots) && arguments.shots_profile == ShotsProfile::Accurate;
    let judging = if judging { vec![model(SHOTS_MODEL)?] } else { Vec::new() };
    let shots = order(StepParams::Shots { profile: arguments.shots_profile }, judging, &[]);
    let params = StepParams::Thumbnails {
        select: arguments.select,
        sprite_interval_ms: arguments.sprite_interval_ms,
        exclude_nudity_at_or_above: arguments.exclude_nudity_at_or_above,
    };
    let thumbnails = order(params, looking, std::slice::from_ref(&shots.key));
    let track = arguments.audio_track;
    let params = StepParams::Subtitles {
        language: arguments.language.clone(),
        max_chars_per_second: arguments.max_chars_per_second,
        track,
    };
    let speech = if wanted(Step::Subtitles) { vec![model(&arguments.speech_model)?, model("silero-vad")?] } else { Vec::new() };
    let subtitles = order(params, speech, &[]);
    let chapters = order(StepParams::Chapters { track }, Vec::new(), std::slice::from_ref(&shots.key));
    // Without subtitles, language is not asked for.
    let axes: Vec<Axis> = Axis::iter().filter(|axis| *axis != Axis::Language || wanted(Step::Subtitles)).collect();
    let watching = axes.iter().filter_map(|axis| axis.model());
    let watching = watching.filter(|name| artefacts.model_names().any(|known| known == *name)).map(model);
    let watching = if wanted(Step::Moderation) { watching.collect::<Result<_, _>>()? } else { Vec::new() };
    let params = StepParams::Moderation { axes, sample_fps: arguments.sample_fps };
    let needs = params.needs().iter().map(|_| subtitles.key.clone()).collect::<Vec<_>>();
    let moderation = order(params, watching, &needs);
    let fingerprint = order(StepParams::Fingerprint { query: false, track }, Vec::new(), &[]);
    let all = [shots, thumbnails, subtitles, chapters, moderation, fingerprint];
    let steps: Vec<StepOrder> = all.into_iter().filter(|order| wanted(order.step)).collect();
    for order in &steps {
        if let Some(needed) = order.params.needs().iter().find(|needed| !wanted(**needed)) {
            let step = order.step;
            return Err(Failure::new(Reason::OrderMalformed, &format!("the step {step} reads {needed}: name it in --only, too")));
        }
    }
    Ok(steps)
}

fn unit(done: Done, steps: &[StepOrder], sandbox: &Sandbox, begun: Instant) -> UnitResult {
    let keys: Vec<Digest> = steps.iter().map(|order| order.key.clone()).collect();
    UnitResult {
        schema: UnitResult::SCHEMA.to_owned(),
        unit_key: unit_key(&keys),
        attempt: 1,
        media: done.media,
        steps: done.steps,
        run: RunRecord {
            worker: env!("CARGO_PKG_VERSION").to_owned(),
            wall_ms: begun.elapsed().as_millis() as u64,
            cpu_ms: cpu::of_everything(),
            bytes_read: 0,
            bytes_written: 0,
            picture_decodes: done.picture_decodes,
            sound_decodes: done.sound_decodes,
            picture_decode_cpu_ms: done.picture_decode_cpu_ms,
            sound_decode_cpu_ms: done.sound_decode_cpu_ms,
            sandbox: sandbox.confinement().to_string(),
        },
    }
}

/// As an operator would publish it, from the results in the folder.
fn manifest(done: &Done, source: &SourceIdentity, out: &Path) -> Result<TitleManifest, Failure> {
    let media = done.media.clone().ok_or_else(|| first_failure(done))?;
    let mut steps = Vec::new();
    for outcome in &done.steps {
        let result = match &outcome.outcome {
            Outcome::Done { .. } => Some(read_result(out, outcome.step)?),
            Outcome::Skipped(_) => None,
            Outcome::Failed(_) => continue,
        };
        steps.push(PublishedStep {
            step: outcome.step,
            key: outcome.key.clone(),
            skipped: if let Outcome::Skipped(reason) = outcome.outcome { Some(reason) } else { None },
            withheld: None,
            origin: Origin::Machine,
            outputs: result.iter().flat_map(|result| &result.outputs).map(by_machine).collect(),
            summary: result.as_ref().map(|result| result.summary.clone()),
            models: result.map(|result| result.models).unwrap_or_default(),
        });
    }
    Ok(TitleManifest { schema: TitleManifest::SCHEMA.to_owned(), source: source.clone(), media, steps })
}

fn by_machine(output: &Output) -> Output {
    Output { origin: Some(Origin::Machine), ..output.clone() }
}

fn first_failure(done: &Done) -> Failure {
    let failed = done
        .steps
        .iter()
        .find_map(|step| if let Outcome::Failed(failure) = &step.outcome { Some(failure.clone()) } else { None });
    failed.unwrap_or_else(|| Failure::new(Reason::Internal, "the source could not be opened and no step says why"))
}

fn read_result(out: &Path, step: Step) -> Result<StepResult, Failure> {
    let path = out.join(FolderSink::result_name(step));
    let failed = |error: &dyn fmt::Display| internal(format_args!("failed to read {}: {error}", path.display()));
    let bytes = fs::read(&path).map_err(|error| failed(&error))?;
    debug_assert!(bytes.len() <= MAX_DOCUMENT_BYTES, "our own result is small");
    StepResult::from_bytes(&bytes).map_err(|error| failed(&error))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let media = &self.manifest.media;
        let seconds = media.duration as f64 * f64::from(media.time_base.num) / f64::from(media.time_base.den);
        write!(f, "{}: {}, {seconds:.2} s", self.file.display(), media.container)?;
        if let Some(video) = &media.video {
            write!(f, ", {} {}x{}", video.codec, video.width, video.height)?;
        }
        if let Some(audio) = &media.audio {
            write!(f, ", {} {} Hz", audio.codec, audio.sample_rate)?;
        }
        writeln!(f, "\n\n{:<11} {:<8} {:>9} {:>9}  what", "step", "outcome", "wall", "cpu")?;
        for step in &self.unit.steps {
            let told = |millis: u64| format!("{:.1} s", millis as f64 / 1_000.0);
            let (wall, cpu) = (told(step.wall_ms), step.cpu_ms.map_or_else(|| "shared".to_owned(), told));
            let (outcome, what) = match &step.outcome {
                Outcome::Done { .. } => ("done", self.figures(step.step)),
                Outcome::Skipped(reason) => ("skipped", reason.to_string()),
                Outcome::Failed(failure) => ("FAILED", format!("{}: {}", failure.reason, failure.message)),
            };
            writeln!(f, "{:<11} {outcome:<8} {wall:>9} {cpu:>9}  {what}", step.step.to_string())?;
        }
        let run = &self.unit.run;
        for (what, millis) in [("picture", run.picture_decode_cpu_ms), ("sound", run.sound_decode_cpu_ms)] {
            if let Some(millis) = millis {
                let cpu = format!("{:.1} s", millis as f64 / 1_000.0);
                writeln!(f, "{:<11} {:<8} {:>9} {cpu:>9}  the {what}, for all steps that share it", "decode", "", "")?;
            }
        }
        let (wall, cpu) = (run.wall_ms as f64 / 1_000.0, run.cpu_ms as f64 / 1_000.0);
        let decodes = format!("{} picture and {} sound decode", run.picture_decodes, run.sound_decodes);
        writeln!(
            f,
            "\n{wall:.1} s, {cpu:.1} s of processor time, {decodes}, {} tools started, {}",
            self.tool_starts, run.sandbox
        )?;
        writeln!(f, "in {}: manifest.json and all it names", self.out.display())
    }
}

impl Report {
    fn figures(&self, step: Step) -> String {
        let summary =
            self.manifest.steps.iter().find(|published| published.step == step).and_then(|published| published.summary.as_ref());
        match summary {
            None => String::new(),
            Some(StepSummary::Shots { shots, cuts, dissolves, fades, inferred }) => {
                let shown = if *inferred == 0 { String::new() } else { format!(", {inferred} frames shown to the model") };
                format!("{shots} shots: {cuts} cuts, {dissolves} dissolves, {fades} fades{shown}")
            }
            Some(StepSummary::Thumbnails { candidates, selected, sheets, left_out, .. }) => {
                let nudity = left_out.map_or_else(|| "not judged".to_owned(), |count| format!("{count} left out"));
                format!("{selected} of {candidates} candidates, {sheets} trick-play sheets, nudity: {nudity}")
            }
            Some(StepSummary::Subtitles { language, cues, words, speech_ms, dropped, word_errors, .. }) => {
                let wrong = word_errors.as_ref().map_or_else(String::new, |told| format!(", {told}"));
                format!(
                    "{words} words ({language}) in {cues} cues, {:.1} s of speech, {dropped} segments dropped{wrong}",
                    *speech_ms as f64 / 1_000.0
                )
            }
            Some(StepSummary::Chapters { chapters, at_rest, heard }) => {
                let by = if *heard { "picture and sound" } else { "picture alone" };
                format!("{chapters} chapters by {by}, {at_rest} begin at rest")
            }
            Some(StepSummary::Moderation { axes }) => {
                let told = |axis: &AxisSummary| match (axis.level, axis.unsupported) {
                    (Some(level), _) => format!("{} {level} ({} moments)", axis.axis, axis.moments),
                    (None, why) => format!("{} not judged ({})", axis.axis, why.map(|why| why.to_string()).unwrap_or_default()),
                };
                axes.iter().map(told).collect::<Vec<_>>().join(", ")
            }
            Some(StepSummary::Fingerprint { pictures, blank, bars, sound_seconds }) => {
                let seen = pictures.map(|pictures| format!("{pictures} pictures ({blank} blank)"));
                let heard = sound_seconds.map(|seconds| format!("{seconds} s of sound"));
                let bars = bars.then(|| "bars cut off".to_owned());
                [seen, bars, heard].into_iter().flatten().collect::<Vec<_>>().join(", ")
            }
            Some(StepSummary::Duplicates { searched, matches, .. }) => {
                format!("shares something with {matches} of {searched} titles")
            }
        }
    }
}
