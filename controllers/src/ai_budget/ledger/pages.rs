//! Where the pages of the journal lie: in an object store, or, where there is none, in ConfigMaps beside the operator.
//!
//! Reads and writes pages. A page is written only where there is none of its number yet: of two writers, one learns that the
//! other was first.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use showrunner_kit::names::{LABEL_COMPONENT, LABEL_MANAGED_BY, MANAGED_BY};
use showrunner_kit::store::{Location, Precondition, Store, StoreError};
use showrunner_kit::write::{Created, WriteError, Writer};
use showrunner_ledger::journal::MAX_PAGE;

/// What begins the name of a page that is a ConfigMap.
const OBJECT_PREFIX: &str = "showrunner-ledger-";
/// The component that ledger pages belong to.
const COMPONENT: &str = "ledger";
/// The field of a page, and of one that is too large to be kept as it is.
const PLAIN: &str = "page.json";
const PACKED: &str = "page.json.gz";
/// Largest page that a ConfigMap keeps as it is, bytes; a ConfigMap has 1 MiB.
const MAX_PLAIN: usize = 512 << 10;

/// Largest page that is put into a ConfigMap, bytes: packed, it has 40 % of that, and a ConfigMap takes 1 MiB.
const MAX_OBJECT: usize = 2 << 20;

/// What became of a page that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there.
    Written,
    /// Another one of its number was there before; or it is this very one, and the answer was lost.
    Taken,
}

/// Pages cannot be read or written now.
#[derive(Clone, Debug, thiserror::Error)]
#[error("failed to {doing} page {sequence} of the ledger in {place}: {message}")]
pub struct PagesError {
    /// `read` or `write`.
    pub doing: &'static str,
    /// Which.
    pub sequence: u64,
    /// Where.
    pub place: String,
    /// Why.
    pub message: String,
}

/// A place for pages.
pub trait Pages: Send + Sync + 'static {
    /// Largest page that can be kept, bytes.
    fn largest(&self) -> usize;
    /// Whether there is a page of this number.
    fn has(&self, sequence: u64) -> BoxFuture<'_, Result<bool, PagesError>>;
    /// A page; none where there is none.
    fn get(&self, sequence: u64) -> BoxFuture<'_, Result<Option<Bytes>, PagesError>>;
    /// Writes a page where there is none of its number.
    fn put(&self, sequence: u64, page: Bytes) -> BoxFuture<'_, Result<Put, PagesError>>;
}

/// Pages in an object store.
pub struct StorePages {
    store: Arc<Store>,
    folder: Location,
}

impl StorePages {
    /// Pages in a folder of a store.
    pub fn new(store: Arc<Store>, folder: Location) -> Self {
        Self { store, folder }
    }

    fn at(&self, sequence: u64) -> Result<Location, StoreError> {
        self.folder.join(&format!("{sequence:012}.json"))
    }

    fn failed(&self, doing: &'static str, sequence: u64, error: &StoreError) -> PagesError {
        let place = format!("store {}, {}", self.store.profile().name, self.folder.path());
        PagesError { doing, sequence, place, message: error.to_string() }
    }
}

impl Pages for StorePages {
    fn largest(&self) -> usize {
        MAX_PAGE / 2
    }

    fn has(&self, sequence: u64) -> BoxFuture<'_, Result<bool, PagesError>> {
        async move {
            let found = match self.at(sequence) {
                Ok(location) => self.store.head(&location).await.map(|_| ()),
                Err(error) => Err(error),
            };
            match found {
                Ok(()) => Ok(true),
                Err(StoreError::NotFound { .. }) => Ok(false),
                Err(error) => Err(self.failed("read", sequence, &error)),
            }
        }
        .boxed()
    }

    fn get(&self, sequence: u64) -> BoxFuture<'_, Result<Option<Bytes>, PagesError>> {
        async move {
            let found = match self.at(sequence) {
                Ok(location) => self.store.get_if_exists(&location, MAX_PAGE).await,
                Err(error) => Err(error),
            };
            found.map(|found| found.map(|found| found.body)).map_err(|error| self.failed("read", sequence, &error))
        }
        .boxed()
    }

    fn put(&self, sequence: u64, page: Bytes) -> BoxFuture<'_, Result<Put, PagesError>> {
        async move {
            let written = match self.at(sequence) {
                Ok(location) => self.store.put(&location, page, "application/json", &Precondition::Absent).await,
                Err(error) => Err(error),
            };
            match written {
                Ok(_) => Ok(Put::Written),
                Err(StoreError::PreconditionFailed { .. }) => Ok(Put::Taken),
                Err(error) => Err(self.failed("write", sequence, &error)),
            }
        }
        .boxed()
    }
}

/// Pages in ConfigMaps.
pub struct ObjectPages {
    writer: Writer,
    namespace: String,
}

impl ObjectPages {
    /// Pages in a namespace.
    pub fn new(writer: Writer, namespace: String) -> Self {
        Self { writer, namespace }
    }

    fn failed(&self, doing: &'static str, sequence: u64, message: &impl ToString) -> PagesError {
        let place = format!("ConfigMaps of namespace {}", self.namespace);
        PagesError { doing, sequence, place, message: message.to_string() }
    }

    async fn read(&self, sequence: u64) -> Result<Option<ConfigMap>, PagesError> {
        let found = self.writer.get_now::<ConfigMap>(&self.namespace, &name_of(sequence)).await;
        found.map_err(|error| self.failed("read", sequence, &error))
    }
}

fn name_of(sequence: u64) -> String {
    format!("{OBJECT_PREFIX}{sequence:012}")
}

impl Pages for ObjectPages {
    fn largest(&self) -> usize {
        MAX_OBJECT
    }

    fn has(&self, sequence: u64) -> BoxFuture<'_, Result<bool, PagesError>> {
        async move { Ok(self.read(sequence).await?.is_some()) }.boxed()
    }

    fn get(&self, sequence: u64) -> BoxFuture<'_, Result<Option<Bytes>, PagesError>> {
        async move {
            let Some(found) = self.read(sequence).await? else { return Ok(None) };
            page_of(&found).map(Some).map_err(|message| self.failed("read", sequence, &message))
        }
        .boxed()
    }

    fn put(&self, sequence: u64, page: Bytes) -> BoxFuture<'_, Result<Put, PagesError>> {
        async move {
            let object = object_of(&self.namespace, sequence, &page).map_err(|error| self.failed("write", sequence, &error))?;
            // It has no owner, so that whatever is there already passes for somebody else's.
            match self.writer.create_once(&object, "").await {
                Ok(Created::New(_)) => Ok(Put::Written),
                Ok(Created::Existing(_)) | Err(WriteError::Foreign { .. }) => Ok(Put::Taken),
                Err(error) => Err(self.failed("write", sequence, &error)),
            }
        }
        .boxed()
    }
}

fn object_of(namespace: &str, sequence: u64, page: &[u8]) -> std::io::Result<ConfigMap> {
    let labels = [(LABEL_MANAGED_BY, MANAGED_BY), (LABEL_COMPONENT, COMPONENT)];
    let metadata = ObjectMeta {
        name: Some(name_of(sequence)),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()),
        ..ObjectMeta::default()
    };
    let mut object = ConfigMap { metadata, immutable: Some(true), ..ConfigMap::default() };
    match std::str::from_utf8(page) {
        Ok(text) if text.len() <= MAX_PLAIN => object.data = Some(BTreeMap::from([(PLAIN.to_owned(), text.to_owned())])),
        Ok(_) | Err(_) => {
            let mut packed = GzEncoder::new(Vec::new(), Compression::default());
            packed.write_all(page)?;
            object.binary_data = Some(BTreeMap::from([(PACKED.to_owned(), ByteString(packed.finish()?))]));
        }
    }
    Ok(object)
}

fn page_of(object: &ConfigMap) -> Result<Bytes, String> {
    if let Some(text) = object.data.as_ref().and_then(|data| data.get(PLAIN)) {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    let packed = object.binary_data.as_ref().and_then(|data| data.get(PACKED)).ok_or("there is no page in it")?;
    let mut page = Vec::new();
    let mut reader = GzDecoder::new(packed.0.as_slice()).take(MAX_PAGE as u64 + 1);
    reader.read_to_end(&mut page).map_err(|error| error.to_string())?;
    Ok(page.into())
}

#[cfg(test)]
pub(crate) mod memory {
    //! Pages in memory, with faults on demand.

    use super::*;
    use std::sync::Mutex;

    /// What the next write does beside writing.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Trouble {
        /// Nothing is written.
        Refused,
        /// It is written, and the answer is lost.
        AnswerLost,
    }

    #[derive(Clone, Default)]
    pub(crate) struct MemoryPages {
        pub(crate) pages: Arc<Mutex<BTreeMap<u64, Bytes>>>,
        pub(crate) troubles: Arc<Mutex<Vec<Trouble>>>,
        pub(crate) largest: Option<usize>,
    }

    impl Pages for MemoryPages {
        fn largest(&self) -> usize {
            self.largest.unwrap_or(MAX_PAGE)
        }

        fn has(&self, sequence: u64) -> BoxFuture<'_, Result<bool, PagesError>> {
            async move { Ok(self.pages.lock().unwrap().contains_key(&sequence)) }.boxed()
        }

        fn get(&self, sequence: u64) -> BoxFuture<'_, Result<Option<Bytes>, PagesError>> {
            async move { Ok(self.pages.lock().unwrap().get(&sequence).cloned()) }.boxed()
        }

        fn put(&self, sequence: u64, page: Bytes) -> BoxFuture<'_, Result<Put, PagesError>> {
            async move {
                tokio::task::yield_now().await;
                let trouble = self.troubles.lock().unwrap().pop();
                let failed =
                    |message: &str| PagesError { doing: "write", sequence, place: "memory".into(), message: message.into() };
                if trouble == Some(Trouble::Refused) {
                    return Err(failed("no"));
                }
                let mut pages = self.pages.lock().unwrap();
                if pages.contains_key(&sequence) {
                    return Ok(Put::Taken);
                }
                pages.insert(sequence, page);
                if trouble == Some(Trouble::AnswerLost) { Err(failed("no answer")) } else { Ok(Put::Written) }
            }
            .boxed()
        }
    }

    #[test]
    fn a_page_is_the_same_out_of_a_config_map_however_large() {
        for page in [b"{\"a\":1}".to_vec(), vec![b'x'; MAX_PLAIN + 1]] {
            let object = object_of("ns", 7, &page).unwrap();
            assert_eq!(object.metadata.name.as_deref(), Some("showrunner-ledger-000000000007"));
            assert_eq!(page_of(&object).unwrap(), page);
        }
        assert!(page_of(&ConfigMap::default()).is_err());
    }
}
