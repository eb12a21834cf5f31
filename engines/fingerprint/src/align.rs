//! From single hits to lines: where many moments of two titles agree on one offset and one speed. Pure arithmetic; no I/O.

/// Speeds that a title is played at, between which lines may lie.
pub(crate) const SPEED: std::ops::RangeInclusive<f32> = 0.935..=1.07;
/// Steps of the first guess of a line's speed.
const SPEED_STEP: f32 = 0.005;
/// Seconds within which hits are first gathered; at 5 % a line drifts by one second in it.
const WINDOW: f32 = 20.0;
/// How far beyond a line's ends its continuation is looked for, in seconds.
const REACH: f32 = 45.0;
/// A line shorter than this says little of its speed, which then is taken to be 1.
const SPEED_SPAN: f32 = 12.0;
/// Most lines between two titles.
const MOST_LINES: usize = 48;
/// Most seeds that are tried; such as are used up do not count.
const MOST_SEEDS: usize = 400;

/// A moment of the query that looks or sounds like one of the other title. Seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hit {
    pub(crate) query: f32,
    pub(crate) other: f32,
    /// How much it says, 0 to 1.
    pub(crate) weight: f32,
}

/// `other = speed * query + offset`, for `query` in `[from, to]`. Seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) speed: f32,
    pub(crate) offset: f32,
    pub(crate) from: f32,
    pub(crate) to: f32,
    /// Weights of the moments on it.
    pub(crate) votes: f32,
}

impl Line {
    pub(crate) fn at(&self, query: f32) -> f32 {
        self.speed * query + self.offset
    }
}

/// Lines that gather at least `least` votes, those with most votes in one window first. `tolerance` is how far beside a line a
/// hit may lie, in seconds. Hits come ordered by `query`.
pub(crate) fn lines(hits: &[Hit], least: f32, tolerance: f32) -> Vec<Line> {
    let mut free = vec![true; hits.len()];
    let mut found = Vec::new();
    let mut tried = 0;
    for seed in seeds(hits, least) {
        // A long line has seeds all along it, which are used up once it is found.
        if left(hits, &free, &seed) < least {
            continue;
        }
        if found.len() == MOST_LINES || tried == MOST_SEEDS {
            break;
        }
        tried += 1;
        let line = grow(hits, &free, &seed, tolerance);
        if line.votes < least {
            continue;
        }
        for (hit, free) in hits.iter().zip(&mut free) {
            if (line.from - 1.0..=line.to + 1.0).contains(&hit.query) && (hit.other - line.at(hit.query)).abs() <= 2.0 * tolerance
            {
                *free = false;
            }
        }
        found.push(line);
    }
    found
}

/// Most votes that any window and offset gather: what a title has to show before it is compared.
pub(crate) fn strongest(hits: &[Hit]) -> f32 {
    seeds(hits, 0.0).first().map_or(0.0, |seed| seed.votes)
}

struct Seed {
    window: i32,
    offset: i32,
    votes: f32,
}

/// Windows of the query and offsets in whole seconds, by their votes: of each moment the best hit counts.
fn seeds(hits: &[Hit], least: f32) -> Vec<Seed> {
    let mut cast: Vec<(i32, i32, u32, f32)> = Vec::with_capacity(hits.len() * 6);
    for hit in hits {
        let (second, offset) = ((hit.query / (WINDOW / 2.0)).floor() as i32, (hit.other - hit.query).floor() as i32);
        for window in [second - 1, second] {
            for near in offset - 1..=offset + 1 {
                cast.push((window, near, hit.query.to_bits(), hit.weight));
            }
        }
    }
    cast.sort_unstable_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)).then(b.3.total_cmp(&a.3)));
    cast.dedup_by_key(|vote| (vote.0, vote.1, vote.2)); // the heaviest of a moment comes first
    let mut seeds: Vec<Seed> = Vec::new();
    for group in cast.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        let votes = group.iter().map(|vote| vote.3).sum();
        if votes >= least {
            seeds.push(Seed { window: group[0].0, offset: group[0].1, votes });
        }
    }
    seeds.sort_by(|a, b| b.votes.total_cmp(&a.votes).then((a.window, a.offset).cmp(&(b.window, b.offset))));
    seeds
}

/// The weights of a seed's hits that no line has taken.
fn left(hits: &[Hit], free: &[bool], seed: &Seed) -> f32 {
    let from = seed.window as f32 * WINDOW / 2.0;
    let (first, last) = (hits.partition_point(|hit| hit.query < from), hits.partition_point(|hit| hit.query < from + WINDOW));
    let near = |hit: &Hit| ((hit.other - hit.query).floor() as i32 - seed.offset).abs() <= 1;
    (first..last).filter(|n| free[*n] && near(&hits[*n])).map(|n| hits[n].weight).sum()
}

/// The line through a seed, grown along the query as long as there are hits on it.
fn grow(hits: &[Hit], free: &[bool], seed: &Seed, tolerance: f32) -> Line {
    let (mut from, mut to) = (seed.window as f32 * WINDOW / 2.0, (seed.window + 2) as f32 * WINDOW / 2.0);
    let middle = f32::midpoint(from, to);
    let near = |hit: &Hit, line: &Line| (hit.other - line.at(hit.query)).abs();
    let within = |from: f32, to: f32| {
        let first = hits.partition_point(|hit| hit.query < from);
        let last = hits.partition_point(|hit| hit.query <= to);
        (first..last).filter(|n| free[*n]).map(|n| hits[n])
    };
    let votes = |line: &Line, from: f32, to: f32| {
        let (mut sum, mut moment, mut best) = (0.0, f32::NAN, 0.0f32);
        for hit in within(from, to).filter(|hit| near(hit, line) <= tolerance) {
            if hit.query.to_bits() == moment.to_bits() {
                best = best.max(hit.weight);
            } else {
                sum += best;
                (moment, best) = (hit.query, hit.weight);
            }
        }
        sum + best
    };
    // The first guess turns about the middle of the window.
    let anchor = middle + seed.offset as f32 + 0.5;
    let mut line = Line { speed: 1.0, offset: anchor - middle, from, to, votes: 0.0 };
    line.votes = votes(&line, from, to);
    for step in 1..=12 {
        for speed in [1.0 + step as f32 * SPEED_STEP, 1.0 - step as f32 * SPEED_STEP] {
            for shift in [-0.5, 0.0, 0.5] {
                let offset = anchor + shift - speed * middle;
                let guess = Line { speed, offset, ..line };
                let sum = votes(&guess, from, to);
                if sum > line.votes * 1.05 {
                    line = Line { votes: sum, ..guess };
                }
            }
        }
    }
    for _ in 0..200 {
        let reach = within(from - REACH, to + REACH).filter(|hit| near(hit, &line) <= 2.0 * tolerance);
        line = fit(reach, &line);
        let on = |hit: &Hit| near(hit, &line) <= tolerance;
        let (mut first, mut last) = (f32::INFINITY, f32::NEG_INFINITY);
        for hit in within(from - REACH, to + REACH).filter(on) {
            (first, last) = (first.min(hit.query), last.max(hit.query));
        }
        if first > last || (first >= from && last <= to) {
            break;
        }
        (from, to) = (from.min(first), to.max(last));
    }
    let (mut first, mut last) = (to, from);
    for hit in within(from, to).filter(|hit| near(hit, &line) <= tolerance) {
        (first, last) = (first.min(hit.query), last.max(hit.query));
    }
    let sum = votes(&line, from, to);
    Line { from: first.min(last), to: last, votes: sum, ..line }
}

/// Least squares through the hits, kept within the speeds that there are.
fn fit(hits: impl Iterator<Item = Hit> + Clone, last: &Line) -> Line {
    let (mut sum, mut queries, mut others) = (0.0f64, 0.0f64, 0.0f64);
    let (mut first, mut end) = (f32::INFINITY, f32::NEG_INFINITY);
    for hit in hits.clone() {
        let weight = f64::from(hit.weight);
        sum += weight;
        queries += weight * f64::from(hit.query);
        others += weight * f64::from(hit.other);
        (first, end) = (first.min(hit.query), end.max(hit.query));
    }
    if sum <= 0.0 {
        return *last;
    }
    let (query, other) = (queries / sum, others / sum);
    let (mut across, mut along) = (0.0f64, 0.0f64);
    for hit in hits {
        let step = f64::from(hit.query) - query;
        across += f64::from(hit.weight) * step * (f64::from(hit.other) - other);
        along += f64::from(hit.weight) * step * step;
    }
    let fitted = if along > 0.0 { (across / along) as f32 } else { 1.0 };
    let speed = if end - first < SPEED_SPAN { last.speed } else { fitted.clamp(*SPEED.start(), *SPEED.end()) };
    Line { speed, offset: (other - f64::from(speed) * query) as f32, ..*last }
}
