//! The change stream.

use std::time::Duration;

use changeover_postgres::error::ErrorKind;
use changeover_postgres::replication::{
    Incoming, ReplicationStream, SlotOptions, create_slot, drop_slot,
};
use changeover_postgres::session::Session;
use changeover_testkit::Cluster;
use changeover_types::{Change, Lsn, OldRow, ReplicaIdentity, StreamEvent, TableShape, Value};

use super::{config, connect, run};

const SLOT: &str = "changeover_test_forward";

/// A publication of everything named, and a slot.
async fn prepare(cluster: &Cluster, schema: &str) -> (Session, Lsn) {
    let mut session = connect(cluster).await;
    session.execute(schema).await.unwrap();
    let mut maker =
        Session::connect_replication(&config(cluster, "postgres"), "test").await.unwrap();
    let slot = create_slot(&mut maker, SLOT, SlotOptions::default()).await.unwrap();
    assert_eq!(slot.snapshot, None);
    (session, slot.consistent_point)
}

async fn start(cluster: &Cluster, from: Lsn) -> ReplicationStream {
    // A publication's name may hold anything.
    ReplicationStream::start(&config(cluster, "postgres"), SLOT, "p'u\"b", from).await.unwrap()
}

/// The next `count` commits' events.
async fn events(stream: &mut ReplicationStream, count: usize) -> Vec<StreamEvent> {
    let mut events = Vec::new();
    let mut commits = 0;
    while commits < count {
        // Dropping `next` half-way over and over must lose nothing.
        let next = tokio::time::timeout(Duration::from_micros(50), stream.next()).await;
        match next {
            Err(_) => {}
            Ok(incoming) => match incoming.unwrap() {
                Incoming::Keepalive { .. } => {}
                Incoming::Event { event, .. } => {
                    commits += usize::from(matches!(event, StreamEvent::Commit { .. }));
                    events.push(event);
                }
            },
        }
    }
    events
}

fn text(value: &'static str) -> Value {
    Value::Text(value.as_bytes().into())
}

fn changes(events: &[StreamEvent]) -> Vec<Change> {
    events
        .iter()
        .filter_map(|event| match event {
            StreamEvent::Change(change) => Some(change.clone()),
            _ => None,
        })
        .collect()
}

fn shape(events: &[StreamEvent], name: &str) -> TableShape {
    let shapes = events.iter().filter_map(|event| match event {
        StreamEvent::Relation(shape) if shape.name.name == name => Some(shape.clone()),
        _ => None,
    });
    shapes.last().unwrap()
}

#[test]
fn every_kind_of_change_comes_through() {
    let cluster = Cluster::for_test("stream");
    run(async {
        let (mut session, from) = prepare(
            &cluster,
            "CREATE TYPE public.mood AS ENUM ('glad'); \
             CREATE TABLE public.k (id int PRIMARY KEY, a text, m public.mood); \
             CREATE TABLE public.f (a text, b text); \
             ALTER TABLE public.f REPLICA IDENTITY FULL; \
             ALTER TABLE public.k ALTER a SET STORAGE EXTERNAL; \
             CREATE PUBLICATION \"p'u\"\"b\" FOR TABLE public.k, public.f",
        )
        .await;
        session
            .execute(
                "BEGIN; INSERT INTO public.k VALUES (1, 'x', 'glad'), (2, NULL, NULL); \
                 INSERT INTO public.k VALUES (3, repeat('y', 10000)); COMMIT; \
                 BEGIN; UPDATE public.k SET a = 'z' WHERE id = 1; \
                 UPDATE public.k SET id = 20 WHERE id = 2; \
                 UPDATE public.k SET m = 'glad' WHERE id = 3; \
                 DELETE FROM public.k WHERE id = 1; COMMIT; \
                 BEGIN; INSERT INTO public.f VALUES ('a', NULL); UPDATE public.f SET b = 'b'; \
                 DELETE FROM public.f; TRUNCATE public.f, public.k RESTART IDENTITY CASCADE; COMMIT; \
                 SELECT pg_logical_emit_message(true, 'note', 'hello')",
            )
            .await
            .unwrap();
        let mut stream = start(&cluster, from).await;
        let all = events(&mut stream, 4).await;
        let k = shape(&all, "k");
        let f = shape(&all, "f");
        assert_eq!((k.identity, f.identity), (ReplicaIdentity::Default, ReplicaIdentity::Full));
        assert_eq!(k.columns.iter().map(|c| c.key).collect::<Vec<_>>(), [true, false, false]);
        assert!(
            all.iter().any(|e| matches!(e, StreamEvent::Type { name, .. } if name.name == "mood"))
        );
        let long = Value::Text("y".repeat(10_000).into());
        let null = Value::Null;
        let expected = [
            Change::Insert { relation: k.id, new: vec![text("1"), text("x"), text("glad")] },
            Change::Insert { relation: k.id, new: vec![text("2"), null.clone(), null.clone()] },
            Change::Insert { relation: k.id, new: vec![text("3"), long, null.clone()] },
            Change::Update {
                relation: k.id,
                old: None,
                new: vec![text("1"), text("z"), text("glad")],
            },
            Change::Update {
                relation: k.id,
                old: Some(OldRow::Key(vec![text("2"), null.clone(), null.clone()])),
                new: vec![text("20"), null.clone(), null.clone()],
            },
            Change::Update {
                relation: k.id,
                old: None,
                new: vec![text("3"), Value::Unchanged, text("glad")],
            },
            Change::Delete {
                relation: k.id,
                old: OldRow::Key(vec![text("1"), null.clone(), null.clone()]),
            },
            Change::Insert { relation: f.id, new: vec![text("a"), null.clone()] },
            Change::Update {
                relation: f.id,
                old: Some(OldRow::Full(vec![text("a"), null.clone()])),
                new: vec![text("a"), text("b")],
            },
            Change::Delete { relation: f.id, old: OldRow::Full(vec![text("a"), text("b")]) },
            Change::Truncate { relations: vec![f.id, k.id], cascade: true, restart_identity: true },
        ];
        assert_eq!(changes(&all), expected);
        let begins: Vec<Lsn> = all
            .iter()
            .filter_map(|event| match event {
                StreamEvent::Begin { commit_lsn, .. } => Some(*commit_lsn),
                _ => None,
            })
            .collect();
        assert!(begins.is_sorted() && begins.len() == 4);
        if session.server_version() >= 14 {
            assert!(all.iter().any(|event| matches!(event,
                StreamEvent::Message { transactional: true, prefix, content, .. }
                    if prefix == "note" && content.as_ref() == b"hello")));
        }
    });
}

/// What the slot has confirmed and whether somebody reads from it.
async fn confirmed(session: &mut Session) -> Lsn {
    let sql = "SELECT confirmed_flush_lsn FROM pg_replication_slots";
    session.query_one(sql).await.unwrap().parse(0).unwrap()
}

#[test]
fn only_what_is_acknowledged_is_confirmed_and_the_rest_comes_again() {
    let cluster = Cluster::for_test("ack");
    run(async {
        let (mut session, from) = prepare(
            &cluster,
            "CREATE TABLE public.k (id int PRIMARY KEY); \
             CREATE PUBLICATION \"p'u\"\"b\" FOR TABLE public.k",
        )
        .await;
        for id in 1..=3 {
            session.execute(&format!("INSERT INTO public.k VALUES ({id})")).await.unwrap();
        }
        let mut stream = start(&cluster, from).await;
        let all = events(&mut stream, 3).await;
        let ends: Vec<Lsn> = all
            .iter()
            .filter_map(|event| match event {
                StreamEvent::Commit { end_lsn, .. } => Some(*end_lsn),
                _ => None,
            })
            .collect();
        assert!(confirmed(&mut session).await <= from);
        stream.acknowledge(ends[1]).await.unwrap();
        while confirmed(&mut session).await != ends[1] {
            tokio::task::yield_now().await;
        }
        // The old stream is still there: the new one takes its place at once.
        let mut again = start(&cluster, Lsn::ZERO).await;
        let rest = changes(&events(&mut again, 1).await);
        assert!(matches!(&rest[..], [Change::Insert { new, .. }] if *new == [text("3")]));
        let error = loop {
            if let Err(error) = stream.next().await {
                break error;
            }
        };
        assert_eq!(error.sqlstate(), Some("57P01"), "{error:?}");

        // Everything that is here already can be had without waiting.
        session.execute("INSERT INTO public.k SELECT generate_series(100, 5000)").await.unwrap();
        let mut buffered = 0;
        let mut inserts = 0;
        let is_insert = |incoming: &Incoming| {
            matches!(incoming, Incoming::Event { event: StreamEvent::Change(_), .. })
        };
        while inserts < 4901 {
            inserts += usize::from(is_insert(&again.next().await.unwrap()));
            while let Some(incoming) = again.try_next_buffered().unwrap() {
                buffered += 1;
                inserts += usize::from(is_insert(&incoming));
            }
        }
        assert!(buffered > 1000, "{buffered}");

        // Dropping the slot takes its reader away as well; dropping it twice is no error.
        drop_slot(&mut session, SLOT).await.unwrap();
        drop_slot(&mut session, SLOT).await.unwrap();
        assert!(session.query("SELECT 1 FROM pg_replication_slots").await.unwrap().is_empty());
        let config = config(&cluster, "postgres");
        let gone = ReplicationStream::start(&config, SLOT, "p", Lsn::ZERO);
        let error = gone.await.unwrap_err();
        assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Server, Some("42704")));
    });
}

#[test]
fn an_exported_snapshot_can_be_used_and_a_temporary_slot_goes() {
    let cluster = Cluster::for_test("export");
    run(async {
        let mut reader = connect(&cluster).await;
        reader.execute("CREATE TABLE public.k (id int)").await.unwrap();
        let mut maker =
            Session::connect_replication(&config(&cluster, "postgres"), "test").await.unwrap();
        let options = SlotOptions { temporary: true, export_snapshot: true };
        let slot = create_slot(&mut maker, "changeover_tmp", options).await.unwrap();
        assert!(slot.consistent_point > Lsn::ZERO);
        reader.execute("INSERT INTO public.k VALUES (1)").await.unwrap();
        let snapshot = slot.snapshot.unwrap();
        reader
            .execute(&format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{snapshot}'"
            ))
            .await
            .unwrap();
        let count = reader.query_one("SELECT count(*) FROM public.k").await.unwrap();
        assert_eq!(count.get(0), Some("0"));
        reader.execute("COMMIT").await.unwrap();
        let error = create_slot(&mut maker, "changeover_tmp", options).await.unwrap_err();
        assert_eq!(error.sqlstate(), Some("42710"));
        assert!(error.to_string().contains("changeover_tmp"), "{error}");
        drop(maker);
        while !reader.query("SELECT 1 FROM pg_replication_slots").await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    });
}
