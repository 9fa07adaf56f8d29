//! Sessions, pipelines, COPY and the change stream against real servers.

use std::time::Duration;

use changeover_pgwire::scram::Verifier;
use changeover_postgres::config::{ConnectConfig, Secret};
use changeover_postgres::error::ErrorKind;
use changeover_postgres::session::{Pipeline, SearchPath, Session};
use changeover_testkit::{Cluster, ClusterConfig};
use changeover_types::Side;

mod copies;
mod streaming;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(240);

fn config(cluster: &Cluster, database: &str) -> ConnectConfig {
    ConnectConfig::parse(Side::Source, &cluster.url(database)).unwrap()
}

async fn connect(cluster: &Cluster) -> Session {
    Session::connect(&config(cluster, "postgres"), "test").await.unwrap()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("a test hangs") })
}

fn is_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn a_role_gets_in_by_every_method_we_speak_and_by_no_other() {
    let mut cluster_config = ClusterConfig::new("auth");
    cluster_config.hba = "host all postgres 127.0.0.1/32 trust\n\
                          host all clear 127.0.0.1/32 password\n\
                          host all scram 127.0.0.1/32 scram-sha-256\n\
                          host all old 127.0.0.1/32 md5\n"
        .to_owned();
    let cluster = Cluster::start(cluster_config).unwrap();
    run(async {
        let mut admin = connect(&cluster).await;
        admin
            .execute(
                "CREATE ROLE clear LOGIN PASSWORD 'pass word'; \
                 CREATE ROLE scram LOGIN PASSWORD 'pä§sword'; \
                 SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'x'; \
                 CREATE ROLE stranger LOGIN",
            )
            .await
            .unwrap();
        // A verifier that we compute is one that PostgreSQL takes, and the other way round.
        let ours = Verifier::from_password("pä§sword", b"some sixteen b.", 4096);
        let sql = format!("ALTER ROLE scram PASSWORD '{}'", ours.to_secret_text());
        admin.execute(&sql).await.unwrap();
        let stored = admin
            .query_one("SELECT rolpassword FROM pg_authid WHERE rolname = 'scram'")
            .await
            .unwrap();
        assert_eq!(Verifier::parse(stored.text(0).unwrap()), Ok(ours));
        let with = |user: &str, password: Option<&str>| ConnectConfig {
            user: user.to_owned(),
            password: password.map(Secret::new),
            ..config(&cluster, "postgres")
        };
        for (user, password) in [("clear", "pass word"), ("scram", "pä§sword")] {
            let mut session = Session::connect(&with(user, Some(password)), "test").await.unwrap();
            let row = session.query_one("SELECT current_user").await.unwrap();
            assert_eq!(row.get(0), Some(user));
            let error = Session::connect(&with(user, Some("wrong")), "test").await.unwrap_err();
            assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Auth, Some("28P01")));
            assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
            let error = Session::connect(&with(user, None), "test").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Auth);
            assert!(error.to_string().contains("none is given"), "{error}");
        }
        let error = Session::connect(&with("old", Some("x")), "test").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert!(error.to_string().contains("MD5"), "{error}");
        let error = Session::connect(&with("stranger", None), "test").await.unwrap_err();
        assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Auth, Some("28000")));
    });
}

#[test]
fn what_cannot_be_reached_is_named() {
    let mut cluster = Cluster::for_test("reach");
    run(async {
        let missing = config(&cluster, "nowhere");
        let error = Session::connect(&missing, "test").await.unwrap_err();
        assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Auth, Some("3D000")));
        assert!(error.to_string().starts_with("source: "), "{error}");
        cluster.kill();
        let error = Session::connect(&missing, "test").await.unwrap_err();
        assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Connect, None));
    });
}

#[test]
fn a_server_that_never_answers_costs_the_connect_timeout() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("postgresql://bob@127.0.0.1:{port}/x?connect_timeout=1");
    let config = ConnectConfig::parse(Side::Target, &url).unwrap();
    run(async {
        let error = Session::connect(&config, "test").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(error.to_string().contains("no session within 1s"), "{error}");
    });
}

#[test]
fn a_server_that_talks_nonsense_is_refused() {
    use std::io::{Read, Write};
    for nonsense in
        [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"R\x7f\xff\xff\xff", b"Z\0\0\0\x05I"]
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut buffer = [0; 1024];
            assert!(socket.read(&mut buffer).unwrap() > 0);
            socket.write_all(nonsense).unwrap();
            // Until the client hangs up.
            while socket.read(&mut buffer).is_ok_and(|count| count > 0) {}
        });
        let url = format!("postgresql://bob@127.0.0.1:{port}/x");
        let config = ConnectConfig::parse(Side::Target, &url).unwrap();
        let error = run(async { Session::connect(&config, "test").await.unwrap_err() });
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        server.join().unwrap();
    }
}

#[test]
fn a_unix_socket_is_reached_by_its_folder() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let settings = ClusterConfig::new("unix").with("unix_socket_directories", &path);
    let cluster = Cluster::start(settings).unwrap();
    let url = format!("postgresql://postgres@/postgres?host={path}&port={}", cluster.port());
    let config = ConnectConfig::parse(Side::Source, &url).unwrap();
    run(async {
        let mut session = Session::connect(&config, "test").await.unwrap();
        let row = session.query_one("SELECT inet_server_addr() IS NULL").await.unwrap();
        assert!(row.bool(0).unwrap());
        session.canceller().cancel().await.unwrap();
        session.close().await;
    });
}

#[test]
fn statements_answer_with_tags_and_rows() {
    let cluster = Cluster::for_test("simple");
    run(is_send(async {
        let mut session = connect(&cluster).await;
        let tags = session
            .execute("CREATE TABLE public.t (a int, b text); INSERT INTO public.t VALUES (1, 'x'), (2, NULL)")
            .await
            .unwrap();
        assert_eq!(tags.len(), 2);
        assert_eq!((tags[1].command(), tags[1].rows()), ("INSERT", 2));
        let rows = session.query("SELECT a, b FROM public.t ORDER BY a").await.unwrap();
        assert_eq!(rows.columns(), ["a", "b"]);
        let read: Vec<(i32, Option<String>)> = rows
            .iter()
            .map(|row| (row.parse("a").unwrap(), row.get("b").map(str::to_owned)))
            .collect();
        assert_eq!(read, [(1, Some("x".to_owned())), (2, None)]);
        assert!(rows.first().unwrap().parse::<i32>("b").is_err());
        assert!(rows.first().unwrap().text("c").is_err());
        assert!(session.query_opt("SELECT 1 WHERE false").await.unwrap().is_none());
        assert!(session.query_one("SELECT 1 WHERE false").await.is_err());
        assert!(session.query_opt("SELECT generate_series(1, 2)").await.is_err());
        assert!(session.query("SELECT 1; SELECT 2").await.is_err());

        let error = session.execute("SELECT 1; SELECT 1/0; SELECT 2").await.unwrap_err();
        assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Server, Some("22012")));
        assert!(!error.is_in_doubt() && session.is_usable());
        assert!(session.execute("SELECT '\0'").await.is_err());

        let rows = session
            .query_params(
                "SELECT $1::text, $2::int + 1, $3::text IS NULL",
                &[Some("'; --"), Some("41"), None],
            )
            .await
            .unwrap();
        let row = rows.first().unwrap();
        assert_eq!((row.get(0), row.get(1)), (Some("'; --"), Some("42")));
        assert!(row.bool(2).unwrap());
        assert!(session.query_params("SELECT $1::int", &[Some("x")]).await.is_err());
        assert_eq!(session.query_one("SELECT 7").await.unwrap().parse::<u8>(0).unwrap(), 7);
    }));
}

#[test]
fn a_session_is_set_the_same_whatever_the_role_says() {
    let cluster = Cluster::for_test("settings");
    run(async {
        let mut session = connect(&cluster).await;
        session
            .execute(
                "ALTER ROLE postgres SET statement_timeout = '7s'; \
                 ALTER ROLE postgres SET idle_session_timeout = '7s'; \
                 ALTER ROLE postgres SET search_path = 'evil'; \
                 ALTER ROLE postgres SET DateStyle = 'German'; \
                 ALTER ROLE postgres SET standard_conforming_strings = off; \
                 ALTER ROLE postgres SET array_nulls = off; \
                 ALTER ROLE postgres SET xmloption = document; \
                 ALTER ROLE postgres SET lc_monetary = 'C.UTF-8'; \
                 ALTER ROLE postgres SET synchronous_commit = off; \
                 ALTER ROLE postgres SET transform_null_equals = on; \
                 ALTER ROLE postgres SET default_transaction_isolation = serializable; \
                 ALTER ROLE postgres SET default_transaction_read_only = on",
            )
            .await
            .unwrap();
        let mut session = connect(&cluster).await;
        for (setting, value) in [
            ("statement_timeout", "0"),
            ("idle_session_timeout", "0"),
            ("lock_timeout", "0"),
            ("search_path", "pg_catalog"),
            ("standard_conforming_strings", "on"),
            ("array_nulls", "on"),
            ("xmloption", "content"),
            ("lc_monetary", "C"),
            ("synchronous_commit", "on"),
            ("transform_null_equals", "off"),
            ("default_transaction_isolation", "read committed"),
            ("default_transaction_read_only", "off"),
            ("TimeZone", "UTC"),
            ("row_security", "off"),
            ("application_name", "test"),
        ] {
            let row = session.query_one(&format!("SHOW {setting}")).await.unwrap();
            assert_eq!(row.get(0), Some(value), "{setting}");
        }
        assert!(session.parameter("DateStyle").unwrap().starts_with("ISO"));
        assert!(session.server_version() >= 11);
        assert_eq!(
            session.query_one("SELECT pg_backend_pid()").await.unwrap().parse::<u32>(0).unwrap(),
            session.pid()
        );
    });
}

#[test]
fn the_path_of_the_application_is_that_of_whoever_owns_its_tables() {
    let cluster = Cluster::for_test("path");
    run(async {
        let mut session = connect(&cluster).await;
        let of = async |session: &mut Session, sql: &str| {
            session.execute(sql).await.unwrap();
            let mut fresh = connect(&cluster).await;
            let path = SearchPath::read(&mut fresh).await.unwrap();
            fresh.look_in(&path).await.unwrap();
            fresh.query_one("SHOW search_path").await.unwrap().text(0).unwrap().to_owned()
        };
        let usual = "pg_catalog, postgres, public";
        let tables = "CREATE ROLE \"the app\"; CREATE TABLE public.t (); CREATE TABLE public.u ()";
        assert_eq!(of(&mut session, tables).await, usual);
        let app = "pg_catalog, \"the app\", public";
        assert_eq!(
            of(
                &mut session,
                "ALTER TABLE public.t OWNER TO \"the app\"; \
          ALTER TABLE public.u OWNER TO \"the app\""
            )
            .await,
            app
        );
        // That of our own role is nobody's but ours.
        assert_eq!(of(&mut session, "ALTER ROLE postgres SET search_path = 'ours'").await, app);
        let all = "ALTER ROLE ALL SET search_path = 'every; \"one\"', \"$user\"";
        assert_eq!(of(&mut session, all).await, "pg_catalog, \"every; \"\"one\"\"\", \"the app\"");
        let database = "ALTER DATABASE postgres SET search_path = lib, public";
        assert_eq!(of(&mut session, database).await, "pg_catalog, lib, public");
        let role = "ALTER ROLE \"the app\" SET search_path = role";
        assert_eq!(of(&mut session, role).await, "pg_catalog, role");
        let both = "ALTER ROLE \"the app\" IN DATABASE postgres SET search_path = ''";
        assert_eq!(of(&mut session, both).await, "pg_catalog, \"\"");
    });
}

#[test]
fn a_pipeline_larger_than_every_buffer_does_not_deadlock() {
    let cluster = Cluster::for_test("pipeline");
    run(async {
        let mut session = connect(&cluster).await;
        session
            .execute("CREATE TABLE public.t (id int PRIMARY KEY, body text, extra text)")
            .await
            .unwrap();
        let mut pipeline = Pipeline::new();
        pipeline.statement("BEGIN", &[]);
        // Each answer is longer than its question: both directions fill up.
        pipeline.prepare(
            "put",
            "INSERT INTO public.t VALUES ($1::int, $2, $3) RETURNING repeat(body, 3)",
            &[],
        );
        let body = vec![b'x'; 700];
        for id in 0..50_000 {
            let id = id.to_string();
            pipeline.execute("put", &[Some(id.as_bytes()), Some(&body), None]);
        }
        pipeline.statement("COMMIT", &[]);
        assert!(pipeline.bytes() > 35_000_000);
        let tags = session.run_pipeline(&mut pipeline).await.unwrap();
        assert_eq!(tags.len(), 50_002);
        assert!(tags[1..50_001].iter().all(|tag| tag.command() == "INSERT" && tag.rows() == 1));
        assert!(pipeline.is_empty());
        let row = session
            .query_one("SELECT count(*), sum(length(body)), count(extra) FROM public.t")
            .await
            .unwrap();
        assert_eq!(
            (row.get(0), row.get(1), row.get(2)),
            (Some("50000"), Some("35000000"), Some("0"))
        );
        assert!(session.run_pipeline(&mut pipeline).await.unwrap().is_empty());
    });
}

#[test]
fn a_pipeline_names_the_statement_that_failed() {
    let cluster = Cluster::for_test("pipefail");
    run(async {
        let mut session = connect(&cluster).await;
        session.execute("CREATE TABLE public.t (id int PRIMARY KEY)").await.unwrap();
        let mut pipeline = Pipeline::new();
        pipeline.prepare("put", "INSERT INTO public.t VALUES ($1::int)", &[]);
        for id in [1, 2, 3, 2, 5] {
            pipeline.execute("put", &[Some(id.to_string().as_bytes())]);
        }
        let error = session.run_pipeline(&mut pipeline).await.unwrap_err();
        assert_eq!((error.statement(), error.sqlstate()), (Some(3), Some("23505")));
        // One implicit transaction: nothing stayed, and the session goes on.
        let count = session.query_one("SELECT count(*) FROM public.t").await.unwrap();
        assert_eq!(count.get(0), Some("0"));
        // The name survived or not: preparing it anew is never an error.
        pipeline.prepare("put", "INSERT INTO public.t VALUES ($1::int)", &[23]);
        pipeline.execute("put", &[Some(b"1")]);
        session.run_pipeline(&mut pipeline).await.unwrap();
        // Prepared once, it is good in later pipelines.
        pipeline.execute("put", &[Some(b"2")]);
        session.run_pipeline(&mut pipeline).await.unwrap();
        // A preparation that fails counts for the execution behind it.
        pipeline.execute("put", &[Some(b"3")]);
        pipeline.statement("SELEKT", &[]);
        let error = session.run_pipeline(&mut pipeline).await.unwrap_err();
        assert_eq!((error.statement(), error.sqlstate()), (Some(1), Some("42601")));
        // In an open transaction the failure leaves it failed.
        pipeline.statement("BEGIN", &[]);
        pipeline.execute("put", &[Some(b"x")]);
        assert_eq!(session.run_pipeline(&mut pipeline).await.unwrap_err().statement(), Some(1));
        assert_eq!(
            session.transaction_status(),
            changeover_pgwire::backend::TransactionStatus::Failed
        );
        session.execute("ROLLBACK").await.unwrap();
        let count = session.query_one("SELECT count(*) FROM public.t").await.unwrap();
        assert_eq!(count.get(0), Some("2"));
        // A statement too wide for the protocol is refused before a byte is sent.
        pipeline.execute("put", &vec![None; 70_000]);
        let error = session.run_pipeline(&mut pipeline).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Local);
        assert!(session.is_usable() && pipeline.is_empty());
    });
}

#[test]
fn a_statement_can_be_cancelled_and_a_dropped_future_is_never_desynchronised() {
    let cluster = Cluster::for_test("cancel");
    run(async {
        let mut session = connect(&cluster).await;
        let mut watcher = connect(&cluster).await;
        let pid = session.pid();
        let canceller = session.canceller();
        let (slept, cancelled) = tokio::join!(session.execute("SELECT pg_sleep(50)"), async {
            let busy = format!(
                "SELECT 1 FROM pg_stat_activity WHERE pid = {pid} AND query LIKE '%sleep%' \
                 AND state = 'active'"
            );
            while watcher.query_opt(&busy).await.unwrap().is_none() {
                tokio::task::yield_now().await;
            }
            canceller.cancel().await
        });
        cancelled.unwrap();
        assert_eq!(slept.unwrap_err().sqlstate(), Some("57014"));
        assert!(session.is_usable());

        let cut =
            tokio::time::timeout(Duration::from_millis(1), session.execute("SELECT pg_sleep(1)"));
        assert!(cut.await.is_err());
        assert!(!session.is_usable());
        let error = session.query_one("SELECT 1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Local);
        assert!(error.to_string().contains("dropped before its end"), "{error}");
    });
}

#[test]
fn a_session_that_is_ended_from_outside_says_why() {
    let mut cluster = Cluster::for_test("ended");
    run(async {
        let mut admin = connect(&cluster).await;
        let mut session = connect(&cluster).await;
        let kill = format!("SELECT pg_terminate_backend({})", session.pid());
        let (reason, killed) = tokio::join!(session.lost(), admin.execute(&kill));
        killed.unwrap();
        assert_eq!(reason.sqlstate(), Some("57P01"));
        assert!(reason.is_in_doubt());
        let error = session.execute("SELECT 1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        let mut session = connect(&cluster).await;
        cluster.kill();
        let error = session.execute("SELECT 1").await.unwrap_err();
        assert!(error.is_in_doubt(), "{error:?}");
        assert!(!session.is_usable());
    });
}
