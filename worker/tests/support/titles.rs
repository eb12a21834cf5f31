//! Tiny titles, made by the same `FFmpeg` that reads them.

use super::artefacts;
use std::process::{Command, Stdio};

/// Runs `FFmpeg`, writing one file of this type; gives its bytes.
fn make(arguments: &[&str], extension: &str) -> Vec<u8> {
    let artefacts = artefacts();
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join(format!("title.{extension}"));
    let output = Command::new(artefacts.root().join("bin/ffmpeg"))
        .args(["-v", "error", "-nostdin", "-y"])
        .args(arguments)
        .args(["-bitexact", "-threads", "1"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(path).expect("ffmpeg wrote the title")
}

/// Three shots of two seconds with hard cuts between them.
const SHOTS: &str = "testsrc2=s=320x180:r=24:d=2[a];mandelbrot=s=320x180:r=24:start_scale=0.4,trim=duration=2[b];\
                     rgbtestsrc=s=320x180:r=24:d=2[c];[a][b][c]concat=n=3:v=1,format=yuv420p[v]";

fn speech() -> String {
    artefacts().root().join("media/two_cities.wav").to_string_lossy().into_owned()
}

/// Six seconds: three shots, and someone reading Dickens.
pub fn with_speech() -> Vec<u8> {
    make(
        &["-i", &speech(), "-filter_complex", SHOTS, "-map", "[v]", "-map", "0:a", "-t", "6", "-c:v", "libx264", "-c:a", "aac"],
        "mp4",
    )
}

/// The same, nobody speaking and no sound at all.
pub fn without_sound() -> Vec<u8> {
    make(&["-filter_complex", SHOTS, "-map", "[v]", "-c:v", "libx264", "-movflags", "+faststart"], "mp4")
}

/// Six seconds of reading, no picture.
pub fn without_picture() -> Vec<u8> {
    make(&["-i", &speech(), "-t", "6", "-c:a", "aac"], "m4a")
}
