//! Range, matrix and dynamic range are honoured, stated or not.

use crate::kit::{Studio, near, pixel, watch};

/// A flat picture of one colour, converted to YUV by `matrix` and `range`, and tagged by `tags`.
fn flat(studio: &Studio, name: &str, size: &str, colour: &str, matrix: &str, range: &str, tags: &str) -> [u8; 3] {
    let convert = format!("scale=out_color_matrix={matrix}:out_range={range},format=yuv444p");
    // Conversion sets the tags; `setparams` then makes them what the test wants a file to say.
    let args = format!("-f lavfi -i color={colour}:s={size}:r=25:d=0.12,format=gbrp,{convert},setparams={tags} -c:v ffv1");
    let seen = watch(&studio.make(name, &args));
    pixel(&seen.frames[0], seen.size().width / 2, seen.size().height / 2)
}

const ORANGE: [u8; 3] = [0xe0, 0x70, 0x20];

#[test]
fn stated_range_and_matrix_are_honoured() {
    let studio = Studio::new();
    for (matrix, tag) in [("bt709", "bt709"), ("smpte170m", "smpte170m"), ("bt2020", "bt2020nc")] {
        for (range, range_tag) in [("limited", "tv"), ("full", "pc")] {
            let tags = format!("colorspace={tag}:range={range_tag}");
            let got = flat(&studio, "flat.mkv", "320x180", "0xe07020", matrix, range, &tags);
            assert!(near(got, ORANGE, 3), "{matrix} {range}: {got:?}");
        }
    }
}

#[test]
fn an_unstated_matrix_is_taken_by_the_pictures_size() {
    let studio = Studio::new();
    for (size, matrix, other) in [("1280x720", "bt709", "smpte170m"), ("720x480", "smpte170m", "bt709")] {
        let unstated = "colorspace=unknown:range=tv";
        let by_rule = flat(&studio, "rule.mkv", size, "0xe07020", matrix, "limited", unstated);
        assert!(near(by_rule, ORANGE, 3), "{size}: {by_rule:?}");
        let against = flat(&studio, "other.mkv", size, "0xe07020", other, "limited", unstated);
        assert!(!near(against, ORANGE, 8), "the two matrices can be told apart: {against:?}");
    }
}

/// Four bars of neutral light, darkest first, as 10-bit code values; the file says `transfer`.
fn bars(studio: &Studio, transfer: &str, codes: [u32; 4]) -> [u8; 4] {
    let [a, b, c, d] = codes;
    let levels = format!("geq=lum='if(lt(X,80),{a},if(lt(X,160),{b},if(lt(X,240),{c},{d})))':cb=512:cr=512");
    let tags = format!("setparams=range=tv:color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc");
    let args = format!("-f lavfi -i color=black:s=320x180:r=25:d=0.12,format=yuv420p10le,{levels},{tags} -c:v ffv1");
    let seen = watch(&studio.make("bars.mkv", &args));
    [40, 120, 200, 280].map(|x| {
        let [red, green, blue] = pixel(&seen.frames[0], x, 90);
        assert!(red.abs_diff(green) <= 2 && green.abs_diff(blue) <= 2, "grey stays grey: {red} {green} {blue}");
        green
    })
}

#[test]
fn high_dynamic_range_is_tone_mapped_into_a_usable_picture() {
    let studio = Studio::new();
    // Black, 10, 100 and 1000 cd/m2 by SMPTE ST 2084, limited range.
    let pq = bars(&studio, "smpte2084", [64, 327, 509, 723]);
    assert!(pq[0] <= 4 && pq[0] < pq[1] && pq[1] < pq[2] && pq[2] < pq[3], "{pq:?}");
    assert!((90..=220).contains(&pq[2]), "diffuse white is neither dark nor blown out: {pq:?}");
    assert!(pq[3] >= 235, "the assumed peak is nearly white: {pq:?}");
    // Black, mid-grey, reference white (75 %) and peak by ARIB STD-B67.
    let hlg = bars(&studio, "arib-std-b67", [64, 400, 721, 940]);
    assert!(hlg[0] <= 4 && hlg[0] < hlg[1] && hlg[1] < hlg[2] && hlg[2] < hlg[3], "{hlg:?}");
    assert!(hlg[2] >= 110, "reference white is bright: {hlg:?}");
}

#[test]
fn high_dynamic_range_of_which_little_else_is_stated_is_taken_for_bt_2020() {
    let studio = Studio::new();
    let seen = |tags: &str| {
        let codes = "format=yuv420p10le,geq=lum=400:cb=480:cr=600";
        let args = format!("-f lavfi -i color=black:s=320x180:r=25:d=0.12,{codes},setparams={tags} -c:v ffv1");
        let seen = watch(&studio.make("stated.mkv", &args));
        [pixel(&seen.frames[0], 160, 90), pixel(&seen.glances[0], 80, 45)]
    };
    let stated = seen("range=tv:color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc");
    assert!(near(stated[0], stated[1], 2), "{stated:?}");
    for less in ["", ":range=tv", ":color_primaries=bt2020", ":colorspace=bt2020nc", ":range=tv:colorspace=bt2020nc"] {
        let got = seen(&format!("color_trc=smpte2084{less}"));
        assert!(near(got[0], stated[0], 2) && near(got[1], stated[1], 2), "{less}: {got:?}, not {stated:?}");
    }
}
