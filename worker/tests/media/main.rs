//! The worker's media front, with the real tools on media made here. Runs `FFmpeg`, writes temporary folders.

mod colour;
mod hostile;
mod kit;
mod launcher;
mod many_viewers;
mod picture_time;
mod shape;
mod sound;
mod stills;
mod what_it_is;
