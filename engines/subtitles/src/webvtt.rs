//! WebVTT, written for players and read back for proof (W3C WebVTT, sections 4 and 6). No I/O.

use std::fmt::Write;

use crate::{
    Cue,
    read::{MAX_BYTES, MAX_CUES, MsCue, ReadError, clock, quoted, stamp},
    text::clean_line,
};

/// The media type of [`write`]'s text.
pub const MEDIA_TYPE: &str = "text/vtt";

/// The cues as a WebVTT file. Text is escaped, so no word can open a tag, a time line or a comment.
pub fn write(cues: &[Cue]) -> String {
    let mut file = String::from("WEBVTT\n");
    for (nth, cue) in cues.iter().enumerate() {
        let (start, end) = cue.milliseconds();
        // Writing to a String cannot fail.
        let _ = write!(file, "\n{}\n{} --> {}\n", nth + 1, stamp(start), stamp(end));
        for line in cue.lines.iter().map(|line| clean_line(line)) {
            if !line.is_empty() {
                file.push_str(&escape(&line));
                file.push('\n');
            }
        }
    }
    file
}

fn escape(line: &str) -> String {
    line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn unescape(line: &str) -> String {
    line.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}").replace("&amp;", "&")
}

/// Most lines that are kept of a cue: far more than any style allows, so that what is cut off is seen to be too much.
const MAX_LINES: usize = 8;

/// A line without its tags: `<i>`, `<v Name>`, times. One that is not closed takes the rest of the line, as in players.
fn untagged(line: &str) -> String {
    let mut parts = line.split('<');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('>').map_or("", |(_, after)| after))
}

/// The cues of a WebVTT file as text; settings, tags, styles, regions and comments are passed over.
pub fn read(file: &str) -> Result<Vec<MsCue>, ReadError> {
    if file.len() > MAX_BYTES {
        return Err(ReadError::TooLarge);
    }
    let normal = file.replace("\r\n", "\n").replace('\r', "\n");
    let body = normal.strip_prefix('\u{feff}').unwrap_or(&normal);
    let signature = body.lines().next().unwrap_or_default();
    if signature != "WEBVTT" && !signature.starts_with("WEBVTT ") && !signature.starts_with("WEBVTT\t") {
        return Err(ReadError::Malformed("it does not begin with WEBVTT".into()));
    }
    let mut cues = Vec::new();
    for block in body.split("\n\n").skip(1) {
        let mut lines = block.lines().skip_while(|line| line.is_empty());
        let Some(times) = lines.by_ref().take(2).find(|line| line.contains("-->")) else {
            continue;
        };
        let odd = || ReadError::Malformed(format!("unreadable times in {}", quoted(&format!("{:?}", quoted(times)))));
        let (start, rest) = times.split_once("-->").ok_or_else(odd)?;
        let end = rest.split_whitespace().next().unwrap_or_default();
        let (Some(start), Some(end)) = (clock(start.trim()), clock(end)) else {
            return Err(odd());
        };
        if cues.len() == MAX_CUES {
            return Err(ReadError::TooLarge);
        }
        cues.push(MsCue { start, end, lines: lines.take(MAX_LINES).map(|line| unescape(&untagged(line))).collect() });
    }
    Ok(cues)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_exactly_what_a_player_expects() {
        let cue = Cue { start: 16_000, end: 16_000 * 3725, lines: vec!["It was the best".into(), "of times,".into()] };
        assert_eq!(write(&[cue]), "WEBVTT\n\n1\n00:00:01.000 --> 01:02:05.000\nIt was the best\nof times,\n");
    }

    #[test]
    fn a_word_cannot_forge_a_time_line_a_tag_or_a_new_cue() {
        let evil = "a\n\n2\n00:00:00.000 --> 99:00:00.000 <b>&lt;";
        let file = write(&[Cue { start: 0, end: 16_000, lines: vec![evil.into()] }]);
        assert_eq!(file.matches("-->").count(), 1);
        let cues = read(&file).expect("our own file");
        assert_eq!(cues.len(), 1);
        assert_eq!(cues[0].lines, [clean_line(evil)]);
    }

    #[test]
    fn tags_are_no_text() {
        let file = "WEBVTT\n\n00:01.000 --> 00:02.000 line:0\n<v Ann>I <i>am</i> &lt;b&gt; <00:01.500>here\na < b\n";
        assert_eq!(read(file).expect("WebVTT")[0].lines, ["I am <b> here", "a "]);
    }

    #[test]
    fn what_is_not_webvtt_is_refused() {
        assert!(read("hello").is_err());
        assert!(read("WEBVTT\n\n00:61:00.000 --> 00:62:00.000\nx\n").is_err());
    }
}
