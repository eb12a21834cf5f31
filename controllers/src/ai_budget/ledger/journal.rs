//! The journal as it lies in its pages: found, read to its end, and written on.
//!
//! Reads and writes pages. Whatever becomes of a write, the next one begins by reading on: what was written by somebody
//! else, or by us without our learning of it, is in the book before anything is decided by it.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use jiff::Timestamp;
use showrunner_ledger::journal::{NOTHING_BEFORE, STATE_EVERY};
use showrunner_ledger::{Book, Entry, Page, PageError};

use super::pages::{Pages, PagesError, Put};

/// Why the journal cannot be gone on with.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// For now.
    #[error(transparent)]
    Away(#[from] PagesError),
    /// Until a person has looked.
    #[error(
        "{0}: nothing is let start before somebody has put the pages back as they were (docs/kinds/ai-budget.md, \"When the ledger is broken\")"
    )]
    Broken(String),
}

impl From<PageError> for JournalError {
    fn from(error: PageError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// What became of entries that were to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// They are in the journal and in the book.
    Written,
    /// Somebody else wrote first: the book has what they wrote, and is to be asked again.
    Overtaken,
}

/// The journal.
pub struct Journal {
    /// None before the wiring is done, when nobody asks yet.
    pages: Option<Arc<dyn Pages>>,
    book: RwLock<Book>,
    /// Whether it has been read to its end.
    read: bool,
    /// Whether there may be a page after the last one that is known.
    doubtful: bool,
    writer: String,
}

impl Journal {
    /// Nothing is read yet.
    pub fn new(writer: String) -> Self {
        Self { pages: None, book: RwLock::default(), read: false, doubtful: false, writer }
    }

    /// Tells where its pages lie.
    pub fn connect(&mut self, pages: Arc<dyn Pages>) {
        self.pages = Some(pages);
    }

    fn pages(&self) -> Result<Arc<dyn Pages>, JournalError> {
        let nowhere =
            || PagesError { doing: "read", sequence: 0, place: "no place".into(), message: "it is not wired yet".into() };
        self.pages.clone().ok_or_else(|| JournalError::Away(nowhere()))
    }

    /// What it adds up to as far as it was read.
    pub fn book(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has been read to its end once.
    pub fn is_read(&self) -> bool {
        self.read
    }

    /// Reads to the end, where that is not known to have been reached. `known` is a page that there must be, as somebody has
    /// noted it.
    pub async fn catch_up(&mut self, known: u64) -> Result<(), JournalError> {
        if !self.read {
            let last = self.last(known).await?;
            let mut begin = last / STATE_EVERY * STATE_EVERY;
            let book = loop {
                if begin == 0 {
                    break Book::default();
                }
                if let Some(book) = self.begin(begin).await? {
                    break book;
                }
                begin -= STATE_EVERY;
            };
            *self.book.get_mut().unwrap_or_else(PoisonError::into_inner) = book;
            self.doubtful = true;
        }
        if self.doubtful {
            while self.read_next().await? {}
            let head = self.book().head().sequence;
            if head < known {
                return Err(JournalError::Broken(format!("the ledger ends with page {head}, and there has been a page {known}")));
            }
            (self.read, self.doubtful) = (true, false);
        }
        Ok(())
    }

    /// Writes entries, as one page. To be called after [`Journal::catch_up`].
    pub async fn append(&mut self, entries: Vec<Entry>, now: Timestamp) -> Result<Appended, JournalError> {
        let mut page = self.book().next_page(entries, now, &self.writer);
        let (mut bytes, mut digest) = page.to_bytes();
        if page.state.is_some() && bytes.len() > self.pages()?.largest() {
            // Whoever starts reads from an earlier one.
            tracing::warn!(
                page = page.sequence,
                bytes = bytes.len(),
                "what the ledger adds up to is too large for its page: keep the ledger in a store"
            );
            page.state = None;
            (bytes, digest) = page.to_bytes();
        }
        let bytes = Bytes::from(bytes);
        // Whoever is cut off here does not know what became of it.
        self.doubtful = true;
        match self.pages()?.put(page.sequence, bytes.clone()).await? {
            Put::Written => {
                self.book.get_mut().unwrap_or_else(PoisonError::into_inner).turn(&page, &digest)?;
                self.doubtful = false;
                Ok(Appended::Written)
            }
            Put::Taken => {
                let ours = self.pages()?.get(page.sequence).await?.is_some_and(|there| there == bytes);
                self.catch_up(0).await?;
                Ok(if ours { Appended::Written } else { Appended::Overtaken })
            }
        }
    }

    /// The number of the last page: there is none of a higher number. Pages have no gaps.
    async fn last(&self, known: u64) -> Result<u64, JournalError> {
        if known > 0 && !self.pages()?.has(known).await? {
            return Err(JournalError::Broken(format!("page {known} of the ledger is gone")));
        }
        let (mut there, mut step) = (known, 1u64);
        while self.pages()?.has(there + step).await? {
            there += step;
            step *= 2;
        }
        // There is `there`, and there is no `there + step`.
        let mut missing = there + step;
        while missing - there > 1 {
            let middle = there + (missing - there) / 2;
            if self.pages()?.has(middle).await? {
                there = middle;
            } else {
                missing = middle;
            }
        }
        Ok(there)
    }

    /// What a page says that all before it add up to; none where that was too large for it.
    async fn begin(&self, sequence: u64) -> Result<Option<Book>, JournalError> {
        let bytes = self.pages()?.get(sequence).await?;
        let bytes = bytes.ok_or_else(|| JournalError::Broken(format!("page {sequence} of the ledger is gone")))?;
        let (page, digest) = Page::read(&bytes, sequence, None)?;
        Ok(Book::begin(&page, &digest))
    }

    /// Adds the next page, if there is one.
    async fn read_next(&mut self) -> Result<bool, JournalError> {
        let head = self.book().head().clone();
        let Some(bytes) = self.pages()?.get(head.sequence + 1).await? else { return Ok(false) };
        let previous = if head.sequence == 0 { NOTHING_BEFORE } else { &head.digest };
        let (page, digest) = Page::read(&bytes, head.sequence + 1, Some(previous))?;
        self.book.get_mut().unwrap_or_else(PoisonError::into_inner).turn(&page, &digest)?;
        Ok(true)
    }
}
