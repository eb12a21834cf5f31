//! IMSC 1.1 text profile (W3C TTML Profiles for Internet Media Subtitles and Captions 1.1), written for DASH and CMAF,
//! read back for proof. No I/O.

use std::fmt::Write;

use crate::{
    Cue,
    read::{MAX_BYTES, MAX_CUES, MsCue, ReadError, clock, quoted, stamp},
    text::clean_line,
};

/// The media type of [`write`]'s text.
pub const MEDIA_TYPE: &str = "application/ttml+xml;codecs=im2t";

/// Longest language tag that is written (BCP 47 asks for no more than this).
const MAX_LANGUAGE: usize = 35;
/// Languages written from right to left: Arabic, Hebrew, Persian, Urdu, Pashto, Yiddish.
const RIGHT_TO_LEFT: [&str; 6] = ["ar", "he", "fa", "ur", "ps", "yi"];
/// Most XML nodes the reader builds.
const MAX_NODES: u32 = 4_000_000;

/// The cues as an IMSC 1.1 text profile document: one region at the bottom, media time base, millisecond clock times.
///
/// Alignment, line height and direction stand in the style of each `p`, which is what TTML applies them to; the box behind the
/// text in that of its `span`, because it must be no wider than the text.
pub fn write(cues: &[Cue], language: &str) -> String {
    let mut file = format!(
        concat!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
            "<tt xmlns=\"http://www.w3.org/ns/ttml\" xmlns:ttp=\"http://www.w3.org/ns/ttml#parameter\" ",
            "xmlns:tts=\"http://www.w3.org/ns/ttml#styling\" ",
            "ttp:contentProfiles=\"http://www.w3.org/ns/ttml/profile/imsc1.1/text\" ",
            "ttp:timeBase=\"media\" ttp:cellResolution=\"32 15\" xml:lang=\"{language}\">\n",
            "<head>\n<styling>\n",
            "<style xml:id=\"speech\" tts:fontFamily=\"proportionalSansSerif\" tts:fontSize=\"80%\" ",
            "tts:lineHeight=\"125%\" tts:textAlign=\"center\" tts:color=\"white\"{direction}/>\n",
            "<style xml:id=\"box\" tts:backgroundColor=\"#000000c0\"/>\n",
            "</styling>\n<layout>\n",
            "<region xml:id=\"bottom\" tts:origin=\"10% 70%\" tts:extent=\"80% 25%\" tts:displayAlign=\"after\"/>\n",
            "</layout>\n</head>\n<body region=\"bottom\">\n<div>\n",
        ),
        language = tag(language),
        direction = if is_right_to_left(language) { " tts:direction=\"rtl\"" } else { "" },
    );
    for (nth, cue) in cues.iter().enumerate() {
        let (start, end) = cue.milliseconds();
        let lines: Vec<String> = cue.lines.iter().map(|line| escape(&clean_line(line))).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            file,
            "<p xml:id=\"cue{}\" begin=\"{}\" end=\"{}\" style=\"speech\"><span style=\"box\">{}</span></p>",
            nth + 1,
            stamp(start),
            stamp(end),
            lines.join("<br/>"),
        );
    }
    file.push_str("</div>\n</body>\n</tt>\n");
    file
}

/// A language tag safe to stand in an attribute; `und` for what is none.
fn tag(language: &str) -> &str {
    let fits = !language.is_empty()
        && language.len() <= MAX_LANGUAGE
        && language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fits { language } else { "und" }
}

/// Whether the language, by its BCP 47 primary subtag, is written from right to left.
fn is_right_to_left(language: &str) -> bool {
    let primary = language.split(['-', '_']).next().unwrap_or_default();
    RIGHT_TO_LEFT.iter().any(|known| known.eq_ignore_ascii_case(primary))
}

fn escape(line: &str) -> String {
    line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The cues of a TTML document: every `p` with `begin` and `end` clock times.
pub fn read(file: &str) -> Result<Vec<MsCue>, ReadError> {
    if file.len() > MAX_BYTES {
        return Err(ReadError::TooLarge);
    }
    let options = roxmltree::ParsingOptions {
        allow_dtd: false, // no entities of its own: no expansion bombs
        nodes_limit: MAX_NODES,
        ..roxmltree::ParsingOptions::default()
    };
    let document = roxmltree::Document::parse_with_options(file, options)
        .map_err(|error| ReadError::Malformed(quoted(&error.to_string())))?;
    if document.root_element().tag_name().name() != "tt" {
        return Err(ReadError::Malformed("its root is not tt".into()));
    }
    let mut cues = Vec::new();
    let is_paragraph = |node: &roxmltree::Node<'_, '_>| node.has_tag_name(("http://www.w3.org/ns/ttml", "p"));
    for paragraph in document.descendants().filter(is_paragraph) {
        // TTML has none, and the text of the inner ones would be that of each outer one, too: far more than the file has.
        if paragraph.ancestors().skip(1).any(|node| is_paragraph(&node)) {
            return Err(ReadError::Malformed("a p inside of a p".into()));
        }
        let time = |name| paragraph.attribute(name).and_then(clock);
        let (Some(start), Some(end)) = (time("begin"), time("end")) else {
            return Err(ReadError::Malformed("a p without readable begin and end".into()));
        };
        if cues.len() == MAX_CUES {
            return Err(ReadError::TooLarge);
        }
        let mut lines = vec![String::new()];
        for node in paragraph.descendants() {
            if node.tag_name().name() == "br" {
                lines.push(String::new());
            } else if let (true, Some(text), Some(line)) = (node.is_text(), node.text(), lines.last_mut()) {
                line.push_str(text);
            }
        }
        cues.push(MsCue { start, end, lines });
    }
    Ok(cues)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue(text: &str) -> Cue {
        Cue { start: 8_000, end: 40_008, lines: vec![text.into(), "two".into()] }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let cues = read(&write(&[cue("Fish & <chips> ]]>")], "en-GB")).expect("our own file");
        assert_eq!(cues, [MsCue { start: 500, end: 2500, lines: vec!["Fish & <chips> ]]>".into(), "two".into()] }]);
    }

    #[test]
    fn a_language_tag_cannot_leave_its_attribute() {
        let file = write(&[], "en\" evil=\"1");
        assert!(file.contains("xml:lang=\"und\""));
    }

    /// The value of a `tts` attribute in the style that the first element of this name refers to.
    fn styled(file: &str, element: &str, attribute: &str) -> Option<String> {
        let document = roxmltree::Document::parse(file).expect("our own file");
        let mut nodes = document.descendants();
        let id = nodes.find(|node| node.tag_name().name() == element)?.attribute("style")?;
        let xml_id = ("http://www.w3.org/XML/1998/namespace", "id");
        let style = document.descendants().find(|node| node.attribute(xml_id) == Some(id))?;
        style.attribute(("http://www.w3.org/ns/ttml#styling", attribute)).map(str::to_owned)
    }

    #[test]
    fn alignment_stands_at_the_paragraph_and_the_box_at_the_text() {
        let file = write(&[cue("one")], "en");
        assert_eq!(styled(&file, "p", "textAlign").as_deref(), Some("center"));
        assert_eq!(styled(&file, "p", "lineHeight").as_deref(), Some("125%"));
        assert_eq!(styled(&file, "p", "direction"), None);
        assert_eq!(styled(&file, "p", "backgroundColor"), None);
        assert_eq!(styled(&file, "span", "backgroundColor").as_deref(), Some("#000000c0"));
        assert_eq!(styled(&file, "span", "textAlign"), None);
    }

    #[test]
    fn languages_written_from_right_to_left_say_so() {
        for (language, wanted) in [("ar", true), ("he-IL", true), ("FA", true), ("yi", true), ("arn", false), ("en", false)] {
            let direction = styled(&write(&[cue("one")], language), "p", "direction");
            assert_eq!(direction.as_deref() == Some("rtl"), wanted, "{language}");
        }
    }

    #[test]
    fn a_document_type_is_refused() {
        let bomb = "<!DOCTYPE tt [<!ENTITY a \"b\">]><tt xmlns=\"http://www.w3.org/ns/ttml\"/>";
        assert!(read(bomb).is_err());
    }
}
