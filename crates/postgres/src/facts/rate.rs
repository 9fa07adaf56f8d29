//! How fast a database changes: two samples of its log and of its tables' counters.

use std::collections::BTreeMap;

use changeover_assess::inventory::{Rate, TableRate};
use changeover_types::TableName;
use serde::Deserialize;
use tokio::time::Instant;

use super::ask::{Answer, Asker};
use crate::catalog::Selection;

/// One look.
#[derive(Debug)]
pub(super) struct Sample {
    at: Instant,
    counters: Counters,
}

#[derive(Debug, Deserialize)]
struct Counters {
    wal: u64,
    commits: u64,
    tables: BTreeMap<u32, Changed>,
}

#[derive(Debug, Deserialize)]
struct Changed {
    schema: String,
    name: String,
    changes: u64,
}

pub(super) async fn sample(ask: &mut Asker, selection: &Selection) -> Answer<Sample> {
    let sql = format!(
        "WITH {moved} SELECT json_build_object(\
           'wal', pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::bigint, \
           'commits', (SELECT xact_commit FROM pg_catalog.pg_stat_database \
             WHERE datname=pg_catalog.current_database()), \
           'tables', (SELECT coalesce(json_object_agg(m.oid::bigint::text, json_build_object(\
               'schema', m.schema, 'name', m.name, \
               'changes', s.n_tup_ins+s.n_tup_upd+s.n_tup_del)), '{{}}') \
             FROM moved m JOIN pg_catalog.pg_stat_user_tables s ON s.relid=m.oid))::text",
        moved = selection.moved_cte()
    );
    let counters = ask.json(&sql).await?;
    Ok(Sample { at: Instant::now(), counters })
}

pub(super) fn between(before: Answer<Sample>, after: Answer<Sample>) -> Answer<Rate> {
    let (before, after) = (before?, after?);
    let over_ms = u64::try_from(after.at.duration_since(before.at).as_millis()).unwrap_or(u64::MAX);
    let each_second = |from: u64, to: u64| {
        to.saturating_sub(from).saturating_mul(1_000).checked_div(over_ms).unwrap_or(0)
    };
    let mut tables: Vec<TableRate> = after
        .counters
        .tables
        .iter()
        .filter_map(|(oid, now)| {
            let then = before.counters.tables.get(oid).map_or(now.changes, |then| then.changes);
            let changes = now.changes.saturating_sub(then);
            let name = TableName::new(&now.schema, &now.name);
            (changes > 0).then_some(TableRate { name, changes })
        })
        .collect();
    tables.sort_by(|a, b| b.changes.cmp(&a.changes).then_with(|| a.name.cmp(&b.name)));
    Ok(Rate {
        over_ms,
        wal_bytes_s: each_second(before.counters.wal, after.counters.wal),
        commits_s: each_second(before.counters.commits, after.counters.commits),
        tables,
    })
}
