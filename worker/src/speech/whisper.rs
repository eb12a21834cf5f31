//! Whisper through CTranslate2: one window of sound to tokens with times and doubts.
//! Reads the model's files once; no other I/O.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ct2rs::sys::{self, ComputeType, Config, Device, StorageView, WhisperOptions};

use super::{
    Settings, SpeechError,
    guards::{Confidence, compression},
    mel::{FRAMES, Mel},
    tokens::{TokenWord, is_special, timestamp, words},
};

/// Largest vocabulary file that is read.
const MAX_VOCABULARY_BYTES: u64 = 8 << 20;
/// Threads of one recognition. Two would wait for each other by spinning: 1.4 times the processor time where few others work,
/// five times where many do, and slower than one then. Windows side by side use further cores instead.
const THREADS: usize = 1;
/// Mel bands a model may ask for: 80, and 128 from large-v3 on.
const MAX_BANDS: usize = 256;
/// Samples between two frames of the spectrogram.
const HOP: usize = 160;
/// Width of the median filter over the attention, as in Whisper's own `word_timestamps`.
const MEDIAN_FILTER: i64 = 7;
/// Forbids loops when a first decoding went round in circles. Deterministic, where a higher temperature is not.
const NO_REPEAT_NGRAM: usize = 4;

const START: &str = "<|startoftranscript|>";
const TRANSCRIBE: &str = "<|transcribe|>";

/// A loaded model.
pub(super) struct Whisper {
    model: sys::Whisper,
    name: String,
    mel: Mel,
    options: WhisperOptions,
    /// Ids of the tokens in angle brackets.
    specials: HashMap<String, usize>,
}

/// One phrase of a window; times in seconds of the window.
#[derive(Clone, Debug)]
pub(super) struct Phrase {
    pub(super) start: f64,
    /// `None` when the model broke off before the end of the phrase.
    pub(super) end: Option<f64>,
    /// Its words; their tokens are counted over all text tokens of the window.
    pub(super) words: Vec<TokenWord>,
}

/// What the model said about a window.
#[derive(Clone, Debug)]
pub(super) struct Decoded {
    pub(super) phrases: Vec<Phrase>,
    pub(super) confidence: Confidence,
    pub(super) text: String,
    text_ids: Vec<usize>,
}

/// What the model's attention tells of the tokens that were decoded.
pub(super) struct Aligned {
    /// First encoder frame of each text token and of the end; `None` when the attention does not tell.
    pub(super) starts: Option<Vec<i64>>,
    /// Of each text token, given those before it.
    pub(super) probabilities: Vec<f32>,
}

/// A window's sound as the model's encoder sees it.
pub(super) struct Encoded {
    features: StorageView<'static>,
    frames: usize,
}

impl Whisper {
    /// Loads the model once for each of so many windows that are to be heard at once.
    pub(super) fn load(folder: &Path, settings: &Settings, lanes: usize) -> Result<Self, SpeechError> {
        let failed = |cause: String| SpeechError::Model { path: folder.to_owned(), cause };
        let specials = specials(folder).map_err(&failed)?;
        if !specials.contains_key(START) {
            return Err(failed(format!("its vocabulary has no {START}: this is no Whisper model")));
        }
        let config = Config {
            device: Device::CPU,
            compute_type: ComputeType::INT8,
            device_indices: vec![0; lanes.max(1)],
            tensor_parallel: false,
            num_threads_per_replica: THREADS,
            max_queued_batches: 0,
            cpu_core_offset: -1,
        };
        let model = sys::Whisper::new(folder, config).map_err(|error| failed(error.to_string()))?;
        let bands = model.n_mels();
        if !(1..=MAX_BANDS).contains(&bands) {
            return Err(failed(format!("it asks for {bands} mel bands")));
        }
        let options = WhisperOptions {
            beam_size: settings.beam_size.max(1),
            // The likeliest token always: with this there is nothing random left.
            sampling_topk: 1,
            sampling_temperature: 0.0,
            return_scores: true,
            return_no_speech_prob: true,
            ..WhisperOptions::default()
        };
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { model, name, mel: Mel::new(bands), options, specials })
    }

    /// The language as the model names it, for one that was asked for.
    pub(super) fn language(&self, asked: &str) -> Result<String, SpeechError> {
        let primary = asked.split(['-', '_']).next().unwrap_or_default().to_lowercase();
        let known = if self.model.is_multilingual() {
            self.specials.contains_key(&format!("<|{primary}|>")) && (2..=3).contains(&primary.len())
        } else {
            primary == "en"
        };
        if known {
            Ok(primary)
        } else {
            Err(SpeechError::UnsupportedLanguage { language: asked.to_owned(), model: self.name.clone() })
        }
    }

    /// Runs the encoder over at most 30 s of sound.
    pub(super) fn encode(&self, samples: &[f32]) -> Result<Encoded, String> {
        let mut mel = self.mel.of(samples);
        let shape = [1, self.model.n_mels(), FRAMES];
        let view = StorageView::new(&shape, &mut mel, Device::CPU).map_err(|error| error.to_string())?;
        let features = self.model.encode(&view, false).map_err(|error| error.to_string())?;
        Ok(Encoded { features, frames: samples.len().div_ceil(HOP).clamp(1, FRAMES) })
    }

    /// The likeliest language and how likely it is.
    pub(super) fn detect_language(&self, encoded: &Encoded) -> Result<(String, f32), String> {
        if !self.model.is_multilingual() {
            return Ok(("en".to_owned(), 1.0));
        }
        let found = self.model.detect_language(&encoded.features).map_err(|error| error.to_string())?;
        let best = found.first().and_then(|window| window.first()).ok_or("no language was detected")?;
        let name = best.language.trim_start_matches("<|").trim_end_matches("|>");
        Ok((name.to_owned(), best.probability))
    }

    /// Decodes a window; `no_loops` forbids that a phrase is said twice.
    pub(super) fn decode(&self, encoded: &Encoded, language: &str, no_loops: bool) -> Result<Decoded, String> {
        let mut options = self.options.clone();
        if no_loops {
            options.no_repeat_ngram_size = NO_REPEAT_NGRAM;
        }
        let prompt = self.prompt(language);
        let result = self
            .model
            .generate(&encoded.features, &[prompt], &options)
            .map_err(|error| error.to_string())?
            .into_iter()
            .next()
            .ok_or("the model gave no result")?;
        let (Some(tokens), Some(ids)) = (result.sequences.first(), result.sequences_ids.first()) else {
            return Err("the model gave no sequence".to_owned());
        };
        if tokens.len() != ids.len() {
            return Err("the model gave tokens and ids of different number".to_owned());
        }
        let (phrases, text_ids) = phrases(tokens, ids, language);
        let text = phrases.iter().flat_map(|phrase| &phrase.words).map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        // CTranslate2 gives the mean over the tokens; Whisper counts the end token too.
        let score = result.scores.first().copied().unwrap_or(f32::MIN);
        let count = tokens.len() as f32;
        Ok(Decoded {
            confidence: Confidence {
                avg_logprob: score * count / (count + 1.0),
                no_speech: result.no_speech_prob,
                compression: compression(&text),
            },
            phrases,
            text,
            text_ids,
        })
    }

    /// Listens once more for the tokens that were decoded: when each was said, and how likely it is.
    pub(super) fn align(&self, encoded: &Encoded, decoded: &Decoded, language: &str) -> Aligned {
        let tokens = decoded.text_ids.len();
        let start: Vec<usize> = self.prompt(language).iter().filter_map(|token| self.specials.get(token).copied()).collect();
        let aligned = self
            .model
            .align(&encoded.features, &start, std::slice::from_ref(&decoded.text_ids), &[encoded.frames], MEDIAN_FILTER)
            .unwrap_or_default();
        let Some(aligned) = aligned.first() else { return Aligned { starts: None, probabilities: vec![0.0; tokens] } };
        let path: Vec<(i64, i64)> = aligned.alignments.iter().map(|step| (step.token_x, step.frame_x)).collect();
        let mut probabilities = aligned.text_token_probs.clone();
        probabilities.resize(tokens, 0.0);
        Aligned { starts: super::align::token_starts(&path, tokens), probabilities }
    }

    fn prompt(&self, language: &str) -> Vec<String> {
        if self.model.is_multilingual() {
            vec![START.to_owned(), format!("<|{language}|>"), TRANSCRIBE.to_owned()]
        } else {
            vec![START.to_owned()]
        }
    }
}

/// Parts tokens into phrases at their time tokens, and gives the ids of the text tokens alone.
fn phrases(tokens: &[String], ids: &[usize], language: &str) -> (Vec<Phrase>, Vec<usize>) {
    let mut found = Vec::new();
    let mut text_ids = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    let mut start = 0.0;
    let mut close = |open: &mut Vec<&str>, before: usize, start: f64, end: Option<f64>| {
        let mut words = words(open, language);
        for word in &mut words {
            word.first += before - open.len();
        }
        open.clear();
        if !words.is_empty() {
            found.push(Phrase { start, end, words });
        }
    };
    for (token, &id) in tokens.iter().zip(ids) {
        if let Some(seconds) = timestamp(token) {
            if !open.is_empty() {
                close(&mut open, text_ids.len(), start, Some(seconds));
            }
            start = seconds;
        } else if !is_special(token) {
            open.push(token);
            text_ids.push(id);
        }
    }
    if !open.is_empty() {
        close(&mut open, text_ids.len(), start, None);
    }
    (found, text_ids)
}

/// Ids of the special tokens, from `vocabulary.json` (a list) or `vocabulary.txt` (a line each).
fn specials(folder: &Path) -> Result<HashMap<String, usize>, String> {
    let json = folder.join("vocabulary.json");
    let tokens: Vec<String> = if json.exists() {
        serde_json::from_str(&read_bounded(&json)?)
            .map_err(|error| format!("{} is no list of tokens: {error}", json.display()))?
    } else {
        let text = read_bounded(&folder.join("vocabulary.txt"))?;
        text.split('\n').map(str::to_owned).collect()
    };
    Ok(tokens
        .into_iter()
        .enumerate()
        .filter(|(_, token)| is_special(token) && timestamp(token).is_none())
        .map(|(id, token)| (token, id))
        .collect())
}

fn read_bounded(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("failed to read {}: {error}", path.display());
    let mut text = String::new();
    let read = File::open(path).map_err(failed)?.take(MAX_VOCABULARY_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if read as u64 > MAX_VOCABULARY_BYTES {
        return Err(format!("{} is larger than {MAX_VOCABULARY_BYTES} bytes", path.display()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_parted_by_times_and_their_words_count_over_the_whole_window() {
        let tokens: Vec<String> =
            ["<|0.00|>", "ĠIt", "Ġwas", "<|1.20|>", "<|1.50|>", "Ġthe", "Ġb", "est"].map(str::to_owned).to_vec();
        let ids: Vec<usize> = (0..tokens.len()).collect();
        let (found, text_ids) = phrases(&tokens, &ids, "en");
        assert_eq!(text_ids, [1, 2, 5, 6, 7]);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].start, found[0].end), (0.0, Some(1.2)));
        assert_eq!((found[1].start, found[1].end), (1.5, None));
        assert_eq!((found[1].words[1].first, found[1].words[1].count), (3, 2));
    }
}
