//! What travels with the moved tables, or stands in their way.

use changeover_types::TableName;
use serde::{Deserialize, Serialize};

/// A sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its name.
    pub name: TableName,
    /// The column that owns it.
    pub owned_by: Option<OwningColumn>,
    /// Whether it belongs to an identity column.
    pub identity: bool,
    /// Values that each session takes at a time.
    pub cache: i64,
    /// Its lowest value.
    pub min: i64,
    /// Its highest value.
    pub max: i64,
    /// Its first value.
    pub start: i64,
    /// Its step; negative counts down.
    pub increment: i64,
    /// Whether it starts again at its end.
    pub cycle: bool,
    /// `bigint`, `integer` or `smallint`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The last value taken; `None` if it was never used or may not be read.
    pub last: Option<i64>,
    /// Whether we may read it.
    pub readable: bool,
    /// Whether we may do as its owner does.
    pub owned: bool,
}

impl Sequence {
    /// How many values are left before the sequence ends.
    #[must_use]
    pub fn room(&self) -> u64 {
        let last = i128::from(self.last.unwrap_or(self.start));
        let end = i128::from(if self.increment < 0 { self.min } else { self.max });
        let step = i128::from(self.increment).abs().max(1);
        u64::try_from((end - last).abs() / step).unwrap_or(u64::MAX)
    }
}

/// The column that owns a sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwningColumn {
    /// Its table.
    pub table: TableName,
    /// Its name.
    pub column: String,
}

/// What decides whether a column type may travel in its binary form. Each fact is true if it
/// holds for the type itself or anything it is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeTraits {
    /// One of `regclass` and its kin: the binary form is an OID of this server.
    pub alias: bool,
    /// Has no binary form.
    pub mute: bool,
    /// A user's composite or array: the binary form names OIDs of this server.
    pub nested: bool,
    /// A base type that is not PostgreSQL's own: its binary form belongs to its version.
    pub foreign_base: bool,
}

/// An installed extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Its installed version.
    pub version: String,
    /// The schema it was installed into.
    pub schema: String,
}

/// An enabled event trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTrigger {
    /// Its name.
    pub name: String,
    /// Whether it fires for what an ordinary session creates or drops.
    pub fires: bool,
    /// The statements that make it.
    pub statement: String,
}

/// A view or materialised view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its name.
    pub name: TableName,
    /// Whether it keeps rows.
    pub materialized: bool,
    /// Whether those rows were ever computed.
    pub populated: bool,
}
