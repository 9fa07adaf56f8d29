//! Places where a test kills the process: before or after the commit of a record.
//!
//! The journal does not kill; it calls back. Which point, and how to die, is given by the caller,
//! who read `CHANGEOVER_CRASH_AT` once at its start.

use std::fmt;
use std::str::FromStr;

use crate::Seq;

/// Before or after a record is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edge {
    /// Just before the commit: after the restart the record is not there.
    Pre,
    /// Just after the commit, before the append returns: after the restart it is there.
    Post,
}

/// Where to die, written `12:pre` or `12:post`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CrashPoint {
    /// At this record.
    pub seq: Seq,
    /// On this side of its commit.
    pub edge: Edge,
}

/// Called when the crash point is reached. It is expected not to return.
pub type OnCrashPoint = Box<dyn Fn(Seq, Edge) + Send + Sync>;

/// Why a text is not a [`CrashPoint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a crash point: write SEQ:pre or SEQ:post, like 12:post")]
pub struct InvalidCrashPoint(pub String);

impl FromStr for CrashPoint {
    type Err = InvalidCrashPoint;
    fn from_str(text: &str) -> Result<Self, InvalidCrashPoint> {
        let fault = || InvalidCrashPoint(text.to_owned());
        let (seq, edge) = text.split_once(':').ok_or_else(fault)?;
        let edge = match edge {
            "pre" => Edge::Pre,
            "post" => Edge::Post,
            _ => return Err(fault()),
        };
        Ok(CrashPoint { seq: Seq(seq.parse().map_err(|_| fault())?), edge })
    }
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let edge = match self.edge {
            Edge::Pre => "pre",
            Edge::Post => "post",
        };
        write!(f, "{}:{edge}", self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_point_survives_its_text() {
        for text in ["1:pre", "12:post"] {
            assert_eq!(text.parse::<CrashPoint>().unwrap().to_string(), text);
        }
        for bad in ["", "1", "1:", "x:pre", "-1:pre", "1:mid"] {
            assert!(bad.parse::<CrashPoint>().is_err(), "{bad}");
        }
    }
}
