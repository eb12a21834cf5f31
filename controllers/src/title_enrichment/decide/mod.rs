//! Decides what is to be done about a title now. No I/O: what it has to know first, it asks for.
//!
//! Total and deterministic: the same status, Jobs, answers and time give the same decision, so that a crash after any
//! write leads back to where it was.

pub mod acts;
mod attempt;
mod catalogue;
pub mod failure;
mod guard;
mod harvest;
mod in_hand;
pub mod plan;
pub mod review;
mod spot;
pub mod types;
mod words;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use showrunner_contracts::{Digest, step::Step};
use showrunner_crds::common::condition;
use showrunner_crds::title_enrichment::{
    Phase, PlaceStatus, SourceStatus, StepState, StepStatus, TitleEnrichmentStatus, TitleReason,
};
use showrunner_kit::clock::Clock;
use showrunner_kit::jobs::CancelStep;
use showrunner_kit::{Next, conditions, planted};

use super::validate::Wish;
pub use acts::*;
pub(super) use in_hand::waits_for_money;
use plan::{Planned, Renewal};
pub use types::*;

/// How long a title that is being deleted waits for its Jobs to end; then they are let go whatever they do.
pub const DELETE_WITHIN: std::time::Duration = std::time::Duration::from_mins(2);
/// How long it waits for a Job that was intended and has not been seen.
const UNSEEN_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// What is told from the harvest of the last step on.
const PUBLISHING: &str = "the results are being published";

/// Digest over what would be published. What is withheld is told by its word, in the place of its result.
fn contents<'a>(steps: impl Iterator<Item = &'a StepStatus>) -> Digest {
    let steps: Vec<_> = steps
        .map(|step| match review::withheld(step) {
            None => {
                let shown = review::replaced(step).or(step.result.as_deref()).map(ToOwned::to_owned);
                (&step.name, &step.key, shown, step.reason.clone())
            }
            Some(word) => (&step.name, &step.key, None, Some(word.to_string())),
        })
        .collect();
    Digest::of_json(&("showrunner.dev/contents/v1", steps))
}

/// Decides what is to be done now.
pub fn decide(input: &Input<'_>, now: Timestamp) -> Decision {
    let mut draft = Draft {
        input,
        now,
        jobs: Vec::new(),
        status: input.status.clone(),
        acts: Vec::new(),
        planned: Vec::new(),
        answers: false,
    };
    draft.jobs = draft.known_jobs();
    draft.note_place();
    if let Some(decision) = draft.look_for_job() {
        return decision;
    }
    draft.note_uninstall();
    if let Some(decision) = draft.guard() {
        return decision;
    }
    if let Some(decision) = draft.write_off() {
        return decision;
    }
    draft.adopt();
    draft.let_strays_go();
    if let Some(since) = input.title.deleting.filter(|_| !planted!("deletion-ignored")) {
        return draft.delete(since);
    }
    if let Some(decision) = draft.harvest() {
        return decision;
    }
    draft.go_on()
}

/// A decision in the making.
struct Draft<'a> {
    input: &'a Input<'a>,
    now: Timestamp,
    /// The title's own Jobs.
    jobs: Vec<&'a SeenJob>,
    status: TitleEnrichmentStatus,
    acts: Vec<Act>,
    planned: Vec<Planned>,
    /// Whether the verdict answers the spec as it is now: until then, what a new generation asks for is not forgotten.
    answers: bool,
}

impl Draft<'_> {
    /// The Job of the attempt in hand, where it has been seen.
    fn job(&self) -> Option<&SeenJob> {
        let attempt = self.status.attempt.as_ref()?;
        self.jobs.iter().copied().find(|job| job.name == attempt.job)
    }

    /// Jobs that are not the attempt in hand: let those go that have ended, and end the others.
    fn let_strays_go(&mut self) {
        let in_hand = self.status.attempt.as_ref().map(|attempt| attempt.job.clone());
        for job in self.jobs.clone().into_iter().filter(|job| Some(&job.name) != in_hand.as_ref()) {
            let (name, charge) = (job.name.clone(), self.charge(&job.name));
            let act = match (job.finished && !job.deleting, job.held) {
                (true, false) => continue,
                _ if !job.controlled => Act::Reclaim { job: name },
                (true, true) => Act::LetGo { job: name, charge },
                (false, _) if matches!(job.cancel, CancelStep::Wait | CancelStep::Done) => continue,
                (false, _) => Act::End { job: name, charge },
            };
            self.note_records(job);
            self.acts.push(act);
        }
    }

    /// Showrunner was uninstalled with an attempt in hand, as the condition says; or by hand, as the finalizer that is
    /// missing says, which is put on before there is an attempt. The attempt was ended then: whatever is left of its Job is
    /// not gone on with, for parts of it may be gone already. What it committed is found by key.
    fn note_uninstall(&mut self) {
        let ready = conditions::get(&self.status.conditions, condition::READY);
        let told = ready.is_some_and(|ready| ready.reason == failure::UNINSTALLED);
        if self.input.title.deleting.is_none()
            && (told || !self.input.title.has_finalizer)
            && let Some(attempt) = self.status.attempt.as_mut()
        {
            attempt.ending.get_or_insert_with(|| failure::UNINSTALLED.to_owned());
        }
    }

    /// Ends what is left of a title that is being deleted, then lets it go. Never waits for the store.
    fn delete(mut self, since: Timestamp) -> Decision {
        if !self.input.title.has_finalizer {
            return self.end_of_story();
        }
        let due = Clock::after(since, DELETE_WITHIN);
        let jobs: Vec<&SeenJob> =
            self.jobs.iter().copied().filter(|job| job.held || !(job.has_ended() || job.is_quiet())).collect();
        if self.now >= due {
            self.acts = jobs.into_iter().map(|job| Act::ForceGo { job: job.name.clone() }).collect();
            self.acts.extend(self.status.catalogue.clone().filter(|_| self.stuck().is_none()).map(Act::Leave));
            self.acts.push(Act::DropFinalizer);
            return self.tell(
                TitleReason::Cancelling,
                "deleted; what had not ended in time was let go".to_owned(),
                Next::WaitForChange,
            );
        }
        if let Some(job) = self.job().cloned().filter(|job| job.cancel != CancelStep::Wait) {
            self.note_records(&job);
            let charge = self.charge(&job.name);
            self.acts.push(Act::End { job: job.name, charge });
        }
        let gone = self.input.facts.found == Some(Whereabouts::Gone);
        let unseen = self.status.attempt.is_some() && self.job().is_none() && !gone;
        let waits_until = Clock::after(since, UNSEEN_WITHIN);
        if jobs.is_empty() && !self.is_somewhere() && !(unseen && self.now < waits_until) {
            if let Some(place) = self.status.catalogue.clone() {
                return self.leave_for_good(place, due);
            }
            self.acts.push(Act::DropFinalizer);
            return self.end_of_story();
        }
        let next = if jobs.is_empty() && self.now < waits_until { waits_until } else { due };
        self.tell(TitleReason::Cancelling, "the resource is being deleted; its job is stopped first".to_owned(), Next::At(next))
    }

    /// The print of a title that is being deleted is taken out of the catalogue: tried for as long as a Job is waited for.
    fn leave_for_good(mut self, place: PlaceStatus, due: Timestamp) -> Decision {
        if let Some(retry_at) = self.stuck() {
            let message = "its print is still in the catalogue, which does not answer".to_owned();
            return self.tell(TitleReason::Cancelling, message, Next::At(retry_at.min(due)));
        }
        // Told before each try, a status would go to and fro while a store is away.
        self.first(Act::Leave(place))
    }

    fn end_of_story(self) -> Decision {
        Decision::Do(Box::new(Steps {
            status: self.status,
            verdict: None,
            notes: Vec::new(),
            acts: self.acts,
            next: Next::WaitForChange,
        }))
    }

    /// Everything but deletion and harvest.
    fn go_on(mut self) -> Decision {
        // Who deletes the title waits for its print to be taken out of the catalogue.
        if self.status.catalogue.is_some() && !self.input.title.has_finalizer {
            return self.first(Act::AddFinalizer);
        }
        self.answers = true;
        let fresh = self.status.observed_generation != Some(self.input.title.generation);
        if fresh {
            self.status.next_attempt_at = None;
        }
        let wish = match self.input.wish {
            Ok(wish) => wish,
            Err(refusal) => {
                self.stop(&refusal.reason.to_string());
                return self.fail(refusal.reason, refusal.message.clone());
            }
        };
        if fresh {
            self.status.deadline_at = Some(Time(self.now + wish.deadline));
        }
        let deadline = self.status.deadline_at.as_ref().map_or(self.now + wish.deadline, |at| at.0);
        let refresh = self.status.refreshed != wish.refresh && (self.status.refreshed.is_some() || !self.status.steps.is_empty());
        let source = match self.source(wish, fresh, refresh) {
            Ok(source) => source,
            Err(Some(need)) if !wish.suspend && self.now < deadline => return Decision::Need(need),
            Err(_) => return self.without_source(wish, deadline),
        };
        let renewal = Renewal { retry_failed: fresh, refresh, in_hand: self.status.attempt.is_some() };
        let identity = plan::identity(&source, wish);
        self.planned =
            plan::plan(wish, &identity, &self.status.steps, self.status.catalogue.as_ref(), renewal, self.input.settings);
        self.status.refreshed.clone_from(&wish.refresh);
        if self.status.source.as_ref().is_some_and(|old| *old != source) {
            self.status.media = None;
        }
        self.status.source = Some(source);
        if wish.suspend {
            self.stop(failure::SUSPENDED);
            return self.suspended();
        }
        self.settle_dependents();
        if let Some(leaving) = self.leave() {
            return leaving;
        }
        if let Some(published) = self.publication(wish) {
            return published;
        }
        if self.now >= deadline {
            self.stop("DeadlineExceeded");
            return self.overdue();
        }
        if self.status.attempt.is_some() { self.run_attempt(wish) } else { self.next_step(wish) }
    }

    /// The source that counts: what the status has as long as the spec names it and it was no trouble, else what is
    /// there now. An error is a question, or none where the answer was trouble.
    fn source(&self, wish: &Wish, fresh: bool, refresh: bool) -> Result<SourceStatus, Option<Need>> {
        let failed = self.status.steps.iter().any(|step| step.state == StepState::Failed);
        let known = self.status.source.as_ref().filter(|source| source.store == wish.store && source.path == wish.path);
        if let Some(source) = known {
            let look_again = refresh || (fresh && (failed || source.size_bytes == 0));
            if !look_again {
                return Ok(source.clone());
            }
        }
        match &self.input.seen.source {
            Answer::Got(source) => Ok(source.clone()),
            Answer::NotAsked => Err(Some(Need::Source { store: wish.store.clone(), path: wish.path.clone() })),
            Answer::Trouble(_) => Err(None),
        }
    }

    fn without_source(mut self, wish: &Wish, deadline: Timestamp) -> Decision {
        let stays = self.status.source.as_ref().is_some_and(|source| source.store == wish.store && source.path == wish.path);
        // This answers the generation, so what the generation asked for must not be forgotten: look at the source again,
        // and try again what failed.
        self.status.source = None;
        for step in self.status.steps.iter_mut().filter(|step| step.state == StepState::Failed) {
            (step.state, step.attempts, step.lost) = (StepState::Waiting, 0, 0);
        }
        if wish.suspend {
            self.stop(failure::SUSPENDED);
            return self.suspended();
        }
        if self.now >= deadline {
            self.stop("DeadlineExceeded");
            return self.overdue();
        }
        if !stays {
            self.status.media = None;
            self.stop(failure::SUPERSEDED);
        }
        match &self.input.seen.source {
            Answer::Trouble(trouble) => self.trouble(trouble),
            Answer::NotAsked | Answer::Got(_) => {
                Decision::Need(Need::Source { store: wish.store.clone(), path: wish.path.clone() })
            }
        }
    }

    /// A step whose source of truth is skipped or failed has nothing to read.
    fn settle_dependents(&mut self) {
        for index in 0..self.planned.len() {
            if self.planned[index].status.state != StepState::Waiting {
                continue;
            }
            let params = &self.planned[index].params;
            let blocked = self.planned.iter().find(|other| {
                let (step, state) = (other.step(), other.status.state);
                let goes_without = state == StepState::Skipped && params.goes_without(step);
                params.needs().contains(&step) && matches!(state, StepState::Skipped | StepState::Failed) && !goes_without
            });
            let Some(blocked) = blocked else { continue };
            let (state, reason) = (blocked.status.state, blocked.status.reason.clone());
            let message = format!("needs {}, which is {}", blocked.step(), state.to_string().to_lowercase());
            let status = &mut self.planned[index].status;
            (status.state, status.reason, status.message) = (state, reason, Some(message));
        }
    }

    /// Publishes when every step is done; tells of failure when some step failed and none is open.
    fn publication(&mut self, wish: &Wish) -> Option<Decision> {
        // Whoever comes here: a result that was just found ready is held like one that was just made.
        self.review(wish);
        if self.planned.iter().any(Planned::is_open) || self.status.attempt.is_some() {
            return None;
        }
        if let Some(failed) = self.planned.iter().find(|planned| planned.status.state == StepState::Failed) {
            let word = failed.status.reason.clone().unwrap_or_default();
            let text = failed.status.message.clone().unwrap_or_default();
            let message = format!("{} failed: {text}", failed.step());
            return Some(self.fail(failure::reason_of_step(&word), message));
        }
        let of_ours = contents(self.planned.iter().map(|planned| &planned.status));
        // What a newer version published with steps of its own stays published: going back takes nothing away.
        let with_newer = contents(self.steps().iter());
        let is_current = |published: &showrunner_crds::title_enrichment::PublishedStatus| {
            [&of_ours, &with_newer].iter().any(|digest| published.contents == digest.as_str())
        };
        if let Some(fact) = self.input.facts.published.as_ref().filter(|fact| is_current(fact)) {
            let same = self.status.published.as_ref().filter(|old| old.digest == fact.digest).map(|old| old.at.clone());
            let mut published = fact.clone();
            published.at = same.unwrap_or(published.at);
            self.status.published = Some(published);
        }
        let Some(published) = self.status.published.clone().filter(is_current) else {
            // What viewers have already is not taken away before somebody has decided.
            if let Some(message) = self.awaits().filter(|_| self.status.published.is_some() && self.waits_as_copy(wish)) {
                return Some(self.needs_review(message));
            }
            return Some(self.publish(wish, of_ours));
        };
        let was_told = matches!(self.input.status.phase, Some(Phase::Published | Phase::NeedsReview));
        let told = was_told && self.input.status.published.as_ref().is_some_and(is_current);
        if told || self.input.facts.alias {
            self.status.next_attempt_at = None;
            if let Some(message) = self.awaits() {
                return Some(self.needs_review(message));
            }
            let message = format!("published as {} in {}", published.digest, published.folder);
            return Some(self.verdict(Phase::Published, TitleReason::Published, message, false, 100, Next::WaitForChange));
        }
        if let Some(trouble) = &self.input.facts.trouble {
            return Some(self.trouble(trouble));
        }
        if let Ok(digest) = published.digest.parse() {
            let alias = Act::Alias { store: wish.store.clone(), digest };
            // It was told with what is published. Told again before each try, a status would go to and fro while a store is away.
            if self.input.status.published.as_ref().is_some_and(is_current) {
                return Some(self.first(alias));
            }
            self.acts.push(alias);
        }
        Some(self.tell(TitleReason::Publishing, PUBLISHING.to_owned(), Next::WaitForChange))
    }

    fn needs_review(&mut self, message: String) -> Decision {
        self.verdict(Phase::NeedsReview, TitleReason::ReviewNeeded, message, false, 100, Next::WaitForChange)
    }

    fn publish(&mut self, wish: &Wish, contents: Digest) -> Decision {
        let overdue = self.status.deadline_at.as_ref().is_some_and(|at| self.now >= at.0);
        // What is told anew of a title that was done in time is not late.
        if overdue && self.status.published.is_none() {
            return self.overdue();
        }
        if let Some(trouble) = &self.input.facts.trouble {
            return self.trouble(trouble);
        }
        let Some(source) = self.status.source.as_ref() else {
            return self.fail(TitleReason::SourceNotFound, "the source is not known".to_owned());
        };
        let steps = self.planned.iter().filter_map(|planned| {
            let key = planned.key.clone()?;
            let withheld = review::withheld(&planned.status);
            let there_is = planned.status.result.as_deref().and_then(|digest| digest.parse::<Digest>().ok());
            let replacement = review::replacement(planned.step(), &planned.status, wish);
            let is_shown = withheld.is_none() && replacement.is_none();
            let (shown, held) = if is_shown { (there_is, None) } else { (None, there_is) };
            let result = shown.ok_or_else(|| planned.status.reason.clone().unwrap_or_default());
            let took = planned.status.took.clone();
            Some(EditionStep { step: planned.step(), key, result, withheld, held, replacement, took })
        });
        let mut steps: Vec<EditionStep> = steps.collect();
        if planted!("old-steps-published") {
            self.add_old_steps(&mut steps);
        }
        let edition = Edition {
            source: plan::identity(source, wish),
            steps,
            history: self.status.history.clone(),
            contents,
            currency: self.input.config.currency.clone(),
        };
        self.first(Act::Publish(Box::new(edition)))
    }

    /// A planted bug: what was done for an earlier spec is published with what is wanted now.
    fn add_old_steps(&self, steps: &mut Vec<EditionStep>) {
        for old in &self.input.status.steps {
            let step = <Step as strum::IntoEnumIterator>::iter().find(|step| step.to_string() == old.name);
            let (Some(step), Ok(key)) = (step, old.key.parse()) else { continue };
            let result = old.result.as_deref().and_then(|digest| digest.parse().ok());
            if let Some(result) = result.filter(|_| steps.iter().all(|wanted| wanted.step != step)) {
                steps.push(EditionStep {
                    step,
                    key,
                    result: Ok(result),
                    withheld: None,
                    held: None,
                    replacement: None,
                    took: None,
                });
            }
        }
    }

    /// The steps as the status has them: those that are planned, and at their places those of a newer version, which are
    /// none of ours: what they say is not known here, and not forgotten.
    fn steps(&self) -> Vec<StepStatus> {
        let mut steps: Vec<StepStatus> = self.planned.iter().map(|planned| planned.status.clone()).collect();
        // A planted bug keeps those that nobody wants any more, too.
        let unwanted = |step: &StepStatus| planted!("old-steps-published") && steps.iter().all(|known| known.name != step.name);
        let kept: Vec<_> =
            self.input.status.steps.iter().enumerate().filter(|(_, step)| plan::is_newer(step) || unwanted(step)).collect();
        for (index, step) in kept {
            steps.insert(index.min(steps.len()), step.clone());
        }
        steps
    }

    /// Begins to end the attempt in hand, or goes on with it: the intent is stored before the Job is touched. A Job of which
    /// nothing runs is harvested by the look that this brings about, and settled after that.
    fn stop(&mut self, why: &str) {
        let Some(attempt) = self.status.attempt.as_mut() else { return };
        attempt.ending.get_or_insert_with(|| why.to_owned());
        let to_stop = |job: &&SeenJob| job.cancel != CancelStep::Wait && !job.is_quiet();
        if let Some(job) = self.job().filter(to_stop).cloned() {
            self.note_records(&job);
            let charge = self.charge(&job.name);
            self.acts.push(Act::End { job: job.name, charge });
        }
    }
}
