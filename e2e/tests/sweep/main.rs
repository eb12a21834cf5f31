//! The fault sweep: at every point of a story where the operator talks to somebody, one thing goes wrong; the laws hold.
//!
//! Runs only with `SHOWRUNNER_E2E=1`, which `make sweep` sets. The first story of each kind is swept whole, of the
//! others a sample that `SHOWRUNNER_SEED` chooses; `SHOWRUNNER_LONG=1` sweeps everything and plants bugs.
//!
//! On the same control plane, for its start is what takes long, specs are changed (`mutation.rs`). With a filter that begins
//! with `mutation` nothing else is done.

mod mutants;
mod mutation;
mod plan;
mod planted;
mod scenarios;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use showrunner_e2e::faults::{
    history::{History, Recorder},
    plane::Plane,
    recording::Recording,
    report::{Row, Sweep},
    run::{Means, Outcome, Plan, Scenario, binaries, run},
    wire::{Fault, Point},
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// Seed of the samples when none is given.
const SEED: u64 = 20_261_124;
/// How often a story is played once more to find two runs that are the same: what a busy machine may cost.
const MORE_LOOKS: usize = 5;
/// Runs side by side. They share nothing but the API server and the store, and wait most of their time: three took a quarter
/// of two cores.
const SIDE_BY_SIDE: usize = 8;

/// What every run is given.
struct Suite {
    means: Means,
    binary: PathBuf,
    rows: Mutex<Vec<Row>>,
    runtime: tokio::runtime::Runtime,
    _recorder: Recorder,
    // Last: what uses it ends first.
    _plane: Plane,
}

impl Suite {
    fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let folder = binaries()?;
        let recording = Recording::of(&folder.join("showrunner-worker"))?;
        let binary = folder.join("showrunner-operator");
        ensure!(binary.is_file(), "there is no {}: run `make binaries`", binary.display());
        let began = Instant::now();
        let plane = runtime.block_on(Plane::start())?;
        let (means, recorder) = runtime.block_on(async {
            let (history, recorder) = History::record(plane.client().await?).await?;
            anyhow::Ok((Means::of(&plane, history, recording).await?, recorder))
        })?;
        println!("control plane and store up in {:.1} s ({})", began.elapsed().as_secs_f64(), plane.folder().display());
        Ok(Self { means, binary, rows: Mutex::default(), runtime, _recorder: recorder, _plane: plane })
    }

    fn plan(&self, scenario: &Arc<dyn Scenario>, fault: Option<(Point, Fault)>) -> Plan {
        Plan { scenario: Arc::clone(scenario), fault, binary: self.binary.clone(), bug: None, patient: true }
    }

    fn play(&self, plan: &Plan) -> Result<Outcome> {
        self.runtime.block_on(run(&self.means, plan))
    }

    fn tell(&self, row: Row) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
    }

    fn run(&self, plan: &Plan) -> Result<Outcome> {
        let mut outcome = self.play(plan)?;
        if !outcome.breaches.is_empty() {
            outcome.folder = keep_logs(&outcome.folder)?;
        }
        let row = Row {
            scenario: plan.scenario.name().to_owned(),
            fault: plan.fault.clone(),
            changes: Vec::new(),
            bug: plan.bug.clone(),
            outcome: outcome.clone(),
        };
        self.tell(row);
        Ok(outcome)
    }

    /// Plays a story without a fault until two runs have the same points: else none could be named.
    fn discover(&self, scenario: &Arc<dyn Scenario>) -> Result<Outcome> {
        let plan = self.plan(scenario, None);
        let once = || {
            let outcome = self.run(&plan)?;
            ensure!(outcome.breaches.is_empty(), "without any fault: {}", plan::told(&outcome.breaches));
            Ok(outcome)
        };
        let (mut first, mut second) = (once()?, once()?);
        let mut others = Vec::new();
        for _ in 0..MORE_LOOKS {
            if points(&first) == points(&second) {
                break;
            }
            others.push(std::mem::replace(&mut second, once()?));
            if let Some(same) = others.iter().position(|other| points(other) == points(&second)) {
                first = others.swap_remove(same);
            }
        }
        ensure!(
            points(&first) == points(&second),
            "two runs without a fault wrote differently:\n  {}\n\n  {}",
            first.tale.join("\n  "),
            second.tale.join("\n  ")
        );
        ensure!(first.ending == second.ending, "two runs without a fault ended differently: {}\n{}", first.ending, second.ending);
        println!(
            "{}: {} points, {} of them writes; {} writes and {} Events by the audit log; {:.1} s a run",
            scenario.name(),
            first.points.len(),
            points(&first).len(),
            first.writes.0,
            first.writes.1,
            first.took.as_secs_f64()
        );
        Ok(first)
    }
}

/// The writes of a run, by name.
fn points(outcome: &Outcome) -> Vec<&Point> {
    outcome.points.iter().filter(|point| point.is_write()).collect()
}

/// One run of the sweep as an ordinary trial.
fn trial(suite: &Arc<Suite>, scenario: &Arc<dyn Scenario>, straight: &Arc<Outcome>, point: Point, fault: Fault) -> Trial {
    let (suite, scenario, straight) = (Arc::clone(suite), Arc::clone(scenario), Arc::clone(straight));
    let name = format!("{}: {point}: {fault}", scenario.name());
    Trial::test(name, move || {
        let plan = suite.plan(&scenario, Some((point, fault)));
        let outcome = suite.run(&plan).map_err(|error| Failed::from(format!("{error:#}")))?;
        plan::judge(&plan, &outcome, &straight).map_err(Failed::from)
    })
}

/// The same story with pods that do not wait for the operator to tell of them.
fn hasty(suite: &Arc<Suite>, scenario: &Arc<dyn Scenario>, straight: &Arc<Outcome>) -> Trial {
    let (suite, scenario, straight) = (Arc::clone(suite), Arc::clone(scenario), Arc::clone(straight));
    Trial::test(format!("{}: no fault: pods that hurry", scenario.name()), move || {
        let plan = Plan { patient: false, ..suite.plan(&scenario, None) };
        let outcome = suite.run(&plan).map_err(|error| Failed::from(format!("{error:#}")))?;
        plan::judge(&plan, &outcome, &straight).map_err(Failed::from)
    })
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(SIDE_BY_SIDE));
    if std::env::var_os("SHOWRUNNER_E2E").is_none() {
        println!("the fault sweep is run by `make sweep`");
        return ExitCode::SUCCESS;
    }
    if arguments.list {
        return ExitCode::SUCCESS;
    }
    match sweep(&arguments) {
        Ok(conclusion) => conclusion.exit_code(),
        Err(error) => {
            eprintln!("failed to sweep: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn sweep(arguments: &Arguments) -> Result<Conclusion> {
    let began = Instant::now();
    let seed = std::env::var("SHOWRUNNER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let all = std::env::var_os("SHOWRUNNER_LONG").is_some();
    println!("seed {seed}{}", if all { ", every point of every story" } else { "" });
    let suite = Arc::new(Suite::start()?);
    let (mut trials, mut straights) = (Vec::new(), planted::Straights::new());
    let specs_only = arguments.filter.as_ref().is_some_and(|filter| filter.starts_with("mutation"));
    let stories = if specs_only { Vec::new() } else { scenarios::all() };
    for stories in stories {
        for (index, (scenario, straight)) in stories.iter().zip(discover(&suite, &stories)?).enumerate() {
            let (straight, whole) = (Arc::new(straight), index == 0);
            straights.insert(scenario.name().to_owned(), (Arc::clone(scenario), Arc::clone(&straight)));
            trials.push(hasty(&suite, scenario, &straight));
            for (point, fault) in plan::faults(&straight.points, whole, all, seed) {
                trials.push(trial(&suite, scenario, &straight, point, fault));
            }
        }
    }
    if !specs_only {
        trials.extend(planted::trials(&suite, &straights, seed)?);
    }
    trials.extend(mutation::trials(&suite, seed, all)?);
    let conclusion = libtest_mimic::run(arguments, trials);
    let rows = suite.rows.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let report = Sweep { seed, took: began.elapsed(), rows };
    if conclusion.num_failed == 0 {
        // Of an earlier sweep.
        let _ = std::fs::remove_dir_all(report_folder()?.join("logs"));
    }
    let path = report.write(&report_folder()?)?;
    println!("{}", report.text().lines().next().unwrap_or_default());
    println!("report: {}", path.display());
    println!("{} passed, {} failed", conclusion.num_passed, conclusion.num_failed);
    Ok(conclusion)
}

/// Every story without a fault, side by side.
fn discover(suite: &Arc<Suite>, stories: &[Arc<dyn Scenario>]) -> Result<Vec<Outcome>> {
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(usize, Result<Outcome>)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some((index, scenario)) =
                    Some(next.fetch_add(1, Ordering::SeqCst)).and_then(|i| Some((i, stories.get(i)?)))
                {
                    let outcome = suite.discover(scenario).with_context(|| scenario.name().to_owned());
                    found.lock().unwrap_or_else(PoisonError::into_inner).push((index, outcome));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Copies the logs of a run's operators beside the report: the run's own folder ends with the sweep.
fn keep_logs(folder: &Path) -> Result<PathBuf> {
    let kept = report_folder()?.join("logs").join(folder.file_name().unwrap_or_default());
    std::fs::create_dir_all(&kept)?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            std::fs::copy(&path, kept.join(path.file_name().unwrap_or_default()))?;
        }
    }
    Ok(kept)
}

/// Beside the build: `$CARGO_TARGET_DIR/sweep`.
fn report_folder() -> Result<PathBuf> {
    let release = binaries()?;
    Ok(release.parent().map(Path::to_path_buf).context("the test binary lies in a target folder")?.join("sweep"))
}
