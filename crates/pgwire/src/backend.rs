//! What a server says.

use bytes::Bytes;

use crate::ServerError;
use crate::fields::{Fields, WireError, tag_text};
use crate::frame::Frame;

/// A request for proof of identity, or its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// The client is in.
    Ok,
    /// Send the password as it is.
    CleartextPassword,
    /// Send the password hashed with MD5 and this salt.
    Md5Password([u8; 4]),
    /// Choose one of these SASL mechanisms.
    Sasl(Vec<String>),
    /// The next SASL challenge.
    SaslContinue(Bytes),
    /// The last SASL message: the server's own proof.
    SaslFinal(Bytes),
    /// A method this crate does not speak (Kerberos 2, GSS 7 and 8, SSPI 9, …).
    Unsupported(u32),
}

/// Whether the session is inside a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Outside.
    Idle,
    /// Inside.
    Open,
    /// Inside one that failed and must be rolled back.
    Failed,
}

impl TransactionStatus {
    /// The byte in `ReadyForQuery`.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            TransactionStatus::Idle => b'I',
            TransactionStatus::Open => b'T',
            TransactionStatus::Failed => b'E',
        }
    }
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDescription {
    /// Its name, as the client encoding has it.
    pub name: Bytes,
    /// The table it comes from; 0 if none.
    pub table_oid: u32,
    /// Its number there; 0 if none.
    pub column: i16,
    /// Its type.
    pub type_oid: u32,
    /// The type's size; negative if it varies.
    pub type_size: i16,
    /// `atttypmod`.
    pub type_modifier: i32,
    /// 0 for text, 1 for binary.
    pub format: i16,
}

/// How copy data is formatted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFormat {
    /// Whether the whole is binary.
    pub binary: bool,
    /// Each column's format code.
    pub columns: Vec<i16>,
}

/// One row of a result, undecoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataRow {
    body: Bytes,
    cells: Vec<Option<(usize, usize)>>,
}

impl DataRow {
    /// How many columns it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether it has no column.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The column's bytes; `None` if it is NULL or not there.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let (start, end) = self.cells.get(index).copied().flatten()?;
        self.body.get(start..end)
    }

    /// Each column's bytes.
    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.cells.iter().map(|cell| cell.and_then(|(start, end)| self.body.get(start..end)))
    }

    fn decode(body: Bytes) -> Result<Self, WireError> {
        let total = body.len();
        let mut fields = Fields::new("DataRow", body.clone());
        let count = usize::from(fields.u16("column count")?);
        let mut cells = Vec::with_capacity(count.min(total / 4));
        for _ in 0..count {
            let value = fields.value("column")?;
            let end = total - fields.left();
            cells.push(value.map(|value| (end - value.len(), end)));
        }
        fields.end()?;
        Ok(DataRow { body, cells })
    }
}

/// A message from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendMessage {
    /// `R`
    Authentication(Authentication),
    /// `K`: what a cancel request must show. 4 bytes in protocol 3.0, up to 256 in 3.2.
    BackendKeyData {
        /// The server process.
        pid: u32,
        /// The secret.
        key: Bytes,
    },
    /// `2`
    BindComplete,
    /// `3`
    CloseComplete,
    /// `C`: the command tag, such as `INSERT 0 1`.
    CommandComplete(Bytes),
    /// `d`
    CopyData(Bytes),
    /// `c`
    CopyDone,
    /// `G`
    CopyInResponse(CopyFormat),
    /// `H`
    CopyOutResponse(CopyFormat),
    /// `W`
    CopyBothResponse(CopyFormat),
    /// `D`
    DataRow(DataRow),
    /// `I`
    EmptyQueryResponse,
    /// `E`
    ErrorResponse(ServerError),
    /// `V`
    FunctionCallResponse(Option<Bytes>),
    /// `v`: the newest minor version the server speaks, and the options it did not know.
    NegotiateProtocolVersion {
        /// The newest 3.x it speaks, as in a startup packet (0x0003_0000 is 3.0).
        newest: u32,
        /// Options it did not know.
        unknown_options: Vec<String>,
    },
    /// `n`
    NoData,
    /// `N`
    NoticeResponse(ServerError),
    /// `A`
    Notification {
        /// Who notified.
        pid: u32,
        /// Where.
        channel: Bytes,
        /// What.
        payload: Bytes,
    },
    /// `t`: the parameters' types.
    ParameterDescription(Vec<u32>),
    /// `S`
    ParameterStatus {
        /// The setting.
        name: String,
        /// Its value now.
        value: String,
    },
    /// `1`
    ParseComplete,
    /// `s`
    PortalSuspended,
    /// `Z`
    ReadyForQuery(TransactionStatus),
    /// `T`
    RowDescription(Vec<FieldDescription>),
}

impl BackendMessage {
    /// Decodes a whole frame.
    ///
    /// # Errors
    /// If the type is unknown or the body is not what its type promises.
    pub fn decode(frame: &Frame) -> Result<Self, WireError> {
        let body = frame.body();
        match frame.tag() {
            b'R' => decode_authentication(body).map(Self::Authentication),
            b'K' => decode_key(body),
            b'2' => empty("BindComplete", body, Self::BindComplete),
            b'3' => empty("CloseComplete", body, Self::CloseComplete),
            b'C' => decode_tag(body),
            b'd' => Ok(Self::CopyData(body)),
            b'c' => empty("CopyDone", body, Self::CopyDone),
            b'G' => decode_copy_format("CopyInResponse", body).map(Self::CopyInResponse),
            b'H' => decode_copy_format("CopyOutResponse", body).map(Self::CopyOutResponse),
            b'W' => decode_copy_format("CopyBothResponse", body).map(Self::CopyBothResponse),
            b'D' => DataRow::decode(body).map(Self::DataRow),
            b'I' => empty("EmptyQueryResponse", body, Self::EmptyQueryResponse),
            b'E' => ServerError::decode(body).map(Self::ErrorResponse),
            b'V' => decode_function_result(body),
            b'v' => decode_negotiate(body),
            b'n' => empty("NoData", body, Self::NoData),
            b'N' => ServerError::decode(body).map(Self::NoticeResponse),
            b'A' => decode_notification(body),
            b't' => decode_parameters(body),
            b'S' => decode_parameter_status(body),
            b'1' => empty("ParseComplete", body, Self::ParseComplete),
            b's' => empty("PortalSuspended", body, Self::PortalSuspended),
            b'Z' => decode_ready(body),
            b'T' => decode_row_description(body),
            other => Err(WireError::UnknownType { tag: tag_text(other) }),
        }
    }

    /// Whether the message may come at any time and answers nothing.
    #[must_use]
    pub fn is_asynchronous(&self) -> bool {
        matches!(
            self,
            Self::NoticeResponse(_) | Self::Notification { .. } | Self::ParameterStatus { .. }
        )
    }
}

fn empty(
    name: &'static str,
    body: Bytes,
    message: BackendMessage,
) -> Result<BackendMessage, WireError> {
    Fields::new(name, body).end()?;
    Ok(message)
}

fn decode_authentication(body: Bytes) -> Result<Authentication, WireError> {
    let mut fields = Fields::new("Authentication", body);
    let message = match fields.u32("kind")? {
        0 => Authentication::Ok,
        3 => Authentication::CleartextPassword,
        5 => {
            let salt = fields.bytes(4, "salt")?;
            let salt = <[u8; 4]>::try_from(salt.as_ref()).map_err(|_| fields.invalid("salt"))?;
            Authentication::Md5Password(salt)
        }
        10 => {
            let mut mechanisms = Vec::new();
            loop {
                let mechanism = fields.text("mechanism")?;
                if mechanism.is_empty() {
                    break;
                }
                mechanisms.push(mechanism);
            }
            Authentication::Sasl(mechanisms)
        }
        11 => Authentication::SaslContinue(fields.remainder()),
        12 => Authentication::SaslFinal(fields.remainder()),
        other => {
            fields.remainder();
            Authentication::Unsupported(other)
        }
    };
    fields.end()?;
    Ok(message)
}

fn decode_key(body: Bytes) -> Result<BackendMessage, WireError> {
    let mut fields = Fields::new("BackendKeyData", body);
    let pid = fields.u32("process id")?;
    if !(4..=256).contains(&fields.left()) {
        return Err(fields.invalid("key length"));
    }
    Ok(BackendMessage::BackendKeyData { pid, key: fields.remainder() })
}

fn decode_tag(body: Bytes) -> Result<BackendMessage, WireError> {
    let mut fields = Fields::new("CommandComplete", body);
    let tag = fields.zero_ended("tag")?;
    fields.end()?;
    Ok(BackendMessage::CommandComplete(tag))
}

fn decode_copy_format(name: &'static str, body: Bytes) -> Result<CopyFormat, WireError> {
    let mut fields = Fields::new(name, body);
    let binary = match fields.u8("format")? {
        0 => false,
        1 => true,
        _ => return Err(fields.invalid("format")),
    };
    let count = fields.u16("column count")?;
    let columns = (0..count).map(|_| fields.i16("column format")).collect::<Result<Vec<_>, _>>()?;
    fields.end()?;
    Ok(CopyFormat { binary, columns })
}

fn decode_function_result(body: Bytes) -> Result<BackendMessage, WireError> {
    let mut fields = Fields::new("FunctionCallResponse", body);
    let value = fields.value("value")?;
    fields.end()?;
    Ok(BackendMessage::FunctionCallResponse(value))
}

fn decode_negotiate(body: Bytes) -> Result<BackendMessage, WireError> {
    let mut fields = Fields::new("NegotiateProtocolVersion", body);
    let newest = fields.u32("version")?;
    let count = fields.u32("option count")?;
    let unknown_options = (0..count).map(|_| fields.text("option")).collect::<Result<_, _>>()?;
    fields.end()?;
    Ok(BackendMessage::NegotiateProtocolVersion { newest, unknown_options })
}

fn decode_notification(body: Bytes) -> Result<BackendMessage, WireError> {
    let mut fields = Fields::new("NotificationResponse", body);
    let pid = fields.u32("process id")?;
    let channel = fields.zero_ended("channel")?;
    let payload = fields.zero_ended("payload")?;
    fields.end()?;
    Ok(BackendMessage::Notification { pid, channel, payload })
}

fn decode_parameters(body: Bytes) -> Result<BackendMessage, WireError> {
    let mut fields = Fields::new("ParameterDescription", body);
    let count = fields.u16("count")?;
    let types = (0..count).map(|_| fields.u32("type")).collect::<Result<_, _>>()?;
    fields.end()?;
    Ok(BackendMessage::ParameterDescription(types))
}

fn decode_parameter_status(body: Bytes) -> Result<BackendMessage, WireError> {
    let mut fields = Fields::new("ParameterStatus", body);
    let name = fields.text("name")?;
    // A value may stand in an encoding other than UTF-8 (an application_name, for one); it is
    // only shown, so it is read as well as it can be.
    let value = String::from_utf8_lossy(&fields.zero_ended("value")?).into_owned();
    fields.end()?;
    Ok(BackendMessage::ParameterStatus { name, value })
}

fn decode_ready(body: Bytes) -> Result<BackendMessage, WireError> {
    let mut fields = Fields::new("ReadyForQuery", body);
    let status = match fields.u8("status")? {
        b'I' => TransactionStatus::Idle,
        b'T' => TransactionStatus::Open,
        b'E' => TransactionStatus::Failed,
        _ => return Err(fields.invalid("status")),
    };
    fields.end()?;
    Ok(BackendMessage::ReadyForQuery(status))
}

fn decode_row_description(body: Bytes) -> Result<BackendMessage, WireError> {
    let mut fields = Fields::new("RowDescription", body);
    let count = usize::from(fields.u16("column count")?);
    let mut columns = Vec::with_capacity(count.min(fields.left() / 19));
    for _ in 0..count {
        columns.push(FieldDescription {
            name: fields.zero_ended("name")?,
            table_oid: fields.u32("table")?,
            column: fields.i16("column number")?,
            type_oid: fields.u32("type")?,
            type_size: fields.i16("type size")?,
            type_modifier: fields.i32("type modifier")?,
            format: fields.i16("format")?,
        });
    }
    fields.end()?;
    Ok(BackendMessage::RowDescription(columns))
}
