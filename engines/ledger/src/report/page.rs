//! A report as a page of HTML that stands alone.
//!
//! Names of models and budgets are whatever somebody wrote: [`escape`] stands between every text and the page, and a policy in
//! its head forbids scripts and everything from elsewhere should that ever fail.

use std::fmt::Write as _;

use super::{Line, Report, chart, per_run, share};
use crate::amount::Amount;

/// What the page may do: show itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
/// How it looks.
const STYLE: &str = include_str!("page.css");
/// Models in the list of bars; the others are one.
const MAX_BARS: usize = 8;
/// Longest name that is shown, characters.
const MAX_NAME: usize = 128;
/// How finely a bar is drawn.
const BAR: i128 = 1000;

/// The page.
pub(super) fn html(report: &Report) -> String {
    let (budget, period) = (escape(&report.budget), escape(&report.period.label));
    let lines = report.lines();
    let body = [
        headline(report, &budget, &period),
        tiles(report),
        curve(report),
        bars(report, &lines),
        table(report, &lines),
        basis(report),
        dispute(&budget, &period),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{budget}, {period}: AI costs</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
        body.concat()
    )
}

fn headline(report: &Report, budget: &str, period: &str) -> String {
    let state = if report.running.is_some() { "so far" } else { "the whole period" };
    format!(
        "<h1><bdi>{budget}</bdi>, {period}</h1>\n<p class=\"soft\">What AI jobs cost, {state}. All amounts in {}.</p>\n",
        escape(&report.currency)
    )
}

fn tiles(report: &Report) -> String {
    let mut tiles = String::from("<div class=\"tiles\">\n");
    let mut tile = |amount: String, what: String| {
        let _ = writeln!(tiles, "<div class=\"tile\"><b>{amount}</b><span>{what}</span></div>");
    };
    let cap = report.running.as_ref().and_then(|running| running.limits.cap);
    let of = cap.filter(|cap| *cap > Amount::ZERO).map(|cap| format!(", {} of the cap", percent(report.spent.total, cap)));
    tile(shown(report.spent.total), format!("spent{}", of.unwrap_or_default()));
    if let Some(running) = &report.running {
        tile(shown(running.reserved), "reserved for jobs that run".to_owned());
        if let Some(forecast) = &running.forecast {
            let (low, high) = (shown(forecast.low), shown(forecast.high));
            tile(shown(forecast.expected), format!("expected at the end ({low} to {high})"));
        }
        if let Some(cap) = running.limits.cap {
            let warn = running.limits.warn.map(|warn| format!(", warning at {}", shown(warn)));
            tile(shown(cap), format!("cap{}", warn.unwrap_or_default()));
        }
    }
    tiles + "</div>\n"
}

fn curve(report: &Report) -> String {
    let fan = report.running.as_ref().is_some_and(|running| running.forecast.is_some());
    let note = if fan { " The fan is where about nine of ten such periods end, the broken line what is expected." } else { "" };
    format!(
        "<section>\n<h2>Spent by day</h2>\n{}<p class=\"soft\">Added up from the first day on.{note}</p>\n</section>\n",
        chart::svg(report)
    )
}

fn bars(report: &Report, lines: &[Line]) -> String {
    let models: Vec<&Line> = lines.iter().filter(|line| !line.is_correction).collect();
    let Some(dearest) = models.first().map(|line| line.usage.amount).filter(|amount| *amount > Amount::ZERO) else {
        return "<section>\n<h2>Dearest models</h2>\n<p class=\"soft\">Nothing was spent on any model.</p>\n</section>\n"
            .to_owned();
    };
    let mut rows: Vec<(String, Amount)> =
        models.iter().take(MAX_BARS).map(|line| (escape(&line.model), line.usage.amount)).collect();
    if let Some(others) = models.get(MAX_BARS..).filter(|others| !others.is_empty()) {
        let sum = others.iter().map(|line| line.usage.amount).sum();
        rows.push((format!("{} more", others.len()), sum));
    }
    let longest = rows.iter().map(|(_, amount)| *amount).max().unwrap_or(dearest);
    let mut html = String::from("<section>\n<h2>Dearest models</h2>\n<table class=\"bars\">\n");
    for (model, amount) in rows {
        let width = (amount.max(Amount::ZERO).micros() * BAR / longest.micros()).max(2);
        let _ = writeln!(
            html,
            "<tr><td><bdi>{model}</bdi></td><td><svg class=\"bar\" viewBox=\"0 0 {BAR} 14\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
             <rect width=\"{width}\" height=\"14\"/></svg></td><td>{}</td><td>{}</td></tr>",
            shown(amount),
            percent(amount, report.spent.total)
        );
    }
    html + "</table>\n</section>\n"
}

fn table(report: &Report, lines: &[Line]) -> String {
    let mut html = String::from(
        "<section>\n<h2>By model</h2>\n<table>\n<thead><tr><th>Model</th><th>Spent</th><th>Runs</th><th>Per run</th><th>Share</th></tr></thead>\n<tbody>\n",
    );
    for line in lines {
        let (usage, name) = (line.usage, escape(&line.model));
        let runs = if line.is_correction { String::new() } else { grouped(&usage.runs.to_string()) };
        let each = per_run(usage).map(shown).unwrap_or_default();
        let share = percent(usage.amount, report.spent.total);
        let _ = writeln!(
            html,
            "<tr><td><bdi>{name}</bdi></td><td>{}</td><td>{runs}</td><td>{each}</td><td>{share}</td></tr>",
            shown(usage.amount)
        );
    }
    let total = shown(report.spent.total);
    let share = percent(report.spent.total, report.spent.total);
    let _ = writeln!(
        html,
        "</tbody>\n<tfoot><tr><td>All</td><td>{total}</td><td></td><td></td><td>{share}</td></tr></tfoot>\n</table>\n\
         <p class=\"soft\">A run is one attempt of a job, counted with each model that it used. Amounts are rounded here and exact in the CSV.</p>\n</section>"
    );
    html
}

fn basis(report: &Report) -> String {
    let mut rows = vec![
        ("Ledger page", report.head.sequence.to_string()),
        ("Its digest", escape(&report.head.digest)),
        ("Written", second(report.head.at)),
        ("Ledger", escape(&report.place)),
        ("Period", format!("{} until {}", second(report.period.start), second(report.period.end))),
        ("Basis", "metered: price of what the job asked for, times how long its container ran".to_owned()),
        ("Made", second(report.made)),
    ];
    if report.spent.adjusted != Amount::ZERO {
        rows.push(("Corrections", format!("{}, of what is spent", shown(report.spent.adjusted))));
    }
    let by_day = report.by_day().last().map(|(_, sum)| *sum).unwrap_or_default();
    if by_day != report.spent.total {
        let why = "the ledger does not have every day of this period any more, or the budget's calendar was changed within it";
        rows.push(("By day", format!("{} of {}: {why}", shown(by_day), shown(report.spent.total))));
    }
    let mut html = String::from("<section>\n<h2>What it stands on</h2>\n<dl>\n");
    for (name, value) in rows {
        let _ = writeln!(html, "<dt>{name}</dt><dd>{value}</dd>");
    }
    html + "</dl>\n</section>\n"
}

fn dispute(budget: &str, period: &str) -> String {
    format!(
        "<section>\n<h2>How to dispute a number</h2>\n\
         <p>Every number is worked out from the pages of the ledger. With all of them at hand, this is what was spent:</p>\n\
         <pre>jq -s '[.[].entries[] | select(.bookings) | select(any(.bookings[]; .budget==\"{budget}\" and .period==\"{period}\")) | .amount | tonumber] | add' *.json</pre>\n\
         <p>And what each title cost:</p>\n\
         <pre>jq -rs '[.[].entries[] | select(.fact==\"Settle\") | select(any(.bookings[]; .budget==\"{budget}\" and .period==\"{period}\"))] | group_by(.who.namespace, .who.name)[] | [.[0].who.namespace, .[0].who.name, (map(.amount | tonumber) | add)] | @csv' *.json</pre>\n\
         <p>An entry with <code>bound</code> is an upper bound that stands for what nobody knows. If an entry is wrong, keep its <code>key</code> \
         (namespace and name of the Job) and its page's number: they are what to ask about.</p>\n</section>\n"
    )
}

/// A text as it may stand between tags and in quotes: nothing in it is markup, turns the direction of what follows, or is longer
/// than a name.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for (nth, c) in text.chars().enumerate() {
        if nth == MAX_NAME {
            safe.push('…');
            break;
        }
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => safe.push('\u{FFFD}'),
            c if c.is_control() => safe.push('\u{FFFD}'),
            c => safe.push(c),
        }
    }
    safe
}

/// An amount for people: to the hundredth, and below one to the millionth.
pub(super) fn shown(amount: Amount) -> String {
    let small = amount.micros().abs() < 1_000_000 && amount != Amount::ZERO;
    grouped(&if small { amount.to_string() } else { format!("{amount:.2}") })
}

/// A decimal number with a comma between thousands.
pub(super) fn grouped(number: &str) -> String {
    let (sign, plain) = number.strip_prefix('-').map_or(("", number), |plain| ("-", plain));
    let (units, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut grouped = String::from(sign);
    for (nth, digit) in units.chars().enumerate() {
        if nth > 0 && (units.len() - nth) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

fn percent(part: Amount, whole: Amount) -> String {
    let parts = share(part, whole, 1000);
    format!("{:.1} %", Amount::from_micros(parts.micros() * 100))
}

fn second(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
