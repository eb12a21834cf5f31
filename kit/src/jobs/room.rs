//! How many owners may have a Job in flight at once, and who is next: the oldest of those that ask.
//!
//! No I/O. Nothing here is kept but who asks now; what is in flight is told by the cache of Jobs. After a start everybody asks
//! again, so that nothing is lost with the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;

use super::{is_finished, is_suspended};
use crate::cache::Cache;
use crate::object::{ObjectKey, controller_of};

/// Has an owner looked at again.
type Wake = Arc<dyn Fn(&ObjectKey) + Send + Sync>;

/// Somebody who asks for room.
#[derive(Clone)]
pub struct Asking {
    /// UID.
    pub uid: String,
    /// Since when there is the object: who is older comes first.
    pub created: Timestamp,
    /// What to look at again when there is room.
    pub key: ObjectKey,
}

/// Room for Jobs. Cloning is cheap, and gives the same room.
#[derive(Clone)]
pub struct Room {
    limit: usize,
    jobs: Cache<Job>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Owners that were let in and whose Job the cache may not have yet.
    inside: BTreeSet<String>,
    /// Who waits, oldest first.
    waiting: BTreeMap<(Timestamp, String), ObjectKey>,
    wakes: Vec<Wake>,
}

impl Room {
    pub(crate) fn new(limit: u32, jobs: Cache<Job>) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), jobs, inner: Arc::default() }
    }

    /// What is called for whoever may come in.
    pub(crate) fn wakes(&self, wake: Wake) {
        self.lock().wakes.push(wake);
    }

    /// Whether there is room for one more owner's Job. Who is not let in waits, and is woken when it is their turn.
    pub fn enter(&self, asking: &Asking) -> bool {
        let mut inner = self.lock();
        let place = (asking.created, asking.uid.clone());
        // Who asks has nothing in flight, whatever it had before.
        inner.inside.remove(&asking.uid);
        inner.waiting.insert(place.clone(), asking.key.clone());
        let before = inner.waiting.range(..&place).count();
        let free = self.limit.saturating_sub(self.in_flight(&inner, &asking.uid));
        if before >= free {
            // Those before it may not know yet that there is room for them.
            Self::wake(inner, free);
            return false;
        }
        inner.waiting.remove(&place);
        inner.inside.insert(asking.uid.clone());
        true
    }

    /// A look at an owner has ended that asked for no room: whether it had an attempt in hand before, and has one now. Where
    /// there is room now, whoever is next may come in.
    pub fn pass(&self, uid: &str, created: Timestamp, had: bool, has: bool) {
        let mut inner = self.lock();
        let gave_up = inner.waiting.remove(&(created, uid.to_owned())).is_some();
        let left = !has && (inner.inside.remove(uid) || had);
        if inner.waiting.is_empty() || !(gave_up || left) {
            return;
        }
        let free = self.limit.saturating_sub(self.in_flight(&inner, ""));
        Self::wake(inner, free);
    }

    /// Has the first of those who wait looked at.
    fn wake(inner: MutexGuard<'_, Inner>, free: usize) {
        let next: Vec<ObjectKey> = inner.waiting.values().take(free).cloned().collect();
        let wakes = inner.wakes.clone();
        drop(inner);
        for key in &next {
            for wake in &wakes {
                wake(key);
            }
        }
    }

    /// An object that is gone asks for nothing.
    pub(crate) fn forget(&self, uid: &str) {
        let created = self.lock().waiting.keys().find(|(_, waiting)| waiting == uid).map(|(created, _)| *created);
        self.pass(uid, created.unwrap_or(Timestamp::UNIX_EPOCH), true, false);
    }

    /// Owners but this one with a Job that may run, or about to have one.
    fn in_flight(&self, inner: &Inner, but: &str) -> usize {
        let jobs = self.jobs.list();
        let running =
            jobs.iter().filter(|job| !is_finished(job) && !is_suspended(job)).filter_map(|job| controller_of(&job.metadata));
        let mut owners: BTreeSet<&str> = running.map(|owner| owner.uid.as_str()).collect();
        owners.extend(inner.inside.iter().map(String::as_str));
        owners.remove(but);
        owners.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn asking(number: i64) -> Asking {
        Asking { uid: format!("uid-{number}"), created: at(number), key: ObjectKey::new("ns", format!("title-{number}")) }
    }

    fn job(owner: i64, finished: bool, version: u32) -> Job {
        let conditions = if finished { json!([{ "type": "Complete", "status": "True" }]) } else { json!([]) };
        serde_json::from_value(json!({
            "metadata": { "namespace": "ns", "name": format!("job-{owner}"), "uid": format!("job-{owner}"), "resourceVersion": version.to_string(),
                "ownerReferences": [{ "apiVersion": "v1", "kind": "T", "name": "t", "uid": format!("uid-{owner}"), "controller": true }] },
            "spec": { "suspend": false, "template": {} }, "status": { "conditions": conditions },
        }))
        .unwrap()
    }

    fn room(limit: u32) -> (Room, Cache<Job>, Arc<Mutex<Vec<String>>>) {
        let cache = Cache::new(&[]);
        let room = Room::new(limit, cache.clone());
        let woken: Arc<Mutex<Vec<String>>> = Arc::default();
        let into = Arc::clone(&woken);
        room.wakes(Arc::new(move |key| into.lock().unwrap().push(key.name.clone())));
        (room, cache, woken)
    }

    #[test]
    fn no_more_come_in_than_there_is_room_for_and_the_oldest_of_those_who_wait_is_next() {
        let (room, cache, woken) = room(2);
        assert!(room.enter(&asking(5)) && room.enter(&asking(6)));
        assert!(room.enter(&asking(5)), "who is in stays in, and takes no more room");
        for number in [9, 7, 8] {
            assert!(!room.enter(&asking(number)));
        }
        // Their Jobs are seen; one ends, and its title is done with it.
        cache.apply(Ok(job(5, false, 1)));
        cache.apply(Ok(job(6, false, 2)));
        room.pass("uid-5", at(5), true, true);
        assert!(woken.lock().unwrap().is_empty(), "a look at who is at work frees nothing");
        cache.apply(Ok(job(5, true, 3)));
        room.pass("uid-5", at(5), true, false);
        assert_eq!(*woken.lock().unwrap(), ["title-7"]);
        assert!(!room.enter(&asking(9)), "whoever asks first, it is not their turn");
        assert!(room.enter(&asking(7)) && !room.enter(&asking(8)));
    }

    #[test]
    fn who_waits_no_more_holds_nobody_up() {
        let (room, _, woken) = room(1);
        assert!(room.enter(&asking(1)));
        for number in [2, 3, 4] {
            assert!(!room.enter(&asking(number)));
        }
        room.pass("uid-2", at(2), false, false);
        room.forget("uid-3");
        assert!(woken.lock().unwrap().is_empty(), "there is no room yet");
        room.forget("uid-1");
        assert_eq!(*woken.lock().unwrap(), ["title-4"]);
        assert!(room.enter(&asking(4)));
    }

    #[test]
    fn who_is_done_and_wants_more_at_once_lets_those_before_it_know() {
        let (room, _, woken) = room(1);
        assert!(room.enter(&asking(8)) && !room.enter(&asking(3)));
        // Its attempt has ended, and it asks for the next one in the same look.
        assert!(!room.enter(&asking(8)), "an older one waits");
        assert_eq!(*woken.lock().unwrap(), ["title-3"]);
        assert!(room.enter(&asking(3)) && !room.enter(&asking(8)));
    }

    #[test]
    fn after_a_start_the_jobs_that_run_take_their_room() {
        let (room, cache, _) = room(1);
        cache.apply(Ok(job(1, false, 1)));
        assert!(!room.enter(&asking(2)));
        assert!(room.enter(&asking(1)), "the room that one's own Job takes is one's own");
        let mut suspended = job(3, false, 2);
        suspended.spec.as_mut().unwrap().suspend = Some(true);
        cache.apply(Ok(suspended));
        cache.apply(Ok(job(1, true, 3)));
        room.pass("uid-1", at(1), true, false);
        assert!(room.enter(&asking(2)), "what is suspended, whoever made it, takes none");
    }
}
