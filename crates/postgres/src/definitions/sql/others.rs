//! The database itself, schemas, extensions, foreign servers, publications, and what is said of
//! objects of any kind.

use super::{hashed, own, part, privileges, role};

pub(super) fn parts() -> Vec<String> {
    vec![
        database(),
        settings(),
        schemas(),
        extensions(),
        event_triggers(),
        wrappers(),
        servers(),
        user_mappings(),
        publications(),
        subscriptions(),
        default_privileges(),
        system_privileges(),
        comments(),
        labels(),
        large_objects(),
    ]
}

fn database() -> String {
    let items = [
        ("owner", role("d.datdba")),
        ("privileges", privileges("d.datacl", "'d'", "d.datdba")),
        ("connection limit", "nullif(d.datconnlimit,-1)".to_owned()),
        ("connections", "CASE WHEN NOT d.datallowconn THEN 'refused' END".to_owned()),
        ("template", "CASE WHEN d.datistemplate THEN 'yes' END".to_owned()),
        (
            "tablespace",
            "SELECT t.spcname FROM pg_tablespace t WHERE t.oid=d.dattablespace \
               AND t.spcname<>'pg_default'"
                .to_owned(),
        ),
        ("comment", hashed("shobj_description(d.oid,'pg_database')")),
        (
            "security label",
            format!(
                "SELECT {} FROM pg_shseclabel l WHERE l.objoid=d.oid \
                   AND l.classoid='pg_database'::regclass",
                hashed("string_agg(l.provider || ' ' || l.label, ',' ORDER BY l.provider)")
            ),
        ),
    ];
    let from = "pg_database d {items} WHERE d.datname=current_database()";
    part("'database'", "''", "''", &items, from)
}

fn settings() -> String {
    let items = [("", hashed("c.line"))];
    let from = "pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) c(line) {items} \
       WHERE s.setdatabase=(SELECT oid FROM pg_database WHERE datname=current_database())";
    part(
        "'setting'",
        "CASE s.setrole WHEN 0 THEN 'the database' ELSE 'role ' || \
           quote_ident(pg_get_userbyid(s.setrole)) || ' in the database' END",
        "split_part(c.line, '=', 1)",
        &items,
        from,
    )
}

fn schemas() -> String {
    let items = [
        ("", "''".to_owned()),
        ("owner", role("n.nspowner")),
        ("privileges", privileges("n.nspacl", "'n'", "n.nspowner")),
    ];
    let from = "ns n {items} WHERE {own}".replace("{own}", &own("pg_namespace", "n.oid"));
    part("'schema'", "''", "quote_ident(n.name)", &items, &from)
}

fn extensions() -> String {
    let items = [
        ("", "''".to_owned()),
        ("version", "e.extversion".to_owned()),
        ("schema", "n.nspname".to_owned()),
    ];
    let from = "pg_extension e JOIN pg_namespace n ON n.oid=e.extnamespace {items} \
       WHERE e.extname<>'plpgsql'";
    part("'extension'", "''", "quote_ident(e.extname)", &items, from)
}

fn event_triggers() -> String {
    let items = [
        ("", "''".to_owned()),
        ("owner", role("t.evtowner")),
        (
            "definition",
            "concat_ws(' ', t.evtevent, array_to_string(t.evttags, ', '), t.evtfoid::regproc)"
                .to_owned(),
        ),
        (
            "state",
            "CASE t.evtenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'for replicas' \
               WHEN 'A' THEN 'always' END"
                .to_owned(),
        ),
    ];
    let from = "pg_event_trigger t {items} WHERE {own}"
        .replace("{own}", &own("pg_event_trigger", "t.oid"));
    part("'event trigger'", "''", "quote_ident(t.evtname)", &items, &from)
}

fn wrappers() -> String {
    let items = [
        ("", "''".to_owned()),
        ("owner", role("w.fdwowner")),
        ("privileges", privileges("w.fdwacl", "'F'", "w.fdwowner")),
        ("code", "concat_ws(' ', w.fdwhandler::regproc, w.fdwvalidator::regproc)".to_owned()),
        ("options", hashed("array_to_string(w.fdwoptions, ',')")),
    ];
    let from = "pg_foreign_data_wrapper w {items} WHERE {own}"
        .replace("{own}", &own("pg_foreign_data_wrapper", "w.oid"));
    part("'foreign-data wrapper'", "''", "quote_ident(w.fdwname)", &items, &from)
}

fn servers() -> String {
    let items = [
        ("", "''".to_owned()),
        ("owner", role("s.srvowner")),
        ("privileges", privileges("s.srvacl", "'S'", "s.srvowner")),
        (
            "definition",
            "concat_ws(' ', (SELECT w.fdwname FROM pg_foreign_data_wrapper w WHERE w.oid=s.srvfdw), \
               s.srvtype, s.srvversion)"
                .to_owned(),
        ),
        ("options", hashed("array_to_string(s.srvoptions, ',')")),
    ];
    let from = "pg_foreign_server s {items} WHERE {own}"
        .replace("{own}", &own("pg_foreign_server", "s.oid"));
    part("'server'", "''", "quote_ident(s.srvname)", &items, &from)
}

fn user_mappings() -> String {
    let items = [("", "''".to_owned()), ("options", hashed("array_to_string(m.umoptions, ',')"))];
    part(
        "'user mapping'",
        "''",
        "format('for %I on server %I', m.usename, m.srvname)",
        &items,
        "pg_user_mappings m {items}",
    )
}

// Ours comes and goes with the migration.
fn publications() -> String {
    let items = [
        ("", "''".to_owned()),
        ("owner", role("p.pubowner")),
        (
            "definition",
            "concat_ws(' ', CASE WHEN p.puballtables THEN 'all tables' END, \
               CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END, \
               CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END, \
               CASE WHEN (to_jsonb(p)->>'pubviaroot')::bool THEN 'via root' END)"
                .to_owned(),
        ),
        (
            "tables",
            "SELECT string_agg(format('%I.%I', n.nspname, c.relname), ', ' \
               ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\") \
               FROM pg_publication_rel r JOIN pg_class c ON c.oid=r.prrelid \
               JOIN pg_namespace n ON n.oid=c.relnamespace WHERE r.prpubid=p.oid"
                .to_owned(),
        ),
    ];
    let from = "pg_publication p {items} WHERE left(p.pubname::text,11)<>'changeover_'";
    part("'publication'", "''", "quote_ident(p.pubname)", &items, from)
}

fn subscriptions() -> String {
    let items = [
        ("", "''".to_owned()),
        ("state", "CASE WHEN NOT s.subenabled THEN 'disabled' END".to_owned()),
        ("publications", "array_to_string(s.subpublications, ', ')".to_owned()),
    ];
    // The row as a whole may be read by superusers only.
    let from = "(SELECT subname, subenabled, subpublications FROM pg_subscription WHERE subdbid=\
         (SELECT oid FROM pg_database WHERE datname=current_database())) s {items}";
    part("'subscription'", "''", "quote_ident(s.subname)", &items, from)
}

fn default_privileges() -> String {
    let kind = "CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' \
       WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' \
       ELSE 'large objects' END";
    // Within a schema they are added to the global ones, which begin with the built-in default.
    let items = [(
        "",
        format!(
            "coalesce({}, 'none')",
            privileges(
                "d.defaclacl",
                "CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END::\"char\"",
                "d.defaclrole"
            )
        ),
    )];
    part(
        "'default privileges'",
        "''",
        &format!(
            "format('of %I%s for %s', pg_get_userbyid(d.defaclrole), \
               coalesce(' in schema ' || quote_ident(n.nspname), ''), {kind})"
        ),
        &items,
        "pg_default_acl d LEFT JOIN pg_namespace n ON n.oid=d.defaclnamespace {items} \
           WHERE n.oid IS NULL OR n.oid IN (SELECT oid FROM ns)",
    )
}

/// Grants on PostgreSQL's own and on extensions' functions and relations, where they are not what
/// they were born with.
fn system_privileges() -> String {
    let one = |class: &str, catalog: &str, prefix: &str, owner: &str, name: &str, kind: &str| {
        let (oid, acl, namespace) = match prefix {
            "pro" => ("o.oid", "o.proacl", "o.pronamespace"),
            _ => ("o.oid", "o.relacl", "o.relnamespace"),
        };
        let from = format!(
            "(SELECT * FROM {catalog} WHERE {prefix}acl IS NOT NULL) o \
             JOIN pg_namespace n ON n.oid={namespace} {{items}} \
             WHERE ((n.nspname='pg_catalog' OR n.nspname='information_schema') OR NOT {not_member}) \
               AND {acl} IS DISTINCT FROM (SELECT i.initprivs FROM pg_init_privs i \
                 WHERE i.classoid='{catalog}'::regclass AND i.objoid={oid} AND i.objsubid=0)",
            not_member = own(catalog, oid),
        );
        let items = [("privileges", privileges(acl, kind, owner))];
        part(class, "''", name, &items, &from)
    };
    let functions = one(
        "'function'",
        "pg_proc",
        "pro",
        "o.proowner",
        "format('%I.%I(%s)', n.nspname, o.proname, pg_get_function_identity_arguments(o.oid))",
        "'f'",
    );
    let relations = one(
        "CASE o.relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'table' END",
        "pg_class",
        "rel",
        "o.relowner",
        "format('%I.%I', n.nspname, o.relname)",
        "CASE o.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\"",
    );
    format!("{functions} UNION ALL {relations}")
}

/// Whether what is said of an object (`x.classoid`, `x.objoid`) is about one that travels.
const TRAVELS: &str = "(x.objoid>=16384 OR x.classoid='pg_namespace'::regclass) \
     AND x.classoid<>'pg_extension'::regclass \
     AND NOT EXISTS (SELECT FROM member m WHERE m.classid=x.classoid AND m.objid=x.objoid) \
     AND CASE WHEN x.classoid='pg_class'::regclass THEN x.objoid IN (SELECT oid FROM rel) \
       WHEN x.classoid='pg_namespace'::regclass THEN x.objoid IN (SELECT oid FROM ns) \
       WHEN x.classoid='pg_constraint'::regclass THEN EXISTS (SELECT FROM pg_constraint k \
         WHERE k.oid=x.objoid AND (k.conrelid=0 OR k.conrelid IN (SELECT oid FROM rel))) \
       WHEN x.classoid='pg_trigger'::regclass THEN EXISTS (SELECT FROM pg_trigger g \
         WHERE g.oid=x.objoid AND g.tgrelid IN (SELECT oid FROM rel)) \
       WHEN x.classoid='pg_policy'::regclass THEN EXISTS (SELECT FROM pg_policy p \
         WHERE p.oid=x.objoid AND p.polrelid IN (SELECT oid FROM rel)) \
       WHEN x.classoid='pg_rewrite'::regclass THEN EXISTS (SELECT FROM pg_rewrite u \
         WHERE u.oid=x.objoid AND u.ev_class IN (SELECT oid FROM rel)) \
       ELSE i.schema IS NULL OR i.schema IN (SELECT quote_ident(name) FROM ns) END";

fn comments() -> String {
    let items = [("", hashed("x.description"))];
    let from = format!(
        "(SELECT * FROM pg_description WHERE objoid>=16384 \
           OR classoid='pg_namespace'::regclass) x \
         CROSS JOIN LATERAL pg_identify_object(x.classoid,x.objoid,x.objsubid) i {{items}} \
         WHERE i.identity IS NOT NULL AND {TRAVELS}"
    );
    part("'comment'", "concat(i.type, ' ', i.identity)", "''", &items, &from)
}

fn labels() -> String {
    let items = [("", hashed("x.label"))];
    let from = format!(
        "pg_seclabel x CROSS JOIN LATERAL pg_identify_object(x.classoid,x.objoid,x.objsubid) i \
         {{items}} WHERE i.identity IS NOT NULL AND {TRAVELS}"
    );
    part("'security label'", "concat(i.type, ' ', i.identity)", "x.provider", &items, &from)
}

fn large_objects() -> String {
    let items = [("number", "nullif(l.n,0)".to_owned())];
    let from = "(SELECT count(*) AS n FROM pg_largeobject_metadata) l {items}";
    part("'large objects'", "''", "''", &items, from)
}
