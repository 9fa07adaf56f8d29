//! What a client says: as much as a gate must understand.

use bytes::Bytes;

use crate::fields::{Fields, WireError, tag_text};
use crate::frame::Frame;
use crate::frontend::{CANCEL_CODE, GSSENC_CODE, SSL_CODE, Target};

/// The first packet of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstPacket {
    /// May we go on with TLS?
    SslRequest,
    /// May we go on with GSS encryption?
    GssEncRequest,
    /// Cancel what another session does.
    Cancel {
        /// Its process id as it was told.
        pid: u32,
        /// Its secret as it was told.
        key: Bytes,
    },
    /// A session.
    Startup(Startup),
}

/// A startup packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// The protocol wished for: major in the upper half, minor in the lower.
    pub protocol: u32,
    /// `user`, `database`, settings, in the order sent. Names and values are UTF-8 here: a
    /// packet with other bytes is refused, because it could not be rewritten faithfully.
    pub parameters: Vec<(String, String)>,
}

impl Startup {
    /// The last value given for `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The user; PostgreSQL refuses a packet without one.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.get("user").filter(|user| !user.is_empty())
    }

    /// The database: the one named, or the user's.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        self.get("database").filter(|name| !name.is_empty()).or_else(|| self.user())
    }

    /// Whether it asks for a replication session, which a gate can never move.
    #[must_use]
    pub fn is_replication(&self) -> bool {
        // Only the spellings of false are false, as PostgreSQL's own parser has it.
        self.get("replication").is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            !matches!(value.as_str(), "false" | "f" | "off" | "of" | "no" | "n" | "0" | "")
        })
    }
}

impl FirstPacket {
    /// Decodes the body of a first packet, as [`crate::frame::take_startup_body`] gives it.
    ///
    /// # Errors
    /// If it is none of the four, or broken.
    pub fn decode(body: Bytes) -> Result<Self, WireError> {
        let mut fields = Fields::new("startup packet", body);
        let packet = match fields.u32("code")? {
            SSL_CODE => FirstPacket::SslRequest,
            GSSENC_CODE => FirstPacket::GssEncRequest,
            CANCEL_CODE => {
                let pid = fields.u32("process id")?;
                if !(4..=256).contains(&fields.left()) {
                    return Err(fields.invalid("key length"));
                }
                FirstPacket::Cancel { pid, key: fields.remainder() }
            }
            protocol if protocol >> 16 == 3 => {
                let mut parameters = Vec::new();
                loop {
                    let name = fields.text("parameter name")?;
                    if name.is_empty() {
                        break;
                    }
                    parameters.push((name, fields.text("parameter value")?));
                }
                FirstPacket::Startup(Startup { protocol, parameters })
            }
            _ => return Err(fields.invalid("protocol version")),
        };
        fields.end()?;
        Ok(packet)
    }
}

/// A message from a client that is past its startup packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `Q`: SQL in the client's encoding, without the zero byte.
    Query(Bytes),
    /// `P`
    Parse(Parse),
    /// `B`
    Bind(Bind),
    /// `D`
    Describe(Target, Bytes),
    /// `E`
    Execute {
        /// The portal.
        portal: Bytes,
        /// At most this many rows; 0 is all.
        max_rows: i32,
    },
    /// `C`
    Close(Target, Bytes),
    /// `S`
    Sync,
    /// `H`
    Flush,
    /// `F`: not decoded further; it owes one `ReadyForQuery`.
    FunctionCall(Bytes),
    /// `d`
    CopyData(Bytes),
    /// `c`
    CopyDone,
    /// `f`
    CopyFail(Bytes),
    /// `p`: a password or a SASL message; which, only the one who asked can know.
    /// See [`password`] and [`sasl_initial`].
    Password(Bytes),
    /// `X`
    Terminate,
}

/// A Parse message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parse {
    /// The statement's name; empty for the unnamed one.
    pub name: Bytes,
    /// Its SQL, in the client's encoding.
    pub sql: Bytes,
    /// The parameters' types; 0 lets the server infer.
    pub types: Vec<u32>,
}

/// A Bind message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The portal's name; empty for the unnamed one.
    pub portal: Bytes,
    /// The statement's name.
    pub statement: Bytes,
    /// The parameters' format codes: none, one for all, or one each.
    pub formats: Vec<i16>,
    /// The parameters; `None` is NULL.
    pub values: Vec<Option<Bytes>>,
    /// The results' format codes.
    pub result_formats: Vec<i16>,
}

impl Request {
    /// Decodes a whole frame.
    ///
    /// # Errors
    /// If the type is unknown or the body is not what its type promises.
    pub fn decode(frame: &Frame) -> Result<Self, WireError> {
        let body = frame.body();
        match frame.tag() {
            b'Q' => single_text("Query", body).map(Self::Query),
            b'P' => decode_parse(body).map(Self::Parse),
            b'B' => decode_bind(body).map(Self::Bind),
            b'D' => decode_target("Describe", body).map(|(kind, name)| Self::Describe(kind, name)),
            b'E' => decode_execute(body),
            b'C' => decode_target("Close", body).map(|(kind, name)| Self::Close(kind, name)),
            b'S' => empty("Sync", body, Self::Sync),
            b'H' => empty("Flush", body, Self::Flush),
            b'F' => Ok(Self::FunctionCall(body)),
            b'd' => Ok(Self::CopyData(body)),
            b'c' => empty("CopyDone", body, Self::CopyDone),
            b'f' => single_text("CopyFail", body).map(Self::CopyFail),
            b'p' => Ok(Self::Password(body)),
            b'X' => empty("Terminate", body, Self::Terminate),
            other => Err(WireError::UnknownType { tag: tag_text(other) }),
        }
    }
}

/// Reads a `p` body as a password.
///
/// # Errors
/// If it is not one zero-ended UTF-8 text.
pub fn password(body: Bytes) -> Result<String, WireError> {
    let mut fields = Fields::new("PasswordMessage", body);
    let password = fields.text("password")?;
    fields.end()?;
    Ok(password)
}

/// Reads a `p` body as the first SASL message: the mechanism and its data.
///
/// # Errors
/// If it is not that.
pub fn sasl_initial(body: Bytes) -> Result<(String, Bytes), WireError> {
    let mut fields = Fields::new("SASLInitialResponse", body);
    let mechanism = fields.text("mechanism")?;
    let data = fields.value("data")?.unwrap_or_default();
    fields.end()?;
    Ok((mechanism, data))
}

fn empty(name: &'static str, body: Bytes, request: Request) -> Result<Request, WireError> {
    Fields::new(name, body).end()?;
    Ok(request)
}

fn single_text(name: &'static str, body: Bytes) -> Result<Bytes, WireError> {
    let mut fields = Fields::new(name, body);
    let text = fields.zero_ended("text")?;
    fields.end()?;
    Ok(text)
}

fn decode_parse(body: Bytes) -> Result<Parse, WireError> {
    let mut fields = Fields::new("Parse", body);
    let name = fields.zero_ended("name")?;
    let sql = fields.zero_ended("query")?;
    let count = fields.u16("type count")?;
    let types = (0..count).map(|_| fields.u32("type")).collect::<Result<_, _>>()?;
    fields.end()?;
    Ok(Parse { name, sql, types })
}

fn decode_bind(body: Bytes) -> Result<Bind, WireError> {
    let mut fields = Fields::new("Bind", body);
    let portal = fields.zero_ended("portal")?;
    let statement = fields.zero_ended("statement")?;
    let count = fields.u16("format count")?;
    let formats = (0..count).map(|_| fields.i16("format")).collect::<Result<_, _>>()?;
    let count = fields.u16("parameter count")?;
    let values = (0..count).map(|_| fields.value("parameter")).collect::<Result<_, _>>()?;
    let count = fields.u16("result format count")?;
    let result_formats =
        (0..count).map(|_| fields.i16("result format")).collect::<Result<_, _>>()?;
    fields.end()?;
    Ok(Bind { portal, statement, formats, values, result_formats })
}

fn decode_target(name: &'static str, body: Bytes) -> Result<(Target, Bytes), WireError> {
    let mut fields = Fields::new(name, body);
    let target = match fields.u8("kind")? {
        b'S' => Target::Statement,
        b'P' => Target::Portal,
        _ => return Err(fields.invalid("kind")),
    };
    let object = fields.zero_ended("name")?;
    fields.end()?;
    Ok((target, object))
}

fn decode_execute(body: Bytes) -> Result<Request, WireError> {
    let mut fields = Fields::new("Execute", body);
    let portal = fields.zero_ended("portal")?;
    let max_rows = fields.i32("row limit")?;
    fields.end()?;
    Ok(Request::Execute { portal, max_rows })
}
