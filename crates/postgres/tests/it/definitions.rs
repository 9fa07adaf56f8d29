//! Everything that a database is beside its rows: each kind of change is named as an object, its
//! undoing is none, and what servers do by themselves is no change.

mod kinds;

use std::time::Instant;

use changeover_postgres::catalog::{Catalog, Selection};
use changeover_postgres::config::ConnectConfig;
use changeover_postgres::definitions::{Definitions, changes};
use changeover_postgres::session::Session;
use changeover_postgres::{objects, seal};
use changeover_testkit::{Cluster, ClusterConfig};
use changeover_types::{Epoch, MigrationName, Side};
use kinds::{KINDS, QUIET, SCHEMA};

async fn open(cluster: &Cluster) -> Session {
    let config = ConnectConfig::parse(Side::Source, &cluster.url("app")).unwrap();
    Session::connect(&config, "changeover test").await.unwrap()
}

fn everything() -> Selection {
    Selection::everything(MigrationName::new("m").unwrap())
}

#[tokio::test]
async fn every_kind_of_change_is_named_as_an_object_and_its_undoing_is_none() {
    let cluster = Cluster::start(ClusterConfig::new("definitions")).unwrap();
    let postgres = ConnectConfig::parse(Side::Source, &cluster.url("postgres")).unwrap();
    let mut first = Session::connect(&postgres, "changeover test").await.unwrap();
    first.execute("CREATE DATABASE app").await.unwrap();
    let (mut session, mut changer) = (open(&cluster).await, open(&cluster).await);
    changer.execute("SET search_path = public").await.unwrap();
    changer.execute(SCHEMA).await.unwrap();
    let all = everything();
    let mut before = Definitions::read(&mut session, &all).await.unwrap();
    let text = before.to_text();
    assert_eq!(Definitions::from_text(&text).as_ref(), Some(&before));
    assert!(!text.contains("geheim"), "a secret is in the facts");

    let mut faults = Vec::new();
    for quiet in QUIET {
        let mut other = open(&cluster).await;
        other.execute("SET search_path = public").await.unwrap();
        other.execute(quiet).await.unwrap_or_else(|e| panic!("{quiet}: {e}"));
        let now = Definitions::read(&mut session, &all).await.unwrap();
        let words: Vec<String> = changes(&before, &now).iter().map(ToString::to_string).collect();
        if !words.is_empty() || now.hash != before.hash {
            faults.push(format!("{quiet}: {words:?}"));
        }
    }
    for (change, undo, expected) in KINDS {
        changer.execute(change).await.unwrap_or_else(|e| panic!("{change}: {e}"));
        let now = Definitions::read(&mut session, &all).await.unwrap();
        let words: Vec<String> = changes(&before, &now).iter().map(ToString::to_string).collect();
        if words.join("|") != *expected || now.hash == before.hash {
            faults.push(format!("{change}: {words:?}"));
        }
        before = match undo.is_empty() {
            true => now,
            false => {
                changer.execute(undo).await.unwrap_or_else(|e| panic!("{undo}: {e}"));
                let undone = Definitions::read(&mut session, &all).await.unwrap();
                if undone.hash != before.hash {
                    let left = changes(&before, &undone);
                    faults.push(format!("{undo}: {left:?}"));
                }
                undone
            }
        };
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn what_we_make_ourselves_is_no_change_and_what_is_left_out_is_not_looked_at() {
    let cluster = Cluster::start(ClusterConfig::new("ours")).unwrap();
    let postgres = ConnectConfig::parse(Side::Source, &cluster.url("postgres")).unwrap();
    let mut first = Session::connect(&postgres, "changeover test").await.unwrap();
    first.execute("CREATE DATABASE app").await.unwrap();
    let mut session = open(&cluster).await;
    session.execute(&format!("SET search_path = public; {SCHEMA}")).await.unwrap();
    let all = everything();
    let before = Definitions::read(&mut session, &all).await.unwrap();
    let catalog = Catalog::read(&mut session, &all).await.unwrap();
    let scope = catalog.scope(&all.migration, Side::Source);
    objects::install(&mut session).await.unwrap();
    objects::genesis(&mut session, &scope, "test").await.unwrap();
    objects::publication(&mut session, &scope).await.unwrap();
    seal::set(&mut session, &scope, Epoch(1)).await.unwrap();
    let now = Definitions::read(&mut session, &all).await.unwrap();
    assert_eq!(changes(&before, &now), vec![]);
    assert_eq!(now.hash, before.hash);

    let without = Selection::new(all.migration, &[], &["public.child".into(), "s".into()]).unwrap();
    let before = Definitions::hash(&mut session, &without).await.unwrap();
    session
        .execute(
            "SET search_path = public; CREATE INDEX late ON child (t); COMMENT ON TABLE child IS 'x';\
             ALTER SEQUENCE child_n_seq MAXVALUE 99; CREATE FUNCTION s.f() RETURNS int LANGUAGE sql \
             AS 'select 1'; GRANT SELECT ON child TO reader; CREATE TABLE s.x (id int PRIMARY KEY)",
        )
        .await
        .unwrap();
    assert_eq!(Definitions::hash(&mut session, &without).await.unwrap(), before);
}

/// By hand: `cargo test -p changeover-postgres --test it definitions:: -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "measures and asserts nothing; make test-all, or by hand as above"]
async fn two_thousand_tables_are_read_in_a_moment() {
    let cluster = Cluster::start(ClusterConfig::new("many")).unwrap();
    let postgres = ConnectConfig::parse(Side::Source, &cluster.url("postgres")).unwrap();
    let mut first = Session::connect(&postgres, "changeover test").await.unwrap();
    first.execute("CREATE DATABASE app").await.unwrap();
    let mut session = open(&cluster).await;
    for at in 0..2000 {
        let sql = format!(
            "CREATE TABLE public.t{at} (id bigserial PRIMARY KEY, a int DEFAULT 1, b text, c \
             numeric, d timestamptz DEFAULT now(), e jsonb, f text CHECK (f <> ''), g uuid, h int, \
             i text); CREATE INDEX ON public.t{at} (a); CREATE INDEX ON public.t{at} (b, d)"
        );
        session.execute(&sql).await.unwrap();
    }
    session.execute("VACUUM ANALYZE").await.unwrap();
    let all = everything();
    for _ in 0..3 {
        let begun = Instant::now();
        let read = Definitions::read(&mut session, &all).await.unwrap();
        let whole = begun.elapsed();
        let begun = Instant::now();
        Definitions::hash(&mut session, &all).await.unwrap();
        let hash = begun.elapsed();
        let begun = Instant::now();
        changeover_postgres::digest::Fingerprint::read(&mut session, &all).await.unwrap();
        println!(
            "{} facts, {} bytes: read {whole:?}, hash {hash:?}, digest {:?}",
            read.facts.len(),
            read.to_text().len(),
            begun.elapsed()
        );
    }
}
