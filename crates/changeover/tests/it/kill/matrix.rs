//! The daemon dies at each record of a whole migration, on both of its edges.

use std::time::Duration;

use super::{CrashAt, authority, side_by_side, through_a_crash, tidy};
use crate::stage::{Gate, Pair, PlanText, Sampler, Stage, WritePath, Writers};

/// A run of the stage's plan has this many records before the first change of authority, ...
const BEFORE_CUTOVER: u64 = 12;
/// ... and so many in all.
const RECORDS: u64 = 28;

fn case(pair: &Pair, name: &str, gate: Gate, crash: Option<CrashAt>) {
    let mut stage = Stage::new(pair, name, &PlanText::new(gate).beside_others());
    let path = match &stage.gate_url {
        Some(url) => WritePath::Through(url.clone()),
        None => WritePath::Either(stage.source.clone(), stage.target.clone()),
    };
    if gate != Gate::None {
        stage.start_gate();
    }
    let writers = Writers::start(path, 1, 3, Duration::from_millis(10));
    writers.wait_for_more(10);
    let sampler = Sampler::start(&stage, Duration::from_millis(50));
    match crash {
        Some(crash) => through_a_crash(&stage, "apply", crash),
        None => {
            stage.expect("apply", 0);
            assert_eq!(stage.journal().len() as u64, RECORDS, "{}", stage.report());
        }
    }
    writers.wait_for_more(10);
    let status = stage.status();
    assert_eq!(status["state"]["is"], "done", "{}", stage.report());
    assert_eq!(authority(&stage), "target");
    let ledger = writers.stop();
    let samples = sampler.stop();
    if gate != Gate::None {
        assert_eq!(ledger.errors(), vec![], "through the gate; {}", stage.report());
    }
    let there = stage.check_settled(&[&ledger]);
    samples.check(&stage, &there);
    tidy(pair, stage);
}

fn run(name: &str, gate: Gate, records: std::ops::RangeInclusive<u64>) {
    let pair = Pair::start(name);
    case(&pair, &format!("{name}_clean"), gate, None);
    let cases = CrashAt::each(records);
    side_by_side(3, &cases, |index, crash| {
        case(&pair, &format!("{name}_{index}"), gate, Some(*crash));
    });
}

/// Everything up to the cutover, from the very beginning each time. `repeated` has the rest, and
/// with CHANGEOVER_WHOLE_MATRIX=1 it is here as well.
#[test]
fn every_record_behind_the_gate() {
    let whole = std::env::var_os("CHANGEOVER_WHOLE_MATRIX").is_some();
    run("gated", Gate::Postgres, 1..=if whole { RECORDS } else { BEFORE_CUTOVER });
}

/// Writers that connect to the databases themselves, and look for the other side when refused.
#[test]
fn records_of_the_cutover_without_a_gate() {
    run("direct", Gate::None, 18..=21);
}
