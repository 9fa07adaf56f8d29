//! A database with one of everything, copied while it is written to.

use std::sync::atomic::{AtomicBool, Ordering};

use changeover_postgres::definitions::{Change, Definitions, missing};
use changeover_postgres::digest::{CatalogDigest, diff};
use changeover_postgres::schema;

use super::*;

const HAZARDS: &str = include_str!("hazards.sql");

/// Changes rows of every kind until told to stop; gives the number of its transactions.
async fn write(config: ConnectConfig, stop: Arc<AtomicBool>, worker: u32) -> u32 {
    let mut session = Session::connect(&config, "writer").await.unwrap();
    session.execute("SET search_path = public").await.unwrap();
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = 1_000_000 * worker + done;
        session
            .execute(&format!(
                "BEGIN;\
                 INSERT INTO customers (name, homes, balance) VALUES ('w{key}', '{{}}', {key});\
                 UPDATE customers SET notes = '{{\"at\": {key}}}', ratio = {key} \
                   WHERE number = 1 + {key} % 300;\
                 INSERT INTO orders (region, placed, customer) SELECT \
                   (ARRAY['eu','us','asia'])[1 + {key} % 3], '2023-12-01'::timestamptz + \
                   {key} % 60 * interval '1 day', id FROM customers WHERE name = 'w{key}';\
                 DELETE FROM orders WHERE id = {key} % 1000;\
                 INSERT INTO keyless VALUES ({key}, 'w');\
                 UPDATE chicken SET id = id WHERE id = 1 + {key} % 50;\
                 COMMIT"
            ))
            .await
            .unwrap();
        done += 1;
    }
    done
}

#[tokio::test]
async fn every_row_of_the_snapshot_arrives_while_writers_run() {
    let pair = Pair::start();
    psql_file(&pair.source, HAZARDS);
    psql(&pair.source, "app", "ANALYZE");
    psql(&pair.target, "app", "CREATE ROLE clerk");

    let found = pair.preflight().await;
    let blockers: Vec<String> = found.blockers().map(ToString::to_string).collect();
    assert_eq!(blockers, [""; 0]);
    assert!(found.promises.iter().all(|p| p.kept), "{:?}", found.promises);
    let as_text = &found.finding("text_copy").unwrap().seen;
    assert!(as_text.iter().any(|name| name == "public.customers"), "{as_text:?}");

    pair.begin().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (1..=3)
        .map(|i| tokio::spawn(write(pair.config(Side::Source), Arc::clone(&stop), i)))
        .collect();
    let mut source = pair.session(Side::Source).await;
    until(&mut source, "(SELECT count(*) > 30 FROM public.keyless WHERE b = 'w')").await;

    let snapshot = pair.snapshot().await;
    let mut reader = snapshot.reader().await.unwrap();
    let archive = pair.restore_pre_data(&snapshot).await;
    let ticket = pair.ticket().await;
    let summary = pair.copy(&snapshot, &ticket).await.unwrap();
    assert_eq!(summary.tables, jobs(&snapshot).len() as u64);

    // Again under the same incarnation: nothing to do.
    let again = pair.copy(&snapshot, &ticket).await.unwrap();
    assert_eq!((again.tables, again.already), (0, summary.tables));

    let post = archive.post_data(&mut source, &selection(), &snapshot.catalog).await.unwrap();
    let counted = std::sync::atomic::AtomicUsize::new(0);
    post.restore(&pair.config(Side::Target), 3, &|p| counted.store(p.done, Ordering::Relaxed))
        .await
        .unwrap();
    assert_eq!(counted.load(Ordering::Relaxed), post.len());
    // A restore that was interrupted goes on.
    post.restore(&pair.config(Side::Target), 3, &|_| {}).await.unwrap();

    let mut target = pair.session(Side::Target).await;
    let left = schema::refresh_views(&mut source, &mut target, &snapshot.catalog).await.unwrap();
    assert_eq!(left, []);
    schema::analyze(&mut target, &snapshot.catalog.relations()).await.unwrap();

    let expected = contents(&mut reader, &snapshot.catalog).await;
    assert_eq!(contents(&mut target, &snapshot.catalog).await, expected);
    let now = contents(&mut source, &snapshot.catalog).await;
    assert_ne!(now, expected, "the writers went on meanwhile");
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        assert!(writer.await.unwrap() > 10);
    }

    // The schemas agree, nothing is left over, and what was refreshed has rows.
    let here = Definitions::read(&mut source, &selection()).await.unwrap();
    let there = Definitions::read(&mut target, &selection()).await.unwrap();
    let (strong, weak) = missing(&here, &there);
    let words: Vec<String> = strong.iter().chain(&weak).map(Change::between_sides).collect();
    assert_eq!(words, [""; 0]);
    let row = target.query_one("SELECT n FROM public.totals_of_totals").await.unwrap();
    assert!(row.parse::<u64>(0).unwrap() > 900);
    let refused = target.execute("INSERT INTO public.keyless VALUES (1, 'rogue')").await;
    assert_eq!(refused.unwrap_err().sqlstate(), Some("P0004"));
    let frozen = "SELECT count(*) FROM public.customers WHERE xmin::text::bigint > 2";
    assert!(target.query_one(frozen).await.is_ok());
}

#[tokio::test]
async fn a_digest_names_every_change_and_does_not_depend_on_the_session() {
    let pair = Pair::start();
    psql_file(&pair.source, HAZARDS);
    pair.begin().await;
    let mut session = pair.session(Side::Source).await;
    let before = CatalogDigest::read(&mut session, &selection()).await.unwrap();
    session
        .execute(
            "SET search_path = public, pg_catalog; SET TimeZone = 'Asia/Tokyo'; \
             SET extra_float_digits = 0; BEGIN",
        )
        .await
        .unwrap();
    let inside = CatalogDigest::read(&mut session, &selection()).await.unwrap();
    assert_eq!(inside, before);
    let row = session.query_one("SELECT current_setting('TimeZone')").await.unwrap();
    assert_eq!(row.text(0).unwrap(), "Asia/Tokyo", "the session keeps its settings");
    session.execute("COMMIT").await.unwrap();

    for (change, words) in [
        ("ALTER TABLE egg ADD COLUMN c int", "public.egg, column c: new"),
        ("ALTER TABLE egg ALTER c TYPE bigint", "public.egg, column c: was pg_catalog.int4"),
        ("ALTER TABLE egg DROP COLUMN c", "public.egg, column c: gone"),
        ("ALTER TABLE chicken REPLICA IDENTITY NOTHING", "public.chicken: was"),
        (
            "CREATE TABLE orders_x PARTITION OF orders FOR VALUES IN ('x')",
            "public.orders_x, partition: new",
        ),
        ("ALTER TABLE orders DETACH PARTITION orders_x", "public.orders_x, partition: gone"),
        ("ALTER TABLE chicken DISABLE TRIGGER zz_note", "public.chicken, trigger zz_note: was"),
        ("CREATE UNIQUE INDEX late ON audit (what)", "public.audit, key late: new"),
        (
            "ALTER PUBLICATION changeover_m DROP TABLE egg",
            "public.egg, published changeover_m: gone",
        ),
        ("ALTER SEQUENCE counter INCREMENT 2", "public.counter: was"),
        ("DROP TABLE only_generated", "public.only_generated: gone"),
    ] {
        let old = CatalogDigest::read(&mut session, &selection()).await.unwrap();
        psql(&pair.source, "app", change);
        let new = CatalogDigest::read(&mut session, &selection()).await.unwrap();
        let found: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|w| w.starts_with(words)), "{change}: {found:?}");
        assert_ne!(old.fingerprint.catalog, new.fingerprint.catalog, "{change}");
    }
    let old = CatalogDigest::read(&mut session, &selection()).await.unwrap();
    psql(&pair.source, "app", "VACUUM FULL egg");
    let new = CatalogDigest::read(&mut session, &selection()).await.unwrap();
    assert_eq!(old.fingerprint.catalog, new.fingerprint.catalog);
    assert_ne!(old.fingerprint.storage, new.fingerprint.storage);
}

#[tokio::test]
async fn only_what_is_selected_is_read_and_dumped() {
    let pair = Pair::start();
    psql_file(
        &pair.source,
        "CREATE SCHEMA billing; CREATE SCHEMA other;
         CREATE TABLE other.x (id serial PRIMARY KEY);
         CREATE TABLE billing.bills (id serial PRIMARY KEY);
         CREATE TABLE billing.drafts (id serial PRIMARY KEY);
         CREATE TABLE users (id serial PRIMARY KEY);
         CREATE TABLE \"Log\" (id int PRIMARY KEY, u int REFERENCES users);
         CREATE TABLE kept (id int PRIMARY KEY, log int REFERENCES \"Log\");
         CREATE EXTENSION pg_trgm;",
    );
    let own = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let chosen =
        Selection::new(name(), &own(&["public", "billing.bills"]), &own(&["public.Log"])).unwrap();
    let mut source = pair.session(Side::Source).await;
    let catalog = Catalog::read(&mut source, &chosen).await.unwrap();
    let names: Vec<String> = catalog.relations().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["billing.bills", "public.kept", "public.users"]);
    let sequences: Vec<String> = catalog.sequences.iter().map(|s| s.name.to_string()).collect();
    assert_eq!(sequences, ["billing.bills_id_seq", "public.users_id_seq"]);
    let keys: Vec<String> = catalog.leaving_foreign_keys().map(|k| k.to.to_string()).collect();
    assert_eq!(keys, ["public.Log"]);

    let tools = Tools::find(15).await.unwrap();
    let path = pair.folder.path().join("schema.dump");
    let config = pair.config(Side::Source);
    let archive =
        Archive::dump(&tools, &config, &chosen, &catalog, None, &path, false).await.unwrap();
    archive.restore_pre_data(&pair.config(Side::Target), None).await.unwrap();
    let there = "SELECT string_agg(oid::regclass::text, ' ' ORDER BY oid::regclass::text COLLATE \"C\") \
                 FROM pg_class WHERE relkind IN ('r','S') AND oid >= 16384";
    assert_eq!(
        psql(&pair.target, "app", there),
        "billing.bills billing.bills_id_seq kept users users_id_seq"
    );
    assert_eq!(psql(&pair.target, "app", "SELECT count(*) FROM pg_extension"), "2");
}
