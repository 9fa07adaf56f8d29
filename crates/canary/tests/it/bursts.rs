//! What came in a burst stays on the record of its weight.

use std::time::Duration;

use changeover_canary::{Judge, Rules, Verdict};
use changeover_types::{Decided, DecidedSecond, LatencyBucket};

use crate::judging::rules;
use crate::world::{GOOD, Service, World};

const DOWN: Service = Service { errors: 1.0, ..GOOD };

fn objective() -> Rules {
    Rules {
        quantiles: vec![],
        warm_up_seconds: 0,
        at_least: Duration::from_secs(20),
        error_rate: Some(0.01),
        ..rules()
    }
}

struct Burst {
    rate: u64,
    permille: u16,
    from: u64,
    seconds: u64,
    service: Service,
}

/// The first verdict that is no "not yet", and the text of the last one, within `most` seconds.
/// Whatever is found to do well keeps to the objective and has no strong evidence against it.
fn judged(rules: &Rules, seed: u64, burst: &Burst, most: u64) -> (Option<Verdict>, String) {
    let mut world = World::new(seed, burst.rate);
    let past: Vec<_> = (0..60).map(|_| world.second(0, GOOD, GOOD)).collect();
    let mut judge = Judge::begin(rules, 7, world.next_second(), &past);
    let mut waits = String::new();
    for at in 0..most {
        let hit = (burst.from..burst.from + burst.seconds).contains(&at);
        let target = if hit { burst.service } else { GOOD };
        let second = world.second(burst.permille, GOOD, target);
        judge.take(rules, 7, world.next_second(), &[second]);
        match judge.verdict(rules, burst.permille, Duration::from_secs(at + 1)) {
            Verdict::NotYet { waiting_for, .. } => waits = waiting_for,
            Verdict::Harmless { figures } => {
                let allowed = rules.error_rate.unwrap_or(rules.allowed_failures);
                let most = allowed * figures.target_requests as f64;
                assert!(figures.target_bad as f64 <= most, "{figures}");
                assert!(figures.strongest.is_none_or(|(_, wealth)| wealth < 10.0), "{figures:?}");
                return (Some(Verdict::Harmless { figures }), waits);
            }
            worse @ Verdict::Worse { .. } => return (Some(worse), waits),
        }
    }
    (None, waits)
}

#[test]
fn a_burst_that_missed_the_objective_is_not_outlived_by_some_quiet_seconds() {
    for (rate, permille) in [(80, 500), (1000, 500), (1000, 50), (20, 500)] {
        for from in [0, 7, 18] {
            // Before the burst is over nothing is known, and the minimum holds until 20 s.
            let burst = Burst { rate, permille, from, seconds: 2, service: DOWN };
            let (verdict, waits) = judged(&objective(), 3, &burst, 90);
            assert!(!matches!(verdict, Some(Verdict::Harmless { .. })), "{rate} {from}: {waits}");
            if verdict.is_none() {
                let told = waits.contains("fewer failures at this share")
                    && waits.contains("the objective is 1 %");
                assert!(told, "{rate} {permille} {from}: {waits}");
            }
        }
    }
}

/// With any number of upstreams, with or without an objective, early, late, short and long.
#[test]
fn what_does_well_kept_to_the_objective_and_has_nothing_strong_against_it() {
    let (mut well, mut seed) = (0, 0);
    for guarded in [true, false] {
        for error_rate in [Some(0.01), Some(0.001), None] {
            for (from, seconds) in [(0, 1), (5, 1), (15, 4), (19, 1), (30, 10), (0, 0)] {
                for errors in [0.02, 0.1, 0.4] {
                    seed += 1;
                    let rules = Rules { guarded, error_rate, ..objective() };
                    let service = Service { errors, ..GOOD };
                    let burst = Burst { rate: 200, permille: 250, from, seconds, service };
                    let (verdict, _) = judged(&rules, seed, &burst, 300);
                    well += u32::from(matches!(verdict, Some(Verdict::Harmless { .. })));
                }
            }
        }
    }
    assert!(well >= 18, "a target without a burst does well: {well}");
}

#[test]
fn where_the_burst_came_late_the_bad_ones_are_told_apart() {
    let late = |bad, never| Decided {
        requests: 40,
        bad,
        latency: vec![(LatencyBucket::of_micros(4000), 40 - never), (LatencyBucket::NEVER, never)],
        users: None,
    };
    let rules = objective();
    let mut judge = Judge::begin(&rules, 7, 0, &[]);
    let second =
        |at, target| DecidedSecond { second: at, target_permille: 500, source: late(0, 0), target };
    judge.take(&rules, 7, 2, &[second(0, late(0, 0)), second(1, late(10, 6))]);
    let text = judge.figures().to_string();
    let told = "10 of 80 requests on the target failed (6 of them late), 0 of 80 on the source";
    assert!(text.starts_with(told), "{text}");
    let verdict = judge.verdict(&rules, 500, Duration::from_secs(2));
    let Verdict::NotYet { waiting_for, left } = verdict else { panic!("{verdict:?}") };
    assert!(
        waiting_for.contains("10 of 80 requests on the target failed (6 of them late)"),
        "{waiting_for}"
    );
    // 1000 requests, of which there were 80 in two seconds.
    assert_eq!(left.map(|left| left.as_secs()), Some(23));
}

#[test]
fn slow_answers_beyond_the_objective_are_not_forgiven_either() {
    // Some sixty of 3600: less than twice the share that the objective allows.
    let slow = Service { slowness: 28.0, ..GOOD };
    let limit = Some(Duration::from_millis(100));
    let at_least = Duration::from_secs(42);
    let rules = Rules { latency_p99: limit, at_least, ..objective() };
    let burst = Burst { rate: 200, permille: 500, from: 35, seconds: 1, service: slow };
    let (verdict, waits) = judged(&rules, 5, &burst, 43);
    assert!(verdict.is_none() && waits.contains("fewer slow answers at this share"), "{waits}");
    let (verdict, _) = judged(&rules, 5, &burst, 200);
    assert!(matches!(verdict, Some(Verdict::Harmless { .. })), "it is outweighed: {verdict:?}");
}

/// 5 of 1085 where half were ordered: another gate, another plan, a cookie of yesterday.
#[test]
fn a_share_that_was_not_ordered_proves_nothing() {
    let side = |requests, bad| Decided { requests, bad, ..Decided::default() };
    let judge = |rules: &Rules, permille, source, target| {
        let mut judge = Judge::begin(rules, 7, 0, &[]);
        let second = DecidedSecond { second: 0, target_permille: permille, source, target };
        judge.take(rules, 7, 1, &[second]);
        judge.verdict(rules, permille, Duration::from_secs(60))
    };
    let none = Rules { error_rate: None, ..objective() };
    for (permille, source, target) in [
        (500, side(1080, 28), side(5, 3)),
        (500, side(1080, 0), side(5, 0)),
        (500, side(0, 0), side(500, 30)),
        (50, side(500, 0), side(500, 60)),
        (900, side(700, 0), side(300, 0)),
    ] {
        let verdict = judge(&none, permille, source, target);
        let Verdict::NotYet { waiting_for, left } = verdict else { panic!("{verdict:?}") };
        assert!(waiting_for.contains("the share that was ordered"), "{waiting_for}");
        assert_eq!(left, None);
    }
    // Few requests may fall anyhow, and of sticky users some are busier than others.
    let sticky = Rules { sticky: true, ..none.clone() };
    for (rules, permille, source, target) in [
        (&none, 500, side(30, 0), side(5, 0)),
        (&none, 50, side(930, 0), side(70, 0)),
        (&sticky, 500, side(800, 0), side(200, 0)),
    ] {
        let verdict = judge(rules, permille, source, target);
        let odd = matches!(&verdict, Verdict::NotYet { waiting_for, .. }
            if waiting_for.contains("the share that was ordered"));
        assert!(!odd, "{verdict:?}");
    }
}
