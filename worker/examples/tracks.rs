//! Writes the files that players read, from the cues and chapters of a JSON file, for other people's readers to try.
//! Reads FILE, writes into FOLDER: `<language>.vtt` and `<language>.imsc1.xml` for each language, `chapters.vtt`.
//!
//! `tracks FILE FOLDER`; all times are milliseconds.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde::Deserialize;
use showrunner_chapters::{Chapter, write};
use showrunner_subtitles::{Cue, TICKS_PER_MS, imsc, webvtt};
use showrunner_timeline::{Ticks, TimeBase};

#[derive(Deserialize)]
struct Tracks {
    /// By language: when each cue begins and ends, and its lines.
    cues: BTreeMap<String, Vec<(i64, i64, Vec<String>)>>,
    /// When each chapter begins, and the last one ends.
    chapters: Vec<i64>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(file), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("failed to start: say which file of cues, and which folder to write into".into());
    };
    let tracks: Tracks = serde_json::from_slice(&fs::read(file)?)?;
    for (language, cues) in tracks.cues {
        let cue = |(start, end, lines)| Cue { start: start * TICKS_PER_MS, end: end * TICKS_PER_MS, lines };
        let cues: Vec<Cue> = cues.into_iter().map(cue).collect();
        fs::write(folder.join(format!("{language}.vtt")), webvtt::write(&cues))?;
        fs::write(folder.join(format!("{language}.imsc1.xml")), imsc::write(&cues, &language))?;
    }
    let spans = tracks.chapters.iter().zip(tracks.chapters.iter().skip(1));
    let chapters = spans.enumerate().map(|(shot, (&start, &end))| Chapter {
        start: Ticks(start),
        end: Ticks(end),
        shot,
        clarity: 1.0,
        rest: 1.0,
    });
    fs::write(folder.join("chapters.vtt"), write::webvtt(&chapters.collect::<Vec<_>>(), TimeBase::MILLIS))?;
    Ok(())
}
