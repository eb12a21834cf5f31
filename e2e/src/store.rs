//! The suite's own S3 client, which shares nothing with the operator's. I/O: HTTP to the cluster's store.

use crate::cluster::Cluster;
use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};
use std::time::Duration;

/// How long a signed request stays good.
const EXPIRY: Duration = Duration::from_mins(1);

/// How long a grant stays good.
const GRANTED: Duration = Duration::from_hours(1);

/// A bucket.
#[derive(Clone)]
pub struct Store {
    bucket: Bucket,
    credentials: Credentials,
    http: reqwest::Client,
}

impl Store {
    /// The store of a cluster.
    pub fn of(cluster: &Cluster) -> Result<Self> {
        Self::new(
            cluster.var("S3_ENDPOINT")?,
            cluster.var("S3_BUCKET")?,
            cluster.var("S3_REGION")?,
            cluster.var("S3_ACCESS_KEY_ID")?,
            cluster.var("S3_SECRET_ACCESS_KEY")?,
        )
    }

    /// A bucket of any S3 server.
    pub fn new(endpoint: &str, bucket: &str, region: &str, key: &str, secret: &str) -> Result<Self> {
        Ok(Self {
            bucket: Bucket::new(endpoint.parse()?, UrlStyle::Path, bucket.to_owned(), region.to_owned())?,
            credentials: Credentials::new(key, secret),
            http: reqwest::Client::builder().timeout(EXPIRY).no_proxy().build()?,
        })
    }

    /// Makes the bucket.
    pub async fn make_bucket(&self) -> Result<()> {
        let url = self.bucket.create_bucket(&self.credentials).sign(EXPIRY);
        let answer = self.http.put(url).send().await?;
        if !answer.status().is_success() {
            bail!("failed to make the bucket: {}", answer.status());
        }
        Ok(())
    }

    /// Writes an object.
    pub async fn put(&self, key: &str, body: impl Into<reqwest::Body>) -> Result<()> {
        let url = self.bucket.put_object(Some(&self.credentials), key).sign(EXPIRY);
        let answer = self.http.put(url).body(body).send().await?;
        if !answer.status().is_success() {
            bail!("failed to write {key}: {}", answer.status());
        }
        Ok(())
    }

    /// Reads an object; absent is `None`.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let url = self.bucket.get_object(Some(&self.credentials), key).sign(EXPIRY);
        let answer = self.http.get(url).send().await?;
        match answer.status().as_u16() {
            404 => Ok(None),
            200 => Ok(Some(answer.bytes().await?)),
            status => bail!("failed to read {key}: status {status}"),
        }
    }

    /// Reads an object that must be there.
    pub async fn read(&self, key: &str) -> Result<Bytes> {
        self.get(key).await?.with_context(|| format!("there is no object {key}"))
    }

    /// A signed request to read or write an object, good for an hour: what a work order grants.
    pub fn signed(&self, key: &str, write: bool) -> String {
        let credentials = Some(&self.credentials);
        let url = if write {
            self.bucket.put_object(credentials, key).sign(GRANTED)
        } else {
            self.bucket.get_object(credentials, key).sign(GRANTED)
        };
        url.into()
    }

    /// Keys below a prefix (at most 1000).
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
        action.with_prefix(prefix);
        let text = self.http.get(action.sign(EXPIRY)).send().await?.error_for_status()?.text().await?;
        let parsed = rusty_s3::actions::ListObjectsV2::parse_response(&text)?;
        Ok(parsed.contents.into_iter().map(|object| object.key).collect())
    }
}
