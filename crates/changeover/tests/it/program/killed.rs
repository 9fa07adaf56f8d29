//! Daemons that die in the middle, the program's and a component's: it ends the same.

use super::{Program, Web};
use crate::gates::web::Load;
use crate::stage::{PATIENCE, Pair, Stage, until};

/// Records of the program's journal after which its daemon is killed; a whole run has about fifty.
const DEATHS_AT: [usize; 8] = [1, 3, 6, 10, 16, 22, 28, 34];

pub(super) fn kill_daemon(program: &Program) {
    let pid = until(PATIENCE, || program.pid("run.pid"));
    Stage::signal(pid.unwrap_or_else(|| panic!("no daemon; {}", program.report())), "KILL");
}

#[test]
fn a_program_whose_daemons_are_killed_again_and_again_ends_the_same() {
    let pair = Pair::start("killed");
    let web = Web::start();
    let mut program = Program::new(&pair, "killed", &web);
    program.start_gates();
    let load = Load::start(program.web_port);
    let writers = program.writers();

    let apply = program.begin("apply", &[]);
    let mut deaths = 0;
    for count in DEATHS_AT {
        if program.wait_for_records(count) {
            kill_daemon(&program);
            deaths += 1;
        }
        // And a component's own daemon now and then.
        if deaths % 3 == 0
            && let Some(pid) = program.users.pid("run.pid")
        {
            Stage::signal(pid, "KILL");
        }
    }
    assert!(deaths >= 6, "{}", program.report());
    // With its supervisor it is gone for good, until `apply` starts it again.
    if let Some(pid) = program.pid("supervisor.pid") {
        Stage::signal(pid, "KILL");
        kill_daemon(&program);
    }
    let ran = apply.end(PATIENCE * 2).unwrap_or_else(|e| panic!("{e}\n{}", program.report()));
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.error(), program.report());
    program.expect("apply", 0);
    assert_eq!(program.status()["state"]["is"], "done", "{}", program.report());
    drop(load);
    program.check(writers);
    for stage in program.stages() {
        assert_eq!(stage.status()["authority"], "target", "{}", program.report());
    }
}

#[test]
fn a_way_back_that_is_killed_ends_on_the_source() {
    let pair = Pair::start("wayback");
    let web = Web::start();
    let mut program = Program::new(&pair, "wayback", &web);
    program.start_gates();
    let load = Load::start(program.web_port);
    let writers = program.writers();
    program.expect("apply", 0);

    let records = program.journal().len();
    let rollback = program.begin("rollback", &[]);
    for count in [2, 5, 8] {
        if program.wait_for_records(records + count) {
            kill_daemon(&program);
        }
    }
    let ran = rollback.end(PATIENCE * 2).unwrap_or_else(|e| panic!("{e}\n{}", program.report()));
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.error(), program.report());
    assert_eq!(program.status()["state"]["is"], "rolled-back", "{}", program.report());
    drop(load);
    program.check(writers);
    for stage in program.stages() {
        assert_eq!(stage.status()["authority"], "source", "{}", program.report());
    }
}
