//! What the worker's tests share: a small store that can be made to misbehave, tiny titles, orders, and the worker itself.
//! Serves HTTP on the loopback, runs `FFmpeg` and the worker's binary, writes temporary folders.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

pub mod catalogue;
pub mod starts;
pub mod store;
pub mod titles;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use showrunner_contracts::{
    Digest, Document as _,
    result::{Failure, Outcome, StepResult, Termination, UnitResult},
    step::{ModelRef, ShotsProfile, SourceIdentity, Step, StepParams, step_key, unit_key},
    work_order::{GivenResult, Grants, Limits, Source, StepOrder, WorkOrder},
};
use showrunner_worker::models::Artefacts;
use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};
use store::TestStore;
use tempfile::TempDir;

/// The source's key in the test store.
pub const SOURCE: &str = "source";
/// The worker's binary.
const WORKER: &str = env!("CARGO_BIN_EXE_showrunner-worker");
/// The attempt's folder.
pub const FOLDER: &str = "work/unit/1/";

/// The artefacts, or a failure that says how to get them.
pub fn artefacts() -> Artefacts {
    let artefacts = Artefacts::from_environment();
    assert!(
        artefacts.root().join("bin/ffmpeg").is_file(),
        "no artefacts at {}: run scripts/fetch-artefacts and set SHOWRUNNER_ARTEFACTS to the folder it names",
        artefacts.root().display()
    );
    artefacts
}

pub fn shots() -> StepParams {
    StepParams::Shots { profile: ShotsProfile::Fast }
}

pub fn thumbnails() -> StepParams {
    StepParams::Thumbnails { select: 4, sprite_interval_ms: 1_000, exclude_nudity_at_or_above: 3 }
}

pub fn subtitles() -> StepParams {
    StepParams::Subtitles { language: Some("en".to_owned()), max_chars_per_second: 20, track: None }
}

pub fn chapters() -> StepParams {
    StepParams::Chapters { track: None }
}

pub fn fingerprint() -> StepParams {
    StepParams::Fingerprint { query: false, track: None }
}

/// An order for these steps on the source that `store` holds. Steps that are read and not ordered are given from the store.
pub fn order(store: &TestStore, steps: &[StepParams]) -> WorkOrder {
    let artefacts = artefacts();
    let size_bytes = store.object(SOURCE).map_or(0, |bytes| bytes.len() as u64);
    let identity =
        SourceIdentity { store: "test".into(), path: "title.mp4".into(), version: store.etag(SOURCE), size_bytes, sha256: None };
    let model = |name: &str| ModelRef {
        name: name.to_owned(),
        digest: artefacts.locked_digest(name).expect("the lock file has the model"),
        licence: "MIT".to_owned(),
    };
    let shots_key = step_key(&identity, &shots(), &[], &[]);
    let ordered = |params: &StepParams| {
        let models =
            if params.step() == Step::Subtitles { vec![model("whisper-tiny.en"), model("silero-vad")] } else { Vec::new() };
        let needs: &[Digest] = if params.needs().contains(&Step::Shots) { std::slice::from_ref(&shots_key) } else { &[] };
        let key = step_key(&identity, params, &models, needs);
        StepOrder {
            step: params.step(),
            result_url: store.url(&result_key(&key)),
            key,
            algorithm_version: params.step().algorithm_version(),
            params: params.clone(),
            models,
        }
    };
    let steps: Vec<StepOrder> = steps.iter().map(ordered).collect();
    let lacks_shots = !steps.iter().any(|order| order.step == Step::Shots)
        && steps.iter().any(|order| order.params.needs().contains(&Step::Shots));
    let given = lacks_shots.then(|| {
        let bytes = store.object(&format!("{FOLDER}shots.json")).expect("an earlier attempt made the shots");
        let url = store.url(&format!("{FOLDER}shots.json"));
        GivenResult {
            step: Step::Shots,
            name: "shots.json".into(),
            url,
            sha256: Digest::of(&bytes),
            size_bytes: bytes.len() as u64,
        }
    });
    let files = steps.iter().flat_map(|step| step.params.slots());
    let grants = Grants {
        folder: FOLDER.to_owned(),
        files: files.map(|name| (name.clone(), store.url(&format!("{FOLDER}{name}")))).collect(),
        commits: steps.iter().map(|step| (step.step, store.url(&result_key(&step.key)))).collect::<BTreeMap<_, _>>(),
        unit_result: store.url(&format!("{FOLDER}unit-result.json")),
        progress: store.url(&format!("{FOLDER}progress.json")),
    };
    let keys: Vec<Digest> = steps.iter().map(|step| step.key.clone()).collect();
    WorkOrder {
        schema: WorkOrder::SCHEMA.to_owned(),
        unit_key: unit_key(&keys),
        attempt: 1,
        source: Source { url: store.url(SOURCE), size_bytes, etag: store.etag(SOURCE), sha256: None },
        steps,
        given: given.into_iter().collect(),
        skipped: BTreeMap::new(),
        media: None,
        catalogue: None,
        grants,
        limits: Limits { run_seconds: 600, threads: 2, child_memory_bytes: 4 << 30, max_media_seconds: 60 },
    }
}

/// Where a step's result is committed.
pub fn result_key(key: &Digest) -> String {
    format!("results/{}.json", key.hex())
}

/// One run of the worker's binary on one order.
pub struct Worker {
    folder: TempDir,
    child: Child,
}

/// What a run left behind.
pub struct Ran {
    pub code: Option<i32>,
    pub termination: Termination,
}

impl Worker {
    /// Starts the worker. It gives a store that is away `patience` seconds.
    pub fn start(order: &WorkOrder, patience: u32) -> Self {
        Self::start_with(artefacts().root(), order, patience)
    }

    /// The same with these artefacts.
    pub fn start_with(artefacts: &Path, order: &WorkOrder, patience: u32) -> Self {
        Self::spawn(Self::command(Command::new(WORKER)).env("SHOWRUNNER_ARTEFACTS", artefacts), order, patience)
    }

    /// Starts the worker with so many bytes of address space for it, and as many for each of its tools.
    pub fn start_within(bytes: u64, order: &WorkOrder) -> Self {
        let mut command = Command::new("/usr/bin/prlimit");
        command.arg(format!("--as={bytes}")).arg(WORKER);
        Self::spawn(&mut Self::command(command), order, 20)
    }

    fn command(mut worker: Command) -> Command {
        worker.env_clear().env("SHOWRUNNER_ARTEFACTS", artefacts().root()).env("SHOWRUNNER_LOG", "warn");
        worker
    }

    fn spawn(command: &mut Command, order: &WorkOrder, patience: u32) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("work-order"), order.to_bytes()).expect("the order is written");
        let child = command
            .arg("run")
            .arg("--order")
            .arg(folder.path().join("work-order"))
            .arg("--scratch")
            .arg(folder.path())
            .arg("--termination")
            .arg(Self::last_words(&folder))
            .arg("--store-patience-seconds")
            .arg(patience.to_string())
            .current_dir(folder.path())
            .spawn()
            .expect("the worker starts");
        Self { folder, child }
    }

    /// The process, for signals.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// What the worker writes to its log at this level, and its last words.
    pub fn words(order: &WorkOrder, level: &str) -> String {
        let mut command = Self::command(Command::new(WORKER));
        let mut worker = Self::spawn(command.env("SHOWRUNNER_LOG", level).stderr(Stdio::piped()), order, 20);
        let mut words = String::new();
        let log = worker.child.stderr.take().expect("it is piped");
        io::BufReader::new(log).read_to_string(&mut words).expect("logs are text");
        worker.child.wait().expect("the worker ends");
        words + &std::fs::read_to_string(Self::last_words(&worker.folder)).expect("the worker said something")
    }

    /// Crashes it, as a bug in a library would.
    pub fn crash(mut self) -> ExitStatus {
        kill(Pid::from_raw(self.pid()), Signal::SIGABRT).expect("it runs");
        self.child.wait().expect("the worker ends")
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ran {
        let status = self.child.wait().expect("the worker ends");
        let words = std::fs::read(Self::last_words(&self.folder)).expect("the worker said something");
        assert!(words.len() <= 4_096, "a kubelet keeps 4096 bytes");
        assert!(!self.folder.path().join("source").exists() || status.code() == Some(11), "the scratch file is removed");
        Ran { code: status.code(), termination: serde_json::from_slice(&words).expect("a termination") }
    }

    fn last_words(folder: &TempDir) -> PathBuf {
        folder.path().join("termination-log")
    }
}

/// Runs the worker to its end.
pub fn run(order: &WorkOrder) -> Ran {
    Worker::start(order, 20).end()
}

impl Ran {
    /// The unit's result, whose digest the last words name.
    pub fn unit(&self, store: &TestStore) -> UnitResult {
        let Termination::Result(digest) = &self.termination else { panic!("no result: {:?}", self.termination) };
        let bytes = store.object(&format!("{FOLDER}unit-result.json")).expect("the unit's result is stored");
        assert_eq!(&Digest::of(&bytes), digest);
        UnitResult::from_bytes(&bytes).expect("a unit's result")
    }

    /// The failure that all of the unit's steps end with.
    pub fn failure(&self, store: &TestStore) -> Failure {
        assert_eq!(self.code, Some(10));
        let unit = self.unit(store);
        let mut failures = unit.steps.iter().map(|step| match &step.outcome {
            Outcome::Failed(failure) => failure.clone(),
            other => panic!("{} is {other:?}", step.step),
        });
        let first = failures.next().expect("an order has steps");
        assert!(failures.all(|other| other.reason == first.reason));
        first
    }
}

/// The committed result of a step that is done, checked against the files it names.
pub fn committed(store: &TestStore, unit: &UnitResult, step: Step) -> StepResult {
    let outcome = unit.steps.iter().find(|outcome| outcome.step == step).expect("the step was ordered");
    let Outcome::Done { result: digest } = &outcome.outcome else { panic!("{step} is {:?}", outcome.outcome) };
    let bytes = store.object(&result_key(&outcome.key)).expect("the result is committed");
    assert_eq!(&Digest::of(&bytes), digest);
    let result = StepResult::from_bytes(&bytes).expect("a step's result");
    assert_eq!((result.step, &result.key), (step, &outcome.key));
    for output in result.outputs.iter().chain(&result.kept) {
        let file = store.object(&format!("{}{}", result.folder, output.name)).expect("every output is stored");
        assert_eq!((Digest::of(&file), file.len() as u64), (output.sha256.clone(), output.size_bytes), "{}", output.name);
    }
    result
}
