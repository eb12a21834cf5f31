//! One controller per kind; every folder has the same files, so that knowing one is knowing all.
//!
//! Reads and writes the API server and the object stores through the kit; each module says what it does of that.
#![forbid(unsafe_code)]

pub mod ai_budget;
pub mod title_enrichment;
