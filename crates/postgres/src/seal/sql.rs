//! The seal's SQL: pure text. One DO block each, because round trips and parsing a thousand
//! statements on the client's side would cost more than the DDL itself.

use changeover_types::{Epoch, MigrationName, TOKEN_SETTING, quote_literal, seal_token};

use crate::objects::{Scope, do_block, regclasses, token_bytes};

/// The relations of the scope and all their partitions, as `moved (oid)`. A foreign partition holds no
/// rows of ours, and takes no trigger that refuses a TRUNCATE.
fn moved(scope: &Scope, cast: &str) -> String {
    format!(
        "listed AS (SELECT DISTINCT {cast} AS oid FROM unnest({names}) AS u(name)),\n\
         moved AS (SELECT oid FROM listed WHERE oid IS NOT NULL UNION\n\
           SELECT t.relid::oid FROM listed l JOIN pg_catalog.pg_class c ON c.oid = l.oid\n\
             CROSS JOIN LATERAL pg_catalog.pg_partition_tree(l.oid) t\n\
             JOIN pg_catalog.pg_class p ON p.oid = t.relid\n\
             WHERE c.relkind = 'p' AND p.relkind <> 'f')",
        names = regclasses(scope.sorted().iter().map(|r| &r.name)),
    )
}

/// Whether `c` gets its row trigger as the clone of a moved ancestor's.
const CLONED: &str = "(c.relispartition AND EXISTS (SELECT FROM \
     pg_catalog.pg_partition_ancestors(c.oid) a WHERE a.relid <> c.oid \
     AND a.relid::oid IN (SELECT oid FROM moved)))";

/// Creates what is missing, parents before partitions, and enables all of it ALWAYS.
pub(crate) fn arm_sql(scope: &Scope, epoch: Epoch) -> String {
    let Scope { migration, side, .. } = scope;
    let tail = format!(
        "WHEN (pg_catalog.current_setting({setting}, true) IS DISTINCT FROM {token}) \
         EXECUTE FUNCTION changeover.refuse({name}, '{epoch}', '{side}');",
        setting = quote_literal(TOKEN_SETTING),
        token = quote_literal(&seal_token(migration, epoch, *side)),
        name = quote_literal(migration.as_str()),
    );
    let moved = moved(scope, "u.name::regclass::oid");
    do_block(&format!(
        r#"DECLARE
  r record;
  todo text;
BEGIN
  FOR r IN
    WITH {moved}
    SELECT format('%I.%I', n.nspname, c.relname) AS q,
      EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid
        AND t.tgname = '!changeover_seal_{epoch}') AS has_statement,
      {CLONED} OR EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid
        AND t.tgname = '!changeover_seal_row_{epoch}') AS has_row
    FROM moved m JOIN pg_catalog.pg_class c ON c.oid = m.oid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    ORDER BY CASE WHEN c.relispartition
      THEN (SELECT count(*) FROM pg_catalog.pg_partition_ancestors(c.oid)) ELSE 0 END, 1
  LOOP
    todo := '';
    IF NOT r.has_statement THEN
      todo := 'CREATE TRIGGER "!changeover_seal_{epoch}" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON '
        || r.q || $tail$ FOR EACH STATEMENT {tail}$tail$;
    END IF;
    IF NOT r.has_row THEN
      todo := todo || 'CREATE TRIGGER "!changeover_seal_row_{epoch}" AFTER INSERT OR UPDATE OR DELETE ON '
        || r.q || $tail$ FOR EACH ROW {tail}$tail$;
    END IF;
    EXECUTE todo || 'ALTER TABLE ONLY ' || r.q || ' ENABLE ALWAYS TRIGGER "!changeover_seal_{epoch}", '
      'ENABLE ALWAYS TRIGGER "!changeover_seal_row_{epoch}"';
  END LOOP;
END"#
    ))
}

/// Disables every trigger of this migration's seals, wherever it is: also on a table that was
/// detached from a moved one.
pub(crate) fn disarm_sql(scope: &Scope) -> String {
    do_block(&format!(
        r#"DECLARE
  r record;
BEGIN
  FOR r IN
    SELECT format('%I.%I', n.nspname, c.relname) AS q,
      string_agg(format('DISABLE TRIGGER %I', t.tgname), ', ') AS actions
    FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE {ours} AND t.tgenabled <> 'D'
    GROUP BY 1 ORDER BY 1
  LOOP
    EXECUTE 'ALTER TABLE ONLY ' || r.q || ' ' || r.actions;
  END LOOP;
END"#,
        ours = ours(&scope.migration),
    ))
}

/// Whether `t` is a trigger of one of this migration's seals.
fn ours(migration: &MigrationName) -> String {
    format!(
        "t.tgfoid = pg_catalog.to_regproc('changeover.refuse') AND \
         split_part(encode(t.tgargs, 'escape'), E'\\\\000', 1) = {}",
        quote_literal(migration.as_str())
    )
}

/// One row for each moved relation: schema, name, and what is wrong (null: nothing).
///
/// The statement trigger is asked of listed relations; a partition that was made or attached
/// after the seal has only the clone of the row trigger.
pub(crate) fn state_sql(scope: &Scope, epoch: Epoch) -> String {
    let token = token_bytes(&scope.migration, epoch, scope.side);
    let moved = moved(scope, "pg_catalog.to_regclass(u.name)::oid");
    let state = |name: &str| {
        format!(
            "(SELECT t.tgenabled::text FROM pg_catalog.pg_trigger t WHERE t.tgrelid = m.oid \
             AND t.tgname = '!changeover_{name}_{epoch}' AND t.tgargs = {token})"
        )
    };
    format!(
        "WITH {moved}, states AS (SELECT m.oid, m.oid IN (SELECT oid FROM listed) AS listed, \
           {statement} AS s, {row} AS r FROM moved m) \
         SELECT n.nspname, c.relname, CASE \
           WHEN s.r IS NULL THEN 'the row trigger is missing' \
           WHEN s.r <> 'A' THEN 'the row trigger is not ENABLE ALWAYS but ' || s.r \
           WHEN s.listed AND s.s IS NULL THEN 'the statement trigger is missing' \
           WHEN s.s <> 'A' THEN 'the statement trigger is not ENABLE ALWAYS but ' || s.s END \
         FROM states s JOIN pg_catalog.pg_class c ON c.oid = s.oid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2",
        statement = state("seal"),
        row = state("seal_row"),
    )
}

/// The listed relations that do not exist, as quoted names.
pub(crate) fn gone_sql(scope: &Scope) -> String {
    format!(
        "SELECT u.name FROM unnest({}) AS u(name) WHERE pg_catalog.to_regclass(u.name) IS NULL",
        regclasses(scope.sorted().iter().map(|r| &r.name)),
    )
}

/// One row for each relation with triggers to drop: schema, name, the statements. Clones go with
/// their parent's; `tgparentid` is read through json because version 12 has no such column.
pub(crate) fn droppable_sql(migration: &MigrationName, below: Option<Epoch>) -> String {
    let below = below.map_or(String::new(), |epoch| {
        format!("AND split_part(encode(t.tgargs, 'escape'), E'\\\\000', 2)::bigint < {epoch}")
    });
    format!(
        "SELECT n.nspname, c.relname, string_agg(format('DROP TRIGGER IF EXISTS %I ON %I.%I;', \
           t.tgname, n.nspname, c.relname), ' ') \
         FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE {ours} {below} AND NOT t.tgisinternal \
           AND coalesce(to_jsonb(t) ->> 'tgparentid', '0') = '0' GROUP BY 1, 2 ORDER BY 1, 2",
        ours = ours(migration),
    )
}
