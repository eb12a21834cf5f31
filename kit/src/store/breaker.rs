//! Keeps callers from waiting for a store that does not answer: after a few silences in a row they are told at once that
//! it is away, and one request at a time finds out whether it is back.
//!
//! Pure: time is an argument.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Mono;

/// Requests in a row without an answer after which a store is away.
pub(crate) const SILENCES: u32 = 3;
/// How long nobody asks a store that has just gone away; doubles with each request that still gets no answer.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause, before jitter: bounds how long a store that is back goes unnoticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Part of a pause that differs from store to store and from pause to pause, so that several are not asked at once.
const JITTER_PERCENT: u64 = 20;
/// After this long, whoever was let through to find out is not heard of any more (it was cut off), and another is.
const LOST: Duration = Duration::from_secs(45);

/// See the module.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// Makes the jitter.
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    silences: u32,
    away: Option<Away>,
}

#[derive(Debug)]
struct Away {
    /// What the last silence was like when it went away; the same until it is back, for it is put into conditions.
    why: &'static str,
    pauses: u32,
    ask_at: Mono,
}

/// Leave to send one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    /// It finds out whether the store is back.
    probe: bool,
}

impl Breaker {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), state: Mutex::default() }
    }

    /// Leave to send a request, or why the store is away.
    pub(crate) fn enter(&self, now: Mono) -> Result<Pass, &'static str> {
        match &mut self.lock().away {
            None => Ok(Pass { probe: false }),
            Some(away) if now < away.ask_at => Err(away.why),
            Some(away) => {
                away.ask_at = now + LOST;
                Ok(Pass { probe: true })
            }
        }
    }

    /// The store answered, whatever it said. True when it was away until now.
    pub(crate) fn answered(&self) -> bool {
        std::mem::take(&mut *self.lock()).away.is_some()
    }

    /// A request got no answer. Says why the store is away, if it is, and whether that is new.
    pub(crate) fn silent(&self, pass: Pass, why: &'static str, now: Mono) -> Option<(&'static str, bool)> {
        let mut state = self.lock();
        state.silences = state.silences.saturating_add(1);
        let (tired, new) = (state.silences >= SILENCES, state.away.is_none());
        match &mut state.away {
            Some(away) if pass.probe => {
                away.pauses += 1;
                away.ask_at = now + self.pause(away.pauses);
            }
            None if tired => state.away = Some(Away { why, pauses: 0, ask_at: now + self.pause(0) }),
            // Not often enough yet, or sent before it went away.
            Some(_) | None => {}
        }
        state.away.as_ref().map(|away| (away.why, new))
    }

    fn pause(&self, pauses: u32) -> Duration {
        let mut hasher = DefaultHasher::new();
        (&self.name, pauses).hash(&mut hasher);
        let plain = FIRST_PAUSE.saturating_mul(1 << pauses.min(16)).min(LONGEST_PAUSE);
        plain * (100 + u32::try_from(hasher.finish() % (JITTER_PERCENT + 1)).unwrap_or_default()) / 100
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Away since time zero.
    fn away() -> Breaker {
        let breaker = Breaker::new("media");
        for silence in 1..=SILENCES {
            let pass = breaker.enter(Mono::ZERO).unwrap();
            let told = breaker.silent(pass, "no connection", Mono::ZERO);
            assert_eq!(told, (silence == SILENCES).then_some(("no connection", true)));
        }
        breaker
    }

    /// The first moment from `now` on at which somebody is let through.
    fn let_through(breaker: &Breaker, now: Mono) -> (Mono, Pass) {
        let moments = (0..).map(|step| now + Duration::from_millis(10) * step);
        moments.into_iter().find_map(|now| Some((now, breaker.enter(now).ok()?))).unwrap()
    }

    #[test]
    fn a_silence_now_and_then_is_no_outage() {
        let breaker = Breaker::new("media");
        for _ in 0..20 {
            for _ in 1..SILENCES {
                let pass = breaker.enter(Mono::ZERO).unwrap();
                assert_eq!(breaker.silent(pass, "no connection", Mono::ZERO), None);
            }
            assert!(!breaker.answered());
        }
    }

    #[test]
    fn one_request_at_a_time_finds_out_after_pauses_that_double_up_to_a_bound() {
        let breaker = away();
        let mut now = Mono::ZERO;
        for plain in [5, 10, 20, 30, 30, 30] {
            let (at, probe) = let_through(&breaker, now);
            let paused = at - now;
            assert!(paused >= SECOND * plain && paused <= (SECOND * plain).mul_f64(1.21), "{paused:?}, not about {plain} s");
            assert_eq!(breaker.enter(at), Err("no connection"), "a second one is not let through");
            now = at + SECOND * 20;
            assert_eq!(breaker.silent(probe, "no answer in time", now), Some(("no connection", false)));
        }
        let (at, _) = let_through(&breaker, now);
        assert!(breaker.answered());
        assert_eq!(breaker.enter(at), Ok(Pass { probe: false }));
        assert_eq!(breaker.enter(at), Ok(Pass { probe: false }), "everybody is let through again");
    }

    #[test]
    fn who_was_cut_off_while_finding_out_is_replaced() {
        let breaker = away();
        let (at, _) = let_through(&breaker, Mono::ZERO);
        let (again, _) = let_through(&breaker, at + Duration::from_millis(1));
        assert!(again - at >= LOST && again - at < LOST + SECOND);
    }

    #[test]
    fn requests_from_before_it_went_away_make_the_pause_no_longer_and_may_end_it() {
        let breaker = away();
        let old = Pass { probe: false };
        assert_eq!(breaker.silent(old, "no answer in time", SECOND * 4), Some(("no connection", false)));
        assert!(let_through(&breaker, SECOND * 4).0 <= SECOND * 6 + Duration::from_millis(10));
        assert!(breaker.answered());
        assert!(breaker.enter(SECOND * 4).is_ok());
    }

    #[test]
    fn stores_are_not_all_asked_at_the_same_moment() {
        let pauses: std::collections::BTreeSet<_> = ["a", "b", "c", "d"].map(|name| Breaker::new(name).pause(3)).into();
        assert!(pauses.len() > 1, "{pauses:?}");
    }
}
