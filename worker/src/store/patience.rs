//! How long to go on trying while a store is away. Sleeps; no other I/O.

use super::StoreError;
use std::{
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

/// Pauses between tries: doubling, jittered, until so much time has passed without progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Time without any progress after which the store counts as away for good.
    pub total: Duration,
    /// First pause.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
}

impl Default for Patience {
    /// A store that is away for a minute is survived; three minutes without a byte are not.
    fn default() -> Self {
        Self { total: Duration::from_mins(3), first: Duration::from_millis(250), longest: Duration::from_secs(10) }
    }
}

/// One wait for a store to come back.
#[derive(Debug)]
pub(super) struct Waiting {
    patience: Patience,
    since: Instant,
    pause: Duration,
}

impl Waiting {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, since: Instant::now(), pause: patience.first }
    }

    /// Something came through: patience starts anew.
    pub(super) fn progressed(&mut self) {
        self.since = Instant::now();
        self.pause = self.patience.first;
    }

    /// Waits before the next try, or gives up with the last error.
    pub(super) async fn pause(&mut self, what: &str, error: StoreError) -> Result<(), StoreError> {
        let waited = self.since.elapsed();
        let cause = match error {
            StoreError::Away { cause, .. } => cause,
            final_error => return Err(final_error),
        };
        if waited + self.pause > self.patience.total {
            return Err(StoreError::Unavailable { what: what.to_owned(), cause, waited });
        }
        tracing::warn!(what, cause, pause_ms = self.pause.as_millis() as u64, "the store is away, trying again");
        tokio::time::sleep(jittered(self.pause)).await;
        self.pause = (self.pause * 2).min(self.patience.longest);
        Ok(())
    }
}

/// Half to all of `pause`, so that the workers of a store that comes back do not call in one beat.
fn jittered(pause: Duration) -> Duration {
    // The standard library's hash seeds are the randomness at hand; quality does not matter here.
    let random = RandomState::new().hash_one(0_u8) % 512;
    pause / 2 + pause * random as u32 / 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_never_shorter_than_half_nor_longer_than_itself() {
        let pause = Duration::from_secs(8);
        for _ in 0..1_000 {
            assert!((pause / 2..=pause).contains(&jittered(pause)));
        }
    }
}
