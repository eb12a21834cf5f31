//! What must hold for every reader of ours, whatever it reads: one function per reader, which panics where it does not.
//! No I/O.
//!
//! `tests/corpus.rs` runs them on stable Rust, over the corpus and seeded mutations of it; `fuzz/libfuzzer` runs them under
//! libFuzzer. Readers that live in the worker or the operator are held to theirs in those crates, over the same corpus.
#![forbid(unsafe_code)]

mod documents;
mod jobs;
mod markup;
mod messages;
mod prints;
mod report;
mod settings;
mod store;
mod subtitles;
mod time;
mod vtt;
mod words;

/// A reader under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Hands it an input.
    pub run: fn(&[u8]),
}

/// Every reader that is a library of its own or part of one. Names are those of `fuzz/libfuzzer/fuzz_targets/`.
pub const TARGETS: [Target; 19] = [
    Target { name: "document", run: documents::document },
    Target { name: "termination", run: documents::termination },
    Target { name: "step_result", run: documents::step_result },
    Target { name: "title_spec", run: documents::title_spec },
    Target { name: "job", run: jobs::job },
    Target { name: "message", run: messages::message },
    Target { name: "report", run: report::report },
    Target { name: "settings", run: settings::settings },
    Target { name: "store_answer", run: store::answer },
    Target { name: "store_path", run: store::path },
    Target { name: "cues", run: subtitles::cues },
    Target { name: "webvtt", run: subtitles::webvtt },
    Target { name: "imsc", run: subtitles::imsc },
    Target { name: "timeline", run: time::timeline },
    Target { name: "word", run: words::word },
    Target { name: "print", run: prints::print },
    Target { name: "index", run: prints::index },
    Target { name: "query", run: prints::query },
    Target { name: "entry", run: documents::entry },
];

/// Hands an input to the reader of this name.
///
/// # Panics
/// Where there is no such reader, and where one of its properties does not hold.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of this crate").run)(input);
}
