//! Back to the source with everything that was written on the target, and there again.

use std::time::Duration;

use crate::cutover::under_load;
use crate::stage::{Pair, until};

#[test]
fn what_was_written_on_the_target_comes_back_and_goes_again() {
    let pair = Pair::start("rollback");
    let (stage, writers, sampler) = under_load(&pair, "rollback", 8);
    stage.expect("apply", 0);
    writers.wait_for_more(100);

    stage.expect("rollback", 0);
    let status = stage.status();
    assert_eq!(status["state"]["is"], "rolled-back", "{}", stage.report());
    assert_eq!(status["authority"], "source");
    assert_eq!(status["target_permille"], 0);
    writers.wait_for_more(100);
    // Again is nothing to do; and the end of a migration that is back is `abort`.
    let records = stage.journal().len();
    stage.expect("rollback", 0);
    stage.expect("finish", 1);
    assert_eq!(stage.journal().len(), records, "{}", stage.report());

    // The target has followed all along: no second copy.
    stage.expect("apply", 0);
    let kinds: Vec<String> = stage
        .journal()
        .iter()
        .skip(records)
        .map(|record| record.body["kind"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert!(!kinds.iter().any(|kind| kind.contains("cop") || kind == "built"), "{kinds:?}");
    writers.wait_for_more(50);
    let ledger = writers.stop();
    assert_eq!(ledger.errors(), vec![], "{}", stage.report());
    let there = stage.check_settled(&[&ledger]);
    sampler.stop().check(&stage, &there);
    assert_eq!(stage.status()["authority"], "target");
}

/// Asked for while authority is on its way, a rollback waits for the way back to be clear, whatever
/// the moment.
#[test]
fn a_rollback_in_the_middle_of_a_cutover_ends_on_the_source() {
    let pair = Pair::start("middle");
    let (stage, writers, sampler) = under_load(&pair, "middle", 4);
    stage.expect("apply", 0);
    stage.expect("rollback", 0);
    for record in ["attempt-begun", "rehearsed", "held", "leased", "drained", "seal-intended"] {
        let before = stage.journal().len();
        let apply = stage.begin("apply", &[], &[]);
        let seen = until(Duration::from_secs(30), || {
            let records = stage.journal();
            let mut new = records.iter().skip(before);
            new.any(|r| r.body["event"]["event"] == record).then_some(())
        });
        assert!(seen.is_some(), "no {record}; {}", stage.report());
        stage.expect("rollback", 0);
        // It rests where the rollback ended, or wherever it looked before.
        apply.end(Duration::from_secs(60)).unwrap_or_else(|e| panic!("{e}\n{}", stage.report()));
        let status = stage.wait_for_state("rolled-back");
        assert_eq!(status["authority"], "source", "{record}: {}", stage.report());
        writers.wait_for_more(20);
    }
    let ledger = writers.stop();
    assert_eq!(ledger.errors(), vec![], "{}", stage.report());
    let there = stage.check_settled(&[&ledger]);
    sampler.stop().check(&stage, &there);
}
