//! What the operator's configuration says about budgets: where the ledger lies, and what becomes of work that no budget is
//! over. No I/O.

use serde::{Deserialize, Serialize};

/// The part of the operator's configuration that is about budgets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BudgetSettings {
    /// Where the ledger is kept; in ConfigMaps of the operator's namespace where this is left out.
    pub ledger: Option<LedgerPlace>,
    /// Only AiBudgets with these labels are this operator's (a selector, such as `installation=blue`); all where it is left out. For
    /// clusters with several installations: each has a ledger of its own, and none looks at the budgets of another.
    pub selector: Option<String>,
    /// What becomes of work that no budget is over. Where it is left out: `Hold` as soon as there is any budget.
    pub unbudgeted: Option<Unbudgeted>,
}

/// A folder of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LedgerPlace {
    /// Store profile. Its store must honour `If-None-Match: *`, and nothing may delete or expire objects in the folder.
    pub store: String,
    /// Folder below the profile's prefix for the operator's own namespace.
    #[serde(default = "default_path")]
    pub path: String,
}

fn default_path() -> String {
    "showrunner-ledger".to_owned()
}

/// What becomes of work that no budget is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unbudgeted {
    /// It starts.
    Admit,
    /// It waits for a budget.
    Hold,
}

impl BudgetSettings {
    /// Whether it can work at all.
    pub fn check(&self) -> anyhow::Result<()> {
        if let Some(place) = &self.ledger {
            anyhow::ensure!(!place.store.is_empty(), "ledger.store: name a store profile");
            anyhow::ensure!(!place.path.is_empty() && place.path.len() <= 512, "ledger.path: must have 1 to 512 bytes");
        }
        Ok(())
    }
}
