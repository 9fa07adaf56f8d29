//! What runs inside the database, who may do what, and what reaches out of it.

use changeover_types::{Answer, Side, questions};

use crate::answers::{declared, unanswered};
use crate::check::{Check, Owner, Verdict, both_databases, database, each_database};
use crate::finding::Severity::{High, Medium};
use crate::inventory::{Inventory, RoleEntry};
use crate::words::{count, list, seconds};

/// A change of the schema within so long is recent.
const RECENT_S: u64 = 7 * 86_400;
/// How a role's attributes name a group.
const MEMBER_OF: &str = "MEMBER OF ";

pub(super) const REWRITE_RULES: Check = Check {
    id: "R18-rewrite-rules",
    title: "Rewrite rules on tables",
    severity: High,
    rule: "rewrite rules that are no view's exist on either side",
    why: "they change what a statement does: rows that we apply pass them, others' do not",
    mitigation: "replace each rule by a trigger before the move",
    owner: Owner::Application,
    judge: rewrite_rules,
};

fn rewrite_rules(inventory: &Inventory) -> Verdict {
    each_database(inventory, |side, database, verdict| {
        let code = verdict.known(format!("{side}: its rewrite rules"), &database.code);
        for rule in code.into_iter().flat_map(|code| &code.rules) {
            verdict.fires(side, rule.as_str());
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
    id: "R23-role-attributes",
    title: "Roles may do something else on the target",
    severity: High,
    rule: "a role that owns or is granted something has other attributes or memberships on the \
           target",
    why: "the application is refused after the switch, or somebody may do more than before",
    mitigation: "give the role there what it has on the source (pg_dumpall -r)",
    owner: Owner::Database,
    judge: roles,
};

fn roles(inventory: &Inventory) -> Verdict {
    both_databases(inventory, |source, target, verdict| {
        let ours = verdict.known("source: its roles", &source.roles);
        let theirs = verdict.known("target: its roles", &target.roles);
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return };
        for role in ours.iter().filter(|role| role.needed) {
            let other = theirs.iter().find(|other| other.name == role.name);
            let Some(other) = other.filter(|it| it.attributes != role.attributes) else { continue };
            let found = verdict.fires(
                Side::Target,
                format!(
                    "role {}: {} on the source, {} here",
                    role.name,
                    or_nothing(&role.attributes),
                    or_nothing(&other.attributes)
                ),
            );
            if let Some(fix) = altered(role, other) {
                found.mended_by(fix);
            }
        }
    })
}

/// The statements that give a role on the target what it has on the source and not there.
fn altered(role: &RoleEntry, other: &RoleEntry) -> Option<String> {
    let name = changeover_types::quote_ident(&role.name);
    let lacks = role.attributes.iter().filter(|it| !other.attributes.contains(it));
    let (groups, words): (Vec<&String>, Vec<&String>) =
        lacks.partition(|it| it.starts_with(MEMBER_OF));
    let groups = groups.iter().map(|it| {
        let group = changeover_types::quote_ident(it.trim_start_matches(MEMBER_OF));
        format!("GRANT {group} TO {name};")
    });
    let words: Vec<&str> = words.iter().map(|it| it.as_str()).collect();
    let altered = (!words.is_empty()).then(|| format!("ALTER ROLE {name} {};", words.join(" ")));
    let all: Vec<String> = altered.into_iter().chain(groups).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

fn or_nothing(attributes: &[String]) -> String {
    if attributes.is_empty() { "nothing".to_owned() } else { list(attributes) }
}

pub(super) const OUTSIDE: Check = Check {
    id: "R24-reaching-outside",
    title: "The database reaches outside, or is reached past the application",
    severity: Medium,
    rule: "dblink, cron jobs, LISTEN/NOTIFY or advisory locks are in use",
    why: "notifications, locks and jobs belong to one server and do not move with the rows",
    mitigation: "name an owner for each; move jobs at the switch; let listeners reconnect",
    owner: Owner::Application,
    judge: outside,
};

fn outside(inventory: &Inventory) -> Verdict {
    database(inventory, Side::Source, |database, verdict| {
        if let Some(outside) = verdict.known("source: its jobs", &database.outside)
            && !outside.jobs.is_empty()
        {
            verdict.fires(Side::Source, format!("cron jobs: {}", list(&outside.jobs)));
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
