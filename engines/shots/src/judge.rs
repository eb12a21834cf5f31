//! Somebody else is asked about cuts that the rules doubt: what they are shown, what their answer counts for, how often they may be
//! asked. Pure; no I/O.

use crate::feature::shrink;
use std::collections::VecDeque;

/// Frames that are shown at a time.
pub const FRAMES: usize = 100;
/// Width of what is shown, pixels.
pub const WIDTH: usize = 48;
/// Height.
pub const HEIGHT: usize = 27;
/// Frames shown after the one in doubt, which is the first of them.
pub(crate) const AHEAD: usize = FRAMES / 2;
/// How far from the middle of what was shown an answer still holds: so many frames know enough of what is around them.
const REACH: usize = FRAMES / 4;
/// A cut this unlikely is none. Of 161 true cuts on the real reels for tuning none was below 0.21.
const LEAST_LIKELY: f32 = 0.1;
/// One in so many frames may be shown, and the first time is free: a title of nothing but doubts costs no more.
const ONE_IN: usize = 5;

/// Says where cuts are.
pub trait Judge {
    /// How likely a cut follows each of [`FRAMES`] frames, 0 to 1. `frames` is packed rgb24 of [`WIDTH`] x [`HEIGHT`], one after
    /// another.
    ///
    /// # Errors
    /// Says why it cannot.
    fn cuts(&mut self, frames: &[u8]) -> Result<Vec<f32>, String>;
}

/// The one who is asked, and the frames that it may be shown.
pub(crate) struct SecondOpinion {
    judge: Box<dyn Judge>,
    /// Number of the first frame held.
    first: usize,
    held: VecDeque<Vec<[u8; 3]>>,
    /// The frame in the middle of what was shown last, and the answer.
    last: Option<(usize, Vec<f32>)>,
    asked: usize,
}

impl SecondOpinion {
    pub(crate) fn new(judge: Box<dyn Judge>) -> Self {
        Self { judge, first: 0, held: VecDeque::with_capacity(FRAMES + 1), last: None, asked: 0 }
    }

    /// Frames that were shown.
    pub(crate) const fn shown(&self) -> usize {
        self.asked * FRAMES
    }

    /// The next frame.
    pub(crate) fn see(&mut self, rgb: &[u8], size: (usize, usize)) {
        self.held.push_back(shrink(rgb, size, (WIDTH, HEIGHT)));
        if self.held.len() > FRAMES {
            self.held.pop_front();
            self.first += 1;
        }
    }

    /// Whether a cut to frame `at` may stand. Asked when [`AHEAD`] frames from it on are there, or the title is over.
    pub(crate) fn allows(&mut self, at: usize) -> Result<bool, String> {
        if self.last.as_ref().is_none_or(|(middle, _)| middle.abs_diff(at) > REACH) {
            if self.shown() > (self.first + self.held.len()) / ONE_IN {
                return Ok(true);
            }
            let answer = self.judge.cuts(&self.around(at))?;
            if answer.len() != FRAMES {
                return Err(format!("{} answers for {FRAMES} frames", answer.len()));
            }
            self.asked += 1;
            self.last = Some((at, answer));
        }
        let Some((middle, answer)) = &self.last else { return Ok(true) };
        // The cut follows the frame before; a frame to either side is as good.
        let before = at + AHEAD - middle - 1;
        Ok(answer[before - 1..=before + 1].iter().any(|likely| *likely >= LEAST_LIKELY))
    }

    /// The frames around `at`; before the title's first and after its last, those.
    fn around(&self, at: usize) -> Vec<u8> {
        let last = self.first + self.held.len() - 1;
        let near = (0..FRAMES).map(|nth| (at + nth).saturating_sub(AHEAD).clamp(self.first, last));
        near.flat_map(|frame| self.held[frame - self.first].iter().flatten()).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::RefCell, rc::Rc};

    /// Answers the same always, and keeps what it was shown.
    struct Stub(Vec<f32>, Rc<RefCell<Vec<Vec<u8>>>>);

    impl Judge for Stub {
        fn cuts(&mut self, frames: &[u8]) -> Result<Vec<f32>, String> {
            self.1.borrow_mut().push(frames.to_vec());
            Ok(self.0.clone())
        }
    }

    /// An opinion that has seen `frames` grey frames, each as bright as its number.
    fn opinion(answer: Vec<f32>, frames: usize) -> (SecondOpinion, Rc<RefCell<Vec<Vec<u8>>>>) {
        let shown = Rc::default();
        let mut opinion = SecondOpinion::new(Box::new(Stub(answer, Rc::clone(&shown))));
        for frame in 0..frames {
            opinion.see(&[frame as u8; 4 * 4 * 3], (4, 4));
        }
        (opinion, shown)
    }

    /// Likely after these frames alone.
    fn after(likely: &[usize]) -> Vec<f32> {
        (0..FRAMES).map(|frame| if likely.contains(&frame) { 0.9 } else { 0.01 }).collect()
    }

    #[test]
    fn what_is_shown_has_the_frame_in_doubt_in_its_middle_and_repeats_the_ends() {
        let grey = |shown: &[u8]| shown.iter().step_by(WIDTH * HEIGHT * 3).copied().collect::<Vec<u8>>();
        let (mut whole, shown) = opinion(after(&[]), 120);
        whole.allows(70).expect("an answer");
        assert_eq!(grey(&shown.borrow()[0]), (20..120).collect::<Vec<u8>>());
        let (mut short, shown) = opinion(after(&[]), 12);
        short.allows(7).expect("an answer");
        let wanted: Vec<u8> = [0; 43].into_iter().chain(0..12).chain([11; 45]).collect();
        assert_eq!(grey(&shown.borrow()[0]), wanted);
    }

    #[test]
    fn a_cut_stands_where_it_is_likely_a_frame_to_either_side_and_nowhere_else() {
        for likely in [48, 49, 50] {
            assert_eq!(opinion(after(&[likely]), 120).0.allows(70), Ok(true), "{likely}");
        }
        for likely in [&[][..], &[47], &[51]] {
            assert_eq!(opinion(after(likely), 120).0.allows(70), Ok(false), "{likely:?}");
        }
    }

    #[test]
    fn one_answer_serves_its_neighbours_and_no_more_is_shown_than_a_fifth() {
        let (mut told, shown) = opinion(after(&[49, 60]), 120);
        assert_eq!([70, 81, 75, 70 + REACH].map(|at| told.allows(at)), [Ok(true), Ok(true), Ok(false), Ok(false)]);
        assert_eq!((told.shown(), shown.borrow().len()), (FRAMES, 1));
        assert_eq!(told.allows(100), Ok(true), "nobody may be asked yet: the rules' word stands");
        for _ in 120..=FRAMES * ONE_IN {
            told.see(&[0; 48], (4, 4));
        }
        assert_eq!((told.allows(FRAMES * ONE_IN - 50), told.shown()), (Ok(true), 2 * FRAMES));
    }

    #[test]
    fn an_answer_for_too_few_frames_is_none() {
        assert!(opinion(vec![1.0; 7], 120).0.allows(70).is_err());
    }
}
