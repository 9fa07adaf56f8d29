//! Whole canaries, second by second.

use std::time::Duration;

use changeover_canary::{Alarm, Cause, Judge, Rules, StreamName, Verdict};

use crate::world::{GOOD, Service, World};

const RATE: u64 = 200;

pub(crate) fn rules() -> Rules {
    Rules {
        false_alarm: 0.01,
        proof: 5.0,
        doubt: 0.05,
        quantiles: vec![0.5, 0.9, 0.99],
        decide_after: Duration::from_secs(1),
        warm_up_seconds: 2,
        guarded: true,
        sticky: false,
        at_least: Duration::from_secs(10),
        allowed_failures: 0.01,
        error_rate: None,
        latency_p99: None,
        outside: vec![],
    }
}

/// A canary under way: a world, its judge, and how long the present weight has lasted.
struct Canary {
    world: World,
    rules: Rules,
    judge: Judge,
    permille: u16,
    watched: u64,
}

impl Canary {
    fn begin(mut world: World, rules: Rules) -> Canary {
        let past: Vec<_> = (0..60).map(|_| world.second(0, GOOD, GOOD)).collect();
        let judge = Judge::begin(&rules, 7, world.next_second(), &past);
        Canary { world, rules, judge, permille: 0, watched: 0 }
    }

    fn at(&mut self, permille: u16, proof: f64) {
        (self.permille, self.watched, self.rules.proof) = (permille, 0, proof);
    }

    fn second(&mut self, source: Service, target: Service) -> Verdict {
        let second = self.world.second(self.permille, source, target);
        self.judge.take(&self.rules, 7, self.world.next_second(), &[second]);
        self.watched += 1;
        self.judge.verdict(&self.rules, self.permille, Duration::from_secs(self.watched))
    }

    /// Until there is a verdict, at most so many seconds; and after how many.
    fn until(&mut self, source: Service, target: Service, most: u64) -> (Verdict, u64) {
        let mut verdict = Verdict::NotYet { waiting_for: String::new(), left: None };
        for second in 1..=most {
            verdict = self.second(source, target);
            if !matches!(verdict, Verdict::NotYet { .. }) {
                return (verdict, second);
            }
        }
        (verdict, most)
    }
}

fn worse(verdict: Verdict) -> Alarm {
    match verdict {
        Verdict::Worse { alarm } => alarm,
        other => panic!("not found worse: {other:?}"),
    }
}

#[test]
fn one_per_cent_of_failures_is_found_and_named() {
    for seed in 1..=5 {
        let mut canary = Canary::begin(World::new(seed, RATE), rules());
        canary.at(100, 5.0);
        let bad = Service { errors: 0.01, ..GOOD };
        let alarm = worse(canary.until(GOOD, bad, 900).0);
        let Cause::Stream { name, bad, expected, .. } = &alarm.cause else { panic!("{alarm}") };
        assert_eq!(*name, StreamName::Failures, "{alarm}");
        assert!(bad.target as f64 > 5.0 * expected, "{alarm}");
        let text = alarm.to_string();
        assert!(text.starts_with("failures: ") && text.contains("asked for: 400"), "{text}");
    }
}

#[test]
fn forty_per_cent_slower_is_found_and_ten_per_cent_is_not() {
    for seed in 1..=5 {
        let mut canary = Canary::begin(World::new(seed, RATE), rules());
        let slow = Service { slowness: 1.4, ..GOOD };
        canary.at(100, 5.0);
        let mut verdict = canary.until(GOOD, slow, 900).0;
        if matches!(verdict, Verdict::Harmless { .. }) {
            // At the first weight only "not five times as bad" is asked for.
            canary.at(500, 2.0);
            verdict = canary.until(GOOD, slow, 900).0;
        }
        let alarm = worse(verdict);
        let slower =
            |a: &Alarm| matches!(a.cause, Cause::Stream { name: StreamName::Slower { .. }, .. });
        assert!(slower(&alarm), "{alarm}");

        let mut canary = Canary::begin(World::new(seed, RATE), rules());
        canary.at(500, 1.5);
        for second in 0..600 {
            let verdict = canary.second(GOOD, Service { slowness: 1.09, ..GOOD });
            assert!(
                !matches!(verdict, Verdict::Worse { .. }),
                "seed {seed}, {second} s: {verdict:?}"
            );
        }
    }
}

#[test]
fn a_burst_that_both_sides_share_is_not_the_targets_fault() {
    let mut canary = Canary::begin(World::new(3, RATE), rules());
    canary.at(250, 2.0);
    for round in 0..20 {
        let errors = if round % 2 == 0 { 0.3 } else { 0.0 };
        let both = Service { errors, ..GOOD };
        for _ in 0..30 {
            let verdict = canary.second(both, both);
            assert!(!matches!(verdict, Verdict::Worse { .. }), "{verdict:?}");
        }
    }
}

#[test]
fn the_guard_forgives_one_pause_of_the_target_and_not_the_tenth() {
    let paused = Service { errors: 0.4, ..GOOD };
    let mut canary = Canary::begin(World::new(9, RATE), rules());
    canary.at(250, 2.0);
    (0..30).for_each(|_| drop(canary.second(GOOD, GOOD)));
    for second in 0..10 {
        let verdict = canary.second(GOOD, paused);
        assert!(!matches!(verdict, Verdict::Worse { .. }), "{second}: {verdict:?}");
    }
    let mut pauses = 1;
    while !matches!(canary.judge.verdict(&canary.rules, 250, Duration::ZERO), Verdict::Worse { .. })
    {
        (0..30).for_each(|_| drop(canary.second(GOOD, GOOD)));
        (0..10).for_each(|_| drop(canary.second(GOOD, paused)));
        pauses += 1;
        assert!(pauses <= 10, "it is forgiven for ever");
    }
    assert!(pauses > 1);
}

#[test]
fn a_dead_target_opens_the_breaker_within_seconds() {
    let mut canary = Canary::begin(World::new(5, RATE), rules());
    canary.at(50, 5.0);
    canary.until(GOOD, GOOD, 5);
    let (verdict, seconds) = canary.until(GOOD, Service { errors: 1.0, ..GOOD }, 60);
    let alarm = worse(verdict);
    assert!(matches!(alarm.cause, Cause::Breaker { .. }), "{alarm}");
    assert!(seconds <= 8, "{seconds}");
}

/// A bad minute that both sides shared does not keep a service from being proven that is well again.
#[test]
fn a_shared_bad_time_is_got_over() {
    let mut canary = Canary::begin(World::new(4, RATE), rules());
    canary.at(500, 2.0);
    let both = Service { errors: 0.002, ..GOOD };
    for _ in 0..8 {
        let verdict = canary.second(both, both);
        assert!(matches!(verdict, Verdict::NotYet { .. }), "{verdict:?}");
    }
    let (verdict, _) = canary.until(GOOD, GOOD, 300);
    assert!(matches!(verdict, Verdict::Harmless { .. }), "{verdict:?}");
}

#[test]
fn silence_is_never_success() {
    let mut canary = Canary::begin(World::new(5, RATE), rules());
    canary.at(50, 5.0);
    canary.world = World::new(5, 0);
    let (verdict, _) = canary.until(GOOD, GOOD, 3600);
    let Verdict::NotYet { waiting_for, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!(waiting_for, "a first request on the target");
}

#[test]
fn an_objective_holds_even_when_the_source_breaks_it() {
    let slow = Rules { latency_p99: Some(Duration::from_millis(6)), ..rules() };
    let mut canary = Canary::begin(World::new(5, RATE), slow);
    canary.at(500, 1.5);
    let alarm = worse(canary.until(GOOD, GOOD, 900).0);
    assert!(matches!(alarm.cause, Cause::Objective { .. }), "{alarm}");
}

/// Written down and read again at any second, it comes to the same end.
#[test]
fn a_judge_goes_on_from_what_was_written_down() {
    let rules = rules();
    let mut world = World::new(11, RATE);
    let past: Vec<_> = (0..60).map(|_| world.second(0, GOOD, GOOD)).collect();
    let mut whole = Judge::begin(&rules, 7, world.next_second(), &past);
    let mut interrupted = whole.clone();
    let mut seconds = past;
    for round in 0..40 {
        for _ in 0..3 {
            seconds.push(world.second(100, GOOD, Service { errors: 0.005, ..GOOD }));
        }
        whole.take(&rules, 7, world.next_second(), &seconds[seconds.len() - 3..]);
        // Its process dies now and then, and reads the whole ring again.
        if round % 4 == 0 {
            let text = serde_json::to_string(&interrupted).unwrap();
            interrupted = serde_json::from_str(&text).unwrap();
            interrupted.take(&rules, 7, world.next_second(), &seconds);
        }
    }
    interrupted.take(&rules, 7, world.next_second(), &seconds);
    let (a, b) = (whole.figures(), interrupted.figures());
    assert_eq!((a.target_requests, a.target_bad), (b.target_requests, b.target_bad));
    let wealth = |f: &changeover_canary::Figures| f.strongest.unwrap().1;
    assert!((wealth(&a) / wealth(&b) - 1.0).abs() < 1e-9);
    // Another life of the gate counts its seconds from the beginning again.
    assert_eq!(whole.next_second(7), world.next_second());
    assert_eq!(whole.next_second(8), 0);
}

#[test]
fn of_sticky_users_each_counts_once() {
    let sticky = Rules { sticky: true, warm_up_seconds: 0, ..rules() };
    // Few users: all their first bad requests are soon told, and then nothing more is.
    let mut few = Canary::begin(World::new(2, RATE).with_users(40), sticky.clone());
    few.at(250, 2.0);
    let both = Service { errors: 0.2, ..GOOD };
    few.until(both, both, 120);
    let figures = few.judge.figures();
    assert!(figures.target_bad > 200, "{figures:?}");
    let (verdict, _) = few.until(both, both, 1);
    let Verdict::NotYet { waiting_for, .. } = verdict else { panic!("{verdict:?}") };
    assert!(waiting_for.contains("most of its users were counted already"), "{waiting_for}");

    // Many users: a bad target is found as without the cookie.
    let mut many = Canary::begin(World::new(2, RATE).with_users(20_000), sticky);
    many.at(100, 5.0);
    let alarm = worse(many.until(GOOD, Service { errors: 0.01, ..GOOD }, 900).0);
    let text = alarm.to_string();
    assert!(text.contains("asked for: 800"), "{text}");
}
