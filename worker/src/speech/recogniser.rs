//! Drives recognition: sound in as it comes, voice found, windows filled, words out.
//! No I/O of its own; memory is bounded by about a minute of sound and as much for each lane.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Models, SAMPLE_RATE, Settings, SpeechError, Transcript,
    ear::{Ear, Heard},
    lanes::Lanes,
    vad::{CHUNK, Vad},
    whisper::Encoded,
    windows::{Segmenter, Stretch, Window},
};
use crate::onnx::Onnx;

/// Sound handed on at once: a second, in whole chunks.
const BLOCK: usize = SAMPLE_RATE as usize / CHUNK * CHUNK;
/// Longest hole in the sound that is filled by silence: a day.
const LONGEST_HOLE: i64 = 24 * 3600 * SAMPLE_RATE;

/// Recognises the speech of one title, sample after sample.
pub struct Recogniser {
    ear: Arc<Ear>,
    lanes: Lanes<Result<Heard, SpeechError>>,
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
        let lanes = Lanes::new();
        let ear = Ear::load(models.whisper, settings.clone(), lanes.count())?;
        let mut transcript = Transcript::default();
        if let Some(asked) = language {
            transcript.language = ear.language_named(asked)?;
            transcript.language_probability = 1.0;
        }
        Ok(Self {
            vad: Vad::load(onnx, models.vad)?,
            ear: Arc::new(ear),
            lanes,
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
        while let Some(heard) = self.lanes.next() {
            self.gather(heard)?;
        }
        Ok(std::mem::take(&mut self.transcript))
    }

    /// Processor time of threads of its own that have ended.
    pub fn ended_threads(&self) -> Duration {
        self.lanes.used()
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

    /// Sends what the window holds to be recognised and empties it.
    fn recognise_window(&mut self) -> Result<(), SpeechError> {
        let window = std::mem::take(&mut self.window);
        if window.is_empty() {
            return Ok(());
        }
        let encoded = if self.transcript.language.is_empty() { Some(self.find_language(&window)?) } else { None };
        let (ear, language) = (Arc::clone(&self.ear), self.transcript.language.clone());
        let heard = self.lanes.run(move || ear.hear(&window, encoded, &language));
        heard.map_or(Ok(()), |heard| self.gather(heard))
    }

    /// Sets the language from the first speech; gives that speech as the model sees it.
    fn find_language(&mut self, window: &Window) -> Result<Encoded, SpeechError> {
        let encoded = self.ear.encode(window)?;
        let (language, probability) = self.ear.language_of(window, &encoded)?;
        self.transcript.language = language;
        self.transcript.language_probability = probability;
        self.transcript.language_detected = true;
        Ok(encoded)
    }

    /// Takes over what was heard in the oldest window.
    fn gather(&mut self, heard: Result<Heard, SpeechError>) -> Result<(), SpeechError> {
        let heard = heard?;
        self.transcript.windows += heard.passes;
        // Music sounds like a language, too.
        if let Some((language, probability, samples)) = heard.sounds_like.filter(|_| !heard.segments.is_empty()) {
            *self.transcript.sounds_like.entry(language).or_default() += f64::from(probability) * samples as f64;
            self.transcript.sounding += samples as f64;
        }
        self.transcript.segments.extend(heard.segments);
        self.transcript.dropped.extend(heard.dropped);
        Ok(())
    }
}
