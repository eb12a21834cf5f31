//! The parts of the page that show what was found. No I/O.

use std::fmt::{self, Write as _};

use showrunner_contracts::documents::{
    ChaptersDocument, Nudity, Shot, ShotsDocument, SubtitlesDocument, ThumbnailsDocument, Transition,
};

use super::{Documents, MAX_ROWS, Page, Pictures, Tile, clock, id_of, millis, seconds, sprite, text};

/// Most characters a second of a cue that is shown; a cue that lasts no time would have any number of them.
const MAX_SPEED: u64 = 999;
/// A cue of which the model was less sure is marked: by its own chances two words in five are wrong there.
const DOUBTFUL: f64 = 0.6;

pub(super) fn head(page: &Page<'_>, documents: &Documents, out: &mut String) -> fmt::Result {
    let media = &page.manifest.media;
    write!(
        out,
        "<header><p class=\"kind\">TitleEnrichment</p><h1>{}</h1><p class=\"sub\">namespace {}</p><nav>",
        text(page.name),
        text(page.namespace)
    )?;
    let links = [
        ("duplicates", documents.duplicates.is_some()),
        ("moderation", documents.moderation.is_some()),
        ("chapters", documents.chapters.is_some()),
        ("thumbnails", documents.thumbnails.is_some()),
        ("shots", documents.shots.is_some()),
        ("subtitles", documents.subtitles.is_some()),
        ("fingerprint", documents.fingerprint.is_some()),
        ("steps", true),
        ("attempts", !page.run.attempts.is_empty()),
        ("files", true),
    ];
    for (name, _) in links.iter().filter(|(_, there)| *there) {
        write!(out, "<a href=\"#{name}\">{name}</a>")?;
    }
    out.push_str("</nav></header><section id=\"source\"><h2>Source</h2><dl class=\"facts\">");
    fact(out, "File", &format!("{} in {}", page.manifest.source.path, page.manifest.source.store))?;
    fact(out, "Size", &size(page.manifest.source.size_bytes))?;
    fact(out, "Duration", &clock(millis(media.duration, media.time_base)))?;
    fact(out, "Container", &media.container)?;
    if let Some(video) = &media.video {
        let mut words = vec![video.codec.clone(), format!("{}x{}", video.width, video.height)];
        words.extend(video.average_frame_rate.iter().map(|rate| format!("{} fps", frame_rate(rate))));
        words.extend(video.bit_depth.map(|bits| format!("{bits} bit")));
        words.extend(colour(&[
            ("primaries", &video.primaries),
            ("transfer", &video.transfer),
            ("matrix", &video.matrix),
            ("range", &video.range),
        ]));
        words.extend(video.hdr.iter().cloned());
        fact(out, "Picture", &words.join(", "))?;
    }
    if let Some(audio) = &media.audio {
        let mut words = vec![audio.codec.clone(), format!("{} Hz", audio.sample_rate)];
        words.push(audio.layout.clone().unwrap_or_else(|| format!("{} channels", audio.channels)));
        words.extend(audio.language.iter().map(|language| format!("language {language}")));
        fact(out, "Sound", &words.join(", "))?;
    }
    fact(out, "Version", &page.manifest.source.version)?;
    fact(out, "Manifest", page.digest.as_str())?;
    out.push_str("</dl></section>");
    Ok(())
}

fn fact(out: &mut String, name: &str, value: &str) -> fmt::Result {
    write!(out, "<dt>{}</dt><dd>{}</dd>", text(name), text(value))
}

/// What is stated of the colour; where all parts say the same, once.
fn colour(parts: &[(&str, &Option<String>)]) -> Vec<String> {
    let stated: Vec<(&str, &String)> = parts.iter().filter_map(|(what, value)| Some((*what, value.as_ref()?))).collect();
    let (range, rest): (Vec<_>, Vec<_>) = stated.into_iter().partition(|(what, _)| *what == "range");
    let mut told = match rest.first() {
        Some((_, first)) if rest.len() == 3 && rest.iter().all(|(_, value)| value == first) => vec![(*first).clone()],
        _ => rest.iter().map(|(what, value)| format!("{what} {value}")).collect(),
    };
    told.extend(range.iter().map(|(_, value)| format!("{value} range")));
    told
}

/// `25/1` as `25`, `24000/1001` as `23.976`; anything else as it is.
fn frame_rate(rate: &str) -> String {
    let parts = rate.split_once('/').and_then(|(num, den)| Some((num.parse::<u32>().ok()?, den.parse::<u32>().ok()?)));
    match parts {
        Some((num, den)) if den > 0 && num % den == 0 => (num / den).to_string(),
        Some((num, den)) if den > 0 => format!("{:.3}", f64::from(num) / f64::from(den)),
        _ => rate.to_owned(),
    }
}

fn size(bytes: u64) -> String {
    if bytes < 1_000_000 { format!("{bytes} bytes") } else { format!("{:.1} MB ({bytes} bytes)", bytes as f64 / 1e6) }
}

pub(super) fn chapters(document: &ChaptersDocument, documents: &Documents, pictures: &Pictures, out: &mut String) -> fmt::Result {
    write!(out, "<section id=\"chapters\"><h2>Chapters <small>{}</small></h2><div class=\"grid\">", document.chapters.len())?;
    let shots = documents.shots.as_ref().map_or(&[][..], |document| &document.shots);
    for (index, chapter) in document.chapters.iter().take(MAX_ROWS).enumerate() {
        let (start, end) = (millis(chapter.span.start, document.time_base), millis(chapter.span.end, document.time_base));
        let shot = chapter.shot as usize;
        write!(out, "<figure id=\"chapter-{}\">", index + 1)?;
        picture(shots.get(shot), start.midpoint(end), shot + 1, &documents.tiles, pictures, out)?;
        write!(
            out,
            "<figcaption><b>{}</b><span class=\"n\">{}</span><span class=\"n\">{}</span><a href=\"#shot-{shot}\">shot {shot}</a><span>clarity <b class=\"n\">{:.2}</b></span><span>rest <b class=\"n\">{:.2}</b></span></figcaption></figure>",
            text(&chapter.title),
            clock(start),
            clock(end.saturating_sub(start)),
            chapter.clarity,
            chapter.rest,
            shot = shot + 1,
        )?;
    }
    out.push_str("</div><p class=\"note\">Clarity: how much of what differs in a chapter and the one before it is told apart by where they meet. Rest: how dark and quiet it is there.</p>");
    rows_left(document.chapters.len(), "chapters", out)?;
    out.push_str("</section>");
    Ok(())
}

pub(super) fn thumbnails(document: &ThumbnailsDocument, pictures: &Pictures, out: &mut String) -> fmt::Result {
    write!(out, "<section id=\"thumbnails\"><h2>Thumbnails <small>best first</small></h2><div class=\"grid wide\">")?;
    for (index, pick) in document.picks.iter().take(MAX_ROWS).enumerate() {
        write!(out, "<figure id=\"thumbnail-{}\">", index + 1)?;
        let (width, height) = (pick.width, pick.height);
        match pictures.get(&pick.name) {
            Some(uri) => {
                write!(out, "<img src=\"{uri}\" width=\"{width}\" height=\"{height}\" alt=\"thumbnail {}\">", index + 1)?;
            }
            None => blank(16, 9, out)?,
        }
        // The score is that of the picture that was picked, not of one that a person put in its place.
        let worth = match &pick.given {
            Some(given) => format!("<span>given by {}</span>", text(&given.by)),
            None => format!("<span>score <b class=\"n\">{:.3}</b></span>", pick.score),
        };
        write!(
            out,
            "<figcaption><b>{}</b>{worth}<span class=\"n\">{}</span><a href=\"#shot-{shot}\">shot {shot}</a><span class=\"n\">{width}×{height}</span><span>nudity {}</span></figcaption></figure>",
            text(&pick.category),
            clock(millis(pick.at, document.time_base)),
            nudity(&pick.nudity),
            shot = u64::from(pick.shot) + 1,
        )?;
    }
    out.push_str("</div>");
    if let Some(relaxed) = &document.relaxed {
        write!(out, "<p class=\"note\">{}</p>", text(relaxed))?;
    }
    out.push_str("</section>");
    Ok(())
}

/// How strong it is, of 5, or that nobody knows.
fn nudity(nudity: &Nudity) -> String {
    match nudity {
        Nudity::Judged { level, probability } => format!("<b class=\"n\">{level}</b> of 5 ({probability:.3})"),
        Nudity::NotJudged(why) => format!("not judged ({why})"),
    }
}

pub(super) fn shots(document: &ShotsDocument, tiles: &[Tile], pictures: &Pictures, out: &mut String) -> fmt::Result {
    write!(out, "<section id=\"shots\"><h2>Shots <small>{}</small></h2><div class=\"grid\">", document.shots.len())?;
    let mut borrowed = false;
    for (index, shot) in document.shots.iter().take(MAX_ROWS).enumerate() {
        let (start, end) = (millis(shot.span.start, document.time_base), millis(shot.span.end, document.time_base));
        write!(out, "<figure id=\"shot-{}\">", index + 1)?;
        borrowed |= picture(Some(shot), start.midpoint(end), index + 1, tiles, pictures, out)?;
        let kind = begins(&shot.begins_with);
        write!(
            out,
            "<figcaption><b>{}</b><span class=\"n\">{}</span><span class=\"n\">{}</span><span class=\"kind-{kind}\">{kind}</span></figcaption></figure>",
            index + 1,
            clock(start),
            seconds(end.saturating_sub(start)),
        )?;
    }
    out.push_str("</div>");
    if borrowed {
        out.push_str("<p class=\"note\">Shots without a still of their own show the trick-play picture nearest their middle, which may be of a shot beside them.</p>");
    }
    rows_left(document.shots.len(), "shots", out)?;
    out.push_str("</section>");
    Ok(())
}

/// A shot's still; where it has none, the trick-play picture nearest to a time. Whether that is what is shown.
fn picture(
    shot: Option<&Shot>,
    at: u64,
    number: usize,
    tiles: &[Tile],
    pictures: &Pictures,
    out: &mut String,
) -> Result<bool, fmt::Error> {
    if let Some(still) = shot.and_then(|shot| shot.still.as_ref()) {
        part(&still.sheet, [still.x, still.y, still.width, still.height], number, pictures, out)?;
        return Ok(false);
    }
    let tile = sprite::at(tiles, at);
    match tile {
        Some(tile) => part(&tile.sheet, tile.area, number, pictures, out)?,
        None => blank(16, 9, out)?,
    }
    Ok(tile.is_some())
}

/// The still of the shot that is on at a time.
pub(super) fn picture_at(at: u64, documents: &Documents, pictures: &Pictures, out: &mut String) -> fmt::Result {
    let shots =
        documents.shots.iter().flat_map(|document| document.shots.iter().enumerate().map(|shot| (document.time_base, shot)));
    let on = shots.take(MAX_ROWS).find(|(base, (_, shot))| at < millis(shot.span.end, *base)).map(|(_, shot)| shot);
    let (number, shot) = on.map_or((0, None), |(nth, shot)| (nth + 1, Some(shot)));
    picture(shot, at, number, &documents.tiles, pictures, out).map(|_| ())
}

/// A part of a sheet.
fn part(sheet: &str, area: [u32; 4], shot: usize, pictures: &Pictures, out: &mut String) -> fmt::Result {
    let [x, y, width, height] = area;
    if width == 0 || height == 0 || !pictures.contains_key(sheet) {
        return blank(width, height, out);
    }
    write!(
        out,
        "<svg class=\"still\" viewBox=\"{x} {y} {width} {height}\" role=\"img\" aria-label=\"shot {shot}\"><use href=\"#{}\"/></svg>",
        id_of(sheet)
    )
}

/// Where a picture is missing.
fn blank(width: u32, height: u32, out: &mut String) -> fmt::Result {
    write!(out, "<svg class=\"still\" viewBox=\"0 0 {} {}\"></svg>", width.max(1), height.max(1))
}

fn begins(transition: &Transition) -> &'static str {
    match transition {
        Transition::Start => "start",
        Transition::Cut => "cut",
        Transition::Dissolve(_) => "dissolve",
        Transition::Fade(_) => "fade",
    }
}

pub(super) fn subtitles(document: &SubtitlesDocument, out: &mut String) -> fmt::Result {
    let how = if document.language_detected { "detected" } else { "stated" };
    write!(
        out,
        "<section id=\"subtitles\"><h2>Subtitles <small>{} ({how}), {} cue{}</small></h2><table class=\"cues\"><thead><tr><th class=\"n\">From</th><th class=\"n\">To</th><th>Text</th><th class=\"n\">Chars/s</th><th class=\"n\" title=\"how sure the speech model was of the words\">Sure</th></tr></thead><tbody>",
        text(&document.language),
        document.cues.len(),
        if document.cues.len() == 1 { "" } else { "s" },
    )?;
    for (index, cue) in document.cues.iter().take(MAX_ROWS).enumerate() {
        write!(
            out,
            "<tr id=\"cue-{}\"><td class=\"n\">{}</td><td class=\"n\">{}</td><td lang=\"{}\">",
            index + 1,
            clock(cue.start_ms),
            clock(cue.end_ms),
            text(&document.language),
        )?;
        for (index, line) in cue.lines.iter().enumerate() {
            write!(out, "{}{}", if index > 0 { "<br>" } else { "" }, text(line))?;
        }
        let characters: u64 = cue.lines.iter().map(|line| line.chars().count() as u64).sum();
        let speed = characters.saturating_mul(1000).checked_div(cue.end_ms.saturating_sub(cue.start_ms)).unwrap_or(MAX_SPEED);
        let doubtful = if cue.confidence.is_some_and(|sure| sure < DOUBTFUL) { " doubtful" } else { "" };
        let sure = cue.confidence.map_or_else(String::new, |sure| format!("{:.0} %", sure.clamp(0.0, 1.0) * 100.0));
        write!(out, "</td><td class=\"n\">{}</td><td class=\"n{doubtful}\">{sure}</td></tr>", speed.min(MAX_SPEED))?;
    }
    out.push_str("</tbody></table>");
    rows_left(document.cues.len(), "cues", out)?;
    if !document.violations.is_empty() {
        out.push_str("<h3>Rules that could not be kept</h3><ul class=\"note\">");
        for violation in document.violations.iter().take(MAX_ROWS) {
            write!(out, "<li>{}</li>", text(violation))?;
        }
        out.push_str("</ul>");
    }
    out.push_str("</section>");
    Ok(())
}

fn rows_left(count: usize, what: &str, out: &mut String) -> fmt::Result {
    if count > MAX_ROWS {
        write!(out, "<p class=\"note\">{} more {what} are in the published file.</p>", count - MAX_ROWS)?;
    }
    Ok(())
}

pub(super) fn files(page: &Page<'_>, out: &mut String) -> fmt::Result {
    out.push_str("<section id=\"files\"><h2>Files</h2><table class=\"cards\"><thead><tr><th>Name</th><th class=\"n\">Bytes</th><th>blobs/…</th></tr></thead><tbody>");
    for output in page.manifest.steps.iter().flat_map(|step| &step.outputs) {
        write!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"n\" data-l=\"Bytes\">{}</td><td class=\"hash\" data-l=\"blobs/…\">{}</td></tr>",
            text(&output.name),
            output.size_bytes,
            output.sha256.hex()
        )?;
    }
    out.push_str("</tbody></table></section>");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_sizes_read_as_people_say_them() {
        let rates: Vec<String> = ["25/1", "24000/1001", "0/0", "fast"].into_iter().map(frame_rate).collect();
        assert_eq!(rates, ["25", "23.976", "0/0", "fast"]);
        assert_eq!((size(999), size(12_345_678)), ("999 bytes".to_owned(), "12.3 MB (12345678 bytes)".to_owned()));
    }

    #[test]
    fn colour_that_is_one_is_said_once() {
        let (bt709, bt2020) = (Some("bt709".to_owned()), Some("bt2020".to_owned()));
        let told = |primaries, transfer, matrix| {
            colour(&[
                ("primaries", primaries),
                ("transfer", transfer),
                ("matrix", matrix),
                ("range", &Some("limited".to_owned())),
            ])
        };
        assert_eq!(told(&bt709, &bt709, &bt709), ["bt709", "limited range"]);
        assert_eq!(told(&bt2020, &None, &bt709), ["primaries bt2020", "matrix bt709", "limited range"]);
    }
}
