//! The queries of a comparison. Pure text.
//!
//! A row's form is the text of a record of its columns, by name: `(1,"a b",)`. It says the same
//! on every server under the settings of our sessions, while type OIDs and column order may
//! differ. A large value stands in it by its SHA-256, so that no text comes near the 1 GB that the
//! server can make; what decides is its logical size, which compression does not change.

use changeover_types::{TableName, quote_ident, quote_literal};

/// From so many bytes on, a value stands in a row's form by its hash.
pub(super) const LARGE: u32 = 1 << 20;

/// What is compared of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// The table.
    pub(super) name: TableName,
    /// Its columns, sorted.
    pub(super) columns: Vec<Column>,
    /// Those of its key, sorted; empty if it has none.
    pub(super) key: Vec<Column>,
    /// In which encoding both sides' texts are the same bytes.
    pub(super) encoding: Encoding,
    /// See [`LARGE`].
    pub(super) large: u32,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// How it enters a row's form.
    pub(super) form: Form,
    /// If it is generated, how.
    pub(super) generated: Option<Generated>,
}

/// How a generated column comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Generated {
    /// Its expression.
    pub(super) expression: String,
    /// A column of it that can be set: a row is computed anew only when such a one is.
    pub(super) by: Option<String>,
}

/// How a value enters a row's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It is never large.
    Plain,
    /// A `bytea`, or a domain of it.
    Bytes,
    /// A `text` or `varchar`, or a domain of one: its size is known without reading it.
    Text,
    /// Another type of any size: its text is made once.
    Wide,
}

/// In which encoding both sides' texts are the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Both databases are in UTF-8.
    Utf8,
    /// Texts are converted to this one, and what is not ASCII in them is escaped.
    Escaped(String),
}

impl Encoding {
    /// For two databases with these encodings. SQL_ASCII has no characters to convert: two such
    /// databases are compared by bytes.
    pub(super) fn of(source: &str, target: &str) -> Encoding {
        match (source, target) {
            ("UTF8", "UTF8") => Encoding::Utf8,
            ("SQL_ASCII", "SQL_ASCII") => Encoding::Escaped("SQL_ASCII".to_owned()),
            _ => Encoding::Escaped("UTF8".to_owned()),
        }
    }

    /// The bytes of a text.
    fn bytes(&self, text: &str) -> String {
        let name = match self {
            Encoding::Utf8 => "UTF8",
            Encoding::Escaped(name) => name,
        };
        format!("pg_catalog.convert_to({text}, '{name}')")
    }

    /// How many bytes a text has.
    fn size(&self, text: &str) -> String {
        match self {
            Encoding::Utf8 => format!("pg_catalog.octet_length({text})"),
            Encoding::Escaped(_) => format!("pg_catalog.octet_length({})", self.bytes(text)),
        }
    }

    /// A text that is the same on both sides, and sorts the same.
    fn same(&self, text: &str) -> String {
        let same = match self {
            Encoding::Utf8 => text.to_owned(),
            Encoding::Escaped(_) => format!("pg_catalog.encode({}, 'escape')", self.bytes(text)),
        };
        format!("{same} COLLATE pg_catalog.\"C\"")
    }
}

impl Column {
    fn sql(&self, encoding: &Encoding, large: u32) -> String {
        let name = quote_ident(&self.name);
        let short = |text: &str| {
            format!(
                "CASE WHEN {} > {large} THEN pg_catalog.encode(pg_catalog.sha256({}), 'hex') \
                 ELSE {text} END",
                encoding.size(text),
                encoding.bytes(text)
            )
        };
        match self.form {
            Form::Plain => name,
            Form::Bytes => format!(
                "CASE WHEN pg_catalog.octet_length({name}::pg_catalog.bytea) > {large} \
                 THEN pg_catalog.sha256({name}::pg_catalog.bytea) ELSE {name} END"
            ),
            Form::Text => short(&format!("{name}::pg_catalog.text")),
            Form::Wide => format!(
                "(SELECT {} FROM (SELECT {name}::pg_catalog.text AS x OFFSET 0) x)",
                short("x")
            ),
        }
    }
}

/// One row for each column, one alone without a name if there is none: its name, whether it is in
/// the key (the primary key, else the replica identity's index), its [`Form`], and if it is
/// [`Generated`], how. A cast to text that is a function may leave out what it likes: such a type
/// is taken as its output has it.
pub(super) fn columns(table: &TableName) -> String {
    format!(
        "SELECT a.attname, coalesce(a.attnum = ANY (i.indkey::int2[]), false), \
           CASE WHEN b.oid = 17 THEN 'bytes' WHEN b.oid IN (25, 1043) THEN 'text' \
             WHEN b.typlen = -1 AND b.typstorage IN ('x', 'e') AND b.oid <> 1042 \
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_cast s WHERE s.castsource = b.oid \
                 AND s.casttarget = 25 AND s.castmethod = 'f') THEN 'wide' ELSE 'plain' END, \
           CASE WHEN a.attgenerated <> '' THEN coalesce((SELECT \
             pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d \
             WHERE d.adrelid = c.oid AND d.adnum = a.attnum), '') END, \
           CASE WHEN a.attgenerated <> '' THEN (SELECT min(s.attname::text) \
             FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute s ON s.attrelid = c.oid \
               AND s.attnum = d.refobjsubid AND s.attgenerated = '' AND s.attidentity <> 'a' \
             WHERE d.refclassid = 1259 AND d.refobjid = c.oid AND ( \
               (d.classid = 1259 AND d.objid = c.oid AND d.objsubid = a.attnum) \
               OR (d.classid = 2604 AND d.objid IN (SELECT f.oid FROM pg_catalog.pg_attrdef f \
                 WHERE f.adrelid = c.oid AND f.adnum = a.attnum)))) END \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_attribute a \
           ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         LEFT JOIN LATERAL (WITH RECURSIVE beneath(oid, depth) AS (SELECT a.atttypid, 0 \
             UNION ALL SELECT d.typbasetype, beneath.depth + 1 FROM beneath \
               JOIN pg_catalog.pg_type d ON d.oid = beneath.oid AND d.typtype = 'd') \
           SELECT oid FROM beneath ORDER BY depth DESC LIMIT 1) beneath ON true \
         LEFT JOIN pg_catalog.pg_type b ON b.oid = beneath.oid \
         LEFT JOIN LATERAL (SELECT i.indkey FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid \
           AND (i.indisprimary OR i.indisreplident) AND i.indisvalid \
           ORDER BY i.indisprimary DESC LIMIT 1) i ON true \
         WHERE n.nspname = {} AND c.relname = {} ORDER BY a.attname COLLATE \"C\"",
        quote_literal(&table.schema),
        quote_literal(&table.name),
    )
}

impl Subject {
    fn record(&self, columns: &[Column]) -> String {
        let columns: Vec<String> =
            columns.iter().map(|column| column.sql(&self.encoding, self.large)).collect();
        self.encoding.same(&format!("ROW({})::pg_catalog.text", columns.join(", ")))
    }

    /// The generated columns.
    pub(super) fn generated(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.generated.is_some())
    }

    /// The same without generated columns: what was written, not what was computed.
    pub(super) fn written(&self) -> Subject {
        let columns = self.columns.iter().filter(|column| column.generated.is_none());
        Subject { columns: columns.cloned().collect(), ..self.clone() }
    }

    /// One generated column, by what was written to its row.
    pub(super) fn computed(&self, column: &Column) -> Subject {
        let written = self.written();
        let key = if self.key.is_empty() { written.columns } else { written.key };
        Subject { columns: vec![column.clone()], key, ..self.clone() }
    }

    /// Rows as `(k, t)`: the key's form, or a hash of the row's, and the row's. `OFFSET 0` keeps
    /// the planner from computing either twice.
    fn rows(&self) -> String {
        let row = self.record(&self.columns);
        let key = match self.key.as_slice() {
            [] => format!(
                "pg_catalog.encode(pg_catalog.sha256({}), 'hex') COLLATE pg_catalog.\"C\"",
                self.encoding.bytes(&format!("({row})"))
            ),
            key => self.record(key),
        };
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
            return format!("a row without a key ({})", key.get(..16).unwrap_or_default());
        }
        let names: Vec<&str> = self.key.iter().map(|column| column.name.as_str()).collect();
        let key = match self.encoding {
            Encoding::Utf8 => key.to_owned(),
            Encoding::Escaped(_) => unescaped(key),
        };
        format!("({}) = {key}", names.join(", "))
    }
}

/// What `encode(…, 'escape')` made of a text.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let octal = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        let (byte, taken) = match (first, tail.first(), octal) {
            (b'\\', Some(b'\\'), _) => (b'\\', 1),
            (b'\\', _, Some(byte)) => (byte, 3),
            _ => (first, 0),
        };
        bytes.push(byte);
        rest = tail.get(taken..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Buckets for a table of so many rows: a power of two, so that one bucket holds about 256.
pub(super) fn bucket_count(rows: u64) -> u32 {
    let wanted = (rows / 256).clamp(16, 65_536);
    u32::try_from(wanted.next_power_of_two()).unwrap_or(65_536)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, form: Form) -> Column {
        Column { name: name.to_owned(), form, generated: None }
    }

    fn subject(columns: &[Column], encoding: Encoding) -> Subject {
        Subject {
            name: TableName::new("public", "a\"b"),
            columns: columns.to_vec(),
            key: Vec::new(),
            encoding,
            large: LARGE,
        }
    }

    #[test]
    fn names_are_quoted_and_values_of_keyless_rows_hidden() {
        let subject = subject(&[column("x; DROP", Form::Plain)], Encoding::Utf8);
        assert!(subject.digest().contains("ONLY \"public\".\"a\"\"b\""));
        assert!(subject.digest().contains("ROW(\"x; DROP\")"));
        assert!(!subject.show("(secret)").contains("secret"));
    }

    #[test]
    fn a_table_without_columns_is_so_many_empty_records() {
        assert!(subject(&[], Encoding::Utf8).digest().contains("ROW()::pg_catalog.text"));
    }

    #[test]
    fn other_encodings_are_compared_by_the_bytes_of_one() {
        assert_eq!(Encoding::of("UTF8", "UTF8"), Encoding::Utf8);
        for (source, target, by) in [
            ("LATIN1", "UTF8", "UTF8"),
            ("EUC_JP", "EUC_JP", "UTF8"),
            ("SQL_ASCII", "SQL_ASCII", "SQL_ASCII"),
        ] {
            assert_eq!(Encoding::of(source, target), Encoding::Escaped(by.to_owned()));
        }
        let mut subject = subject(&[column("a", Form::Text)], Encoding::of("LATIN1", "UTF8"));
        assert!(subject.digest().contains("'UTF8'), 'escape') COLLATE pg_catalog.\"C\" AS t"));
        subject.key = subject.columns.clone();
        assert_eq!(subject.show(r"(M\303\274ller\\x\777)"), r"(a) = (Müller\x\777)");
    }

    #[test]
    fn a_generated_column_is_compared_by_what_its_row_was_written_with() {
        let mut made = column("g", Form::Plain);
        made.generated = Some(Generated { expression: "f(a)".to_owned(), by: None });
        let subject = subject(&[column("a", Form::Plain), made.clone()], Encoding::Utf8);
        assert_eq!(subject.written().columns, [column("a", Form::Plain)]);
        let computed = subject.computed(&made);
        assert_eq!((computed.key, computed.columns), (vec![column("a", Form::Plain)], vec![made]));
    }

    #[test]
    fn buckets_are_a_power_of_two() {
        assert_eq!(bucket_count(0), 16);
        assert_eq!(bucket_count(1_000_000), 4_096);
        assert_eq!(bucket_count(u64::MAX), 65_536);
    }
}
