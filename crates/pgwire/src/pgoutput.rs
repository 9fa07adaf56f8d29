//! Decodes pgoutput, protocol version 1: whole transactions in commit order, text values.
//!
//! The decoder keeps no state: announced tables are events like others, and whoever follows the
//! stream keeps the newest shape of each. Values share the memory of the message they came in.

use bytes::Bytes;
use changeover_types::{
    Change, Column, Lsn, OldRow, RelationId, ReplicaIdentity, StreamEvent, TableName, TableShape,
    Tuple, Value,
};

use crate::fields::{Fields, WireError, tag_text};

/// Decodes one message.
///
/// # Errors
/// If the message is of a type that version 1 does not have, is broken, or holds a binary value
/// (none is ever asked for).
pub fn decode(payload: Bytes) -> Result<StreamEvent, WireError> {
    let mut fields = Fields::new("pgoutput message", payload);
    let event = match fields.u8("type")? {
        b'B' => StreamEvent::Begin {
            commit_lsn: Lsn(fields.u64("commit position")?),
            commit_time_us: fields.i64("commit time")?,
            xid: fields.u32("transaction id")?,
        },
        b'C' => decode_commit(&mut fields)?,
        b'O' => {
            fields.u64("origin position")?;
            StreamEvent::Origin { name: fields.text("origin name")? }
        }
        b'R' => StreamEvent::Relation(decode_relation(&mut fields)?),
        b'Y' => StreamEvent::Type {
            oid: fields.u32("type")?,
            name: decode_name(&mut fields, "type name")?,
        },
        b'I' => {
            let relation = RelationId(fields.u32("relation")?);
            match fields.u8("tuple kind")? {
                b'N' => {}
                _ => return Err(fields.invalid("tuple kind")),
            }
            let new = decode_tuple(&mut fields)?;
            StreamEvent::Change(Change::Insert { relation, new })
        }
        b'U' => decode_update(&mut fields)?,
        b'D' => {
            let relation = RelationId(fields.u32("relation")?);
            let kind = fields.u8("tuple kind")?;
            let old = decode_old(&mut fields, kind)?;
            StreamEvent::Change(Change::Delete { relation, old })
        }
        b'T' => decode_truncate(&mut fields)?,
        b'M' => decode_message(&mut fields)?,
        other => return Err(WireError::UnknownType { tag: tag_text(other) }),
    };
    fields.end()?;
    Ok(event)
}

fn decode_commit(fields: &mut Fields) -> Result<StreamEvent, WireError> {
    fields.u8("commit flags")?;
    let commit_lsn = Lsn(fields.u64("commit position")?);
    let end_lsn = Lsn(fields.u64("end position")?);
    fields.i64("commit time")?;
    Ok(StreamEvent::Commit { commit_lsn, end_lsn })
}

/// An empty schema stands for `pg_catalog`.
fn decode_name(fields: &mut Fields, what: &'static str) -> Result<TableName, WireError> {
    let schema = fields.text(what)?;
    let name = fields.text(what)?;
    let schema = if schema.is_empty() { "pg_catalog".to_owned() } else { schema };
    Ok(TableName { schema, name })
}

fn decode_relation(fields: &mut Fields) -> Result<TableShape, WireError> {
    let id = RelationId(fields.u32("relation")?);
    let name = decode_name(fields, "relation name")?;
    let identity = match fields.u8("replica identity")? {
        b'd' => ReplicaIdentity::Default,
        b'n' => ReplicaIdentity::Nothing,
        b'f' => ReplicaIdentity::Full,
        b'i' => ReplicaIdentity::Index,
        _ => return Err(fields.invalid("replica identity")),
    };
    let count = usize::from(fields.u16("column count")?);
    let mut columns = Vec::with_capacity(count.min(fields.left() / 10));
    for _ in 0..count {
        let flags = fields.u8("column flags")?;
        columns.push(Column {
            name: fields.text("column name")?,
            type_oid: fields.u32("column type")?,
            type_modifier: fields.i32("type modifier")?,
            key: flags & 1 != 0,
        });
    }
    Ok(TableShape { id, name, identity, columns })
}

fn decode_tuple(fields: &mut Fields) -> Result<Tuple, WireError> {
    let count = usize::from(fields.u16("column count")?);
    let mut tuple = Vec::with_capacity(count.min(fields.left()));
    for _ in 0..count {
        tuple.push(match fields.u8("value kind")? {
            b'n' => Value::Null,
            b'u' => Value::Unchanged,
            b't' => {
                let length = fields.i32("value length")?;
                let length = usize::try_from(length).map_err(|_| fields.invalid("value length"))?;
                Value::Text(fields.bytes(length, "value")?)
            }
            b'b' => return Err(fields.invalid("value kind (binary was not asked for)")),
            _ => return Err(fields.invalid("value kind")),
        });
    }
    Ok(tuple)
}

fn decode_old(fields: &mut Fields, kind: u8) -> Result<OldRow, WireError> {
    match kind {
        b'K' => Ok(OldRow::Key(decode_tuple(fields)?)),
        b'O' => Ok(OldRow::Full(decode_tuple(fields)?)),
        _ => Err(fields.invalid("tuple kind")),
    }
}

fn decode_update(fields: &mut Fields) -> Result<StreamEvent, WireError> {
    let relation = RelationId(fields.u32("relation")?);
    let mut kind = fields.u8("tuple kind")?;
    let mut old = None;
    if kind != b'N' {
        old = Some(decode_old(fields, kind)?);
        kind = fields.u8("tuple kind")?;
    }
    if kind != b'N' {
        return Err(fields.invalid("tuple kind"));
    }
    let new = decode_tuple(fields)?;
    Ok(StreamEvent::Change(Change::Update { relation, old, new }))
}

fn decode_truncate(fields: &mut Fields) -> Result<StreamEvent, WireError> {
    let count = fields.u32("relation count")?;
    let flags = fields.u8("truncate flags")?;
    let relations =
        (0..count).map(|_| fields.u32("relation").map(RelationId)).collect::<Result<_, _>>()?;
    Ok(StreamEvent::Change(Change::Truncate {
        relations,
        cascade: flags & 1 != 0,
        restart_identity: flags & 2 != 0,
    }))
}

fn decode_message(fields: &mut Fields) -> Result<StreamEvent, WireError> {
    let flags = fields.u8("message flags")?;
    let lsn = Lsn(fields.u64("message position")?);
    let prefix = fields.text("message prefix")?;
    let length = usize::try_from(fields.u32("content length")?)
        .map_err(|_| fields.invalid("content length"))?;
    let content = fields.bytes(length, "content")?;
    Ok(StreamEvent::Message { transactional: flags & 1 != 0, lsn, prefix, content })
}
