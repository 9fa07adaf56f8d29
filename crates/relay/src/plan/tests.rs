use super::*;
use changeover_types::{Column, RelationId};

fn shape(identity: ReplicaIdentity, columns: &[(&str, bool)]) -> Arc<TableShape> {
    let columns = columns.iter().map(|(name, key)| Column {
        name: (*name).to_owned(),
        type_oid: 25,
        type_modifier: -1,
        key: *key,
    });
    Arc::new(TableShape {
        id: RelationId(7),
        name: TableName::new("public", "t\"x"),
        identity,
        columns: columns.collect(),
    })
}

/// `=` that is true for identical values only.
const EXACT: &str = "exact";
/// `=` that is also true for others.
const LOOSE: &str = "loose";
/// No `=`.
const NONE: &str = "none";

fn equality(word: &str) -> Equality {
    let operator = (word != NONE).then(|| "OPERATOR(ext.=)".to_owned());
    Equality { operator, exact: word == EXACT, ..Equality::default() }
}

fn target(columns: &[(&str, &str)]) -> TargetTable {
    let columns = columns.iter().map(|(name, word)| TargetColumn {
        name: (*name).to_owned(),
        type_oid: 25,
        type_modifier: -1,
        type_sql: "text".to_owned(),
        generated: false,
        identity_always: false,
        base_sql: None,
        equality: equality(word),
    });
    TargetTable {
        name: TableName::new("public", "t\"x"),
        partitioned: false,
        columns: columns.collect(),
    }
}

fn text(value: &str) -> Value {
    Value::Text(Bytes::copy_from_slice(value.as_bytes()))
}

fn planned(plan: &TablePlan, change: &Change) -> Vec<(String, Vec<Option<String>>)> {
    let mut out = Vec::new();
    plan.plan(change, &mut out).unwrap();
    let show = |p: Planned| {
        let params = p.params.into_iter();
        let show = |v: Option<Bytes>| v.map(|v| String::from_utf8(v.to_vec()).unwrap());
        (plan.sql(&p.key), params.map(show).collect())
    };
    out.into_iter().map(show).collect()
}

const ID: RelationId = RelationId(7);

#[test]
fn an_insert_names_every_column() {
    let shape = shape(ReplicaIdentity::Default, &[("id", true), ("v", false)]);
    let target = target(&[("v", EXACT), ("id", EXACT)]);
    let plan = TablePlan::new(shape, target).unwrap();
    let change = Change::Insert { relation: ID, new: vec![text("1"), Value::Null] };
    assert_eq!(
        planned(&plan, &change),
        [(
            "INSERT INTO \"public\".\"t\"\"x\" (\"id\", \"v\") OVERRIDING SYSTEM VALUE VALUES \
             ($1::text, $2::text)"
                .to_owned(),
            vec![Some("1".to_owned()), None]
        )]
    );
    assert_eq!(plan.max_insert_rows(), 64);
}

#[test]
fn an_update_leaves_out_what_the_stream_leaves_out() {
    let shape = shape(ReplicaIdentity::Default, &[("id", true), ("a", false), ("b", false)]);
    let target = target(&[("id", EXACT), ("a", EXACT), ("b", EXACT)]);
    let plan = TablePlan::new(shape, target).unwrap();
    let change = Change::Update {
        relation: ID,
        old: None,
        new: vec![text("1"), Value::Unchanged, text("x")],
    };
    assert_eq!(
        planned(&plan, &change),
        [(
            "UPDATE ONLY \"public\".\"t\"\"x\" SET \"b\" = $1::text WHERE \"id\" \
             OPERATOR(ext.=) $2::text"
                .to_owned(),
            vec![Some("x".to_owned()), Some("1".to_owned())]
        )]
    );
    let moved = Change::Update {
        relation: ID,
        old: Some(OldRow::Key(vec![text("1"), Value::Null, Value::Null])),
        new: vec![text("2"), Value::Unchanged, text("x")],
    };
    assert_eq!(
        planned(&plan, &moved),
        [(
            "UPDATE ONLY \"public\".\"t\"\"x\" SET \"id\" = $1::text, \"b\" = $2::text WHERE \
             \"id\" OPERATOR(ext.=) $3::text"
                .to_owned(),
            vec![Some("2".to_owned()), Some("x".to_owned()), Some("1".to_owned())]
        )]
    );
    assert_eq!(plan.key_of(&moved), "id=1");
}

#[test]
fn a_row_without_a_key_is_found_by_everything_and_only_once() {
    let shape = shape(ReplicaIdentity::Full, &[("a", true), ("n", true), ("j", true)]);
    let target = target(&[("a", EXACT), ("n", LOOSE), ("j", NONE)]);
    let plan = TablePlan::new(shape, target).unwrap();
    let change = Change::Delete {
        relation: ID,
        old: OldRow::Full(vec![Value::Null, text("1.0"), text("{}")]),
    };
    assert_eq!(
        planned(&plan, &change),
        [(
            "DELETE FROM ONLY \"public\".\"t\"\"x\" WHERE (tableoid, ctid) = (SELECT tableoid, \
             ctid FROM ONLY \"public\".\"t\"\"x\" WHERE \"a\" IS NOT DISTINCT FROM NULL AND \
             \"n\"::pg_catalog.text COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) \
             $1::text::pg_catalog.text AND \"n\" OPERATOR(ext.=) $1::text AND \
             \"j\"::pg_catalog.text COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) \
             $2::text::pg_catalog.text LIMIT 1)"
                .to_owned(),
            vec![Some("1.0".to_owned()), Some("{}".to_owned())]
        )]
    );
}

#[test]
fn a_key_is_found_as_its_index_compares() {
    let mut target = target(&[("id", LOOSE)]);
    target.columns[0].base_sql = Some("ext.citext".to_owned());
    target.columns[0].equality.operand = Some("ext.citext".to_owned());
    target.columns[0].equality.collation = Some("pg_catalog.\"C\"".to_owned());
    let plan = TablePlan::new(shape(ReplicaIdentity::Default, &[("id", true)]), target).unwrap();
    let change = Change::Delete { relation: ID, old: OldRow::Key(vec![text("1")]) };
    let sql = &planned(&plan, &change)[0].0;
    let found = "WHERE \"id\"::ext.citext OPERATOR(ext.=) $1::ext.citext::ext.citext COLLATE \
                 pg_catalog.\"C\"";
    assert!(sql.ends_with(found), "{sql}");
}

#[test]
fn a_moved_identity_column_is_deleted_and_inserted() {
    let shape = shape(ReplicaIdentity::Default, &[("id", true), ("v", false)]);
    let mut target = target(&[("id", EXACT), ("v", EXACT)]);
    target.columns[0].identity_always = true;
    let plan = TablePlan::new(shape, target).unwrap();
    let old = Some(OldRow::Key(vec![text("1"), Value::Null]));
    let change = Change::Update { relation: ID, old, new: vec![text("2"), text("x")] };
    let statements = planned(&plan, &change);
    assert!(statements[0].0.starts_with("DELETE"));
    assert!(statements[1].0.starts_with("INSERT"));
    let old = Some(OldRow::Key(vec![text("1"), Value::Null]));
    let toasted = Change::Update { relation: ID, old, new: vec![text("2"), Value::Unchanged] };
    let error = plan.plan(&toasted, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("left out column v"), "{error}");
}

#[test]
fn a_difference_in_columns_is_named() {
    let announced = shape(ReplicaIdentity::Default, &[("id", true), ("new", false)]);
    let error = TablePlan::new(announced, target(&[("id", EXACT)])).unwrap_err();
    assert!(error.to_string().contains("has no column new"), "{error}");
    let announced = shape(ReplicaIdentity::Default, &[("id", true)]);
    let both = target(&[("id", EXACT), ("extra", EXACT)]);
    let error = TablePlan::new(announced.clone(), both).unwrap_err();
    assert!(error.to_string().contains("has no column extra"), "{error}");
    let mut other = target(&[("id", EXACT)]);
    other.columns[0].type_oid = 23;
    assert!(TablePlan::new(announced, other).is_err());
}

#[test]
fn a_truncation_does_not_cascade() {
    let tables = [(TableName::new("s", "a"), false), (TableName::new("s", "b"), true)];
    assert_eq!(
        truncate_sql(&tables, true),
        "TRUNCATE ONLY \"s\".\"a\", \"s\".\"b\" RESTART IDENTITY"
    );
}
