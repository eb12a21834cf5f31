//! What the probe found, in the contract's words. No I/O.

use crate::{
    picture::stated_end,
    probe::{FieldOrder, Hdr, PictureInfo, Probe, Stream},
};
use showrunner_contracts::{
    manifest::{AudioSummary, MediaSummary, VideoSummary},
    time,
};
use showrunner_timeline::{Ticks, TimeBase};

/// The contract's time base.
pub fn base(base: TimeBase) -> time::TimeBase {
    time::TimeBase { num: base.num(), den: base.den() }
}

/// The duration that the source states, on the title's timeline; `None` when it states none. From the headers alone, so that
/// a title is described alike whichever of its steps an attempt had to do.
pub fn stated_duration(probe: &Probe) -> Option<Ticks> {
    let main = probe.picture().map(|(stream, _)| stream).or_else(|| probe.sound().map(|(stream, _)| stream))?;
    let by_container = || {
        let millis = i64::try_from(probe.stated_duration_ms?).ok()?;
        Some(probe.zero.base.from_millis(millis))
    };
    stated_end(main, probe.zero).or_else(by_container).filter(|ticks| ticks.0 > 0)
}

/// The whole description.
pub fn summary(probe: &Probe) -> MediaSummary {
    MediaSummary {
        container: probe.container.clone(),
        duration: stated_duration(probe).map_or(0, |ticks| ticks.0),
        time_base: base(probe.time_base()),
        video: probe.picture().map(|(stream, info)| video(probe, stream, info)),
        audio: probe.own_sound().map(|(stream, info)| AudioSummary {
            codec: codec(stream),
            sample_rate: info.sample_rate,
            channels: info.channels,
            layout: info.layout.clone(),
            language: stream.language.clone(),
        }),
        streams: probe.streams.len() as u32,
    }
}

fn video(probe: &Probe, stream: &Stream, info: &PictureInfo) -> VideoSummary {
    let colour = &info.colour;
    VideoSummary {
        codec: codec(stream),
        width: info.width,
        height: info.height,
        sample_aspect: info.sample_aspect.map(|(num, den)| format!("{num}:{den}")),
        rotation: clockwise(info.rotation),
        field_order: match info.field_order {
            FieldOrder::Unknown => None,
            FieldOrder::Progressive => Some("progressive".to_owned()),
            FieldOrder::TopFirst => Some("tt".to_owned()),
            FieldOrder::BottomFirst => Some("bb".to_owned()),
        },
        average_frame_rate: info.frame_rate.map(|(num, den)| format!("{num}/{den}")),
        bit_depth: info.bit_depth.and_then(|bits| u8::try_from(bits).ok()),
        pixel_format: info.pixel_format.clone(),
        primaries: colour.primaries.clone(),
        transfer: colour.transfer.clone(),
        matrix: colour.matrix.clone(),
        range: colour.range.as_deref().map(|range| match range {
            "tv" => "limited".to_owned(),
            "pc" => "full".to_owned(),
            other => other.to_owned(),
        }),
        hdr: hdr(&info.hdr),
        captions: info.closed_captions,
        timecode: probe.timecode.clone(),
    }
}

fn codec(stream: &Stream) -> String {
    stream.codec.clone().unwrap_or_else(|| "unknown".to_owned())
}

/// From degrees counter-clockwise to the nearest quarter turn clockwise.
fn clockwise(degrees: i32) -> u16 {
    let quarters = (degrees.rem_euclid(360) + 45) / 90 % 4;
    ((4 - quarters) % 4 * 90) as u16
}

fn hdr(hdr: &Hdr) -> Vec<String> {
    let kinds = [
        (hdr.mastering_luminance.is_some(), "mastering-display"),
        (hdr.max_content.is_some() || hdr.max_average.is_some(), "content-light-level"),
        (hdr.dolby_vision_profile.is_some(), "dolby-vision"),
    ];
    kinds.into_iter().filter(|(found, _)| *found).map(|(_, kind)| kind.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_told_clockwise_in_quarters() {
        for (counter_clockwise, told) in [(0, 0), (90, 270), (180, 180), (270, 90), (-90, 90), (359, 0), (88, 270)] {
            assert_eq!(clockwise(counter_clockwise), told, "{counter_clockwise}");
        }
    }
}
