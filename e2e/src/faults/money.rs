//! What must hold of money in every run that has a budget: predicates over the ledger's pages as they lie in the store, the
//! stored versions of Jobs and the requests through the proxies.
//!
//! Pure. Shares no code with the operator: sums, prices and the chain of pages are worked out here a second time.

use super::laws::Record;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, fmt::Write as _};

const RECORDS: &str = "showrunner.dev/pod-records";
const RATE: &str = "showrunner.dev/hourly-rate";
const ESTIMATE: &str = "showrunner.dev/cost-estimate";
/// The folder of the ledger, below the run's prefix.
pub const FOLDER: &str = "ledger";

/// A run's budget and what became of its ledger.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The highest cap that the budget ever had, in millionths.
    pub cap: i128,
    /// The pages as they lie in the store, in order.
    pub pages: Vec<Vec<u8>>,
    /// How many there were when the limits became known, where they were not from the beginning.
    pub blind: Option<usize>,
}

/// One entry, with the number of its page.
struct Entry<'a> {
    page: u64,
    key: &'a str,
    fact: &'a str,
    all: &'a Value,
}

impl Account {
    fn parsed(&self) -> Vec<Value> {
        self.pages.iter().map(|page| serde_json::from_slice(page).unwrap_or_default()).collect()
    }
}

fn entries(pages: &[Value]) -> Vec<Entry<'_>> {
    let of = |page: &'_ Value| page["sequence"].as_u64().unwrap_or_default();
    let all = pages.iter().flat_map(|page| page["entries"].as_array().into_iter().flatten().map(move |entry| (of(page), entry)));
    all.map(|(page, entry)| Entry {
        page,
        key: entry["key"].as_str().unwrap_or_default(),
        fact: entry["fact"].as_str().unwrap_or_default(),
        all: entry,
    })
    .collect()
}

/// Millionths of a decimal; absurdly many where it is none.
fn micros(text: &Value) -> i128 {
    let Some(text) = text.as_str() else { return i128::MAX / 4 };
    let (units, part) = text.split_once('.').unwrap_or((text, ""));
    let value = units.parse::<i128>().ok().zip(format!("{part:0<6}").parse::<i128>().ok());
    value.map_or(i128::MAX / 4, |(units, part)| units * 1_000_000 + part)
}

/// Keys of a run's Jobs, with the last version that still had our finalizer.
fn jobs(record: &Record) -> BTreeMap<String, &Value> {
    let mut jobs = BTreeMap::new();
    for version in record.versions.iter().filter(|version| version.resource == "jobs") {
        let namespace = version.object["metadata"]["namespace"].as_str().unwrap_or_default();
        if !version.our_finalizers().is_empty() {
            jobs.insert(format!("{namespace}/{}", version.name()), version.object.as_ref());
        }
    }
    jobs
}

/// Jobs that were ever let run.
fn ran(record: &Record) -> Vec<String> {
    let mut ran: Vec<String> = Vec::new();
    for version in record.versions.iter().filter(|version| version.resource == "jobs") {
        let namespace = version.object["metadata"]["namespace"].as_str().unwrap_or_default();
        let key = format!("{namespace}/{}", version.name());
        if version.object["spec"]["suspend"] != true && !version.deleted && !ran.contains(&key) {
            ran.push(key);
        }
    }
    ran
}

/// AB1: un-suspended implies reserved, and what is spent and reserved is within the cap at every admission.
pub(super) fn reserved_first(record: &Record) -> Vec<String> {
    let Some(account) = &record.account else { return Vec::new() };
    let pages = account.parsed();
    let entries = entries(&pages);
    let mut breaches = Vec::new();
    for key in ran(record) {
        let Some(reserved) = entries.iter().find(|entry| entry.key == key && entry.fact == "Reserve") else {
            breaches.push(format!("Job {key} was let run, and the ledger has no reservation for it"));
            continue;
        };
        let name = key.rsplit('/').next().unwrap_or_default();
        let page = format!("{:012}.json", reserved.page);
        let wrote = record.journal.iter().filter(|entry| entry.point.verb == "put" && entry.path.ends_with(&page));
        let wrote = wrote.filter_map(|entry| entry.sent).min();
        let let_run = record
            .journal
            .iter()
            .filter(|entry| entry.point.verb == "patch" && entry.path.ends_with(&format!("/jobs/{name}")))
            .filter(|entry| entry.body["spec"]["suspend"] == false)
            .filter_map(|entry| entry.sent)
            .min();
        if let Some(let_run) = let_run
            && wrote.is_none_or(|wrote| wrote > let_run)
        {
            breaches.push(format!("Job {key} was let run before page {} was written, which reserves for it", reserved.page));
        }
    }
    let (mut open, mut spent): (BTreeMap<&str, i128>, i128) = (BTreeMap::new(), 0);
    for entry in &entries {
        match entry.fact {
            "Reserve" => {
                open.entry(entry.key).or_insert_with(|| micros(&entry.all["amount"]));
                let used = spent + open.values().sum::<i128>();
                if entry.all["forced"] != true && used > account.cap {
                    breaches.push(format!("page {} lets {} in beyond the cap: {used} of {}", entry.page, entry.key, account.cap));
                }
            }
            "Release" => drop(open.remove(entry.key)),
            "Settle" => {
                open.remove(entry.key);
                spent += micros(&entry.all["amount"]);
            }
            _ => {}
        }
    }
    breaches
}

/// AB2: a charge is applied once, and is what the Job's own records come to, to the millionth.
pub(super) fn charged_exactly(record: &Record) -> Vec<String> {
    let Some(account) = &record.account else { return Vec::new() };
    let pages = account.parsed();
    let entries = entries(&pages);
    let mut breaches = Vec::new();
    let jobs = jobs(record);
    for key in ran(record) {
        let settled: Vec<&Entry<'_>> = entries.iter().filter(|entry| entry.key == key && entry.fact == "Settle").collect();
        let [settled] = settled.as_slice() else {
            breaches.push(format!("Job {key} was charged {} times", settled.len()));
            continue;
        };
        let Some(job) = jobs.get(&key) else { continue };
        let annotations = &job["metadata"]["annotations"];
        let bound = micros(&annotations[ESTIMATE]);
        let records: Vec<Value> = serde_json::from_str(annotations[RECORDS].as_str().unwrap_or("[]")).unwrap_or_default();
        let at = |value: &Value| value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let rate = micros(&annotations[RATE]);
        let cost = |record: &Value| match (at(&record["started"]), at(&record["finished"])) {
            (None, _) => 0,
            (Some(started), Some(finished)) => {
                let millis = i128::from(finished.as_millisecond() - started.as_millisecond()).max(1000);
                ((rate * millis + 3_599_999) / 3_600_000).min(bound)
            }
            (Some(_), None) => bound,
        };
        let metered = if records.is_empty() { bound } else { records.iter().map(cost).sum() };
        let charged = micros(&settled.all["amount"]);
        let wanted = if settled.all["bound"] == true { bound } else { metered };
        if charged != wanted {
            breaches.push(format!("Job {key} was charged {charged} millionths, and its records come to {wanted}"));
        }
        let parts: i128 = settled.all["parts"].as_array().into_iter().flatten().map(|part| micros(&part["amount"])).sum();
        if settled.all["parts"].is_array() && parts != charged {
            breaches.push(format!("the parts of what Job {key} cost come to {parts}, not to {charged}"));
        }
    }
    breaches
}

/// AB3: the pages follow each other without a gap, each names the digest of the one before it, and at the end nothing is reserved.
pub(super) fn chained(record: &Record) -> Vec<String> {
    let Some(account) = &record.account else { return Vec::new() };
    let mut breaches = Vec::new();
    let mut before = "none".to_owned();
    for (index, bytes) in account.pages.iter().enumerate() {
        let page: Value = serde_json::from_slice(bytes).unwrap_or_default();
        if page["sequence"] != index as u64 + 1 {
            breaches.push(format!("page {} says that it is page {}", index + 1, page["sequence"]));
        }
        if page["previous"] != before.as_str() {
            breaches.push(format!("page {} does not follow the page before it", index + 1));
        }
        before = Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
    }
    let pages = account.parsed();
    let mut open: Vec<&str> = Vec::new();
    for entry in entries(&pages) {
        match entry.fact {
            "Reserve" if !open.contains(&entry.key) => open.push(entry.key),
            "Release" | "Settle" => open.retain(|key| *key != entry.key),
            _ => {}
        }
    }
    breaches.extend(open.into_iter().map(|key| format!("{key} is still reserved at the end")));
    breaches
}

/// AB5: while a budget's limits are not known, nothing is let in.
pub(super) fn blind_waits(record: &Record) -> Vec<String> {
    let Some(account) = &record.account else { return Vec::new() };
    let Some(blind) = account.blind else { return Vec::new() };
    let pages = account.parsed();
    let early = entries(&pages).into_iter().filter(|entry| entry.fact == "Reserve" && entry.page <= blind as u64);
    early.map(|entry| format!("page {} lets {} in while the limits are not known", entry.page, entry.key)).collect()
}

/// AB6: bookings are a function of the page's time (stories have months in UTC), and time never goes back.
pub(super) fn booked_by_time(record: &Record) -> Vec<String> {
    let Some(account) = &record.account else { return Vec::new() };
    let mut breaches = Vec::new();
    let mut before = String::new();
    for page in account.parsed() {
        let (at, sequence) = (page["at"].as_str().unwrap_or_default().to_owned(), &page["sequence"]);
        let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
        if time(&at).is_none() || (!before.is_empty() && time(&at) < time(&before)) {
            breaches.push(format!("page {sequence} is of {at}, and the one before of {before}"));
        }
        for booking in
            page["entries"].as_array().into_iter().flatten().flat_map(|entry| entry["bookings"].as_array().into_iter().flatten())
        {
            let fits = |field: &str, length: usize| booking[field].as_str() == at.get(..length);
            if !fits("period", 7) || !fits("day", 10) {
                breaches.push(format!("page {sequence} of {at} books to {booking}"));
            }
        }
        before = at;
    }
    breaches
}

/// AB7: no amount is negative, and what a Job cost that did its work is told apart by models.
pub(super) fn attributed(record: &Record) -> Vec<String> {
    let Some(account) = &record.account else { return Vec::new() };
    let (pages, jobs) = (account.parsed(), jobs(record));
    let mut breaches = Vec::new();
    for entry in entries(&pages) {
        let parts = entry.all["parts"].as_array().map_or(&[][..], Vec::as_slice);
        let negative = |amount: &Value| amount.as_str().is_some_and(|text| text.starts_with('-'));
        if entry.fact != "Adjust" && (negative(&entry.all["amount"]) || parts.iter().any(|part| negative(&part["amount"]))) {
            breaches.push(format!("page {} has a negative amount for {}", entry.page, entry.key));
        }
        let done = jobs.get(entry.key).is_some_and(|job| {
            let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
            conditions.into_iter().any(|condition| condition["type"] == "Complete" && condition["status"] == "True")
        });
        if entry.fact == "Settle" && done && parts.is_empty() {
            breaches.push(format!("what {} cost belongs to no model, and it did its work", entry.key));
        }
    }
    breaches
}
