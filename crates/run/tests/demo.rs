//! The canary step of `demo/plan.yaml`, read from the file itself, with the demo's load on a fast
//! clock: a good green is never taken back, a broken and a slow one always are.

#[path = "../../canary/tests/it/world.rs"]
mod world;

use std::time::Duration;

use changeover_plan::{Canary, Plan, Step};
use changeover_run::canary::{Judged, WatchRules, Watching, watch_rules};
use world::{GOOD, Service, World};

/// Requests a second, as `make demo` sends them.
const RATE: u64 = 200;

/// Its clients, each of which keeps its side.
const USERS: u64 = 20_000;

/// So long nobody waits for a weight of the demo.
const MOST_SECONDS: u64 = 900;

fn demo() -> Plan {
    let text = include_str!("../../../demo/plan.yaml");
    changeover_plan::parse("demo/plan.yaml", text).unwrap_or_else(|faults| panic!("{faults}"))
}

fn canary(plan: &Plan) -> (usize, &Canary) {
    let canaries = plan.steps().enumerate().filter_map(|(at, placed)| match placed.step {
        Step::Canary(canary) => Some((at, canary)),
        _ => None,
    });
    let all: Vec<_> = canaries.collect();
    let [only] = all[..] else { panic!("the demo has one canary") };
    only
}

fn rules(plan: &Plan, step: usize, weight: usize) -> WatchRules {
    watch_rules(plan, step, weight).expect("a canary is watched")
}

/// Through all weights; `Err` with the reason if it is taken back.
fn goes_through(plan: &Plan, seed: u64, green: Service) -> Result<(), String> {
    let (step, canary) = canary(plan);
    let mut world = World::new(seed, RATE).with_users(USERS);
    let past: Vec<_> = (0..60).map(|_| world.second(0, GOOD, GOOD)).collect();
    let mut watching = Watching::begin(&rules(plan, step, 0), 1, world.next_second(), &past);
    for (index, permille) in canary.weights.iter().enumerate() {
        let rules = rules(plan, step, index);
        let passed = (1..=MOST_SECONDS).find_map(|watched| {
            let second = world.second(*permille, GOOD, green);
            watching.take(&rules, 1, world.next_second(), &[second]);
            match watching.judged(&rules, Duration::from_secs(watched)) {
                Judged::NotYet { .. } => None,
                Judged::GoOn { .. } => Some(Ok(())),
                Judged::Back { why } => Some(Err(why)),
            }
        });
        passed.unwrap_or_else(|| panic!("seed {seed}: no verdict at the weight {permille}"))?;
    }
    Ok(())
}

#[test]
fn a_good_green_is_let_through_in_every_one_of_twenty_runs() {
    let plan = demo();
    for seed in 1..=20 {
        assert_eq!(goes_through(&plan, seed, GOOD), Ok(()), "seed {seed}");
    }
}

#[test]
fn a_green_that_fails_one_request_in_a_hundred_is_taken_back_for_its_failures() {
    let plan = demo();
    for seed in 1..=10 {
        let broken = Service { errors: 0.01, ..GOOD };
        let why = goes_through(&plan, seed, broken).expect_err("let through");
        assert!(why.starts_with("failures: "), "seed {seed}: {why}");
    }
}

#[test]
fn a_green_that_takes_forty_per_cent_longer_is_taken_back_for_its_latency() {
    let plan = demo();
    for seed in 1..=10 {
        let slow = Service { slowness: 1.4, ..GOOD };
        let why = goes_through(&plan, seed, slow).expect_err("let through");
        assert!(why.starts_with("requests slower than the source's p"), "seed {seed}: {why}");
    }
}
