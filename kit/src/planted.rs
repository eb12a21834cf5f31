//! Bugs that are planted on purpose: the fault sweep is tested by whether it catches each of them.
//!
//! Reads one environment variable, in builds with the feature `planted-bugs` only. In every other build
//! [`planted!`](crate::planted) is the word `false`, so that nothing of this is in the operator that is installed.

/// Names the bug that a process is to have.
#[cfg(feature = "planted-bugs")]
const VARIABLE: &str = "SHOWRUNNER_PLANTED_BUG";

/// Whether this process is to have this bug.
#[cfg(feature = "planted-bugs")]
pub fn is(bug: &str) -> bool {
    std::env::var(VARIABLE).is_ok_and(|planted| planted == bug)
}

/// Whether this process is to have this bug.
#[cfg(feature = "planted-bugs")]
#[macro_export]
macro_rules! planted {
    ($bug:literal) => {
        $crate::planted::is($bug)
    };
}

/// Whether this process is to have this bug: never, in this build.
#[cfg(not(feature = "planted-bugs"))]
#[macro_export]
macro_rules! planted {
    ($bug:literal) => {
        false
    };
}
