//! What AI work costs and whether it may start: exact money, periods, a hash-chained journal and what it adds up to, caps in
//! a tree, who is next, leases for callers that are no jobs, and what the month will have cost. No I/O, no clock: time and time zones are arguments.
//!
//! The journal ([`journal`]) is the truth; the book ([`book`]) is what it adds up to; the rules ([`rules`]) say what may be
//! added to it.
#![forbid(unsafe_code)]

pub mod amount;
pub mod book;
pub mod fair;
pub mod focus;
pub mod forecast;
pub mod journal;
pub mod lease;
pub mod period;
pub mod price;
pub mod report;
pub mod rules;

pub use amount::{Amount, AmountError};
pub use book::{Book, Head, Open};
pub use journal::{Booking, Entry, Fact, Level, Page, PageError, Part, Who};
