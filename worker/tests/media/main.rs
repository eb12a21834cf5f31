//! The worker's media front, with the real tools on media made here. Runs `FFmpeg`, writes temporary folders.

mod atoms;
mod bombs;
mod broken;
mod canary;
mod clock;
mod colour;
mod duplicates;
mod fingerprint;
mod hostile;
mod kit;
mod launcher;
mod many_viewers;
mod moderation;
mod network;
mod picture_time;
mod shape;
mod sound;
mod stills;
#[path = "../support/mod.rs"]
mod support;
mod thumbnails;
mod timeline;
mod variants;
mod what_it_is;
