//! The ledger over pages in memory: many at once, writes that fail, another operator, and what is left after all of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use showrunner_kit::admin::budgets::{Ask, Budgets as _, NotShown, Page as Shown};
use showrunner_kit::admission::Work;
use showrunner_ledger::journal::{NOTHING_BEFORE, Page};

use super::pages::memory::{MemoryPages, Trouble};
use super::*;
use crate::ai_budget::settings::Unbudgeted;
use crate::ai_budget::shown::BudgetPages;
use crate::ai_budget::validate::Terms;

fn budget(name: &str, cap: &str, more: &Value) -> AiBudget {
    let mut object = json!({
        "apiVersion": "showrunner.dev/v1alpha1", "kind": "AiBudget", "metadata": { "name": name, "uid": name },
        "spec": { "currency": "EUR", "limits": { "absolute": { "cap": cap } } },
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn namespace(name: &str, labels: &[(&str, &str)]) -> Namespace {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
    Namespace { metadata, ..Namespace::default() }
}

struct Bed {
    ledger: Arc<Ledger>,
    pages: MemoryPages,
    woken: Arc<Mutex<Vec<String>>>,
}

fn bed(budgets: Vec<AiBudget>, unbudgeted: Option<Unbudgeted>) -> Bed {
    bed_over(MemoryPages::default(), budgets, unbudgeted)
}

fn bed_over(pages: MemoryPages, budgets: Vec<AiBudget>, unbudgeted: Option<Unbudgeted>) -> Bed {
    let namespaces = [namespace("studio", &[("ai", "true")]), namespace("archive", &[]), namespace("lab", &[("ai", "true")])];
    let world =
        World { namespaces: Cache::holding(namespaces), terms: Terms { currency: "EUR".into(), ..Terms::default() }, unbudgeted };
    let ledger = Arc::new(Ledger::new("one", Clock::start()));
    ledger.connect((Arc::new(pages.clone()), "memory".into()), Cache::holding(budgets), world, Arc::new(|_| {}));
    let woken = Arc::<Mutex<Vec<String>>>::default();
    let told = Arc::clone(&woken);
    ledger.wake_by("Thing", Arc::new(move |key| told.lock().unwrap().push(key.to_string())));
    Bed { ledger, pages, woken }
}

fn work(namespace: &str, name: &str) -> Work {
    Work {
        job: ObjectKey::new(namespace, format!("job-{name}")),
        owner: ObjectKey::new(namespace, name),
        owner_kind: "Thing".into(),
        owner_uid: format!("uid-{name}"),
        class: "cpu".into(),
    }
}

impl Bed {
    async fn ask(&self, namespace: &str, name: &str, cost: &str) -> Result<Verdict, AdmissionError> {
        let since = Timestamp::from_second(i64::try_from(name.len()).unwrap()).unwrap();
        let unpriced = (cost == "0").then(|| "class l4 has no pricePerHour".to_owned());
        let reservation = Reservation { work: work(namespace, name), estimate: cost.parse().unwrap(), since, unpriced };
        self.ledger.reserve(&reservation).await
    }

    async fn admitted(&self, namespace: &str, name: &str, cost: &str) -> bool {
        self.ask(namespace, name, cost).await.unwrap() == Verdict::Admit
    }

    async fn why(&self, namespace: &str, name: &str, cost: &str) -> (&'static str, String) {
        match self.ask(namespace, name, cost).await.unwrap() {
            Verdict::Hold { reason, message, .. } => (reason, message),
            Verdict::Admit => panic!("{name} was let in"),
        }
    }

    async fn end(&self, namespace: &str, name: &str, cost: &str) -> Result<(), AdmissionError> {
        let parts = vec![("model".to_owned(), 1)];
        let settlement = Settlement { work: work(namespace, name), spent: cost.parse().unwrap(), bound: false, parts };
        self.ledger.settle(&settlement).await
    }

    fn pages(&self) -> usize {
        self.pages.pages.lock().unwrap().len()
    }

    /// The pages read from the first on, as anybody may: what was spent and reserved under a budget.
    fn audit(&self, budget: &str) -> (Amount, Amount) {
        let (mut digest, mut book) = (NOTHING_BEFORE.to_owned(), Book::default());
        for (sequence, bytes) in self.pages.pages.lock().unwrap().iter() {
            let (page, next) = Page::read(bytes, *sequence, Some(&digest)).unwrap();
            book.turn(&page, &next).unwrap();
            digest = next;
        }
        let spent = book.account(budget).map_or(Amount::ZERO, |account| account.days.values().copied().sum());
        (spent, book.reserved(budget))
    }
}

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

#[tokio::test]
async fn who_has_no_budgets_writes_nothing_and_waits_for_nothing() {
    let bed = bed(Vec::new(), None);
    assert!(bed.admitted("studio", "a", "1000").await);
    bed.end("studio", "a", "5").await.unwrap();
    assert_eq!(bed.pages(), 0);
}

#[tokio::test]
async fn nothing_starts_before_its_money_is_reserved_and_each_is_charged_once() {
    let bed = bed(vec![budget("all", "10", &json!({}))], None);
    assert!(bed.admitted("studio", "a", "6").await && bed.admitted("studio", "a", "6").await);
    assert_eq!(bed.audit("all"), (Amount::ZERO, amount("6")));
    let (reason, message) = bed.why("studio", "b", "5").await;
    assert_eq!(reason, "BudgetFull");
    assert!(message.contains("AiBudget all has no room for at most 5.00 EUR"), "{message}");
    for _ in 0..2 {
        bed.end("studio", "a", "1.5").await.unwrap();
    }
    assert_eq!(bed.audit("all"), (amount("1.5"), Amount::ZERO));
    assert_eq!(*bed.woken.lock().unwrap(), ["studio/b"], "there is room for it now");
    assert!(bed.admitted("studio", "b", "5").await);
    let again = bed.ask("studio", "a", "6").await.unwrap_err();
    assert!(again.to_string().contains("settled before"), "{again}");
}

async fn shown(bed: &Bed, page: Shown, period: Option<&str>, after: usize) -> Result<String, NotShown> {
    let pages = BudgetPages::new(Arc::clone(&bed.ledger), "home".into(), Clock::start());
    pages.show(Ask { budget: "all".into(), page, period: period.map(str::to_owned), after }).await
}

#[tokio::test]
async fn a_report_says_what_was_charged_to_the_millionth() {
    let bed = bed(vec![budget("all", "10", &json!({}))], None);
    assert!(bed.admitted("studio", "a", "6").await);
    bed.end("studio", "a", "1.500001").await.unwrap();
    let csv = shown(&bed, Shown::Models, None, 0).await.unwrap();
    assert!(csv.contains(",model,1.500001,1,1.500001,1\n") && csv.ends_with("(all),1.500001,,,\n"), "{csv}");
    let focus = shown(&bed, Shown::Focus, None, 0).await.unwrap();
    assert!(focus.lines().nth(1).unwrap().starts_with("1.500001,home,,EUR,"), "{focus}");
    let page = shown(&bed, Shown::Report, None, 0).await.unwrap();
    let head = bed.ledger.seen().head;
    assert!(page.contains("1.50</b>") && page.contains(&head.digest) && page.contains("memory"), "{page}");
    let label = csv.lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert_eq!(shown(&bed, Shown::Models, Some(&label), 0).await.unwrap(), csv);
    let NotShown::Unknown(why) = shown(&bed, Shown::Models, Some("1999-01"), 0).await.unwrap_err() else { panic!() };
    assert!(why.contains(&format!("it keeps {label}")), "{why}");
}

#[tokio::test]
async fn the_whole_queue_is_shown_in_order_with_what_each_waits_for() {
    let bed = bed(vec![budget("all", "10", &json!({}))], None);
    assert!(bed.admitted("studio", "first", "10").await);
    for nth in 0..700 {
        bed.why("studio", &format!("{}{nth:03}", "w".repeat(5)), "1").await;
    }
    let read = async |after| serde_json::from_str::<Value>(&shown(&bed, Shown::Queue, None, after).await.unwrap()).unwrap();
    let first = read(0).await;
    assert_eq!((&first["count"], &first["need"], &first["next"]), (&json!(700), &json!("700"), &json!("?after=500")));
    let one = &first["waiting"][0];
    assert_eq!((&one["place"], &one["need"], &one["budgets"]), (&json!(1), &json!("1"), &json!(["all"])));
    assert_eq!((&one["owner"]["name"], &one["reason"]), (&json!("wwwww000"), &json!("BudgetFull")));
    assert!(one["message"].as_str().unwrap().contains("AiBudget all has no room"), "{one}");
    let rest = read(500).await;
    let waiting = rest["waiting"].as_array().unwrap();
    assert_eq!((waiting.len(), &waiting[0]["place"], &rest["next"]), (200, &json!(501), &Value::Null));
    assert!(read(usize::MAX).await["waiting"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_thousand_at_once_never_go_beyond_the_cap_and_share_pages() {
    let bed = Arc::new(bed(vec![budget("all", "100", &json!({}))], None));
    let (admitted, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let asks = (0..1000).map(|number| {
        let (bed, admitted, held) = (Arc::clone(&bed), Arc::clone(&admitted), Arc::clone(&held));
        tokio::spawn(async move {
            let namespace = if number % 2 == 0 { "studio" } else { "lab" };
            let counter = if bed.admitted(namespace, &format!("n{number}"), "1").await { admitted } else { held };
            counter.fetch_add(1, Ordering::Relaxed);
        })
    });
    for ask in asks.collect::<Vec<_>>() {
        ask.await.unwrap();
    }
    assert_eq!((admitted.load(Ordering::Relaxed), held.load(Ordering::Relaxed)), (100, 900));
    assert_eq!(bed.audit("all"), (Amount::ZERO, amount("100")));
    assert!(bed.pages() <= 100 / 16, "{} pages for 100 admissions", bed.pages());
    assert_eq!(bed.ledger.queue().waiting_under("all"), (900, amount("900")));
}

#[tokio::test]
async fn a_small_namespace_waits_for_one_admission_of_a_large_one() {
    let bed = bed(vec![budget("all", "1", &json!({}))], None);
    assert!(bed.admitted("studio", "first", "1").await);
    for number in 0..50 {
        bed.why("studio", &format!("s{number}"), "1").await;
    }
    bed.why("lab", "alone", "1").await;
    bed.end("studio", "first", "0").await.unwrap();
    let next = bed.woken.lock().unwrap().clone();
    assert_eq!(next.len(), 1, "there is room for one: {next:?}");
    let studio = bed.ledger.queue().fair.order().iter().position(|waiting| waiting.namespace == "lab").unwrap();
    assert!(studio <= 1, "it is {studio}th in line");
}

#[tokio::test]
async fn a_large_job_is_not_starved_by_small_ones_behind_it() {
    let bed = bed(vec![budget("all", "10", &json!({}))], None);
    assert!(bed.admitted("studio", "a", "6").await);
    assert_eq!(bed.why("studio", "bb", "8").await.0, "BudgetFull");
    let (reason, message) = bed.why("studio", "ccc", "1").await;
    assert_eq!(reason, "BudgetQueue", "it has room, and comes after: {message}");
    assert_eq!(bed.why("studio", "dddd", "11").await.0, "BudgetTooSmall");
    bed.end("studio", "a", "1").await.unwrap();
    assert!(bed.admitted("studio", "bb", "8").await && bed.admitted("studio", "ccc", "1").await);
}

#[tokio::test]
async fn what_can_never_fit_in_the_period_holds_up_nobody() {
    let bed = bed(vec![budget("all", "10", &json!({}))], None);
    assert!(bed.admitted("studio", "a", "5").await);
    bed.end("studio", "a", "5").await.unwrap();
    assert_eq!(bed.why("studio", "bb", "8").await.0, "BudgetSpent");
    assert!(bed.admitted("studio", "ccc", "1").await);
}

#[tokio::test]
async fn every_budget_over_a_namespace_and_every_parent_must_have_room() {
    let ai = json!({ "scope": { "namespaceSelector": { "matchLabels": { "ai": "true" } } }, "parentRef": { "name": "root" } });
    let nobody = json!({ "scope": { "namespaceSelector": { "matchLabels": { "nobody": "has" } } } });
    let bed = bed(vec![budget("leaf", "100", &ai), budget("root", "4", &nobody)], Some(Unbudgeted::Admit));
    assert!(bed.admitted("studio", "a", "3").await);
    assert_eq!((bed.audit("leaf").1, bed.audit("root").1), (amount("3"), amount("3")), "one entry holds both");
    assert!(bed.why("lab", "b", "2").await.1.contains("AiBudget root"));
    assert!(bed.admitted("archive", "c", "50").await, "no budget is over it");
}

#[tokio::test]
async fn without_a_budget_over_it_work_waits_as_soon_as_there_is_any() {
    let ai = json!({ "scope": { "namespaceSelector": { "matchLabels": { "ai": "true" } } } });
    let with = |unbudgeted| bed(vec![budget("leaf", "100", &ai)], unbudgeted);
    let (reason, message) = with(None).why("archive", "a", "1").await;
    assert!(reason == "Unbudgeted" && message.contains("namespace archive"), "{message}");
    assert!(with(Some(Unbudgeted::Admit)).admitted("archive", "a", "1").await);
    assert_eq!(bed(Vec::new(), Some(Unbudgeted::Hold)).why("archive", "a", "1").await.0, "Unbudgeted");
}

#[tokio::test]
async fn a_budget_that_cannot_work_lets_nothing_start_and_says_why() {
    let cases = [
        (json!({ "currency": "USD" }), "nothing is converted"),
        (json!({ "period": { "timeZone": "Mars/Olympus" } }), "no time zone"),
        (json!({ "parentRef": { "name": "gone" } }), "gone does not exist"),
        (json!({ "limits": { "share": { "cap": "0.15", "of": { "focus": { "path": "bill.csv" } } } } }), "not been read yet"),
    ];
    for (more, expected) in cases {
        let (_, message) = bed(vec![budget("all", "10", &more)], None).why("studio", "a", "1").await;
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn a_namespace_that_was_just_made_is_under_no_budget_before_its_labels_are_seen() {
    let bed = bed(vec![budget("all", "10", &json!({}))], Some(Unbudgeted::Admit));
    let error = bed.ask("just-made", "a", "1").await.unwrap_err();
    assert!(error.to_string().contains("just-made has not been seen yet"), "{error}");
}

#[tokio::test]
async fn what_has_no_price_is_never_free() {
    let bed = bed(vec![budget("all", "10", &json!({}))], None);
    let (reason, message) = bed.why("studio", "a", "0").await;
    assert!(reason == "PriceUnknown" && message.contains("class l4 has no pricePerHour"), "{message}");
    assert!(bed.ledger.queue().waiters.is_empty(), "it keeps nothing from others");
    assert!(self::bed(Vec::new(), None).admitted("studio", "a", "0").await, "without budgets nobody asks");
}

#[tokio::test]
async fn a_share_of_a_fixed_cost_caps_as_an_amount_does_and_the_stricter_one_counts() {
    let share =
        |cap: &str| json!({ "limits": { "absolute": { "cap": "20" }, "share": { "cap": cap, "of": { "fixed": "100" } } } });
    let strict = bed(vec![budget("all", "0", &share("0.15"))], None);
    assert!(!strict.admitted("studio", "a", "15.01").await && strict.admitted("studio", "b", "15").await);
    let loose = bed(vec![budget("all", "0", &share("0.5"))], None);
    assert!(!loose.admitted("studio", "a", "20.01").await && loose.admitted("studio", "b", "20").await);
}

#[tokio::test]
async fn an_override_raises_the_cap_until_it_ends() {
    let raise = |until: &str| json!({ "override": { "amount": "5", "until": until, "reason": "derby week" } });
    assert!(bed(vec![budget("all", "10", &raise("2999-01-01T00:00:00Z"))], None).admitted("studio", "a", "15").await);
    assert!(!bed(vec![budget("all", "10", &raise("2001-01-01T00:00:00Z"))], None).admitted("studio", "a", "15").await);
}

#[tokio::test]
async fn a_dry_run_lets_start_and_counts_what_would_have_waited() {
    let bed = bed(vec![budget("all", "1", &json!({ "mode": "DryRun" }))], None);
    assert!(bed.admitted("studio", "a", "1").await && bed.admitted("studio", "b", "5").await);
    assert_eq!((bed.ledger.would_wait("all"), bed.audit("all").1), (1, amount("6")));
}

#[tokio::test]
async fn a_write_that_fails_lets_nothing_start_and_one_whose_answer_is_lost_counts_once() {
    let bed = bed(vec![budget("all", "10", &json!({}))], None);
    bed.pages.troubles.lock().unwrap().push(Trouble::Refused);
    assert!(bed.ask("studio", "a", "6").await.is_err());
    assert_eq!(bed.pages(), 0);
    bed.pages.troubles.lock().unwrap().push(Trouble::AnswerLost);
    assert!(bed.ask("studio", "a", "6").await.is_err(), "nobody knows what became of it");
    assert!(bed.admitted("studio", "a", "6").await, "it was written");
    assert_eq!((bed.pages(), bed.audit("all").1), (1, amount("6")));
    bed.pages.troubles.lock().unwrap().push(Trouble::AnswerLost);
    assert!(bed.end("studio", "a", "2").await.is_err());
    bed.end("studio", "a", "2").await.unwrap();
    assert_eq!(bed.audit("all"), (amount("2"), Amount::ZERO));
}

#[tokio::test]
async fn an_operator_that_was_overtaken_decides_by_what_the_other_wrote() {
    let old = bed(vec![budget("all", "10", &json!({}))], None);
    assert!(old.admitted("studio", "a", "4").await);
    let new = bed_over(old.pages.clone(), vec![budget("all", "10", &json!({}))], None);
    assert!(new.admitted("studio", "b", "5").await);
    // The old one still believes that 6 are free.
    assert!(!old.admitted("studio", "c", "6").await, "its page was taken, and it looked again");
    old.ledger.forget(&ObjectKey::new("studio", "job-c"));
    assert!(old.admitted("studio", "d", "1").await);
    assert_eq!(old.audit("all").1, amount("10"));
}

#[tokio::test]
async fn a_new_operator_knows_what_the_last_one_did_from_the_pages_alone() {
    for largest in [None, Some(10_000)] {
        knows_from_the_pages(MemoryPages { largest, ..MemoryPages::default() }).await;
    }
}

/// With room for what all pages add up to, and without.
async fn knows_from_the_pages(pages: MemoryPages) {
    let bed = bed_over(pages, vec![budget("all", "1000", &json!({}))], None);
    for number in 0..600 {
        let name = format!("n{number}");
        assert!(bed.admitted("studio", &name, "1").await);
        if number % 2 == 0 {
            bed.end("studio", &name, "0.25").await.unwrap();
        }
    }
    assert!(bed.pages() > 512, "far enough for pages that hold a state");
    let again = bed_over(bed.pages.clone(), vec![budget("all", "1000", &json!({}))], None);
    let (spent, reserved) = again.ledger.look(|book| (book.account("all").unwrap().clone(), book.reserved("all"))).await.unwrap();
    assert_eq!((spent.days.values().copied().sum::<Amount>(), reserved), bed.audit("all"));
    assert_eq!(reserved, amount("300"));
}

#[tokio::test]
async fn a_page_that_is_gone_or_changed_stops_everything_and_says_so() {
    let mut noted = budget("all", "10", &json!({}));
    noted.status = serde_json::from_value(json!({ "ledger": { "page": 3, "digest": "sha256:x", "place": "memory" } })).unwrap();
    let first = bed(vec![budget("all", "10", &json!({}))], None);
    for name in ["a", "b", "c"] {
        assert!(first.admitted("studio", name, "1").await);
    }
    let pages = MemoryPages { pages: Arc::new(Mutex::new(first.pages.pages.lock().unwrap().clone())), ..MemoryPages::default() };
    assert!(bed_over(pages.clone(), vec![noted.clone()], None).admitted("studio", "d", "1").await);
    pages.pages.lock().unwrap().retain(|sequence, _| *sequence < 3);
    let mut elsewhere = noted.clone();
    elsewhere.status.as_mut().unwrap().ledger.as_mut().unwrap().place = "another folder".into();
    assert!(bed_over(MemoryPages::default(), vec![elsewhere], None).admitted("studio", "f", "1").await, "a new ledger may begin");
    let (reason, message) = bed_over(pages.clone(), vec![noted], None).why("studio", "e", "1").await;
    assert!(reason == "LedgerBroken" && message.contains("page 3 of the ledger is gone"), "{message}");
    let forged =
        String::from_utf8(pages.pages.lock().unwrap()[&1].to_vec()).unwrap().replace("\"amount\":\"1\"", "\"amount\":\"0\"");
    pages.pages.lock().unwrap().insert(1, forged.into());
    let (reason, message) = bed_over(pages, vec![budget("all", "10", &json!({}))], None).why("studio", "e", "1").await;
    assert!(reason == "LedgerBroken" && message.contains("does not follow"), "{message}");
}

#[tokio::test]
async fn who_is_cut_off_while_writing_for_others_costs_nobody_anything() {
    let bed = Arc::new(bed(vec![budget("all", "10", &json!({}))], None));
    for round in 0..20 {
        let name = format!("r{round}");
        let asking = Arc::clone(&bed);
        let first = tokio::spawn({
            let name = name.clone();
            async move { asking.ask("studio", &name, "0.1").await }
        });
        tokio::task::yield_now().await;
        first.abort();
        // Whatever became of it.
        let _ = first.await;
        assert!(bed.admitted("studio", &name, "0.1").await);
    }
    assert_eq!(bed.audit("all").1, amount("2"));
}

#[tokio::test]
async fn whoever_asks_no_more_holds_up_nobody() {
    let bed = bed(vec![budget("all", "10", &json!({}))], None);
    assert!(bed.admitted("studio", "a", "6").await);
    bed.why("studio", "bb", "8").await;
    bed.ledger.forget(&ObjectKey::new("studio", "job-bb"));
    assert!(bed.admitted("studio", "ccc", "1").await);
}

#[tokio::test]
async fn what_runs_already_takes_its_room_before_anybody_is_let_in_beside_it() {
    let bed = Arc::new(bed(vec![budget("all", "10", &json!({}))], None));
    let found = Entry {
        key: "studio/job-found".into(),
        fact: Fact::Reserve {
            amount: amount("8"),
            chain: vec!["all".into()],
            who: showrunner_ledger::Who::default(),
            forced: true,
            lease: None,
        },
    };
    // Both on one page: whoever comes first holds the desk until the other is there, too.
    let turn = bed.ledger.journal.lock().await;
    let (writer, asker) = (Arc::clone(&bed), Arc::clone(&bed));
    let wrote = tokio::spawn(async move { writer.ledger.write(found).await });
    let asked = tokio::spawn(async move { asker.admitted("studio", "a", "5").await });
    while lock(&bed.ledger.calls).len() < 2 {
        tokio::task::yield_now().await;
    }
    drop(turn);
    assert!(wrote.await.unwrap().unwrap() && !asked.await.unwrap());
    assert_eq!((bed.audit("all").1, bed.pages()), (amount("8"), 1));
}

#[tokio::test]
async fn people_are_told_of_a_line_once() {
    let bed = bed(vec![budget("all", "10", &json!({}))], None);
    let told = || bed.ledger.told("all", "2026-11", Level::Warn);
    assert!(told().await.unwrap() && !told().await.unwrap());
}

#[test]
fn weights_of_several_budgets_give_the_most() {
    let weights = |weight: u32| json!({ "weights": [{ "namespace": "studio", "weight": weight }] });
    let bed = bed(vec![budget("a", "1", &weights(2)), budget("b", "1", &weights(5))], None);
    assert_eq!(bed.ledger.budgets(Timestamp::UNIX_EPOCH).weights, BTreeMap::from([("studio".to_owned(), 5)]));
}
