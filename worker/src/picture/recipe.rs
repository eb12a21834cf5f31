//! The analysis picture: how any picture becomes small, upright, square-pixelled, progressive, standard-range RGB.
//! Writes an `FFmpeg` filter graph; no I/O.
//!
//! Whoever changes it so that the same source gives other pixels raises [`showrunner_contracts::step::PICTURE_RECIPE`], which is
//! part of every key that a visual step's result is kept under.

use crate::probe::{Colour, FieldOrder, Hdr, PictureInfo, Transfer};

/// The analysis picture fits in here.
pub const ANALYSIS: Size = Size { width: 640, height: 360 };
/// A candidate fits in here.
pub const CANDIDATE: Size = Size { width: 1280, height: 720 };

/// Most candidates of a title of stated length.
pub const MOST_CANDIDATES: u64 = 400;
/// As many are wanted even of a short one.
const WANTED_CANDIDATES: u64 = 100;
/// Never closer than this, milliseconds: neighbours would be alike.
const CLOSEST_CANDIDATES: u64 = 250;
/// One a second where nothing speaks against it, milliseconds; also when the length is not stated.
const USUAL_INTERVAL: u64 = 1_000;

/// Pictures of more lines than this are never interlaced (1080i is stored in 1088).
const MOST_INTERLACED_LINES: u32 = 1_088;
/// Pictures from this size on are high definition, whose unstated matrix is BT.709 rather than BT.601 (as players assume).
const HD: Size = Size { width: 1_280, height: 720 };
/// Brightest light assumed in an HDR picture that does not state it, cd/m2: what most titles are mastered to, and what HLG's
/// nominal display shows.
const ASSUMED_PEAK: f64 = 1_000.0;
/// Light of diffuse white in HDR, cd/m2 (ITU-R BT.2408): the 1.0 of linear light here, as white is in SDR.
const REFERENCE_WHITE: u32 = 203;
/// Brightest light that PQ can say, cd/m2. Stated peaks above it, or below reference white, are not believed.
const BRIGHTEST: f64 = 10_000.0;
/// Share of reference white up to which tone mapping leaves light as it is.
const KNEE: &str = "0.5";
/// Scaling that gives the same bytes on every processor.
const SCALER: &str = "flags=bicubic+accurate_rnd+full_chroma_int+bitexact";

/// Width and height, pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

impl Size {
    /// Bytes of a packed RGB picture.
    pub const fn bytes(self) -> usize {
        self.width as usize * self.height as usize * 3
    }
}

/// How one source's picture is treated.
#[derive(Clone, Debug)]
pub struct Recipe {
    stream: usize,
    info: PictureInfo,
    /// Milliseconds between candidates, when there are any.
    interval: Option<u64>,
}

/// Milliseconds between candidates: one a second; closer in a short title, farther in a long one.
pub fn candidate_interval(duration_ms: Option<u64>) -> u64 {
    let Some(duration) = duration_ms else { return USUAL_INTERVAL };
    USUAL_INTERVAL.min(duration / WANTED_CANDIDATES).max(CLOSEST_CANDIDATES).max(duration.div_ceil(MOST_CANDIDATES))
}

impl Recipe {
    /// For the container's stream `stream`; candidates every `interval` milliseconds, if at all.
    pub fn new(stream: usize, info: &PictureInfo, interval: Option<u64>) -> Self {
        Self { stream, info: info.clone(), interval }
    }

    /// Size of the analysis pictures.
    pub fn size(&self) -> Size {
        fit(&self.info, ANALYSIS)
    }

    /// Size of the candidates, when there are any.
    pub fn candidate_size(&self) -> Option<Size> {
        self.interval.map(|_| fit(&self.info, CANDIDATE))
    }

    /// The filter graph, from the stream to `[analysis]` and, when there are candidates, `[candidate]`.
    /// Rotation is not in it: `FFmpeg` applies the display matrix before the first filter.
    pub fn graph(&self) -> String {
        let (stream, fields, small) = (self.stream, deinterlacer(&self.info), shrink(&self.info, self.size()));
        match (self.interval, self.candidate_size()) {
            (Some(interval), Some(size)) => {
                let (seconds, millis, large) = (interval / 1_000, interval % 1_000, shrink(&self.info, size));
                // Chosen before it is scaled: the large picture is made for a few frames only.
                let chosen = format!("select='isnan(prev_selected_t)+gte(t-prev_selected_t,{seconds}.{millis:03})'");
                format!("[0:{stream}]{fields}split[s][l];[s]{small}[analysis];[l]{chosen},{large}[candidate]")
            }
            _ => format!("[0:{stream}]{fields}{small}[analysis]"),
        }
    }
}

/// The largest even size inside `bounds` with the picture's displayed shape; never larger than the picture itself.
fn fit(info: &PictureInfo, bounds: Size) -> Size {
    let (num, den) = info.sample_aspect.unwrap_or((1, 1));
    let (mut width, mut height) = (f64::from(info.width) * f64::from(num) / f64::from(den), f64::from(info.height));
    if matches!(info.rotation, 45..135 | 225..315) {
        (width, height) = (height, width);
    }
    let scale = (f64::from(bounds.width) / width).min(f64::from(bounds.height) / height).min(1.0);
    let even = |side: f64| (((side * scale / 2.0).round() as u32) * 2).max(2);
    Size { width: even(width).min(bounds.width), height: even(height).min(bounds.height) }
}

/// Where fields are flagged every frame is deinterlaced; where they are not, each frame that `idet` finds interlaced. Its usual
/// threshold, 1.04, takes progressive pictures of small moving detail for interlaced; at 1.2 it does not, and still finds real fields.
fn deinterlacer(info: &PictureInfo) -> &'static str {
    let flagged = info.interlaced_frames || matches!(info.field_order, FieldOrder::TopFirst | FieldOrder::BottomFirst);
    match (flagged, info.height <= MOST_INTERLACED_LINES) {
        (true, _) => "bwdif=mode=send_frame:parity=auto:deint=all,",
        (false, true) => "idet=intl_thres=1.2,bwdif=mode=send_frame:parity=auto:deint=interlaced,",
        (false, false) => "",
    }
}

/// Scaling and colour, to full-range 8-bit RGB of `size` with square pixels.
fn shrink(info: &PictureInfo, size: Size) -> String {
    match info.colour.transfer_kind() {
        Transfer::Sdr if !is_wide(&info.colour) => {
            let (Size { width, height }, matrix, range) = (size, in_matrix(info), in_range(info));
            format!("scale={width}:{height}:{SCALER}{matrix}{range}:out_range=full,setsar=1,format=rgb24")
        }
        Transfer::Sdr => through_light(info, size, "bt709", ""),
        Transfer::Pq => through_light(info, size, "smpte2084", &tone_mapping(peak(&info.hdr))),
        Transfer::Hlg => through_light(info, size, "arib-std-b67", &tone_mapping(ASSUMED_PEAK)),
    }
}

/// Colours are converted to BT.709's primaries as linear light, which `tone` changes on its way.
fn through_light(info: &PictureInfo, Size { width, height }: Size, transfer: &str, tone: &str) -> String {
    let unstated = unstated_wide(info);
    format!(
        "zscale=w={width}:h={height}:filter=bicubic:tin={transfer}{unstated}:t=linear:npl={REFERENCE_WHITE},format=gbrpf32le,\
         zscale=p=bt709,{tone}zscale=t=bt709:m=gbr:r=full,format=gbrp,setsar=1,scale={SCALER},format=rgb24"
    )
}

/// Light up to the knee stays, so that what is not brighter than white looks as it does in SDR; all above it, up to `peak`
/// (cd/m2), shares what is left. By the brightest of the three colours, so that hues stay.
fn tone_mapping(peak: f64) -> String {
    format!("tonemap=tonemap=mobius:param={KNEE}:desat=0:peak={:.4},", peak / f64::from(REFERENCE_WHITE))
}

/// The brightest light in a PQ picture: its content's, else its mastering display's, where that is stated and can be believed.
fn peak(hdr: &Hdr) -> f64 {
    let content = hdr.max_content.map(f64::from);
    let mastering = hdr.mastering_luminance.as_ref().and_then(|(_, brightest)| {
        let (num, den) = brightest.split_once('/')?;
        Some(num.parse::<f64>().ok()? / den.parse::<f64>().ok()?)
    });
    let believed = f64::from(REFERENCE_WHITE)..=BRIGHTEST;
    [content, mastering].into_iter().flatten().find(|peak| believed.contains(peak)).unwrap_or(ASSUMED_PEAK)
}

/// Whether the primaries are so far from BT.709's that pictures look wrong without conversion: BT.2020, DCI-P3, Display P3.
fn is_wide(colour: &Colour) -> bool {
    matches!(colour.primaries.as_deref(), Some("bt2020" | "smpte431" | "smpte432"))
}

/// Stated colour is honoured by the scaler itself; the rule for an unstated matrix is BT.709 for HD and above, else BT.601.
fn in_matrix(info: &PictureInfo) -> &'static str {
    match (&info.colour.matrix, info.width >= HD.width || info.height >= HD.height) {
        (Some(_), _) => "",
        (None, true) => ":in_color_matrix=bt709",
        (None, false) => ":in_color_matrix=smpte170m",
    }
}

fn in_range(info: &PictureInfo) -> &'static str {
    if is_range_known(info) { "" } else { ":in_range=limited" }
}

/// Whether the range needs no rule: it is stated, or the format is one of the full-range "J" formats of JPEG or of RGB, which
/// the scalers know. Else it is limited.
fn is_range_known(info: &PictureInfo) -> bool {
    let full = info.pixel_format.as_deref().is_some_and(|format| {
        ["yuvj", "rgb", "bgr", "gbr", "argb", "abgr", "pal8", "gray"].iter().any(|start| format.starts_with(start))
    });
    info.colour.range.is_some() || full
}

/// The rules for what a picture of wide gamut does not state: BT.2020 where nothing else is said, the range as in SDR.
fn unstated_wide(info: &PictureInfo) -> String {
    let colour = &info.colour;
    let primaries = if colour.primaries.is_none() { ":pin=bt2020" } else { "" };
    let matrix = match (&colour.matrix, colour.primaries.as_deref()) {
        (Some(_), _) => "",
        (None, Some("smpte431" | "smpte432")) => ":min=bt709",
        (None, _) => ":min=bt2020nc",
    };
    let range = if is_range_known(info) { "" } else { ":rin=limited" };
    format!("{primaries}{matrix}{range}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(width: u32, height: u32) -> PictureInfo {
        PictureInfo {
            width,
            height,
            sample_aspect: None,
            rotation: 0,
            frame_rate: None,
            field_order: FieldOrder::Progressive,
            interlaced_frames: false,
            pixel_format: Some("yuv420p".to_owned()),
            bit_depth: Some(8),
            chroma: Some("4:2:0"),
            chroma_location: None,
            colour: Colour::default(),
            hdr: Hdr::default(),
            closed_captions: false,
        }
    }

    #[test]
    fn pictures_fit_their_bounds_with_the_displayed_shape_and_never_grow() {
        let sized = |info: PictureInfo| fit(&info, ANALYSIS);
        assert_eq!(sized(plain(1920, 1080)), ANALYSIS);
        assert_eq!(sized(plain(1998, 1080)), Size { width: 640, height: 346 });
        assert_eq!(sized(plain(176, 144)), Size { width: 176, height: 144 });
        assert_eq!(sized(PictureInfo { rotation: 90, ..plain(1920, 1080) }), Size { width: 202, height: 360 });
        // PAL, 16:9 by sample aspect 64:45.
        assert_eq!(sized(PictureInfo { sample_aspect: Some((64, 45)), ..plain(720, 576) }), ANALYSIS);
        assert_eq!(sized(plain(16_384, 2)), Size { width: 640, height: 2 });
    }

    #[test]
    fn candidates_are_a_second_apart_closer_in_short_titles_and_bounded_in_long_ones() {
        assert_eq!(candidate_interval(None), 1_000);
        assert_eq!(candidate_interval(Some(150_000)), 1_000);
        assert_eq!(candidate_interval(Some(44_000)), 440);
        assert_eq!(candidate_interval(Some(5_000)), 250);
        assert_eq!(candidate_interval(Some(0)), 250);
        let film = 2 * 3_600_000;
        assert!(film / candidate_interval(Some(film)) <= MOST_CANDIDATES);
    }

    #[test]
    fn unstated_colour_follows_the_rule_and_stated_colour_is_left_to_the_scaler() {
        assert!(Recipe::new(0, &plain(1920, 1080), None).graph().contains("in_color_matrix=bt709"));
        assert!(Recipe::new(0, &plain(720, 576), None).graph().contains("in_color_matrix=smpte170m"));
        let stated = Colour { matrix: Some("bt470bg".to_owned()), range: Some("pc".to_owned()), ..Colour::default() };
        let graph = Recipe::new(0, &PictureInfo { colour: stated, ..plain(1920, 1080) }, None).graph();
        assert!(!graph.contains("in_color_matrix") && !graph.contains("in_range"));
    }

    #[test]
    fn hdr_is_tone_mapped_by_a_named_operator_to_a_stated_peak() {
        let colour = Colour { transfer: Some("smpte2084".to_owned()), ..Colour::default() };
        let hdr = Hdr { max_content: Some(4_060), ..Hdr::default() };
        let graph = Recipe::new(2, &PictureInfo { colour, hdr, ..plain(3840, 2160) }, Some(1_500)).graph();
        assert!(graph.starts_with("[0:2]split"));
        assert_eq!(graph.matches("tonemap=tonemap=mobius:param=0.5:desat=0:peak=20.0000").count(), 2);
        assert!(graph.contains("gte(t-prev_selected_t,1.500)"));
    }

    #[test]
    fn the_contents_peak_goes_before_the_displays_and_neither_is_believed_blindly() {
        let stated = |content, display: Option<&str>| Hdr {
            max_content: content,
            mastering_luminance: display.map(|display| ("1/10000".to_owned(), display.to_owned())),
            ..Hdr::default()
        };
        let display = Some("40000000/10000");
        for (hdr, wanted) in [
            (stated(None, None), 1_000.0),
            (stated(None, display), 4_000.0),
            (stated(Some(1_200), display), 1_200.0),
            (stated(Some(0), display), 4_000.0),
            (stated(Some(65_535), Some("1/0")), 1_000.0),
            (stated(None, Some("many/10000")), 1_000.0),
        ] {
            assert!((peak(&hdr) - wanted).abs() < 0.5, "{hdr:?}: {}", peak(&hdr));
        }
    }

    #[test]
    fn only_primaries_far_from_hd_are_converted() {
        let graph = |primaries: &str, matrix: Option<&str>| {
            let colour = Colour { primaries: Some(primaries.to_owned()), matrix: matrix.map(str::to_owned), ..Colour::default() };
            Recipe::new(0, &PictureInfo { colour, ..plain(1920, 1080) }, None).graph()
        };
        for usual in ["bt709", "smpte170m", "bt470bg"] {
            assert!(!graph(usual, None).contains("zscale"), "{usual}");
        }
        assert!(graph("smpte432", None).contains("tin=bt709:min=bt709:rin=limited:t=linear"));
        assert!(graph("bt2020", None).contains("tin=bt709:min=bt2020nc:rin=limited:t=linear"));
        assert!(graph("bt2020", Some("bt2020nc")).contains("tin=bt709:rin=limited:t=linear"));
        assert!(!graph("bt2020", None).contains("tonemap"));
    }
}
