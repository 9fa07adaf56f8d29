//! Which way a relay goes.

use std::fmt;

use changeover_types::Side;

/// One of the two change streams of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// From the source, applied into the target.
    Forward,
    /// From the target, applied into the source.
    Reverse,
}

impl Stream {
    /// `forward` or `reverse`, as written in rows and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Forward => "forward",
            Stream::Reverse => "reverse",
        }
    }

    /// The side whose changes it carries.
    #[must_use]
    pub fn from(self) -> Side {
        match self {
            Stream::Forward => Side::Source,
            Stream::Reverse => Side::Target,
        }
    }

    /// The side it is applied into.
    #[must_use]
    pub fn into(self) -> Side {
        self.from().other()
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
