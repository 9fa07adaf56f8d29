//! Whole migrations through the PostgreSQL gate, under load.

use std::time::Duration;

use crate::stage::{Gate, Pair, PlanText, Sampler, Stage, WritePath, Writers};

const WRITERS: i32 = 8;

#[test]
fn eight_writers_behind_the_gate_notice_nothing() {
    let pair = Pair::start("cutover");
    let mut stage = Stage::new(&pair, "shop", &PlanText::new(Gate::Postgres));
    stage.start_gate();
    let url = stage.gate_url.clone().unwrap();
    let writers = Writers::start(WritePath::Through(url), 1, WRITERS, Duration::from_millis(5));
    writers.wait_for_more(50);
    let sampler = Sampler::start(&stage, Duration::from_millis(40));
    stage.expect("apply", 0);
    writers.wait_for_more(50);
    let status = stage.status();
    let ledger = writers.stop();
    let samples = sampler.stop();
    assert_eq!(ledger.errors(), vec![], "{}", stage.report());
    assert_eq!(status["state"]["is"], "done");
    assert_eq!(status["authority"], "target");
    let there = stage.check_settled(&[&ledger]);
    samples.check(&stage, &there);
    assert!(samples.len() > 10);
}
