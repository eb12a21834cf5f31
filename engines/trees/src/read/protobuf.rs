//! Reads the wire format of protocol buffers: as much of it as ONNX needs. Pure; no I/O.
//!
//! Written here because a schema compiler would bring all of ONNX along for five messages, and would copy what is looked at once.

use crate::error::LoadError;

/// One field of a message.
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
}

/// The fields of a message, in their order in the file.
pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = Result<(u64, Wire<'_>), LoadError>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(&mut rest);
        if field.is_none() {
            rest = &[]; // nothing can be read behind it
        }
        Some(field.ok_or_else(|| LoadError::malformed("protobuf", "cut off, or of an unknown wire type")))
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    let key = varint(rest)?;
    let wire = match key & 7 {
        0 => Wire::Varint(varint(rest)?),
        1 => Wire::Fixed64(rest.split_off(..8)?.try_into().ok()?),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Wire::Bytes(rest.split_off(..length)?)
        }
        5 => Wire::Fixed32(rest.split_off(..4)?.try_into().ok()?),
        _ => return None,
    };
    Some((key >> 3, wire))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

impl<'a> Wire<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], LoadError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(wrong()),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, LoadError> {
        str::from_utf8(self.bytes()?).map_err(|_| wrong())
    }

    pub(super) fn integer(self) -> Result<i64, LoadError> {
        match self {
            Self::Varint(value) => Ok(value as i64),
            _ => Err(wrong()),
        }
    }

    /// Adds the integers of a repeated field: one, or many packed.
    pub(super) fn integers_to(self, all: &mut Vec<i64>) -> Result<(), LoadError> {
        match self {
            Self::Varint(value) => all.push(value as i64),
            Self::Bytes(mut packed) => {
                while !packed.is_empty() {
                    all.push(varint(&mut packed).ok_or_else(wrong)? as i64);
                }
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// Adds the single floats of a repeated field: one, or many packed.
    pub(super) fn floats_to(self, all: &mut Vec<f64>) -> Result<(), LoadError> {
        match self {
            Self::Fixed32(bytes) => all.push(f64::from(f32::from_le_bytes(bytes))),
            Self::Bytes(packed) => {
                let (floats, rest) = packed.as_chunks();
                all.extend(floats.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))));
                return if rest.is_empty() { Ok(()) } else { Err(wrong()) };
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// Adds the double floats of a repeated field: one, or many packed.
    pub(super) fn doubles_to(self, all: &mut Vec<f64>) -> Result<(), LoadError> {
        match self {
            Self::Fixed64(bytes) => all.push(f64::from_le_bytes(bytes)),
            Self::Bytes(packed) => {
                let (doubles, rest) = packed.as_chunks();
                all.extend(doubles.iter().map(|bytes| f64::from_le_bytes(*bytes)));
                return if rest.is_empty() { Ok(()) } else { Err(wrong()) };
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }
}

fn wrong() -> LoadError {
    LoadError::malformed("protobuf", "a field of another type than ONNX says")
}
