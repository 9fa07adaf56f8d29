//! A value and where it comes from, or why it could not be had.

use changeover_types::WallMs;
use serde::{Deserialize, Serialize};

/// What is known of something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value<T> {
    /// This.
    Known(T),
    /// Nothing, and why.
    Unknown(String),
}

/// A value, or why it could not be had; with its source and time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact<T> {
    /// What is known.
    #[serde(flatten)]
    pub value: Value<T>,
    /// Who said so: `pg_settings of the source`, `compose.yaml:12`, `answers.yaml`.
    pub source: String,
    /// When.
    pub at: WallMs,
}

impl<T> Fact<T> {
    /// Something that was seen.
    #[must_use]
    pub fn known(value: T, source: impl Into<String>, at: WallMs) -> Self {
        Fact { value: Value::Known(value), source: source.into(), at }
    }

    /// Something that could not be had.
    #[must_use]
    pub fn unknown(why: impl Into<String>, source: impl Into<String>, at: WallMs) -> Self {
        Fact { value: Value::Unknown(why.into()), source: source.into(), at }
    }

    /// Something that nobody looked at.
    #[must_use]
    pub fn unasked() -> Self {
        Fact::unknown("nobody looked", "", WallMs(0))
    }

    /// The value, or why it is not known.
    ///
    /// # Errors
    /// With the reason.
    pub fn get(&self) -> Result<&T, &str> {
        match &self.value {
            Value::Known(value) => Ok(value),
            Value::Unknown(why) => Err(why),
        }
    }

    /// Why it could not be had although somebody looked.
    #[must_use]
    pub fn unread(&self) -> Option<&str> {
        self.get().err().filter(|_| !self.source.is_empty())
    }

    /// The same fact about another value.
    #[must_use]
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> Fact<U> {
        let value = match self.value {
            Value::Known(value) => Value::Known(with(value)),
            Value::Unknown(why) => Value::Unknown(why),
        };
        Fact { value, source: self.source, at: self.at }
    }
}
