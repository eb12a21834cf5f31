//! Counts from outside how often `FFmpeg` is started: the kernel tells of every time the program's file is opened to be run.

use super::artefacts;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};
use tempfile::TempDir;

/// The artefacts with an `FFmpeg` of their own, so that what other tests start is not counted.
pub struct Counted {
    folder: TempDir,
    over: Arc<AtomicBool>,
    reader: JoinHandle<usize>,
}

impl Counted {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (from, bin) = (artefacts().root().to_owned(), folder.path().join("bin"));
        link_all(&from, folder.path(), "bin");
        std::fs::create_dir(&bin).expect("folder of the programs");
        link_all(&from.join("bin"), &bin, "ffmpeg");
        let program = bin.join("ffmpeg");
        std::fs::copy(from.join("bin/ffmpeg"), &program).expect("a copy: a link would be the same file");

        let inotify = Inotify::init(InitFlags::empty()).expect("inotify");
        inotify.add_watch(&program, AddWatchFlags::IN_OPEN).expect("the program is watched");
        let over = Arc::new(AtomicBool::new(false));
        let reader = std::thread::spawn({
            let over = Arc::clone(&over);
            // The kernel folds equal events that nobody has read yet into one, so they are read as they come.
            move || {
                let mut opened = 0;
                loop {
                    opened += inotify.read_events().expect("events").len();
                    if over.load(Ordering::SeqCst) {
                        // The last was our own, to wake this thread.
                        break opened - 1;
                    }
                }
            }
        });
        Self { folder, over, reader }
    }

    /// What `SHOWRUNNER_ARTEFACTS` is to say.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// How often the program was started; two starts that the reader sees at once may count as one.
    pub fn starts(self) -> usize {
        self.over.store(true, Ordering::SeqCst);
        drop(std::fs::File::open(self.folder.path().join("bin/ffmpeg")).expect("the program"));
        self.reader.join().expect("the reader ends")
    }
}

fn link_all(from: &Path, to: &Path, except: &str) {
    for entry in std::fs::read_dir(from).expect("the artefacts are a folder").flatten() {
        if entry.file_name() != except {
            std::os::unix::fs::symlink(entry.path(), to.join(entry.file_name())).expect("a link");
        }
    }
}
