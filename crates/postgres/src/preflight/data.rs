//! What the moved objects themselves stand in the way with.

use changeover_types::Side;

use super::Severity::{Blocker, Note, Warning};
use super::{Evidence, Findings, list};
use crate::catalog::{Catalog, Identity, Table};
use crate::copy::{CopyFormat, Sides};

/// Fewer values than this left in a sequence is worth a warning.
const SEQUENCE_ROOM: u64 = 1_000_000;

pub(super) fn judge(evidence: &Evidence, findings: &mut Findings) {
    let topic = "the tables to move";
    let Some(catalog) =
        findings.known(Blocker, "catalog", Side::Source, topic, &evidence.source_catalog)
    else {
        return;
    };
    selection(catalog, findings);
    identities(catalog, findings);
    kinds(catalog, findings);
    triggers(catalog, findings);
    sequences(catalog, findings);
    types(evidence, catalog, findings);
}

fn selection(catalog: &Catalog, findings: &mut Findings) {
    if catalog.leaves().next().is_none() {
        findings.add(
            Blocker,
            "nothing",
            Side::Source,
            [
                "no table is selected".into(),
                "there is nothing to move".into(),
                "Check the database's name and the include and exclude lists".into(),
            ],
        );
    }
    if !catalog.partitions_named.is_empty() {
        findings.add(
            Blocker,
            "partition_named",
            Side::Source,
            [
                format!("the lists name partitions: {}", list(&catalog.partitions_named)),
                "a partitioned table moves whole or not at all".into(),
                "Name the partitioned table instead".into(),
            ],
        );
    }
    let leaving: Vec<String> = catalog
        .leaving_foreign_keys()
        .map(|key| format!("{} ({} to {})", key.name, key.from, key.to))
        .collect();
    if !leaving.is_empty() {
        findings.add(
            Blocker,
            "foreign_key_leaves",
            Side::Source,
            [
                format!("foreign keys to tables that do not move: {}", list(leaving)),
                "they cannot be created on the target".into(),
                "Include the referenced tables, exclude the referencing ones, or drop the keys"
                    .into(),
            ],
        );
    }
    if !catalog.not_moved.is_empty() {
        findings.add(
            Note,
            "not_moved",
            Side::Source,
            [
                format!("tables that stay behind: {}", list(&catalog.not_moved)),
                "the plan leaves them out; views and functions that need them will not work".into(),
                String::new(),
            ],
        );
    }
}

fn identities(catalog: &Catalog, findings: &mut Findings) {
    for table in catalog.leaves() {
        let Identity::Missing(why) = table.identity() else { continue };
        findings.add(Blocker, "no_identity", Side::Source, [
            format!("{} has no usable replica identity: {why}", table.name),
            "once it is published, the application's own UPDATE and DELETE on it would fail".into(),
            format!(
                "ALTER TABLE {} REPLICA IDENTITY FULL; or give it a primary key that is not deferrable",
                table.name.quoted()
            ),
        ]);
    }
    let full: Vec<_> =
        catalog.leaves().filter(|t| t.identity() == Identity::Full).map(|t| &t.name).collect();
    if !full.is_empty() {
        findings.add(
            Note,
            "full_identity",
            Side::Source,
            [
                format!("tables with REPLICA IDENTITY FULL: {}", list(full)),
                "every update carries the whole old row and is looked for without an index".into(),
                String::new(),
            ],
        );
    }
}

fn kinds(catalog: &Catalog, findings: &mut Findings) {
    let names = |test: fn(&Table) -> bool| -> Vec<String> {
        catalog.tables.iter().filter(|t| test(t)).map(|t| t.name.to_string()).collect()
    };
    let unlogged = names(|t| t.persistence == 'u' && t.has_rows());
    if !unlogged.is_empty() {
        findings.add(
            Blocker,
            "unlogged",
            Side::Source,
            [
                format!("unlogged tables: {}", list(unlogged)),
                "their changes are not in the log, so later ones would be lost".into(),
                "ALTER TABLE … SET LOGGED, or exclude them".into(),
            ],
        );
    }
    if catalog.large_objects > 0 {
        findings.add(
            Blocker,
            "large_objects",
            Side::Source,
            [
                format!("{} large objects", catalog.large_objects),
                "they are not in the change stream and no trigger can seal them".into(),
                "Move them into bytea columns, or SELECT lo_unlink(oid) those no longer used"
                    .into(),
            ],
        );
    }
    let inherited = names(|t| !t.inherits.is_empty());
    if !inherited.is_empty() {
        findings.add(
            Note,
            "inheritance",
            Side::Source,
            [
                format!("tables that inherit: {}", list(inherited)),
                "each is copied and followed for itself".into(),
                String::new(),
            ],
        );
    }
    if !catalog.foreign_tables.is_empty() {
        findings.add(Warning, "foreign_tables", Side::Source, [
            format!("foreign tables: {}", list(&catalog.foreign_tables)),
            "their definition moves; their rows are elsewhere, and their user mappings carry secrets".into(),
            "Check that the target may reach those servers".into(),
        ]);
    }
    let kept: Vec<_> =
        catalog.views.iter().filter(|v| v.materialized && v.populated).map(|v| &v.name).collect();
    if !kept.is_empty() {
        findings.add(
            Note,
            "materialized_views",
            Side::Source,
            [
                format!("materialised views: {}", list(kept)),
                "they are refreshed on the target at the end of the copy and not followed after"
                    .into(),
                String::new(),
            ],
        );
    }
}

fn triggers(catalog: &Catalog, findings: &mut Findings) {
    let firing: Vec<String> = catalog
        .tables
        .iter()
        .flat_map(|t| t.replica_triggers.iter().map(move |name| format!("{name} on {}", t.name)))
        .collect();
    if !firing.is_empty() {
        findings.add(
            Warning,
            "replica_triggers",
            Side::Source,
            [
                format!("triggers that are ENABLE REPLICA or ALWAYS: {}", list(firing)),
                "on the target they fire for rows that we apply, so their effects happen twice"
                    .into(),
                "ALTER TABLE … ENABLE TRIGGER … (without ALWAYS), if that is not wanted".into(),
            ],
        );
    }
}

fn sequences(catalog: &Catalog, findings: &mut Findings) {
    for sequence in &catalog.sequences {
        if sequence.cycle {
            findings.add(
                Warning,
                "sequence_cycle",
                Side::Source,
                [
                    format!("sequence {} has CYCLE", sequence.name),
                    "the margin we leave for numbers taken meanwhile may wrap around".into(),
                    format!("ALTER SEQUENCE {} NO CYCLE", sequence.name.quoted()),
                ],
            );
        }
        if sequence.increment < 0 {
            findings.add(
                Note,
                "sequence_down",
                Side::Source,
                [
                    format!("sequence {} counts down", sequence.name),
                    "the margin is taken downwards".into(),
                    String::new(),
                ],
            );
        }
        let room = sequence.room();
        if room < SEQUENCE_ROOM && !sequence.cycle && sequence.last.is_some() {
            findings.add(
                Warning,
                "sequence_room",
                Side::Source,
                [
                    format!("sequence {} has {room} values left", sequence.name),
                    "every change of authority skips some".into(),
                    format!("Give {} a larger type", sequence.name.quoted()),
                ],
            );
        }
    }
    let unowned: Vec<_> =
        catalog.sequences.iter().filter(|s| s.owned_by.is_none()).map(|s| &s.name).collect();
    if !unowned.is_empty() {
        findings.add(
            Note,
            "sequence_unowned",
            Side::Source,
            [
                format!("sequences that no column owns: {}", list(unowned)),
                "they move because they are in a moved schema".into(),
                String::new(),
            ],
        );
    }
}

fn types(evidence: &Evidence, catalog: &Catalog, findings: &mut Findings) {
    if let (Ok(target), Ok(extensions)) =
        (&evidence.target.server, &evidence.target.available_extensions)
    {
        let extensions: Vec<_> = catalog
            .extensions
            .iter()
            .filter_map(|ours| {
                let version = extensions.get(&ours.name)?.clone();
                Some(crate::catalog::Extension { version, ..ours.clone() })
            })
            .collect();
        let sides =
            Sides { source: catalog, target_major: target.major(), target_extensions: &extensions };
        let text: Vec<_> = catalog
            .leaves()
            .filter(|t| matches!(sides.format(t), CopyFormat::Text(_)))
            .map(|t| &t.name)
            .collect();
        if !text.is_empty() {
            findings.add(
                Note,
                "text_copy",
                None,
                [
                    format!("copied as text: {}", list(text)),
                    "a column's binary form would mean something else on the target; slower".into(),
                    String::new(),
                ],
            );
        }
    }
    let bound = ["xid", "xid8", "pg_lsn", "txid_snapshot", "pg_snapshot", "tid", "cid"];
    let columns: Vec<String> = catalog
        .tables
        .iter()
        .flat_map(|t| t.columns.iter().map(move |c| (t, c)))
        .filter(|(_, c)| bound.contains(&c.type_name.as_str()))
        .map(|(t, c)| format!("{}.{} ({})", t.name, c.name, c.type_name))
        .collect();
    if !columns.is_empty() {
        findings.add(
            Warning,
            "server_bound_values",
            Side::Source,
            [
                format!("columns that hold a server's own numbers: {}", list(columns)),
                "the target counts anew, so comparisons with new values (an outbox's order) break"
                    .into(),
                "Order by something else before the cutover".into(),
            ],
        );
    }
}
