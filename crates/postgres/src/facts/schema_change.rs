//! The newest change of the schema: the catalogue has no times, but tools that change schemas
//! keep a table with them.

use changeover_assess::Fact;
use changeover_assess::inventory::SchemaChange;
use changeover_types::WallMs;
use serde::Deserialize;

use super::ask::{Answer, Asker};

/// The tables of migration tools, with the column that has the time. A tool without one still
/// shows that the schema is changed by a tool.
const TOOLS: [(&str, Option<&str>); 12] = [
    ("flyway_schema_history", Some("installed_on")),
    ("schema_version", Some("installed_on")),
    ("django_migrations", Some("applied")),
    ("databasechangelog", Some("dateexecuted")),
    ("_prisma_migrations", Some("finished_at")),
    ("knex_migrations", Some("migration_time")),
    ("goose_db_version", Some("tstamp")),
    ("_sqlx_migrations", Some("installed_on")),
    ("__diesel_schema_migrations", Some("run_on")),
    ("schema_migrations", Some("inserted_at")),
    ("alembic_version", None),
    ("ar_internal_metadata", Some("updated_at")),
];

#[derive(Deserialize)]
struct Kept {
    table: String,
    tool: String,
    columns: Vec<String>,
}

pub(super) async fn latest(ask: &mut Asker) -> Fact<Option<SchemaChange>> {
    let answer = read(ask).await;
    ask.fact("the tables of migration tools", answer)
}

async fn read(ask: &mut Asker) -> Answer<Option<SchemaChange>> {
    let names: Vec<String> = TOOLS.iter().map(|(name, _)| format!("'{name}'")).collect();
    // Only columns whose type is a time: a tool of the same name may keep something else there.
    let kept: Vec<Kept> = ask
        .json(&format!(
            "SELECT coalesce(json_agg(json_build_object(\
               'table', quote_ident(n.nspname) || '.' || quote_ident(c.relname), \
               'tool', c.relname, \
               'columns', (SELECT coalesce(json_agg(a.attname), '[]') \
                 FROM pg_catalog.pg_attribute a WHERE a.attrelid=c.oid AND a.attnum>0 \
                   AND NOT a.attisdropped AND a.atttypid IN ('timestamp'::regtype, \
                   'timestamptz'::regtype))) ORDER BY n.nspname, c.relname), '[]')::text \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace \
             WHERE c.relkind='r' AND lower(c.relname::text) IN ({})",
            names.join(",")
        ))
        .await?;
    let mut newest: Option<SchemaChange> = None;
    for Kept { table, tool, columns } in kept {
        let column = TOOLS.iter().find(|(name, _)| *name == tool.to_lowercase());
        let column = column.and_then(|(_, column)| *column);
        let column = column.filter(|name| columns.iter().any(|it| it == name));
        let at = match column {
            Some(column) => {
                let sql = format!(
                    "SELECT to_json((extract(epoch FROM max({column})::timestamptz)*1000)::bigint)\
                     ::text FROM {table}"
                );
                ask.json::<Option<u64>>(&sql).await?.map(WallMs)
            }
            None => None,
        };
        if newest.as_ref().is_none_or(|newest| newest.at < at) {
            newest = Some(SchemaChange { tool, at });
        }
    }
    Ok(newest)
}
