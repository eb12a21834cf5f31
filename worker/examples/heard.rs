//! What recognition hears in recordings and how sure it is: a line of JSON for each, for those who measure the estimate of wrong words.
//! Reads WAV files (16 kHz, mono, 16 bit) and models from `SHOWRUNNER_ARTEFACTS`; writes to standard output.
//!
//! `heard MODEL LANGUAGE FILE...`

use std::path::PathBuf;

use showrunner_worker::{
    onnx::{LIBRARY, Onnx},
    speech::{Models, Recogniser, Settings},
};

type Failure = Box<dyn std::error::Error>;

/// Bytes before the samples in a WAV file of nothing but sound.
const HEADER: usize = 44;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (model, language) = arguments.next().zip(arguments.next()).ok_or("which model and language?")?;
    let artefacts = PathBuf::from(std::env::var_os("SHOWRUNNER_ARTEFACTS").ok_or("SHOWRUNNER_ARTEFACTS is not set")?);
    let onnx = Onnx::load(&artefacts.join(LIBRARY))?;
    let whisper = artefacts.join("models").join(model);
    let vad = artefacts.join("models/silero-vad/silero_vad.onnx");
    for file in arguments {
        let bytes = std::fs::read(&file)?;
        let sound = bytes.get(HEADER..).ok_or("a file without sound")?;
        let samples: Vec<f32> =
            sound.chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0).collect();
        let files = Models { whisper: &whisper, vad: &vad };
        let mut recogniser = Recogniser::load(&onnx, files, Settings::default(), Some(&language))?;
        recogniser.push(&samples)?;
        let transcript = recogniser.finish()?;
        let evidence = transcript.evidence();
        let told = serde_json::json!({
            "file": file, "text": transcript.text(), "words": evidence.words, "doubted": evidence.doubted,
            "sure": transcript.sure().collect::<Vec<_>>(),
        });
        println!("{told}");
    }
    Ok(())
}
