//! A document of XGBoost, in JSON or UBJSON, as both tell it: objects, lists, texts and numbers. Pure; no I/O.
//!
//! Lists of numbers stay the bytes that they are in the file until somebody asks for them as numbers of one type: nothing is
//! rounded on the way, and a document takes little more memory than its file.

use std::borrow::Cow;

use crate::error::LoadError;

/// Deepest nesting read: XGBoost's documents have eight levels.
pub(crate) const DEEPEST: usize = 32;

#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    /// `null`, `true`, `false`: nothing here asks for them.
    Other,
    Text(Cow<'a, str>),
    /// One number, or a list of them.
    Numbers(Numbers<'a>),
    List(Vec<Value<'a>>),
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// Numbers as they are in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbers<'a> {
    /// Decimal, between commas.
    Decimal(&'a str),
    /// Big-endian, one behind the other.
    Packed(Packing, &'a [u8]),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Packing {
    I8,
    U8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

impl Packing {
    pub(crate) fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    fn float(self, bytes: &[u8]) -> f32 {
        match self {
            Self::F32 => f32::from_be_bytes(exactly(bytes)),
            Self::F64 => f64::from_be_bytes(exactly(bytes)) as f32,
            _ => self.integer(bytes).map_or(f32::NAN, |whole| whole as f32),
        }
    }

    /// None of a fraction.
    fn integer(self, bytes: &[u8]) -> Option<i64> {
        match self {
            Self::I8 => Some(i64::from(i8::from_be_bytes(exactly(bytes)))),
            Self::U8 => Some(i64::from(bytes[0])),
            Self::I16 => Some(i64::from(i16::from_be_bytes(exactly(bytes)))),
            Self::I32 => Some(i64::from(i32::from_be_bytes(exactly(bytes)))),
            Self::I64 => Some(i64::from_be_bytes(exactly(bytes))),
            Self::F32 | Self::F64 => None,
        }
    }
}

fn exactly<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("numbers are cut by the size of their packing")
}

impl Numbers<'_> {
    /// As single floats, XGBoost's own; a decimal is read to the nearest.
    pub(crate) fn floats(self) -> Option<Vec<f32>> {
        match self {
            Self::Decimal(text) => decimals(text).map(|text| text.parse().ok()).collect(),
            Self::Packed(packing, bytes) => Some(bytes.chunks_exact(packing.size()).map(|bytes| packing.float(bytes)).collect()),
        }
    }

    pub(crate) fn integers(self) -> Option<Vec<i64>> {
        match self {
            Self::Decimal(text) => decimals(text).map(|text| text.parse().ok()).collect(),
            Self::Packed(packing, bytes) => bytes.chunks_exact(packing.size()).map(|bytes| packing.integer(bytes)).collect(),
        }
    }
}

fn decimals(text: &str) -> impl Iterator<Item = &str> {
    let empty = text.trim().is_empty();
    text.split(',').map(str::trim).filter(move |_| !empty)
}

impl<'a> Value<'a> {
    /// The field of an object.
    pub(crate) fn find(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.iter().find(|(field, _)| field == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The field of an object that must have it.
    pub(crate) fn field(&self, name: &'static str) -> Result<&Self, LoadError> {
        self.find(name).ok_or_else(|| LoadError::malformed(name, "missing"))
    }

    pub(crate) fn text(&self, name: &'static str) -> Result<&str, LoadError> {
        match self.field(name)? {
            Self::Text(text) => Ok(text),
            _ => Err(LoadError::malformed(name, "not a text")),
        }
    }

    /// A number that XGBoost writes as a text.
    pub(crate) fn counted(&self, name: &'static str) -> Result<usize, LoadError> {
        self.text(name)?.parse().map_err(|_| LoadError::malformed(name, "not a count"))
    }

    pub(crate) fn list(&self, name: &'static str) -> Result<&[Value<'a>], LoadError> {
        match self.field(name)? {
            Self::List(values) => Ok(values),
            Self::Numbers(Numbers::Decimal("")) => Ok(&[]),
            _ => Err(LoadError::malformed(name, "not a list")),
        }
    }

    pub(crate) fn floats(&self, name: &'static str) -> Result<Vec<f32>, LoadError> {
        self.numbers(name, Numbers::floats)
    }

    pub(crate) fn integers(&self, name: &'static str) -> Result<Vec<i64>, LoadError> {
        self.numbers(name, Numbers::integers)
    }

    /// A list of numbers, which UBJSON may write as one of values that are numbers.
    fn numbers<T>(&self, name: &'static str, of: impl Fn(Numbers<'a>) -> Option<Vec<T>>) -> Result<Vec<T>, LoadError> {
        let numbers = match self.field(name)? {
            Self::Numbers(numbers) => of(*numbers),
            Self::List(values) => values.iter().try_fold(Vec::new(), |mut all, value| match value {
                Self::Numbers(numbers) => {
                    all.extend(of(*numbers)?);
                    Some(all)
                }
                _ => None,
            }),
            _ => None,
        };
        numbers.ok_or_else(|| LoadError::malformed(name, "not a list of numbers of its type"))
    }
}
