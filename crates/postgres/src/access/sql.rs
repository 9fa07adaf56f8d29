//! The questions, as text: each gives one JSON value.

use changeover_types::quote_literal;

use super::{Kind, Object};
use crate::catalog::Selection;

/// A text array.
fn texts<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<String> = values.map(quote_literal).collect();
    format!("ARRAY[{}]::text[]", all.join(","))
}

/// Names of the roles that use this database. Where our role may not see what kind of session one
/// is, it counts as a client's.
pub(super) fn roles(users: &[String], needed: &[&str]) -> String {
    format!(
        "WITH RECURSIVE db AS (SELECT oid, datacl FROM pg_catalog.pg_database \
           WHERE datname=current_database()), \
         client(oid) AS (SELECT usesysid FROM pg_catalog.pg_stat_activity \
           WHERE datname=current_database() AND usesysid IS NOT NULL \
             AND coalesce(backend_type,'client backend')='client backend' \
             AND application_name NOT LIKE 'changeover %'), \
         named(oid) AS (SELECT oid FROM client UNION \
           SELECT oid FROM pg_catalog.pg_roles WHERE rolname = ANY({needed}) UNION \
           SELECT a.grantee FROM db, pg_catalog.aclexplode(db.datacl) a UNION \
           SELECT oid FROM pg_catalog.pg_roles WHERE rolname = ANY({users})), \
         reached(oid) AS (SELECT oid FROM named UNION \
           SELECT m.member FROM pg_catalog.pg_auth_members m JOIN reached r ON r.oid=m.roleid) \
         SELECT coalesce(json_agg(r.rolname ORDER BY r.rolname),'[]')::text \
         FROM pg_catalog.pg_roles r WHERE r.oid IN (SELECT oid FROM reached) \
           AND (r.rolcanlogin OR r.oid IN (SELECT oid FROM named)) \
           AND left(r.rolname,3)<>'pg_' AND (r.rolname<>session_user \
             OR r.oid IN (SELECT oid FROM client) OR r.rolname = ANY({users}))",
        users = texts(users.iter().map(String::as_str)),
        needed = texts(needed.iter().copied()),
    )
}

/// The types of the arguments of the function `p`.
const ARGUMENTS: &str = "(SELECT coalesce(string_agg(format('%I.%I', tn.nspname, t.typname), ',' \
     ORDER BY u.at),'') FROM unnest(p.proargtypes) WITH ORDINALITY u(oid,at) \
     JOIN pg_catalog.pg_type t ON t.oid=u.oid \
     JOIN pg_catalog.pg_namespace tn ON tn.oid=t.typnamespace)";

/// The objects of the schemas that move, members of extensions left out. Every part of a name is
/// quoted, so that no path matters.
pub(super) fn objects(selection: &Selection) -> String {
    let moved = selection.condition("n.nspname::text", "c.relname::text");
    let whole = selection.condition("n.nspname::text", "''::text");
    let own = |class: &str, id: &str| {
        format!(
            "NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype='e' \
             AND d.classid='pg_catalog.{class}'::regclass AND d.objid={id})"
        )
    };
    format!(
        "WITH relations AS (SELECT c.*, n.nspname FROM pg_catalog.pg_class c \
           JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace \
           WHERE c.relkind IN ('r','p','v','m','f','S') AND c.relpersistence<>'t' \
             AND {moved} AND {class}), \
         schemas AS (SELECT n.oid, n.nspname, n.nspowner FROM pg_catalog.pg_namespace n \
           WHERE n.oid IN (SELECT relnamespace FROM relations) OR ({whole} AND {namespace})), \
         found AS ( \
           SELECT CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind, \
             format('%I.%I', nspname, relname) AS name, '' AS col, relowner AS owner \
             FROM relations UNION ALL \
           SELECT 'column', format('%I.%I', r.nspname, r.relname), a.attname, r.relowner \
             FROM relations r JOIN pg_catalog.pg_attribute a ON a.attrelid=r.oid \
             WHERE a.attacl IS NOT NULL AND a.attnum>0 AND NOT a.attisdropped UNION ALL \
           SELECT 'schema', format('%I', nspname), '', nspowner FROM schemas UNION ALL \
           SELECT 'function', format('%I.%I(%s)', s.nspname, p.proname, {ARGUMENTS}), '', p.proowner \
             FROM pg_catalog.pg_proc p JOIN schemas s ON s.oid=p.pronamespace WHERE {proc} UNION ALL \
           SELECT 'type', format('%I.%I', s.nspname, t.typname), '', t.typowner \
             FROM pg_catalog.pg_type t JOIN schemas s ON s.oid=t.typnamespace \
             LEFT JOIN pg_catalog.pg_class c ON c.oid=t.typrelid \
             WHERE (t.typtype IN ('d','e','r') OR (t.typtype='c' AND c.relkind='c')) AND {type_}) \
         SELECT coalesce(json_agg(json_build_object('kind',kind,'name',name,'column',col, \
           'owner',pg_catalog.pg_get_userbyid(owner)) ORDER BY kind,name,col),'[]')::text FROM found",
        class = own("pg_class", "c.oid"),
        namespace = own("pg_namespace", "n.oid"),
        proc = own("pg_proc", "p.oid"),
        type_ = own("pg_type", "t.oid"),
    )
}

/// What roles are by themselves.
pub(super) fn of_roles(roles: &[String]) -> String {
    format!(
        "SELECT coalesce(json_object_agg(r.rolname, json_build_object( \
           'login',r.rolcanlogin,'superuser',r.rolsuper,'bypass_rls',r.rolsuper OR r.rolbypassrls, \
           'database',(SELECT coalesce(json_agg(p),'[]') \
             FROM unnest(ARRAY['CONNECT','CREATE','TEMPORARY']) p \
             WHERE has_database_privilege(r.oid,current_database(),p)), \
           'member_of',(SELECT coalesce(json_agg(g.rolname),'[]') FROM pg_catalog.pg_roles g \
             WHERE NOT r.rolsuper AND g.oid<>r.oid \
               AND (g.rolname = ANY({roles}) OR g.rolname=session_user) \
               AND pg_has_role(r.oid,g.oid,'MEMBER')))),'{{}}')::text \
         FROM pg_catalog.pg_roles r WHERE r.rolname = ANY({roles})",
        roles = texts(roles.iter().map(String::as_str)),
    )
}

/// `objects (at, kind, name, col, owner, oid)`, those that exist. Functions are found by their
/// names: before version 16 `to_regprocedure` fails on a type that does not exist.
fn objects_here(objects: &[Object]) -> String {
    let kind = |object: &Object| match object.kind {
        Kind::Schema => "schema",
        Kind::Table => "table",
        Kind::Column => "column",
        Kind::Sequence => "sequence",
        Kind::Function => "function",
        Kind::Type => "type",
    };
    format!(
        "WITH functions AS (SELECT p.oid, \
             format('%I.%I(%s)', n.nspname, p.proname, {ARGUMENTS}) AS name \
           FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid=p.pronamespace \
           WHERE left(n.nspname::text,3)<>'pg_' AND n.nspname<>'information_schema'), \
         asked AS (SELECT at-1 AS at, kind, u.name, col, CASE \
             WHEN kind='schema' THEN to_regnamespace(u.name)::oid \
             WHEN kind='function' THEN f.oid \
             WHEN kind='type' THEN to_regtype(u.name)::oid ELSE to_regclass(u.name)::oid END AS oid \
           FROM unnest({},{},{}) WITH ORDINALITY u(kind,name,col,at) \
           LEFT JOIN functions f ON kind='function' AND f.name=u.name), \
         objects AS (SELECT * FROM asked WHERE oid IS NOT NULL AND (kind<>'column' OR EXISTS ( \
           SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid=asked.oid AND a.attname=asked.col \
             AND NOT a.attisdropped)))",
        texts(objects.iter().map(kind)),
        texts(objects.iter().map(|object| object.name.as_str())),
        texts(objects.iter().map(|object| object.column.as_str())),
    )
}

/// The indexes of the objects that exist.
pub(super) fn there(objects: &[Object]) -> String {
    format!("{} SELECT coalesce(json_agg(at),'[]')::text FROM objects", objects_here(objects))
}

/// Rows of role, privileges, indexes of objects.
pub(super) fn may(roles: &[String], objects: &[Object]) -> String {
    let each = |privileges: &str, function: &str, arguments: &str| {
        format!(
            "(SELECT string_agg(p,',' ORDER BY p) FROM unnest(ARRAY[{privileges}]) p \
             WHERE {function}(r.oid,o.oid{arguments},p))"
        )
    };
    format!(
        "{objects}, \
         owned AS (SELECT o.*, CASE o.kind \
           WHEN 'schema' THEN (SELECT nspowner FROM pg_catalog.pg_namespace WHERE oid=o.oid) \
           WHEN 'function' THEN (SELECT proowner FROM pg_catalog.pg_proc WHERE oid=o.oid) \
           WHEN 'type' THEN (SELECT typowner FROM pg_catalog.pg_type WHERE oid=o.oid) \
           WHEN 'column' THEN NULL \
           ELSE (SELECT relowner FROM pg_catalog.pg_class WHERE oid=o.oid) END AS owner \
           FROM objects o), \
         said AS (SELECT r.rolname, o.at, concat_ws(',', \
             CASE WHEN o.owner=r.oid THEN 'OWNER' END, CASE o.kind \
             WHEN 'table' THEN {table} WHEN 'sequence' THEN {sequence} WHEN 'schema' THEN {schema} \
             WHEN 'function' THEN {function} WHEN 'type' THEN {type_} WHEN 'column' THEN {column} \
             END) AS may \
           FROM owned o CROSS JOIN pg_catalog.pg_roles r WHERE r.rolname = ANY({roles})) \
         SELECT coalesce(json_agg(json_build_array(rolname, may, at)),'[]')::text FROM ( \
           SELECT rolname, may, json_agg(at) AS at FROM said WHERE may<>'' GROUP BY 1,2) grouped",
        objects = objects_here(objects),
        table = each(
            "'SELECT','INSERT','UPDATE','DELETE','TRUNCATE','REFERENCES','TRIGGER'",
            "has_table_privilege",
            ""
        ),
        sequence = each("'SELECT','UPDATE','USAGE'", "has_sequence_privilege", ""),
        schema = each("'CREATE','USAGE'", "has_schema_privilege", ""),
        function = each("'EXECUTE'", "has_function_privilege", ""),
        type_ = each("'USAGE'", "has_type_privilege", ""),
        column = each("'SELECT','INSERT','UPDATE','REFERENCES'", "has_column_privilege", ",o.col"),
        roles = texts(roles.iter().map(String::as_str)),
    )
}
