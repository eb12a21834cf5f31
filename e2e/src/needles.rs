//! Secrets that must come out nowhere, and the search for them, in the disguises that programs give them. Pure.

use std::collections::BTreeMap;

/// Shorter ones would be found by chance.
const SHORTEST: usize = 12;

/// Secrets by what they are.
#[derive(Default)]
pub struct Needles(BTreeMap<String, String>);

impl Needles {
    /// One more. `what` tells it in messages, which must not show it either.
    pub fn add(&mut self, what: &str, secret: &str) {
        assert!(secret.len() >= SHORTEST, "{what} is too short to be told from chance");
        self.0.insert(what.to_owned(), secret.to_owned());
    }

    /// What they are.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A haystack with one of them in it, to see that it is found.
    pub fn plant(&self, what: &str) -> Vec<u8> {
        format!("as if a program had said: {}.", self.0.get(what).map_or("", String::as_str)).into_bytes()
    }

    /// Which of them are in a haystack, plain, in Base64, in hexadecimal or escaped as in an address.
    pub fn found_in(&self, hay: &[u8]) -> Vec<&str> {
        let hay = String::from_utf8_lossy(hay);
        let there = |form: &String| hay.contains(form);
        let found = self.0.iter().filter(|(_, secret)| forms(secret).iter().any(there));
        found.map(|(what, _)| what.as_str()).collect()
    }
}

/// How a secret may be written.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let hex =
        bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
    let escaped = bytes.iter().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    let mut forms = vec![secret.to_owned(), hex, escaped.collect()];
    // Inside a longer text it may begin at any of three places of a group: what is the same whatever stands around it.
    forms.extend((0..3).map(|before| {
        let padded = [vec![0; before], bytes.to_vec()].concat();
        let whole = base64(&padded);
        let (from, to) = ([0, 2, 3][before], padded.len() * 8 / 6);
        whole[from..to].to_owned()
    }));
    forms
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(three.get(at).copied().unwrap_or_default()));
        [18, 12, 6, 0].map(|shift| char::from(DIGITS[(bits >> shift & 63) as usize]))
    };
    bytes.chunks(3).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plant_is_found_in_every_disguise() {
        let mut needles = Needles::default();
        needles.add("it", "s3cret/with+signs=");
        needles.add("another", "quite-another-one");
        for hay in [
            "key: s3cret/with+signs=\n".to_owned(),
            "?x=s3cret%2Fwith%2Bsigns%3D&y".to_owned(),
            "733363726574".to_owned() + "2f776974682b7369676e733d",
            base64(b"s3cret/with+signs="),
            base64(b".s3cret/with+signs=, and more"),
            base64(b"..s3cret/with+signs=."),
        ] {
            assert_eq!(needles.found_in(hay.as_bytes()), ["it"], "{hay}");
        }
        for hay in ["", "s3cret/with", "S3CRET/WITH+SIGNS="] {
            assert!(needles.found_in(hay.as_bytes()).is_empty(), "{hay}");
        }
    }

    #[test]
    fn base64_is_as_the_rfc_has_it() {
        assert_eq!(base64(b"foobar"), "Zm9vYmFy");
        assert_eq!(&base64(b"foob")[..6], "Zm9vYg");
    }
}
