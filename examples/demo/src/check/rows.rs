//! Every row of both sides, compared.
//!
//! Each table is first compared by its number of rows and an order-free sum over the hashes of
//! its rows' text forms, computed in the servers; where those differ, by the rows' hashes one by
//! one, so that the number of differing rows is exact.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::causes;

/// The result.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowsCheck {
    /// Rows on the side that has more, over all tables.
    pub(crate) compared: u64,
    /// Rows that have no equal on the other side; a changed row counts once.
    pub(crate) different: u64,
    /// Tables with differences: name, differing rows.
    pub(crate) findings: BTreeMap<String, u64>,
    /// How many tables were compared.
    pub(crate) tables: usize,
}

/// Compares until both sides are equal or `patience` is over: the other side may still be
/// applying the last writes.
///
/// # Errors
/// If a side cannot be read.
pub(crate) async fn compare_until_equal(
    blue: &Client,
    green: &Client,
    patience: Duration,
) -> Result<RowsCheck, String> {
    let started = Instant::now();
    loop {
        let check = compare(blue, green).await?;
        if check.different == 0 || started.elapsed() > patience {
            return Ok(check);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Compares all tables of the application, once.
///
/// # Errors
/// If a side cannot be read.
pub(crate) async fn compare(blue: &Client, green: &Client) -> Result<RowsCheck, String> {
    let mut check = RowsCheck::default();
    let (ours, theirs) = tokio::try_join!(tables(blue), tables(green))?;
    for name in ours.iter().filter(|name| !theirs.contains(name)) {
        check.findings.insert(format!("{name} (not on green)"), 1);
        check.different += 1;
    }
    for name in theirs.iter().filter(|name| !ours.contains(name)) {
        check.findings.insert(format!("{name} (not on blue)"), 1);
        check.different += 1;
    }
    for name in ours.iter().filter(|name| theirs.contains(name)) {
        let (left, right) = tokio::try_join!(digest(blue, name), digest(green, name))?;
        check.tables += 1;
        check.compared += u64::try_from(left.0.max(right.0)).unwrap_or(0);
        if left != right {
            let different = one_by_one(blue, green, name).await?;
            if different > 0 {
                check.findings.insert(name.clone(), different);
                check.different += different;
            }
        }
    }
    Ok(check)
}

/// The tables that hold rows (leaves, not partition roots), quoted; without Changeover's own.
async fn tables(client: &Client) -> Result<Vec<String>, String> {
    let rows = client
        .query(
            "SELECT format('%I.%I', n.nspname, c.relname)
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind = 'r' AND c.relpersistence = 'p'
               AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'changeover')
             ORDER BY 1",
            &[],
        )
        .await
        .map_err(|e| format!("listing tables: {}", causes(&e)))?;
    rows.iter().map(|row| row.try_get(0).map_err(|e| causes(&e))).collect()
}

/// The number of rows, and the sum of their hashes in four parts.
async fn digest(client: &Client, table: &str) -> Result<(i64, Vec<String>), String> {
    let part = |n: usize| {
        format!("coalesce(sum(('x' || substr(h, {}, 8))::bit(32)::bigint), 0)::text", n * 8 + 1)
    };
    let parts: Vec<String> = (0..4).map(part).collect();
    let query = format!(
        "SELECT count(*), {} FROM (SELECT pg_catalog.md5(t::text) AS h FROM {table} t) rows",
        parts.join(", ")
    );
    let said = |e: tokio_postgres::Error| format!("comparing {table}: {}", causes(&e));
    let row = client.query_one(&query, &[]).await.map_err(said)?;
    let mut sums = Vec::with_capacity(4);
    for n in 1..=4 {
        sums.push(row.try_get(n).map_err(said)?);
    }
    Ok((row.try_get(0).map_err(said)?, sums))
}

/// How many rows have no equal, counted on the side where there are more such rows.
async fn one_by_one(blue: &Client, green: &Client, table: &str) -> Result<u64, String> {
    let query = format!("SELECT pg_catalog.md5(t::text) FROM {table} t");
    let said = |e: tokio_postgres::Error| format!("comparing {table} by row: {}", causes(&e));
    let (ours, theirs) =
        tokio::try_join!(blue.query(&query, &[]), green.query(&query, &[])).map_err(said)?;
    let mut surplus: HashMap<String, i64> = HashMap::new();
    for row in &ours {
        *surplus.entry(row.try_get(0).map_err(said)?).or_default() += 1;
    }
    for row in &theirs {
        *surplus.entry(row.try_get(0).map_err(said)?).or_default() -= 1;
    }
    let only_blue: i64 = surplus.values().filter(|n| **n > 0).sum();
    let only_green: i64 = surplus.values().filter(|n| **n < 0).map(|n| -n).sum();
    Ok(u64::try_from(only_blue.max(only_green)).unwrap_or(0))
}
