//! The grouping: the neighbours that belong together, exactly, and how many groups to tell. No I/O.

use showrunner_timeline::Ticks;

use crate::{Chapter, Look, SLICE_MILLIS, Shot, Sound, Title, Wanted, listen, look};

/// Boundaries between shots that are looked at; of more, those that differ most on their two sides. Bounds time and memory:
/// their pairs are tried (a second and 16 MiB at this number).
const MOST_UNITS: usize = 2_000;
/// A shot says no more about its scene than this many seconds of it, or one long shot outweighs everything.
const HEAVIEST: f64 = 20.0;
/// Weight of the sound's colour beside the picture, and of its loudness.
const SOUND: f32 = 0.8;
const LOUDNESS: f32 = 0.15;
/// Decibels that loudness is measured in.
const LOUD_SPAN: f32 = 30.0;
/// How far on either side of a boundary a rest counts as being at it, seconds.
const REST_WITHIN: f64 = 1.0;
/// Decibels below the usual level that are a full rest.
const REST_DB: f32 = 25.0;
/// What a full rest at a boundary is worth, in shares of what a boundary explains on average.
const REST_WORTH: f64 = 0.1;
/// Share of the scatter of two neighbouring chapters that their being different has to explain.
const CLEAR: f64 = 0.08;
/// Time on either side in which boundaries are compared where there are too many, seconds.
const NEAR: f64 = 60.0;
/// The last chapter may be this much shorter than the others: credits.
const LAST: f64 = 1.0 / 3.0;
/// Numbers that describe a unit.
const LEN: usize = look::LEN + listen::LEN + 1;

/// The chapters of a title: at least one where it has a shot, the first from its beginning.
pub fn chapters(title: &Title<'_>, wanted: Wanted) -> Vec<Chapter> {
    let (Some(first), Some(last)) = (title.shots.first(), title.shots.last()) else { return Vec::new() };
    let seconds = |ticks: Ticks| title.base.to_seconds(ticks);
    let units = Units::of(title);
    let groups = units.best(wanted, seconds(last.end));
    let at_end = |nth: usize| groups.get(nth + 1).map_or(last.end, |next: &usize| title.shots[units.shots[*next]].start);
    let chapters = groups.iter().enumerate().map(|(nth, unit)| Chapter {
        start: if nth == 0 { first.start } else { title.shots[units.shots[*unit]].start },
        end: at_end(nth),
        shot: units.shots[*unit],
        clarity: if nth == 0 { 1.0 } else { units.clarity(&groups, nth) as f32 },
        rest: units.rests[*unit],
    });
    chapters.collect()
}

/// The title as a row of units: shots, or runs of shots where there are too many.
struct Units {
    /// Index of the first shot of each.
    shots: Vec<usize>,
    /// Start of each, seconds.
    starts: Vec<f64>,
    /// How far picture and sound rest where it begins.
    rests: Vec<f32>,
    /// Sums over the units before each, one more than there are units.
    sums: Vec<Sum>,
}

/// What scatter is computed from.
#[derive(Clone)]
struct Sum {
    weight: f64,
    vector: Vec<f64>,
    square: f64,
}

impl Units {
    fn of(title: &Title<'_>) -> Self {
        let seconds = |ticks: Ticks| title.base.to_seconds(ticks);
        let usual = median(title.sounds);
        let mut sums = vec![Sum { weight: 0.0, vector: vec![0.0; LEN], square: 0.0 }];
        for shot in title.shots {
            let vector = describe(title, shot, usual);
            let weight = (seconds(shot.end) - seconds(shot.start)).clamp(0.0, HEAVIEST);
            let mut next = sums[sums.len() - 1].clone();
            next.weight += weight;
            for (sum, value) in next.vector.iter_mut().zip(&vector) {
                *sum += weight * f64::from(*value);
                next.square += weight * f64::from(*value) * f64::from(*value);
            }
            sums.push(next);
        }
        let all = Self {
            shots: (0..title.shots.len()).collect(),
            starts: title.shots.iter().map(|shot| seconds(shot.start)).collect(),
            rests: title.shots.iter().map(|shot| rest(title, shot, usual)).collect(),
            sums,
        };
        all.thinned()
    }

    /// No more than [`MOST_UNITS`]: boundaries that tell least apart are passed over.
    fn thinned(self) -> Self {
        if self.shots.len() <= MOST_UNITS {
            return self;
        }
        let (mut from, mut to) = (0, 0);
        let mut strengths = Vec::with_capacity(self.shots.len());
        for at in 1..self.shots.len() {
            while self.starts[from] < self.starts[at] - NEAR {
                from += 1;
            }
            while to < self.shots.len() && self.starts[to] < self.starts[at] + NEAR {
                to += 1;
            }
            strengths.push((self.between(from, at, to) + f64::from(self.rests[at]), at));
        }
        strengths.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut kept: Vec<usize> = strengths[..MOST_UNITS - 1].iter().map(|(_, at)| *at).chain([0]).collect();
        kept.sort_unstable();
        let ends = kept.iter().skip(1).copied().chain([self.shots.len()]);
        Self {
            sums: std::iter::once(0).chain(ends).map(|at| self.sums[at].clone()).collect(),
            shots: kept.iter().map(|at| self.shots[*at]).collect(),
            starts: kept.iter().map(|at| self.starts[*at]).collect(),
            rests: kept.iter().map(|at| self.rests[*at]).collect(),
        }
    }

    fn len(&self) -> usize {
        self.shots.len()
    }

    /// Scatter of the units `[from, to)` about their mean.
    fn scatter(&self, from: usize, to: usize) -> f64 {
        let (before, after) = (&self.sums[from], &self.sums[to]);
        let weight = after.weight - before.weight;
        if weight <= 0.0 {
            return 0.0;
        }
        let of_mean: f64 = after.vector.iter().zip(&before.vector).map(|(a, b)| (a - b) * (a - b)).sum();
        (after.square - before.square - of_mean / weight).max(0.0)
    }

    /// What scatter of `[from, to)` goes when it is told apart at `at`.
    fn between(&self, from: usize, at: usize, to: usize) -> f64 {
        (self.scatter(from, to) - self.scatter(from, at) - self.scatter(at, to)).max(0.0)
    }

    /// Which share of the scatter of a chapter and the one before it their being different explains.
    fn clarity(&self, groups: &[usize], nth: usize) -> f64 {
        let (from, at, to) = (groups[nth - 1], groups[nth], groups.get(nth + 1).copied().unwrap_or(self.len()));
        self.between(from, at, to) / self.scatter(from, to).max(f64::MIN_POSITIVE)
    }

    /// The first units of the chapters: the most that are all clear, and no fewer than wanted where there is room for them.
    fn best(&self, wanted: Wanted, end: f64) -> Vec<usize> {
        let table = Table::of(self, wanted, end);
        let mut best = vec![0];
        for count in (1..=wanted.most).rev() {
            let Some(groups) = table.groups(count, self.len()) else { continue };
            let clear = (1..groups.len()).all(|nth| self.clarity(&groups, nth) >= CLEAR);
            if clear || count <= wanted.fewest {
                best = groups;
                break;
            }
        }
        best
    }
}

/// The least that so many groups of the first so many units cost, and where the last of them begins.
struct Table {
    cost: Vec<Vec<f64>>,
    begins: Vec<Vec<u32>>,
}

impl Table {
    fn of(units: &Units, wanted: Wanted, end: f64) -> Self {
        let n = units.len();
        let all = units.scatter(0, n);
        let worth = REST_WORTH * all / wanted.most.max(1) as f64;
        let cost_of: Vec<Vec<f64>> = (0..n).map(|from| (from + 1..=n).map(|to| units.scatter(from, to)).collect()).collect();
        let start = |at: usize| units.starts.get(at).copied().unwrap_or(end);
        // A group of the first units, or of those from one that begins a chapter.
        let long_enough = |from: usize, to: usize| {
            let least = if to == n { wanted.apart * LAST } else { wanted.apart };
            start(to) - start(from) >= least
        };
        let mut cost = vec![vec![f64::INFINITY; n + 1]; wanted.most + 1];
        let mut begins = vec![vec![0; n + 1]; wanted.most + 1];
        for to in 1..=n {
            if to == n || long_enough(0, to) {
                cost[1][to] = cost_of[0][to - 1];
            }
        }
        for count in 2..=wanted.most {
            for to in count..=n {
                for from in count - 1..to {
                    if !long_enough(from, to) {
                        // Those that begin later are shorter still.
                        break;
                    }
                    let with = cost[count - 1][from] + cost_of[from][to - from - 1] - worth * f64::from(units.rests[from]);
                    if with < cost[count][to] {
                        cost[count][to] = with;
                        begins[count][to] = from as u32;
                    }
                }
            }
        }
        Self { cost, begins }
    }

    fn groups(&self, count: usize, units: usize) -> Option<Vec<usize>> {
        if !self.cost[count][units].is_finite() {
            return None;
        }
        let mut to = units;
        let mut groups: Vec<usize> = (2..=count)
            .rev()
            .map(|count| {
                to = self.begins[count][to] as usize;
                to
            })
            .collect();
        groups.push(0);
        groups.reverse();
        Some(groups)
    }
}

/// What a shot looks and sounds like: the mean of its frames and slices.
fn describe(title: &Title<'_>, shot: &Shot, usual: f32) -> [f32; LEN] {
    let mut vector = [0.0; LEN];
    let (seen, heard) = vector.split_at_mut(look::LEN);
    let looks = within(title, shot);
    for look in looks {
        for (sum, value) in seen.iter_mut().zip(look.1.vector) {
            *sum += value / looks.len() as f32;
        }
    }
    let slices = slices(title, title.base.to_seconds(shot.start), title.base.to_seconds(shot.end));
    for slice in slices {
        let share = 1.0 / slices.len() as f32;
        for (sum, value) in heard.iter_mut().zip(slice.bands) {
            *sum += (SOUND / 2.0).sqrt() * value * share;
        }
        heard[listen::LEN] += LOUDNESS.sqrt() * share * ((slice.level - usual) / LOUD_SPAN).clamp(-1.0, 1.0);
    }
    vector
}

/// The frames of a shot; where it is too short to have one, the last before it.
fn within<'a>(title: &Title<'a>, shot: &Shot) -> &'a [(Ticks, Look)] {
    let looks = title.looks;
    let (from, to) = (looks.partition_point(|(at, _)| *at < shot.start), looks.partition_point(|(at, _)| *at < shot.end));
    if from < to {
        return &looks[from..to];
    }
    let last = from.saturating_sub(1);
    looks.get(last..=last).unwrap_or_default()
}

fn slices<'a>(title: &Title<'a>, from: f64, to: f64) -> &'a [Sound] {
    let slice = |seconds: f64| (seconds.max(0.0) * 1_000.0 / f64::from(SLICE_MILLIS)) as usize;
    let end = title.sounds.len();
    let (from, to) = (slice(from).min(end), (slice(to) + 1).min(end));
    &title.sounds[from..to.max(from)]
}

/// How far picture and sound rest where a shot begins.
fn rest(title: &Title<'_>, shot: &Shot, usual: f32) -> f32 {
    let at = title.base.to_seconds(shot.start);
    let near = |time: Ticks| (title.base.to_seconds(time) - at).abs() <= REST_WITHIN;
    let dark = title.looks.iter().skip(title.looks.partition_point(|(time, _)| title.base.to_seconds(*time) < at - REST_WITHIN));
    let dark = dark.take_while(|(time, _)| near(*time)).map(|(_, look)| look.dark).fold(0.0, f32::max);
    let dark = if shot.from_flat { 1.0 } else { dark };
    let quietest = slices(title, at - REST_WITHIN, at + REST_WITHIN).iter().map(|slice| slice.level).reduce(f32::min);
    let quiet = quietest.map_or(0.0, |level| ((usual - level) / REST_DB).clamp(0.0, 1.0));
    1.0 - (1.0 - dark) * (1.0 - quiet)
}

/// The usual level of the sound.
fn median(sounds: &[Sound]) -> f32 {
    let mut levels: Vec<f32> = sounds.iter().map(|sound| sound.level).collect();
    levels.sort_by(f32::total_cmp);
    levels.get(levels.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Units of one second with one number each.
    fn units(values: &[f64]) -> Units {
        let mut sums = vec![Sum { weight: 0.0, vector: vec![0.0], square: 0.0 }];
        for value in values {
            let last = &sums[sums.len() - 1];
            sums.push(Sum {
                weight: last.weight + 1.0,
                vector: vec![last.vector[0] + value],
                square: last.square + value * value,
            });
        }
        let count = values.len();
        Units { shots: (0..count).collect(), starts: (0..count).map(|n| n as f64).collect(), rests: vec![0.0; count], sums }
    }

    #[test]
    fn no_grouping_scatters_less() {
        for seed in 0..200u64 {
            let dice =
                |n: u64| (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7 * n as u32).wrapping_mul(n | 1) >> 60;
            let values: Vec<f64> = (1..=10).map(|n| dice(n) as f64).collect();
            let units = units(&values);
            let cost = |bounds: [usize; 4]| bounds.windows(2).map(|pair| units.scatter(pair[0], pair[1])).sum::<f64>();
            let wanted = Wanted { fewest: 3, most: 3, apart: 2.0 };
            let best = units.best(wanted, 10.0);
            let ours = cost([best[0], best[1], best[2], 10]);
            for a in 2..10 {
                for b in a + 2..10 {
                    assert!(cost([0, a, b, 10]) >= ours - 1e-9, "seed {seed}: {a}, {b} against {best:?}");
                }
            }
        }
    }
}
