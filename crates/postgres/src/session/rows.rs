//! Results as text.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use changeover_pgwire::backend::{DataRow, FieldDescription};
use changeover_types::Side;

use crate::error::{Error, Result};

/// What a finished command says about itself, such as `INSERT 0 5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    command: Cow<'static, str>,
    rows: u64,
}

/// Commands whose names need no allocation: the ones a busy pipeline consists of.
const FREQUENT: [&str; 11] = [
    "INSERT", "UPDATE", "DELETE", "SELECT", "BEGIN", "COMMIT", "ROLLBACK", "SET", "COPY", "MERGE",
    "FETCH",
];

impl Tag {
    /// Reads a command tag.
    pub(crate) fn read(tag: &[u8]) -> Self {
        let text = String::from_utf8_lossy(tag);
        let (command, rows) = match text.rsplit_once(' ') {
            Some((command, last)) => match last.parse() {
                // `INSERT 0 5`: the 0 is a relic.
                Ok(rows) => (command.trim_end_matches(" 0"), rows),
                Err(_) => (text.as_ref(), 0),
            },
            None => (text.as_ref(), 0),
        };
        let command = match FREQUENT.iter().find(|known| **known == command) {
            Some(known) => Cow::Borrowed(*known),
            None => Cow::Owned(command.to_owned()),
        };
        Tag { command, rows }
    }

    /// The command: `INSERT`, `CREATE TABLE`, …; empty for an empty statement.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.command
    }

    /// How many rows it inserted, changed, removed, found or copied; 0 if it does not say.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

/// A result's columns.
#[derive(Debug)]
struct Columns {
    side: Side,
    names: Vec<String>,
}

/// A result: all its rows, every value as text.
#[derive(Clone, Debug)]
pub struct Rows {
    columns: Arc<Columns>,
    rows: Vec<Row>,
}

impl Rows {
    pub(crate) fn new(side: Side, columns: &[FieldDescription]) -> Self {
        let names =
            columns.iter().map(|field| String::from_utf8_lossy(&field.name).into_owned()).collect();
        Rows { columns: Arc::new(Columns { side, names }), rows: Vec::new() }
    }

    /// Takes one row; `false` if it holds bytes that are not UTF-8.
    pub(crate) fn push(&mut self, row: &DataRow) -> bool {
        let mut text = String::new();
        let mut cells = Vec::with_capacity(row.len());
        for value in row.iter() {
            cells.push(match value.map(std::str::from_utf8) {
                None => None,
                Some(Ok(value)) => {
                    let start = text.len();
                    text.push_str(value);
                    Some((start, text.len()))
                }
                Some(Err(_)) => return false,
            });
        }
        self.rows.push(Row { columns: Arc::clone(&self.columns), text, cells });
        true
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The columns' names.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns.names
    }

    /// The rows.
    pub fn iter(&self) -> std::slice::Iter<'_, Row> {
        self.rows.iter()
    }

    /// The first row.
    #[must_use]
    pub fn first(&self) -> Option<&Row> {
        self.rows.first()
    }
}

impl IntoIterator for Rows {
    type Item = Row;
    type IntoIter = std::vec::IntoIter<Row>;
    fn into_iter(self) -> Self::IntoIter {
        self.rows.into_iter()
    }
}

impl<'a> IntoIterator for &'a Rows {
    type Item = &'a Row;
    type IntoIter = std::slice::Iter<'a, Row>;
    fn into_iter(self) -> Self::IntoIter {
        self.rows.iter()
    }
}

/// One row of a result.
#[derive(Clone, Debug)]
pub struct Row {
    columns: Arc<Columns>,
    text: String,
    cells: Vec<Option<(usize, usize)>>,
}

/// How a column is named: by its position from 0, or by its name.
pub trait ColumnIndex {
    /// Its position among `names`.
    fn position(&self, names: &[String]) -> Option<usize>;
    /// For messages.
    fn describe(&self) -> String;
}

impl ColumnIndex for usize {
    fn position(&self, names: &[String]) -> Option<usize> {
        (*self < names.len()).then_some(*self)
    }
    fn describe(&self) -> String {
        self.to_string()
    }
}

impl ColumnIndex for &str {
    fn position(&self, names: &[String]) -> Option<usize> {
        names.iter().position(|name| name == self)
    }
    fn describe(&self) -> String {
        format!("`{self}`")
    }
}

impl Row {
    /// The column's text; `None` if it is NULL, or if there is no such column.
    #[must_use]
    pub fn get(&self, column: impl ColumnIndex) -> Option<&str> {
        let index = column.position(&self.columns.names)?;
        let (start, end) = self.cells.get(index).copied().flatten()?;
        self.text.get(start..end)
    }

    /// The column's text.
    ///
    /// # Errors
    /// [`Protocol`](crate::error::ErrorKind::Protocol) if it is NULL or not there.
    pub fn text(&self, column: impl ColumnIndex) -> Result<&str> {
        let name = column.describe();
        self.get(column).ok_or_else(|| {
            Error::protocol(
                self.columns.side,
                format!("the column {name} of a result is NULL or missing"),
            )
        })
    }

    /// The column's value, parsed.
    ///
    /// # Errors
    /// [`Protocol`](crate::error::ErrorKind::Protocol) if it is NULL, not there, or of another
    /// form.
    pub fn parse<T: FromStr>(&self, column: impl ColumnIndex) -> Result<T> {
        let name = column.describe();
        let text = self.text(column)?;
        text.parse().map_err(|_| {
            let wanted = std::any::type_name::<T>();
            Error::protocol(
                self.columns.side,
                format!("the column {name} of a result is not readable as {wanted}"),
            )
        })
    }

    /// The column's value, parsed; `None` if it is NULL.
    ///
    /// # Errors
    /// As [`Row::parse`], but for NULL.
    pub fn parse_opt<T: FromStr>(&self, column: impl ColumnIndex + Copy) -> Result<Option<T>> {
        match column.position(&self.columns.names).map(|index| self.cells.get(index)) {
            Some(Some(None)) => Ok(None),
            _ => self.parse(column).map(Some),
        }
    }

    /// The column's truth value (`t` or `f`).
    ///
    /// # Errors
    /// As [`Row::parse`].
    pub fn bool(&self, column: impl ColumnIndex) -> Result<bool> {
        let name = column.describe();
        match self.text(column)? {
            "t" => Ok(true),
            "f" => Ok(false),
            _ => Err(Error::protocol(
                self.columns.side,
                format!("the column {name} of a result is not a truth value"),
            )),
        }
    }

    /// How many columns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there is no column.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read() {
        for (text, command, rows) in [
            ("INSERT 0 5", "INSERT", 5),
            ("COPY 12", "COPY", 12),
            ("SELECT 0", "SELECT", 0),
            ("CREATE TABLE", "CREATE TABLE", 0),
            ("BEGIN", "BEGIN", 0),
            ("", "", 0),
        ] {
            let tag = Tag::read(text.as_bytes());
            assert_eq!((tag.command(), tag.rows()), (command, rows), "{text}");
        }
    }
}
