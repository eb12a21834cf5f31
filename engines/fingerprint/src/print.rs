//! What is kept of a title, and what is known of one that is looked up. No I/O.

use showrunner_pdq::{Hash, LEAST_QUALITY};

use crate::{Code, ITEM_SECONDS, Look};

/// What one frame looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// PDQ of the picture inside its bars.
    pub hash: Hash,
    /// PDQ's quality, 0 to 100.
    pub quality: u8,
}

impl Seen {
    /// Whether there is enough to see.
    pub fn is_telling(&self) -> bool {
        self.quality >= LEAST_QUALITY
    }
}

/// The print of a title: one frame a second, and Chromaprint's items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Print {
    /// One for each second.
    pub frames: Vec<Seen>,
    /// One for each [`ITEM_SECONDS`].
    pub sound: Vec<u32>,
}

impl Print {
    /// How long it is by what it holds, in seconds.
    pub fn seconds(&self) -> f32 {
        (self.frames.len() as f32).max(self.sound.len() as f32 * ITEM_SECONDS)
    }
}

/// A title that is looked up: its print, and the looks and speeds it is tried with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// What the catalogue keeps of it.
    pub print: Print,
    /// Its frames in each look; as many as the print has.
    pub looks: Vec<(Look, Vec<Code>)>,
    /// Its sound as it would be if it had been played faster by this factor, which is undone.
    pub sounds: Vec<(f32, Vec<u32>)>,
}
