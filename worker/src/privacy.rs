//! Keeps what this process has in memory to itself. Changes its own process only.

use nix::sys::{
    prctl,
    resource::{Resource, setrlimit},
};

/// No core file, whoever it would go to, and no look into memory or environment by another process of the same user. To be
/// called first in `main`: an order's signed requests and the title's pictures are in there.
pub fn keep() {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).expect("a limit can always be lowered");
    // The limit does not count where the kernel hands cores to a program of the node; this does.
    prctl::set_dumpable(false).expect("the kernel knows it since 2.4");
}
