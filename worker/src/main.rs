//! The program that Jobs run: one work order, or one file by hand. Reads its arguments; everything else is the library's.
#![forbid(unsafe_code)]

use clap::Parser as _;
use showrunner_worker::{cli::Arguments, privacy, sandbox::launch};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any thread and any argument parser: this process may be the launcher of a media tool.
    launch::run_if_asked();
    privacy::keep();
    Arguments::parse().execute()
}
