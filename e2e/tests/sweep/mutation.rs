//! Spec mutation, in the sweep's process: it needs the same control plane, store and recording, and tells in the same report.
//!
//! A sequence that fails is made shorter for as long as it fails, and printed so that a person can repeat it.

use crate::{Suite, keep_logs, plan, planted};
use anyhow::{Result, ensure};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use showrunner_e2e::{
    faults::{
        dice::Dice,
        report::Row,
        run::{Outcome, Plan},
    },
    mutation::{Kind, fields, oracle, reasons, schema::Field, sequence::Sequence, story::Story},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// Sequences of a kind, and of a kind when everything is swept.
const SEQUENCES: (u64, u64) = (24, 500);
/// Runs that a failing sequence is given to become shorter.
const SHORTENINGS: usize = 12;
/// Sequences that a planted bug is told before it counts as not caught.
const PATIENCE: u64 = 80;
/// Bugs that single faults do not show, planted in a build of their own.
const BUGS: [&str; 4] = ["generation-in-unit-key", "old-steps-published", "first-spec-kept", "results-not-looked-up"];

/// One kind's mutation.
struct Mutation {
    suite: Arc<Suite>,
    kind: Arc<dyn Kind>,
    fields: Vec<Field>,
    reasons: Arc<BTreeSet<String>>,
    /// How titles end that wanted from the beginning what others want at last, by spec.
    ends: Mutex<BTreeMap<String, Arc<Mutex<Option<Value>>>>>,
}

/// A binary of the operator, and the bug in it.
#[derive(Clone)]
struct Subject(PathBuf, Option<&'static str>);

/// The trials of all kinds; those with planted bugs where they are asked for.
pub(crate) fn trials(suite: &Arc<Suite>, seed: u64, all: bool) -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for kind in crate::mutants::all(&suite.means.recording) {
        let mutation = Arc::new(Mutation {
            suite: Arc::clone(suite),
            fields: fields(kind.as_ref())?,
            reasons: Arc::new(reasons(kind.as_ref())?),
            kind,
            ends: Mutex::default(),
        });
        println!("{}: {} fields can be changed", mutation.kind.resource(), mutation.fields.len());
        for number in 1..=(if all { SEQUENCES.1 } else { SEQUENCES.0 }) {
            let mutation = Arc::clone(&mutation);
            let name = format!("mutation: {} {number}", mutation.kind.resource());
            trials.push(Trial::test(name, move || mutation.trial(seed, number)));
        }
        let Some(count) = planted::wanted(BUGS.len())? else { continue };
        for bug in Dice(seed).some(BUGS.to_vec(), count) {
            let mutation = Arc::clone(&mutation);
            trials.push(Trial::test(format!("mutation: planted: {bug}"), move || {
                mutation.catch(bug, seed).map_err(|error| Failed::from(format!("{error:#}")))
            }));
        }
    }
    Ok(trials)
}

impl Mutation {
    fn trial(&self, seed: u64, number: u64) -> Result<(), Failed> {
        let sequence = self.sequence(seed, number);
        let subject = Subject(self.suite.binary.clone(), None);
        let (story, mut outcome) = self.check(&sequence, &subject).map_err(|error| Failed::from(format!("{error:#}")))?;
        if !outcome.breaches.is_empty() {
            outcome.folder = keep_logs(&outcome.folder)?;
        }
        let told = plan::told(&outcome.breaches);
        let text = format!("{told}\nas it was:\n- {}\nlogs: {}", story.steps().join("\n- "), outcome.folder.display());
        let held = outcome.breaches.is_empty();
        self.tell(&story, outcome, None);
        if held {
            return Ok(());
        }
        let (least, told) = self.shorten(sequence, told, &subject);
        let start = self.kind.start();
        Err(format!(
            "{text}\n\nshortened to {} changes:{told}\n{}/changed: {start}\n{least}run it again with SHOWRUNNER_SEED={seed} and the filter 'mutation: {} {number}'",
            least.moves.len(),
            self.kind.resource(),
            self.kind.resource(),
        )
        .into())
    }

    fn sequence(&self, seed: u64, number: u64) -> Sequence {
        let moments: Vec<&str> = self.kind.moving().iter().copied().chain([self.kind.end()]).collect();
        Sequence::new(seed, number, &self.fields, &moments)
    }

    fn tell(&self, story: &Story, outcome: Outcome, bug: Option<&str>) {
        let row = Row {
            scenario: format!("mutation of {}", self.kind.resource()),
            fault: None,
            changes: story.steps(),
            bug: bug.map(str::to_owned),
            outcome,
        };
        self.suite.tell(row);
    }

    /// Plays a sequence, and holds its end against that of an object that wanted the same from the beginning.
    fn check(&self, sequence: &Sequence, subject: &Subject) -> Result<(Arc<Story>, Outcome)> {
        let (story, mut outcome) = self.play(self.kind.start(), sequence.clone(), subject)?;
        if outcome.breaches.is_empty() {
            let (straight, ended) = (self.straight(&story.spec())?, oracle::lasting(&outcome.ending));
            if straight != ended {
                let text = format!("it ended as\n  {ended}\nand one that wanted it at once as\n  {straight}");
                outcome.breaches.push(("the end depends on the last spec only".to_owned(), text));
            }
        }
        Ok((story, outcome))
    }

    fn play(&self, start: Value, sequence: Sequence, subject: &Subject) -> Result<(Arc<Story>, Outcome)> {
        let name = format!("mutation {}", sequence.number);
        let story = Arc::new(Story::new(name, &self.kind, &self.reasons, start, sequence));
        let plan = Plan {
            scenario: Arc::clone(&story) as _,
            fault: None,
            binary: subject.0.clone(),
            bug: subject.1.map(str::to_owned),
            patient: true,
        };
        let outcome = self.suite.play(&plan)?;
        Ok((story, outcome))
    }

    /// How an object ends that wants this from the beginning; played once for each spec.
    fn straight(&self, spec: &Value) -> Result<Value> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let end = Arc::clone(ends.entry(spec.to_string()).or_default());
        drop(ends);
        let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
        if end.is_none() {
            let (_, outcome) = self.play(spec.clone(), Sequence::straight(), &Subject(self.suite.binary.clone(), None))?;
            ensure!(outcome.breaches.is_empty(), "one that wanted it at once: {}", plan::told(&outcome.breaches));
            *end = Some(oracle::lasting(&outcome.ending));
        }
        Ok(end.clone().unwrap_or_default())
    }

    /// Leaves out change after change, from the last one, and keeps what still fails; gives what it breaks, too.
    fn shorten(&self, sequence: Sequence, told: String, subject: &Subject) -> (Sequence, String) {
        let (mut least, mut told) = (sequence, told);
        let mut index = least.moves.len();
        for _ in 0..SHORTENINGS {
            let Some(next) = index.checked_sub(1) else { break };
            index = next;
            let less = least.without(index);
            let Ok((_, outcome)) = self.check(&less, subject) else { continue };
            if !outcome.breaches.is_empty() {
                (least, told) = (less, plan::told(&outcome.breaches));
            }
        }
        (least, told)
    }

    /// Plays sequences to an operator with a planted bug until one of them shows it.
    fn catch(&self, bug: &'static str, seed: u64) -> Result<()> {
        let subject = Subject(planted::binary()?, Some(bug));
        for number in 1..=PATIENCE {
            let (story, outcome) = self.check(&self.sequence(seed, number), &subject)?;
            if let Some((law, breach)) = outcome.breaches.first() {
                println!("{bug}: caught by sequence {number}: {law}: {}", breach.lines().next().unwrap_or_default());
                self.tell(&story, outcome, Some(bug));
                return Ok(());
            }
        }
        anyhow::bail!("none of {PATIENCE} sequences shows the bug {bug}")
    }
}
