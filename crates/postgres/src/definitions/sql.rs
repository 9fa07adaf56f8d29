//! The one query behind [`Definitions`](super::Definitions).
//!
//! Every part gives rows `(class, of, name, item, value)`. Function names are not qualified: the
//! query runs with `search_path = pg_catalog` only. Columns that not every major from 12 on has are
//! read through `to_jsonb`.

mod code;
mod others;
mod relations;

use changeover_types::quote_literal;

use crate::catalog::{Selection, Selector};

/// One JSON object: the hash of all facts and, if asked for, the facts.
pub(super) fn definitions(selection: &Selection, with_facts: bool) -> String {
    let parts: Vec<String> = [relations::parts(), code::parts(), others::parts()].concat();
    let facts = if with_facts {
        "(SELECT json_agg(json_build_array(class,of,name,item,value)) FROM facts)"
    } else {
        "NULL"
    };
    format!(
        "WITH {moved}, {scope}, facts(class,of,name,item,value) AS MATERIALIZED (\
           SELECT class, coalesce(of,''), coalesce(name,''), item, value FROM ({parts}) p(class,of,name,item,value) \
           WHERE value IS NOT NULL) \
         SELECT json_build_object('major', current_setting('server_version_num')::int/10000, \
           'hash', (SELECT encode(sha256(convert_to(coalesce(string_agg(line, E'\\x02' \
             ORDER BY line),''),{ENCODING})),'hex') FROM (SELECT concat_ws(E'\\x01',class,of,name,\
             item,value) COLLATE \"C\" AS line FROM facts) l), 'facts', {facts})::text",
        moved = selection.moved_cte(),
        scope = scope(selection),
        parts = parts.join(" UNION ALL "),
    )
}

/// What texts are hashed in, so that both sides agree on them; bytes where there is no encoding.
const ENCODING: &str =
    "(CASE WHEN getdatabaseencoding()='SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END)::name";

/// Rows of each extension's configuration that its condition says belong to the user: `(extension,
/// table, kind, condition)`, the table quoted for SQL, in the order in which they were declared.
pub(super) const CONFIGURATION: &str = "SELECT coalesce(json_agg(json_build_array(e.extname, \
     format('%I.%I', n.nspname, c.relname), c.relkind, k.condition) ORDER BY e.extname, k.at),'[]')\
     ::text FROM pg_extension e CROSS JOIN LATERAL unnest(e.extconfig, e.extcondition) \
       WITH ORDINALITY k(relation,condition,at) \
     JOIN pg_class c ON c.oid=k.relation JOIN pg_namespace n ON n.oid=c.relnamespace";

/// `member`: what belongs to extensions, and the functions and casts that a range brings along. `ns`: the schemas that travel. `rel`: the relations that
/// do, with the word for their kind; `of` is an index's table.
fn scope(selection: &Selection) -> String {
    format!(
        "member AS MATERIALIZED (SELECT classid, objid FROM pg_depend \
           WHERE deptype='e' AND refclassid='pg_extension'::regclass \
             OR deptype='i' AND classid IN ('pg_proc'::regclass, 'pg_cast'::regclass)), \
         ns AS MATERIALIZED (SELECT oid, nspname::text COLLATE \"C\" AS name, nspowner, nspacl \
           FROM pg_namespace WHERE nspname NOT IN ('information_schema','changeover') \
             AND left(nspname::text,3)<>'pg_' AND {schemas}), \
         rel AS MATERIALIZED (SELECT c.*, format('%I.%I', n.nspname, c.relname) AS id, \
             CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' \
               WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' \
               WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' ELSE 'index' END AS class \
           FROM pg_class c JOIN pg_namespace n ON n.oid=c.relnamespace \
           LEFT JOIN pg_depend o ON c.relkind='S' AND o.classid='pg_class'::regclass \
             AND o.objid=c.oid AND o.refclassid='pg_class'::regclass AND o.refobjsubid>0 \
             AND o.deptype IN ('a','i') \
           LEFT JOIN pg_index i ON i.indexrelid=c.oid \
           LEFT JOIN pg_class t ON t.oid=i.indrelid \
           LEFT JOIN pg_namespace tn ON tn.oid=t.relnamespace \
           WHERE c.relpersistence<>'t' AND (c.oid,1) NOT IN (SELECT objid, 1 FROM member \
               WHERE classid='pg_class'::regclass) \
             AND CASE WHEN c.relkind IN ('r','p') OR o.objid IS NOT NULL OR t.relkind IN ('r','p') \
                 THEN coalesce(o.refobjid, t.oid, c.oid) IN (SELECT oid FROM moved) \
               WHEN c.relkind IN ('i','I') THEN t.relkind='m' AND {indexed} \
                 AND t.oid NOT IN (SELECT objid FROM member WHERE classid='pg_class'::regclass) \
               WHEN c.relkind='c' THEN n.oid IN (SELECT oid FROM ns) \
               ELSE c.relkind IN ('v','m','S','f') AND {named} END)",
        schemas = schemas(selection),
        indexed = selection.condition("tn.nspname::text", "t.relname::text"),
        named = selection.condition("n.nspname::text", "c.relname::text"),
    )
}

/// Whether objects that are no relations travel, by their schema: as in the dump.
fn schemas(selection: &Selection) -> String {
    let list = |names: Vec<String>| match names.is_empty() {
        true => "false".to_owned(),
        false => format!("nspname IN ({})", names.join(",")),
    };
    let included = selection.include.iter().map(|selector| match selector {
        Selector::Schema(name) => quote_literal(name),
        Selector::Table(table) => quote_literal(&table.schema),
    });
    let excluded = selection.exclude.iter().filter_map(|selector| match selector {
        Selector::Schema(name) => Some(quote_literal(name)),
        Selector::Table(_) => None,
    });
    format!(
        "(({} OR {}) AND NOT {} OR oid IN (SELECT extnamespace FROM pg_extension))",
        selection.include.is_empty(),
        list(included.collect()),
        list(excluded.collect())
    )
}

/// A text that may be long or hold what nobody else should read, as 16 hex digits behind a `#`.
fn hashed(text: &str) -> String {
    format!("'#' || left(encode(sha256(convert_to({text},{ENCODING})),'hex'),16)")
}

/// What an access list grants beyond (`+`) and withholds from (`-`) the default of its kind, so that
/// neither the grantor nor an explicit default makes a difference; NULL if nothing.
fn privileges(acl: &str, kind: &str, owner: &str) -> String {
    let minus = |sign: &str, a: &str, b: &str| {
        format!(
            "(SELECT '{sign}' AS sign, grantee, privilege_type, is_grantable FROM aclexplode({a}) \
             EXCEPT SELECT '{sign}', grantee, privilege_type, is_grantable FROM aclexplode({b}))"
        )
    };
    let default = format!("acldefault({kind},{owner})");
    format!(
        "CASE WHEN {acl} IS NOT NULL THEN (SELECT string_agg(g.line, ', ' ORDER BY g.line) FROM (\
           SELECT concat(x.sign, CASE x.grantee WHEN 0 THEN 'PUBLIC' WHEN {owner} THEN 'the owner' \
               ELSE pg_get_userbyid(x.grantee)::text END, ' ', string_agg(x.privilege_type \
               || CASE WHEN x.is_grantable THEN ' with grant option' ELSE '' END, '/' \
               ORDER BY x.privilege_type COLLATE \"C\")) COLLATE \"C\" AS line \
           FROM ({} UNION ALL {}) x GROUP BY x.sign, x.grantee) g) END",
        minus("+", acl, &default),
        minus("-", &default, acl)
    )
}

/// `owner` as a role's name.
fn role(owner: &str) -> String {
    format!("pg_get_userbyid({owner})::text")
}

/// A condition: the object is not an extension's.
fn own(class: &str, oid: &str) -> String {
    format!(
        "NOT EXISTS (SELECT FROM member x WHERE x.classid='{class}'::regclass AND x.objid={oid})"
    )
}

/// Rows of one object each: `from` with `class`, `of` and `name` as SQL, and items with values.
fn part(class: &str, of: &str, name: &str, items: &[(&str, String)], from: &str) -> String {
    let items: Vec<String> =
        items.iter().map(|(item, value)| format!("('{item}', ({value})::text)")).collect();
    format!(
        "SELECT {class}, ({of})::text COLLATE \"C\", ({name})::text COLLATE \"C\", f.item, \
           f.value COLLATE \"C\" FROM {from}",
        from = from.replacen(
            "{items}",
            &format!("CROSS JOIN LATERAL (VALUES {}) f(item,value)", items.join(",")),
            1
        )
    )
}
