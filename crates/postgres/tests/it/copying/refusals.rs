//! What a preflight must not let pass.

use changeover_postgres::error::ErrorKind;
use changeover_postgres::preflight::Severity;

use super::*;

async fn refused(pair: &Pair, id: &str) -> String {
    let found = pair.preflight().await;
    let finding = found.findings.iter().find(|f| f.id == id && f.severity == Severity::Blocker);
    match finding {
        Some(finding) => {
            assert!(!finding.fix.is_empty() && !finding.why.is_empty(), "{finding}");
            finding.to_string()
        }
        None => panic!("no blocker {id} in {:#?}", found.findings),
    }
}

#[tokio::test]
async fn what_cannot_be_moved_is_named_with_what_to_do() {
    let pair = Pair::start();
    psql_file(
        &pair.source,
        "CREATE TABLE fine (id int PRIMARY KEY);
         CREATE TABLE heap (a int);
         CREATE TABLE late (id int PRIMARY KEY DEFERRABLE);
         CREATE UNLOGGED TABLE fast (id int PRIMARY KEY);
         CREATE SEQUENCE round MAXVALUE 10 CYCLE;
         CREATE TABLE own (id int PRIMARY KEY, at pg_lsn);
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER t AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION f();
         ALTER TABLE own ENABLE ALWAYS TRIGGER t;
         SELECT lo_create(0);
         CREATE ROLE app LOGIN; ALTER ROLE app SET changeover.token = 'm/1/target';
         CREATE EXTENSION pg_trgm;",
    );
    let found = pair.preflight().await;
    let text: Vec<String> = found.findings.iter().map(ToString::to_string).collect();
    for words in [
        "2 tables have no usable replica identity: public.heap (it has no primary key)",
        "its key late_pkey is deferrable",
        "1 unlogged table: public.fast",
        "1 large objects",
        "role app has changeover.token set",
        "1 sequence has CYCLE: public.round",
        "public.own.at (pg_lsn)",
        "t on public.own",
    ] {
        assert!(text.iter().any(|t| t.contains(words)), "{words} is not in {text:#?}");
    }
    assert_eq!(
        found.finding("no_identity").unwrap().script,
        ["heap", "late"]
            .map(|it| format!("ALTER TABLE \"public\".\"{it}\" REPLICA IDENTITY FULL;"))
    );
    let lost = found.promises.iter().find(|p| p.id == "no_lost_row").unwrap();
    assert!(!lost.kept && lost.text.contains("unlogged"), "{lost:?}");
}

#[tokio::test]
async fn a_target_that_is_not_ready_is_refused() {
    let source = ClusterConfig::new("source").with("wal_level", "replica");
    let target = ClusterConfig::new("target").with("max_replication_slots", "1");
    let pair = Pair::of(source, target);
    psql(
        &pair.source,
        "app",
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)",
    );
    psql(&pair.target, "app", "CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
    assert!(refused(&pair, "wal_level").await.contains("wal_level is replica"));
    assert!(refused(&pair, "slots").await.contains("max_replication_slots = 4"));
    assert!(refused(&pair, "not_empty").await.contains("public.t"));
    assert!(refused(&pair, "exists").await.contains("table public.t"));
    assert_eq!(psql(&pair.target, "app", "SELECT count(*) FROM t"), "1", "nothing was touched");
}

#[tokio::test]
async fn a_role_without_rights_is_told_which() {
    let pair = Pair::start();
    for cluster in [&pair.source, &pair.target] {
        psql(cluster, "app", "CREATE ROLE small LOGIN");
    }
    psql_file(
        &pair.source,
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE r (id int PRIMARY KEY);
         ALTER TABLE r ENABLE ROW LEVEL SECURITY; CREATE SEQUENCE s;",
    );
    let small = |side| ConnectConfig { user: "small".to_owned(), ..pair.config(side) };
    let open = async |side| Session::connect(&small(side), "changeover test").await.unwrap();
    let (mut source, mut target) = (open(Side::Source).await, open(Side::Target).await);
    let found = preflight::check(&mut source, &mut target, &selection(), Options::default()).await;
    for id in [
        "replica_role",
        "replication_right",
        "create_right",
        "ownership",
        "select_right",
        "sequence_right",
        "row_security",
    ] {
        let finding = found.finding(id).unwrap_or_else(|| panic!("{id}: {found:#?}"));
        assert_eq!(finding.severity, Severity::Blocker, "{finding}");
    }
    assert!(!found.keeps_ownership());
    assert!(found.promises.iter().any(|p| p.id == "way_back" && !p.kept));
}

#[tokio::test]
async fn an_earlier_attempt_is_told_apart_from_a_stranger() {
    let pair = Pair::start();
    psql(&pair.source, "app", "CREATE TABLE t (id int PRIMARY KEY)");
    pair.begin().await;
    assert!(refused(&pair, "left_over").await.contains("changeover abort"));
    psql(&pair.target, "app", "DROP SCHEMA changeover CASCADE; CREATE SCHEMA changeover");
    assert!(refused(&pair, "schema_taken").await.contains("RENAME"));
}

#[tokio::test]
async fn an_extension_that_the_target_lacks_is_missed() {
    // Both servers share one installation, so the judgement is asked about a target without it.
    let pair = Pair::start();
    psql(&pair.source, "app", "CREATE EXTENSION pg_trgm; CREATE TABLE t (id int PRIMARY KEY)");
    let (mut s, mut t) = (pair.session(Side::Source).await, pair.session(Side::Target).await);
    let mut target = preflight::SideFacts::read(&mut t, &selection()).await;
    target.available_extensions.as_mut().unwrap().remove("pg_trgm");
    let evidence = preflight::Evidence {
        source: preflight::SideFacts::read(&mut s, &selection()).await,
        target,
        source_catalog: Catalog::read(&mut s, &selection()).await.map_err(|e| e.to_string()),
        target_catalog: Catalog::read(&mut t, &selection()).await.map_err(|e| e.to_string()),
        filled: Ok(Vec::new()),
        tools: Tools::find(15).await.map_err(|e| e.to_string()),
        type_numbers: Err("not asked".to_owned()),
        needs: Ok(Vec::new()),
        reads: Ok(Vec::new()),
        back: Ok(Vec::new()),
        properties: Ok(Vec::new()),
        trial: preflight::Tried::NotAsked,
        ownership: Ok(preflight::Ownership::default()),
        tablespaces: Ok(preflight::Tablespaces::default()),
        access: Ok(preflight::AccessFacts::default()),
        options: Options::default(),
    };
    let found = preflight::judge(&evidence);
    assert!(found.finding("extension_missing").unwrap().what.contains("pg_trgm"));

    // What could not be read is a finding, never a pass.
    let unread = || "permission denied".to_owned();
    let blind = preflight::Evidence {
        source: preflight::SideFacts {
            settings: Err(unread()),
            hidden_settings: Err(unread()),
            ..evidence.source.clone()
        },
        options: Options { postgres_gate: true, ..Options::default() },
        target: preflight::SideFacts {
            available_extensions: Err(unread()),
            directness: Err(unread()),
            ..evidence.target.clone()
        },
        source_catalog: Err(unread()),
        ..evidence
    };
    let found = preflight::judge(&blind);
    for id in ["settings", "pooler", "catalog"] {
        let finding = found.finding(id).unwrap();
        assert!(finding.what.contains("could not be checked"), "{finding}");
        assert_eq!(finding.severity, Severity::Blocker);
    }
    assert!(found.promises.iter().any(|p| p.id == "no_lost_row" && !p.kept));
    assert!(found.finding("hidden_settings").unwrap().what.contains("could not be checked"));
}

#[tokio::test]
async fn code_that_may_set_what_nobody_can_read_is_named() {
    let pair = Pair::start();
    psql(&pair.source, "app", "CREATE TABLE t (id int PRIMARY KEY); CREATE EXTENSION hstore");
    let gate = || Options { postgres_gate: true, ..Options::default() };
    let found = async |options| {
        let (mut s, mut t) = (pair.session(Side::Source).await, pair.session(Side::Target).await);
        let found = preflight::check(&mut s, &mut t, &selection(), options).await;
        found.finding("hidden_settings").map(|it| (it.seen.clone(), it.fix.clone()))
    };
    psql_file(
        &pair.source,
        "CREATE FUNCTION plain() RETURNS text LANGUAGE sql AS
           $$ SELECT set_config('app.tenant', '1', false) $$;
         CREATE FUNCTION shown(v text) RETURNS void LANGUAGE plpgsql AS
           $$ BEGIN EXECUTE 'SET app.tenant = ' || quote_literal(v); END $$;
         CREATE FUNCTION ends(n text) RETURNS text LANGUAGE sql AS
           $$ SELECT set_config(n, '1', true) $$;
         CREATE FUNCTION ends_too(n text) RETURNS void LANGUAGE plpgsql AS
           $$ BEGIN EXECUTE format('SET LOCAL %I = 1', n); END $$;
         CREATE FUNCTION reads(n text) RETURNS text LANGUAGE sql AS
           $$ SELECT current_setting(n) $$;",
    );
    assert_eq!(found(gate()).await, None);
    psql_file(
        &pair.source,
        "CREATE FUNCTION given(n text) RETURNS text LANGUAGE sql AS
           $$ SELECT set_config(n, '1', false) $$;
         CREATE FUNCTION joined(n text) RETURNS text LANGUAGE sql AS
           $$ SELECT set_config('app.' || n, '1', false) $$;
         CREATE FUNCTION both_ways(n text) RETURNS text LANGUAGE sql AS
           $$ SELECT set_config(n, '1', true) || set_config(n, '1', false) $$;
         CREATE PROCEDURE formatted(n text) LANGUAGE plpgsql AS
           $$ BEGIN EXECUTE format('SET %I = 1', n); END $$;
         CREATE PROCEDURE spliced(n text) LANGUAGE plpgsql AS
           $$ BEGIN EXECUTE 'SET SESSION app.' || n || ' = 1'; END $$;
         CREATE SCHEMA odd; CREATE FUNCTION odd.native() RETURNS void LANGUAGE internal AS 'pg_sleep';",
    );
    let (seen, fix) = found(gate()).await.unwrap();
    for name in [
        "public.given(n text): calls set_config",
        "public.joined(n text): calls set_config",
        "public.both_ways(n text): calls set_config",
        "public.formatted(IN n text): runs a SET",
        "public.spliced(IN n text): runs a SET",
        "odd.native(): written in C",
    ] {
        assert!(seen.iter().any(|it| it.starts_with(name)), "{name}: {seen:?}");
    }
    assert!(seen.len() == 6 && fix.contains("gates.postgres.settings"), "{seen:?} {fix}");
    // Nothing moves sessions without that gate.
    assert_eq!(found(Options::default()).await, None);
}

#[tokio::test]
async fn a_wrong_password_says_so_and_does_not_show_it() {
    let mut config = ClusterConfig::new("source");
    config.hba = "local all all trust\nhost all postgres 127.0.0.1/32 trust\n\
                  host all app 127.0.0.1/32 scram-sha-256\n"
        .to_owned();
    let source = Cluster::start(config).unwrap();
    psql(&source, "postgres", "CREATE ROLE app LOGIN PASSWORD 'right'");
    let url = format!("postgresql://app:wr0ng-one@127.0.0.1:{}/postgres", source.port());
    let config = ConnectConfig::parse(Side::Source, &url).unwrap();
    let e = Session::connect(&config, "changeover test").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Auth);
    assert!(e.to_string().contains("app") && !format!("{e:?}").contains("wr0ng"), "{e:?}");
    // The same through pg_dump, whose environment holds the password.
    let tools = Tools::find(15).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut admin = Session::connect(
        &ConnectConfig::parse(Side::Source, &source.url("postgres")).unwrap(),
        "changeover test",
    )
    .await
    .unwrap();
    let catalog = Catalog::read(&mut admin, &selection()).await.unwrap();
    let path = folder.path().join("x");
    let e = Archive::dump(&tools, &config, &selection(), &catalog, None, &path, true)
        .await
        .unwrap_err();
    assert!(e.to_string().contains("password authentication failed"), "{e}");
    assert!(!format!("{e:?}").contains("wr0ng"), "{e:?}");
}
