//! The two clocks: wall time for what is stored in objects, monotonic time for what is measured in this process.
//!
//! The only place that reads a clock; everything that decides takes the time as an argument.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// Time since a [`Clock`] was made; never goes back.
pub type Mono = Duration;

/// A pair of clocks. The monotonic one is tokio's, so tests with a paused runtime have virtual time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that starts at zero now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Monotonic time since the start.
    pub fn mono(&self) -> Mono {
        self.origin.elapsed()
    }

    /// Wall time.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// The instant at which [`Clock::mono`] will read `at`.
    pub fn instant(&self, at: Mono) -> Instant {
        self.origin + at
    }

    /// The instant so long after another, or the last one there is: what others wrote into objects may lie anywhere.
    pub fn after(at: Timestamp, wait: Duration) -> Timestamp {
        at.saturating_add(wait).unwrap_or(Timestamp::MAX)
    }

    /// How long from `now` until a stored instant; zero when it is past.
    pub fn until(now: Timestamp, due: Timestamp) -> Duration {
        Duration::try_from(due.duration_since(now)).unwrap_or_default()
    }
}
