//! What the receiving database knows of a table, and by which operator it tells its values apart.

use changeover_relay::plan::{Equality, TargetColumn, TargetTable};
use changeover_types::{Side, TableName, quote_literal};

use crate::error::{Error, Result};
use crate::session::{Row, Session};

/// Types whose `=` is true for identical values only.
const EXACT: &str = "16,17,18,19,20,21,23,25,26,28,29,27,650,774,829,869,1043,1082,1083,1114,\
    1184,1560,1562,2950,3220,5069";

/// The default operator class of type `t` (a row of `pg_type`), of a B-tree before that of a hash,
/// as the server's own type cache chooses it. A polymorphic class takes any array, enum or range.
/// Composite types have none here: their columns need not be comparable.
fn default_class(t: &str) -> String {
    format!(
        "SELECT d.oid FROM pg_catalog.pg_opclass d JOIN pg_catalog.pg_am m ON m.oid = d.opcmethod \
           JOIN pg_catalog.pg_type p ON p.oid = d.opcintype \
         WHERE d.opcdefault AND m.amname IN ('btree', 'hash') AND (d.opcintype = {t}.oid \
           OR d.opcintype = CASE {t}.typtype WHEN 'e' THEN 3500 WHEN 'r' THEN 3831 \
             WHEN 'm' THEN 4537 WHEN 'b' THEN \
               CASE WHEN {t}.typelem <> 0 AND {t}.typlen = -1 THEN 2277 END END::oid \
           OR EXISTS (SELECT FROM pg_catalog.pg_cast s WHERE s.castsource = {t}.oid \
             AND s.casttarget = d.opcintype AND s.castmethod = 'b' AND s.castcontext = 'i')) \
         ORDER BY m.amname, d.opcintype = {t}.oid DESC, p.typispreferred DESC LIMIT 1"
    )
}

/// One row for each column, one alone if there is none. The class is that of the index which is
/// the table's identity, else of another unique one with this column, else the type's default.
fn columns(name: &TableName) -> String {
    // NULL without a column.
    let qualified = |schema: &str, name: &str| {
        format!("pg_catalog.quote_ident({schema}) || '.' || pg_catalog.quote_ident({name})")
    };
    format!(
        "SELECT c.relkind = 'p', a.attname, a.atttypid, a.atttypmod, {type_sql}, \
           CASE WHEN t.typtype = 'd' THEN {base_sql} END, a.attgenerated <> '', \
           a.attidentity = 'a', \
           'OPERATOR(' || pg_catalog.quote_ident(opn.nspname) || '.' || op.oprname || ')', \
           CASE WHEN it.typtype <> 'p' AND it.oid <> a.atttypid THEN {operand} \
             WHEN t.typtype = 'd' THEN {base_sql} END, \
           CASE WHEN key.collation <> 0 AND key.collation <> a.attcollation THEN {collation} END, \
           (b.oid IN ({EXACT}) OR b.typtype = 'e') AND coalesce(l.collisdeterministic, true) \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_attribute a \
           ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace \
         LEFT JOIN LATERAL (WITH RECURSIVE beneath(oid, depth) AS (SELECT t.oid, 0 UNION ALL \
             SELECT d.typbasetype, beneath.depth + 1 FROM beneath JOIN pg_catalog.pg_type d \
               ON d.oid = beneath.oid AND d.typtype = 'd') \
           SELECT oid FROM beneath ORDER BY depth DESC LIMIT 1) beneath ON true \
         LEFT JOIN pg_catalog.pg_type b ON b.oid = beneath.oid \
         LEFT JOIN pg_catalog.pg_namespace bn ON bn.oid = b.typnamespace \
         LEFT JOIN pg_catalog.pg_type e ON e.oid = b.typelem AND b.typlen = -1 \
         LEFT JOIN LATERAL (SELECT i.indclass[k.n - 1] AS class, \
             i.indcollation[k.n - 1] AS collation FROM pg_catalog.pg_index i \
             CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n) \
           WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL \
             AND k.attnum = a.attnum AND k.n <= i.indnkeyatts \
           ORDER BY i.indisreplident DESC, i.indisprimary DESC, i.indexrelid LIMIT 1) key ON true \
         LEFT JOIN pg_catalog.pg_opclass o ON o.oid = coalesce(key.class, \
           CASE WHEN e.oid IS NULL OR EXISTS ({element}) THEN ({default}) END) \
         LEFT JOIN pg_catalog.pg_type it ON it.oid = o.opcintype \
         LEFT JOIN pg_catalog.pg_namespace itn ON itn.oid = it.typnamespace \
         LEFT JOIN pg_catalog.pg_am m ON m.oid = o.opcmethod \
         LEFT JOIN pg_catalog.pg_amop ao ON ao.amopfamily = o.opcfamily \
           AND ao.amoplefttype = o.opcintype AND ao.amoprighttype = o.opcintype \
           AND ao.amoppurpose = 's' \
           AND ao.amopstrategy = CASE m.amname WHEN 'btree' THEN 3 WHEN 'hash' THEN 1 END \
         LEFT JOIN pg_catalog.pg_operator op ON op.oid = ao.amopopr \
         LEFT JOIN pg_catalog.pg_namespace opn ON opn.oid = op.oprnamespace \
         LEFT JOIN pg_catalog.pg_collation l \
           ON l.oid = coalesce(nullif(key.collation, 0), a.attcollation) \
         LEFT JOIN pg_catalog.pg_namespace ln ON ln.oid = l.collnamespace \
         WHERE n.nspname = {schema} AND c.relname = {table} AND c.relkind IN ('r', 'p') \
         ORDER BY a.attnum",
        type_sql = qualified("tn.nspname", "t.typname"),
        base_sql = qualified("bn.nspname", "b.typname"),
        operand = qualified("itn.nspname", "it.typname"),
        collation = qualified("ln.nspname", "l.collname"),
        element = default_class("e"),
        default = default_class("b"),
        schema = quote_literal(&name.schema),
        table = quote_literal(&name.name),
    )
}

/// Reads the table called `name`.
pub(super) async fn read(
    session: &mut Session,
    side: Side,
    name: &TableName,
) -> Result<TargetTable> {
    let rows = session.query(&columns(name)).await?;
    let Some(first) = rows.first() else {
        return Err(Error::divergence(
            side,
            format!("the table {name} changed on the sending side and does not exist here"),
        ));
    };
    let partitioned = first.text(0)? == "t";
    let columns = rows.iter().filter(|row| row.get(1).is_some()).map(column);
    Ok(TargetTable { name: name.clone(), partitioned, columns: columns.collect::<Result<_>>()? })
}

fn column(row: &Row) -> Result<TargetColumn> {
    let known = |n: usize| row.get(n).map(str::to_owned);
    Ok(TargetColumn {
        name: row.text(1)?.to_owned(),
        type_oid: row.parse(2)?,
        type_modifier: row.parse(3)?,
        type_sql: row.text(4)?.to_owned(),
        base_sql: known(5),
        generated: row.text(6)? == "t",
        identity_always: row.text(7)? == "t",
        equality: Equality {
            operator: known(8),
            operand: known(9),
            collation: known(10),
            exact: row.text(11)? == "t",
        },
    })
}
