//! Files that call themselves a film and point at another file. That other file, the canary, lies where they point and can be
//! read by whoever runs the worker; a careless reader shows it (each case proves that), the worker never does.

use crate::{
    atoms::{atom, rewrite},
    kit::{Studio, artefacts},
    support::{self, order, run, store::TestStore},
};
use showrunner_contracts::result::{Outcome, Reason};
use showrunner_worker::{sandbox::Tool, steps::jpeg};
use std::process::{Command, Stdio};

/// The canary's colour; nothing else here has anything like it.
const COLOUR: &str = "0xff00c0";
/// And what it says.
const SONG: &str = "THE-CANARY-SINGS";

/// One file with a reference in it.
struct Lure {
    name: &'static str,
    /// How the file is called: by the suffix of a film.
    file: &'static str,
    content: Vec<u8>,
    /// What a careless reader is told before its input, so that it follows; empty where it needs nothing.
    careless: &'static str,
    /// A part of the message that the title fails with.
    message: &'static str,
}

const NO_FILM: &str = "not a media file of an accepted container";

fn lures(studio: &Studio, served: &str) -> Vec<Lure> {
    let at = |name: &str| studio.path(name).display().to_string();
    let (film, stream, mxf) = (at("canary.mp4"), at("canary.ts"), at("canary.mxf"));
    let text =
        |name, file, content: String, careless| Lure { name, file, content: content.into_bytes(), careless, message: NO_FILM };
    let script = |name, file, what: &str, careless| Lure {
        message: "it looks like concat",
        ..text(name, file, format!("ffconcat version 1.0\nfile '{what}'\n"), careless)
    };
    let playlist = |what: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{what}\n#EXT-X-ENDLIST\n");
    let inline = playlist(&format!("data:video/mp2t;base64,{}", base64(&std::fs::read(&stream).expect("reads"))));
    studio.write("ASSETMAP.xml", asset_map(&mxf));
    vec![
        script("concat script", "concat.mp4", &film, "-safe 0"),
        script("subfile:", "part.mov", &format!("subfile,,start,0,end,0,,:{film}"), "-safe 0 -protocol_whitelist file,subfile"),
        script("concat:", "joined.ts", &format!("concat:{stream}|{stream}"), "-safe 0 -protocol_whitelist file,concat"),
        text(
            "HLS, file:",
            "list.mp4",
            playlist(&format!("file://{stream}")),
            "-f hls -allowed_extensions ALL -extension_picky 0",
        ),
        text(
            "HLS, http:",
            "list.ts",
            playlist(served),
            "-f hls -allowed_extensions ALL -extension_picky 0 -protocol_whitelist file,http,tcp",
        ),
        text(
            "HLS, data:",
            "inline.ts",
            inline,
            "-f hls -allowed_extensions ALL -extension_picky 0 -protocol_whitelist file,data",
        ),
        text("DASH", "manifest.mp4", media_description(&film), ""),
        text("IMF", "composition.mp4", composition(), ""),
        text("filter graph", "graph.mp4", format!("movie={film}\n"), "-f lavfi -graph_file"),
        Lure {
            name: "QuickTime reference",
            file: "reference.mov",
            content: reference_movie(&std::fs::read(studio.path("canary.mov")).expect("reads"), &at("canary.mov")),
            careless: "-enable_drefs 1 -use_absolute_path 1",
            message: "kept in another file",
        },
    ]
}

#[test]
fn no_reference_is_followed_and_each_is_named_for_what_it_is() {
    let studio = Studio::new();
    let picture = format!("-f lavfi -i color={COLOUR}:s=320x180:r=25:d=1");
    studio.make("canary.mp4", &format!("{picture} -metadata title={SONG} -c:v libx264 -preset ultrafast -pix_fmt yuv420p"));
    studio.make("canary.mov", "-i canary.mp4 -c copy");
    studio.make("canary.ts", "-i canary.mp4 -c copy");
    studio.make("canary.mxf", &format!("{picture} -c:v mpeg2video -q:v 2"));
    let web = TestStore::with(b"");
    web.put("canary.ts", &std::fs::read(studio.path("canary.ts")).expect("reads"));

    for lure in lures(&studio, &web.url("canary.ts")) {
        let Lure { name, file, content, careless, message } = lure;
        let path = studio.write(file, &content);
        assert!(shows_canary(&careless_frame(&studio, careless, file)), "{name}: a careless reader does not follow {careless}");
        let asked = web.seen().len();

        let store = TestStore::with(&std::fs::read(&path).expect("reads"));
        let failure = run(&order(&store, &[support::shots(), support::thumbnails(), support::subtitles()])).failure(&store);
        println!("{name:<20} {}: {}", failure.reason, failure.message);
        assert_eq!(failure.reason, Reason::SourceNotMedia, "{name}: {}", failure.message);
        assert!(failure.message.contains(message), "{name}: {}", failure.message);
        assert!(!failure.message.contains(SONG), "{name}: {}", failure.message);
        assert!(store.results().is_empty(), "{name}: {:?}", store.results().keys());
        assert_eq!(web.seen().len(), asked, "{name}: somebody asked for the canary");
    }
}

#[test]
fn a_film_keeps_what_is_attached_to_it_and_the_film_it_continues_in_to_itself() {
    let studio = Studio::new();
    studio.write("song.txt", SONG.repeat(50));
    studio.make("canary.png", &format!("-f lavfi -i color={COLOUR}:s=320x180 -frames:v 1"));
    let attached = "-attach song.txt -metadata:s:t:0 mimetype=text/plain -attach canary.png -metadata:s:t:1 mimetype=image/png";
    let film = studio.make(
        "film.mkv",
        &format!("-f lavfi -i mandelbrot=s=320x180:r=25 -t 2 {attached} -c:v libx264 -preset ultrafast -pix_fmt yuv420p"),
    );
    let mut bytes = std::fs::read(film).expect("reads");
    // The muxer's name (4D80) becomes the name of the next file (3E83BB), which has one byte less.
    let app = bytes.windows(7).position(|window| window.starts_with(&[0x4D, 0x80]) && window.ends_with(b"Lavf")).expect("named");
    let size = bytes[app + 2] & 0x7F;
    bytes[app..app + 4].copy_from_slice(&[0x3E, 0x83, 0xBB, 0x80 | (size - 1)]);
    bytes[app + 4..app + 3 + usize::from(size)].fill(0);
    bytes[app + 4..app + 8].copy_from_slice(b"next");

    let store = TestStore::with(&bytes);
    let ran = run(&order(&store, &[support::shots(), support::thumbnails()]));
    let unit = ran.unit(&store);
    assert!(unit.steps.iter().all(|step| matches!(step.outcome, Outcome::Done { .. })), "{:?}", unit.steps);
    let made = store.results();
    assert!(made.len() >= 6, "{:?}", made.keys());
    let mut pictures = 0;
    for (name, bytes) in &made {
        assert!(!bytes.windows(SONG.len()).any(|window| window == SONG.as_bytes()), "{name} has what is attached in it");
        let picture = jpeg::decode(bytes).ok();
        pictures += usize::from(picture.is_some());
        assert!(!picture.is_some_and(|picture| shows_canary(&picture.pixels)), "{name} shows what is attached");
    }
    assert!(pictures >= 3, "a still, a thumbnail and trick play: {:?}", made.keys());
}

/// The first frame that `FFmpeg` itself, told to follow, makes of a file; empty when it makes none.
fn careless_frame(studio: &Studio, careless: &str, file: &str) -> Vec<u8> {
    let mut command = Command::new(artefacts().join(Tool::Ffmpeg.path()));
    command.current_dir(studio.path("")).args(["-v", "error", "-nostdin"]).args(careless.split_ascii_whitespace());
    // A graph is an input by itself, in the place of a file.
    let input = if careless.ends_with("-graph_file") { vec![file, "-i", "x"] } else { vec!["-i", file] };
    command.args(input);
    command.args(["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]);
    command.stdin(Stdio::null()).output().expect("ffmpeg starts").stdout
}

/// Whether more than a thousandth of the pixels are the canary's.
fn shows_canary(rgb: &[u8]) -> bool {
    let pixels = rgb.as_chunks::<3>().0;
    let singing = pixels.iter().filter(|[r, g, b]| *r > 220 && *g < 40 && (150..230).contains(b)).count();
    singing * 1_000 > pixels.len()
}

fn media_description(film: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT1S\" \
         profiles=\"urn:mpeg:dash:profile:isoff-on-demand:2011\"><Period><AdaptationSet mimeType=\"video/mp4\">\
         <Representation id=\"1\" bandwidth=\"1\"><BaseURL>file://{film}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    )
}

/// A name for a thing in an IMF package.
fn urn(nth: u32) -> String {
    format!("urn:uuid:{nth:08}-0000-4000-8000-000000000000")
}

/// IMF's list of files (SMPTE ST 429-9): one track file, by an address.
fn asset_map(mxf: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><AssetMap xmlns=\"http://www.smpte-ra.org/schemas/429-9/2007/AM\"><Id>{}</Id><AssetList><Asset>\
         <Id>{}</Id><ChunkList><Chunk><Path>file://{mxf}</Path></Chunk></ChunkList></Asset></AssetList></AssetMap>",
        urn(1),
        urn(2)
    )
}

/// IMF's composition (SMPTE ST 2067-3) of that one track file.
fn composition() -> String {
    format!(
        "<?xml version=\"1.0\"?><CompositionPlaylist xmlns=\"http://www.smpte-ra.org/schemas/2067-3/2016\"><Id>{}</Id>\
         <ContentTitle>x</ContentTitle><EditRate>25 1</EditRate><SegmentList><Segment><Id>{}</Id><SequenceList>\
         <cc:MainImageSequence xmlns:cc=\"http://www.smpte-ra.org/schemas/2067-2/2016\"><Id>{}</Id><TrackId>{}</TrackId><ResourceList>\
         <Resource xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"TrackFileResourceType\"><Id>{}</Id>\
         <EditRate>25 1</EditRate><IntrinsicDuration>25</IntrinsicDuration><TrackFileId>{}</TrackFileId></Resource></ResourceList>\
         </cc:MainImageSequence></SequenceList></Segment></SegmentList></CompositionPlaylist>",
        urn(3),
        urn(4),
        urn(5),
        urn(6),
        urn(7),
        urn(2)
    )
}

/// The movie without its pictures, which it says are in the file at `path`: a data reference of type `alis` (`QuickTime` File
/// Format, "Data Reference Atoms") in the place of the one that says "here".
fn reference_movie(movie: &[u8], path: &str) -> Vec<u8> {
    rewrite(movie, &|kind, content| match kind {
        b"dref" => Some([&[0, 0, 0, 0, 0, 0, 0, 1], &alias(path)[..]].concat()),
        b"mdat" => Some(vec![0; content.len()]),
        _ => None,
    })
}

fn alias(path: &str) -> Vec<u8> {
    let path = if path.len().is_multiple_of(2) { path.to_owned() } else { format!("{path}\0") };
    let absolute = [&[0, 2], &(path.len() as u16).to_be_bytes()[..], path.as_bytes()].concat();
    // Flags that do not say "here", then 150 bytes of names and dates that nobody reads.
    atom(b"alis", &[&[0; 4 + 150][..], &absolute, &[0xFF, 0xFF, 0, 0]].concat())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        (0..4)
            .map(move |nth| if nth <= three.len() { DIGITS[(bits >> (18 - 6 * nth)) as usize & 63] as char } else { '=' })
            .collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}
