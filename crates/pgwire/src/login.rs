//! The client's way in: from the startup packet to the first `ReadyForQuery`.
//!
//! One state, consumed by each message: what cannot happen next does not compile or is refused.
//! TLS, where wanted, is negotiated before (see [`crate::frontend::ssl_request`]).

use std::collections::BTreeMap;
use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::ServerError;
use crate::backend::{Authentication, BackendMessage, TransactionStatus};
use crate::fields::WireError;
use crate::frontend;
use crate::scram::{ClientFinal, ClientFirst, Keys, MECHANISM, ScramError, Secret};

/// Notices kept of one login; further ones are dropped.
const MAX_NOTICES: usize = 64;

/// Settings a server may report in one login: a server that goes on for ever is refused.
const MAX_PARAMETERS: usize = 1000;

/// What a client shows to get in.
#[derive(Clone)]
pub enum Credential {
    /// Nothing: only a server that trusts us lets us in.
    None,
    /// A password, for the cleartext and the SCRAM method.
    Password(String),
    /// Keys learnt as a SCRAM server, for the SCRAM method only.
    Keys(Keys),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credential::None => "None",
            Credential::Password(_) => "Password(***)",
            Credential::Keys(_) => "Keys(***)",
        })
    }
}

/// Why the way in ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The server refused.
    #[error(transparent)]
    Server(Box<ServerError>),
    /// The server asks for a proof we do not have.
    #[error("the server asks for a password, and none is given")]
    NoPassword,
    /// The server asks for a method we do not speak.
    #[error("the server asks for {0}, which is not supported; use scram-sha-256 in pg_hba.conf")]
    Method(String),
    /// The SCRAM exchange failed.
    #[error(transparent)]
    Scram(#[from] ScramError),
    /// The server let us in without proving that it knows the password, as it had begun to.
    #[error("the server ended the SCRAM exchange without its own proof")]
    Unproven,
    /// A message that has no place here.
    #[error("the server sent a message that has no place in a login: {0}")]
    Unexpected(String),
    /// Bytes that are no message.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// What a server told while letting us in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoggedIn {
    /// The server process.
    pub pid: u32,
    /// The secret a cancel request shows; empty if the server gave none.
    pub key: Bytes,
    /// The settings it reported.
    pub parameters: BTreeMap<String, String>,
    /// What it warned of.
    pub notices: Vec<ServerError>,
}

/// A client on its way in.
#[derive(Debug)]
pub struct Login {
    state: State,
    credential: Credential,
    nonce: String,
    told: LoggedIn,
}

#[derive(Debug)]
enum State {
    /// The startup packet is sent; the server says how it wants proof.
    Asked,
    /// A cleartext password is sent.
    PasswordSent,
    /// SCRAM: our first message is sent.
    ScramFirst(ClientFirst),
    /// SCRAM: our proof is sent.
    ScramFinal(ClientFinal),
    /// SCRAM: the server has proved itself; its `AuthenticationOk` follows.
    ScramDone,
    /// We are in; settings and the key follow.
    In,
}

/// What one message led to.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "lives for one message; a box would only be noise")]
pub enum Progress {
    /// Send what was appended, and go on reading.
    Continue(Login),
    /// The session is ready.
    Done(LoggedIn),
}

impl Login {
    /// Appends the startup packet to `out`. `parameters` must name `user`; settings may follow.
    /// `nonce` is random printable text (18 bytes or more), used if the server asks for SCRAM.
    #[must_use]
    pub fn start<'a>(
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
        credential: Credential,
        nonce: &str,
        out: &mut BytesMut,
    ) -> Self {
        frontend::startup(out, parameters);
        Login {
            state: State::Asked,
            credential,
            nonce: nonce.to_owned(),
            told: LoggedIn::default(),
        }
    }

    /// Takes the server's next message; appends to `out` what is to be sent.
    ///
    /// # Errors
    /// If the server refuses, asks for what we cannot give, or breaks the protocol.
    pub fn handle(
        mut self,
        message: BackendMessage,
        out: &mut BytesMut,
    ) -> Result<Progress, LoginError> {
        match message {
            BackendMessage::ErrorResponse(error) => {
                return Err(LoginError::Server(Box::new(error)));
            }
            BackendMessage::NoticeResponse(notice) if self.told.notices.len() < MAX_NOTICES => {
                self.told.notices.push(notice);
            }
            BackendMessage::NoticeResponse(_) => {}
            BackendMessage::ParameterStatus { name, value }
                if self.told.parameters.len() < MAX_PARAMETERS =>
            {
                self.told.parameters.insert(name, value);
            }
            // We ask for 3.0, which every server speaks; unknown `_pq_.` options are not sent.
            BackendMessage::NegotiateProtocolVersion { .. } => {}
            BackendMessage::Authentication(request) => self.authenticate(request, out)?,
            BackendMessage::BackendKeyData { pid, key } if matches!(self.state, State::In) => {
                self.told.pid = pid;
                self.told.key = key;
            }
            BackendMessage::ReadyForQuery(TransactionStatus::Idle)
                if matches!(self.state, State::In) =>
            {
                return Ok(Progress::Done(self.told));
            }
            other => return Err(unexpected(&other)),
        }
        Ok(Progress::Continue(self))
    }

    fn authenticate(
        &mut self,
        request: Authentication,
        out: &mut BytesMut,
    ) -> Result<(), LoginError> {
        let state = std::mem::replace(&mut self.state, State::Asked);
        self.state = match (state, request) {
            (State::Asked | State::PasswordSent | State::ScramDone, Authentication::Ok) => {
                State::In
            }
            (State::ScramFirst(_) | State::ScramFinal(_), Authentication::Ok) => {
                return Err(LoginError::Unproven);
            }
            (State::Asked, Authentication::CleartextPassword) => {
                let Credential::Password(password) = &self.credential else {
                    return Err(LoginError::NoPassword);
                };
                frontend::password(out, password);
                State::PasswordSent
            }
            (State::Asked, Authentication::Sasl(offered)) => self.begin_scram(&offered, out)?,
            (State::ScramFirst(client), Authentication::SaslContinue(data)) => {
                let (client, reply) = client.handle(&data)?;
                frontend::sasl_response(out, &reply);
                State::ScramFinal(client)
            }
            (State::ScramFinal(client), Authentication::SaslFinal(data)) => {
                client.handle(&data)?;
                State::ScramDone
            }
            (State::Asked, Authentication::Md5Password(_)) => {
                return Err(LoginError::Method("an MD5 password".to_owned()));
            }
            (State::Asked, Authentication::Unsupported(kind)) => {
                return Err(LoginError::Method(method_name(kind)));
            }
            (_, request) => {
                return Err(unexpected(&BackendMessage::Authentication(request)));
            }
        };
        Ok(())
    }

    fn begin_scram(&self, offered: &[String], out: &mut BytesMut) -> Result<State, LoginError> {
        if !offered.iter().any(|mechanism| mechanism == MECHANISM) {
            let names: Vec<&str> =
                offered.iter().map(|name| name.get(..32).unwrap_or(name)).take(4).collect();
            return Err(LoginError::Method(format!("SASL with {}", names.join(", "))));
        }
        let secret = match &self.credential {
            Credential::None => return Err(LoginError::NoPassword),
            Credential::Password(password) => Secret::Password(password.clone()),
            Credential::Keys(keys) => Secret::Keys(keys.clone()),
        };
        let (client, first) = ClientFirst::new(secret, &self.nonce)?;
        frontend::sasl_initial(out, MECHANISM, &first);
        Ok(State::ScramFirst(client))
    }
}

fn method_name(kind: u32) -> String {
    match kind {
        2 => "Kerberos V5".to_owned(),
        7 | 8 => "GSSAPI".to_owned(),
        9 => "SSPI".to_owned(),
        other => format!("authentication method {other}"),
    }
}

/// Names the message without its content, which may be anything.
fn unexpected(message: &BackendMessage) -> LoginError {
    let text = format!("{message:?}");
    let name = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    LoginError::Unexpected(name.to_owned())
}
