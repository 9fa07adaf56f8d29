//! What runs inside the database, and what reaches out of it.

use changeover_assess::Fact;
use changeover_assess::inventory::{Code, Outside};
use serde::Deserialize;

use super::ask::{Answer, Asker};
use crate::catalog::{Catalog, Selection};

#[derive(Deserialize)]
struct Found {
    rules: Vec<String>,
    native: Vec<String>,
    reaching: Vec<String>,
}

pub(super) async fn code(
    ask: &mut Asker,
    selection: &Selection,
    catalog: &Answer<Catalog>,
) -> Fact<Code> {
    let found: Answer<Found> = ask.json(&functions_and_rules(selection)).await;
    let joined = catalog.as_ref().map_err(String::clone).and_then(|catalog| {
        let found = found?;
        let kept = catalog.views.iter().filter(|view| view.materialized && view.populated);
        Ok(Code {
            rules: found.rules,
            native_functions: found.native,
            reaching_functions: found.reaching,
            materialized_views: kept.map(|view| view.name.to_string()).collect(),
            large_objects: catalog.large_objects,
        })
    });
    ask.fact("the catalogue", joined)
}

/// Only names leave the server, no function's text. Those of extensions, and the constructors that a
/// range type brings along, are not the user's.
fn functions_and_rules(selection: &Selection) -> String {
    format!(
        "WITH own AS MATERIALIZED (SELECT p.oid, p.prosrc, l.lanname, \
             n.nspname || '.' || p.proname || '(' || \
               pg_get_function_identity_arguments(p.oid) || ')' AS label \
           FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid=p.pronamespace \
           JOIN pg_catalog.pg_language l ON l.oid=p.prolang \
           WHERE {scope} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
             WHERE d.classid='pg_catalog.pg_proc'::regclass AND d.objid=p.oid \
               AND d.deptype IN ('e','i'))) \
         SELECT json_build_object(\
           'native', (SELECT coalesce(json_agg(label ORDER BY label), '[]') FROM own \
             WHERE lanname IN ('c', 'internal')), \
           'reaching', (SELECT coalesce(json_agg(label || ': ' || what ORDER BY label), '[]') \
             FROM (SELECT label, concat_ws(', ', \
                 CASE WHEN prosrc ~* '\\mpg_notify\\s*\\(|\\mnotify\\s' THEN 'NOTIFY' END, \
                 CASE WHEN prosrc ~* '\\mdblink' THEN 'dblink' END, \
                 CASE WHEN prosrc ~* '\\mpg_(try_)?advisory_' THEN 'advisory locks' END) AS what \
               FROM own WHERE lanname NOT IN ('c', 'internal')) f WHERE what<>''), \
           'rules', (SELECT coalesce(json_agg(r.rulename || ' on ' || n.nspname || '.' || \
               c.relname ORDER BY n.nspname, c.relname, r.rulename), '[]') \
             FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid=r.ev_class \
             JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace \
             WHERE r.rulename<>'_RETURN' AND r.ev_enabled<>'D' AND {tables}))::text",
        scope = selection.condition("n.nspname::text", "p.proname::text"),
        tables = selection.condition("n.nspname::text", "c.relname::text"),
    )
}

/// The tables of schedulers that keep their jobs in the database, with the column of the name.
const SCHEDULERS: [(&str, &str); 2] = [
    ("cron.job", "coalesce(to_jsonb(j)->>'jobname', 'job ' || j.jobid)"),
    ("pgagent.pga_job", "j.jobname"),
];

pub(super) async fn outside(ask: &mut Asker) -> Fact<Outside> {
    let answer = read_outside(ask).await;
    ask.fact("pg_foreign_server and schedulers", answer)
}

async fn read_outside(ask: &mut Asker) -> Answer<Outside> {
    let foreign_servers = ask
        .json(
            "SELECT coalesce(json_agg(s.srvname || ' (' || w.fdwname || ')' ORDER BY s.srvname), \
               '[]')::text FROM pg_catalog.pg_foreign_server s \
             JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid=s.srvfdw",
        )
        .await?;
    let mut jobs = Vec::new();
    for (table, name) in SCHEDULERS {
        let there: bool =
            ask.json(&format!("SELECT (to_regclass('{table}') IS NOT NULL)::text")).await?;
        if there {
            let sql = format!("SELECT coalesce(json_agg({name}), '[]')::text FROM {table} j");
            let found: Vec<String> = ask.json(&sql).await?;
            jobs.extend(found);
        }
    }
    jobs.sort();
    Ok(Outside { foreign_servers, jobs })
}
