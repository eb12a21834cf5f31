//! The sweep's report: every point, every fault, what came of it. One HTML file that needs nothing else, and a text.
//!
//! I/O: writes two files.

use super::{
    run::Outcome,
    wire::{Fault, Point},
};
use anyhow::Result;
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}\
table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}\
td.n{text-align:right;font-variant-numeric:tabular-nums}.good{color:#186a3b}.bad{color:#b00020;font-weight:600}.other{color:#8a6d00}\
code{font-size:.92em}ol{margin:0;padding-left:1.2rem}h2{margin-top:2.5rem}summary{cursor:pointer}";

/// One run, as the report tells it.
#[derive(Clone, Debug)]
pub struct Row {
    /// The story.
    pub scenario: String,
    /// What went wrong, and where; none for the run without a fault.
    pub fault: Option<(Point, Fault)>,
    /// What people did on the way, step by step; empty where the story says it all.
    pub changes: Vec<String>,
    /// The bug that was planted.
    pub bug: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
}

impl Row {
    /// In one word.
    pub fn verdict(&self) -> &'static str {
        match (&self.bug, self.outcome.breaches.is_empty(), self.outcome.reached) {
            (Some(_), false, _) => "caught",
            (Some(_), true, _) => "not caught",
            (None, false, _) => "BREACH",
            (None, true, false) => "not reached",
            (None, true, true) => "holds",
        }
    }

    fn class(&self) -> &'static str {
        match self.verdict() {
            "holds" | "caught" => "good",
            "not reached" => "other",
            _ => "bad",
        }
    }

    fn what(&self) -> (String, String) {
        match &self.fault {
            Some((point, fault)) => (point.to_string(), fault.to_string()),
            None if self.changes.is_empty() => ("-".to_owned(), "no fault".to_owned()),
            None => (format!("{} changes", self.changes.len()), "no fault".to_owned()),
        }
    }
}

/// What the whole sweep was.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Seed of the samples.
    pub seed: u64,
    /// Wall time.
    pub took: Duration,
    /// Every run.
    pub rows: Vec<Row>,
}

impl Sweep {
    /// Writes `sweep.html` and `sweep.txt`; gives the path of the first.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("sweep.txt"), self.text())?;
        let path = folder.join("sweep.html");
        std::fs::write(&path, self.html())?;
        Ok(path)
    }

    fn summary(&self) -> String {
        let count = |word: &str| self.rows.iter().filter(|row| row.verdict() == word).count();
        let slowest = self.rows.iter().map(|row| row.outcome.took).max().unwrap_or_default();
        format!(
            "{} runs in {} s, seed {}: {} hold, {} breach, {} not reached; of the planted bugs' runs {} caught one, {} did not; slowest run {:.1} s",
            self.rows.len(),
            self.took.as_secs(),
            self.seed,
            count("holds"),
            count("BREACH"),
            count("not reached"),
            count("caught"),
            count("not caught"),
            slowest.as_secs_f64()
        )
    }

    /// For terminals.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.summary());
        for row in &self.rows {
            let (point, fault) = row.what();
            let bug = row.bug.as_ref().map_or_else(String::new, |bug| format!(" [{bug}]"));
            let _ = writeln!(
                text,
                "{:<12} {:<16}{bug} {point:<58} {fault:<36} {:>5.1} s {} processes",
                row.verdict(),
                row.scenario,
                row.outcome.took.as_secs_f64(),
                row.outcome.processes
            );
            for change in &row.changes {
                let _ = writeln!(text, "    - {change}");
            }
            for (law, breach) in &row.outcome.breaches {
                let _ = writeln!(text, "    {law}: {breach}");
            }
        }
        text
    }

    fn html(&self) -> String {
        let mut page = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Fault sweep</title><style>{STYLE}</style><h1>Fault sweep</h1><p>{}</p>",
            escape(&self.summary())
        );
        page.push_str(
            "<p>Each line is one run of the real operator against a real API server and store: at the named point, the \
             named fault; then every law is checked over everything that was stored and sent. Where specs are changed, the \
             changes stand in its place, each with its moment: the end must be that of an object that wanted the last spec \
             at once.</p>",
        );
        let mut scenarios: Vec<&str> =
            self.rows.iter().filter(|row| row.bug.is_none()).map(|row| row.scenario.as_str()).collect();
        scenarios.dedup();
        for scenario in scenarios {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.bug.is_none() && row.scenario == scenario).collect();
            let _ = write!(page, "<h2>{}</h2>", escape(scenario));
            table(&mut page, &rows);
        }
        let planted: Vec<&Row> = self.rows.iter().filter(|row| row.bug.is_some()).collect();
        if !planted.is_empty() {
            page.push_str("<h2>Planted bugs</h2><p>The sweep itself is tested: each of these must be caught.</p>");
            table(&mut page, &planted);
        }
        page
    }
}

fn table(page: &mut String, rows: &[&Row]) {
    page.push_str("<table><tr><th>outcome<th>point<th>fault<th>seconds<th>processes<th>Jobs<th>writes</tr>");
    for row in rows {
        let (point, fault) = row.what();
        let bug = row.bug.as_ref().map_or_else(String::new, |bug| format!("<b>{}</b> ", escape(bug)));
        let point = if row.changes.is_empty() {
            format!("<code>{}</code>", escape(&point))
        } else {
            row.changes.iter().fold("<ol>".to_owned(), |list, change| list + "<li>" + &escape(change)) + "</ol>"
        };
        let _ = write!(
            page,
            "<tr><td class=\"{}\">{}<td>{bug}{}<td>{}<td class=\"n\">{:.1}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}</tr>",
            row.class(),
            row.verdict(),
            point,
            escape(&fault),
            row.outcome.took.as_secs_f64(),
            row.outcome.processes,
            row.outcome.jobs,
            row.outcome.writes.0
        );
        for (law, breach) in &row.outcome.breaches {
            let _ = write!(
                page,
                "<tr><td><td colspan=\"6\"><details><summary>{}</summary><pre>{}</pre></details></tr>",
                escape(law),
                escape(breach)
            );
        }
    }
    page.push_str("</table>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
