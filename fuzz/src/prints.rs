//! Prints, queries and parts of an index, as bytes that anybody may have written. No I/O.

use std::sync::LazyLock;

use showrunner_fingerprint::{
    Code, Look, Print, Query, Seen, compare, file,
    index::{self, Part, Probes},
    query_file,
};
use showrunner_pdq::Hash;

/// Longest text of an error.
const MAX_ERROR: usize = 200;
/// Moments of a print that are compared: an input should take milliseconds.
const MOST: usize = 400;

/// What is no print is refused in a few words; what is one comes back byte by byte, and can be compared with itself and others.
pub(crate) fn print(input: &[u8]) {
    let print = match file::read(input) {
        Ok(print) => print,
        Err(error) => return assert!(error.to_string().len() <= MAX_ERROR),
    };
    assert_eq!(file::write(&print), input, "a print has one form");
    let mut short = print;
    short.frames.truncate(MOST);
    short.sound.truncate(MOST);
    let query = as_it_is(&short);
    for other in [&short, &*TITLE] {
        compared(&query, other);
    }
}

/// What a query shares with a title is told in numbers that make sense.
fn compared(query: &Query, other: &Print) {
    let Some(found) = compare(query, other) else { return };
    assert!((0.0..=1.0).contains(&found.of_query) && (0.0..=1.0).contains(&found.of_other), "{found:?}");
    assert!([found.speed, found.offset, found.weight].iter().all(|value| value.is_finite()), "{found:?}");
    for one in &found.segments {
        assert!(one.query.start <= one.query.end && one.other.start <= one.other.end, "{one:?}");
        assert!([one.speed, one.offset, one.weight].iter().all(|value| value.is_finite()), "{one:?}");
    }
}

/// What is no query is refused in a few words; what is one comes back byte by byte, and can be looked up and compared.
pub(crate) fn query(input: &[u8]) {
    let mut query = match query_file::read(input) {
        Ok(query) => query,
        Err(error) => return assert!(error.to_string().len() <= MAX_ERROR),
    };
    assert_eq!(query_file::write(&query), input, "a query has one form");
    query.print.frames.truncate(MOST);
    query.looks.iter_mut().for_each(|(_, codes)| codes.truncate(MOST));
    query.sounds.iter_mut().for_each(|(_, items)| items.truncate(MOST));
    for named in Probes::new(&query).search(&Part::new(&PART).expect("built here")) {
        assert!(named.votes.is_finite(), "{named:?}");
        assert!(named.looks.iter().all(|look| *look < query.looks.len()), "{named:?}");
        assert!(named.sounds.iter().all(|sound| *sound < query.sounds.len()), "{named:?}");
    }
    compared(&query, &TITLE);
}

/// Changes a part, five bytes of input to a change (where, what), and cuts it: it is refused, or gives titles that it has.
pub(crate) fn index(input: &[u8]) {
    let mut bytes = PART.clone();
    let (changes, rest) = input.as_chunks::<5>();
    for [a, b, c, d, to] in changes {
        let at = u32::from_le_bytes([*a, *b, *c, *d]) as usize % bytes.len();
        bytes[at] = *to;
    }
    if let [cut, ..] = rest {
        bytes.truncate(bytes.len() - usize::from(*cut));
    }
    match Part::new(&bytes) {
        Err(error) => assert!(error.to_string().len() <= MAX_ERROR),
        Ok(part) => {
            let numbers: Vec<u64> = bytes[16..16 + part.len() * 8]
                .chunks_exact(8)
                .map(|number| number.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
                .collect();
            for candidate in Probes::new(&as_it_is(&TITLE)).search(&part) {
                assert!(numbers.contains(&candidate.title), "{candidate:?}");
                assert!(candidate.votes.is_finite() && candidate.looks.len() <= 4 && candidate.sounds.len() <= 4);
            }
        }
    }
}

/// A title of forty seconds that never stands still.
static TITLE: LazyLock<Print> = LazyLock::new(|| {
    let mix = |n: u64| (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    Print {
        frames: (0..40)
            .map(|n| Seen { hash: Hash(std::array::from_fn(|byte| (mix(n * 32 + byte as u64) >> 40) as u8)), quality: 100 })
            .collect(),
        sound: (0..320).map(|n| (mix(n) >> 32) as u32).collect(),
    }
});

static PART: LazyLock<Vec<u8>> = LazyLock::new(|| index::build(&[(7, &TITLE), (1 << 60, &Print::default())]));

fn as_it_is(print: &Print) -> Query {
    let codes = print.frames.iter().map(|seen| Code::of(&seen.hash)).collect();
    Query { print: print.clone(), looks: vec![(Look::PLAIN, codes)], sounds: vec![(1.0, print.sound.clone())] }
}
