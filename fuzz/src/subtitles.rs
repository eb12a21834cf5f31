//! Words into cues, cues into files, files into cues: whatever was heard, players see that text and no other. No I/O.

use arbitrary::Unstructured;
use showrunner_subtitles::{
    Cue, MAX_BYTES, MAX_CUES, MsCue, Picture, ReadError, Style, TICKS_PER_MS, Word, check, imsc, shape, webvtt,
};

use crate::{
    markup::{Token, tokens},
    vtt::{self, Seen},
};

/// Most words of one input: shaping takes time in proportion, and an input should take milliseconds.
const MAX_WORDS: usize = 400;
/// Languages with styles of their own, and what is none.
const LANGUAGES: [&str; 8] = ["en", "ja", "zh-Hant", "ko", "th", "ar-EG", "", "x\" y=\"1"];
/// Longest text of an error.
const MAX_ERROR: usize = 300;

/// Any words at any times, over any shots.
pub(crate) fn cues(input: &[u8]) {
    let mut given = Unstructured::new(input);
    let Ok((words, shots, end, language)) = heard(&mut given) else { return };
    let style = Style { reading_speed: u32::from(given.arbitrary::<u8>().unwrap_or(20)), ..Style::for_language(language) };
    let picture = Picture { shot_starts: &shots, end };
    let cues = shape(&words, &picture, &style);
    let faults: Vec<_> = check(&cues, &picture, &style).into_iter().filter(|violation| violation.kind.is_fault()).collect();
    // A title shorter than its speech leaves no room: cues then are as short as can be.
    assert!(faults.is_empty(), "{faults:?}");
    for pair in cues.windows(2) {
        assert!(pair[0].end < pair[1].start, "cues never overlap");
    }
    let wanted: Vec<Seen> =
        cues.iter().map(|cue| ((cue.start / TICKS_PER_MS) as u64, (cue.end / TICKS_PER_MS) as u64, cue.lines.clone())).collect();
    assert!(wanted.iter().all(|(start, end, _)| start < end), "a cue is seen");
    assert_eq!(vtt::cues(&webvtt::write(&cues)), wanted, "WebVTT shows what was shaped");
    assert_eq!(ttml(&imsc::write(&cues, language)), wanted, "IMSC shows what was shaped");
    let own: Vec<MsCue> =
        wanted.into_iter().map(|(start, end, lines)| MsCue { start: start as i64, end: end as i64, lines }).collect();
    assert_eq!(webvtt::read(&webvtt::write(&cues)).as_ref(), Ok(&own));
    assert_eq!(imsc::read(&imsc::write(&cues, language)).as_ref(), Ok(&own));
}

type Heard = (Vec<Word>, Vec<i64>, Option<i64>, &'static str);

/// Mostly speech in order, as a recogniser gives it; now and then times out of order or beyond all sense.
fn heard(given: &mut Unstructured<'_>) -> arbitrary::Result<Heard> {
    let language = given.choose(&LANGUAGES)?;
    let end = if given.ratio(1, 8)? { Some(given.arbitrary()?) } else { None };
    let mut shots: Vec<i64> = Vec::new();
    for _ in 0..given.int_in_range(0..=12)? {
        shots.push(if given.ratio(1, 8)? { given.arbitrary()? } else { given.arbitrary::<u32>()?.into() });
    }
    shots.sort_unstable();
    let (mut words, mut clock) = (Vec::new(), 0_i64);
    while !given.is_empty() && words.len() < MAX_WORDS {
        let (pause, long): (u16, u16) = (given.arbitrary()?, given.arbitrary()?);
        let mut start = clock + i64::from(pause);
        clock = start + i64::from(long);
        let mut end = clock;
        if given.ratio(1, 16)? {
            (start, end) = (given.arbitrary()?, given.arbitrary()?);
        }
        let length = given.int_in_range(0..=60)?;
        let bytes = given.bytes(usize::min(length, given.len()))?;
        words.push(Word { text: String::from_utf8_lossy(bytes).into_owned(), start, end, glued: given.ratio(1, 8)? });
    }
    Ok((words, shots, end, language))
}

/// The cues of a TTML document that must be as our writer should write it, read by another reader than the engine's.
fn ttml(file: &str) -> Vec<Seen> {
    let file = file.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").expect("a declaration");
    let (mut cues, mut open): (Vec<Seen>, Vec<&str>) = (Vec::new(), Vec::new());
    for token in tokens(file) {
        match token {
            Token::Open { name, attributes, closed } => {
                let value = |key| attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str());
                match name {
                    "p" => cues.push((millis(value("begin")), millis(value("end")), vec![String::new()])),
                    "br" => cues.last_mut().expect("inside of a p").2.push(String::new()),
                    "tt" | "head" | "styling" | "style" | "layout" | "region" | "body" | "div" | "span" => {}
                    other => panic!("<{other}> is not ours"),
                }
                if !closed {
                    open.push(name);
                }
            }
            Token::Close(name) => assert_eq!(open.pop(), Some(name)),
            Token::Text(text) if open.last() == Some(&"span") => {
                let bad = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
                assert!(!text.contains(bad), "characters that XML 1.0 does not have");
                cues.last_mut().expect("inside of a p").2.last_mut().expect("a line").push_str(&text);
            }
            Token::Text(text) => assert_eq!(text.trim(), "", "text outside of cues"),
        }
    }
    assert!(open.is_empty());
    cues
}

fn millis(clock: Option<&str>) -> u64 {
    let fields: Vec<u64> = clock.expect("a time").split([':', '.']).map(|field| field.parse().expect("digits")).collect();
    let [hours, minutes, seconds, millis] = fields[..] else { panic!("{clock:?} is no clock time") };
    ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis
}

/// Any file as `WebVTT`.
pub(crate) fn webvtt(input: &[u8]) {
    let file = String::from_utf8_lossy(input);
    let Some(cues) = bounded(&file, webvtt::read(&file)) else { return };
    let written = webvtt::write(&cues);
    let again = webvtt::read(&written).expect("our own file");
    assert_eq!(vtt::cues(&written), seen(&again), "two readers agree");
    settled(&cues, &again);
    assert_eq!(webvtt::write(&from_ms(&again)), written, "writing again changes nothing");
}

/// Any file as TTML.
pub(crate) fn imsc(input: &[u8]) {
    let file = String::from_utf8_lossy(input);
    let Some(cues) = bounded(&file, imsc::read(&file)) else { return };
    let written = imsc::write(&cues, "en");
    let again = imsc::read(&written).expect("our own file");
    assert_eq!(ttml(&written), seen(&again), "two readers agree");
    settled(&cues, &again);
    assert_eq!(imsc::write(&from_ms(&again), "en"), written, "writing again changes nothing");
}

/// What a reader gave, held to its limits: no more text than the file has, times that can be written.
fn bounded(file: &str, read: Result<Vec<MsCue>, ReadError>) -> Option<Vec<Cue>> {
    let cues = match read {
        Ok(cues) => cues,
        Err(error) => {
            assert!(error.to_string().len() <= MAX_ERROR, "an error is no place for a file");
            return None;
        }
    };
    assert!(file.len() <= MAX_BYTES && cues.len() <= MAX_CUES);
    let text: usize = cues.iter().flat_map(|cue| &cue.lines).map(String::len).sum();
    assert!(text <= file.len(), "{text} bytes of text of {}", file.len());
    assert!(cues.iter().all(|cue| cue.start >= 0 && cue.end >= 0));
    Some(from_ms(&cues))
}

fn from_ms(cues: &[MsCue]) -> Vec<Cue> {
    let cue = |cue: &MsCue| Cue { start: cue.start * TICKS_PER_MS, end: cue.end * TICKS_PER_MS, lines: cue.lines.clone() };
    cues.iter().map(cue).collect()
}

fn seen(cues: &[MsCue]) -> Vec<Seen> {
    cues.iter().map(|cue| (cue.start as u64, cue.end as u64, cue.lines.clone())).collect()
}

/// Whether nothing but the way of writing has changed: the same times, the same letters.
fn settled(before: &[Cue], after: &[MsCue]) {
    let letters = |lines: &[String]| lines.concat().chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(after) {
        assert_eq!(before.milliseconds(), (after.start, after.end));
        assert_eq!(letters(&before.lines), letters(&after.lines));
    }
}
