//! The text of prepared statements.

use std::fmt::Write;

use changeover_types::quote_ident;

use super::{Find, Mask, StatementKey, TablePlan, TargetColumn};

/// PostgreSQL's bound on the parameters of one statement.
const MAX_PARAMETERS: usize = 65_535;

/// The most rows one INSERT takes.
const MAX_ROWS: usize = 64;

impl TargetColumn {
    /// Whether the column equals `value` for the index, in a form that the index can serve.
    fn by_operator(&self, value: &str) -> Option<String> {
        let equality = &self.equality;
        let operator = equality.operator.as_ref()?;
        let cast = equality.operand.as_ref().map(|t| format!("::{t}")).unwrap_or_default();
        let collate = equality.collation.as_ref().map(|c| format!(" COLLATE {c}"));
        let collate = collate.unwrap_or_default();
        let name = quote_ident(&self.name);
        Some(format!("{name}{cast} {operator} {value}{cast}{collate}"))
    }

    /// Whether the column looks like `value`, byte for byte.
    fn by_text(&self, value: &str) -> String {
        format!(
            "{}::pg_catalog.text COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) \
             {value}::pg_catalog.text",
            quote_ident(&self.name)
        )
    }
}

impl TablePlan {
    /// The statement that `key` names.
    #[must_use]
    pub fn sql(&self, key: &StatementKey) -> String {
        match key {
            StatementKey::Insert { rows } => self.insert_sql(usize::from(*rows)),
            StatementKey::Update { set, find } => self.update_sql(set, find),
            StatementKey::Delete { find } => {
                let mut next = 1;
                format!("DELETE FROM {} WHERE {}", self.only(), self.find_sql(find, &mut next))
            }
        }
    }

    /// The greatest number of rows, a power of two, that one INSERT of this table takes.
    #[must_use]
    pub fn max_insert_rows(&self) -> usize {
        if self.places.is_empty() {
            return 1;
        }
        let fits = MAX_PARAMETERS / self.places.len();
        let mut rows = MAX_ROWS;
        while rows > fits {
            rows /= 2;
        }
        rows.max(1)
    }

    fn only(&self) -> String {
        let name = self.shape.name.quoted();
        if self.target.partitioned { name } else { format!("ONLY {name}") }
    }

    fn parameter(&self, n: usize, next: &mut usize) -> String {
        let text = format!("${next}::{}", self.column(n).type_sql);
        *next += 1;
        text
    }

    fn insert_sql(&self, rows: usize) -> String {
        let name = self.shape.name.quoted();
        if self.places.is_empty() {
            return format!("INSERT INTO {name} DEFAULT VALUES");
        }
        let names: Vec<String> =
            (0..self.places.len()).map(|n| quote_ident(&self.column(n).name)).collect();
        // Names what an identity column gets; harmless for a table without one.
        let mut sql =
            format!("INSERT INTO {name} ({}) OVERRIDING SYSTEM VALUE VALUES ", names.join(", "));
        let mut next = 1;
        for row in 0..rows {
            let values: Vec<String> =
                (0..self.places.len()).map(|n| self.parameter(n, &mut next)).collect();
            let comma = if row == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            write!(sql, "{comma}({})", values.join(", ")).ok();
        }
        sql
    }

    fn update_sql(&self, set: &Mask, find: &Find) -> String {
        let mut next = 1;
        let mut sets: Vec<String> = set
            .iter()
            .map(|n| {
                let name = quote_ident(&self.column(n).name);
                format!("{name} = {}", self.parameter(n, &mut next))
            })
            .collect();
        if sets.is_empty() {
            // The stream names a row and no new value: the row must be there, nothing changes.
            let same = (0..self.places.len()).find(|n| !self.column(*n).identity_always);
            match same {
                Some(n) => {
                    let name = quote_ident(&self.column(n).name);
                    sets.push(format!("{name} = {name}"));
                }
                None => {
                    return format!(
                        "SELECT FROM {} WHERE {} FOR UPDATE",
                        self.only(),
                        self.find_sql(find, &mut next)
                    );
                }
            }
        }
        format!(
            "UPDATE {} SET {} WHERE {}",
            self.only(),
            sets.join(", "),
            self.find_sql(find, &mut next)
        )
    }

    fn find_sql(&self, find: &Find, next: &mut usize) -> String {
        let mut tests = Vec::new();
        for n in find.by.iter() {
            let column = self.column(n);
            if find.nulls.contains(n) {
                // `IS NULL` would also be true for a composite value of nothing but NULLs.
                tests.push(format!("{} IS NOT DISTINCT FROM NULL", quote_ident(&column.name)));
                continue;
            }
            let value =
                format!("${next}::{}", column.base_sql.as_ref().unwrap_or(&column.type_sql));
            *next += 1;
            let by_operator = column.by_operator(&value);
            // A key's uniqueness is by its operator, whatever else may look equal.
            let enough = column.equality.exact || !find.any_one;
            if by_operator.is_none() || !enough {
                tests.push(column.by_text(&value));
            }
            tests.extend(by_operator);
        }
        let tests = tests.join(" AND ");
        if !find.any_one {
            return tests;
        }
        // `ctid` alone repeats across partitions.
        format!(
            "(tableoid, ctid) = (SELECT tableoid, ctid FROM {} WHERE {tests} LIMIT 1)",
            self.only()
        )
    }
}
