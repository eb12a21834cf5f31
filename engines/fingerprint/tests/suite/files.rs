//! Prints as files: whole ones come back, others are refused.

use proptest::prelude::*;
use showrunner_fingerprint::{
    Print, Seen,
    file::{self, FileError, VERSION},
};
use showrunner_pdq::Hash;

fn prints() -> impl Strategy<Value = Print> {
    let frame = (any::<[u8; 32]>(), 0..=100u8).prop_map(|(hash, quality)| Seen { hash: Hash(hash), quality });
    (prop::collection::vec(frame, 0..40), prop::collection::vec(any::<u32>(), 0..200))
        .prop_map(|(frames, sound)| Print { frames, sound })
}

proptest! {
    #[test]
    fn a_print_comes_back_as_it_was(print in prints()) {
        prop_assert_eq!(file::read(&file::write(&print)), Ok(print));
    }

    #[test]
    fn a_print_that_was_cut_off_or_added_to_is_refused(print in prints(), cut in 1usize..400, more in 1usize..9) {
        let bytes = file::write(&print);
        prop_assert!(file::read(&bytes[..bytes.len().saturating_sub(cut)]).is_err());
        prop_assert!(file::read(&[bytes, vec![0; more]].concat()).is_err());
    }

    #[test]
    fn any_bytes_are_a_print_that_is_written_alike_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..200), begin in any::<bool>()) {
        if begin && bytes.len() >= 8 {
            bytes[..8].copy_from_slice(&[b'S', b'R', b'F', b'P', 1, 0, 0, 0]);
        }
        if let Ok(print) = file::read(&bytes) {
            prop_assert_eq!(file::write(&print), bytes);
        }
    }
}

#[test]
fn a_header_that_promises_more_than_there_is_costs_nothing() {
    let mut bytes = file::write(&Print::default());
    bytes[8..16].fill(0xff);
    assert!(matches!(file::read(&bytes), Err(FileError::Length { frames: u32::MAX, .. })));
    bytes[8..16].copy_from_slice(&[0, 0x10, 0, 0, 0, 0, 0, 0]);
    assert!(matches!(file::read(&bytes), Err(FileError::Length { frames: 4096, .. })));
}

#[test]
fn a_print_of_another_version_is_named_as_such() {
    let mut bytes = file::write(&Print::default());
    bytes[4] = VERSION as u8 + 1;
    assert_eq!(file::read(&bytes), Err(FileError::Version(VERSION + 1)));
    assert_eq!(file::read(b"RIFF....WAVEfmt "), Err(FileError::NoPrint));
}

#[test]
fn a_quality_above_100_is_refused() {
    let mut bytes = file::write(&Print { frames: vec![Seen { hash: Hash([7; 32]), quality: 100 }], sound: vec![] });
    *bytes.last_mut().unwrap() = 101;
    assert_eq!(file::read(&bytes), Err(FileError::Value));
}

#[test]
fn the_layout_is_the_documented_one() {
    let print = Print { frames: vec![Seen { hash: Hash([0xab; 32]), quality: 77 }], sound: vec![0x0403_0201, 5] };
    let mut wanted = b"SRFP\x01\0\0\0\x01\0\0\0\x02\0\0\0".to_vec();
    wanted.extend([0xab; 32]);
    wanted.extend([77, 1, 2, 3, 4, 5, 0, 0, 0]);
    assert_eq!(file::write(&print), wanted);
}
