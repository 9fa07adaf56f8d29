//! SQL fragments that several effects share. Pure.

use changeover_types::{Epoch, EpochKind, MigrationName, Side, TableName, quote_literal};

use crate::error::Error;

use super::{EpochRow, advisory_key, ask::foreign};

/// Opens a transaction of ours whatever the role's or the database's defaults say.
pub(crate) const BEGIN: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL search_path = pg_catalog;";

/// Waits for the migration's lock; it lasts until the end of the transaction.
pub(crate) fn advisory_lock(migration: &MigrationName) -> String {
    format!("SELECT pg_catalog.pg_advisory_xact_lock({})", advisory_key(migration))
}

/// Keeps every other writer of `changeover.epoch` out; readers go on.
pub(crate) fn lock_epochs() -> &'static str {
    "LOCK TABLE changeover.epoch IN SHARE ROW EXCLUSIVE MODE"
}

/// `ARRAY['"s"."t"', …]::text[]`: names that the server's `regclass` input reads back exactly.
pub(crate) fn regclasses<'a>(names: impl IntoIterator<Item = &'a TableName>) -> String {
    let list: Vec<String> = names.into_iter().map(|name| quote_literal(&name.quoted())).collect();
    format!("ARRAY[{}]::text[]", list.join(","))
}

/// A DO block whose dollar quotes cannot be closed by a name inside it.
pub(crate) fn do_block(body: &str) -> String {
    let mut tag = "$changeover$".to_owned();
    let mut tried = 0;
    while body.contains(&tag) {
        tried += 1;
        tag = format!("$changeover{tried}$");
    }
    format!("DO {tag}\n{body}\n{tag}")
}

/// What `pg_trigger.tgargs` holds for the seal of `side` in `epoch`, as a `bytea` expression.
///
/// Hexadecimal, so that `standard_conforming_strings` does not matter.
pub(crate) fn token_bytes(migration: &MigrationName, epoch: Epoch, side: Side) -> String {
    let text = format!("{migration}\0{epoch}\0{side}\0");
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("pg_catalog.decode('{hex}', 'hex')")
}

/// Reads `epoch, kind, authority, run, at`.
pub(crate) fn epoch_row(side: Side, row: &[Option<String>]) -> Result<EpochRow, Error> {
    let read = || -> Option<EpochRow> {
        let [Some(epoch), Some(kind), Some(authority), Some(run), Some(at)] = row else {
            return None;
        };
        Some(EpochRow {
            epoch: Epoch(epoch.parse().ok()?),
            kind: EpochKind::parse(kind)?,
            authority: match authority.as_str() {
                "none" => None,
                side => Some(Side::parse(side)?),
            },
            run: run.clone(),
            at: at.clone(),
        })
    };
    read()
        .ok_or_else(|| foreign(side, format!("a row of changeover.epoch makes no sense: {row:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_of_a_migration_is_the_same_for_every_version_of_ours() {
        let key = |name: &str| MigrationName::new(name).map(|name| advisory_key(&name));
        assert_eq!(key("shop"), key("shop"));
        assert_ne!(key("shop"), key("shop2"));
    }

    #[test]
    fn a_hostile_name_cannot_close_the_block() {
        let block = do_block("BEGIN PERFORM '$changeover$; DROP'; END");
        assert!(block.starts_with("DO $changeover1$\n") && block.ends_with("\n$changeover1$"));
    }

    #[test]
    fn names_survive_as_regclass_text() {
        let name = TableName::new("a\"b", "it's");
        assert_eq!(regclasses([&name]), r#"ARRAY['"a""b"."it''s"']::text[]"#);
    }
}
