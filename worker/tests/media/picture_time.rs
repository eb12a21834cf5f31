//! Every frame has its presentation time, whatever the container does to it.

use crate::kit::{Studio, plan, watch, watch_with};
use showrunner_timeline::{Rounding, Ticks, TimeBase};
use showrunner_worker::{
    picture::{Plan, recipe::MOST_CANDIDATES},
    steps::part_begins,
};

const H264: &str = "-c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p";

#[test]
fn film_frames_are_on_exact_ticks() {
    let studio = Studio::new();
    let film = studio
        .make("film.mp4", &format!("-f lavfi -i testsrc2=r=24000/1001:s=320x180:d=2 {H264} -g 24 -video_track_timescale 24000"));
    let seen = watch(&film);
    assert_eq!(seen.times(), (0..48).map(|n| n * 1001).collect::<Vec<_>>());
    assert_eq!(seen.summary.end.0, 48 * 1001);
    assert_eq!(seen.summary.shortfall, None);
}

#[test]
fn frames_at_a_variable_rate_keep_their_times() {
    let studio = Studio::new();
    let args = format!("-f lavfi -i testsrc2=r=25:s=320x180:d=2 -vf select='not(between(n,10,29))' -fps_mode vfr {H264}");
    for name in ["variable.mp4", "variable.mkv"] {
        let seen = watch(&studio.make(name, &args));
        let wanted: Vec<u64> = (0..10).chain(30..50).map(|n| n * 40).collect();
        assert_eq!(seen.millis(), wanted, "{name}");
    }
}

#[test]
fn a_stream_that_starts_at_ten_seconds_starts_at_zero() {
    let studio = Studio::new();
    let seen = watch(&studio.make("late.ts", &format!("-f lavfi -i testsrc2=r=25:s=320x180:d=1 {H264} -output_ts_offset 10")));
    assert_eq!(seen.probe.time_base(), TimeBase::MPEG);
    assert!(seen.probe.zero.at.0 >= 900_000, "the container's clock does start late: {:?}", seen.probe.zero);
    assert_eq!(seen.times(), (0..25).map(|n| n * 3_600).collect::<Vec<_>>());
}

#[test]
fn an_edit_list_that_starts_inside_a_group_of_pictures_is_honoured() {
    let studio = Studio::new();
    let whole = studio.make("whole.mp4", &format!("-f lavfi -i testsrc2=r=25:s=320x180:d=4 {H264} -g 100"));
    let cut = studio.make("cut.mp4", "-ss 1.2 -i whole.mp4 -c copy");
    let (whole, cut) = (watch(&whole), watch(&cut));
    assert_eq!((cut.glances.len(), cut.frames.len()), (70, 70));
    assert_eq!(cut.millis(), (0..70).map(|n| n * 40).collect::<Vec<_>>());
    for (index, frame) in cut.frames.iter().enumerate() {
        assert!(frame.rgb == whole.frames[index + 30].rgb, "frame {index} of the cut is frame {} of the whole", index + 30);
    }
}

#[test]
fn the_same_pixels_and_times_come_from_one_thread_and_from_four() {
    let studio = Studio::new();
    let clip = studio.make("clip.mp4", &format!("-f lavfi -i testsrc2=r=25:s=640x360:d=2 {H264}"));
    let [one, four] = [1, 4].map(|threads| watch_with(&clip, &Plan { threads, ..plan(true) }));
    assert!(one.glances == four.glances && one.frames == four.frames && one.candidates == four.candidates);
}

#[test]
fn candidates_are_larger_pictures_of_frames_in_order() {
    let studio = Studio::new();
    let clip = studio.make("clip.mp4", &format!("-f lavfi -i testsrc2=r=25:s=1920x1080:d=6 {H264}"));
    let seen = watch_with(&clip, &plan(true));
    assert_eq!(seen.summary.candidates, seen.candidates.len() as u64);
    let times: Vec<u64> = seen.candidates.iter().map(|c| seen.probe.time_base().to_millis(c.pts).0).collect();
    // A quarter of a second apart, on frames of 40 ms.
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 280), "{times:?}");
    assert!((20..=MOST_CANDIDATES as usize).contains(&times.len()), "{times:?}");
    assert!(seen.candidates.iter().all(|c| (c.width, c.height, c.rgb.len()) == (1280, 720, 1280 * 720 * 3)));
    assert!(seen.frames.iter().all(|f| (f.width, f.height, f.rgb.len()) == (640, 360, 640 * 360 * 3)));
    assert!(seen.glances.iter().all(|f| (f.width, f.height, f.rgb.len()) == (160, 90, 160 * 90 * 3)));
}

#[test]
fn analysis_pictures_are_the_first_frames_of_their_part_of_a_second_whoever_else_looks() {
    let studio = Studio::new();
    for (rate, file) in
        [("24000/1001", "film.mkv"), ("25", "late.ts"), ("30000/1001", "edit.mp4"), ("7", "slow.mp4"), ("10/3", "slow.avi")]
    {
        // Ticks of the last one are a third of a second.
        let coded = if file == "slow.avi" { "-c:v mjpeg".to_owned() } else { format!("{H264} -output_ts_offset 3.217") };
        let clip = studio.make(file, &format!("-f lavfi -i testsrc2=r={rate}:s=320x180:d=7 {coded}"));
        let sampled = |samples| watch_with(&clip, &Plan { samples, ..plan(false) });
        let (none, one, three, four) = (sampled(0), sampled(1), sampled(3), sampled(4));
        assert_eq!((none.frames.len(), none.times() == one.times(), one.times() == four.times()), (0, true, true), "{file}");
        for (seen, samples) in [(&one, 1), (&three, 3), (&four, 4)] {
            // Where a part has no frame of its own, the next one has.
            let begins: Vec<Ticks> =
                (0..=7 * samples).map(|part| part_begins(seen.probe.time_base(), part, samples as u8)).collect();
            let first = |part: &[Ticks]| seen.times().into_iter().find(|pts| (part[0].0..part[1].0).contains(pts));
            let wanted: Vec<i64> = begins.windows(2).filter_map(first).collect();
            let given: Vec<i64> = seen.frames.iter().map(|frame| frame.pts.0).collect();
            assert_eq!(given, wanted, "{file}");
        }
        assert!(one.frames.iter().all(|frame| three.frames.contains(frame) && four.frames.contains(frame)), "{file}");
    }
}

#[test]
fn a_file_cut_short_says_how_far_it_got() {
    let studio = Studio::new();
    let args = format!("-f lavfi -i testsrc2=r=25:s=640x360:d=8 {H264} -g 25 -movflags +faststart");
    let whole = std::fs::read(studio.make("whole.mp4", &args)).expect("reads");
    let seen = watch(&studio.write("short.mp4", &whole[..whole.len() / 2]));
    let shortfall = seen.summary.shortfall.as_ref().expect("it is short");
    let second =
        |ticks| seen.probe.time_base().rescale(ticks, TimeBase::new(1, 1).expect("a second"), Rounding::Nearest).expect("fits").0;
    assert!((1..7).contains(&second(shortfall.reached)), "{shortfall:?}");
    assert_eq!(shortfall.stated.map(second), Some(8), "{shortfall:?}");
    assert!(seen.glances.len() > 20);
}
