//! A checked view of a part's bytes. No I/O, and nothing is copied.

use std::fmt;

use super::{HEADER, KEYS, MAGIC, MAX_TITLES, MOMENT_BITS, POSTING, TABLES, VERSION};

/// Why bytes are no part of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexError {
    /// They do not begin as a part does.
    NoPart,
    /// They are of another version.
    Version(u16),
    /// They are cut off, or something is behind them, or their starts are in disorder.
    Broken,
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPart => write!(f, "failed to read an index: it does not begin with SRFX"),
            Self::Version(version) => {
                write!(f, "failed to read an index: it has version {version}, need {VERSION}; build it again")
            }
            Self::Broken => write!(f, "failed to read an index: it is cut off or damaged; build it again"),
        }
    }
}

impl std::error::Error for IndexError {}

/// A part of an index.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    numbers: &'a [u8],
    tables: [Table<'a>; TABLES],
}

#[derive(Clone, Copy, Debug)]
struct Table<'a> {
    starts: &'a [u8],
    postings: &'a [u8],
}

/// One moment of a title.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posting {
    pub(super) title: usize,
    pub(super) moment: u32,
    pub(super) rest: u64,
}

impl<'a> Part<'a> {
    /// Checks that the bytes are a whole part, which reads its starts once (1.6 MB) and its postings not at all.
    ///
    /// # Errors
    /// [`IndexError`] when they are not.
    pub fn new(bytes: &'a [u8]) -> Result<Self, IndexError> {
        let (header, body) = bytes.split_at_checked(HEADER).ok_or(IndexError::NoPart)?;
        if header[..4] != MAGIC {
            return Err(IndexError::NoPart);
        }
        let version = u16::from_le_bytes([header[4], header[5]]);
        if version != VERSION {
            return Err(IndexError::Version(version));
        }
        let (titles, tables) = (number(header, 2) as usize, number(header, 3) as usize);
        if titles > MAX_TITLES || tables != TABLES || header[6..8] != [0; 2] {
            return Err(IndexError::Broken);
        }
        let (numbers, body) = body.split_at_checked(titles * 8).ok_or(IndexError::Broken)?;
        let (starts, mut rest) = body.split_at_checked(TABLES * (KEYS + 1) * 4).ok_or(IndexError::Broken)?;
        let mut read = [Table { starts: &[], postings: &[] }; TABLES];
        for (table, starts) in read.iter_mut().zip(starts.chunks_exact((KEYS + 1) * 4)) {
            let mut last = 0;
            for start in (0..=KEYS).map(|n| number(starts, n)) {
                if start < last {
                    return Err(IndexError::Broken);
                }
                last = start;
            }
            let size = (last as usize).checked_mul(POSTING).ok_or(IndexError::Broken)?;
            let (postings, behind) = rest.split_at_checked(size).ok_or(IndexError::Broken)?;
            if number(starts, 0) != 0 {
                return Err(IndexError::Broken);
            }
            *table = Table { starts, postings };
            rest = behind;
        }
        if rest.is_empty() { Ok(Self { numbers, tables: read }) } else { Err(IndexError::Broken) }
    }

    /// How many titles it has.
    pub fn len(&self) -> usize {
        self.numbers.len() / 8
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The numbers of its titles, in its order.
    pub fn titles(&self) -> impl ExactSizeIterator<Item = u64> + use<'a> {
        let part = *self;
        (0..part.len()).map(move |n| part.title(n))
    }

    /// The number of its `n`-th title.
    pub(super) fn title(&self, n: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.numbers[n * 8..n * 8 + 8]);
        u64::from_le_bytes(bytes)
    }

    /// How many postings a table has.
    pub(super) fn size(&self, table: usize) -> usize {
        self.tables[table].postings.len() / POSTING
    }

    /// The postings of a key. Those that name a title which is not there are passed over.
    pub(super) fn postings(&self, table: usize, key: u16) -> impl ExactSizeIterator<Item = Posting> + use<'a> {
        let Table { starts, postings } = self.tables[table];
        let at = |n: usize| number(starts, n) as usize * POSTING;
        postings[at(usize::from(key))..at(usize::from(key) + 1)].chunks_exact(POSTING).map(|bytes| {
            let place = number(bytes, 0);
            let rest = u64::from(number(bytes, 1)) | u64::from(number(bytes, 2)) << 32;
            Posting { title: (place >> MOMENT_BITS) as usize, moment: place & ((1 << MOMENT_BITS) - 1), rest }
        })
    }
}

/// The `n`-th u32 of these bytes, which are long enough.
fn number(bytes: &[u8], n: usize) -> u32 {
    let at = n * 4;
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
