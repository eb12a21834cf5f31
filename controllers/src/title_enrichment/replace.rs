//! A person's subtitles in the place of a worker's, and a person's pictures in the places of some picks: held to the same rules,
//! and written in the same formats. No I/O.
//!
//! A picture is decoded here, in the operator's process: `docs/decisions/007-given-pictures.md` says why that is no danger.

mod jpeg;

use std::collections::BTreeMap;

use bytes::Bytes;
use showrunner_contracts::{
    Digest, Document as _,
    documents::{Cue, Given, NotJudged, Nudity, SubtitlesDocument, ThumbnailsDocument},
    manifest::{MediaSummary, Origin, StepSummary},
    result::StepResult,
};
use showrunner_subtitles::{
    Cue as Timed, MAX_TOLD, MsCue, Picture, Style, TICKS_PER_MS, Violation, ViolationKind, check, imsc, told, webvtt,
};
use showrunner_thumbnails::{Candidate, ClassicalQuality, HASH_BITS, Hash, Picture as Pixels, Reject, Settings, measure};
use showrunner_timeline::Ticks;

/// Largest file that is taken, bytes: a word a second for days.
pub const MAX_FILE: usize = 4 << 20;
/// Most faults that an error names.
const MAX_FAULTS: usize = 3;
/// How far a cue may go on after the title's end, milliseconds: editors count from another frame.
const GRACE_MS: i64 = 1_000;

/// Largest picture that is taken, bytes: several times what one of ours has.
pub const MAX_PICTURE_FILE: usize = 2 << 20;
/// The document of the picks.
pub const PICKS: &str = "thumbnails.json";

/// A file of the step that a person has a part in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its slot.
    pub name: String,
    /// Media type.
    pub media_type: &'static str,
    /// Who made it.
    pub origin: Origin,
    /// Its bytes.
    pub body: Bytes,
}

impl File {
    fn humans(name: &str, media_type: &'static str, body: Bytes) -> Self {
        Self { name: name.to_owned(), media_type, origin: Origin::Human, body }
    }
}

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
        File::humans("subtitles.vtt", webvtt::MEDIA_TYPE, file),
        File::humans("subtitles.imsc1.xml", imsc::MEDIA_TYPE, imsc.into()),
        File::humans("subtitles.json", "application/json", document.to_bytes().into()),
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

/// A person's picture that may take a pick's place, as far as that depends on itself.
#[derive(Clone, Debug)]
pub struct GivenPicture {
    file: Bytes,
    measured: Candidate,
}

/// Reads a person's JPEG file and holds it to what is asked of a pick. The file is published as it is.
///
/// An error says what is wrong with it, for whoever made it.
pub fn picture(file: Bytes) -> Result<GivenPicture, String> {
    let (width, height, pixels) = jpeg::decoded(&file)?;
    let measured = measured(&pixels, width, height)?;
    // Blocks of a JPEG file are edges, which a worker's candidate does not have yet when it is measured: they hide blur. At half the
    // size they are gone, and a blur that is one at full size still is.
    let halved = halved(&pixels, width, height);
    let reject = measured.reject.or(self::measured(&halved, width / 2, height / 2)?.reject);
    match reject {
        None => Ok(GivenPicture { file, measured }),
        Some(Reject::Black) => Err("it is black, or nearly: give a lighter picture".to_owned()),
        Some(Reject::Flat) => Err("it is of one colour, or nearly: give one that shows something".to_owned()),
        Some(Reject::Blurred) => Err("no part of it is in focus: give a sharper picture".to_owned()),
        Some(Reject::Lost) => Err("nearly all of it is lost in shadow or burnt out: give one that is better exposed".to_owned()),
    }
}

fn measured(rgb: &[u8], width: u32, height: u32) -> Result<Candidate, String> {
    let pixels = Pixels::new(rgb, width, height).map_err(|error| error.to_string())?;
    measure(&pixels, Ticks::ZERO, 0.0, &mut ClassicalQuality).map_err(|error| error.to_string())
}

/// Each pixel the mean of four; an odd last row and column are left out.
fn halved(rgb: &[u8], width: u32, height: u32) -> Vec<u8> {
    let at = |x: u32, y: u32, channel: usize| u32::from(rgb[(y * width + x) as usize * 3 + channel]);
    let mean = |x: u32, y: u32, channel: usize| {
        let sum = at(x, y, channel) + at(x + 1, y, channel) + at(x, y + 1, channel) + at(x + 1, y + 1, channel);
        (sum / 4) as u8
    };
    let places = (0..height / 2).flat_map(|y| (0..width / 2).map(move |x| (2 * x, 2 * y)));
    places.flat_map(|(x, y)| [0, 1, 2].map(|channel| mean(x, y, channel))).collect()
}

/// Pictures in the places of picks, by the names of those, and the document that says so; `document` is the worker's.
///
/// An error says what is wrong, for who decided.
pub fn thumbnails(document: &[u8], pictures: BTreeMap<String, GivenPicture>, by: &str) -> Result<Vec<File>, String> {
    let mut document = ThumbnailsDocument::from_bytes(document).map_err(|error| format!("the picks cannot be read: {error}"))?;
    if document.picks.is_empty() {
        return Err("the title has no thumbnail that a picture could take the place of: use Accept or Reject, or raise \
                    spec.thumbnails.excludeNudityAtOrAbove where all were left out for their nudity"
            .to_owned());
    }
    for name in pictures.keys() {
        if !document.picks.iter().any(|pick| pick.name == *name) {
            let known = document.picks.iter().map(|pick| pick.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(format!("{name} is none of the picks ({known}): name one of these"));
        }
    }
    for pick in &mut document.picks {
        let Some(GivenPicture { file, measured }) = pictures.get(&pick.name) else { continue };
        (pick.width, pick.height) = measured.size;
        pick.pdq = measured.hash.to_string();
        pick.nudity = Nudity::NotJudged(NotJudged::GivenByPerson);
        pick.given = Some(Given { by: by.to_owned(), sha256: Digest::of(file), size_bytes: file.len() as u64 });
    }
    unlike(&document)?;
    let mut files: Vec<File> =
        pictures.into_iter().map(|(name, picture)| File::humans(&name, "image/jpeg", picture.file)).collect();
    files.push(File {
        name: PICKS.to_owned(),
        media_type: "application/json",
        origin: Origin::Mixed,
        body: document.to_bytes().into(),
    });
    Ok(files)
}

/// Refuses a person's picture that shows what another thumbnail shows. Picks that are alike by themselves were told so.
fn unlike(document: &ThumbnailsDocument) -> Result<(), String> {
    let wanted = Settings::default().distance;
    let hash = |pdq: &str| pdq.parse::<Hash>().map_err(|error| error.to_string());
    for given in document.picks.iter().filter(|pick| pick.given.is_some()) {
        for other in document.picks.iter().filter(|pick| pick.name != given.name) {
            let distance = hash(&given.pdq)?.distance(&hash(&other.pdq)?);
            if distance < wanted {
                return Err(format!(
                    "the picture for {} looks like {}: they differ in {distance} of {HASH_BITS} hash bits, {wanted} wanted; \
                     give another picture, or replace {} too",
                    given.name, other.name, other.name
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::title_enrichment::tests::fixtures::step_result;
    use showrunner_contracts::{Digest, documents::Pick, step::Step, time::TimeBase};

    const GOOD: &str = "WEBVTT\n\n00:01.000 --> 00:02.500 line:0\n<i>It was</i> the best\nof times,\n";

    fn replaced(file: &str) -> Result<(Vec<File>, StepSummary), String> {
        subtitles(Bytes::from(file.to_owned()), &step_result(Step::Subtitles, &Digest::of(b"key"), "work"))
    }

    #[test]
    fn a_good_file_is_published_as_it_is_and_as_imsc_and_document() {
        let (files, summary) = replaced(GOOD).expect("good");
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, Step::Subtitles.slots());
        assert_eq!(files[0].body, GOOD.as_bytes(), "with its place and its slant");
        let imsc = imsc::read(std::str::from_utf8(&files[1].body).unwrap()).expect("IMSC");
        let document = SubtitlesDocument::from_bytes(&files[2].body).expect("our own document");
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

    const SIDES: (u32, u32) = (480, 270);

    /// Rectangles of all sizes and colours, others for each seed.
    fn scene(seed: u32, (width, height): (u32, u32)) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
        let mut dice = |below: u32| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state % below
        };
        let mut pixels = vec![90; (width * height * 3) as usize];
        for _ in 0..60 {
            let (x, y) = (dice(width), dice(height));
            let (right, bottom) = ((x + 10 + dice(width / 3)).min(width), (y + 10 + dice(height / 3)).min(height));
            let colour = [dice(256) as u8, dice(256) as u8, dice(256) as u8];
            for at in (y..bottom).flat_map(|row| (x..right).map(move |column| ((row * width + column) * 3) as usize)) {
                pixels[at..at + 3].copy_from_slice(&colour);
            }
        }
        pixels
    }

    /// Each pixel the mean of the 29 by 29 around it.
    fn blurred(pixels: &[u8], (width, height): (u32, u32)) -> Vec<u8> {
        let mean = |from: &[u8], x: u32, y: u32, across: bool, channel: u32| {
            let (at, end) = if across { (x, width) } else { (y, height) };
            let reach = at.saturating_sub(14)..(at + 15).min(end);
            let place = |n: u32| if across { y * width + n } else { n * width + x };
            let sum: u32 = reach.clone().map(|n| u32::from(from[(place(n) * 3 + channel) as usize])).sum();
            (sum / reach.len() as u32) as u8
        };
        let pass = |from: &[u8], across: bool| -> Vec<u8> {
            (0..width * height * 3).map(|n| mean(from, n / 3 % width, n / 3 / width, across, n % 3)).collect()
        };
        pass(&pass(pixels, true), false)
    }

    fn jpeg(pixels: &[u8], (width, height): (u32, u32)) -> Bytes {
        let mut file = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut file, 90);
        encoder.encode(pixels, width as u16, height as u16, jpeg_encoder::ColorType::Rgb).expect("encodes");
        file.into()
    }

    fn given(seed: u32) -> GivenPicture {
        picture(jpeg(&scene(seed, SIDES), SIDES)).expect("a good picture")
    }

    /// What a worker said of four picks, these scenes.
    fn picks() -> ThumbnailsDocument {
        let pick = |seed: u32| Pick {
            name: format!("thumbnail-{seed}.jpg"),
            at: i64::from(seed) * 1_000,
            shot: seed,
            category: "Atmosphere".to_owned(),
            score: 0.5,
            width: 1280,
            height: 720,
            pdq: given(seed).measured.hash.to_string(),
            nudity: Nudity::Judged { probability: 0.01, level: 0 },
            given: None,
        };
        ThumbnailsDocument {
            schema: ThumbnailsDocument::SCHEMA.to_owned(),
            time_base: TimeBase { num: 1, den: 1_000 },
            picks: (0..4).map(pick).collect(),
            relaxed: None,
            nudity: None,
        }
    }

    #[test]
    fn a_good_picture_takes_the_place_of_one_pick_and_the_document_says_whose_it_is() {
        let (before, file) = (picks(), jpeg(&scene(9, SIDES), SIDES));
        let pictures = BTreeMap::from([("thumbnail-2.jpg".to_owned(), picture(file.clone()).expect("a good picture"))]);
        let made = thumbnails(&before.to_bytes(), pictures, "anna@studio.example").expect("it may");
        let named: Vec<_> = made.iter().map(|file| (file.name.as_str(), file.media_type, file.origin)).collect();
        let wanted = [("thumbnail-2.jpg", "image/jpeg", Origin::Human), (PICKS, "application/json", Origin::Mixed)];
        assert_eq!((named, &made[0].body), (wanted.to_vec(), &file), "it is published as it is");
        let mut after = ThumbnailsDocument::from_bytes(&made[1].body).expect("our own document");
        let pick = after.picks[2].clone();
        let whose = pick.given.as_ref().expect("a person's");
        assert_eq!(
            (whose.by.as_str(), &whose.sha256, whose.size_bytes),
            ("anna@studio.example", &Digest::of(&file), file.len() as u64)
        );
        assert_eq!((pick.width, pick.height, &pick.pdq), (480, 270, &given(9).measured.hash.to_string()));
        assert_eq!((pick.at, pick.nudity), (2_000, Nudity::NotJudged(NotJudged::GivenByPerson)), "nobody has judged it");
        after.picks[2] = before.picks[2].clone();
        assert_eq!(after, before, "nothing else is said anew");
    }

    #[test]
    fn what_is_no_picture_for_a_thumbnail_is_refused_with_what_is_wrong() {
        let good = jpeg(&scene(1, SIDES), SIDES);
        let soft = (0..3).fold(scene(1, SIDES), |soft, _| blurred(&soft, SIDES));
        let size = (SIDES.0 * SIDES.1 * 3) as usize;
        let of = |sides: (u32, u32)| jpeg(&scene(1, sides), sides);
        for (file, told) in [
            (Bytes::from_static(b"GIF89a"), "no JPEG file"),
            (Bytes::new(), "no JPEG file"),
            (good.slice(..good.len() / 2), "no JPEG file"),
            (of((1_288, 720)), "1288x720 pixels"),
            (of((405, 728)), "405x728 pixels"),
            (of((320, 176)), "320x176 pixels"),
            (jpeg(&vec![4; size], SIDES), "it is black"),
            (jpeg(&vec![120; size], SIDES), "of one colour"),
            (jpeg(&soft, SIDES), "in focus"),
        ] {
            let error = picture(file).expect_err(told);
            assert!(error.contains(told), "{error}, not {told}");
        }
    }

    #[test]
    fn a_picture_that_shows_what_another_thumbnail_shows_is_refused() {
        let put = |pictures: &[(&str, u32)]| {
            let pictures = pictures.iter().map(|(name, seed)| ((*name).to_owned(), given(*seed))).collect();
            thumbnails(&picks().to_bytes(), pictures, "anna")
        };
        assert!(put(&[("thumbnail-0.jpg", 1)]).unwrap_err().contains("thumbnail-0.jpg looks like thumbnail-1.jpg"));
        assert!(put(&[("thumbnail-0.jpg", 9), ("thumbnail-1.jpg", 9)]).unwrap_err().contains("looks like"));
        assert!(put(&[("thumbnail-0.jpg", 1), ("thumbnail-1.jpg", 0)]).is_ok(), "two that change places are unlike each other");
        assert!(put(&[("thumbnail-4.jpg", 9)]).unwrap_err().contains("thumbnail-4.jpg is none of the picks (thumbnail-0.jpg, "));
        assert!(thumbnails(b"{}", BTreeMap::new(), "anna").is_err());
    }

    #[test]
    fn whatever_is_in_a_file_it_is_read_or_refused() {
        let good = jpeg(&scene(1, SIDES), SIDES);
        let mut state = 1_u64;
        let mut dice = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut refused = 0;
        for nth in 0..400 {
            let mut file = good.to_vec();
            // Headers matter most, and are short.
            let reach = if nth % 2 == 0 { 700 } else { file.len() };
            for _ in 0..=dice(6) {
                let at = dice(reach);
                file[at] = dice(256) as u8;
            }
            if nth % 5 == 0 {
                file.truncate(dice(good.len()));
            }
            match picture(file.into()) {
                Ok(read) => assert!(read.measured.size.0 <= 1_280 && read.measured.size.1 <= 720),
                Err(told) => {
                    assert!(!told.is_empty());
                    refused += 1;
                }
            }
        }
        assert!((1..400).contains(&refused), "{refused} of 400 were refused");
    }
}
