//! The text that makes our schema: pure, so that it can be read in one piece.

/// Makes schema, tables and function, once, however many sessions try at the same time.
///
/// `changeover.refuse()` runs as its owner because the writers it judges have no rights of ours.
/// It is inert once a row gives authority (back) to this side in a later epoch than the
/// trigger's own: so the application's `ENABLE TRIGGER USER` cannot arm a seal that is over.
/// That row is never visible to a snapshot from before the later seal, so an old snapshot can
/// only make it refuse more.
///
/// Runs inside a transaction.
pub(crate) const INSTALL: &str = r#"
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT pg_catalog.pg_advisory_xact_lock(7165060413116280146);
DO $changeover$
DECLARE
  found text;
BEGIN
  SELECT coalesce(obj_description(oid, 'pg_namespace'), 'none') INTO found
    FROM pg_namespace WHERE nspname = 'changeover';
  IF found IS NULL THEN
    CREATE SCHEMA changeover;
    COMMENT ON SCHEMA changeover IS 'Changeover, version 1';
    GRANT USAGE ON SCHEMA changeover TO PUBLIC;
  ELSIF found <> 'Changeover, version 1' THEN
    RAISE EXCEPTION 'the schema "changeover" exists and is not ours (its comment: %)', found
      USING ERRCODE = 'CO002';
  END IF;
END
$changeover$;
CREATE TABLE IF NOT EXISTS changeover.epoch (
  migration text COLLATE "C" NOT NULL,
  epoch bigint NOT NULL CHECK (epoch > 0),
  kind text NOT NULL CHECK (kind IN ('genesis', 'seal', 'grant', 'burn', 'unseal')),
  authority text NOT NULL CHECK (authority IN ('source', 'target', 'none')),
  run text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, epoch));
CREATE TABLE IF NOT EXISTS changeover.signal (
  migration text COLLATE "C" NOT NULL,
  kind text NOT NULL CHECK (kind IN ('barrier', 'heartbeat')),
  epoch bigint NOT NULL,
  nonce numeric(20,0) NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, kind));
CREATE TABLE IF NOT EXISTS changeover.progress (
  migration text COLLATE "C" NOT NULL,
  stream text COLLATE "C" NOT NULL CHECK (stream IN ('forward', 'reverse')),
  predecessor pg_lsn NOT NULL,
  position pg_lsn NOT NULL,
  incarnation bigint NOT NULL,
  epoch bigint NOT NULL,
  open boolean NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, stream, position),
  UNIQUE (migration, stream, predecessor));
CREATE TABLE IF NOT EXISTS changeover.fence (
  migration text COLLATE "C" NOT NULL,
  stream text COLLATE "C" NOT NULL CHECK (stream IN ('forward', 'reverse')),
  incarnation bigint NOT NULL,
  open boolean NOT NULL,
  PRIMARY KEY (migration, stream));
CREATE TABLE IF NOT EXISTS changeover.copied (
  migration text COLLATE "C" NOT NULL,
  relation text COLLATE "C" NOT NULL,
  rows bigint NOT NULL,
  bytes bigint NOT NULL,
  incarnation bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, relation));
GRANT SELECT ON changeover.epoch TO PUBLIC;
CREATE OR REPLACE FUNCTION changeover.refuse() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $changeover$
BEGIN
  IF EXISTS (SELECT FROM changeover.epoch e
             WHERE e.migration = TG_ARGV[0] AND e.epoch > TG_ARGV[1]::bigint
               AND e.kind IN ('grant', 'unseal')) THEN
    RETURN NULL;
  END IF;
  -- Epoch 1 seals the target for the copy.
  RAISE EXCEPTION 'changeover: % has %: "%"."%" on the % side takes no writes%',
      TG_ARGV[0], CASE TG_ARGV[1] WHEN '1' THEN 'not moved yet' ELSE 'moved' END,
      TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[2],
      CASE TG_ARGV[1] WHEN '1' THEN ' until it has' ELSE '' END
    USING ERRCODE = 'P0004',
      DETAIL = format('Like SQLSTATE 25006, read_only_sql_transaction: sealed in epoch %s.', TG_ARGV[1]),
      HINT = 'Connect through the gate, or to the side that has authority now.';
END
$changeover$;
REVOKE ALL ON FUNCTION changeover.refuse() FROM PUBLIC;
"#;
