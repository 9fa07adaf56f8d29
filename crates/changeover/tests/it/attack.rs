//! Unlucky moments, each found by an attack on the real servers: what once broke must not again.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use changeover_journal::Record;
use changeover_types::Side;

use crate::faults::program::{Kept, has, ours, paused};
use crate::stage::postgres_session::{execute, query_one};
use crate::stage::{Gate, PATIENCE, Pair, PlanText, Stage, until};

/// One attempt, so that a cutover that was called off is seen.
const ONE_ATTEMPT: &str = "phases:\n  \
    - {name: copy, steps: [replicate]}\n  \
    - {name: wait, steps: [{soak: {for: 2s}}]}\n  \
    - {name: cutover, steps: [{cutover: {attempts: 1, retry_after: 1s}}]}\n";

/// A second `apply`, as the daemon hears it.
fn ask_to_go_on(stage: &Stage) {
    let mut socket = UnixStream::connect(stage.state_dir().join("run.sock")).unwrap();
    socket.write_all(b"{\"v\":1,\"id\":1,\"ask\":{\"do\":\"retry\"}}\n").unwrap();
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer).unwrap();
    assert!(answer.contains("accepted"), "{answer}");
}

/// A session that holds a lock from `begin` until it is dropped.
struct Holder {
    release: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Holder {
    fn begin(url: &str, lock: &str) -> Holder {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (held, is_held) = std::sync::mpsc::channel();
        let (url, lock) = (url.to_owned(), lock.to_owned());
        let thread = std::thread::spawn(move || {
            crate::stage::postgres_session::block_on(async {
                let client = crate::stage::postgres_session::connect(&url).await.unwrap();
                client.batch_execute(&format!("BEGIN; {lock}")).await.unwrap();
                held.send(()).unwrap();
                tokio::task::spawn_blocking(move || released.recv().ok()).await.unwrap();
                client.batch_execute("ROLLBACK").await.unwrap();
            });
        });
        is_held.recv_timeout(PATIENCE).unwrap();
        Holder { release: Some(release), thread: Some(thread) }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.release.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Waits until the seal's commit waits for the one who holds `changeover.epoch`.
fn wait_for_the_seal(stage: &Stage) {
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted \
                 AND relation = 'changeover.epoch'::regclass";
    let waiting = until(PATIENCE, || (query_one(&stage.source, waits) == "1").then_some(()));
    assert!(waiting.is_some(), "the seal does not come; {}", stage.report());
}

/// The seal's COMMIT is on its way when somebody says `apply` again. Dropping it there made the
/// daemon say "called off, nothing has changed" while the server committed the seal: a source that
/// nobody could write to, nor unseal.
#[test]
fn a_second_apply_does_not_disturb_the_seal() {
    let pair = Pair::start("twice");
    let stage = Stage::new(
        &pair,
        "twice",
        &PlanText::new(Gate::None).write_pause("20s").phases(ONE_ATTEMPT),
    );
    let apply = stage.begin("apply", &[], &[]);
    stage.wait_for("following", |state| state.data == changeover_run::DataStage::Following);
    let holder =
        Holder::begin(&stage.source, "LOCK TABLE changeover.epoch IN SHARE ROW EXCLUSIVE MODE");
    wait_for_the_seal(&stage);
    ask_to_go_on(&stage);
    let given_up = until(Duration::from_millis(500), || {
        let records = stage.journal();
        records.iter().any(|r| r.body["event"]["event"] == "called-off").then_some(())
    });
    assert!(given_up.is_none(), "{}", stage.report());
    drop(holder);
    let ran = apply.end(PATIENCE).unwrap();
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.error(), stage.report());
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
    execute(&stage.target, "INSERT INTO line VALUES (60, 1, 0)");
}

/// `CREATE TABLE` heeds no lock. One that came after the rehearsal, while the gate was holding,
/// was in nobody's digest: its rows stayed behind, unsealed.
#[test]
fn a_table_that_is_created_while_the_gate_holds_calls_the_cutover_off() {
    let pair = Pair::start("latetable");
    let plan = PlanText::new(Gate::Postgres).write_pause("20s").phases(ONE_ATTEMPT);
    let mut stage = Stage::new(&pair, "latetable", &plan);
    stage.start_gate();
    let open = Kept::open(&stage.gate_url.clone().unwrap(), "reader");
    open.run("BEGIN; SELECT 1").unwrap();
    let apply = stage.begin("apply", &[], &[]);
    stage.wait_for_record("rehearsed");
    execute(&stage.source, "CREATE TABLE novelty (id int); INSERT INTO novelty VALUES (1)");
    open.run("COMMIT").unwrap();
    let (why, _) = paused(&apply.end(PATIENCE).unwrap());
    has(&why, &["schema", "source"]);
    assert_eq!(stage.authority(), ("source".to_owned(), "source".to_owned()));
    execute(&stage.source, "DROP TABLE novelty");
    stage.expect("apply", 0);
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
}

/// A table that was made on the target after the cutover has no way back: its rows were left on
/// the sealed side without a word.
#[test]
fn a_rollback_that_would_leave_a_table_behind_says_so() {
    let pair = Pair::start("stranded");
    let stage = Stage::new(&pair, "stranded", &PlanText::new(Gate::None));
    stage.expect("apply", 0);
    execute(&stage.target, "CREATE TABLE novelty (id int); INSERT INTO novelty VALUES (1)");
    let (why, next) = paused(&stage.expect("rollback", 5));
    has(&why, &["target", "public.novelty"]);
    has(&next, &["changeover rollback"]);
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
    execute(&stage.target, "DROP TABLE novelty");
    stage.expect("rollback", 0);
    assert_eq!(stage.authority(), ("source".to_owned(), "none".to_owned()));
}

/// A source that is out of connections at the seal could neither be proven nor, worse, unsealed:
/// the attempt went back over the one thing it can do without, and writes stopped for as long as
/// the connections were gone.
#[test]
fn a_source_without_a_free_connection_at_the_seal_is_left_all_the_same() {
    let pair = Pair::start("crowded");
    let plan = PlanText::new(Gate::None).write_pause("20s").phases(ONE_ATTEMPT);
    let stage = Stage::new(&pair, "crowded", &plan);
    let admin = pair.blue.url("postgres");
    let apply = stage.begin("apply", &[], &[]);
    stage.wait_for("following", |state| state.data == changeover_run::DataStage::Following);
    let holder =
        Holder::begin(&stage.source, "LOCK TABLE changeover.epoch IN SHARE ROW EXCLUSIVE MODE");
    wait_for_the_seal(&stage);
    // For superusers, too.
    execute(&admin, "ALTER DATABASE crowded ALLOW_CONNECTIONS false");
    drop(holder);
    let moved = until(PATIENCE, || {
        let state = stage.run_state();
        (state.cutover.authority == Side::Target).then_some(())
    });
    execute(&admin, "ALTER DATABASE crowded ALLOW_CONNECTIONS true");
    assert!(moved.is_some(), "{}", stage.report());
    assert_eq!(apply.end(PATIENCE).unwrap().code, Some(0), "{}", stage.report());
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
}

/// An abort while the target was dead left the slot on the source, which kept its log until the
/// disk was full: the one side that must not suffer.
#[test]
fn an_abort_frees_the_source_also_when_the_target_is_dead() {
    let mut pair = Pair::start("widow");
    let follow = "phases:\n  - {name: copy, steps: [replicate]}\n";
    let stage = Stage::new(&pair, "widow", &PlanText::new(Gate::None).phases(follow));
    stage.expect("apply", 0);
    pair.green.kill();
    let (why, next) = paused(&stage.expect("abort", 5));
    has(&why, &["target"]);
    has(&next, &["changeover abort"]);
    assert_eq!(ours(&stage.source, "widow"), "0", "{}", stage.report());
    pair.green.restart().unwrap();
    stage.expect("abort", 0);
    assert_eq!(ours(&stage.target, "widow"), "0", "{}", stage.report());
}

/// The second run of a name meets tables of somebody else on the target. Its abort must not take
/// them for what the first run restored.
#[test]
fn an_abort_does_not_drop_what_this_run_did_not_make() {
    let pair = Pair::start("mine");
    let follow = "phases:\n  - {name: copy, steps: [replicate]}\n";
    let stage = Stage::new(&pair, "mine", &PlanText::new(Gate::None).phases(follow));
    stage.expect("apply", 0);
    stage.expect("abort", 0);
    execute(
        &stage.target,
        "DROP TABLE IF EXISTS line; CREATE TABLE line (id int PRIMARY KEY); \
         INSERT INTO line VALUES (1)",
    );
    let again = until(PATIENCE, || {
        let ran = stage.verb("apply");
        (ran.code == Some(5)).then_some(ran)
    });
    has(&paused(&again.unwrap()).0, &["public.line"]);
    stage.expect("abort", 0);
    assert_eq!(query_one(&stage.target, "SELECT count(*) FROM line"), "1");
}

/// A target that is read-only by default, so that nobody writes to it before its time.
#[test]
fn a_target_that_is_read_only_by_default_can_be_filled() {
    let pair = Pair::start("guarded");
    let stage = Stage::new(&pair, "guarded", &PlanText::new(Gate::None));
    execute(
        &pair.green.url("postgres"),
        "ALTER DATABASE guarded SET default_transaction_read_only = on",
    );
    stage.expect("apply", 0);
    assert_eq!(stage.authority(), ("none".to_owned(), "target".to_owned()));
}

/// Changes of tables that do not move are decoded all the same, and a barrier waits behind them:
/// whoever holds the clients first lets them wait for that too.
#[test]
fn a_backlog_of_a_table_that_does_not_move_is_over_before_anybody_is_held() {
    let pair = Pair::start("unmoved");
    let phases = format!("data: {{exclude: [elsewhere]}}\n{ONE_ATTEMPT}");
    let plan = PlanText::new(Gate::None).write_pause("1s").phases(&phases);
    let stage = Stage::new(&pair, "unmoved", &plan);
    stage.expect("apply", 0);
    execute(
        &stage.target,
        "CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.noise (n int); \
         INSERT INTO elsewhere.noise SELECT generate_series(1, 3000000)",
    );
    stage.expect("rollback", 0);
    let called_off = |record: &&Record| record.body["event"]["event"] == "called-off";
    assert_eq!(stage.journal().iter().filter(called_off).count(), 0, "{}", stage.report());
    assert_eq!(stage.authority(), ("source".to_owned(), "none".to_owned()));
}
