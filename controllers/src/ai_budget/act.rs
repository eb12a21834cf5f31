//! Puts right what the ledger and the jobs disagree about, and holds a budget that goes until what runs under it was charged.
//!
//! Writes to the ledger and the API server. All of it may be repeated.

use std::sync::Arc;

use futures::future::try_join_all;
use kube::ResourceExt as _;
use serde_json::json;
use showrunner_crds::AiBudget;
use showrunner_crds::ai_budget::BudgetReason;
use showrunner_kit::events::Severity;
use showrunner_kit::object::{has_finalizer, without_finalizer};
use showrunner_kit::{Class, ReconcileError, WriteError};
use showrunner_ledger::{Entry, Fact};

use super::decide::Decision;
use super::dereference::{Lost, Money, Seen};
use super::ledger::journal::JournalError;
use super::{ACTION, BudgetReconciler, FINALIZER};

impl From<JournalError> for ReconcileError {
    fn from(error: JournalError) -> Self {
        let (class, reason): (_, &'static str) = match &error {
            JournalError::Away(_) => (Class::Retry, BudgetReason::LedgerUnavailable.into()),
            JournalError::Broken(_) => (Class::Terminal, BudgetReason::LedgerBroken.into()),
        };
        Self::new(class, reason, error.to_string()).caused_by(error)
    }
}

impl BudgetReconciler {
    /// Puts our finalizer on a budget that lacks it.
    pub(super) async fn hold(&self, object: Arc<AiBudget>) -> Result<Arc<AiBudget>, ReconcileError> {
        if has_finalizer(&object.metadata, FINALIZER) || object.metadata.deletion_timestamp.is_some() {
            return Ok(object);
        }
        let others = object.metadata.finalizers.iter().flatten().map(String::as_str);
        let finalizers: Vec<&str> = others.chain([FINALIZER]).collect();
        let patch = json!({ "metadata": { "finalizers": finalizers } });
        Ok(Arc::new(self.kit.writer.patch_versioned(object.as_ref(), patch).await?))
    }

    /// Does what was decided.
    pub(super) async fn put_right(&self, object: &AiBudget, decision: &Decision, seen: &Seen) -> Result<(), ReconcileError> {
        if let Some(money) = &decision.money {
            self.correct(object, money).await?;
        }
        self.tell(object, decision, seen).await?;
        if seen.waiting.count > 0 {
            // Whatever has changed since they asked: a cap, a period, a bill.
            self.ledger.look_again().await?;
        }
        if decision.let_go && has_finalizer(&object.metadata, FINALIZER) {
            // The status was written just before: what is patched here is the object as it is now.
            let Some(now) = self.kit.writer.get_now::<AiBudget>("", &object.name_any()).await? else { return Ok(()) };
            let patch = json!({ "metadata": { "finalizers": without_finalizer(&now.metadata, FINALIZER) } });
            match self.kit.writer.patch_versioned(&now, patch).await {
                Ok(_) | Err(WriteError::Gone { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            self.kit.metrics.budget(&object.name_any(), &super::AMOUNTS.map(|what| (what, None)));
        }
        Ok(())
    }

    /// Charges what has no job any more its upper bound, leases that nobody has ended all that they are, and reserves for jobs that run without: they were let start before
    /// the budget was over them.
    async fn correct(&self, object: &AiBudget, money: &Money) -> Result<(), ReconcileError> {
        for Lost { job, amount, who, chain, since: _ } in &money.lost {
            let fact = Fact::Settle {
                amount: *amount,
                bookings: self.ledger.bookings(chain, self.kit.clock.now()),
                parts: Vec::new(),
                who: who.clone(),
                bound: true,
                said: None,
            };
            if self.ledger.write(Entry { key: job.to_string(), fact }).await? {
                let message = format!(
                    "Job {job} of {} {}/{} is gone, and nobody knows what ran: it is charged its upper bound of {amount}",
                    who.kind, who.namespace, who.name
                );
                self.note(object, BudgetReason::Corrected, &message).await;
            }
        }
        // Together, so that they share a page.
        try_join_all(money.leases.due.iter().map(|key| self.ledger.charge_lease(key))).await?;
        for entry in &money.found {
            if self.ledger.write(entry.clone()).await?
                && let Fact::Reserve { amount, .. } = &entry.fact
            {
                let message = format!(
                    "Job {} runs and had no reservation: {amount} is reserved for it now, whether there is room or not",
                    entry.key
                );
                self.note(object, BudgetReason::Corrected, &message).await;
            }
        }
        Ok(())
    }

    pub(super) async fn note(&self, object: &AiBudget, reason: BudgetReason, message: &str) {
        self.kit.events.publish(object, Severity::Warning, reason.into(), ACTION, message).await;
    }
}
