//! The cutover protocol as a pure machine (L1): hold, lease, barrier, seal, grant, flip.
//!
//! A *seal* takes authority away, a *grant* gives it; between them nobody may write, and that
//! state is short, provable, and reversible until the grant is intended. A rollback is the same
//! machine with the sides swapped. `docs/cutover.md` tells the argument; the model in the `sim`
//! crate drives these very functions through crashes, delayed effects and doubtful commits.
//!
//! Reading order: [`Stage`] (where an attempt stands), [`due`] (what the shell must do there),
//! [`decide`] (what its answer means), [`apply`].
//!
//! Invariants, each a test or a model property:
//! - every attempt has an epoch higher than every epoch ever seen, also after a call-off;
//! - before [`Event::SealIntended`] a crash means that nothing happened;
//! - between the seal and [`Event::GrantIntended`] the way is back; after it, only forward;
//! - [`due`] is derived from the state alone, so that recovery has no path of its own: the first
//!   input of every life of the shell is [`Input::Restarted`].

mod apply;
mod decide;
mod due;
pub mod known;
mod state;

pub use apply::{Event, apply};
pub use decide::{Input, Refusal, decide};
pub use due::{Command, due, wake};
pub use state::{Attempt, BackendIdent, Outcome, Stage, State};
