//! The print of a title: copies share it, others do not, and it is nearly what the engine was measured with.

use crate::kit::{Studio, artefacts, sandbox};
use showrunner_contracts::{
    Digest, Document as _,
    documents::{FingerprintDocument, PicturePrint, PrintedBars, SoundPrint},
    result::{Outcome, Reason, StepResult},
    step::{QUERY, ShotsProfile, Step, StepParams},
    work_order::{Limits, StepOrder},
};
use showrunner_fingerprint::{
    BarFinder, Class, Code, Ear, Look, Match, Painter, Print, Query, SPEEDS, compare, file, query_file,
};
use showrunner_worker::{
    commit::FolderSink,
    models::Artefacts,
    pipeline::{self, Done, Given, Work},
    progress::Tracker,
    sandbox::{self, Source, Tool},
};
use std::{path::Path, process::Command};
use tempfile::TempDir;

/// Does these steps on a file; what they made is in the folder.
fn enriched(path: &Path, steps: &[StepParams], threads: u32) -> (Done, TempDir) {
    let (done, out) = tried(path, steps, threads);
    for step in &done.steps {
        assert!(matches!(step.outcome, Outcome::Done { .. }), "{}: {step:?}", path.display());
    }
    (done, out)
}

fn tried(path: &Path, steps: &[StepParams], threads: u32) -> (Done, TempDir) {
    let out = tempfile::tempdir().expect("temporary folder");
    let order = |params: &StepParams| StepOrder {
        step: params.step(),
        key: Digest::of(params.step().to_string().as_bytes()),
        algorithm_version: params.step().algorithm_version(),
        params: params.clone(),
        models: Vec::new(),
        result_url: String::new(),
    };
    let child_memory_bytes = sandbox::Limits::DECODE.memory_bytes;
    let done = pipeline::run(Work {
        artefacts: &Artefacts::from_environment(),
        sandbox: &sandbox(),
        source: &Source::open(path).expect("opens"),
        steps: &steps.iter().map(order).collect::<Vec<_>>(),
        given: &Given::default(),
        limits: &Limits { run_seconds: 600, threads, child_memory_bytes, max_media_seconds: 60 },
        sink: &FolderSink::new(out.path()).expect("a folder"),
        tracker: &Tracker::default(),
    });
    (done, out)
}

/// A title's print, and what is said of it.
fn printed(path: &Path) -> (Print, FingerprintDocument) {
    let (_, out) = enriched(path, &[StepParams::Fingerprint { query: false, track: None }], 2);
    let read = |name: &str| std::fs::read(out.path().join(name)).expect("the step made it");
    let document = FingerprintDocument::from_bytes(&read("fingerprint.json")).expect("it reads");
    (file::read(&read("fingerprint.srfp")).expect("a print"), document)
}

/// What one title has of another, as they are: no guess of crops, mirrors and speeds.
fn shared(query: &Print, other: &Print) -> Option<Match> {
    let codes = query.frames.iter().map(|seen| Code::of(&seen.hash)).collect();
    let query = Query { print: query.clone(), looks: vec![(Look::PLAIN, codes)], sounds: vec![(1.0, query.sound.clone())] };
    compare(&query, other)
}

/// Twenty seconds of pictures that differ, and someone reading from `from` on.
pub(super) fn title(pictures: [&str; 5], from: u32) -> String {
    let inputs: Vec<String> = pictures.iter().map(|picture| format!("-f lavfi -t 4 -i {picture}")).collect();
    let reading = artefacts().join("media/two_cities.wav");
    let even: Vec<String> = (0..5).map(|n| format!("[{n}]fps=25,setsar=1,format=yuv420p[p{n}];")).collect();
    format!(
        "{} -ss {from} -i {} -filter_complex {}[p0][p1][p2][p3][p4]concat=n=5[v] -map [v] -map 5:a -t 20 \
         -c:v libx264 -preset veryfast -crf 16 -c:a aac -b:a 160k",
        inputs.join(" "),
        reading.display(),
        even.concat()
    )
}

pub(super) const FILM: [&str; 5] = [
    "mandelbrot=s=320x180:rate=25:start_scale=2.4",
    "testsrc2=s=320x180:r=25",
    "mandelbrot=s=320x180:rate=25:start_x=0.3:start_y=0.02:start_scale=0.2",
    "sierpinski=s=320x180:r=25:seed=3",
    "mandelbrot=s=320x180:rate=25:start_x=-1.25:start_y=0.1:start_scale=0.6",
];
pub(super) const OTHER: [&str; 5] = [
    "mandelbrot=s=320x180:rate=25:start_x=-0.1:start_y=0.9:start_scale=0.5",
    "sierpinski=s=320x180:r=25:seed=8:type=triangle",
    "mandelbrot=s=320x180:rate=25:start_x=-1.76:start_y=0.02:start_scale=0.1",
    "pal75bars=s=320x180:r=25",
    "mandelbrot=s=320x180:rate=25:start_x=0.36:start_y=0.6:start_scale=0.3",
];

#[test]
fn copies_share_the_print_and_another_title_does_not() {
    let studio = Studio::new();
    let film = studio.make("film.mp4", &title(FILM, 5));
    let (print, document) = printed(&film);
    assert_eq!(print.frames.len(), 20);
    let PicturePrint::Seen { pictures: 20, bars: None, strip, .. } = &document.picture else { panic!("{document:?}") };
    assert_eq!(strip.split(' ').count(), 20);
    let SoundPrint::Heard { seconds, items, .. } = &document.sound else { panic!("{document:?}") };
    assert!((seconds - 20.0).abs() < 0.1 && *items as usize == print.sound.len(), "{seconds} s, {items}");

    let coded_again = "-i film.mp4 -vf scale=256:144 -c:v libx264 -preset veryfast -crf 32 -c:a aac -b:a 48k -ac 2";
    let framed = "-i film.mp4 -vf pad=320:240:0:30 -c:v libx264 -preset veryfast -crf 24 -c:a mp2";
    let moved = "-i film.mp4 -c copy";
    for (name, made) in [("again.mkv", coded_again), ("framed.ts", framed), ("moved.mov", moved)] {
        let (copy, document) = printed(&studio.make(name, made));
        let found = shared(&copy, &print).unwrap_or_else(|| panic!("{name} is not found"));
        assert!(matches!(found.class, Class::Exact | Class::ReEncode), "{name}: {found:?}");
        assert!(found.offset.abs() < 0.5 && found.of_query > 0.9 && found.of_other > 0.9, "{name}: {found:?}");
        let PicturePrint::Seen { bars, .. } = document.picture else { panic!("{name} has a picture") };
        let wanted = (name == "framed.ts").then_some(PrintedBars { left: 0.0, top: 0.125, right: 0.0, bottom: 0.125 });
        assert_eq!(bars, wanted, "{name}");
    }
    let (other, _) = printed(&studio.make("other.mp4", &title(OTHER, 60)));
    assert_eq!(shared(&other, &print), None);
}

#[test]
fn one_decode_of_each_kind_serves_the_print_and_its_bytes_are_always_the_same() {
    let studio = Studio::new();
    let film = studio.make("film.mp4", &title(FILM, 30));
    let steps = [
        StepParams::Shots { profile: ShotsProfile::Fast },
        StepParams::Chapters { track: None },
        StepParams::Fingerprint { query: true, track: None },
    ];
    let (done, with_others) = enriched(&film, &steps, 2);
    assert_eq!((done.picture_decodes, done.sound_decodes), (1, 1));
    let own = done.steps.iter().find(|step| step.step == Step::Fingerprint).expect("ordered");
    assert!(own.cpu_ms.is_some_and(|used| used > 0), "{own:?}");
    let (done, alone) = enriched(&film, &steps[2..], 1);
    assert_eq!((done.picture_decodes, done.sound_decodes), (1, 1));
    for name in Step::Fingerprint.slots() {
        let read = |folder: &TempDir| std::fs::read(folder.path().join(&name)).expect("the step made it");
        assert!(read(&with_others) == read(&alone), "{name}");
    }
}

#[test]
fn a_title_that_is_to_be_looked_up_has_the_print_that_it_would_have_had() {
    let studio = Studio::new();
    let film = studio.make("film.mp4", &title(FILM, 5));
    let framed = studio.make("framed.mp4", "-i film.mp4 -vf pad=320:240:0:30 -c:v libx264 -preset veryfast -crf 20 -c:a copy");
    for path in [film, framed] {
        let [(_, without), (done, with)] =
            [false, true].map(|query| enriched(&path, &[StepParams::Fingerprint { query, track: None }], 2));
        assert_eq!((done.picture_decodes, done.sound_decodes), (1, 1));
        let read = |folder: &TempDir, name: &str| std::fs::read(folder.path().join(name)).expect("the step made it");
        for name in (StepParams::Fingerprint { query: false, track: None }).slots() {
            assert!(read(&without, &name) == read(&with, &name), "{name}");
        }
        assert!(!without.path().join(QUERY).exists());
        let [alone, result] = [&without, &with]
            .map(|folder| StepResult::from_bytes(&read(folder, &FolderSink::result_name(Step::Fingerprint))).expect("a result"));
        assert_eq!((&alone.outputs, &alone.summary), (&result.outputs, &result.summary));
        assert!(alone.kept.is_empty());
        let query = read(&with, QUERY);
        let kept: Vec<_> = result.kept.iter().map(|file| (file.name.as_str(), &file.sha256)).collect();
        assert_eq!(kept, [(QUERY, &Digest::of(&query))]);
        let query = query_file::read(&query).expect("a query");
        assert_eq!(Ok(&query.print), file::read(&read(&with, "fingerprint.srfp")).as_ref());
        assert!(query.looks.len() >= 102 && query.looks.iter().all(|(_, codes)| codes.len() == 20));
        assert_eq!(query.sounds.iter().map(|(speed, _)| speed.to_bits()).collect::<Vec<_>>(), SPEEDS.map(f32::to_bits));
    }
}

#[test]
fn the_print_is_of_the_same_sound_whatever_else_is_listened_to_and_of_the_track_that_is_asked_for() {
    let studio = Studio::new();
    let reading = artefacts().join("media/two_cities.wav");
    let sounds = format!("-i {} -f lavfi -i sine=f=300:beep_factor=4:d=8 -map 0 -map 1 -map 2 -t 8", reading.display());
    let tags = "-metadata:s:a:0 language=eng -metadata:s:a:1 language=fre -disposition:a:0 default";
    let picture = "-f lavfi -i testsrc2=r=25:s=320x180:d=8";
    let film =
        studio.make("film.mp4", &format!("{picture} {sounds} {tags} -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac"));
    let print = |steps: &[StepParams]| {
        let (done, out) = tried(&film, steps, 2);
        let own = done.steps.iter().find(|step| step.step == Step::Fingerprint).expect("ordered");
        assert!(matches!(own.outcome, Outcome::Done { .. }), "{own:?}");
        file::read(&std::fs::read(out.path().join("fingerprint.srfp")).expect("the step made it")).expect("a print")
    };
    let fingerprint = |track| StepParams::Fingerprint { query: false, track };
    // That it has no model makes the subtitles fail; which sound they listen to is decided before.
    let french = StepParams::Subtitles { language: Some("fr".to_owned()), max_chars_per_second: 20, track: None };
    let alone = print(&[fingerprint(None)]);
    assert!(alone == print(&[french, fingerprint(None)]), "it depends on the subtitles");
    assert!(alone == print(&[fingerprint(Some(1))]) && alone.sound != print(&[fingerprint(Some(2))]).sound);
    let (done, _) = tried(&film, &[StepParams::Shots { profile: ShotsProfile::Fast }, fingerprint(Some(3))], 2);
    let reasons: Vec<_> = done
        .steps
        .iter()
        .map(|step| matches!(&step.outcome, Outcome::Failed(f) if f.reason == Reason::SoundTrackMissing))
        .collect();
    assert_eq!(reasons, [false, true], "{:?}", done.steps);
}

#[test]
fn what_a_title_lacks_its_print_lacks_and_says_so() {
    let studio = Studio::new();
    let silent =
        studio.make("silent.mp4", "-f lavfi -i testsrc2=r=25:s=320x180:d=4 -c:v libx264 -preset ultrafast -pix_fmt yuv420p");
    let (print, document) = printed(&silent);
    assert_eq!((print.frames.len(), print.sound.len()), (4, 0));
    assert_eq!(document.sound, SoundPrint::Missing(Reason::NoSound));

    let reading = format!("-i {} -t 8 -c:a aac", artefacts().join("media/two_cities.wav").display());
    let (print, document) = printed(&studio.make("reading.m4a", &reading));
    assert!(print.frames.is_empty() && print.sound.len() > 30, "{} items", print.sound.len());
    assert_eq!(document.picture, PicturePrint::Missing(Reason::NoPicture));

    let black =
        studio.make("black.mp4", "-f lavfi -i color=black:r=25:s=320x180:d=3 -c:v libx264 -preset ultrafast -pix_fmt yuv420p");
    let PicturePrint::Seen { pictures: 3, blank: 3, bars: None, strip } = printed(&black).1.picture else { panic!("not blank") };
    assert_eq!(strip, "---- ---- ----");
}

/// What `FFmpeg` writes of a file.
fn raw(path: &Path, arguments: &str) -> Vec<u8> {
    let mut command = Command::new(artefacts().join(Tool::Ffmpeg.path()));
    command.args(["-v", "error", "-nostdin", "-i"]).arg(path).args(arguments.split_ascii_whitespace()).arg("-");
    let output = command.output().expect("ffmpeg starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// As the engine was measured: 160x90 by area straight from the source, and `FFmpeg`'s own 11,025 samples a second.
fn as_measured(path: &Path, heard: bool) -> Print {
    let chosen = "select=isnan(prev_selected_t)+gt(floor(t)\\,floor(prev_selected_t)),scale=160:90:flags=area,format=gray";
    let pictures = raw(path, &format!("-map 0:v -vf {chosen} -fps_mode passthrough -f rawvideo"));
    let mut finder = BarFinder::default();
    pictures.chunks_exact(160 * 90).for_each(|luma| finder.look(luma, 160, 90));
    let mut painter = Painter::new(finder.bars(), Vec::new());
    pictures.chunks_exact(160 * 90).for_each(|luma| painter.paint(luma, 160, 90).expect("a picture"));
    let samples = if heard { raw(path, "-map 0:a -ac 1 -ar 11025 -f s16le") } else { Vec::new() };
    let mut ear = Ear::new(1.0).expect("plain speed");
    ear.hear(&samples.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect::<Vec<_>>());
    Print { frames: painter.finish().0, sound: ear.finish() }
}

#[test]
fn the_print_is_nearly_what_the_engine_was_measured_with() {
    let studio = Studio::new();
    let film = studio.make("film.mp4", &title(FILM, 5));
    let media = artefacts().join("media");
    // The second is of six channels, the third of another shape and without sound.
    for (path, heard) in [(film, true), (media.join("bigbuckbunny.mp4"), true), (media.join("bikes.mp4"), false)] {
        let (ours, theirs) = (printed(&path).0, as_measured(&path, heard));
        assert_eq!(ours.frames.len(), theirs.frames.len());
        assert!(ours.sound.len().abs_diff(theirs.sound.len()) <= 1, "{} and {}", ours.sound.len(), theirs.sound.len());
        let apart: Vec<u32> = ours.frames.iter().zip(&theirs.frames).map(|(a, b)| a.hash.distance(&b.hash)).collect();
        let mean = f64::from(apart.iter().sum::<u32>()) / apart.len() as f64;
        let turned: u32 = ours.sound.iter().zip(&theirs.sound).map(|(a, b)| (a ^ b).count_ones()).sum();
        let share = f64::from(turned) / (theirs.sound.len() * 32).max(1) as f64;
        println!("{}: {mean:.2} bits apart on average ({apart:?}), sound {:.2} %", path.display(), share * 100.0);
        // Of copies, PDQ bears 31.
        assert!(mean < 13.0 && apart.iter().all(|bits| *bits <= 20), "{apart:?}");
        assert!(share < 0.03, "{share}");
    }
}
