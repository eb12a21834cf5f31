//! What the real worker makes of a real clip, recorded once and kept: the sweep's pods commit it again and again.
//!
//! I/O: runs FFmpeg and `showrunner-worker enrich`; reads and writes `$SHOWRUNNER_CACHE/sweep/`.

use crate::{cluster::run, media};
use anyhow::{Context as _, Result, bail};
use showrunner_contracts::{
    Digest, Document as _,
    manifest::MediaSummary,
    result::{Outcome, StepResult, UnitResult},
    step::Step,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

/// Five seconds, two shots, nothing to hear.
const GRAPH: &str = "testsrc2=s=320x180:r=24:d=2.5[a];mandelbrot=s=320x180:r=24,trim=duration=2.5,setpts=PTS-STARTPTS[b];\
                     [a][b]concat=n=2,format=yuv420p[v]";
/// How the worker is asked to do it; what the scenarios' specs ask for fits this.
const ASKED: [&str; 4] = ["--select", "1", "--sprite-interval-ms", "1000"];

/// One step that the worker did.
#[derive(Clone, Debug)]
pub struct RecordedStep {
    /// Its result, still under the key and folder of the recording.
    pub result: StepResult,
    /// Its files, by name.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// A clip and what the worker made of it.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The clip.
    pub clip: Vec<u8>,
    /// What it turned out to be.
    pub media: MediaSummary,
    /// The steps that gave a result.
    pub done: BTreeMap<Step, RecordedStep>,
    /// What became of the others.
    pub others: BTreeMap<Step, Outcome>,
}

impl Recording {
    /// The recording of this worker binary; made when it is not there.
    pub fn of(worker: &Path) -> Result<Self> {
        let cache = PathBuf::from(std::env::var_os("SHOWRUNNER_CACHE").context("SHOWRUNNER_CACHE is not set: run `make sweep`")?);
        let bytes = std::fs::read(worker).with_context(|| format!("failed to read {}: run `make binaries`", worker.display()))?;
        let key = Digest::of_json(&("showrunner.dev/recording/v1", Digest::of(&bytes), GRAPH, ASKED));
        let folder = cache.join("sweep").join(key.hex());
        if !folder.is_dir() {
            let parent = cache.join("sweep");
            std::fs::create_dir_all(&parent)?;
            let scratch = tempfile::tempdir_in(&parent)?;
            make(worker, scratch.path())?;
            // Two at once make the same: whose rename comes second finds the other's.
            if std::fs::rename(scratch.path(), &folder).is_ok() {
                let _ = scratch.keep();
            }
        }
        read(&folder)
    }
}

fn make(worker: &Path, folder: &Path) -> Result<()> {
    println!("recording what the worker makes of a clip (once for each build of the worker)");
    let clip = media::ffmpeg("clip.mp4", &["-filter_complex", GRAPH, "-map", "[v]", "-c:v", "libx264", "-preset", "veryfast"])?;
    std::fs::write(folder.join("clip.mp4"), clip)?;
    run(Command::new(worker).arg("enrich").arg(folder.join("clip.mp4")).arg("--out").arg(folder.join("out")).args(ASKED))?;
    Ok(())
}

fn read(folder: &Path) -> Result<Recording> {
    let out = folder.join("out");
    let unit = UnitResult::from_bytes(&std::fs::read(out.join("unit-result.json"))?)?;
    let (mut done, mut others) = (BTreeMap::new(), BTreeMap::new());
    for outcome in unit.steps {
        if let Outcome::Failed(failure) = &outcome.outcome {
            bail!("the worker failed at the clip: {}; delete {} to record it again", failure.message, folder.display());
        }
        if !matches!(outcome.outcome, Outcome::Done { .. }) {
            others.insert(outcome.step, outcome.outcome);
            continue;
        }
        let result = StepResult::from_bytes(&std::fs::read(out.join(format!("{}.result.json", outcome.step)))?)?;
        let files = result.outputs.iter().map(|output| Ok((output.name.clone(), std::fs::read(out.join(&output.name))?)));
        let files = files.collect::<Result<BTreeMap<_, _>>>()?;
        done.insert(outcome.step, RecordedStep { result, files });
    }
    let media = unit.media.context("the worker says nothing of the clip")?;
    Ok(Recording { clip: std::fs::read(folder.join("clip.mp4"))?, media, done, others })
}
