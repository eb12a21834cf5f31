//! One decode for many steps; one step's fault is its own.

use crate::kit::{Studio, look, plan, sandbox};
use showrunner_worker::{
    fanout::{Fanout, StepError, Viewer, view},
    picture::Picture,
    sandbox::Source,
};

#[derive(Default)]
struct Counter {
    frames: u64,
    samples: u64,
    candidates: u64,
    fails_at: Option<u64>,
    panics_at: Option<u64>,
}

impl Viewer for Counter {
    fn frame(&mut self, _: &Picture) -> Result<(), StepError> {
        self.frames += 1;
        assert!(self.panics_at != Some(self.frames), "out of paper");
        if self.fails_at == Some(self.frames) { Err("out of ink".into()) } else { Ok(()) }
    }

    fn sample(&mut self, _: &Picture) -> Result<(), StepError> {
        self.samples += 1;
        Ok(())
    }

    fn candidate(&mut self, _: &Picture) -> Result<(), StepError> {
        self.candidates += 1;
        Ok(())
    }
}

fn show(viewers: &mut [Counter]) -> (Fanout, u32) {
    let studio = Studio::new();
    let clip = studio.make("clip.mp4", "-f lavfi -i testsrc2=r=25:s=320x180:d=4 -c:v libx264 -preset ultrafast -pix_fmt yuv420p");
    let (sandbox, probe, source) = (sandbox(), look(&clip), Source::open(&clip).expect("opens"));
    let mut borrowed: Vec<&mut dyn Viewer> = viewers.iter_mut().map(|viewer| viewer as &mut dyn Viewer).collect();
    let fanout = view(&sandbox, &source, &probe, &plan(true), &mut borrowed, &mut |_| {}).expect("decodes");
    (fanout, sandbox.starts())
}

#[test]
fn every_viewer_sees_every_frame_of_one_decode() {
    let mut viewers = [Counter::default(), Counter::default(), Counter::default()];
    let (fanout, starts) = show(&mut viewers);
    assert_eq!(starts, 1);
    let summary = fanout.summary.expect("whole");
    assert_eq!((summary.frames, fanout.failures.iter().flatten().count()), (100, 0));
    assert!(viewers.iter().all(|viewer| (viewer.frames, viewer.samples, viewer.candidates) == (100, 100, summary.candidates)));
    assert!(summary.candidates >= 14);
}

#[test]
fn a_viewer_that_fails_or_panics_leaves_and_the_others_go_on() {
    let mut viewers = [
        Counter { fails_at: Some(3), ..Counter::default() },
        Counter::default(),
        Counter { panics_at: Some(5), ..Counter::default() },
    ];
    let (fanout, _) = show(&mut viewers);
    assert_eq!(viewers.each_ref().map(|viewer| viewer.frames), [3, 100, 5]);
    let told: Vec<Option<String>> = fanout.failures.iter().map(|failure| failure.as_ref().map(ToString::to_string)).collect();
    assert_eq!(told[0].as_deref(), Some("out of ink"));
    assert_eq!(told[1], None);
    assert_eq!(told[2].as_deref(), Some("the step ended abruptly: out of paper"));
}

#[test]
fn the_decode_stops_when_nobody_is_left() {
    let mut viewers = [Counter { fails_at: Some(2), ..Counter::default() }, Counter { fails_at: Some(4), ..Counter::default() }];
    let (fanout, _) = show(&mut viewers);
    assert!(fanout.summary.is_none());
    assert_eq!(viewers.each_ref().map(|viewer| viewer.frames), [2, 4]);
}
