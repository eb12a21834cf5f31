//! Older versions: each frozen world is set up again and the operator that is here goes on with it; where the older
//! version's own programs are built, they hand over to the ones that are here, and back.
//!
//! Runs only with `SHOWRUNNER_E2E=1`; needs no root. `SHOWRUNNER_LONG=1` builds the older programs where they are not.
//! `SHOWRUNNER_FREEZE=NAME` freezes a world instead (`e2e/fixtures/age/freeze` does).

mod hand_over;
mod others;
mod world;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use showrunner_e2e::{
    age::{
        freeze::freeze,
        frozen::{self, FIXTURES, Frozen},
        restore::restore,
    },
    cluster::{root, run},
    faults::{
        history::{History, Recorder},
        plane::Plane,
        recording::Recording,
        run::{Means, binaries},
    },
};
use std::{
    future::Future,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{Arc, Mutex, PoisonError},
};

/// What every trial is given.
pub(crate) struct Suite {
    pub(crate) means: Means,
    /// The operator that is here.
    pub(crate) operator: PathBuf,
    /// The definitions that are here.
    pub(crate) definitions: Vec<serde_json::Value>,
    runtime: tokio::runtime::Runtime,
    _recorder: Recorder,
    // Last: what uses it ends first.
    plane: Mutex<Plane>,
}

impl Suite {
    fn start(binaries: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let recording = Recording::of(&binaries.join("showrunner-worker"))?;
        let operator = binaries.join("showrunner-operator");
        ensure!(operator.is_file(), "there is no {}: run `make binaries`", operator.display());
        let plane = runtime.block_on(Plane::start())?;
        let (means, recorder) = runtime.block_on(async {
            let (history, recorder) = History::record(plane.client().await?).await?;
            anyhow::Ok((Means::of(&plane, history, recording).await?, recorder))
        })?;
        let definitions = showrunner_crds::all().iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
        Ok(Self { means, operator, definitions, runtime, _recorder: recorder, plane: Mutex::new(plane) })
    }

    /// Sets a frozen world up while no controller looks: one that saw a Job before its pod would make another pod.
    pub(crate) async fn restore(&self, frozen: &Frozen) -> Result<()> {
        let plane = || self.plane.lock().unwrap_or_else(PoisonError::into_inner);
        plane().stop_controllers()?;
        let etcd = plane().etcd.clone();
        restore(&self.means, &etcd, frozen).await?;
        plane().start_controllers()
    }
}

fn trial<F, R>(suite: &Arc<Suite>, name: String, test: F) -> Trial
where
    F: FnOnce(Arc<Suite>) -> R + Send + 'static,
    R: Future<Output = Result<()>>,
{
    let suite = Arc::clone(suite);
    Trial::test(name, move || {
        let runtime = suite.runtime.handle().clone();
        runtime.block_on(test(suite)).map_err(|error| Failed::from(format!("{error:#}")))
    })
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Definitions are the whole cluster's, and trials change them.
    arguments.test_threads = Some(1);
    if std::env::var_os("SHOWRUNNER_E2E").is_none() {
        println!("the tests of older versions are run by `make load-test`");
        return ExitCode::SUCCESS;
    }
    if arguments.list {
        return ExitCode::SUCCESS;
    }
    match std::env::var("SHOWRUNNER_FREEZE") {
        Ok(name) => tell(freeze_as(&name).map(|()| ExitCode::SUCCESS)),
        Err(_) => tell(trials(&arguments)),
    }
}

fn tell(ended: Result<ExitCode>) -> ExitCode {
    ended.unwrap_or_else(|error| {
        eprintln!("failed: {error:#}");
        ExitCode::FAILURE
    })
}

fn trials(arguments: &Arguments) -> Result<ExitCode> {
    let worlds = frozen::all()?;
    let suite = Arc::new(Suite::start(&binaries()?)?);
    let mut trials = Vec::new();
    for frozen in worlds {
        let (name, binaries) = (frozen.name.clone(), built(&frozen)?);
        let frozen = Arc::new(frozen);
        let world = Arc::clone(&frozen);
        trials.push(trial(&suite, format!("{name}: its world goes on, and nothing is done again"), |suite| async move {
            world::goes_on(&suite, &world).await
        }));
        let Some(binaries) = binaries else {
            println!("{name}: its own programs are not built, so they hand over to nobody ({FIXTURES}/build {name} builds them)");
            continue;
        };
        for way in hand_over::Way::ALL {
            let (frozen, old) = (Arc::clone(&frozen), binaries.join("showrunner-operator"));
            trials.push(trial(&suite, format!("{name}: {way}"), move |suite| async move {
                hand_over::hands_over(&suite, &frozen, &old, way).await
            }));
        }
    }
    Ok(libtest_mimic::run(arguments, trials).exit_code())
}

/// The programs of an older version; built when all is to be tested.
fn built(frozen: &Frozen) -> Result<Option<PathBuf>> {
    if frozen.binaries().is_none() && std::env::var_os("SHOWRUNNER_LONG").is_some() {
        run(Command::new(root().join(FIXTURES).join("build")).arg(&frozen.name))?;
    }
    Ok(frozen.binaries())
}

/// Freezes with the programs in `SHOWRUNNER_FREEZE_BINARIES`, which are those of `SHOWRUNNER_FREEZE_COMMIT`.
fn freeze_as(name: &str) -> Result<()> {
    let given = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set: run {FIXTURES}/freeze"));
    let (commit, binaries) = (given("SHOWRUNNER_FREEZE_COMMIT")?, PathBuf::from(given("SHOWRUNNER_FREEZE_BINARIES")?));
    let suite = Suite::start(&binaries)?;
    let frozen = suite.runtime.block_on(freeze(&suite.means, &suite.operator, name, &commit))?;
    frozen.write()?;
    println!("{name}: {} objects, {} in the store", frozen.objects.len(), frozen.store.len());
    Ok(())
}
