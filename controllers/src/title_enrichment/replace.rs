//! A person's subtitles in the place of a worker's: held to the same rules, and written in the same formats. No I/O.

use bytes::Bytes;
use showrunner_contracts::{
    Document as _,
    documents::{Cue, SubtitlesDocument},
    manifest::{MediaSummary, StepSummary},
    result::StepResult,
};
use showrunner_subtitles::{
    Cue as Timed, MAX_TOLD, MsCue, Picture, Style, TICKS_PER_MS, Violation, ViolationKind, check, imsc, told, webvtt,
};

/// Largest file that is taken, bytes: a word a second for days.
pub const MAX_FILE: usize = 4 << 20;
/// Most faults that an error names.
const MAX_FAULTS: usize = 3;
/// How far a cue may go on after the title's end, milliseconds: editors count from another frame.
const GRACE_MS: i64 = 1_000;

/// A file of the step, by its slot.
pub type File = (&'static str, &'static str, Bytes);

/// The step's files, made of a person's WebVTT, and its figures. The WebVTT file is published as it is, with whatever places
/// and styles it has; IMSC and document carry its text.
///
/// An error says what is wrong with the file, for whoever wrote it.
pub fn subtitles(file: Bytes, made: &StepResult) -> Result<(Vec<File>, StepSummary), String> {
    let StepSummary::Subtitles { language, speech_ms, dropped, .. } = &made.summary else {
        return Err("what it would replace are no subtitles".to_owned());
    };
    let text = std::str::from_utf8(&file).map_err(|_| "it is not UTF-8: save it as UTF-8".to_owned())?;
    let cues = webvtt::read(text).map_err(|error| error.to_string())?;
    // Players begin a cue at every line of times, wherever it stands: what was not read would be shown unseen.
    let times = text.lines().flat_map(|line| line.split('\r')).filter(|line| line.contains("-->")).count();
    if times != cues.len() {
        return Err(format!(
            "it has {times} lines with -->, and {} cues can be read: begin each cue, the first too, after an empty line, and take \
             out those that are commented out",
            cues.len()
        ));
    }
    let timed = timed(&cues);
    let style = Style::for_language(language);
    let violations = check(&timed, &Picture::default(), &style);
    refuse(&timed, &violations, &made.media)?;
    let document = SubtitlesDocument {
        schema: SubtitlesDocument::SCHEMA.to_owned(),
        language: language.clone(),
        language_detected: false,
        cues: cues.iter().map(cue).collect(),
        violations: told(&violations, MAX_TOLD),
    };
    let words = cues.iter().flat_map(|cue| &cue.lines).flat_map(|line| line.split_whitespace()).count();
    let summary = StepSummary::Subtitles {
        language: language.clone(),
        cues: u32::try_from(cues.len()).unwrap_or(u32::MAX),
        words: u32::try_from(words).unwrap_or(u32::MAX),
        speech_ms: *speech_ms,
        dropped: *dropped,
        heard_instead: None,
        word_errors: None,
    };
    let imsc = imsc::write(&timed, language).into_bytes();
    let files = vec![
        ("subtitles.vtt", webvtt::MEDIA_TYPE, file),
        ("subtitles.imsc1.xml", imsc::MEDIA_TYPE, imsc.into()),
        ("subtitles.json", "application/json", document.to_bytes().into()),
    ];
    Ok((files, summary))
}

/// Refuses what no player could show as it is meant.
fn refuse(cues: &[Timed], violations: &[Violation], media: &MediaSummary) -> Result<(), String> {
    if cues.is_empty() {
        return Err("it has no cue: use Reject to publish no subtitles".to_owned());
    }
    let backwards = |violation: &&Violation| match violation.kind {
        ViolationKind::TooShort { ticks } => ticks <= 0,
        kind => kind.is_fault(),
    };
    let faults: Vec<Violation> = violations.iter().filter(backwards).cloned().collect();
    if !faults.is_empty() {
        return Err(format!(
            "{} cues break rules that all subtitles keep: {}",
            faults.len(),
            told(&faults, MAX_FAULTS).join("; ")
        ));
    }
    let end = i128::from(media.duration) * i128::from(media.time_base.num) * 1_000 / i128::from(media.time_base.den);
    let last = cues.iter().map(|cue| cue.milliseconds().1).max().unwrap_or_default();
    if media.duration > 0 && i128::from(last) > end + i128::from(GRACE_MS) {
        return Err(format!("a cue ends at {:.3} s, and the title at {:.3} s", last as f64 / 1e3, end as f64 / 1e3));
    }
    Ok(())
}

fn timed(cues: &[MsCue]) -> Vec<Timed> {
    let cue = |cue: &MsCue| Timed { start: cue.start * TICKS_PER_MS, end: cue.end * TICKS_PER_MS, lines: cue.lines.clone() };
    cues.iter().map(cue).collect()
}

fn cue(cue: &MsCue) -> Cue {
    let (start_ms, end_ms) = (cue.start.unsigned_abs(), cue.end.unsigned_abs());
    Cue { start_ms, end_ms, lines: cue.lines.clone(), confidence: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title_enrichment::tests::fixtures::step_result;
    use showrunner_contracts::{Digest, step::Step};

    const GOOD: &str = "WEBVTT\n\n00:01.000 --> 00:02.500 line:0\n<i>It was</i> the best\nof times,\n";

    fn replaced(file: &str) -> Result<(Vec<File>, StepSummary), String> {
        subtitles(Bytes::from(file.to_owned()), &step_result(Step::Subtitles, &Digest::of(b"key"), "work"))
    }

    #[test]
    fn a_good_file_is_published_as_it_is_and_as_imsc_and_document() {
        let (files, summary) = replaced(GOOD).expect("good");
        let names: Vec<&str> = files.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names, Step::Subtitles.slots());
        assert_eq!(files[0].2, GOOD.as_bytes(), "with its place and its slant");
        let imsc = imsc::read(std::str::from_utf8(&files[1].2).unwrap()).expect("IMSC");
        let document = SubtitlesDocument::from_bytes(&files[2].2).expect("our own document");
        assert_eq!((imsc.len(), document.cues.len()), (1, 1));
        assert_eq!(document.cues[0].lines, ["It was the best", "of times,"]);
        assert!(matches!(summary, StepSummary::Subtitles { cues: 1, words: 6, .. }), "{summary:?}");
    }

    #[test]
    fn what_no_player_could_show_is_refused_with_what_is_wrong() {
        let cue = |times: &str, text: &str| format!("WEBVTT\n\n{times}\n{text}\n");
        let overlap = format!("{}\n00:02.000 --> 00:04.000\nof times\n", cue("00:01.000 --> 00:03.000", "the worst"));
        for (file, told) in [
            ("hello".to_owned(), "does not begin with WEBVTT"),
            ("WEBVTT\n".to_owned(), "no cue"),
            (cue("00:03.000 --> 00:01.000", "back"), "TooShort"),
            (cue("00:01.000 --> 00:02.000", ""), "Empty"),
            (cue("00:01.000 --> 00:02.000", "a\nb\nc"), "TooManyLines"),
            (cue("00:01.000 --> 00:05.000", &"word ".repeat(12)), "LineTooLong"),
            (overlap, "cue 2: Overlap"),
            (cue("00:01.000 --> 00:02.000", "00:00:03.000 --> 99:00:00.000\nunseen"), "2 lines with -->"),
            (format!("{GOOD}\nNOTE\nno more\n00:05.000 --> 00:07.000\ntext\n"), "2 lines with -->"),
            (format!("WEBVTT\n00:03.000 --> 00:04.000\nfirst\n\n{}", &GOOD["WEBVTT\n\n".len()..]), "2 lines with -->"),
            (cue("99:00:01.000 --> 99:00:02.000", "late"), "and the title at"),
        ] {
            let error = replaced(&file).expect_err(told);
            assert!(error.contains(told), "{error}");
        }
        let result = step_result(Step::Subtitles, &Digest::of(b"key"), "work");
        assert!(subtitles(Bytes::from_static(b"WEBVTT\n\n\xff"), &result).unwrap_err().contains("UTF-8"));
    }
}
