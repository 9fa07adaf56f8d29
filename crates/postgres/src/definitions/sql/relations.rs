//! Tables, views, sequences, indexes, and what hangs on them.

use super::{hashed, own, part, privileges, role};

pub(super) fn parts() -> Vec<String> {
    vec![
        relations(),
        indexes(),
        columns(),
        constraints(),
        triggers(),
        rules(),
        policies(),
        statistics(),
    ]
}

fn relations() -> String {
    let kind = "CASE r.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\"";
    let parents = "(SELECT string_agg(format('%I.%I', n.nspname, p.relname), ', ' \
       ORDER BY h.inhseqno) FROM pg_inherits h JOIN pg_class p ON p.oid=h.inhparent \
       JOIN pg_namespace n ON n.oid=p.relnamespace WHERE h.inhrelid=r.oid)";
    let items = [
        ("", "CASE r.relkind WHEN 'p' THEN 'partitioned' ELSE '' END".to_owned()),
        ("owner", role("r.relowner")),
        ("privileges", privileges("r.relacl", kind, "r.relowner")),
        ("storage parameters", "array_to_string(r.reloptions, ', ')".to_owned()),
        (
            "storage parameters of its large values",
            "(SELECT array_to_string(t.reloptions, ', ') FROM pg_class t \
               WHERE t.oid=r.reltoastrelid)"
                .to_owned(),
        ),
        (
            "access method",
            "(SELECT a.amname FROM pg_am a WHERE a.oid=r.relam AND a.amname<>'heap')".to_owned(),
        ),
        ("tablespace", TABLESPACE.to_owned()),
        ("persistence", "CASE r.relpersistence WHEN 'u' THEN 'unlogged' END".to_owned()),
        (
            "row security",
            "CASE WHEN r.relforcerowsecurity AND r.relrowsecurity THEN 'forced' \
               WHEN r.relrowsecurity THEN 'on' WHEN r.relforcerowsecurity THEN 'forced, off' END"
                .to_owned(),
        ),
        (
            "replica identity",
            "CASE WHEN r.relkind IN ('r','p') THEN CASE r.relreplident WHEN 'n' THEN 'nothing' \
               WHEN 'f' THEN 'full' WHEN 'i' THEN 'an index' END END"
                .to_owned(),
        ),
        (
            "partition",
            format!(
                "CASE WHEN r.relispartition THEN concat('of ', {parents}, ' ', \
                   pg_get_expr(r.relpartbound, r.oid)) END"
            ),
        ),
        ("partition key", "CASE WHEN r.relkind='p' THEN pg_get_partkeydef(r.oid) END".to_owned()),
        ("parents", format!("CASE WHEN NOT r.relispartition THEN {parents} END")),
        ("type", "CASE WHEN r.reloftype<>0 THEN format_type(r.reloftype,NULL) END".to_owned()),
        (
            "definition",
            format!(
                "CASE WHEN r.relkind IN ('v','m') THEN {} END",
                hashed("pg_get_viewdef(r.oid)")
            ),
        ),
        (
            "rows",
            "CASE WHEN r.relkind='m' THEN CASE WHEN r.relispopulated THEN 'there' \
               ELSE 'never computed' END END"
                .to_owned(),
        ),
        (
            "server",
            "CASE WHEN r.relkind='f' THEN (SELECT s.srvname FROM pg_foreign_table t \
               JOIN pg_foreign_server s ON s.oid=t.ftserver WHERE t.ftrelid=r.oid) END"
                .to_owned(),
        ),
        (
            "options",
            format!(
                "CASE WHEN r.relkind='f' THEN (SELECT {} FROM pg_foreign_table t \
                   WHERE t.ftrelid=r.oid) END",
                hashed("array_to_string(t.ftoptions, ',')")
            ),
        ),
        ("numbers", format!("CASE WHEN r.relkind='S' THEN {SEQUENCE} END")),
    ];
    part(
        "r.class",
        "''",
        "r.id",
        &items,
        "rel r {items} WHERE r.relkind IN ('r','p','v','m','S','f')",
    )
}

const TABLESPACE: &str = "(SELECT t.spcname FROM pg_tablespace t WHERE t.oid=r.reltablespace)";

const SEQUENCE: &str = "(SELECT concat_ws(' ', format_type(s.seqtypid,NULL), 'from', s.seqmin, 'to', \
     s.seqmax, 'start', s.seqstart, 'by', s.seqincrement, 'cache', s.seqcache, \
     CASE WHEN s.seqcycle THEN 'cycle' END, (SELECT CASE d.deptype WHEN 'i' THEN 'identity of ' \
       ELSE 'owned by ' END || format('%I.%I.%I', n.nspname, t.relname, a.attname) \
     FROM pg_depend d JOIN pg_class t ON t.oid=d.refobjid \
     JOIN pg_namespace n ON n.oid=t.relnamespace \
     JOIN pg_attribute a ON a.attrelid=d.refobjid AND a.attnum=d.refobjsubid \
     WHERE d.classid='pg_class'::regclass AND d.objid=s.seqrelid \
       AND d.refclassid='pg_class'::regclass AND d.deptype IN ('a','i') LIMIT 1)) \
   FROM pg_sequence s WHERE s.seqrelid=r.oid)";

fn indexes() -> String {
    let items = [
        (
            "",
            "CASE WHEN i.indisprimary THEN 'primary key' WHEN i.indisreplident \
               THEN 'replica identity' WHEN i.indisunique THEN 'unique' ELSE '' END"
                .to_owned(),
        ),
        ("definition", hashed("pg_get_indexdef(i.indexrelid)")),
        ("state", "CASE WHEN NOT i.indisvalid THEN 'not valid' END".to_owned()),
        ("clustering", "CASE WHEN i.indisclustered THEN 'chosen' END".to_owned()),
        ("tablespace", TABLESPACE.to_owned()),
        (
            "statistics targets",
            "(SELECT string_agg(a.attnum || ': ' || a.attstattarget, ', ' ORDER BY a.attnum) \
               FROM pg_attribute a WHERE a.attrelid=r.oid AND a.attstattarget>=0)"
                .to_owned(),
        ),
    ];
    let from = "rel r JOIN pg_index i ON i.indexrelid=r.oid JOIN rel t ON t.oid=i.indrelid {items}";
    part("r.class", "t.id", "r.id", &items, from)
}

fn columns() -> String {
    let items = [
        ("", "''".to_owned()),
        (
            "type",
            "concat_ws(' collation ', format_type(a.atttypid, a.atttypmod), \
               CASE WHEN a.attcollation<>t.typcollation THEN a.attcollation::regcollation::text END)"
                .to_owned(),
        ),
        ("number", "CASE WHEN r.relkind IN ('r','p','f') THEN a.attnum END".to_owned()),
        ("nulls", "CASE WHEN a.attnotnull THEN 'refused' END".to_owned()),
        (
            "default",
            format!(
                "CASE WHEN a.attgenerated='' THEN {} END",
                hashed("pg_get_expr(d.adbin, d.adrelid)")
            ),
        ),
        (
            "generation",
            format!(
                "CASE WHEN a.attgenerated<>'' THEN concat(a.attgenerated, ' ', {}) END",
                hashed("pg_get_expr(d.adbin, d.adrelid)")
            ),
        ),
        ("identity", "CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END".into()),
        ("storage", "CASE WHEN a.attstorage<>t.typstorage THEN a.attstorage END".to_owned()),
        (
            "compression",
            "CASE WHEN a.attlen=-1 THEN nullif(to_jsonb(a)->>'attcompression','') END".to_owned(),
        ),
        ("statistics target", "CASE WHEN a.attstattarget>=0 THEN a.attstattarget END".to_owned()),
        ("options", "array_to_string(a.attoptions, ', ')".to_owned()),
        ("foreign options", hashed("array_to_string(a.attfdwoptions, ',')")),
        ("privileges", privileges("a.attacl", "'c'", "r.relowner")),
    ];
    let from = "rel r JOIN pg_attribute a ON a.attrelid=r.oid AND a.attnum>0 \
         AND NOT a.attisdropped JOIN pg_type t ON t.oid=a.atttypid \
       LEFT JOIN pg_attrdef d ON d.adrelid=a.attrelid AND d.adnum=a.attnum {items} \
       WHERE r.relkind IN ('r','p','v','m','f','c')";
    part("'column'", "r.id", "quote_ident(a.attname)", &items, from)
}

// Constraints of partitions that were cloned from their parent carry names of the server's choice.
// NOT NULL is a fact of the column, constraint triggers are triggers.
fn constraints() -> String {
    let items = [
        ("", "''".to_owned()),
        ("definition", hashed("replace(pg_get_constraintdef(k.oid), ' NOT VALID', '')")),
        ("state", "CASE WHEN NOT k.convalidated THEN 'not valid' END".to_owned()),
    ];
    let from = "pg_constraint k LEFT JOIN rel r ON r.oid=k.conrelid \
       LEFT JOIN pg_type t ON t.oid=k.contypid AND k.contypid<>0 \
         AND t.typnamespace IN (SELECT oid FROM ns) {items} \
       WHERE k.contype IN ('c','f','p','u','x') AND k.conparentid=0 \
         AND (r.oid IS NOT NULL OR t.oid IS NOT NULL) AND (t.oid IS NULL OR {own})";
    let from = from.replace("{own}", &own("pg_type", "t.oid"));
    part(
        "'constraint'",
        "coalesce(r.id, format_type(t.oid,NULL))",
        "quote_ident(k.conname)",
        &items,
        &from,
    )
}

// A trigger that was cloned to a partition is its parent's, but can be switched off by itself.
fn triggers() -> String {
    let cloned = "coalesce(to_jsonb(g)->>'tgparentid','0')<>'0'";
    let items = [
        ("", format!("CASE WHEN NOT {cloned} THEN '' END")),
        (
            "definition",
            format!("CASE WHEN NOT {cloned} THEN {} END", hashed("pg_get_triggerdef(g.oid)")),
        ),
        (
            "state",
            "CASE g.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'for replicas' \
               WHEN 'A' THEN 'always' END"
                .to_owned(),
        ),
    ];
    let from = "rel r JOIN pg_trigger g ON g.tgrelid=r.oid AND NOT g.tgisinternal \
       AND left(g.tgname::text,12)<>'!changeover_' {items}";
    part("'trigger'", "r.id", "quote_ident(g.tgname)", &items, from)
}

fn rules() -> String {
    let items = [
        ("", "''".to_owned()),
        ("definition", hashed("pg_get_ruledef(u.oid)")),
        (
            "state",
            "CASE u.ev_enabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'for replicas' \
               WHEN 'A' THEN 'always' END"
                .to_owned(),
        ),
    ];
    let from = "rel r JOIN pg_rewrite u ON u.ev_class=r.oid AND u.rulename<>'_RETURN' {items}";
    part("'rule'", "r.id", "quote_ident(u.rulename)", &items, from)
}

fn policies() -> String {
    let items = [
        (
            "",
            "concat(CASE WHEN p.polpermissive THEN 'permits ' ELSE 'restricts ' END, \
               CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' \
               WHEN 'd' THEN 'DELETE' ELSE 'ALL' END)"
                .to_owned(),
        ),
        (
            "roles",
            "(SELECT string_agg(CASE x WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x)::text END, ', ' \
               ORDER BY pg_get_userbyid(x)::text COLLATE \"C\") FROM unnest(p.polroles) x)"
                .to_owned(),
        ),
        ("USING", hashed("pg_get_expr(p.polqual, p.polrelid)")),
        ("WITH CHECK", hashed("pg_get_expr(p.polwithcheck, p.polrelid)")),
    ];
    let from = "rel r JOIN pg_policy p ON p.polrelid=r.oid {items}";
    part("'policy'", "r.id", "quote_ident(p.polname)", &items, from)
}

fn statistics() -> String {
    let items = [
        ("", "''".to_owned()),
        ("definition", hashed("pg_get_statisticsobjdef(s.oid)")),
        ("owner", role("s.stxowner")),
        (
            "target",
            "CASE WHEN (to_jsonb(s)->>'stxstattarget')::int>=0 THEN to_jsonb(s)->>'stxstattarget' END"
                .to_owned(),
        ),
    ];
    let from = "rel r JOIN pg_statistic_ext s ON s.stxrelid=r.oid \
       JOIN pg_namespace n ON n.oid=s.stxnamespace {items}";
    part("'statistics'", "r.id", "format('%I.%I', n.nspname, s.stxname)", &items, from)
}
