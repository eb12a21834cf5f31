//! Texts that others wrote, on their way into conditions and events. No I/O.

use showrunner_contracts::result::{Failure, Reason};
use showrunner_kit::conditions::{MAX_MESSAGE, clean, cut};

/// Any text: bounded, free of what drives a terminal or turns a line, and left alone the second time.
pub(crate) fn message(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let cleaned = clean(&text);
    is_clean(&cleaned);
    assert_eq!(clean(&cleaned), cleaned, "cleaning twice changes nothing");
    for max in [0, 1, 3, 4, 63, 200] {
        let cut = cut(&text, max);
        assert!(cut.len() <= max.max(3), "{} bytes of {max}", cut.len());
        assert!(text.len() > max || cut == text, "what fits is not touched");
    }
    let failure = Failure::new(Reason::Internal, &text);
    assert!(failure.message.chars().count() <= Failure::MAX_MESSAGE && !failure.message.chars().any(char::is_control));
}

/// Whether a text may stand in a condition: by Unicode's own lists (`Bidi_Control`, tags, annotations, separators), not by ours.
pub(crate) fn is_clean(text: &str) {
    assert!(text.len() <= MAX_MESSAGE, "{} bytes", text.len());
    let bad = |c: &char| {
        matches!(u32::from(*c),
            0..=0x1f | 0x7f..=0x9f // C0, DEL, C1: terminals obey these
            | 0x061c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069 // Bidi_Control
            | 0x2028 | 0x2029 // line and paragraph separators
            | 0xfeff | 0xfff9..=0xfffb | 0xe0000..=0xe007f) // marks and tags that nobody sees
    };
    assert_eq!(text.chars().find(bad), None, "in {text:?}");
}
