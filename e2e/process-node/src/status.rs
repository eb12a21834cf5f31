//! What has become of a pod -> its status, in the kubelet's words.
//!
//! Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use serde_json::{Value, json};

/// Where a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Waiting { reason: String, message: String },
    Running { since: Timestamp },
    Ended(Ended),
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    /// None where it never ran.
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    pub(crate) code: i32,
    pub(crate) reason: String,
    pub(crate) message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) image_id: String,
    pub(crate) state: State,
}

/// All that is told of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// When this node took it up.
    pub(crate) since: Timestamp,
    /// Empty for a pod that was refused.
    pub(crate) containers: Vec<Container>,
    /// Reason and message of a pod that failed as a whole; told once its containers have ended.
    pub(crate) verdict: Option<(String, String)>,
    /// Nothing of it will run any more.
    pub(crate) over: bool,
}

/// When each condition changed last, and to what.
pub(crate) type Transitions = BTreeMap<String, (bool, String)>;

/// Exit code of a container of which nothing is known.
const UNKNOWN: i32 = 137;

impl Seen {
    /// A pod that was just taken up.
    pub(crate) fn new(pod: &Pod, now: Timestamp) -> Self {
        let since = pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map_or(now, |time| time.0);
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| Container {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            image_id: String::new(),
            state: State::Waiting { reason: "ContainerCreating".to_owned(), message: String::new() },
        });
        Self { since, containers: containers.collect(), verdict: None, over: false }
    }

    /// The same wait for every container that has not started.
    pub(crate) fn wait(&mut self, reason: &str, message: &str) {
        for container in &mut self.containers {
            container.state = State::Waiting { reason: reason.to_owned(), message: message.to_owned() };
        }
    }

    /// Nothing of it will run any more: what did not end is unknown, and counts as failed.
    pub(crate) fn close(&mut self) {
        for container in self.containers.iter_mut().filter(|container| !matches!(container.state, State::Ended(_))) {
            let message = "The container could not be located when the pod was terminated".to_owned();
            container.state =
                State::Ended(Ended { code: UNKNOWN, reason: "ContainerStatusUnknown".to_owned(), message, ..Ended::default() });
        }
        self.over = true;
    }

    fn phase(&self) -> &'static str {
        let all = |fits: fn(&State) -> bool| self.containers.iter().all(|container| fits(&container.state));
        if self.over {
            let good = self.verdict.is_none() && all(|state| matches!(state, State::Ended(Ended { code: 0, .. })));
            return if good { "Succeeded" } else { "Failed" };
        }
        if all(|state| !matches!(state, State::Waiting { .. })) { "Running" } else { "Pending" }
    }

    /// The patch of the pod's status (a strategic merge: conditions of others stay). `changes` is kept up to date.
    pub(crate) fn patch(&self, pod: &Pod, address: &str, now: Timestamp, changes: &mut Transitions) -> Value {
        let phase = self.phase();
        let generation = pod.metadata.generation;
        let conditions: Vec<Value> = self
            .conditions(phase)
            .into_iter()
            .map(|(name, holds, reason, message)| {
                let old = changes.get(name).filter(|(held, _)| *held == holds).map(|(_, at)| at.clone());
                let at = old.unwrap_or_else(|| stamp(now));
                changes.insert(name.to_owned(), (holds, at.clone()));
                json!({
                    "type": name, "status": if holds { "True" } else { "False" }, "reason": reason, "message": message,
                    "lastProbeTime": null, "lastTransitionTime": at, "observedGeneration": generation,
                })
            })
            .collect();
        let verdict = self.verdict.as_ref().filter(|_| self.over);
        let mut status = json!({
            "phase": phase,
            "reason": verdict.map(|(reason, _)| reason),
            "message": verdict.map(|(_, message)| message),
            "observedGeneration": generation,
            "startTime": stamp(self.since),
            "hostIP": address,
            "hostIPs": [{"ip": address}],
            "conditions": conditions,
        });
        if !self.containers.is_empty() {
            status["containerStatuses"] = self.containers.iter().map(|container| container.json(pod)).collect();
        }
        // With the UID, so that no other pod of the same name is told what became of this one.
        json!({"metadata": {"uid": pod.metadata.uid}, "status": status})
    }

    /// Type, whether it holds, reason, message.
    fn conditions(&self, phase: &str) -> [(&'static str, bool, Option<&'static str>, Option<String>); 4] {
        let running = self.containers.iter().any(|container| matches!(container.state, State::Running { .. }));
        let unready = self.containers.iter().filter(|container| !matches!(container.state, State::Running { .. }));
        let unready: Vec<&str> = unready.map(|container| container.name.as_str()).collect();
        let (ready, reason, message) = match phase {
            "Succeeded" => (false, Some("PodCompleted"), None),
            "Failed" => (false, Some("PodFailed"), None),
            _ if unready.is_empty() => (true, None, None),
            _ => (false, Some("ContainersNotReady"), Some(format!("containers with unready status: [{}]", unready.join(" ")))),
        };
        [
            ("PodReadyToStartContainers", running, None, None),
            ("Initialized", true, (phase == "Succeeded").then_some("PodCompleted"), None),
            ("Ready", ready, reason, message.clone()),
            ("ContainersReady", ready, reason, message),
        ]
    }
}

impl Container {
    fn json(&self, pod: &Pod) -> Value {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let id = format!("process://{uid}/{}", self.name);
        let state = match &self.state {
            State::Waiting { reason, message } => json!({"waiting": {"reason": reason, "message": some(message)}}),
            State::Running { since } => json!({"running": {"startedAt": stamp(*since)}}),
            State::Ended(ended) => json!({"terminated": {
                "exitCode": ended.code, "reason": ended.reason, "message": some(&ended.message),
                "startedAt": ended.started.map(stamp), "finishedAt": ended.finished.map(stamp),
                "containerID": ended.started.map(|_| &id),
            }}),
        };
        let ran = !matches!(&self.state, State::Waiting { .. } | State::Ended(Ended { started: None, .. }));
        let running = matches!(self.state, State::Running { .. });
        json!({
            "name": self.name, "image": self.image, "imageID": self.image_id, "containerID": ran.then_some(&id),
            "ready": running, "started": running, "restartCount": 0, "state": state, "lastState": {},
        })
    }
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// As Kubernetes writes times: whole seconds.
fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What a pod's conditions say already.
pub(crate) fn transitions(pod: &Pod) -> Transitions {
    let conditions = pod.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    conditions
        .filter_map(|PodCondition { type_, status, last_transition_time, .. }| {
            Some((type_.clone(), (status == "True", stamp(last_transition_time.as_ref()?.0))))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refuse::tests::pod;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 123);

    fn status(seen: &Seen) -> Value {
        seen.patch(&pod(&[]), "10.0.0.1", NOW, &mut Transitions::new())["status"].clone()
    }

    fn ended(code: i32) -> Seen {
        let mut seen = Seen::new(&pod(&[]), NOW);
        let reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
        let message = "words".to_owned();
        seen.containers[0].state = State::Ended(Ended { started: Some(NOW), finished: Some(NOW), code, reason, message });
        seen.close();
        seen
    }

    fn condition<'a>(status: &'a Value, name: &str) -> &'a Value {
        status["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == name).unwrap()
    }

    #[test]
    fn phases_follow_the_containers() {
        let mut seen = Seen::new(&pod(&[]), NOW);
        let waiting = status(&seen);
        assert_eq!((&waiting["phase"], &waiting["reason"]), (&json!("Pending"), &Value::Null));
        assert_eq!(waiting["containerStatuses"][0]["state"]["waiting"]["reason"], "ContainerCreating");
        assert_eq!(condition(&waiting, "Ready")["message"], "containers with unready status: [worker]");
        seen.containers[0].state = State::Running { since: NOW };
        let running = status(&seen);
        assert_eq!(running["phase"], "Running");
        assert_eq!(
            (&condition(&running, "Ready")["status"], &condition(&running, "Ready")["reason"]),
            (&json!("True"), &Value::Null)
        );
        assert_eq!(running["containerStatuses"][0]["state"]["running"]["startedAt"], "2023-11-14T22:13:20Z");
        for (code, phase, reason) in [(0, "Succeeded", "PodCompleted"), (3, "Failed", "PodFailed")] {
            let told = status(&ended(code));
            assert_eq!(told["phase"], phase);
            assert_eq!(condition(&told, "ContainersReady")["reason"], reason);
            let terminated = &told["containerStatuses"][0]["state"]["terminated"];
            assert_eq!((&terminated["exitCode"], &terminated["message"]), (&json!(code), &json!("words")));
        }
    }

    #[test]
    fn a_verdict_is_told_when_nothing_runs_any_more() {
        let mut seen = Seen::new(&pod(&[]), NOW);
        seen.containers[0].state = State::Running { since: NOW };
        seen.verdict = Some(("DeadlineExceeded".to_owned(), "too long".to_owned()));
        assert_eq!((&status(&seen)["phase"], &status(&seen)["reason"]), (&json!("Running"), &Value::Null));
        let mut seen = ended(0);
        seen.verdict = Some(("DeadlineExceeded".to_owned(), "too long".to_owned()));
        assert_eq!((&status(&seen)["phase"], &status(&seen)["reason"]), (&json!("Failed"), &json!("DeadlineExceeded")));
    }

    #[test]
    fn what_never_ran_has_no_start() {
        let mut seen = Seen::new(&pod(&[]), NOW);
        seen.close();
        let told = status(&seen);
        assert_eq!(told["phase"], "Failed");
        let terminated = &told["containerStatuses"][0]["state"]["terminated"];
        assert_eq!((&terminated["reason"], &terminated["startedAt"]), (&json!("ContainerStatusUnknown"), &Value::Null));
    }

    #[test]
    fn a_condition_keeps_its_time_until_it_changes() {
        let mut changes = Transitions::new();
        let mut seen = Seen::new(&pod(&[]), NOW);
        let mut at = |seen: &Seen, now: Timestamp| {
            let patch = seen.patch(&pod(&[]), "10.0.0.1", now, &mut changes);
            condition(&patch["status"], "Ready")["lastTransitionTime"].clone()
        };
        let first = at(&seen, NOW);
        assert_eq!(at(&seen, NOW + Duration::from_secs(5)), first);
        seen.containers[0].state = State::Running { since: NOW };
        assert_ne!(at(&seen, NOW + Duration::from_secs(9)), first);
    }

    #[test]
    fn the_start_of_an_earlier_life_is_kept() {
        let seen = Seen::new(&pod(&[("/status/startTime", json!("2020-01-01T00:00:00Z"))]), NOW);
        assert_eq!(seen.since, "2020-01-01T00:00:00Z".parse().unwrap());
    }
}
