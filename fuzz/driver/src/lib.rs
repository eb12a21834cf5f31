//! Feeds a reader its corpus and seeded mutations of it: fuzzing as an ordinary test, without coverage and on stable Rust.
//! Reads the corpus beside this crate; writes an input that was too much for a reader to the temporary folder.
#![forbid(unsafe_code)]

mod mutate;

pub use mutate::{Dice, mutate};

use std::{
    collections::hash_map::DefaultHasher,
    env, fs,
    hash::{Hash as _, Hasher as _},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Mutations of one reader's corpus in an ordinary test run.
const RUNS: u64 = 3_000;
/// The same in a long one (`SHOWRUNNER_LONG`).
const LONG_RUNS: u64 = 100_000;
/// Largest mutation, bytes.
const MAX_INPUT: usize = 64 << 10;

/// Seconds to mutate for instead of a fixed number of runs.
const SECONDS_VARIABLE: &str = "SHOWRUNNER_FUZZ_SECONDS";
/// Another seed than 1.
const SEED_VARIABLE: &str = "SHOWRUNNER_FUZZ_SEED";

/// Runs `target` over every file of `fuzz/corpus/<name>/`, then over mutations of them. `words` are what a mutation may
/// insert besides the hostile texts that every reader gets. The target panics where a property does not hold.
///
/// # Panics
/// Where the target does, after the input was written to a file that the message names; where there is no corpus.
pub fn exercise(name: &str, words: &[&str], target: impl Fn(&[u8])) {
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "fuzz/corpus/{name} has no files");
    let try_one = |input: &[u8], what: &str| {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| target(input))) {
            eprintln!("{name} failed on {what}; the input is in {}", keep(name, input).display());
            resume_unwind(payload);
        }
    };
    for (path, input) in &corpus {
        try_one(input, &path.display().to_string());
    }
    let inputs: Vec<Vec<u8>> = corpus.into_iter().map(|(_, input)| input).collect();
    let seed = number(SEED_VARIABLE).unwrap_or(1);
    let runs = if env::var_os("SHOWRUNNER_LONG").is_some() { LONG_RUNS } else { RUNS };
    let until = number(SECONDS_VARIABLE).map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut run = 0;
    while until.map_or(run < runs, |until| Instant::now() < until) {
        let mut input = mutate(&mut Dice::new(seed.wrapping_add(run << 20)), &inputs, words);
        input.truncate(MAX_INPUT);
        try_one(&input, &format!("run {run} of seed {seed}"));
        run += 1;
    }
    println!("{name}: {} corpus files, {run} mutations of seed {seed}", inputs.len());
}

/// The corpus of a reader, in the order of names.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(name);
    let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files.into_iter().filter_map(|path| Some((path.clone(), fs::read(&path).ok()?))).collect()
}

/// Keeps an input for whoever looks into a failure.
fn keep(name: &str, input: &[u8]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let path = env::temp_dir().join(format!("showrunner-fuzz-{name}-{:016x}", hasher.finish()));
    let _ = fs::write(&path, input); // the failure itself is told in any case
    path
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}
