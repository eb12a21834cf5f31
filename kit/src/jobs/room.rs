//! How many owners may have an attempt in hand at once, and who is next: the oldest of those that ask.
//!
//! No I/O. Who holds a place is told by the owners' own statuses, as their watch shows them, so that no Job of anybody else
//! takes one; what a reconciler was let in for counts until its status is seen. After a start everybody asks again: nothing is
//! lost with the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::cache::ShardState;
use crate::object::ObjectKey;

/// Has an owner looked at again.
type Wake = Arc<dyn Fn(&ObjectKey) + Send + Sync>;
/// How the watch of a kind of owners stands, by namespace.
type Shards = Arc<dyn Fn() -> Vec<ShardState> + Send + Sync>;

/// Somebody who asks for a place, or holds one.
#[derive(Clone)]
pub struct Asking {
    /// UID.
    pub uid: String,
    /// Since when there is the object: who is older comes first.
    pub created: Timestamp,
    /// What to look at again when there is a place.
    pub key: ObjectKey,
}

impl Asking {
    /// An object that the API server gave; none where it lacks what the API server gives to all.
    pub fn of(meta: &ObjectMeta) -> Option<Self> {
        let created = meta.creation_timestamp.as_ref()?.0;
        Some(Self { uid: meta.uid.clone()?, created, key: ObjectKey::of(meta) })
    }
}

/// What an owner's status says of its attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// There is none.
    Free,
    /// It is in hand.
    Held,
    /// It is in hand, and its namespace refuses its Job, as a quota does. It takes no place, which others can use; but
    /// nobody else begins in that namespace meanwhile, or all of it would be refused one by one.
    Refused,
}

/// Room for Jobs. Cloning is cheap, and gives the same room.
#[derive(Clone)]
pub struct Room {
    limit: usize,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Owners whose status has an attempt.
    holders: BTreeMap<String, Holder>,
    /// Owners that were let in, and whose status has not been seen with the attempt yet.
    entered: BTreeSet<String>,
    /// Who waits, oldest first.
    waiting: BTreeMap<(Timestamp, String), ObjectKey>,
    kinds: Vec<Kind>,
}

struct Holder {
    namespace: String,
    refused: bool,
}

#[derive(Clone)]
struct Kind {
    wake: Wake,
    shards: Shards,
}

impl Room {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), inner: Arc::default() }
    }

    /// Owners of one more kind ask here.
    pub(crate) fn add(&self, wake: Wake, shards: Shards) {
        self.lock().kinds.push(Kind { wake, shards });
    }

    /// Whether there is a place for one more owner. Who is not let in waits, and is woken when it is their turn.
    pub fn enter(&self, asking: &Asking) -> bool {
        let mut inner = self.lock();
        // Who asks holds nothing, even where its status has not been seen without the attempt yet.
        inner.entered.remove(&asking.uid);
        let place = (asking.created, asking.uid.clone());
        inner.waiting.insert(place.clone(), asking.key.clone());
        let next = inner.next(self.limit, Some(&asking.uid));
        if !next.contains(&place) {
            // Those before it may not know yet that there is a place for them.
            inner.wake(&next);
            return false;
        }
        inner.waiting.remove(&place);
        inner.entered.insert(asking.uid.clone());
        true
    }

    /// A look at an owner has ended in which it asked for no place, or got none to keep: whether it has an attempt in hand.
    pub fn pass(&self, asking: &Asking, has: bool) {
        self.change(|inner| {
            let waited = inner.waiting.remove(&(asking.created, asking.uid.clone())).is_some();
            waited | (!has && inner.entered.remove(&asking.uid))
        });
    }

    /// An owner was seen, with what its status says.
    pub(crate) fn seen(&self, asking: &Asking, place: Place) {
        self.change(|inner| {
            if place == Place::Free {
                return inner.holders.remove(&asking.uid).is_some();
            }
            inner.entered.remove(&asking.uid);
            let holder = Holder { namespace: asking.key.namespace.clone(), refused: place == Place::Refused };
            let before = inner.holders.insert(asking.uid.clone(), holder);
            before.is_some_and(|before| before.refused != (place == Place::Refused)) || place == Place::Refused
        });
    }

    /// An owner is gone.
    pub(crate) fn forget(&self, asking: &Asking) {
        self.change(|inner| {
            let waited = inner.waiting.remove(&(asking.created, asking.uid.clone())).is_some();
            waited | inner.holders.remove(&asking.uid).is_some() | inner.entered.remove(&asking.uid)
        });
    }

    /// More is known of namespaces than before, or less.
    pub(crate) fn look(&self) {
        self.change(|_| true);
    }

    /// Changes something, and where that may have made room, wakes whoever is next.
    fn change(&self, change: impl FnOnce(&mut Inner) -> bool) {
        let mut inner = self.lock();
        if change(&mut inner) && !inner.waiting.is_empty() {
            let next = inner.next(self.limit, None);
            inner.wake(&next);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Those of who waits that may come in now, oldest first, where this one holds nothing.
    fn next(&self, limit: usize, but: Option<&str>) -> Vec<(Timestamp, String)> {
        let shards: Vec<ShardState> = self.kinds.iter().flat_map(|kind| (kind.shards)()).collect();
        // Who holds a place there is not known yet.
        if shards.iter().any(|shard| !shard.synced && shard.away.is_none()) {
            return Vec::new();
        }
        // What became of those who held a place there will not be known before there is a list of it again.
        let away: BTreeSet<&str> =
            shards.iter().filter(|shard| shard.away.is_some()).filter_map(|shard| shard.namespace.as_deref()).collect();
        let refusing: BTreeSet<&str> =
            self.holders.values().filter(|holder| holder.refused).map(|holder| holder.namespace.as_str()).collect();
        let holds = |uid: &str, holder: &Holder| {
            !holder.refused && !away.contains(holder.namespace.as_str()) && but != Some(uid) && !self.entered.contains(uid)
        };
        let held = self.holders.iter().filter(|(uid, holder)| holds(uid, holder)).count();
        let free = limit.saturating_sub(held + self.entered.len());
        let may_begin = self.waiting.iter().filter(|(_, key)| !refusing.contains(key.namespace.as_str()));
        may_begin.take(free).map(|(place, _)| place.clone()).collect()
    }

    fn wake(&self, places: &[(Timestamp, String)]) {
        for key in places.iter().filter_map(|place| self.waiting.get(place)) {
            for kind in &self.kinds {
                (kind.wake)(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn title(number: i64) -> Asking {
        title_in("ns", number)
    }

    fn title_in(namespace: &str, number: i64) -> Asking {
        let key = ObjectKey::new(namespace, format!("title-{number}"));
        Asking { uid: format!("uid-{number}"), created: at(number), key }
    }

    fn shard(namespace: &str, synced: bool, away: bool) -> ShardState {
        ShardState { namespace: Some(namespace.into()), synced, away: away.then(|| "403 Forbidden".to_owned()) }
    }

    /// A room, how its namespaces stand, and who was woken since the last look.
    struct Bed {
        room: Room,
        shards: Arc<Mutex<Vec<ShardState>>>,
        woken: Arc<Mutex<Vec<String>>>,
    }

    impl Bed {
        fn new(limit: u32) -> Self {
            let bed = Self { room: Room::new(limit), shards: Arc::default(), woken: Arc::default() };
            let (into, shards) = (Arc::clone(&bed.woken), Arc::clone(&bed.shards));
            let wake: Wake = Arc::new(move |key| into.lock().unwrap().push(key.name.clone()));
            bed.room.add(wake, Arc::new(move || shards.lock().unwrap().clone()));
            bed
        }

        fn woken(&self) -> Vec<String> {
            std::mem::take(&mut self.woken.lock().unwrap())
        }
    }

    #[test]
    fn no_more_come_in_than_there_is_room_for_and_the_oldest_of_those_who_wait_is_next() {
        let bed = Bed::new(2);
        assert!(bed.room.enter(&title(5)) && bed.room.enter(&title(6)));
        assert!(bed.room.enter(&title(5)), "who is in stays in, and takes no more room");
        for number in [9, 7, 8] {
            assert!(!bed.room.enter(&title(number)));
        }
        bed.room.seen(&title(5), Place::Free);
        bed.room.pass(&title(5), true);
        bed.room.seen(&title(5), Place::Held);
        bed.room.seen(&title(6), Place::Held);
        assert!(bed.woken().is_empty(), "what is seen late of who is at work frees nothing");
        bed.room.seen(&title(5), Place::Free);
        assert_eq!(bed.woken(), ["title-7"]);
        assert!(!bed.room.enter(&title(9)), "whoever asks first, it is not their turn");
        assert!(bed.room.enter(&title(7)) && !bed.room.enter(&title(8)));
    }

    #[test]
    fn who_waits_no_more_holds_nobody_up() {
        let bed = Bed::new(1);
        assert!(bed.room.enter(&title(1)));
        for number in [2, 3, 4] {
            assert!(!bed.room.enter(&title(number)));
        }
        bed.room.pass(&title(2), false);
        bed.room.forget(&title(3));
        assert!(bed.woken().is_empty(), "there is no room yet");
        bed.room.forget(&title(1));
        assert_eq!(bed.woken(), ["title-4"]);
        assert!(bed.room.enter(&title(4)));
    }

    #[test]
    fn who_was_let_in_and_did_not_begin_gives_its_place_back() {
        let bed = Bed::new(1);
        assert!(bed.room.enter(&title(1)) && !bed.room.enter(&title(2)));
        bed.room.pass(&title(1), false);
        assert_eq!(bed.woken(), ["title-2"]);
        assert!(bed.room.enter(&title(2)));
    }

    #[test]
    fn who_is_done_and_wants_more_at_once_lets_those_before_it_know() {
        let bed = Bed::new(1);
        bed.room.seen(&title(8), Place::Held);
        assert!(!bed.room.enter(&title(3)));
        // Its attempt has ended, and it asks for the next one in the same look.
        assert!(!bed.room.enter(&title(8)), "an older one waits");
        assert_eq!(bed.woken(), ["title-3"]);
        bed.room.seen(&title(8), Place::Free);
        assert!(bed.room.enter(&title(3)) && !bed.room.enter(&title(8)));
    }

    #[test]
    fn after_a_start_nobody_comes_in_before_it_is_known_who_holds_a_place() {
        let bed = Bed::new(1);
        *bed.shards.lock().unwrap() = vec![shard("ns", true, false), shard("late", false, false)];
        assert!(!bed.room.enter(&title(2)));
        bed.room.seen(&title_in("late", 1), Place::Held);
        bed.shards.lock().unwrap()[1].synced = true;
        bed.room.look();
        assert!(bed.woken().is_empty(), "there is no room");
        bed.room.seen(&title_in("late", 1), Place::Free);
        assert_eq!(bed.woken(), ["title-2"]);
    }

    #[test]
    fn a_namespace_that_cannot_be_listed_keeps_no_places() {
        let bed = Bed::new(1);
        *bed.shards.lock().unwrap() = vec![shard("ns", true, false), shard("dead", true, false)];
        bed.room.seen(&title_in("dead", 1), Place::Held);
        assert!(!bed.room.enter(&title(2)));
        bed.shards.lock().unwrap()[1].away = Some("403 Forbidden".to_owned());
        bed.room.look();
        assert_eq!(bed.woken(), ["title-2"]);
        assert!(bed.room.enter(&title(2)));
    }

    #[test]
    fn a_namespace_that_refuses_jobs_holds_up_itself_only() {
        let bed = Bed::new(2);
        for number in [1, 2] {
            assert!(bed.room.enter(&title_in("full", number)));
            bed.room.seen(&title_in("full", number), Place::Held);
        }
        assert!(!bed.room.enter(&title_in("full", 3)) && !bed.room.enter(&title(4)));
        bed.room.seen(&title_in("full", 1), Place::Refused);
        assert_eq!(bed.woken(), ["title-4"]);
        assert!(!bed.room.enter(&title_in("full", 3)) && bed.room.enter(&title(4)));
        // Its quota was raised: what was refused goes on, and those behind it wait for a place as all others do.
        bed.woken();
        bed.room.seen(&title_in("full", 1), Place::Held);
        assert!(bed.woken().is_empty());
        bed.room.seen(&title_in("full", 1), Place::Free);
        bed.room.pass(&title(4), false);
        assert_eq!(bed.woken(), ["title-3"]);
    }
}
