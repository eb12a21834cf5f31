//! One secret in a mounted folder, read for each request, so that a rotation needs no restart.
//!
//! Reads files.

use std::fmt;
use std::path::PathBuf;

/// Largest file that is read, bytes.
const MAX_FILE: u64 = 4096;

/// What must not be shown. Printing it shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A file that holds one word.
#[derive(Clone, Debug)]
pub(super) struct SecretFile(PathBuf);

impl SecretFile {
    pub(super) fn new(folder: &std::path::Path, name: &str) -> Self {
        Self(folder.join(name))
    }

    /// The secret as it is now. The error says which file is wrong, never what is in it.
    pub(super) fn read(&self) -> Result<Secret, String> {
        let refuse = |message: &dyn fmt::Display| format!("failed to read file {}: {message}", self.0.display());
        // A small file in a memory-backed volume: not worth a thread of its own.
        let size = std::fs::metadata(&self.0).map_err(|error| refuse(&error))?.len();
        if size > MAX_FILE {
            return Err(refuse(&format!("it is larger than {MAX_FILE} bytes")));
        }
        let text = std::fs::read_to_string(&self.0).map_err(|error| refuse(&error))?;
        let word = text.trim();
        if word.is_empty() || word.chars().any(|c| c.is_control() || c.is_whitespace() || !c.is_ascii()) {
            return Err(refuse(&"it must hold one word"));
        }
        Ok(Secret(word.to_owned()))
    }

    /// An error of what is in the file, without what is in it.
    pub(super) fn refuse(&self, message: &str) -> String {
        format!("failed to use file {}: {message}", self.0.display())
    }
}
