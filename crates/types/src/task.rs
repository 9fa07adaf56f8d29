//! What a restore could not do and no row depends on: left to a person, and tried again.

use serde::{Deserialize, Serialize};

use crate::TableName;

/// Something of the target's schema that is not yet as it is on the source. Names only, never a
/// value of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Task {
    /// What it is about.
    pub object: TaskObject,
    /// Why it could not be done, in words.
    pub why: String,
    /// The statement that does it, to be run on the target once its cause is mended.
    pub statement: String,
    /// A query that lists the rows in the way, if rows are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
}

/// What a task is about. A comparison of both catalogues may find these, and only these, different
/// as the task says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TaskObject {
    /// A constraint that is there, but NOT VALID.
    NotValid {
        /// Its table.
        table: TableName,
        /// Its name.
        name: String,
    },
    /// A constraint that is not there at all.
    Constraint {
        /// Its table.
        table: TableName,
        /// Its name.
        name: String,
    },
    /// A materialised view that holds no rows.
    View {
        /// Its name.
        name: TableName,
    },
    /// A grant or default privilege that was not given.
    Grant {
        /// Whose entry of the archive it is of, in its words.
        label: String,
    },
    /// A policy that is not there, or only for some of its roles.
    Policy {
        /// Its table.
        table: TableName,
        /// Its name.
        name: String,
    },
    /// A property of the database, or of a role in it, that was not set.
    Database {
        /// Which.
        property: String,
    },
}

impl Task {
    /// What is not as it should be, in one line without the statement.
    #[must_use]
    pub fn headline(&self) -> String {
        let Task { object, why, .. } = self;
        match object {
            TaskObject::NotValid { table, name } => {
                format!("the constraint {name} of {table} is NOT VALID on the target: {why}")
            }
            TaskObject::Constraint { table, name } => {
                format!("the constraint {name} of {table} is not on the target: {why}")
            }
            TaskObject::View { name } => {
                format!("the materialised view {name} holds no rows on the target: {why}")
            }
            TaskObject::Policy { table, name } => {
                format!(
                    "the policy {name} of {table} is not for all its roles on the target: {why}"
                )
            }
            TaskObject::Grant { label } => format!("not granted on the target ({label}): {why}"),
            TaskObject::Database { property } => {
                format!("not set on the target: {property}: {why}")
            }
        }
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.headline(), self.statement)?;
        if let Some(rows) = &self.rows {
            write!(f, " (these rows: {rows})")?;
        }
        Ok(())
    }
}
