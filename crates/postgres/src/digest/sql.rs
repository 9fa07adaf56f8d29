//! The one query behind a digest.

use changeover_types::quote_literal;

use super::PINNED;
use crate::catalog::Selection;

/// One JSON object: both hashes, whether the session prints expressions the pinned way, and, if
/// asked for, the facts.
pub(super) fn digest(selection: &Selection, with_facts: bool) -> String {
    let pinned: Vec<String> = PINNED
        .iter()
        .map(|(name, value)| {
            // `DateStyle` reads back with the order of input, which does not matter here.
            format!(
                "pg_catalog.split_part(pg_catalog.current_setting('{name}'),',',1)={}",
                quote_literal(value)
            )
        })
        .collect();
    let facts = if with_facts {
        "(SELECT json_agg(json_build_array(schema,name,kind,item,value)) FROM facts)"
    } else {
        "NULL"
    };
    format!(
        "WITH {moved}, facts(schema,name,kind,item,value) AS MATERIALIZED ({facts_sql}), \
         lines AS (SELECT kind='storage' AS storage, \
           pg_catalog.concat_ws(E'\\x01',schema,name,kind,item,value) COLLATE \"C\" AS line \
           FROM facts) \
         SELECT json_build_object('pinned', {pinned}, \
           'catalog', (SELECT {hash} FROM lines WHERE NOT storage), \
           'storage', (SELECT {hash} FROM lines WHERE storage), \
           'large_objects', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata), \
           'facts', {facts})::text",
        moved = selection.moved_cte(),
        facts_sql = facts_sql(selection),
        pinned = pinned.join(" AND "),
        hash = "pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(\
                coalesce(pg_catalog.string_agg(line, E'\\x02' ORDER BY line),''),'UTF8')),'hex')",
    )
}

fn facts_sql(selection: &Selection) -> String {
    let publication = quote_literal(&selection.migration.object_name());
    [
        TABLES,
        COLUMNS,
        KEYS,
        CONSTRAINTS,
        PARTITIONS,
        TRIGGERS,
        RULES,
        &format!("{PUBLISHED} WHERE p.pubname={publication}"),
        &format!(
            "{SEQUENCES} AND (own.oid IS NOT NULL OR (o.refobjid IS NULL AND {}))",
            selection.condition("n.nspname::text", "c.relname::text")
        ),
    ]
    .join(" UNION ALL ")
}

const TABLES: &str = "SELECT m.schema, m.name, f.kind, '', f.value FROM moved m \
  JOIN pg_catalog.pg_class c ON c.oid=m.oid CROSS JOIN LATERAL (VALUES \
    ('table', concat_ws(' ', CASE m.kind WHEN 'p' THEN 'partitioned' ELSE 'plain' END, \
      CASE c.relpersistence WHEN 'u' THEN 'unlogged' END, \
      'replica identity ' || c.relreplident::text, \
      CASE WHEN c.relrowsecurity THEN 'row security' END, \
      CASE WHEN c.relforcerowsecurity THEN 'forced' END)), \
    ('storage', c.relfilenode::text)) f(kind,value)";

const COLUMNS: &str = "SELECT m.schema, m.name, f.kind, a.attname::text, f.value FROM moved m \
  JOIN pg_catalog.pg_attribute a ON a.attrelid=m.oid AND a.attnum>0 AND NOT a.attisdropped \
  JOIN pg_catalog.pg_type t ON t.oid=a.atttypid \
  JOIN pg_catalog.pg_namespace n ON n.oid=t.typnamespace \
  CROSS JOIN LATERAL (VALUES \
    ('column', concat_ws(' ', n.nspname || '.' || t.typname, \
      CASE WHEN a.atttypmod<>-1 THEN 'modifier ' || a.atttypmod END, \
      CASE WHEN a.attnotnull THEN 'not null' END, \
      CASE WHEN a.attgenerated<>'' THEN 'generated' END, \
      CASE a.attidentity WHEN 'a' THEN 'identity always' WHEN 'd' THEN 'identity' END)), \
    ('position', a.attnum::text)) f(kind,value)";

const KEYS: &str = "SELECT m.schema, m.name, 'key', ic.relname::text, \
  concat_ws(' ', CASE WHEN i.indisprimary THEN 'primary' ELSE 'unique' END, \
    '(' || (SELECT string_agg(coalesce(a.attname::text,'expression'), ', ' ORDER BY k.n) \
      FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum,n) \
      LEFT JOIN pg_catalog.pg_attribute a \
        ON a.attrelid=i.indrelid AND a.attnum=k.attnum AND k.attnum>0 \
      WHERE k.n<=i.indnkeyatts) || ')', \
    pg_catalog.pg_get_expr(i.indexprs, i.indrelid), \
    'where ' || pg_catalog.pg_get_expr(i.indpred, i.indrelid), \
    CASE WHEN NOT i.indimmediate THEN 'deferrable' END, \
    CASE WHEN NOT i.indisvalid THEN 'not valid' END, \
    CASE WHEN i.indisreplident THEN 'replica identity' END) \
  FROM moved m JOIN pg_catalog.pg_index i ON i.indrelid=m.oid AND i.indisunique \
  JOIN pg_catalog.pg_class ic ON ic.oid=i.indexrelid";

// Constraints of partitions that were cloned from their parent carry names of the server's
// choice, and NOT NULL is part of the column's fact.
const CONSTRAINTS: &str = "SELECT m.schema, m.name, 'constraint', k.conname::text, \
  concat_ws(' ', CASE k.contype WHEN 'f' THEN 'foreign key' WHEN 'c' THEN 'check' \
      WHEN 'x' THEN 'exclude' ELSE k.contype::text END, \
    CASE k.contype WHEN 'f' THEN pg_catalog.pg_get_constraintdef(k.oid) \
      WHEN 'c' THEN pg_catalog.pg_get_expr(k.conbin, k.conrelid) END, \
    CASE WHEN NOT k.convalidated AND k.contype<>'f' THEN 'not valid' END) \
  FROM moved m JOIN pg_catalog.pg_constraint k ON k.conrelid=m.oid \
  WHERE k.contype IN ('f','c','x') AND k.conparentid=0";

const PARTITIONS: &str = "SELECT m.schema, m.name, 'partition', '', \
  concat_ws(' ', 'of ' || pn.nspname || '.' || p.relname, \
    pg_catalog.pg_get_expr(c.relpartbound, c.oid), \
    CASE WHEN m.kind='p' THEN 'by ' || pg_catalog.pg_get_partkeydef(c.oid) END) \
  FROM moved m JOIN pg_catalog.pg_class c ON c.oid=m.oid \
  LEFT JOIN pg_catalog.pg_inherits h ON h.inhrelid=m.oid \
  LEFT JOIN pg_catalog.pg_class p ON p.oid=h.inhparent \
  LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid=p.relnamespace \
  WHERE h.inhparent IS NOT NULL OR m.kind='p'";

const TRIGGERS: &str = "SELECT m.schema, m.name, 'trigger', t.tgname::text, \
  concat_ws(' ', CASE t.tgenabled WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled' \
      WHEN 'R' THEN 'enabled for replica' ELSE 'enabled always' END, \
    'type ' || t.tgtype, 'calls ' || pn.nspname || '.' || p.proname) \
  FROM moved m JOIN pg_catalog.pg_trigger t ON t.tgrelid=m.oid \
  JOIN pg_catalog.pg_proc p ON p.oid=t.tgfoid \
  JOIN pg_catalog.pg_namespace pn ON pn.oid=p.pronamespace \
  WHERE NOT t.tgisinternal AND t.tgname NOT LIKE '!changeover\\_%'";

const RULES: &str = "SELECT m.schema, m.name, 'rule', r.rulename::text, \
  concat_ws(' ', r.ev_enabled::text, r.ev_type::text, CASE WHEN r.is_instead THEN 'instead' END) \
  FROM moved m JOIN pg_catalog.pg_rewrite r ON r.ev_class=m.oid";

const PUBLISHED: &str = "SELECT n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\", \
  'published', p.pubname::text, \
  concat_ws(' ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END, \
    CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END, \
    CASE WHEN pg_catalog.to_jsonb(p)->>'pubviaroot'='true' THEN 'via root' END, \
    'columns ' || (pg_catalog.to_jsonb(r)->>'prattrs'), \
    CASE WHEN pg_catalog.to_jsonb(r)->>'prqual' IS NOT NULL THEN 'some rows' END) \
  FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_publication_rel r ON r.prpubid=p.oid \
  JOIN pg_catalog.pg_class c ON c.oid=r.prrelid \
  JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace";

const SEQUENCES: &str = "SELECT n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\", \
  'sequence', '', \
  concat_ws(' ', pg_catalog.format_type(s.seqtypid,NULL), 'from', s.seqmin, 'to', s.seqmax, \
    'by', s.seqincrement, 'cache', s.seqcache, CASE WHEN s.seqcycle THEN 'cycle' END, \
    'owned by ' || own.schema || '.' || own.name || '.' || a.attname) \
  FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid=s.seqrelid \
  JOIN pg_catalog.pg_namespace n ON n.oid=c.relnamespace \
  LEFT JOIN pg_catalog.pg_depend o ON o.classid=1259 AND o.objid=c.oid \
    AND o.refclassid=1259 AND o.refobjsubid>0 AND o.deptype IN ('a','i') \
  LEFT JOIN moved own ON own.oid=o.refobjid \
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid=o.refobjid AND a.attnum=o.refobjsubid \
  WHERE c.relpersistence<>'t'";
