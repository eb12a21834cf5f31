use super::*;
use proptest::prelude::*;

const HEADER: &str = "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,ChargeClass";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-12-01T12:00:00Z")
}

/// A bill of these rows.
fn text(rows: &[String]) -> String {
    format!("{HEADER}\n{}\n", rows.join("\n"))
}

fn read(text: impl AsRef<[u8]>) -> Result<Bill, BillError> {
    Bill::read(text.as_ref(), &TimeZone::UTC, now())
}

/// Usage of so many days of November, each at that cost.
fn november(days: std::ops::RangeInclusive<u32>, cost: &str) -> Vec<String> {
    days.map(|day| {
        let next = if day == 30 { "2026-12-01".to_owned() } else { format!("2026-11-{:02}", day + 1) };
        format!("{cost},EUR,2026-11-{day:02}T00:00:00Z,{next}T00:00:00Z,Usage,")
    })
    .collect()
}

fn one(row: &str) -> Result<Bill, BillError> {
    read(text(&[row.to_owned()]))
}

fn with_cost(cost: &str) -> Result<Bill, BillError> {
    one(&format!("{cost},EUR,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,Usage,"))
}

fn day(bill: &Bill, day: &str) -> Amount {
    bill.days().find(|(known, _)| known.to_string() == day).map_or(Amount::ZERO, |(_, amount)| amount)
}

#[test]
fn a_month_costs_what_its_days_cost() {
    let bill = read(text(&november(1..=30, "2.5"))).unwrap();
    assert_eq!((bill.currency.as_str(), bill.rows, bill.ahead, bill.full_days()), ("EUR", 30, 0, 30));
    assert_eq!((bill.from, bill.through), (at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z")));
    assert_eq!(bill.total(), amount("75"));
    for (days, cost) in [(30, "75"), (31, "77.5"), (365, "912.5"), (1, "2.5"), (0, "0")] {
        assert_eq!(bill.platform_cost(days), Some(amount(cost)), "{days}");
    }
    assert!(bill.platform_cost(u32::MAX).is_some());
}

#[test]
fn only_the_newest_thirty_days_count() {
    let mut rows = november(1..=30, "1");
    rows.extend((1..=30).map(|day| format!("1000,EUR,2026-10-{day:02}T00:00:00Z,2026-10-{:02}T00:00:00Z,Usage,", day + 1)));
    assert_eq!(read(text(&rows)).unwrap().platform_cost(30), Some(amount("30")));
}

#[test]
fn fewer_days_are_scaled_but_not_fewer_than_seven() {
    assert_eq!(read(text(&november(1..=6, "1"))).unwrap().platform_cost(30), None);
    assert_eq!(read(text(&november(1..=7, "1"))).unwrap().platform_cost(30), Some(amount("30")));
    // A third of a millionth is rounded once, in the end.
    assert_eq!(read(text(&november(1..=9, "0.0000011"))).unwrap().platform_cost(30), Some(amount("0.000033")));
    let mut rows = november(1..=7, "0");
    rows.extend(november(1..=1, "1"));
    assert_eq!(read(text(&rows)).unwrap().platform_cost(10), Some(amount("1.428571")));
}

#[test]
fn hours_are_added_up_and_a_day_that_has_not_ended_is_no_full_one() {
    let mut rows: Vec<String> = (0..24 * 8 + 5)
        .map(|hour| {
            let start = at("2026-11-01T00:00:00Z") + SignedDuration::from_hours(hour);
            format!("0.1,EUR,{start},{},Usage,", start + SignedDuration::from_hours(1))
        })
        .collect();
    let bill = read(text(&rows)).unwrap();
    assert_eq!((bill.full_days(), bill.platform_cost(30)), (8, Some(amount("72"))));
    assert_eq!(day(&bill, "2026-11-09"), amount("0.5"));
    // Nor is the first, where the bill begins in its middle.
    rows.drain(..5);
    assert_eq!(read(text(&rows)).unwrap().full_days(), 7);
}

#[test]
fn a_day_that_is_billed_ahead_is_no_full_one_before_it_has_ended() {
    let noon = Bill::read(text(&november(1..=20, "1")).as_bytes(), &TimeZone::UTC, at("2026-11-20T12:00:00Z")).unwrap();
    assert_eq!((noon.through, noon.full_days(), noon.ahead), (at("2026-11-20T12:00:00Z"), 19, 0));
}

#[test]
fn days_are_those_of_the_zone() {
    let rows = november(1..=30, "1");
    let bill = |zone: &str| Bill::read(text(&rows).as_bytes(), &TimeZone::get(zone).unwrap(), now()).unwrap();
    assert_eq!(day(&bill("Europe/Berlin"), "2026-11-01"), amount("1"));
    assert_eq!(day(&bill("America/New_York"), "2026-10-31"), amount("1"));
    // The day that the bill begins in is full in neither.
    assert_eq!((bill("Europe/Berlin").full_days(), bill("America/New_York").full_days()), (29, 29));
    assert_eq!(bill("Europe/Berlin").platform_cost(30), Some(amount("30")));
}

#[test]
fn a_monthly_fee_is_spread_over_its_days_and_does_not_say_how_far_the_bill_reaches() {
    let mut rows = november(1..=10, "1");
    rows.push("30,EUR,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,Purchase,".to_owned());
    rows.push("365,EUR,2026-01-01T00:00:00Z,2027-01-01T00:00:00Z,Purchase,".to_owned());
    let bill = read(text(&rows)).unwrap();
    assert_eq!((bill.from, bill.through), (at("2026-11-01T00:00:00Z"), at("2026-11-11T00:00:00Z")));
    assert_eq!(day(&bill, "2026-11-01"), amount("3"));
    assert_eq!(day(&bill, "2026-11-25"), amount("2"));
    assert_eq!(bill.platform_cost(30), Some(amount("90")));
    assert_eq!(bill.total(), amount("405"));
    // Nor does a tax or a credit.
    rows.push("10,EUR,2026-11-28T00:00:00Z,2026-11-29T00:00:00Z,Tax,".to_owned());
    rows.push("-9,EUR,2026-10-28T00:00:00Z,2026-10-29T00:00:00Z,Credit,".to_owned());
    let taxed = read(text(&rows)).unwrap();
    assert_eq!((taxed.from, taxed.through, taxed.platform_cost(30)), (bill.from, bill.through, bill.platform_cost(30)));
}

#[test]
fn a_bill_of_monthly_fees_alone_reaches_to_now() {
    let fee = "30,EUR,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,Purchase,".to_owned();
    let bill = Bill::read(text(&[fee]).as_bytes(), &TimeZone::UTC, at("2026-11-16T05:00:00Z")).unwrap();
    assert_eq!((bill.full_days(), bill.platform_cost(30)), (15, Some(amount("30"))));
}

#[test]
fn a_longer_charge_is_spread_by_time_over_days_of_any_length() {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    // 25th October 2026 has 25 hours in Berlin; the charge is for 12, 25 and 24 hours of three days.
    let row = "61,EUR,2026-10-24T10:00:00Z,2026-10-26T23:00:00Z,Usage,".to_owned();
    let bill = Bill::read(text(&[row]).as_bytes(), &zone, now()).unwrap();
    let days = ["2026-10-24", "2026-10-25", "2026-10-26"].map(|name| day(&bill, name).to_string());
    assert_eq!(days, ["12", "25", "24"]);
}

#[test]
fn late_rows_add_to_the_days_that_they_are_for() {
    let mut rows = november(1..=30, "2");
    let before = read(text(&rows)).unwrap();
    rows.extend(november(28..=30, "1"));
    let after = read(text(&rows)).unwrap();
    assert_eq!((before.platform_cost(30), after.platform_cost(30)), (Some(amount("60")), Some(amount("63"))));
    assert_eq!((before.full_days(), before.through), (after.full_days(), after.through));
    assert_eq!((day(&before, "2026-11-29"), day(&after, "2026-11-29")), (amount("2"), amount("3")));
}

#[test]
fn corrections_count_on_the_days_that_they_are_for() {
    let mut rows = november(1..=30, "2");
    rows.push("-1.5,EUR,2026-11-10T00:00:00Z,2026-11-11T00:00:00Z,Usage,Correction".to_owned());
    rows.push("-0.5,EUR,2026-11-10T00:00:00Z,2026-11-11T00:00:00Z,Credit,null".to_owned());
    // Of the month before: neither in the newest thirty days nor a reason to count more of them.
    rows.push("-40,EUR,2026-10-03T00:00:00Z,2026-10-04T00:00:00Z,Usage,Correction".to_owned());
    let bill = read(text(&rows)).unwrap();
    assert_eq!((bill.corrections, day(&bill, "2026-11-10")), (amount("-41.5"), Amount::ZERO));
    assert_eq!((bill.full_days(), bill.platform_cost(30)), (30, Some(amount("58"))));
    assert_eq!(bill.total(), amount("18"));
    let mut short = november(1..=10, "2");
    short.push(rows[32].clone());
    assert_eq!(read(text(&short)).unwrap().platform_cost(30), Some(amount("60")));
}

#[test]
fn charges_far_ahead_are_counted_and_left_out() {
    let mut rows = november(1..=30, "1");
    rows.push("99,EUR,2026-12-02T12:00:00Z,2026-12-03T00:00:00Z,Usage,".to_owned());
    rows.push("99,EUR,2026-12-02T12:00:01Z,2026-12-03T00:00:00Z,Usage,".to_owned());
    let bill = read(text(&rows)).unwrap();
    assert_eq!((bill.rows, bill.ahead, bill.total()), (31, 1, amount("129")));
    assert_eq!(one("1,EUR,2027-11-01T00:00:00Z,2027-11-02T00:00:00Z,Usage,"), Err(BillError::AllAhead { rows: 1 }));
}

#[test]
fn numbers_are_read_exactly() {
    let table = [
        ("0", 0),
        ("-0", 0),
        ("0E999", 0),
        ("12", 12 * FINE),
        ("-100.2", -1_002 * FINE / 10),
        (".5", FINE / 2),
        ("007.50", 15 * FINE / 2),
        ("35.2E-7", 352 * FINE / 100_000_000),
        ("1.5E-07", 15 * FINE / 100_000_000),
        ("1e2", 100 * FINE),
        ("1.25E+1", 25 * FINE / 2),
        ("1E12", MAX_UNITS * FINE),
        ("0.000000000000000001", 1),
        ("0.0000000000000000005", 1),
        ("-0.0000000000000000005", -1),
        ("0.00000000000000000049999", 0),
        ("1E-9999", 0),
        ("0.0000000000000000014999999999999999999999", 1),
    ];
    for (text, fine) in table {
        assert_eq!(number(text), Ok(fine), "{text}");
    }
    for text in
        ["", "-", ".", "1.", "+1", "1,5", "1_0", "NaN", "inf", "-Infinity", "$3", "3 EUR", "1 1/2", "1E", "E5", "1E1.5", "1E--1"]
            .into_iter()
            .chain(["1EE1", "1E12345", "--1", "0x10", "1.2.3", "٣", "3^2", "1E12 ", "1E12.1"])
    {
        assert!(number(text).unwrap_err().contains("is no number"), "{text}");
    }
    for text in ["1000000000000.1", "1E13", "-1E13", "1E9999", "99999999999999999999999999999999999999999999"] {
        assert_eq!(number(text), Err("is more than any bill"), "{text}");
    }
    assert_eq!(number(&"1".repeat(65)), Err("has more than 64 digits"));
}

#[test]
fn what_is_less_than_a_millionth_is_not_lost() {
    let rows: Vec<String> = (0..10_000).flat_map(|_| november(1..=1, "1.5E-10")).collect();
    assert_eq!(read(text(&rows)).unwrap().total(), amount("0.000002"));
    assert_eq!(with_cost("4.999E-7").unwrap().total(), Amount::ZERO);
    assert_eq!([with_cost("5E-7"), with_cost("-5E-7")].map(|bill| bill.unwrap().total().micros()), [1, -1]);
}

#[test]
fn times_are_in_utc() {
    let table = [
        ("2026-11-07T13:00:00Z", "2026-11-07T13:00:00Z"),
        ("2026-11-07T13:00Z", "2026-11-07T13:00:00Z"),
        ("2026-11-07T13:00:00.250Z", "2026-11-07T13:00:00.25Z"),
        ("2026-11-07T13:00:00+00:00", "2026-11-07T13:00:00Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
    ];
    for (text, instant) in table {
        assert_eq!(time(text), Ok(at(instant)), "{text}");
    }
    let wrong = [
        "",
        "null",
        "2026-11-07",
        "2026-11-07T13:00:00",
        "2026-11-07 13:00:00Z",
        "2026-11-07 13:00:00 UTC",
        "2026-11-07T13:00:00+01:00",
        "2026-11-07T13:00:00-00:00",
        "2026-11-07T13:00:00z",
        "2026-11-07T13:00:00Z[Europe/Berlin]",
        "2026-11-07T13Z",
        "20261107T130000Z",
        "26-11-07T13:00:00Z",
        "2026-11-07T13:00:00.Z",
        "2026-11-07T13:00.5Z",
        "11/07/2026 13:00",
        "1794056400",
        "２026-11-07T13:00:00Z",
    ];
    for text in wrong {
        assert!(time(text).unwrap_err().contains("is no time in UTC"), "{text}");
    }
    for text in ["2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-11-07T25:00:00Z", "9999-12-31T23:59:59Z"] {
        assert_eq!(time(text), Err("is no time that there is"), "{text}");
    }
    assert_eq!(time("1999-12-31T23:59:59Z"), Err("is before the year 2000"));
}

#[test]
fn a_row_that_is_wrong_is_named_with_what_is_wrong() {
    let table = [
        ("NaN,EUR,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,Usage,", "BilledCost: \"NaN\" is no number"),
        (",EUR,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,Usage,", "BilledCost: \"\" is no number"),
        ("1,eur,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,Usage,", "BillingCurrency: \"eur\" is no ISO 4217"),
        ("1,,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,Usage,", "BillingCurrency: \"\" is no ISO 4217"),
        ("1,EUR,yesterday,2026-11-02T00:00:00Z,Usage,", "ChargePeriodStart: \"yesterday\" is no time in UTC"),
        ("1,EUR,2026-11-01T00:00:00Z,,Usage,", "ChargePeriodEnd: \"\" is no time in UTC"),
        ("1,EUR,2026-11-02T00:00:00Z,2026-11-02T00:00:00Z,Usage,", "is not after ChargePeriodStart"),
        ("1,EUR,2026-11-02T00:00:00Z,2026-11-01T00:00:00Z,Usage,", "is not after ChargePeriodStart"),
        ("1,EUR,2001-11-02T00:00:00Z,2026-11-01T00:00:00Z,Usage,", "is more than ten years after"),
        ("1,EUR,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,Refund,", "ChargeCategory: \"Refund\" is none of"),
        ("1,EUR,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,,", "ChargeCategory: \"\" is none of"),
        ("1,EUR,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,Usage,Regular", "ChargeClass: \"Regular\" is neither"),
        ("1,USD,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,Usage,", "\"USD\", while the rows before are in EUR"),
        ("1,EUR,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,Usage", "has 5 fields and the header 6"),
        ("1,EUR,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,Usage,,", "has 7 fields and the header 6"),
    ];
    for (row, message) in table {
        let mut rows = november(1..=3, "1");
        rows.push(row.to_owned());
        let error = read(text(&rows)).unwrap_err().to_string();
        assert!(error.starts_with("row 5 of the bill") && error.contains(message), "{row}: {error}");
    }
}

#[test]
fn a_file_that_is_no_bill_is_named_for_what_it_is() {
    for bytes in [&b""[..], b"\xEF\xBB\xBF", b"\n\r\n"] {
        assert_eq!(read(bytes), Err(BillError::Empty));
    }
    assert_eq!(read(HEADER), Err(BillError::NoRows));
    for bytes in [&b"\x1F\x8B\x08"[..], b"PK\x03\x04", b"PAR1", b"\xFF\xFEB\0", b"\xFE\xFF\0B"] {
        assert!(matches!(read(bytes), Err(BillError::NotCsv { .. })));
    }
    for column in NEEDED {
        let without = text(&november(1..=1, "1")).replace(column, "Other");
        assert_eq!(read(&without), Err(BillError::NoColumn { column }));
        let twice = text(&november(1..=1, "1")).replace('\n', &format!(",{}\n", column.to_lowercase()));
        assert_eq!(read(&twice), Err(BillError::TwoColumns { column }));
    }
    assert_eq!(read(HEADER.replace(',', ";")), Err(BillError::NoColumn { column: "BilledCost" }));
}

#[test]
fn columns_come_in_any_order_with_others_among_them() {
    let plain = read(text(&november(1..=1, "1.5"))).unwrap();
    let bill = "\u{feff}x_Note,chargeclass,ChargeCategory,\"ChargePeriodEnd\",ChargePeriodStart,BILLINGCURRENCY,BilledCost,Tags\r\n\
        \"a, \"\"b\"\"\nc\",,Usage,\"2026-11-02T00:00:00Z\", 2026-11-01T00:00:00Z ,EUR,\"1.5\",{}\r\n";
    assert_eq!(read(bill).unwrap(), plain);
    // What is not read may be anything.
    let broken = [bill.as_bytes()[..bill.len() - 4].to_vec(), b"\xFF\xFE\0\r\n".to_vec()].concat();
    assert_eq!(read(broken).unwrap(), plain);
}

#[test]
fn texts_from_the_file_are_shown_short_and_harmless() {
    let error = with_cost(&format!("\"\u{1b}[31m{}\"", "x".repeat(1_000_000))).unwrap_err();
    let BillError::Field { row: 2, column: "BilledCost", text, .. } = &error else { panic!("{error}") };
    assert_eq!(text.chars().count(), 40);
    assert!(error.to_string().len() < 200 && !error.to_string().contains(char::is_control));
    let bytes = [text_bytes("1"), b"\xFF,EUR,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,Usage,\n".to_vec()].concat();
    assert!(read(bytes).unwrap_err().to_string().contains("row 3 of the bill, column BilledCost: \"\u{fffd}\" is not UTF-8"));
}

fn text_bytes(cost: &str) -> Vec<u8> {
    text(&november(1..=1, cost)).into_bytes()
}

#[test]
fn periods_that_would_take_for_ever_to_spread_are_refused() {
    let rows: Vec<String> = (0..1_400)
        .map(|second| format!("1,EUR,2016-11-02T00:{:02}:{:02}Z,2026-11-01T00:00:00Z,Usage,", second / 60, second % 60))
        .collect();
    assert_eq!(read(text(&rows)), Err(BillError::TooLong { row: 1371 }));
    // Of one period as many as there may be.
    let rows: Vec<String> = (0..5_000).map(|_| "1,EUR,2016-11-02T00:00:00Z,2026-11-01T00:00:00Z,Usage,".to_owned()).collect();
    assert_eq!(read(text(&rows)).unwrap().total(), amount("5000"));
}

fn charge() -> Charge {
    Charge {
        cost: amount("1.25"),
        currency: "EUR".into(),
        start: at("2026-11-07T13:00:00.7Z"),
        end: at("2026-11-07T13:30:00.2Z"),
        billing_start: at("2026-11-01T00:00:00Z"),
        billing_end: at("2026-12-01T00:00:00Z"),
        correction: false,
        account: "studio".into(),
        provider: "Platform, \"AI\"".into(),
        service: "Showrunner".into(),
        description: "subtitles".into(),
        namespace: "films".into(),
        job: "night-of-stars-1".into(),
        title: "=HYPERLINK(\"http://example.invalid\")".into(),
        model: "whisper-small".into(),
        budget: "films".into(),
        basis: "price".into(),
        sku: "l4".into(),
        quantity: Some(Quantity { micros: 500_000, unit: "Hours".into() }),
    }
}

/// A charge's field as it is written.
fn field(charge: &Charge, column: &str) -> String {
    row(charge)[COLUMNS.iter().position(|known| *known == column).unwrap()].clone()
}

#[test]
fn a_charge_is_written_as_focus_has_it() {
    let table = [
        ("BilledCost", "1.25"),
        ("EffectiveCost", "1.25"),
        ("ListCost", "1.25"),
        ("ContractedCost", "1.25"),
        ("BillingCurrency", "EUR"),
        ("BillingAccountId", "studio"),
        ("BillingAccountName", ""),
        ("BillingPeriodStart", "2026-11-01T00:00:00Z"),
        ("BillingPeriodEnd", "2026-12-01T00:00:00Z"),
        ("ChargePeriodStart", "2026-11-07T13:00:00Z"),
        ("ChargePeriodEnd", "2026-11-07T13:30:01Z"),
        ("ChargeCategory", "Usage"),
        ("ChargeClass", ""),
        ("ChargeDescription", "subtitles"),
        ("ChargeFrequency", "Usage-Based"),
        ("ConsumedQuantity", "0.5"),
        ("ConsumedUnit", "Hours"),
        ("PricingQuantity", "0.5"),
        ("PricingUnit", "Hours"),
        ("ProviderName", "Platform, \"AI\""),
        ("PublisherName", "Platform, \"AI\""),
        ("InvoiceIssuerName", "Platform, \"AI\""),
        ("ResourceId", "films/night-of-stars-1"),
        ("ResourceName", "'=HYPERLINK(\"http://example.invalid\")"),
        ("ResourceType", "Job"),
        ("ServiceCategory", "AI and Machine Learning"),
        ("ServiceName", "Showrunner"),
        ("SkuId", "l4"),
        ("SubAccountId", "films"),
        ("SubAccountName", "films"),
        (
            "Tags",
            r#"{"showrunner.dev/budget":"films","showrunner.dev/model":"whisper-small","showrunner.dev/title":"=HYPERLINK(\"http://example.invalid\")"}"#,
        ),
        ("x_Basis", "price"),
        ("x_Budget", "films"),
        ("x_Model", "whisper-small"),
        ("x_Title", "'=HYPERLINK(\"http://example.invalid\")"),
    ];
    assert_eq!(table.len(), COLUMNS.len());
    for (column, value) in table {
        assert_eq!(field(&charge(), column), value, "{column}");
    }
}

#[test]
fn all_that_is_mandatory_from_1_0_to_1_2_is_there_and_own_columns_come_last() {
    // Feature level Mandatory in specification/columns of the tags v1.0, v1.1 and v1.2, which are the same.
    let mandatory = "BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart ChargeCategory \
        ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost InvoiceIssuerName ListCost \
        PricingQuantity PricingUnit ProviderName PublisherName ServiceCategory ServiceName";
    let nullable = ["BillingAccountName", "ChargeClass"];
    for column in mandatory.split_whitespace() {
        assert!(COLUMNS.contains(&column), "{column}");
        assert!(nullable.contains(&column) || !field(&charge(), column).is_empty(), "{column}");
    }
    assert!(COLUMNS.is_sorted_by_key(|column| (column.starts_with("x_"), *column)));
    assert_eq!(write(&[]).trim_end(), COLUMNS.join(","));
}

#[test]
fn what_nobody_counted_is_no_usage_and_a_correction_needs_no_count() {
    let uncounted = Charge { quantity: None, ..charge() };
    let shown =
        |charge: &Charge| ["ChargeCategory", "ChargeClass", "ChargeFrequency", "ConsumedUnit"].map(|name| field(charge, name));
    assert_eq!(shown(&uncounted), ["Adjustment", "", "One-Time", ""]);
    assert_eq!(shown(&Charge { correction: true, ..uncounted }), ["Usage", "Correction", "Usage-Based", ""]);
}

#[test]
fn nothing_is_written_where_there_is_nothing() {
    let empty = Charge { job: String::new(), title: String::new(), model: String::new(), budget: String::new(), ..charge() };
    for column in ["ResourceId", "ResourceName", "ResourceType", "Tags", "x_Title"] {
        assert_eq!(field(&empty, column), "", "{column}");
    }
}

#[test]
fn texts_are_no_formulas_and_numbers_stay_numbers() {
    for text in ["=1", "+1", "-1", "@x", "\t=1", "\rx", "\nx", "  =1", "＝1", "－1", "\u{a0}@x"] {
        assert_eq!(field(&Charge { description: text.into(), ..charge() }, "ChargeDescription"), format!("'{text}"));
    }
    for text in ["", "a=1", "1-2", "'x", "{=1}"] {
        assert_eq!(field(&Charge { description: text.into(), ..charge() }, "ChargeDescription"), text);
    }
    let refund = Charge { cost: amount("-0.5"), ..charge() };
    assert_eq!(field(&refund, "BilledCost"), "-0.5");
    assert_eq!(read(write(&[refund])).unwrap().total(), amount("-0.5"));
}

#[test]
fn a_charge_for_no_time_is_one_for_a_second() {
    let instant = at("2026-11-07T13:00:00Z");
    for end in [instant, at("2026-11-07T12:00:00Z")] {
        let charge = Charge { start: instant, end, ..charge() };
        assert_eq!(field(&charge, "ChargePeriodEnd"), "2026-11-07T13:00:01Z");
        assert_eq!(read(write(&[charge])).unwrap().total(), amount("1.25"));
    }
}

prop_compose! {
    fn charges()(
        micros in -1_000_000_000_000i128..1_000_000_000_000,
        start in 0i64..86_400 * 60,
        length in prop_oneof![0i64..7_200, 0i64..86_400 * 40],
        correction in any::<bool>(),
        texts in prop::collection::vec(any::<String>(), 10),
        counted in prop::option::of(0i128..1_000_000_000),
    ) -> Charge {
        let start = at("2026-10-01T00:00:00Z") + SignedDuration::from_secs(start);
        let mut texts = texts.into_iter();
        let mut text = || texts.next().unwrap();
        Charge {
            cost: Amount::from_micros(micros),
            start,
            end: start + SignedDuration::from_secs(length),
            correction,
            account: text(),
            provider: text(),
            service: text(),
            description: text(),
            namespace: text(),
            job: text(),
            title: text(),
            model: text(),
            budget: text(),
            basis: text(),
            quantity: counted.map(|micros| Quantity { micros, unit: "Hours".into() }),
            ..charge()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_written_is_read_back(charges in prop::collection::vec(charges(), 1..20)) {
        let bill = read(write(&charges)).unwrap();
        prop_assert_eq!(bill.total(), charges.iter().map(|charge| charge.cost).sum());
        prop_assert_eq!(bill.corrections, charges.iter().filter(|charge| charge.correction).map(|charge| charge.cost).sum());
        prop_assert_eq!((bill.rows, bill.ahead), (charges.len() as u64, 0));
    }

    #[test]
    fn days_sum_to_the_rows(
        rows in prop::collection::vec((-10i64.pow(12)..10i64.pow(12), 0u32..16, 0i64..86_400 * 50, 1i64..86_400 * 50), 1..40),
        zone in prop::sample::select(&["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"]),
    ) {
        let lines: Vec<String> = rows
            .iter()
            .map(|(mantissa, places, start, length)| {
                let start = at("2026-10-01T00:00:00Z") + SignedDuration::from_secs(*start);
                format!("{mantissa}E-{places},EUR,{start},{},Usage,", start + SignedDuration::from_secs(*length))
            })
            .collect();
        let bill = Bill::read(text(&lines).as_bytes(), &TimeZone::get(zone).unwrap(), now()).unwrap();
        let exact: i128 = rows.iter().map(|(mantissa, places, ..)| i128::from(*mantissa) * 10i128.pow(18 - places)).sum();
        prop_assert_eq!(bill.days.values().sum::<i128>(), exact);
        prop_assert_eq!(bill.total().micros(), rounded(exact, FINE_PER_MICRO));
        prop_assert_eq!(bill.days().map(|(_, amount)| amount).sum::<Amount>(), bill.total());
        // And the order of rows says nothing.
        let turned: Vec<String> = lines.into_iter().rev().collect();
        prop_assert_eq!(Bill::read(text(&turned).as_bytes(), &TimeZone::get(zone).unwrap(), now()).unwrap(), bill);
    }

    #[test]
    fn nothing_that_is_read_makes_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..200), row in "[-0-9.eE+,:TZ\"\n a-c]{0,80}") {
        let _ = read(&bytes);
        let _ = read(format!("{HEADER}\n{row}"));
        let _ = with_cost(&row);
        let _ = time(&row);
    }

    #[test]
    fn any_whole_number_of_millionths_is_read_as_it_is_written(micros in -MAX_UNITS * 1_000_000..=MAX_UNITS * 1_000_000) {
        let text = Amount::from_micros(micros).to_string();
        prop_assert_eq!(number(&text), Ok(micros * FINE_PER_MICRO));
        prop_assert_eq!(number(&format!("{micros}E-6")), Ok(micros * FINE_PER_MICRO));
    }
}
