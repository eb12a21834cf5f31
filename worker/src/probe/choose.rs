//! Which picture and which sound a title is about. No I/O.

use super::{
    Wanted,
    stream::{Kind, Stream},
};
use std::cmp::Reverse;

/// The main picture: never a cover image; default first, then the largest, then the first.
pub(super) fn picture(streams: &[Stream]) -> Option<usize> {
    let pictures = streams.iter().enumerate().filter_map(|(at, stream)| match &stream.kind {
        Kind::Picture(info) if !stream.is_cover => Some((at, stream, u64::from(info.width) * u64::from(info.height))),
        _ => None,
    });
    pictures.min_by_key(|(at, stream, area)| (!stream.is_default, Reverse(*area), *at)).map(|(at, ..)| at)
}

/// The main sound: the track asked for, whatever it is, or none. Where none is asked for, of the language asked for when there is
/// one; the title's own sound before commentary, description and dubs; default first, then the first.
pub(super) fn sound(streams: &[Stream], wanted: Wanted<'_>) -> Option<usize> {
    let mut sounds = streams.iter().enumerate().filter(|(_, stream)| matches!(stream.kind, Kind::Sound(_)));
    if let Some(track) = wanted.track {
        return usize::from(track).checked_sub(1).and_then(|before| sounds.nth(before)).map(|(at, _)| at);
    }
    let wanted = wanted.language.map(primary);
    sounds
        .min_by_key(|(at, stream)| {
            let other_language = wanted.is_some() && stream.language.as_deref().map(primary) != wanted;
            (stream.is_auxiliary, other_language, !stream.is_default, *at)
        })
        .map(|(at, _)| at)
}

/// The primary subtag as two letters where there are two: containers write ISO 639-2 ("eng", "ger"), people BCP 47 ("en-GB").
fn primary(tag: &str) -> String {
    let subtag = tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    LONG_CODES.iter().find(|(long, _)| *long == subtag).map_or(subtag, |(_, short)| (*short).to_owned())
}

/// ISO 639-2 (both the bibliographic and the terminological form) to ISO 639-1, for languages that titles are dubbed into.
const LONG_CODES: [(&str, &str); 46] = [
    ("ara", "ar"),
    ("bul", "bg"),
    ("cat", "ca"),
    ("ces", "cs"),
    ("cze", "cs"),
    ("dan", "da"),
    ("deu", "de"),
    ("ger", "de"),
    ("ell", "el"),
    ("gre", "el"),
    ("eng", "en"),
    ("spa", "es"),
    ("est", "et"),
    ("fin", "fi"),
    ("fra", "fr"),
    ("fre", "fr"),
    ("heb", "he"),
    ("hin", "hi"),
    ("hrv", "hr"),
    ("hun", "hu"),
    ("ind", "id"),
    ("isl", "is"),
    ("ice", "is"),
    ("ita", "it"),
    ("jpn", "ja"),
    ("kor", "ko"),
    ("lit", "lt"),
    ("lav", "lv"),
    ("nld", "nl"),
    ("dut", "nl"),
    ("nor", "no"),
    ("nob", "nb"),
    ("pol", "pl"),
    ("por", "pt"),
    ("ron", "ro"),
    ("rum", "ro"),
    ("rus", "ru"),
    ("slk", "sk"),
    ("slo", "sk"),
    ("slv", "sl"),
    ("srp", "sr"),
    ("swe", "sv"),
    ("tha", "th"),
    ("tur", "tr"),
    ("ukr", "uk"),
    ("zho", "zh"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::stream::SoundInfo;
    use showrunner_timeline::TimeBase;

    fn heard(language: &str, is_default: bool, is_auxiliary: bool) -> Stream {
        let kind = Kind::Sound(SoundInfo { sample_rate: 48_000, channels: 2, layout: None });
        let language = Some(language.to_owned());
        Stream { language, is_default, is_auxiliary, ..Stream::plain(0, kind, TimeBase::MILLIS) }
    }

    fn in_language(language: &str) -> Wanted<'_> {
        Wanted { language: Some(language), track: None }
    }

    #[test]
    fn the_sound_in_the_language_asked_for_wins_over_the_default_one() {
        let streams = [heard("eng", true, false), heard("ger", false, false)];
        assert_eq!(sound(&streams, in_language("de-AT")), Some(1));
        assert_eq!(sound(&streams, in_language("fr")), Some(0));
        assert_eq!(sound(&streams, Wanted::default()), Some(0));
    }

    #[test]
    fn commentary_is_never_the_main_sound_while_there_is_another() {
        let streams = [heard("eng", true, true), heard("fra", false, false)];
        assert_eq!(sound(&streams, in_language("en")), Some(1));
        assert_eq!(sound(&streams[..1], Wanted::default()), Some(0));
    }

    #[test]
    fn a_track_that_is_asked_for_is_taken_whatever_it_is_and_no_other_in_its_place() {
        let picture = Stream::plain(0, Kind::Other, TimeBase::MILLIS);
        let streams = [picture, heard("eng", true, false), heard("eng", false, true)];
        let track = |track| sound(&streams, Wanted { track: Some(track), language: Some("en") });
        assert_eq!([track(0), track(1), track(2), track(3)], [None, Some(1), Some(2), None]);
    }

    #[test]
    fn a_source_without_sound_has_no_main_sound() {
        assert_eq!(sound(&[], in_language("en")), None);
    }
}
