//! How fast the passthrough is beside `psql | psql`. Only on request: it takes half a minute and
//! is a fair comparison in a release build alone.

use std::time::Instant;

use super::*;

#[tokio::test]
async fn five_million_rows_beside_psql() {
    if std::env::var_os("CHANGEOVER_MEASURE").is_none() {
        eprintln!("skipped: set CHANGEOVER_MEASURE=1 and build for release to measure");
        return;
    }
    let pair = Pair::start();
    psql_file(
        &pair.source,
        "CREATE TABLE accounts (aid int, bid int, abalance int, filler char(84));
         ALTER TABLE accounts REPLICA IDENTITY FULL;
         INSERT INTO accounts SELECT i, 1, 0, '' FROM generate_series(1, 5000000) i;
         VACUUM ANALYZE accounts;",
    );
    psql(
        &pair.target,
        "app",
        "CREATE TABLE other (aid int, bid int, abalance int, filler char(84))",
    );
    pair.begin().await;
    let snapshot = pair.snapshot().await;
    pair.restore_pre_data(&snapshot).await;
    for round in 0..3 {
        let ticket = pair.ticket().await;
        let start = Instant::now();
        let summary = pair.copy(&snapshot, &ticket).await.unwrap();
        let ours = start.elapsed();
        psql(&pair.target, "app", "TRUNCATE other");
        let start = Instant::now();
        let script = format!(
            "psql -X -q -d '{}' -c 'COPY accounts TO STDOUT (FORMAT binary)' | \
             psql -X -q -d '{}' -c 'COPY other FROM STDIN (FORMAT binary)'",
            pair.source.url("app"),
            pair.target.url("app"),
        );
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        let theirs = start.elapsed();
        eprintln!(
            "round {round}: ours {ours:?} for {} rows, {} bytes; psql {theirs:?}",
            summary.rows, summary.bytes
        );
    }
}
