//! From a change stream to whole target transactions: ordering, batching, segments, progress (L1).
//!
//! Reading order: [`Stream`] (which way), [`marker`] (rows of our own), [`Segment`] (when the
//! sending side has authority), [`Relay`] (events in, steps out), [`plan`] (one change to one
//! SQL statement).
//!
//! Nothing here waits, reads a clock or talks to a server: the shell hands events in and performs
//! the steps that come out, in order.

pub mod marker;
pub mod plan;
mod relay;
mod segment;
mod stream;

pub use relay::{Counters, Limits, Relay, RelayConfig, RelayError, Resume, Step, Work};
pub use segment::{Segment, Turn};
pub use stream::Stream;
