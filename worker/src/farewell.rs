//! The last words of a pod: said once, however it ends. Writes the termination message; ends the process on SIGTERM.

use crate::failure::{internal, of_panic};
use showrunner_contracts::result::{Termination, exit};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
    low_level,
};
use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Longest termination message that a kubelet keeps, bytes.
pub const MAX_MESSAGE: usize = 4_096;

/// Says the last words, once.
#[derive(Clone, Debug)]
pub struct Farewell {
    path: PathBuf,
    said: Arc<Mutex<bool>>,
}

impl Farewell {
    /// To be written to `path`, which a kubelet has made.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), said: Arc::default() }
    }

    /// Says `words` unless something was said before; tells whether these were the first.
    pub fn say(&self, words: &Termination) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said {
            return false;
        }
        *said = true;
        if let Err(error) = self.write(words) {
            tracing::error!(path = %self.path.display(), %error, "failed to write the termination message");
        }
        true
    }

    /// Runs the whole of the work: a panic and a signal find their words, too.
    pub fn guard(&self, work: impl FnOnce() -> i32) -> i32 {
        if let Err(error) = self.listen() {
            tracing::error!(%error, "failed to listen for signals: the process will end without last words when it is stopped");
        }
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
            self.say(&Termination::Failure(of_panic(payload.as_ref())));
            exit::NO_RESULT
        })
    }

    fn write(&self, words: &Termination) -> io::Result<()> {
        let bytes = serde_json::to_vec(words)?;
        debug_assert!(bytes.len() <= MAX_MESSAGE, "a test of the contract holds the message to its limit");
        // The file is a mount of its own and cannot be replaced: one write, so that no reader sees half of it.
        OpenOptions::new().write(true).create(true).truncate(true).open(&self.path)?.write_all(&bytes)
    }

    /// On SIGTERM the process is gone at once: what is committed stays, media tools die with their parents, and nothing
    /// that is half done is worth the grace period.
    fn listen(&self) -> io::Result<()> {
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        let farewell = self.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                let message = format!("stopped by signal {signal} before the work was done; steps that were committed are kept");
                if farewell.say(&Termination::Failure(internal(message))) {
                    // Not `exit`: destructors of libraries would run while their threads still work.
                    low_level::exit(exit::NO_RESULT);
                }
            }
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use showrunner_contracts::Digest;

    fn said(path: &Path) -> Termination {
        serde_json::from_slice(&std::fs::read(path).expect("the message")).expect("a termination")
    }

    #[test]
    fn only_the_first_words_are_said() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let farewell = Farewell::new(&folder.path().join("log"));
        let first = Termination::Result(Digest::of(b"result"));
        assert!(farewell.say(&first));
        assert!(!farewell.say(&Termination::Failure(internal("late"))));
        assert_eq!(said(&folder.path().join("log")), first);
    }

    #[test]
    fn a_panic_finds_its_words() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let farewell = Farewell::new(&folder.path().join("log"));
        let code = farewell.guard(|| panic!("index out of bounds"));
        assert_eq!(code, exit::NO_RESULT);
        match said(&folder.path().join("log")) {
            Termination::Failure(failure) => assert!(failure.message.contains("index out of bounds")),
            Termination::Result(_) => panic!("there is no result"),
        }
    }
}
