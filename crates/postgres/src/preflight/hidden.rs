//! Code that may set a custom setting (`app.tenant`) whose name the PostgreSQL gate cannot read.
//!
//! The server lists such settings nowhere, so the gate asks for those whose names it has read: in
//! statements, in values bound to them, in the database's own code. Left out here: members of
//! extensions (what an extension itself defines the server lists), and settings that end with their
//! transaction.

use changeover_types::Side;

use super::Severity::Medium;
use super::{Evidence, Findings};

/// In the words of each: its name, and why it cannot be read.
pub(super) const QUERY: &str = r"SELECT coalesce(json_agg(label || ': ' || why ORDER BY label), '[]')::text
  FROM (SELECT pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
      pg_catalog.pg_get_function_identity_arguments(p.oid)) AS label,
    CASE WHEN l.lanname IN ('c', 'internal') THEN 'written in C'
      WHEN (SELECT pg_catalog.count(*) FROM pg_catalog.regexp_matches(code.text,
            'set_config\s*\(\s*(?:[^''\s]|''[^'']*''\s*\|\|)', 'gi'))
         > (SELECT pg_catalog.count(*) FROM pg_catalog.regexp_matches(code.text,
            'set_config\s*\(\s*(?:[^''\s]|''[^'']*''\s*\|\|)[^;]*?,\s*true\s*\)', 'gi'))
        THEN 'calls set_config with a name that is put together'
      WHEN code.text ~* '''\s*set\s+(?:session\s+)?[\w.]*(?:%|'')'
        THEN 'runs a SET that is put together' END AS why
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid=p.pronamespace
    JOIN pg_catalog.pg_language l ON l.oid=p.prolang
    CROSS JOIN LATERAL (SELECT CASE WHEN l.lanname IN ('c', 'internal') OR p.prokind NOT IN ('f', 'p')
      THEN '' ELSE pg_catalog.pg_get_functiondef(p.oid) END) code(text)
    WHERE p.oid >= 16384 AND n.nspname <> 'changeover' AND n.nspname !~ '^pg_temp'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid='pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid=p.oid
          AND d.deptype IN ('e','i'))) f
  WHERE why IS NOT NULL";

pub(super) fn judge(evidence: &Evidence, findings: &mut Findings) {
    if !evidence.options.postgres_gate {
        return;
    }
    let topic = "which settings the database's code makes";
    let fact = &evidence.source.hidden_settings;
    let known = findings.known(Medium, "hidden_settings", Side::Source, topic, fact);
    findings.many(
        Medium,
        "hidden_settings",
        Side::Source,
        [
            "function may set a custom setting whose name nobody can read",
            "functions may set custom settings whose names nobody can read",
        ],
        known.into_iter().flatten().map(String::as_str),
        [
            "a session that calls it would come to the other side without that setting, and without a \
             word",
            "List the names in the plan's gates.postgres.settings, and accept this finding by a waiver; \
             there is nothing to do where no such setting outlives its transaction",
        ],
    );
}
