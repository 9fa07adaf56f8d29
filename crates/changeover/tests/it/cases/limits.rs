//! What a write pause cannot hold is known before anybody is held.

use std::time::Duration;

use changeover_testkit::{Cluster, ClusterConfig};

use crate::faults::program::{has, paused};
use crate::stage::postgres_session::{connect, execute, query_one, rows};
use crate::stage::{Gate, Pair, PlanText, Stage, WritePath, Writers};

/// Sequences that no row has used yet are the slow ones: each must be asked by itself.
fn many_sequences(name: &str, sequences: usize, pause: &str) -> Stage {
    let pair = Pair::start(name);
    let plan = PlanText::new(Gate::None).write_pause("50ms");
    let stage = Stage::bare(&pair.blue, &pair.green, name, ["", ""], &plan);
    execute(
        &stage.source,
        "CREATE TABLE t (id bigserial PRIMARY KEY); INSERT INTO t DEFAULT VALUES",
    );
    let create = format!(
        "DO $$ BEGIN FOR i IN 1..{sequences} LOOP EXECUTE 'CREATE SEQUENCE s' || i; \
         IF i % 500 = 0 THEN COMMIT; END IF; END LOOP; END $$"
    );
    execute(&stage.source, &create);
    let (why, _) = paused(&stage.expect("apply", 5));
    let all = format!("asking {} sequences", sequences + 1);
    has(
        &why,
        &["what has to happen while clients are held takes", &all, "objectives.write_pause to"],
    );
    let held = |record: &changeover_journal::Record| record.body.to_string().contains("\"held\"");
    assert!(!stage.journal().iter().any(held), "{}", stage.report());

    let written = std::fs::read_to_string(&stage.plan).unwrap();
    std::fs::write(&stage.plan, written.replace("50ms", pause)).unwrap();
    stage.expect("apply", 0);
    for sequence in ["s1".to_owned(), format!("s{sequences}")] {
        let sql = format!("SELECT nextval('{sequence}') > 1");
        assert_eq!(query_one(&stage.target, &sql), "t", "{sequence} has its margin");
    }
    stage
}

#[test]
fn sequences_that_do_not_fit_the_write_pause_hold_nobody() {
    many_sequences("many", 2_500, "5s");
}

#[test]
#[ignore = "takes minutes; make test-all"]
fn ten_thousand_sequences_move_within_their_write_pause() {
    let stage = many_sequences("thousands", 10_000, "3s");
    stage.expect("rollback", 0);
    stage.expect("abort", 0);
}

#[test]
fn sessions_that_the_target_does_not_take_hold_nobody() {
    let pair = Pair::start("crowd");
    let mut stage = Stage::new(&pair, "crowd", &PlanText::new(Gate::Postgres));
    let role = "CREATE ROLE shop LOGIN IN ROLE pg_read_all_data";
    execute(&stage.source, role);
    execute(&stage.target, &format!("{role} CONNECTION LIMIT 2"));
    stage.start_gate();
    let url = stage.gate_url.clone().unwrap().replace("postgres@", "shop@");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients: Vec<_> =
        (0..4).map(|_| runtime.block_on(connect(&url)).expect("a session")).collect();
    let (why, _) = paused(&stage.expect("apply", 5));
    let named = "2 of 4 sessions of the PostgreSQL gate cannot be connected to the target: \
                 too many connections for role \"shop\"";
    has(&why, &[named]);
    let held = |record: &changeover_journal::Record| record.body.to_string().contains("\"held\"");
    assert!(!stage.journal().iter().any(held), "{}", stage.report());

    execute(&stage.target, "ALTER ROLE shop CONNECTION LIMIT 4");
    stage.expect("apply", 0);
    for client in &clients {
        let port = runtime.block_on(rows(client, "SHOW port")).unwrap();
        assert_eq!(port[0][0], Some(pair.green.port().to_string()));
    }
}

/// Five hundred of them: they are asked and connected before anybody is held, and the move takes one
/// attempt.
#[test]
#[ignore = "takes minutes; make test-all"]
fn five_hundred_sessions_move_in_one_attempt() {
    let start = |side| {
        let config = ClusterConfig::new(&format!("five-{side}"));
        Cluster::start(config.with("max_connections", "700")).unwrap()
    };
    let (blue, green) = (start("blue"), start("green"));
    let plan = PlanText::new(Gate::Postgres).write_pause("10s");
    let mut stage = Stage::at(&blue, &green, "five", &plan);
    stage.start_gate();
    let url = stage.gate_url.clone().unwrap();
    let writers =
        Writers::start(WritePath::Through(url.clone()), 1, 20, Duration::from_millis(100));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients: Vec<_> =
        (0..480).map(|_| runtime.block_on(connect(&url)).expect("a session")).collect();
    for client in &clients {
        runtime.block_on(rows(client, "SET work_mem = '7MB'")).unwrap();
    }
    writers.wait_for_more(100);
    stage.expect("apply", 0);
    let cutover = stage.status()["cutover"].clone();
    assert_eq!(cutover["attempts"], 1, "{}", stage.report());
    assert!(cutover["longest_wait_ms"].as_u64() > Some(0), "{cutover}");
    for client in &clients {
        let found = runtime.block_on(rows(client, "SELECT current_setting('work_mem')")).unwrap();
        assert_eq!(found[0][0].as_deref(), Some("7MB"));
        let port = runtime.block_on(rows(client, "SHOW port")).unwrap();
        assert_eq!(port[0][0], Some(green.port().to_string()));
    }
    writers.wait_for_more(100);
    let ledger = writers.stop();
    assert_eq!(ledger.errors(), vec![], "{}", stage.report());
    stage.check_settled(&[&ledger]);
}
