//! Tells the API server what has become of a pod: the newest word only, until it is heard.
//!
//! Patches the pod's status.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::status::{Seen, transitions};

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// One pod's.
#[derive(Debug)]
pub(crate) struct Publisher {
    wanted: watch::Sender<(u64, Option<Seen>)>,
    told: watch::Receiver<u64>,
}

impl Publisher {
    pub(crate) fn start(client: &Client, pod: Arc<Pod>, address: String) -> Self {
        let (wanted, words) = watch::channel((0, None));
        let (heard, told) = watch::channel(0);
        let api = Api::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
        tokio::spawn(tell(api, pod, address, words, heard));
        Self { wanted, told }
    }

    /// To be told as soon as may be, in place of what was not told yet.
    pub(crate) fn say(&self, seen: &Seen) {
        self.wanted.send_modify(|(number, words)| {
            if words.as_ref() != Some(seen) {
                *number += 1;
                *words = Some(seen.clone());
            }
        });
    }

    /// Waits until the last word is heard, or nobody is there to hear it.
    pub(crate) async fn heard(&mut self) {
        let number = self.wanted.borrow().0;
        // An error: the task has ended, because the pod is gone.
        let _ = self.told.wait_for(|told| *told >= number).await;
    }
}

async fn tell(
    api: Api<Pod>,
    pod: Arc<Pod>,
    address: String,
    mut words: watch::Receiver<(u64, Option<Seen>)>,
    heard: watch::Sender<u64>,
) {
    let name = pod.metadata.name.clone().unwrap_or_default();
    let mut changes = transitions(&pod);
    let mut delay = FIRST_DELAY;
    while words.changed().await.is_ok() {
        loop {
            let (number, seen) = words.borrow_and_update().clone();
            let Some(seen) = seen else { break };
            let patch = seen.patch(&pod, &address, Timestamp::now(), &mut changes);
            match api.patch_status(&name, &PatchParams::default(), &Patch::Strategic(patch)).await {
                Ok(_) => {
                    heard.send_replace(number);
                    delay = FIRST_DELAY;
                    break;
                }
                // 409: the name is another pod's by now.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return,
                Err(error) => {
                    tracing::warn!(pod = name, %error, "failed to tell the pod's status, trying again");
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(LONGEST_DELAY);
                }
            }
        }
    }
}
