//! Recognises raw speech from standard input and prints cues, for a look at quality and speed.
//! Reads 16 kHz mono f32le from standard input and models from `SHOWRUNNER_ARTEFACTS`; writes to standard output.
//!
//! `BEAM` in the environment replaces that setting.
//!
//! `ffmpeg -i FILE -ac 1 -ar 16000 -f f32le - | transcribe MODEL [LANGUAGE] [TRUTH.txt]`

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Instant;

use showrunner_subtitles::{Picture, Style, check, shape, webvtt, wer};
use showrunner_worker::{
    onnx::{LIBRARY, Onnx},
    speech::{Models, Recogniser, Settings},
};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().ok_or("which model? for example whisper-base")?;
    let language = arguments.next().filter(|language| language != "-");
    let truth = arguments.next().map(std::fs::read_to_string).transpose()?;
    let artefacts = PathBuf::from(std::env::var_os("SHOWRUNNER_ARTEFACTS").ok_or("SHOWRUNNER_ARTEFACTS is not set")?);
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let usual = Settings::default();
    let settings = Settings { beam_size: number("BEAM").unwrap_or(usual.beam_size), ..usual };

    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    let samples: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();

    let onnx = Onnx::load(&artefacts.join(LIBRARY))?;
    let whisper = artefacts.join("models").join(model);
    let vad = artefacts.join("models/silero-vad/silero_vad.onnx");
    let loading = Instant::now();
    let mut recogniser = Recogniser::load(&onnx, Models { whisper: &whisper, vad: &vad }, settings, language.as_deref())?;
    let loaded = loading.elapsed().as_secs_f64();
    let working = Instant::now();
    recogniser.push(&samples)?;
    let transcript = recogniser.finish()?;
    let worked = working.elapsed().as_secs_f64();

    let style = Style::for_language(&transcript.language);
    let cues = shape(&transcript.words(), &Picture::default(), &style);
    let mut out = std::io::stdout().lock();
    write!(out, "{}", webvtt::write(&cues))?;
    let sound = samples.len() as f64 / 16_000.0;
    writeln!(
        out,
        "\nNOTE {sound:.1} s of sound, loaded in {loaded:.2} s, heard in {worked:.2} s, real-time factor {:.3}",
        worked / sound
    )?;
    writeln!(
        out,
        "NOTE language {} ({:.3}), {} windows, {} segments",
        transcript.language,
        transcript.language_probability,
        transcript.windows,
        transcript.segments.len()
    )?;
    for dropped in &transcript.dropped {
        writeln!(out, "NOTE dropped {:?} at {:.2} s: {}", dropped.reason, dropped.span.start as f64 / 16_000.0, dropped.text)?;
    }
    for violation in check(&cues, &Picture::default(), &style) {
        writeln!(out, "NOTE {violation:?}")?;
    }
    if let Some(truth) = truth {
        let score = wer::score(&truth, &transcript.text())?;
        writeln!(out, "NOTE {score:?} word error rate {:?}", score.rate())?;
    }
    Ok(())
}
