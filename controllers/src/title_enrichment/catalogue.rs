//! The catalogue of prints in a store: taking a place, leaving it, and what a worker may read of it.
//!
//! Reads and writes the store. A place is an object that only its first writer can make, numbered without gaps; whoever has a later
//! one can therefore see all that have earlier ones. Everything may be repeated.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use showrunner_contracts::{
    Digest, Document as _,
    catalogue::{self, CatalogueEntry, CatalogueView, MAX_ENTRY_BYTES, MAX_PLACES, OF_PART, PartGrant, SignedPlaces, TitleName},
};
use showrunner_crds::title_enrichment::PlaceStatus;
use showrunner_kit::store::{Grant, Location, Precondition, Store, StoreError};

use super::decide::{Entrance, Fate};
use super::dereference::{MAX_OUTPUT_BYTES, root_of};
use super::layout;
use super::publish::PublishError;

/// Media type of an entry.
const ENTRY: &str = "application/octet-stream";
/// Media type of a view.
const JSON: &str = "application/json";
/// How often leaving is tried when somebody else writes the place, too.
const TRIES: u32 = 3;
/// What the signature of an address begins with, at its very end.
const SIGNATURE: &str = "X-Amz-Signature=";

/// Places that are known to be taken, by store and prefix: where the search for a free one begins. Forgotten with the process.
#[derive(Debug, Default)]
pub struct Places(Mutex<BTreeMap<(String, String), u32>>);

impl Places {
    fn known(&self, of: &(String, String)) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(of).copied().unwrap_or_default()
    }

    fn note(&self, of: (String, String), free: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(of, free);
    }
}

/// Whose print it is.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// UID.
    pub uid: &'a str,
}

impl Whose<'_> {
    fn title(&self) -> TitleName {
        TitleName { namespace: self.namespace.to_owned(), name: self.name.to_owned() }
    }

    fn entry(&self, key: &Digest, print: Option<Digest>) -> CatalogueEntry {
        CatalogueEntry {
            schema: CatalogueEntry::SCHEMA.to_owned(),
            title: self.title(),
            uid: self.uid.to_owned(),
            key: key.clone(),
            print,
        }
    }
}

/// The first place that no title has. All places before a free one are taken, so few of them have to be looked at: as many as twice
/// the places have binary digits, or two where this process has looked before.
pub async fn free_place(store: &Store, namespace: &str, places: &Places) -> Result<u32, StoreError> {
    let of = (store.profile().name.clone(), root_of(store, namespace)?);
    let mut search = Search::from(places.known(&of));
    let free = loop {
        match search.next() {
            Ask::Found(free) => break free,
            Ask::IsTaken(place) => search.told(place, is_taken(store, namespace, i32::from(catalogue::VERSION), place).await?),
        }
    };
    places.note(of, free);
    Ok(free)
}

/// The search for the first free place, in strides that double, then by halves.
#[derive(Clone, Copy, Debug)]
enum Search {
    /// All before this were taken when somebody looked; that is seen by the last of them.
    Known(u32),
    /// All before `taken` are; whether the place `stride` places on is, is asked next.
    Ahead { taken: u32, stride: u32 },
    /// All before `taken` are, and `free` is not.
    Between { taken: u32, free: u32 },
}

/// What a search has to know next, or what it has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    IsTaken(u32),
    Found(u32),
}

impl Search {
    fn from(known: u32) -> Self {
        match known.min(MAX_PLACES) {
            0 => Self::Ahead { taken: 0, stride: 1 },
            known => Self::Known(known),
        }
    }

    const fn next(self) -> Ask {
        match self {
            Self::Known(known) => Ask::IsTaken(known - 1),
            Self::Ahead { taken, .. } if taken >= MAX_PLACES => Ask::Found(MAX_PLACES),
            Self::Ahead { taken, stride } => {
                Ask::IsTaken(if stride > MAX_PLACES - taken { MAX_PLACES - 1 } else { taken + stride - 1 })
            }
            Self::Between { taken, free } if taken == free => Ask::Found(free),
            Self::Between { taken, free } => Ask::IsTaken(taken.midpoint(free)),
        }
    }

    const fn told(&mut self, place: u32, is_taken: bool) {
        *self = match (*self, is_taken) {
            (Self::Known(known), true) => Self::Ahead { taken: known, stride: 1 },
            // A catalogue that somebody has deleted begins anew.
            (Self::Known(_), false) => Self::Ahead { taken: 0, stride: 1 },
            (Self::Ahead { stride, .. }, true) => Self::Ahead { taken: place + 1, stride: stride * 2 },
            (Self::Between { free, .. }, true) => Self::Between { taken: place + 1, free },
            (Self::Ahead { taken, .. } | Self::Between { taken, .. }, false) => Self::Between { taken, free: place },
        };
    }
}

fn at(store: &Store, namespace: &str, version: i32, place: u32) -> Result<Location, StoreError> {
    store.locate(namespace, &layout::place(version, place))
}

/// Writes a print to its place, unless another title was first.
pub async fn enter(store: &Store, whose: Whose<'_>, entrance: &Entrance, places: &Places) -> Result<Fate, PublishError> {
    let Entrance { place, print, sha256 } = entrance;
    let (position, key) = parsed(place)?;
    // The catalogue that the place was found in may be gone.
    if !follows(store, whose.namespace, place.version, position).await? {
        return Ok(Fate::Taken);
    }
    let root = root_of(store, whose.namespace)?;
    // A key that is not below the prefix cannot be named as a path: locating it refuses it.
    let from = store.locate(whose.namespace, print.strip_prefix(&root).unwrap_or("/"))?;
    let bytes = store.get(&from, MAX_OUTPUT_BYTES).await?.body;
    if Digest::of(&bytes) != *sha256 {
        return Err(PublishError::Invalid(format!("{} has other bytes than its result says", from.path())));
    }
    let entry = whose.entry(&key, Some(sha256.clone()));
    let body = Bytes::from(catalogue::write(&entry, &bytes));
    // What nobody could read would be read by everybody who comes later.
    if !catalogue::is_print(&bytes) || body.len() > MAX_ENTRY_BYTES {
        return Err(PublishError::Invalid(format!("{} is no print", from.path())));
    }
    let to = at(store, whose.namespace, place.version, position)?;
    let fate = match store.put(&to, body, ENTRY, &Precondition::Absent).await {
        Ok(_) => Fate::Entered,
        Err(StoreError::PreconditionFailed { .. }) => match there(store, &to).await? {
            Some((theirs, _)) if theirs == entry => Fate::Entered,
            _ => Fate::Taken,
        },
        Err(error) => return Err(error.into()),
    };
    places.note((store.profile().name.clone(), root), position + 1);
    Ok(fate)
}

/// Whether a place can be taken without a gap: it is the first one, or the one before it is taken.
async fn follows(store: &Store, namespace: &str, version: i32, position: u32) -> Result<bool, StoreError> {
    match position.checked_sub(1) {
        None => Ok(true),
        Some(before) => is_taken(store, namespace, version, before).await,
    }
}

async fn is_taken(store: &Store, namespace: &str, version: i32, place: u32) -> Result<bool, StoreError> {
    Ok(store.as_it_is(&at(store, namespace, version, place)?).await? != Precondition::Absent)
}

/// The entry at a place, and what it has to be when it is written over; none where nobody can read what is there.
async fn there(store: &Store, at: &Location) -> Result<Option<(CatalogueEntry, Precondition)>, StoreError> {
    let found = match store.get(at, MAX_ENTRY_BYTES).await {
        Ok(found) => found,
        Err(StoreError::TooLarge { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let entry = catalogue::read(&found.body).ok().map(|(entry, _)| entry);
    Ok(entry.map(|entry| (entry, Precondition::Matches(found.info.etag))))
}

/// Takes a title's print out of its place. What is not the title's is left as it is. A place that was never reached is taken and
/// left at once: what is still on its way there finds it taken.
pub async fn leave(store: &Store, whose: Whose<'_>, place: &PlaceStatus) -> Result<(), PublishError> {
    let (position, key) = parsed(place)?;
    let at = at(store, whose.namespace, place.version, position)?;
    let gone = Bytes::from(catalogue::write(&whose.entry(&key, None), &[]));
    for _ in 0..TRIES {
        let precondition = match there(store, &at).await {
            Ok(Some((entry, precondition))) if entry.uid == whose.uid && entry.print.is_some() => precondition,
            Err(StoreError::NotFound { .. }) if follows(store, whose.namespace, place.version, position).await? => {
                Precondition::Absent
            }
            Ok(_) | Err(StoreError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match store.put(&at, gone.clone(), ENTRY, &precondition).await {
            Ok(_) => return Ok(()),
            Err(StoreError::PreconditionFailed { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(PublishError::Invalid(format!("somebody else writes {}, too", at.path())))
}

fn parsed(place: &PlaceStatus) -> Result<(u32, Digest), PublishError> {
    let broken = || PublishError::Invalid("status.catalogue names no place".to_owned());
    let position = u32::try_from(place.position).map_err(|_| broken())?;
    Ok((position, place.key.parse().map_err(|_| broken())?))
}

/// Writes into an attempt's folder what its pod may read of the catalogue: all before `position`, and the parts of the index. Written
/// anew each time its Job is to be made: signatures expire.
pub async fn lay_out(store: &Store, whose: Whose<'_>, folder: &str, position: u32, expires: Duration) -> Result<(), StoreError> {
    let version = i32::from(catalogue::VERSION);
    let of = |place: u32| at(store, whose.namespace, version, place);
    let entries = (0..position).map(of).collect::<Result<Vec<_>, _>>()?;
    let entries = signed_places(&store.presign_gets(&entries, expires)?).ok_or_else(|| StoreError::Configuration {
        store: store.profile().name.clone(),
        message: "addresses of the catalogue do not end in their signature: please report it".to_owned(),
    })?;
    let part = |part: u32| {
        let at = store.locate(whose.namespace, &layout::part(version, part))?;
        Ok(PartGrant {
            read: store.presign_get(&at, expires)?.url.into(),
            write: store.presign_put(&at, expires, &Precondition::Absent, "")?.url.into(),
        })
    };
    let view = CatalogueView {
        schema: CatalogueView::SCHEMA.to_owned(),
        title: whose.title(),
        position,
        entries,
        parts: (0..position / OF_PART).map(part).collect::<Result<_, StoreError>>()?,
    };
    let at = store.locate(whose.namespace, &layout::view(folder))?;
    let precondition = store.as_it_is(&at).await?;
    match store.put(&at, view.to_bytes().into(), JSON, &precondition).await {
        // Whoever came in between has written the same but for signatures.
        Ok(_) | Err(StoreError::PreconditionFailed { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes apart addresses of places, from 0 on, that differ in place and signature only. None where they differ in more.
fn signed_places(grants: &[Grant]) -> Option<SignedPlaces> {
    let mut places = SignedPlaces { before: String::new(), after: String::new(), signatures: Vec::with_capacity(grants.len()) };
    for (place, grant) in grants.iter().enumerate() {
        let name = catalogue::place_name(u32::try_from(place).ok()?);
        let url = grant.url.as_str();
        let (before, rest) = url.rsplit_once(&format!("/{name}"))?;
        // Of a store that asks for no signature, there is none.
        let (after, signature) = rest.find(SIGNATURE).map_or((rest, ""), |at| rest.split_at(at + SIGNATURE.len()));
        if place == 0 {
            (places.before, places.after) = (format!("{before}/"), after.to_owned());
        }
        places.signatures.push(signature.to_owned());
        if places.url(u32::try_from(place).ok()?).as_deref() != Some(url) {
            return None;
        }
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(of: &[&str]) -> Vec<Grant> {
        let grant = |url: &&str| Grant { method: "GET", url: url.parse().unwrap(), headers: Vec::new() };
        of.iter().map(grant).collect()
    }

    /// The first free place of so many that are taken, and how many were looked at.
    fn found(taken: u32, known: u32) -> (u32, u32) {
        let (mut search, mut looks) = (Search::from(known), 0);
        loop {
            match search.next() {
                Ask::Found(free) => return (free, looks),
                Ask::IsTaken(place) => search.told(place, place < taken),
            }
            looks += 1;
        }
    }

    #[test]
    fn the_first_free_place_is_found_with_few_looks_whatever_is_known() {
        for taken in (0..70).chain([249, 250, 9_999, 10_000, MAX_PLACES - 1, MAX_PLACES]) {
            for known in [0, taken / 2, taken.saturating_sub(1), taken, taken + 1, taken + 40] {
                let (free, looks) = found(taken, known);
                assert_eq!(free, taken, "{known} known");
                assert!(looks <= 2 * (taken + 2).ilog2() + 4, "{looks} looks for {taken} with {known} known");
            }
            assert!(found(taken, taken).1 <= 2, "what this process has seen is not looked for again");
        }
    }

    #[test]
    fn addresses_of_places_are_taken_apart_or_not_used() {
        let signed = grants(&[
            "https://s3.example/b/c/v1/entries/00000000?X-Amz-Expires=9&X-Amz-Signature=aa",
            "https://s3.example/b/c/v1/entries/00000001?X-Amz-Expires=9&X-Amz-Signature=bb",
        ]);
        let places = signed_places(&signed).unwrap();
        assert_eq!(places.signatures, ["aa", "bb"]);
        assert_eq!(places.url(1).as_deref(), Some(signed[1].url.as_str()));
        let plain = grants(&["https://s3.example/b/c/v1/entries/00000000"]);
        assert_eq!(signed_places(&plain).unwrap().url(0).as_deref(), Some(plain[0].url.as_str()));
        let later = grants(&[
            "https://s3.example/e/00000000?X-Amz-Date=1&X-Amz-Signature=aa",
            "https://s3.example/e/00000001?X-Amz-Date=2&X-Amz-Signature=bb",
        ]);
        assert_eq!(signed_places(&later), None, "signed at another moment");
        assert_eq!(signed_places(&[]).unwrap().signatures, [""; 0]);
    }
}
