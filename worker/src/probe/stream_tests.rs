//! `ffprobe`'s words, usual and strange. No I/O.

use super::*;

/// A report as `ffprobe` writes one, with one value replaced.
fn report_with(at: usize, value: &str) -> String {
    let mut values = [
        "0",
        "\"video\"",
        "1920",
        "1080",
        "\"1:1\"",
        "\"yuv420p10le\"",
        "\"tv\"",
        "\"tb\"",
        "\"24000/1001\"",
        "\"1/24000\"",
        "0",
        "48048",
        "\"10\"",
        "{\"default\":1}",
        "{\"language\":\"eng\"}",
        "[{\"side_data_type\":\"Display Matrix\",\"rotation\":-90}]",
    ];
    values[at] = value;
    let keys = [
        "index",
        "codec_type",
        "width",
        "height",
        "sample_aspect_ratio",
        "pix_fmt",
        "color_range",
        "field_order",
        "avg_frame_rate",
        "time_base",
        "start_pts",
        "duration_ts",
        "bits_per_raw_sample",
        "disposition",
        "tags",
        "side_data_list",
    ];
    let fields: Vec<String> = keys.iter().zip(values).map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{\"streams\":[{{{}}}],\"format\":{{\"format_name\":\"mov\"}}}}", fields.join(","))
}

fn read(json: &str) -> Option<Result<Vec<Stream>, Refusal>> {
    serde_json::from_str(json).ok().map(|report: Report| streams(&report))
}

#[test]
fn a_usual_report_is_read_whole() {
    let streams = read(&report_with(0, "0")).expect("parses").expect("accepted");
    let Kind::Picture(picture) = &streams[0].kind else { panic!("a picture") };
    assert_eq!((picture.rotation, picture.field_order, picture.bit_depth), (270, FieldOrder::BottomFirst, Some(10)));
    assert_eq!((picture.chroma, picture.frame_rate), (Some("4:2:0"), Some((24_000, 1_001))));
    assert_eq!((streams[0].duration, streams[0].is_default), (Some(Ticks(48_048)), true));
}

#[test]
fn no_value_in_a_report_makes_the_reader_panic() {
    let strange = [
        "null",
        "-1",
        "0",
        "4294967295",
        "9223372036854775807",
        "1e308",
        "\"\"",
        "\"N/A\"",
        "\"0/0\"",
        "\"1/0\"",
        "\"-1/-1\"",
        "\"99999999999/1\"",
        "\"1:0\"",
        "\"\\u0000\"",
        "\"\u{10ffff}pp16le\"",
        "\"p\"",
        "[]",
        "{}",
        "[null]",
        "[{}]",
        "true",
        "{\"default\":-9223372036854775808}",
        "[{\"rotation\":1e300}]",
        "[{\"rotation\":null}]",
    ];
    let (mut read_as_streams, mut refused) = (0, 0);
    for at in 0..16 {
        for value in strange {
            match read(&report_with(at, value)) {
                Some(Ok(streams)) => {
                    read_as_streams += 1;
                    serde_json::to_string(&streams).expect("can be reported");
                }
                _ => refused += 1,
            }
        }
    }
    assert!(read_as_streams > 50 && refused > 50, "{read_as_streams} {refused}");
}

#[test]
fn absurd_sizes_are_refused_and_absurd_aspects_are_square() {
    assert!(matches!(read(&report_with(2, "16385")), Some(Err(Refusal::TooLarge { .. }))));
    let streams = read(&report_with(4, "\"1:4000\"")).expect("parses").expect("accepted");
    assert!(matches!(&streams[0].kind, Kind::Picture(picture) if picture.sample_aspect.is_none()));
}
