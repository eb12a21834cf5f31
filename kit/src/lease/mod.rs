//! Leader election by a Lease: who may write, and until when.
//!
//! Pure; [`keeper`] does the reading and writing.
//!
//! The Lease keeps two operators from doing the same work, but safety never rests on it: every write that would hurt
//! when late or repeated carries a precondition of its own. What the Lease promises is that a leader *starts* no write
//! after its renew deadline, judged on its own monotonic clock from the moment it *sent* the renewal that succeeded;
//! and since a write ends within the request timeout, it ends before another replica may take the Lease. Another
//! replica judges expiry by how long it has itself seen the record unchanged, so skewed wall clocks do not matter.

pub mod keeper;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Mono};

/// Timings of the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseParams {
    /// How long others wait after the last renewal that they saw.
    pub lease_duration: Duration,
    /// How long after its last renewal a leader may start a write.
    pub renew_deadline: Duration,
    /// Time between attempts to renew or to take.
    pub retry_period: Duration,
    /// Longest time that one write or renewal may take.
    pub request_timeout: Duration,
}

impl Default for LeaseParams {
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            request_timeout: Duration::from_secs(4),
        }
    }
}

/// Timings that would let two leaders write at once, or a leader never renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseParamsError {
    /// A write could end after the Lease has passed on.
    #[error("failed to accept lease timings: renew deadline + request timeout must be less than the lease duration")]
    Overlap,
    /// There would be no second attempt to renew.
    #[error("failed to accept lease timings: the retry period must be at most half of the renew deadline")]
    TooFewRetries,
    /// The Lease object counts whole seconds.
    #[error("failed to accept lease timings: the lease duration must be a whole number of seconds, at least 1")]
    WholeSeconds,
    /// A timeout of zero lets nothing through.
    #[error("failed to accept lease timings: retry period and request timeout must be more than zero")]
    Zero,
}

impl LeaseParams {
    /// Checks what the promise of this module rests on.
    pub fn check(&self) -> Result<(), LeaseParamsError> {
        if self.retry_period.is_zero() || self.request_timeout.is_zero() {
            return Err(LeaseParamsError::Zero);
        }
        if self.lease_duration.as_secs() == 0 || self.lease_duration.subsec_nanos() != 0 {
            return Err(LeaseParamsError::WholeSeconds);
        }
        if self.renew_deadline.saturating_add(self.request_timeout) >= self.lease_duration {
            return Err(LeaseParamsError::Overlap);
        }
        if self.retry_period > self.renew_deadline / 2 {
            return Err(LeaseParamsError::TooFewRetries);
        }
        Ok(())
    }
}

/// What a Lease object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty when released.
    pub holder: String,
    /// How long its holder asked others to wait.
    pub duration: Duration,
    /// How often it changed hands.
    pub transitions: i32,
    /// Version of the object that said so.
    pub resource_version: String,
}

/// What a replica should do with the Lease it just read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is none: create it.
    Create,
    /// It is free or has run out: take it, counting one more transition.
    Take,
    /// It is ours: renew it.
    Renew,
    /// Somebody else holds it.
    Wait,
}

/// One replica's view of the election.
#[derive(Debug)]
pub struct Election {
    identity: String,
    /// The version seen last, and when it was first seen here.
    seen: Option<(String, Mono)>,
}

impl Election {
    /// A replica that has seen nothing yet. The identity must be unique to this process.
    pub fn new(identity: impl Into<String>) -> Self {
        Self { identity: identity.into(), seen: None }
    }

    /// Who we are.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What to do, given the Lease as it was read at `now`.
    pub fn step(&mut self, record: Option<&Record>, now: Mono) -> Step {
        let Some(record) = record else {
            self.seen = None;
            return Step::Create;
        };
        let since = match &self.seen {
            Some((version, since)) if *version == record.resource_version => *since,
            _ => {
                self.seen = Some((record.resource_version.clone(), now));
                now
            }
        };
        if record.holder == self.identity {
            Step::Renew
        } else if record.holder.is_empty() || now.saturating_sub(since) >= record.duration {
            Step::Take
        } else {
            Step::Wait
        }
    }
}

/// This process does not lead (any more): it must not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to write: this replica does not lead, or could not renew its lease in time")]
pub struct NotLeader;

/// Proof that a write may start now. Not `Clone`: each write asks again.
#[derive(Debug)]
pub struct WriteToken {
    /// The write must have ended after this long.
    pub timeout: Duration,
}

/// Whether this process leads, shared between the keeper and everything that writes.
#[derive(Clone, Debug)]
pub struct Leadership(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    params: LeaseParams,
    /// Without an election every write may start.
    elected: bool,
    /// Milliseconds on `clock` of when the last renewal that succeeded was sent, plus one; 0: not leading.
    renewed: AtomicU64,
    /// Where whoever leads said to be found, when that was last read.
    leader: Mutex<Option<String>>,
}

impl Leadership {
    /// Not leading yet.
    pub fn new(params: LeaseParams, clock: Clock) -> Self {
        Self::of(true, params, clock)
    }

    /// For a single replica that runs without an election: leads always.
    pub fn without_election(params: LeaseParams, clock: Clock) -> Self {
        Self::of(false, params, clock)
    }

    fn of(elected: bool, params: LeaseParams, clock: Clock) -> Self {
        Self(Arc::new(Shared { clock, params, elected, renewed: AtomicU64::new(0), leader: Mutex::default() }))
    }

    /// Whether a write may start now.
    pub fn leads(&self) -> bool {
        self.leads_at(self.0.clock.mono())
    }

    /// Where whoever leads said to be found; none where that is not known.
    pub fn leader(&self) -> Option<String> {
        self.0.leader.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whoever leads is found there.
    pub(crate) fn led_from(&self, address: Option<String>) {
        *self.0.leader.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// Asked before each write.
    pub fn guard(&self) -> Result<WriteToken, NotLeader> {
        if self.leads_at(self.0.clock.mono()) {
            Ok(WriteToken { timeout: self.0.params.request_timeout })
        } else {
            Err(NotLeader)
        }
    }

    /// Whether a write may start at this time.
    pub fn leads_at(&self, now: Mono) -> bool {
        if !self.0.elected {
            return true;
        }
        match self.0.renewed.load(Ordering::Acquire) {
            0 => false,
            renewed => now < Duration::from_millis(renewed - 1) + self.0.params.renew_deadline,
        }
    }

    /// A renewal that was sent at this time has succeeded. Rounded down: never promises more than was given.
    pub(crate) fn renewed(&self, sent: Mono) {
        self.0.renewed.store(sent.as_millis() as u64 + 1, Ordering::Release);
    }

    /// No longer leading.
    pub(crate) fn lost(&self) {
        self.0.renewed.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn record(holder: &str, version: &str) -> Record {
        Record { holder: holder.into(), duration: SECOND * 15, transitions: 3, resource_version: version.into() }
    }

    #[test]
    fn a_leader_starts_no_write_after_its_renew_deadline() {
        let leadership = Leadership::new(LeaseParams::default(), Clock::start());
        assert!(!leadership.leads_at(Mono::ZERO));
        leadership.renewed(SECOND * 5);
        assert!(leadership.leads_at(SECOND * 15 - Duration::from_millis(1)));
        assert!(!leadership.leads_at(SECOND * 15));
        leadership.renewed(SECOND * 14);
        assert!(leadership.leads_at(SECOND * 15));
        leadership.lost();
        assert!(!leadership.leads_at(SECOND * 15));
    }

    #[test]
    fn a_write_that_starts_in_time_ends_before_anyone_may_take_the_lease() {
        let params = LeaseParams::default();
        params.check().unwrap();
        assert!(params.renew_deadline + params.request_timeout < params.lease_duration);
    }

    #[test]
    fn timings_that_break_the_promise_are_refused() {
        let base = LeaseParams::default();
        let overlap = LeaseParams { request_timeout: SECOND * 5, ..base };
        assert_eq!(overlap.check(), Err(LeaseParamsError::Overlap));
        let slow = LeaseParams { retry_period: SECOND * 6, ..base };
        assert_eq!(slow.check(), Err(LeaseParamsError::TooFewRetries));
        let odd = LeaseParams { lease_duration: Duration::from_millis(15_500), ..base };
        assert_eq!(odd.check(), Err(LeaseParamsError::WholeSeconds));
        let zero = LeaseParams { retry_period: Duration::ZERO, ..base };
        assert_eq!(zero.check(), Err(LeaseParamsError::Zero));
    }

    #[test]
    fn a_lease_is_taken_only_after_it_was_seen_unchanged_for_its_duration() {
        let mut election = Election::new("me");
        assert_eq!(election.step(Some(&record("other", "1")), SECOND), Step::Wait);
        assert_eq!(election.step(Some(&record("other", "1")), SECOND * 15), Step::Wait);
        assert_eq!(election.step(Some(&record("other", "2")), SECOND * 15), Step::Wait, "renewed");
        assert_eq!(election.step(Some(&record("other", "2")), SECOND * 29), Step::Wait);
        assert_eq!(election.step(Some(&record("other", "2")), SECOND * 30), Step::Take);
    }

    #[test]
    fn a_released_lease_is_taken_at_once() {
        assert_eq!(Election::new("me").step(Some(&record("", "1")), Mono::ZERO), Step::Take);
    }

    #[test]
    fn no_lease_is_created_and_ones_own_is_renewed() {
        let mut election = Election::new("me");
        assert_eq!(election.step(None, Mono::ZERO), Step::Create);
        assert_eq!(election.step(Some(&record("me", "1")), Mono::ZERO), Step::Renew);
    }

    #[test]
    fn two_replicas_never_may_write_at_once_whatever_the_renewals_do() {
        // Replica A renews for a while, then hangs; B watches. Both on one clock, B polling each 250 ms.
        let params = LeaseParams::default();
        for hang_ms in (0_u64..20_000).step_by(777) {
            let a = Leadership::new(params, Clock::start());
            let mut b = Election::new("b");
            let (mut version, mut last_renewal) = (0_u64, Mono::ZERO);
            for tick in 0_u64..200 {
                let now = Duration::from_millis(tick * 250);
                if now.as_millis() as u64 <= hang_ms && (tick == 0 || now - last_renewal >= params.retry_period) {
                    a.renewed(now);
                    last_renewal = now;
                    version += 1;
                }
                if b.step(Some(&record("a", &version.to_string())), now) == Step::Take {
                    assert!(!a.leads_at(now.saturating_sub(params.request_timeout)), "a write of A may still run at {now:?}");
                    break;
                }
                assert!(tick < 199, "B never took over");
            }
        }
    }

    #[test]
    fn without_an_election_every_write_may_start() {
        let leadership = Leadership::without_election(LeaseParams::default(), Clock::start());
        assert!(leadership.guard().is_ok());
    }
}
