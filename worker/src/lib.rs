//! The rooms of the worker; the binary only drives them.
//! No I/O at this level.
#![forbid(unsafe_code)]

pub mod fanout;
pub mod models;
pub mod onnx;
pub mod picture;
pub mod probe;
pub mod sandbox;
pub mod sound;
pub mod speech;
