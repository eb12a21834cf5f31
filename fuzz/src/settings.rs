//! What an installer writes: store profiles, jobs, titles, traces. No I/O.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use showrunner_controllers::title_enrichment::TitleSettings;
use showrunner_kit::{jobs::JobsConfig, store::Profile, traces::export::TracesConfig};
use std::fmt::Debug;

use crate::store::signs_only_for_its_own;

/// Any settings, read as every kind of settings.
pub(crate) fn settings(input: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(input) else { return };
    if let Some(profile) = same_again::<Profile>(&value)
        && profile.check().is_ok()
    {
        assert!(matches!(profile.endpoint.scheme(), "http" | "https") && profile.endpoint.password().is_none());
        signs_only_for_its_own(&profile);
    }
    if let Some(jobs) = same_again::<JobsConfig>(&value) {
        for class in &jobs.classes {
            assert_eq!(jobs.class(&class.name).map(|found| &found.name), Some(&class.name));
        }
    }
    if let Some(titles) = same_again::<TitleSettings>(&value)
        && titles.check().is_ok()
    {
        assert!(titles.threads() >= 1 && titles.child_memory_bytes < titles.resources.memory_bytes);
        for model in &titles.models {
            assert_eq!(titles.model(&model.name), Some(model), "no two models share a name");
        }
    }
    if let Ok(traces) = serde_json::from_value::<TracesConfig>(value)
        && traces.check().is_ok()
    {
        assert!((0.0..=1.0).contains(&traces.sample_ratio));
        assert!(traces.endpoint.username().is_empty() && traces.endpoint.password().is_none());
        assert!(matches!(traces.endpoint.scheme(), "http" | "https") && traces.endpoint.host().is_some());
    }
}

fn same_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &Value) -> Option<T> {
    let read: T = serde_json::from_value(value.clone()).ok()?;
    let written = serde_json::to_value(&read).expect("serialises");
    assert_eq!(serde_json::from_value::<T>(written).expect("what we write we read"), read);
    Some(read)
}
