//! Tells which titles are copies of which: prints of picture and sound, their comparison, and an index over a whole catalogue.
//! Pure: pictures, samples and files come in as slices, nothing is read, mapped or written.
//!
//! The way of one title: a [`Painter`] makes a [`Query`] of its pictures, an [`Ear`] of its sound. [`Query::print`] is what the
//! catalogue keeps of it ([`file`]); the whole query can wait for its lookup in a file of its own ([`query_file`]). [`index`] gives
//! the titles that may share something with it, and [`compare`] says of each what they share: a [`Match`] with its [`Class`],
//! offset, speed, and the spans in both.
//!
//! How copies are found though they were cropped, mirrored, framed in black or played faster:
//! - **Bars** are cut off before anything is hashed, on both sides.
//! - The **query** is seen in a hundred ways ([`Look`]): mirrored, and with what a crop may have taken away guessed from the edge.
//!   The catalogue keeps one.
//! - Pictures are compared by the **low frequencies** of their hash ([`Code`]), which a crop leaves almost as they are; that alone
//!   is too coarse, so what counts is that many agree on **one offset and speed**.
//! - Sound is heard at eleven **speeds**.

#![forbid(unsafe_code)]

mod align;
mod bars;
mod class;
mod code;
mod compare;
mod evidence;
pub mod file;
pub mod index;
mod look;
mod picture;
mod print;
pub mod query_file;
mod sound;

pub use bars::{BarFinder, Bars};
pub use class::{Class, Match, Segment, SharedPart, Side, Span};
pub use code::Code;
pub use compare::{Candidate, compare, compare_only};
pub use look::{Look, looks};
pub use picture::{Painter, PictureError};
pub use print::{Print, Query, Seen};
pub use showrunner_pdq::Hash;
pub use sound::{Ear, EarError, ITEM_SECONDS, SAMPLE_RATE, SPEEDS};

/// Name of the method. Its version is that of the files ([`file::VERSION`]), raised by hand whenever the same title could give
/// another print.
pub const ALGORITHM: &str = "pdq-chromaprint-votes";
