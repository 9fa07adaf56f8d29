//! Reads the rows of our own schema out of the stream.
//!
//! Columns are found by name in the announced shape, so a later version may add some. Rows of
//! other migrations that share the database are nobody's business here.

use changeover_types::{
    Change, Epoch, EpochKind, Marker, MarkerError, MigrationName, OldRow, Side, SignalKind,
    TableName, TableShape, Tuple, Value,
};

/// The schema that holds our tables on both sides.
pub const SCHEMA: &str = "changeover";

/// Which of our tables a relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerTable {
    /// `changeover.epoch`.
    Epoch,
    /// `changeover.signal`.
    Signal,
    /// `changeover.progress`.
    Progress,
    /// Any other table of our schema: never applied, means nothing.
    Other,
}

impl MarkerTable {
    /// Tells whether `name` is ours, and which.
    #[must_use]
    pub fn of(name: &TableName) -> Option<MarkerTable> {
        if name.schema != SCHEMA {
            return None;
        }
        Some(match name.name.as_str() {
            "epoch" => MarkerTable::Epoch,
            "signal" => MarkerTable::Signal,
            "progress" => MarkerTable::Progress,
            _ => MarkerTable::Other,
        })
    }
}

/// Reads a change of one of our tables; `None` if it says nothing about this migration.
///
/// # Errors
/// If the row is this migration's and cannot be read.
pub fn read(
    table: MarkerTable,
    shape: &TableShape,
    change: &Change,
    migration: &MigrationName,
) -> Result<Option<Marker>, MarkerError> {
    let (row, gone) = match change {
        Change::Insert { new, .. } | Change::Update { new, .. } => (new, false),
        Change::Delete { old: OldRow::Key(old) | OldRow::Full(old), .. } => (old, true),
        Change::Truncate { .. } => return Ok(None),
    };
    let row = Row { shape, row };
    if row.text("migration")? != migration.as_str() {
        return Ok(None);
    }
    match table {
        MarkerTable::Progress => Ok(Some(Marker::Progress)),
        MarkerTable::Epoch if !gone => row.epoch().map(Some),
        MarkerTable::Signal if !gone => row.signal().map(Some),
        _ => Ok(None),
    }
}

/// A row with its columns' names.
struct Row<'a> {
    shape: &'a TableShape,
    row: &'a Tuple,
}

impl Row<'_> {
    fn fault(&self, fault: String) -> MarkerError {
        MarkerError { table: self.shape.name.name.clone(), fault }
    }

    fn text(&self, column: &str) -> Result<&str, MarkerError> {
        let place = self.shape.columns.iter().position(|c| c.name == column);
        match place.and_then(|place| self.row.get(place)) {
            Some(Value::Text(bytes)) => std::str::from_utf8(bytes)
                .map_err(|_| self.fault(format!("column {column} is not UTF-8"))),
            Some(_) => Err(self.fault(format!("column {column} has no value"))),
            None => Err(self.fault(format!("column {column} is missing"))),
        }
    }

    fn number(&self, column: &str) -> Result<u64, MarkerError> {
        let text = self.text(column)?;
        // A nonce uses all 64 bits, and PostgreSQL's bigint is signed.
        text.parse::<u64>()
            .or_else(|_| text.parse::<i64>().map(i64::cast_unsigned))
            .map_err(|_| self.fault(format!("column {column} holds `{text}`, not a number")))
    }

    fn epoch(&self) -> Result<Marker, MarkerError> {
        let kind = self.text("kind")?;
        let authority = self.text("authority")?;
        Ok(Marker::Epoch {
            epoch: Epoch(self.number("epoch")?),
            kind: EpochKind::parse(kind)
                .ok_or_else(|| self.fault(format!("unknown kind `{kind}`")))?,
            authority: match authority {
                "none" => None,
                side => Some(
                    Side::parse(side)
                        .ok_or_else(|| self.fault(format!("unknown authority `{side}`")))?,
                ),
            },
        })
    }

    fn signal(&self) -> Result<Marker, MarkerError> {
        let kind = self.text("kind")?;
        Ok(Marker::Signal {
            kind: SignalKind::parse(kind)
                .ok_or_else(|| self.fault(format!("unknown kind `{kind}`")))?,
            epoch: Epoch(self.number("epoch")?),
            nonce: self.number("nonce")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use changeover_types::{Column, RelationId, ReplicaIdentity};

    fn shape(name: &str, columns: &[&str]) -> TableShape {
        TableShape {
            id: RelationId(1),
            name: TableName::new(SCHEMA, name),
            identity: ReplicaIdentity::Default,
            columns: columns
                .iter()
                .map(|name| Column {
                    name: (*name).to_owned(),
                    type_oid: 25,
                    type_modifier: -1,
                    key: false,
                })
                .collect(),
        }
    }

    fn insert(values: &[&str]) -> Change {
        let new = values.iter().map(|v| Value::Text(Bytes::copy_from_slice(v.as_bytes())));
        Change::Insert { relation: RelationId(1), new: new.collect() }
    }

    #[test]
    fn a_seal_is_read_whatever_the_order_of_columns() {
        let shape = shape("epoch", &["at", "kind", "authority", "epoch", "migration"]);
        let mine = MigrationName::new("shop").unwrap();
        let change = insert(&["now", "seal", "none", "7", "shop"]);
        assert_eq!(
            read(MarkerTable::Epoch, &shape, &change, &mine),
            Ok(Some(Marker::Epoch { epoch: Epoch(7), kind: EpochKind::Seal, authority: None }))
        );
        let other = MigrationName::new("other").unwrap();
        assert_eq!(read(MarkerTable::Epoch, &shape, &change, &other), Ok(None));
    }

    #[test]
    fn a_nonce_uses_all_bits() {
        let shape = shape("signal", &["migration", "kind", "epoch", "nonce"]);
        let mine = MigrationName::new("shop").unwrap();
        let read = |nonce: &str| {
            read(MarkerTable::Signal, &shape, &insert(&["shop", "barrier", "2", nonce]), &mine)
        };
        let barrier = |nonce| Marker::Signal { kind: SignalKind::Barrier, epoch: Epoch(2), nonce };
        assert_eq!(read("-1"), Ok(Some(barrier(u64::MAX))));
        assert_eq!(read("18446744073709551615"), Ok(Some(barrier(u64::MAX))));
        assert!(read("x").is_err());
    }
}
