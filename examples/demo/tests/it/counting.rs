//! What the load counts and the checks find.

use serde_json::Value;

use crate::program::demo;

fn summary(out: &tempfile::TempDir) -> Value {
    serde_json::from_slice(&std::fs::read(out.path().join("summary.json")).unwrap()).unwrap()
}

#[test]
fn an_undisturbed_load_loses_nothing_and_both_sides_are_equal() {
    let out = tempfile::tempdir().unwrap();
    let output = demo(&out, &["--seconds", "3", "--rate", "100", "--dump"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let summary = summary(&out);
    for (name, number) in [
        ("failed", 0),
        ("indeterminate", 0),
        ("writes_missing", 0),
        ("writes_duplicated", 0),
        ("rows_different", 0),
    ] {
        assert_eq!(summary[name], number, "{name}");
    }
    assert!(summary["requests"].as_u64().unwrap() >= 300);
    assert!(summary["writes_acknowledged"].as_u64().unwrap() > 40);
    assert!(summary["rows_compared"].as_u64().unwrap() > 1_000_000);
    let line = text.lines().last().unwrap();
    assert!(line.starts_with("demo: requests="), "{line}");
    assert!(line.ends_with(" authority=blue"), "{line}");
}

#[test]
fn every_kind_of_damage_is_found_and_counted() {
    let out = tempfile::tempdir().unwrap();
    let spoils = "lost-order,torn-order,doubled-order,invented-order,lost-touch,doubled-touch,\
                  lost-cart,changed-row,missing-row";
    let output = demo(&out, &["--seconds", "2", "--dump", "--spoil", spoils]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = summary(&out);
    assert_eq!(summary["writes_missing"], 4, "{:#}", summary["findings"]);
    assert_eq!(summary["writes_duplicated"], 3, "{:#}", summary["findings"]);
    assert_eq!(summary["rows_different"], 2, "{:#}", summary["findings"]);
}
