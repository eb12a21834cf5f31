//! The part of the page that shows a title's print: what is in it, and what it looks like, moment by moment. No I/O.

use std::fmt::{self, Write as _};

use showrunner_contracts::documents::{FingerprintDocument, MAX_STRIP, PicturePrint, PrintedBars, SoundPrint};

use super::{clock, text};

/// Bits of a moment.
const BITS: u32 = 16;

pub(super) fn section(document: &FingerprintDocument, out: &mut String) -> fmt::Result {
    write!(
        out,
        "<section id=\"fingerprint\"><h2>Fingerprint <small>{}, version {}</small></h2>",
        text(&document.algorithm),
        document.file_version
    )?;
    match &document.picture {
        PicturePrint::Missing(why) => write!(out, "<p class=\"note\">No picture in it: {why}.</p>")?,
        PicturePrint::Seen { pictures, blank, bars, strip } => {
            draw("picture", strip, out)?;
            let bars = bars.as_ref().map_or_else(|| "no black bars".to_owned(), told);
            write!(out, "<p class=\"note\">Picture: {pictures} hashes, one a second, {blank} of them blank; {bars}.</p>")?;
        }
    }
    match &document.sound {
        SoundPrint::Missing(why) => write!(out, "<p class=\"note\">No sound in it: {why}.</p>")?,
        SoundPrint::Heard { seconds, items, strip } => {
            draw("sound", strip, out)?;
            let length = clock((seconds.max(0.0) * 1000.0) as u64);
            write!(out, "<p class=\"note\">Sound: {items} items in {length}.</p>")?;
        }
    }
    out.push_str(
        "<p class=\"note\">A column is a moment, a mark in it a bit of the print: what looks or sounds alike has columns alike.</p></section>",
    );
    Ok(())
}

fn told(bars: &PrintedBars) -> String {
    let PrintedBars { left, top, right, bottom } = bars;
    let sides = [("left", left), ("top", top), ("right", right), ("bottom", bottom)];
    let there = sides.iter().filter(|(_, share)| **share > 0.0).map(|(side, share)| format!("{side} {:.1} %", *share * 100.0));
    format!("black bars cut off: {}", there.collect::<Vec<_>>().join(", "))
}

/// One line for each run of equal bits, so that the drawing stays small.
fn draw(what: &str, strip: &str, out: &mut String) -> fmt::Result {
    let moments: Vec<u16> =
        strip.split(' ').take(MAX_STRIP).map(|digits| u16::from_str_radix(digits, 16).unwrap_or_default()).collect();
    write!(
        out,
        "<svg class=\"print {what}\" viewBox=\"0 0 {} {BITS}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"the print of the {what} over time\"><path d=\"",
        moments.len()
    )?;
    for bit in 0..BITS {
        let mut at = 0;
        for run in moments.chunk_by(|a, b| (a ^ b) >> bit & 1 == 0) {
            if run[0] >> bit & 1 == 1 {
                write!(out, "M{at} {bit}.5h{}", run.len())?;
            }
            at += run.len();
        }
    }
    out.push_str("\"/></svg>");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_is_small_and_holds_nothing_but_numbers() {
        let drawn = |strip: &str| {
            let mut out = String::new();
            draw("picture", strip, &mut out).unwrap();
            out
        };
        assert!(drawn("0001 0003 ---- 0001").contains("d=\"M0 0.5h2M3 0.5h1M1 1.5h1\""));
        assert!(!drawn("\"><script>").contains("<script"));
        let busy: Vec<String> = (0..5_000_u32).map(|n| format!("{:04x}", n.wrapping_mul(40_503) as u16)).collect();
        assert!(drawn(&busy.join(" ")).len() < 24 << 10, "{}", drawn(&busy.join(" ")).len());
    }
}
