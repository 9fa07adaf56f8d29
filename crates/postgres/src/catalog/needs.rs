//! What would be restored although it needs something that the plan leaves out.

use serde::{Deserialize, Serialize};

use super::{Selection, json};
use crate::error::Result;
use crate::session::Session;

/// An object that would be restored, and one it needs that would not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The object, in words: `view public.recent`.
    pub object: String,
    /// As `data.exclude` takes it; `None` for what is no relation.
    pub exclude: Option<String>,
    /// What it needs, in words.
    pub needs: String,
}

/// Reads what depends on anything that the lists leave out.
///
/// # Errors
/// If the query fails.
pub(crate) async fn needs(session: &mut Session, selection: &Selection) -> Result<Vec<Need>> {
    if selection.include.is_empty() && selection.exclude.is_empty() {
        return Ok(Vec::new());
    }
    json(session, &sql(selection)).await
}

/// Left out are relations with their types, and everything in schemas that are left out. What
/// depends on it is found in `pg_depend`, where rules, defaults, constraints, triggers, policies
/// and indexes stand for their relation. Foreign keys are a finding of their own.
fn sql(selection: &Selection) -> String {
    let members: Vec<String> = MEMBERS
        .iter()
        .map(|(class, catalog, namespace)| {
            format!(
                "UNION SELECT {class}::oid, m.oid FROM pg_catalog.{catalog} m \
                 JOIN schemas s ON s.oid=m.{namespace}"
            )
        })
        .collect();
    format!(
        "WITH {moved}, {left_out}, \
         schemas AS (SELECT n.oid FROM pg_catalog.pg_namespace n \
           WHERE n.nspname NOT IN ('information_schema','changeover') \
             AND left(n.nspname::text,3)<>'pg_' AND NOT {kept} \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.extnamespace=n.oid)), \
         gone(classid, objid) AS (SELECT 1259::oid, oid FROM left_out \
           UNION SELECT 1247::oid, t.oid FROM pg_catalog.pg_type t JOIN left_out l ON l.oid=t.typrelid \
           UNION SELECT 1247::oid, t.typarray FROM pg_catalog.pg_type t \
             JOIN left_out l ON l.oid=t.typrelid \
           {members}), \
         needing AS (SELECT DISTINCT h.classid, h.objid, g.classid AS on_class, g.objid AS on_object \
           FROM gone g JOIN pg_catalog.pg_depend d ON d.refclassid=g.classid AND d.refobjid=g.objid \
           LEFT JOIN pg_catalog.pg_rewrite w ON d.classid=2618 AND w.oid=d.objid \
           LEFT JOIN pg_catalog.pg_attrdef f ON d.classid=2604 AND f.oid=d.objid \
           LEFT JOIN pg_catalog.pg_constraint k ON d.classid=2606 AND k.oid=d.objid \
           LEFT JOIN pg_catalog.pg_trigger t ON d.classid=2620 AND t.oid=d.objid \
           LEFT JOIN pg_catalog.pg_policy p ON d.classid=3256 AND p.oid=d.objid \
           LEFT JOIN pg_catalog.pg_index i ON d.classid=1259 AND i.indexrelid=d.objid \
           CROSS JOIN LATERAL (SELECT coalesce(w.ev_class, f.adrelid, nullif(k.conrelid,0), \
             t.tgrelid, p.polrelid, i.indrelid) AS relation) r \
           CROSS JOIN LATERAL (SELECT \
             CASE WHEN r.relation IS NOT NULL THEN 1259::oid WHEN k.contypid<>0 THEN 1247::oid \
               ELSE d.classid END AS classid, \
             coalesce(r.relation, nullif(k.contypid,0), d.objid) AS objid) h \
           WHERE d.deptype IN ('n','a','i') AND k.contype IS DISTINCT FROM 'f' \
             AND d.classid NOT IN (6106,6237,3466,3079,3381,826) \
             AND NOT EXISTS (SELECT FROM gone o WHERE o.classid=h.classid AND o.objid=h.objid) \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid=h.classid \
               AND e.objid=h.objid AND e.deptype='e')) \
         SELECT coalesce(json_agg(json_build_object(\
           'object', pg_catalog.pg_describe_object(n.classid, n.objid, 0), \
           'exclude', CASE WHEN c.relkind IN ('r','p','v','m','f') THEN s.nspname || '.' || c.relname END, \
           'needs', pg_catalog.pg_describe_object(n.on_class, n.on_object, 0)) \
           ORDER BY n.classid, n.objid, n.on_class, n.on_object), '[]')::text \
         FROM needing n LEFT JOIN pg_catalog.pg_class c ON n.classid=1259 AND c.oid=n.objid \
         LEFT JOIN pg_catalog.pg_namespace s ON s.oid=c.relnamespace \
         WHERE c.relkind IS DISTINCT FROM 't'",
        moved = selection.moved_cte(),
        left_out = selection.left_out_cte(),
        kept = selection.schema_condition("n.nspname::text"),
        members = members.join(" "),
    )
}

/// Catalogues of what is in a schema: class, name, the column of the schema.
const MEMBERS: [(u32, &str, &str); 8] = [
    (1247, "pg_type", "typnamespace"),
    (1255, "pg_proc", "pronamespace"),
    (2617, "pg_operator", "oprnamespace"),
    (2616, "pg_opclass", "opcnamespace"),
    (2753, "pg_opfamily", "opfnamespace"),
    (3456, "pg_collation", "collnamespace"),
    (3602, "pg_ts_config", "cfgnamespace"),
    (3600, "pg_ts_dict", "dictnamespace"),
];
