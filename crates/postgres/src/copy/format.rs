//! In which form a table travels, and the two COPY commands for it.
//!
//! Binary is the rule: no value is printed or parsed. Text is for tables with a column whose
//! binary form means something else on the other server; one such column decides for its table.

use changeover_types::quote_ident;

use crate::catalog::{Catalog, Extension, Table, TypeTraits};

/// The form of the rows on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// `FORMAT binary`.
    Binary,
    /// `FORMAT text`, because of this.
    Text(TextReason),
}

/// Why a table travels as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextReason {
    /// A column is of `regclass` or its kin: binary would carry OIDs of the source.
    Alias,
    /// A column's type has no binary form.
    Mute,
    /// A user's array or composite, and a target before 14, which insists on equal type OIDs.
    Nested,
    /// A type of an extension, and servers or extensions of different versions.
    ForeignBase,
    /// A type that the catalogue does not describe.
    Unknown,
}

/// What a table's form depends on besides its columns.
#[derive(Clone, Debug)]
pub struct Sides<'a> {
    /// The source's catalogue.
    pub source: &'a Catalog,
    /// The target's major version.
    pub target_major: u32,
    /// The target's extensions.
    pub target_extensions: &'a [Extension],
}

impl Sides<'_> {
    /// Whether binary forms of types that are not built in can be trusted to be the same.
    fn alike(&self) -> bool {
        self.source.server.major() == self.target_major
            && self.source.extensions.iter().all(|ours| {
                self.target_extensions
                    .iter()
                    .any(|theirs| theirs.name == ours.name && theirs.version == ours.version)
            })
    }

    /// The form in which `table` travels.
    #[must_use]
    pub fn format(&self, table: &Table) -> CopyFormat {
        let traits = table
            .copied_columns()
            .map(|column| self.source.types.get(&column.type_oid))
            .collect::<Option<Vec<&TypeTraits>>>();
        let Some(traits) = traits else { return CopyFormat::Text(TextReason::Unknown) };
        let any = |test: fn(&TypeTraits) -> bool| traits.iter().any(|t| test(t));
        if any(|t| t.alias) {
            CopyFormat::Text(TextReason::Alias)
        } else if any(|t| t.mute) {
            CopyFormat::Text(TextReason::Mute)
        } else if self.target_major < 14 && any(|t| t.nested) {
            CopyFormat::Text(TextReason::Nested)
        } else if !self.alike() && any(|t| t.foreign_base) {
            CopyFormat::Text(TextReason::ForeignBase)
        } else {
            CopyFormat::Binary
        }
    }
}

impl CopyFormat {
    fn option(self) -> &'static str {
        match self {
            CopyFormat::Binary => "FORMAT binary",
            CopyFormat::Text(_) => "FORMAT text",
        }
    }

    /// The command that reads the table. `ONLY`, because partitions and children are copied for
    /// themselves; a query and not the table, so that the column list may be empty.
    #[must_use]
    pub fn out_command(self, table: &Table) -> String {
        format!("COPY ({}) TO STDOUT ({})", query(table), self.option())
    }

    /// The command that loads it. `freeze` needs a TRUNCATE earlier in the same transaction.
    #[must_use]
    pub fn in_command(self, table: &Table, freeze: bool) -> String {
        let columns = columns(table);
        // An empty list is a syntax error; without one, generated columns are left out anyway.
        let list =
            if columns.is_empty() { String::new() } else { format!("({}) ", columns.join(",")) };
        format!(
            "COPY {} {list}FROM STDIN ({}{})",
            table.name.quoted(),
            self.option(),
            if freeze { ", FREEZE true" } else { "" }
        )
    }
}

/// The query whose rows travel.
pub(crate) fn query(table: &Table) -> String {
    format!("SELECT {} FROM ONLY {}", columns(table).join(","), table.name.quoted())
}

fn columns(table: &Table) -> Vec<String> {
    table.copied_columns().map(|column| quote_ident(&column.name)).collect()
}
