use changeover_types::Side;

use super::*;
use crate::check::Owner;
use crate::fact::Fact;

fn fires(_: &Inventory) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.fires(Side::Source, "seen").mended_by("mend it");
    verdict.fires(None, "seen too").only(Severity::Low);
    verdict.known("a third thing", &Fact::<u8>::unasked());
    verdict
}

fn cannot_tell(_: &Inventory) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.known("the clock", &Fact::<u8>::unasked());
    verdict
}

fn has_nothing_to_look_at(_: &Inventory) -> Verdict {
    Verdict { not_applicable: Some("no upstreams".into()), ..Verdict::default() }
}

fn passes(_: &Inventory) -> Verdict {
    Verdict::default()
}

const fn check(id: &'static str, severity: Severity, judge: fn(&Inventory) -> Verdict) -> Check {
    let (title, rule, why, mitigation) = ("title", "rule", "why", "mitigation");
    Check { id, title, severity, rule, why, mitigation, owner: Owner::Database, judge }
}

const SOME: [Check; 4] = [
    check("X1", Severity::Blocker, fires),
    check("X2", Severity::High, cannot_tell),
    check("X3", Severity::High, has_nothing_to_look_at),
    check("X4", Severity::High, passes),
];

const NOW: WallMs = WallMs(1_000_000);

fn waiver(id: &str, until: u64) -> Waiver {
    let (reason, by) = ("known".to_owned(), "alice".to_owned());
    Waiver { id: id.to_owned(), reason, by, until: WallMs(until) }
}

#[test]
fn what_is_not_known_is_not_passed() {
    let assessment = judge(&SOME, &Inventory::empty(NOW), Vec::new(), &[], &[]);
    let score = assessment.score;
    assert_eq!((score.blocker, score.low, score.unknown), (1, 0, 2));
    assert_eq!((score.passed, score.not_applicable), (1, 1));
    assert!(score.blocks());
    assert_eq!(assessment.outcomes[0].missing, ["a third thing: nobody looked"]);
    let why = vec!["the clock: nobody looked".to_owned()];
    assert_eq!(assessment.outcomes[1].status, Status::Unknown { why });
}

#[test]
fn a_waiver_counts_until_its_end_and_is_shown() {
    let waived = judge(&SOME, &Inventory::empty(NOW), Vec::new(), &[], &[waiver("X1", NOW.0 + 1)]);
    assert_eq!((waived.score.blocker, waived.score.waived), (0, 1));
    assert!(!waived.score.blocks());
    assert!(waived.findings.iter().all(|finding| finding.waiver.is_some()));

    let expired = judge(
        &SOME,
        &Inventory::empty(NOW),
        Vec::new(),
        &[],
        &[waiver("X1", NOW.0), waiver("X9", u64::MAX)],
    );
    assert!(expired.score.blocks());
    let faults = ["the waiver of X1 by alice has expired", "the waiver of X9 is of no check"];
    assert_eq!(expired.waiver_faults, faults);
}
