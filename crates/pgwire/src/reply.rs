//! What the gate says to a client in a server's place: each function appends one message.

use bytes::{BufMut, BytesMut};

use crate::ServerError;
use crate::backend::{FieldDescription, TransactionStatus};
use crate::frontend::{message, put_count, put_text, put_value};

/// The one-byte answer to a TLS or GSS request.
pub fn encryption_answer(out: &mut BytesMut, accepted: bool) {
    out.put_u8(if accepted { b'S' } else { b'N' });
}

fn authentication(out: &mut BytesMut, kind: u32, write: impl FnOnce(&mut BytesMut)) {
    message(out, Some(b'R'), |body| {
        body.put_u32(kind);
        write(body);
    });
}

/// The client is in.
pub fn authentication_ok(out: &mut BytesMut) {
    authentication(out, 0, |_| {});
}

/// Asks for the password as it is.
pub fn authentication_cleartext(out: &mut BytesMut) {
    authentication(out, 3, |_| {});
}

/// Offers SASL mechanisms, the preferred one first.
pub fn authentication_sasl(out: &mut BytesMut, mechanisms: &[&str]) {
    authentication(out, 10, |body| {
        mechanisms.iter().for_each(|mechanism| put_text(body, mechanism));
        body.put_u8(0);
    });
}

/// A SASL challenge.
pub fn authentication_sasl_continue(out: &mut BytesMut, data: &[u8]) {
    authentication(out, 11, |body| body.put_slice(data));
}

/// The last SASL message.
pub fn authentication_sasl_final(out: &mut BytesMut, data: &[u8]) {
    authentication(out, 12, |body| body.put_slice(data));
}

/// What the client must show to cancel.
pub fn backend_key_data(out: &mut BytesMut, pid: u32, key: &[u8]) {
    message(out, Some(b'K'), |body| {
        body.put_u32(pid);
        body.put_slice(key);
    });
}

/// A setting's value.
pub fn parameter_status(out: &mut BytesMut, name: &str, value: &str) {
    message(out, Some(b'S'), |body| {
        put_text(body, name);
        put_text(body, value);
    });
}

/// The next query may come.
pub fn ready_for_query(out: &mut BytesMut, status: TransactionStatus) {
    message(out, Some(b'Z'), |body| body.put_u8(status.byte()));
}

fn fields(out: &mut BytesMut, tag: u8, error: &ServerError) {
    message(out, Some(tag), |body| {
        for (code, text) in error.wire_fields() {
            body.put_u8(code);
            put_text(body, text);
        }
        body.put_u8(0);
    });
}

/// An error.
pub fn error_response(out: &mut BytesMut, error: &ServerError) {
    fields(out, b'E', error);
}

/// A notice.
pub fn notice_response(out: &mut BytesMut, notice: &ServerError) {
    fields(out, b'N', notice);
}

/// The newest protocol spoken, and the options that are not known.
pub fn negotiate_protocol_version(out: &mut BytesMut, newest: u32, unknown_options: &[&str]) {
    message(out, Some(b'v'), |body| {
        body.put_u32(newest);
        body.put_u32(u32::try_from(unknown_options.len()).unwrap_or(u32::MAX));
        unknown_options.iter().for_each(|option| put_text(body, option));
    });
}

/// A command is done.
pub fn command_complete(out: &mut BytesMut, tag: &str) {
    message(out, Some(b'C'), |body| put_text(body, tag));
}

/// The columns of a result.
pub fn row_description(out: &mut BytesMut, columns: &[FieldDescription]) {
    message(out, Some(b'T'), |body| {
        put_count(body, columns.len());
        for column in columns {
            put_text(body, &column.name);
            body.put_u32(column.table_oid);
            body.put_i16(column.column);
            body.put_u32(column.type_oid);
            body.put_i16(column.type_size);
            body.put_i32(column.type_modifier);
            body.put_i16(column.format);
        }
    });
}

/// The parameters of a statement.
pub fn parameter_description(out: &mut BytesMut, types: &[u32]) {
    message(out, Some(b't'), |body| {
        put_count(body, types.len());
        types.iter().for_each(|oid| body.put_u32(*oid));
    });
}

/// One row.
pub fn data_row(out: &mut BytesMut, values: &[Option<&[u8]>]) {
    message(out, Some(b'D'), |body| {
        put_count(body, values.len());
        values.iter().for_each(|value| put_value(body, *value));
    });
}
