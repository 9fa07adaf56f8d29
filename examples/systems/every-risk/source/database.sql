CREATE EXTENSION citext VERSION '1.6';
CREATE EXTENSION postgres_fdw;
CREATE SERVER warehouse FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '10.0.0.9');

-- Left out of the move, and referenced all the same.
CREATE TABLE archive (id bigint PRIMARY KEY);

CREATE TABLE customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email citext NOT NULL,
    host text GENERATED ALWAYS AS (split_part(email::text, '@', 2)) STORED,
    archived bigint REFERENCES archive,
    seen xid8
);
INSERT INTO customers (email) SELECT 'c' || n || '@example.com' FROM generate_series(1, 100) n;
GRANT SELECT ON customers TO reporter;
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON customers TO reporter USING (true);
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reporter;

-- No key, and updated.
CREATE TABLE events (at timestamptz NOT NULL, what text NOT NULL);
INSERT INTO events SELECT now(), 'e' || n FROM generate_series(1, 50) n;
UPDATE events SET what = 'changed' WHERE what = 'e1';

-- Not in the log.
CREATE UNLOGGED TABLE carts (id bigint PRIMARY KEY, what text);
INSERT INTO carts SELECT n, 'cart' FROM generate_series(1, 10) n;
SELECT lo_create(0);

-- Wide keys and wide rows.
CREATE TABLE tokens (token text PRIMARY KEY);
INSERT INTO tokens SELECT repeat(md5(n::text), 4) FROM generate_series(1, 50) n;
GRANT SELECT ON tokens TO mover;
CREATE TABLE documents (id bigint PRIMARY KEY, body text NOT NULL);
ALTER TABLE documents ALTER body SET STORAGE EXTERNAL;
INSERT INTO documents SELECT n, repeat(md5(n::text), 1000) FROM generate_series(1, 100) n;

-- A partition tree that the target has as a plain table.
CREATE TABLE readings (id bigint, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE readings_2026 PARTITION OF readings FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');

-- A small sequence, nearly used.
CREATE SEQUENCE invoice_number AS smallint;
SELECT setval('invoice_number', 30000);
GRANT SELECT ON SEQUENCE invoice_number TO mover;

-- Code that fires on applied rows, and code that reaches outside.
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('orders', NEW.id::text);
    RETURN NEW;
END $$;
CREATE TRIGGER note AFTER INSERT ON customers FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE customers ENABLE ALWAYS TRIGGER note;
CREATE RULE keep AS ON DELETE TO customers DO INSTEAD NOTHING;
CREATE FUNCTION native_length(text) RETURNS integer LANGUAGE internal STRICT AS 'textlen';
CREATE MATERIALIZED VIEW hosts AS SELECT host, count(*) FROM customers GROUP BY host;

-- A migrations tool that was busy a moment ago, and somebody who reads along.
CREATE TABLE schema_migrations (version text PRIMARY KEY, inserted_at timestamp NOT NULL);
INSERT INTO schema_migrations VALUES ('20261101', now() AT TIME ZONE 'UTC');
GRANT SELECT ON schema_migrations TO mover;
CREATE PUBLICATION reporting FOR TABLE customers;
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION watch();
ANALYZE;
SELECT pg_stat_force_next_flush();

-- A transaction manager that died half-way.
BEGIN;
INSERT INTO archive VALUES (17);
PREPARE TRANSACTION 'payment-17';
