//! The catalogue as a worker may read it: what stands at a place, and the parts of the index over the places, which whoever first
//! finds one missing builds and leaves there. Talks to the store.

use crate::{
    failure::internal,
    order::{is_address, malformed},
    store::{Put, Store, StoreError},
};
use showrunner_contracts::{
    Document as _, MAX_DOCUMENT_BYTES, ReadError,
    catalogue::{self, CatalogueView, MAX_ENTRY_BYTES, MAX_PART_BYTES, MAX_PLACES, OF_PART, PartGrant, TitleName},
    result::{Failure, Reason},
    work_order::WorkOrder,
};
use showrunner_fingerprint::{
    Candidate, Print, file,
    index::{self, Part, Probes},
};
use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

const _: () = assert!(catalogue::INDEX_VERSION == index::VERSION, "parts of another version lie elsewhere");

/// Media type of a part.
const PART_TYPE: &str = "application/octet-stream";

/// The places before a title's own.
pub(super) struct Catalogue<'a> {
    store: &'a Store,
    view: CatalogueView,
    /// Places that hold something that is no entry.
    unreadable: Mutex<BTreeSet<u32>>,
    building: Mutex<()>,
}

/// Places in a row that are searched together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bunch {
    /// Which.
    pub(super) places: Range<u32>,
    /// Which part of the index they are; none for the last ones, which fill none.
    part: Option<usize>,
}

impl<'a> Catalogue<'a> {
    /// The catalogue that the order names.
    pub(super) fn open(order: &WorkOrder, store: &'a Store) -> Result<Self, Failure> {
        let url = order.catalogue.as_ref().ok_or_else(|| malformed("the work order names no catalogue"))?;
        let bytes = store.get("the view of the catalogue", url, MAX_DOCUMENT_BYTES)?;
        let gone = || internal("failed to read the view of the catalogue: it is no longer in the store; it is written anew");
        let view = CatalogueView::from_bytes(&bytes.ok_or_else(gone)?).map_err(|error| match error {
            ReadError::WrongSchema { .. } => Failure::new(Reason::WorkerVersionMismatch, &error.to_string()),
            // Not in the parser's words, which may quote an address.
            _ => malformed("failed to read the view of the catalogue: it is not what its schema says"),
        })?;
        check(&view)?;
        Ok(Self { store, view, unreadable: Mutex::default(), building: Mutex::default() })
    }

    /// The title that is looked up.
    pub(super) const fn title(&self) -> &TitleName {
        &self.view.title
    }

    /// Its own place.
    pub(super) const fn position(&self) -> u32 {
        self.view.position
    }

    /// At how many places something was found that is no entry.
    pub(super) fn unreadable(&self) -> usize {
        self.failed_places().len()
    }

    /// All places, by parts of the index.
    pub(super) fn bunches(&self) -> Vec<Bunch> {
        bunches(self.view.position)
    }

    /// The titles at these places that may share something with the query.
    pub(super) fn search(&self, bunch: &Bunch, probes: &Probes) -> Result<Vec<Candidate>, Failure> {
        let grant = bunch.part.and_then(|part| self.view.parts.get(part));
        let left = grant.map(|grant| self.part(&bunch.places, grant)).transpose()?.flatten();
        match left.as_deref().map(|bytes| whole(bytes, &bunch.places)) {
            Some(Ok(part)) => return Ok(probes.search(&part)),
            Some(Err(why)) => tracing::warn!(first = bunch.places.start, why, "a part of the index is passed over"),
            None => {}
        }
        let missing = grant.filter(|_| left.is_none());
        drop(left);
        let bytes = self.built(&bunch.places, missing)?;
        Ok(probes.search(&Part::new(&bytes).map_err(internal)?))
    }

    /// What stands at a place: nothing where it was withdrawn, or cannot be read. One bad object is not to stall all titles; one that
    /// is missing is another matter, for places are taken one after the other.
    pub(super) fn entry(&self, place: u32) -> Result<Option<(TitleName, Print)>, Failure> {
        let what = format!("place {place} of the catalogue");
        let url = self.view.entries.url(place).ok_or_else(|| internal(format_args!("the view of the catalogue lacks {what}")))?;
        let missing = || {
            internal(format_args!(
                "failed to read {what}: nothing is there, and places before a title's own are never empty; put the object back"
            ))
        };
        let read = match self.store.get(&what, &url, MAX_ENTRY_BYTES) {
            Err(error @ StoreError::TooLarge { .. }) => Err(error.to_string()),
            read => printed(&read?.ok_or_else(missing)?),
        };
        read.or_else(|why| {
            self.pass_over(place, &why);
            Ok(None)
        })
    }

    fn pass_over(&self, place: u32, why: &str) {
        if self.failed_places().insert(place) {
            tracing::warn!(place, why, "a place of the catalogue is passed over");
        }
    }

    fn failed_places(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        // Nothing panics while it holds the lock.
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes under a part's name, whatever they are; none where nothing is there.
    fn part(&self, places: &Range<u32>, grant: &PartGrant) -> Result<Option<Vec<u8>>, Failure> {
        match self.store.get(&part_name(places), &grant.read, MAX_PART_BYTES) {
            // Stores that hide what one may not list answer "denied" for what is not there. Were the permission gone altogether,
            // the places would be denied, too.
            Err(StoreError::Denied { .. }) => Ok(None),
            Err(StoreError::TooLarge { .. }) => Ok(Some(Vec::new())),
            read => Ok(read?),
        }
    }

    /// A part of the index, built from what stands at its places, and left for others where it is missing. One that lacks a place is
    /// not left: that place may be mended, or be one for a worker of another release.
    fn built(&self, places: &Range<u32>, missing: Option<&PartGrant>) -> Result<Vec<u8>, Failure> {
        // All its prints are in memory while a part is built, and it is there twice while it is sent: one at a time.
        let _alone = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        let mut prints = Vec::new();
        for place in places.clone() {
            prints.extend(self.entry(place)?.map(|(_, print)| (u64::from(place), print)));
        }
        let bytes = index::build(&prints.iter().map(|(place, print)| (*place, print)).collect::<Vec<_>>());
        drop(prints);
        // One that nobody would read is left to nobody.
        let is_whole = bytes.len() <= MAX_PART_BYTES && self.failed_places().range(places.clone()).next().is_none();
        if let Some(grant) = missing.filter(|_| is_whole) {
            match self.store.put_first(&part_name(places), &grant.write, PART_TYPE, &bytes) {
                Ok(Put::Stored | Put::Exists) => {}
                // What was to be found out is known all the same.
                Err(error) => tracing::warn!(%error, "a part of the index is not left for others"),
            }
        }
        Ok(bytes)
    }
}

/// Whether a view has all that it says, and addresses that a worker dials.
fn check(view: &CatalogueView) -> Result<(), Failure> {
    let CatalogueView { title, position, entries, parts, .. } = view;
    let places = *position as usize;
    let wrong = |what: &str| Err(malformed(&format!("the view of the catalogue {what}")));
    if title.namespace.is_empty() || title.name.is_empty() {
        return wrong("names no title");
    }
    if *position > MAX_PLACES {
        return wrong(&format!("has {position} places, {MAX_PLACES} are the most"));
    }
    if entries.signatures.len() < places || parts.len() < places / OF_PART as usize {
        return wrong(&format!(
            "has {} places and {} parts, too few for the place {position}",
            entries.signatures.len(),
            parts.len()
        ));
    }
    let reads = (0..*position).filter_map(|place| entries.url(place));
    let grants = parts.iter().flat_map(|part| [&part.read, &part.write]);
    if !reads.chain(grants.cloned()).all(|address| is_address(&address)) {
        return wrong("has an address that is not a signed http or https address");
    }
    Ok(())
}

fn bunches(position: u32) -> Vec<Bunch> {
    let full = position / OF_PART;
    let parts = (0..full).map(|part| Bunch { places: part * OF_PART..(part + 1) * OF_PART, part: Some(part as usize) });
    let rest = Bunch { places: full * OF_PART..position, part: None };
    parts.chain((!rest.places.is_empty()).then_some(rest)).collect()
}

/// The title and the print in these bytes; nothing where they were withdrawn.
fn printed(bytes: &[u8]) -> Result<Option<(TitleName, Print)>, String> {
    let (entry, print) = catalogue::read(bytes).map_err(|error| error.to_string())?;
    if entry.print.is_none() {
        return Ok(None);
    }
    file::read(print).map(|print| Some((entry.title, print))).map_err(|error| error.to_string())
}

/// The part that these bytes are, if they are one of these places.
fn whole<'a>(bytes: &'a [u8], places: &Range<u32>) -> Result<Part<'a>, String> {
    let part = Part::new(bytes).map_err(|error| error.to_string())?;
    let is_here = |title: u64| u32::try_from(title).is_ok_and(|place| places.contains(&place));
    if part.titles().all(is_here) && part.titles().is_sorted_by(|a, b| a < b) {
        return Ok(part);
    }
    Err("it has titles of other places".to_owned())
}

fn part_name(places: &Range<u32>) -> String {
    format!("the index of the places from {} of the catalogue", places.start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use showrunner_contracts::catalogue::SignedPlaces;
    use showrunner_fingerprint::{Hash, Seen};

    fn view(position: u32) -> CatalogueView {
        let parts = (0..position / OF_PART).map(|_| PartGrant { read: "http://s/p?x".into(), write: "http://s/p?y".into() });
        CatalogueView {
            schema: CatalogueView::SCHEMA.to_owned(),
            title: TitleName { namespace: "studio".into(), name: "tt-1".into() },
            position,
            entries: SignedPlaces {
                before: "http://s/e/".into(),
                after: "?sig=".into(),
                signatures: (0..position).map(|place| place.to_string()).collect(),
            },
            parts: parts.collect(),
        }
    }

    #[test]
    fn places_are_searched_by_parts_and_the_last_ones_without() {
        assert_eq!(bunches(0), []);
        assert_eq!(bunches(7), [Bunch { places: 0..7, part: None }]);
        assert_eq!(bunches(250), [Bunch { places: 0..250, part: Some(0) }]);
        let last = [Bunch { places: 250..500, part: Some(1) }, Bunch { places: 500..501, part: None }];
        assert_eq!(bunches(501)[1..], last);
    }

    #[test]
    fn a_view_that_lacks_something_is_refused_and_no_address_is_told() {
        type Spoil = fn(&mut CatalogueView);
        assert_eq!(check(&view(501)), Ok(()));
        assert_eq!(check(&view(0)), Ok(()));
        let spoilt: [(Spoil, &str); 8] = [
            (|view| view.title.name.clear(), "names no title"),
            (|view| view.title.namespace.clear(), "names no title"),
            (|view| view.position = MAX_PLACES + 1, "50001 places"),
            (|view| drop(view.entries.signatures.pop()), "too few"),
            (|view| drop(view.parts.pop()), "too few"),
            (|view| view.entries.before = "file:///secret/".into(), "signed http"),
            (|view| view.parts[1].write = "http://u:secret@s/p".into(), "signed http"),
            (|view| view.parts[0].read = "secret".into(), "signed http"),
        ];
        for (spoil, words) in spoilt {
            let mut view = view(501);
            spoil(&mut view);
            let failure = check(&view).expect_err(words);
            assert_eq!(failure.reason, Reason::OrderMalformed);
            assert!(failure.message.contains(words) && !failure.message.contains("secret"), "{}", failure.message);
        }
    }

    #[test]
    fn only_a_part_of_these_very_places_is_taken_for_theirs() {
        let print = Print { frames: vec![Seen { hash: Hash([7; 32]), quality: 100 }; 3], sound: Vec::new() };
        let part = |places: &[u64]| index::build(&places.iter().map(|place| (*place, &print)).collect::<Vec<_>>());
        assert!(whole(&part(&[250, 251, 499]), &(250..500)).is_ok());
        // All of its titles may have been withdrawn.
        assert!(whole(&part(&[]), &(250..500)).is_ok());
        for others in [&[249, 250][..], &[250, 500], &[251, 250], &[250, 250], &[250, u64::MAX]] {
            assert!(whole(&part(others), &(250..500)).is_err(), "{others:?}");
        }
        assert!(whole(b"SRFX", &(0..250)).is_err());
    }
}
