//! Names, and the one way in which they are quoted.
//!
//! Names from a source's catalogue are an attacker's input: every SQL text of ours quotes them
//! through [`quote_ident`] and [`quote_literal`], which are property-tested with hostile names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A migration's name: 1 to 40 characters of `a-z`, `0-9`, `_` and `-`, the first a letter.
///
/// It becomes part of slot, publication and folder names, so it is kept narrow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MigrationName(String);

/// Why a text is not a [`MigrationName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a migration name: use 1 to 40 of a-z, 0-9, _ and -, starting with a letter")]
pub struct InvalidName(pub String);

impl MigrationName {
    /// Checks and takes the name.
    ///
    /// # Errors
    /// If the text is empty, too long, or holds another character.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let rest = text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if first && rest && text.len() <= 40 {
            Ok(MigrationName(text.to_owned()))
        } else {
            Err(InvalidName(text.to_owned()))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `changeover_<name>` with dashes as underscores: the slot and publication of this
    /// migration on either side.
    #[must_use]
    pub fn object_name(&self) -> String {
        format!("changeover_{}", self.0.replace('-', "_"))
    }
}

impl TryFrom<String> for MigrationName {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        MigrationName::new(&text)
    }
}

impl From<MigrationName> for String {
    fn from(name: MigrationName) -> String {
        name.0
    }
}

impl fmt::Display for MigrationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A schema-qualified table (or sequence, or view), unquoted. `Display` is for people;
/// SQL uses [`TableName::quoted`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// The schema's name as in the catalogue.
    pub schema: String,
    /// The relation's name as in the catalogue.
    pub name: String,
}

impl TableName {
    /// Builds the name from its two parts.
    #[must_use]
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        TableName { schema: schema.into(), name: name.into() }
    }

    /// `"schema"."name"`, safe to put into SQL.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote_ident(&self.schema), quote_ident(&self.name))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Quotes an identifier for SQL, always with double quotes.
///
/// NUL cannot occur in a PostgreSQL name and is dropped.
#[must_use]
pub fn quote_ident(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for c in name.chars().filter(|c| *c != '\0') {
        if c == '"' {
            quoted.push('"');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// Quotes a string literal for SQL, independent of `standard_conforming_strings`.
///
/// NUL cannot occur in a PostgreSQL text and is dropped.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    let escape = text.contains('\\');
    let mut quoted = String::with_capacity(text.len() + 4);
    if escape {
        quoted.push_str(" E");
    }
    quoted.push('\'');
    for c in text.chars().filter(|c| *c != '\0') {
        if c == '\'' || c == '\\' {
            quoted.push(c);
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a quoted identifier the way PostgreSQL's scanner does.
    fn unquote(quoted: &str) -> Option<String> {
        let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
        let mut out = String::new();
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            if c == '"' && chars.next() != Some('"') {
                return None;
            }
            out.push(c);
        }
        Some(out)
    }

    proptest! {
        #[test]
        fn an_identifier_cannot_leave_its_quotes(name in "[^\0]*") {
            prop_assert_eq!(unquote(&quote_ident(&name)), Some(name));
        }

        #[test]
        fn a_literal_holds_no_single_unescaped_quote(text in "[^\0]*") {
            let quoted = quote_literal(&text);
            let inner = quoted.trim_start_matches(" E");
            let inner = &inner[1..inner.len() - 1];
            prop_assert_eq!(inner.replace("''", "").matches('\'').count(), 0);
            prop_assert_eq!(inner.replace("\\\\", "").matches('\\').count(), 0);
        }
    }

    #[test]
    fn migration_names_are_narrow() {
        for good in ["a", "shop", "shop-2_eu"] {
            assert!(MigrationName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Shop", "1shop", "shop;", "é", &"a".repeat(41)] {
            assert!(MigrationName::new(bad).is_err(), "{bad}");
        }
    }
}
