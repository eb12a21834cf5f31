//! A strict reader of `WebVTT` after the W3C's text, sharing nothing with the engine's. No I/O.

/// A cue as a player takes it: milliseconds and lines, with their references resolved.
pub(crate) type Seen = (u64, u64, Vec<String>);

/// The cues of a file that must be exactly as our writer should write it: header, numbered cues, plain text.
///
/// # Panics
/// On anything that a player would take for something else than text.
pub(crate) fn cues(file: &str) -> Vec<Seen> {
    assert!(!file.contains(['\r', '\u{0}', '\u{feff}']), "characters that players replace");
    let mut lines = file.split('\n');
    assert_eq!(lines.next(), Some("WEBVTT"));
    let mut cues = Vec::new();
    let body: Vec<&str> = lines.collect();
    for block in body.split(|line| line.is_empty()).filter(|block| !block.is_empty()) {
        assert_eq!(block[0], (cues.len() + 1).to_string(), "cues are numbered");
        let (start, end) = block[1].split_once(" --> ").expect("a timing line");
        assert!(block[2..].iter().all(|line| !line.contains("-->")), "an arrow in text");
        cues.push((time(start), time(end), block[2..].iter().map(|line| text(line)).collect()));
    }
    assert_eq!(file.matches("-->").count(), cues.len(), "one arrow for each cue");
    cues
}

/// `HH:MM:SS.mmm` by the specification's section 4.1.
fn time(text: &str) -> u64 {
    let (clock, millis) = text.split_once('.').expect("a fraction");
    let fields: Vec<&str> = clock.split(':').collect();
    let [hours, minutes, seconds] = fields[..] else { panic!("{text:?} has no hours, minutes and seconds") };
    assert!(hours.len() >= 2 && minutes.len() == 2 && seconds.len() == 2 && millis.len() == 3, "{text:?}");
    let number = |digits: &str| -> u64 { digits.parse().expect("digits") };
    assert!(number(minutes) < 60 && number(seconds) < 60);
    ((number(hours) * 60 + number(minutes)) * 60 + number(seconds)) * 1000 + number(millis)
}

/// Cue text without tags; every `&` begins one of the three references that are written.
fn text(line: &str) -> String {
    assert!(!line.contains(['<', '>']), "a tag in {line:?}");
    let mut parts = line.split('&');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let known = [("amp;", '&'), ("lt;", '<'), ("gt;", '>')];
        let (c, rest) = known.iter().find_map(|(name, c)| Some((*c, part.strip_prefix(name)?))).expect("a known reference");
        whole.push(c);
        whole.push_str(rest);
    }
    whole
}
