//! What a period will have cost at its end, with a 90 % interval, from the costs of its days so far.
//!
//! Days are first put on one level by a weekly pattern. A level that may drift is then followed through them (a Kalman filter
//! with three speeds of drift, each weighted by how well it foretold the days that came), and what is left of the period is
//! foretold from it. The spread adds four things up: that of single days, that of the level as known now, its drift until
//! the end, and the chance of a step that nothing has announced. Skew is that of a gamma distribution. There is no chance in
//! it: the same days give the same forecast. The constants were chosen on generated months, not those of the tests below.

use crate::amount::Amount;

const WEEK: usize = 7;
/// Complete days of this period below which nothing is said. Of one or two days nobody can tell a level from an accident,
/// and an earlier period may have been another team at other prices.
pub const LEAST_DAYS: usize = 3;
/// Days of earlier periods that are looked at. Older ones say little of today's level, and two months show a week's pattern.
const BEFORE: usize = 62;
/// Variances of a day's drift as parts of that of a day's noise: hardly any, some, much.
const DRIFTS: [f64; 3] = [0.001, 0.01, 0.1];
/// What is held of a day's variance before any is seen, as a part of the mean squared, and how many days that counts as.
const NOISE: f64 = 0.3;
const NOISE_DAYS: f64 = 4.0;
/// The level's variance before the first day, as a part of the mean squared.
const LEVEL: f64 = 0.5;
/// A day's weight in the variance against that of the day after it: spread changes too.
const FADE: f64 = 0.97;
/// Degrees of freedom of a day's miss. Few: dear days are no rarity.
const TAILS: f64 = 4.0;
/// Variance per day of steps to come, as a part of the level squared: about one by a half every three months.
const STEPS: f64 = 0.003;
/// Variance among weekdays that a pattern has where there is one. The larger the noise beside it, the more the pattern
/// shrinks towards none.
const PATTERN: f64 = 0.1;
/// The least share of a weekday: on one with nothing so far there may be something yet.
const LEAST_SHARE: f64 = 0.02;
/// Standard deviations to either side of which 5 % of a normal distribution lie.
const TAIL: f64 = 1.645;

/// What is known of a period while it runs.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Costs of its complete days, first day first; days that cost nothing count.
    pub done: &'a [Amount],
    /// Costs of the days just before it, the last of them the day before its first; may be empty. They show the weekly
    /// pattern and the spread early, and the level as far as it has not moved since.
    pub before: &'a [Amount],
    /// Its first day, from Monday, 0 to 6.
    pub first_weekday: u8,
    /// Days it has.
    pub days: u32,
    /// How much of the current day, the one after the complete ones, has passed, 0 to 1.
    pub passed: f64,
    /// Costs of the current day so far. They count as spent and do not move the level: how a day is spread over its hours is
    /// not known, and a batch at midnight is no bad sign.
    pub today: Amount,
    /// Open reservations: what jobs that run now cost at most. They are a part of the days to come, not an addition to them.
    /// Where the days would bring less, the forecast rests on the reservations: all of them may come, so `high` is not
    /// below that, and of a cost between nothing and its bound half is expected.
    pub reserved: Amount,
}

/// What a period will have cost at its end. None of the three is below what is spent already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The mean of what is possible.
    pub expected: Amount,
    /// It will be less than this in one of twenty cases.
    pub low: Amount,
    /// It will be more than this in one of twenty cases.
    pub high: Amount,
    /// Complete days of this period on which it rests.
    pub days: u32,
}

/// The forecast; nothing with fewer than [`LEAST_DAYS`] complete days.
#[must_use]
pub fn forecast(known: &Known<'_>) -> Option<Forecast> {
    let done = known.done.len();
    if done < LEAST_DAYS {
        return None;
    }
    let spent = known.done.iter().copied().sum::<Amount>() + known.today;
    let rest = Rest::of(known);
    let reserved = known.reserved.max(Amount::ZERO);
    let expected = spent + Amount::from_f64(rest.mean).max(reserved.part(1, 2));
    let low = (spent + Amount::from_f64(rest.low)).min(expected);
    let high = (spent + Amount::from_f64(rest.high).max(reserved)).max(expected);
    Some(Forecast { expected, low, high, days: done as u32 })
}

/// What is still to come.
#[derive(Clone, Copy, Default)]
struct Rest {
    mean: f64,
    low: f64,
    high: f64,
}

impl Rest {
    fn of(known: &Known<'_>) -> Self {
        let before = &known.before[known.before.len().saturating_sub(BEFORE)..];
        let seen: Vec<f64> = before.iter().chain(known.done).map(|amount| amount.to_f64()).collect();
        let scale = mean(&seen);
        if scale <= 0.0 {
            return Self::default();
        }
        let done = known.done.len();
        let first = usize::from(known.first_weekday) % WEEK;
        let costs = seen.iter().map(|cost| cost / scale).collect();
        let days = Days { costs, first: (first + WEEK * before.len() - before.len()) % WEEK };
        let pattern = days.pattern();
        let weekdays: Vec<usize> = (done..known.days as usize).map(|day| (first + day) % WEEK).collect();
        let mut left: Vec<f64> = weekdays.iter().map(|weekday| pattern[*weekday]).collect();
        if let Some(today) = left.first_mut() {
            let passed = if known.passed.is_finite() { known.passed.clamp(0.0, 1.0) } else { 0.0 };
            *today *= 1.0 - passed;
        }
        let (mean, variance) = days.ahead(&pattern, &left);
        let mut rest = Self::interval(mean.max(0.0), variance.max(0.0).sqrt());
        // A gamma distribution knows no nothing, but where most days cost nothing, all that are left may.
        if days.idle(&weekdays) >= 0.05 {
            rest.low = 0.0;
        }
        Self { mean: rest.mean * scale, low: rest.low * scale, high: rest.high * scale }
    }

    /// Of the gamma distribution with this mean and deviation, after Wilson and Hilferty. Where it is so skewed that their
    /// formula fails, the upper end is a normal distribution's.
    fn interval(mean: f64, deviation: f64) -> Self {
        let upper = mean + TAIL * deviation;
        if mean <= 0.0 {
            return Self { mean, low: 0.0, high: upper };
        }
        let squeeze = (deviation / mean).powi(2) / 9.0;
        let at = |tail: f64| mean * (1.0 - squeeze + tail * squeeze.sqrt()).max(0.0).powi(3);
        Self { mean, low: at(-TAIL), high: at(TAIL).max(upper) }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Days with their costs as parts of the mean, and the weekday of the first.
struct Days {
    costs: Vec<f64>,
    first: usize,
}

impl Days {
    fn weekdays(&self) -> impl Iterator<Item = (usize, f64)> {
        self.costs.iter().enumerate().map(|(day, cost)| ((self.first + day) % WEEK, *cost))
    }

    /// Each weekday's share, 1 on average: its costs against those of the seven days around it, so that neither a trend nor
    /// a step passes for a pattern. It shrinks towards that of working days or weekends, and these towards none.
    fn pattern(&self) -> [f64; WEEK] {
        let mut days = Vec::new();
        for (index, (weekday, cost)) in self.weekdays().enumerate() {
            let from = index.saturating_sub(WEEK / 2).min(self.costs.len().saturating_sub(WEEK));
            match self.costs.get(from..from + WEEK) {
                Some(week) if mean(week) > 0.0 => days.push((weekday, cost, mean(week))),
                _ => {}
            }
        }
        if days.is_empty() {
            return [1.0; WEEK];
        }
        let (mut costs, mut around, mut ratios, mut count) = ([0.0; WEEK], [0.0; WEEK], [0.0; WEEK], [0.0; WEEK]);
        for (weekday, cost, week) in &days {
            costs[*weekday] += cost;
            around[*weekday] += week;
            ratios[*weekday] += cost / week;
            count[*weekday] += 1.0;
        }
        let off = |(weekday, cost, week): &(usize, f64, f64)| (cost / week - ratios[*weekday] / count[*weekday]).powi(2);
        let freedom = (days.len() as f64 - WEEK as f64).max(0.0);
        let noise = (days.iter().map(off).sum::<f64>() + 2.0 * NOISE) / (freedom + 2.0);
        // So many days without a pattern are put beside each weekday's own.
        let shrink = (noise / PATTERN).clamp(0.3, 40.0) * around.iter().sum::<f64>() / days.len() as f64;
        let share = |costs: &[f64], around: &[f64], towards: f64| {
            (costs.iter().sum::<f64>() + shrink * towards) / (around.iter().sum::<f64>() + shrink)
        };
        let (working, weekend) = (share(&costs[..5], &around[..5], 1.0), share(&costs[5..], &around[5..], 1.0));
        let mut pattern = [1.0; WEEK];
        for (weekday, value) in pattern.iter_mut().enumerate() {
            *value = share(&costs[weekday..=weekday], &around[weekday..=weekday], if weekday < 5 { working } else { weekend });
        }
        let level = mean(&pattern);
        pattern.map(|value| if level > 0.0 { (value / level).max(LEAST_SHARE) } else { 1.0 })
    }

    /// Mean and variance of the sum of the days that are left, given by their shares.
    fn ahead(&self, pattern: &[f64; WEEK], left: &[f64]) -> (f64, f64) {
        let views = DRIFTS.map(|drift| self.follow(drift, pattern).ahead(drift, left));
        let best = views.iter().map(|view| view.likelihood).fold(f64::NEG_INFINITY, f64::max);
        let weights = views.each_ref().map(|view| (view.likelihood - best).exp());
        let total: f64 = weights.iter().sum();
        let average = |of: &dyn Fn(&View) -> f64| views.iter().zip(weights).map(|(view, weight)| weight / total * of(view)).sum();
        let mean: f64 = average(&|view| view.mean);
        (mean, average(&|view| view.variance + (view.mean - mean).powi(2)))
    }

    /// The level through all days, should it drift at that speed.
    fn follow(&self, drift: f64, pattern: &[f64; WEEK]) -> Level {
        // Variances are in parts of a day's noise, which is only known at the end.
        let (mut level, mut variance) = (1.0, LEVEL / NOISE);
        let (mut likelihood, mut misses, mut weight) = (0.0, NOISE_DAYS * NOISE, NOISE_DAYS);
        for (weekday, cost) in self.weekdays() {
            let share = pattern[weekday];
            variance += drift;
            let total = share * share * variance + noise(share);
            let (miss, gain) = (cost - share * level, share * variance / total);
            level += gain * miss;
            variance -= gain * share * variance;
            let wrong = miss * miss / total;
            // Student's t: one dear day must not decide how fast the level drifts.
            let spread = misses / weight;
            likelihood -= 0.5 * (total * spread).ln() + 0.5 * (TAILS + 1.0) * (wrong / (TAILS * spread)).ln_1p();
            misses = NOISE_DAYS * NOISE * (1.0 - FADE) + misses * FADE + wrong;
            weight = NOISE_DAYS * (1.0 - FADE) + weight * FADE + 1.0;
        }
        Level { at: level, variance, noise: misses / weight, likelihood }
    }

    /// How likely it is that the days left all cost nothing, from how often such weekdays did.
    fn idle(&self, left: &[usize]) -> f64 {
        let idle = self.costs.iter().filter(|cost| **cost <= 0.0).count() as f64 / self.costs.len().max(1) as f64;
        let (mut nothing, mut all) = ([2.0 * idle; WEEK], [2.0; WEEK]);
        for (weekday, cost) in self.weekdays() {
            all[weekday] += 1.0;
            nothing[weekday] += if cost <= 0.0 { 1.0 } else { 0.0 };
        }
        left.iter().map(|weekday| nothing[*weekday] / all[*weekday]).product()
    }
}

/// A day's variance by its share. Batches that come more often make it grow as the share does, days that all grow make it
/// grow as its square: between the two.
fn noise(share: f64) -> f64 {
    share * share.sqrt()
}

/// The level after the last day. Its variance is in parts of a day's noise.
struct Level {
    at: f64,
    variance: f64,
    noise: f64,
    likelihood: f64,
}

/// What one speed of drift says.
struct View {
    likelihood: f64,
    mean: f64,
    variance: f64,
}

impl Level {
    fn ahead(&self, drift: f64, left: &[f64]) -> View {
        let sum: f64 = left.iter().sum();
        let (mut noises, mut moves, mut after) = (0.0, 0.0, sum);
        for share in left {
            noises += noise(*share);
            // A level that moves on a day has moved for all days after it.
            moves += after * after;
            after -= share;
        }
        let variance = self.noise * (noises + sum * sum * self.variance + drift * moves) + STEPS * self.at * self.at * moves;
        View { likelihood: self.likelihood, mean: sum * self.at, variance }
    }
}

#[cfg(test)]
#[path = "forecast_tests.rs"]
mod tests;
