//! Picks the frames that show a title best: measures candidates, keeps a bounded pool, chooses diverse ones, lays out trick-play sheets.
//! Pure: pictures and times come in as arguments, nothing is read or written; JPEG encoding is the caller's.
//!
//! The way of one title: [`measure`] every candidate picture as it is decoded, offer it to a [`Pool`], and when the shots are
//! known give the pool's candidates and the [`ShotSpan`]s to [`select`], or to [`select_shown`] where some may not be shown.

#![forbid(unsafe_code)]

mod category;
mod faults;
mod measure;
mod picture;
mod pool;
mod quality;
mod select;
mod signs;
pub mod trickplay;

pub use category::Category;
pub use faults::{Faults, Inputs};
pub use measure::{Candidate, Reject, measure};
pub use picture::{Crop, Picture, PictureError};
pub use pool::{Offer, Pool};
pub use quality::{ClassicalQuality, Quality, QualityError, QualityModel};
pub use select::{Note, Pick, Selection, Settings, ShotSpan, select, select_shown};
pub use showrunner_pdq::{HASH_BITS, Hash, HashError};
pub use signs::Signs;

/// Name of the method. Its version is that of the step in the contracts, raised by hand whenever the same frames could give
/// other picks.
pub const ALGORITHM: &str = "classical-mmr-pdq";
