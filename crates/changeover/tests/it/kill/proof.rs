//! A daemon that dies with the proof of its cutover.

use super::{CrashAt, through_a_crash};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage, until};

/// No step compares after the cutover.
const BARE: &str = "phases:\n  - {name: all, steps: [replicate, cutover]}\n";

#[test]
fn a_proof_that_dies_with_the_daemon_is_recorded_and_made_up_for() {
    let pair = Pair::start("proof");
    let begin = |name: &str| {
        Stage::new(&pair, name, &PlanText::new(Gate::None).phases(BARE).beside_others())
    };
    let proofs = |stage: &Stage| -> Vec<serde_json::Value> {
        let records = stage.journal().into_iter();
        records.filter(|it| it.body["kind"] == "proven").map(|it| it.body["rows"].clone()).collect()
    };
    let seen = |stage: &Stage, proof: &str| {
        let is = |it: &serde_json::Value| it["cutover"]["proof"] == proof;
        until(PATIENCE, || Some(stage.status()).filter(is))
            .unwrap_or_else(|| panic!("never {proof}: {}", stage.report()))
    };
    let first = begin("proof_first");
    first.expect("apply", 0);
    seen(&first, "done");
    assert!(proofs(&first)[0].is_u64(), "{}", first.report());
    let granted = |stage: &Stage| {
        let mut records = stage.journal().into_iter();
        records.find(|it| it.body["event"]["event"] == "granted").map(|it| it.seq.0)
    };
    let record = granted(&first).unwrap() + 1;

    let stage = begin("proof_lost");
    through_a_crash(&stage, "apply", CrashAt { record, durable: false });
    let status = seen(&stage, "done");
    assert_eq!(proofs(&stage), [serde_json::Value::Null], "{}", stage.report());
    assert_eq!(status["verify"]["rows_different"], 0, "{}", stage.report());
    assert!(status["verify"]["rows_compared"].as_u64() > Some(0), "{}", stage.report());
}
