//! A film that tells its own time: every frame carries its number in bars that survive scaling and JPEG, there is a cut every
//! 50 frames, and a beep sounds at a known instant. So what a picture shows can be held against the time it is said to have.
//! Runs `FFmpeg`, writes temporary folders.

use crate::kit::{Studio, artefacts};
use showrunner_worker::steps::jpeg::Rgb;

/// Frames of the film.
pub(crate) const FRAMES: usize = 150;
/// Frames that a new shot begins with.
pub(crate) const CUTS: [usize; 2] = [50, 100];
/// When the beep begins in `sound.wav`, seconds. Somebody speaks after it.
pub(crate) const BEEP: f64 = 0.5;
/// Height of the beep; nothing before it comes near.
pub(crate) const BEEP_PEAK: f32 = 0.8;

const WIDTH: usize = 320;
const HEIGHT: usize = 180;
/// The bars are this part of the height, at the bottom, one for each bit of the number.
const STRIP: usize = 9;
const BITS: usize = 8;
/// Darker than this is 0, brighter than the other 1; between them is nothing.
const DARK: u32 = 96;
const BRIGHT: u32 = 160;

/// Puts `film.mkv` (no time of its own: 25 frames a second, lossless) and `sound.wav` into the studio.
pub(crate) fn shoot(studio: &Studio) {
    let frames: Vec<u8> = (0..FRAMES).flat_map(draw).collect();
    studio.write("film.rgb", frames);
    let raw = format!("-f rawvideo -pix_fmt rgb24 -s {WIDTH}x{HEIGHT} -framerate 25 -i film.rgb");
    studio.make("film.mkv", &format!("{raw} -c:v libx264 -preset ultrafast -qp 8 -bf 0 -pix_fmt yuv420p"));
    let speech = artefacts().join("media/two_cities.wav");
    let beep = format!("aevalsrc='if(between(t,{BEEP},{BEEP}+0.1),{BEEP_PEAK}*sin(2*PI*1000*t),0)':s=48000:d=3.2");
    let mix = "[0:a]atrim=1:3.2,asetpts=PTS-STARTPTS,adelay=900:all=1[s];[s][1:a]amix=inputs=2:normalize=0[a]";
    let args = format!("-i {} -f lavfi -i {beep} -filter_complex {mix} -map [a] -c:a pcm_s16le", speech.display());
    studio.make("sound.wav", &args);
}

/// Frame `n`: a texture in the colour of its shot that drifts a little, and the number below it.
fn draw(n: usize) -> Vec<u8> {
    let shot = CUTS.iter().filter(|cut| **cut <= n).count();
    let wave = |phase: f32| 140.0 + 70.0 * phase.sin();
    let pixel = |i: usize| -> [u8; 3] {
        let (x, y) = (i % WIDTH, i / WIDTH);
        if y >= HEIGHT - HEIGHT / STRIP {
            // Gray code: one bar changes from frame to frame, so that the bars make no cut.
            return [if (n ^ (n >> 1)) >> (x * BITS / WIDTH) & 1 == 1 { 220 } else { 40 }; 3];
        }
        let (x, y, n) = (x as f32, y as f32, n as f32);
        let lit = match shot {
            0 => [wave(x / 17.0 + n / 25.0), 60.0, 50.0],
            1 => [40.0, wave(x / 31.0 + y / 7.0 - n / 30.0), 80.0],
            _ => [wave((x - y) / 13.0), 50.0, wave((x + y) / 19.0 + n / 20.0)],
        };
        lit.map(|value| value as u8)
    };
    (0..WIDTH * HEIGHT).flat_map(pixel).collect()
}

/// The number of the frame that the picture shows, whatever its size.
pub(crate) fn number(picture: &Rgb) -> usize {
    let y = picture.height - picture.height / (2 * STRIP as u32);
    let code = (0..BITS).fold(0, |code, bit| {
        let x = (2 * bit as u32 + 1) * picture.width / (2 * BITS as u32);
        let at = (y * picture.width + x) as usize * 3;
        let luma = picture.pixels[at..at + 3].iter().map(|value| u32::from(*value)).sum::<u32>() / 3;
        assert!(!(DARK..=BRIGHT).contains(&luma), "bar {bit} of the clock is neither dark nor bright: {luma}");
        code | (usize::from(luma > BRIGHT) << bit)
    });
    let number = (0..BITS).fold(0, |number, shift| number ^ (code >> shift));
    assert!(number < FRAMES, "there is no frame {number}");
    number
}

#[test]
fn the_clock_reads_what_was_drawn() {
    for n in 0..FRAMES {
        let pixels = draw(n);
        assert_eq!(number(&Rgb { width: WIDTH as u32, height: HEIGHT as u32, pixels }), n);
    }
}
