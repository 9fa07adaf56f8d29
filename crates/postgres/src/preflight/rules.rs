//! The preflight's part of the catalogue of risks.

use changeover_assess::Severity::{self, Blocker, High, Low, Medium};
use changeover_assess::register::Rule;

/// Nobody can accept it.
const fn must(id: &'static str, severity: Severity, fires: &'static str) -> Rule {
    Rule { id, severity, fires, waivable: false }
}

/// A waiver in the plan accepts it.
const fn may(id: &'static str, severity: Severity, fires: &'static str) -> Rule {
    Rule { id, severity, fires, waivable: true }
}

/// Each rule once, by id.
pub const RULES: &[Rule] = &[
    may("access", Blocker, "a role that uses the source could do less on the target"),
    must("catalog", Blocker, "the tables to move cannot be read"),
    must("create_right", Blocker, "our role may not create schemas and publications"),
    may("database_properties", High, "our role may not give the database what the source's has"),
    must("dump_trial", Blocker, "pg_dump cannot dump the schema"),
    must(
        "encoding",
        Blocker,
        "the databases' encodings differ; high if the target's holds all of the source's",
    ),
    may("event_triggers", High, "the source has event triggers"),
    may("event_triggers_target", Medium, "the target has event triggers that fire for the restore"),
    must("exists", Blocker, "an object of the source exists on the target already"),
    must("extension_missing", Blocker, "the target cannot create an extension of the source"),
    must("extension_older", Blocker, "the target has an older version of an extension"),
    may(
        "extension_rows",
        Medium,
        "users keep rows in configuration tables of extensions; high if they cannot be read",
    ),
    may("extension_rows_unreadable", High, "our role may not read extensions' configuration"),
    may("extension_version", Low, "the target has another, newer version of an extension"),
    must("extensions", Blocker, "it cannot be read which extensions the target can create"),
    must("foreign_key_leaves", Blocker, "a moved table references one that does not move"),
    may("foreign_tables", Medium, "the source has foreign tables"),
    may("full_identity", Low, "a moved table has REPLICA IDENTITY FULL"),
    may("grants_trial", High, "a grant cannot be given on the target"),
    may(
        "hidden_settings",
        Medium,
        "functions may set custom settings whose names the PostgreSQL gate cannot read",
    ),
    may("inheritance", Low, "a moved table inherits from another"),
    must("large_objects", Blocker, "the source has large objects"),
    must(
        "left_over",
        Blocker,
        "an earlier attempt of this migration left something, or it cannot be read",
    ),
    may(
        "locale",
        High,
        "the databases' collations, character classes or ICU locales differ, or cannot be read",
    ),
    must("lock_room", Blocker, "the lock table cannot hold a lock for every moved relation"),
    may("long_transaction", High, "a transaction is open for longer than five minutes"),
    may("materialized_views", Low, "the source has populated materialised views"),
    must("needs_left_out", Blocker, "a restored object needs one that the plan leaves out"),
    must("no_identity", Blocker, "a moved table has no usable replica identity"),
    must("not_empty", Blocker, "a table that is to be filled has rows"),
    may("not_moved", Low, "the plan leaves tables out"),
    may(
        "not_tried",
        High,
        "a trial of the schema on the target did not end; low if it was left out on purpose",
    ),
    must("nothing", Blocker, "no table is selected"),
    must("objects", Blocker, "it cannot be read which objects a side has"),
    may("other_slots", High, "others read changes through logical slots"),
    may("others", Low, "the target has objects of its own"),
    must("output_plugin", Blocker, "the server does not allow pgoutput"),
    must("owners", Blocker, "it cannot be read who owns what moves"),
    may("owners_missing", Blocker, "a role that owns something does not exist on the target"),
    must("ownership", Blocker, "our role does not own a moved table"),
    may(
        "ownership_kept",
        Blocker,
        "our role on the target is no member of an owner; high if no program logs in as that owner",
    ),
    must("partition_named", Blocker, "the plan's lists name a partition"),
    must("pooler", Blocker, "a URL leads through a pooler"),
    must("prepared", Blocker, "there are prepared transactions"),
    must("read_only", Blocker, "default_transaction_read_only is on for our role"),
    must("reads", Blocker, "a query that copies a table cannot be planned"),
    may("reads_untried", High, "a table was locked while its query was planned"),
    must("replica_role", Blocker, "our role may not set session_replication_role"),
    may("replica_triggers", High, "triggers are ENABLE REPLICA or ALWAYS"),
    must("replication_right", Blocker, "our role has no REPLICATION right"),
    may("replication_role", Medium, "session_replication_role is set by default"),
    must("restore_trial", Blocker, "an object cannot be restored on the target"),
    must("role", Blocker, "our role's rights cannot be read"),
    may("role_settings", Medium, "the settings of roles and databases cannot be read"),
    must("roles", Blocker, "it cannot be read which roles exist"),
    may(
        "roles_missing",
        Blocker,
        "a role that is granted something or has a policy does not exist on the target",
    ),
    must("row_security", Blocker, "row security applies to our role"),
    must("same_database", Blocker, "both URLs lead to one database"),
    must(
        "schema_right",
        Blocker,
        "our role, or an owner, may not create in a schema that is there",
    ),
    must("schema_taken", Blocker, "a schema `changeover` exists that is not ours"),
    must("seal_trial", Blocker, "our own schema or the seal cannot be made on the target"),
    must("select_right", Blocker, "our role may not read a moved table"),
    must("senders", Blocker, "fewer than two WAL senders are free"),
    may("sequence_cycle", Medium, "a sequence has CYCLE"),
    may("sequence_down", Low, "a sequence counts down"),
    must("sequence_right", Blocker, "our role does not own or may not read a sequence"),
    may("sequence_room", Medium, "a sequence has too few numbers left for the whole margin"),
    may("sequence_unowned", Low, "no column owns a sequence"),
    may("sequence_used_up", Medium, "a sequence has no number left"),
    must("server", Blocker, "the server's identity cannot be read"),
    may(
        "server_bound_values",
        High,
        "a column holds a server's own numbers (xid, tid, pg_lsn, snapshots)",
    ),
    must("settings", Blocker, "the server's settings cannot be read"),
    must("slots", Blocker, "fewer than two replication slots are free"),
    must("standby", Blocker, "a server is a standby"),
    must(
        "standbys",
        Blocker,
        "the source has standbys and the plan does not say that they are never promoted",
    ),
    must("statements", Blocker, "a statement of the relay or of a comparison cannot be planned"),
    may(
        "statements_back",
        High,
        "a statement of the way back or of a comparison cannot be planned on the source",
    ),
    may("subscriptions", High, "subscriptions write into the database"),
    may("synchronous_commit", Low, "synchronous_commit is off"),
    may("system_id", Medium, "our role may not read the server's identifier"),
    must("tablespace_right", Blocker, "our role may not create in a tablespace that is used"),
    must("tablespaces", Blocker, "a tablespace that is used does not exist on the target"),
    may("text_copy", Low, "a table is copied as text"),
    must("token", Blocker, "changeover.token is set by default"),
    must("tools", Blocker, "pg_dump and pg_restore cannot be used"),
    may("type_numbers", High, "types have other numbers on the target, which drivers remember"),
    may("type_numbers_kept", Low, "types get the source's numbers on the target"),
    may("type_numbers_shown", Low, "the PostgreSQL gate shows the source's type numbers"),
    must("unlogged", Blocker, "a moved table is unlogged"),
    must("version", Blocker, "a server is older than PostgreSQL 12"),
    must("version_order", Blocker, "the target is an older PostgreSQL than the source"),
    may("version_step", Low, "the target is a newer PostgreSQL than the source"),
    may("views_trial", Medium, "a materialised view cannot be filled on the target"),
    must("wal_level", Blocker, "wal_level is not logical"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The ids that the rules in `folder` add, as they stand in the source.
    fn added(folder: &Path, ids: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap_or_default();
            for call in ["findings.add(", "findings.many(", "findings.known("] {
                let calls = text.split(call).skip(1).filter_map(|rest| rest.split('"').nth(1));
                let word = |it: &&str| it.chars().all(|c| c.is_ascii_lowercase() || c == '_');
                ids.extend(calls.filter(word).map(str::to_owned));
            }
        }
    }

    #[test]
    fn every_rule_is_in_the_catalogue_once_and_in_order() {
        let ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        let mut used = BTreeSet::new();
        added(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/preflight"), &mut used);
        assert!(used.len() > 40, "{used:?}");
        let missing: Vec<&String> = used.iter().filter(|id| !ids.contains(&&***id)).collect();
        assert!(missing.is_empty(), "name these in preflight/rules.rs: {missing:?}");
    }
}
