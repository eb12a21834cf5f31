//! The ways in which a query is seen, so that one print of the catalogue's title is enough. Pure arithmetic; no I/O.

use showrunner_pdq::Part;

use crate::Bars;

/// What may have been cut off at the near and the far end of an axis, in shares of the uncut side. Low frequencies bear an error
/// of 3 % in scale and 2 % in place, so this covers 0 to 12 % at either end.
const CUTS: [(f32, f32); 7] = [(0.0, 0.0), (0.04, 0.04), (0.09, 0.09), (0.075, 0.02), (0.02, 0.075), (0.11, 0.05), (0.05, 0.11)];
/// What the catalogue's title may lack of the query, at each end of both axes.
const INWARD: [f32; 2] = [0.04, 0.09];

/// One way to see a query's frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// What was cut off at left, top, right and bottom, in shares of the uncut sides; negative where the query shows more.
    pub cut: [f32; 4],
    /// As in a mirror.
    pub mirrored: bool,
    /// With black bars and all: for a title whose dark edges were taken for bars.
    pub with_bars: bool,
}

impl Look {
    /// As it is.
    pub const PLAIN: Self = Self { cut: [0.0; 4], mirrored: false, with_bars: false };

    /// The part of a frame with these bars that it looks at.
    pub(crate) fn part(&self, bars: &Bars) -> Part {
        let bars = if self.with_bars { &Bars::NONE } else { bars };
        let span = |near: f32, far: f32, bar_near: f32, bar_far: f32| {
            let (inside, rest) = (1.0 - bar_near - bar_far, 1.0 - near - far);
            (bar_near - near / rest * inside, 1.0 - bar_far + far / rest * inside)
        };
        let [left, top, right, bottom] = self.cut;
        let (left, right) = span(left, right, bars.left, bars.right);
        let (top, bottom) = span(top, bottom, bars.top, bars.bottom);
        Part { left, top, right, bottom }
    }
}

/// All ways to see a query whose frames have these bars; the plain one first, each followed by its mirror image.
pub fn looks(bars: &Bars) -> Vec<Look> {
    let mut cuts: Vec<[f32; 4]> =
        CUTS.iter().flat_map(|(left, right)| CUTS.iter().map(move |(top, bottom)| [*left, *top, *right, *bottom])).collect();
    cuts.extend(INWARD.iter().map(|cut| [-cut; 4]));
    let mut looks: Vec<Look> = cuts.into_iter().map(|cut| Look { cut, ..Look::PLAIN }).collect();
    if *bars != Bars::NONE {
        looks.push(Look { with_bars: true, ..Look::PLAIN });
    }
    looks.into_iter().flat_map(|look| [look, Look { mirrored: true, ..look }]).collect()
}
