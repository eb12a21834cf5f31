//! What a print looks like, for people: a few hundred moments, four hex digits each. No I/O.

use showrunner_contracts::documents::MAX_STRIP;
use showrunner_fingerprint::{Code, Seen};

/// Of pictures: the sixteen lowest frequencies, which hold most of what one sees.
pub(super) fn of_pictures(frames: &[Seen]) -> String {
    strip(frames, |seen| seen.is_telling().then(|| Code::of(&seen.hash).low as u16))
}

/// Of sound: of each of an item's sixteen figures, whether it is in the upper or in the lower half.
pub(super) fn of_sound(items: &[u32]) -> String {
    strip(items, |item| Some((0..16).fold(0, |bits, figure| bits | ((item >> (2 * figure + 1) & 1) as u16) << figure)))
}

fn strip<T>(all: &[T], bits: impl Fn(&T) -> Option<u16>) -> String {
    let cells = all.len().min(MAX_STRIP);
    let cell = |nth: usize| bits(&all[nth * all.len() / cells]).map_or_else(|| "----".to_owned(), |bits| format!("{bits:04x}"));
    (0..cells).map(cell).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use showrunner_fingerprint::Hash;

    #[test]
    fn a_strip_is_spread_over_all_and_no_longer_than_it_may_be() {
        let items: Vec<u32> = (0..1_000).map(|n| if n < 500 { 0 } else { u32::MAX }).collect();
        let strip = of_sound(&items);
        let cells: Vec<&str> = strip.split(' ').collect();
        assert_eq!(cells.len(), MAX_STRIP);
        assert!(cells[..100].iter().all(|cell| *cell == "0000") && cells[100..].iter().all(|cell| *cell == "ffff"));
        assert_eq!((of_sound(&[]), of_sound(&[0b1000])), (String::new(), "0002".to_owned()));
    }

    #[test]
    fn what_shows_nothing_is_left_open() {
        let seen = |quality| Seen { hash: Hash([255; 32]), quality };
        assert_eq!(of_pictures(&[seen(100), seen(0)]), "ffff ----");
    }
}
