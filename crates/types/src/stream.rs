//! A decoded change stream: what pgoutput says, independent of its encoding.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::TableName;

/// A position in a server's write-ahead log, in bytes. Printed as `16/B374D848`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

impl Lsn {
    /// Position zero: before everything.
    pub const ZERO: Lsn = Lsn(0);
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// Why a text is not an [`Lsn`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a log position like 16/B374D848")]
pub struct ParseLsnError(pub String);

impl FromStr for Lsn {
    type Err = ParseLsnError;
    fn from_str(text: &str) -> Result<Self, ParseLsnError> {
        let fault = || ParseLsnError(text.to_owned());
        let (high, low) = text.split_once('/').ok_or_else(fault)?;
        let high = u32::from_str_radix(high, 16).map_err(|_| fault())?;
        let low = u32::from_str_radix(low, 16).map_err(|_| fault())?;
        Ok(Lsn((u64::from(high) << 32) | u64::from(low)))
    }
}

impl TryFrom<String> for Lsn {
    type Error = ParseLsnError;
    fn try_from(text: String) -> Result<Self, ParseLsnError> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> String {
        lsn.to_string()
    }
}

/// A relation's OID on the server that sends the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationId(pub u32);

/// How a table's old rows are identified in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key.
    Default,
    /// Nothing: updates and deletes are not published.
    Nothing,
    /// The whole old row.
    Full,
    /// A chosen unique index.
    Index,
}

/// A column as the stream announces it. Generated columns are not announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// The type's OID on the sending server.
    pub type_oid: u32,
    /// `atttypmod`.
    pub type_modifier: i32,
    /// Whether it is part of the replica identity.
    pub key: bool,
}

/// A table as the stream announces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableShape {
    /// Its OID on the sending server.
    pub id: RelationId,
    /// Its name.
    pub name: TableName,
    /// How old rows are identified.
    pub identity: ReplicaIdentity,
    /// Its columns in the order of every [`Tuple`].
    pub columns: Vec<Column>,
}

/// One column's value in a [`Tuple`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A TOASTed value that the update did not touch and the stream does not carry.
    Unchanged,
    /// The type's text form.
    Text(Bytes),
}

/// A row: one value per announced column.
pub type Tuple = Vec<Value>;

/// What identifies the row that was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OldRow {
    /// Only the identity's columns are meaningful; the others are [`Value::Null`].
    Key(Tuple),
    /// The whole row.
    Full(Tuple),
}

/// One change of one row, or a truncation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new row.
    Insert {
        /// Where.
        relation: RelationId,
        /// The row.
        new: Tuple,
    },
    /// A changed row.
    Update {
        /// Where.
        relation: RelationId,
        /// The old identity: absent when the key did not change (and identity is not full).
        old: Option<OldRow>,
        /// The row afterwards; values may be [`Value::Unchanged`].
        new: Tuple,
    },
    /// A row that is gone.
    Delete {
        /// Where.
        relation: RelationId,
        /// What it was.
        old: OldRow,
    },
    /// Tables that were emptied.
    Truncate {
        /// Which.
        relations: Vec<RelationId>,
        /// `CASCADE` was given.
        cascade: bool,
        /// `RESTART IDENTITY` was given.
        restart_identity: bool,
    },
}

/// One decoded pgoutput message (protocol version 1: whole transactions, in commit order).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// A committed transaction starts.
    Begin {
        /// Where its commit record starts. Transactions arrive in the order of this.
        commit_lsn: Lsn,
        /// When it committed, in microseconds since 2000-01-01 UTC.
        commit_time_us: i64,
        /// Its id on the sending server.
        xid: u32,
    },
    /// The transaction is complete.
    Commit {
        /// Where its commit record starts; equals the `Begin`'s.
        commit_lsn: Lsn,
        /// Just behind its commit record: what may be acknowledged once it is durable.
        end_lsn: Lsn,
    },
    /// A table is announced; valid until announced again.
    Relation(TableShape),
    /// A user type is announced. Not needed for text values.
    Type {
        /// Its OID on the sending server.
        oid: u32,
        /// Its schema and name.
        name: TableName,
    },
    /// The transaction was itself replicated from elsewhere.
    Origin {
        /// The origin's name.
        name: String,
    },
    /// A logical message (`pg_logical_emit_message`).
    Message {
        /// Whether it belongs to the transaction it was sent in.
        transactional: bool,
        /// Its position.
        lsn: Lsn,
        /// Its prefix.
        prefix: String,
        /// Its content.
        content: Bytes,
    },
    /// A row change or truncation.
    Change(Change),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_position_survives_its_text(raw in any::<u64>()) {
            prop_assert_eq!(Lsn(raw).to_string().parse(), Ok(Lsn(raw)));
        }
    }

    #[test]
    fn nonsense_is_no_position() {
        for bad in ["", "1", "/", "x/1", "1/100000000", "1/2/3"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }
}
