//! A rate limit shared by all callers: a token bucket that tells each how long to wait.
//!
//! Pure: time is an argument.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Mono;

/// Callers may be this far ahead of the rate: one second's worth of requests at once.
const BURST: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct Limit {
    interval: Duration,
    /// When the next caller would go if there were no burst.
    next: Mutex<Mono>,
}

impl Limit {
    pub(crate) fn per_second(rate: u32) -> Self {
        Self { interval: Duration::from_secs(1) / rate.max(1), next: Mutex::new(Mono::ZERO) }
    }

    /// As [`Limit::book`] when the wait is at most `longest`; else books nothing.
    pub(crate) fn book_within(&self, now: Mono, longest: Duration) -> Option<Duration> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let booked = (*next).max(now) + self.interval;
        let wait = booked.saturating_sub(now + BURST);
        (wait <= longest).then(|| {
            *next = booked;
            wait
        })
    }

    /// Books one request and says how long to wait before sending it.
    pub(crate) fn book(&self, now: Mono) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next).max(now) + self.interval;
        next.saturating_sub(now + BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_turned_away_takes_nobodys_place() {
        let limit = Limit::per_second(10);
        let taken = (0..1000).filter(|_| limit.book_within(Mono::ZERO, Duration::ZERO).is_some()).count();
        assert_eq!(taken, 10);
        assert_eq!(limit.book_within(Duration::from_secs(1), Duration::ZERO), Some(Duration::ZERO));
    }

    #[test]
    fn the_rate_holds_after_a_burst() {
        let limit = Limit::per_second(10);
        let waits: Vec<_> = (0..15).map(|_| limit.book(Mono::ZERO).as_millis()).collect();
        assert_eq!(&waits[..10], [0; 10]);
        assert_eq!(&waits[10..], [100, 200, 300, 400, 500]);
        assert_eq!(limit.book(Duration::from_mins(1)), Duration::ZERO, "an idle while fills the bucket, once");
    }
}
