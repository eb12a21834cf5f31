//! Small media files for tests, made by the pinned FFmpeg. I/O: child processes, temporary files.

use crate::cluster::run;
use anyhow::{Context as _, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The folder of models and media tools.
pub fn artefacts() -> Result<PathBuf> {
    let folder =
        PathBuf::from(std::env::var_os("SHOWRUNNER_ARTEFACTS").context("SHOWRUNNER_ARTEFACTS is not set: run `make e2e-test`")?);
    if !folder.join("bin/ffmpeg").is_file() {
        bail!("there is no bin/ffmpeg in {}: run scripts/fetch-artefacts", folder.display());
    }
    Ok(folder)
}

/// Runs FFmpeg and gives the file's bytes; `arguments` come between the global options and the output's name.
pub fn ffmpeg(name: &str, arguments: &[&str]) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join(name);
    run(Command::new(artefacts()?.join("bin/ffmpeg"))
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-threads", "2"])
        .args(arguments)
        .args(["-bitexact"])
        .arg(&file))?;
    std::fs::read(&file).with_context(|| format!("FFmpeg wrote no {name}"))
}

/// Six seconds: three scenes with cuts at 2 s and 4 s, and a tone. `seed` makes files differ, and the same one gives the same
/// bytes: the filter `gradients` draws what is not given to it anew each time, whatever seed it has.
pub fn small_title(seed: u32) -> Result<Vec<u8>> {
    let hue = seed % 360;
    let graph = format!(
        "testsrc2=s=320x180:r=24:d=2,hue=h={hue}[a];mandelbrot=s=320x180:r=24,trim=duration=2,setpts=PTS-STARTPTS[b];\
         gradients=s=320x180:r=24:d=2:nb_colors=2:c0=0xff4a3a:c1=0x12467e:x0=0:y0=0:x1=319:y1=179[c];[a][b][c]concat=n=3,format=yuv420p[v]"
    );
    ffmpeg(
        "small.mp4",
        &[
            "-f",
            "lavfi",
            "-i",
            "sine=f=440:d=6:r=48000",
            "-filter_complex",
            &graph,
            "-map",
            "[v]",
            "-map",
            "0:a",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-c:a",
            "aac",
            "-t",
            "6",
        ],
    )
}

/// A title in which this is said, in English by a computed voice, over two computed scenes.
pub fn spoken_title(text: &str) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let voice = folder.path().join("voice.wav");
    run(Command::new("espeak-ng").args(["-v", "en-gb", "-s", "140", "-w"]).arg(&voice).arg("--").arg(text))?;
    let voice = voice.to_str().context("the temporary folder has an odd name")?.to_owned();
    let graph = "testsrc2=s=320x180:r=24:d=4[a];mandelbrot=s=320x180:r=24,trim=duration=4,setpts=PTS-STARTPTS[b];\
                 [a][b]concat=n=2,format=yuv420p[v];[0:a]apad=whole_dur=8[s]";
    let video = ["-map", "[v]", "-map", "[s]", "-c:v", "libx264", "-preset", "veryfast", "-c:a", "aac", "-t", "8"];
    ffmpeg("spoken.mp4", &[&["-i", &voice, "-filter_complex", graph], &video[..]].concat())
}

/// Twenty seconds of five patterns that move, and someone reading from `from` seconds on. Other numbers give other patterns.
pub fn film(numbers: [u8; 5], from: u32) -> Result<Vec<u8>> {
    let reading = artefacts()?.join("media/two_cities.wav");
    let pattern = |(at, number): (usize, u8)| {
        let (x, y) = (f64::from(number) * 0.13 - 1.7, f64::from(number % 7) * 0.11 + 0.02);
        format!(
            "mandelbrot=s=320x180:rate=24:start_x={x:.2}:start_y={y:.2}:start_scale=0.{}:end_pts=200,trim=duration=4,setpts=PTS-STARTPTS[p{at}];",
            1 + number % 5
        )
    };
    let graph: String = numbers.into_iter().enumerate().map(pattern).collect();
    let graph = format!("{graph}[p0][p1][p2][p3][p4]concat=n=5,format=yuv420p[v]");
    let (reading, from) = (reading.to_str().context("the artefacts' folder has an odd name")?.to_owned(), from.to_string());
    let head = ["-ss", &from, "-i", &reading, "-filter_complex", &graph, "-map", "[v]", "-map", "0:a"];
    ffmpeg("film.mp4", &[&head[..], &["-c:v", "libx264", "-preset", "veryfast", "-c:a", "aac", "-t", "20"]].concat())
}

/// The frame at this second of one of the artefacts' clips, as a JPEG file.
pub fn still(clip: &str, second: u32) -> Result<Vec<u8>> {
    let (clip, second) = (artefacts()?.join("media").join(clip), second.to_string());
    let clip = clip.to_str().context("the artefacts' folder has an odd name")?;
    ffmpeg("still.jpg", &["-ss", &second, "-i", clip, "-frames:v", "1", "-q:v", "3", "-pix_fmt", "yuvj420p"])
}

/// A title coded again, with this done to its picture.
pub fn copy_of(title: &[u8], picture: &str) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("title.mp4");
    std::fs::write(&file, title)?;
    let file = file.to_str().context("the temporary folder has an odd name")?.to_owned();
    let codecs = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "30", "-c:a", "aac", "-b:a", "64k"];
    ffmpeg("copy.mp4", &[&["-i", &file, "-vf", picture], &codecs[..]].concat())
}

/// Reads a file of the artefacts' media folder.
pub fn clip(name: &str) -> Result<Vec<u8>> {
    let file: PathBuf = artefacts()?.join("media").join(Path::new(name));
    std::fs::read(&file).with_context(|| format!("failed to read {}", file.display()))
}
