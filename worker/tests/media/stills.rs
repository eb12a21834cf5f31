//! The still of a shot is of that shot, whatever it begins and ends with.

use crate::kit::{Studio, near, sandbox, watch};
use showrunner_contracts::{
    Digest, Document as _,
    documents::{ShotsDocument, Transition},
    result::Outcome,
    step::{ShotsProfile, Step, StepParams},
    work_order::{Limits, StepOrder},
};
use showrunner_worker::{
    commit::FolderSink,
    models::Artefacts,
    pipeline::{self, Work},
    progress::Tracker,
    sandbox::{self, Source},
    steps::jpeg::{self, Rgb},
};

/// Four moving textures, each mostly of a colour of its own: a cut after 3 s, a dissolve from 5 to 6 s, a fade out from 9.5 to
/// 10 s, a second of black, and a fade in until 11.5 s; 14 s in all.
const EDIT: &str = "-filter_complex nullsrc=s=320x180:r=24:d=3,geq=r='150+90*sin(X/17+N/15)*cos(Y/11)':g='40+30*sin(X/17)':b='50',settb=1/24[a];\
    nullsrc=s=320x180:r=24:d=3,geq=r='40':g='140+90*sin(X/31)*sin(Y/7+N/20)':b='60+40*sin(Y/7)',settb=1/24[b];\
    nullsrc=s=320x180:r=24:d=5,geq=r='60+50*sin((X+Y)/19)':g='50':b='150+90*sin((X-Y)/13+N/12)',settb=1/24[c];\
    nullsrc=s=320x180:r=24:d=3,geq=r='160+80*sin(X/9-N/18)*cos(Y/23)':g='150+70*cos(X/29)':b='30',fade=t=in:d=0.5,settb=1/24[d];\
    color=black:s=320x180:r=24:d=1,format=gbrp,settb=1/24[k];\
    [b][c]xfade=transition=fade:duration=1:offset=2,fade=t=out:st=6.5:d=0.5[bc];\
    [a][bc][k][d]concat=n=4:v=1,format=yuv420p[v] -map [v] -c:v libx264 -qp 16";
/// Where the middle of each shot's clear part is, milliseconds.
const MIDDLES: [u64; 4] = [1_500, 4_000, 7_750, 12_750];

#[test]
fn the_still_of_each_shot_is_the_frame_in_the_middle_of_its_clear_part() {
    let studio = Studio::new();
    let path = studio.make("edit.mp4", EDIT);
    let found = shots_of(&studio, &path);
    let kinds: Vec<&str> = found.shots.iter().map(|shot| kind(&shot.begins_with)).collect();
    assert_eq!(kinds, ["start", "cut", "dissolve", "fade"], "{:?}", found.shots);

    let seen = watch(&path);
    let sheet = jpeg::decode(&std::fs::read(studio.path("out/shots-0.jpg")).expect("the sheet is there")).expect("a JPEG");
    let mut colours = Vec::new();
    for (shot, middle) in found.shots.iter().zip(MIDDLES) {
        let still = shot.still.as_ref().expect("few shots");
        assert_eq!((still.sheet.as_str(), still.width, still.height), ("shots-0.jpg", 160, 90));
        let at = seen.times().iter().position(|pts| *pts == still.at).expect("a still is a frame of the title");
        assert!(seen.millis()[at].abs_diff(middle) <= 170, "{} ms for {middle}", seen.millis()[at]);
        let frame = &seen.frames[at];
        let wanted = mean(&Rgb { width: frame.width, height: frame.height, pixels: frame.rgb.clone() });
        let shown = mean(&sheet.part(still.x, still.y, still.width, still.height));
        assert!(near(shown, wanted, 3), "{shown:?} for {wanted:?}");
        colours.push(shown);
    }
    // Each is what its shot was painted with, and so no other's.
    let [[r0, g0, b0], [r1, g1, b1], [r2, g2, b2], [r3, g3, b3]] = colours[..] else { panic!("{colours:?}") };
    assert!(r0 > 130 && g0 < 70 && b0 < 70, "{colours:?}");
    assert!(g1 > 120 && r1 < 70 && b1 < 90, "{colours:?}");
    assert!(b2 > 130 && r2 < 90 && g2 < 70, "{colours:?}");
    assert!(r3 > 130 && g3 > 120 && b3 < 60, "{colours:?}");
}

/// What the step `shots` alone says of a title; its files are in `out`.
fn shots_of(studio: &Studio, path: &std::path::Path) -> ShotsDocument {
    let sink = FolderSink::new(&studio.path("out")).expect("a folder");
    let order = StepOrder {
        step: Step::Shots,
        key: Digest::of(b"key"),
        algorithm_version: Step::Shots.algorithm_version(),
        params: StepParams::Shots { profile: ShotsProfile::Fast },
        models: Vec::new(),
        result_url: String::new(),
    };
    let limits =
        Limits { run_seconds: 600, threads: 2, child_memory_bytes: sandbox::Limits::DECODE.memory_bytes, max_media_seconds: 60 };
    let done = pipeline::run(Work {
        artefacts: &Artefacts::from_environment(),
        sandbox: &sandbox(),
        source: &Source::open(path).expect("opens"),
        steps: &[order],
        given: &showrunner_worker::pipeline::Given::default(),
        limits: &limits,
        sink: &sink,
        tracker: &Tracker::default(),
    });
    assert!(matches!(done.steps[0].outcome, Outcome::Done { .. }), "{:?}", done.steps);
    ShotsDocument::from_bytes(&std::fs::read(studio.path("out/shots.json")).expect("the document is there")).expect("it reads")
}

fn kind(transition: &Transition) -> &'static str {
    match transition {
        Transition::Start => "start",
        Transition::Cut => "cut",
        Transition::Dissolve(_) => "dissolve",
        Transition::Fade(_) => "fade",
    }
}

fn mean(picture: &Rgb) -> [u8; 3] {
    let pixels = picture.pixels.as_chunks::<3>().0;
    std::array::from_fn(|channel| {
        let sum: u64 = pixels.iter().map(|pixel| u64::from(pixel[channel])).sum();
        (sum / pixels.len() as u64) as u8
    })
}
