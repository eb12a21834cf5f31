use super::*;

#[test]
fn dashboards_find_the_names_they_know() {
    let metrics = Metrics::new();
    metrics.reconciled("title", ReconcileResult::Terminal, Duration::from_millis(3));
    metrics.queue("title", 4, &Stats { depth: 2, adds: 5, retries: 1, ..Stats::default() });
    metrics.queue("title", 4, &Stats { depth: 1, adds: 6, retries: 1, ..Stats::default() });
    metrics.rest("200".into(), "GET".into());
    metrics.leading("showrunner-operator", true);
    metrics.wrote("Job", "create");
    let text = metrics.render();
    for line in [
        r#"controller_runtime_reconcile_total{controller="title",result="error"} 1"#,
        r#"controller_runtime_reconcile_errors_total{controller="title"} 1"#,
        r#"controller_runtime_terminal_reconcile_errors_total{controller="title"} 1"#,
        r#"workqueue_depth{name="title",controller="title"} 1"#,
        r#"workqueue_adds_total{name="title",controller="title"} 6"#,
        r#"workqueue_retries_total{name="title",controller="title"} 1"#,
        r#"controller_runtime_max_concurrent_reconciles{controller="title"} 4"#,
        r#"rest_client_requests_total{code="200",method="GET"} 1"#,
        r#"leader_election_master_status{name="showrunner-operator"} 1"#,
        r#"showrunner_writes_total{kind="Job",verb="create"} 1"#,
    ] {
        assert!(text.contains(line), "{line}\nnot in\n{text}");
    }
}

#[test]
fn a_write_conflict_is_not_counted_as_an_error() {
    let metrics = Metrics::new();
    metrics.reconciled("title", ReconcileResult::Requeue, Duration::ZERO);
    assert!(!metrics.render().contains(r#"reconcile_errors_total{controller="title"}"#));
}

#[test]
fn condition_gauges_go_with_the_last_object_that_had_them() {
    let metrics = Metrics::new();
    let mut seen = Vec::new();
    let ready = |status: &str| ["Ready".to_owned(), status.to_owned(), "Why".to_owned()];
    metrics.count_conditions("Title", &mut seen, &[(ready("False"), 3)]);
    metrics.count_conditions("Title", &mut seen, &[(ready("True"), 2)]);
    let text = metrics.render();
    assert!(
        text.contains(r#"operator_status_condition_count{kind="Title",type="Ready",status="True",reason="Why"} 2"#),
        "{text}"
    );
    assert!(!text.contains(r#"status="False""#));
}
