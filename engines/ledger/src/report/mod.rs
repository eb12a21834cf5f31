//! What a budget spent in one period, for people and for their tools: by model as CSV, as a bill in FOCUS, and as a page.
//!
//! A report is read from the book, so that it stands on one page of the journal and says which. All of its forms sum to what
//! was spent, to the millionth. The book tells models apart by period and not by day, and no titles: what a title cost is in
//! its status and on the journal's pages.

mod chart;
mod page;

use csv::WriterBuilder;
use jiff::Timestamp;

use crate::amount::Amount;
use crate::book::{Account, Head, Spent, Usage};
use crate::focus::{self, Charge, Quantity, plain};
use crate::forecast::Forecast;
use crate::period::Period;
use crate::rules::Limits;

/// What corrections are called among the models.
pub const CORRECTIONS: &str = "(corrections)";
/// What the last row of the CSV is called.
pub const ALL: &str = "(all)";
/// Columns of the CSV by model.
pub const COLUMNS: [&str; 7] = ["Period", "Currency", "Model", "Spent", "Runs", "PerRun", "Share"];

/// What one budget spent in one period.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The budget.
    pub budget: String,
    /// ISO 4217 code of all amounts.
    pub currency: String,
    /// The period.
    pub period: Period,
    /// Its days, as the budget's calendar has them.
    pub days: Vec<String>,
    /// What was spent in it.
    pub spent: Spent,
    /// What was spent by day, of all periods.
    pub account: Account,
    /// What only a period that is not over has.
    pub running: Option<Running>,
    /// The page of the journal up to which all this adds up.
    pub head: Head,
    /// Where the journal lies.
    pub place: String,
    /// Who pays: the installation.
    pub payer: String,
    /// When it was made.
    pub made: Timestamp,
}

/// What is known of a period that is not over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Running {
    /// The day now.
    pub today: String,
    /// Warning and cap now.
    pub limits: Limits,
    /// What is held for jobs that run.
    pub reserved: Amount,
    /// What the period will have cost, where that can be said.
    pub forecast: Option<Forecast>,
}

/// What was spent on one model, or what corrects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The model.
    pub model: String,
    /// What was spent on it, in how many attempts.
    pub usage: Usage,
    /// It is what was corrected, and no model.
    pub is_correction: bool,
}

impl Report {
    /// What was spent on each model, the dearest first, and then what was corrected. They sum to what was spent.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let line = |(model, usage): (&String, &Usage)| Line { model: model.clone(), usage: *usage, is_correction: false };
        let mut lines: Vec<Line> = self.spent.models.iter().map(line).collect();
        lines.sort_by(|a, b| b.usage.amount.cmp(&a.usage.amount).then_with(|| a.model.cmp(&b.model)));
        let rest = self.spent.total - lines.iter().map(|line| line.usage.amount).sum();
        if rest != Amount::ZERO {
            let usage = Usage { amount: rest, runs: 0 };
            lines.push(Line { model: CORRECTIONS.to_owned(), usage, is_correction: true });
        }
        lines
    }

    /// What was spent up to the end of each day, from the first day to the last that has begun.
    #[must_use]
    pub fn by_day(&self) -> Vec<(&str, Amount)> {
        let today = self.running.as_ref().map(|running| running.today.as_str());
        let begun = self.days.iter().take_while(|day| today.is_none_or(|today| day.as_str() <= today));
        let sum = |sum: &mut Amount, day: &'_ String| {
            *sum += self.account.days.get(day).copied().unwrap_or_default();
            Some(*sum)
        };
        let sums: Vec<Amount> = begun.clone().scan(Amount::ZERO, |all, day| sum(all, day)).collect();
        begun.map(String::as_str).zip(sums).collect()
    }

    /// By model as CSV with a header ([`COLUMNS`]); the last row is their sum. Amounts are exact, `Share` is a part of 1.
    ///
    /// A text that a spreadsheet would take for a formula has a `'` in front.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut writer = WriterBuilder::new().from_writer(Vec::new());
        let all_good = "memory takes all that is written, and rows are as long as the header";
        writer.write_record(COLUMNS).expect(all_good);
        let mut write = |model: &str, usage: Usage| {
            let row = [
                self.period.label.clone(),
                self.currency.clone(),
                plain(model),
                usage.amount.to_string(),
                usage.runs.to_string(),
                per_run(usage).map_or_else(String::new, |amount| amount.to_string()),
                share(usage.amount, self.spent.total, 10_000).to_string(),
            ];
            writer.write_record(row).expect(all_good);
        };
        for line in self.lines() {
            write(&line.model, line.usage);
        }
        // An attempt counts with each of its models, so that there is no number of attempts for all of them.
        let mut row: Vec<String> = vec![String::new(); COLUMNS.len()];
        row[..4].clone_from_slice(&[
            self.period.label.clone(),
            self.currency.clone(),
            ALL.to_owned(),
            self.spent.total.to_string(),
        ]);
        writer.write_record(row).expect(all_good);
        String::from_utf8(writer.into_inner().expect(all_good)).expect("fields are texts")
    }

    /// The same as charges for a bill: one for each model, and one for what was corrected.
    #[must_use]
    pub fn charges(&self) -> Vec<Charge> {
        self.lines().into_iter().map(|line| self.charge(&line)).collect()
    }

    fn charge(&self, line: &Line) -> Charge {
        let what = if line.is_correction { "Corrections of what was metered" } else { "AI jobs, by what they were metered at" };
        let runs = Quantity { micros: i128::from(line.usage.runs) * 1_000_000, unit: "Runs".to_owned() };
        let model = if line.is_correction { "" } else { &line.model };
        Charge {
            cost: line.usage.amount,
            currency: self.currency.clone(),
            start: self.period.start,
            end: self.period.end.min(self.made).max(self.period.start),
            billing_start: self.period.start,
            billing_end: self.period.end,
            correction: false,
            account: self.payer.clone(),
            provider: "Showrunner".to_owned(),
            service: "AI jobs".to_owned(),
            description: what.to_owned(),
            namespace: String::new(),
            job: String::new(),
            title: String::new(),
            model: model.to_owned(),
            budget: self.budget.clone(),
            basis: if line.is_correction { "Adjusted" } else { "Metered" }.to_owned(),
            sku: model.to_owned(),
            quantity: (!line.is_correction).then_some(runs),
        }
    }

    /// The same as a bill in FOCUS, see [`focus::write`]: `BilledCost` sums to what was spent.
    #[must_use]
    pub fn focus(&self) -> String {
        focus::write(&self.charges())
    }

    /// The same as a page of HTML that stands alone: no script, and nothing from elsewhere.
    #[must_use]
    pub fn html(&self) -> String {
        page::html(self)
    }
}

/// What an attempt cost on average; nothing where there was none.
fn per_run(usage: Usage) -> Option<Amount> {
    (usage.runs > 0).then(|| usage.amount.part(1, i128::from(usage.runs)))
}

/// Which part of a whole this is, in steps of one in `steps`, rounded towards nothing; nothing of nothing.
fn share(part: Amount, whole: Amount, steps: i128) -> Amount {
    let all = whole.micros();
    let found = if all == 0 { 0 } else { part.micros().saturating_mul(steps) / all };
    Amount::from_micros(found * (1_000_000 / steps))
}

#[cfg(test)]
mod tests;
