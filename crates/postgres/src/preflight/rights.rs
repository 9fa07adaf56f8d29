//! What our role must be allowed to do.

use changeover_types::{Side, quote_ident};

use super::Severity::{Blocker, High, Medium};
use super::{Evidence, Findings, Thing};

pub(super) fn judge(evidence: &Evidence, findings: &mut Findings) {
    for (side, facts) in [(Side::Source, &evidence.source), (Side::Target, &evidence.target)] {
        match &facts.replica_role {
            Ok(()) => {}
            Err(e) => findings.add(
                Blocker,
                "replica_role",
                side,
                [
                    "our role may not set session_replication_role".into(),
                    format!(
                        "applied rows would fire triggers and foreign keys a second time, {}: {e}",
                        match side {
                            Side::Source => "here for the way back",
                            Side::Target => "here for the copy and the relay",
                        }
                    ),
                    "GRANT SET ON PARAMETER session_replication_role TO our role (15 and newer), \
                 or use a superuser"
                        .into(),
                ],
            ),
        }
        let Some(role) = findings.known(Blocker, "role", side, "our role's rights", &facts.role)
        else {
            continue;
        };
        if !role.replication {
            findings.add(
                Blocker,
                "replication_right",
                side,
                [
                    format!("role {} has no REPLICATION right", role.name),
                    match side {
                        Side::Source => "without it no change stream can be read".into(),
                        Side::Target => "without it there is no way back after the cutover".into(),
                    },
                    "ALTER ROLE … REPLICATION, as a superuser".into(),
                ],
            );
            findings.mended_by(format!("ALTER ROLE {} REPLICATION;", quote_ident(&role.name)));
        }
        if !role.create {
            findings.add(
                Blocker,
                "create_right",
                side,
                [
                    format!("role {} may not create schemas and publications", role.name),
                    "our own tables and publication live in the database".into(),
                    "GRANT CREATE ON DATABASE … TO our role, as its owner".into(),
                ],
            );
            let database = facts.server.as_ref().map(|it| it.database.clone()).unwrap_or_default();
            let (database, role) = (quote_ident(&database), quote_ident(&role.name));
            findings.mended_by(format!("GRANT CREATE ON DATABASE {database} TO {role};"));
        }
    }
    tables(evidence, findings);
}

fn tables(evidence: &Evidence, findings: &mut Findings) {
    let Ok(catalog) = &evidence.source_catalog else { return };
    let ours = evidence
        .source
        .role
        .as_ref()
        .map_or("CURRENT_USER".to_owned(), |role| quote_ident(&role.name));
    let owners = evidence.ownership.iter().flat_map(|it| &it.owners);
    let superusers: Vec<&str> =
        owners.filter(|it| it.superuser).map(|it| it.name.as_str()).collect();
    findings.many(
        Blocker,
        "ownership",
        Side::Source,
        ["table is not owned by our role", "tables are not owned by our role"],
        catalog.tables.iter().filter(|t| !t.owned).map(|table| {
            if superusers.contains(&table.owner.as_str()) {
                // A member of it may do everything.
                return Thing::mended_by(
                    format!("{} (of the superuser {})", table.name, table.owner),
                    format!("ALTER TABLE {} OWNER TO {ours};", table.name.quoted()),
                );
            }
            let statement = format!("GRANT {} TO {ours};", quote_ident(&table.owner));
            Thing::mended_by(format!("{} (of {})", table.name, table.owner), statement)
        }),
        [
            "only a table's owner may publish it and create the seal's triggers",
            "GRANT the owning role to ours; what a superuser owns give to another role that ours is a \
             member of, or to ours itself, which takes no grant from anybody",
        ],
    );
    findings.many(
        Blocker,
        "select_right",
        Side::Source,
        ["table may not be read by our role", "tables may not be read by our role"],
        catalog.tables.iter().filter(|t| !t.readable).map(|table| {
            let statement = format!("GRANT SELECT ON {} TO {ours};", table.name.quoted());
            Thing::mended_by(&table.name, statement)
        }),
        ["their rows cannot be copied", "GRANT SELECT on them to our role"],
    );
    findings.many(
        Blocker,
        "sequence_right",
        Side::Source,
        [
            "sequence is not owned or may not be read by our role",
            "sequences are not owned or may not be read by our role",
        ],
        catalog.sequences.iter().filter(|s| !s.readable || !s.owned).map(|s| &s.name),
        [
            "they must be stopped and read at the cutover, or numbers are given twice",
            "GRANT the owning role to ours",
        ],
    );
    for (side, facts) in [(Side::Source, &evidence.source), (Side::Target, &evidence.target)] {
        let Ok(role) = &facts.role else { continue };
        let secured = catalog.tables.iter().filter(|t| t.row_security && !role.bypass_rls);
        findings.many(
            Blocker,
            "row_security",
            side,
            ["table has row security", "tables have row security"],
            secured.map(|table| {
                let statement = format!("ALTER ROLE {} BYPASSRLS;", quote_ident(&role.name));
                Thing::mended_by(&table.name, statement)
            }),
            [
                "it hides rows from a copy and refuses the rows that we apply",
                "ALTER ROLE … BYPASSRLS for our role",
            ],
        );
    }
    findings.many(
        High,
        "event_triggers",
        Side::Source,
        ["event trigger is not moved", "event triggers are not moved"],
        catalog.event_triggers.iter().map(|it| format!("{}: {}", it.name, it.statement)),
        [
            "they fire for the objects we create on the source, and are not made on the target",
            "Make sure they let our schema pass; run their statements on the target after `finish`",
        ],
    );
    let there = evidence.target_catalog.iter().flat_map(|catalog| &catalog.event_triggers);
    findings.many(
        Medium,
        "event_triggers_target",
        Side::Target,
        ["event trigger fires for the restore", "event triggers fire for the restore"],
        there.filter(|it| it.fires).map(|it| &it.name),
        [
            "they fire for everything that the copy creates, an abort drops and a trial tries; what \
             they refuse or write is theirs",
            "Make sure they let all of it pass, or ALTER EVENT TRIGGER … DISABLE until `finish`",
        ],
    );
}
