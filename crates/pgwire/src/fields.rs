//! Reading the fields of one message. Every step checks that the bytes are there.

use bytes::{Buf, Bytes};

/// Why bytes are not a valid message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A length that no message can have.
    #[error("a message of type {tag} announces the impossible length {length}")]
    BadLength {
        /// The message's type byte as text.
        tag: String,
        /// The announced length, counting itself.
        length: i64,
    },
    /// A length above what this phase allows.
    #[error("a message of type {tag} announces {length} bytes; at most {limit} are allowed here")]
    TooLong {
        /// The message's type byte as text.
        tag: String,
        /// The announced body length.
        length: usize,
        /// The largest allowed.
        limit: usize,
    },
    /// The message ends before its fields do.
    #[error("the message {message} ends inside {field}")]
    Truncated {
        /// Which message.
        message: &'static str,
        /// Which field.
        field: &'static str,
    },
    /// Bytes are left after the last field.
    #[error("the message {message} has {extra} bytes too many")]
    TrailingBytes {
        /// Which message.
        message: &'static str,
        /// How many.
        extra: usize,
    },
    /// A field holds a value the protocol does not know.
    #[error("the message {message} holds an invalid {field}")]
    Invalid {
        /// Which message.
        message: &'static str,
        /// Which field.
        field: &'static str,
    },
    /// A type byte that is not known here.
    #[error("a message of the unknown type {tag}")]
    UnknownType {
        /// The type byte as text.
        tag: String,
    },
}

/// The type byte as text for messages: `'Q'` or `0x01`.
pub(crate) fn tag_text(tag: u8) -> String {
    if tag.is_ascii_graphic() { format!("'{}'", char::from(tag)) } else { format!("0x{tag:02x}") }
}

/// A cursor over one message's body.
pub(crate) struct Fields {
    message: &'static str,
    rest: Bytes,
}

impl Fields {
    pub(crate) fn new(message: &'static str, body: Bytes) -> Self {
        Fields { message, rest: body }
    }

    pub(crate) fn invalid(&self, field: &'static str) -> WireError {
        WireError::Invalid { message: self.message, field }
    }

    fn need(&self, count: usize, field: &'static str) -> Result<(), WireError> {
        if self.rest.len() < count {
            return Err(WireError::Truncated { message: self.message, field });
        }
        Ok(())
    }

    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, WireError> {
        self.need(1, field)?;
        Ok(self.rest.get_u8())
    }

    pub(crate) fn i16(&mut self, field: &'static str) -> Result<i16, WireError> {
        self.need(2, field)?;
        Ok(self.rest.get_i16())
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, WireError> {
        self.need(2, field)?;
        Ok(self.rest.get_u16())
    }

    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, WireError> {
        self.need(4, field)?;
        Ok(self.rest.get_i32())
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, WireError> {
        self.need(4, field)?;
        Ok(self.rest.get_u32())
    }

    pub(crate) fn i64(&mut self, field: &'static str) -> Result<i64, WireError> {
        self.need(8, field)?;
        Ok(self.rest.get_i64())
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, WireError> {
        self.need(8, field)?;
        Ok(self.rest.get_u64())
    }

    pub(crate) fn bytes(&mut self, count: usize, field: &'static str) -> Result<Bytes, WireError> {
        self.need(count, field)?;
        Ok(self.rest.split_to(count))
    }

    /// Everything that is left.
    pub(crate) fn remainder(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    /// A text up to its zero byte, without it.
    pub(crate) fn zero_ended(&mut self, field: &'static str) -> Result<Bytes, WireError> {
        let end = self
            .rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(WireError::Truncated { message: self.message, field })?;
        let text = self.rest.split_to(end);
        self.rest.advance(1);
        Ok(text)
    }

    /// A zero-ended text that must be UTF-8.
    pub(crate) fn text(&mut self, field: &'static str) -> Result<String, WireError> {
        let bytes = self.zero_ended(field)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.invalid(field))
    }

    /// A value with a 32-bit length, where -1 is NULL.
    pub(crate) fn value(&mut self, field: &'static str) -> Result<Option<Bytes>, WireError> {
        match self.i32(field)? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| self.invalid(field))?;
                Ok(Some(self.bytes(length, field)?))
            }
        }
    }

    pub(crate) fn end(self) -> Result<(), WireError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(WireError::TrailingBytes { message: self.message, extra }),
        }
    }
}
