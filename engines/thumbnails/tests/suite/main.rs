//! Measuring, keeping, choosing and laying out, on drawn pictures of known kinds.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod choosing;
mod draw;
mod hashing;
mod measuring;
mod sheets;
