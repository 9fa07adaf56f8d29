//! What our role must be allowed to do.

use changeover_types::Side;

use super::Severity::{Blocker, Warning};
use super::{Evidence, Findings, list};

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
                    format!("ALTER ROLE {} REPLICATION", changeover_types::quote_ident(&role.name)),
                ],
            );
        }
        if !role.create {
            findings.add(
                Blocker,
                "create_right",
                side,
                [
                    format!("role {} may not create schemas and publications", role.name),
                    "our own tables and publication live in the database".into(),
                    format!(
                        "GRANT CREATE ON DATABASE … TO {}",
                        changeover_types::quote_ident(&role.name)
                    ),
                ],
            );
        }
    }
    tables(evidence, findings);
}

fn tables(evidence: &Evidence, findings: &mut Findings) {
    let Ok(catalog) = &evidence.source_catalog else { return };
    let foreign: Vec<_> = catalog.tables.iter().filter(|t| !t.owned).map(|t| &t.name).collect();
    if !foreign.is_empty() {
        findings.add(
            Blocker,
            "ownership",
            Side::Source,
            [
                format!("our role does not own {}", list(foreign)),
                "only a table's owner may publish it and create the seal's triggers".into(),
                "GRANT the owning role to ours".into(),
            ],
        );
    }
    let unreadable: Vec<_> =
        catalog.tables.iter().filter(|t| !t.readable).map(|t| &t.name).collect();
    if !unreadable.is_empty() {
        findings.add(
            Blocker,
            "select_right",
            Side::Source,
            [
                format!("our role may not read {}", list(unreadable)),
                "their rows cannot be copied".into(),
                "GRANT SELECT on them to our role".into(),
            ],
        );
    }
    let sequences: Vec<_> =
        catalog.sequences.iter().filter(|s| !s.readable || !s.owned).map(|s| &s.name).collect();
    if !sequences.is_empty() {
        findings.add(
            Blocker,
            "sequence_right",
            Side::Source,
            [
                format!("our role does not own or may not read the sequences {}", list(sequences)),
                "they must be stopped and read at the cutover, or numbers are given twice".into(),
                "GRANT the owning role to ours".into(),
            ],
        );
    }
    for (side, facts) in [(Side::Source, &evidence.source), (Side::Target, &evidence.target)] {
        let secured: Vec<_> =
            catalog.tables.iter().filter(|t| t.row_security).map(|t| &t.name).collect();
        let bypass = facts.role.as_ref().is_ok_and(|role| role.bypass_rls);
        if !secured.is_empty() && !bypass {
            findings.add(
                Blocker,
                "row_security",
                side,
                [
                    format!("row security on {} applies to our role", list(secured)),
                    "it hides rows from a copy and refuses the rows we apply".into(),
                    "ALTER ROLE … BYPASSRLS for our role".into(),
                ],
            );
        }
    }
    if !catalog.event_triggers.is_empty() {
        findings.add(
            Warning,
            "event_triggers",
            Side::Source,
            [
                format!("event triggers: {}", list(&catalog.event_triggers)),
                "they fire for the objects we create, and are not moved".into(),
                "Make sure they let our schema pass; create them on the target after `finish`"
                    .into(),
            ],
        );
    }
}
