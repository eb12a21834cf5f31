//! How strong a title's nudity and language are, from 0 to 5, with the moments that show it, and whether a declared rating fits.
//! Pure: probabilities, words and times come in as arguments, nothing is read or written; running a model is the caller's.
//!
//! What is decided here is advice to people who rate. Tables that turn evidence into levels have a name and a version, and are
//! ours: nobody has calibrated them against a rating body's decisions.

#![forbid(unsafe_code)]

mod language;
mod lexicon;
mod pictures;
mod prepare;
mod rating;

pub use language::{Hit, LANGUAGE_TABLE, Language, Spoken, language, language_level, words_in};
pub use lexicon::{Lexicon, Tier};
pub use pictures::{Episode, PICTURE_TABLE, Sample, Shown, picture_level, shown};
pub use prepare::{NSFW_SIDE, PrepareError, SQUEEZED, middle, nsfw_input, squeezed};
pub use rating::{CATEGORIES, Gap, HOUSE_TABLE, Limits, Rating, System, gaps};

/// Name of the method. Its version is that of the step in the contracts, raised by hand whenever the same evidence could give
/// other levels.
pub const ALGORITHM: &str = "house-levels";

/// The strongest level.
pub const MAX_LEVEL: u8 = 5;
