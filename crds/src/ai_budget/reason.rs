//! Words that conditions of a budget give as their reason. No I/O.

use strum::{Display, EnumIter, IntoStaticStr};

/// Reasons of the conditions of an AiBudget. Part of the API: documented in `docs/kinds/ai-budget.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr, EnumIter)]
pub enum BudgetReason {
    /// Less is spent than the warning, and jobs are let start.
    WithinLimits,
    /// The warning is reached; jobs are still let start.
    WarnReached,
    /// The cap is reached: no job starts that could go beyond.
    CapReached,
    /// The cap is not reached, and jobs wait: what they may cost at most has no room beside what is reserved.
    HeadroomReserved,
    /// The period is expected to end above the cap.
    ForecastAboveCap,
    /// What the platform costs is not known, or is too old: batch work waits.
    DenominatorMissing,
    /// What the platform costs is known.
    DenominatorKnown,
    /// The budget's currency is not that of the operator's prices.
    CurrencyMismatch,
    /// No time zone has the name of `spec.period.timeZone`.
    TimeZoneUnknown,
    /// The budget above this one does not exist, or is below it.
    ParentMissing,
    /// The ledger cannot be read or written: jobs wait.
    LedgerUnavailable,
    /// Pages of the ledger are missing, or were changed after they were written: jobs wait until a person has looked.
    LedgerBroken,
    /// What is reserved belongs to jobs that are there, and nearly all that was spent to a model.
    Consistent,
    /// More than 1 % of what was spent belongs to no model.
    Unattributed,
    /// Reservations had no job any more, or jobs no reservation: the ledger was put right.
    Corrected,
    /// The report could not be put into the store.
    ReportNotWritten,
    /// The budget is being deleted: no job starts under it, and it goes when the last has ended.
    Closing,
    /// Showrunner was uninstalled; installed again, it goes on.
    OperatorUninstalled,
}
