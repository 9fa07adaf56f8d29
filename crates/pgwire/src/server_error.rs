//! What a server says in an `ErrorResponse` or a `NoticeResponse`.

use std::fmt;

use bytes::Bytes;

use crate::fields::{Fields, WireError};

/// The fields of an error or a notice. Unknown fields are dropped, as the protocol asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL`, `PANIC`, `WARNING`, `NOTICE`, … in English where the server says so.
    pub severity: String,
    /// The SQLSTATE; empty if a broken server sent none.
    pub sqlstate: String,
    /// The primary message.
    pub message: String,
    /// More about it. May hold row values: do not log it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Where in the query, in characters from 1.
    pub position: Option<u32>,
    /// Where it happened (`PL/pgSQL function …`).
    pub context: Option<String>,
    /// The schema concerned.
    pub schema: Option<String>,
    /// The table concerned.
    pub table: Option<String>,
    /// The column concerned.
    pub column: Option<String>,
    /// The constraint concerned.
    pub constraint: Option<String>,
}

impl ServerError {
    /// An error of our own, to be sent to a client.
    #[must_use]
    pub fn new(severity: &str, sqlstate: &str, message: impl Into<String>) -> Self {
        ServerError {
            severity: severity.to_owned(),
            sqlstate: sqlstate.to_owned(),
            message: message.into(),
            ..ServerError::default()
        }
    }

    /// Whether the server ends the session after it.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity.as_str(), "FATAL" | "PANIC")
    }

    /// Reads the body of an `ErrorResponse` or a `NoticeResponse`. Texts that are not UTF-8
    /// (before a client encoding is agreed on) are read as well as they can be.
    pub(crate) fn decode(body: Bytes) -> Result<Self, WireError> {
        let mut fields = Fields::new("ErrorResponse", body);
        let mut error = ServerError::default();
        let mut localized = String::new();
        loop {
            let code = fields.u8("field type")?;
            if code == 0 {
                break;
            }
            let text = String::from_utf8_lossy(&fields.zero_ended("field")?).into_owned();
            match code {
                b'S' => localized = text,
                b'V' => error.severity = text,
                b'C' => error.sqlstate = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                b'P' => error.position = text.parse().ok(),
                b'W' => error.context = Some(text),
                b's' => error.schema = Some(text),
                b't' => error.table = Some(text),
                b'c' => error.column = Some(text),
                b'n' => error.constraint = Some(text),
                _ => {}
            }
        }
        if error.severity.is_empty() {
            error.severity = localized;
        }
        fields.end()?;
        Ok(error)
    }

    /// The fields as they travel, in a fixed order.
    pub(crate) fn wire_fields(&self) -> Vec<(u8, String)> {
        let mut fields = vec![
            (b'S', self.severity.clone()),
            (b'V', self.severity.clone()),
            (b'C', self.sqlstate.clone()),
            (b'M', self.message.clone()),
        ];
        let optional = [
            (b'D', &self.detail),
            (b'H', &self.hint),
            (b'W', &self.context),
            (b's', &self.schema),
            (b't', &self.table),
            (b'c', &self.column),
            (b'n', &self.constraint),
        ];
        fields.extend(optional.into_iter().filter_map(|(code, text)| Some((code, text.clone()?))));
        fields.extend(self.position.map(|position| (b'P', position.to_string())));
        fields
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.sqlstate, self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for ServerError {}
