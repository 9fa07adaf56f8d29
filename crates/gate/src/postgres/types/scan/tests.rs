use super::*;

fn role(sql: &str) -> Role {
    Meaning::of(sql.as_bytes()).unwrap_or_else(|| panic!("{sql}")).role(1)
}

#[test]
fn parameters_that_are_type_numbers() {
    for sql in [
        "SELECT n.nspname, t.typname FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n \
         ON t.typnamespace = n.oid WHERE t.oid = $1",
        "select typname from pg_type where oid=$1",
        "select typname from pg_type where $1::int8 = oid",
        "select typname from pg_type where $1 = pg_type.oid",
        "select typname from pg_type as t where t.oid::int4 = $1 limit 1",
        "select 1 from pg_type t join pg_class c on c.reltype = t.oid where t.oid = any($1)",
        "select 1 from pg_type where oid in (1, $2, $1)",
        "select 1 from pg_type where oid not in ($1)",
        "select 1 from pg_type where oid = any(array[$2, $1::oid])",
        "select 1 from pg_type where oid = any(($1)::oid[])",
        "select 1 from pg_type where (oid = ($1))",
        "select enumlabel FROM pg_catalog.pg_enum WHERE enumtypid = $1 ORDER BY enumsortorder",
        "select format_type($1, -1)",
        "select typname from pg_type where oid = $1::regtype",
        "select $1::pg_catalog.regtype::oid",
        "WITH RECURSIVE tree(oid, name) AS (SELECT ti.oid, ti.name FROM (SELECT t.oid AS oid, \
         (select c.oid from pg_class c) x, t.typname AS name FROM pg_catalog.pg_type AS t) AS ti \
         WHERE ti.oid = any($1::oid[]) UNION ALL SELECT 1, '2') SELECT * FROM tree",
        "with k as (select oid from pg_type) select * from k where k.oid = $1",
        "select * from (select t.oid as number from pg_type t) x where x.number = $1",
    ] {
        assert_eq!(role(sql), Role::Type, "{sql}");
    }
}

#[test]
fn parameters_that_are_something_else() {
    for sql in [
        "select attname from pg_attribute a where a.attrelid = $1 and attnum > 0",
        "select 1 from pg_type t join pg_class c on c.reltype = t.oid where c.oid = $1",
        "select oid from pg_type where typname = $1",
        "select oid from pg_type where typname = any($1)",
        "select oid from pg_type limit $1",
        "select typname from pg_type t join pg_namespace n on n.oid = typnamespace \
         where nspname like $1",
        "select oid from pg_proc where oid = $1",
    ] {
        assert_eq!(role(sql), Role::Other, "{sql}");
    }
}

#[test]
fn what_is_not_understood_is_said() {
    for sql in [
        "select 1 from pg_type t join pg_class c on true where greatest(t.oid, c.oid) = $1",
        "select 1 from pg_type t join pg_class c on true where oid = $1",
        "select 1 from pg_depend where objid = $1",
        "select f($1), pg_typeof(1)",
        "select 1 from pg_type t, pg_class c where t.oid = $1 or c.oid = $1",
        "select 1 from pg_type where oid = coalesce($1, 0)",
    ] {
        assert_eq!(role(sql), Role::Unknown, "{sql}");
    }
}

#[test]
fn other_statements_are_not_looked_into() {
    for sql in [
        "",
        "select * from t where oid = $1",
        "select 'pg_type', \"regtype \"\" x\" from t /* pg_type /* */ */ -- regtype",
        "select $a$ pg_type $a$, E'it\\'s pg_type', 'it''s pg_type'",
        "select * from pg_class where oid = $1",
    ] {
        assert_eq!(Meaning::of(sql.as_bytes()), None, "{sql}");
    }
    for broken in [
        "pg_type '",
        "pg_type $",
        "pg_type $x$",
        "= $1 pg_type",
        "pg_type /*",
        "any($1) regtype",
        "in ($1) pg_type as",
    ] {
        Meaning::of(broken.as_bytes());
    }
}

proptest::proptest! {
    #[test]
    fn any_text_does_no_harm(parts in proptest::collection::vec(proptest::sample::select(vec![
        "pg_type", "t", "as", ".", "oid", "=", "any", "(", ")", "$1", "in", ",", "::", "[", "]",
        "array", "select", "from", "regtype", "not", "pg_catalog", "x",
    ]), 0..30)) {
        Meaning::of(parts.join(" ").as_bytes());
    }
}
