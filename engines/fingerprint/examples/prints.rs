//! Makes the print of a title, with all looks and speeds, or compares prints: for those who measure and tune. Reads and writes the
//! files that it is given.
//!
//! `prints make FRAMES WIDTH HEIGHT SOUND OUT`: FRAMES are raw luma, one frame a second; SOUND is raw s16le at 11025, one channel;
//! `-` for none. Writes OUT, the print, and beside it .query, what a lookup needs, and .plain, where there are bars.
//!
//! `prints print FRAMES WIDTH HEIGHT SOUND OUT`: the print alone, of a title that has no bars.
//!
//! `prints compare CATALOGUE QUERY...`: each query, named by its print, with every print in the folder CATALOGUE; prints a line of
//! JSON for each query, with what we say and what plain vPDQ and plain Chromaprint would.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rusty_chromaprint::{Configuration, match_fingerprints};
use showrunner_fingerprint::{
    BarFinder, Bars, Ear, ITEM_SECONDS, Match, Painter, Print, Query, SPEEDS, Side, compare, file, looks, query_file,
};

const THREADS: usize = 2;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["make", frames, width, height, sound, out] => {
            make(frames, width.parse().unwrap(), height.parse().unwrap(), sound, Path::new(out));
        }
        ["print", frames, width, height, sound, out] => {
            print(frames, width.parse().unwrap(), height.parse().unwrap(), sound, Path::new(out));
        }
        ["compare", catalogue, queries @ ..] => compare_all(Path::new(catalogue), queries),
        _ => panic!("usage: prints make|print FRAMES WIDTH HEIGHT SOUND OUT | prints compare CATALOGUE QUERY..."),
    }
}

fn samples(sound: &str) -> Vec<i16> {
    let bytes = if sound == "-" { Vec::new() } else { fs::read(sound).unwrap() };
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn heard(samples: &[i16], speed: f32) -> Vec<u32> {
    let mut ear = Ear::new(speed).unwrap();
    ear.hear(samples);
    ear.finish()
}

fn print(frames: &str, width: usize, height: usize, sound: &str, out: &Path) {
    let bytes = if frames == "-" { Vec::new() } else { fs::read(frames).unwrap() };
    let mut painter = Painter::new(Bars::NONE, Vec::new());
    bytes.chunks_exact(width * height).for_each(|frame| painter.paint(frame, width, height).unwrap());
    let print = Print { frames: painter.finish().0, sound: heard(&samples(sound), 1.0) };
    fs::write(out, file::write(&print)).unwrap();
}

fn make(frames: &str, width: usize, height: usize, sound: &str, out: &Path) {
    let bytes = if frames == "-" { Vec::new() } else { fs::read(frames).unwrap() };
    let mut finder = BarFinder::default();
    bytes.chunks_exact(width * height).for_each(|frame| finder.look(frame, width, height));
    let bars = finder.bars();
    let mut painter = Painter::new(bars, looks(&bars));
    bytes.chunks_exact(width * height).for_each(|frame| painter.paint(frame, width, height).unwrap());
    let (frames, looks) = painter.finish();
    if bars != Bars::NONE {
        // Plain vPDQ knows of no bars.
        let mut painter = Painter::new(Bars::NONE, Vec::new());
        bytes.chunks_exact(width * height).for_each(|frame| painter.paint(frame, width, height).unwrap());
        let plain = Print { frames: painter.finish().0, sound: Vec::new() };
        fs::write(out.with_extension("plain"), file::write(&plain)).unwrap();
    }
    let samples = samples(sound);
    let sounds: Vec<(f32, Vec<u32>)> = SPEEDS.iter().map(|speed| (*speed, heard(&samples, *speed))).collect();
    let print = Print { frames, sound: sounds[0].1.clone() };
    fs::write(out, file::write(&print)).unwrap();
    fs::write(query_path(out), query_file::write(&Query { print, looks, sounds })).unwrap();
}

fn query_path(print: &Path) -> PathBuf {
    print.with_extension("query")
}

fn load(path: &Path) -> Query {
    query_file::read(&fs::read(query_path(path)).unwrap()).unwrap()
}

fn compare_all(catalogue: &Path, queries: &[&str]) {
    let mut titles: Vec<PathBuf> = fs::read_dir(catalogue).unwrap().map(|entry| entry.unwrap().path()).collect();
    titles.retain(|path| path.extension().is_some_and(|end| end == "print"));
    titles.sort();
    let prints: Vec<Title> = titles
        .iter()
        .map(|path| {
            let print = file::read(&fs::read(path).unwrap()).unwrap();
            let plain = plain(path, &print);
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), print, plain)
        })
        .collect();
    let next = AtomicUsize::new(0);
    let lines = Mutex::new(vec![String::new(); queries.len()]);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((n, path)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, queries.get(n)?))) {
                    let line = compared(&prints, Path::new(path));
                    lines.lock().unwrap()[n] = line;
                }
            });
        }
    });
    lines.into_inner().unwrap().iter().for_each(|line| println!("{line}"));
}

/// Name, print, and the print with its bars.
type Title = (String, Print, Print);

fn compared(prints: &[Title], path: &Path) -> String {
    let query = load(path);
    let query_plain = plain(path, &query.print);
    let (mut ours, mut vpdq, mut chromaprint) = (Vec::new(), Vec::new(), Vec::new());
    for (name, print, without) in prints {
        if let Some(found) = compare(&query, print) {
            ours.push(told(name, &found));
        }
        if plain_vpdq(&query_plain, without) {
            vpdq.push(format!("\"{name}\""));
        }
        if plain_chromaprint(&query.print.sound, &print.sound) {
            chromaprint.push(format!("\"{name}\""));
        }
    }
    format!(
        "{{\"query\":\"{}\",\"ours\":[{}],\"vpdq\":[{}],\"chromaprint\":[{}]}}",
        path.file_stem().unwrap().to_str().unwrap(),
        ours.join(","),
        vpdq.join(","),
        chromaprint.join(",")
    )
}

fn told(name: &str, found: &Match) -> String {
    let segments: Vec<String> = found
        .segments
        .iter()
        .map(|one| {
            let side = match one.side {
                Side::Picture { look } => format!("picture {:?}{}", look.cut, if look.mirrored { " mirrored" } else { "" }),
                Side::Sound { speed } => format!("sound {speed}"),
            };
            format!(
                "{{\"side\":\"{side}\",\"query\":[{:.1},{:.1}],\"other\":[{:.1},{:.1}],\"speed\":{:.4},\"agreed\":{:.2},\"error\":{:.3},\"weight\":{:.2}}}",
                one.query.start, one.query.end, one.other.start, one.other.end, one.speed, one.agreed, one.error, one.weight
            )
        })
        .collect();
    format!(
        "{{\"title\":\"{name}\",\"class\":\"{:?}\",\"offset\":{:.2},\"speed\":{:.4},\"weight\":{:.2},\"ofQuery\":{:.3},\"ofOther\":{:.3},\"segments\":[{}]}}",
        found.class,
        found.offset,
        found.speed,
        found.weight,
        found.of_query,
        found.of_other,
        segments.join(",")
    )
}

/// A print whose bars are left where they are.
fn plain(path: &Path, print: &Print) -> Print {
    fs::read(path.with_extension("plain")).map_or_else(|_| print.clone(), |bytes| file::read(&bytes).unwrap())
}

/// vPDQ as published: of the query's frames of quality 50 and more, 80 % have one within 31 bits.
fn plain_vpdq(query: &Print, print: &Print) -> bool {
    let telling: Vec<_> = query.frames.iter().filter(|seen| seen.is_telling()).collect();
    let near = telling
        .iter()
        .filter(|seen| print.frames.iter().any(|there| there.is_telling() && there.hash.distance(&seen.hash) <= 31))
        .count();
    !telling.is_empty() && near * 5 >= telling.len() * 4
}

/// Chromaprint's own matcher: it gives ten seconds of segments together, or half of the query.
fn plain_chromaprint(query: &[u32], print: &[u32]) -> bool {
    let preset = Configuration::preset_test2();
    let Ok(segments) = match_fingerprints(query, print, &preset) else { return false };
    let seconds: f32 = segments.iter().map(|segment| segment.duration(&preset)).sum();
    let length = query.len() as f32 * ITEM_SECONDS;
    seconds > 0.0 && seconds >= (length / 2.0).min(10.0)
}
