//! One stream, from `ffprobe`'s words to values that cannot be wrong. No I/O.

use super::{
    MAX_PIXELS, MAX_SIDE, MAX_STREAMS, Refusal,
    raw::{RawSideData, RawStream, Report, ratio},
};
use serde::Serialize;
use showrunner_timeline::{Ticks, TimeBase};
use std::collections::BTreeMap;

/// Longest text taken over from a file.
const MAX_TEXT: usize = 64;
/// Sample aspect ratios beyond this, either way, are taken for damage and read as square.
const MAX_ASPECT: f64 = 8.0;

/// One stream of a source. What the container does not say is `None`, never a guess.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts that a container states by flags")]
pub struct Stream {
    /// The container's index: what tools are told.
    pub index: usize,
    /// What it carries.
    pub kind: Kind,
    /// Codec, by `FFmpeg`'s name.
    pub codec: Option<String>,
    /// Codec profile.
    pub profile: Option<String>,
    /// Base of `start` and `duration`.
    #[serde(serialize_with = "as_text")]
    pub time_base: TimeBase,
    /// First time on the container's clock, ticks.
    #[serde(serialize_with = "as_number")]
    pub start: Option<Ticks>,
    /// Duration the container states, ticks.
    #[serde(serialize_with = "as_number")]
    pub duration: Option<Ticks>,
    /// Language, as the container writes it; `und` is `None`.
    pub language: Option<String>,
    /// Marked as the one to play.
    pub is_default: bool,
    /// A cover or thumbnail image, not a picture in time.
    pub is_cover: bool,
    /// Commentary, audio description, dub or the like: not the title's own.
    pub is_auxiliary: bool,
    /// Marked as forced (subtitles).
    pub is_forced: bool,
}

/// What a stream carries.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Moving picture.
    Picture(Box<PictureInfo>),
    /// Sound.
    Sound(SoundInfo),
    /// Subtitles or captions in a stream of their own.
    Subtitles,
    /// Anything else.
    Other,
}

/// A picture stream's properties.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PictureInfo {
    /// Width of the decoded picture, pixels: before rotation and sample aspect are applied.
    pub width: u32,
    /// Height of the decoded picture, pixels: before rotation and sample aspect are applied.
    pub height: u32,
    /// Sample aspect ratio; `None` when unstated or absurd, which is read as 1:1.
    pub sample_aspect: Option<(u32, u32)>,
    /// Degrees, counter-clockwise, that the display matrix turns the picture by; 0 when there is none.
    pub rotation: i32,
    /// Average frames per second; `None` when unstated. Never used for times.
    pub frame_rate: Option<(u32, u32)>,
    /// How fields are ordered.
    pub field_order: FieldOrder,
    /// Some of the first frames are flagged interlaced.
    pub interlaced_frames: bool,
    /// `FFmpeg`'s pixel format, such as `yuv420p10le`.
    pub pixel_format: Option<String>,
    /// Bits per sample.
    pub bit_depth: Option<u32>,
    /// Chroma sampling, such as `4:2:0`.
    pub chroma: Option<&'static str>,
    /// Where chroma samples sit.
    pub chroma_location: Option<String>,
    /// Colour description.
    pub colour: Colour,
    /// Static HDR metadata.
    pub hdr: Hdr,
    /// Closed captions ride in the picture (ATSC A/53).
    pub closed_captions: bool,
}

/// Colour description (ITU-T H.273), as stated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Colour {
    /// `tv` or `pc`.
    pub range: Option<String>,
    /// Matrix coefficients.
    pub matrix: Option<String>,
    /// Transfer characteristics.
    pub transfer: Option<String>,
    /// Colour primaries.
    pub primaries: Option<String>,
}

/// The transfer functions that need different treatment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Transfer {
    /// Standard dynamic range, stated or assumed.
    Sdr,
    /// SMPTE ST 2084.
    Pq,
    /// ARIB STD-B67.
    Hlg,
}

impl Colour {
    /// Which transfer function it is; unstated is SDR.
    pub fn transfer_kind(&self) -> Transfer {
        match self.transfer.as_deref() {
            Some("smpte2084") => Transfer::Pq,
            Some("arib-std-b67") => Transfer::Hlg,
            _ => Transfer::Sdr,
        }
    }
}

/// Static HDR metadata, where there is any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hdr {
    /// Mastering display's luminance (SMPTE ST 2086), cd/m2 as fractions, darkest and brightest.
    pub mastering_luminance: Option<(String, String)>,
    /// Maximum content light level, cd/m2.
    pub max_content: Option<u32>,
    /// Maximum frame-average light level, cd/m2.
    pub max_average: Option<u32>,
    /// Dolby Vision profile.
    pub dolby_vision_profile: Option<u32>,
}

/// How fields are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FieldOrder {
    /// Unstated.
    Unknown,
    /// No fields.
    Progressive,
    /// Top field first.
    TopFirst,
    /// Bottom field first.
    BottomFirst,
}

/// A sound stream's properties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SoundInfo {
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u32,
    /// Layout, such as `5.1(side)`.
    pub layout: Option<String>,
}

impl Stream {
    /// A stream of which nothing is stated but what it is.
    pub(crate) const fn plain(index: usize, kind: Kind, time_base: TimeBase) -> Self {
        Self {
            index,
            kind,
            time_base,
            codec: None,
            profile: None,
            start: None,
            duration: None,
            language: None,
            is_default: false,
            is_cover: false,
            is_auxiliary: false,
            is_forced: false,
        }
    }
}

/// The first start timecode that any of `tags` states.
pub(super) fn timecode<'a>(mut tags: impl Iterator<Item = &'a BTreeMap<String, String>>) -> Option<String> {
    tags.find_map(|tags| short(tags.get("timecode")))
}

pub(super) fn streams(report: &Report) -> Result<Vec<Stream>, Refusal> {
    if report.streams.len() > MAX_STREAMS {
        return Err(Refusal::TooManyStreams { limit: MAX_STREAMS });
    }
    report.streams.iter().map(|raw| stream(raw, report)).collect()
}

fn stream(raw: &RawStream, report: &Report) -> Result<Stream, Refusal> {
    let time_base = raw.time_base.as_deref().and_then(|text| text.parse().ok());
    let kind = match (raw.codec_type.as_deref(), time_base) {
        (Some("video"), Some(_)) => picture(raw, report)?,
        (Some("audio"), Some(_)) => sound(raw),
        (Some("subtitle"), _) => Kind::Subtitles,
        _ => Kind::Other,
    };
    let marked = |names: &[&str]| names.iter().any(|name| raw.disposition.get(*name).is_some_and(|flag| *flag != 0));
    Ok(Stream {
        codec: short(raw.codec_name.as_ref()),
        profile: short(raw.profile.as_ref()),
        start: raw.start_pts.map(Ticks),
        duration: raw.duration_ts.filter(|ticks| *ticks >= 0).map(Ticks),
        language: short(raw.tags.get("language")).filter(|language| language != "und"),
        is_default: marked(&["default"]),
        is_cover: marked(&["attached_pic", "timed_thumbnails", "still_image"]),
        is_auxiliary: marked(&["comment", "descriptions", "visual_impaired", "hearing_impaired", "dub", "karaoke", "lyrics"]),
        is_forced: marked(&["forced"]),
        ..Stream::plain(raw.index, kind, time_base.unwrap_or(TimeBase::MILLIS))
    })
}

fn picture(raw: &RawStream, report: &Report) -> Result<Kind, Refusal> {
    let (Some(width @ 1..), Some(height @ 1..)) = (raw.width, raw.height) else {
        return Ok(Kind::Other); // a picture without a size cannot be decoded
    };
    if width.max(height) > MAX_SIDE {
        return Err(Refusal::TooLarge { what: "a side of the picture, in pixels,", limit: u64::from(MAX_SIDE) });
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(Refusal::TooLarge { what: "the picture, in pixels,", limit: MAX_PIXELS });
    }
    let frames =
        || report.frames.iter().filter(|f| f.stream_index == Some(raw.index) && f.media_type.as_deref() == Some("video"));
    let side_data: Vec<&RawSideData> =
        raw.side_data_list.iter().chain(frames().flat_map(|frame| &frame.side_data_list)).collect();
    let pixel_format = short(raw.pix_fmt.as_ref());
    let layout = pixel_format.as_deref().unwrap_or_default();
    Ok(Kind::Picture(Box::new(PictureInfo {
        width,
        height,
        sample_aspect: raw.sample_aspect_ratio.as_deref().and_then(|text| ratio(text, ':')).filter(|aspect| is_sane(*aspect)),
        rotation: side_data.iter().find_map(|data| data.rotation).map_or(0, |degrees| (degrees.round() as i32).rem_euclid(360)),
        frame_rate: raw.avg_frame_rate.as_deref().and_then(|text| ratio(text, '/')),
        field_order: match raw.field_order.as_deref() {
            Some("progressive") => FieldOrder::Progressive,
            Some("tt" | "bt") => FieldOrder::TopFirst, // named by display order: the second letter is stored, the first shown
            Some("bb" | "tb") => FieldOrder::BottomFirst,
            _ => FieldOrder::Unknown,
        },
        interlaced_frames: frames().any(|frame| frame.interlaced_frame != 0),
        bit_depth: raw
            .bits_per_raw_sample
            .as_deref()
            .and_then(|bits| bits.parse().ok())
            .filter(|bits| *bits > 0)
            .or(bit_depth(layout)),
        chroma: chroma(layout),
        chroma_location: short(raw.chroma_location.as_ref()),
        colour: Colour {
            range: stated(raw.color_range.as_ref()),
            matrix: stated(raw.color_space.as_ref()),
            transfer: stated(raw.color_transfer.as_ref()),
            primaries: stated(raw.color_primaries.as_ref()),
        },
        hdr: hdr(&side_data),
        closed_captions: side_data.iter().any(|data| data.side_data_type.contains("Closed Captions")),
        pixel_format,
    })))
}

fn sound(raw: &RawStream) -> Kind {
    let sample_rate = raw.sample_rate.as_deref().and_then(|rate| rate.parse().ok()).unwrap_or(0);
    match (sample_rate, raw.channels) {
        (1.., Some(channels @ 1..)) => {
            Kind::Sound(SoundInfo { sample_rate, channels, layout: short(raw.channel_layout.as_ref()) })
        }
        _ => Kind::Other,
    }
}

fn hdr(side_data: &[&RawSideData]) -> Hdr {
    Hdr {
        mastering_luminance: side_data
            .iter()
            .find_map(|d| Some((short(d.min_luminance.as_ref())?, short(d.max_luminance.as_ref())?))),
        max_content: side_data.iter().find_map(|data| data.max_content),
        max_average: side_data.iter().find_map(|data| data.max_average),
        dolby_vision_profile: side_data.iter().find_map(|data| data.dv_profile),
    }
}

fn is_sane((num, den): (u32, u32)) -> bool {
    let aspect = f64::from(num) / f64::from(den);
    (1.0 / MAX_ASPECT..=MAX_ASPECT).contains(&aspect)
}

/// Bits per sample from a planar or semi-planar pixel format's name; 8 where the name has no number at its end.
fn bit_depth(pixel_format: &str) -> Option<u32> {
    let stem = pixel_format.trim_end_matches("le").trim_end_matches("be");
    let (_, bits) = stem.rsplit_once('p')?;
    if bits.is_empty() { Some(8) } else { bits.parse().ok().filter(|bits| (8..=16).contains(bits)) }
}

fn chroma(pixel_format: &str) -> Option<&'static str> {
    let known = [
        ("yuv420", "4:2:0"),
        ("yuvj420", "4:2:0"),
        ("nv12", "4:2:0"),
        ("p010", "4:2:0"),
        ("yuv422", "4:2:2"),
        ("yuvj422", "4:2:2"),
        ("yuv444", "4:4:4"),
        ("yuvj444", "4:4:4"),
        ("gbr", "4:4:4"),
        ("rgb", "4:4:4"),
        ("yuv411", "4:1:1"),
        ("gray", "4:0:0"),
    ];
    known.iter().find(|(start, _)| pixel_format.starts_with(start)).map(|(_, name)| *name)
}

pub(super) fn short(text: Option<&String>) -> Option<String> {
    text.map(|text| text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect())
}

/// As [`short`], but the words tools use for "not said" are `None`.
fn stated(text: Option<&String>) -> Option<String> {
    short(text).filter(|text| !matches!(text.as_str(), "unknown" | "unspecified" | "reserved" | "N/A" | ""))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields over by reference")]
fn as_text<S: serde::Serializer>(base: &TimeBase, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(base)
}

#[expect(clippy::ref_option, reason = "serde hands fields over by reference")]
fn as_number<S: serde::Serializer>(ticks: &Option<Ticks>, serializer: S) -> Result<S::Ok, S::Error> {
    ticks.map(|ticks| ticks.0).serialize(serializer)
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
