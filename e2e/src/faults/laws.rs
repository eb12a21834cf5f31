//! What must hold in every run, whatever goes wrong: predicates over what was stored and sent.
//!
//! Pure. Shares no code with the operator: names, keys and orders are worked out here a second time.

use super::{
    history::{Audited, Version},
    money::{self, Account},
    wallet,
    wire::Entry,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// Most that a status may hold, bytes.
const MAX_STATUS: usize = 32 * 1024;
/// Events that one story may cost, and how many more each process of the operator that it takes.
const EVENTS: (usize, usize) = (8, 3);
/// Writes that one story may cost, and how many more each process.
const WRITES: (usize, usize) = (60, 30);
/// Writes and Events that each change of mind may cost: what is begun is ended, and something else is begun.
const CHANGE: (usize, usize) = (30, 5);
const ATTEMPT: &str = "showrunner.dev/attempt";
const UNIT: &str = "showrunner.dev/unit-key";
const ADMITTED: &str = "showrunner.dev/admitted-at";
const ESTIMATE: &str = "showrunner.dev/cost-estimate";
const RECORDS: &str = "showrunner.dev/pod-records";
const ORDER: &str = "showrunner.dev/work-order";
const SETTLE: &str = "showrunner.dev/settle";
const OBSERVE: &str = "showrunner.dev/observe";
const MANAGER: &str = "showrunner";

/// All that is known of one run.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Every version of every object, in the order in which they were stored.
    pub versions: Vec<Version>,
    /// Every request through the proxies.
    pub journal: Vec<Entry>,
    /// The operator's requests by the API server's own account.
    pub audit: Vec<Audited>,
    /// Every spec that the test wrote, as the API server stored it.
    pub specs: Vec<Value>,
    /// How many different manifests this story publishes.
    pub editions: usize,
    /// How many Jobs it takes.
    pub jobs: usize,
    /// How often people change their mind.
    pub changes: usize,
    /// Steps that a Job was asked for and that an earlier one had committed, in words.
    pub redone: Vec<String>,
    /// Processes of the operator that it took.
    pub processes: usize,
    /// Writes of the operator after everything had come to its end.
    pub writes_at_rest: Vec<String>,
    /// Keys in the store at the end, below the run's prefix.
    pub keys: Vec<String>,
    /// The run's budget with its ledger, where it has one.
    pub account: Option<Account>,
}

/// Looks at one run; what it returns are breaches, in words.
type Law = fn(&Record) -> Vec<String>;

/// The laws, by name.
pub const LAWS: [(&str, Law); 37] = [
    ("at rest nothing is written", rests),
    ("GJ1: names are functions of owner, unit and attempt", names),
    ("GJ2: a Job is born suspended, held, priced and with an end", wallet::born_whole),
    ("an attempt has one Job, ever", one_job),
    ("no more Jobs than the story takes", no_more_jobs),
    ("attempts count up", attempts_count_up),
    ("the intent is stored before the Job", intent_first),
    ("no Job runs that was not admitted", admitted_first),
    ("a Job is admitted once", admitted_once),
    ("a finished step is not done again", nothing_redone),
    ("what is committed is asked of no Job again", commits_kept),
    ("a pod is charged once", charged_once),
    ("a pod is recorded before it is let go", recorded_first),
    ("GJ4: a Job is settled after its harvest and with all its pods", settled_last),
    ("a finished step keeps its result", results_kept),
    ("what is published stays, and no more than the story's editions", published_once),
    ("GJ3: the manifest is in the store before the status names it", manifest_first),
    ("every place of the catalogue is one that a status told of first, and none is left out", places_told),
    ("every write has its precondition", preconditions),
    ("a process that was overtaken changes nothing", overtaken),
    ("the status is bounded", bounded),
    ("observedGeneration never goes back", generations),
    ("transition times never go back and move with the status only", transitions),
    ("the spec is what people wrote", specs),
    ("AB8: the operator writes no spec of others", no_spec),
    ("no storm of events or writes", no_storm),
    ("GJ5: of one owner, one Job has pods at a time", wallet::one_at_a_time),
    ("GJ6: pods run no longer than what was reserved for", wallet::time_bounded),
    ("GJ7: after so many losses nothing more is born for spot machines", wallet::losses_counted),
    ("GJ8: when an owner is gone, so is its work, and what was reserved for it", wallet::cancelled),
    ("AB1: nothing runs before its money is reserved, and no admission goes beyond the cap", money::reserved_first),
    ("AB2: each is charged once, what its records come to", money::charged_exactly),
    ("AB3: the ledger is whole, and nothing stays reserved", money::chained),
    ("AB5: while the limits are not known, batch work waits", money::blind_waits),
    ("AB6: what is charged is booked to the period and day of its page, and pages never go back in time", money::booked_by_time),
    ("AB7: no amount is negative, and what work that was done cost belongs to models", money::attributed),
    ("AB9: nothing is changed of a Job by which it could use more than was reserved", wallet::never_more),
];

/// Every breach of every law, with the law's name.
pub fn breaches(record: &Record) -> Vec<(&'static str, String)> {
    LAWS.iter().flat_map(|(name, law)| law(record).into_iter().map(|breach| (*name, breach))).collect()
}

impl Record {
    fn of<'a>(&'a self, resource: &'a str) -> impl Iterator<Item = &'a Version> {
        self.versions.iter().filter(move |version| version.resource == resource)
    }

    /// Versions of our own kinds.
    pub(crate) fn owners(&self) -> impl Iterator<Item = &Version> {
        self.versions.iter().filter(|version| version.is_ours())
    }

    fn jobs(&self) -> BTreeMap<&str, Vec<&Version>> {
        lives(self.of("jobs"))
    }

    /// Jobs by their creation, first version only.
    pub fn births(&self) -> Vec<&Version> {
        let mut births: Vec<&Version> = self.jobs().into_values().filter_map(|life| life.first().copied()).collect();
        births.sort_by_key(|version| version.at);
        births
    }

    /// The last version of an owner before this moment.
    fn owner_before(&self, uid: &str, at: u64) -> Option<&Version> {
        self.owners().filter(|version| version.uid() == uid && version.at < at).last()
    }
}

/// The versions of each object, by UID.
fn lives<'a>(versions: impl Iterator<Item = &'a Version>) -> BTreeMap<&'a str, Vec<&'a Version>> {
    let mut lives: BTreeMap<&str, Vec<&Version>> = BTreeMap::new();
    for version in versions {
        lives.entry(version.uid()).or_default().push(version);
    }
    lives
}

pub(super) fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    object["metadata"]["annotations"][name].as_str().unwrap_or_default()
}

pub(crate) fn controller(object: &Value) -> &str {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners
        .into_iter()
        .flatten()
        .find(|owner| owner["controller"] == true)
        .and_then(|owner| owner["uid"].as_str())
        .unwrap_or_default()
}

fn has_finalizer(object: &Value, name: &str) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|all| all.iter().any(|finalizer| finalizer == name))
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

pub(super) fn is_suspended(object: &Value) -> bool {
    object["spec"]["suspend"] == true
}

fn number(object: &Value) -> i64 {
    annotation(object, ATTEMPT).parse().unwrap_or(-1)
}

/// Pods that a Job has on record.
pub(super) fn recorded(job: &Value) -> Vec<String> {
    let records: Vec<Value> = serde_json::from_str(annotation(job, RECORDS)).unwrap_or_default();
    records.iter().filter_map(|record| Some(record["pod"].as_str()?.to_owned())).collect()
}

fn rests(record: &Record) -> Vec<String> {
    record.writes_at_rest.clone()
}

fn names(record: &Record) -> Vec<String> {
    let wrong = |job: &&Version| {
        let mut hash = Sha256::new();
        for part in [controller(&job.object), annotation(&job.object, UNIT), annotation(&job.object, ATTEMPT)] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digits = hash.finalize().iter().fold(String::new(), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        });
        let wanted = format!("sr-{}", &digits[..24]);
        (job.name() != wanted).then(|| format!("Job {} should be called {wanted}", job.name()))
    };
    record.births().iter().filter_map(wrong).collect()
}

fn one_job(record: &Record) -> Vec<String> {
    let mut by_name: BTreeMap<(&str, i64), BTreeSet<&str>> = BTreeMap::new();
    for job in record.births() {
        by_name.entry((controller(&job.object), number(&job.object))).or_default().insert(job.uid());
    }
    let twice = by_name.into_iter().filter(|(_, uids)| uids.len() > 1);
    twice.map(|((_, number), uids)| format!("attempt {number} had {} Jobs", uids.len())).collect()
}

fn no_more_jobs(record: &Record) -> Vec<String> {
    let count = record.births().len();
    (count > record.jobs).then(|| format!("{count} Jobs were made, the story takes {}", record.jobs)).into_iter().collect()
}

fn attempts_count_up(record: &Record) -> Vec<String> {
    let mut breaches = Vec::new();
    for life in lives(record.owners()).into_values() {
        let mut last: Option<(String, i64)> = None;
        for version in life {
            let attempt = &version.object["status"]["attempt"];
            let (Some(job), Some(number)) = (attempt["job"].as_str(), attempt["number"].as_i64()) else { continue };
            if let Some((before, highest)) = &last
                && before != job
                && number <= *highest
            {
                breaches.push(format!("attempt {number} follows attempt {highest}"));
            }
            last = Some((job.to_owned(), number));
        }
    }
    breaches
}

fn intent_first(record: &Record) -> Vec<String> {
    let wrong = |job: &&Version| {
        let mut earlier = record.owners().filter(|owner| owner.uid() == controller(&job.object) && owner.at < job.at);
        let intended = earlier.any(|owner| owner.object["status"]["attempt"]["job"] == job.name());
        (!intended).then(|| format!("Job {} was made and no earlier status says that it would be", job.name()))
    };
    record.births().iter().filter_map(wrong).collect()
}

fn admitted_first(record: &Record) -> Vec<String> {
    let mut breaches = Vec::new();
    for life in record.jobs().into_values() {
        let Some(started) = life.iter().find(|version| !is_suspended(&version.object) && !version.deleted) else { continue };
        let job = started.name();
        if life.first().is_some_and(|first| first.at == started.at) {
            breaches.push(format!("Job {job} was not suspended when it was made"));
        }
        for name in [ADMITTED, ESTIMATE] {
            if annotation(&started.object, name).is_empty() {
                breaches.push(format!("Job {job} runs without {name}"));
            }
        }
        let owner = record.owner_before(controller(&started.object), started.at);
        let attempt = owner.map(|owner| &owner.object["status"]["attempt"]);
        if !attempt.is_some_and(|attempt| attempt["job"] == job && attempt["costEstimate"].is_string()) {
            breaches.push(format!("Job {job} runs and the status does not have it with its cost: {attempt:?}"));
        }
        let sealed = attempt.and_then(|attempt| attempt["seal"].as_str()).is_some_and(|seal| seal.contains(started.uid()));
        if !sealed || !attempt.is_some_and(|attempt| attempt["admitted"].is_string()) {
            breaches
                .push(format!("Job {job} runs and the status does not say that it is the one, and was admitted: {attempt:?}"));
        }
    }
    breaches
}

fn admitted_once(record: &Record) -> Vec<String> {
    let mut breaches = Vec::new();
    for life in record.jobs().into_values() {
        let starts = life.windows(2).filter(|pair| is_suspended(&pair[0].object) && !is_suspended(&pair[1].object)).count();
        let stamps: BTreeSet<&str> = life.iter().map(|version| annotation(&version.object, ADMITTED)).collect();
        let stamps = stamps.into_iter().filter(|stamp| !stamp.is_empty()).count();
        if starts > 1 || stamps > 1 {
            breaches.push(format!("Job {} was let run {starts} times, admitted {stamps} times", life[0].name()));
        }
    }
    breaches
}

fn nothing_redone(record: &Record) -> Vec<String> {
    let mut breaches = Vec::new();
    for job in record.births() {
        let order: Value = serde_json::from_str(annotation(&job.object["spec"]["template"], ORDER)).unwrap_or_default();
        let Some(owner) = record.owner_before(controller(&job.object), job.at) else { continue };
        let done = |key: &Value| {
            let steps = owner.object["status"]["steps"].as_array();
            let is_over = |step: &Value| step["state"] == "Done" || step["state"] == "Skipped";
            steps.into_iter().flatten().any(|step| is_over(step) && step["key"] == *key)
        };
        for step in order["steps"].as_array().into_iter().flatten().filter(|step| done(&step["key"])) {
            breaches.push(format!("Job {} does {} again", job.name(), step["step"]));
        }
    }
    breaches
}

fn commits_kept(record: &Record) -> Vec<String> {
    record.redone.clone()
}

fn charged_once(record: &Record) -> Vec<String> {
    let mut breaches = BTreeSet::new();
    for life in record.jobs().into_values() {
        let mut known: Vec<String> = Vec::new();
        for version in life {
            let pods = recorded(&version.object);
            let unique: BTreeSet<&String> = pods.iter().collect();
            if unique.len() < pods.len() {
                breaches.insert(format!("Job {} has a pod on record twice: {pods:?}", version.name()));
            }
            if known.iter().any(|pod| !pods.contains(pod)) {
                breaches.insert(format!("Job {} lost a record: {known:?}, then {pods:?}", version.name()));
            }
            known = pods;
        }
    }
    breaches.into_iter().collect()
}

fn recorded_first(record: &Record) -> Vec<String> {
    let mut breaches = Vec::new();
    let jobs = record.jobs();
    for life in lives(record.of("pods")).into_values() {
        let Some(first) = life.first() else { continue };
        let freed = life.iter().find(|version| version.deleted || !has_finalizer(&version.object, OBSERVE));
        let Some(freed) = freed.filter(|_| has_finalizer(&first.object, OBSERVE)) else { continue };
        let job = jobs.get(controller(&first.object)).and_then(|life| life.iter().rfind(|job| job.at < freed.at));
        // Of a Job that is gone there is nothing to write on.
        let Some(job) = job.filter(|job| !job.deleted) else { continue };
        if !recorded(&job.object).iter().any(|pod| pod == first.name()) {
            breaches.push(format!("pod {} was let go and Job {} has no record of it", first.name(), job.name()));
        }
    }
    breaches
}

fn settled_last(record: &Record) -> Vec<String> {
    let mut breaches = Vec::new();
    for (uid, life) in record.jobs() {
        let settled = life.iter().find(|version| !has_finalizer(&version.object, SETTLE));
        let Some(settled) = settled else { continue };
        let (job, owner) = (settled.name(), record.owner_before(controller(&settled.object), settled.at));
        let harvested = owner.is_some_and(|owner| {
            let past = owner.object["status"]["history"].as_array();
            is_deleting(&owner.object) || past.into_iter().flatten().any(|past| past["job"] == job)
        });
        if !harvested {
            breaches.push(format!("Job {job} was settled before its harvest was stored"));
        }
        let on_record = recorded(&settled.object);
        let pods = record.of("pods").filter(|pod| pod.at < settled.at && controller(&pod.object) == uid);
        let ran = |pod: &&Version| {
            let statuses = pod.object["status"]["containerStatuses"].as_array();
            statuses
                .into_iter()
                .flatten()
                .any(|status| !status["state"]["running"].is_null() || !status["state"]["terminated"]["startedAt"].is_null())
        };
        let left_out: BTreeSet<&str> =
            pods.filter(ran).map(Version::name).filter(|pod| !on_record.iter().any(|known| known == pod)).collect();
        for pod in left_out {
            breaches.push(format!("Job {job} was settled without the cost of pod {pod}"));
        }
    }
    breaches
}

fn results_kept(record: &Record) -> Vec<String> {
    let mut breaches = Vec::new();
    for life in lives(record.owners()).into_values() {
        for pair in life.windows(2) {
            let (before, after) = (&pair[0].object["status"]["steps"], &pair[1].object["status"]["steps"]);
            for step in before.as_array().into_iter().flatten().filter(|step| step["state"] == "Done") {
                let now = after.as_array().into_iter().flatten().find(|now| now["name"] == step["name"]);
                // Another spec may ask for something else.
                let asked =
                    pair[0].object["spec"] != pair[1].object["spec"] || now.is_none_or(|now| now["wanted"] != step["wanted"]);
                if !asked && now.is_some_and(|now| now["result"] != step["result"] || now["state"] != "Done") {
                    breaches.push(format!("{} was done and is not any more", step["name"]));
                }
            }
        }
    }
    breaches
}

fn published_once(record: &Record) -> Vec<String> {
    let mut breaches = Vec::new();
    for life in lives(record.owners()).into_values() {
        let digests: Vec<&Value> = life.iter().map(|version| &version.object["status"]["published"]["digest"]).collect();
        if digests.windows(2).any(|pair| !pair[0].is_null() && pair[1].is_null()) {
            breaches.push("what was published is not any more".to_owned());
        }
        let mut editions = digests.clone();
        editions.dedup();
        let editions = editions.into_iter().filter(|digest| !digest.is_null()).count();
        if editions > record.editions {
            breaches.push(format!("{editions} editions were published, the story has {}", record.editions));
        }
    }
    breaches
}

fn manifest_first(record: &Record) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut told = BTreeSet::new();
    for entry in &record.journal {
        let digest = entry.body["status"]["published"]["digest"].as_str();
        let (Some(digest), Some(sent)) = (digest.filter(|digest| !told.contains(*digest)), entry.sent) else { continue };
        told.insert(digest);
        let file = format!("/{}.json", digest.trim_start_matches("sha256:"));
        let stored = record.journal.iter().any(|put| {
            let done = put.answered.is_some_and(|(at, status)| at < sent && matches!(status, 200 | 412));
            put.point.verb == "put" && put.path.ends_with(&file) && done
        });
        if !stored {
            breaches.push(format!("the status was to name {digest} and the store had not said that it has it"));
        }
        if !record.keys.iter().any(|key| key.ends_with(&file)) {
            breaches.push(format!("the status names {digest}, which is not in the store"));
        }
    }
    let stored = record.owners().filter_map(|version| version.object["status"]["published"]["digest"].as_str());
    for digest in stored.collect::<BTreeSet<_>>().into_iter().filter(|digest| !told.contains(digest)) {
        breaches.push(format!("{digest} is published and no request said so"));
    }
    breaches
}

fn places_told(record: &Record) -> Vec<String> {
    let place = |key: &str| key.contains("/catalogue/").then(|| key.rsplit_once("/entries/")?.1.parse::<u64>().ok()).flatten();
    let mut breaches = Vec::new();
    let taken: BTreeSet<u64> = record.keys.iter().filter_map(|key| place(key)).collect();
    if taken.last().is_some_and(|last| last + 1 != taken.len() as u64) {
        breaches.push(format!("the places {taken:?} have a gap"));
    }
    for entry in record.journal.iter().filter(|entry| entry.point.verb == "put") {
        let (Some(put), Some(sent)) = (place(&entry.path), entry.sent) else { continue };
        let told = record.journal.iter().any(|told| {
            let before = told.sent.is_some_and(|earlier| earlier < sent);
            before && told.body["status"]["catalogue"]["position"] == put
        });
        if !told {
            breaches.push(format!("place {put} was written before a status told of it"));
        }
    }
    breaches
}

fn preconditions(record: &Record) -> Vec<String> {
    let mut breaches = BTreeSet::new();
    for entry in record.journal.iter().filter(|entry| entry.sent.is_some()) {
        let missing = match entry.point.verb {
            "patch" | "update" => entry.body["metadata"]["resourceVersion"].as_str().is_none_or(str::is_empty),
            "delete" => {
                ["uid", "resourceVersion"].iter().any(|name| entry.body["preconditions"][name].as_str().is_none_or(str::is_empty))
            }
            "put" => entry.condition.is_none(),
            _ => false,
        };
        if missing {
            breaches.insert(format!("{} has none", entry.point));
        }
    }
    breaches.into_iter().collect()
}

fn overtaken(record: &Record) -> Vec<String> {
    let mut breaches = Vec::new();
    for entry in record.journal.iter().filter(|entry| entry.point.is_write()) {
        let (Some(sent), Some((_, status))) = (entry.sent, entry.answered) else { continue };
        let newer = record.journal.iter().any(|other| {
            other.point.is_write() && other.process > entry.process && other.sent.is_some_and(|earlier| earlier < sent)
        });
        let harmless = entry.point.is_store() && entry.condition.is_none();
        if (newer || entry.late) && status < 400 && !harmless {
            breaches.push(format!(
                "{} of process {} was done after process {} had begun to write",
                entry.point,
                entry.process,
                entry.process + 1
            ));
        }
    }
    breaches
}

fn bounded(record: &Record) -> Vec<String> {
    let size = |version: &Version| serde_json::to_vec(&version.object["status"]).map_or(usize::MAX, |bytes| bytes.len());
    let largest = record.owners().map(size).max().unwrap_or_default();
    (largest > MAX_STATUS).then(|| format!("a status has {largest} bytes")).into_iter().collect()
}

fn generations(record: &Record) -> Vec<String> {
    let mut breaches = Vec::new();
    for life in lives(record.owners()).into_values() {
        let seen: Vec<i64> =
            life.iter().map(|version| version.object["status"]["observedGeneration"].as_i64().unwrap_or_default()).collect();
        if let Some((before, after)) = seen.iter().zip(seen.iter().skip(1)).find(|(before, after)| before > after) {
            breaches.push(format!("{before} was followed by {after}"));
        }
        let ahead = |version: &&&Version| {
            version.object["status"]["observedGeneration"].as_i64() > version.object["metadata"]["generation"].as_i64()
        };
        if let Some(version) = life.iter().find(ahead) {
            breaches.push(format!("it is ahead of the generation: {}", version.object["status"]["observedGeneration"]));
        }
    }
    breaches
}

fn transitions(record: &Record) -> Vec<String> {
    let mut breaches = Vec::new();
    for life in lives(record.owners()).into_values() {
        for pair in life.windows(2) {
            let of = |version: &Version| version.object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            for old in of(pair[0]) {
                let Some(new) = of(pair[1]).into_iter().find(|new| new["type"] == old["type"]) else { continue };
                let (from, to) = (old["lastTransitionTime"].as_str(), new["lastTransitionTime"].as_str());
                if to < from || (from != to && old["status"] == new["status"]) {
                    breaches.push(format!("{}: {} at {from:?}, then {} at {to:?}", old["type"], old["status"], new["status"]));
                }
            }
        }
    }
    breaches
}

fn specs(record: &Record) -> Vec<String> {
    let mut seen: Vec<&Value> = record.owners().map(|version| &version.object["spec"]).collect();
    seen.dedup();
    let wanted: Vec<&Value> = record.specs.iter().collect();
    (seen != wanted).then(|| format!("stored were {seen:?}, people wrote {wanted:?}")).into_iter().collect()
}

fn no_spec(record: &Record) -> Vec<String> {
    let mut breaches = BTreeSet::new();
    for request in record.audit.iter().filter(|request| request.is_write() && !request.body.is_null()) {
        if !request.body["spec"].is_null() {
            breaches.insert(format!("{} {} with a spec ({})", request.verb, request.resource, request.agent));
        }
    }
    for version in record.owners() {
        let managers = version.object["metadata"]["managedFields"].as_array();
        for entry in managers.into_iter().flatten().filter(|entry| entry["manager"] == MANAGER) {
            if !entry["fieldsV1"]["f:spec"].is_null() {
                breaches.insert(format!("the operator manages {}", entry["fieldsV1"]["f:spec"]));
            }
        }
    }
    breaches.into_iter().collect()
}

fn no_storm(record: &Record) -> Vec<String> {
    let is_event = |request: &&Audited| request.resource == "events";
    let events = record.audit.iter().filter(is_event).count();
    let writes = record.audit.iter().filter(|request| request.is_write() && !is_event(request)).count();
    let bound = |(story, process): (usize, usize), change: usize| story + process * record.processes + change * record.changes;
    let mut breaches = Vec::new();
    if events > bound(EVENTS, CHANGE.1) {
        breaches.push(format!("{events} Events"));
    }
    if writes > bound(WRITES, CHANGE.0) {
        breaches.push(format!("{writes} writes"));
    }
    if let Some(request) = record.audit.iter().find(|request| !request.agent.starts_with("showrunner-operator/")) {
        breaches.push(format!("a request of the operator's is called {:?}", request.agent));
    }
    breaches
}
