//! What the moved objects themselves stand in the way with.

use changeover_types::Side;

use super::Severity::{Blocker, High, Low, Medium};
use super::{Evidence, Findings, Thing};
use crate::catalog::{Catalog, Identity};
use crate::copy::{CopyFormat, Sides};

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
    super::sequences::judge(catalog, evidence.options.sequence_margin, findings);
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
    findings.many(
        Blocker,
        "partition_named",
        Side::Source,
        ["partition is named by the lists", "partitions are named by the lists"],
        &catalog.partitions_named,
        ["a partitioned table moves whole or not at all", "Name the partitioned table instead"],
    );
    let leaving = catalog.leaving_foreign_keys();
    findings.many(
        Blocker,
        "foreign_key_leaves",
        Side::Source,
        ["foreign key to a table that does not move", "foreign keys to tables that do not move"],
        leaving.map(|key| format!("{} ({} to {})", key.name, key.from, key.to)),
        [
            "they cannot be created on the target",
            "Include the referenced tables, exclude the referencing ones, or drop the keys",
        ],
    );
    findings.many(
        Low,
        "not_moved",
        Side::Source,
        ["table stays behind", "tables stay behind"],
        &catalog.not_moved,
        ["the plan leaves them out; views and functions that need them will not work", ""],
    );
}

fn identities(catalog: &Catalog, findings: &mut Findings) {
    let missing = catalog.leaves().filter_map(|table| {
        let Identity::Missing(why) = table.identity() else { return None };
        Some(Thing::mended_by(
            format!("{} ({why})", table.name),
            format!("ALTER TABLE {} REPLICA IDENTITY FULL;", table.name.quoted()),
        ))
    });
    findings.many(
        Blocker,
        "no_identity",
        Side::Source,
        ["table has no usable replica identity", "tables have no usable replica identity"],
        missing,
        [
            "once they are published, the application's own UPDATE and DELETE on them would fail",
            "Give each a primary key that is not deferrable, or ALTER TABLE … REPLICA IDENTITY FULL",
        ],
    );
    let full = catalog.leaves().filter(|t| t.identity() == Identity::Full);
    findings.many(
        Low,
        "full_identity",
        Side::Source,
        ["table has REPLICA IDENTITY FULL", "tables have REPLICA IDENTITY FULL"],
        full.map(|table| &table.name),
        ["every update carries the whole old row and is looked for without an index", ""],
    );
}

fn kinds(catalog: &Catalog, findings: &mut Findings) {
    let unlogged = catalog.tables.iter().filter(|t| t.persistence == 'u' && t.has_rows());
    findings.many(
        Blocker,
        "unlogged",
        Side::Source,
        ["unlogged table", "unlogged tables"],
        unlogged.map(|table| {
            let statement = format!("ALTER TABLE {} SET LOGGED;", table.name.quoted());
            Thing::mended_by(&table.name, statement)
        }),
        [
            "their changes are not in the log, so later ones would be lost",
            "ALTER TABLE … SET LOGGED, or exclude them",
        ],
    );
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
    findings.many(
        Low,
        "inheritance",
        Side::Source,
        ["table inherits", "tables inherit"],
        catalog.tables.iter().filter(|t| !t.inherits.is_empty()).map(|table| &table.name),
        ["each is copied and followed for itself", ""],
    );
    findings.many(
        Medium,
        "foreign_tables",
        Side::Source,
        ["foreign table", "foreign tables"],
        &catalog.foreign_tables,
        [
            "their definition moves; their rows are elsewhere, and their user mappings carry secrets",
            "Check that the target may reach those servers",
        ],
    );
    findings.many(
        Low,
        "materialized_views",
        Side::Source,
        ["materialised view", "materialised views"],
        catalog.views.iter().filter(|v| v.materialized && v.populated).map(|view| &view.name),
        ["they are refreshed on the target at the end of the copy and not followed after", ""],
    );
}

fn triggers(catalog: &Catalog, findings: &mut Findings) {
    let firing = catalog
        .tables
        .iter()
        .flat_map(|t| t.replica_triggers.iter().map(move |name| format!("{name} on {}", t.name)));
    findings.many(
        High,
        "replica_triggers",
        Side::Source,
        ["trigger is ENABLE REPLICA or ALWAYS", "triggers are ENABLE REPLICA or ALWAYS"],
        firing,
        [
            "on the target they fire for rows that we apply, so their effects happen twice",
            "ALTER TABLE … ENABLE TRIGGER … (without ALWAYS), if that is not wanted",
        ],
    );
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
        let text = catalog.leaves().filter(|t| matches!(sides.format(t), CopyFormat::Text(_)));
        findings.many(
            Low,
            "text_copy",
            None,
            ["table is copied as text", "tables are copied as text"],
            text.map(|table| &table.name),
            ["a column's binary form would mean something else on the target; slower", ""],
        );
    }
    let bound = ["xid", "xid8", "pg_lsn", "txid_snapshot", "pg_snapshot", "tid", "cid"];
    let columns = catalog
        .tables
        .iter()
        .flat_map(|t| t.columns.iter().map(move |c| (t, c)))
        .filter(|(_, c)| bound.contains(&c.type_name.as_str()))
        .map(|(t, c)| format!("{}.{} ({})", t.name, c.name, c.type_name));
    findings.many(
        High,
        "server_bound_values",
        Side::Source,
        ["column holds a server's own numbers", "columns hold a server's own numbers"],
        columns,
        [
            "the target counts anew, so comparisons with new values (an outbox's order) break",
            "Order by something else before the cutover",
        ],
    );
}
