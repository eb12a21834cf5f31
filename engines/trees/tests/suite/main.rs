//! Models of real libraries, read and evaluated: against what the libraries said, against simpler ways, and spoilt in many ways.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod explaining;
mod fixtures;
mod hostile;
mod parity;
