use super::super::tests::numbers;
use super::*;

fn bind(format: i16, values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = b"p\0s\0".to_vec();
    put_formats(&mut out, &[format]);
    put_count(&mut out, values.len());
    values.iter().for_each(|value| put(&mut out, *value));
    put_formats(&mut out, &[1]);
    out
}

fn sent(
    sql: &str,
    format: i16,
    declared: u32,
    kind: u32,
    value: &[u8],
) -> Result<Vec<u8>, Refused> {
    let body = bind(format, &[Some(value)]);
    let taken = Bind::of(&body).unwrap();
    assert_eq!(
        (taken.portal, taken.statement, &taken.results[..]),
        (&b"p"[..], &b"s"[..], &[1][..])
    );
    let meaning = Meaning::of(sql.as_bytes());
    let new = taken.translated(&numbers(), meaning.as_ref(), &[declared], &[kind])?;
    let new = new.unwrap_or_else(|| body.clone());
    let value = Bind::of(&new).unwrap().values[0].unwrap().to_vec();
    assert_eq!(new, bind(format, &[Some(&value)]));
    Ok(value)
}

fn words(list: &[u32]) -> Vec<u8> {
    list.iter().flat_map(|word| word.to_be_bytes()).collect()
}

const BY_NUMBER: &str = "select typname from pg_type t where t.oid = $1";

#[test]
fn numbers_that_are_compared_with_types_are_the_servers() {
    for (format, declared, kind, value, expected) in [
        (0, 0, 0, b"16500".to_vec(), b"117000".to_vec()),
        (0, 0, 1028, b"{16500,NULL,5}".to_vec(), b"{117000,NULL,5}".to_vec()),
        (0, 25, 25, b"mood".to_vec(), b"mood".to_vec()),
        (1, 0, OID, words(&[16_500]), words(&[117_000])),
        (1, INT4, INT4, words(&[16_500]), words(&[117_000])),
        (1, INT2, OID, 16_500_i16.to_be_bytes().to_vec(), words(&[117_000])),
        (1, INT8, INT8, words(&[0, 16_500]), words(&[0, 117_000])),
        (1, 0, OIDS, words(&[1, 0, 26, 1, 1, 4, 16_500]), words(&[1, 0, 26, 1, 1, 4, 117_000])),
        (
            1,
            INT4S,
            INT4S,
            words(&[1, 1, 23, 2, 1, 4, 16_500, u32::MAX]),
            words(&[1, 1, 23, 2, 1, 4, 117_000, u32::MAX]),
        ),
        (1, INT8S, INT8S, words(&[0, 0, 20]), words(&[0, 0, 20])),
        (1, 0, OID, words(&[5]), words(&[5])),
    ] {
        assert_eq!(sent(BY_NUMBER, format, declared, kind, &value).unwrap(), expected);
    }
    let mut small = words(&[1, 0, 21, 1, 1]);
    small.extend([0, 0, 0, 2, 0x40, 0x74]);
    let expected = words(&[1, 0, 26, 1, 1, 4, 117_000]);
    assert_eq!(sent(BY_NUMBER, 1, INT2S, OIDS, &small).unwrap(), expected);
}

#[test]
fn other_values_stay_as_they_are() {
    let of_table = "select 1 from pg_attribute where attrelid = $1";
    for sql in [of_table, "insert into t values ($1)"] {
        assert_eq!(sent(sql, 0, 0, OID, b"16500").unwrap(), b"16500");
        assert_eq!(sent(sql, 1, 0, OID, &words(&[16_500])).unwrap(), words(&[16_500]));
    }
    // By their type alone.
    let insert = "insert into t values ($1)";
    assert_eq!(sent(insert, 1, 0, REGTYPE, &words(&[16_500])).unwrap(), words(&[117_000]));
    let moods = words(&[1, 0, 16_500, 1, 1, 0]);
    let theirs = words(&[1, 0, 117_000, 1, 1, 0]);
    assert_eq!(sent(insert, 1, 0, 117_001, &moods).unwrap(), theirs);
    assert_eq!(sent(insert, 0, 0, 117_001, b"{16500}").unwrap(), b"{16500}");
    // The server says what is wrong with it.
    assert_eq!(sent(insert, 1, 0, 117_001, b"x").unwrap(), b"x");
}

#[test]
fn what_is_not_understood_is_refused_only_where_it_matters() {
    let sql = "select f($1) from pg_type";
    for (format, kind, value) in [
        (0, 0, b"16500".to_vec()),
        (0, OIDS, b"{1,16500}".to_vec()),
        (1, OID, words(&[16_500])),
        (1, OIDS, words(&[1, 0, 26, 1, 1, 4, 16_500])),
    ] {
        assert!(sent(sql, format, 0, kind, &value).unwrap_err().0.contains("$1"));
    }
    assert_eq!(sent(sql, 0, 0, OID, b"16501x").unwrap(), b"16501x");
    assert_eq!(sent(sql, 1, 0, OID, &words(&[16_400])).unwrap(), words(&[16_400]));
    assert_eq!(sent(sql, 0, 25, 25, b"16500").unwrap(), b"16500");
}

#[test]
fn declared_types_are_the_servers_and_wide_enough() {
    let mut body = words(&[16_500, INT2, INT4, 0, 25]);
    let meaning = Meaning::of(b"select 1 from pg_type where oid = $2 or oid = $3");
    parse(&numbers(), meaning.as_ref(), &mut body, 0);
    assert_eq!(body, words(&[117_000, OID, INT4, 0, 25]));
}

proptest::proptest! {
    #[test]
    fn any_bytes_do_no_harm(
        body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
        kind in proptest::sample::select(vec![0, 20, 26, 30, 1028, 1005, 2206, 117_001]),
    ) {
        Bind::names(&body);
        if let Some(bind) = Bind::of(&body) {
            let meaning = Meaning::of(BY_NUMBER.as_bytes());
            bind.translated(&numbers(), meaning.as_ref(), &[kind], &[kind]).ok();
        }
    }
}
