//! Tables and sequences: the catalogue's facts with their sizes and counters.

use std::collections::BTreeMap;

use changeover_assess::Fact;
use changeover_assess::inventory::{Extension, Relation, RelationKind, Sequence};
use changeover_types::TableName;
use serde::Deserialize;

use super::ask::{Answer, Asker};
use crate::catalog::{Catalog, Identity, Selection, Table, TableKind};

/// Types whose values mean something on their own server only.
const BOUND: [&str; 7] = ["xid", "xid8", "pg_lsn", "txid_snapshot", "pg_snapshot", "tid", "cid"];
/// A key column wider than this makes each change heavier.
const WIDE_BYTES: u64 = 64;

/// What the catalogue does not know of a table.
#[derive(Debug, Default, Deserialize)]
struct Size {
    heap: u64,
    toast: u64,
    index: u64,
    partitioned_by: Option<String>,
    inserts: u64,
    changes: u64,
    widths: BTreeMap<String, u64>,
}

pub(super) async fn relations(
    ask: &mut Asker,
    selection: &Selection,
    catalog: &Answer<Catalog>,
) -> Fact<Vec<Relation>> {
    let sizes: Answer<BTreeMap<u32, Size>> = ask.json(&sizes(selection)).await;
    let joined = catalog.as_ref().map_err(String::clone).and_then(|catalog| {
        let mut sizes = sizes?;
        Ok(catalog
            .tables
            .iter()
            .map(|table| relation(catalog, table, sizes.remove(&table.oid).unwrap_or_default()))
            .collect())
    });
    ask.fact("pg_class and pg_stat_user_tables", joined)
}

fn sizes(selection: &Selection) -> String {
    format!(
        "WITH {moved}, widths AS (SELECT s.schemaname, s.tablename, \
             json_object_agg(s.attname, s.avg_width) AS list FROM pg_catalog.pg_stats s \
             JOIN moved m ON m.schema=s.schemaname::text AND m.name=s.tablename::text \
             WHERE NOT s.inherited GROUP BY 1, 2) \
         SELECT coalesce(json_object_agg(m.oid::bigint::text, json_build_object(\
           'heap', CASE WHEN m.kind='r' THEN coalesce(pg_relation_size(m.oid), 0) ELSE 0 END, \
           'toast', coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0), \
           'index', CASE WHEN m.kind='r' THEN coalesce(pg_indexes_size(m.oid), 0) ELSE 0 END, \
           'partitioned_by', pg_get_partkeydef(m.oid), \
           'inserts', coalesce(s.n_tup_ins, 0), \
           'changes', coalesce(s.n_tup_upd+s.n_tup_del, 0), \
           'widths', coalesce(w.list, '{{}}'))), '{{}}')::text \
         FROM moved m JOIN pg_catalog.pg_class c ON c.oid=m.oid \
         LEFT JOIN pg_catalog.pg_stat_user_tables s ON s.relid=m.oid \
         LEFT JOIN widths w ON w.schemaname::text=m.schema AND w.tablename::text=m.name",
        moved = selection.moved_cte()
    )
}

fn relation(catalog: &Catalog, table: &Table, size: Size) -> Relation {
    let kind = match table.kind {
        TableKind::Plain => RelationKind::Plain,
        TableKind::Root | TableKind::Branch => RelationKind::Partitioned,
        TableKind::Leaf => RelationKind::Partition,
    };
    let no_identity = match table.identity() {
        Identity::Missing(why) if table.has_rows() => Some(why),
        _ => None,
    };
    let row_bytes = (!size.widths.is_empty()).then(|| size.widths.values().sum());
    Relation {
        name: table.name.clone(),
        kind,
        partitioned_by: size.partitioned_by,
        inherits: table.inherits.clone(),
        unlogged: table.persistence == 'u',
        rows: table.rows,
        heap_bytes: size.heap,
        toast_bytes: size.toast,
        index_bytes: size.index,
        row_bytes,
        inserts: size.inserts,
        changes: size.changes,
        no_identity,
        wide_key: wide_key(table, &size.widths),
        generated: generated(table),
        bound_columns: bound_columns(catalog, table),
        row_security: table.row_security,
        leaving: table
            .foreign
            .iter()
            .map(|key| format!("{} ({} to {})", key.name, key.from, key.to))
            .collect(),
        replica_triggers: table.replica_triggers.clone(),
    }
}

fn wide_key(table: &Table, widths: &BTreeMap<String, u64>) -> Vec<String> {
    let columns = table.primary_key().map(|key| key.columns.as_slice()).unwrap_or_default();
    let wide = columns.iter().filter_map(|name| {
        let column = table.columns.iter().find(|column| column.name == *name)?;
        let width = widths.get(name).copied().filter(|width| *width > WIDE_BYTES)?;
        Some(format!("{name} {} ({width} bytes)", column.type_name))
    });
    wide.collect()
}

fn generated(table: &Table) -> Vec<String> {
    let columns = table.columns.iter().filter_map(|column| {
        let how = match (column.generated, column.identity) {
            (true, _) => "generated",
            (false, Some('a')) => "identity always",
            _ => return None,
        };
        Some(format!("{} ({how})", column.name))
    });
    columns.collect()
}

fn bound_columns(catalog: &Catalog, table: &Table) -> Vec<String> {
    let mute = |oid: u32| catalog.types.get(&oid).is_some_and(|traits| traits.mute);
    let columns = table.columns.iter();
    let bound = columns.filter(|it| BOUND.contains(&it.type_name.as_str()) || mute(it.type_oid));
    bound.map(|column| format!("{} {}", column.name, column.type_name)).collect()
}

pub(super) async fn sequences(
    ask: &mut Asker,
    selection: &Selection,
    catalog: &Answer<Catalog>,
) -> Fact<Vec<Sequence>> {
    let left: Answer<Vec<Left>> = ask.json(&left_behind(selection)).await;
    let joined = catalog.as_ref().map_err(String::clone).and_then(|catalog| {
        let moved = |name: &TableName| catalog.sequences.iter().any(|it| it.name == *name);
        let left = left?.into_iter().filter(|left| !moved(&left.name)).map(|left| Sequence {
            name: left.name,
            type_name: left.type_name,
            used_permille: None,
            uncarried: Some(format!("it stays behind, and {} takes its values", left.user)),
        });
        Ok(catalog.sequences.iter().map(sequence).chain(left).collect())
    });
    ask.fact("pg_sequence", joined)
}

/// A sequence that gives a moved table its defaults.
#[derive(Deserialize)]
struct Left {
    name: TableName,
    type_name: String,
    user: String,
}

fn left_behind(selection: &Selection) -> String {
    format!(
        "WITH {moved} SELECT coalesce(json_agg(DISTINCT jsonb_build_object(\
           'name', jsonb_build_object('schema', n.nspname, 'name', s.relname), \
           'type_name', format_type(q.seqtypid, NULL), \
           'user', m.schema || '.' || m.name)), '[]')::text \
         FROM moved m JOIN pg_catalog.pg_attrdef a ON a.adrelid=m.oid \
         JOIN pg_catalog.pg_depend d ON d.classid='pg_catalog.pg_attrdef'::regclass \
           AND d.objid=a.oid AND d.refclassid='pg_catalog.pg_class'::regclass \
         JOIN pg_catalog.pg_class s ON s.oid=d.refobjid AND s.relkind='S' \
         JOIN pg_catalog.pg_sequence q ON q.seqrelid=s.oid \
         JOIN pg_catalog.pg_namespace n ON n.oid=s.relnamespace",
        moved = selection.moved_cte()
    )
}

fn sequence(sequence: &crate::catalog::Sequence) -> Sequence {
    let (first, end) = match sequence.increment {
        i64::MIN..0 => (sequence.max, sequence.min),
        _ => (sequence.min, sequence.max),
    };
    let range = (i128::from(end) - i128::from(first)).abs().max(1);
    let used = sequence.last.map_or(0, |last| (i128::from(last) - i128::from(first)).abs());
    Sequence {
        name: sequence.name.clone(),
        type_name: sequence.type_name.clone(),
        used_permille: sequence
            .readable
            .then(|| u16::try_from(used * 1000 / range).unwrap_or(1000)),
        uncarried: None,
    }
}

pub(super) fn extensions(catalog: &Answer<Catalog>) -> Answer<Vec<Extension>> {
    let extensions = &catalog.as_ref().map_err(String::clone)?.extensions;
    let of = |it: &crate::catalog::Extension| Extension {
        name: it.name.clone(),
        version: it.version.clone(),
    };
    Ok(extensions.iter().map(of).collect())
}
