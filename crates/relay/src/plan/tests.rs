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

fn target(columns: &[(&str, Equality)]) -> TargetTable {
    let columns = columns.iter().map(|(name, equality)| TargetColumn {
        name: (*name).to_owned(),
        type_oid: 25,
        type_modifier: -1,
        type_sql: "text".to_owned(),
        generated: false,
        identity_always: false,
        equality: *equality,
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
    let target = target(&[("v", Equality::Exact), ("id", Equality::Exact)]);
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
    let target = target(&[("id", Equality::Exact), ("a", Equality::Exact), ("b", Equality::Exact)]);
    let plan = TablePlan::new(shape, target).unwrap();
    let change = Change::Update {
        relation: ID,
        old: None,
        new: vec![text("1"), Value::Unchanged, text("x")],
    };
    assert_eq!(
        planned(&plan, &change),
        [(
            "UPDATE ONLY \"public\".\"t\"\"x\" SET \"b\" = $1::text WHERE \"id\" = $2::text"
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
             \"id\" = $3::text"
                .to_owned(),
            vec![Some("2".to_owned()), Some("x".to_owned()), Some("1".to_owned())]
        )]
    );
    assert_eq!(plan.key_of(&moved), "id=1");
}

#[test]
fn a_row_without_a_key_is_found_by_everything_and_only_once() {
    let shape = shape(ReplicaIdentity::Full, &[("a", true), ("n", true), ("j", true)]);
    let target = target(&[("a", Equality::Exact), ("n", Equality::Loose), ("j", Equality::None)]);
    let plan = TablePlan::new(shape, target).unwrap();
    let change = Change::Delete {
        relation: ID,
        old: OldRow::Full(vec![Value::Null, text("1.0"), text("{}")]),
    };
    assert_eq!(
        planned(&plan, &change),
        [(
            "DELETE FROM ONLY \"public\".\"t\"\"x\" WHERE (tableoid, ctid) = (SELECT tableoid, \
             ctid FROM ONLY \"public\".\"t\"\"x\" WHERE \"a\" IS NULL AND \"n\" = $1::text AND \
             \"n\"::text = $1::text::text AND \"j\"::text = $2::text::text LIMIT 1)"
                .to_owned(),
            vec![Some("1.0".to_owned()), Some("{}".to_owned())]
        )]
    );
}

#[test]
fn a_moved_identity_column_is_deleted_and_inserted() {
    let shape = shape(ReplicaIdentity::Default, &[("id", true), ("v", false)]);
    let mut target = target(&[("id", Equality::Exact), ("v", Equality::Exact)]);
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
    let error = TablePlan::new(announced, target(&[("id", Equality::Exact)])).unwrap_err();
    assert!(error.to_string().contains("has no column new"), "{error}");
    let announced = shape(ReplicaIdentity::Default, &[("id", true)]);
    let both = target(&[("id", Equality::Exact), ("extra", Equality::Exact)]);
    let error = TablePlan::new(announced.clone(), both).unwrap_err();
    assert!(error.to_string().contains("has no column extra"), "{error}");
    let mut other = target(&[("id", Equality::Exact)]);
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
