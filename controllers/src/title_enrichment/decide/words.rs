//! The ways a decision can end, each with its words for people. No I/O.

use std::time::Duration;

use jiff::Timestamp;
use showrunner_crds::title_enrichment::{Phase, StepState, TitleReason};
use showrunner_kit::Next;

use super::{Act, Decision, Draft, Planned, Steps, Trouble, Verdict};

/// How often a title that a budget has stopped looks whether it may go on, should nobody wake it.
const LOOK_AT_BUDGET: Duration = Duration::from_mins(5);

impl Draft<'_> {
    /// The phase of a title with work before it.
    pub(super) fn phase(&self) -> Phase {
        let begun = self.status.attempt.is_some() || self.status.steps.iter().any(|step| step.state == StepState::Done);
        if begun || !self.status.history.is_empty() { Phase::Running } else { Phase::Pending }
    }

    /// Work goes on.
    pub(super) fn tell(&mut self, reason: TitleReason, message: String, next: Next) -> Decision {
        let phase = self.phase();
        self.verdict(phase, reason, message, false, 0, next)
    }

    /// Nothing more will happen until a person changes something.
    pub(super) fn fail(&mut self, reason: TitleReason, message: String) -> Decision {
        self.verdict(Phase::Failed, reason, message, true, 0, Next::WaitForChange)
    }

    /// The deadline has passed.
    pub(super) fn overdue(&mut self) -> Decision {
        let at = self.status.deadline_at.as_ref().map_or_else(String::new, |at| format!(" by {}", at.0));
        let why = self.status.steps.iter().find_map(|step| step.message.clone().filter(|_| step.state == StepState::Waiting));
        let why = why.map_or_else(String::new, |why| format!(" (last: {why})"));
        let message = format!("not done{at}{why}: raise spec.deadline, or change spec.refresh to try again");
        self.fail(TitleReason::DeadlineExceeded, message)
    }

    /// A person paused it.
    pub(super) fn suspended(&mut self) -> Decision {
        let message = "paused: finished steps are kept; set spec.suspend to false to go on".to_owned();
        self.verdict(Phase::Suspended, TitleReason::Suspended, message, false, 0, Next::WaitForChange)
    }

    /// A budget lets nothing run, by what people have approved.
    pub(super) fn stopped(&mut self, budget: &str) -> Decision {
        let message = format!(
            "AiBudget {budget} is beyond its cap and has jobs suspended (SuspendBatch): what is committed is kept, and it goes on when less is spent than the line, or in the next period"
        );
        self.tell(TitleReason::WaitingForBudget, message, Next::At(self.now + LOOK_AT_BUDGET))
    }

    /// Something outside does not work.
    pub(super) fn trouble(&mut self, trouble: &Trouble) -> Decision {
        self.tell(trouble.reason, trouble.message.clone(), Next::At(trouble.retry_at))
    }

    /// Tells what was told before: what comes of the acts is told after them.
    pub(super) fn as_before(&mut self) -> Decision {
        let acts = std::mem::take(&mut self.acts);
        let status = self.status.clone();
        Decision::Do(Box::new(Steps { status, verdict: None, notes: Vec::new(), acts, next: Next::WaitForChange }))
    }

    /// Before anything is told, this: what has been decided so far comes with the next decision.
    pub(super) fn first(&mut self, act: Act) -> Decision {
        let mut acts = std::mem::take(&mut self.acts);
        acts.push(act);
        let mut status = self.input.status.clone();
        // But for what is known of pods that are let go: that is told before they are.
        status.history.clone_from(&self.status.history);
        Decision::Do(Box::new(Steps { status, verdict: None, notes: Vec::new(), acts, next: Next::WaitForChange }))
    }

    /// The end of every decision: steps, verdict, and when to look again.
    pub(super) fn verdict(
        &mut self,
        phase: Phase,
        reason: TitleReason,
        message: String,
        stalled: bool,
        percent: u8,
        next: Next,
    ) -> Decision {
        if !self.planned.is_empty() {
            self.status.steps = self.steps();
        }
        let (outdated, rated, answers) = (self.outdated(), self.rated(), self.answers);
        let verdict = Verdict { phase, reason, message, stalled, percent, outdated, rated, answers };
        let acts = std::mem::take(&mut self.acts);
        let terminal = stalled || matches!(phase, Phase::Published | Phase::NeedsReview | Phase::Suspended);
        let next = if terminal { next } else { next.min(self.deadline()) };
        let next = next.min(self.lost()).min(self.stuck().map_or(Next::WaitForChange, Next::At));
        Decision::Do(Box::new(Steps { status: self.status.clone(), verdict: Some(verdict), notes: Vec::new(), acts, next }))
    }

    /// When a pod that should have ended counts as lost: nothing else would tell.
    fn lost(&self) -> Next {
        let due = self.jobs.iter().filter_map(|job| job.lost_at).filter(|at| *at > self.now).min();
        due.map_or(Next::WaitForChange, Next::At)
    }

    fn deadline(&self) -> Next {
        self.status
            .deadline_at
            .as_ref()
            .map(|at| at.0)
            .filter(|at: &Timestamp| *at > self.now)
            .map_or(Next::WaitForChange, Next::At)
    }

    fn outdated(&self) -> Option<Vec<String>> {
        let done = self.planned.iter().any(|planned| planned.status.state == StepState::Done);
        done.then(|| self.planned.iter().filter(|p| p.is_outdated()).map(|p: &Planned| p.step().to_string()).collect())
    }
}
