//! What we say to a server: each function appends one message to a buffer.
//!
//! A text with a zero byte inside cannot be sent; the builders cut it there, as libpq does, and
//! callers that take texts from outside refuse such texts before.

use bytes::{BufMut, BytesMut};

/// Protocol 3.0 as in a startup packet.
pub const PROTOCOL_3_0: u32 = 0x0003_0000;
pub(crate) const CANCEL_CODE: u32 = 80_877_102;
pub(crate) const SSL_CODE: u32 = 80_877_103;
pub(crate) const GSSENC_CODE: u32 = 80_877_104;

/// What a Describe or Close is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

impl Target {
    pub(crate) fn byte(self) -> u8 {
        match self {
            Target::Statement => b'S',
            Target::Portal => b'P',
        }
    }
}

/// Appends a message whose body `write` makes, and fills in its length.
///
/// A body above 2 GiB cannot be framed; its length saturates and the server refuses it.
pub(crate) fn message(out: &mut BytesMut, tag: Option<u8>, write: impl FnOnce(&mut BytesMut)) {
    if let Some(tag) = tag {
        out.put_u8(tag);
    }
    let at = out.len();
    out.put_i32(0);
    write(out);
    let length = i32::try_from(out.len() - at).unwrap_or(i32::MAX);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// Appends a text and its zero byte.
pub(crate) fn put_text(out: &mut BytesMut, text: impl AsRef<[u8]>) {
    let text = text.as_ref().split(|byte| *byte == 0).next().unwrap_or_default();
    out.put_slice(text);
    out.put_u8(0);
}

/// Appends a 16-bit count. PostgreSQL itself allows at most 65535 parameters or columns.
pub(crate) fn put_count(out: &mut BytesMut, count: usize) {
    out.put_u16(u16::try_from(count).unwrap_or(u16::MAX));
}

/// Appends a value with its length; NULL is -1.
pub(crate) fn put_value(out: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        None => out.put_i32(-1),
        Some(value) => {
            out.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
            out.put_slice(value);
        }
    }
}

/// The startup packet of protocol 3.0.
pub fn startup<'a>(out: &mut BytesMut, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) {
    message(out, None, |body| {
        body.put_u32(PROTOCOL_3_0);
        for (name, value) in parameters {
            put_text(body, name);
            put_text(body, value);
        }
        body.put_u8(0);
    });
}

/// The request to go on with TLS; the server answers with one byte, `S` or `N`.
pub fn ssl_request(out: &mut BytesMut) {
    message(out, None, |body| body.put_u32(SSL_CODE));
}

/// The request, on a connection of its own, to cancel what another session does.
pub fn cancel_request(out: &mut BytesMut, pid: u32, key: &[u8]) {
    message(out, None, |body| {
        body.put_u32(CANCEL_CODE);
        body.put_u32(pid);
        body.put_slice(key);
    });
}

/// A password, as it is.
pub fn password(out: &mut BytesMut, password: &str) {
    message(out, Some(b'p'), |body| put_text(body, password));
}

/// The chosen SASL mechanism and its first message.
pub fn sasl_initial(out: &mut BytesMut, mechanism: &str, data: &[u8]) {
    message(out, Some(b'p'), |body| {
        put_text(body, mechanism);
        put_value(body, Some(data));
    });
}

/// A further SASL message.
pub fn sasl_response(out: &mut BytesMut, data: &[u8]) {
    message(out, Some(b'p'), |body| body.put_slice(data));
}

/// A simple query: one or several statements.
pub fn query(out: &mut BytesMut, sql: &str) {
    message(out, Some(b'Q'), |body| put_text(body, sql));
}

/// Prepares a statement under a name (empty for the unnamed one). Type 0 lets the server infer.
pub fn parse(out: &mut BytesMut, name: &str, sql: &str, types: &[u32]) {
    message(out, Some(b'P'), |body| {
        put_text(body, name);
        put_text(body, sql);
        put_count(body, types.len());
        types.iter().for_each(|oid| body.put_u32(*oid));
    });
}

/// Binds text parameters to a statement; results come as text.
pub fn bind(out: &mut BytesMut, portal: &str, statement: &str, values: &[Option<&[u8]>]) {
    message(out, Some(b'B'), |body| {
        put_text(body, portal);
        put_text(body, statement);
        put_count(body, 0);
        put_count(body, values.len());
        values.iter().for_each(|value| put_value(body, *value));
        put_count(body, 0);
    });
}

/// Asks what a statement or portal looks like.
pub fn describe(out: &mut BytesMut, target: Target, name: &str) {
    message(out, Some(b'D'), |body| {
        body.put_u8(target.byte());
        put_text(body, name);
    });
}

/// Runs a portal; `max_rows` 0 is no limit.
pub fn execute(out: &mut BytesMut, portal: &str, max_rows: i32) {
    message(out, Some(b'E'), |body| {
        put_text(body, portal);
        body.put_i32(max_rows);
    });
}

/// Forgets a statement or portal; not an error if there is none.
pub fn close(out: &mut BytesMut, target: Target, name: &str) {
    message(out, Some(b'C'), |body| {
        body.put_u8(target.byte());
        put_text(body, name);
    });
}

/// Asks the server to send what it has so far.
pub fn flush(out: &mut BytesMut) {
    message(out, Some(b'H'), |_| {});
}

/// Ends a run of extended messages.
pub fn sync(out: &mut BytesMut) {
    message(out, Some(b'S'), |_| {});
}

/// A piece of copy data.
pub fn copy_data(out: &mut BytesMut, data: &[u8]) {
    out.reserve(data.len() + 5);
    message(out, Some(b'd'), |body| body.put_slice(data));
}

/// The end of the copy data.
pub fn copy_done(out: &mut BytesMut) {
    message(out, Some(b'c'), |_| {});
}

/// Gives a copy up, with the reason.
pub fn copy_fail(out: &mut BytesMut, why: &str) {
    message(out, Some(b'f'), |body| put_text(body, why));
}

/// Good bye.
pub fn terminate(out: &mut BytesMut) {
    message(out, Some(b'X'), |_| {});
}
