//! Probabilities of sampled pictures into a level and the episodes that show it. Pure; no I/O.

use showrunner_timeline::Ticks;

/// Name and version of the table from probability to level. It is ours and uncalibrated: the model's authors say only that
/// pictures below 0.2 are safe and those above 0.8 are not.
pub const PICTURE_TABLE: &str = "probability-bands/1 (uncalibrated)";
/// From this probability on, a picture is of level 1, 2, 3, 4, 5.
const BANDS: [f32; 5] = [0.2, 0.4, 0.6, 0.8, 0.95];
/// Samples of level 1 and more belong to one episode unless more than this many calmer ones lie between them.
const CALM_BETWEEN: usize = 2;

/// One sampled picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it is shown.
    pub at: Ticks,
    /// What the model says, 0 to 1.
    pub probability: f32,
}

/// A stretch of the title that shows something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Episode {
    /// Its first sample that does.
    pub start: Ticks,
    /// The sample after its last.
    pub end: Ticks,
    /// Of its strongest sample.
    pub level: u8,
    /// The strongest sample.
    pub peak: Sample,
    /// How many of its samples are of level 1 and more.
    pub samples: u32,
}

/// What the pictures of a title show.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Of the strongest sample: a moment counts, for a rater looks at each.
    pub level: u8,
    /// Strongest first; among equals the earlier.
    pub episodes: Vec<Episode>,
}

/// The level of one picture.
pub fn picture_level(probability: f32) -> u8 {
    BANDS.iter().filter(|band| probability >= **band).count() as u8
}

/// What `samples`, in order, of a title that ends at `end` show. A probability that is none counts as the strongest: what cannot
/// be judged is looked at by a person.
pub fn shown(samples: &[Sample], end: Ticks) -> Shown {
    let mut episodes: Vec<Episode> = Vec::new();
    let mut open: Option<(Episode, usize)> = None;
    for (nth, sample) in samples.iter().enumerate() {
        let probability = if sample.probability.is_finite() { sample.probability.clamp(0.0, 1.0) } else { 1.0 };
        let sample = Sample { probability, ..*sample };
        let level = picture_level(probability);
        if level == 0 {
            if open.as_ref().is_some_and(|(_, last)| nth - last > CALM_BETWEEN) {
                episodes.extend(open.take().map(|(episode, _)| episode));
            }
            continue;
        }
        let until = samples.get(nth + 1).map_or(end.max(sample.at), |next| next.at);
        open = Some(match open {
            None => (Episode { start: sample.at, end: until, level, peak: sample, samples: 1 }, nth),
            Some((episode, _)) => {
                let peak = if sample.probability > episode.peak.probability { sample } else { episode.peak };
                let (level, samples) = (episode.level.max(level), episode.samples + 1);
                (Episode { end: until, level, peak, samples, ..episode }, nth)
            }
        });
    }
    episodes.extend(open.map(|(episode, _)| episode));
    episodes.sort_by(|a, b| b.peak.probability.total_cmp(&a.peak.probability).then(a.start.cmp(&b.start)));
    Shown { level: episodes.iter().map(|episode| episode.level).max().unwrap_or(0), episodes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(probabilities: &[f32]) -> Vec<Sample> {
        probabilities
            .iter()
            .enumerate()
            .map(|(second, probability)| Sample { at: Ticks(second as i64 * 1_000), probability: *probability })
            .collect()
    }

    #[test]
    fn levels_are_the_tables() {
        let levels: Vec<u8> = [0.0, 0.19, 0.2, 0.4, 0.59, 0.6, 0.8, 0.949, 0.95, 1.0].map(picture_level).into();
        assert_eq!(levels, [0, 0, 1, 2, 2, 3, 4, 4, 5, 5]);
    }

    #[test]
    fn one_strong_moment_is_enough_and_is_told_with_its_time() {
        let shown = shown(&samples(&[0.0, 0.1, 0.85, 0.0, 0.0]), Ticks(5_000));
        assert_eq!(shown.level, 4);
        assert_eq!(shown.episodes.len(), 1);
        assert_eq!((shown.episodes[0].start, shown.episodes[0].end), (Ticks(2_000), Ticks(3_000)));
        assert_eq!((shown.episodes[0].peak.at, shown.episodes[0].samples), (Ticks(2_000), 1));
    }

    #[test]
    fn short_calm_does_not_break_an_episode_and_long_calm_does() {
        let shown = shown(&samples(&[0.3, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.9]), Ticks(8_000));
        let spans: Vec<(i64, i64, u8, u32)> = shown.episodes.iter().map(|e| (e.start.0, e.end.0, e.level, e.samples)).collect();
        assert_eq!(spans, [(7_000, 8_000, 4, 1), (0, 4_000, 2, 2)]);
    }

    #[test]
    fn nothing_shown_is_level_zero_and_nothing_judged_is_the_strongest() {
        assert_eq!(shown(&samples(&[0.0, 0.1]), Ticks(2_000)), Shown { level: 0, episodes: Vec::new() });
        assert_eq!(shown(&samples(&[f32::NAN]), Ticks(1_000)).level, 5);
        assert_eq!(shown(&[], Ticks(0)).level, 0);
    }
}
