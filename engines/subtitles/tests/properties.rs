//! What holds for any words whatever, and how real reading comes out.

use proptest::prelude::*;
use showrunner_subtitles::{Cue, Picture, Style, TICKS_PER_SECOND, Word, check, imsc, shape, webvtt};

/// Words with any text and any times, in order or not.
fn words() -> impl Strategy<Value = Vec<Word>> {
    let text = prop_oneof![
        8 => "[a-zA-Z]{1,12}[.,?!]?",
        1 => "\\PC{0,60}",
        1 => Just("a --> b".to_owned()),
        1 => Just("\n\nx".to_owned()),
    ];
    let word = (text, 0..3000_i64, 0..2000_i64, prop::bool::weighted(0.05));
    prop::collection::vec(word, 0..120).prop_map(|parts| {
        let mut clock = 0;
        parts
            .into_iter()
            .map(|(text, pause, long, glued)| {
                let start = clock + pause * 16 / 4;
                clock = start + long * 16 / 4;
                Word { text, start, end: clock, glued }
            })
            .collect()
    })
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect()
}

fn all_text(cues: &[Cue]) -> String {
    letters(&cues.iter().flat_map(|cue| cue.lines.clone()).collect::<String>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn cues_never_overlap_not_even_in_milliseconds(words in words(), mut shots in prop::collection::vec(0..4_000_000_i64, 0..40)) {
        shots.sort_unstable();
        let cues = shape(&words, &Picture { shot_starts: &shots, end: None }, &Style::for_language("en"));
        for cue in &cues {
            let (start, end) = cue.milliseconds();
            prop_assert!(start < end);
        }
        for pair in cues.windows(2) {
            prop_assert!(pair[0].end < pair[1].start);
            prop_assert!(pair[0].milliseconds().1 <= pair[1].milliseconds().0);
        }
    }

    #[test]
    fn no_word_is_lost_and_their_order_is_kept(words in words()) {
        let cues = shape(&words, &Picture::default(), &Style::for_language("en"));
        let said: String = words.iter().map(|word| letters(&word.text)).collect();
        // Overrides and the like are taken out on purpose.
        let hidden = |c: &char| !matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        prop_assert_eq!(all_text(&cues), said.chars().filter(hidden).collect::<String>());
    }

    #[test]
    fn no_cue_has_a_fault_that_speech_does_not_excuse(words in words()) {
        let style = Style::for_language("en");
        let cues = shape(&words, &Picture::default(), &style);
        let faults: Vec<_> = check(&cues, &Picture::default(), &style)
            .into_iter()
            .filter(|violation| violation.kind.is_fault())
            .collect();
        prop_assert!(faults.is_empty(), "{:?} in {:?}", faults, cues);
    }

    #[test]
    fn both_files_read_back_as_what_was_written(words in words()) {
        let cues = shape(&words, &Picture::default(), &Style::for_language("en"));
        let vtt = webvtt::read(&webvtt::write(&cues)).expect("our own WebVTT");
        let ttml = imsc::read(&imsc::write(&cues, "en")).expect("our own IMSC");
        prop_assert_eq!(&vtt, &ttml);
        prop_assert_eq!(vtt.len(), cues.len());
        for (read, cue) in vtt.iter().zip(&cues) {
            prop_assert_eq!((read.start, read.end), cue.milliseconds());
            prop_assert_eq!(&read.lines, &cue.lines);
        }
    }

    #[test]
    fn readers_never_fail_badly_on_any_text(text in "\\PC{0,300}", tail in prop::collection::vec(any::<char>(), 0..200)) {
        let text = text + &tail.into_iter().collect::<String>();
        let _ = webvtt::read(&text);
        let _ = webvtt::read(&format!("WEBVTT\n\n{text}"));
        let _ = imsc::read(&text);
    }
}

/// Even reading at a steady pace, in seconds a character.
fn read_aloud(text: &str, per_character: f64) -> Vec<Word> {
    let mut at = 0.0;
    text.split_whitespace()
        .map(|word| {
            let start = at;
            at += word.chars().count() as f64 * per_character;
            let end = at;
            at += if word.ends_with(['.', '?', '!']) {
                0.6
            } else if word.ends_with([',', ';']) {
                0.25
            } else {
                per_character
            };
            let tick = |seconds: f64| (seconds * TICKS_PER_SECOND as f64) as i64;
            Word::new(word, tick(start), tick(end))
        })
        .collect()
}

const OPENING: &str = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age \
of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the \
season of Darkness, it was the spring of hope, it was the winter of despair, we had everything before us, we had \
nothing before us, we were all going direct to Heaven, we were all going direct the other way.";

#[test]
fn a_calm_reading_gives_cues_without_any_violation() {
    let style = Style::for_language("en");
    let cues = shape(&read_aloud(OPENING, 0.065), &Picture::default(), &style);
    assert_eq!(check(&cues, &Picture::default(), &style), []);
    assert!(
        cues.iter().all(|cue| cue.lines.last().is_some_and(|line| line.ends_with([',', '.']))),
        "every cue of this text can end on a clause: {cues:#?}"
    );
}

#[test]
fn a_cue_moves_onto_a_shot_change_close_to_its_edge() {
    let words = read_aloud("Here we are at last.", 0.1);
    let late: Vec<Word> =
        words.into_iter().map(|word| Word { start: word.start + 32_000, end: word.end + 32_000, ..word }).collect();
    let shots = [0, 32_000 - 4_000, 32_000 + 16_000 * 3];
    let picture = Picture { shot_starts: &shots, end: None };
    let style = Style::for_language("en");
    let cues = shape(&late, &picture, &style);
    assert_eq!(cues.len(), 1);
    assert_eq!(cues[0].start, shots[1]);
    assert_eq!(check(&cues, &picture, &style), []);
}

#[test]
fn speech_too_fast_to_read_is_shown_and_named() {
    let style = Style::for_language("en");
    let cues = shape(&read_aloud(OPENING, 0.01), &Picture::default(), &style);
    let violations = check(&cues, &Picture::default(), &style);
    assert!(!violations.is_empty());
    assert!(violations.iter().all(|violation| !violation.kind.is_fault()));
}

#[test]
fn text_without_spaces_is_cut_to_the_lines_of_its_language() {
    let style = Style::for_language("ja");
    let words: Vec<Word> = "それは最良の時代であり最悪の時代であり知恵の時代であり愚かさの時代でもあった"
        .chars()
        .enumerate()
        .map(|(nth, c)| Word { text: c.to_string(), start: nth as i64 * 5_000, end: nth as i64 * 5_000 + 4_000, glued: nth > 0 })
        .collect();
    let cues = shape(&words, &Picture::default(), &style);
    assert!(cues.len() > 1);
    assert!(cues.iter().flat_map(|cue| &cue.lines).all(|line| line.chars().count() <= 13 && !line.contains(' ')));
}

#[test]
fn a_cue_never_outlasts_the_title() {
    let words = read_aloud("The end.", 0.1);
    let end = words[1].end + 800;
    let cues = shape(&words, &Picture { shot_starts: &[], end: Some(end) }, &Style::for_language("en"));
    assert_eq!(cues.last().map(|cue| cue.end), Some(end));
}
