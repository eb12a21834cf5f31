//! Whole orders through the worker's binary, against a store that can be made to misbehave.

mod support;

use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use serde_json::Value;
use showrunner_contracts::{
    Digest, Document as _,
    documents::{ShotsDocument, SubtitlesDocument, ThumbnailsDocument},
    manifest::StepSummary,
    result::{Outcome, Reason, StepResult, Termination, UnitResult},
    step::{Step, StepParams},
    work_order::WorkOrder,
};
use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Command, Stdio},
};
use support::{
    FOLDER, SOURCE, Worker,
    catalogue::look_up,
    committed, fingerprint, order, result_key, run, shots,
    starts::Counted,
    store::{Fault, TestStore},
    subtitles, thumbnails,
    titles::{with_speech, without_picture, without_sound},
};

fn document<D: showrunner_contracts::Document>(store: &TestStore, name: &str) -> D {
    D::from_bytes(&store.object(&format!("{FOLDER}{name}")).expect("the document is stored")).expect("the document reads")
}

#[test]
fn a_whole_order_is_done_with_one_download_and_one_decode_of_each_kind() {
    let store = TestStore::with(&with_speech());
    let ran = run(&order(&store, &[shots(), thumbnails(), subtitles()]));
    let unit = ran.unit(&store);
    assert_eq!(ran.code, Some(0), "{:?}", unit.steps);
    assert_eq!((unit.run.picture_decodes, unit.run.sound_decodes), (1, 1));
    assert!(unit.run.sandbox.starts_with("landlock"), "{}", unit.run.sandbox);
    let size = store.object(SOURCE).expect("the source").len() as u64;
    assert!(unit.run.bytes_read * 100 <= size * 105, "{} bytes read of {size}", unit.run.bytes_read);
    let media = unit.media.as_ref().expect("the source was opened");
    assert_eq!(media.duration * i64::from(media.time_base.num), 6 * i64::from(media.time_base.den));

    let found = committed(&store, &unit, Step::Shots);
    assert_eq!(found.summary, StepSummary::Shots { shots: 3, cuts: 2, dissolves: 0, fades: 0, inferred: 0 });
    let base = document::<ShotsDocument>(&store, "shots.json");
    let starts: Vec<i64> = base
        .shots
        .iter()
        .map(|shot| shot.span.start * 1_000 * i64::from(base.time_base.num) / i64::from(base.time_base.den))
        .collect();
    assert_eq!(starts, [0, 2_000, 4_000]);

    let picked = committed(&store, &unit, Step::Thumbnails);
    let document_of = document::<ThumbnailsDocument>(&store, "thumbnails.json");
    assert!(!document_of.picks.is_empty() && picked.outputs.iter().any(|output| output.name == "sprite-0.jpg"));
    let index = store.object(&format!("{FOLDER}sprite.vtt")).expect("the index is stored");
    let sheet = picked.outputs.iter().find(|output| output.name == "sprite-0.jpg").expect("a sheet");
    let cue = format!("\n{}#xywh=0,0,", sheet.sha256.hex());
    assert!(String::from_utf8_lossy(&index).contains(&cue), "the index names the sheet by its digest");
    for pick in &document_of.picks {
        let picture = store.object(&format!("{FOLDER}{}", pick.name)).expect("the picture is stored");
        let picture = showrunner_worker::steps::jpeg::decode(&picture).expect("a JPEG");
        assert_eq!((picture.width, picture.height), (pick.width, pick.height));
        let span = &base.shots[pick.shot as usize].span;
        assert!((span.start..span.end).contains(&pick.at));
    }

    // What each used is told apart, and together it is all but all that was used.
    let told: Vec<u64> = unit.steps.iter().map(|step| step.cpu_ms.expect("told")).collect();
    let decodes = [unit.run.picture_decode_cpu_ms, unit.run.sound_decode_cpu_ms].map(|told| told.expect("told"));
    let sum = told.iter().chain(&decodes).sum::<u64>();
    assert!(told.iter().chain(&decodes[..1]).all(|told| *told > 0), "{told:?} {decodes:?}");
    assert!(sum <= unit.run.cpu_ms && sum * 10 >= unit.run.cpu_ms * 8, "{told:?} {decodes:?} of {}", unit.run.cpu_ms);

    committed(&store, &unit, Step::Subtitles);
    let said = document::<SubtitlesDocument>(&store, "subtitles.json");
    let text = said.cues.iter().flat_map(|cue| cue.lines.clone()).collect::<Vec<_>>().join(" ").to_lowercase();
    assert!(text.contains("it was the best of times"), "{text}");
}

/// The head of a file is looked at before its picture is decoded, for the time of the first frame: that is the third.
#[test]
fn ffmpeg_is_started_once_for_the_picture_once_for_the_sound_and_once_to_look() {
    let store = TestStore::with(&with_speech());
    let counted = Counted::new();
    let ran = Worker::start_with(counted.root(), &order(&store, &[shots(), thumbnails(), subtitles(), fingerprint()]), 20).end();
    assert_eq!(ran.code, Some(0));
    let starts = counted.starts();
    assert!((2..=3).contains(&starts), "{starts} starts");
}

#[test]
fn a_second_run_finds_everything_done_and_does_not_read_the_source() {
    let store = TestStore::with(&without_sound());
    let order = order(&store, &[shots(), thumbnails()]);
    let first = run(&order).unit(&store);
    let reads = store.source_reads().len();
    let again = run(&order);
    let second = again.unit(&store);
    assert_eq!(again.code, Some(0));
    assert_eq!(store.source_reads().len(), reads);
    assert_eq!((second.run.picture_decodes, second.run.picture_decode_cpu_ms), (0, None));
    assert!(second.steps.iter().all(|step| (step.wall_ms, step.cpu_ms) == (0, None)), "{:?}", second.steps);
    for (before, after) in first.steps.iter().zip(&second.steps) {
        assert_eq!(before.outcome, after.outcome);
    }
}

#[test]
fn two_runs_give_the_same_bytes() {
    let title = with_speech();
    let results = || {
        let store = TestStore::with(&title);
        assert_eq!(run(&order(&store, &[shots(), thumbnails(), subtitles(), fingerprint()])).code, Some(0));
        store.results()
    };
    let (first, second) = (results(), results());
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    for (key, bytes) in &first {
        assert_eq!(Digest::of(bytes), Digest::of(&second[key]), "{key}");
    }
}

#[test]
fn thumbnails_from_given_shots_are_those_of_the_whole_order() {
    let title = without_sound();
    let (whole, apart) = (TestStore::with(&title), TestStore::with(&title));
    assert_eq!(run(&order(&whole, &[shots(), thumbnails()])).code, Some(0));
    assert_eq!(run(&order(&apart, &[shots()])).code, Some(0));
    let ran = run(&order(&apart, &[thumbnails()]));
    assert_eq!(ran.code, Some(0));
    assert_eq!(whole.results(), apart.results());
}

#[test]
fn a_transfer_that_is_cut_twice_goes_on_where_it_was() {
    let title = without_sound();
    let store = TestStore::with(&title);
    store.misbehave(&[Fault::CutAfter(10_000), Fault::CutAfter(5_000)]);
    let ran = run(&order(&store, &[shots()]));
    assert_eq!(ran.code, Some(0));
    let ranges: Vec<Option<String>> = store.source_reads().into_iter().map(|seen| seen.range).collect();
    assert_eq!(ranges.len(), 3);
    assert!(ranges[0].is_none() && ranges[1..].iter().all(Option::is_some), "{ranges:?}");
    assert_eq!(ran.unit(&store).run.picture_decodes, 1);
}

#[test]
fn a_store_that_comes_back_in_time_costs_nothing_but_time() {
    let store = TestStore::with(&without_sound());
    let order = order(&store, &[shots()]);
    store.away(503, 3);
    assert_eq!(run(&order).code, Some(0));
}

#[test]
fn a_store_that_stays_away_is_told_in_the_last_words() {
    let store = TestStore::with(&without_sound());
    let order = order(&store, &[shots()]);
    store.away(503, u32::MAX);
    let ran = Worker::start(&order, 1).end();
    assert_eq!(ran.code, Some(11));
    let Termination::Failure(failure) = ran.termination else { panic!("there can be no result") };
    assert_eq!(failure.reason, Reason::StoreUnavailable);
    assert!(!failure.message.contains("127.0.0.1"), "addresses are signed and never told: {}", failure.message);
}

#[test]
fn a_store_that_is_full_ends_the_attempt_at_once_and_says_what_to_do() {
    for (status, code) in [(403, "QuotaExceeded"), (400, "XMinioAdminBucketQuotaExceeded"), (507, "XMinioStorageFull")] {
        let store = TestStore::with(&without_sound());
        let order = order(&store, &[shots(), thumbnails()]);
        store.be_full("", status, code);
        let ran = Worker::start(&order, 170).end();
        assert_eq!(ran.code, Some(11), "{code}");
        let Termination::Failure(failure) = ran.termination else { panic!("there can be no result") };
        assert_eq!(failure.reason, Reason::StoreUnavailable, "{code}");
        assert!(failure.message.contains("the store is full") && failure.message.contains("quota"), "{}", failure.message);
        let asked = store.seen();
        let writes = asked.iter().filter(|seen| seen.status == status && !seen.key.ends_with("progress.json"));
        let mut keys: Vec<&str> = writes.map(|seen| seen.key.as_str()).collect();
        let all = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all, "nobody makes room while a pod waits: {keys:?}");
        store.be_full("", 0, "");
        assert_eq!(run(&order).code, Some(0), "with room again it is done");
    }
}

#[test]
fn a_store_that_fills_up_keeps_what_was_committed() {
    let store = TestStore::with(&without_sound());
    let order = order(&store, &[shots(), thumbnails()]);
    store.be_full("thumbnail-", 403, "QuotaExceeded");
    let ran = run(&order);
    assert_eq!(ran.code, Some(10));
    let unit = ran.unit(&store);
    committed(&store, &unit, Step::Shots);
    match &unit.steps[1].outcome {
        Outcome::Failed(failure) => assert_eq!(failure.reason, Reason::StoreUnavailable, "{}", failure.message),
        other => panic!("{other:?}"),
    }
    assert!(store.object(&result_key(&order.steps[1].key)).is_none(), "no result without its files");
}

#[test]
fn a_transfer_that_stalls_goes_on_where_it_was() {
    let store = TestStore::with(&without_sound());
    let order = order(&store, &[shots()]);
    store.misbehave(&[Fault::Hang]);
    assert_eq!(Worker::start(&order, 60).end().code, Some(0));
    assert_eq!(store.source_reads().last().and_then(|seen| seen.range.clone()).as_deref(), Some("bytes=1-"));
}

#[test]
fn a_write_that_is_never_answered_is_sent_again() {
    let store = TestStore::with(&without_sound());
    let order = order(&store, &[shots()]);
    store.stall_write("shots.json");
    let ran = Worker::start(&order, 60).end();
    assert_eq!(ran.code, Some(0));
    committed(&store, &ran.unit(&store), Step::Shots);
}

#[test]
fn two_titles_that_write_one_result_at_once_agree_on_it() {
    let store = TestStore::with(&without_sound());
    let mine = order(&store, &[shots(), thumbnails()]);
    // Another title with the same source and settings: the same keys, and a folder of its own.
    let mut theirs = mine.clone();
    let other = |text: &str| text.replace(FOLDER, "work/unit/2/");
    theirs.grants.folder = other(&mine.grants.folder);
    theirs.grants.files.values_mut().for_each(|url| *url = other(url));
    theirs.grants.unit_result = other(&mine.grants.unit_result);
    theirs.grants.progress = other(&mine.grants.progress);
    let both = [Worker::start(&mine, 20), Worker::start(&theirs, 20)];
    let ended = both.map(Worker::end);
    assert!(ended.iter().all(|ran| ran.code == Some(0)));
    let theirs = store.object("work/unit/2/unit-result.json").expect("the other's result is stored");
    let (mine, theirs) = (ended[0].unit(&store), UnitResult::from_bytes(&theirs).expect("a unit's result"));
    for step in [Step::Shots, Step::Thumbnails] {
        // Each result names files of one folder, all of them there.
        assert_eq!(committed(&store, &mine, step), committed(&store, &theirs, step));
    }
}

#[test]
fn bytes_other_than_stated_are_refused() {
    let store = TestStore::with(&without_sound());
    let mut order = order(&store, &[shots(), thumbnails()]);
    order.source.sha256 = Some(Digest::of(b"another"));
    let failure = run(&order).failure(&store);
    assert_eq!(failure.reason, Reason::SourceDigestMismatch);
}

#[test]
fn a_source_without_bytes_is_refused_before_it_is_read() {
    let store = TestStore::with(b"");
    let failure = run(&order(&store, &[shots()])).failure(&store);
    assert_eq!(failure.reason, Reason::SourceEmpty);
    assert!(store.source_reads().is_empty());
}

#[test]
fn text_that_calls_itself_a_film_is_refused() {
    let store = TestStore::with("ffconcat version 1.0\nfile /etc/passwd\n".repeat(50).as_bytes());
    let failure = run(&order(&store, &[shots(), thumbnails()])).failure(&store);
    assert_eq!(failure.reason, Reason::SourceNotMedia);
}

#[test]
fn a_film_cut_in_half_is_refused_as_truncated() {
    let title = without_sound();
    let store = TestStore::with(&title[..title.len() / 2]);
    let failure = run(&order(&store, &[shots(), thumbnails()])).failure(&store);
    assert_eq!(failure.reason, Reason::SourceTruncated, "{}", failure.message);
}

#[test]
fn a_title_longer_than_the_limit_is_refused() {
    let store = TestStore::with(&without_sound());
    let mut order = order(&store, &[shots()]);
    order.limits.max_media_seconds = 5;
    assert_eq!(run(&order).failure(&store).reason, Reason::SourceTooLarge);
}

#[test]
fn a_silent_film_has_no_subtitles_and_a_reading_no_shots() {
    for (title, skipped, reason) in
        [(without_sound(), Step::Subtitles, Reason::NoSound), (without_picture(), Step::Shots, Reason::NoPicture)]
    {
        let store = TestStore::with(&title);
        let ran = run(&order(&store, &[shots(), subtitles()]));
        assert_eq!(ran.code, Some(0));
        for outcome in ran.unit(&store).steps {
            match outcome.outcome {
                Outcome::Skipped(why) => assert_eq!((outcome.step, why), (skipped, reason)),
                Outcome::Done { .. } => assert_ne!(outcome.step, skipped),
                Outcome::Failed(failure) => panic!("{}: {}", outcome.step, failure.message),
            }
        }
    }
}

#[test]
fn a_source_that_changed_vanished_or_is_denied_is_told_apart() {
    for (fault, reason) in [(412, Reason::SourceChanged), (404, Reason::SourceNotFound), (403, Reason::StoreDenied)] {
        let store = TestStore::with(&without_sound());
        let order = order(&store, &[shots()]);
        store.misbehave(&[Fault::Answer(fault)]);
        assert_eq!(run(&order).failure(&store).reason, reason);
    }
}

#[test]
fn a_step_that_cannot_be_done_does_not_stop_the_others() {
    let store = TestStore::with(&with_speech());
    let mut order = order(&store, &[shots(), subtitles()]);
    order.steps[1].models[0].digest = Digest::of(b"another model");
    let ran = run(&order);
    assert_eq!(ran.code, Some(10));
    let unit = ran.unit(&store);
    committed(&store, &unit, Step::Shots);
    match &unit.steps[1].outcome {
        Outcome::Failed(failure) => assert_eq!(failure.reason, Reason::ModelDigestMismatch),
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_committed_first_is_right() {
    let title = without_sound();
    let store = TestStore::with(&title);
    let order = order(&store, &[shots()]);
    assert_eq!(run(&order).code, Some(0));
    let key = result_key(&order.steps[0].key);
    let mine = StepResult::from_bytes(&store.object(&key).expect("committed")).expect("a result");
    let theirs = StepResult { folder: "work/unit/0/".to_owned(), ..mine }.to_bytes();
    store.put(&key, &theirs);
    // Another attempt commits while this one works: its result shows only when this one's commit is refused.
    let mut late = order.clone();
    late.steps[0].result_url = store.hidden_until_refusal("results/hidden", &key);
    let ran = run(&late);
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.unit(&store).steps[0].outcome, Outcome::Done { result: Digest::of(&theirs) });
}

#[test]
fn an_order_of_another_version_is_refused_before_anything_is_read() {
    let store = TestStore::with(&without_sound());
    let mut order = order(&store, &[shots()]);
    order.steps[0].algorithm_version += 1;
    let ran = run(&order);
    assert_eq!(ran.code, Some(11));
    let Termination::Failure(failure) = ran.termination else { panic!("there can be no result") };
    assert_eq!(failure.reason, Reason::WorkerVersionMismatch);
    assert!(store.seen().is_empty());
}

#[test]
fn a_worker_that_is_told_to_stop_says_so_and_is_gone() {
    let store = TestStore::with(&without_sound());
    let order = order(&store, &[shots()]);
    store.misbehave(&[Fault::Hang]);
    let worker = Worker::start(&order, 60);
    store.wait_for_source_read();
    kill(Pid::from_raw(worker.pid()), Signal::SIGTERM).expect("the worker is there");
    let ran = worker.end();
    assert_eq!(ran.code, Some(11));
    let Termination::Failure(failure) = ran.termination else { panic!("there can be no result") };
    assert!(failure.message.contains("stopped by signal 15"), "{}", failure.message);
}

#[test]
fn an_order_that_cannot_be_done_is_refused_for_what_is_wrong_with_it() {
    type Spoil = fn(&mut WorkOrder);
    let store = TestStore::with(b"anything");
    let good = order(&store, &[shots(), thumbnails(), subtitles()]);
    assert_eq!(showrunner_worker::order::check(&good), Ok(()));
    let spoilt: [(Spoil, &str); 11] = [
        (|order| order.steps.clear(), "no steps"),
        (|order| order.steps.swap(0, 1), "reads shots"),
        (|order| order.steps.push(order.steps[0].clone()), "twice"),
        (|order| order.steps[0].params = subtitles(), "belong to subtitles"),
        (|order| drop(order.grants.files.remove("thumbnail-3.jpg")), "no writing of thumbnail-3.jpg"),
        (|order| drop(order.grants.commits.remove(&Step::Subtitles)), "no commit of the step subtitles"),
        (|order| order.limits.threads = 0, "limits"),
        (|order| order.source.etag.clear(), "ETag"),
        (|order| order.source.url = "file:///etc/passwd".to_owned(), "signed http"),
        (|order| order.grants.progress = "http://user:secret@store/progress".to_owned(), "signed http"),
        (
            |order| {
                order.steps[1].params =
                    StepParams::Thumbnails { select: 9, sprite_interval_ms: 1_000, exclude_nudity_at_or_above: 3 };
            },
            "select must be 1 to 8",
        ),
    ];
    for (spoil, words) in spoilt {
        let mut order = good.clone();
        spoil(&mut order);
        let failure = showrunner_worker::order::check(&order).expect_err(words);
        assert_eq!(failure.reason, Reason::OrderMalformed);
        assert!(failure.message.contains(words), "{words}: {}", failure.message);
        assert!(!failure.message.contains("secret"));
    }
}

#[test]
fn an_order_that_reads_no_source_has_what_is_known_of_it_and_what_it_reads_instead() {
    type Spoil = fn(&mut WorkOrder);
    let store = TestStore::with(b"anything");
    let mut good = look_up(&store, "tt-1", 3, b"a query");
    // Nobody asks for the source.
    good.source.etag.clear();
    assert_eq!(showrunner_worker::order::check(&good), Ok(()));
    let spoilt: [(Spoil, &str); 5] = [
        (|order| order.media = None, "what is known of it"),
        (|order| order.catalogue = None, "has to name a catalogue"),
        (|order| order.given[0].name = "fingerprint.json".to_owned(), "give fingerprint.srfq"),
        (|order| order.given.clear(), "reads fingerprint"),
        (|order| order.catalogue = Some("file:///secret".to_owned()), "signed http"),
    ];
    for (spoil, words) in spoilt {
        let mut order = good.clone();
        spoil(&mut order);
        let failure = showrunner_worker::order::check(&order).expect_err(words);
        assert_eq!(failure.reason, Reason::OrderMalformed);
        assert!(failure.message.contains(words) && !failure.message.contains("secret"), "{words}: {}", failure.message);
    }
}

#[test]
fn a_thumbnail_that_was_not_asked_for_needs_no_grant() {
    let store = TestStore::with(b"anything");
    let order = order(&store, &[shots(), thumbnails()]);
    assert!(!order.grants.files.contains_key("thumbnail-4.jpg"));
    assert_eq!(showrunner_worker::order::check(&order), Ok(()));
}

/// Signs every address of an order, after a fashion.
fn sign(value: &mut Value, signature: &str) {
    match value {
        Value::String(text) if text.starts_with("http://") => text.push_str(signature),
        Value::Array(values) => values.iter_mut().for_each(|value| sign(value, signature)),
        Value::Object(fields) => fields.values_mut().for_each(|value| sign(value, signature)),
        _ => {}
    }
}

#[test]
fn a_signed_address_is_in_no_word_of_the_worker() {
    const SIGNATURE: &str = "?X-Amz-Signature=the-canary-sings";
    let store = TestStore::with(&with_speech());
    let mut signed = serde_json::to_value(order(&store, &[shots(), thumbnails(), subtitles()])).expect("an order is JSON");
    sign(&mut signed, SIGNATURE);
    let signed: WorkOrder = serde_json::from_value(signed).expect("it is an order still");
    assert!(signed.source.url.ends_with(SIGNATURE) && signed.grants.progress.ends_with(SIGNATURE));
    // With a store that misbehaves, there is something to tell about it.
    store.away(503, 2);
    store.misbehave(&[Fault::CutAfter(1_000), Fault::Answer(500)]);
    let words = Worker::words(&signed, "trace");
    assert!(words.lines().count() > 20 && words.contains("500"), "it told too little to see anything: {words}");
    assert!(!words.contains("canary") && !words.contains("X-Amz"), "{words}");
    store.misbehave(&[Fault::Answer(403)]);
    store.results().keys().for_each(|key| store.remove(key));
    let refused = Worker::words(&signed, "trace");
    assert!(refused.contains("403") && !refused.contains("canary") && !refused.contains("X-Amz"), "{refused}");
    let written = store.results().into_values().chain(store.object(&format!("{FOLDER}unit-result.json")));
    assert!(written.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).all(|text| !text.contains("canary")));
}

#[test]
fn a_worker_that_crashes_leaves_no_core() {
    let (_, most) = getrlimit(Resource::RLIMIT_CORE).expect("a limit");
    setrlimit(Resource::RLIMIT_CORE, most, most).expect("what is allowed may be set");
    let folder = tempfile::tempdir().expect("temporary folder");
    let other = Command::new("/bin/sh").args(["-c", "kill -ABRT $$"]).current_dir(folder.path()).status().expect("a shell");

    let store = TestStore::with(&with_speech());
    store.misbehave(&[Fault::Hang]);
    let worker = Worker::start(&order(&store, &[shots()]), 20);
    store.wait_for_source_read();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", worker.pid())).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("the kernel says so");
    assert_eq!(core.split_ascii_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    // Not the limit alone: it does not count where the kernel hands cores to a program.
    let raise = ["--core=unlimited", "--pid", &worker.pid().to_string()].map(str::to_owned);
    let raised = Command::new("prlimit").args(raise).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    let end = worker.crash();
    assert_eq!(end.signal(), Some(Signal::SIGABRT as i32));
    assert!(!end.core_dumped(), "with the limit raised by root: {raised}");
    assert!(other.core_dumped() || most == 0, "this machine keeps no core of anything: nothing was shown");
}
