//! How any picture becomes small, upright, square-pixelled, progressive, standard-range RGB, in three sizes: a glance of every
//! frame, an analysis picture of some a second, a candidate of fewer. Writes an `FFmpeg` filter graph; no I/O.
//!
//! Most of what a frame costs after its decoding is its scaling, so every frame is made no larger than what looks at every frame needs.
//!
//! Whoever changes it so that the same source gives other pixels raises [`showrunner_contracts::step::PICTURE_RECIPE`], which is
//! part of every key that a visual step's result is kept under.

use crate::probe::{Colour, FieldOrder, Hdr, PictureInfo, Transfer, Zero};

/// The glance fits in here; a picture on its side is as high as others are wide.
pub const GLANCE: Size = Size { width: 160, height: 160 };
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

/// Pictures of more lines than this are not interlaced (1080i is stored in 1088)...
const MOST_INTERLACED_LINES: u32 = 1_088;
/// ...nor are those of so many (SMPTE ST 296).
const PROGRESSIVE_LINES: u32 = 720;
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
/// The same for glances: the mean of what a pixel stands for, at a third of the work.
const GLANCER: &str = "flags=area+accurate_rnd+full_chroma_int+bitexact";
/// Keeps a time that is due from being found a little too early, for seconds are no whole numbers; ticks are longer.
const ROUNDING: &str = "0.000001";

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

/// Which frames are made larger than a glance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chosen {
    /// The first frame of each part of a second that is divided in so many, counted from the title's beginning; 0 for none.
    pub samples: u16,
    /// Milliseconds between candidates, when there are any.
    pub interval: Option<u64>,
}

/// How one source's picture is treated.
#[derive(Clone, Debug)]
pub struct Recipe {
    stream: usize,
    info: PictureInfo,
    zero: Zero,
    chosen: Chosen,
}

/// Milliseconds between candidates: one a second; closer in a short title, farther in a long one.
pub fn candidate_interval(duration_ms: Option<u64>) -> u64 {
    let Some(duration) = duration_ms else { return USUAL_INTERVAL };
    USUAL_INTERVAL.min(duration / WANTED_CANDIDATES).max(CLOSEST_CANDIDATES).max(duration.div_ceil(MOST_CANDIDATES))
}

impl Recipe {
    /// For the container's stream `stream`, whose title begins at `zero`.
    pub fn new(stream: usize, info: &PictureInfo, zero: Zero, chosen: Chosen) -> Self {
        Self { stream, info: info.clone(), zero, chosen }
    }

    /// Size of the glances.
    pub fn glance_size(&self) -> Size {
        fit(&self.info, GLANCE)
    }

    /// Size of the analysis pictures, when there are any.
    pub fn sample_size(&self) -> Option<Size> {
        (self.chosen.samples > 0).then(|| fit(&self.info, ANALYSIS))
    }

    /// Size of the candidates, when there are any.
    pub fn candidate_size(&self) -> Option<Size> {
        self.chosen.interval.map(|_| fit(&self.info, CANDIDATE))
    }

    /// The filter graph, from the stream to `[glance]` and, when they are wanted, `[sample]` and `[candidate]`.
    /// Rotation is not in it: `FFmpeg` applies the display matrix before the first filter.
    pub fn graph(&self) -> String {
        let (stream, fields) = (self.stream, deinterlacer(&self.info));
        // Chosen before they are scaled: larger pictures are made of a few frames only.
        let sample = self.sample_size().map(|size| format!("{},{}[sample]", self.due(), shrink(&self.info, size, SCALER)));
        let candidate = self.chosen.interval.zip(self.candidate_size()).map(|(interval, size)| {
            let (seconds, millis, large) = (interval / 1_000, interval % 1_000, shrink(&self.info, size, SCALER));
            format!(
                "select='not(isnan(t))*(isnan(prev_selected_t)+gte(t-prev_selected_t,{seconds}.{millis:03}))',{large}[candidate]"
            )
        });
        let glance = format!("{}[glance]", glance(&self.info, self.glance_size()));
        let chains = [("[g]", Some(glance)), ("[s]", sample), ("[c]", candidate)];
        let chains: Vec<(&str, String)> = chains.into_iter().filter_map(|(pad, chain)| Some((pad, chain?))).collect();
        let mut graph = format!("[0:{stream}]{fields}split={}", chains.len());
        graph.extend(chains.iter().map(|(pad, _)| *pad));
        graph.extend(chains.iter().flat_map(|(pad, chain)| [";", pad, chain]));
        graph
    }

    /// Chooses the first frame of each part of a second of the title. Whoever wants fewer of them, at a rate that divides this
    /// one, finds the frames there that it would have been given alone.
    fn due(&self) -> String {
        let (zero, samples) = (self.zero.base.to_seconds(self.zero.at), self.chosen.samples);
        let part = |at: &str| format!("floor(({at}-({zero:.9}))*{samples}+{ROUNDING})");
        format!("select='not(isnan(t))*(isnan(prev_selected_t)+gt({},{}))'", part("t"), part("prev_selected_t"))
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

/// Where fields are flagged every frame is deinterlaced; where they are not but could be, each frame that `idet` finds interlaced. Its usual
/// threshold, 1.04, takes progressive pictures of small moving detail for interlaced; at 1.2 it does not, and still finds real fields.
fn deinterlacer(info: &PictureInfo) -> &'static str {
    let flagged = info.interlaced_frames || matches!(info.field_order, FieldOrder::TopFirst | FieldOrder::BottomFirst);
    match (flagged, info.height <= MOST_INTERLACED_LINES && info.height != PROGRESSIVE_LINES) {
        (true, _) => "bwdif=mode=send_frame:parity=auto:deint=all,",
        (false, true) => "idet=intl_thres=1.2,bwdif=mode=send_frame:parity=auto:deint=interlaced,",
        (false, false) => "",
    }
}

/// A glance: as [`shrink`], but what the frame's pixels mean is averaged first, as it stands in the stream.
fn glance(info: &PictureInfo, size: Size) -> String {
    let Size { width, height } = size;
    if info.colour.transfer_kind() == Transfer::Sdr && !is_wide(&info.colour) {
        return shrink(info, size, GLANCER);
    }
    // Light is made linear in floating point: of few pixels only.
    let format = if is_rgb(info) { "gbrp12" } else { "yuv444p12" };
    format!("scale={width}:{height}:{GLANCER},format={format},{}", shrink(info, size, SCALER))
}

/// Scaling and colour, to full-range 8-bit RGB of `size` with square pixels.
fn shrink(info: &PictureInfo, size: Size, scaler: &str) -> String {
    match info.colour.transfer_kind() {
        Transfer::Sdr if !is_wide(&info.colour) => {
            let (Size { width, height }, matrix, range) = (size, in_matrix(info), in_range(info));
            format!("scale={width}:{height}:{scaler}{matrix}{range}:out_range=full,setsar=1,format=rgb24")
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
    info.colour.range.is_some() || is_rgb(info) || is_of(info, &["yuvj", "gray"])
}

fn is_rgb(info: &PictureInfo) -> bool {
    is_of(info, &["rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr", "pal8"])
}

fn is_of(info: &PictureInfo, starts: &[&str]) -> bool {
    info.pixel_format.as_deref().is_some_and(|format| starts.iter().any(|start| format.starts_with(start)))
}

/// The rules for what a picture of wide gamut does not state: BT.2020 where nothing else is said, the range as in SDR.
fn unstated_wide(info: &PictureInfo) -> String {
    let colour = &info.colour;
    // Nothing leads from stated primaries to none: they go on being stated.
    let primaries = if colour.primaries.is_none() { ":pin=bt2020:p=bt2020" } else { "" };
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
    use showrunner_timeline::{Ticks, TimeBase};

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

    /// For a title that begins at a second and a half.
    fn recipe(stream: usize, info: &PictureInfo, chosen: Chosen) -> Recipe {
        Recipe::new(stream, info, Zero { at: Ticks(1_500), base: TimeBase::MILLIS }, chosen)
    }

    fn graph(info: &PictureInfo) -> String {
        recipe(0, info, Chosen::default()).graph()
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
        assert!(graph(&plain(1920, 1080)).contains("in_color_matrix=bt709"));
        assert!(graph(&plain(720, 576)).contains("in_color_matrix=smpte170m"));
        let stated = Colour { matrix: Some("bt470bg".to_owned()), range: Some("pc".to_owned()), ..Colour::default() };
        let graph = graph(&PictureInfo { colour: stated, ..plain(1920, 1080) });
        assert!(!graph.contains("in_color_matrix") && !graph.contains("in_range"));
    }

    #[test]
    fn hdr_is_tone_mapped_by_a_named_operator_to_a_stated_peak() {
        let colour = Colour { transfer: Some("smpte2084".to_owned()), ..Colour::default() };
        let hdr = Hdr { max_content: Some(4_060), ..Hdr::default() };
        let chosen = Chosen { samples: 2, interval: Some(1_500) };
        let graph = recipe(2, &PictureInfo { colour, hdr, ..plain(3840, 2160) }, chosen).graph();
        assert!(graph.starts_with("[0:2]split=3[g][s][c];[g]scale=160:90:"));
        assert_eq!(graph.matches("tonemap=tonemap=mobius:param=0.5:desat=0:peak=20.0000").count(), 3);
        assert!(graph.contains("gte(t-prev_selected_t,1.500)") && graph.contains("floor((t-(1.500000000))*2+"));
    }

    #[test]
    fn fields_are_looked_for_only_where_there_can_be_any() {
        for (lines, looks) in [(240, true), (576, true), (720, false), (816, true), (1_080, true), (1_088, true), (2_160, false)]
        {
            assert_eq!(graph(&plain(1_280, lines)).contains("idet"), looks, "{lines}");
        }
        let flagged = PictureInfo { field_order: FieldOrder::TopFirst, ..plain(1_280, 720) };
        assert!(graph(&flagged).contains("deint=all"));
    }

    #[test]
    fn there_is_no_larger_picture_that_nobody_asked_for() {
        for (chosen, pads) in [((0, None), 1), ((1, None), 2), ((0, Some(1_000)), 2), ((1, Some(1_000)), 3)] {
            let chosen = Chosen { samples: chosen.0, interval: chosen.1 };
            let graph = recipe(0, &plain(1920, 1080), chosen).graph();
            assert!(graph.contains(&format!("split={pads}[g]")), "{graph}");
            assert_eq!(
                (graph.contains("[sample]"), graph.contains("[candidate]")),
                (chosen.samples > 0, chosen.interval.is_some())
            );
        }
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
            shrink(&PictureInfo { colour, ..plain(1920, 1080) }, ANALYSIS, SCALER)
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
