//! Queries as files: whole ones come back and find what they found, others are refused.

use proptest::prelude::*;
use showrunner_fingerprint::{
    Code, Look, Print, Query, Seen, compare,
    file::{self, FileError, VERSION},
    index::{self, Part, Probes, best},
    query_file::{self, MAX_LOOKS, MAX_SOUNDS, QueryError},
};
use showrunner_pdq::Hash;

use crate::draw::Title;

fn looks(frames: usize) -> impl Strategy<Value = Vec<(Look, Vec<Code>)>> {
    let look = ([-0.4f32..=0.4, -0.4f32..=0.4, -0.4f32..=0.4, -0.4f32..=0.4], any::<bool>(), any::<bool>())
        .prop_map(|(cut, mirrored, with_bars)| Look { cut, mirrored, with_bars });
    let code = (any::<u64>(), any::<u64>()).prop_map(|(low, rest)| Code { low, rest });
    prop::collection::vec((look, prop::collection::vec(code, frames)), 0..5)
}

fn queries() -> impl Strategy<Value = Query> {
    let frame = (any::<[u8; 32]>(), 0..=100u8).prop_map(|(hash, quality)| Seen { hash: Hash(hash), quality });
    let print = (prop::collection::vec(frame, 0..12), prop::collection::vec(any::<u32>(), 0..40))
        .prop_map(|(frames, sound)| Print { frames, sound });
    let sounds = prop::collection::vec((0.5f32..=2.0, prop::collection::vec(any::<u32>(), 0..40)), 0..5);
    (print, sounds).prop_flat_map(|(print, sounds)| {
        looks(print.frames.len()).prop_map(move |looks| Query { print: print.clone(), looks, sounds: sounds.clone() })
    })
}

/// Two frames, two looks, one speed.
fn small() -> Query {
    let seen = |byte| Seen { hash: Hash([byte; 32]), quality: 100 };
    let code = |low| Code { low, rest: !low };
    let mirrored = Look { cut: [0.04, -0.09, 0.0, 0.11], mirrored: true, with_bars: true };
    Query {
        print: Print { frames: vec![seen(7), seen(9)], sound: vec![1, 2, 3] },
        looks: vec![(Look::PLAIN, vec![code(1), code(2)]), (mirrored, vec![code(3), code(4)])],
        sounds: vec![(0.95, vec![4, 5])],
    }
}

/// From where on looks are written in the file of [`small`].
const LOOKS: usize = 16 + 16 + 2 * 33 + 3 * 4;

proptest! {
    #[test]
    fn a_query_comes_back_as_it_was(query in queries()) {
        prop_assert_eq!(query_file::read(&query_file::write(&query)), Ok(query));
    }

    #[test]
    fn a_query_that_was_cut_off_or_added_to_is_refused(query in queries(), cut in 1usize..4000, more in 1usize..9) {
        let bytes = query_file::write(&query);
        prop_assert!(query_file::read(&bytes[..bytes.len().saturating_sub(cut)]).is_err());
        prop_assert!(query_file::read(&[bytes, vec![0; more]].concat()).is_err());
    }

    #[test]
    fn changed_bytes_are_a_query_that_is_written_alike_or_an_error(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = query_file::write(&small());
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(query) = query_file::read(&bytes) {
            prop_assert_eq!(query_file::write(&query), bytes);
        }
    }
}

#[test]
fn the_layout_is_the_documented_one() {
    let query = Query { looks: small().looks.split_off(1), ..small() };
    let mut wanted = b"SRFQ\x01\0\x01\0\x01\0\0\0\x5e\0\0\0".to_vec();
    wanted.extend(file::write(&query.print));
    wanted.extend([0.04f32, -0.09, 0.0, 0.11].iter().flat_map(|cut| cut.to_le_bytes()));
    wanted.extend([1, 1, 0, 0]);
    wanted.extend([3, !3, 4, !4].iter().flat_map(|word: &u64| word.to_le_bytes()));
    wanted.extend(0.95f32.to_le_bytes());
    wanted.extend([2, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0]);
    assert_eq!(query_file::write(&query), wanted);
}

#[test]
fn a_header_that_promises_more_than_there_is_costs_nothing() {
    let whole = query_file::write(&small());
    let changed = |at: usize, to: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        query_file::read(&bytes).unwrap_err()
    };
    assert_eq!(changed(6, &(MAX_LOOKS as u16 + 1).to_le_bytes()), QueryError::Length);
    assert_eq!(changed(6, &(MAX_LOOKS as u16).to_le_bytes()), QueryError::Length);
    assert_eq!(changed(8, &(MAX_SOUNDS as u16 + 1).to_le_bytes()), QueryError::Length);
    assert_eq!(changed(8, &(MAX_SOUNDS as u16).to_le_bytes()), QueryError::Length);
    assert_eq!(changed(12, &[0xff; 4]), QueryError::Length);
    // Of the print, and of the last speed.
    assert!(matches!(changed(16 + 8, &[0xff; 4]), QueryError::Print(FileError::Length { .. })));
    assert_eq!(changed(whole.len() - 12, &[0xff; 4]), QueryError::Length);
}

#[test]
fn looks_and_speeds_that_no_title_has_are_refused() {
    let changed = |at: usize, to: &[u8]| {
        let mut bytes = query_file::write(&small());
        bytes[at..at + to.len()].copy_from_slice(to);
        query_file::read(&bytes)
    };
    for cut in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.41, -0.41, 1e30] {
        assert_eq!(changed(LOOKS, &cut.to_le_bytes()), Err(QueryError::Value), "{cut}");
    }
    let speed = query_file::write(&small()).len() - 16;
    for wrong in [f32::NAN, f32::INFINITY, 0.0, -1.0, 0.49, 2.01] {
        assert_eq!(changed(speed, &wrong.to_le_bytes()), Err(QueryError::Value), "{wrong}");
    }
    // What is no yes or no, and what is to be 0.
    for at in [LOOKS + 16, LOOKS + 17, LOOKS + 18, LOOKS + 19, 10, 11] {
        assert_eq!(changed(at, &[2]), Err(QueryError::Value), "{at}");
    }
}

#[test]
fn a_query_of_another_version_is_named_as_such_and_a_print_is_none() {
    let mut bytes = query_file::write(&Query::default());
    assert_eq!(query_file::read(&bytes), Ok(Query::default()));
    bytes[4] = VERSION as u8 + 1;
    assert_eq!(query_file::read(&bytes), Err(QueryError::Version(VERSION + 1)));
    assert_eq!(query_file::read(&file::write(&small().print)), Err(QueryError::NoQuery));
    assert_eq!(query_file::read(b"SRFQ"), Err(QueryError::NoQuery));
}

#[test]
fn a_look_that_lacks_codes_is_not_written() {
    let mut query = small();
    query.looks[0].1.pop();
    let read = query_file::read(&query_file::write(&query)).unwrap();
    assert_eq!(read, Query { looks: small().looks.split_off(1), ..small() });
}

#[test]
fn a_query_that_was_a_file_finds_what_it_would_have_found() {
    let (title, foreign) = (Title::new(77, 60), Title::new(78, 60));
    let print = title.print();
    let part = index::build(&[(3, &print), (4, &foreign.print())]);
    for copy in [title.clone().cropped([0.08, 0.05, 0.04, 0.1]).mirrored(), title.clone().faster(1.0417), title.letterboxed(6)] {
        let query = copy.query();
        let again = query_file::read(&query_file::write(&query)).unwrap();
        let named = |query: &Query| best(Probes::new(query).search(&Part::new(&part).unwrap()), 2);
        assert_eq!(named(&again), named(&query));
        let found = compare(&again, &print);
        assert!(found.is_some());
        assert_eq!(found, compare(&query, &print));
    }
}
