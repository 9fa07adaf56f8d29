//! Processes that are killed by signals, doubled, or left by their operator.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use super::{authority, stop_daemon};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Sampler, Stage, WritePath, Writers, until};

/// A stage whose writers write through the gate.
fn gated(pair: &Pair, name: &str) -> (Stage, Writers) {
    let mut stage = Stage::new(pair, name, &PlanText::new(Gate::Postgres));
    stage.start_gate();
    let url = stage.gate_url.clone().unwrap();
    let writers = Writers::start(WritePath::Through(url), 1, 3, Duration::from_millis(10));
    writers.wait_for_more(10);
    (stage, writers)
}

fn running(stage: &Stage, file: &str) -> u32 {
    let pid = until(PATIENCE, || stage.pid(file));
    pid.unwrap_or_else(|| panic!("no {file}; {}", stage.report()))
}

#[test]
fn the_worker_is_killed_again_and_again() {
    let pair = Pair::start("worker");
    let (stage, writers) = gated(&pair, "worker");
    let sampler = Sampler::start(&stage, Duration::from_millis(60));
    let apply = stage.begin("apply", &[], &[]);
    let mut seen = 0;
    // Each life comes a few records further than the last, and dies soon after its beginning.
    for more in [1_u64, 3, 2, 4, 3, 2, 2] {
        let goal = stage.journal().len() as u64 + more;
        let pid = until(PATIENCE, || {
            (stage.journal().len() as u64 >= goal).then(|| stage.pid("run.pid")).flatten()
        });
        if let Some(pid) = pid {
            Stage::signal(pid, "KILL");
            seen += 1;
        }
    }
    assert_eq!(seen, 7, "{}", stage.report());
    let ran = apply.end(PATIENCE).unwrap_or_else(|e| panic!("{e}\n{}", stage.report()));
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.error(), stage.report());
    writers.wait_for_more(10);
    let (ledger, samples) = (writers.stop(), sampler.stop());
    assert_eq!(ledger.errors(), vec![], "{}", stage.report());
    let there = stage.check_settled(&[&ledger]);
    samples.check(&stage, &there);
}

#[test]
fn supervisor_and_worker_die_together_and_the_next_verb_starts_them() {
    let pair = Pair::start("alone");
    let (stage, writers) = gated(&pair, "alone");
    let sampler = Sampler::start(&stage, Duration::from_millis(60));
    let detached = stage
        .begin("apply", &["--detach"], &[])
        .end(PATIENCE)
        .unwrap_or_else(|e| panic!("{e}\n{}", stage.report()));
    assert_eq!(detached.code, Some(0));
    for (what, verb) in [("copied", "status"), ("reverse-ready", "status"), ("held", "apply")] {
        stage.wait_for_record(what);
        let (supervisor, worker) = (running(&stage, "supervisor.pid"), running(&stage, "run.pid"));
        for pid in [supervisor, worker] {
            Stage::signal(pid, "KILL");
        }
        let dead = until(PATIENCE, || stage.pid("run.pid").is_none().then_some(()));
        assert!(dead.is_some());
        stage.expect(verb, 0);
    }
    stage.wait_for_state("done");
    assert_eq!(authority(&stage), "target");
    writers.wait_for_more(10);
    let (ledger, samples) = (writers.stop(), sampler.stop());
    assert_eq!(ledger.errors(), vec![], "{}", stage.report());
    let there = stage.check_settled(&[&ledger]);
    samples.check(&stage, &there);
}

/// A process that is being killed still has its socket for a moment: a verb may reach it, ask, and
/// get no answer.
#[test]
fn a_daemon_that_dies_before_it_answers_leaves_the_answer_to_its_successor() {
    let pair = Pair::start("dying");
    let stage = Stage::new(&pair, "dying", &PlanText::new(Gate::None));
    std::fs::create_dir_all(stage.state_dir()).unwrap();
    let socket = stage.state_dir().join("run.sock");
    let dying = UnixListener::bind(&socket).unwrap();
    let asked = std::thread::spawn(move || {
        let mut lines = Vec::new();
        for _ in 0..2 {
            let (stream, _) = dying.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).unwrap();
            lines.push(line);
        }
        lines
    });
    stage.expect("apply", 0);
    let lines = asked.join().unwrap();
    assert!(lines.iter().all(|line| line.contains("status")), "{lines:?}");
    assert_eq!(authority(&stage), "target");
}

#[test]
fn an_apply_that_is_killed_or_interrupted_leaves_the_run_alone() {
    let pair = Pair::start("apply");
    let (stage, writers) = gated(&pair, "apply");
    let killed = stage.begin("apply", &[], &[]);
    running(&stage, "run.pid");
    Stage::signal(killed.pid(), "KILL");
    let killed = killed.end(PATIENCE).unwrap();
    assert_eq!(killed.code, None);
    let left = stage.begin("apply", &[], &[]);
    // It listens for Ctrl-C once it follows: it has said something by then.
    let copied = until(PATIENCE, || (stage.journal().len() >= 3).then_some(()));
    assert!(copied.is_some(), "{}", stage.report());
    Stage::signal(left.pid(), "INT");
    let left = left.end(PATIENCE).unwrap();
    assert_eq!(left.code, Some(130), "{}", left.error());
    assert!(left.last("left").is_some(), "{:?}", left.lines);
    stage.wait_for_state("done");
    let ledger = writers.stop();
    assert_eq!(ledger.errors(), vec![]);
    stage.check_settled(&[&ledger]);
}

#[test]
fn second_daemons_changed_plans_and_second_applies() {
    let pair = Pair::start("second");
    let stage = Stage::new(&pair, "second", &PlanText::new(Gate::None));
    stage.expect("apply", 0);
    let records = stage.journal().len();
    let again = stage.expect("apply", 0);
    assert!(again.took < Duration::from_secs(20));
    assert_eq!(stage.journal().len(), records);

    // A second daemon finds the journal held, says so and ends; the first goes on.
    let (worker, supervisor) = (running(&stage, "run.pid"), running(&stage, "supervisor.pid"));
    let second = stage.verb("run");
    assert_eq!(second.code, Some(7), "{}\n{}", second.error(), stage.report());
    assert_eq!(stage.pid("run.pid"), Some(worker));
    assert_eq!(stage.pid("supervisor.pid"), Some(supervisor));
    stage.status();

    // A plan that has changed in what data rests on is refused, with and without a daemon, and nothing
    // happens.
    let plan = std::fs::read_to_string(&stage.plan).unwrap();
    let other = format!("{plan}data: {{exclude: [elsewhere]}}\n");
    std::fs::write(&stage.plan, &other).unwrap();
    let refused = stage.expect("apply", 6);
    assert!(refused.error().contains("changed"), "{}", refused.error());
    std::fs::write(&stage.plan, &plan).unwrap();
    stop_daemon(&stage);
    std::fs::write(&stage.plan, &other).unwrap();
    stage.expect("apply", 6);
    std::fs::write(&stage.plan, &plan).unwrap();
    stage.expect("apply", 0);
    assert_eq!(stage.journal().len(), records);
}

#[test]
fn a_stop_ends_a_daemon_that_is_just_coming_back() {
    let pair = Pair::start("comeback");
    let rests = "phases: [{name: copy, steps: [replicate, {soak: {for: 1h}}]}]\n";
    let stage = Stage::new(&pair, "comeback", &PlanText::new(Gate::None).phases(rests));
    let ran = stage.begin("apply", &["--detach"], &[]).end(PATIENCE).unwrap();
    assert_eq!(ran.code, Some(0), "{}", ran.error());
    stage.wait_for("the soak", |state| state.at == 1);
    Stage::signal(running(&stage, "run.pid"), "KILL");
    // Nobody listens at this moment; the supervisor is at it.
    stop_daemon(&stage);
}
