//! A catalogue of prints in the test store, and orders that look a title up in it.

use super::{FOLDER, order, result_key, store::TestStore};
use showrunner_contracts::{
    Digest, Document as _,
    catalogue::{self, CatalogueEntry, CatalogueView, OF_PART, PartGrant, SignedPlaces, TitleName, place_name},
    manifest::MediaSummary,
    step::{QUERY, Step, StepParams},
    time::TimeBase,
    work_order::{GivenResult, WorkOrder},
};

/// Key of the view.
pub const VIEW: &str = "work/unit/1/catalogue-view.json";
/// What every address ends with after the place.
pub const SIGNATURE: &str = "?X-Amz-Signature=the-canary-sings-";

pub fn entry_key(place: u32) -> String {
    format!("catalogue/entries/{}", place_name(place))
}

pub fn part_key(part: u32) -> String {
    format!("catalogue/parts/{part}")
}

pub fn named(name: &str) -> TitleName {
    TitleName { namespace: "studio".to_owned(), name: name.to_owned() }
}

/// Gives a title a place; without a print it was withdrawn.
pub fn enter(store: &TestStore, place: u32, name: &str, print: Option<&[u8]>) {
    let entry = CatalogueEntry {
        schema: CatalogueEntry::SCHEMA.to_owned(),
        title: named(name),
        uid: format!("uid-of-{name}"),
        key: Digest::of(name.as_bytes()),
        print: print.map(Digest::of),
    };
    store.put(&entry_key(place), &catalogue::write(&entry, print.unwrap_or_default()));
}

/// What a worker may see of the catalogue for a title at this place.
pub fn view(store: &TestStore, name: &str, position: u32) -> CatalogueView {
    let part = |part| {
        let url = store.url(&part_key(part));
        PartGrant { read: format!("{url}{SIGNATURE}r"), write: format!("{url}{SIGNATURE}w") }
    };
    CatalogueView {
        schema: CatalogueView::SCHEMA.to_owned(),
        title: named(name),
        position,
        entries: SignedPlaces {
            before: store.url("catalogue/entries/"),
            after: SIGNATURE.to_owned(),
            signatures: (0..position).map(|place| format!("{place:x}")).collect(),
        },
        parts: (0..position / OF_PART).map(part).collect(),
    }
}

/// An order to look a title up by its query, and nothing else.
pub fn look_up(store: &TestStore, name: &str, position: u32, query: &[u8]) -> WorkOrder {
    store.put(VIEW, &view(store, name, position).to_bytes());
    let (query_key, key) = (format!("{FOLDER}{QUERY}"), Digest::of_json(&(name, position, Digest::of(query))));
    store.put(&query_key, query);
    let mut order = order(store, &[StepParams::Duplicates {}]);
    order.steps[0].result_url = store.url(&result_key(&key));
    order.grants.commits.insert(Step::Duplicates, store.url(&result_key(&key)));
    order.steps[0].key = key;
    order.given = vec![GivenResult {
        step: Step::Fingerprint,
        name: QUERY.to_owned(),
        url: store.url(&query_key),
        sha256: Digest::of(query),
        size_bytes: query.len() as u64,
    }];
    order.media = Some(media());
    order.catalogue = Some(format!("{}{SIGNATURE}v", store.url(VIEW)));
    order
}

/// Of a source that nobody reads any more.
pub fn media() -> MediaSummary {
    MediaSummary {
        container: "matroska,webm".to_owned(),
        duration: 20_000,
        time_base: TimeBase { num: 1, den: 1_000 },
        video: None,
        audio: None,
        streams: 2,
    }
}
