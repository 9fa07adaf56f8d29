//! A program that is told to pause when something fails, and one that must not begin at all.

use super::{Program, Web};
use crate::cutover::Holder;
use crate::gates::web::Load;
use crate::stage::{PATIENCE, Pair};

#[test]
fn one_that_cannot_move_pauses_the_program_and_apply_goes_on() {
    let pair = Pair::start("paused");
    let web = Web::start();
    let mut program = Program::new(&pair, "paused", &web);
    Program::rewrite(&program.users.plan, "attempts: 5", "attempts: 1");
    Program::rewrite(&program.file, ", needs: users", "");
    Program::rewrite(&program.file, "needs: orders", "needs: [users, orders]");
    Program::rewrite(&program.file, "components:\n", "on_fail: pause\ncomponents:\n");
    let moves = "{move: users}, {component: orders, to: cutover}, {move: orders}, {move: web}";
    Program::rewrite(&program.file, moves, "{move: [users, orders]}, {move: web}");
    program.start_gates();
    let load = Load::start(program.web_port);
    let writers = program.writers();

    // Copied by their own verb, and taken over by the program as they are.
    for stage in program.stages() {
        let ran = stage.begin("apply", &["--until", "copy"], &[]).end(PATIENCE);
        assert_eq!(ran.unwrap_or_else(|e| panic!("{e}")).code, Some(0), "{}", program.report());
    }
    let in_the_way = Holder::start(&program.users.source, "UPDATE document SET version = version");
    let ran = program.expect("apply", 5);
    let result = ran.last("result").unwrap();
    let reason = result["state"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("users: the cutover was called off"), "{result}");
    assert_eq!(program.component("users")["authority"], "source", "{}", program.report());
    assert_eq!(program.component("web")["state"], serde_json::Value::Null);
    // Nothing is ordered to go on after the pause; whoever was on the way was told to rest.
    let records = program.journal();
    let paused = records.iter().position(|it| it.body["kind"] == "paused").unwrap();
    let after: Vec<_> =
        records[paused..].iter().filter(|it| it.body["kind"] == "ordered").collect();
    assert!(after.iter().all(|it| it.body["order"]["do"] == "halt"), "{}", program.report());

    in_the_way.end();
    program.expect("apply", 0);
    assert_eq!(program.status()["state"]["is"], "done", "{}", program.report());
    drop(load);
    program.check(writers);
}

#[test]
fn two_names_of_one_database_are_found_before_anything_begins() {
    let pair = Pair::start("shared");
    let web = Web::start();
    let program = Program::new(&pair, "shared", &web);
    // The same place in other words.
    let same = format!("{}?connect_timeout=10", program.users.source);
    Program::rewrite(&program.orders.plan, &program.orders.source, &same);
    for verb in ["apply", "plan"] {
        let ran = program.expect(verb, 1);
        assert!(ran.error().contains("two components have one database"), "{}", ran.error());
    }
    assert!(program.journal().is_empty());
    assert!(program.users.journal().is_empty());
}

#[test]
fn a_program_that_is_paused_begins_nothing_and_resume_goes_on() {
    let pair = Pair::start("held");
    let web = Web::start();
    let mut program = Program::new(&pair, "held", &web);
    program.start_gates();
    let load = Load::start(program.web_port);
    let apply = program.begin("apply", &[]);
    assert!(program.wait_for_records(5), "{}", program.report());
    program.expect("pause", 0);
    let ran = apply.end(PATIENCE).unwrap_or_else(|e| panic!("{e}\n{}", program.report()));
    assert_eq!(ran.code, Some(5), "{}", program.report());
    // Whoever was on the way rests in its own journal.
    for stage in program.stages() {
        stage.wait_for("its rest", |state| state.rests().is_some());
    }
    let records = program.journal();
    let paused = records.iter().position(|it| it.body["kind"] == "paused").unwrap();
    let begun = |it: &&changeover_journal::Record| it.body["order"]["do"] == "advance";
    assert_eq!(records[paused..].iter().find(begun), None, "{}", program.report());

    program.expect("resume", 0);
    assert_eq!(program.status()["state"]["is"], "done", "{}", program.report());
    drop(load);
}
