//! `ffprobe`'s JSON as it comes: every field optional, nothing believed. No I/O.

use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
pub(super) struct Report {
    #[serde(default)]
    pub(super) streams: Vec<RawStream>,
    #[serde(default)]
    pub(super) frames: Vec<RawFrame>,
    #[serde(default)]
    pub(super) format: RawFormat,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RawFormat {
    #[serde(default)]
    pub(super) format_name: String,
    pub(super) duration: Option<String>,
    #[serde(default)]
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawStream {
    pub(super) index: usize,
    pub(super) codec_name: Option<String>,
    pub(super) codec_type: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    pub(super) sample_aspect_ratio: Option<String>,
    pub(super) pix_fmt: Option<String>,
    pub(super) color_range: Option<String>,
    pub(super) color_space: Option<String>,
    pub(super) color_transfer: Option<String>,
    pub(super) color_primaries: Option<String>,
    pub(super) chroma_location: Option<String>,
    pub(super) field_order: Option<String>,
    pub(super) avg_frame_rate: Option<String>,
    pub(super) time_base: Option<String>,
    pub(super) start_pts: Option<i64>,
    pub(super) duration_ts: Option<i64>,
    pub(super) bits_per_raw_sample: Option<String>,
    pub(super) sample_rate: Option<String>,
    pub(super) channels: Option<u32>,
    pub(super) channel_layout: Option<String>,
    pub(super) disposition: BTreeMap<String, i64>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) side_data_list: Vec<RawSideData>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawFrame {
    pub(super) media_type: Option<String>,
    pub(super) stream_index: Option<usize>,
    pub(super) interlaced_frame: i64,
    pub(super) side_data_list: Vec<RawSideData>,
}

/// One piece of side data; fields that other types have are left in `rest`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawSideData {
    pub(super) side_data_type: String,
    pub(super) rotation: Option<f64>,
    pub(super) max_luminance: Option<String>,
    pub(super) min_luminance: Option<String>,
    pub(super) max_content: Option<u32>,
    pub(super) max_average: Option<u32>,
    pub(super) dv_profile: Option<u32>,
}

/// `"12.345000"` to 12345; `None` when it is no time, negative, or absurd.
pub(super) fn seconds_to_millis(text: &str) -> Option<u64> {
    /// A year: nothing that is a title.
    const MAX_SECONDS: f64 = 366.0 * 86_400.0;
    let seconds: f64 = text.parse().ok()?;
    (0.0..MAX_SECONDS).contains(&seconds).then(|| (seconds * 1_000.0).round() as u64)
}

/// `"16:11"` or `"24000/1001"` to a pair of positive numbers.
pub(super) fn ratio(text: &str, separator: char) -> Option<(u32, u32)> {
    let (num, den) = text.split_once(separator)?;
    let pair = (num.parse().ok()?, den.parse().ok()?);
    (pair.0 > 0 && pair.1 > 0).then_some(pair)
}
