//! Builds an index of many long titles, drawn so that their prints look like real ones, and looks copies up in it: time, memory,
//! and how many are found beside the plain comparison. Reads prints from a folder, writes and reads the index's parts in another.
//!
//! `catalogue build POOL OUT TITLES`: POOL is a folder of real prints (bench/media/copies.py makes one).
//! `catalogue search POOL OUT TITLES EACH`: EACH queries of every kind; prints a line of JSON for each kind.
#![allow(clippy::unwrap_used)]

mod drawn;

use std::{
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use drawn::{Drawn, KINDS};
use showrunner_fingerprint::{
    Candidate, compare, compare_only,
    index::{self, Part, Probes},
};

/// Titles of one part.
const OF_PART: usize = 250;
/// Candidates that are compared.
const CANDIDATES: usize = 48;
const THREADS: usize = 2;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["build", pool, out, titles] => build(&Drawn::new(Path::new(pool)), Path::new(out), titles.parse().unwrap()),
        ["search", pool, out, titles, each] => {
            let titles = titles.parse().unwrap();
            search(&Drawn::new(Path::new(pool)), Path::new(out), titles, each.parse().unwrap());
        }
        _ => panic!("usage: catalogue build POOL OUT TITLES | catalogue search POOL OUT TITLES EACH"),
    }
}

/// Hands the numbers up to `count` to all threads.
fn share_out(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        break;
                    }
                    work(n);
                }
            });
        }
    });
}

fn part_path(out: &Path, part: usize) -> std::path::PathBuf {
    out.join(format!("{part:03}.index"))
}

fn build(drawn: &Drawn, out: &Path, titles: usize) {
    fs::create_dir_all(out).unwrap();
    let begun = Instant::now();
    share_out(titles.div_ceil(OF_PART), |part| {
        let numbers = part * OF_PART..((part + 1) * OF_PART).min(titles);
        let prints: Vec<_> = numbers.map(|title| (title as u64, drawn.title(title))).collect();
        let borrowed: Vec<_> = prints.iter().map(|(number, print)| (*number, print)).collect();
        fs::write(part_path(out, part), index::build(&borrowed)).unwrap();
    });
    let bytes: u64 = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    println!("{{\"titles\":{titles},\"bytes\":{bytes},\"seconds\":{:.1}}}", begun.elapsed().as_secs_f32());
}

fn search(drawn: &Drawn, out: &Path, titles: usize, each: usize) {
    let parts = titles.div_ceil(OF_PART);
    for kind in KINDS {
        let (mut found, mut oracle, mut both, mut false_titles) = (0, 0, 0, 0);
        let (mut seconds, mut looking, mut processor): (Vec<f32>, Vec<f32>, Vec<f32>) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..each {
            let (query, of, made_of) = drawn.query(kind, n, titles);
            let (begun, used) = (Instant::now(), processor_seconds());
            let candidates = candidates(&Probes::new(&query), out, parts);
            looking.push(begun.elapsed().as_secs_f32());
            let index_used = processor_seconds() - used;
            // The prints of candidates would be fetched; here they are drawn again, which is not part of the lookup.
            let prints: Vec<_> = candidates.iter().map(|candidate| drawn.title(candidate.title as usize)).collect();
            let (begun, used) = (Instant::now(), processor_seconds());
            let matches = Mutex::new(Vec::new());
            share_out(candidates.len(), |n| {
                if compare_only(&query, &prints[n], &candidates[n]).is_some() {
                    matches.lock().unwrap().push(candidates[n].title as usize);
                }
            });
            processor.push(processor_seconds() - used + index_used);
            seconds.push(begun.elapsed().as_secs_f32() + looking[looking.len() - 1]);
            let matches = matches.into_inner().unwrap();
            false_titles += matches.iter().filter(|title| !drawn.related(**title, &made_of)).count();
            if let Some(of) = of {
                let by_index = matches.contains(&of);
                let by_oracle = compare(&query, &drawn.title(of)).is_some();
                found += usize::from(by_index);
                oracle += usize::from(by_oracle);
                both += usize::from(by_index && by_oracle);
                if by_oracle && !by_index {
                    let rank = candidates.iter().position(|candidate| candidate.title as usize == of);
                    eprintln!("{kind:?} {n}: missed, rank {rank:?} of {}", candidates.len());
                }
            }
        }
        let greatest = |of: &[f32]| of.iter().copied().fold(0.0, f32::max);
        let mean = |of: &[f32]| of.iter().sum::<f32>() / of.len() as f32;
        println!(
            "{{\"kind\":\"{kind:?}\",\"n\":{each},\"found\":{found},\"oracle\":{oracle},\"both\":{both},\"false\":{false_titles},\"seconds\":{:.1},\"mostSeconds\":{:.1},\"indexSeconds\":{:.1},\"processor\":{:.1},\"residentMiB\":{:.0}}}",
            mean(&seconds),
            greatest(&seconds),
            mean(&looking),
            mean(&processor),
            status("VmHWM")
        );
    }
}

fn candidates(probes: &Probes, out: &Path, parts: usize) -> Vec<Candidate> {
    let all = Mutex::new(Vec::new());
    share_out(parts, |part| {
        // Read whole and let go of: no more than one part for each thread is resident.
        let bytes = fs::read(part_path(out, part)).unwrap();
        let found = probes.search(&Part::new(&bytes).unwrap());
        all.lock().unwrap().extend(index::best(found, CANDIDATES));
    });
    index::best(all.into_inner().unwrap(), CANDIDATES)
}

/// A figure of this process, in MiB.
fn status(key: &str) -> f32 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f32>().unwrap() / 1024.0
}

/// Of all threads, user and system.
fn processor_seconds() -> f32 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f32>().unwrap() + fields[12].parse::<f32>().unwrap()) / 100.0
}
