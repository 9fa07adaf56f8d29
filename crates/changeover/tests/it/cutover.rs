//! Whole migrations under load, and what a writer meets that goes around the gate.

use std::time::Duration;

use changeover_journal::Record;
use tokio_postgres::error::SqlState;

use crate::kill::side_by_side;
use crate::stage::postgres_session::{block_on, connect, query_one};
use crate::stage::{
    Fate, Gate, Ledger, PATIENCE, Pair, PlanText, Sampler, Stage, WritePath, Writers, holds,
};

const WRITERS: i32 = 8;

/// A session that holds something in an open transaction.
pub(crate) struct Holder(std::sync::mpsc::Sender<()>, Option<std::thread::JoinHandle<()>>);

impl Holder {
    pub(crate) fn start(url: &str, sql: &str) -> Holder {
        let (url, sql) = (url.to_owned(), sql.to_owned());
        let (sender, receiver) = std::sync::mpsc::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            block_on(async {
                let client = connect(&url).await.unwrap();
                client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
                ready.send(()).unwrap();
                tokio::task::spawn_blocking(move || receiver.recv().ok()).await.unwrap();
                client.batch_execute("ROLLBACK").await.unwrap();
            });
        });
        is_ready.recv().unwrap();
        Holder(sender, Some(thread))
    }

    pub(crate) fn end(mut self) {
        self.0.send(()).unwrap();
        if let Some(thread) = self.1.take() {
            thread.join().unwrap();
        }
    }
}

/// A stage whose writers write through the gate, and its sampler.
pub(crate) fn under_load(pair: &Pair, name: &str, writers: i32) -> (Stage, Writers, Sampler) {
    let mut stage = Stage::new(pair, name, &PlanText::new(Gate::Postgres).beside_others());
    stage.start_gate();
    let url = stage.gate_url.clone().unwrap();
    let writers = Writers::start(WritePath::Through(url), 1, writers, Duration::from_millis(5));
    writers.wait_for_more(50);
    let sampler = Sampler::start(&stage, Duration::from_millis(60));
    (stage, writers, sampler)
}

#[test]
fn eight_writers_behind_the_gate_notice_nothing() {
    let pair = Pair::start("cutover");
    let (stage, writers, sampler) = under_load(&pair, "shop", WRITERS);
    stage.expect("apply", 0);
    writers.wait_for_more(50);
    let status = stage.status();
    let (ledger, samples) = (writers.stop(), sampler.stop());
    assert_eq!(ledger.errors(), vec![], "{}", stage.report());
    assert!(samples.len() > 10);

    assert_eq!(status["state"]["is"], "done");
    assert_eq!(status["authority"], "target");
    // One moved it; any other one did not fit the write pause on a busy machine, and says so.
    let called_off = |record: &&Record| {
        let why = record.body["event"]["why"].as_str().unwrap_or_default();
        record.body["event"]["event"] == "called-off" && why.contains("write pause")
    };
    let extra = stage.journal().iter().filter(called_off).count();
    assert_eq!(status["cutover"]["attempts"], 1 + extra, "{}", stage.report());
    let pause = status["cutover"]["write_pause_ms_max"].as_u64().unwrap();
    let wait = status["cutover"]["longest_wait_ms"].as_u64().unwrap();
    assert!(pause < 3000, "{status}");
    // The gate measures what the writers felt: theirs has their own round trips on top.
    assert!(ledger.longest >= Duration::from_millis(wait), "{:?} {wait}", ledger.longest);
    let proven: Vec<_> =
        stage.journal().into_iter().filter(|record| record.body["kind"] == "proven").collect();
    assert_eq!(proven.len(), 1, "{}", stage.report());
    assert_eq!(proven[0].body["different"], 0);
    assert!(proven[0].body["rows"].as_u64().unwrap() > 2000, "{:?}", proven[0].body);

    let there = stage.check_settled(&[&ledger]);
    samples.check(&stage, &there);
    // What `verify` says of it: equal.
    let verified = stage.expect("verify", 0);
    assert!(verified.error().is_empty(), "{}", verified.error());
}

/// Everything of ours on a side that is not the seal: slots, publications, and our schema.
fn traces(url: &str, name: &str) -> String {
    query_one(
        url,
        &format!(
            "SELECT concat_ws(', ',
               (SELECT string_agg('slot ' || slot_name, ', ') FROM pg_replication_slots
                WHERE database = current_database() AND NOT temporary),
               (SELECT string_agg('publication ' || pubname, ', ') FROM pg_publication),
               (SELECT string_agg('trigger ' || tgname || ' on ' || tgrelid::regclass, ', ')
                FROM pg_trigger WHERE tgname LIKE '%changeover%'),
               (SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname = 'changeover'),
               (SELECT string_agg('slot ' || slot_name, ', ') FROM pg_replication_slots
                WHERE slot_name LIKE '%{name}%'))"
        ),
    )
}

/// Aborts once the journal has this record, and looks for what is left. Somebody keeps a table
/// locked so that authority cannot move first.
fn abort_at(pair: &Pair, name: &str, record: &str) {
    let (stage, writers, sampler) = under_load(pair, name, 3);
    let blocker = Holder::start(&stage.source, "LOCK TABLE line IN ROW EXCLUSIVE MODE");
    let apply = stage.begin("apply", &[], &[]);
    stage.wait_for_record(record);
    stage.expect("abort", 0);
    apply.end(PATIENCE).unwrap_or_else(|e| panic!("{e}\n{}", stage.report()));
    blocker.end();
    writers.wait_for_more(30);
    let (ledger, samples) = (writers.stop(), sampler.stop());
    assert_eq!(ledger.errors(), vec![], "{}", stage.report());
    let there = holds(&stage.source, &[&ledger]).unwrap_or_else(|e| panic!("{e}"));
    samples.check_source(&stage, &there);
    for url in [&stage.source, &stage.target] {
        assert_eq!(traces(url, name), "", "{url} after {record}; {}", stage.report());
    }
    // What was copied is gone too, so nothing is in the way of the same plan's beginning again.
    let objects = "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace) \
                   + (SELECT count(*) FROM pg_type WHERE typnamespace = 'public'::regnamespace) \
                   + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace)";
    assert_eq!(query_one(&stage.target, objects), "0", "after {record}; {}", stage.report());
    stage.expect("apply", 0);
    stage.check_settled(&[&ledger]);
}

#[test]
fn abort_leaves_nothing_behind() {
    let pair = Pair::start("abort");
    let records = ["installed", "copied", "caught-up", "reverse-ready", "called-off"];
    side_by_side(2, &records, |index, record| {
        abort_at(&pair, &format!("abort_{index}"), record);
    });
}

#[test]
fn abort_after_a_rollback_leaves_nothing_behind() {
    let pair = Pair::start("undone");
    let (stage, writers, _sampler) = under_load(&pair, "undone", 3);
    stage.expect("apply", 0);
    let refused = stage.expect("abort", 1);
    assert!(refused.error().contains("changeover rollback"), "{}", refused.error());
    writers.wait_for_more(20);
    stage.expect("rollback", 0);
    stage.expect("abort", 0);
    writers.wait_for_more(20);
    let ledger = writers.stop();
    assert_eq!(ledger.errors(), vec![], "{}", stage.report());
    holds(&stage.source, &[&ledger]).unwrap_or_else(|e| panic!("{e}"));
    for url in [&stage.source, &stage.target] {
        assert_eq!(traces(url, "undone"), "", "{}", stage.report());
    }
}

#[test]
fn finish_keeps_the_old_side_sealed() {
    let pair = Pair::start("finish");
    let (stage, writers, _sampler) = under_load(&pair, "finish", 3);
    stage.expect("apply", 0);
    stage.expect("finish", 0);
    writers.wait_for_more(30);
    let ledger = writers.stop();
    assert_eq!(ledger.errors(), vec![], "{}", stage.report());
    holds(&stage.target, &[&ledger]).unwrap_or_else(|e| panic!("{e}"));
    // Nothing is left on the side that serves; on the other the seal, and no slot or publication.
    assert!(!traces(&stage.target, "finish").contains("trigger"), "{}", stage.report());
    for url in [&stage.source, &stage.target] {
        let left = traces(url, "finish");
        assert!(!left.contains("slot") && !left.contains("publication"), "{left}");
    }
    for sql in [
        "INSERT INTO line (writer, seq, kind) VALUES (90, 1, 1)",
        "SET session_replication_role = replica; DELETE FROM visit",
        "TRUNCATE trail",
        "UPDATE visit_1 SET note = 'x'",
    ] {
        let refused = crate::stage::postgres_session::try_execute(&stage.source, sql).unwrap_err();
        assert_eq!(refused.code(), Some(&SqlState::ASSERT_FAILURE), "{sql}: {refused:?}");
    }
    stage.expect("apply", 0);
    stage.expect("rollback", 1);
}

/// A writer that goes around the gate on its own terms, until the test ends it.
fn rogue(stage: &Stage, first: i32) -> Writers {
    Writers::start(WritePath::Through(stage.source.clone()), first, 2, Duration::from_millis(3))
}

/// Everything a rogue was told is true: what was acknowledged is there, the rest was refused with
/// P0004 and nothing else.
fn only_moved(ledger: &Ledger, stage: &Stage) {
    let mut refused = 0;
    for (id, fate) in ledger.errors() {
        match fate {
            Fate::Refused(why) if why.starts_with("P0004") => refused += 1,
            other => panic!("{id:?}: {other:?}; {}", stage.report()),
        }
    }
    assert!(refused > 0, "the rogues were never refused; {}", stage.report());
    assert!(ledger.acknowledged() > 0);
}

#[test]
fn rogues_wait_and_are_refused_and_lose_nothing() {
    let pair = Pair::start("rogue");
    let (stage, writers, sampler) = under_load(&pair, "rogue", 3);
    let rogues = rogue(&stage, 31);
    rogues.wait_for_more(10);
    // Those below do a part of what the others do: only their lines are looked for.
    let mut replicas = Ledger::default();
    block_on(async {
        // Opened before everything, with snapshots that are older than the migration's end.
        let old = connect(&stage.source).await.unwrap();
        let replica = connect(&stage.source).await.unwrap();
        replica.batch_execute("SET session_replication_role = replica").await.unwrap();
        let apply = stage.begin("apply", &[], &[]);
        stage.wait_for_record("reverse-ready");
        old.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
        old.query_one("SELECT count(*) FROM line", &[]).await.unwrap();
        let mut accepted = Vec::new();
        let refusal = loop {
            let seq = i32::try_from(accepted.len()).unwrap() + 1;
            // As a replica, no trigger of the application fires; ours does.
            let sql = format!("INSERT INTO line (writer, seq, kind) VALUES (70, {seq}, 9)");
            match replica.batch_execute(&sql).await {
                Ok(()) => accepted.push(seq),
                Err(e) => break e,
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        assert_eq!(refusal.code(), Some(&SqlState::ASSERT_FAILURE), "{refusal:?}");
        let late =
            old.batch_execute("INSERT INTO line (writer, seq, kind) VALUES (71, 1, 9)").await;
        let late = late.unwrap_err();
        assert_eq!(late.code(), Some(&SqlState::ASSERT_FAILURE), "{late:?}");
        old.batch_execute("ROLLBACK").await.unwrap();
        let ran = apply.end(PATIENCE).unwrap_or_else(|e| panic!("{e}\n{}", stage.report()));
        assert_eq!(ran.code, Some(0), "{}\n{}", ran.error(), stage.report());
        replicas.fates.extend(accepted.iter().map(|seq| ((70, *seq), Fate::Acknowledged)));
    });
    let (rogue_ledger, ledger) = (rogues.stop(), writers.stop());
    let samples = sampler.stop();
    assert_eq!(ledger.errors(), vec![], "{}", stage.report());
    only_moved(&rogue_ledger, &stage);
    assert!(replicas.acknowledged() > 0);
    let there = stage.check_settled(&[&ledger, &rogue_ledger, &replicas]);
    samples.check(&stage, &there);
}
