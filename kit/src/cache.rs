//! What the watches know: objects by key, and by the UID of who owns them.
//!
//! Pure: fed by [`crate::watch`], read by reconcilers. Unlike kube's own store it has an index by owner (so that finding
//! an owner's children does not walk all of them) and merges the watches of several namespaces.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::names::LABEL_OWNER_UID;
use crate::object::{Object, ObjectKey, controller_of, label};

/// Something that happened to one object.
#[derive(Clone, Debug)]
pub enum Change<K> {
    /// It is there, new or different.
    Applied {
        /// As it is now.
        object: Arc<K>,
        /// Seen in the first list after a start.
        initial: bool,
    },
    /// It is gone; this is the last that was seen of it.
    Removed(Arc<K>),
}

impl<K> Change<K> {
    /// The object, as it is now or last was.
    pub fn object(&self) -> &Arc<K> {
        match self {
            Self::Applied { object, .. } | Self::Removed(object) => object,
        }
    }
}

/// An object as the API server sent it: understood, or why not.
pub type Parsed<K> = Result<K, Malformed>;

/// An object that could not be read as its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Which.
    pub key: ObjectKey,
    /// What is wrong with it.
    pub error: String,
}

/// A shared, read-mostly view of one kind. Cloning is cheap.
#[derive(Debug)]
pub struct Cache<K>(Arc<RwLock<Inner<K>>>);

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Inner<K> {
    objects: BTreeMap<ObjectKey, Arc<K>>,
    by_uid: HashMap<String, ObjectKey>,
    by_owner: HashMap<String, BTreeSet<ObjectKey>>,
    malformed: BTreeMap<ObjectKey, String>,
    /// One per watched namespace (`None`: all of them).
    shards: Vec<Shard<K>>,
}

#[derive(Debug)]
struct Shard<K> {
    namespace: Option<String>,
    listing: Vec<Parsed<K>>,
    synced: bool,
    /// Why there is no list of it to be had.
    away: Option<String>,
}

/// How the watch of one namespace stands (`None`: the one watch of all namespaces).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardState {
    /// Which.
    pub namespace: Option<String>,
    /// It has had its first full list.
    pub synced: bool,
    /// Why no list of it is to be had, since the last one that was.
    pub away: Option<String>,
}

impl<K: Object> Cache<K> {
    /// An empty cache fed by one watch per namespace; no namespace means one watch over all.
    pub fn new(namespaces: &[String]) -> Self {
        let shard = |namespace| Shard { namespace, listing: Vec::new(), synced: false, away: None };
        let shards = if namespaces.is_empty() {
            vec![shard(None)]
        } else {
            namespaces.iter().cloned().map(|namespace| shard(Some(namespace))).collect()
        };
        Self(Arc::new(RwLock::new(Inner {
            objects: BTreeMap::new(),
            by_uid: HashMap::new(),
            by_owner: HashMap::new(),
            malformed: BTreeMap::new(),
            shards,
        })))
    }

    /// A cache that holds these and is fed by nobody: all that there is, as after a first full list.
    pub fn holding(objects: impl IntoIterator<Item = K>) -> Self {
        let cache = Self::new(&[]);
        cache.begin(0);
        objects.into_iter().for_each(|object| cache.listed(0, Ok(object)));
        cache.finish(0);
        cache
    }

    /// One object.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.read().objects.get(key).cloned()
    }

    /// All objects, sorted by key.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.read().objects.values().cloned().collect()
    }

    /// The objects that the owner with this UID controls, or that carry it in [`LABEL_OWNER_UID`]; sorted by key.
    pub fn controlled_by(&self, owner_uid: &str) -> Vec<Arc<K>> {
        let inner = self.read();
        let keys = inner.by_owner.get(owner_uid).into_iter().flatten();
        keys.filter_map(|key| inner.objects.get(key).cloned()).collect()
    }

    /// The key of the object with this UID.
    pub fn key_of_uid(&self, uid: &str) -> Option<ObjectKey> {
        self.read().by_uid.get(uid).cloned()
    }

    /// Objects that are there but cannot be read, with what is wrong with them.
    pub fn malformed(&self) -> Vec<Malformed> {
        let inner = self.read();
        inner.malformed.iter().map(|(key, error)| Malformed { key: key.clone(), error: error.clone() }).collect()
    }

    /// How many objects are known.
    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one watch has had its first full list.
    pub(crate) fn synced(&self, shard: usize) -> bool {
        self.read().shards.get(shard).is_some_and(|shard| shard.synced)
    }

    /// How each watch stands.
    pub fn shard_states(&self) -> Vec<ShardState> {
        let state =
            |shard: &Shard<K>| ShardState { namespace: shard.namespace.clone(), synced: shard.synced, away: shard.away.clone() };
        self.read().shards.iter().map(state).collect()
    }

    /// Namespace of each shard, in order.
    pub(crate) fn shards(&self) -> Vec<Option<String>> {
        self.read().shards.iter().map(|shard| shard.namespace.clone()).collect()
    }

    /// A full list begins.
    pub(crate) fn begin(&self, shard: usize) {
        if let Some(shard) = self.write().shards.get_mut(shard) {
            shard.listing.clear();
        }
    }

    /// One object of a full list.
    pub(crate) fn listed(&self, shard: usize, object: Parsed<K>) {
        if let Some(shard) = self.write().shards.get_mut(shard) {
            shard.listing.push(object);
        }
    }

    /// There is no list to be had. What is known stays: it may be old, but nothing says that it is gone.
    pub(crate) fn refused(&self, shard: usize, why: String) {
        if let Some(shard) = self.write().shards.get_mut(shard) {
            shard.away = Some(why);
        }
    }

    /// The full list is complete: what it lacks is gone.
    pub(crate) fn finish(&self, shard: usize) -> Vec<Change<K>> {
        let mut inner = self.write();
        let Some(state) = inner.shards.get_mut(shard) else { return Vec::new() };
        let listing = std::mem::take(&mut state.listing);
        let initial = !std::mem::replace(&mut state.synced, true);
        state.away = None;
        let namespace = state.namespace.clone();
        let in_shard = |key: &ObjectKey| namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace);
        let seen: BTreeSet<ObjectKey> = listing.iter().map(key_of).collect();
        let gone: Vec<_> = inner.objects.keys().filter(|key| in_shard(key) && !seen.contains(key)).cloned().collect();
        inner.malformed.retain(|key, _| !in_shard(key) || seen.contains(key));
        let mut changes: Vec<_> = gone.iter().filter_map(|key| inner.remove(key)).map(Change::Removed).collect();
        for object in listing {
            changes.extend(inner.apply(object, initial));
        }
        changes
    }

    /// One object was added or changed. `None`: nothing new.
    pub(crate) fn apply(&self, object: Parsed<K>) -> Vec<Change<K>> {
        self.write().apply(object, false)
    }

    /// One object was deleted.
    pub(crate) fn delete(&self, key: &ObjectKey) -> Option<Change<K>> {
        let mut inner = self.write();
        inner.malformed.remove(key);
        inner.remove(key).map(Change::Removed)
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner<K>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<K>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of<K: Object>(object: &Parsed<K>) -> ObjectKey {
    match object {
        Ok(object) => ObjectKey::of(object.meta()),
        Err(malformed) => malformed.key.clone(),
    }
}

/// UIDs under which an object is found: its controller's, and the one in its label.
pub(crate) fn owners_of<K: Object>(object: &K) -> BTreeSet<String> {
    let meta = object.meta();
    let controller = controller_of(meta).map(|owner| owner.uid.clone());
    controller.into_iter().chain(label(meta, LABEL_OWNER_UID).map(str::to_owned)).collect()
}

impl<K: Object> Inner<K> {
    fn apply(&mut self, object: Parsed<K>, initial: bool) -> Vec<Change<K>> {
        let object = match object {
            Ok(object) => Arc::new(object),
            Err(Malformed { key, error }) => {
                // Acting on what it said before would be acting on what nobody asks for any more.
                self.malformed.insert(key.clone(), error);
                return self.remove(&key).map(Change::Removed).into_iter().collect();
            }
        };
        let key = ObjectKey::of(object.meta());
        self.malformed.remove(&key);
        let mut changes = Vec::new();
        if let Some(old) = self.objects.get(&key) {
            if old.meta().resource_version == object.meta().resource_version && old.meta().uid == object.meta().uid {
                return changes;
            }
            // Whoever it is taken from learns of it as of one that is gone: nothing else would wake them.
            let left = old.meta().uid != object.meta().uid || !owners_of(old.as_ref()).is_subset(&owners_of(object.as_ref()));
            let old = self.remove(&key);
            if left {
                changes.extend(old.map(Change::Removed));
            }
        }
        if let Some(uid) = &object.meta().uid {
            self.by_uid.insert(uid.clone(), key.clone());
        }
        for owner in owners_of(object.as_ref()) {
            self.by_owner.entry(owner).or_default().insert(key.clone());
        }
        self.objects.insert(key, Arc::clone(&object));
        changes.push(Change::Applied { object, initial });
        changes
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<Arc<K>> {
        let object = self.objects.remove(key)?;
        if let Some(uid) = &object.meta().uid {
            self.by_uid.remove(uid);
        }
        for owner in owners_of(object.as_ref()) {
            if let Some(keys) = self.by_owner.get_mut(&owner) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_owner.remove(&owner);
                }
            }
        }
        Some(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

    fn object(namespace: &str, name: &str, uid: &str, version: u32, owner_uid: Option<&str>) -> ConfigMap {
        let owner = |uid: &str| OwnerReference { uid: uid.into(), controller: Some(true), ..OwnerReference::default() };
        let mut metadata = ObjectMeta {
            namespace: Some(namespace.into()),
            name: Some(name.into()),
            uid: Some(uid.into()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        metadata.owner_references = owner_uid.map(|uid| vec![owner(uid)]);
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    fn fill(cache: &Cache<ConfigMap>, shard: usize, objects: Vec<ConfigMap>) -> Vec<Change<ConfigMap>> {
        cache.begin(shard);
        for object in objects {
            cache.listed(shard, Ok(object));
        }
        cache.finish(shard)
    }

    fn names(objects: &[Arc<ConfigMap>]) -> Vec<&str> {
        objects.iter().filter_map(|object| object.metadata.name.as_deref()).collect()
    }

    #[test]
    fn children_are_found_by_the_uid_of_their_owner_only() {
        let cache = Cache::new(&[]);
        let mut labelled = object("ns", "labelled", "3", 3, None);
        labelled.metadata.labels = Some(BTreeMap::from([(LABEL_OWNER_UID.into(), "owner".into())]));
        let children = vec![object("ns", "a", "1", 1, Some("owner")), object("ns", "b", "2", 2, Some("other")), labelled];
        fill(&cache, 0, children);
        assert_eq!(names(&cache.controlled_by("owner")), ["a", "labelled"]);
        cache.delete(&ObjectKey::new("ns", "a"));
        assert_eq!(names(&cache.controlled_by("owner")), ["labelled"]);
        assert_eq!(cache.key_of_uid("1"), None);
    }

    #[test]
    fn whoever_an_object_is_taken_from_learns_of_it() {
        let cache = Cache::new(&[]);
        let labelled = |version, owner: Option<&str>, label: Option<&str>| {
            let mut object = object("ns", "a", "1", version, owner);
            object.metadata.labels = label.map(|owner| BTreeMap::from([(LABEL_OWNER_UID.into(), owner.into())]));
            Ok(object)
        };
        cache.apply(labelled(1, Some("owner"), Some("owner")));
        assert!(
            matches!(cache.apply(labelled(2, None, Some("owner")))[..], [Change::Applied { .. }]),
            "it is found by the label"
        );
        let changes = cache.apply(labelled(3, Some("other"), None));
        let [Change::Removed(old), Change::Applied { object, .. }] = &changes[..] else { panic!("{changes:?}") };
        let (old, new) = (owners_of(old.as_ref()), owners_of(object.as_ref()));
        assert!(old.contains("owner") && new.contains("other"));
        assert!(cache.controlled_by("owner").is_empty() && names(&cache.controlled_by("other")) == ["a"]);
    }

    #[test]
    fn a_relist_removes_what_it_lacks_in_its_own_namespace_only() {
        let cache = Cache::new(&["one".into(), "two".into()]);
        fill(&cache, 0, vec![object("one", "a", "1", 1, None), object("one", "b", "2", 2, None)]);
        assert!(cache.synced(0) && !cache.synced(1));
        fill(&cache, 1, vec![object("two", "c", "3", 3, None)]);
        assert!(cache.synced(1));
        let changes = fill(&cache, 0, vec![object("one", "b", "2", 2, None)]);
        assert!(matches!(&changes[..], [Change::Removed(gone)] if gone.metadata.name.as_deref() == Some("a")));
        assert_eq!(names(&cache.list()), ["b", "c"]);
    }

    #[test]
    fn a_refusal_takes_nothing_away_and_ends_with_the_next_list() {
        let cache = Cache::new(&["one".into(), "two".into()]);
        fill(&cache, 0, vec![object("one", "a", "1", 1, None)]);
        cache.refused(0, "403 Forbidden".into());
        let state = &cache.shard_states()[0];
        assert_eq!((state.synced, state.away.as_deref()), (true, Some("403 Forbidden")));
        assert_eq!(names(&cache.list()), ["a"]);
        fill(&cache, 0, Vec::new());
        assert_eq!(cache.shard_states()[0].away, None);
        assert!(cache.is_empty());
    }

    #[test]
    fn the_first_list_is_initial_and_the_next_one_is_not() {
        let cache = Cache::new(&[]);
        let first = fill(&cache, 0, vec![object("ns", "a", "1", 1, None)]);
        assert!(matches!(first[..], [Change::Applied { initial: true, .. }]));
        let second = fill(&cache, 0, vec![object("ns", "a", "1", 2, None)]);
        assert!(matches!(second[..], [Change::Applied { initial: false, .. }]));
    }

    #[test]
    fn the_same_version_again_is_no_change() {
        let cache = Cache::new(&[]);
        assert_eq!(cache.apply(Ok(object("ns", "a", "1", 1, None))).len(), 1);
        assert!(cache.apply(Ok(object("ns", "a", "1", 1, None))).is_empty());
    }

    #[test]
    fn an_object_recreated_under_its_name_is_another_object() {
        let cache = Cache::new(&[]);
        cache.apply(Ok(object("ns", "a", "1", 1, Some("old"))));
        let changes = cache.apply(Ok(object("ns", "a", "2", 5, Some("new"))));
        assert!(matches!(changes[..], [Change::Removed(_), Change::Applied { .. }]));
        assert!(cache.controlled_by("old").is_empty());
        assert_eq!(cache.key_of_uid("1"), None);
    }

    #[test]
    fn one_malformed_object_never_stalls_the_others() {
        let cache = Cache::new(&[]);
        let key = ObjectKey::new("ns", "bad");
        cache.begin(0);
        cache.listed(0, Ok(object("ns", "a", "1", 1, None)));
        cache.listed(0, Err(Malformed { key: key.clone(), error: "no spec".into() }));
        cache.listed(0, Ok(object("ns", "z", "2", 2, None)));
        assert_eq!(cache.finish(0).len(), 2);
        assert!(cache.synced(0));
        assert_eq!(cache.malformed().len(), 1);
        cache.apply(Ok(object("ns", "bad", "3", 3, None)));
        assert!(cache.malformed().is_empty(), "mended");
        assert_eq!(names(&cache.list()), ["a", "bad", "z"]);
    }

    #[test]
    fn an_object_that_becomes_malformed_is_no_longer_acted_on() {
        let cache = Cache::new(&[]);
        cache.apply(Ok(object("ns", "a", "1", 1, None)));
        let changes = cache.apply(Err(Malformed { key: ObjectKey::new("ns", "a"), error: "spec is a list".into() }));
        assert!(matches!(changes[..], [Change::Removed(_)]));
        assert!(cache.is_empty());
    }
}
