//! Speech recognition with the models that ship, on a recording whose words are known.

use std::path::{Path, PathBuf};
use std::process::Command;

use showrunner_subtitles::{Picture, Style, Word, check, shape, wer};
use showrunner_worker::{
    onnx::{LIBRARY, Onnx},
    speech::{Models, Recogniser, SAMPLE_RATE, Settings, SpeechError, Transcript},
};

/// What is read in `two_cities.wav` (Charles Dickens, 1859).
const TWO_CITIES: &str = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the \
age of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was \
the season of Darkness, it was the spring of hope, it was the winter of despair, we had everything before us, we had \
nothing before us, we were all going direct to Heaven, we were all going direct the other way - in short, the period \
was so far like the present period, that some of its noisiest authorities insisted on its being received, for good or \
for evil, in the superlative degree of comparison only.";

fn artefacts() -> PathBuf {
    let folder = std::env::var_os("SHOWRUNNER_ARTEFACTS").map_or_else(
        || {
            let home = std::env::var_os("HOME").expect("HOME is set wherever tests run");
            let cache =
                std::env::var_os("SHOWRUNNER_CACHE").map_or_else(|| Path::new(&home).join(".cache/showrunner"), PathBuf::from);
            cache.join("artefacts")
        },
        PathBuf::from,
    );
    assert!(folder.join(LIBRARY).is_file(), "no artefacts in {}; run scripts/fetch-artefacts", folder.display());
    folder
}

fn recogniser(model: &str, language: Option<&str>) -> Result<Recogniser, SpeechError> {
    let artefacts = artefacts();
    let onnx = Onnx::load(&artefacts.join(LIBRARY)).expect("the runtime loads");
    let whisper = artefacts.join("models").join(model);
    let vad = artefacts.join("models/silero-vad/silero_vad.onnx");
    Recogniser::load(&onnx, Models { whisper: &whisper, vad: &vad }, Settings::default(), language)
}

fn two_cities() -> Vec<f32> {
    sound(&["-i", artefacts().join("media/two_cities.wav").to_str().expect("a plain path")])
}

/// What ffmpeg makes of its arguments, 16 kHz mono.
fn sound(input: &[&str]) -> Vec<f32> {
    let output = Command::new(artefacts().join("bin/ffmpeg"))
        .args(["-nostdin", "-v", "error"])
        .args(input)
        .args(["-ac", "1", "-ar", "16000", "-f", "f32le", "-"])
        .output()
        .expect("ffmpeg runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes"))).collect()
}

fn heard(model: &str, language: Option<&str>, samples: &[f32], chunk: usize) -> Transcript {
    let mut recogniser = recogniser(model, language).expect("the models load");
    for part in samples.chunks(chunk) {
        recogniser.push(part).expect("sound is heard");
    }
    recogniser.finish().expect("the sound ends")
}

fn seconds(tick: i64) -> f64 {
    tick as f64 / SAMPLE_RATE as f64
}

#[test]
fn a_reading_is_heard_word_for_word_and_shaped_into_cues_without_fault() {
    let transcript = heard("whisper-base", None, &two_cities(), 4096);
    let score = wer::score(TWO_CITIES, &transcript.text()).expect("short texts");
    println!("{score:?} {}", transcript.text());
    assert!(score.rate().expect("words were said") <= 0.02, "{score:?}");
    assert!(transcript.language_detected && transcript.language == "en");
    assert!(transcript.language_probability > 0.9);
    assert_eq!(transcript.dropped, []);

    let words = transcript.words();
    let (first, last) = (&words[0], &words[words.len() - 1]);
    assert!((seconds(first.start) - 1.21).abs() < 0.3, "first word at {}", seconds(first.start));
    assert!((seconds(last.end) - 41.58).abs() < 0.4, "last word ends at {}", seconds(last.end));
    assert!(words.windows(2).all(|pair| pair[0].start <= pair[1].start && pair[0].end <= pair[1].end));

    let style = Style::for_language("en");
    let cues = shape(&words, &Picture::default(), &style);
    assert_eq!(check(&cues, &Picture::default(), &style), []);
}

#[test]
fn speech_that_is_written_down_in_another_language_is_told_by_what_it_sounds_like() {
    let samples = two_cities();
    let first = &samples[..samples.len().min(30 * 16_000)];
    let told = |language| {
        heard("whisper-base", language, first, first.len()).heard_instead().map(|(name, share)| (name.to_owned(), share))
    };
    assert_eq!((told(Some("en")), told(None)), (None, None));
    let (language, share) = told(Some("de")).expect("English is no German");
    assert!(language == "en" && share > 0.9, "{language} {share}");
}

#[test]
fn phrases_begin_when_they_are_said() {
    // Begins of phrases, from the silences of the recording.
    let begins =
        [(1.21, "It"), (6.69, "it"), (13.49, "it"), (17.58, "it"), (21.27, "we"), (24.66, "we"), (36.99, "for"), (38.72, "in")];
    let transcript = heard("whisper-base", Some("en"), &two_cities(), 16_000);
    for (at, word) in begins {
        let nearest = transcript
            .words()
            .into_iter()
            .filter(|heard: &Word| heard.text.eq_ignore_ascii_case(word))
            .map(|heard| (seconds(heard.start) - at).abs())
            .fold(f64::MAX, f64::min);
        assert!(nearest < 0.25, "{word} at {at} s is {nearest} s off");
    }
}

#[test]
fn the_same_sound_gives_the_same_transcript_however_it_is_handed_in() {
    let samples = two_cities()[..16_000 * 12].to_vec();
    let whole = heard("whisper-tiny.en", None, &samples, samples.len());
    assert!(!whole.segments.is_empty());
    assert_eq!(whole, heard("whisper-tiny.en", None, &samples, 777));
}

#[test]
fn sound_that_begins_late_and_has_a_hole_keeps_its_words_where_they_were_said() {
    let samples = two_cities();
    let plain = heard("whisper-tiny.en", None, &samples[..16_000 * 13], 8192).words();
    let mut recogniser = recogniser("whisper-tiny.en", None).expect("the models load");
    recogniser.skip_to(8_000).expect("a start");
    recogniser.push(&samples[..16_000 * 5]).expect("sound is heard");
    recogniser.skip_to(8_000 + 16_000 * 65).expect("a hole of a minute");
    recogniser.push(&samples[16_000 * 5..16_000 * 13]).expect("sound is heard");
    let moved = recogniser.finish().expect("the sound ends").words();
    assert_eq!(
        plain.iter().map(|word| word.text.to_lowercase()).collect::<Vec<_>>(),
        moved.iter().map(|word| word.text.to_lowercase()).collect::<Vec<_>>()
    );
    for (before, after) in plain.iter().zip(&moved) {
        let hole = if before.start < 16_000 * 5 { 0.0 } else { 60.0 };
        let shift = seconds(after.start - before.start);
        assert!((shift - 0.5 - hole).abs() < 0.3, "{} moved by {shift}", before.text);
    }
}

#[test]
fn nine_minutes_without_speech_give_not_one_cue() {
    let mut samples = vec![0.0; 16_000 * 180];
    samples.extend(sound(&["-f", "lavfi", "-i", "anoisesrc=d=180:c=pink:a=0.3:seed=7"]));
    samples.extend(sound(&[
        "-f",
        "lavfi",
        "-i",
        "aevalsrc='0.2*(0.6+0.4*sin(3*t))*(sin(2*PI*220*t)+sin(2*PI*277.18*t)+sin(2*PI*329.63*t))':s=16000:d=180",
    ]));
    let transcript = heard("whisper-base", Some("en"), &samples, 16_384);
    assert_eq!(transcript.segments, []);
    assert_eq!(transcript.samples, samples.len() as i64);
}

#[test]
fn no_sound_at_all_is_an_empty_transcript() {
    let transcript = recogniser("whisper-tiny.en", None).expect("the models load").finish().expect("nothing to do");
    assert_eq!(transcript.segments, []);
    assert_eq!(transcript.windows, 0);
}

#[test]
fn a_language_the_model_does_not_know_is_refused_by_name() {
    for (model, language) in [("whisper-base", "tlh"), ("whisper-base", "startoftranscript"), ("whisper-tiny.en", "de")] {
        let error = recogniser(model, Some(language)).err().expect("refused");
        assert_eq!(error.reason(), "UnsupportedLanguage");
        assert!(error.to_string().contains(language), "{error}");
    }
    assert!(recogniser("whisper-base", Some("en-GB")).is_ok());
}

#[test]
fn a_folder_that_is_no_model_and_a_sample_that_is_no_number_are_refused() {
    let error = recogniser("silero-vad", None).err().expect("refused");
    assert_eq!(error.reason(), "ModelUnusable");
    let mut recogniser = recogniser("whisper-tiny.en", None).expect("the models load");
    assert_eq!(recogniser.push(&[f32::NAN]).expect_err("refused").reason(), "SoundUnusable");
}
