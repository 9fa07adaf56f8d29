//! The daemon dies at each record of a rollback, and of the cutover that is tried again after it,
//! with writers that never stop.

use std::time::Duration;

use super::{CrashAt, authority, stop_daemon, through_a_crash, tidy};
use crate::stage::{Gate, Pair, PlanText, Sampler, Stage, WritePath, Writers};

/// A rollback has this many records, ...
const BACK: u64 = 14;
/// ... and the cutover after it this many.
const AGAIN: u64 = 18;

/// There and back for each record and edge.
fn there_and_back(name: &str, gate: Gate, edges: &[bool]) {
    let pair = Pair::start(name);
    let mut stage = Stage::new(&pair, name, &PlanText::new(gate));
    let path = match &stage.gate_url {
        Some(url) => WritePath::Through(url.clone()),
        None => WritePath::Either(stage.source.clone(), stage.target.clone()),
    };
    if gate != Gate::None {
        stage.start_gate();
    }
    let writers = Writers::start(path, 1, 2, Duration::from_millis(20));
    writers.wait_for_more(10);
    let sampler = Sampler::start(&stage, Duration::from_millis(150));
    stage.expect("apply", 0);
    let clean = |verb: &str| {
        let before = stage.journal().len() as u64;
        stage.expect(verb, 0);
        stage.journal().len() as u64 - before
    };
    // More only if an attempt was called off and tried again: a busy machine uses up its time. The
    // proof of the one may be recorded when the other has begun, so only their sum is certain.
    let (back, again) = (clean("rollback"), clean("apply"));
    assert!(back + again >= BACK + AGAIN, "{back} {again} {}", stage.report());
    for crash in 1..=AGAIN {
        for durable in edges.iter().copied() {
            for (verb, records, side) in [("rollback", BACK, "source"), ("apply", AGAIN, "target")]
            {
                stop_daemon(&stage);
                let record = stage.journal().len() as u64 + crash;
                if crash <= records {
                    through_a_crash(&stage, verb, CrashAt { record, durable });
                } else {
                    stage.expect(verb, 0);
                }
                assert_eq!(authority(&stage), side, "{verb} {crash}: {}", stage.report());
                writers.wait_for_more(4);
            }
        }
    }
    let ledger = writers.stop();
    let samples = sampler.stop();
    eprintln!("{name}: {} acknowledged, longest {:?}", ledger.acknowledged(), ledger.longest);
    if gate != Gate::None {
        assert_eq!(ledger.errors(), vec![], "through the gate; {}", stage.report());
    }
    let there = stage.check_settled(&[&ledger]);
    samples.check(&stage, &there);
    tidy(&pair, stage);
}

#[test]
fn after_each_record_behind_the_gate() {
    there_and_back("later", Gate::Postgres, &[true]);
}

#[test]
fn before_each_record_behind_the_gate() {
    there_and_back("sooner", Gate::Postgres, &[false]);
}

#[test]
fn both_edges_without_a_gate() {
    there_and_back("plain", Gate::None, &[true, false]);
}
