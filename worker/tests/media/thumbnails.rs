//! What a model finds too strong is never picked, the next best is, and nothing else changes.

use crate::{
    kit::{Studio, look, plan, sandbox},
    moderation::reduced_by,
};
use showrunner_contracts::{
    Digest, Document as _,
    documents::{NotJudged, Nudity, Pick, ThumbnailsDocument},
    manifest::StepSummary,
    step::{NUDITY_LIMIT, Step, StepParams},
    work_order::StepOrder,
};
use showrunner_moderation::PICTURE_TABLE;
use showrunner_timeline::Ticks;
use showrunner_worker::{
    commit::Made,
    fanout::{Viewer, view},
    models::Artefacts,
    sandbox::Source,
    steps::{
        Longest,
        picture_model::PictureModel,
        shots::{Motions, Shots},
        thumbnails::Thumbnails,
    },
};
use std::{collections::BTreeMap, path::Path};

/// Six dim textures that stand still for 3 s, no brighter than 0.57. The second and the fifth have a white patch for their first two
/// seconds.
const TITLE: &str = "-filter_complex \
    nullsrc=s=320x180:r=24:d=3,geq=r='85+55*sin(X/17)*cos(Y/11)':g='40+30*sin(X/17)':b='50'[a];\
    nullsrc=s=320x180:r=24:d=3,geq=r='40':g='80+60*sin(X/31)*sin(Y/7)':b='60+40*sin(Y/7)'[b];\
    nullsrc=s=320x180:r=24:d=3,geq=r='60+50*sin((X+Y)/19)':g='50':b='85+55*sin((X-Y)/13)'[c];\
    nullsrc=s=320x180:r=24:d=3,geq=r='85+55*sin(X/9)*cos(Y/23)':g='80+55*cos(X/29)':b='30'[d];\
    nullsrc=s=320x180:r=24:d=3,geq=r='30':g='70+60*cos(X*Y/900)':b='80+55*sin(X/12)'[e];\
    nullsrc=s=320x180:r=24:d=3,geq=r='70+60*sin(Y/9)':g='70+60*sin(X/21)*cos(Y/17)':b='70+60*cos(X/8)'[f];\
    [a][b][c][d][e][f]concat=n=6:v=1,format=yuv420p,\
    drawbox=x=0:y=0:w=iw/2:h=ih/2:color=white:t=fill:enable='between(t,3,4.99)+between(t,12,13.99)'[v] \
    -map [v] -c:v libx264 -qp 0";
/// Where the patch is, milliseconds.
const MARKED: [(u64, u64); 2] = [(3_000, 5_000), (12_000, 14_000)];

/// The step on this title, with a model that says how bright the brightest spot is, or with none.
fn made(studio: &Studio, clip: &Path, exclude_nudity_at_or_above: u8, judged: bool) -> Made {
    let artefacts = Artefacts::from_environment();
    let (sandbox, probe, source) = (sandbox(), look(clip), Source::open(clip).expect("opens"));
    let order = StepOrder {
        step: Step::Thumbnails,
        key: Digest::of(b"key"),
        algorithm_version: Step::Thumbnails.algorithm_version(),
        params: StepParams::Thumbnails { select: 4, sprite_interval_ms: 1_000, exclude_nudity_at_or_above },
        models: Vec::new(),
        result_url: String::new(),
    };
    let (base, longest, motions) = (probe.time_base(), Longest { ticks: Ticks(i64::MAX), seconds: u32::MAX }, Motions::default());
    let mut shots = Shots::new(base, longest, &motions, false);
    let mut thumbnails = Thumbnails::new(&order, base, longest, &motions, &artefacts).expect("it needs no model");
    if judged {
        let model = studio.write("model.onnx", reduced_by(b"ReduceMax"));
        thumbnails = thumbnails.judged_by("stub".to_owned(), PictureModel::open(&artefacts, "stub", &model).expect("a model"));
    }
    let viewers: &mut [&mut dyn Viewer] = &mut [&mut shots, &mut thumbnails];
    let seen = view(&sandbox, &source, &probe, &plan(true), viewers, &mut |_| {}).expect("decodes");
    assert!(seen.failures.iter().all(Option::is_none), "{:?}", seen.failures);
    let found = shots.finish(seen.summary.expect("whole").end).expect("shots");
    thumbnails.finish(&found.document).expect("thumbnails")
}

fn document(made: &Made) -> ThumbnailsDocument {
    let file = made.files.iter().find(|file| file.name == "thumbnails.json").expect("the document is made");
    ThumbnailsDocument::from_bytes(&file.bytes).expect("it reads")
}

/// Files by their names.
fn files(made: &Made) -> BTreeMap<&str, &[u8]> {
    made.files.iter().map(|file| (file.name.as_str(), &file.bytes[..])).collect()
}

#[test]
fn a_marked_picture_is_never_picked_the_next_best_is_and_nothing_else_changes() {
    let studio = Studio::new();
    let clip = studio.make("title.mp4", TITLE);
    let (free, held) = (made(&studio, &clip, NUDITY_LIMIT, false), made(&studio, &clip, NUDITY_LIMIT, true));
    let (before, after) = (document(&free), document(&held));
    let base = look(&clip).time_base();
    let is_marked = |pick: &&Pick| {
        let at = base.to_millis(Ticks(pick.at)).0;
        MARKED.iter().any(|(from, to)| (*from..*to).contains(&at))
    };
    let marked = before.picks.iter().filter(is_marked).count();
    assert!(marked > 0, "without a model the patch is picked: {:?}", before.picks);
    assert_eq!((after.picks.iter().filter(is_marked).count(), after.picks.len()), (0, before.picks.len()), "{:?}", after.picks);

    // What was picked and may be shown is, with the same bytes; and so is everything else that the step makes.
    let (then, now) = (files(&free), files(&held));
    for pick in before.picks.iter().filter(|pick| !is_marked(pick)) {
        let same = after.picks.iter().find(|other| other.at == pick.at).unwrap_or_else(|| panic!("{pick:?} is picked no more"));
        assert_eq!((then[pick.name.as_str()], pick.score), (now[same.name.as_str()], same.score));
    }
    for (name, bytes) in then.iter().filter(|(name, _)| name.starts_with("sprite")) {
        assert_eq!(now.get(name), Some(bytes), "{name}");
    }

    // Both say what they know, and the one without a model that it knows nothing.
    for pick in &after.picks {
        let Nudity::Judged { probability, level } = pick.nudity else { panic!("{pick:?}") };
        assert!((0.3..0.6).contains(&probability) && (1..=2).contains(&level), "{pick:?}");
    }
    let rule = after.nudity.expect("a model judged");
    assert_eq!((rule.table.as_str(), rule.exclude_at_or_above, rule.judged - rule.left_out), (PICTURE_TABLE, 3, 4));
    let StepSummary::Thumbnails { left_out, .. } = held.summary else { panic!("{:?}", held.summary) };
    assert!(rule.left_out as usize >= marked && left_out == Some(rule.left_out), "{rule:?}");
    assert_eq!(held.settings["nudity"], "stub");
    assert!(before.picks.iter().all(|pick| pick.nudity == Nudity::NotJudged(NotJudged::NoModel)), "{:?}", before.picks);
    assert!(matches!(free.summary, StepSummary::Thumbnails { left_out: None, .. }) && before.nudity.is_none());
    assert_eq!(free.settings["nudity"], "NoModel");
}

#[test]
fn of_a_title_that_is_too_strong_throughout_nothing_is_picked_and_it_says_why() {
    let studio = Studio::new();
    let clip = studio.make("title.mp4", TITLE);
    let made = made(&studio, &clip, 1, true);
    let document = document(&made);
    let StepSummary::Thumbnails { candidates, selected: 0, left_out, .. } = made.summary else { panic!("{:?}", made.summary) };
    assert_eq!((document.picks.len(), left_out), (0, Some(candidates)), "each was judged once");
    let told = document.relaxed.expect("a rule gave way");
    assert!(
        told.contains("0 of 4") && told.contains(&format!("{candidates} candidates were left out for their nudity")),
        "{told}"
    );
    assert!(made.files.iter().any(|file| file.name == "sprite-0.jpg"), "trick play is made all the same");
}
