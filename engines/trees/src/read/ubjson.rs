//! Reads UBJSON (draft 12) as XGBoost writes it: keys and lengths of any integer kind, lists counted, typed or open. Pure; no I/O.

use std::borrow::Cow;

use super::value::{DEEPEST, Numbers, Packing, Value};
use crate::error::LoadError;

/// The document that these bytes are.
pub(crate) fn read(bytes: &[u8]) -> Result<Value<'_>, LoadError> {
    let mut reader = Reader { bytes, at: 0 };
    let marker = reader.marker()?;
    let value = reader.value(marker, 0)?;
    if reader.at == bytes.len() { Ok(value) } else { Err(reader.wrong("something behind the end")) }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, reason: &str) -> LoadError {
        LoadError::malformed(format!("ubjson, byte {}", self.at), reason)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], LoadError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or_else(|| self.wrong("cut off"))?;
        self.at += count;
        Ok(taken)
    }

    /// The next marker; `N` says nothing and may stand anywhere.
    fn marker(&mut self) -> Result<u8, LoadError> {
        loop {
            match self.take(1)?[0] {
                b'N' => {}
                marker => return Ok(marker),
            }
        }
    }

    fn value(&mut self, marker: u8, depth: usize) -> Result<Value<'a>, LoadError> {
        if depth > DEEPEST {
            return Err(self.wrong("nested too deep"));
        }
        match marker {
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'S' | b'H' => Ok(Value::Text(self.text()?)),
            b'C' => Ok(Value::Text(Cow::Owned(char::from(self.take(1)?[0]).to_string()))),
            b'Z' | b'T' | b'F' => Ok(Value::Other),
            _ => match packing(marker) {
                Some(packing) => Ok(Value::Numbers(Numbers::Packed(packing, self.take(packing.size())?))),
                None => Err(self.wrong("an unknown marker")),
            },
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, LoadError> {
        let mut fields = Vec::new();
        while self.bytes.get(self.at) != Some(&b'}') {
            if matches!(self.bytes.get(self.at), Some(b'$' | b'#')) {
                return Err(self.wrong("an object with a count, which XGBoost does not write"));
            }
            let name = self.text()?;
            let marker = self.marker()?;
            fields.push((name, self.value(marker, depth + 1)?));
        }
        self.at += 1;
        Ok(Value::Object(fields))
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, LoadError> {
        match self.bytes.get(self.at) {
            Some(b'$') => {
                self.at += 1;
                let kind = self.take(1)?[0];
                let packing = packing(kind).ok_or_else(|| self.wrong("a list of what is no number, without its markers"))?;
                if self.take(1)?[0] != b'#' {
                    return Err(self.wrong("a list of one type without its length"));
                }
                let bytes = self.length()?.checked_mul(packing.size()).ok_or_else(|| self.wrong("cut off"))?;
                Ok(Value::Numbers(Numbers::Packed(packing, self.take(bytes)?)))
            }
            Some(b'#') => {
                self.at += 1;
                let mut values = Vec::new(); // grows with what is there, whatever the length says
                for _ in 0..self.length()? {
                    let marker = self.marker()?;
                    values.push(self.value(marker, depth + 1)?);
                }
                Ok(Value::List(values))
            }
            _ => {
                let mut values = Vec::new();
                loop {
                    match self.marker()? {
                        b']' => return Ok(Value::List(values)),
                        marker => values.push(self.value(marker, depth + 1)?),
                    }
                }
            }
        }
    }

    /// A text without its marker: keys have none.
    fn text(&mut self) -> Result<Cow<'a, str>, LoadError> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| self.wrong("not UTF-8"))
    }

    fn length(&mut self) -> Result<usize, LoadError> {
        let kind = self.marker()?;
        let packing = packing(kind).ok_or_else(|| self.wrong("need a length"))?;
        let length = Numbers::Packed(packing, self.take(packing.size())?).integers().map(|whole| whole[0]);
        length.and_then(|length| usize::try_from(length).ok()).ok_or_else(|| self.wrong("need a length"))
    }
}

fn packing(marker: u8) -> Option<Packing> {
    match marker {
        b'i' => Some(Packing::I8),
        b'U' => Some(Packing::U8),
        b'I' => Some(Packing::I16),
        b'l' => Some(Packing::I32),
        b'L' => Some(Packing::I64),
        b'd' => Some(Packing::F32),
        b'D' => Some(Packing::F64),
        _ => None,
    }
}
