//! Every object that a cluster has. I/O: discovery and lists at the API server.

use anyhow::{Context as _, Result};
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
    core::ApiResource,
    discovery::{ApiGroup, Discovery, verbs},
};

/// Of every kind that can be listed, in every namespace.
pub async fn all(client: &Client) -> Result<Vec<(ApiResource, DynamicObject)>> {
    let mut all = Vec::new();
    let discovery = Discovery::new(client.clone()).run().await?;
    for (resource, capabilities) in discovery.groups().flat_map(ApiGroup::recommended_resources) {
        if !capabilities.supports_operation(verbs::LIST) {
            continue;
        }
        match Api::<DynamicObject>::all_with(client.clone(), &resource).list(&ListParams::default()).await {
            Ok(objects) => all.extend(objects.items.into_iter().map(|object| (resource.clone(), object))),
            // Some kinds are said to be listed and are not, such as those that only answer questions.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 405) => {}
            Err(error) => return Err(error).with_context(|| format!("failed to list {}", resource.plural)),
        }
    }
    Ok(all)
}
