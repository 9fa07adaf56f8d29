//! A whole program there, under writers.

use super::killed::kill_daemon;
use super::{Program, Web, at};
use crate::faults::program::has;
use crate::gates::web::{Load, from};
use crate::stage::{PATIENCE, Pair, Stage, until};

#[test]
fn three_components_move_in_order_and_nobody_notices() {
    let pair = Pair::start("there");
    let web = Web::start();
    let mut program = Program::new(&pair, "there", &web);
    let guard = "guards: [{name: fine, exec: [test, -e, fine], for: 0s, every: 1s}]\nphases:";
    Program::rewrite(&program.folder.path().join("web.yaml"), "phases:", guard);
    let fine = program.folder.path().join("fine");
    std::fs::write(&fine, "").unwrap();
    program.start_gates();
    let load = Load::start(program.web_port);
    let writers = program.writers();

    let page = program.folder.path().join("board.html");
    let (page_file, bearable) = (page.display().to_string(), ["--fail-on", "blocker"]);
    let args = [&["--document", &page_file, "--detailed-exitcode"][..], &bearable].concat();
    let asked = program.say("plan", &args, 2);
    assert!(asked.last("program_steps").is_some(), "{:?}", asked.lines);
    let page = std::fs::read_to_string(page).unwrap();
    has(&page, &["Component users (migration", "Component web (migration", "orders, then users"]);
    // First no further than everybody's copy, also for the daemon that comes after this one.
    has(&program.say("apply", &["--until", "copy"], 1).error(), &["no phase copy", "prepare"]);
    let ran = program.say("apply", &["--until", "prepare"], 0);
    assert_eq!(ran.last("result").unwrap()["state"]["phase"], "prepare", "{:?}", ran.lines);
    kill_daemon(&program);
    assert_eq!(program.status()["state"]["is"], "resting", "{}", program.report());
    assert!(program.journal().iter().all(|it| it.body["order"]["moves"] != true));
    program.expect("apply", 0);
    let status = program.status();
    assert_eq!(status["state"]["is"], "done", "{}", program.report());
    for name in ["users", "orders", "web"] {
        let component = program.component(name);
        assert_eq!(component["state"]["is"], "done", "{}", program.report());
    }
    assert_eq!(from(&load.more(30), "green"), 30, "{}", program.report());
    assert!(load.since(0).iter().all(|got| got.as_ref().is_ok_and(|got| got.status == 200)));

    // The copies went side by side, the moves one after another: their own journals say when.
    let (users, orders) = (program.users.journal(), program.orders.journal());
    assert!(at(&users, "copy-begun") < at(&orders, "caught-up"), "{}", program.report());
    assert!(at(&orders, "copy-begun") < at(&users, "caught-up"), "{}", program.report());
    assert!(at(&users, "granted") <= at(&orders, "attempt-begun"), "{}", program.report());
    // Each rested between its copy and its move.
    assert_eq!(users[0].body["kind"], "bounded", "{}", program.report());

    // Again is nothing to do.
    program.say("plan", &["--offline", "--detailed-exitcode"], 0);
    let records = program.journal().len();
    program.expect("apply", 0);
    assert_eq!(program.journal().len(), records, "{}", program.report());
    program.check(writers);
    drop(load);

    // A guard of a component is looked at until the end, and the program says what it says.
    std::fs::remove_file(&fine).unwrap();
    let alarm = until(PATIENCE, || {
        let ran = program.begin("status", &[]).end(PATIENCE).unwrap();
        (ran.code == Some(5)).then_some(ran)
    });
    let alarm = alarm.unwrap_or_else(|| panic!("no alarm: {}", program.report()));
    let state = &alarm.last("status").unwrap()["state"];
    has(&state["alarms"][0].to_string(), &["[web] guard fine: "]);
    std::fs::write(&fine, "").unwrap();
    let good = until(PATIENCE, || {
        program.begin("status", &[]).end(PATIENCE).unwrap().code.filter(|code| *code == 0)
    });
    assert!(good.is_some(), "{}", program.report());

    // The one step that cannot be taken back, for all.
    program.expect("finish", 0);
    for stage in program.stages() {
        assert_eq!(stage.run_state().mode, changeover_run::Mode::Finished);
    }
    program.expect("rollback", 1);
}

#[test]
fn one_command_keeps_all_gates_and_ends_them() {
    let pair = Pair::start("gates");
    let web = Web::start();
    let mut program = Program::new(&pair, "gates", &web);
    program.start_gates();
    let pid = program.users.pid("gate.pid").unwrap();
    Stage::signal(pid, "KILL");
    let back = until(PATIENCE, || program.users.pid("gate.pid").filter(|new| *new != pid));
    assert!(back.is_some(), "{}", program.report());
    program.users.wait_for_gate();

    // Killed itself, it leaves the gates to the clients, and its successor waits for their places.
    let mut first = program.gates.take().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    let orders = program.orders.pid("gate.pid").unwrap();
    program.start_gates();
    assert_eq!(program.orders.pid("gate.pid"), Some(orders), "{}", program.report());
    Stage::signal(orders, "TERM");
    let taken = until(PATIENCE, || program.orders.pid("gate.pid").filter(|new| *new != orders));
    assert!(taken.is_some(), "{}", program.report());
    program.orders.wait_for_gate();

    // Told to stop, it ends what it started.
    let mut gates = program.gates.take().unwrap();
    let orders = program.orders.pid("gate.pid").unwrap();
    Stage::signal(gates.id(), "TERM");
    let ended = until(PATIENCE, || gates.try_wait().unwrap());
    assert!(ended.is_some_and(|status| status.success()), "{}", program.report());
    assert!(!std::path::Path::new(&format!("/proc/{orders}")).exists());
}
