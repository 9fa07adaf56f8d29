//! What moves: the plan's include and exclude lists, as a value and as SQL.
//!
//! A partition always follows its topmost parent, because half a partitioned table can neither be
//! read nor sealed as one. The lists therefore name roots; [`crate::preflight`] refuses a list
//! that names a partition.

use std::fmt;

use changeover_types::{MigrationName, TableName, quote_literal};
use serde::{Deserialize, Serialize};

/// One entry of an include or exclude list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Selector {
    /// Every table of a schema.
    Schema(String),
    /// One table.
    Table(TableName),
}

/// Why a text is not a [`Selector`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither a schema nor schema.table; write names that contain a dot or a quote as \
     in SQL: \"my.schema\".\"my table\""
)]
pub struct InvalidSelector(pub String);

impl Selector {
    /// Reads `schema`, `schema.table`, or either part in SQL's double quotes. Unquoted parts are
    /// taken as they stand: no folding to lower case.
    ///
    /// # Errors
    /// If the text has no or more than two parts, an empty part, or an unfinished quote.
    pub fn parse(text: &str) -> Result<Selector, InvalidSelector> {
        let fault = || InvalidSelector(text.to_owned());
        let mut parts = split_name(text).ok_or_else(fault)?;
        match (parts.pop(), parts.pop(), parts.is_empty()) {
            (Some(schema), None, true) => Ok(Selector::Schema(schema)),
            (Some(name), Some(schema), true) => Ok(Selector::Table(TableName { schema, name })),
            _ => Err(fault()),
        }
    }

    /// Whether the entry covers the table.
    #[must_use]
    pub fn covers(&self, table: &TableName) -> bool {
        match self {
            Selector::Schema(schema) => *schema == table.schema,
            Selector::Table(name) => name == table,
        }
    }
}

/// The dot-separated parts of a possibly quoted name; `None` if it is malformed.
fn split_name(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        let mut part = String::new();
        if chars.next_if_eq(&'"').is_some() {
            loop {
                match chars.next()? {
                    '"' if chars.next_if_eq(&'"').is_some() => part.push('"'),
                    '"' => break,
                    c => part.push(c),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| *c != '.' && *c != '"') {
                part.push(c);
            }
        }
        if part.is_empty() || part.contains('\0') {
            return None;
        }
        parts.push(part);
        match chars.next() {
            None => return Some(parts),
            Some('.') => {}
            Some(_) => return None,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |text: &str| {
            if text.contains(['.', '"']) {
                changeover_types::quote_ident(text)
            } else {
                text.to_owned()
            }
        };
        match self {
            Selector::Schema(schema) => f.write_str(&part(schema)),
            Selector::Table(table) => write!(f, "{}.{}", part(&table.schema), part(&table.name)),
        }
    }
}

impl TryFrom<String> for Selector {
    type Error = InvalidSelector;
    fn try_from(text: String) -> Result<Self, InvalidSelector> {
        Selector::parse(&text)
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> String {
        selector.to_string()
    }
}

/// Which tables one migration moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The migration; names its slots and its publication.
    pub migration: MigrationName,
    /// What moves; everything if empty.
    pub include: Vec<Selector>,
    /// What does not, although included.
    pub exclude: Vec<Selector>,
}

impl Selection {
    /// Everything in the database.
    #[must_use]
    pub fn everything(migration: MigrationName) -> Selection {
        Selection { migration, include: Vec::new(), exclude: Vec::new() }
    }

    /// Reads the two lists of a plan.
    ///
    /// # Errors
    /// If an entry is not a [`Selector`].
    pub fn new(
        migration: MigrationName,
        include: &[String],
        exclude: &[String],
    ) -> Result<Selection, InvalidSelector> {
        let read = |list: &[String]| {
            list.iter().map(|text| Selector::parse(text)).collect::<Result<_, _>>()
        };
        Ok(Selection { migration, include: read(include)?, exclude: read(exclude)? })
    }

    /// Whether a table that is no partition moves. Exclude wins; PostgreSQL's own schemas and
    /// ours never move.
    #[must_use]
    pub fn contains(&self, table: &TableName) -> bool {
        let system = table.schema == "information_schema"
            || table.schema == "changeover"
            || table.schema.starts_with("pg_");
        !system
            && (self.include.is_empty() || self.include.iter().any(|s| s.covers(table)))
            && !self.exclude.iter().any(|s| s.covers(table))
    }

    /// The same decision as SQL over two text expressions.
    #[must_use]
    pub fn condition(&self, schema: &str, name: &str) -> String {
        let one = |selector: &Selector| match selector {
            Selector::Schema(s) => format!("({schema}={})", quote_literal(s)),
            Selector::Table(t) => format!(
                "({schema}={} AND {name}={})",
                quote_literal(&t.schema),
                quote_literal(&t.name)
            ),
        };
        let any = |list: &[Selector]| list.iter().map(one).collect::<Vec<_>>().join(" OR ");
        let mut sql = format!(
            "{schema} NOT IN ('information_schema','changeover') AND left({schema},3)<>'pg_'"
        );
        if !self.include.is_empty() {
            sql.push_str(&format!(" AND ({})", any(&self.include)));
        }
        if !self.exclude.is_empty() {
            sql.push_str(&format!(" AND NOT ({})", any(&self.exclude)));
        }
        sql
    }

    /// Whether objects of a schema are restored, as SQL over a text expression that is not NULL.
    pub(crate) fn schema_condition(&self, schema: &str) -> String {
        let mut sql = format!(
            "({schema} NOT IN ('information_schema','changeover') AND left({schema},3)<>'pg_'"
        );
        if !self.include.is_empty() {
            let named = self.include.iter().map(|selector| match selector {
                Selector::Schema(schema) => quote_literal(schema),
                Selector::Table(table) => quote_literal(&table.schema),
            });
            let named = named.collect::<Vec<_>>().join(",");
            sql.push_str(&format!(" AND {schema} IN ({named})"));
        }
        for selector in &self.exclude {
            if let Selector::Schema(name) = selector {
                sql.push_str(&format!(" AND {schema}<>{}", quote_literal(name)));
            }
        }
        sql + ")"
    }

    /// A `WITH` entry `moved (oid, kind, root, schema, name)`: the ordinary and partitioned
    /// tables that move, members of extensions left out.
    pub(crate) fn moved_cte(&self) -> String {
        format!(
            "moved AS MATERIALIZED (\
             SELECT c.oid, c.relkind::text AS kind, r.oid AS root, \
               n.nspname::text COLLATE \"C\" AS schema, c.relname::text COLLATE \"C\" AS name \
             FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace \
             JOIN pg_catalog.pg_class r \
               ON r.oid=CASE WHEN c.relispartition \
                 THEN coalesce(pg_catalog.pg_partition_root(c.oid)::oid, c.oid) ELSE c.oid END \
             JOIN pg_catalog.pg_namespace rn ON rn.oid=r.relnamespace \
             WHERE c.relkind IN ('r','p') AND c.relpersistence<>'t' AND {} \
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
                 WHERE d.classid=1259 AND d.objid=r.oid AND d.deptype='e'))",
            self.condition("rn.nspname::text", "r.relname::text")
        )
    }

    /// A `WITH` entry `left_out (oid, schema, name)` behind [`moved_cte`](Self::moved_cte): the
    /// relations of any kind that stay behind, members of extensions left out.
    pub(crate) fn left_out_cte(&self) -> String {
        format!(
            "left_out AS MATERIALIZED (\
             SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace \
             LEFT JOIN pg_catalog.pg_depend o ON o.classid=1259 AND o.objid=c.oid \
               AND o.refclassid=1259 AND o.refobjsubid>0 AND o.deptype IN ('a','i') \
               AND c.relkind='S' \
             WHERE c.relkind IN ('r','p','v','m','f','S') AND c.relpersistence<>'t' \
               AND n.nspname NOT IN ('information_schema','changeover') \
               AND left(n.nspname::text,3)<>'pg_' \
               AND CASE WHEN c.relkind IN ('r','p') THEN \
                   NOT EXISTS (SELECT FROM moved m WHERE m.oid=c.oid) \
                 WHEN o.refobjid IS NOT NULL THEN \
                   NOT EXISTS (SELECT FROM moved m WHERE m.oid=o.refobjid) \
                 ELSE NOT ({}) END \
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid=1259 \
                 AND d.objid=c.oid AND d.deptype='e'))",
            self.condition("n.nspname::text", "c.relname::text")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn choose(include: &[&str], exclude: &[&str]) -> Selection {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        Selection::new(MigrationName::new("m").unwrap(), &own(include), &own(exclude)).unwrap()
    }

    #[test]
    fn exclude_wins_and_system_schemas_never_move() {
        let s = choose(&["public", "billing.bills"], &["public.audit"]);
        assert!(s.contains(&TableName::new("public", "users")));
        assert!(s.contains(&TableName::new("billing", "bills")));
        assert!(!s.contains(&TableName::new("billing", "other")));
        assert!(!s.contains(&TableName::new("public", "audit")));
        let all = choose(&[], &[]);
        for schema in ["pg_catalog", "pg_toast", "information_schema", "changeover"] {
            assert!(!all.contains(&TableName::new(schema, "x")), "{schema}");
        }
    }

    #[test]
    fn malformed_entries_are_named() {
        for bad in ["", ".", "a.", ".a", "a.b.c", "\"a", "\"a\"b", "a\"b\"", "\"\""] {
            assert!(Selector::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn an_entry_reads_back(schema in "[^\0]{1,8}", name in "[^\0]{1,8}", whole in any::<bool>()) {
            let entry = if whole {
                Selector::Schema(schema)
            } else {
                Selector::Table(TableName { schema, name })
            };
            prop_assert_eq!(Selector::parse(&entry.to_string()), Ok(entry));
        }
    }
}
