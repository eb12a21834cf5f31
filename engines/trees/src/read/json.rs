//! Reads JSON as XGBoost writes it: numbers may be `NaN` and `Infinity`, of which RFC 8259 knows nothing. Pure; no I/O.

use std::borrow::Cow;

use super::value::{DEEPEST, Numbers, Value};
use crate::error::LoadError;

/// The document that these bytes are.
pub(crate) fn read(bytes: &[u8]) -> Result<Value<'_>, LoadError> {
    let text = str::from_utf8(bytes).map_err(|_| LoadError::malformed("json", "not UTF-8"))?;
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.wrong("something behind the end")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, reason: &str) -> LoadError {
        LoadError::malformed(format!("json, byte {}", self.at), reason)
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let spaces = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += spaces;
        rest.get(spaces).copied()
    }

    fn take(&mut self, byte: u8) -> Result<(), LoadError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.wrong(&format!("need `{}`", char::from(byte))))
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, LoadError> {
        if depth > DEEPEST {
            return Err(self.wrong("nested too deep"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(byte) if begins_number(byte) => Ok(Value::Numbers(Numbers::Decimal(self.run(is_numeric)))),
            Some(b'n' | b't' | b'f') => match self.run(|byte| byte.is_ascii_lowercase()) {
                "null" | "true" | "false" => Ok(Value::Other),
                _ => Err(self.wrong("an unknown word")),
            },
            _ => Err(self.wrong("need a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, LoadError> {
        let mut fields = Vec::new();
        self.take(b'{')?;
        while self.peek() != Some(b'}') {
            if !fields.is_empty() {
                self.take(b',')?;
                self.peek();
            }
            let name = self.string()?;
            self.take(b':')?;
            fields.push((name, self.value(depth + 1)?));
        }
        self.at += 1;
        Ok(Value::Object(fields))
    }

    /// A list of numbers is left as it is, for whoever asks for it.
    fn list(&mut self, depth: usize) -> Result<Value<'a>, LoadError> {
        self.take(b'[')?;
        if self.peek().is_some_and(|byte| begins_number(byte) || byte == b']') {
            let numbers = self.run(|byte| is_numeric(byte) || byte == b',' || byte.is_ascii_whitespace());
            self.take(b']')?;
            return Ok(Value::Numbers(Numbers::Decimal(numbers)));
        }
        let mut values = Vec::new();
        while self.peek() != Some(b']') {
            if !values.is_empty() {
                self.take(b',')?;
            }
            values.push(self.value(depth + 1)?);
        }
        self.at += 1;
        Ok(Value::List(values))
    }

    /// What follows, as long as its bytes are of a kind.
    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let length = rest.bytes().take_while(|byte| belongs(*byte)).count();
        self.at += length;
        &rest[..length]
    }

    fn string(&mut self) -> Result<Cow<'a, str>, LoadError> {
        self.take(b'"')?;
        let plain = self.run(|byte| byte != b'"' && byte != b'\\');
        let mut text = Cow::Borrowed(plain);
        loop {
            match self.text.as_bytes().get(self.at) {
                None => return Err(self.wrong("a text without an end")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(_) => {
                    self.at += 1;
                    let escaped = self.escaped()?;
                    text.to_mut().push(escaped);
                    text.to_mut().push_str(self.run(|byte| byte != b'"' && byte != b'\\'));
                }
            }
        }
    }

    fn escaped(&mut self) -> Result<char, LoadError> {
        let rest = &self.text[self.at..];
        let escape = rest.chars().next().ok_or_else(|| self.wrong("a text without an end"))?;
        self.at += escape.len_utf8();
        match escape {
            '"' | '\\' | '/' => Ok(escape),
            'b' => Ok('\u{8}'),
            'f' => Ok('\u{c}'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'u' => {
                let code = rest.get(1..5).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let code = code.ok_or_else(|| self.wrong("an escape without its four digits"))?;
                self.at += 4;
                // Half of a pair names no character; such a name of a feature loses it.
                Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            _ => Err(self.wrong("an unknown escape")),
        }
    }
}

fn begins_number(byte: u8) -> bool {
    byte.is_ascii_digit() || b"-NI".contains(&byte)
}

/// Bytes of numbers, with those of `NaN` and `Infinity`; whether they are one is seen when somebody asks for it.
fn is_numeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)
}
