//! Removal as SQL text. Pure. Nothing here says CASCADE: what we did not make is not ours to drop.

use std::time::Duration;

use changeover_types::{MigrationName, TableName, quote_literal};

use crate::objects::{BEGIN, advisory_lock, regclasses};

/// Deletes this migration's rows; those that say who has authority only if `epochs`.
pub(super) fn bookkeeping(migration: &MigrationName, epochs: bool) -> String {
    let name = quote_literal(migration.as_str());
    let tables: &[&str] = if epochs {
        &["progress", "signal", "fence", "copied", "epoch"]
    } else {
        &["progress", "signal", "fence", "copied"]
    };
    let deletes: Vec<String> = tables
        .iter()
        .map(|table| format!("DELETE FROM changeover.{table} WHERE migration = {name};"))
        .collect();
    let lock = advisory_lock(migration);
    format!("{BEGIN} SET LOCAL synchronous_commit = on; {lock}; {} COMMIT", deletes.concat())
}

/// A migration whose slots and publication have the names of this one's: they do not tell dashes
/// from underscores.
pub(super) fn twin(migration: &MigrationName) -> String {
    let name = quote_literal(migration.as_str());
    format!(
        "SELECT e.migration FROM changeover.epoch e WHERE e.migration <> {name} \
         AND pg_catalog.translate(e.migration, '-', '_') = pg_catalog.translate({name}, '-', '_') \
         LIMIT 1"
    )
}

/// The other migrations that keep the schema alive; null if there is none.
pub(super) const OTHERS: &str =
    "SELECT string_agg(DISTINCT migration, ', ' ORDER BY migration) FROM changeover.epoch";

/// Drops our schema unless a migration came back meanwhile, or something depends on it.
pub(super) const DROP_SCHEMA: &str = "\
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;\
SET LOCAL lock_timeout = 500;\
SELECT pg_catalog.pg_advisory_xact_lock(7165060413116280146);\
LOCK TABLE changeover.epoch IN ACCESS EXCLUSIVE MODE;\
DO $changeover$ BEGIN \
  IF EXISTS (SELECT FROM changeover.epoch) THEN \
    RAISE EXCEPTION 'a migration began meanwhile' USING ERRCODE = '55P03'; END IF; END $changeover$;\
DROP FUNCTION changeover.refuse();\
DROP TABLE changeover.epoch, changeover.signal, changeover.progress, changeover.fence, changeover.copied;\
DROP SCHEMA changeover;\
COMMIT";

/// Which of these relations are there, as quoted names: partitions go with their parents.
pub(super) fn present<'a>(names: impl IntoIterator<Item = &'a TableName>) -> String {
    format!(
        "SELECT u.name FROM unnest({}) AS u(name) \
         WHERE pg_catalog.to_regclass(u.name) IS NOT NULL ORDER BY 1",
        regclasses(names)
    )
}

/// Drops relations given as quoted names.
pub(super) fn drop_relations(quoted: &[String], lock_timeout: Duration) -> String {
    format!(
        "{BEGIN} SET LOCAL lock_timeout = {}; DROP TABLE {}; COMMIT",
        lock_timeout.as_millis(),
        quoted.join(", ")
    )
}
