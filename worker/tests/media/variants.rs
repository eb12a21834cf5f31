//! One picture, however it is stored: every variant of a clip is seen by the engines as its plain original is.
//!
//! Measured on the analysis picture by PDQ, as the thumbnails engine computes it (held there against the published
//! implementation), and, because PDQ sees no colour, by the mean difference of the colours.

use crate::kit::{Seen, Studio, artefacts, watch};
use showrunner_thumbnails::{ClassicalQuality, Hash};
use showrunner_timeline::Ticks;
use showrunner_worker::{
    picture::Picture,
    steps::{
        jpeg::{self, Rgb},
        sheet::shrink,
    },
};
use std::{env, path::PathBuf};

/// Most bits of 256 by which a variant may differ from the plain original; copies of a picture lie within 31.
const DISTANCE: u32 = 16;
/// Set to a folder, it gets the contact sheet.
const CONTACT_SHEET: &str = "SHOWRUNNER_CONTACT_SHEET";

/// One way to store the clip.
struct Variant {
    name: &'static str,
    file: &'static str,
    /// Commands of `FFmpeg`, each with the file it makes; the last one makes the variant.
    commands: Vec<(&'static str, String)>,
    /// Most by which colours may differ in the mean, of 255.
    colour: f64,
    /// Frames of the original for each frame of the variant.
    pace: usize,
}

const LOSSLESS: &str = "-c:v ffv1";
const LINEAR: &str = "zscale=tin=bt709:pin=bt709:min=bt709:rin=limited:t=linear:npl=203,format=gbrpf32le";
/// Rounding, and chroma that was scaled once more.
const SAME: f64 = 3.0;
/// Most mean difference of a glance from the analysis picture averaged down.
const GLANCE: f64 = 2.0;
/// Where the other matrix, wrongly taken, would make a difference of 2.9.
const CLOSE: f64 = 2.0;
/// Half of the lines are those of the next frame.
const WOVEN: f64 = 4.0;
/// Tone mapping makes room for light that this clip has not: its brightest parts get darker.
const MAPPED: f64 = 6.0;

fn variants() -> Vec<Variant> {
    let row = |name, file, colour, args: &str| Variant {
        name,
        file,
        commands: vec![(file, format!("-i plain.mkv {args}"))],
        colour,
        pace: 1,
    };
    let lossless = |name, file, colour, filter: &str| row(name, file, colour, &format!("-vf {filter} {LOSSLESS}"));
    let turned = |name, file, lying: &'static str, turn: &str, degrees: u32| Variant {
        commands: vec![
            (lying, format!("-i plain.mkv -vf {turn} -c:v libx264 -preset ultrafast -qp 4 -pix_fmt yuv420p")),
            (file, format!("-display_rotation {degrees} -i {lying} -c copy")),
        ],
        ..row(name, file, SAME, "")
    };
    let fields = |name, file, mode: &str, order: &str| Variant {
        pace: 2,
        ..row(
            name,
            file,
            WOVEN,
            &format!(
                "-vf tinterlace={mode},setfield={order} -c:v libx264 -preset ultrafast -qp 4 -pix_fmt yuv420p -flags +ilme+ildct \
                 -x264-params {order}=1"
            ),
        )
    };
    let bright = |name, file, transfer: &str, codec: &str| {
        let to = format!("{LINEAR},zscale=p=bt2020,zscale=t={transfer}:npl=203:m=bt2020nc:r=limited,format=yuv420p10le");
        let says = format!("setparams=range=tv:color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc");
        row(name, file, MAPPED, &format!("-vf {to},{says} {codec}"))
    };
    let mastered = |light: &str| format!("-c:v libx265 -preset ultrafast -x265-params log-level=none:crf=6:{light}");
    let display = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)";
    let unsaid = "setparams=range=unknown:color_primaries=unknown:color_trc=unknown:colorspace=unknown";
    let primaries = |name, file, p: &str, t: &str, m: &str| {
        let to = format!("{LINEAR},zscale=p={p},zscale=t={t}:m={m}:r=limited,format=yuv420p10le");
        lossless(name, file, SAME, &format!("{to},setparams=range=tv:color_primaries={p}:color_trc={t}:colorspace={m}"))
    };
    vec![
        row("plain", "same.mkv", SAME, "-c copy"),
        turned("turned by 90 degrees", "90.mp4", "lying90.mp4", "transpose=clock", 90),
        turned("turned by 180 degrees", "180.mp4", "lying180.mp4", "hflip,vflip", 180),
        turned("turned by 270 degrees", "270.mp4", "lying270.mp4", "transpose=cclock", 270),
        lossless("anamorphic, 4:3 samples", "wide.mkv", SAME, "scale=480:360:flags=bicubic,setsar=4/3"),
        fields("interlaced, top field first", "top.mkv", "interleave_top", "tff"),
        fields("interlaced, bottom field first", "bottom.mkv", "interleave_bottom", "bff"),
        lossless("full range", "full.mkv", SAME, "scale=out_range=full,format=yuv420p,setparams=range=pc"),
        row("JPEG", "jpeg.mov", SAME, "-vf scale=out_range=full:out_color_matrix=bt601,format=yuvj420p -c:v mjpeg -q:v 2"),
        lossless("unspecified, SD", "sd.mkv", SAME, &format!("scale=out_color_matrix=smpte170m,format=yuv420p,{unsaid}")),
        lossless("unspecified, HD", "hd.mkv", CLOSE, &format!("scale=1280:720:flags=bicubic,{unsaid}")),
        lossless("10 bits", "ten.mkv", SAME, "format=yuv420p10le"),
        lossless("4:4:4", "full-chroma.mkv", SAME, "format=yuv444p"),
        row("4:2:2, 10 bits, ProRes", "prores.mov", SAME, "-c:v prores_ks -profile:v hq -pix_fmt yuv422p10le"),
        lossless("RGB", "rgb.mkv", SAME, "format=gbrp"),
        bright("HDR10, peak not stated", "pq.mkv", "smpte2084", LOSSLESS),
        bright(
            "HDR10, content to 1000 cd/m2",
            "pq1000.mp4",
            "smpte2084",
            &mastered(&format!("max-cll=1000,300:{display}L(10000000,50)")),
        ),
        bright("HDR10, mastered to 4000 cd/m2", "pq4000.mp4", "smpte2084", &mastered(&format!("{display}L(40000000,50)"))),
        bright("HLG", "hlg.mkv", "arib-std-b67", LOSSLESS),
        primaries("SDR of Display P3", "p3.mkv", "smpte432", "bt709", "bt709"),
        primaries("SDR of BT.2020", "bt2020.mkv", "bt2020", "bt2020-10", "bt2020nc"),
    ]
}

#[test]
fn every_variant_is_seen_as_the_plain_original_is() {
    let studio = Studio::new();
    // A street at dusk and a meadow in the sun, twelve frames each, both with movement.
    let media = artefacts().join("media");
    let (street, meadow) = (media.join("bikes.mp4"), media.join("bigbuckbunny.mp4"));
    let clip = "trim=end_frame=12,setpts=PTS-STARTPTS,scale=640:360:flags=bicubic,setsar=1";
    let join = format!(
        "[0:v]{clip}[a];[1:v]{clip}[b];[a][b]concat=n=2:v=1,scale=out_color_matrix=bt709:out_range=limited,format=yuv420p,\
         setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709[v]"
    );
    let inputs = format!("-ss 2 -i {} -ss 1 -i {}", street.display(), meadow.display());
    studio.make("plain.mkv", &format!("{inputs} -filter_complex {join} -map [v] {LOSSLESS}"));
    let plain = watch(&studio.path("plain.mkv"));
    let hashes: Vec<Hash> = plain.frames.iter().map(hash).collect();
    assert_eq!(hashes.len(), 24);
    assert!(hashes[0].distance(&hashes[23]) > 64, "the measure tells pictures apart");

    let (mut wrong, mut tiles) = (Vec::new(), Vec::new());
    println!("{:<35} {:>8} {:>8} {:>8}", "variant", "PDQ", "colour", "glance");
    for variant in variants() {
        for (file, args) in &variant.commands {
            studio.make(file, args);
        }
        let seen = watch(&studio.path(variant.file));
        assert_eq!((seen.frames.len(), seen.size()), (24 / variant.pace, plain.size()), "{}", variant.name);
        let pairs = || seen.frames.iter().zip(plain.frames.iter().step_by(variant.pace));
        let distance = seen.frames.iter().zip(hashes.iter().step_by(variant.pace)).map(|(a, b)| hash(a).distance(b)).max();
        let distance = distance.expect("there are frames");
        let colour = pairs().map(|(a, b)| difference(&a.rgb, &b.rgb)).fold(0.0, f64::max);
        // A glance is the same picture, only smaller.
        let glance = seen.glances.iter().zip(&seen.frames).map(|(glance, frame)| {
            assert_eq!(glance.pts, frame.pts);
            let small = shrink(&frame.rgb, (frame.width, frame.height), (glance.width, glance.height));
            difference(&glance.rgb, &small.pixels)
        });
        let glance = glance.fold(0.0, f64::max);
        println!("{:<35} {distance:>8} {colour:>8.2} {glance:>8.2}", variant.name);
        if distance > DISTANCE || colour > variant.colour || glance > GLANCE {
            wrong.push((variant.name, distance, colour, glance));
        }
        // Of the meadow, which may be shown.
        tiles.push(tile(&seen, 20 / variant.pace));
    }
    if let Some(folder) = env::var_os(CONTACT_SHEET).map(PathBuf::from) {
        std::fs::write(folder.join("picture-variants.jpg"), contact_sheet(&tiles)).expect("the contact sheet is written");
    }
    assert!(wrong.is_empty(), "further from the original than {DISTANCE} bits, or of other colours: {wrong:?}");
}

#[test]
fn the_measure_sees_a_picture_that_is_turned_or_combed() {
    let studio = Studio::new();
    let bunny = artefacts().join("media/bigbuckbunny.mp4");
    let make = |file, filter: &str| {
        let args = format!("-ss 1 -i {} -frames:v 2 -an -vf scale=640:360,setsar=1{filter} -c:v ffv1", bunny.display());
        watch(&studio.make(file, &args)).frames.remove(0)
    };
    let plain = make("plain.mkv", "");
    assert!(hash(&plain).distance(&hash(&make("turned.mkv", ",hflip"))) > DISTANCE);
    assert!(difference(&plain.rgb, &make("other.mkv", ",colorchannelmixer=rr=0.8:gg=1.0:bb=1.1").rgb) > SAME);
}

fn hash(picture: &Picture) -> Hash {
    let checked = showrunner_thumbnails::Picture::new(&picture.rgb, picture.width, picture.height).expect("a picture");
    showrunner_thumbnails::measure(&checked, Ticks::ZERO, 0.0, &mut ClassicalQuality).expect("it is measured").hash
}

/// Mean difference of two pictures over all pixels and colours.
fn difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

fn tile(seen: &Seen, frame: usize) -> Rgb {
    let picture = &seen.frames[frame];
    shrink(&picture.rgb, (picture.width, picture.height), (160, 90))
}

/// All tiles, seven in a row.
fn contact_sheet(tiles: &[Rgb]) -> Vec<u8> {
    const ACROSS: usize = 7;
    let (width, height) = (tiles[0].width as usize, tiles[0].height as usize);
    let rows = tiles.len().div_ceil(ACROSS);
    let mut pixels = vec![0; ACROSS * width * rows * height * 3];
    for (nth, tile) in tiles.iter().enumerate() {
        let (left, top) = (nth % ACROSS * width, nth / ACROSS * height);
        for (y, line) in tile.pixels.chunks_exact(width * 3).enumerate() {
            let at = ((top + y) * ACROSS * width + left) * 3;
            pixels[at..at + line.len()].copy_from_slice(line);
        }
    }
    jpeg::encode((ACROSS * width) as u32, (rows * height) as u32, &pixels, jpeg::SHEET_QUALITY).expect("it is encoded")
}
