//! The queries of a comparison. Pure text.
//!
//! A row's form is the text of a record of its columns, by name: `(1,"a b",)`. It says the same
//! on every server under the settings of our sessions, while type OIDs and column order may differ.

use changeover_types::{TableName, quote_ident, quote_literal};

/// What is compared of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// The table.
    pub(super) name: TableName,
    /// Its columns but for generated ones, sorted.
    pub(super) columns: Vec<String>,
    /// Those of its key, sorted; empty if it has none.
    pub(super) key: Vec<String>,
}

/// A table's columns with whether each belongs to its key: the primary key, else the replica
/// identity's index.
pub(super) fn columns(table: &TableName) -> String {
    format!(
        "SELECT a.attname, coalesce(a.attnum = ANY (i.indkey::int2[]), false) \
         FROM pg_catalog.pg_attribute a \
         JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN LATERAL (SELECT i.indkey FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid \
           AND (i.indisprimary OR i.indisreplident) AND i.indisvalid \
           ORDER BY i.indisprimary DESC LIMIT 1) i ON true \
         WHERE n.nspname = {} AND c.relname = {} AND a.attnum > 0 AND NOT a.attisdropped \
           AND a.attgenerated = '' ORDER BY a.attname COLLATE \"C\"",
        quote_literal(&table.schema),
        quote_literal(&table.name),
    )
}

impl Subject {
    fn record(columns: &[String]) -> String {
        let names: Vec<String> = columns.iter().map(|name| quote_ident(name)).collect();
        format!("ROW({})::text COLLATE \"C\"", names.join(", "))
    }

    /// Rows as `(k, t)`: the key's form and the row's. `OFFSET 0` keeps the planner from
    /// computing either twice.
    fn rows(&self) -> String {
        let row = Self::record(&self.columns);
        let key = if self.key.is_empty() { row.clone() } else { Self::record(&self.key) };
        // A partitioned root stands for its leaves, which are compared one by one.
        format!("(SELECT {key} AS k, {row} AS t FROM ONLY {} OFFSET 0) r", self.name.quoted())
    }

    /// Count and two sums: equal on both sides unless two rows in 2^64 conspire twice.
    pub(super) fn digest(&self) -> String {
        format!(
            "SELECT count(*), coalesce(sum(hashtextextended(t, 0)), 0), \
             coalesce(sum(hashtextextended(t, 7919)), 0) FROM {}",
            self.rows()
        )
    }

    /// The same by bucket of the key's hash.
    pub(super) fn buckets(&self, buckets: u32) -> String {
        format!(
            "SELECT hashtextextended(k, 1) & {} AS b, count(*), sum(hashtextextended(t, 0)), \
             sum(hashtextextended(t, 7919)) FROM {} GROUP BY 1 ORDER BY 1",
            buckets - 1,
            self.rows()
        )
    }

    /// A cursor over the keys of some buckets: key, how many rows have it, two sums of them.
    pub(super) fn cursor(&self, buckets: u32, wanted: &[u32]) -> String {
        let wanted: Vec<String> = wanted.iter().map(u32::to_string).collect();
        format!(
            "DECLARE changeover_verify NO SCROLL CURSOR FOR SELECT k, count(*), \
             sum(hashtextextended(t, 0)), sum(hashtextextended(t, 7919)) FROM {} \
             WHERE hashtextextended(k, 1) & {} = ANY ('{{{}}}'::bigint[]) \
             GROUP BY k ORDER BY k COLLATE \"C\"",
            self.rows(),
            buckets - 1,
            wanted.join(",")
        )
    }

    /// How a key's form is shown. A row without a key is shown by its hash, not by its values.
    pub(super) fn show(&self, key: &str) -> String {
        if self.key.is_empty() {
            let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            return format!("a row without a key ({hash:016x})");
        }
        format!("({}) = {key}", self.key.join(", "))
    }
}

/// Buckets for a table of so many rows: a power of two, so that one bucket holds about 256.
pub(super) fn bucket_count(rows: u64) -> u32 {
    let wanted = (rows / 256).clamp(16, 65_536);
    u32::try_from(wanted.next_power_of_two()).unwrap_or(65_536)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_values_of_keyless_rows_hidden() {
        let subject = Subject {
            name: TableName::new("public", "a\"b"),
            columns: vec!["x; DROP".to_owned()],
            key: Vec::new(),
        };
        assert!(subject.digest().contains("ONLY \"public\".\"a\"\"b\""));
        assert!(subject.digest().contains("ROW(\"x; DROP\")"));
        assert!(!subject.show("(secret)").contains("secret"));
    }

    #[test]
    fn buckets_are_a_power_of_two() {
        assert_eq!(bucket_count(0), 16);
        assert_eq!(bucket_count(1_000_000), 4_096);
        assert_eq!(bucket_count(u64::MAX), 65_536);
    }
}
