//! The durable run as a pure machine (L1): phases, steps, rollback.
//!
//! The one core that joins cores: it interprets a [`changeover_plan::Plan`] and carries the
//! [`changeover_cutover`] machine inside. A plan is data, so nothing is ever replayed as code: the
//! journal's [`Event`]s rebuild the [`State`], and [`due`] says what to do next.
//!
//! Reading order: [`State`] and its [`Control`], [`due`], [`decide`], [`apply`]; [`Reading`] is what
//! guards live on; [`canary`] joins the plan with the verdict's core.

pub mod canary;

mod apply;
mod control;
mod decide;
mod door;
mod due;
mod event;
mod guard;
mod next;
pub mod program;
mod state;

pub use apply::apply;
pub use control::{
    Approval, Control, GuardState, Standing, WayBack, Who, WindowState, facts_digest,
};
pub use decide::{Input, Refusal, decide};
pub use due::{Command, Relays, ask_for_finish_at, due, relays, wake};
pub use event::Event;
pub use guard::{Consequence, Reading};
pub use next::Next;
pub use state::{
    BeforeRollback, Bound, DataStage, Definitions, Mode, Pause, Proof, ProofStage, State,
};
