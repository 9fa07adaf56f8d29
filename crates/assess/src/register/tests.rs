use super::*;
use crate::finding::Severity::{Blocker, High, Low};

const RULES: &[Rule] = &[
    Rule { id: "keyless", severity: Blocker, fires: "a table has no key", waivable: false },
    Rule { id: "grants", severity: Blocker, fires: "a grant is lost", waivable: true },
];

fn texts(what: &str) -> [String; 3] {
    [what.to_owned(), "why".to_owned(), "fix".to_owned()]
}

fn waiver(id: &str, until: u64) -> Waiver {
    let (id, reason, by) = (id.to_owned(), "known".to_owned(), "ann".to_owned());
    Waiver { id, reason, by, until: WallMs(until) }
}

#[test]
fn a_thousand_things_are_one_finding_with_all_statements() {
    let mut findings = Findings::default();
    let things = (1..=1000).map(|n| Thing::mended_by(format!("t{n}"), format!("ALTER t{n};")));
    let words = ["table has no key", "tables have no key"];
    findings.many(Blocker, "keyless", Side::Source, words, things, ["why", "fix"]);
    findings.many(Blocker, "other", Side::Source, words, Vec::<String>::new(), ["why", "fix"]);
    let found = findings.finish();
    assert_eq!(found.len(), 1, "nothing is no finding");
    assert_eq!(
        found[0].line(),
        "1000 tables have no key: t1, t2, t3, t4, t5, t6, t7, t8 and 992 more"
    );
    assert_eq!((found[0].seen.len(), found[0].script.len()), (1000, 1000));
}

#[test]
fn what_a_rule_adds_one_by_one_is_one_finding_of_its_side() {
    let mut findings = Findings::default();
    findings.add(Low, "slow", Side::Source, texts("a is slow"));
    findings.mended_by("ANALYZE a;");
    findings.add(High, "slow", Side::Source, texts("b is slow"));
    findings.add(Low, "slow", Side::Target, texts("c is slow"));
    findings.add(Blocker, "keyless", Side::Target, texts("d has no key"));
    let found = findings.finish();
    let said: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "target: d has no key: why. fix [keyless]",
            "source: 2 of a kind: a is slow, b is slow: why. fix [slow]",
            "target: c is slow: why. fix [slow]",
        ]
    );
    assert_eq!(found[1].severity, High);
    assert_eq!(found[1].seen, ["a is slow", "b is slow"]);
    assert_eq!(found[1].script, ["ANALYZE a;"]);
}

#[test]
fn a_waiver_holds_where_its_rule_allows_it_and_until_its_day() {
    let mut findings = Findings::default();
    for id in ["keyless", "grants", "unlisted"] {
        findings.add(Blocker, id, None, texts(id));
    }
    findings.add(High, "mild", None, texts("mild"));
    let found = findings.finish();
    let blocking = |waivers: &[Waiver]| -> Vec<&str> {
        let mut found = found.clone();
        accept(&mut found, RULES, waivers, WallMs(10));
        found.iter().filter(|it| it.waiver.is_none()).map(|it| it.id).collect()
    };
    let all = ["keyless", "grants", "unlisted", "mild"].map(|id| waiver(id, 11));
    assert_eq!(blocking(&all), ["keyless", "unlisted"]);
    assert_eq!(blocking(&[waiver("grants", 10)]).len(), 4, "it has expired");
    let faults = [waiver("grants", 10), waiver("keyless", 11), waiver("nothing", 11)];
    assert_eq!(
        waiver_faults(RULES, &faults, WallMs(10)),
        [
            "the waiver of grants by ann has expired",
            "keyless cannot be accepted: mend it, and drop the waiver by ann",
            "the waiver of nothing is of no check",
        ]
    );
}
