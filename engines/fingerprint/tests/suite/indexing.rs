//! The index: it names what the comparison would find, and bears any bytes.

use proptest::prelude::*;
use showrunner_fingerprint::{
    Candidate, Print, compare, compare_only,
    index::{self, IndexError, Part, Probes, best},
};

use crate::draw::Title;

fn part(titles: &[(u64, Title)]) -> Vec<u8> {
    let prints: Vec<(u64, Print)> = titles.iter().map(|(number, title)| (*number, title.print())).collect();
    index::build(&prints.iter().map(|(number, print)| (*number, print)).collect::<Vec<_>>())
}

fn catalogue() -> Vec<(u64, Title)> {
    (0..14).map(|n| (1000 + n, Title::new(500 + n, 60))).collect()
}

fn candidates(query: &Title, bytes: &[u8]) -> Vec<Candidate> {
    best(Probes::new(&query.query()).search(&Part::new(bytes).unwrap()), 5)
}

#[test]
fn copies_of_all_kinds_are_named_first_and_found_by_what_is_named_with_them() {
    let titles = catalogue();
    let bytes = part(&titles);
    let foreign = Title::new(900, 60);
    for (n, (number, title)) in titles.iter().enumerate() {
        let copy = match n % 7 {
            0 => title.clone().coded(1),
            1 => title.clone().cropped([0.1, 0.04, 0.05, 0.08]).with_sound_of(&foreign),
            2 => title.clone().mirrored().with_sound_of(&foreign),
            3 => title.clone().letterboxed(6),
            4 => title.clone().faster(1.0417),
            5 => foreign.clone().with_sound_of(title),
            _ => title.seconds(10, 40).then(&foreign),
        };
        let named = candidates(&copy, &bytes);
        assert_eq!(named.first().map(|one| one.title), Some(*number), "title {n}: {named:?}");
        let (query, print) = (copy.query(), title.print());
        assert!(compare_only(&query, &print, &named[0]).is_some(), "title {n}");
        assert!(compare(&query, &print).is_some(), "title {n}");
    }
}

#[test]
fn a_stranger_has_few_candidates_and_none_that_stands() {
    let titles = catalogue();
    let bytes = part(&titles);
    let stranger = Title::new(901, 60);
    for named in candidates(&stranger, &bytes) {
        let (_, title) = titles.iter().find(|(number, _)| *number == named.title).unwrap();
        assert_eq!(compare_only(&stranger.query(), &title.print(), &named), None);
    }
}

#[test]
fn an_index_of_nothing_names_nobody() {
    let bytes = index::build(&[]);
    assert!(Part::new(&bytes).unwrap().is_empty());
    assert_eq!(candidates(&Title::new(1, 20), &bytes), []);
}

#[test]
fn the_best_are_those_with_most_votes_whatever_their_order() {
    let of = |title: u64, votes: f32| Candidate { title, votes, ..Candidate::default() };
    let chosen = best(vec![of(1, 2.0), of(2, 9.0), of(3, 5.0), of(4, 9.0)], 3);
    assert_eq!(chosen.iter().map(|one| one.title).collect::<Vec<_>>(), [2, 4, 3]);
}

#[test]
fn a_part_that_is_cut_off_damaged_or_of_another_version_is_refused() {
    let bytes = part(&catalogue()[..2]);
    assert_eq!(Part::new(&bytes).unwrap().titles().collect::<Vec<_>>(), [1000, 1001]);
    for cut in [bytes.len() - 1, bytes.len() / 2, 40, 16] {
        assert_eq!(Part::new(&bytes[..cut]).unwrap_err(), IndexError::Broken, "{cut}");
    }
    assert_eq!(Part::new(&bytes[..9]).unwrap_err(), IndexError::NoPart);
    assert_eq!(Part::new(&[bytes.clone(), vec![0]].concat()).unwrap_err(), IndexError::Broken);
    let changed = |at: usize, to: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = to;
        Part::new(&bytes).unwrap_err()
    };
    assert_eq!(changed(0, b'X'), IndexError::NoPart);
    assert_eq!(changed(4, 9), IndexError::Version(9));
    assert_eq!(changed(12, 7), IndexError::Broken);
    // A start that lies after the next.
    assert_eq!(changed(16 + 2 * 8 + 4 * 30_000 + 3, 0x70), IndexError::Broken);
    // First start is none.
    assert_eq!(changed(16 + 2 * 8, 1), IndexError::Broken);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn postings_that_name_any_title_and_moment_stall_nobody(junk in prop::collection::vec(any::<u8>(), 600), at in any::<prop::sample::Index>()) {
        let titles = [(7, Title::new(1, 20))];
        let mut bytes = part(&titles);
        let postings = bytes.len() - 600;
        let from = 16 + 8 + 6 * 65_537 * 4;
        let start = from + at.index(postings.saturating_sub(from).max(1));
        bytes[start..start + 600].copy_from_slice(&junk);
        let named = candidates(&titles[0].1, &bytes);
        prop_assert!(named.iter().all(|one| one.title == 7));
    }
}
