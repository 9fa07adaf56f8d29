use super::*;
use crate::document::{document, html, markdown};
use crate::estimate::{Measures, estimate};
use crate::{Unloaded, parse, parse_program};

const PLANS: [(&str, &str); 3] = [
    ("users.yaml", include_str!("../../../../../examples/programs/users.yaml")),
    ("orders.yaml", include_str!("../../../../../examples/programs/orders.yaml")),
    ("web.yaml", include_str!("../../../../../examples/programs/web.yaml")),
];

/// The example, with a phase of people and a soak, and measures of two databases.
fn shop() -> Document {
    let text = include_str!("../../../../../examples/programs/shop.yaml").to_owned()
        + "  - name: settle\n    approve: {from: [alice, bob], count: 2}\n    \
           steps: [soak: {for: 1h}]\n";
    let mut load = |file: &std::path::Path| {
        let name = file.display().to_string();
        let found = PLANS.iter().find(|(it, _)| *it == name);
        let missing = || Unloaded::Unreadable("no such file".to_owned());
        parse(&name, found.ok_or_else(missing)?.1).map_err(Unloaded::Faulty)
    };
    let program =
        parse_program("shop.yaml", &text, &mut load).unwrap_or_else(|faults| panic!("{faults}"));
    let part = |(index, component): (usize, &crate::Component)| {
        let gigabytes = [12_000_000_000, 3_000_000_000].get(index).copied();
        let measures = Measures {
            bytes: gigabytes,
            largest_table_bytes: gigabytes,
            read_bytes_per_s: Some(80_000_000),
            write_bytes_per_s: Some(60_000_000),
            ..Measures::default()
        };
        let risk = Risk {
            id: "long_transaction".into(),
            severity: ["medium", "blocker", "low"][index].into(),
            side: Some("source".into()),
            what: "a transaction is open".into(),
            why: "the copy waits for it".into(),
            mitigation: "end it".into(),
            owner: None,
            seen: Vec::new(),
            script: Vec::new(),
        };
        let around = Surroundings {
            file: component.file.display().to_string(),
            risks: Some(vec![risk]),
            ..Surroundings::default()
        };
        document(&component.plan, &estimate(&component.plan, &measures), &measures, around)
    };
    let parts = program.components.iter().enumerate().map(part).collect();
    let around = Surroundings {
        file: "shop.yaml".into(),
        tool: "changeover 0.0.0".into(),
        at: "2026-05-01 12:00 UTC".into(),
        ..Surroundings::default()
    };
    program_document(&program, parts, around)
}

#[test]
fn a_whole_program_as_markdown() {
    insta::assert_snapshot!(markdown(&shop()));
}

#[test]
fn a_whole_program_is_one_page_with_a_picture_for_each_part() {
    let page = html(&shop());
    assert_eq!(page.matches("<svg").count(), 4);
    for words in ["Component users (migration", "approved by 2 of alice, bob", "Decision"] {
        assert!(page.contains(words), "{words}");
    }
    assert_eq!(page.matches("Risk register").count(), 1);
    assert!(!page.contains("<script"));
}

#[test]
fn a_component_that_was_not_looked_at_leaves_the_register_unknown() {
    let whole = shop();
    let mut parts = whole.components.clone();
    parts[1].risks = None;
    let program = parse_program(
        "one",
        "apiVersion: changeover/v1\nkind: Program\nmetadata: {name: one}\n\
         components: {a: {plan: users.yaml}, b: {plan: orders.yaml}}\n",
        &mut |file| {
            let name = file.display().to_string();
            let found = PLANS.iter().find(|(it, _)| *it == name).unwrap();
            parse(&name, found.1).map_err(Unloaded::Faulty)
        },
    );
    let program = program.unwrap_or_else(|faults| panic!("{faults}"));
    parts.truncate(2);
    let document = program_document(&program, parts, Surroundings::default());
    assert_eq!(document.risks, None);
    assert_eq!(whole.risks.unwrap()[0].severity, "blocker");
}

#[test]
fn whoever_goes_side_by_side_takes_as_long_as_the_longest() {
    let span = |ms| Span::exactly(ms);
    let three = [span(3), span(2), span(2)];
    assert_eq!(side_by_side(&three, 4), span(3));
    // The second lane is free first.
    assert_eq!(side_by_side(&three, 2), span(4));
    assert_eq!(side_by_side(&three, 1), span(7));
    let unknown = [span(3), span(2).and_unknown()];
    assert_eq!(side_by_side(&unknown, 2).most_ms, None);
    assert_eq!(side_by_side(&[], 2), span(0));
}
