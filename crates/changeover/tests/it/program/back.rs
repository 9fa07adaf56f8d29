//! What fails in the third takes the first two back, with everything that was written since.

use super::{Program, Web, at};
use crate::faults::program::has;
use crate::gates::web::{Load, from};
use crate::stage::{PATIENCE, Pair, until};

#[test]
fn a_third_that_fails_takes_the_first_two_back_and_nothing_is_lost() {
    let pair = Pair::start("back");
    let web = Web::start();
    let mut program = Program::new(&pair, "back", &web);
    program.start_gates();
    web.green.fail_one_in(2);
    let load = Load::start(program.web_port);
    let writers = program.writers();

    program.expect("apply", 3);
    let status = program.status();
    assert_eq!(status["state"]["is"], "rolled-back", "{}", program.report());
    assert!(status["state"]["why"].as_str().unwrap().starts_with("web: "), "{status}");
    for stage in program.stages() {
        let (source, target) = stage.authority();
        assert_eq!(source, "source", "{}", program.report());
        assert_ne!(target, "target", "{}", program.report());
    }
    assert_eq!(from(&load.more(20), "blue"), 20, "{}", program.report());
    // In reverse order, each by its own rollback.
    let (users, orders) = (program.users.journal(), program.orders.journal());
    assert!(at(&orders, "rolled-back") <= at(&users, "rollback-begun"), "{}", program.report());
    let sent_back: Vec<String> = program
        .journal()
        .iter()
        .filter(|it| it.body["order"]["do"] == "roll-back")
        .filter_map(|it| it.body["component"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(sent_back, ["web", "orders", "users"], "{}", program.report());

    // What was written on the targets is on the sources.
    writers.iter().for_each(|writers| writers.wait_for_more(30));
    // Mended, it is tried again, without another copy.
    web.green.fail_one_in(0);
    program.expect("apply", 0);
    for stage in program.stages() {
        let copies = stage.journal().iter().filter(|it| it.body["kind"] == "copy-begun").count();
        assert_eq!(copies, 1, "{}", program.report());
    }
    assert_eq!(from(&load.more(20), "green"), 20, "{}", program.report());

    // Somebody takes one back by its own verb while the web service needs it: the program has gone
    // back by itself once already, so it asks; by hand it is the same way back, and out.
    program.expect("abort", 1);
    program.orders.expect("rollback", 0);
    let paused = until(PATIENCE, || {
        let status = program.status();
        (status["state"]["is"] == "paused").then_some(status)
    });
    let paused = paused.unwrap_or_else(|| panic!("{}", program.report()));
    let reason = paused["state"]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("orders: it goes back") && reason.contains("once already"),
        "{paused}"
    );
    has(paused["state"]["next_command"].as_str().unwrap_or_default(), &["changeover rollback "]);
    program.expect("rollback", 0);
    assert_eq!(program.status()["state"]["is"], "rolled-back", "{}", program.report());
    assert_eq!(from(&load.more(20), "blue"), 20, "{}", program.report());
    program.check(writers);
    program.expect("abort", 0);
    for stage in program.stages() {
        assert_eq!(stage.run_state().mode, changeover_run::Mode::Aborted, "{}", program.report());
    }
}
