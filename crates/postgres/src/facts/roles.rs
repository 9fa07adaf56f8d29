//! Roles and what they may do.

use std::collections::BTreeMap;

use changeover_assess::Fact;
use changeover_assess::inventory::{Privileges, RoleEntry};

use super::ask::{Answer, Asker};
use crate::catalog::{Catalog, Selection};

/// PostgreSQL's own roles are the same everywhere.
const ROLES: &str = "SELECT coalesce(json_object_agg(r.rolname, array_remove(array[\
    CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcanlogin THEN 'LOGIN' END, \
    CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, \
    CASE WHEN r.rolreplication THEN 'REPLICATION' END, \
    CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END, \
    CASE WHEN NOT r.rolinherit THEN 'NOINHERIT' END] || \
    (SELECT array_agg('MEMBER OF ' || g.rolname ORDER BY g.rolname) \
      FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid=m.roleid \
      WHERE m.member=r.oid), NULL)), '{}')::text \
  FROM pg_catalog.pg_roles r WHERE left(r.rolname::text, 3)<>'pg_'";

pub(super) async fn roles(ask: &mut Asker, catalog: &Answer<Catalog>) -> Fact<Vec<RoleEntry>> {
    let roles: Answer<BTreeMap<String, Vec<String>>> = ask.json(ROLES).await;
    let joined = catalog.as_ref().map_err(String::clone).and_then(|catalog| {
        let needed = |name: &String| catalog.roles.iter().any(|role| role.name == *name);
        let entry = |(name, attributes)| RoleEntry { needed: needed(&name), name, attributes };
        Ok(roles?.into_iter().map(entry).collect())
    });
    ask.fact("pg_roles", joined)
}

pub(super) async fn privileges(ask: &mut Asker, selection: &Selection) -> Fact<Privileges> {
    let sql = format!(
        "WITH {moved}, grants AS (SELECT coalesce(g.rolname::text, 'PUBLIC') AS grantee, \
             x.privilege_type, count(*) AS tables \
           FROM pg_catalog.pg_class c JOIN moved m ON m.oid=c.oid \
           CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) x \
           LEFT JOIN pg_catalog.pg_roles g ON g.oid=x.grantee \
           WHERE x.grantee<>c.relowner GROUP BY 1, 2) \
         SELECT json_build_object(\
           'policies', (SELECT coalesce(json_agg(p.polname || ' on ' || m.schema || '.' || m.name \
               ORDER BY m.schema, m.name, p.polname), '[]') \
             FROM pg_catalog.pg_policy p JOIN moved m ON m.oid=p.polrelid), \
           'defaults', (SELECT coalesce(json_agg(pg_get_userbyid(d.defaclrole) || ' in ' || \
               coalesce(n.nspname::text, 'all schemas')), '[]') \
             FROM pg_catalog.pg_default_acl d \
             LEFT JOIN pg_catalog.pg_namespace n ON n.oid=d.defaclnamespace), \
           'grants', (SELECT coalesce(json_agg(grantee || ': ' || privilege_type || ' on ' || \
               tables || CASE tables WHEN 1 THEN ' table' ELSE ' tables' END \
               ORDER BY grantee, privilege_type), '[]') FROM grants))::text",
        moved = selection.moved_cte()
    );
    ask.read("grants and policies", &sql).await
}
