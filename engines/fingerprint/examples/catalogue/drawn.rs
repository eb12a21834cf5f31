//! Long titles and copies of them, drawn from real prints and a seed. Reads a folder of prints once.
//!
//! A title is a row of shots and of pieces of sound. Each is one of the real ones with a mask of flipped bits of its own, so that
//! its bits are as uneven, its neighbours as near and its runs as long as real ones. Twenty titles are a series with an intro and
//! credits in common; some shots are stock footage that other titles have, too; some moments are black or silent.

use std::{collections::HashSet, fs, path::Path};

use showrunner_fingerprint::{Bars, Code, ITEM_SECONDS, Print, Query, SPEEDS, Seen, file, looks};
use showrunner_pdq::Hash;

const SECONDS: usize = 7200;
/// Titles of a series, and how long what they share is at either end.
const SERIES: usize = 20;
const SHARED: usize = 60;
/// Of how many shots one is stock, and how many such there are.
const STOCK_SHARE: u64 = 50;
const STOCK: u64 = 2000;

/// What a query is of its title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    ReEncode,
    Cropped,
    Dub,
    AlternateCut,
    AudioOnly,
    Faster,
    Excerpt,
    Trailer,
    Stranger,
}

pub(crate) const KINDS: [Kind; 9] = [
    Kind::ReEncode,
    Kind::Cropped,
    Kind::Dub,
    Kind::AlternateCut,
    Kind::AudioOnly,
    Kind::Faster,
    Kind::Excerpt,
    Kind::Trailer,
    Kind::Stranger,
];

/// `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn new(seeds: [u64; 3]) -> Self {
        let mut dice = Self(seeds[0].wrapping_mul(0x9E37_79B9) ^ seeds[1].wrapping_mul(0xC2B2_AE3D_27D4_EB4F) ^ seeds[2] << 40);
        dice.roll();
        dice
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.roll() % most as u64) as usize
    }

    /// 64 bits of which each is set in so many of 64 cases.
    fn bits(&mut self, of_64: u32) -> u64 {
        // Bit by bit of the share, least first: an AND halves it, an OR adds a half.
        (0..6).fold(0, |word, n| if of_64 >> n & 1 == 1 { word | self.roll() } else { word & self.roll() })
    }

    fn hash(&mut self, hash: &Hash, of_64: u32) -> Hash {
        let mut out = *hash;
        for word in out.0.chunks_exact_mut(8) {
            word.iter_mut().zip(self.bits(of_64).to_le_bytes()).for_each(|(byte, flips)| *byte ^= flips);
        }
        out
    }

    fn items(&mut self, items: &[u32], of_64: u32) -> Vec<u32> {
        items.iter().map(|item| item ^ self.bits(of_64) as u32).collect()
    }
}

pub(crate) struct Drawn {
    shots: Vec<Vec<Seen>>,
    sounds: Vec<Vec<u32>>,
}

impl Drawn {
    pub(crate) fn new(pool: &Path) -> Self {
        let mut paths: Vec<_> = fs::read_dir(pool).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "print"));
        paths.sort();
        let (mut shots, mut sounds) = (Vec::new(), Vec::new());
        for path in paths {
            let print = file::read(&fs::read(path).unwrap()).unwrap();
            let near = |a: &Seen, b: &Seen| a.hash.distance(&b.hash) <= 60;
            shots.extend(print.frames.chunk_by(near).filter(|shot| shot[0].is_telling()).map(<[Seen]>::to_vec));
            sounds.extend(print.sound.chunks_exact(64).map(<[u32]>::to_vec));
        }
        assert!(shots.len() > 100 && sounds.len() > 100, "too few prints to draw from");
        Self { shots, sounds }
    }

    pub(crate) fn title(&self, number: usize) -> Print {
        self.drawn(number).0
    }

    /// A title's print, and the stock shots in it.
    fn drawn(&self, number: usize) -> (Print, HashSet<u64>) {
        let (series, mut stock) = (number / SERIES, HashSet::new());
        let mut print = self.stretch([1, series as u64, 0], SHARED, &mut stock);
        let own = self.stretch([2, number as u64, 0], SECONDS - 2 * SHARED, &mut stock);
        let credits = self.stretch([1, series as u64, 1], SHARED, &mut stock);
        // Coded each time anew.
        let mut dice = Dice::new([3, number as u64, 0]);
        for part in [own, credits] {
            let frames = part.frames.iter().map(|seen| Seen { hash: dice.hash(&seen.hash, 1), ..*seen }).collect::<Vec<_>>();
            print.frames.extend(frames);
            print.sound.extend(dice.items(&part.sound, 1));
        }
        (print, stock)
    }

    /// Whether a match of a title that was made of these with this one would be right: it is one of them, of the same series, or has
    /// the same stock footage.
    pub(crate) fn related(&self, title: usize, made_of: &[usize]) -> bool {
        let stock = &self.drawn(title).1;
        made_of.iter().any(|of| title / SERIES == of / SERIES || !self.drawn(*of).1.is_disjoint(stock))
    }

    fn stretch(&self, seed: [u64; 3], seconds: usize, stock: &mut HashSet<u64>) -> Print {
        let mut dice = Dice::new(seed);
        let mut print = Print::default();
        while print.frames.len() < seconds {
            let mut shot_dice = match dice.roll() % STOCK_SHARE {
                0 if seed[0] == 2 => {
                    let which = dice.roll() % STOCK;
                    stock.insert(which);
                    Dice::new([4, which, 0])
                }
                1 => {
                    let black = Seen { hash: Hash([0; 32]), quality: 0 };
                    print.frames.extend([black; 2]);
                    continue;
                }
                _ => Dice::new([5, dice.roll(), 0]),
            };
            let shot = &self.shots[shot_dice.below(self.shots.len())];
            // Two titles' frames of one real shot then differ in 120 of 256 bits, as unrelated ones of one film do.
            let mask = shot_dice.hash(&Hash([0; 32]), 24);
            // Real shots here are short: some stand longer, as people who talk do.
            let times = 1 + shot_dice.below(3);
            for seen in shot.iter().flat_map(|seen| std::iter::repeat_n(seen, times)) {
                let mut hash = shot_dice.hash(&seen.hash, 1);
                hash.0.iter_mut().zip(mask.0).for_each(|(byte, flips)| *byte ^= flips);
                print.frames.push(Seen { hash, quality: 100 });
            }
        }
        print.frames.truncate(seconds);
        let items = (seconds as f32 / ITEM_SECONDS) as usize;
        while print.sound.len() < items {
            let sound = &self.sounds[dice.below(self.sounds.len())];
            let mask = if dice.roll().is_multiple_of(40) { None } else { Some(dice.bits(22) as u32) };
            // Silence repeats itself.
            print.sound.extend(sound.iter().map(|item| mask.map_or(0x2560_1a3b, |mask| item ^ mask)));
        }
        print.sound.truncate(items);
        print
    }

    /// The `n`-th query of a kind, the title that it is of, and all that it was made of.
    pub(crate) fn query(&self, kind: Kind, n: usize, titles: usize) -> (Query, Option<usize>, [usize; 2]) {
        let mut dice = Dice::new([6, kind as u64, n as u64]);
        let of = if kind == Kind::Stranger { None } else { Some(dice.below(titles)) };
        // A stranger is of a series of its own.
        let made_of = [of.unwrap_or(titles + SERIES + n * SERIES), titles + (1000 + n) * SERIES];
        let [whole, foreign] = made_of.map(|title| self.title(title));
        let item = |second: usize| (second as f32 / ITEM_SECONDS) as usize;
        let cut = |print: &Print, from: usize, to: usize| Print {
            frames: print.frames[from..to].to_vec(),
            sound: print.sound[item(from).min(print.sound.len())..item(to).min(print.sound.len())].to_vec(),
        };
        let join = |a: Print, b: Print| Print { frames: [a.frames, b.frames].concat(), sound: [a.sound, b.sound].concat() };
        // Bits flipped in frames and in sound, of 64; which look and which speed undoes what was done.
        let (mut print, frame_flips, sound_flips, look, speed) = match kind {
            Kind::ReEncode | Kind::Stranger => (whole, 3, 3, 0, 0),
            Kind::Cropped => (Print { sound: foreign.sound, ..whole }, 14, 3, 20, 0),
            Kind::Dub => (Print { sound: foreign.sound, ..whole }, 4, 3, 0, 0),
            Kind::AlternateCut => (join(cut(&whole, 0, 2000), cut(&whole, 3400, SECONDS)), 4, 3, 0, 0),
            Kind::AudioOnly => (Print { frames: foreign.frames, ..whole }, 3, 6, 0, 0),
            Kind::Faster => (whole, 6, 7, 0, 7),
            Kind::Excerpt => {
                let from = 500 + dice.below(5000);
                (join(cut(&whole, from, from + 60), cut(&foreign, 500, 3000)), 4, 4, 0, 0)
            }
            Kind::Trailer => {
                let mut made = Print::default();
                for _ in 0..24 {
                    let from = 100 + dice.below(6900);
                    made = join(made, cut(&whole, from, from + 3));
                }
                (Print { sound: foreign.sound[..600].to_vec(), ..made }, 4, 3, 0, 0)
            }
        };
        for seen in &mut print.frames {
            seen.hash = dice.hash(&seen.hash, frame_flips);
        }
        if kind == Kind::Faster {
            // Every 24th second is lost: 25 frames are shown where 24 were.
            print.frames = print.frames.iter().enumerate().filter(|(n, _)| n % 25 != 24).map(|(_, seen)| *seen).collect();
        }
        let looks = looks(&Bars::NONE);
        let looked = looks
            .iter()
            .enumerate()
            .map(|(n, way)| {
                // Other looks differ as far as those of real pictures do: neighbours a quarter, most about half.
                let flips = if n == look {
                    0
                } else if n % 2 == look % 2 && n.abs_diff(look) <= 6 {
                    16
                } else {
                    26
                };
                let mask = dice.hash(&Hash([0; 32]), flips);
                let codes = print.frames.iter().map(|seen| {
                    let mut hash = seen.hash;
                    hash.0.iter_mut().zip(mask.0).for_each(|(byte, bits)| *byte ^= bits);
                    Code::of(&hash)
                });
                (*way, codes.collect())
            })
            .collect();
        let noisy = dice.items(&print.sound, sound_flips);
        let sounds = SPEEDS
            .iter()
            .enumerate()
            .map(|(n, way)| {
                let mask = if n == speed { 0 } else { dice.bits(20) as u32 };
                (*way, noisy.iter().map(|item| item ^ mask).collect())
            })
            .collect();
        print.sound = noisy;
        (Query { print, looks: looked, sounds }, of, made_of)
    }
}
