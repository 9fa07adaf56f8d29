//! The run of a program: several runs, each with a daemon and a journal of its own, moved in order.
//!
//! The same shape as the run itself: [`decide`] turns what was seen into events, [`apply`] makes
//! them so, [`due`] says what to do. What it orders of a component is journalled before it is said
//! ([`Event::Ordered`]), saying it twice does no harm, and what came of it is read back from the
//! component's own daemon or journal ([`Event::Seen`]); so a crash at any record changes nothing.
//!
//! Two rules hold in every state: a component is brought onto the target only when all it needs is
//! there to its end, and taken back only when nothing that needs it is there. The first is a fact of
//! the program's steps, the second of [`due`]'s order of going back.

mod apply;
mod decide;
mod due;
mod state;

pub use apply::{Event, apply};
pub use decide::{Input, decide, wake};
pub use due::{Command, due};
pub use state::{Component, Is, Order, Seen, State};
