//! `apply --until`: as far as a phase's end, through a crash, and on from there.

use crate::cutover::under_load;
use crate::stage::{PATIENCE, Pair, Stage};

fn until(stage: &Stage, phase: &str) -> Option<i32> {
    let running = stage.begin("apply", &["--until", phase], &[]);
    running.end(PATIENCE).unwrap_or_else(|e| panic!("{e}\n{}", stage.report())).code
}

#[test]
fn a_run_rests_where_it_was_told_to_and_goes_on_from_there() {
    let pair = Pair::start("until");
    let (stage, writers, sampler) = under_load(&pair, "until", 2);
    assert_eq!(until(&stage, "nowhere"), Some(1));
    assert!(stage.journal().is_empty(), "a phase that is not there begins nothing");

    assert_eq!(until(&stage, "copy"), Some(0), "{}", stage.report());
    let rests = stage.wait_for_state("resting");
    assert_eq!(
        (rests["state"]["phase"].as_str(), rests["steps_done"].as_u64()),
        (Some("copy"), Some(2))
    );
    assert_eq!(rests["authority"], "source");
    // The bound was there before the first step.
    let records = stage.journal();
    assert_eq!(records[0].body["kind"], "bounded", "{}", stage.report());

    // It rests still, and follows still, after a crash.
    Stage::signal(stage.pid("run.pid").unwrap(), "KILL");
    writers.wait_for_more(50);
    assert_eq!(stage.wait_for_state("resting")["steps_done"], 2);
    assert_eq!(until(&stage, "copy"), Some(0), "{}", stage.report());
    assert_eq!(stage.journal().len(), records.len(), "{}", stage.report());

    stage.expect("apply", 0);
    writers.wait_for_more(20);
    let ledger = writers.stop();
    assert_eq!(ledger.errors(), vec![], "{}", stage.report());
    let there = stage.check_settled(&[&ledger]);
    sampler.stop().check(&stage, &there);
    assert_eq!(stage.status()["authority"], "target");
}
