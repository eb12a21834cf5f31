//! Cuts sound where nobody speaks and packs the speech into windows that Whisper hears at once. No I/O.

use super::{SAMPLE_RATE, Settings, Span, mel, vad::CHUNK};

/// Longest stretch of speech without a cut; leaves room for padding in a window.
const LONGEST: i64 = 28 * SAMPLE_RATE;
/// How far back a cut is sought in speech that never pauses.
const CUT_SEARCH: i64 = 10 * SAMPLE_RATE;
/// Shorter silences between stretches are kept as they are; longer ones are left out of the window.
const JOIN: i64 = SAMPLE_RATE;
/// Holes in the voice up to this many chunks are part of it.
const VOICE_HOLE: usize = 3;

/// A stretch of speech with some sound around it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stretch {
    pub(super) span: Span,
    /// Where in it there is a voice.
    pub(super) voiced: Vec<Span>,
}

/// Finds stretches of speech in a stream of voice probabilities.
pub(super) struct Segmenter {
    on: f32,
    off: f32,
    silence: i64,
    shortest: i64,
    padding: i64,
    /// Tick of the next chunk.
    clock: i64,
    /// No stretch begins before this.
    earliest: i64,
    open: Option<Open>,
}

struct Open {
    start: i64,
    probabilities: Vec<f32>,
    quiet_since: Option<i64>,
    /// It follows its predecessor without a pause: no padding between them.
    continues: bool,
}

impl Segmenter {
    pub(super) fn new(settings: &Settings, start: i64) -> Self {
        let ticks = |ms: i64| ms.max(0) * SAMPLE_RATE / 1000;
        Self {
            on: settings.voice_on,
            off: settings.voice_off,
            silence: ticks(settings.silence_ms),
            shortest: ticks(settings.speech_ms),
            // Two stretches must not share a sample.
            padding: ticks(settings.padding_ms.min(settings.silence_ms / 2)),
            clock: start,
            earliest: start,
            open: None,
        }
    }

    /// The next chunk's probability; a stretch when one has ended.
    pub(super) fn push(&mut self, probability: f32) -> Option<Stretch> {
        let at = self.clock;
        self.clock += CHUNK as i64;
        let Some(open) = &mut self.open else {
            if probability >= self.on {
                self.open = Some(Open { start: at, probabilities: vec![probability], quiet_since: None, continues: false });
            }
            return None;
        };
        open.probabilities.push(probability);
        if probability >= self.on {
            open.quiet_since = None;
        } else if probability < self.off && open.quiet_since.is_none() {
            open.quiet_since = Some(at);
        }
        if open.quiet_since.is_some_and(|since| self.clock - since >= self.silence) {
            return self.close();
        }
        if self.clock - open.start >= LONGEST {
            return Some(self.split());
        }
        None
    }

    /// Ends the stretch that is open, if any.
    pub(super) fn close(&mut self) -> Option<Stretch> {
        let open = self.open.take()?;
        let end = open.quiet_since.unwrap_or(self.clock);
        if end - open.start < self.shortest {
            return None;
        }
        let padding = if open.continues { 0 } else { self.padding };
        let span = Span { start: (open.start - padding).max(self.earliest), end: end + self.padding };
        self.earliest = span.end;
        Some(Stretch { span, voiced: self.voiced(&open.probabilities, open.start) })
    }

    /// Cuts speech that never pauses at its quietest moment of late.
    fn split(&mut self) -> Stretch {
        let open = self.open.take().expect("only called with a stretch open");
        let count = open.probabilities.len();
        let from = count.saturating_sub((CUT_SEARCH / CHUNK as i64) as usize).max(1);
        let quietest =
            (from..count).min_by(|&a, &b| open.probabilities[a].total_cmp(&open.probabilities[b])).unwrap_or(count - 1);
        let cut = open.start + (quietest * CHUNK) as i64;
        let padding = if open.continues { 0 } else { self.padding };
        let span = Span { start: (open.start - padding).max(self.earliest), end: cut };
        self.earliest = cut;
        let stretch = Stretch { span, voiced: self.voiced(&open.probabilities[..quietest], open.start) };
        self.open = Some(Open {
            start: cut,
            probabilities: open.probabilities[quietest..].to_vec(),
            quiet_since: open.quiet_since.filter(|&since| since >= cut),
            continues: true,
        });
        stretch
    }

    /// First tick whose sound may still be asked for.
    pub(super) fn needs_from(&self) -> i64 {
        let start = self.open.as_ref().map_or(self.clock, |open| open.start);
        (start - self.padding).max(self.earliest)
    }

    /// Tick of the next chunk.
    pub(super) fn clock(&self) -> i64 {
        self.clock
    }

    fn voiced(&self, probabilities: &[f32], start: i64) -> Vec<Span> {
        let tick = |chunk: usize| start + (chunk * CHUNK) as i64;
        let mut spans: Vec<Span> = Vec::new();
        for chunk in (0..probabilities.len()).filter(|&chunk| probabilities[chunk] >= self.on) {
            match spans.last_mut() {
                Some(last) if tick(chunk) - last.end <= (VOICE_HOLE * CHUNK) as i64 => last.end = tick(chunk + 1),
                _ => spans.push(Span { start: tick(chunk), end: tick(chunk + 1) }),
            }
        }
        spans
    }
}

/// At most 30 s of speech, long silences left out, with the way back to the title's clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    pub(super) samples: Vec<f32>,
    pieces: Vec<Piece>,
    /// Where there is a voice, in samples of this window.
    pub(super) voiced: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    offset: i64,
    tick: i64,
    length: i64,
}

impl Window {
    pub(super) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// First tick that this window would want along with a stretch that begins at or after `clock`.
    pub(super) fn joins_from(&self, clock: i64) -> Option<i64> {
        let end = self.end_tick()?;
        (clock - end <= JOIN).then_some(end)
    }

    /// The span of sound to add for a stretch: with the silence before it where that is short.
    pub(super) fn wants(&self, stretch: &Stretch) -> Span {
        let start = self.end_tick().filter(|end| stretch.span.start - end <= JOIN).unwrap_or(stretch.span.start);
        Span { start, end: stretch.span.end }
    }

    /// Whether so much more sound can be heard at once.
    pub(super) fn has_room_for(&self, span: Span) -> bool {
        self.samples.len() as i64 + (span.end - span.start) <= mel::SAMPLES as i64
    }

    /// Adds sound that begins at `tick`, and where in it there is a voice.
    pub(super) fn add(&mut self, tick: i64, sound: &[f32], voiced: &[Span]) {
        let offset = self.samples.len() as i64;
        self.samples.extend_from_slice(sound);
        let length = sound.len() as i64;
        self.pieces.push(Piece { offset, tick, length });
        let place = |at: i64| (at - tick).clamp(0, length) + offset;
        self.voiced.extend(voiced.iter().map(|span| Span { start: place(span.start), end: place(span.end) }));
    }

    /// The title's tick of a sample of this window.
    pub(super) fn tick(&self, offset: i64) -> i64 {
        let index = self.pieces.partition_point(|piece| piece.offset <= offset).saturating_sub(1);
        self.pieces.get(index).map_or(0, |piece| piece.tick + (offset - piece.offset).clamp(0, piece.length))
    }

    /// The title's tick of the end of something that begins at sample `start` and ends at `end`: never beyond the
    /// piece it begins in, because what lies between two pieces was left out.
    pub(super) fn end_in_piece(&self, start: i64, end: i64) -> i64 {
        let index = self.pieces.partition_point(|piece| piece.offset <= start).saturating_sub(1);
        self.pieces.get(index).map_or(0, |piece| piece.tick + (end - piece.offset).clamp(0, piece.length))
    }

    /// Samples of voice at or after `offset`.
    pub(super) fn voice_after(&self, offset: i64) -> i64 {
        self.voiced.iter().map(|span| (span.end - span.start.max(offset)).max(0)).sum()
    }

    /// Samples of voice inside a span of this window.
    pub(super) fn voice_inside(&self, start: i64, end: i64) -> i64 {
        self.voiced.iter().map(|span| (span.end.min(end) - span.start.max(start)).max(0)).sum()
    }

    /// What is left from sample `offset` on.
    pub(super) fn rest(&self, offset: i64) -> Self {
        let offset = offset.clamp(0, self.samples.len() as i64);
        let pieces = self
            .pieces
            .iter()
            .filter(|piece| piece.offset + piece.length > offset)
            .map(|piece| {
                let cut = (offset - piece.offset).max(0);
                Piece { offset: piece.offset + cut - offset, tick: piece.tick + cut, length: piece.length - cut }
            })
            .collect();
        let voiced = self
            .voiced
            .iter()
            .filter(|span| span.end > offset)
            .map(|span| Span { start: span.start.max(offset) - offset, end: span.end - offset })
            .collect();
        Self { samples: self.samples[offset as usize..].to_vec(), pieces, voiced }
    }

    fn end_tick(&self) -> Option<i64> {
        self.pieces.last().map(|piece| piece.tick + piece.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(probabilities: impl IntoIterator<Item = f32>) -> Vec<Stretch> {
        let mut segmenter = Segmenter::new(&Settings::default(), 0);
        let mut found: Vec<Stretch> = probabilities.into_iter().filter_map(|p| segmenter.push(p)).collect();
        found.extend(segmenter.close());
        found
    }

    fn chunks(probability: f32, count: usize) -> impl Iterator<Item = f32> {
        std::iter::repeat_n(probability, count)
    }

    #[test]
    fn silence_gives_no_stretch_and_neither_does_a_click() {
        assert!(run(chunks(0.1, 500)).is_empty());
        assert!(run(chunks(0.0, 50).chain(chunks(0.9, 3)).chain(chunks(0.0, 50))).is_empty());
    }

    #[test]
    fn a_pause_parts_two_stretches_and_padding_never_makes_them_share_a_sample() {
        let found =
            run(chunks(0.0, 20).chain(chunks(0.9, 40)).chain(chunks(0.0, 13)).chain(chunks(0.9, 40)).chain(chunks(0.0, 40)));
        assert_eq!(found.len(), 2);
        assert!(found[0].span.end <= found[1].span.start);
        assert_eq!(found[0].voiced, [Span { start: 20 * 512, end: 60 * 512 }]);
        assert_eq!(found[0].span.start, 20 * 512 - 3200);
    }

    #[test]
    fn endless_speech_is_cut_at_its_quietest_moment_and_none_of_it_lost() {
        let mut probabilities: Vec<f32> = chunks(0.9, 2000).collect();
        probabilities[800] = 0.6;
        let found = run(probabilities);
        assert_eq!(found[0].span.end, 800 * 512);
        assert!(found.windows(2).all(|pair| pair[0].span.end == pair[1].span.start));
        assert!(found.iter().all(|stretch| stretch.span.end - stretch.span.start <= mel::SAMPLES as i64));
        assert_eq!(found.last().map(|stretch| stretch.span.end), Some(2000 * 512 + 3200));
    }

    #[test]
    fn a_window_finds_its_way_back_to_the_title_across_a_silence_left_out() {
        let mut window = Window::default();
        window.add(1000, &[0.0; 500], &[Span { start: 1100, end: 1400 }]);
        window.add(90_000, &[0.0; 700], &[Span { start: 90_100, end: 90_600 }]);
        assert_eq!(window.tick(0), 1000);
        assert_eq!(window.tick(499), 1499);
        assert_eq!(window.tick(500), 90_000);
        assert_eq!(window.end_in_piece(450, 900), 1500);
        assert_eq!(window.voice_after(700), 400);
        let rest = window.rest(600);
        assert_eq!(rest.samples.len(), 600);
        assert_eq!(rest.tick(0), 90_100);
        assert_eq!(rest.voiced, [Span { start: 0, end: 500 }]);
    }
}
