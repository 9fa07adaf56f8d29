//! The daemon dies, and its successor dies while it mends what the first left. There is
//! no supervisor, so each life ends where it shall and nowhere else.

use std::time::Duration;

use super::{CRASH_AT, CrashAt, authority, side_by_side, tidy};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Sampler, Stage, WritePath, Writers};

/// Makes `run` the daemon proper instead of its supervisor.
const WORKER: &str = "CHANGEOVER_WORKER";

/// A small generator of numbers that is the same on every run (the constants of PCG).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Three lives that end at records ever further on, then one that may live.
fn crashes(seeded: &mut Seeded) -> Vec<CrashAt> {
    let mut record = 1 + seeded.below(20);
    (0..3)
        .map(|_| {
            let crash = CrashAt { record, durable: seeded.below(2) == 1 };
            record += 1 + seeded.below(3);
            crash
        })
        .collect()
}

/// Runs the daemon proper, without a supervisor, until it has killed itself.
fn one_life(stage: &Stage, crash: CrashAt) {
    let life = stage.begin("run", &[], &[(WORKER, "1"), (CRASH_AT, &crash.to_string())]);
    let ended = life.end(PATIENCE).unwrap_or_else(|e| panic!("{e}\n{}", stage.report()));
    // While a seal is intended the gate starts a daemon as well, and may have been first.
    if ended.error().contains("is held by process") {
        return;
    }
    assert_eq!(ended.code, None, "not killed at {crash}: {}\n{}", ended.error(), stage.report());
}

#[test]
fn successors_die_too() {
    let pair = Pair::start("nested");
    let mut seeded = Seeded(20_261_122);
    let cases: Vec<Vec<CrashAt>> = (0..8).map(|_| crashes(&mut seeded)).collect();
    side_by_side(3, &cases, |index, crashes| {
        let name = format!("nested_{index}");
        let mut stage = Stage::new(&pair, &name, &PlanText::new(Gate::Postgres).beside_others());
        stage.start_gate();
        let url = stage.gate_url.clone().unwrap();
        let writers = Writers::start(WritePath::Through(url), 1, 3, Duration::from_millis(10));
        writers.wait_for_more(10);
        let sampler = Sampler::start(&stage, Duration::from_millis(60));
        for crash in crashes {
            one_life(&stage, *crash);
        }
        stage.expect("apply", 0);
        writers.wait_for_more(10);
        assert_eq!(authority(&stage), "target");
        let (ledger, samples) = (writers.stop(), sampler.stop());
        assert_eq!(ledger.errors(), vec![], "{crashes:?}: {}", stage.report());
        let there = stage.check_settled(&[&ledger]);
        samples.check(&stage, &there);
        tidy(&pair, stage);
    });
}
