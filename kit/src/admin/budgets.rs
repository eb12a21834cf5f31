//! What budgets show to people: the report of a period, as a page and as CSV, and who waits.
//!
//! Serves HTTP on the listeners of [`super`]; what is shown comes from whoever knows ([`Budgets`]).

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::future::BoxFuture;
use serde::Deserialize;

/// Longest name of a budget and of a period, bytes.
const MAX_NAME: usize = 253;
const MAX_PERIOD: usize = 16;
/// What a browser may do with a page: show it, with the style that is in it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is to be seen of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The report, for people.
    Report,
    /// The same by model, as CSV.
    Models,
    /// The same as a bill in FOCUS.
    Focus,
    /// Who waits, in order.
    Queue,
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The budget.
    pub budget: String,
    /// What of it.
    pub page: Page,
    /// Of which period; of the one now where it is not said.
    pub period: Option<String>,
    /// So many of those that wait were seen already.
    pub after: usize,
}

/// Why something is not shown, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotShown {
    /// There is no such thing.
    Unknown(String),
    /// It is not known now.
    Away(String),
}

/// Whoever knows of budgets.
pub trait Budgets: Send + Sync + 'static {
    /// The text of a page.
    fn show(&self, ask: Ask) -> BoxFuture<'_, Result<String, NotShown>>;
}

/// What may follow the question mark.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    period: Option<String>,
    #[serde(default)]
    after: usize,
}

impl Page {
    /// The page of this name, the last part of its path.
    fn of(name: &str) -> Option<Self> {
        match name {
            "report" => Some(Self::Report),
            "models.csv" => Some(Self::Models),
            "focus.csv" => Some(Self::Focus),
            "queue" => Some(Self::Queue),
            _ => None,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Report => "text/html; charset=utf-8",
            Self::Models | Self::Focus => "text/csv; charset=utf-8",
            Self::Queue => "application/json",
        }
    }
}

/// Answers `/budgets/{budget}/{page}`.
pub(super) async fn answer(
    State(budgets): State<Option<Arc<dyn Budgets>>>,
    Path((budget, page)): Path<(String, String)>,
    Query(Wanted { period, after }): Query<Wanted>,
) -> Response {
    let (Some(budgets), Some(page)) = (budgets, Page::of(&page)) else { return StatusCode::NOT_FOUND.into_response() };
    if budget.len() > MAX_NAME || period.as_ref().is_some_and(|period| period.len() > MAX_PERIOD) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let headers = [
        (header::CONTENT_TYPE, page.content_type()),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("referrer-policy"), "no-referrer"),
    ];
    match budgets.show(Ask { budget, page, period, after }).await {
        Ok(text) => (headers, text).into_response(),
        Err(NotShown::Unknown(why)) => (StatusCode::NOT_FOUND, format!("{why}\n")).into_response(),
        Err(NotShown::Away(why)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}
