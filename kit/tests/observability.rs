//! What people see of the operator, checked against what it exports: alerts, dashboard, and the handbook's list of metrics.
//!
//! Reads files of the checkout.

#![allow(clippy::unwrap_used)] // a test that meets an error should end right there

use serde_json::Value;
use showrunner_kit::metrics::Metrics;
use showrunner_kit::telemetry::{self, LogFormat};
use showrunner_kit::traces;
use std::collections::BTreeSet;
use std::path::Path;

/// What Prometheus adds to the names of a histogram.
const OF_HISTOGRAM: [&str; 3] = ["_bucket", "_count", "_sum"];

fn read(path: &str) -> String {
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&at).unwrap_or_else(|error| panic!("{}: {error}", at.display()))
}

/// Every name that a scrape can have, and the name of its family: read from where they are defined, because a family
/// without a series is not in what is scraped.
fn exported() -> Vec<(String, String)> {
    let source = read("kit/src/metrics.rs");
    let block = source.split("\nmetrics! {\n").nth(1).unwrap().split("\n}\n").next().unwrap();
    let lines: Vec<&str> = block.lines().collect();
    let mut names = Vec::new();
    for definition in lines.chunks(2) {
        let [field, texts] = definition else { panic!("a field, and its name and help: {definition:?}") };
        let family = texts.trim().strip_prefix('"').and_then(|rest| rest.split('"').next()).unwrap();
        if field.contains("Histogram") {
            names.extend(OF_HISTOGRAM.map(|end| (format!("{family}{end}"), family.to_owned())));
        } else if field.contains("Counter") {
            names.push((format!("{family}_total"), family.to_owned()));
        } else {
            assert!(field.contains("Gauge"), "{field}");
            names.push((family.to_owned(), family.to_owned()));
        }
    }
    assert!(names.len() > 30, "{names:?}");
    names
}

#[test]
fn what_is_read_from_the_source_is_what_a_scrape_says() {
    let known = exported();
    let metrics = Metrics::new();
    metrics.leading("showrunner-operator", true);
    let text = metrics.render();
    let series: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(series.len() >= 2, "{text}");
    for line in series {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(known.iter().any(|(exported, _)| exported == name), "{line}");
    }
}

/// The metrics that a query names: words that are followed by a selector, a range or the end of a call, and are no label.
fn metrics_of(query: &str) -> BTreeSet<String> {
    // Labels stand in braces or behind by (...), and texts in quotes.
    let mut plain = String::new();
    let mut rest = query;
    while let Some(at) = rest.find(['{', '"']) {
        plain.push_str(&rest[..at]);
        let close = if rest[at..].starts_with('{') { '}' } else { '"' };
        let end = rest[at + 1..].find(close).expect("what is opened is closed") + at + 2;
        rest = &rest[end..];
    }
    plain.push_str(rest);
    let mut words = BTreeSet::new();
    let mut skip = false;
    for word in plain.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
        let (name, after) = word.split_at(word.trim_end_matches(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).len());
        skip |= matches!(name, "by" | "without");
        // Every metric here has more than one word in its name; functions and operators with an underscore are these.
        if !skip && name.contains('_') && !matches!(name, "histogram_quantile" | "max_over_time" | "__rate_interval") {
            words.insert(name.to_owned());
        }
        if after.contains(')') {
            skip = false;
        }
    }
    words
}

fn assert_exported(what: &str, query: &str) {
    let known = exported();
    let named = metrics_of(query);
    assert!(!named.is_empty(), "{what} asks for no metric: {query}");
    for name in named {
        assert!(known.iter().any(|(exported, _)| *exported == name), "{what} asks for {name}, which nobody exports: {query}");
    }
}

/// In a process without another subscriber, as the operator is: what one of them wants, all have to look at.
#[test]
fn without_traces_their_spans_are_disabled() {
    telemetry::init("info", LogFormat::Json, None).unwrap();
    assert!(traces::step("decide").is_disabled());
    assert!(!tracing::info_span!("anything else").is_disabled());
}

#[test]
fn names_of_metrics_are_found_in_a_query() {
    let query =
        r#"histogram_quantile(0.99, sum by (le, some_label) (rate(a_b_bucket{x_y="c_d"}[5m]))) > 3 or (sum(e_f) or vector(0))"#;
    assert_eq!(metrics_of(query), BTreeSet::from(["a_b_bucket".to_owned(), "e_f".to_owned()]));
}

#[test]
fn every_alert_asks_for_metrics_that_are_exported_and_says_what_to_do() {
    let rules: Value = serde_saphyr::from_str(&read("charts/showrunner/files/alerts.yaml")).unwrap();
    let alerts: Vec<&Value> = rules["groups"].as_array().unwrap().iter().flat_map(|g| g["rules"].as_array().unwrap()).collect();
    assert!(alerts.len() >= 5);
    let mut names = BTreeSet::new();
    for alert in alerts {
        let name = alert["alert"].as_str().unwrap();
        assert!(names.insert(name), "{name} is there twice");
        assert_exported(name, alert["expr"].as_str().unwrap());
        for part in ["summary", "description"] {
            assert!(alert["annotations"][part].as_str().is_some_and(|text| text.len() > 10), "{name} has no {part}");
        }
        assert!(matches!(alert["labels"]["severity"].as_str(), Some("critical" | "warning" | "info")), "{name}");
    }
    let page = read("docs/operations.md");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "docs/operations.md does not list {name}");
    }
}

#[test]
fn every_panel_of_the_dashboard_asks_for_metrics_that_are_exported() {
    let dashboard: Value = serde_json::from_str(&read("charts/showrunner/dashboards/showrunner.json")).unwrap();
    let mut queries = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_exported(panel["title"].as_str().unwrap(), target["expr"].as_str().unwrap());
            queries += 1;
        }
    }
    assert!(queries >= 15, "only {queries}");
}

#[test]
fn the_handbook_lists_every_metric_and_no_other() {
    let page = read("docs/operations.md");
    let section = page.split("\n## Metrics\n").nth(1).unwrap().split("\n## ").next().unwrap();
    // The first column of the table: names in backticks, with their labels in braces.
    let cells = section.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let listed: BTreeSet<String> = cells
        .flat_map(|cell| {
            cell.split('`').skip(1).step_by(2).map(|name| name.split('{').next().unwrap().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    let known = exported();
    for name in &listed {
        assert!(known.iter().any(|(exported, family)| exported == name || family == name), "nobody exports {name}");
    }
    for (name, family) in &known {
        assert!(listed.contains(name) || listed.contains(family), "docs/operations.md does not list {name}");
    }
}
