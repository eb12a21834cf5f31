//! Chapters as the files that players and tools read. No I/O.

use std::fmt::Write as _;

use showrunner_timeline::{Millis, TimeBase};

use crate::Chapter;

/// What a chapter is called as long as nobody has given it a name.
pub fn name(index: usize) -> String {
    format!("Chapter {}", index + 1)
}

/// Starts and ends in milliseconds; a chapter that would be empty in them is left out.
fn millis(chapters: &[Chapter], base: TimeBase) -> impl Iterator<Item = (usize, u64, u64)> {
    let spans = chapters.iter().enumerate().map(move |(index, chapter)| {
        let (Millis(start), Millis(end)) = (base.to_millis(chapter.start), base.to_millis(chapter.end));
        (index, start, end)
    });
    spans.filter(|(_, start, end)| start < end)
}

/// WebVTT for a `<track kind="chapters">`: one cue a chapter (W3C WebVTT, section 4.3).
pub fn webvtt(chapters: &[Chapter], base: TimeBase) -> String {
    let stamp = |millis: u64| {
        format!("{:02}:{:02}:{:02}.{:03}", millis / 3_600_000, millis / 60_000 % 60, millis / 1_000 % 60, millis % 1_000)
    };
    let mut file = String::from("WEBVTT\n");
    for (index, start, end) in millis(chapters, base) {
        // Writing to a String cannot fail.
        let _ = write!(file, "\n{}\n{} --> {}\n{}\n", index + 1, stamp(start), stamp(end), name(index));
    }
    file
}

/// JSON for `EXT-X-SESSION-DATA` with `DATA-ID="com.apple.hls.chapters"` (Apple, "Providing JSON Chapters"): seconds.
pub fn hls(chapters: &[Chapter], base: TimeBase) -> String {
    let entry = |(index, start, end): (usize, u64, u64)| {
        let seconds = |millis: u64| format!("{}.{:03}", millis / 1_000, millis % 1_000);
        format!(
            "  {{ \"chapter\": {}, \"start-time\": {}, \"duration\": {}, \"titles\": [{{ \"language\": \"en\", \"title\": \"{}\" }}] }}",
            index + 1,
            seconds(start),
            seconds(end - start),
            name(index)
        )
    };
    let entries: Vec<String> = millis(chapters, base).map(entry).collect();
    format!("[\n{}\n]\n", entries.join(",\n"))
}

/// FFmpeg's metadata format, for muxers (FFmpeg, "Metadata", ffmetadata version 1).
pub fn ffmetadata(chapters: &[Chapter], base: TimeBase) -> String {
    let mut file = String::from(";FFMETADATA1\n");
    for (index, start, end) in millis(chapters, base) {
        let _ = write!(file, "\n[CHAPTER]\nTIMEBASE=1/1000\nSTART={start}\nEND={end}\ntitle={}\n", name(index));
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use showrunner_timeline::Ticks;

    fn chapters() -> Vec<Chapter> {
        let chapter = |start, end, shot| Chapter { start: Ticks(start), end: Ticks(end), shot, clarity: 1.0, rest: 0.0 };
        vec![chapter(0, 100_100, 0), chapter(100_100, 4_004_000, 7)]
    }

    fn base() -> TimeBase {
        TimeBase::new(1, 24_000).unwrap()
    }

    #[test]
    fn the_files_say_the_same() {
        let vtt = "WEBVTT\n\n1\n00:00:00.000 --> 00:00:04.171\nChapter 1\n\n2\n00:00:04.171 --> 00:02:46.833\nChapter 2\n";
        assert_eq!(webvtt(&chapters(), base()), vtt);
        let hls_text = hls(&chapters(), base());
        assert!(hls_text.contains(r#""chapter": 2, "start-time": 4.171, "duration": 162.662"#), "{hls_text}");
        let meta = ffmetadata(&chapters(), base());
        assert!(meta.ends_with("\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=4171\nEND=166833\ntitle=Chapter 2\n"), "{meta}");
    }

    #[test]
    fn no_chapters_are_still_files() {
        assert_eq!(webvtt(&[], base()), "WEBVTT\n");
        assert_eq!(hls(&[], base()), "[\n\n]\n");
    }
}
