//! What runs inside the database, who may do what, and what reaches out of it.

use changeover_types::{Answer, Side, questions};

use crate::answers::{declared, unanswered};
use crate::check::{Check, Owner, Verdict, both_databases, database, each_database};
use crate::finding::Severity::{High, Medium};
use crate::inventory::Inventory;
use crate::words::{count, list, seconds};

/// A change of the schema within so long is recent.
const RECENT_S: u64 = 7 * 86_400;

pub(super) const TRIGGERS: Check = Check {
    id: "R18-triggers",
    title: "Triggers and rules that act on applied rows",
    severity: High,
    rule: "enabled event triggers, rewrite rules, or triggers ENABLE REPLICA or ALWAYS exist",
    why: "on the target they fire for rows that we apply, so their effects happen twice",
    mitigation: "make them ordinary triggers, or disable them on the target until the cutover",
    owner: Owner::Application,
    judge: triggers,
};

fn triggers(inventory: &Inventory) -> Verdict {
    each_database(inventory, |side, database, verdict| {
        if let Some(code) = verdict.known(format!("{side}: its event triggers"), &database.code) {
            if !code.event_triggers.is_empty() {
                let names = list(&code.event_triggers);
                let found = verdict.fires(side, format!("event triggers: {names}"));
                found.mended_by("ALTER EVENT TRIGGER … DISABLE; -- each of them, for the copy");
            }
            if !code.rules.is_empty() {
                verdict.fires(side, format!("rewrite rules: {}", list(&code.rules)));
            }
        }
        let tables = verdict.known(format!("{side}: its triggers"), &database.relations);
        for table in tables.into_iter().flatten() {
            for trigger in &table.replica_triggers {
                let evidence = format!("trigger {trigger} on {} fires always", table.name);
                let trigger = changeover_types::quote_ident(trigger);
                let fix = format!("ALTER TABLE {} ENABLE TRIGGER {trigger};", table.name.quoted());
                verdict.fires(side, evidence).mended_by(fix);
            }
        }
    })
}

pub(super) const SCHEMA_CHANGES: Check = Check {
    id: "R20-schema-changes",
    title: "The schema is still changing",
    severity: High,
    rule: "a schema change was recorded in the last seven days, or a migrations tool is in use, \
           and no freeze is declared",
    why: "a change of the schema while the move runs stops it",
    mitigation: "freeze the schema until the move is over and declare it: move.schema_frozen",
    owner: Owner::Application,
    judge: schema_changes,
};

fn schema_changes(inventory: &Inventory) -> Verdict {
    database(inventory, Side::Source, |database, verdict| {
        let frozen = inventory.answered(&questions::SCHEMA_FROZEN);
        if matches!(frozen, Some((Answer::YesNo(true), _))) {
            return;
        }
        let topic = "source: its latest schema change";
        let change = verdict.known(topic, &database.schema_change).and_then(Option::as_ref);
        let age = change.map(|change| change.at.map(|at| inventory.at.since(at).as_secs()));
        let recent = match age {
            None => None,
            Some(None) => Some("is in use".to_owned()),
            Some(Some(age)) if age < RECENT_S => {
                Some(format!("recorded a change {} ago", seconds(age)))
            }
            Some(Some(_)) => None,
        };
        match (change, recent, frozen) {
            (Some(change), Some(recent), _) => {
                let evidence = format!("{} {recent}, and no freeze is declared", change.tool);
                verdict.fires(Side::Source, evidence);
            }
            (_, _, Some((_, place))) => {
                verdict.fires(Side::Source, declared(&questions::SCHEMA_FROZEN, place));
            }
            (_, _, None) => verdict.cannot_tell(unanswered(&questions::SCHEMA_FROZEN)),
        }
    })
}

pub(super) const ROLES: Check = Check {
    id: "R23-roles-and-grants",
    title: "Roles, grants or policies differ",
    severity: High,
    rule: "a role that owns or is granted something is missing on the target or may do something \
           else there, or our role there cannot keep owners, grants and default privileges",
    why: "the application is refused after the switch, or somebody may do more than before",
    mitigation: "create the roles with the same attributes on the target first (pg_dumpall -r)",
    owner: Owner::Database,
    judge: roles,
};

fn roles(inventory: &Inventory) -> Verdict {
    both_databases(inventory, |source, target, verdict| {
        let ours = verdict.known("source: its roles", &source.roles);
        let theirs = verdict.known("target: its roles", &target.roles);
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            for role in ours.iter().filter(|role| role.needed) {
                let name = changeover_types::quote_ident(&role.name);
                match theirs.iter().find(|other| other.name == role.name) {
                    None => {
                        let evidence = format!("role {} does not exist", role.name);
                        let fix = format!("CREATE ROLE {name};");
                        verdict.fires(Side::Target, evidence).mended_by(fix);
                    }
                    Some(other) if other.attributes != role.attributes => {
                        let evidence = format!(
                            "role {}: {} on the source, {} on the target",
                            role.name,
                            or_nothing(&role.attributes),
                            or_nothing(&other.attributes)
                        );
                        verdict.fires(None, evidence);
                    }
                    Some(_) => {}
                }
            }
        }
        let role = verdict.known("target: our role", &target.role);
        let privileges = verdict.known("source: its privileges", &source.privileges);
        if let (Some(role), Some(privileges)) = (role, privileges)
            && !role.superuser
        {
            for (what, entries) in [
                ("grants", &privileges.grants),
                ("policies", &privileges.policies),
                ("default privileges", &privileges.defaults),
            ] {
                if !entries.is_empty() {
                    verdict.fires(
                        Side::Target,
                        format!(
                            "{} is no superuser and cannot keep {what}: {}",
                            role.name,
                            list(entries)
                        ),
                    );
                }
            }
        }
    })
}

fn or_nothing(attributes: &[String]) -> String {
    if attributes.is_empty() { "nothing".to_owned() } else { list(attributes) }
}

pub(super) const OUTSIDE: Check = Check {
    id: "R24-reaching-outside",
    title: "The database reaches outside, or is reached past the application",
    severity: Medium,
    rule: "foreign servers, dblink, cron jobs, LISTEN/NOTIFY or advisory locks are in use",
    why: "notifications, locks and jobs belong to one server and do not move with the rows",
    mitigation: "name an owner for each; move jobs at the switch; let listeners reconnect",
    owner: Owner::Application,
    judge: outside,
};

fn outside(inventory: &Inventory) -> Verdict {
    database(inventory, Side::Source, |database, verdict| {
        if let Some(outside) = verdict.known("source: foreign servers and jobs", &database.outside)
        {
            for (what, names) in
                [("foreign servers", &outside.foreign_servers), ("cron jobs", &outside.jobs)]
            {
                if !names.is_empty() {
                    verdict.fires(Side::Source, format!("{what}: {}", list(names)));
                }
            }
        }
        if let Some(code) = verdict.known("source: its functions", &database.code)
            && !code.reaching_functions.is_empty()
        {
            let functions = list(&code.reaching_functions);
            verdict.fires(Side::Source, format!("functions: {functions}"));
        }
        if let Some(activity) = verdict.known("source: its sessions", &database.activity) {
            if activity.listeners > 0 {
                let sessions = count(activity.listeners, "session");
                verdict.fires(Side::Source, format!("{sessions} that LISTEN"));
            }
            if activity.advisory_locks > 0 {
                let locks = count(activity.advisory_locks, "advisory lock");
                verdict.fires(Side::Source, format!("{locks} held by sessions"));
            }
        }
    })
}
