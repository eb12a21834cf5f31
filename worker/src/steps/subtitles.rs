//! The step `subtitles`: the sound into the recogniser, its words into cues, the cues into files.
//! Reads model files; nothing else.
//!
//! Cues are not laid on shot changes, although the engine could: the step does not depend on `shots` (they may be done in
//! another attempt, or not at all), and the same key has to give the same cues.

use super::{Longest, StepFailed, pretty};
use crate::{
    commit::{JSON, Made, StepFile},
    failure::{internal, of_speech},
    fanout::StepError,
    models::Artefacts,
    onnx::Onnx,
    sound::Chunk,
    speech::{Models, Recogniser, SAMPLE_RATE, Settings, Transcript},
};
use showrunner_contracts::{
    Digest, Document as _,
    documents::{Cue, SubtitlesDocument},
    manifest::{HeardLanguage, StepSummary, WordErrors},
    result::{Failure, Reason},
    step::{ModelRef, Step, StepParams},
};
use showrunner_subtitles::{Calibration, Estimate, MAX_TOLD, Picture, Style, Word, check, imsc, joined, shape, told, webvtt};
use std::{collections::BTreeMap, time::Duration};

/// The document's file name.
pub const FILE: &str = "subtitles.json";
/// How names of speech models begin.
const WHISPER: &str = "whisper-";
/// The voice activity model, and its file.
const VAD: (&str, &str) = ("silero-vad", "silero_vad.onnx");

/// Hears the whole title.
pub struct Subtitles {
    recogniser: Recogniser,
    settings: Settings,
    /// Digest of the speech model: what is known of its errors is known by it.
    model: Digest,
    max_chars_per_second: u8,
    longest: Longest,
}

/// What became of the sound.
pub enum Heard {
    /// Subtitles.
    Made(Box<Made>),
    /// Nobody spoke.
    NoSpeech,
}

impl Subtitles {
    /// Loads the models that the order names, each checked by digest and licence.
    pub fn new(artefacts: &Artefacts, models: &[ModelRef], params: &StepParams, longest: Longest) -> Result<Self, Failure> {
        let StepParams::Subtitles { language, max_chars_per_second, .. } = params else {
            return Err(internal("the step subtitles was given the parameters of another"));
        };
        let checked = |wanted: &dyn Fn(&ModelRef) -> bool, what: &str| {
            let Some(model) = models.iter().find(|model| wanted(model)) else {
                let message = format!("the work order names no {what} for subtitles; name one in the operator's model catalogue");
                return Err(Failure::new(Reason::OrderMalformed, &message));
            };
            artefacts.model(&model.name, Some(&model.digest)).map_err(|error| Failure::new(error.reason(), &error.to_string()))
        };
        let whisper = checked(&|model| model.name.starts_with(WHISPER), "speech model")?;
        let vad = checked(&|model| model.name == VAD.0, "voice activity model")?;
        let onnx =
            Onnx::load(&artefacts.onnxruntime()).map_err(|error| Failure::new(Reason::ModelMissing, &error.to_string()))?;
        // The order's thread limit does not count here: recognition has bounds of its own, and gives the same with any.
        let settings = Settings::default();
        let files = Models { whisper: &whisper.folder, vad: &vad.folder.join(VAD.1) };
        let recogniser =
            Recogniser::load(&onnx, files, settings.clone(), language.as_deref()).map_err(|error| of_speech(&error))?;
        Ok(Self { recogniser, settings, model: whisper.digest.clone(), max_chars_per_second: *max_chars_per_second, longest })
    }

    /// The next stretch of sound; a jump since the one before is silence.
    pub fn hear(&mut self, chunk: &Chunk<'_>) -> Result<(), StepError> {
        self.longest.check(chunk.start).map_err(StepFailed)?;
        let heard = self.recogniser.skip_to(chunk.start.0).and_then(|()| self.recogniser.push(chunk.samples));
        heard.map_err(|error| StepFailed(of_speech(&error)))?;
        Ok(())
    }

    /// Processor time of threads of its own that have ended.
    pub fn ended_threads(&self) -> Duration {
        self.recogniser.ended_threads()
    }

    /// The sound has ended. The models stay loaded until this is dropped.
    pub fn finish(&mut self) -> Result<Heard, Failure> {
        let end = self.recogniser.position();
        let transcript = self.recogniser.finish().map_err(|error| of_speech(&error))?;
        if transcript.segments.is_empty() {
            return Ok(Heard::NoSpeech);
        }
        let style = style(&transcript.language, self.max_chars_per_second);
        Ok(Heard::Made(Box::new(made(&transcript, &self.settings, &self.model, &style, end))))
    }
}

/// What the step's files say, for those that read it.
pub fn said(made: &Made) -> Result<SubtitlesDocument, Failure> {
    let file = made.files.iter().find(|file| file.name == FILE).ok_or_else(|| internal("the subtitles have no document"))?;
    SubtitlesDocument::from_bytes(&file.bytes).map_err(internal)
}

/// The language's own measures, and no faster than people asked for.
fn style(language: &str, max_chars_per_second: u8) -> Style {
    let style = Style::for_language(language);
    Style { reading_speed: style.reading_speed.min(u32::from(max_chars_per_second)), ..style }
}

fn made(transcript: &Transcript, settings: &Settings, model: &Digest, style: &Style, end: i64) -> Made {
    let words = transcript.words();
    // No shot starts: see the module's note.
    let picture = Picture { shot_starts: &[], end: Some(end) };
    let cues = shape(&words, &picture, style);
    let language = transcript.language.as_str();
    let document = SubtitlesDocument {
        schema: SubtitlesDocument::SCHEMA.to_owned(),
        language: language.to_owned(),
        language_detected: transcript.language_detected,
        cues: told_cues(&cues, &words, transcript.sure()),
        violations: told(&check(&cues, &picture, style), MAX_TOLD),
    };
    let calibration = Calibration::find(&model.to_string(), language);
    let word_errors = calibration.and_then(|known| Some(word_errors(known.estimate(transcript.evidence())?, known.method)));
    let speech: i64 = transcript.speech.iter().map(|span| span.end - span.start).sum();
    let file = |name: &str, media_type, bytes| StepFile { name: name.to_owned(), media_type, bytes };
    Made {
        files: vec![
            file("subtitles.vtt", webvtt::MEDIA_TYPE, webvtt::write(&cues).into_bytes()),
            file("subtitles.imsc1.xml", imsc::MEDIA_TYPE, imsc::write(&cues, language).into_bytes()),
            file(FILE, JSON, pretty(&document)),
        ],
        summary: StepSummary::Subtitles {
            language: language.to_owned(),
            cues: cues.len() as u32,
            words: joined(&words).split_whitespace().count() as u32,
            speech_ms: u64::try_from(speech * 1_000 / SAMPLE_RATE).unwrap_or_default(),
            dropped: transcript.dropped.len() as u32,
            heard_instead: transcript
                .heard_instead()
                .map(|(language, share)| HeardLanguage { language: language.to_owned(), percent: (share * 100.0).round() as u8 }),
            word_errors,
        },
        settings: BTreeMap::from([
            ("speech".to_owned(), settings.key()),
            ("shaping".to_owned(), Step::Subtitles.algorithm_version().to_string()),
            ("charactersPerSecond".to_owned(), style.reading_speed.to_string()),
        ]),
    }
}

fn word_errors(estimate: Estimate, method: &str) -> WordErrors {
    let per_mille = |rate: f64| (rate.clamp(0.0, 1.0) * 1_000.0).round() as u16;
    WordErrors {
        per_mille: per_mille(estimate.rate),
        low: per_mille(estimate.low),
        high: per_mille(estimate.high),
        method: method.to_owned(),
    }
}

/// The cues with how sure the model was of each: its words are those that begin while it is the last to have begun.
fn told_cues(cues: &[showrunner_subtitles::Cue], words: &[Word], sure: impl Iterator<Item = f32>) -> Vec<Cue> {
    let mut sums = vec![(0.0, 0_u32); cues.len()];
    for (word, sure) in words.iter().zip(sure) {
        let at = cues.partition_point(|cue| cue.start <= word.start).saturating_sub(1);
        if let Some((sum, count)) = sums.get_mut(at) {
            *sum += f64::from(sure);
            *count += 1;
        }
    }
    let told = |(cue, (sum, count)): (&showrunner_subtitles::Cue, (f64, u32))| {
        let (start, end) = cue.milliseconds();
        Cue {
            // Sound before the first picture is not handed over, so no cue starts before zero.
            start_ms: start.max(0).unsigned_abs(),
            end_ms: end.max(0).unsigned_abs(),
            lines: cue.lines.clone(),
            confidence: (count > 0).then(|| (sum / f64::from(count) * 1_000.0).round() / 1_000.0),
        }
    };
    cues.iter().zip(sums).map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::Segment;
    use showrunner_subtitles::{CALIBRATIONS, Word};
    use std::path::Path;

    fn unknown() -> Digest {
        format!("sha256:{}", "0".repeat(64)).parse().unwrap()
    }

    fn spoken(words: &[(&str, i64)]) -> Transcript {
        let words: Vec<Word> =
            words.iter().map(|(text, second)| Word::new(*text, second * 16_000, second * 16_000 + 8_000)).collect();
        let sure = words.iter().map(|word| if word.text == "best." { 0.5 } else { 1.0 }).collect();
        let segment = Segment { start: 0, end: 80_000, words, sure, avg_logprob: -0.1, no_speech: 0.0, compression: 1.0 };
        Transcript { language: "en".to_owned(), segments: vec![segment], ..Transcript::default() }
    }

    #[test]
    fn words_become_three_files_that_say_the_same() {
        let made = made(
            &spoken(&[("It", 0), ("was", 1), ("<the>", 2), ("best.", 3)]),
            &Settings::default(),
            &unknown(),
            &style("en", 20),
            160_000,
        );
        let names: Vec<&str> = made.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["subtitles.vtt", "subtitles.imsc1.xml", "subtitles.json"]);
        let text = |at: usize| String::from_utf8(made.files[at].bytes.clone()).expect("text");
        let document = SubtitlesDocument::from_bytes(&made.files[2].bytes).expect("our own document");
        let (vtt, imsc) = (webvtt::read(&text(0)).expect("WebVTT"), imsc::read(&text(1)).expect("IMSC"));
        assert_eq!(vtt, imsc);
        assert_eq!(vtt.len(), document.cues.len());
        assert_eq!(document.cues[0].lines.join(" "), "It was <the> best.");
        assert!(matches!(made.summary, StepSummary::Subtitles { words: 4, word_errors: None, .. }));
    }

    #[test]
    fn each_cue_says_how_sure_the_model_was_of_its_own_words() {
        let transcript = spoken(&[("One.", 0), ("Two.", 20), ("It", 40), ("was", 41), ("best.", 42)]);
        let words = transcript.words();
        let cues = shape(&words, &Picture::default(), &style("en", 20));
        let told = told_cues(&cues, &words, transcript.sure());
        let sure: Vec<_> = told.iter().map(|cue| (cue.lines.join(" "), cue.confidence)).collect();
        assert_eq!(
            sure,
            [("One.".to_owned(), Some(1.0)), ("Two.".to_owned(), Some(1.0)), ("It was best.".to_owned(), Some(0.833))]
        );
        assert_eq!(told_cues(&[], &words, transcript.sure()), []);
    }

    #[test]
    fn how_many_words_are_wrong_is_told_for_the_model_and_language_that_were_measured_alone() {
        let known = &CALIBRATIONS[0];
        let told = |model: &Digest, language: &str| {
            let transcript = Transcript { language: language.to_owned(), ..spoken(&[("It", 0), ("was", 1)]) };
            let made = made(&transcript, &Settings::default(), model, &style(language, 20), 160_000);
            let StepSummary::Subtitles { word_errors, .. } = made.summary else { panic!("they are subtitles") };
            word_errors
        };
        let measured = known.model.parse().unwrap();
        let found = told(&measured, known.language).expect("it was measured");
        assert!(found.low <= found.per_mille && found.per_mille < found.high, "{found:?}");
        assert_eq!(found.method, known.method);
        assert_eq!((told(&unknown(), known.language), told(&measured, "de")), (None, None));
    }

    #[test]
    fn the_calibrated_model_is_the_one_that_ships() {
        let lock = Artefacts::at(Path::new("/nowhere"));
        assert_eq!(lock.locked_digest("whisper-base").map(|digest| digest.to_string()).as_deref(), Some(CALIBRATIONS[0].model));
    }

    #[test]
    fn people_can_ask_for_slower_cues_and_never_for_faster_ones_than_the_language_has() {
        assert_eq!(style("en", 17).reading_speed, 17);
        assert_eq!(style("ja", 20).reading_speed, Style::for_language("ja").reading_speed);
    }
}
