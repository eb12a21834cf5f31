//! Credentials of a profile, read from a folder of small files and read again when those change.
//!
//! Reads files. Kubernetes swaps a mounted Secret as a whole, so the files are read together; a rotation needs no
//! restart.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Mono};

/// File with the access key's id.
pub const FILE_ACCESS_KEY: &str = "accessKeyId";
/// File with the secret.
pub const FILE_SECRET: &str = "secretAccessKey";
/// How long what was read is believed; bounds how long a rotation takes to be seen.
const FRESH: Duration = Duration::from_secs(10);
/// Largest file that is read, bytes.
const MAX_FILE: u64 = 4096;

/// A key and its secret. Printing it shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    pub(super) key: String,
    pub(super) secret: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair(..)")
    }
}

/// A folder of credentials.
#[derive(Debug)]
pub struct Credentials {
    folder: PathBuf,
    clock: Clock,
    last: Mutex<Option<(Mono, Pair)>>,
}

impl Credentials {
    /// Credentials in this folder. Nothing is read yet.
    pub fn new(folder: PathBuf, clock: Clock) -> Self {
        Self { folder, clock, last: Mutex::default() }
    }

    /// The credentials as they are now (or were [`FRESH`] ago at most). The error says which file is wrong, never what
    /// is in it.
    pub fn read(&self) -> Result<Pair, String> {
        let now = self.clock.mono();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, pair)) = last.as_ref()
            && now.saturating_sub(*read) < FRESH
        {
            return Ok(pair.clone());
        }
        // Two small files in memory-backed volumes: not worth a thread of their own.
        let pair = Pair { key: read_file(&self.folder, FILE_ACCESS_KEY)?, secret: read_file(&self.folder, FILE_SECRET)? };
        *last = Some((now, pair.clone()));
        Ok(pair)
    }

    /// Has the next [`Credentials::read`] read the files: the store has just refused what they said.
    pub fn doubt(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn read_file(folder: &Path, name: &str) -> Result<String, String> {
    let path = folder.join(name);
    let size = std::fs::metadata(&path).map_err(|error| format!("file {}: {error}", path.display()))?.len();
    if size > MAX_FILE {
        return Err(format!("file {} is larger than {MAX_FILE} bytes", path.display()));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| format!("file {}: {error}", path.display()))?;
    let text = text.trim();
    if text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("file {} must hold one word", path.display()));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, key: &str, secret: &str) {
        std::fs::write(folder.join(FILE_ACCESS_KEY), key).unwrap();
        std::fs::write(folder.join(FILE_SECRET), secret).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_rotated_secret_is_seen_without_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "key1\n", "secret1\n");
        let credentials = Credentials::new(folder.path().to_owned(), Clock::start());
        assert_eq!(credentials.read().unwrap().key, "key1");
        write(folder.path(), "key2", "secret2");
        assert_eq!(credentials.read().unwrap().key, "key1", "believed for a while");
        tokio::time::advance(FRESH).await;
        assert_eq!(credentials.read().unwrap(), Pair { key: "key2".into(), secret: "secret2".into() });
    }

    #[test]
    fn refused_credentials_are_read_again_at_once() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "key1", "secret1");
        let credentials = Credentials::new(folder.path().to_owned(), Clock::start());
        credentials.read().unwrap();
        write(folder.path(), "key2", "secret2");
        credentials.doubt();
        assert_eq!(credentials.read().unwrap().key, "key2");
    }

    #[test]
    fn errors_name_the_file_and_never_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials::new(folder.path().to_owned(), Clock::start());
        assert!(credentials.read().unwrap_err().contains(FILE_ACCESS_KEY));
        write(folder.path(), "key", "top secret");
        let error = credentials.read().unwrap_err();
        assert!(error.contains(FILE_SECRET) && !error.contains("top"), "{error}");
        assert_eq!(format!("{:?}", Pair { key: "k".into(), secret: "s".into() }), "Pair(..)");
    }
}
