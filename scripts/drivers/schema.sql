CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('sad', 'fine');
CREATE TYPE pair AS (x int, m mood);
CREATE TYPE spell AS RANGE (subtype = float8);
CREATE TABLE t (id int PRIMARY KEY, h hstore, c citext, cs citext[], m mood, ms mood[], p pair, s spell);
INSERT INTO t VALUES (1, 'k=>v', 'C', '{A,b}', 'fine', '{sad,fine}', '(1,sad)', '[1,2)');
