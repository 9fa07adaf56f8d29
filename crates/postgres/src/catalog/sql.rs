//! The one query that reads the moved objects. It answers with JSON, so that a thousand tables
//! are one round trip and one row.

use super::Selection;

/// The moved tables and everything about them, as one JSON array.
pub(super) fn tables(selection: &Selection) -> String {
    format!(
        "WITH {moved}, \
         cols AS (SELECT a.attrelid, json_agg(json_build_object(\
            'name', a.attname, 'number', a.attnum, \
            'type', pg_catalog.format_type(a.atttypid, a.atttypmod), \
            'type_oid', a.atttypid::bigint, 'not_null', a.attnotnull, \
            'generated', a.attgenerated<>'', \
            'identity', nullif(a.attidentity::text,'')) ORDER BY a.attnum) AS list \
          FROM pg_catalog.pg_attribute a JOIN moved m ON m.oid=a.attrelid \
          WHERE a.attnum>0 AND NOT a.attisdropped GROUP BY 1), \
         keys AS (SELECT i.indrelid, json_agg(json_build_object(\
            'name', ic.relname, 'primary', i.indisprimary, 'partial', i.indpred IS NOT NULL, \
            'immediate', i.indimmediate, 'valid', i.indisvalid, 'identity', i.indisreplident, \
            'columns', (SELECT coalesce(json_agg(coalesce(a.attname,'') ORDER BY k.n), '[]') \
               FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum,n) \
               LEFT JOIN pg_catalog.pg_attribute a \
                 ON a.attrelid=i.indrelid AND a.attnum=k.attnum AND k.attnum>0 \
               WHERE k.n<=i.indnkeyatts)) \
            ORDER BY i.indisprimary DESC, ic.relname) AS list \
          FROM pg_catalog.pg_index i JOIN moved m ON m.oid=i.indrelid \
          JOIN pg_catalog.pg_class ic ON ic.oid=i.indexrelid \
          WHERE i.indisunique GROUP BY 1), \
         parents AS (SELECT h.inhrelid, json_agg(json_build_object(\
            'schema', n.nspname, 'name', p.relname) ORDER BY h.inhseqno) AS list \
          FROM pg_catalog.pg_inherits h JOIN moved m ON m.oid=h.inhrelid \
          JOIN pg_catalog.pg_class c ON c.oid=m.oid AND NOT c.relispartition \
          JOIN pg_catalog.pg_class p ON p.oid=h.inhparent \
          JOIN pg_catalog.pg_namespace n ON n.oid=p.relnamespace GROUP BY 1), \
         firing AS (SELECT t.tgrelid, json_agg(t.tgname ORDER BY t.tgname) AS list \
          FROM pg_catalog.pg_trigger t JOIN moved m ON m.oid=t.tgrelid \
          WHERE NOT t.tgisinternal AND t.tgenabled IN ('R','A') \
            AND t.tgname NOT LIKE '!changeover\\_%' GROUP BY 1), \
         leaving AS (SELECT k.conrelid, json_agg(json_build_object(\
            'name', k.conname, \
            'from', json_build_object('schema', m.schema, 'name', m.name), \
            'to', json_build_object('schema', n.nspname, 'name', c.relname)) \
            ORDER BY k.conname) AS list \
          FROM pg_catalog.pg_constraint k JOIN moved m ON m.oid=k.conrelid \
          JOIN pg_catalog.pg_class c ON c.oid=k.confrelid \
          JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace \
          WHERE k.contype='f' AND NOT EXISTS (SELECT FROM moved o WHERE o.oid=k.confrelid) \
          GROUP BY 1) \
         SELECT coalesce(json_agg(json_build_object(\
           'name', json_build_object('schema', m.schema, 'name', m.name), \
           'oid', m.oid::bigint, \
           'kind', CASE WHEN m.kind='p' THEN CASE WHEN c.relispartition THEN 'branch' \
              ELSE 'root' END ELSE CASE WHEN c.relispartition THEN 'leaf' ELSE 'plain' END END, \
           'root', CASE WHEN c.relispartition THEN \
              json_build_object('schema', rn.nspname, 'name', r.relname) END, \
           'inherits', coalesce(parents.list, '[]'), \
           'columns', coalesce(cols.list, '[]'), 'keys', coalesce(keys.list, '[]'), \
           'identity_setting', c.relreplident::text, 'relfilenode', c.relfilenode::bigint, \
           'persistence', c.relpersistence::text, \
           'rows', CASE WHEN c.reltuples<0 OR (c.reltuples=0 AND c.relpages=0) THEN NULL \
              ELSE c.reltuples::bigint END, \
           'bytes', CASE WHEN m.kind='r' THEN coalesce(pg_catalog.pg_table_size(c.oid),0) \
              ELSE 0 END, \
           'row_security', c.relrowsecurity, 'toast', c.reltoastrelid<>0, \
           'owner', pg_catalog.pg_get_userbyid(c.relowner), \
           'owned', pg_catalog.pg_has_role(c.relowner, 'USAGE'), \
           'readable', pg_catalog.has_table_privilege(c.oid, 'SELECT'), \
           'replica_triggers', coalesce(firing.list, '[]'), \
           'foreign', coalesce(leaving.list, '[]')) \
           ORDER BY m.schema, m.name), '[]')::text \
         FROM moved m JOIN pg_catalog.pg_class c ON c.oid=m.oid \
         JOIN pg_catalog.pg_class r ON r.oid=m.root \
         JOIN pg_catalog.pg_namespace rn ON rn.oid=r.relnamespace \
         LEFT JOIN cols ON cols.attrelid=m.oid LEFT JOIN keys ON keys.indrelid=m.oid \
         LEFT JOIN parents ON parents.inhrelid=m.oid LEFT JOIN firing ON firing.tgrelid=m.oid \
         LEFT JOIN leaving ON leaving.conrelid=m.oid",
        moved = selection.moved_cte()
    )
}

/// Sequences that move: those owned by a moved table's column, and unowned ones of moved schemas.
pub(super) fn sequences(selection: &Selection) -> String {
    format!(
        "WITH {moved} \
         SELECT coalesce(json_agg(json_build_object(\
           'name', json_build_object('schema', n.nspname, 'name', c.relname), \
           'owned_by', CASE WHEN o.refobjid IS NOT NULL THEN json_build_object(\
              'table', json_build_object('schema', own.schema, 'name', own.name), \
              'column', a.attname) END, \
           'identity', coalesce(o.deptype='i', false), \
           'cache', s.seqcache, 'min', s.seqmin, 'max', s.seqmax, 'start', s.seqstart, \
           'increment', s.seqincrement, 'cycle', s.seqcycle, \
           'type', pg_catalog.format_type(s.seqtypid, NULL), \
           'last', CASE WHEN pg_catalog.has_sequence_privilege(c.oid, 'USAGE, SELECT') \
              THEN pg_catalog.pg_sequence_last_value(c.oid) END, \
           'readable', pg_catalog.has_sequence_privilege(c.oid, 'USAGE, SELECT'), \
           'owned', pg_catalog.pg_has_role(c.relowner, 'USAGE')) \
           ORDER BY n.nspname, c.relname), '[]')::text \
         FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid=s.seqrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace \
         LEFT JOIN pg_catalog.pg_depend o ON o.classid=1259 AND o.objid=c.oid \
           AND o.refclassid=1259 AND o.refobjsubid>0 AND o.deptype IN ('a','i') \
         LEFT JOIN moved own ON own.oid=o.refobjid \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid=o.refobjid AND a.attnum=o.refobjsubid \
         WHERE c.relpersistence<>'t' AND (own.oid IS NOT NULL OR (o.refobjid IS NULL AND {cond})) \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
             WHERE d.classid=1259 AND d.objid=c.oid AND d.deptype='e')",
        moved = selection.moved_cte(),
        cond = selection.condition("n.nspname::text", "c.relname::text")
    )
}

/// Everything else that travels with the moved tables or stands in their way.
pub(super) fn surroundings(selection: &Selection, major: u32) -> String {
    // Multiranges came with 14.
    let multirange = if major >= 14 {
        "UNION ALL SELECT g.rngtypid FROM pg_catalog.pg_range g WHERE g.rngmultitypid=t.oid "
    } else {
        ""
    };
    format!(
        "WITH RECURSIVE {moved}, {left_out}, \
         used(root, typ) AS (\
           SELECT DISTINCT a.atttypid, a.atttypid FROM pg_catalog.pg_attribute a \
             JOIN moved m ON m.oid=a.attrelid WHERE a.attnum>0 AND NOT a.attisdropped \
           UNION SELECT u.root, x.typ FROM used u JOIN pg_catalog.pg_type t ON t.oid=u.typ \
             CROSS JOIN LATERAL (\
               SELECT t.typbasetype WHERE t.typtype='d' \
               UNION ALL SELECT t.typelem WHERE t.typelem<>0 AND t.typlen=-1 \
               UNION ALL SELECT ca.atttypid FROM pg_catalog.pg_attribute ca \
                 WHERE t.typtype='c' AND ca.attrelid=t.typrelid AND ca.attnum>0 \
                   AND NOT ca.attisdropped \
               UNION ALL SELECT g.rngsubtype FROM pg_catalog.pg_range g WHERE g.rngtypid=t.oid \
               {multirange}) x(typ)), \
         types AS (SELECT u.root, \
           bool_or(pg_catalog.left(t.typname::text,3)='reg' AND t.typnamespace=11 \
             AND t.typtype='b') AS alias, \
           bool_or(t.typsend=0 OR t.typreceive=0) AS mute, \
           bool_or(t.oid>=16384 AND (t.typtype='c' OR (t.typelem<>0 AND t.typlen=-1))) AS nested, \
           bool_or(t.oid>=16384 AND t.typtype='b' AND t.typelem=0) AS foreign_base \
           FROM used u JOIN pg_catalog.pg_type t ON t.oid=u.typ GROUP BY 1) \
         SELECT json_build_object(\
          'types', (SELECT coalesce(json_object_agg(root::bigint::text, json_build_object(\
              'alias', alias, 'mute', mute, 'nested', nested, 'foreign_base', foreign_base)), '{{}}') \
            FROM types), \
          'extensions', (SELECT coalesce(json_agg(json_build_object('name', e.extname, \
              'version', e.extversion, 'schema', n.nspname) ORDER BY e.extname), '[]') \
            FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid=e.extnamespace \
            WHERE e.extname<>'plpgsql'), \
          'views', (SELECT coalesce(json_agg(json_build_object('name', \
              json_build_object('schema', n.nspname, 'name', c.relname), \
              'materialized', c.relkind='m', 'populated', c.relispopulated) ORDER BY c.oid), '[]') \
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace \
            WHERE c.relkind IN ('v','m') AND {views} AND NOT EXISTS (\
              SELECT FROM pg_catalog.pg_depend d WHERE d.classid=1259 AND d.objid=c.oid \
                AND d.deptype='e')), \
          'foreign_tables', (SELECT coalesce(json_agg(json_build_object('schema', n.nspname, \
              'name', c.relname) ORDER BY n.nspname, c.relname), '[]') \
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace \
            WHERE c.relkind='f' AND {views}), \
          'not_moved', (SELECT coalesce(json_agg(json_build_object('schema', n.nspname, \
              'name', c.relname) ORDER BY n.nspname, c.relname), '[]') \
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace \
            WHERE c.relkind IN ('r','p') AND c.relpersistence<>'t' AND n.nspname NOT IN \
              ('information_schema','changeover') AND left(n.nspname::text,3)<>'pg_' \
              AND NOT EXISTS (SELECT FROM moved m WHERE m.oid=c.oid) \
              AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid=1259 \
                AND d.objid=c.oid AND d.deptype='e')), \
          'left_out', (SELECT coalesce(json_agg(json_build_object('schema', l.schema, \
              'name', l.name) ORDER BY l.schema, l.name), '[]') FROM left_out l), \
          'schemas', (SELECT coalesce(json_agg(n.nspname ORDER BY n.nspname), '[]') \
            FROM pg_catalog.pg_namespace n WHERE n.nspname NOT IN \
              ('information_schema','changeover') AND left(n.nspname::text,3)<>'pg_'), \
          'partitions_named', (SELECT coalesce(json_agg(json_build_object('schema', n.nspname, \
              'name', c.relname) ORDER BY n.nspname, c.relname), '[]') \
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace \
            WHERE c.relispartition AND c.relkind IN ('r','p') AND {named}), \
          'event_triggers', (SELECT coalesce(json_agg(json_build_object('name', t.evtname, \
              'fires', t.evtenabled IN ('O','A') AND t.evtevent<>'login', \
              'statement', format('CREATE EVENT TRIGGER %I ON %s%s EXECUTE FUNCTION %s();', \
                t.evtname, t.evtevent, ' WHEN TAG IN (' || (SELECT string_agg(quote_literal(x), ', ') \
                  FROM unnest(t.evttags) x) || ')', t.evtfoid::pg_catalog.regproc) || \
                CASE t.evtenabled WHEN 'R' THEN format(' ALTER EVENT TRIGGER %I ENABLE REPLICA;', \
                  t.evtname) WHEN 'A' THEN format(' ALTER EVENT TRIGGER %I ENABLE ALWAYS;', \
                  t.evtname) ELSE '' END) ORDER BY t.evtname), '[]') \
            FROM pg_catalog.pg_event_trigger t WHERE t.evtenabled<>'D' AND NOT EXISTS (\
              SELECT FROM pg_catalog.pg_depend d WHERE d.classid=3466 AND d.objid=t.oid \
                AND d.deptype='e')), \
          'large_objects', (SELECT pg_catalog.count(*) \
            FROM pg_catalog.pg_largeobject_metadata), \
          'publications', (SELECT coalesce(json_agg(pubname ORDER BY pubname), '[]') \
            FROM pg_catalog.pg_publication)\
         )::text",
        moved = selection.moved_cte(),
        left_out = selection.left_out_cte(),
        views = selection.condition("n.nspname::text", "c.relname::text"),
        named = named_tables(selection),
    )
}

/// Relations that the lists name one by one.
fn named_tables(selection: &Selection) -> String {
    let named: Vec<String> = selection
        .include
        .iter()
        .chain(&selection.exclude)
        .filter_map(|selector| match selector {
            super::Selector::Table(t) => Some(format!(
                "(n.nspname={} AND c.relname={})",
                changeover_types::quote_literal(&t.schema),
                changeover_types::quote_literal(&t.name)
            )),
            super::Selector::Schema(_) => None,
        })
        .collect();
    if named.is_empty() { "false".to_owned() } else { format!("({})", named.join(" OR ")) }
}
