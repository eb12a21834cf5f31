//! Small files that want much: each ends within the limits of its order, with words that say which limit it was.

use crate::{
    atoms::{atom, rewrite},
    kit::Studio,
    support::{self, Worker, committed, order, store::TestStore},
};
use flate2::{Compression, Crc, write::ZlibEncoder};
use showrunner_contracts::{
    manifest::StepSummary,
    result::{Outcome, Reason},
    step::{MAX_SPRITE_SHEETS, Step},
    work_order::Limits,
};
use std::{env, io::Write as _};

/// Address space of the worker, and of each tool: an eighth of what a pod has by default is real memory, the rest only names.
const MEMORY: u64 = 2 << 30;
/// Most that a worker may write for a small file, bytes.
const MOST_WRITTEN: usize = 8 << 20;
const SOFT: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";

/// How an attempt at a bomb ends.
enum End {
    Done,
    Failed(Reason, &'static str),
}

struct Bomb {
    name: &'static str,
    bytes: Vec<u8>,
    limits: Limits,
    end: End,
}

fn bombs(studio: &Studio) -> Vec<Bomb> {
    let made = |name, args: &str| std::fs::read(studio.make(name, args)).expect("reads");
    let usual = || Limits { run_seconds: 60, threads: 2, child_memory_bytes: 1 << 30, max_media_seconds: 60 };
    let failed = |name, bytes, reason, words| Bomb { name, bytes, limits: usual(), end: End::Failed(reason, words) };
    let done = |name, bytes| Bomb { name, bytes, limits: usual(), end: End::Done };
    let cues = if env::var_os("SHOWRUNNER_LONG").is_some() { 2_000_000 } else { 100_000 };

    let jpegs = made("jpegs.mov", "-f lavfi -i testsrc2=s=320x180:r=25:d=0.2 -c:v mjpeg -pix_fmt yuvj420p");
    studio.write("zeros.png", png(8_000));
    let zeros = made("zeros.mov", "-i zeros.png -c copy");
    let hours =
        made("hours.mp4", &format!("-f lavfi -i testsrc2=s=320x180:r=25:d=0.08 -vf setpts=N*36000/TB -fps_mode vfr {SOFT}"));
    let streams = made("streams.mkv", &format!("-f lavfi -i sine=d=0.1 {} -c:a pcm_s16le", ["-map 0"; 255].join(" ")));
    studio.write("told.txt", format!(";FFMETADATA1\ncomment={}\n", "A".repeat(5_000_000)));
    let film = made("film.mp4", &format!("-f lavfi -i testsrc2=s=320x180:r=25:d=1 {SOFT}"));
    let told = made("told.mkv", "-i film.mp4 -i told.txt -map_metadata 1 -c copy");
    studio.make("black.mp4", &format!("-f lavfi -i color=black:s=320x180:r=25:d=1 {SOFT}"));
    let black = made("black.mkv", "-stream_loop 1200 -i black.mp4 -c copy -live 1");
    let said = (0..cues).map(|n| format!("{}\n00:00:00,{:03} --> 00:00:00,{:03}\nHa {n}\n\n", n + 1, n % 900, n % 900 + 50));
    studio.write("said.srt", said.collect::<String>());
    let said = made("said.mp4", "-i film.mp4 -i said.srt -c:v copy -c:s mov_text");
    let line = format!("{}\n", "Ha! ".repeat(250)).repeat(1_000);
    let heavy = (0..100).map(|n| format!("{}\n00:00:00,{:03} --> 00:00:00,{:03}\n{line}\n", n + 1, n * 8, n * 8 + 8));
    studio.write("heavy.srt", heavy.collect::<String>());
    let heavy = made("heavy.mkv", "-i film.mp4 -i heavy.srt -c copy");
    studio.write("font.ttf", vec![0; 1 << 20]);
    let attach = (0..40).map(|n| format!("-attach font.ttf -metadata:s:t:{n} mimetype=font/ttf")).collect::<Vec<_>>().join(" ");
    let fonts = made("fonts.mkv", &format!("-i film.mp4 {attach} -c copy"));
    let nested: Vec<u8> = (0..20_000_u32).rev().flat_map(|n| [&(8 * (n + 1)).to_be_bytes()[..], b"moov"].concat()).collect();
    let nested = [atom(b"ftyp", b"isom\0\0\x02\0isomiso2avc1mp41"), nested].concat();
    let private = rewrite(&film, &|kind, _| (kind == b"avcC").then(|| vec![0; 32 << 20]));
    let late = made("late.mp4", "-i film.mp4 -c copy -output_ts_offset 4000000000000");
    let early = made("early.mkv", "-i film.mp4 -c copy -output_ts_offset -9000000000 -avoid_negative_ts disabled");

    vec![
        failed("a picture of 16384 x 16384", sized(&jpegs, 16_384, 16_384), Reason::SourceTooLarge, "deliver it smaller"),
        done("64 million black pixels", zeros.clone()),
        Bomb {
            limits: Limits { child_memory_bytes: 420 << 20, ..usual() },
            ..failed("the same, for 420 MiB", zeros, Reason::LimitExceeded, "memory")
        },
        failed("ten hours by its header", hours.clone(), Reason::SourceTooLarge, "longer than the limit of 60 s"),
        Bomb { limits: Limits { max_media_seconds: 24 * 3_600, ..usual() }, ..done("ten hours, and they are allowed", hours) },
        failed("255 streams", streams, Reason::SourceTooLarge, "more than 64 streams, subtitles and attachments counted"),
        failed("5 MB about itself", told, Reason::SourceTooLarge, "its description"),
        failed("20 minutes of black, length not stated", black, Reason::SourceTooLarge, "longer than the limit of 60 s"),
        done("very many cues", said),
        done("100 MB of subtitles", heavy),
        // The media tool holds each of them several times: with a gigabyte it has too little. This much the chart gives it.
        Bomb { limits: Limits { child_memory_bytes: 1536 << 20, ..usual() }, ..done("forty fonts of a megabyte", fonts) },
        failed("moov in moov, 20000 deep", nested, Reason::SourceNotMedia, "accepted container"),
        failed("32 MB of decoder configuration", private, Reason::SourceNotMedia, "picture"),
        failed("times beyond 64 bits", late, Reason::SourceTooLarge, "longer than the limit of 60 s"),
        done("times before all time", early),
    ]
}

#[test]
fn what_wants_much_ends_within_its_limits_and_says_which() {
    let studio = Studio::new();
    let mut wrong = Vec::new();
    for Bomb { name, bytes, limits, end } in bombs(&studio) {
        let store = TestStore::with(&bytes);
        let mut order = order(&store, &[support::shots(), support::thumbnails()]);
        order.limits = limits;
        let ran = Worker::start_within(MEMORY, &order).end();
        let unit = ran.unit(&store);
        let written: usize = store.results().values().map(Vec::len).sum();
        assert!(written <= MOST_WRITTEN, "{name}: {written} bytes written");
        let told: Vec<String> = unit.steps.iter().map(|step| tell(&step.outcome)).collect();
        println!("{name:<40} {:>9} bytes, {:>5} ms, {written:>7} written: {}", bytes.len(), unit.run.wall_ms, told[0]);
        let as_wanted = unit.steps.iter().all(|step| match (&step.outcome, &end) {
            (Outcome::Done { .. }, End::Done) => true,
            (Outcome::Failed(failure), End::Failed(reason, words)) => {
                failure.reason == *reason && failure.message.contains(words)
            }
            _ => false,
        });
        // What cannot be used is not decoded to its end.
        let decoded = unit.run.picture_decode_cpu_ms.is_some();
        if !as_wanted || decoded != matches!(end, End::Done) {
            wrong.push((name, told));
        } else if matches!(end, End::Done) {
            let StepSummary::Thumbnails { sheets, .. } = committed(&store, &unit, Step::Thumbnails).summary else {
                panic!("{name}: the summary of another step")
            };
            assert!((1..=MAX_SPRITE_SHEETS as u32).contains(&sheets), "{name}: {sheets} sheets");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn tell(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done { .. } => "done".to_owned(),
        Outcome::Skipped(reason) => format!("skipped: {reason}"),
        Outcome::Failed(failure) => format!("{}: {}", failure.reason, failure.message),
    }
}

/// The JPEG pictures in a file, of another size by their own headers and by the file's.
fn sized(film: &[u8], width: u16, height: u16) -> Vec<u8> {
    let (wide, high) = (width.to_be_bytes(), height.to_be_bytes());
    let mut film = film.to_vec();
    let frames: Vec<usize> = (0..film.len() - 9).filter(|at| film[*at..].starts_with(&[0xFF, 0xC0, 0, 17, 8])).collect();
    assert!(!frames.is_empty());
    for at in frames {
        film[at + 5..at + 9].copy_from_slice(&[high, wide].concat());
    }
    film
}

/// A black PNG picture of so many pixels each way.
fn png(side: u32) -> Vec<u8> {
    let chunk = |kind: &[u8], content: &[u8]| {
        let body = [kind, content].concat();
        let mut sum = Crc::new();
        sum.update(&body);
        [&(content.len() as u32).to_be_bytes()[..], &body, &sum.sum().to_be_bytes()].concat()
    };
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let row = vec![0; 1 + side as usize * 3];
    for _ in 0..side {
        packed.write_all(&row).expect("memory takes it");
    }
    let data = packed.finish().expect("memory takes it");
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &data), chunk(b"IEND", &[])].concat()
}
