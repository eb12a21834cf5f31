//! How the kit names objects and tells one version of an object from another.
//!
//! Pure.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::names::ANNOTATION_RECONCILE_AT;

/// Where objects of a kind live.
pub trait Scope {
    /// In no namespace.
    const CLUSTER: bool;

    /// Requests for objects of a kind: those of one namespace, or (`None`, and for what is in none) all of them.
    fn api<K: Resource<DynamicType = (), Scope = Self>>(client: Client, namespace: Option<&str>) -> Api<K>;
}

impl Scope for NamespaceResourceScope {
    const CLUSTER: bool = false;

    fn api<K: Resource<DynamicType = (), Scope = Self>>(client: Client, namespace: Option<&str>) -> Api<K> {
        match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }
}

impl Scope for ClusterResourceScope {
    const CLUSTER: bool = true;

    fn api<K: Resource<DynamicType = (), Scope = Self>>(client: Client, _: Option<&str>) -> Api<K> {
        Api::all(client)
    }
}

/// A kind that is known at compile time: our own kinds, and those of Kubernetes that we use.
pub trait Object:
    Resource<DynamicType = (), Scope: Scope> + Clone + fmt::Debug + DeserializeOwned + Serialize + Send + Sync + 'static
{
    /// Whether objects of the kind are in no namespace.
    const CLUSTER: bool = <Self::Scope as Scope>::CLUSTER;

    /// `ConfigMap prod/settings`, for messages.
    fn describe(&self) -> String {
        format!("{} {}", Self::kind(&()), ObjectKey::of(self.meta()))
    }

    /// Requests for objects of the kind, see [`Scope::api`].
    fn api(client: Client, namespace: Option<&str>) -> Api<Self> {
        <Self::Scope as Scope>::api(client, namespace)
    }
}

impl<K> Object for K where
    K: Resource<DynamicType = (), Scope: Scope> + Clone + fmt::Debug + DeserializeOwned + Serialize + Send + Sync + 'static
{
}

/// Namespace and name of an object of a known kind. Cluster-scoped objects have an empty namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Namespace, or empty.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// A key from its two parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object. Objects read from the API server always have a name; others get an empty one.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self { namespace: meta.namespace.clone().unwrap_or_default(), name: meta.name.clone().unwrap_or_default() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// A number that changes exactly when a person (or a deletion) asks for something new: UID, generation, the start of
/// a deletion, or the `reconcile-at` annotation. Status, label and finalizer changes leave it alone.
pub fn intent_of(meta: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    meta.uid.hash(&mut hasher);
    meta.generation.hash(&mut hasher);
    meta.deletion_timestamp.is_some().hash(&mut hasher);
    meta.annotations.as_ref().and_then(|a| a.get(ANNOTATION_RECONCILE_AT)).hash(&mut hasher);
    hasher.finish()
}

/// The owner that controls an object, if any.
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Whether the object is controlled by the owner with this UID. Names are not asked: they can be reused.
pub fn is_controlled_by(meta: &ObjectMeta, owner_uid: &str) -> bool {
    controller_of(meta).is_some_and(|owner| owner.uid == owner_uid)
}

/// Whether the object has this finalizer.
pub fn has_finalizer(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().flatten().any(|f| f == finalizer)
}

/// The finalizers but one, for a patch; null when none is left.
pub fn without_finalizer(meta: &ObjectMeta, finalizer: &str) -> Value {
    let left: Vec<_> = meta.finalizers.iter().flatten().filter(|other| *other != finalizer).collect();
    if left.is_empty() { Value::Null } else { json!(left) }
}

/// One annotation's value.
pub fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

/// One label's value.
pub fn label<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(name).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn meta() -> ObjectMeta {
        ObjectMeta { uid: Some("u1".into()), generation: Some(3), ..ObjectMeta::default() }
    }

    #[test]
    fn intent_ignores_what_controllers_write() {
        let mut touched = meta();
        touched.resource_version = Some("99".into());
        touched.labels = Some(BTreeMap::from([("a".into(), "b".into())]));
        touched.finalizers = Some(vec!["x".into()]);
        assert_eq!(intent_of(&meta()), intent_of(&touched));
    }

    #[test]
    fn intent_follows_generation_uid_deletion_and_the_nudge() {
        let base = intent_of(&meta());
        let mut other = meta();
        other.generation = Some(4);
        assert_ne!(base, intent_of(&other));
        let mut other = meta();
        other.uid = Some("u2".into());
        assert_ne!(base, intent_of(&other));
        let mut other = meta();
        other.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert_ne!(base, intent_of(&other));
        let mut other = meta();
        other.annotations = Some(BTreeMap::from([(ANNOTATION_RECONCILE_AT.into(), "now".into())]));
        assert_ne!(base, intent_of(&other));
    }

    #[test]
    fn only_the_controlling_owner_counts() {
        let mut child = ObjectMeta::default();
        let owner =
            |uid: &str, controller| OwnerReference { uid: uid.into(), controller: Some(controller), ..OwnerReference::default() };
        child.owner_references = Some(vec![owner("a", false), owner("b", true)]);
        assert!(is_controlled_by(&child, "b"));
        assert!(!is_controlled_by(&child, "a"));
    }
}
