//! Metrics from outside beside the requests' own streams.

use std::time::Duration;

use changeover_canary::{Cause, Judge, OutsideRule, Rules, Verdict};
use changeover_types::WallMs;

use crate::judging::rules;
use crate::world::{GOOD, World};

fn with_outside(names: &[&str]) -> Rules {
    let rule = |name: &&str| OutsideRule {
        name: (*name).to_owned(),
        margin: 0.0,
        higher_is_worse: true,
        every: Duration::from_secs(30),
    };
    Rules { outside: names.iter().map(rule).collect(), ..rules() }
}

/// The metric's pair of this number.
fn take(judge: &mut Judge, rules: &Rules, at: usize, n: u64, pair: Result<(f64, f64), String>) {
    let rule = (&rules.outside[at], rules.outside_alarm_at());
    judge.take_outside(at, rule, WallMs(n * 30_000), pair);
}

/// A judge at half of the requests, all of them good, whose proof needs nothing more.
fn proven(rules: &Rules) -> Judge {
    let mut world = World::new(1, 200);
    let past: Vec<_> = (0..60).map(|_| world.second(0, GOOD, GOOD)).collect();
    let mut judge = Judge::begin(rules, 7, world.next_second(), &past);
    let seconds: Vec<_> = (0..300).map(|_| world.second(500, GOOD, GOOD)).collect();
    judge.take(rules, 7, world.next_second(), &seconds);
    judge
}

fn verdict(judge: &Judge, rules: &Rules) -> Verdict {
    judge.verdict(rules, 500, Duration::from_secs(300))
}

fn waits_for(judge: &Judge, rules: &Rules) -> String {
    match verdict(judge, rules) {
        Verdict::NotYet { waiting_for, .. } => waiting_for,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_seen_holds_the_canary_and_a_value_proves_nothing() {
    let rules = with_outside(&["cpu"]);
    let mut judge = proven(&rules);
    assert_eq!(waits_for(&judge, &rules), "values of cpu on both sides");
    take(&mut judge, &rules, 0, 1, Ok((1.0, 1.0)));
    assert!(matches!(verdict(&judge, &rules), Verdict::Harmless { .. }));
    take(&mut judge, &rules, 0, 2, Err("target: the query gives no series".to_owned()));
    let text = waits_for(&judge, &rules);
    assert_eq!(text, "values of cpu on both sides (target: the query gives no series)");

    // The best of values, for hours, is no proof for a target that has no requests.
    let mut unproven = Judge::begin(&rules, 7, 0, &[]);
    (0..500).for_each(|at| take(&mut unproven, &rules, 0, at, Ok((9.0, 1.0))));
    assert!(matches!(verdict(&unproven, &rules), Verdict::NotYet { .. }));
}

#[test]
fn a_worse_metric_takes_back_a_target_whose_requests_are_all_good_and_is_named() {
    let rules = with_outside(&["memory", "cpu"]);
    let mut judge = proven(&rules);
    let mut pairs = 0;
    let alarm = loop {
        take(&mut judge, &rules, 0, pairs, Ok((1.0, 1.0)));
        take(&mut judge, &rules, 1, pairs, Ok((0.5, 0.8)));
        pairs += 1;
        match verdict(&judge, &rules) {
            Verdict::Worse { alarm } => break alarm,
            Verdict::Harmless { .. } => assert!(pairs < 9, "in doubt and let through: {pairs}"),
            Verdict::NotYet { waiting_for, .. } => {
                assert!(waiting_for.contains("cpu"), "{waiting_for}")
            }
        }
    };
    let Cause::Outside { name, alarm_at, .. } = &alarm.cause else { panic!("{alarm}") };
    // Failures, three quantiles and two from outside share one per cent.
    assert_eq!((&**name, *alarm_at, pairs), ("cpu", 600.0, 13));
    let text = alarm.to_string();
    let begin = "cpu, from outside: the target's value was above the source's in 13 of 13 pairs, \
                 last 0.8 against 0.5; ";
    assert!(text.starts_with(begin) && text.ends_with("(asked for: 600)"), "{text}");
}

/// Two metrics that fall either way, watched for two hours, four hundred times.
#[test]
fn fair_pairs_alarm_no_more_often_than_was_allowed() {
    let rules = Rules { quantiles: vec![], false_alarm: 0.2, ..with_outside(&["cpu", "memory"]) };
    let (runs, mut alarms) = (400, 0);
    for seed in 1..=runs {
        let mut chance = World::new(seed, 1);
        let mut judge = Judge::begin(&rules, 7, 0, &[]);
        for pair in 0..240 {
            // Shared by both sides: what is common to them says nothing.
            let load = 1.0 + chance.uniform();
            for at in 0..2 {
                let (source, target) = (load + chance.uniform(), load + chance.uniform());
                take(&mut judge, &rules, at, pair, Ok((source, target)));
            }
        }
        alarms += u64::from(matches!(verdict(&judge, &rules), Verdict::Worse { .. }));
    }
    // Two of three streams' share of a fifth is 53; a bet that stops at its goal wins less often.
    assert!((5..=53).contains(&alarms), "{alarms} of {runs}");
}
