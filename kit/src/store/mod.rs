//! Object stores as named profiles: a resource names a profile and a path below it, never a host or a secret.
//!
//! [`answer`], [`profile`] and [`path`] are pure; [`credentials`] reads files; [`client`] talks to the store.

pub mod answer;
pub(crate) mod breaker;
pub mod client;
pub mod credentials;
pub mod error;
pub mod path;
pub mod profile;
mod types;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use client::Store;
pub use error::StoreError;
pub use path::Location;
pub use profile::{Profile, ProfileError};
pub use types::{Fetched, Grant, ObjectInfo, Precondition};

use crate::clock::Clock;
use crate::metrics::Metrics;

/// All profiles of a deployment, each with its client.
#[derive(Debug, Default)]
pub struct Stores {
    stores: BTreeMap<String, Arc<Store>>,
}

impl Stores {
    /// Clients for these profiles. Nothing is dialled or read yet.
    pub fn new(profiles: Vec<Profile>, metrics: &Arc<Metrics>, clock: Clock) -> Result<Self, ProfileError> {
        let mut stores = BTreeMap::new();
        for profile in profiles {
            let name = profile.name.clone();
            let store = Store::new(profile, Arc::clone(metrics), clock)?;
            if stores.insert(name.clone(), Arc::new(store)).is_some() {
                return Err(ProfileError { profile: name, message: "there are two profiles of this name".into() });
            }
        }
        Ok(Self { stores })
    }

    /// One store by the name of its profile.
    pub fn get(&self, name: &str) -> Result<Arc<Store>, StoreError> {
        self.stores.get(name).cloned().ok_or_else(|| StoreError::UnknownProfile {
            name: crate::conditions::clean(name),
            known: self.stores.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// Names of all profiles.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.stores.keys().map(String::as_str)
    }
}
