//! Words without logic: what every other crate of Changeover speaks in (L0).
//!
//! A type lives where its invariant is enforced; it is here only because at least two crates
//! need it. Reading order: [`names`] (what things are called), [`authority`] (who may write),
//! [`time`] (two kinds of time that must not be mixed), [`stream`] (a decoded change stream),
//! [`markers`] (the rows of our own that travel in that stream), [`decided`] (what a gate counts for
//! the canary), [`route`] (which requests go together), [`check`] (what a check found), [`task`] (what
//! a restore left to do).

mod authority;
pub mod calendar;
mod check;
mod decided;
mod declared;
mod latency;
mod markers;
mod names;
mod route;
mod stream;
mod task;
mod time;

pub use authority::{AttemptId, Epoch, Side};
pub use check::{CheckCase, CheckReport};
pub use decided::{Decided, DecidedSecond, FirstEvents, Latencies};
pub use declared::{Answer, AnswerKind, Declared, Question, Waiver, questions};
pub use latency::LatencyBucket;
pub use markers::{EpochKind, Marker, MarkerError, SignalKind, TOKEN_SETTING, seal_token};
pub use names::{InvalidName, MigrationName, TableName, quote_ident, quote_literal};
pub use route::{InvalidRouteName, PathRule, RouteName, RouteRule, Share, Split};
pub use stream::{
    Change, Column, Lsn, OldRow, ParseLsnError, RelationId, ReplicaIdentity, StreamEvent,
    TableShape, Tuple, Value,
};
pub use task::{Task, TaskObject};
pub use time::{Tick, WallMs};
