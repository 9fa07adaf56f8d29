//! Functions, types, operators and their kin.

use super::{hashed, own, part, privileges, role};

/// Objects behind this number are the user's.
const FIRST_USERS: &str = "16384";

pub(super) fn parts() -> Vec<String> {
    vec![
        functions(),
        types(),
        operators(),
        operator_classes(),
        operator_families(),
        casts(),
        conversions(),
        collations(),
        search_configurations(),
        search_dictionaries(),
        search_code("parser", "pg_ts_parser", "prs", SEARCH_PARSER),
        search_code("template", "pg_ts_template", "tmpl", SEARCH_TEMPLATE),
        languages(),
        access_methods(),
        transforms(),
    ]
}

fn functions() -> String {
    let plain = "p.prokind<>'a'";
    let standard = "to_jsonb(p)->>'prosqlbody' IS NOT NULL";
    let items = [
        ("", "''".to_owned()),
        ("owner", role("p.proowner")),
        ("privileges", privileges("p.proacl", "'f'", "p.proowner")),
        (
            "body",
            format!("CASE WHEN {plain} THEN {} END", hashed("concat_ws(' ', p.prosrc, p.probin)")),
        ),
        (
            "definition",
            format!(
                "CASE WHEN p.prosrc='' AND {plain} AND {standard} THEN {} END",
                hashed("pg_get_functiondef(p.oid)")
            ),
        ),
        ("arguments", hashed("pg_get_function_arguments(p.oid)")),
        ("result", "pg_get_function_result(p.oid)".to_owned()),
        (
            "attributes",
            "concat_ws(' ', (SELECT l.lanname FROM pg_language l WHERE l.oid=p.prolang), \
               CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' END, \
               CASE p.proparallel WHEN 's' THEN 'parallel safe' WHEN 'r' THEN 'parallel restricted' \
               END, CASE WHEN p.proisstrict THEN 'strict' END, \
               CASE WHEN p.proleakproof THEN 'leakproof' END, \
               CASE WHEN p.prosecdef THEN 'security definer' END, 'cost', p.procost, \
               'rows', p.prorows, CASE WHEN p.prosupport<>0 THEN 'support ' || p.prosupport END)"
                .to_owned(),
        ),
        ("settings", hashed("array_to_string(p.proconfig, ',')")),
        (
            "aggregation",
            format!(
                "(SELECT {} FROM pg_aggregate g WHERE g.aggfnoid=p.oid)",
                hashed(
                    "concat_ws(' ', g.aggkind, g.aggtransfn, g.aggfinalfn, g.aggcombinefn, \
                     g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn, \
                     g.aggmfinalfn, g.aggfinalextra, g.aggfinalmodify, g.aggsortop::regoperator, \
                     format_type(g.aggtranstype,NULL), g.agginitval, g.aggminitval)"
                )
            ),
        ),
    ];
    let from = "pg_proc p JOIN ns n ON n.oid=p.pronamespace {items} WHERE {own}"
        .replace("{own}", &own("pg_proc", "p.oid"));
    part(
        "CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END",
        "''",
        "format('%I.%I(%s)', n.name, p.proname, pg_get_function_identity_arguments(p.oid))",
        &items,
        &from,
    )
}

// A composite type's attributes are columns; a table's row type, an array and a multirange go with
// what they are made from.
fn types() -> String {
    let items = [
        (
            "",
            "CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'c' THEN 'composite' \
               WHEN 'r' THEN 'range' ELSE 'base' END"
                .to_owned(),
        ),
        ("owner", role("t.typowner")),
        ("privileges", privileges("t.typacl", "'T'", "t.typowner")),
        (
            "labels",
            "(SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum e \
               WHERE e.enumtypid=t.oid)"
                .to_owned(),
        ),
        (
            "base",
            "CASE WHEN t.typtype='d' THEN concat_ws(' ', format_type(t.typbasetype, t.typtypmod), \
               CASE WHEN t.typnotnull THEN 'NOT NULL' END, CASE WHEN t.typcollation<>0 \
               THEN t.typcollation::regcollation::text END) END"
                .to_owned(),
        ),
        ("default", hashed("t.typdefault")),
        (
            "range",
            "(SELECT concat_ws(' ', format_type(r.rngsubtype,NULL), CASE WHEN r.rngcollation<>0 \
               THEN r.rngcollation::regcollation END, nullif(r.rngcanonical::text,'-'), \
               nullif(r.rngsubdiff::text,'-'), (SELECT format('%I.%I', n.nspname, o.opcname) \
                 FROM pg_opclass o JOIN pg_namespace n ON n.oid=o.opcnamespace \
                 WHERE o.oid=r.rngsubopc)) FROM pg_range r WHERE r.rngtypid=t.oid)"
                .to_owned(),
        ),
        (
            "code",
            "CASE WHEN t.typtype='b' THEN concat_ws(' ', t.typinput, t.typoutput, t.typreceive, \
               t.typsend, t.typmodin, t.typmodout, t.typanalyze, t.typlen, t.typbyval, t.typalign, \
               t.typstorage, t.typcategory, t.typispreferred, t.typdelim) END"
                .to_owned(),
        ),
    ];
    let from = "pg_type t JOIN ns n ON n.oid=t.typnamespace {items} \
       WHERE t.typtype IN ('b','c','d','e','r') \
         AND (t.typrelid=0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid=t.typrelid \
           AND c.relkind='c')) \
         AND NOT EXISTS (SELECT FROM pg_type a WHERE a.typarray=t.oid) AND {own}"
        .replace("{own}", &own("pg_type", "t.oid"));
    part("'type'", "''", "format('%I.%I', n.name, t.typname)", &items, &from)
}

fn operators() -> String {
    let items = [
        ("", "''".to_owned()),
        ("owner", role("o.oprowner")),
        (
            "definition",
            "concat_ws(' ', o.oprcode, o.oprcom::regoperator, o.oprnegate::regoperator, o.oprrest, \
               o.oprjoin, o.oprcanhash, o.oprcanmerge)"
                .to_owned(),
        ),
    ];
    let from = "pg_operator o JOIN ns n ON n.oid=o.oprnamespace {items} WHERE {own}"
        .replace("{own}", &own("pg_operator", "o.oid"));
    part("'operator'", "''", "o.oid::regoperator", &items, &from)
}

fn operator_classes() -> String {
    let items = [
        ("", "''".to_owned()),
        ("owner", role("o.opcowner")),
        (
            "definition",
            "concat_ws(' ', format_type(o.opcintype,NULL), CASE WHEN o.opcdefault THEN 'default' END, \
               CASE WHEN o.opckeytype<>0 THEN format_type(o.opckeytype,NULL) END, \
               (SELECT format('%I.%I', fn.nspname, f.opfname) FROM pg_opfamily f \
                 JOIN pg_namespace fn ON fn.oid=f.opfnamespace WHERE f.oid=o.opcfamily))"
                .to_owned(),
        ),
    ];
    let from = "pg_opclass o JOIN ns n ON n.oid=o.opcnamespace JOIN pg_am a ON a.oid=o.opcmethod \
       {items} WHERE {own}"
        .replace("{own}", &own("pg_opclass", "o.oid"));
    part(
        "'operator class'",
        "''",
        "format('%I.%I USING %I', n.name, o.opcname, a.amname)",
        &items,
        &from,
    )
}

fn operator_families() -> String {
    let items = [
        ("", "''".to_owned()),
        ("owner", role("o.opfowner")),
        (
            "members",
            format!(
                "SELECT {} FROM (SELECT concat(m.amopstrategy, m.amoppurpose, m.amopopr::regoperator) \
                   AS line FROM pg_amop m WHERE m.amopfamily=o.oid UNION ALL \
                   SELECT concat(m.amprocnum, ' ', m.amproc, format_type(m.amproclefttype,NULL), \
                   format_type(m.amprocrighttype,NULL)) FROM pg_amproc m WHERE m.amprocfamily=o.oid) l",
                hashed("string_agg(l.line, ',' ORDER BY l.line COLLATE \"C\")")
            ),
        ),
    ];
    let from = "pg_opfamily o JOIN ns n ON n.oid=o.opfnamespace JOIN pg_am a ON a.oid=o.opfmethod \
       {items} WHERE {own}"
        .replace("{own}", &own("pg_opfamily", "o.oid"));
    part(
        "'operator family'",
        "''",
        "format('%I.%I USING %I', n.name, o.opfname, a.amname)",
        &items,
        &from,
    )
}

fn casts() -> String {
    let items = [
        ("", "''".to_owned()),
        (
            "definition",
            "concat_ws(' ', c.castcontext, c.castmethod, CASE WHEN c.castfunc<>0 \
               THEN c.castfunc::regprocedure::text END)"
                .to_owned(),
        ),
    ];
    let from =
        format!("pg_cast c {{items}} WHERE c.oid>={FIRST_USERS} AND {}", own("pg_cast", "c.oid"));
    part(
        "'cast'",
        "''",
        "format('%s AS %s', format_type(c.castsource,NULL), format_type(c.casttarget,NULL))",
        &items,
        &from,
    )
}

fn conversions() -> String {
    let items = [
        ("", "''".to_owned()),
        ("owner", role("c.conowner")),
        (
            "definition",
            "concat_ws(' ', pg_encoding_to_char(c.conforencoding), \
               pg_encoding_to_char(c.contoencoding), c.conproc, c.condefault)"
                .to_owned(),
        ),
    ];
    let from = "pg_conversion c JOIN ns n ON n.oid=c.connamespace {items} WHERE {own}"
        .replace("{own}", &own("pg_conversion", "c.oid"));
    part("'conversion'", "''", "format('%I.%I', n.name, c.conname)", &items, &from)
}

fn collations() -> String {
    let items = [
        ("", "''".to_owned()),
        ("owner", role("c.collowner")),
        (
            "definition",
            "concat_ws(' ', c.collprovider, c.collcollate, c.collctype, \
               coalesce(to_jsonb(c)->>'colliculocale', to_jsonb(c)->>'colllocale'), \
               to_jsonb(c)->>'collicurules', c.collisdeterministic)"
                .to_owned(),
        ),
    ];
    let from = "pg_collation c JOIN ns n ON n.oid=c.collnamespace {items} WHERE {own}"
        .replace("{own}", &own("pg_collation", "c.oid"));
    part("'collation'", "''", "format('%I.%I', n.name, c.collname)", &items, &from)
}

fn search_configurations() -> String {
    let items = [
        ("", "''".to_owned()),
        ("owner", role("c.cfgowner")),
        ("parser", PARSER_OF.to_owned()),
        (
            "mapping",
            format!(
                "SELECT {} FROM pg_ts_config_map m WHERE m.mapcfg=c.oid",
                hashed(
                    "string_agg(concat(m.maptokentype, ' ', m.mapdict::regdictionary), ',' \
                     ORDER BY m.maptokentype, m.mapseqno)"
                )
            ),
        ),
    ];
    let from = "pg_ts_config c JOIN ns n ON n.oid=c.cfgnamespace {items} WHERE {own}"
        .replace("{own}", &own("pg_ts_config", "c.oid"));
    part("'text search configuration'", "''", "format('%I.%I', n.name, c.cfgname)", &items, &from)
}

const PARSER_OF: &str = "SELECT format('%I.%I', pn.nspname, p.prsname) FROM pg_ts_parser p \
   JOIN pg_namespace pn ON pn.oid=p.prsnamespace WHERE p.oid=c.cfgparser";

fn search_dictionaries() -> String {
    let items = [
        ("", "''".to_owned()),
        ("owner", role("d.dictowner")),
        (
            "template",
            "SELECT format('%I.%I', tn.nspname, t.tmplname) FROM pg_ts_template t \
               JOIN pg_namespace tn ON tn.oid=t.tmplnamespace WHERE t.oid=d.dicttemplate"
                .to_owned(),
        ),
        ("options", hashed("d.dictinitoption")),
    ];
    let from = "pg_ts_dict d JOIN ns n ON n.oid=d.dictnamespace {items} WHERE {own}"
        .replace("{own}", &own("pg_ts_dict", "d.oid"));
    part("'text search dictionary'", "''", "format('%I.%I', n.name, d.dictname)", &items, &from)
}

const SEARCH_PARSER: &str =
    "concat_ws(' ', s.prsstart, s.prstoken, s.prsend, s.prsheadline, s.prslextype)";
const SEARCH_TEMPLATE: &str = "concat_ws(' ', s.tmplinit, s.tmpllexize)";

fn search_code(word: &str, catalog: &str, prefix: &str, code: &str) -> String {
    let items = [("", "''".to_owned()), ("code", code.to_owned())];
    let from = format!(
        "{catalog} s JOIN ns n ON n.oid=s.{prefix}namespace {{items}} WHERE {}",
        own(catalog, "s.oid")
    );
    part(
        &format!("'text search {word}'"),
        "''",
        &format!("format('%I.%I', n.name, s.{prefix}name)"),
        &items,
        &from,
    )
}

fn languages() -> String {
    let items = [
        ("", "''".to_owned()),
        ("owner", role("l.lanowner")),
        ("privileges", privileges("l.lanacl", "'l'", "l.lanowner")),
        (
            "code",
            "concat_ws(' ', l.lanpltrusted, l.lanplcallfoid::regproc, l.laninline::regproc, \
               l.lanvalidator::regproc)"
                .to_owned(),
        ),
    ];
    let from =
        format!("pg_language l {{items}} WHERE l.lanispl AND {}", own("pg_language", "l.oid"));
    part("'language'", "''", "quote_ident(l.lanname)", &items, &from)
}

fn access_methods() -> String {
    let items =
        [("", "''".to_owned()), ("code", "concat_ws(' ', a.amtype, a.amhandler)".to_owned())];
    let from =
        format!("pg_am a {{items}} WHERE a.oid>={FIRST_USERS} AND {}", own("pg_am", "a.oid"));
    part("'access method'", "''", "quote_ident(a.amname)", &items, &from)
}

fn transforms() -> String {
    let items = [
        ("", "''".to_owned()),
        ("code", "concat_ws(' ', t.trffromsql::regproc, t.trftosql::regproc)".to_owned()),
    ];
    let from = format!(
        "pg_transform t JOIN pg_language l ON l.oid=t.trflang {{items}} WHERE {}",
        own("pg_transform", "t.oid")
    );
    part(
        "'transform'",
        "''",
        "format('for %s language %I', format_type(t.trftype,NULL), l.lanname)",
        &items,
        &from,
    )
}
