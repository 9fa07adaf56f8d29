//! A moved table and what is known of it.

use changeover_types::TableName;
use serde::{Deserialize, Serialize};

/// Where a table stands in a partition tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// An ordinary table.
    Plain,
    /// The top of a partition tree; holds no rows itself.
    Root,
    /// A partition that is itself partitioned; holds no rows itself.
    Branch,
    /// A partition that holds rows.
    Leaf,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its number; dropped columns leave gaps.
    pub number: i16,
    /// Its type as PostgreSQL prints it, schema-qualified unless it is a built-in.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The type's OID on this side.
    pub type_oid: u32,
    /// Whether it refuses NULL.
    pub not_null: bool,
    /// Whether its value is computed from other columns.
    pub generated: bool,
    /// `a` for `GENERATED ALWAYS AS IDENTITY`, `d` for `BY DEFAULT`.
    pub identity: Option<char>,
}

/// A primary key, unique constraint or unique index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The index's name.
    pub name: String,
    /// Whether it is the primary key.
    pub primary: bool,
    /// Its columns in order; an expression is an empty string.
    pub columns: Vec<String>,
    /// Whether it has a `WHERE`.
    pub partial: bool,
    /// Whether it is checked at once (not deferrable).
    pub immediate: bool,
    /// Whether it can be used.
    pub valid: bool,
    /// Whether it was chosen with `REPLICA IDENTITY USING INDEX`.
    pub identity: bool,
}

/// One table on one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// Its OID on this side.
    pub oid: u32,
    /// Its place in a partition tree.
    pub kind: TableKind,
    /// The top of its partition tree, if it is a partition.
    pub root: Option<TableName>,
    /// The parent it inherits from without being a partition.
    pub inherits: Vec<TableName>,
    /// Its live columns by number.
    pub columns: Vec<Column>,
    /// Its unique keys, the primary key first.
    pub keys: Vec<Key>,
    /// `pg_class.relreplident`: `d`, `n`, `f` or `i`.
    pub identity_setting: char,
    /// The file its rows are in; a rewrite changes it.
    pub relfilenode: u32,
    /// `p` permanent, `u` unlogged.
    pub persistence: char,
    /// The planner's estimate; `None` if it was never analysed.
    pub rows: Option<u64>,
    /// Size on disk without indexes, TOAST included.
    pub bytes: u64,
    /// Whether row security is enabled.
    pub row_security: bool,
    /// Whether it has a TOAST table.
    pub toast: bool,
    /// Its owner.
    pub owner: String,
    /// Whether we may do as its owner does (create triggers, publish).
    pub owned: bool,
    /// Whether we may read it.
    pub readable: bool,
    /// `(name, enabled)` of the application's triggers that fire for a replica too
    /// (`R` or `A`).
    pub replica_triggers: Vec<String>,
    /// Tables that are referenced by a foreign key of this one and do not move.
    pub foreign: Vec<ForeignKey>,
}

/// A foreign key that leaves the moved tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// The constraint's name.
    pub name: String,
    /// The table it is on.
    pub from: TableName,
    /// The table it references.
    pub to: TableName,
}

/// How old rows of a table are identified in a change stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// The columns of a key.
    Key(Vec<String>),
    /// The whole row.
    Full,
    /// Not at all, and why: publishing the table would make the application's updates fail.
    Missing(String),
}

impl Table {
    /// Whether the table holds rows itself.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        matches!(self.kind, TableKind::Plain | TableKind::Leaf)
    }

    /// The primary key.
    #[must_use]
    pub fn primary_key(&self) -> Option<&Key> {
        self.keys.iter().find(|key| key.primary)
    }

    /// The columns that a COPY carries: all but the generated ones.
    pub fn copied_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.generated)
    }

    /// How old rows are identified, or why they are not.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let computed = |key: &Key| {
            self.columns.iter().any(|column| column.generated && key.columns.contains(&column.name))
        };
        let of = |key: Option<&Key>, absent: &str| match key {
            Some(key) if computed(key) => Identity::Missing(format!(
                "its key {} has a generated column, which the stream does not carry",
                key.name
            )),
            None => Identity::Missing(absent.to_owned()),
            Some(key) if !key.immediate => Identity::Missing(format!(
                "its key {} is deferrable, so PostgreSQL does not use it",
                key.name
            )),
            Some(key) if !key.valid => {
                Identity::Missing(format!("its key {} is not valid", key.name))
            }
            Some(key) => Identity::Key(key.columns.clone()),
        };
        match self.identity_setting {
            'f' => Identity::Full,
            'n' => Identity::Missing("REPLICA IDENTITY is NOTHING".to_owned()),
            'i' => of(
                self.keys.iter().find(|key| key.identity),
                "the index chosen as its REPLICA IDENTITY is gone",
            ),
            _ => of(self.primary_key(), "it has no primary key"),
        }
    }
}
