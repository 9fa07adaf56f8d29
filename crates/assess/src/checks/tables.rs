//! The tables: how their rows are identified, how wide they are, what a stream does not carry.

use changeover_types::Side;

use crate::check::{Check, Owner, Verdict, database};
use crate::finding::Severity::{High, Medium};
use crate::inventory::{Inventory, Relation};
use crate::words::{bytes, list};

/// A row this wide makes each change expensive to carry, and a batch hard to bound.
const WIDE_ROW_BYTES: u64 = 8 * 1024;

pub(super) const WIDE: Check = Check {
    id: "R10-wide-rows",
    title: "Wide keys or rows",
    severity: Medium,
    rule: "a primary key has text, bytea, numeric or json columns over 64 bytes, or rows average \
           over 8 kB",
    why: "each change carries the key, each conflict check compares it; wide rows fill batches",
    mitigation: "expect a slower copy and relay; measure with a rehearsal",
    owner: Owner::Application,
    judge: wide,
};

fn wide(inventory: &Inventory) -> Verdict {
    let mut verdict = source_tables(inventory, |table, verdict| {
        if !table.wide_key.is_empty() {
            let columns = list(&table.wide_key);
            verdict.fires(Side::Source, format!("{}: key of {columns}", table.name));
        }
        let on_disk = table
            .rows
            .filter(|rows| *rows > 0)
            .map(|rows| table.heap_bytes.saturating_add(table.toast_bytes) / rows);
        // The statistics do not see what is kept apart, the files do; small tables round up.
        let widest = table.row_bytes.max(on_disk.filter(|_| table.toast_bytes > WIDE_ROW_BYTES));
        if let Some(width) = widest.filter(|width| *width > WIDE_ROW_BYTES) {
            let rows = table.rows.unwrap_or_default();
            let evidence = format!("{}: {} on average in {rows} rows", table.name, bytes(width));
            verdict.fires(Side::Source, evidence);
        }
    });
    let source = inventory.source.database.as_deref();
    let tables = source.and_then(|source| source.relations.get().ok()).into_iter().flatten();
    let unmeasured = tables.filter(|table| table.row_bytes.is_none() && table.heap_bytes > 0);
    let unmeasured = list(unmeasured.map(|table| &table.name));
    if !unmeasured.is_empty() {
        verdict.cannot_tell(format!(
            "source: no statistics that our role may see (ANALYZE, GRANT SELECT) of {unmeasured}"
        ));
    }
    verdict
}

pub(super) const GENERATED: Check = Check {
    id: "R19-generated-columns",
    title: "Generated and identity columns",
    severity: Medium,
    rule: "a moved table has GENERATED … STORED or GENERATED ALWAYS AS IDENTITY columns",
    why: "the target computes them anew; an expression that depends on version or locale differs",
    mitigation: "verify these tables after the copy; identity values are carried over as they are",
    owner: Owner::Application,
    judge: generated,
};

fn generated(inventory: &Inventory) -> Verdict {
    source_tables(inventory, |table, verdict| {
        if !table.generated.is_empty() {
            let columns = list(&table.generated);
            verdict.fires(Side::Source, format!("{}: {columns}", table.name));
        }
    })
}

pub(super) const NATIVE: Check = Check {
    id: "R22-native-code",
    title: "Native functions that belong to no extension",
    severity: High,
    rule: "functions in C belong to no extension",
    why: "a C function needs its library on the target's machine",
    mitigation: "install the library on the target",
    owner: Owner::Application,
    judge: native,
};

fn native(inventory: &Inventory) -> Verdict {
    database(inventory, Side::Source, |database, verdict| {
        let Some(code) = verdict.known("source: its functions", &database.code) else { return };
        for function in &code.native_functions {
            verdict.fires(Side::Source, function.as_str());
        }
    })
}

/// Judges each table of the source.
fn source_tables(inventory: &Inventory, judge: impl Fn(&Relation, &mut Verdict)) -> Verdict {
    database(inventory, Side::Source, |database, verdict| {
        let tables = verdict.known("source: its tables", &database.relations);
        for table in tables.into_iter().flatten() {
            judge(table, verdict);
        }
    })
}
