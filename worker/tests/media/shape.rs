//! Upright, square-pixelled, progressive.

use crate::kit::{Seen, Studio, near, pixel, watch};
use showrunner_worker::picture::{Picture, recipe::Size};

const LOSSLESS: &str = "-c:v ffv1 -pix_fmt yuv420p";
/// Bars that move 3 pixels a field: in one frame of two fields they comb.
const MOVING: &str = "-f lavfi -i color=gray:s=320x240:r=50:d=1,drawgrid=w=80:h=0:t=24:c=white,scroll=horizontal=0.00938";
const WOVEN: &str = "-vf format=yuv420p,tinterlace=interleave_top";

#[test]
fn a_picture_that_is_stored_lying_down_stands_up() {
    let studio = Studio::new();
    studio.make(
        "lying.mp4",
        "-f lavfi -i color=red:s=320x180:r=25:d=0.4,drawbox=w=160:c=blue:t=fill -c:v libx264 -qp 10 -pix_fmt yuv420p",
    );
    let seen = watch(&studio.make("standing.mp4", "-display_rotation 90 -i lying.mp4 -c copy"));
    assert_eq!(seen.probe.picture().expect("has a picture").1.rotation, 90);
    assert_eq!(seen.size(), Size { width: 180, height: 320 });
    // The left half, turned by a quarter counter-clockwise, is the lower half.
    let (upper, lower) = (pixel(&seen.frames[0], 90, 60), pixel(&seen.frames[0], 90, 260));
    assert!(near(upper, [255, 0, 0], 40) && near(lower, [0, 0, 255], 40), "{upper:?} {lower:?}");
}

#[test]
fn anamorphic_pictures_get_square_pixels() {
    let studio = Studio::new();
    let seen = watch(&studio.make("pal.mkv", &format!("-f lavfi -i testsrc2=s=720x576:r=25:d=0.2,setsar=64/45 {LOSSLESS}")));
    assert_eq!(seen.probe.picture().expect("has a picture").1.sample_aspect, Some((64, 45)));
    assert_eq!(seen.size(), Size { width: 640, height: 360 });
}

#[test]
fn flagged_fields_are_deinterlaced() {
    let studio = Studio::new();
    let flagged =
        watch(&studio.make("flagged.mkv", &format!("{MOVING} {WOVEN},setfield=tff -c:v mpeg2video -q:v 2 -flags +ilme+ildct")));
    let smooth = watch(&studio.make("smooth.mkv", &format!("{MOVING} -r 25 {LOSSLESS}")));
    assert_eq!(flagged.frames.len(), 25);
    assert!(combing(&flagged) < 2.0 * combing(&smooth) + 1.0, "{} against {}", combing(&flagged), combing(&smooth));
}

#[test]
fn fields_that_nobody_flagged_are_detected() {
    let studio = Studio::new();
    let woven = watch(&studio.make("woven.mkv", &format!("{MOVING} {WOVEN},setfield=prog -c:v libx264 -qp 4 -pix_fmt yuv420p")));
    let smooth = watch(&studio.make("smooth.mkv", &format!("{MOVING} -r 25 {LOSSLESS}")));
    assert!(!woven.probe.picture().expect("has a picture").1.interlaced_frames);
    assert!(combing(&woven) < 2.0 * combing(&smooth) + 1.0, "{} against {}", combing(&woven), combing(&smooth));
}

#[test]
fn the_test_pattern_does_comb_before_it_is_deinterlaced() {
    let studio = Studio::new();
    let woven = studio.make("woven.rgb", &format!("{MOVING} {WOVEN} -f rawvideo -pix_fmt rgb24"));
    let rgb = std::fs::read(woven).expect("reads");
    let pictures = rgb.chunks_exact(320 * 240 * 3).map(|rgb| Picture {
        pts: showrunner_timeline::Ticks(0),
        width: 320,
        height: 240,
        rgb: rgb.to_vec(),
    });
    let combed: Vec<f64> = pictures.skip(8).map(|picture| comb(&picture)).collect();
    assert!(combed.iter().sum::<f64>() / combed.len() as f64 > 4.0, "{combed:?}");
}

/// Mean combing of the frames after the detector has made up its mind.
fn combing(seen: &Seen) -> f64 {
    let frames = &seen.frames[8..];
    frames.iter().map(comb).sum::<f64>() / frames.len() as f64
}

/// How much neighbouring rows differ more than rows two apart do.
fn comb(picture: &Picture) -> f64 {
    let row = |y: u32| &picture.rgb[(y * picture.width * 3) as usize..((y + 1) * picture.width * 3) as usize];
    let distance = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64;
    let rows = (10..picture.height - 12).map(|y| distance(row(y), row(y + 1)) - distance(row(y), row(y + 2)));
    rows.sum::<f64>() / f64::from(picture.height - 22)
}
