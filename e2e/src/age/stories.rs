//! The titles of a frozen world: how each got where it stood, and what the next version may make of it. No I/O.

use crate::faults::{
    history::World,
    player::{Behaviour, ready_reason},
};
use serde_json::{Value, json};

/// What a person does to a title that is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Pauses it.
    Suspends,
    /// Deletes it.
    Deletes,
}

/// Which of a title's objects the store has at the moment it was frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The source.
    Source,
    /// And what pods committed.
    Work,
    /// And what is published.
    Everything,
}

/// What becomes of a title under the next version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was at rest, and stays as it is.
    Rests,
    /// It gets published.
    Published,
    /// It goes.
    Gone,
}

/// One title.
pub struct Story {
    /// Its name.
    pub name: &'static str,
    /// What its spec says beside source and thumbnails.
    pub spec: fn() -> Value,
    /// What the pods of its attempts do.
    pub pods: &'static [Behaviour],
    /// What a person does once a pod of it runs.
    pub deed: Option<Deed>,
    /// Whether it stands where it is to be frozen; the first such version is taken.
    pub stands: fn(&Moment<'_>) -> bool,
    /// What the store has then.
    pub stored: Stored,
    /// How it ends under the next version.
    pub end: End,
    /// How many Jobs the next version makes for it: none where a Job did or does the work.
    pub jobs: usize,
}

/// The objects of one title at one moment.
pub struct Moment<'a> {
    /// The title.
    pub title: &'a Value,
    /// Its Jobs.
    pub jobs: Vec<&'a Value>,
    /// Its pods.
    pub pods: Vec<&'a Value>,
}

impl<'a> Moment<'a> {
    /// Of a world that holds one title and what belongs to it.
    pub fn of(world: &'a World, name: &str) -> Option<Self> {
        let of = |resource: &str| {
            let names: Vec<String> = world.of(resource).into_keys().collect();
            names.iter().filter_map(|name| world.get(resource, name)).collect()
        };
        Some(Self { title: world.get("titleenrichments", name)?, jobs: of("jobs"), pods: of("pods") })
    }

    fn reason(&self) -> &str {
        ready_reason(self.title).unwrap_or_default()
    }

    fn is_in(&self, phase: &str) -> bool {
        self.title["status"]["phase"] == phase
            && self.title["status"]["observedGeneration"] == self.title["metadata"]["generation"]
    }

    fn has_attempt(&self) -> bool {
        !self.title["status"]["attempt"].is_null()
    }

    fn pod_is(&self, phase: &str) -> bool {
        self.pods.iter().any(|pod| pod["status"]["phase"] == phase)
    }

    /// Whether nothing of it is held by us any more.
    fn is_let_go(&self) -> bool {
        let held = |object: &&Value| object["metadata"]["finalizers"].to_string().contains("showrunner.dev/");
        !self.jobs.iter().chain(&self.pods).any(held)
    }
}

fn nothing() -> Value {
    json!({})
}

/// A title that goes the straight way.
pub const PLAIN: Story = Story {
    name: "",
    spec: nothing,
    pods: &[],
    deed: None,
    stands: |_| false,
    stored: Stored::Source,
    end: End::Published,
    jobs: 0,
};

/// Every title, from applied to published and off the straight way.
pub const STORIES: [Story; 13] = [
    Story { name: "applied", stands: |now| now.title["status"].is_null(), jobs: 1, ..PLAIN },
    // Killed between the intent and the Job.
    Story { name: "intended", stands: |now| now.has_attempt() && now.jobs.is_empty(), jobs: 1, ..PLAIN },
    Story {
        name: "unadmitted",
        stands: |now| now.jobs.iter().any(|job| job["spec"]["suspend"] == true) && now.pods.is_empty(),
        ..PLAIN
    },
    Story { name: "waiting", pods: &[Behaviour::Waits], stands: |now| now.pod_is("Pending"), ..PLAIN },
    Story {
        name: "running",
        pods: &[Behaviour::Idles],
        stands: |now| now.pod_is("Running") && now.reason() == "Working",
        ..PLAIN
    },
    Story {
        name: "half-done",
        pods: &[Behaviour::Hangs],
        stands: |now| now.pod_is("Running") && now.reason() == "Working",
        stored: Stored::Work,
        ..PLAIN
    },
    Story { name: "ended", stands: |now| now.pod_is("Succeeded") && now.has_attempt(), stored: Stored::Work, ..PLAIN },
    Story {
        name: "publishing",
        stands: |now| now.reason() == "Publishing" && now.title["status"]["published"].is_null(),
        stored: Stored::Work,
        ..PLAIN
    },
    Story {
        name: "retrying",
        // The second attempt is none of the frozen world's: it commits nothing.
        pods: &[Behaviour::OutOfMemory, Behaviour::Idles],
        stands: |now| now.reason() == "Retrying" && now.is_let_go(),
        stored: Stored::Work,
        jobs: 1,
        ..PLAIN
    },
    Story {
        name: "suspended",
        pods: &[Behaviour::Hangs],
        deed: Some(Deed::Suspends),
        stands: |now| now.is_in("Suspended") && now.jobs.is_empty() && now.pods.is_empty(),
        stored: Stored::Work,
        end: End::Rests,
        ..PLAIN
    },
    Story {
        name: "failed",
        spec: || json!({ "execution": { "retries": 0 } }),
        pods: &[Behaviour::Crashes],
        stands: |now| now.is_in("Failed") && now.is_let_go(),
        stored: Stored::Work,
        end: End::Rests,
        ..PLAIN
    },
    Story {
        name: "published",
        stands: |now| now.is_in("Published") && now.is_let_go(),
        stored: Stored::Everything,
        end: End::Rests,
        ..PLAIN
    },
    Story {
        name: "deleted",
        pods: &[Behaviour::Hangs],
        deed: Some(Deed::Deletes),
        stands: |now| !now.title["metadata"]["deletionTimestamp"].is_null(),
        stored: Stored::Work,
        end: End::Gone,
        ..PLAIN
    },
];

/// File name of a title's source.
pub fn source(name: &str) -> String {
    format!("{name}.mp4")
}

/// A title's spec: what the recording of the worker answers, and what the story adds.
pub fn spec(story: &Story) -> Value {
    let mut spec = json!({ "source": { "path": format!("ingest/{}", source(story.name)) },
        "thumbnails": { "select": 1, "spriteInterval": "1s" } });
    for (field, value) in (story.spec)().as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    spec
}
