//! COPY, frame by frame.

use changeover_postgres::error::ErrorKind;
use changeover_testkit::Cluster;

use super::{connect, run};

const ROWS: &str = "SELECT i AS id, CASE WHEN i % 3 = 0 THEN NULL ELSE repeat('ä', i % 300) END AS t, \
    decode(md5(i::text), 'hex') AS b FROM generate_series(1, 100000) i";

#[test]
fn rows_pass_from_server_to_server_undecoded() {
    let source = Cluster::for_test("copysrc");
    let target = Cluster::for_test("copydst");
    run(async {
        let mut from = connect(&source).await;
        let mut to = connect(&target).await;
        from.execute(&format!("CREATE TABLE public.t AS {ROWS}")).await.unwrap();
        to.execute("CREATE TABLE public.t (id int, t text, b bytea)").await.unwrap();
        for format in ["binary", "text"] {
            to.execute("TRUNCATE public.t").await.unwrap();
            let mut out =
                from.copy_out(&format!("COPY public.t TO STDOUT (FORMAT {format})")).await.unwrap();
            let mut into =
                to.copy_in(&format!("COPY public.t FROM STDIN (FORMAT {format})")).await.unwrap();
            let mut bytes = 0;
            while let Some(frames) = out.next_frames().await.unwrap() {
                bytes += frames.len() as u64;
                into.send_frames(frames).await.unwrap();
            }
            assert_eq!((out.bytes(), out.rows()), (bytes, 100_000));
            assert!(out.frames() >= 100_000);
            assert_eq!(into.finish().await.unwrap(), 100_000);
            let digest = "SELECT count(*), count(t), md5(string_agg(t.*::text, ',' ORDER BY id)) \
                          FROM public.t t";
            let (a, b) =
                (from.query_one(digest).await.unwrap(), to.query_one(digest).await.unwrap());
            assert_eq!(a.get(0), Some("100000"));
            assert_eq!((a.get(1), a.get(2)), (b.get(1), b.get(2)), "{format}");
        }
    });
}

#[test]
fn a_copy_that_the_target_refuses_is_seen_at_once_and_leaves_the_session_usable() {
    let cluster = Cluster::for_test("copyfail");
    run(async {
        let mut session = connect(&cluster).await;
        session
            .execute("CREATE TABLE public.t (id int CHECK (id <> 1000), pad text)")
            .await
            .unwrap();
        let mut into = session.copy_in("COPY public.t FROM STDIN").await.unwrap();
        let pad = "p".repeat(1000);
        let mut sent = 0;
        let error = loop {
            let row = format!("{sent}\t{pad}\n");
            if let Err(error) = into.send_data(row.as_bytes()).await {
                break error;
            }
            sent += 1;
            assert!(sent < 1_000_000, "the refusal is never seen");
        };
        assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Server, Some("23514")));
        assert!(into.send_data(b"1\tx\n").await.is_err());
        assert_eq!(into.finish().await.unwrap_err().kind(), ErrorKind::Local);
        assert_eq!(
            session.query_one("SELECT count(*) FROM public.t").await.unwrap().get(0),
            Some("0")
        );

        // Giving up ourselves.
        let mut into = session.copy_in("COPY public.t FROM STDIN").await.unwrap();
        into.send_data(b"1\tx\n").await.unwrap();
        into.fail("the source is gone").await.unwrap();
        assert_eq!(
            session.query_one("SELECT count(*) FROM public.t").await.unwrap().get(0),
            Some("0")
        );

        // A refusal that shows only at the end.
        let mut into = session.copy_in("COPY public.t FROM STDIN").await.unwrap();
        into.send_data(b"1000\tx\n").await.unwrap();
        assert_eq!(into.finish().await.unwrap_err().sqlstate(), Some("23514"));

        // One huge run that the server stops reading half-way through.
        let mut run = bytes::BytesMut::new();
        for id in 0..30_000 {
            changeover_pgwire::frontend::copy_data(&mut run, format!("{id}\t{pad}\n").as_bytes());
        }
        let mut into = session.copy_in("COPY public.t FROM STDIN").await.unwrap();
        let outcome = match into.send_frames(run.freeze()).await {
            Ok(()) => into.finish().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert_eq!(outcome.unwrap_err().sqlstate(), Some("23514"));
        assert!(session.copy_in("COPY nowhere FROM STDIN").await.is_err());
        assert!(session.copy_in("SELECT 1").await.is_err());
        assert!(session.copy_out("COPY public.t FROM STDIN").await.is_err());
    });
}

#[test]
fn a_copy_that_the_source_breaks_off_says_so() {
    let cluster = Cluster::for_test("copyout");
    run(async {
        let mut session = connect(&cluster).await;
        session.execute("SET statement_timeout = '300ms'").await.unwrap();
        let sql =
            "COPY (SELECT i, repeat('x', 1000) FROM generate_series(1, 100000000) i) TO STDOUT";
        let mut out = session.copy_out(sql).await.unwrap();
        let error = loop {
            match out.next_frames().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it cannot end"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.sqlstate(), Some("57014"));
        assert!(session.is_usable());
        let error = session.copy_out("COPY (SELECT 1/0) TO STDOUT").await;
        assert!(error.is_err() || error.unwrap().next_frames().await.is_err());
        assert_eq!(session.query_one("SELECT 1").await.unwrap().get(0), Some("1"));
    });
}

#[test]
fn a_row_far_larger_than_the_buffers_passes_whole() {
    let cluster = Cluster::for_test("wide");
    run(async {
        let (mut from, mut to) = (connect(&cluster).await, connect(&cluster).await);
        to.execute("CREATE TABLE public.t (a text)").await.unwrap();
        let mut out = from.copy_out("COPY (SELECT repeat('x', 40000000)) TO STDOUT").await.unwrap();
        let mut into = to.copy_in("COPY public.t FROM STDIN").await.unwrap();
        while let Some(frames) = out.next_frames().await.unwrap() {
            into.send_frames(frames).await.unwrap();
        }
        assert_eq!(into.finish().await.unwrap(), 1);
        let row = to.query_one("SELECT a FROM public.t").await.unwrap();
        assert_eq!(row.text(0).unwrap().len(), 40_000_000);
    });
}

#[test]
fn a_copy_left_half_way_is_never_taken_for_an_answer() {
    let cluster = Cluster::for_test("left");
    run(async {
        let mut session = connect(&cluster).await;
        let sql = "COPY (SELECT generate_series(1, 1000000)) TO STDOUT";
        let mut out = session.copy_out(sql).await.unwrap();
        assert!(out.next_frames().await.unwrap().is_some());
        drop(out);
        assert_eq!(session.query("SELECT 1").await.unwrap_err().kind(), ErrorKind::Local);

        let mut session = connect(&cluster).await;
        session.execute("CREATE TABLE public.t (a text)").await.unwrap();
        let mut into = session.copy_in("COPY public.t FROM STDIN").await.unwrap();
        into.send_data(b"x\n").await.unwrap();
        drop(into);
        assert_eq!(session.query("SELECT 1").await.unwrap_err().kind(), ErrorKind::Local);
        drop(session);
        let mut session = connect(&cluster).await;
        // The table's lock is free once the server has seen the connection go.
        let row = session.query_one("LOCK public.t; SELECT count(*) FROM public.t").await.unwrap();
        assert_eq!(row.get(0), Some("0"));
        // A copy where none is expected costs the session, not the next answer.
        let error = session.execute("COPY public.t FROM STDIN").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(!session.is_usable());
    });
}
