//! The rooms of the worker; the binary only drives them.
//! No I/O at this level.
#![forbid(unsafe_code)]

pub mod apart;
pub mod cli;
pub mod commit;
pub mod cpu;
pub mod earlier;
pub mod enrich;
pub mod failure;
pub mod fanout;
pub mod farewell;
pub mod media;
pub mod models;
pub mod onnx;
pub mod order;
pub mod picture;
pub mod pipeline;
pub mod privacy;
pub mod probe;
pub mod progress;
pub mod run;
pub mod sandbox;
pub mod sound;
pub mod speech;
pub mod steps;
pub mod store;
