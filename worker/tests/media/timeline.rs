//! One timeline, end to end: whatever a container does to time, what the worker's binary says of a moment is right to
//! one frame or 10 ms, on pictures and on sound. Truth is by construction: see [`crate::clock`].

use crate::{
    clock::{self, BEEP, BEEP_PEAK, CUTS, FRAMES},
    kit::Studio,
    sound::listen,
    support::{self, FOLDER, committed, order, run, store::TestStore},
};
use showrunner_contracts::{
    Digest, Document,
    documents::{ShotsDocument, SubtitlesDocument, ThumbnailsDocument},
    step::StepParams,
    time::TimeBase,
};
use showrunner_timeline::Millis;
use showrunner_worker::{
    sound::SAMPLE_RATE,
    steps::jpeg::{self, Rgb},
};
use std::{ops::Range, path::Path};

/// How far anything may be from the truth, milliseconds.
const TOLERANCE: f64 = 10.0;
/// One frame of 25 a second: for the end of the last one, and for cues, which begin on the grid of 32 ms that voice is detected on.
const CUE_TOLERANCE: f64 = 40.0;
/// Milliseconds between trick-play pictures.
const SPRITE_INTERVAL: u32 = 500;

/// One way to put the film and its sound into a file.
struct Fixture {
    name: &'static str,
    file: &'static str,
    /// Commands of `FFmpeg`, each with the file it makes; the last one makes the fixture.
    commands: Vec<(&'static str, String)>,
    /// When a frame is presented, seconds from the first that is.
    time: fn(usize) -> f64,
    /// Frames that are not in the file.
    lost: Range<usize>,
    /// When the beep is heard, seconds from the same.
    beep: f64,
    /// Whether somebody listens to the words, too: the files whose sound is treated in a way of its own.
    cues: bool,
    timecode: Option<&'static str>,
}

const H264: &str = "-c:v libx264 -preset ultrafast -bf 2 -g 25 -pix_fmt yuv420p";
const VARIABLE: &str = "-vf settb=1/90000,setpts='if(lt(N,50),N*0.04,if(lt(N,100),2+(N-50)*0.02,3+(N-100)*0.0667))/TB' -fps_mode vfr \
                        -enc_time_base 1/90000 -c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p";

fn pal(n: usize) -> f64 {
    n as f64 / 25.0
}

fn film(n: usize) -> f64 {
    n as f64 * 1001.0 / 24000.0
}

fn ntsc(n: usize) -> f64 {
    n as f64 * 1001.0 / 30000.0
}

fn variable(n: usize) -> f64 {
    let n = n as f64;
    if n < 50.0 {
        n / 25.0
    } else if n < 100.0 {
        2.0 + (n - 50.0) * 0.02
    } else {
        3.0 + (n - 100.0) * 0.0667
    }
}

/// After the first 1.2 s are cut off.
fn cut(n: usize) -> f64 {
    pal(n) - 1.2
}

/// `FFmpeg`'s arguments: the film at `rate`, and its sound such that the beep comes `beep` seconds after the file's zero.
fn mux(rate: &str, beep: f64, rest: &str) -> String {
    let samples = ((beep - BEEP) * 48_000.0).round();
    format!("{rate} -i film.mkv -i sound.wav -map 0:v -map 1:a -af adelay={samples}S:all=1 {rest}")
}

fn fixtures() -> Vec<Fixture> {
    let row = |name, file, rate: &str, time: fn(usize) -> f64, rest: &str| {
        let (beep, commands) = (time(CUTS[0]), vec![(file, mux(rate, time(CUTS[0]), rest))]);
        Fixture { name, file, commands, time, lost: 0..0, beep, cues: false, timecode: None }
    };
    let heard = |fixture: Fixture| Fixture { cues: true, ..fixture };
    let aac = format!("{H264} -c:a aac");
    let long_group = "-c:v libx264 -preset ultrafast -bf 2 -g 150 -pix_fmt yuv420p -c:a aac";
    let lossy = "-c:v libx264 -preset ultrafast -bf 0 -g 10 -pix_fmt yuv420p -c:a aac";
    vec![
        heard(row("MP4: edit list for B-frames and AAC priming", "plain.mp4", "", pal, &aac)),
        row("24000/1001", "film.mp4", "-r 24000/1001", film, &aac),
        row("24000/1001 in milliseconds (Matroska)", "film-ms.mkv", "-r 24000/1001", film, &format!("{H264} -c:a flac")),
        Fixture {
            timecode: Some("00:00:59;20"),
            ..row(
                "30000/1001, drop-frame timecode",
                "ntsc.mov",
                "-r 30000/1001",
                ntsc,
                &format!("{H264} -c:a pcm_s16le -timecode 00:00:59;20"),
            )
        },
        row("variable rate, MP4", "variable.mp4", "", variable, &format!("{VARIABLE} -c:a aac")),
        row("variable rate, Matroska", "variable.mkv", "", variable, &format!("{VARIABLE} -c:a aac")),
        heard(row("starts at 10 s, MPEG-TS", "ten.ts", "", pal, &format!("{aac} -output_ts_offset 10"))),
        row("starts at 10 s, Matroska", "ten.mkv", "", pal, &format!("{aac} -output_ts_offset 10")),
        heard(row("MPEG-TS, the 33-bit clock wraps", "wrap.ts", "", pal, &format!("{aac} -output_ts_offset 95440"))),
        Fixture {
            commands: vec![
                ("whole.mp4", mux("", 2.0, long_group)),
                ("cut.mp4", "-ss 1.2 -i whole.mp4 -map 0 -c copy".to_owned()),
            ],
            lost: 0..30,
            ..heard(row("MP4: edit list into a group of pictures", "cut.mp4", "", cut, ""))
        },
        row("fragmented MP4", "fragmented.mp4", "", pal, &format!("{aac} -movflags frag_keyframe+delay_moov+default_base_moof")),
        heard(row("Opus pre-skip, Matroska", "opus.mkv", "", pal, &format!("{H264} -c:a libopus"))),
        Fixture {
            commands: vec![("late.mp4", mux("", 2.5, &aac))],
            beep: 2.5,
            ..heard(row("sound 500 ms late, MP4", "late.mp4", "", pal, ""))
        },
        Fixture {
            // Late by the container's clock, not by silence in the stream.
            commands: vec![("late.ts", "-i plain.mp4 -itsoffset 0.5 -i plain.mp4 -map 0:v -map 1:a -c copy".to_owned())],
            beep: 2.5,
            ..heard(row("sound 500 ms late, MPEG-TS", "late.ts", "", pal, ""))
        },
        Fixture {
            commands: vec![("early.mkv", "-itsoffset 0.48 -i plain.mp4 -i plain.mp4 -map 0:v -map 1:a -c copy".to_owned())],
            beep: 2.0 - 0.48,
            ..heard(row("sound 480 ms early, Matroska", "early.mkv", "", pal, ""))
        },
        Fixture {
            commands: vec![
                ("dense.mp4", mux("", 2.0, lossy)),
                (
                    "gap.ts",
                    "-i dense.mp4 -map 0 -c copy -bsf:v noise=drop='gte(n,20)*lt(n,40)' \
                     -bsf:a noise=drop='gte(pts*tb,0.8)*lt(pts*tb,1.6)'"
                        .to_owned(),
                ),
            ],
            lost: 20..40,
            ..heard(row("packets lost for 0.8 s, MPEG-TS", "gap.ts", "", pal, ""))
        },
        Fixture {
            timecode: Some("10:00:00:00"),
            ..row(
                "MXF, timecode of ten hours",
                "film.mxf",
                "",
                pal,
                // MXF ends with the shorter of the two.
                "-af adelay=72000S:all=1,apad=whole_dur=6 -c:v mpeg2video -q:v 2 -g 12 -bf 2 -pix_fmt yuv420p -c:a pcm_s16le \
                 -timecode 10:00:00:00",
            )
        },
    ]
}

/// How far things are from the truth at worst, milliseconds.
#[derive(Debug)]
struct Figures {
    cuts: f64,
    thumbnails: f64,
    stills: f64,
    sprite: f64,
    end: f64,
    beep: f64,
    /// From the beep to the first cue.
    cue: Option<f64>,
}

#[test]
fn every_container_tells_the_same_time() {
    let studio = Studio::new();
    clock::shoot(&studio);
    let mut lag = None;
    let mut wrong = Vec::new();
    println!(
        "{:<45} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}",
        "ms from the truth", "cuts", "thumbs", "stills", "sprite", "end", "beep", "cue"
    );
    for fixture in fixtures() {
        for (file, args) in &fixture.commands {
            studio.make(file, args);
        }
        let figures = measure(&fixture, &studio.path(fixture.file));
        // Speech begins some time after the beep, the same in every file; the first file says how long.
        let lag = *lag.get_or_insert_with(|| figures.cue.expect("the first file is listened to"));
        let cue = figures.cue.map(|cue| (cue - lag).abs());
        let Figures { cuts, thumbnails, stills, sprite, end, beep, .. } = figures;
        let told = cue.map_or_else(|| "-".to_owned(), |cue| format!("{cue:.1}"));
        println!(
            "{:<45} {cuts:>6.1} {thumbnails:>6.1} {stills:>6.1} {sprite:>6.1} {end:>6.1} {beep:>6.1} {told:>6}",
            fixture.name
        );
        let worst = [cuts, thumbnails, stills, sprite, beep].into_iter().fold(0.0, f64::max);
        if worst > TOLERANCE || end > CUE_TOLERANCE || cue.is_some_and(|cue| cue > CUE_TOLERANCE) {
            wrong.push(fixture.name);
        }
    }
    assert!(wrong.is_empty(), "further from the truth than {TOLERANCE} ms (cues and the end: {CUE_TOLERANCE} ms): {wrong:?}");
}

fn measure(fixture: &Fixture, path: &Path) -> Figures {
    let store = TestStore::with(&std::fs::read(path).expect("reads"));
    let mut steps = vec![
        support::shots(),
        StepParams::Thumbnails { select: 8, sprite_interval_ms: SPRITE_INTERVAL, exclude_nudity_at_or_above: 3 },
    ];
    steps.extend(fixture.cues.then(support::subtitles));
    let ran = run(&order(&store, &steps));
    let unit = ran.unit(&store);
    assert_eq!(ran.code, Some(0), "{}: {:?}", fixture.name, unit.steps);
    let video = unit.media.as_ref().and_then(|media| media.video.as_ref()).expect("there is a picture");
    assert_eq!(video.timecode.as_deref(), fixture.timecode, "{}", fixture.name);
    for step in &steps {
        committed(&store, &unit, step.step());
    }

    let shown = Shown::new(fixture);
    let shots: ShotsDocument = document(&store, "shots.json");
    let base = shots.time_base;
    let starts: Vec<f64> = shots.shots.iter().skip(1).map(|shot| millis(shot.span.start, base)).collect();
    let wanted: Vec<f64> = CUTS.iter().map(|cut| shown.start(*cut)).collect();
    assert_eq!(starts.len(), wanted.len(), "{}: cuts at {starts:?}, wanted {wanted:?}", fixture.name);
    let stills = shots.shots.iter().map(|shot| {
        let still = shot.still.as_ref().expect("few shots");
        let number = clock::number(&sheet(&store, &still.sheet).part(still.x, still.y, still.width, still.height));
        (shown.start(number) - millis(still.at, base)).abs()
    });
    let thumbnails: ThumbnailsDocument = document(&store, "thumbnails.json");
    assert!(thumbnails.picks.len() >= 3, "{}: {:?}", fixture.name, thumbnails.picks);
    let picks = thumbnails
        .picks
        .iter()
        .map(|pick| (shown.start(clock::number(&sheet(&store, &pick.name))) - millis(pick.at, thumbnails.time_base)).abs());
    Figures {
        cuts: worst(starts.iter().zip(&wanted).map(|(found, wanted)| (found - wanted).abs())),
        stills: worst(stills),
        thumbnails: worst(picks),
        sprite: sprite(&store, &shown),
        end: (millis(shots.duration, base) - shown.end).abs(),
        beep: (beep(path) - fixture.beep * 1_000.0).abs(),
        cue: fixture.cues.then(|| {
            let said: SubtitlesDocument = document(&store, "subtitles.json");
            said.cues.first().expect("somebody speaks").start_ms as f64 - fixture.beep * 1_000.0
        }),
    }
}

/// Which frame is on screen when, milliseconds.
struct Shown {
    /// Frame and start, in order.
    frames: Vec<(usize, f64)>,
    end: f64,
}

impl Shown {
    fn new(fixture: &Fixture) -> Self {
        let there = (0..FRAMES).filter(|n| !fixture.lost.contains(n));
        let frames: Vec<(usize, f64)> = there.map(|n| (n, (fixture.time)(n) * 1_000.0)).collect();
        let (last, before) = (frames[frames.len() - 1].1, frames[frames.len() - 2].1);
        Self { frames, end: 2.0 * last - before }
    }

    fn start(&self, number: usize) -> f64 {
        self.frames.iter().find(|(n, _)| *n == number).unwrap_or_else(|| panic!("frame {number} is not in the file")).1
    }

    /// How far `at` is from the time in which a frame is on screen.
    fn away(&self, number: usize, at: f64) -> f64 {
        let next = self.frames.iter().find(|(n, _)| *n > number).map_or(self.end, |(_, start)| *start);
        (self.start(number) - at).max(at - next).max(0.0)
    }
}

/// The worst of all trick-play pictures: each has to show what is on screen when its cue begins.
fn sprite(store: &TestStore, shown: &Shown) -> f64 {
    let index = String::from_utf8(store.object(&format!("{FOLDER}sprite.vtt")).expect("the index is stored")).expect("text");
    let sheet = sheet(store, "sprite-0.jpg");
    let digest = Digest::of(&store.object(&format!("{FOLDER}sprite-0.jpg")).expect("the sheet is stored"));
    let lines: Vec<&str> = index.lines().collect();
    let tiles = lines.windows(2).filter_map(|pair| Some((pair[0].split_once(" --> ")?.0, pair[1].split_once("#xywh=")?)));
    let away: Vec<f64> = tiles
        .map(|(start, (address, place))| {
            assert_eq!(address, digest.hex());
            let start: Millis = start.parse().expect("a time");
            let place: Vec<u32> = place.split(',').map(|part| part.parse().expect("a number")).collect();
            let [x, y, width, height] = place[..] else { panic!("{place:?}") };
            shown.away(clock::number(&sheet.part(x, y, width, height)), start.0 as f64)
        })
        .collect();
    // Intervals are whole frames.
    let fewest = shown.end / (f64::from(SPRITE_INTERVAL) + CUE_TOLERANCE);
    assert!(away.len() as f64 >= fewest, "{} pictures: {index}", away.len());
    worst(away.into_iter())
}

/// When the beep is heard, milliseconds: the first sample that only the beep can be.
fn beep(path: &Path) -> f64 {
    let (heard, _) = listen(path);
    let onset = heard.iter().position(|sample| sample.abs() > BEEP_PEAK / 2.0).expect("the beep is heard");
    onset as f64 * 1_000.0 / f64::from(SAMPLE_RATE)
}

fn document<D: Document>(store: &TestStore, name: &str) -> D {
    D::from_bytes(&store.object(&format!("{FOLDER}{name}")).expect("the document is stored")).expect("the document reads")
}

fn sheet(store: &TestStore, name: &str) -> Rgb {
    jpeg::decode(&store.object(&format!("{FOLDER}{name}")).expect("the picture is stored")).expect("a JPEG")
}

fn millis(ticks: i64, base: TimeBase) -> f64 {
    ticks as f64 * 1_000.0 * f64::from(base.num) / f64::from(base.den)
}

fn worst(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}
