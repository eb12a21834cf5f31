//! The file that children read: opened once, handed on as a descriptor. Opens files.

use std::{
    fs::File,
    io::{self, Seek as _},
    os::fd::AsRawFd as _,
    path::Path,
};

/// A regular file on this machine, held open.
#[derive(Debug)]
pub struct Source {
    file: File,
    size_bytes: u64,
}

impl Source {
    /// Opens `path` for reading; only a regular file will do.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::new(File::open(path)?)
    }

    /// Takes a file that is already open.
    pub fn new(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the source is not a regular file"));
        }
        Ok(Self { file, size_bytes: metadata.len() })
    }

    /// Its size in bytes when it was opened.
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The same file with a read position of its own: two children that share one position would disturb each other.
    /// Goes through the open descriptor, so a path that changed meanwhile does not matter.
    pub(crate) fn reopen(&self) -> io::Result<File> {
        if let Ok(file) = File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd())) {
            return Ok(file);
        }
        // No /proc: share the position, from the start. Children are then run one after another by the caller.
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Ok(file)
    }
}
