//! The tables: how their rows are identified, how wide they are, what a stream does not carry.

use changeover_types::{Side, TableName};

use crate::check::{Check, Owner, Verdict, both_databases, database};
use crate::finding::Severity::{Blocker, High, Low, Medium};
use crate::inventory::{Database, Inventory, Relation, RelationKind};
use crate::words::{bytes, count, list};

/// A row this wide makes each change expensive to carry, and a batch hard to bound.
const WIDE_ROW_BYTES: u64 = 8 * 1024;

pub(super) const IDENTITY: Check = Check {
    id: "R04-replica-identity",
    title: "Tables whose rows cannot be identified",
    severity: Blocker,
    rule: "a moved table has neither primary key nor replica identity; high if it is insert-only",
    why: "once it is published, the application's own UPDATE and DELETE on it would fail",
    mitigation: "give it a primary key, or REPLICA IDENTITY FULL if it is small",
    owner: Owner::Database,
    judge: identity,
};

fn identity(inventory: &Inventory) -> Verdict {
    source_tables(inventory, |table, verdict| {
        let Some(why) = &table.no_identity else { return };
        let seen = match table.changes {
            0 => format!("no UPDATE or DELETE seen, {} inserts", table.inserts),
            changes => format!("{} updated or deleted so far", count(changes, "row")),
        };
        let found = verdict.fires(Side::Source, format!("{}: {why} ({seen})", table.name));
        found.mended_by(format!("ALTER TABLE {} REPLICA IDENTITY FULL;", table.name.quoted()));
        if table.changes == 0 {
            found.only(High);
        }
    })
}

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

pub(super) const UNDECODED: Check = Check {
    id: "R11-not-in-the-stream",
    title: "Data that the change stream does not carry",
    severity: Blocker,
    rule: "large objects exist, or a moved table is unlogged; medium if it is empty and unused",
    why: "their changes are not decoded: whatever is written after the copy would be lost",
    mitigation: "move large objects into bytea columns; make the tables logged, or exclude them",
    owner: Owner::Application,
    judge: undecoded,
};

fn undecoded(inventory: &Inventory) -> Verdict {
    let mut verdict = source_tables(inventory, |table, verdict| {
        if !table.unlogged || table.kind == RelationKind::Partitioned {
            return;
        }
        let unused = table.inserts == 0 && table.changes == 0 && table.heap_bytes == 0;
        let found = verdict.fires(Side::Source, format!("{} is unlogged", table.name));
        found.mended_by(format!("ALTER TABLE {} SET LOGGED;", table.name.quoted()));
        if unused {
            found.only(Medium);
        }
    });
    if let Some(source) = inventory.source.database.as_deref()
        && let Some(code) = verdict.known("source: its large objects", &source.code)
        && code.large_objects > 0
    {
        let evidence = count(code.large_objects, "large object");
        let fix = "SELECT lo_unlink(oid) FROM pg_largeobject_metadata WHERE …; -- those unused";
        verdict.fires(Side::Source, evidence).mended_by(fix);
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

pub(super) const LEAVING_KEYS: Check = Check {
    id: "R21-leaving-foreign-keys",
    title: "Foreign keys to tables that do not move",
    severity: High,
    rule: "a moved table references one that the plan leaves out",
    why: "the key cannot be created on the target, and nothing checks it any more",
    mitigation: "include the referenced table, exclude the referencing one, or drop the key",
    owner: Owner::Application,
    judge: leaving_keys,
};

fn leaving_keys(inventory: &Inventory) -> Verdict {
    source_tables(inventory, |table, verdict| {
        for key in &table.leaving {
            verdict.fires(Side::Source, key.as_str());
        }
    })
}

pub(super) const TYPES: Check = Check {
    id: "R22-types-and-native-code",
    title: "Types or native functions that may not mean the same",
    severity: High,
    rule: "a moved column has a type bound to its server (xid, tid, pg_lsn, snapshots) or without \
           a binary form, or functions in C belong to no extension",
    why: "such values compare wrongly on the other server; a C function needs its library there",
    mitigation: "order by something else before the move; install the library on the target",
    owner: Owner::Application,
    judge: types,
};

fn types(inventory: &Inventory) -> Verdict {
    let mut verdict = source_tables(inventory, |table, verdict| {
        if !table.bound_columns.is_empty() {
            let columns = list(&table.bound_columns);
            verdict.fires(Side::Source, format!("{}: {columns}", table.name));
        }
    });
    if let Some(source) = inventory.source.database.as_deref()
        && let Some(code) = verdict.known("source: its functions", &source.code)
        && !code.native_functions.is_empty()
    {
        let functions = list(&code.native_functions);
        verdict.fires(Side::Source, format!("native functions: {functions}"));
    }
    verdict
}

pub(super) const LAYOUT: Check = Check {
    id: "R25-partition-layout",
    title: "Partitions or inheritance differ",
    severity: Medium,
    rule: "a table exists on both sides with another partition or inheritance layout",
    why: "changes are published by leaf: a row has nowhere to go where the leaves differ",
    mitigation: "let the copy create the tables, or make both layouts the same first",
    owner: Owner::Database,
    judge: layout,
};

fn layout(inventory: &Inventory) -> Verdict {
    both_databases(inventory, |source, target, verdict| {
        let Some(ours) = verdict.known("source: its tables", &source.relations) else { return };
        let Some(theirs) = verdict.known("target: its tables", &target.relations) else { return };
        for table in ours {
            let Some(other) = theirs.iter().find(|other| other.name == table.name) else {
                continue;
            };
            let (ours, theirs) = (arrangement(table), arrangement(other));
            if ours != theirs {
                verdict.fires(
                    None,
                    format!("{}: {ours} on the source, {theirs} on the target", table.name),
                );
            }
        }
    })
}

fn arrangement(table: &Relation) -> String {
    let parents = |names: &[TableName]| list(names);
    match (&table.partitioned_by, table.kind, table.inherits.as_slice()) {
        (Some(by), _, _) => format!("partitioned by {by}"),
        (None, RelationKind::Partition, _) => "a partition".to_owned(),
        (None, _, []) => "a plain table".to_owned(),
        (None, _, names) => format!("inherits from {}", parents(names)),
    }
}

pub(super) const MATERIALIZED: Check = Check {
    id: "R26-materialised-views",
    title: "Materialised views grow stale",
    severity: Low,
    rule: "the source has populated materialised views",
    why: "the change stream does not carry them: after the copy the target's are as old as it",
    mitigation: "refresh them on the target right before or after the cutover",
    owner: Owner::Database,
    judge: materialized,
};

fn materialized(inventory: &Inventory) -> Verdict {
    database(inventory, Side::Source, |database: &Database, verdict| {
        let Some(code) = verdict.known("source: its views", &database.code) else { return };
        if !code.materialized_views.is_empty() {
            let evidence = list(&code.materialized_views);
            let fix = "REFRESH MATERIALIZED VIEW …; -- each of them, on the target";
            verdict.fires(Side::Source, evidence).mended_by(fix);
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
