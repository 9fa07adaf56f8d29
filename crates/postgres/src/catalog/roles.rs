//! Roles that the moved objects need: their owners, and whoever is granted something.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Selection;

/// A role without which an owner, a grant or a policy cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeededRole {
    /// Its name.
    pub name: String,
    /// Whether it owns something: without it, what is restored belongs to another.
    pub owns: bool,
    /// How many objects name it.
    pub objects: u64,
    /// One of them, in words.
    pub example: String,
}

impl fmt::Display for NeededRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.name, self.example)?;
        match self.objects.saturating_sub(1) {
            0 => f.write_str(")"),
            more => write!(f, " and {more} more)"),
        }
    }
}

/// Catalogues whose objects are not restored, or not with their owners: subscriptions,
/// publications, event triggers, extensions.
const NOT_RESTORED: &str = "6100,6104,3466,3079";

/// Catalogues whose entries are about a role and not owned by it: user mappings, default
/// privileges.
const NOT_OWNED: &str = "1418,826";

/// Every role that `pg_shdepend` knows of in this database: owners (`o`), grants (`a`, `i`) and
/// policies (`r`) of any kind of object; the grants on the database itself; roles with settings of
/// their own here. The first superuser is pinned and therefore in no dependency: it is looked for
/// in the owners and grants themselves. PostgreSQL's own roles are the same everywhere.
pub(crate) fn needed(selection: &Selection) -> String {
    format!(
        "WITH {moved}, {left_out}, here AS (SELECT oid FROM pg_catalog.pg_database \
           WHERE datname=pg_catalog.current_database()), \
         dep(role, classid, objid, owns) AS (\
           SELECT s.refobjid, s.classid, s.objid, s.deptype='o' FROM pg_catalog.pg_shdepend s, here \
             WHERE s.refclassid=1260 AND s.deptype IN ('a','i','o','r') \
               AND (s.dbid=here.oid OR (s.classid=1262 AND s.objid=here.oid AND s.deptype='a')) \
               AND s.classid NOT IN ({NOT_RESTORED}) \
           UNION SELECT 10::oid, p.classid, p.objid, true FROM ({PINNED}) p \
             WHERE p.objid>=16384 AND (p.owner=10 OR EXISTS (\
               SELECT FROM pg_catalog.aclexplode(p.acl) x WHERE 10 IN (x.grantee, x.grantor))) \
           UNION SELECT s.setrole, 1262::oid, here.oid, false \
             FROM pg_catalog.pg_db_role_setting s, here \
             WHERE s.setdatabase=here.oid AND s.setrole<>0), \
         needs AS (SELECT d.role, count(*) AS objects, \
             bool_or(d.owns AND d.classid NOT IN ({NOT_OWNED})) AS owns, \
             min(d.classid::bigint<<32 | d.objid::bigint) AS first \
           FROM (SELECT role, classid, objid, bool_or(owns) AS owns, bool_and(owns) AS only_owns FROM dep GROUP BY 1, 2, 3) d \
           CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) i \
           CROSS JOIN LATERAL (SELECT coalesce(i.schema, \
             CASE WHEN d.classid=2615 THEN i.name END)) n(schema) \
           WHERE NOT (d.classid=1259 AND d.objid IN (SELECT oid FROM left_out)) \
             AND NOT (d.only_owns AND EXISTS (SELECT FROM pg_catalog.pg_depend e \
               WHERE e.classid=d.classid AND e.objid=d.objid AND e.deptype='e')) \
             AND (n.schema IS NULL OR {schemas}) GROUP BY 1) \
         SELECT coalesce(json_agg(json_build_object('name', r.rolname, 'owns', n.owns, 'objects', n.objects, \
           'example', pg_catalog.pg_describe_object((n.first>>32)::oid, \
             (n.first & 4294967295)::oid, 0)) ORDER BY r.rolname), '[]')::text \
         FROM needs n JOIN pg_catalog.pg_roles r ON r.oid=n.role \
         WHERE left(r.rolname::text,3)<>'pg_'",
        moved = selection.moved_cte(),
        left_out = selection.left_out_cte(),
        schemas = selection.schema_condition("n.schema"),
    )
}

/// Owners and grants of what the first superuser may own, by catalogue.
const PINNED: &str = "\
    SELECT 1259::oid AS classid, oid AS objid, relowner AS owner, relacl AS acl \
      FROM pg_catalog.pg_class WHERE relkind NOT IN ('i','I','t') AND relpersistence<>'t' \
    UNION ALL SELECT 1255, oid, proowner, proacl FROM pg_catalog.pg_proc \
    UNION ALL SELECT 2615, oid, nspowner, nspacl FROM pg_catalog.pg_namespace \
    UNION ALL SELECT 1247, oid, typowner, typacl FROM pg_catalog.pg_type \
    UNION ALL SELECT 826, oid, defaclrole, defaclacl FROM pg_catalog.pg_default_acl";
