//! The analysis picture: how any picture becomes small, upright, square-pixelled, progressive, standard-range RGB.
//! Writes an `FFmpeg` filter graph; no I/O.
//!
//! Whoever changes it so that the same source gives other pixels raises [`showrunner_contracts::step::PICTURE_RECIPE`], which is
//! part of every key that a visual step's result is kept under.

use crate::probe::{Colour, FieldOrder, PictureInfo, Transfer};

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
/// Brightest light assumed in an HDR picture that does not state it, cd/m2: what most titles are mastered to.
const ASSUMED_PEAK: u32 = 1_000;
/// Stated content light levels outside of this are not believed, cd/m2.
const BELIEVED_PEAKS: std::ops::RangeInclusive<u32> = 200..=10_000;
/// What tone mapping maps to diffuse white, cd/m2.
const NOMINAL_WHITE: u32 = 100;
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
fn shrink(info: &PictureInfo, Size { width, height }: Size) -> String {
    let colour = &info.colour;
    match colour.transfer_kind() {
        Transfer::Sdr => {
            let (matrix, range) = (in_matrix(info), in_range(info));
            format!("scale={width}:{height}:{SCALER}{matrix}{range}:out_range=full,setsar=1,format=rgb24")
        }
        kind => {
            let transfer = if kind == Transfer::Pq { "smpte2084" } else { "arib-std-b67" };
            let unstated = unstated_hdr(colour);
            let peak = info.hdr.max_content.filter(|peak| BELIEVED_PEAKS.contains(peak)).unwrap_or(ASSUMED_PEAK);
            let peak = f64::from(peak) / f64::from(NOMINAL_WHITE);
            format!(
                "zscale=w={width}:h={height}:filter=bicubic:tin={transfer}{unstated}:t=linear:npl={NOMINAL_WHITE},format=gbrpf32le,\
                 zscale=p=bt709,tonemap=tonemap=hable:desat=0:peak={peak},zscale=t=bt709:m=gbr:r=full,format=gbrp,setsar=1,\
                 scale={SCALER},format=rgb24"
            )
        }
    }
}

/// Stated colour is honoured by the scaler itself; the rule for an unstated matrix is BT.709 for HD and above, else BT.601.
fn in_matrix(info: &PictureInfo) -> &'static str {
    match (&info.colour.matrix, info.width >= HD.width || info.height >= HD.height) {
        (Some(_), _) => "",
        (None, true) => ":in_color_matrix=bt709",
        (None, false) => ":in_color_matrix=smpte170m",
    }
}

/// The rule for an unstated range: full for the "J" formats of JPEG and for RGB, which the scaler knows, else limited.
fn in_range(info: &PictureInfo) -> &'static str {
    let full = info.pixel_format.as_deref().is_some_and(|format| {
        ["yuvj", "rgb", "bgr", "gbr", "argb", "abgr", "pal8", "gray"].iter().any(|start| format.starts_with(start))
    });
    if info.colour.range.is_some() || full { "" } else { ":in_range=limited" }
}

fn unstated_hdr(colour: &Colour) -> String {
    let rule = |stated: &Option<String>, rule: &'static str| if stated.is_some() { "" } else { rule };
    let (primaries, matrix) = (rule(&colour.primaries, ":pin=bt2020"), rule(&colour.matrix, ":min=bt2020nc"));
    format!("{primaries}{matrix}{}", rule(&colour.range, ":rin=limited"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Hdr;

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
        let hdr = Hdr { max_content: Some(4_000), ..Hdr::default() };
        let graph = Recipe::new(2, &PictureInfo { colour, hdr, ..plain(3840, 2160) }, Some(1_500)).graph();
        assert!(graph.starts_with("[0:2]split"));
        assert_eq!(graph.matches("tonemap=tonemap=hable:desat=0:peak=40").count(), 2);
        assert!(graph.contains("gte(t-prev_selected_t,1.500)"));
    }
}
