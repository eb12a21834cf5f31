//! The sweep is itself tested: bugs that are planted in a build of their own, each of which must be caught.
//!
//! I/O: reads the operator's binaries.

use crate::{Suite, plan};
use anyhow::{Context as _, Result, ensure};
use libtest_mimic::{Failed, Trial};
use showrunner_e2e::faults::{
    dice::Dice,
    report::Row,
    run::{Outcome, Scenario, binaries},
    wire::{Fault, Point},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Every planted bug, with the story that is told to it.
const BUGS: [(&str, &str); 22] = [
    ("intent-skipped", "straight"),
    ("admitted-at-birth", "straight"),
    ("charged-twice", "straight"),
    ("finalizer-kept", "straight"),
    ("published-before-manifest", "straight"),
    ("attempt-not-advanced", "retried"),
    ("unversioned-writes", "straight"),
    ("alias-unconditional", "straight"),
    ("manifest-of-the-moment", "straight"),
    ("spec-written", "straight"),
    ("deletion-ignored", "straight"),
    ("written-at-rest", "straight"),
    ("place-not-told", "looked up"),
    ("reserved-nowhere", "budgeted"),
    ("settled-twice", "budgeted"),
    ("reservation-kept", "budgeted"),
    ("ending-not-awaited", "changed midway"),
    ("losses-not-counted", "reclaimed"),
    ("blind-admits", "blind"),
    ("booked-last-month", "budgeted"),
    ("parts-lost", "budgeted"),
    ("parallelism-raised", "straight"),
];
/// The faults in the order in which they are tried.
const ORDER: [Fault; 3] = [Fault::KilledAfter, Fault::KilledBefore, Fault::AnswerLost];
/// What a binary with planted bugs has in it.
const MARK: &[u8] = b"SHOWRUNNER_PLANTED_BUG";
/// How many bugs are tried, `all` or a number; none when it is not set.
const VARIABLE: &str = "SHOWRUNNER_PLANTED";

/// Stories by name, each with its run without a fault.
pub(crate) type Straights = BTreeMap<String, (Arc<dyn Scenario>, Arc<Outcome>)>;

/// How many of so many bugs are to be tried; none where nobody asks for it.
pub(crate) fn wanted(all: usize) -> Result<Option<usize>> {
    let Some(wanted) = std::env::var(VARIABLE).ok().filter(|wanted| wanted != "0") else { return Ok(None) };
    if wanted == "all" {
        return Ok(Some(all));
    }
    Ok(Some(wanted.parse().context("SHOWRUNNER_PLANTED: all, or a number")?))
}

/// The operator with planted bugs.
pub(crate) fn binary() -> Result<PathBuf> {
    let planted = binaries()?.join("showrunner-operator-planted");
    ensure!(planted.is_file(), "there is no {}: run `make planted`", planted.display());
    Ok(planted)
}

/// A trial for each bug that is to be tried, and one that says that the operator that is installed has none.
pub(crate) fn trials(suite: &Arc<Suite>, straights: &Straights, seed: u64) -> Result<Vec<Trial>> {
    let Some(count) = wanted(BUGS.len())? else { return Ok(Vec::new()) };
    let planted = binary()?;
    let clean = suite.binary.clone();
    let (with, without) = (planted.clone(), clean);
    let mut trials = vec![Trial::test("planted: the operator that is installed has no planted bug", move || {
        if !has(&with, MARK)? {
            return Err("the mark is not even in the build with planted bugs: this test sees nothing".into());
        }
        if has(&without, MARK)? { Err(format!("{} has planted bugs", without.display()).into()) } else { Ok(()) }
    })];
    for (bug, story) in Dice(seed).some(BUGS.to_vec(), count) {
        let (scenario, straight) = straights.get(story).with_context(|| format!("there is no story {story}"))?;
        let (suite, scenario, straight) = (Arc::clone(suite), Arc::clone(scenario), Arc::clone(straight));
        let planted = planted.clone();
        trials.push(Trial::test(format!("planted: {bug}"), move || {
            catch(&suite, &planted, bug, &scenario, &straight).map_err(|error| Failed::from(format!("{error:#}")))
        }));
    }
    Ok(trials)
}

fn has(binary: &Path, mark: &[u8]) -> Result<bool, Failed> {
    let bytes = std::fs::read(binary).map_err(|error| format!("failed to read {}: {error}", binary.display()))?;
    Ok(bytes.windows(mark.len()).any(|window| window == mark))
}

/// Sweeps until something is noticed: first without a fault, then each fault at each write.
fn catch(suite: &Suite, binary: &Path, bug: &str, scenario: &Arc<dyn Scenario>, straight: &Outcome) -> Result<()> {
    let writes = || straight.points.iter().filter(|point| point.is_write());
    let swept = ORDER.iter().flat_map(|fault| writes().map(|point| Some((point.clone(), *fault))));
    for fault in std::iter::once(None).chain(swept) {
        let mut plan = suite.plan(scenario, fault);
        (plan.binary, plan.bug) = (binary.to_path_buf(), Some(bug.to_owned()));
        let outcome = suite.play(&plan)?;
        let told = plan::judge(&plan, &outcome, straight).err();
        if let Some(told) = told {
            let at = plan
                .fault
                .as_ref()
                .map_or_else(|| "without a fault".to_owned(), |(point, fault): &(Point, Fault)| format!("{point}: {fault}"));
            let first = told.trim().lines().next().unwrap_or_default().to_owned();
            println!("{bug}: caught {at}: {first}");
            let mut outcome = outcome;
            if outcome.breaches.is_empty() {
                outcome.breaches.push(("the end is the same as without a fault".to_owned(), told));
            }
            suite.tell(Row {
                scenario: scenario.name().to_owned(),
                fault: plan.fault,
                changes: Vec::new(),
                bug: plan.bug,
                outcome,
            });
            return Ok(());
        }
    }
    let outcome = Outcome { reached: true, ..Outcome::default() };
    suite.tell(Row {
        scenario: scenario.name().to_owned(),
        fault: None,
        changes: Vec::new(),
        bug: Some(bug.to_owned()),
        outcome,
    });
    anyhow::bail!("no fault at any write shows the bug {bug}")
}
