//! Drives recognition: sound in as it comes, voice found, windows filled, words out.
//! No I/O of its own; memory is bounded by about a minute of sound.

use showrunner_subtitles::Word;

use super::{
    Dropped, Models, SAMPLE_RATE, Segment, Settings, Span, SpeechError, Transcript,
    align::{by_characters, from_attention, sounding},
    guards::{doubt_segment, doubt_window},
    vad::{CHUNK, Vad},
    whisper::{Encoded, Heard, Whisper},
    windows::{Segmenter, Stretch, Window},
};
use crate::onnx::Onnx;

/// Sound handed on at once: a second, in whole chunks.
const BLOCK: usize = SAMPLE_RATE as usize / CHUNK * CHUNK;
/// Longest hole in the sound that is filled by silence: a day.
const LONGEST_HOLE: i64 = 24 * 3600 * SAMPLE_RATE;
/// So much voice after the last phrase means that the model broke off early.
const UNHEARD: i64 = SAMPLE_RATE / 2;
/// A pass over a window that gets no further than this is the last one.
const LEAST_PROGRESS: i64 = SAMPLE_RATE;
/// Most passes over one window.
const MOST_PASSES: u32 = 4;

/// Recognises the speech of one title, sample after sample.
pub struct Recogniser {
    whisper: Whisper,
    vad: Vad,
    settings: Settings,
    segmenter: Option<Segmenter>,
    /// Sound from `kept_from` on; the part from `analysed` on is not a whole chunk yet.
    kept: Vec<f32>,
    kept_from: i64,
    analysed: i64,
    position: i64,
    window: Window,
    transcript: Transcript,
}

impl Recogniser {
    /// Loads the models. A language is a BCP 47 tag whose first part counts; without one it is detected from the
    /// first speech.
    pub fn load(onnx: &Onnx, models: Models<'_>, settings: Settings, language: Option<&str>) -> Result<Self, SpeechError> {
        let whisper = Whisper::load(models.whisper, &settings)?;
        let mut transcript = Transcript::default();
        if let Some(asked) = language {
            transcript.language = whisper.language(asked)?;
            transcript.language_probability = 1.0;
        }
        Ok(Self {
            vad: Vad::load(onnx, models.vad)?,
            whisper,
            settings,
            segmenter: None,
            kept: Vec::new(),
            kept_from: 0,
            analysed: 0,
            position: 0,
            window: Window::default(),
            transcript,
        })
    }

    /// First tick after the sound heard so far.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The next sample belongs to `tick`: before any sound this sets where it begins, later the hole is filled by
    /// silence. A tick that is already past changes nothing: the sound goes on where it is.
    pub fn skip_to(&mut self, tick: i64) -> Result<(), SpeechError> {
        if self.segmenter.is_none() {
            self.position = tick;
            self.kept_from = tick;
            self.analysed = tick;
            return Ok(());
        }
        let mut hole = tick.saturating_sub(self.position);
        if hole > LONGEST_HOLE {
            return Err(SpeechError::Sound(format!(
                "a hole of {} s at {} s; check the timestamps of the source",
                hole / SAMPLE_RATE,
                self.position / SAMPLE_RATE
            )));
        }
        let silence = vec![0.0; BLOCK];
        while hole > 0 {
            let part = hole.min(BLOCK as i64);
            self.push(&silence[..part as usize])?;
            hole -= part;
        }
        Ok(())
    }

    /// The next samples, 16 kHz mono, -1 to 1.
    pub fn push(&mut self, samples: &[f32]) -> Result<(), SpeechError> {
        if samples.iter().any(|sample| !sample.is_finite()) {
            return Err(SpeechError::Sound("a sample is not a number; decode the sound again".to_owned()));
        }
        for block in samples.chunks(BLOCK) {
            self.kept.extend(block.iter().map(|sample| sample.clamp(-1.0, 1.0)));
            self.position += block.len() as i64;
            self.listen()?;
        }
        self.transcript.samples += samples.len() as i64;
        Ok(())
    }

    /// Ends the sound: what was said in all of it. Nothing more is to be heard after that.
    pub fn finish(&mut self) -> Result<Transcript, SpeechError> {
        let ragged = ((self.position - self.analysed) as usize) % CHUNK;
        if ragged > 0 {
            self.kept.extend(std::iter::repeat_n(0.0, CHUNK - ragged));
            self.listen()?;
        }
        if let Some(mut stretch) = self.segmenter.as_mut().and_then(Segmenter::close) {
            // Neither padding nor the filled-up chunk is part of the title.
            stretch.span.end = stretch.span.end.min(self.position);
            for run in &mut stretch.voiced {
                run.end = run.end.min(self.position);
            }
            self.take_in(&stretch)?;
        }
        self.recognise_window()?;
        Ok(std::mem::take(&mut self.transcript))
    }

    /// Runs voice activity over all whole chunks and takes in the speech that has ended.
    fn listen(&mut self) -> Result<(), SpeechError> {
        let from = (self.analysed - self.kept_from) as usize;
        let whole = (self.kept.len() - from) / CHUNK * CHUNK;
        let probabilities = self.vad.probabilities(&self.kept[from..from + whole])?;
        self.analysed += whole as i64;
        for probability in probabilities {
            let segmenter = self.segmenter.get_or_insert_with(|| Segmenter::new(&self.settings, self.kept_from));
            if let Some(stretch) = segmenter.push(probability) {
                self.take_in(&stretch)?;
            }
        }
        self.forget();
        Ok(())
    }

    /// Adds a stretch to the window, recognising the window first when it is full.
    fn take_in(&mut self, stretch: &Stretch) -> Result<(), SpeechError> {
        self.transcript.speech.extend_from_slice(&stretch.voiced);
        let mut wanted = self.window.wants(stretch);
        if !self.window.has_room_for(wanted) {
            self.recognise_window()?;
            wanted = stretch.span;
        }
        let place = |tick: i64| ((tick - self.kept_from).max(0) as usize).min(self.kept.len());
        let (from, to) = (place(wanted.start), place(wanted.end));
        let tick = self.kept_from + from as i64;
        self.window.add(tick, &self.kept[from..to], &stretch.voiced);
        Ok(())
    }

    /// Lets go of sound that nothing will ask for again.
    fn forget(&mut self) {
        let Some(segmenter) = &self.segmenter else {
            return;
        };
        let mut needed = segmenter.needs_from();
        if let Some(joined) = self.window.joins_from(segmenter.clock()) {
            needed = needed.min(joined);
        }
        let gone = (needed.min(self.analysed) - self.kept_from).max(0) as usize;
        self.kept.drain(..gone.min(self.kept.len()));
        self.kept_from += gone as i64;
    }

    /// Recognises what the window holds and empties it.
    fn recognise_window(&mut self) -> Result<(), SpeechError> {
        let mut rest = std::mem::take(&mut self.window);
        for _ in 0..MOST_PASSES {
            if rest.is_empty() {
                break;
            }
            let heard_to = self
                .recognise(&rest)
                .map_err(|cause| SpeechError::Engine { seconds: rest.tick(0) as f64 / SAMPLE_RATE as f64, cause })?;
            let Some(heard_to) = heard_to.filter(|&to| to >= LEAST_PROGRESS) else {
                break;
            };
            if rest.voice_after(heard_to) < UNHEARD {
                break;
            }
            rest = rest.rest(heard_to);
        }
        Ok(())
    }

    /// One pass over a window; the sample up to which it was heard, or `None` when nothing was.
    fn recognise(&mut self, window: &Window) -> Result<Option<i64>, String> {
        self.transcript.windows += 1;
        let encoded = self.whisper.encode(&window.samples)?;
        if self.transcript.language.is_empty() {
            let (language, probability) = self.whisper.detect_language(&encoded)?;
            self.transcript.language = language;
            self.transcript.language_probability = probability;
            self.transcript.language_detected = true;
        }
        let language = self.transcript.language.clone();
        let mut heard = self.whisper.decode(&encoded, &language, false)?;
        if heard.confidence.compression > self.settings.max_compression {
            heard = self.whisper.decode(&encoded, &language, true)?;
        }
        let length = window.samples.len() as i64;
        if heard.phrases.is_empty() {
            return Ok(None);
        }
        if let Some(reason) = doubt_window(heard.confidence, &self.settings) {
            self.transcript.dropped.push(Dropped {
                span: Span { start: window.tick(0), end: window.end_in_piece(length - 1, length) },
                reason,
                text: heard.text,
            });
            return Ok(None);
        }
        Ok(Some(self.keep(window, &encoded, &heard, &language)))
    }

    /// Keeps the phrases of a window that are believed; the sample up to which the model listened.
    fn keep(&mut self, window: &Window, encoded: &Encoded, heard: &Heard, language: &str) -> i64 {
        let length = window.samples.len() as i64;
        let sample = |seconds: f64| ((seconds * SAMPLE_RATE as f64) as i64).clamp(0, length);
        let starts = self.whisper.align(encoded, heard, language);
        let runs = sounding(&window.samples, &window.voiced);
        let mut heard_to = 0;
        for (nth, phrase) in heard.phrases.iter().enumerate() {
            if phrase.end.is_none() && nth > 0 {
                break; // broken off: the next pass begins with it
            }
            let span = Span { start: sample(phrase.start), end: phrase.end.map_or(length, sample) };
            heard_to = span.end;
            let times = match &starts {
                Some(starts) => from_attention(&phrase.words, starts, &runs, length),
                None => by_characters(&phrase.words, span, length),
            };
            let words: Vec<Word> = phrase
                .words
                .iter()
                .zip(&times)
                .map(|(word, time)| Word {
                    text: word.text.clone(),
                    start: window.tick(time.start),
                    end: window.end_in_piece(time.start, time.end),
                    glued: word.glued,
                })
                .collect();
            let (Some(first), Some(last), Some(begin), Some(end)) = (words.first(), words.last(), times.first(), times.last())
            else {
                continue;
            };
            let (start, stop) = (first.start, last.end.max(last.start));
            let text = showrunner_subtitles::joined(&words);
            let voice = window.voice_inside(begin.start.min(span.start), end.end.max(span.end));
            if let Some(reason) = doubt_segment(&text, voice) {
                self.transcript.dropped.push(Dropped { span: Span { start, end: stop }, reason, text });
                continue;
            }
            self.transcript.segments.push(Segment {
                start,
                end: stop,
                words,
                avg_logprob: heard.confidence.avg_logprob,
                no_speech: heard.confidence.no_speech,
                compression: heard.confidence.compression,
            });
        }
        heard_to
    }
}
