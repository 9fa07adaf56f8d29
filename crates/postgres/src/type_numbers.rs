//! Type numbers: processes remember the numbers of user types for their life, so the target's
//! types get the source's numbers where that can be done.
//!
//! Reading order: [`facts`] (what has a number), [`plan`] (what can be had), [`place`] (doing it),
//! [`record`] (what was done, and undoing it), [`compare`] (what came of it).

mod compare;
mod counter;
pub mod facts;
pub mod place;
pub mod plan;
mod record;

pub use compare::{Comparison, compare};
pub use facts::{Room, room};
pub use record::{Record, Recorded};
