//! Titles are looked up in a catalogue: copies are found though they were cropped or mirrored, others are not, and nobody reads the
//! source.

use crate::{
    fingerprint::{FILM, OTHER, title},
    kit::Studio,
    support::{
        FOLDER, Worker,
        catalogue::{VIEW, enter, entry_key, look_up, media, named, part_key, view},
        committed, order, run,
        store::TestStore,
    },
};
use axum::http::Method;
use showrunner_contracts::{
    Digest, Document as _,
    catalogue::{MAX_PLACES, OF_PART},
    documents::{DuplicatesDocument, Sense},
    manifest::{Relation, StepSummary},
    result::{Failure, Output, Reason, StepResult},
    step::{QUERY, Step, StepParams},
    work_order::WorkOrder,
};
use showrunner_fingerprint::{Code, Hash, Look, Print, Query, Seen, file, index, query_file};
use std::path::Path;

/// The print of a file, and what it is looked up with.
fn enriched(path: &Path) -> (Vec<u8>, Vec<u8>) {
    let store = TestStore::with(&std::fs::read(path).expect("it was made"));
    let ran = run(&order(&store, &[StepParams::Fingerprint { query: true, track: None }]));
    assert_eq!(ran.code, Some(0));
    let result = committed(&store, &ran.unit(&store), Step::Fingerprint);
    let names = |files: &[Output]| files.iter().map(|file| file.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&result.outputs), ["fingerprint.srfp", "fingerprint.json"]);
    assert_eq!(names(&result.kept), [QUERY]);
    let read = |name: &str| store.object(&format!("{FOLDER}{name}")).expect("the step wrote it");
    (read("fingerprint.srfp"), read(QUERY))
}

/// Looks a title up; gives what was found, as bytes and as a document, and the step's result.
fn found(store: &TestStore, name: &str, position: u32, query: &[u8]) -> (Vec<u8>, DuplicatesDocument, StepResult) {
    let ran = run(&look_up(store, name, position, query));
    let unit = ran.unit(store);
    assert_eq!(ran.code, Some(0), "{:?}", unit.steps);
    assert_eq!((unit.run.picture_decodes, unit.run.sound_decodes, unit.run.sandbox.as_str()), (0, 0, ""));
    assert!(store.source_reads().is_empty(), "the source is nobody's concern");
    assert_eq!(unit.media, Some(media()));
    let result = committed(store, &unit, Step::Duplicates);
    assert_eq!((&result.media, result.kept.len()), (&media(), 0));
    let bytes = store.object(&format!("{FOLDER}duplicates.json")).expect("it is stored");
    let document = DuplicatesDocument::from_bytes(&bytes).expect("it reads");
    assert_eq!(document.position, position);
    (bytes, document, result)
}

#[test]
fn a_copy_is_found_in_the_catalogue_and_neither_another_title_nor_one_that_was_withdrawn_nor_its_own_earlier_place() {
    let studio = Studio::new();
    let (film, _) = enriched(&studio.make("film.mp4", &title(FILM, 5)));
    let (other, _) = enriched(&studio.make("other.mp4", &title(OTHER, 60)));
    let cropped = "-i film.mp4 -vf crop=288:162:20:8,scale=320:180 -c:v libx264 -preset veryfast -crf 28 -c:a aac -b:a 64k";
    let mirrored = "-i film.mp4 -vf hflip -an -c:v libx264 -preset veryfast -crf 24";
    for (name, made) in [("cropped.mkv", cropped), ("mirrored.mp4", mirrored)] {
        let (print, query) = enriched(&studio.make(name, made));
        let store = TestStore::with(b"nobody reads this");
        enter(&store, 0, "other", Some(&other));
        enter(&store, 1, "film", Some(&film));
        enter(&store, 2, "withdrawn", None);
        enter(&store, 3, name, Some(&print));
        let (_, document, result) = found(&store, name, 4, &query);
        let [one] = &document.matches[..] else { panic!("{name}: {document:?}") };
        assert_eq!((&one.title, one.position, one.relation), (&named("film"), 1, Relation::ReEncode), "{name}: {one:?}");
        assert!(one.of_this > 0.9 && one.of_other > 0.9 && one.offset.abs() < 0.5, "{name}: {one:?}");
        assert!((one.seconds - 20.0).abs() < 1.0 && (document.seconds - 20.0).abs() < 1.0, "{name}: {document:?}");
        assert!(one.segments.iter().any(|part| part.by == Sense::Picture), "{name}: {one:?}");
        assert_eq!(one.segments.iter().any(|part| part.by == Sense::Sound), name == "cropped.mkv", "{name}: {one:?}");
        let StepSummary::Duplicates { searched: 4, matches: 1, closest } = &result.summary else { panic!("{result:?}") };
        assert_eq!((closest[0].title.as_str(), closest[0].relation), ("studio/film", Relation::ReEncode));
        assert_eq!(result.settings.keys().collect::<Vec<_>>(), ["method"]);
    }
}

/// A title of forty seconds that follows from a seed and looks and sounds like no other.
fn drawn(seed: u64) -> Print {
    let mix = |n: u64| {
        let mixed = (seed << 32 | n).wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 32
    };
    let frame = |n: u64| Seen { hash: Hash(std::array::from_fn(|byte| mix(n * 32 + byte as u64) as u8)), quality: 100 };
    Print { frames: (0..40).map(frame).collect(), sound: (0..320).map(|n| mix(1 << 20 | n) as u32).collect() }
}

/// What a title is looked up with, as it is.
fn query(print: &Print) -> Vec<u8> {
    let codes = print.frames.iter().map(|seen| Code::of(&seen.hash)).collect();
    let sounds = vec![(1.0, print.sound.clone())];
    query_file::write(&Query { print: print.clone(), looks: vec![(Look::PLAIN, codes)], sounds })
}

/// A catalogue of so many drawn titles.
fn catalogue(places: u32) -> TestStore {
    let store = TestStore::with(b"nobody reads this");
    for place in 0..places {
        enter(&store, place, &format!("tt-{place}"), Some(&file::write(&drawn(u64::from(place)))));
    }
    store
}

/// How often entries were read, and parts written.
fn traffic(store: &TestStore) -> (usize, usize) {
    let seen = store.seen();
    let entries = seen.iter().filter(|seen| seen.method == Method::GET && seen.key.starts_with("catalogue/entries/")).count();
    let parts = seen.iter().filter(|seen| seen.method == Method::PUT && seen.key.starts_with("catalogue/parts/")).count();
    (entries, parts)
}

#[test]
fn a_part_of_the_index_is_built_once_and_whatever_stands_in_its_place_the_same_is_found() {
    const PLACES: u32 = OF_PART + 9;
    let store = catalogue(PLACES);
    // One title that a part has, and one that is in none yet.
    for of in [100, OF_PART + 4] {
        store.remove(&part_key(0));
        let query = query(&drawn(u64::from(of)));
        let mut before = traffic(&store);
        let mut look = |name: &str| {
            let (bytes, document, _) = found(&store, name, PLACES, &query);
            let [one] = &document.matches[..] else { panic!("{document:?}") };
            assert_eq!((one.position, one.relation), (of, Relation::Exact));
            let now = traffic(&store);
            let (entries, parts) = (now.0 - before.0, now.1 - before.1);
            before = now;
            (bytes, entries, parts)
        };
        let (first, entries, parts) = look(&format!("first-{of}"));
        assert!(entries > PLACES as usize && parts == 1, "{entries} {parts}");
        let part = store.object(&part_key(0)).expect("it was left for others");
        let (second, entries, parts) = look(&format!("second-{of}"));
        assert!((10..OF_PART as usize).contains(&entries) && parts == 0, "{entries} {parts}");
        assert_eq!(first, second);
        let foreign = index::build(&[(u64::from(OF_PART), &drawn(7))]);
        let others: [(&str, &[u8]); 3] = [("cut", &part[..part.len() - 1]), ("empty", b""), ("foreign", &foreign)];
        for (name, bogus) in others {
            store.put(&part_key(0), bogus);
            let (third, entries, parts) = look(&format!("{name}-{of}"));
            assert!(entries > PLACES as usize && parts == 0, "{name}: {entries} {parts}");
            assert_eq!(first, third, "{name}");
        }
    }
}

#[test]
fn a_part_that_would_lack_a_place_is_not_left_for_others() {
    let store = catalogue(OF_PART);
    store.put(&entry_key(3), b"{}\n");
    store.put(&entry_key(9), &vec![b' '; (12 << 20) + 1]);
    enter(&store, 11, "of-another-version", Some(b"SRFP\x09\0\0\0\0\0\0\0\0\0\0\0"));
    let mut wrong_print = store.object(&entry_key(5)).expect("entered");
    *wrong_print.last_mut().expect("a print") ^= 1;
    store.put(&entry_key(5), &wrong_print);
    let query = query(&drawn(100));
    let (_, document, result) = found(&store, "tt-a", OF_PART, &query);
    assert_eq!(document.matches.iter().map(|one| one.position).collect::<Vec<_>>(), [100]);
    assert_eq!(result.settings["unreadable"], "4");
    assert_eq!((store.object(&part_key(0)), traffic(&store).1), (None, 0));
    // What was withdrawn is no fault.
    for place in [3, 5, 9, 11] {
        enter(&store, place, &format!("tt-{place}"), None);
    }
    let (_, _, result) = found(&store, "tt-b", OF_PART, &query);
    assert_eq!(result.settings.keys().collect::<Vec<_>>(), ["method"]);
    assert!(store.object(&part_key(0)).is_some());
    // A part knows nothing of what was withdrawn later.
    enter(&store, 100, "tt-100", None);
    let (_, document, _) = found(&store, "tt-c", OF_PART, &query);
    assert_eq!(document.matches, []);
}

#[test]
fn a_store_that_denies_what_is_missing_is_given_its_parts_and_has_no_gaps_either() {
    let store = catalogue(OF_PART);
    store.be_secretive();
    let query = query(&drawn(8));
    let (_, document, _) = found(&store, "tt-a", OF_PART, &query);
    assert_eq!(document.matches.iter().map(|one| one.position).collect::<Vec<_>>(), [8]);
    assert!(store.object(&part_key(0)).is_some());
    store.remove(&entry_key(8));
    let failure = failure(&store, &look_up(&store, "tt-b", OF_PART, &query));
    assert_eq!(failure.reason, Reason::StoreDenied, "{}", failure.message);
}

#[test]
fn the_first_title_of_a_catalogue_is_nobodys_copy() {
    let store = TestStore::with(b"nobody reads this");
    let (_, document, result) = found(&store, "first", 0, &query(&drawn(1)));
    assert_eq!(document.matches, []);
    assert_eq!(result.summary, StepSummary::Duplicates { searched: 0, matches: 0, closest: Vec::new() });
}

fn failure(store: &TestStore, order: &WorkOrder) -> Failure {
    let failure = run(order).failure(store);
    assert!(!failure.message.contains("canary") && !failure.message.contains("127.0.0.1"), "{}", failure.message);
    failure
}

#[test]
fn a_catalogue_that_lacks_something_is_named_with_what_it_lacks() {
    let store = catalogue(5);
    let query = query(&drawn(2));
    let looked_up = |position| look_up(&store, "tt-new", position, &query);
    let told = |order, reason, words: &str| {
        let failure = failure(&store, &order);
        assert_eq!(failure.reason, reason, "{}", failure.message);
        assert!(failure.message.contains(words), "{words}: {}", failure.message);
    };
    told(looked_up(6), Reason::Internal, "place 5 of the catalogue: nothing is there");
    let order = looked_up(5);
    store.remove(VIEW);
    told(order.clone(), Reason::Internal, "no longer in the store");
    store.put(VIEW, b"{\"schema\":\"showrunner.dev/catalogue-view/v1\",\"title\":\"http://s/?canary\"}");
    told(order.clone(), Reason::OrderMalformed, "not what its schema says");
    store.put(VIEW, b"{\"schema\":\"showrunner.dev/catalogue-view/v2\"}");
    told(order.clone(), Reason::WorkerVersionMismatch, "catalogue-view/v2");
    let mut wrong = view(&store, "tt-new", 5);
    wrong.entries.before = "http://user:canary@s3.example/".to_owned();
    store.put(VIEW, &wrong.to_bytes());
    told(order.clone(), Reason::OrderMalformed, "signed http");
    let many = view(&store, "tt-new", MAX_PLACES + 1);
    store.put(VIEW, &many.to_bytes());
    told(order, Reason::OrderMalformed, "50001 places");
    let mut order = looked_up(5);
    order.given[0].sha256 = Digest::of(b"another");
    told(order, Reason::Internal, "its digest is another");
    told(look_up(&store, "tt-new", 5, b"SRFQ"), Reason::Internal, "does not begin with SRFQ");
}

#[test]
fn the_signatures_of_a_view_are_in_no_word_of_the_worker() {
    let store = catalogue(4);
    store.put(&entry_key(1), b"{}\n");
    store.remove(&entry_key(2));
    let order = look_up(&store, "tt-new", 4, &query(&drawn(3)));
    store.away(503, 2);
    let words = Worker::words(&order, "trace");
    assert!(words.contains("passed over") && words.contains("nothing is there"), "{words}");
    assert!(!words.contains("canary") && !words.contains("X-Amz"), "{words}");
}
