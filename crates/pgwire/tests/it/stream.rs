//! pgoutput: every message survives its encoding, and no part of one is taken for a whole.

use bytes::{BufMut, Bytes, BytesMut};
use changeover_pgwire::pgoutput::decode;
use changeover_types::{
    Change, Column, Lsn, OldRow, RelationId, ReplicaIdentity, StreamEvent, TableName, TableShape,
    Tuple, Value,
};
use proptest::prelude::*;

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_slice(text.as_bytes());
    out.put_u8(0);
}

fn put_tuple(out: &mut BytesMut, tuple: &Tuple) {
    out.put_u16(u16::try_from(tuple.len()).unwrap());
    for value in tuple {
        match value {
            Value::Null => out.put_u8(b'n'),
            Value::Unchanged => out.put_u8(b'u'),
            Value::Text(text) => {
                out.put_u8(b't');
                out.put_u32(u32::try_from(text.len()).unwrap());
                out.put_slice(text);
            }
        }
    }
}

fn put_old(out: &mut BytesMut, old: &OldRow) {
    let (kind, tuple) = match old {
        OldRow::Key(tuple) => (b'K', tuple),
        OldRow::Full(tuple) => (b'O', tuple),
    };
    out.put_u8(kind);
    put_tuple(out, tuple);
}

fn put_change(out: &mut BytesMut, change: &Change) {
    match change {
        Change::Insert { relation, new } => {
            out.put_u8(b'I');
            out.put_u32(relation.0);
            out.put_u8(b'N');
            put_tuple(out, new);
        }
        Change::Update { relation, old, new } => {
            out.put_u8(b'U');
            out.put_u32(relation.0);
            old.iter().for_each(|old| put_old(out, old));
            out.put_u8(b'N');
            put_tuple(out, new);
        }
        Change::Delete { relation, old } => {
            out.put_u8(b'D');
            out.put_u32(relation.0);
            put_old(out, old);
        }
        Change::Truncate { relations, cascade, restart_identity } => {
            out.put_u8(b'T');
            out.put_u32(u32::try_from(relations.len()).unwrap());
            out.put_u8(u8::from(*cascade) | (u8::from(*restart_identity) << 1));
            relations.iter().for_each(|relation| out.put_u32(relation.0));
        }
    }
}

fn put_shape(out: &mut BytesMut, shape: &TableShape) {
    out.put_u8(b'R');
    out.put_u32(shape.id.0);
    put_text(out, &shape.name.schema);
    put_text(out, &shape.name.name);
    out.put_u8(match shape.identity {
        ReplicaIdentity::Default => b'd',
        ReplicaIdentity::Nothing => b'n',
        ReplicaIdentity::Full => b'f',
        ReplicaIdentity::Index => b'i',
    });
    out.put_u16(u16::try_from(shape.columns.len()).unwrap());
    for column in &shape.columns {
        out.put_u8(u8::from(column.key));
        put_text(out, &column.name);
        out.put_u32(column.type_oid);
        out.put_i32(column.type_modifier);
    }
}

/// Encodes as pgoutput does.
fn encode(event: &StreamEvent) -> Bytes {
    let mut out = BytesMut::new();
    match event {
        StreamEvent::Begin { commit_lsn, commit_time_us, xid } => {
            out.put_u8(b'B');
            out.put_u64(commit_lsn.0);
            out.put_i64(*commit_time_us);
            out.put_u32(*xid);
        }
        StreamEvent::Commit { commit_lsn, end_lsn } => {
            out.put_slice(b"C\0");
            out.put_u64(commit_lsn.0);
            out.put_u64(end_lsn.0);
            out.put_i64(0);
        }
        StreamEvent::Relation(shape) => put_shape(&mut out, shape),
        StreamEvent::Type { oid, name } => {
            out.put_u8(b'Y');
            out.put_u32(*oid);
            put_text(&mut out, &name.schema);
            put_text(&mut out, &name.name);
        }
        StreamEvent::Origin { name } => {
            out.put_u8(b'O');
            out.put_u64(9);
            put_text(&mut out, name);
        }
        StreamEvent::Message { transactional, lsn, prefix, content } => {
            out.put_u8(b'M');
            out.put_u8(u8::from(*transactional));
            out.put_u64(lsn.0);
            put_text(&mut out, prefix);
            out.put_u32(u32::try_from(content.len()).unwrap());
            out.put_slice(content);
        }
        StreamEvent::Change(change) => put_change(&mut out, change),
    }
    out.freeze()
}

fn tuples() -> impl Strategy<Value = Tuple> {
    let value = prop_oneof![
        Just(Value::Null),
        Just(Value::Unchanged),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|text| Value::Text(text.into())),
    ];
    prop::collection::vec(value, 0..6)
}

fn old_rows() -> impl Strategy<Value = OldRow> {
    (any::<bool>(), tuples())
        .prop_map(|(full, row)| if full { OldRow::Full(row) } else { OldRow::Key(row) })
}

fn relations() -> impl Strategy<Value = RelationId> {
    any::<u32>().prop_map(RelationId)
}

fn shapes() -> impl Strategy<Value = TableShape> {
    let identity = prop::sample::select(vec![
        ReplicaIdentity::Default,
        ReplicaIdentity::Nothing,
        ReplicaIdentity::Full,
        ReplicaIdentity::Index,
    ]);
    let column = ("[^\0]{1,9}", any::<u32>(), any::<i32>(), any::<bool>()).prop_map(
        |(name, type_oid, type_modifier, key)| Column { name, type_oid, type_modifier, key },
    );
    (relations(), "[^\0]{1,9}", "[^\0]{1,9}", identity, prop::collection::vec(column, 0..5))
        .prop_map(|(id, schema, name, identity, columns)| TableShape {
            id,
            name: TableName { schema, name },
            identity,
            columns,
        })
}

fn all_events() -> impl Strategy<Value = StreamEvent> {
    let lsn = || any::<u64>().prop_map(Lsn);
    prop_oneof![
        (lsn(), any::<i64>(), any::<u32>()).prop_map(|(commit_lsn, commit_time_us, xid)| {
            StreamEvent::Begin { commit_lsn, commit_time_us, xid }
        }),
        (lsn(), lsn())
            .prop_map(|(commit_lsn, end_lsn)| StreamEvent::Commit { commit_lsn, end_lsn }),
        shapes().prop_map(StreamEvent::Relation),
        (any::<u32>(), "[^\0]{1,9}", "[^\0]{1,9}").prop_map(|(oid, schema, name)| {
            StreamEvent::Type { oid, name: TableName { schema, name } }
        }),
        "[^\0]{0,9}".prop_map(|name| StreamEvent::Origin { name }),
        (any::<bool>(), lsn(), "[^\0]{0,9}", prop::collection::vec(any::<u8>(), 0..30)).prop_map(
            |(transactional, lsn, prefix, content)| StreamEvent::Message {
                transactional,
                lsn,
                prefix,
                content: content.into(),
            }
        ),
        (relations(), tuples())
            .prop_map(|(relation, new)| StreamEvent::Change(Change::Insert { relation, new })),
        (relations(), prop::option::of(old_rows()), tuples()).prop_map(|(relation, old, new)| {
            StreamEvent::Change(Change::Update { relation, old, new })
        }),
        (relations(), old_rows())
            .prop_map(|(relation, old)| StreamEvent::Change(Change::Delete { relation, old })),
        (prop::collection::vec(relations(), 0..5), any::<bool>(), any::<bool>()).prop_map(
            |(relations, cascade, restart_identity)| {
                StreamEvent::Change(Change::Truncate { relations, cascade, restart_identity })
            }
        ),
    ]
}

proptest! {
    #[test]
    fn a_message_survives_and_no_part_of_it_passes_for_it(event in all_events()) {
        let wire = encode(&event);
        prop_assert_eq!(decode(wire.clone()), Ok(event));
        for end in 0..wire.len() {
            prop_assert!(decode(wire.slice(..end)).is_err(), "cut at {}", end);
        }
        let longer = [&wire[..], b"\0"].concat();
        prop_assert!(decode(longer.into()).is_err());
    }

    #[test]
    fn a_changed_byte_never_panics(
        event in all_events(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut wire = encode(&event).to_vec();
        let at = at.index(wire.len());
        wire[at] = byte;
        decode(wire.into()).ok();
    }
}

#[test]
fn a_binary_value_is_an_error_and_a_nameless_schema_is_the_catalogue() {
    let fault = decode(Bytes::from_static(b"I\0\0\0\x01N\0\x01b\0\0\0\x01x")).unwrap_err();
    assert!(fault.to_string().contains("binary"), "{fault}");
    let event = decode(Bytes::from_static(b"Y\0\0\0\x17\0int4\0")).unwrap();
    let name = TableName::new("pg_catalog", "int4");
    assert_eq!(event, StreamEvent::Type { oid: 23, name });
    // Counts that promise far more than there is cost nothing.
    for hostile in
        [&b"T\xff\xff\xff\xff\0"[..], b"I\0\0\0\x01N\xff\xff", b"R\0\0\0\x01\0x\0d\xff\xff"]
    {
        assert!(decode(Bytes::copy_from_slice(hostile)).is_err());
    }
}
