//! How well strong language is found in labelled text: lines with their tiers, and titles with their levels.
//! Reads the two files named; prints a table.
//!
//! usage: language LINES.json TITLES.json [tune|held-out] [show]
//! The half for tuning may be looked at by whoever works on the lists (`show` prints its mistakes); the figures that are told
//! are of the other half.

use serde_json::Value;
use showrunner_moderation::{Lexicon, Spoken, language, words_in};
use showrunner_timeline::Ticks;
use std::collections::BTreeMap;

#[derive(Default)]
struct Row {
    lines: u32,
    missed: u32,
    false_alarms: u32,
    other_tier: u32,
    indefensible: u32,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let read = |path: &str| -> Value { serde_json::from_slice(&std::fs::read(path).expect("the file is there")).expect("JSON") };
    let half = arguments.get(2).map_or("held-out", String::as_str);
    let show = arguments.get(3).is_some_and(|word| word == "show") && half == "tune";
    let is_of_half = |text: &str| mix(text).is_multiple_of(2) == (half == "tune");
    let defended = |value: &Value, found: u64| value["also_ok"].as_array().into_iter().flatten().any(|ok| *ok == found);
    let lexicon = Lexicon::of("en").expect("there is an English list");
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for line in read(&arguments[0])["lines"].as_array().expect("a list") {
        let text = line["text"].as_str().expect("a text");
        if !is_of_half(text) {
            continue;
        }
        let wanted = line["tier"].as_u64().expect("a tier");
        let found = words_in(lexicon, text);
        let tier = found.iter().map(|(_, tier)| u64::from(tier.get())).max().unwrap_or(0);
        let indefensible = tier != wanted && !defended(line, tier);
        for class in [line["class"].as_str().expect("a class"), "ALL"] {
            let row = rows.entry(class.to_owned()).or_default();
            row.lines += 1;
            row.missed += u32::from(wanted > 0 && tier == 0 && indefensible);
            row.false_alarms += u32::from(wanted == 0 && indefensible);
            row.other_tier += u32::from(tier != wanted);
            row.indefensible += u32::from(indefensible);
        }
        if show && indefensible {
            println!("{wanted} {} found {found:?} in {} {text}", line["also_ok"], line["class"]);
        }
    }
    println!("{:<12} {:>6} {:>7} {:>12} {:>11} {:>13}", "class", "lines", "missed", "false alarms", "other tier", "indefensible");
    for (class, row) in rows {
        let Row { lines, missed, false_alarms, other_tier, indefensible } = row;
        println!("{class:<12} {lines:>6} {missed:>7} {false_alarms:>12} {other_tier:>11} {indefensible:>13}");
    }
    let (mut exact, mut near, mut all) = (0, 0, 0);
    for title in read(&arguments[1])["titles"].as_array().expect("a list") {
        let id = title["id"].as_str().expect("an id");
        if !is_of_half(id) {
            continue;
        }
        let spoken = title["lines"].as_array().expect("lines").iter().map(|line| Spoken {
            start: Ticks(line[0].as_i64().expect("a start")),
            end: Ticks(line[1].as_i64().expect("an end")),
            text: line[2].as_str().expect("a text"),
        });
        let found = language(lexicon, spoken, title["runtime_ms"].as_f64().expect("a length") / 1_000.0);
        let level = u64::from(found.level);
        all += 1;
        exact += u32::from(title["level"] == level);
        near += u32::from(title["level"] == level || defended(title, level));
        if show && title["level"] != level {
            println!(
                "{id}: {} {} found {level} {:?} labelled {}: {}",
                title["level"], title["also_ok"], found.counts, title["counts"], title["why"]
            );
        }
    }
    println!("titles: {exact} of {all} have the rater's level, {near} one that the rater would defend");
}

/// FNV-1a, well mixed.
fn mix(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash ^ (hash >> 29)
}
