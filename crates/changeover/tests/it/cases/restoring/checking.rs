//! Checks whose functions read other tables, whose rows come later.

use super::{both, copy, say, stage, tasks};
use crate::stage::Pair;
use crate::stage::postgres_session::{block_on, connect, execute, query_one};

/// Checks whose functions read other tables: one way, both ways, of a domain, of a partition, of a
/// child, and one that the source itself does not vouch for.
const CHECKING: &str = "
    CREATE TABLE kind (k int PRIMARY KEY); INSERT INTO kind SELECT generate_series(1, 9);
    CREATE FUNCTION known(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE
      AS 'BEGIN RETURN EXISTS (SELECT FROM kind WHERE k = $1); END';
    CREATE FUNCTION named(int) RETURNS bool LANGUAGE sql AS 'SELECT known($1)';
    CREATE OPERATOR @@@ (rightarg = int, function = known);
    CREATE TABLE big (id int PRIMARY KEY, k int CONSTRAINT big_k CHECK (named(k)), pad text,
      CONSTRAINT \"big'k\" CHECK (@@@ k));
    COMMENT ON CONSTRAINT big_k ON big IS 'it''s known';
    INSERT INTO big SELECT i, i % 9 + 1, repeat('x', 100) FROM generate_series(1, 5000) i;
    CREATE TABLE parent (id int PRIMARY KEY, k int, CONSTRAINT parent_k CHECK (known(k)));
    CREATE TABLE child (own int PRIMARY KEY, CONSTRAINT parent_k CHECK (known(k)),
      CONSTRAINT child_own CHECK (known(own)) NO INHERIT) INHERITS (parent);
    INSERT INTO child VALUES (1, 2, 3);
    CREATE TABLE parts (id int PRIMARY KEY, CHECK (known(id))) PARTITION BY RANGE (id);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
    INSERT INTO parts VALUES (4);
    CREATE DOMAIN kinds AS int CONSTRAINT kinds_k CHECK (known(VALUE));
    COMMENT ON CONSTRAINT kinds_k ON DOMAIN kinds IS 'of a domain';
    CREATE DOMAIN kinds_too AS kinds; CREATE TABLE typed (id kinds_too PRIMARY KEY);
    INSERT INTO typed VALUES (5);
    CREATE TABLE one (id int PRIMARY KEY, two int); CREATE TABLE two (id int PRIMARY KEY, one int);
    CREATE FUNCTION in_one(int) RETURNS bool LANGUAGE sql AS
      'SELECT $1 IS NULL OR EXISTS (SELECT FROM one WHERE id = $1)';
    CREATE FUNCTION in_two(int) RETURNS bool LANGUAGE sql AS
      'SELECT $1 IS NULL OR EXISTS (SELECT FROM two WHERE id = $1)';
    INSERT INTO one SELECT i, i FROM generate_series(1, 5000) i;
    INSERT INTO two SELECT i, i FROM generate_series(1, 5000) i;
    ALTER TABLE one ADD CHECK (in_two(two)); ALTER TABLE two ADD CHECK (in_one(one));
    CREATE TABLE loose (id int PRIMARY KEY, k int); INSERT INTO loose VALUES (1, 77);
    ALTER TABLE loose ADD CONSTRAINT loose_k CHECK (known(k)) NOT VALID;
    CREATE FUNCTION even(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
    CREATE TABLE broken (id int PRIMARY KEY CONSTRAINT broken_id CHECK (even(id)));
    INSERT INTO broken SELECT generate_series(1, 5);
    CREATE OR REPLACE FUNCTION even(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 % 2 = 0';
    CREATE DOMAIN evens AS int; CREATE TABLE odd (id evens PRIMARY KEY); INSERT INTO odd VALUES (3);
    ALTER DOMAIN evens ADD CONSTRAINT evens_even CHECK (even(VALUE)) NOT VALID;
    UPDATE pg_constraint SET convalidated = true WHERE conname = 'evens_even'";

/// Every check with whether it is valid and what is said of it.
const CHECKED: &str = "SELECT string_agg(concat_ws(' ', conrelid::regclass, conname, convalidated, \
    conislocal, coninhcount, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint')), \
    E'\\n' ORDER BY conrelid::regclass::text, conname) FROM pg_constraint \
    WHERE contype = 'c' AND connamespace = 'public'::regnamespace AND conname !~ 'even|broken'";

#[test]
fn checks_that_read_other_tables_wait_for_their_rows() {
    let pair = Pair::start("checking");
    for jobs in [1, 4] {
        let stage = stage(&pair, &format!("checking_{jobs}"), CHECKING);
        let plan = std::fs::read_to_string(&stage.plan).unwrap();
        std::fs::write(&stage.plan, plan + &format!("\ndata: {{copy_jobs: {jobs}}}\n")).unwrap();
        copy(&stage, 0);
        assert_eq!(query_one(&stage.target, CHECKED), query_one(&stage.source, CHECKED));
        assert_eq!(query_one(&stage.target, CHECKED).lines().count(), 11);
        let validate = "VALIDATE CONSTRAINT \"broken_id\"";
        say(
            &tasks(&stage),
            &[
                &["not-valid", "3 rows break it, on the source as well", validate],
                &["not-valid", "rows break it", "ALTER DOMAIN", "\"evens_even\""],
            ],
        );
        if jobs == 1 {
            // Of what is aborted already it is no error, however soon.
            for _ in 0..3 {
                stage.expect("abort", 0);
            }
            continue;
        }
        // They hold again, for the stream as for everybody.
        execute(&stage.source, "DELETE FROM broken WHERE even(id) IS FALSE; DELETE FROM odd");
        execute(&stage.source, "INSERT INTO kind VALUES (10); INSERT INTO big VALUES (0, 10)");
        stage.expect("apply", 0);
        assert!(tasks(&stage).is_empty());
        let refused = "INSERT INTO big VALUES (-1, 11)";
        let refused = block_on(async {
            connect(&stage.target).await.unwrap().batch_execute(refused).await.unwrap_err()
        });
        assert!(refused.to_string().contains("db error"), "{refused}");
        both(&stage, "SELECT count(*) FROM big", "5001");
    }
}
