//! The whole pipeline without a cluster: YAML in, decisions, a world in memory, golden objects.

mod bad_inputs;
mod catalogue;
mod clock_jumps;
pub(super) mod fixtures;
mod golden;
mod guard;
mod hostile;
mod laws;
mod models;
mod pods;
mod review;
mod rollback;
mod spot;
mod taken;
mod world;

/// A title with every default: all steps that are on.
pub(super) const ALL: &str = "source: { store: media, path: in/clip.mov }";
/// Those that are off.
pub(super) const OTHERS: &str = "
chapters: { enabled: true }
moderation: { enabled: true }
fingerprint: { enabled: true }
duplicates: { enabled: true }
";
/// A title with one step.
pub(super) const SHOTS: &str = "
source: { store: media, path: in/clip.mov }
thumbnails: { enabled: false }
subtitles: { enabled: false }
";
