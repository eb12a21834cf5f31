//! What a story and its pods share: what holds pods back, and what they have committed. No I/O.

use showrunner_contracts::{Digest, work_order::StepOrder};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What holds pods that linger.
#[derive(Debug, Default)]
pub struct Leash {
    held: watch::Sender<usize>,
    loose: CancellationToken,
}

impl Leash {
    /// Lets all of them go, now and from now on.
    pub fn let_go(&self) {
        self.loose.cancel();
    }

    /// Whether they were let go.
    pub(super) fn is_loose(&self) -> bool {
        self.loose.is_cancelled()
    }

    /// Waits until there is a pod that waits.
    pub async fn holds(&self) {
        // The sender is this: it does not end before.
        let _ = self.held.subscribe().wait_for(|held| *held > 0).await;
    }

    /// Holds a pod.
    pub(super) async fn hold(&self) {
        struct Held<'a>(&'a watch::Sender<usize>);
        impl Drop for Held<'_> {
            fn drop(&mut self) {
                self.0.send_modify(|held| *held -= 1);
            }
        }
        self.held.send_modify(|held| *held += 1);
        let _held = Held(&self.held);
        self.loose.cancelled().await;
    }
}

/// What the pods of a run have committed.
#[derive(Debug, Default)]
pub struct Commits(Mutex<(BTreeMap<Digest, String>, Vec<String>)>);

impl Commits {
    /// A pod of this Job has committed the result of this key.
    pub(super) fn committed(&self, key: &Digest, job: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.0.entry(key.clone()).or_insert_with(|| job.to_owned());
    }

    /// A Job asks for this; it is kept in mind when an earlier Job had committed it. Jobs of one object come one after the
    /// other: what is in the store when a pod starts was there when its Job was made.
    pub(super) fn asked(&self, step: &StepOrder, job: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = all.0.get(&step.key).filter(|earlier| *earlier != job).cloned();
        if let Some(earlier) = earlier {
            all.1.push(format!("Job {job} is asked for {}, which Job {earlier} had committed under {}", step.step, step.key));
        }
    }

    /// What was asked for again, in words.
    pub fn redone(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}
