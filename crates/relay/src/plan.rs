//! From one change to the SQL that applies it.
//!
//! A [`TablePlan`] joins a table as the stream announces it with the table it is applied to.
//! [`TablePlan::plan`] turns a change into statements: a [`StatementKey`] that names a prepared
//! statement (one per operation and set of present columns) and its parameters in text form.
//! Parameters are cast to the *receiving* column's type by name, since type OIDs differ between
//! servers; the stream's text form is what the type's input function reads.

mod compose;
mod mask;
mod sql;

use std::sync::Arc;

use bytes::Bytes;
use changeover_types::{Change, OldRow, ReplicaIdentity, TableName, TableShape, Tuple, Value};

pub use compose::{Command, Plans, What, compose};
pub use mask::Mask;

/// How a stored value is compared with one of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Equality {
    /// The operator in full, `OPERATOR(public.=)`: of the index that the key is enforced by, else
    /// of the type's default class. `None` if the type has none (json, point …): compared by text.
    pub operator: Option<String>,
    /// The type that both are cast to for it, if it is not the column's own: what a domain is made
    /// of, or `text` for `varchar`.
    pub operand: Option<String>,
    /// The index's collation, if it is not the column's own.
    pub collation: Option<String>,
    /// Whether it is true only for identical values (integers, uuid, timestamps …). Others (numeric,
    /// citext, float, what has a nondeterministic collation …) have equal values that differ.
    pub exact: bool,
}

/// A column of the receiving table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetColumn {
    /// Its name.
    pub name: String,
    /// Its type's OID on the receiving server.
    pub type_oid: u32,
    /// `atttypmod`.
    pub type_modifier: i32,
    /// The type's qualified name, to cast to. Without a modifier, for a cast to one would cut
    /// values silently where an assignment refuses.
    pub type_sql: String,
    /// The same of the type beneath, if it is a domain.
    pub base_sql: Option<String>,
    /// `GENERATED … STORED`: never written.
    pub generated: bool,
    /// `GENERATED ALWAYS AS IDENTITY`: never in an UPDATE.
    pub identity_always: bool,
    /// How its values compare.
    pub equality: Equality,
}

/// The table changes are applied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetTable {
    /// Its name.
    pub name: TableName,
    /// Whether it is a partitioned root (then `ONLY` would mean nothing).
    pub partitioned: bool,
    /// Its columns, dropped ones left out.
    pub columns: Vec<TargetColumn>,
}

/// How the announced table and the receiving one differ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table {table} differs between the two sides: {difference}")]
pub struct ShapeDifference {
    /// The table.
    pub table: TableName,
    /// The difference, in words.
    pub difference: String,
}

/// Why a change cannot be turned into SQL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a change of {table} cannot be applied: {fault}")]
pub struct PlanError {
    /// The table.
    pub table: TableName,
    /// Why.
    pub fault: String,
}

/// Names a prepared statement of one table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatementKey {
    /// `rows` rows at once.
    Insert {
        /// At least one.
        rows: u16,
    },
    /// One row.
    Update {
        /// The columns that are set.
        set: Mask,
        /// The columns the row is found by, and those of them that are NULL.
        find: Find,
    },
    /// One row.
    Delete {
        /// The columns the row is found by, and those of them that are NULL.
        find: Find,
    },
}

/// How a row is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Find {
    /// The columns compared.
    pub by: Mask,
    /// Those that are compared with NULL.
    pub nulls: Mask,
    /// Whether several rows may match and exactly one of them is meant (no key).
    pub any_one: bool,
}

/// One statement to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Which prepared statement.
    pub key: StatementKey,
    /// Its parameters in text form; `None` is NULL.
    pub params: Vec<Option<Bytes>>,
}

/// How changes of one announced table become SQL.
#[derive(Clone, Debug)]
pub struct TablePlan {
    shape: Arc<TableShape>,
    target: TargetTable,
    /// For each announced column its place in `target.columns`.
    places: Vec<usize>,
    key: Mask,
}

/// PostgreSQL numbers what users create from here; below, OIDs are the same on every server.
const FIRST_USER_OID: u32 = 16_384;

impl TablePlan {
    /// Joins the announced table with the receiving one.
    ///
    /// # Errors
    /// If their columns differ.
    pub fn new(shape: Arc<TableShape>, target: TargetTable) -> Result<TablePlan, ShapeDifference> {
        let fault = |difference: String| ShapeDifference { table: shape.name.clone(), difference };
        let mut places = Vec::with_capacity(shape.columns.len());
        let mut key = Mask::default();
        for (n, column) in shape.columns.iter().enumerate() {
            let Some(place) = target.columns.iter().position(|t| t.name == column.name) else {
                return Err(fault(format!("the receiving side has no column {}", column.name)));
            };
            let other = &target.columns[place];
            if other.generated {
                return Err(fault(format!(
                    "column {} is generated on the receiving side only",
                    column.name
                )));
            }
            let known = column.type_oid < FIRST_USER_OID && other.type_oid < FIRST_USER_OID;
            if known
                && (column.type_oid, column.type_modifier) != (other.type_oid, other.type_modifier)
            {
                return Err(fault(format!(
                    "column {} has type {} (modifier {}) on the sending side and {} (modifier \
                     {}) on the receiving side",
                    column.name,
                    column.type_oid,
                    column.type_modifier,
                    other.type_sql,
                    other.type_modifier
                )));
            }
            if column.key || shape.identity == ReplicaIdentity::Full {
                key.insert(n);
            }
            places.push(place);
        }
        let missing = target
            .columns
            .iter()
            .enumerate()
            .find(|(n, column)| !column.generated && !places.contains(n));
        if let Some((_, column)) = missing {
            return Err(fault(format!("the sending side has no column {}", column.name)));
        }
        Ok(TablePlan { shape, target, places, key })
    }

    /// The table as announced.
    #[must_use]
    pub fn shape(&self) -> &Arc<TableShape> {
        &self.shape
    }

    /// Appends the statements that apply `change`: one, or a delete and an insert.
    ///
    /// # Errors
    /// If the stream does not carry what is needed.
    pub fn plan(&self, change: &Change, out: &mut Vec<Planned>) -> Result<(), PlanError> {
        match change {
            Change::Insert { new, .. } => out.push(self.insert(new)?),
            Change::Delete { old, .. } => {
                let (find, params) = self.find(old_row(old), None)?;
                out.push(Planned { key: StatementKey::Delete { find }, params });
            }
            Change::Update { old, new, .. } => self.update(old.as_ref(), new, out)?,
            Change::Truncate { .. } => {
                return Err(self.fault("a truncation is not a change of one row"));
            }
        }
        Ok(())
    }

    fn fault(&self, fault: impl Into<String>) -> PlanError {
        PlanError { table: self.shape.name.clone(), fault: fault.into() }
    }

    fn column(&self, n: usize) -> &TargetColumn {
        &self.target.columns[self.places[n]]
    }

    fn insert(&self, new: &Tuple) -> Result<Planned, PlanError> {
        let mut params = Vec::with_capacity(new.len());
        for (n, value) in new.iter().enumerate() {
            params.push(self.present(n, value)?);
        }
        Ok(Planned { key: StatementKey::Insert { rows: 1 }, params })
    }

    fn present(&self, n: usize, value: &Value) -> Result<Option<Bytes>, PlanError> {
        match value {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.clone())),
            Value::Unchanged => {
                Err(self.fault(format!("the stream left out column {}", self.column(n).name)))
            }
        }
    }

    fn update(
        &self,
        old: Option<&OldRow>,
        new: &Tuple,
        out: &mut Vec<Planned>,
    ) -> Result<(), PlanError> {
        let before = old.map(old_row);
        if self.moves_identity(before, new) {
            // Such a column cannot be SET; on the sender it got there by `= DEFAULT`.
            let row = before.ok_or_else(|| self.fault("the old row is missing"))?;
            let (find, params) = self.find(row, None)?;
            let insert = self.insert(&completed(row, new, old))?;
            out.push(Planned { key: StatementKey::Delete { find }, params });
            out.push(insert);
            return Ok(());
        }
        let mut set = Mask::default();
        let mut params = Vec::with_capacity(new.len() + 2);
        for (n, value) in new.iter().enumerate() {
            let same = value == &Value::Unchanged
                || self.column(n).identity_always
                || (old.is_none() && self.key.contains(n));
            if !same {
                set.insert(n);
                params.push(self.present(n, value)?);
            }
        }
        let (find, found) = self.find(before.unwrap_or(new), Some(new))?;
        params.extend(found);
        out.push(Planned { key: StatementKey::Update { set, find }, params });
        Ok(())
    }

    /// Whether an update changed a column that cannot be SET.
    fn moves_identity(&self, before: Option<&Tuple>, new: &Tuple) -> bool {
        let Some(before) = before else { return false };
        (0..new.len()).any(|n| {
            self.column(n).identity_always
                && self.key.contains(n)
                && new[n] != Value::Unchanged
                && before[n] != new[n]
        })
    }

    /// How the row is found: by its identity in `row`; and, when it is updated to `new`, also by
    /// the columns that cannot be SET, so that one which did change is noticed as a divergence.
    fn find(
        &self,
        row: &Tuple,
        new: Option<&Tuple>,
    ) -> Result<(Find, Vec<Option<Bytes>>), PlanError> {
        if self.key.is_empty() {
            return Err(self.fault(
                "it has no replica identity: give it a primary key, or REPLICA IDENTITY FULL",
            ));
        }
        let any_one = self.shape.identity == ReplicaIdentity::Full;
        let mut find = Find { by: Mask::default(), nulls: Mask::default(), any_one };
        let mut params = Vec::new();
        for n in 0..row.len() {
            let value = match new {
                _ if self.key.contains(n) => &row[n],
                Some(new) if self.column(n).identity_always => &new[n],
                _ => continue,
            };
            find.by.insert(n);
            match self.present(n, value)? {
                Some(text) => params.push(Some(text)),
                None => find.nulls.insert(n),
            }
        }
        Ok((find, params))
    }

    /// The names and values of a change's key, for messages. No other column is shown.
    #[must_use]
    pub fn key_of(&self, change: &Change) -> String {
        let row = match change {
            Change::Insert { new, .. } | Change::Update { old: None, new, .. } => new,
            Change::Update { old: Some(old), .. } | Change::Delete { old, .. } => old_row(old),
            Change::Truncate { .. } => return "every row".to_owned(),
        };
        if self.shape.identity == ReplicaIdentity::Full {
            return "a row without a key".to_owned();
        }
        let show = |n: usize| {
            let value = match &row[n] {
                Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Value::Null => "NULL".to_owned(),
                Value::Unchanged => "(unchanged)".to_owned(),
            };
            format!("{}={value}", self.shape.columns[n].name)
        };
        self.key.iter().map(show).collect::<Vec<_>>().join(", ")
    }
}

fn old_row(old: &OldRow) -> &Tuple {
    match old {
        OldRow::Key(row) | OldRow::Full(row) => row,
    }
}

/// The new row with what the stream left out taken from a full old row.
fn completed(before: &Tuple, new: &Tuple, old: Option<&OldRow>) -> Tuple {
    let full = matches!(old, Some(OldRow::Full(_)));
    let one = |(n, value): (usize, &Value)| match value {
        Value::Unchanged if full => before[n].clone(),
        value => value.clone(),
    };
    new.iter().enumerate().map(one).collect()
}

/// `TRUNCATE` of several tables at once.
///
/// Never with `CASCADE`: the stream already lists what the sender's cascade reached, and anything
/// further would be rows that the sender still has. `partitioned` tells which of the names are
/// roots on the receiving side.
#[must_use]
pub fn truncate_sql(tables: &[(TableName, bool)], restart_identity: bool) -> String {
    let names: Vec<String> = tables
        .iter()
        .map(
            |(name, partitioned)| {
                if *partitioned { name.quoted() } else { format!("ONLY {}", name.quoted()) }
            },
        )
        .collect();
    let identity = if restart_identity { " RESTART IDENTITY" } else { "" };
    format!("TRUNCATE {}{identity}", names.join(", "))
}

#[cfg(test)]
mod tests;
