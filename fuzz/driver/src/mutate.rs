//! Seeded changes of inputs: blind ones, and such as keep JSON and other quoted texts in one piece. No I/O.

/// Texts that should harm nobody; they can stand inside JSON quotes as they are.
const HOSTILE: [&str; 24] = [
    "",
    "\\u0000",
    "\\u001b[31mred\\u001b[0m",
    "\\n\\r\\tlevel=error",
    "\\u202e\\u2066\\u061c\\u200b",
    "\\udbff\\udfff",
    "\u{e0041}\u{fff9}\u{feff}",
    "a --> b",
    "<script>alert(1)</script>",
    "]]></p><p begin=\\\"0\\\">",
    "&amp;&#0;&lt;",
    "\\\" onload=\\\"x",
    "'/><!--",
    "../../etc/passwd",
    "%2e%2e%2f",
    "a/./b//c\\\\d",
    "9999-12-30T21:59:59Z",
    "-0001-01-01T00:00:00Z",
    "+5h",
    "18446744073709551615s",
    "NaN",
    "[h264 @ 0x55d0c8e3a2c0] error",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "é",
];
/// Numbers at the ends of ranges.
const NUMBERS: [&str; 18] = [
    "0",
    "-1",
    "1",
    "127",
    "255",
    "256",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "1e308",
    "1e-308",
    "-0.0",
    "0.1",
];
/// How often a text is repeated where length is the point.
const LONG: usize = 3_000;

/// Numbers that look like chance and are the same for the same seed (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Starts at a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub const fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.roll() % end as u64) as usize }
    }

    /// One of several; `None` where there are none.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

/// One of the inputs, changed one to eight times.
pub fn mutate(dice: &mut Dice, inputs: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut input = dice.one_of(inputs).cloned().unwrap_or_default();
    for _ in 0..=dice.below(8) {
        change(dice, &mut input, inputs, words);
    }
    input
}

fn change(dice: &mut Dice, input: &mut Vec<u8>, inputs: &[Vec<u8>], words: &[&str]) {
    match dice.below(14) {
        0..=4 => {
            let text = text(dice, words);
            if let Some((from, to)) = quoted(dice, input) {
                input.splice(from..to, text);
            }
        }
        5..=7 => {
            let number = dice.one_of(&NUMBERS).copied().unwrap_or_default();
            if let Some((from, to)) = number_in(dice, input) {
                input.splice(from..to, number.bytes());
            }
        }
        8 => {
            let at = dice.below(input.len() + 1);
            let text = text(dice, words);
            input.splice(at..at, text);
        }
        9 => {
            let (from, to) = range(dice, input.len());
            input.drain(from..to);
        }
        10 => {
            let (from, to) = range(dice, input.len());
            let copy = input[from..to].to_vec();
            let at = dice.below(input.len() + 1);
            input.splice(at..at, copy);
        }
        11 => {
            let other = dice.one_of(inputs).cloned().unwrap_or_default();
            let (at, from) = (dice.below(input.len() + 1), dice.below(other.len() + 1));
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        12 => {
            let at = dice.below(input.len());
            if let Some(byte) = input.get_mut(at) {
                *byte = dice.roll() as u8;
            }
        }
        _ => {
            let at = dice.below(input.len());
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
    }
}

/// Something to insert: a word, a hostile text, or much of either.
fn text(dice: &mut Dice, words: &[&str]) -> Vec<u8> {
    let chosen = if dice.below(3) == 0 { dice.one_of(words) } else { dice.one_of(&HOSTILE) };
    let chosen = chosen.copied().unwrap_or_default();
    if dice.below(12) == 0 { chosen.repeat(LONG / chosen.len().max(1)).into_bytes() } else { chosen.into() }
}

/// What stands between a quote and the next.
fn quoted(dice: &mut Dice, input: &[u8]) -> Option<(usize, usize)> {
    let quotes: Vec<usize> = (0..input.len())
        .filter(|at| input[*at] == b'"' && at.checked_sub(1).is_none_or(|before| input[before] != b'\\'))
        .collect();
    let from = *dice.one_of(&quotes)?;
    let to = quotes.iter().find(|at| **at > from)?;
    Some((from + 1, *to))
}

/// The digits at some place, with the sign before them.
fn number_in(dice: &mut Dice, input: &[u8]) -> Option<(usize, usize)> {
    let begins =
        |at: &usize| input[*at].is_ascii_digit() && !at.checked_sub(1).is_some_and(|before| input[before].is_ascii_digit());
    let starts: Vec<usize> = (0..input.len()).filter(begins).collect();
    let from = *dice.one_of(&starts)?;
    let to = (from..input.len()).find(|at| !input[*at].is_ascii_digit()).unwrap_or(input.len());
    let signed = from.checked_sub(1).is_some_and(|before| input[before] == b'-');
    Some((from - usize::from(signed), to))
}

fn range(dice: &mut Dice, length: usize) -> (usize, usize) {
    let from = dice.below(length + 1);
    let to = from + dice.below((length - from).min(200) + 1);
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_another_seed_others() {
        let inputs = [b"{\"a\":\"b\",\"n\":-12}".to_vec(), b"00:01.000 --> 00:02.000".to_vec()];
        let of = |seed: u64| (0..50).map(|run| mutate(&mut Dice::new(seed + run * 1000), &inputs, &["x"])).collect::<Vec<_>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn quoted_texts_and_numbers_are_found_whole() {
        let json = b"{\"a\":\"b\\\"c\",\"n\":-12}";
        let found: Vec<_> = (0..200).filter_map(|seed| quoted(&mut Dice::new(seed), json)).collect();
        assert!(found.iter().any(|(from, to)| &json[*from..*to] == b"b\\\"c"));
        assert_eq!(number_in(&mut Dice::new(1), json).map(|(from, to)| &json[from..to]), Some(&b"-12"[..]));
        assert_eq!(number_in(&mut Dice::new(1), b"none"), None);
    }
}
