//! The picture of a report: what was spent up to each day, against warning and cap, and where the period may end.
//!
//! Drawn with whole numbers, in tenths of a unit of the picture: the same report is the same picture everywhere.

use std::fmt::Write as _;

use super::Report;
use super::page::{escape, grouped, shown};
use crate::amount::Amount;

/// Size of the picture.
const WIDTH: i128 = 760;
const HEIGHT: i128 = 300;
/// Where the plot lies in it.
const LEFT: i128 = 72;
const RIGHT: i128 = 744;
const TOP: i128 = 18;
const BOTTOM: i128 = 262;
/// Names of two lines that are nearer to each other than this are put on different sides.
const NEAR: i128 = 150;
/// Most names along the days.
const MAX_NAMES: usize = 6;

/// The picture, as SVG in HTML.
pub(super) fn svg(report: &Report) -> String {
    let plot = Plot::of(report);
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"chart-title chart-text\">\n\
         <title id=\"chart-title\">Spent by day</title>\n<desc id=\"chart-text\">{}</desc>\n",
        escape(&described(report))
    );
    plot.grid(&mut svg, report);
    plot.fan(&mut svg, report);
    plot.curve(&mut svg);
    plot.limits(&mut svg, report);
    svg.push_str("</svg>\n");
    svg
}

/// The picture in words.
fn described(report: &Report) -> String {
    let currency = &report.currency;
    let mut text = format!("{} {currency} were spent in {}", shown(report.spent.total), report.period.label);
    if let Some(running) = &report.running {
        for (name, line) in [("warning", running.limits.warn), ("cap", running.limits.cap)] {
            if let Some(line) = line {
                let _ = write!(text, "; the {name} is {} {currency}", shown(line));
            }
        }
        if let Some(forecast) = &running.forecast {
            let (low, high) = (shown(forecast.low), shown(forecast.high));
            let _ = write!(text, "; {} {currency} are expected, {low} to {high}", shown(forecast.expected));
        }
    }
    text
}

struct Plot {
    /// Amount at the upper edge. Above nothing.
    most: Amount,
    /// Between two lines of the grid.
    step: Amount,
    days: i128,
    /// Up to the end of each day that has begun.
    sums: Vec<Amount>,
}

impl Plot {
    fn of(report: &Report) -> Self {
        let sums: Vec<Amount> = report.by_day().into_iter().map(|(_, sum)| sum).collect();
        let running = report.running.as_ref();
        let limits = running.map(|running| running.limits).unwrap_or_default();
        let high = running.and_then(|running| running.forecast.as_ref()).map(|forecast| forecast.high);
        let tops = [limits.warn, limits.cap, high, Some(report.spent.total)].into_iter().flatten();
        let highest = tops.chain(sums.iter().copied()).max().unwrap_or_default().max(Amount::from_micros(4));
        let step = step(highest);
        let most = Amount::from_micros((highest.micros() / step.micros() + 1) * step.micros());
        Self { most, step, days: i128::try_from(report.days.len().max(1)).unwrap_or(1), sums }
    }

    /// Where an amount is, in tenths.
    fn y(&self, amount: Amount) -> i128 {
        let amount = amount.max(Amount::ZERO).min(self.most);
        BOTTOM * 10 - amount.micros() * (BOTTOM - TOP) * 10 / self.most.micros()
    }

    /// Where the end of so many days is, in tenths.
    fn x(&self, days: i128) -> i128 {
        LEFT * 10 + days * (RIGHT - LEFT) * 10 / self.days
    }

    fn grid(&self, svg: &mut String, report: &Report) {
        let mut at = Amount::ZERO;
        while at <= self.most {
            let y = self.y(at);
            put(svg, &format!("<path class=\"grid\" d=\"M{LEFT} {}H{RIGHT}\"/>", tenths(y)));
            let name = grouped(&at.to_string());
            put(
                svg,
                &format!("<text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>", LEFT - 8, tenths(y + 40)),
            );
            at += self.step;
        }
        let every = report.days.len().div_ceil(MAX_NAMES).max(1);
        for (nth, day) in report.days.iter().enumerate().step_by(every) {
            let x = i128::midpoint(self.x(nth as i128), self.x(nth as i128 + 1));
            // Month and day; the year is in the headline.
            let name = escape(day.get(5..).unwrap_or(day));
            put(
                svg,
                &format!("<text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{name}</text>", tenths(x), BOTTOM + 20),
            );
        }
    }

    fn curve(&self, svg: &mut String) {
        let Some(last) = self.sums.last() else { return };
        let mut line = format!("M{LEFT} {BOTTOM}");
        for (nth, sum) in self.sums.iter().enumerate() {
            let _ = write!(line, "L{} {}", tenths(self.x(nth as i128 + 1)), tenths(self.y(*sum)));
        }
        let end = self.x(self.sums.len() as i128);
        put(svg, &format!("<path class=\"area\" d=\"{line}V{BOTTOM}Z\"/>"));
        put(svg, &format!("<path class=\"spent\" d=\"{line}\"/>"));
        put(svg, &format!("<circle class=\"now\" cx=\"{}\" cy=\"{}\" r=\"4.5\"/>", tenths(end), tenths(self.y(*last))));
    }

    fn fan(&self, svg: &mut String, report: &Report) {
        let forecast = report.running.as_ref().and_then(|running| running.forecast.as_ref());
        let (Some(forecast), Some(last)) = (forecast, self.sums.last()) else { return };
        let (from, to) = (tenths(self.x(self.sums.len() as i128)), tenths(self.x(self.days)));
        let [now, low, expected, high] = [*last, forecast.low, forecast.expected, forecast.high].map(|sum| tenths(self.y(sum)));
        put(svg, &format!("<path class=\"fan\" d=\"M{from} {now}L{to} {high}V{low}Z\"/>"));
        put(svg, &format!("<path class=\"expected\" d=\"M{from} {now}L{to} {expected}\"/>"));
        put(svg, &format!("<circle class=\"end\" cx=\"{to}\" cy=\"{expected}\" r=\"3.5\"/>"));
    }

    fn limits(&self, svg: &mut String, report: &Report) {
        let Some(running) = &report.running else { return };
        let cap = running.limits.cap.map(|cap| self.y(cap));
        let warn = running.limits.warn.map(|warn| self.y(warn));
        let is_near = warn.zip(cap).is_some_and(|(warn, cap)| (warn - cap).abs() < NEAR);
        for (name, y, below) in [("cap", cap, false), ("warn", warn, is_near)] {
            let Some(y) = y else { continue };
            put(svg, &format!("<path class=\"{name}\" d=\"M{LEFT} {}H{RIGHT}\"/>", tenths(y)));
            let text = tenths(if below { y + 130 } else { y - 50 });
            put(svg, &format!("<text class=\"label {name}-text\" x=\"{}\" y=\"{text}\">{name}</text>", LEFT + 6));
        }
    }
}

fn put(svg: &mut String, element: &str) {
    svg.push_str(element);
    svg.push('\n');
}

/// Tenths as SVG writes them.
fn tenths(value: i128) -> String {
    if value % 10 == 0 { (value / 10).to_string() } else { format!("{}.{}", value / 10, (value % 10).abs()) }
}

/// A round amount of which five at most fit below the highest.
fn step(highest: Amount) -> Amount {
    let round = (0..=30).flat_map(|zeros| [1, 2, 5].map(|digit| digit * 10i128.pow(zeros)));
    let fits = |step: &i128| highest.micros() / step <= 5;
    round.into_iter().find(fits).map_or(highest, Amount::from_micros)
}
