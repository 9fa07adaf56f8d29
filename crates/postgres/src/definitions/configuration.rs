//! Tables of extensions that hold rows of the user's: `pg_extension_config_dump`.

use changeover_types::quote_literal;

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
