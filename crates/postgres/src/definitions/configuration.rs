//! Tables of extensions that hold rows of the user's: `pg_extension_config_dump`.

use changeover_types::{quote_ident, quote_literal};

use super::sql::CONFIGURATION;
use crate::catalog::{cell, json};
use crate::digest::pinned;
use crate::error::Result;
use crate::session::Session;

/// A table, or sequence, that an extension declared as its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationTable {
    /// The extension.
    pub extension: String,
    /// The table, quoted as in SQL.
    pub table: String,
    /// Whether it is a sequence.
    pub sequence: bool,
    /// Which of its rows are the user's: `WHERE …`, or empty for all.
    pub condition: String,
    /// How many those are; `None` if our role may not read them.
    pub rows: Option<u64>,
}

/// The configuration of every extension, in the order in which it was declared.
///
/// # Errors
/// If the catalogue cannot be read.
pub async fn configuration(session: &mut Session) -> Result<Vec<ConfigurationTable>> {
    let declared: Vec<(String, String, String, Option<String>)> =
        pinned(session, CONFIGURATION).await?;
    let mut tables = Vec::with_capacity(declared.len());
    for (extension, table, kind, condition) in declared {
        let condition = condition.unwrap_or_default();
        let sequence = kind == "S";
        let readable = format!(
            "SELECT pg_catalog.has_table_privilege({}::regclass,'SELECT')",
            quote_literal(&table)
        );
        let rows = match (sequence, cell(session, &readable).await?.as_deref()) {
            (true, _) => Some(0),
            (false, Some("t")) => {
                json(session, &format!("SELECT pg_catalog.count(*)::text FROM {table} {condition}"))
                    .await?
            }
            (false, _) => None,
        };
        tables.push(ConfigurationTable { extension, table, sequence, condition, rows });
    }
    Ok(tables)
}

/// What became of one configuration table in the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationCopied {
    /// Which.
    pub table: ConfigurationTable,
    /// Why its rows stayed behind, if they did.
    pub fault: Option<String>,
}

/// Copies the user's rows of every extension's configuration, as `pg_dump` does: once, into a target
/// that has none there. `reader` sees the copy's snapshot.
///
/// # Errors
/// If the configuration cannot be read; a table that cannot be copied is told in its own outcome.
pub async fn copy_configuration(
    reader: &mut Session,
    target: &mut Session,
) -> Result<Vec<ConfigurationCopied>> {
    let theirs = configuration(target).await?;
    let mut copied = Vec::new();
    for table in configuration(reader).await? {
        let there = theirs.iter().find(|it| it.table == table.table);
        if !table.sequence && (table.rows == Some(0) || there.is_some_and(|it| it.rows != Some(0)))
        {
            continue;
        }
        let outcome = match table.sequence {
            true => copy_sequence(reader, target, &table.table).await,
            false => copy_rows(reader, target, &table).await,
        };
        if outcome.is_err() {
            target.execute("ROLLBACK").await.ok();
        }
        let fault = outcome.err().map(|e| e.to_string());
        copied.push(ConfigurationCopied { table, fault });
    }
    Ok(copied)
}

async fn copy_sequence(reader: &mut Session, target: &mut Session, name: &str) -> Result<()> {
    let sql = format!("SELECT last_value::text || ',' || is_called::text FROM {name}");
    let Some(value) = cell(reader, &sql).await? else { return Ok(()) };
    let set = format!("SELECT pg_catalog.setval({}::regclass,{value})", quote_literal(name));
    target.execute(&set).await.map(drop)
}

async fn copy_rows(
    reader: &mut Session,
    target: &mut Session,
    table: &ConfigurationTable,
) -> Result<()> {
    let columns: Vec<String> = json(
        reader,
        &format!(
            "SELECT pg_catalog.json_agg(attname ORDER BY attnum)::text \
             FROM pg_catalog.pg_attribute WHERE attrelid={}::regclass AND attnum>0 \
               AND NOT attisdropped AND attgenerated=''",
            quote_literal(&table.table)
        ),
    )
    .await?;
    let columns: Vec<String> = columns.iter().map(|name| quote_ident(name)).collect();
    let (name, columns) = (&table.table, columns.join(","));
    // Keys between configuration tables need no order of tables then.
    target.execute("BEGIN; SET LOCAL session_replication_role = replica").await?;
    let read = format!("COPY (SELECT {columns} FROM {name} {}) TO STDOUT", table.condition);
    let mut out = reader.copy_out(&read).await?;
    let mut into = target.copy_in(&format!("COPY {name} ({columns}) FROM STDIN")).await?;
    while let Some(frames) = out.next_frames().await? {
        into.send_frames(frames).await?;
    }
    into.finish().await?;
    target.execute("COMMIT").await.map(drop)
}
