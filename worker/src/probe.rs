//! What a source is: container, streams, picture, sound, and where its timeline starts.
//! Runs `ffprobe` once and, for the first picture's time, `FFmpeg` on the head of the file; both in the sandbox.

mod choose;
#[cfg(test)]
mod hostile;
mod raw;
mod refusal;
mod stream;

pub use refusal::Refusal;
pub(crate) use refusal::last_words;
pub use stream::{Colour, FieldOrder, Hdr, Kind, PictureInfo, SoundInfo, Stream, Transfer};

use crate::{
    picture,
    sandbox::{Limits, Request, Sandbox, Source, Tool},
};
use serde::Serialize;
use showrunner_timeline::{Ticks, TimeBase};
use std::io::Read as _;

/// Containers that are opened, by `FFmpeg`'s demuxer names. Playlists, concat scripts, image sequences and anything else
/// that names other files is absent, and so is everything that a title is not delivered in.
pub const CONTAINERS: &str = "mov,matroska,mpegts,mpeg,mxf,gxf,avi,flv,asf,ogg,wav,w64,aiff,caf,flac,mp3,aac,ac3,eac3";
/// Most streams a source may have.
pub const MAX_STREAMS: usize = 64;
/// Largest picture side, pixels.
pub const MAX_SIDE: u32 = 16_384;
/// Most pixels of a picture: 16K by 8K.
pub const MAX_PIXELS: u64 = 1 << 27;
/// Largest single block a tool may allocate, bytes.
pub const MAX_BLOCK: u64 = 2 << 30;
/// Most that `ffprobe` may say, bytes.
const MAX_JSON: u64 = 4 << 20;
/// How many packets' frames are looked at for what headers do not tell: captions, mastering data, interlaced flags.
const HEAD_PACKETS: u32 = 48;

/// A source, as its headers and first frames describe it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Demuxer's name, such as `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// Duration the container states, milliseconds.
    pub stated_duration_ms: Option<u64>,
    /// Start timecode (SMPTE ST 12), as written.
    pub timecode: Option<String>,
    /// Every stream, in the container's order.
    pub streams: Vec<Stream>,
    /// The main picture: index into `streams`. Never a cover image.
    pub picture: Option<usize>,
    /// The main sound: index into `streams`.
    pub sound: Option<usize>,
    /// The sound for steps that are not about words: whatever language is asked for, the same one, or their results would depend on
    /// which others they are done with. Index into `streams`.
    pub plain_sound: Option<usize>,
    /// Where the title's timeline starts.
    pub zero: Zero,
}

/// The instant that every presentation time is counted from, on the container's own clock: the first presented picture or,
/// in a source without pictures, the first sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zero {
    /// On the container's clock.
    pub at: Ticks,
    /// Base of `at`.
    pub base: TimeBase,
}

impl Serialize for Zero {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}*{}", self.at, self.base))
    }
}

impl Probe {
    /// The main picture's stream and what is known of it.
    pub fn picture(&self) -> Option<(&Stream, &PictureInfo)> {
        let stream = self.streams.get(self.picture?)?;
        match &stream.kind {
            Kind::Picture(info) => Some((stream, info)),
            _ => None,
        }
    }

    /// The main sound's stream and what is known of it.
    pub fn sound(&self) -> Option<(&Stream, &SoundInfo)> {
        let stream = self.streams.get(self.sound?)?;
        match &stream.kind {
            Kind::Sound(info) => Some((stream, info)),
            _ => None,
        }
    }

    /// The sound that is the main one when nobody asks for a language: a description of the title does not depend on what an
    /// order happens to ask for. Without a picture the sound listened to is all there is to describe.
    pub fn own_sound(&self) -> Option<(&Stream, &SoundInfo)> {
        let own = if self.picture.is_some() { choose::sound(&self.streams, Wanted::default()) } else { self.sound };
        let stream = self.streams.get(own?)?;
        match &stream.kind {
            Kind::Sound(info) => Some((stream, info)),
            _ => None,
        }
    }

    /// The same source with the plain sound as its main one, where that is another.
    pub fn with_plain_sound(&self) -> Option<Self> {
        (self.plain_sound != self.sound).then(|| Self { sound: self.plain_sound, ..self.clone() })
    }

    /// Why there is no sound, where a track was asked for.
    pub fn lacks(&self, track: u8) -> Option<Refusal> {
        self.sound.is_none().then(|| Refusal::NoTrack { track, tracks: tracks(&self.streams) })
    }

    /// The time base that the title's contracts use: the main picture's, else the main sound's.
    pub fn time_base(&self) -> TimeBase {
        self.zero.base
    }
}

/// Which sound is asked for; nothing takes the default one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// BCP 47 or ISO 639: preferred.
    pub language: Option<&'a str>,
    /// Which of the sound streams, from 1: this one or none.
    pub track: Option<u8>,
}

/// Reads what `source` is.
pub fn probe(sandbox: &Sandbox, source: &Source, wanted: Wanted<'_>) -> Result<Probe, Refusal> {
    if source.size_bytes() == 0 {
        return Err(Refusal::Empty);
    }
    let text = ask_ffprobe(sandbox, source)?;
    let report: raw::Report = serde_json::from_slice(&text).map_err(|error| Refusal::Unreadable { detail: error.to_string() })?;
    let streams = stream::streams(&report)?;
    let (picture, sound) = (choose::picture(&streams), choose::sound(&streams, wanted));
    let plain_sound = choose::sound(&streams, Wanted { language: None, ..wanted });
    let Some(main) = picture.or(sound) else {
        let tracks = tracks(&streams);
        return Err(wanted.track.filter(|_| tracks > 0).map_or(Refusal::NoStreams, |track| Refusal::NoTrack { track, tracks }));
    };
    let zero = first_time(sandbox, source, &streams[main])?;
    let format = report.format;
    Ok(Probe {
        container: stream::short(Some(&format.format_name)).unwrap_or_default(),
        stated_duration_ms: format.duration.as_deref().and_then(raw::seconds_to_millis),
        timecode: stream::timecode(report.streams.iter().map(|stream| &stream.tags).chain([&format.tags])),
        streams,
        picture,
        sound,
        plain_sound,
        zero,
    })
}

fn tracks(streams: &[Stream]) -> usize {
    streams.iter().filter(|stream| matches!(stream.kind, Kind::Sound(_))).count()
}

/// What every tool is told before its input.
pub(crate) fn input_args() -> Vec<String> {
    let (max_pixels, max_block, max_streams) = (MAX_PIXELS.to_string(), MAX_BLOCK.to_string(), (MAX_STREAMS + 1).to_string());
    let fd = crate::sandbox::SOURCE_FD.to_string();
    [
        ["-max_alloc", &max_block],
        ["-protocol_whitelist", "fd"],
        ["-format_whitelist", CONTAINERS],
        ["-max_streams", &max_streams],
        ["-max_pixels", &max_pixels],
        ["-fd", &fd],
        ["-i", "fd:"],
    ]
    .concat()
    .into_iter()
    .map(str::to_owned)
    .collect()
}

fn ask_ffprobe(sandbox: &Sandbox, source: &Source) -> Result<Vec<u8>, Refusal> {
    let interval = format!("%+#{HEAD_PACKETS}");
    let mut args: Vec<String> =
        ["-v", "error", "-hide_banner", "-of", "json=c=1", "-show_format", "-show_streams", "-show_frames"]
            .into_iter()
            .chain(["-read_intervals", &interval])
            .map(str::to_owned)
            .collect();
    args.extend(input_args());
    let mut running = sandbox.start(Request { tool: Tool::Ffprobe, args, source, extra: Vec::new(), limits: Limits::PROBE })?;
    let mut text = Vec::new();
    let stdout = running.take_stdout().expect("a child's output is piped and taken once");
    let read = stdout.take(MAX_JSON + 1).read_to_end(&mut text);
    if text.len() as u64 > MAX_JSON {
        return Err(Refusal::TooLarge { what: "its description", limit: MAX_JSON });
    }
    let finished = running.finish()?;
    read.map_err(|source| crate::sandbox::SandboxError::Read { tool: Tool::Ffprobe, source })?;
    if finished.succeeded() { Ok(text) } else { Err(Refusal::from_tool(Tool::Ffprobe, &finished)) }
}

fn first_time(sandbox: &Sandbox, source: &Source, stream: &Stream) -> Result<Zero, Refusal> {
    let at = match &stream.kind {
        Kind::Picture(_) => picture::first_time(sandbox, source, stream)?,
        _ => crate::sound::first_time(sandbox, source, stream)?,
    };
    Ok(Zero { at, base: stream.time_base })
}
