//! The state folder is removed under a daemon that is about to leave.

use std::fs;

use crate::stage::postgres_session::execute;
use crate::stage::{Gate, Pair, PlanText, Stage};

/// The daemon of an aborted migration lingers for a moment. What it removes then must be its own,
/// not the socket of the daemon that came after it.
#[test]
fn a_daemon_that_leaves_takes_nothing_of_the_next_one_with_it() {
    let pair = Pair::start("folder");
    let plan = PlanText::new(Gate::None);
    let stage = Stage::bare(&pair.blue, &pair.green, "folder", ["", ""], &plan);
    execute(&stage.source, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    for _ in 0..20 {
        let applied = stage.begin("apply", &["--until", "copy"], &[]);
        let applied = applied.end(crate::stage::PATIENCE).unwrap();
        assert_eq!(applied.code, Some(0), "{}", stage.report());
        stage.expect("abort", 0);
        fs::remove_dir_all(stage.state_dir()).unwrap();
    }
}
