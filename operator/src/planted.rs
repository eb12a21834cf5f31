//! The operator with bugs in it, for the fault sweep to catch: `SHOWRUNNER_PLANTED_BUG` names one.
//!
//! I/O: the operator's.

#[path = "main.rs"]
mod operator;

fn main() -> std::process::ExitCode {
    operator::main()
}
