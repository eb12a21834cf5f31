//! Black bars around a title's picture, found over many frames. Pure arithmetic; no I/O.

/// Luma up to this is bar-black: limited-range black with coding noise, at full range.
const BLACK: u8 = 20;
/// A line is black in a frame when all but one in so many of its pixels are.
const EXCEPTIONS: usize = 40;
/// A line is bar when it is black in all but one in so many frames.
const BRIGHT_FRAMES: usize = 40;
/// Bars reach at most this share of a side from each edge.
const MOST: f32 = 0.34;
/// Frames that show something, below which nothing is said: a dark scene has no edges.
const LEAST_FRAMES: usize = 3;

/// The picture inside the bars, in shares of the frame's sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bars {
    /// Share of the width that is bar at the left.
    pub left: f32,
    /// Share of the height above.
    pub top: f32,
    /// Share of the width at the right.
    pub right: f32,
    /// Share of the height below.
    pub bottom: f32,
}

impl Bars {
    /// No bars.
    pub const NONE: Self = Self { left: 0.0, top: 0.0, right: 0.0, bottom: 0.0 };
}

/// Watches lines over a title's frames, all of one size.
#[derive(Clone, Debug, Default)]
pub struct BarFinder {
    frames: usize,
    rows: Vec<usize>,
    columns: Vec<usize>,
}

impl BarFinder {
    /// Looks at one frame: luma, 0 to 255, row by row. Black frames say nothing and are passed over, as are frames of another
    /// size than the first.
    pub fn look(&mut self, luma: &[u8], width: usize, height: usize) {
        if width == 0 || height == 0 || luma.len() != width * height {
            return;
        }
        if self.rows.is_empty() {
            (self.rows, self.columns) = (vec![0; height], vec![0; width]);
        }
        if self.rows.len() != height || self.columns.len() != width {
            return;
        }
        let (mut rows, mut columns) = (vec![0; height], vec![0; width]);
        for (y, line) in luma.chunks_exact(width).enumerate() {
            for (x, value) in line.iter().enumerate() {
                let bright = usize::from(*value > BLACK);
                rows[y] += bright;
                columns[x] += bright;
            }
        }
        if rows.iter().sum::<usize>() * 4 < width * height {
            return; // too dark to tell where it ends
        }
        self.frames += 1;
        for (seen, bright) in self.rows.iter_mut().zip(rows) {
            *seen += usize::from(bright > width / EXCEPTIONS);
        }
        for (seen, bright) in self.columns.iter_mut().zip(columns) {
            *seen += usize::from(bright > height / EXCEPTIONS);
        }
    }

    /// The bars of what was seen.
    pub fn bars(&self) -> Bars {
        if self.frames < LEAST_FRAMES {
            return Bars::NONE;
        }
        let share = |count: usize, of: usize| {
            // A line that is black and one that is not may share a sample of the picture: it goes with the bar.
            let share = if count == 0 { 0.0 } else { count as f32 / of as f32 };
            if share > MOST { 0.0 } else { share }
        };
        let black = |bright: &&usize| **bright <= self.frames / BRIGHT_FRAMES;
        let (height, width) = (self.rows.len(), self.columns.len());
        Bars {
            left: share(self.columns.iter().take_while(black).count(), width),
            top: share(self.rows.iter().take_while(black).count(), height),
            right: share(self.columns.iter().rev().take_while(black).count(), width),
            bottom: share(self.rows.iter().rev().take_while(black).count(), height),
        }
    }
}
